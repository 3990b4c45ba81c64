"""The forms of adverse events and deviations, and the filters of their listings."""

from django import forms
from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from safety.dictionary import body_systems, told
from safety.models import SERIOUSNESS, ActionTaken, Deviation, Expectedness, Outcome, Reappeared, Relationship
from trialsite.fields import ClearTextField, StrictDateField, StrictDateTimeField, YesNoField, choices_with_blank
from trialsite.forms import SiteFilter
from trialsite.saving import AskingForm, DataForm
from visits.grading import event_rows
from visits.models import Visit

GRADES = [(1, _("1 mild")), (2, _("2 moderate")), (3, _("3 severe")), (4, _("4 potentially life-threatening")),
          (5, _("5 death"))]  # fmt: skip


def grade_of(value):
    return int(value) if value else None


def grade_words(protocol, term, grade):
    """What `visits/show_grade_words.html` shows of an event: scale, row, other rows, and the grade that is chosen."""
    scale, rows = event_rows(protocol, term) or (None, [None])
    return {
        "scale": scale,
        "row": rows[0],
        "others": rows[1:],
        "chosen": int(grade) if str(grade) in "12345" and grade else None,
    }


class AdverseEventForm(AskingForm):
    """The fields of CDASH's AE form; which belong together is checked by safety.consistency."""

    term = ClearTextField(
        label=_("Adverse event"), max_length=200,
        help_text=_("One diagnosis or sign, in your own words; a term that fits may be chosen below."),
    )  # fmt: skip
    body_system = forms.ChoiceField(
        label=_("Body system"), required=False, help_text=_("Filled in by the system when the term is in the list.")
    )
    began_on = StrictDateField(label=_("Onset"))
    is_ongoing = YesNoField(label=_("Ongoing?"))
    ended_on = StrictDateField(label=_("End"), required=False)
    grade = forms.TypedChoiceField(label=_("Grade"), choices=choices_with_blank(GRADES), coerce=grade_of)
    is_serious = YesNoField(label=_("Serious?"))
    relationship = forms.ChoiceField(
        label=_("Relationship to the infusion product"), choices=choices_with_blank(Relationship.choices)
    )
    procedure_relationship = forms.ChoiceField(
        label=_("Relationship to a procedure of the trial"), choices=choices_with_blank(Relationship.choices),
        required=False,
    )  # fmt: skip
    expectedness = forms.ChoiceField(label=_("Expectedness"), choices=Expectedness.choices, required=False)
    action_taken = forms.ChoiceField(
        label=_("Action taken with the study treatment"), choices=choices_with_blank(ActionTaken.choices)
    )
    other_action = ClearTextField(label=_("Other action"), max_length=500, required=False)
    outcome = forms.ChoiceField(label=_("Outcome"), choices=choices_with_blank(Outcome.choices))
    infusion_number = forms.TypedChoiceField(
        label=_("After infusion number"), coerce=grade_of, required=False, empty_value=None
    )
    reappeared = forms.ChoiceField(
        label=_("Did it come back after a further infusion?"), choices=choices_with_blank(Reappeared.choices),
        required=False, help_text=_("Asked where an infusion was given after the event."),
    )  # fmt: skip
    narrative = ClearTextField(label=_("Narrative"), max_length=8000, lines=5, required=False)

    def __init__(self, *args, protocol, zone, was_given_again, record=None, initial=None, **kwargs):
        names = [*self.base_fields, *SERIOUSNESS, "aware_at"]
        stored = {name: getattr(record, name) for name in names if hasattr(record, name)} if record else {}
        super().__init__(*args, record=record, initial={**(initial or {}), **stored}, **kwargs)
        self.fields["body_system"].choices = choices_with_blank([(name, told(name)) for name in body_systems()])
        self.fields["term"].widget.attrs |= {
            "autocomplete": "off", "hx-get": reverse("safety:suggest_terms"), "hx-target": "#suggestions",
            "hx-trigger": "keyup changed delay:200ms, paste delay:200ms", "hx-sync": "this:replace", "hx-headers": '{"X-Background": "1"}',
        }  # fmt: skip
        count = protocol.infusions.count if protocol.infusions else 0
        self.fields["infusion_number"].choices = choices_with_blank([(n, n) for n in range(1, count + 1)])
        for name, words in SERIOUSNESS.items():
            self.fields[name] = forms.BooleanField(label=words, required=False)
        self.fields["aware_at"] = StrictDateTimeField(label=_("Site became aware (local time)"), zone=zone)
        self.protocol = protocol
        if not was_given_again and not (record and record.reappeared):
            del self.fields["reappeared"]
        if record is not None:
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)

    @property
    def event_values(self):
        values = self.values
        values.pop("reason", None)
        return values

    @property
    def grade_words(self):
        return grade_words(self.protocol, str(self["term"].value() or ""), self["grade"].value() or "")

    # for the page: fields in the order in which they are judged

    def fields_named(self, *names):
        return [self[name] for name in names if name in self.fields]

    @property
    def what(self):
        return self.fields_named("term", "body_system", "began_on", "is_ongoing", "ended_on", "grade")

    @property
    def seriousness(self):
        return self.fields_named(*SERIOUSNESS)

    @property
    def judgement(self):
        return self.fields_named(
            "relationship",
            "procedure_relationship",
            "infusion_number",
            "expectedness",
            "action_taken",
            "other_action",
            "reappeared",
            "outcome",
            "aware_at",
        )


# --- deviations ------------------------------------------------------------------------------------

CATEGORY_CHOICES = Deviation._meta.get_field("category").choices


class VisitChoiceField(forms.ModelChoiceField):
    def label_from_instance(self, visit):
        return f"{visit.code}, {visit.on}"


class DeviationForm(DataForm):
    """The fields of CDASH's DV form; which belong together is checked by safety.deviations."""

    began_on = StrictDateField(label=_("Date of the deviation"))
    ended_on = StrictDateField(label=_("End"), required=False, help_text=_("Only where it lasted longer than a day."))
    discovered_on = StrictDateField(label=_("Discovered on"))
    visit = VisitChoiceField(Visit.objects.none(), label=_("Visit"), required=False, empty_label="—")
    category = forms.ChoiceField(label=_("Category"), choices=choices_with_blank(CATEGORY_CHOICES))
    description = ClearTextField(label=_("Description"), max_length=4000, lines=3)
    is_important = YesNoField(
        label=_("Important?"),
        help_text=_(
            "It may significantly affect the patient's rights, safety or well-being, or the reliability of the data."
        ),
    )
    effect_on_safety = ClearTextField(
        label=_("Effect on the patient's safety"), max_length=2000, lines=2, required=False,
        help_text=_("Needed for an important deviation; “none” is an answer."),
    )  # fmt: skip
    effect_on_data = ClearTextField(label=_("Effect on the data"), max_length=2000, lines=2, required=False)
    corrective_action = ClearTextField(label=_("Corrective action"), max_length=2000, lines=2, required=False)
    corrected_on = StrictDateField(
        label=_("Corrective action completed on"), required=False,
        help_text=_("Blank while it is open. Where nothing had to be done, write so, and the day of that decision."),
    )  # fmt: skip
    preventive_action = ClearTextField(label=_("Preventive action"), max_length=2000, lines=2, required=False)
    reported_on = StrictDateField(label=_("Reported to the ethics committee on"), required=False)
    proposal_key = ClearTextField(max_length=80, required=False, widget=forms.HiddenInput)

    def __init__(self, *args, patient, record=None, initial=None, **kwargs):
        stored = {name: getattr(record, name) for name in self.base_fields if hasattr(record, name)} if record else {}
        super().__init__(*args, record=record, initial={**(initial or {}), **stored}, **kwargs)
        self.fields["visit"].queryset = Visit.objects.filter(patient=patient)
        helps = []
        if record.seen if record else self.data.get("proposal_key") or self.initial.get("proposal_key"):
            self.fields["description"].label = _("What the site adds")
            self.fields["description"].required = False
            helps.append(_("What the system saw is kept beside it, and read in each reader's language."))
        if patient.protocol.is_masked:
            helps.append(_("Write nothing that tells the treatment: the trial is masked."))
        self.fields["description"].help_text = format_lazy(" ".join(["{}"] * len(helps)), *helps)
        if record is not None:
            del self.fields["proposal_key"]
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)

    @property
    def deviation_values(self):
        return {name: value for name, value in self.values.items() if name not in ("reason", "proposal_key")}

    def fields_named(self, *names):
        return [self[name] for name in names]

    @property
    def what(self):
        return self.fields_named("began_on", "ended_on", "discovered_on", "visit", "category")

    @property
    def effects(self):
        return self.fields_named("is_important", "effect_on_safety", "effect_on_data")

    @property
    def actions(self):
        return self.fields_named("corrective_action", "corrected_on", "preventive_action", "reported_on")


class DismissalForm(DataForm):
    proposal_key = ClearTextField(max_length=80, widget=forms.HiddenInput)
    reason = ClearTextField(label=_("Why this is no deviation"), max_length=500, lines=2)


class EventChoiceField(forms.ModelChoiceField):
    def label_from_instance(self, event):
        return f"{event}, {event.began_on}"


class ResultOfEventForm(DataForm):
    event = EventChoiceField(None, label=_("Adverse event"), empty_label="—")

    def __init__(self, *args, events, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["event"].queryset = events


class DeclineResultForm(DataForm):
    reason = ClearTextField(label=_("Why this is no adverse event"), max_length=500, lines=2)


class DeviationFilter(SiteFilter):
    """Which proposals are shown."""

    category = forms.ChoiceField(required=False, label=_("Category"), choices=[("", _("all")), *CATEGORY_CHOICES])
    important = forms.ChoiceField(
        required=False, label=_("Important"), choices=[("", _("all")), ("Y", _("important only"))]
    )

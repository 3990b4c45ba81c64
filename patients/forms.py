"""Forms about who is in the trial."""

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from patients.models import Blocked, HivHistory, Scope, Sex, State
from trialsite.fields import (
    ClearTextField,
    PartialDateField,
    StrictDateField,
    StrictDecimalField,
    StrictIntegerField,
    YesNoField,
    choices_with_blank,
)
from trialsite.models import Site
from trialsite.saving import AskingForm, DataForm
from trialsite.words import language_told


class ScreenPatientForm(DataForm):
    site = forms.ModelChoiceField(Site.objects.none(), label=_("Site"), empty_label=None)
    sex = forms.ChoiceField(label=_("Sex"), choices=choices_with_blank(Sex.choices))
    birth_date = StrictDateField(label=_("Date of birth"), help_text=_("YYYY-MM-DD. No name is entered anywhere."))
    screened_on = StrictDateField(label=_("Screening starts on"))

    def __init__(self, *args, sites, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["site"].queryset = sites


class PersonForm(DataForm):
    birth_date = StrictDateField(label=_("Date of birth"))
    sex = forms.ChoiceField(label=_("Sex"), choices=Sex.choices)
    reason = ClearTextField(label=_("Reason for the change"), max_length=500)


class ConsentForm(DataForm):
    form_version = forms.ChoiceField(label=_("Version of the consent form"))
    language = forms.ChoiceField(label=_("Language"))
    signed_on = StrictDateField(label=_("Signed by the patient on"))
    obtained_by = ClearTextField(label=_("Consent obtained by"), max_length=200, help_text=_("Name of the physician."))

    def __init__(self, *args, forms_there, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["form_version"].choices = [(f.version, f"{f.version} ({f.dated})") for f in reversed(forms_there)]
        self.fields["language"].choices = [
            (x, language_told(x)) for x in dict.fromkeys(x for f in forms_there for x in f.languages)
        ]


class CorrectConsentForm(DataForm):
    """Not the form of the consent: the protocol version may follow from it."""

    signed_on = StrictDateField(label=_("Signed by the patient on"))
    language = forms.ChoiceField(label=_("Language"))
    obtained_by = ClearTextField(label=_("Consent obtained by"), max_length=200, help_text=_("Name of the physician."))
    reason = ClearTextField(label=_("Reason for the change"), max_length=500)

    def __init__(self, *args, record, **kwargs):
        initial = {name: getattr(record, name) for name in ("signed_on", "language", "obtained_by")}
        super().__init__(*args, record=record, initial=initial, **kwargs)
        offered = [x for form in record.protocol.consent_forms for x in form.languages]
        self.fields["language"].choices = [(x, language_told(x)) for x in dict.fromkeys([record.language, *offered])]


class LineForm(AskingForm):
    """The base of the forms for histories and medication: a reason is asked when a line is changed."""

    def __init__(self, *args, record=None, **kwargs):
        initial = kwargs.pop("initial", {})
        if record is not None:
            initial = {**{name: getattr(record, name) for name in self.base_fields if hasattr(record, name)}, **initial}
            initial["version"] = record.version
        super().__init__(*args, record=record, initial=initial, **kwargs)
        if record is not None:
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)

    @property
    def line_values(self):
        values = self.values
        values.pop("reason", None)
        return values


ROUTES = [("", "—"), *HivHistory._meta.get_field("route").choices]


class HivHistoryForm(LineForm):
    diagnosed_on = PartialDateField(label=_("HIV diagnosed"), help_text=_("YYYY, YYYY-MM or YYYY-MM-DD"))
    route = forms.ChoiceField(label=_("Route of infection"), choices=ROUTES, required=False)
    cdc_stage = forms.ChoiceField(label=_("CDC category"), choices=choices_with_blank([(c, c) for c in "ABC"]))
    nadir_cd4 = StrictIntegerField(label=_("Lowest CD4 (cells/µL)"), min_value=0, max_value=2000, required=False)
    nadir_on = PartialDateField(label=_("Date of the lowest CD4"), required=False)
    opportunistic_infections = ClearTextField(
        label=_("Opportunistic infections"), max_length=1000, lines=2, required=False
    )
    hepatitis_b = forms.ChoiceField(
        label=_("Hepatitis B"), choices=choices_with_blank(HivHistory._meta.get_field("hepatitis_b").choices)
    )


class ArtRegimenForm(LineForm):
    drugs = ClearTextField(label=_("Drugs"), max_length=200, help_text=_("e.g. TDF + 3TC + EFV"))
    started_on = PartialDateField(label=_("Start"), help_text=_("YYYY, YYYY-MM or YYYY-MM-DD"))
    is_ongoing = YesNoField(label=_("Ongoing?"))
    ended_on = PartialDateField(label=_("End"), required=False)
    change_reason = ClearTextField(label=_("Why the treatment was changed"), max_length=200, required=False)


class MedicalHistoryForm(LineForm):
    term = ClearTextField(label=_("Condition"), max_length=200)
    started_on = PartialDateField(label=_("Start"), required=False, help_text=_("YYYY, YYYY-MM or YYYY-MM-DD"))
    is_ongoing = YesNoField(label=_("Ongoing?"))
    ended_on = PartialDateField(label=_("End"), required=False)


class MedicationForm(LineForm):
    treatment = ClearTextField(label=_("Medication"), max_length=200)
    indication = ClearTextField(label=_("Given for"), max_length=200, required=False)
    dose = StrictDecimalField(label=_("Dose"), min_value=0, max_digits=10, decimal_places=4, required=False)
    dose_unit = ClearTextField(label=_("Unit"), max_length=20, required=False)
    frequency = ClearTextField(label=_("Frequency"), max_length=40, required=False)
    route = ClearTextField(label=_("Route"), max_length=40, required=False)
    started_on = PartialDateField(label=_("Start"), help_text=_("YYYY, YYYY-MM or YYYY-MM-DD"))
    is_ongoing = YesNoField(label=_("Ongoing?"))
    ended_on = PartialDateField(label=_("End"), required=False)


class EligibilityForm(DataForm):
    """One yes/no and one comment per criterion: fields holds_CODE and comment_CODE."""

    assessed_on = StrictDateField(label=_("Assessed on"))

    def __init__(self, *args, criteria, proposed, **kwargs):
        super().__init__(*args, **kwargs)
        self.codes = [criterion.code for criterion in criteria]
        for criterion in criteria:
            code = criterion.code
            self.fields[f"holds_{code}"] = YesNoField(label=criterion.text, initial=proposed.get(code))
            self.fields[f"comment_{code}"] = ClearTextField(label=_("Comment"), max_length=500, required=False)

    def rows_with(self, findings):
        """What the page shows of each criterion: the finding and its two fields."""
        return [
            {"finding": f, "holds": self[f"holds_{f.criterion.code}"], "comment": self[f"comment_{f.criterion.code}"]}
            for f in findings
        ]

    @property
    def answers(self):
        return {code: self.cleaned_data[f"holds_{code}"] for code in self.codes}

    @property
    def comments(self):
        return {code: self.cleaned_data[f"comment_{code}"] for code in self.codes}


class RandomiseForm(DataForm):
    day_0 = StrictDateField(
        label=_("Day 0, the day of the first infusion"), not_after_today=False,
        help_text=_("The visits are planned from this day."),
    )  # fmt: skip


class DispositionForm(DataForm):
    state = forms.ChoiceField(label=pgettext_lazy("end of participation", "What happened"))
    on = StrictDateField(label=_("Date"))
    explanation = ClearTextField(label=_("Explanation"), max_length=1000, lines=3, required=False)

    def __init__(self, *args, choices, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["state"].choices = choices_with_blank([(s, State(s).label) for s in choices])


class MakeListForm(DataForm):
    is_drafted = False  # the seed and the list stand nowhere but in the list

    slots_per_stratum = StrictIntegerField(label=_("Places per stratum, at least"), min_value=1, max_value=2000)
    seed = ClearTextField(label=_("Seed"), max_length=200, help_text=_("Recorded with the list; keep it to yourself."))


class ImportListForm(DataForm):
    is_drafted = False

    text = forms.CharField(
        label=_("The list as CSV"), max_length=500_000, widget=forms.Textarea(attrs={"rows": 12, "class": "font-monospace"}),
        help_text=_("Columns stratum, sequence, arm; block and block_size when there are any."),
    )  # fmt: skip


class OpenHaltForm(DataForm):
    scope = forms.ChoiceField(label=_("What is held"), choices=Scope.choices)
    number = ClearTextField(label=_("Patient number"), max_length=20, required=False)
    arm = forms.ChoiceField(label=_("Arm"), required=False)
    blocks = forms.MultipleChoiceField(
        label=_("What is blocked"), choices=Blocked.choices, widget=forms.CheckboxSelectMultiple
    )
    cause = ClearTextField(
        label=_("Cause"), max_length=1000, lines=3,
        help_text=_("Everybody reads this on every page: in a masked trial it must not name an arm."),
    )  # fmt: skip

    def __init__(self, *args, arms, patients, **kwargs):
        super().__init__(*args, **kwargs)
        self.patients = patients
        self.fields["arm"].choices = choices_with_blank([(arm.code, arm.name) for arm in arms])
        if not arms:
            del self.fields["arm"]
            self.fields["scope"].choices = [choice for choice in Scope.choices if choice[0] != Scope.ARM]

    def clean_number(self):
        number = self.cleaned_data["number"].strip()
        if not number:
            return None
        patient = self.patients.filter(number=number).first()
        if patient is None:
            raise ValidationError(_("There is no such patient."))
        return patient


class FindPatientForm(forms.Form):
    number = ClearTextField(label=_("Patient number"), max_length=20)

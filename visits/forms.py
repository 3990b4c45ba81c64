"""Forms about what was measured. Their fields come from the protocol."""

import json
import re

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from trialsite.fields import (
    TOO_LONG,
    ClearTextField,
    StrictDateField,
    StrictDateTimeField,
    StrictDecimalField,
    StrictIntegerField,
    StrictTimeField,
    choices_with_blank,
)
from trialsite.forms import SigningForm, SiteFilter
from trialsite.grade_words import grade_told
from trialsite.saving import AskingForm, DataForm, signature_of
from trialsite.ucum import unit_text
from trialsite.words import listed
from visits import edit_checks, infusing
from visits.actions import count_refusals
from visits.models import Missing, PanelState
from visits.results import NotAResult, read_number, read_result
from visits.units import units_of

# of an infusion: the rows that are shown, and those that may be added
WHOLE = ("started_at", "stopped_at", "volume_ml", "given_percent")
REACTION_ROWS, INTERRUPTION_ROWS, MOST_ROWS = 4, 3, 15
ASKED = re.compile(r"[a-z0-9_]{1,40}:[A-Za-z0-9_]{0,24}")  # check:test
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and lone surrogates, which JSON can write


class ResultField(forms.CharField):
    """What is typed as the result of one test in `unit` ("" for the protocol's); kept as typed, judged by visits.results."""

    def __init__(self, test, *, unit="", **kwargs):
        self.test, self.unit = test, unit
        kwargs = {"label": test.name, "required": False, "strip": False, "help_text": test.help, **kwargs}
        if test.kind == "choice":
            choices = choices_with_blank([(choice.code, choice.label) for choice in test.choices])
            kwargs["widget"] = forms.Select(choices=choices)
        elif test.kind == "number":
            # not type=number: browsers then drop silently what they do not understand, "<50" too
            attributes = {"inputmode": "decimal", "autocomplete": "off"}
            if test.possible:
                attributes |= {"min": str(test.possible[0]), "max": str(test.possible[1])}
            kwargs["widget"] = forms.TextInput(attrs=attributes)
        super().__init__(**kwargs)

    def clean(self, value):
        value = super().clean(value)
        try:
            result = read_result(self.test, value, self.unit)
        except NotAResult as fault:
            raise ValidationError(str(fault), code=fault.code) from None
        return result.typed if result else ""


def count_impossible(form, patient):
    """Count the results that a form refuses as impossible; what was typed is not kept."""
    refused = [name for name, errors in form.errors.as_data().items() if any(e.code == "impossible" for e in errors)]
    count_refusals([("impossible", form.fields[name].test.code) for name in refused], patient)


def missing_choices():
    return [("", _("no value because…")), *Missing.choices]


def as_said(panel, key, typed):
    """What a page is told along with the question of a check (`key`) about what was typed: signed, so that only what a
    check of ours really said about this panel is counted when the value is corrected."""
    return f"{typed}:{signature_of(panel, f'{key}:{typed}')}"


class PanelForm(DataForm):
    """A panel of a visit. Per test a field with the test's code, `missing_CODE` for why there is no value and, where
    there is a choice, `unit_CODE`; besides, what the page may send: `confirm_CHECK_CODE` with the value that was
    looked up in the source, and in `asked` what checks said while the form was filled in."""

    collected_on = StrictDateField(label=_("Collected on"))
    collected_at = StrictTimeField(label=_("Time"), required=False)

    def count_refusals(self):
        count_impossible(self, self.record.patient)

    def __init__(self, *args, record, tests, stored, laboratories=(), laboratory=None, units=None, on=None, **kwargs):
        """`laboratory` and `units` are what is offered where nothing is stored yet."""
        self.tests = [test for test in tests if not test.computed]
        initial = {
            "collected_on": record.collected_on or on,
            "collected_at": record.collected_at.strftime("%H:%M") if record.collected_at else "",
            "comment": record.comment,
            "laboratory": record.laboratory_id or (laboratory.pk if laboratory and not record.was_touched else None),
            **{f"unit_{code}": unit for code, unit in (units or {}).items()},
        }
        for test in self.tests:
            if m := stored.get(test.code):
                initial |= {test.code: m.typed, f"missing_{test.code}": m.missing_because}
                if m.typed:
                    initial[f"unit_{test.code}"] = m.reported_unit
        super().__init__(*args, record=record, initial=initial, **kwargs)
        if laboratories:
            choices = choices_with_blank([(laboratory.pk, laboratory.name) for laboratory in laboratories])
            self.fields["laboratory"] = forms.ChoiceField(label=_("Laboratory"), choices=choices, required=False)
        self.laboratories = {str(laboratory.pk): laboratory for laboratory in laboratories}
        for test in self.tests:
            names = [known.unit for known in units_of(test)]
            chosen = self.data.get(f"unit_{test.code}", "") if len(names) > 1 else ""
            stays = (
                stored[test.code].reported_unit
                if not chosen and test.code in stored and stored[test.code].typed
                else ""
            )
            self.fields[test.code] = ResultField(test, unit=chosen if chosen in names else stays)
            self.fields[f"missing_{test.code}"] = forms.ChoiceField(
                label=_("%(test)s: no value because") % {"test": test.name}, choices=missing_choices(), required=False
            )
            if len(names) > 1:
                self.fields[f"unit_{test.code}"] = forms.ChoiceField(
                    label=_("%(test)s: unit") % {"test": test.name}, choices=[(name, unit_text(name)) for name in names],
                    required=False,
                )  # fmt: skip
        self.fields["comment"] = ClearTextField(label=_("Comment"), max_length=1000, lines=2, required=False)
        self.fields["asked"] = forms.CharField(required=False, max_length=20_000, widget=forms.HiddenInput)
        if record.was_touched:  # entered before, or said to be not done
            is_begun = record.state == PanelState.BEGUN
            self.fields["reason"] = ClearTextField(
                label=_("Reason for the change"), max_length=500, required=not is_begun,
                help_text=_("Not needed for values that were still to come.") if is_begun else "",
            )  # fmt: skip

    @property
    def results(self):
        """What was typed, by test; a field that was not sent is left out."""
        return {t.code: self.cleaned_data[t.code] for t in self.tests if self.was_sent(t.code)}

    @property
    def missing(self):
        """Why values are not there, by test; what was not sent stays as it is."""
        return self._sent_for_tests("missing")

    @property
    def units(self):
        """The units in which values were reported, by test."""
        return {code: unit for code, unit in self._sent_for_tests("unit").items() if unit}

    def _sent_for_tests(self, kind):
        names = {test.code: f"{kind}_{test.code}" for test in self.tests}
        return {code: self.cleaned_data.get(name, "") for code, name in names.items()
                if name in self.fields and self.was_sent(name)}  # fmt: skip

    @property
    def laboratory(self):
        """As `record_panel` takes it: the laboratory that was chosen, or none; nothing when the form did not ask."""
        if "laboratory" not in self.fields or not self.was_sent("laboratory"):
            return {}
        return {"laboratory": self.laboratories.get(self.cleaned_data.get("laboratory") or "")}

    @property
    def confirmed(self):
        """The (check, test) whose value was looked up in the source: of that very value, not of a later one."""
        found = set()
        for name, typed in self.data.items():
            if name.startswith("confirm_"):
                for test in ("", *(t.code for t in self.tests)):
                    check = name.removeprefix("confirm_").removesuffix(f"_{test}")
                    now = self.cleaned_data.get(test or "collected_on", "")
                    if name == f"confirm_{check}_{test}" and str(now) == typed.strip(" "):
                        found.add((check, test))
        return found

    @property
    def asked(self):
        """What checks said while the form was filled in: the value then, by (check, test)."""
        return {tuple(key.split(":")): said.rpartition(":")[0] for key, said in self.read_asked(self.data).items()}

    def read_asked(self, data):
        """Only what a soft check of ours has said about a field of this panel, signed as it was (`as_said`)."""
        try:
            asked = json.loads(data.get("asked") or "{}")
        except (ValueError, RecursionError):  # also what is nested too deep
            return {}
        known = {"", *(test.code for test in self.tests)}
        soft = {check.code for check in edit_checks.CHECKS if not check.hard}
        return {
            key: said
            for key, said in (asked.items() if isinstance(asked, dict) else ())
            if isinstance(said, str) and ASKED.fullmatch(key) and len(said) <= 600 and not UNSTORABLE.search(said)
            and key.split(":")[0] in soft and key.split(":")[1] in known
            and constant_time_compare(said, as_said(self.record, key, said.rpartition(":")[0]))
        }  # fmt: skip

    def goes_with(self, name):
        """A value, its unit and why there is none are one."""
        return name.removeprefix("unit_").removeprefix("missing_")

    def keeps(self, name):
        return name != "asked" and (super().keeps(name) or name.startswith("confirm_"))

    def take_draft(self, draft):
        self.initial["asked"] = json.dumps(draft.asked)
        self.ticked = {name: values[-1] for name, values in draft.fields.items() if name.startswith("confirm_")}

    @property
    def ticks(self):
        """What was confirmed, as it was sent: the page asks again and shows it as ticked."""
        sent = self.data if self.is_bound else getattr(self, "ticked", {})
        return {name: typed for name, typed in sent.items() if name.startswith("confirm_")}


class GradeAnswerForm(DataForm):
    """Which grade of its row a result has: `asked` is what `proposed_grade` gives (Asked, or None)."""

    grade = forms.TypedChoiceField(label=_("Grade, by the published words"), coerce=int, widget=forms.RadioSelect)
    reason = ClearTextField(
        label=_("Reason"), max_length=500, required=False,
        help_text=_("Needed where it is another grade than that of the number, or the answer is changed."),
    )  # fmt: skip

    def __init__(self, *args, asked, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["grade"].choices = [
            (
                grade,
                f"{grade}: {grade_told(asked.scale.key, words)}" if words else _("0: none of these conditions is met"),
            )
            for grade, words in (asked.choices if asked else ())
        ]


class NotDoneForm(DataForm):
    not_done_because = ClearTextField(label=_("Not done because"), max_length=500)

    def __init__(self, *args, record, **kwargs):
        super().__init__(*args, record=record, **kwargs)
        if record.was_touched:
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)


class AttendanceForm(DataForm):
    attended_on = StrictDateField(label=_("Date of the visit"))

    def __init__(self, *args, record, **kwargs):
        super().__init__(*args, record=record, **kwargs)
        if record.was_told:
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)


class MissedVisitForm(DataForm):
    missed_because = ClearTextField(label=_("Missed because"), max_length=500)

    def __init__(self, *args, record, **kwargs):
        super().__init__(*args, record=record, **kwargs)
        if record.was_told:
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)


class UnscheduledVisitForm(DataForm):
    on = StrictDateField(label=_("Date of the visit"))
    panels = forms.MultipleChoiceField(label=_("Panels that were done"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args, panels, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["panels"].choices = [(panel.code, panel.name) for panel in panels]


class RaiseQueryForm(DataForm):
    """What a query is about: `choices` are (what, name), "" stands for the whole."""

    about = forms.ChoiceField(label=_("About"), required=False)
    text = ClearTextField(label=_("Question"), max_length=1000, lines=3)

    def __init__(self, *args, whole, choices, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["about"].choices = [("", whole), *choices]


class QueryFilterForm(SiteFilter):
    """What the list of queries shows. `patient` is a key, never a number."""

    kind = forms.ChoiceField(
        required=False, label=_("Opened by"),
        choices=[("", _("all")), ("check", _("a check")), ("person", _("a person"))],
    )  # fmt: skip
    older = forms.ChoiceField(
        required=False, label=_("Older than"),
        choices=[("", _("any age")), ("7", _("7 days")), ("14", _("14 days")), ("30", _("30 days"))],
    )  # fmt: skip
    whose = forms.ChoiceField(
        required=False, label=_("Whose"), choices=[("", _("all")), ("raised", _("raised by me")),
                                                   ("turn", _("waiting for me"))],
    )  # fmt: skip
    sort = forms.ChoiceField(
        required=False, label=_("Sort by"), choices=[("", _("newest")), ("oldest", _("oldest"))]
    )  # fmt: skip
    patient = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1, widget=forms.HiddenInput)


class QueryMessageForm(DataForm):
    """One message and what it does to the query."""

    text = ClearTextField(label=_("Message"), max_length=1000, lines=3, required=False)
    step = forms.ChoiceField(label=_("And then"))

    def __init__(self, *args, steps, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["step"].choices = steps


class ReceiveLotForm(DataForm):
    site = forms.ModelChoiceField(None, label=_("Site"), empty_label=None)
    product = forms.ChoiceField(label=_("Product"))
    number = ClearTextField(label=_("Lot number"), max_length=40)
    donor = ClearTextField(label=_("Donor code"), max_length=40, required=False)
    passage = StrictIntegerField(label=_("Passage"), min_value=0, max_value=30, required=False)
    received_on = StrictDateField(label=_("Received on"))
    expires_on = StrictDateField(label=_("Expires on"), not_after_today=False)

    def __init__(self, *args, sites, products, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["site"].queryset = sites
        self.fields["product"].choices = [(product.code, product.name) for product in products]


class LotNumberField(forms.CharField):
    """A number as the laboratory reports it, perhaps with < or > before it; kept as typed."""

    def __init__(self, *, is_percent, **kwargs):
        super().__init__(max_length=20, error_messages=TOO_LONG, **kwargs)
        self.is_percent = is_percent

    def clean(self, value):
        value = super().clean(value)
        number = read_number(value) if value else None
        if value and number is None:
            raise ValidationError(_("Write a number with digits and a decimal point, e.g. 98.2."), code="invalid")
        if number and self.is_percent and not 0 <= number[1] <= 100:
            raise ValidationError(_("A percentage lies between 0 and 100."), code="invalid")
        return value


class LotTestsForm(DataForm):
    """A field per release test of the product, named by its code."""

    def __init__(self, *args, product, stored, **kwargs):
        super().__init__(*args, **kwargs)
        self.tests = product.release_tests
        for test in self.tests:
            limit = f"{test.words()} {unit_text(test.unit)}".strip()
            kwargs = {"label": test.name, "required": False, "initial": stored.get(test.code, ""),
                      "help_text": _("passes when %(limit)s") % {"limit": limit}}  # fmt: skip
            if test.equals:
                told = test.equals_label or test.equals
                words = [(test.equals, told), (f"not {test.equals}", _("not %s") % told)]
                self.fields[test.code] = forms.ChoiceField(choices=choices_with_blank(words), **kwargs)
            else:
                self.fields[test.code] = LotNumberField(is_percent=test.unit == "%", **kwargs)
        self.fields["reason"] = ClearTextField(
            label=_("Reason, when a result is changed"), max_length=500, required=False
        )

    @property
    def results(self):
        return {test.code: self.cleaned_data[test.code] for test in self.tests if self.was_sent(test.code)}


class LotField(forms.ModelChoiceField):
    def label_from_instance(self, lot):
        return _("%(number)s, expires on %(expires_on)s") % {"number": lot.number, "expires_on": lot.expires_on}


class PrepareInfusionForm(AskingForm):
    lot = LotField(None, empty_label="—", label=_("Lot"), help_text=_("Only lots that are released and not expired."))
    weight_kg = StrictDecimalField(
        label=_("Body weight (kg)"), min_value=20, max_value=250, max_digits=6, decimal_places=2
    )
    prepared_dose = StrictDecimalField(
        label=_("Prepared dose"), min_value=0, max_digits=16, decimal_places=2, required=False,
        help_text=_("Leave blank when it is the planned dose."),
    )  # fmt: skip
    viability_percent = StrictDecimalField(
        label=_("Viability after thawing (%)"),
        min_value=0,
        max_value=100,
        max_digits=5,
        decimal_places=2,
        required=False,
    )
    label = ClearTextField(label=_("Label on the bag"), max_length=40)

    def __init__(self, *args, lots, zone, unit, planned, **kwargs):
        """`unit` is that of the dose; `planned` the dose that follows from the latest weight, as words, or ""."""
        super().__init__(*args, **kwargs)
        self.fields["lot"].queryset = lots
        dose = self.fields["prepared_dose"]
        if unit:
            dose.label = _("Prepared dose (%(unit)s)") % {"unit": unit}
        if planned:
            dose.help_text = _("Planned: %(dose)s. Leave blank when it is the planned dose.") % {"dose": planned}
        self.fields["prepared_at"] = StrictDateTimeField(label=_("Prepared at (local time)"), zone=zone)


class InfusionForm(AskingForm):
    """The infusion: times, monitoring (fields CODE_MINUTE), interruptions (stopN_*), reactions (reactionN_*)."""

    def count_refusals(self):
        count_impossible(self, self.about.patient)

    def __init__(
        self, *args, infusions, tests, zone, reactions, record=None, stored=None, scale=None, grades=None, queries=None,
        **kwargs,
    ):  # fmt: skip
        """`scale` grades reactions; `grades` are those of what is stored and `queries` those that are not closed, by
        (test, minute), as they are told."""
        super().__init__(*args, record=record, **kwargs)
        self.tests, self.minutes, self.zone = tests, infusions.monitoring_minutes, zone
        low, high = infusions.volume_ml
        self.fields["started_at"] = StrictDateTimeField(label=_("Start (local time)"), zone=zone)
        self.fields["stopped_at"] = StrictDateTimeField(label=_("Stop (local time)"), zone=zone)
        if record is None:
            self.fields["started_at"].widget.attrs["autofocus"] = True
        self.fields["volume_ml"] = StrictDecimalField(
            label=_("Volume (mL)"), min_value=0, max_value=2000, max_digits=6, decimal_places=1,
            help_text=_("planned: %(low)s to %(high)s mL") % {"low": low, "high": high},
        )  # fmt: skip
        self.fields["given_percent"] = StrictDecimalField(
            label=_("Part of the bag given (%)"),
            min_value=0,
            max_value=100,
            max_digits=4,
            decimal_places=1,
            initial=100,
        )
        self.fields["access_site"] = ClearTextField(label=_("Access"), max_length=100, required=False)
        self.fields["premedication"] = ClearTextField(label=_("Pre-medication"), max_length=200, required=False)
        for test in tests:
            for minute in self.minutes:
                name = f"{test.code}_{minute}"
                label = _("%(test)s at %(minute)s minutes") % {"test": test.name, "minute": minute}
                self.fields[name] = ResultField(test, label=label, help_text="")
                self.fields[name].initial = (stored or {}).get((test.code, minute), "")
        for n in range(1, MOST_ROWS + 1):
            for name, label in (("stopped", _("Stopped (local time)")), ("resumed", _("Resumed (local time)"))):
                self.fields[f"stop{n}_{name}"] = StrictDateTimeField(label=label, zone=zone, required=False)
            self.fields[f"stop{n}_cause"] = ClearTextField(label=_("Cause"), max_length=200, required=False)
        for n in range(1, MOST_ROWS + 1):
            self.fields[f"reaction{n}_term"] = ClearTextField(label=_("Reaction"), max_length=200, required=False)
            self.fields[f"reaction{n}_term"].widget.attrs["list"] = "reaction-terms"
            self.fields[f"reaction{n}_began"] = StrictDateTimeField(
                label=_("Began (local time)"), zone=zone, required=False
            )
            self.fields[f"reaction{n}_grade"] = StrictIntegerField(
                label=_("Grade, 1 to 5"), min_value=1, max_value=5, required=False
            )
        self.fields["comment"] = ClearTextField(label=_("Comment"), max_length=1000, lines=2, required=False)
        if record is not None:
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)
        self.reaction_terms = reactions
        self.scale, self.grades, self.queries = scale, grades or {}, queries or {}
        if scale is not None:
            for n in range(1, MOST_ROWS + 1):
                asks = {
                    "hx-get": reverse("visits:show_grade_words"), "hx-trigger": "change", "hx-target": "next .grade-words",
                    "hx-include": "closest .line", "hx-sync": "closest .line:queue last",
                    "hx-headers": '{"X-Background": "1"}',
                }  # fmt: skip
                for name in ("term", "grade"):
                    self.fields[f"reaction{n}_{name}"].widget.attrs |= asks

    def clean(self):
        cleaned = super().clean()
        for n in range(1, MOST_ROWS + 1):
            self._whole_row(cleaned, f"stop{n}", needed=("stopped", "cause"), optional=("resumed",))
        for n in range(1, MOST_ROWS + 1):
            self._whole_row(cleaned, f"reaction{n}", needed=("term", "began", "grade"))
            self._refuse_unknown_grade(cleaned, f"reaction{n}")
        return cleaned

    def _refuse_unknown_grade(self, cleaned, row):
        """A scale does not know every grade of every term; what is stored stays as it is."""
        grade, term = cleaned.get(f"{row}_grade"), cleaned.get(f"{row}_term") or ""
        words = self.scale.row_of_term(term) if self.scale else None
        if words and grade and not words.words(grade) and grade != self.initial.get(f"{row}_grade"):
            known = listed(sorted(words.grades))
            told = _("%(scale)s has these grades for it: %(grades)s.") % {
                "scale": f"{self.scale.name} {self.scale.version}", "grades": known,
            }  # fmt: skip
            self.add_error(f"{row}_grade", told)

    def _whole_row(self, cleaned, row, needed, optional=()):
        if any(cleaned.get(f"{row}_{name}") for name in (*needed, *optional)):
            for name in needed:
                if not cleaned.get(f"{row}_{name}") and f"{row}_{name}" not in self.errors:
                    self.add_error(f"{row}_{name}", _("Fill in the whole row, or leave all of it blank."))

    @property
    def monitoring(self):
        names = {(test.code, minute): f"{test.code}_{minute}" for test in self.tests for minute in self.minutes}
        return {key: self.cleaned_data[name] for key, name in names.items()
                if self.was_sent(name) and name in self.cleaned_data}  # fmt: skip

    @property
    def interruptions(self):
        return self._lines("stop", ("stopped", "resumed", "cause"))

    @property
    def reactions(self):
        return self._lines("reaction", ("term", "began", "grade"))

    def _lines(self, row, names):
        """The rows that hold something; a row that was not sent stays as it is stored."""
        fields = [[f"{row}{n}_{name}" for name in names] for n in range(1, MOST_ROWS + 1)]
        fields = [line for line in fields if not any(field in self.errors for field in line)]
        lines = [tuple(self.sent_or(field, self.initial.get(field)) for field in line) for line in fields]
        return [line for line in lines if line[0]]

    def typed_now(self, field):
        """Of the whole ("") what checks about it look at."""
        if field:
            return super().typed_now(field)
        return infusing.whole_of(*(self.cleaned_data.get(name) for name in WHOLE))

    # for the page: rows of bound fields

    @property
    def monitoring_rows(self):
        return [
            (test, [
                (minute, self[f"{test.code}_{minute}"], self.grades.get((test.code, minute)), self.queries.get((test.code, minute)))
                for minute in self.minutes
            ])
            for test in self.tests
        ]  # fmt: skip

    def cells_with(self, grades):
        """(id of its place, grade as it is told) of each vital sign, of `grades` by (test, minute)."""
        return [(f"grade_{cell.html_name}", grades.get((test.code, minute)))
                for test, cells in self.monitoring_rows for minute, cell, *_stored in cells]  # fmt: skip

    @property
    def interruption_rows(self):
        return self._rows("stop", ("stopped", "resumed", "cause"), INTERRUPTION_ROWS)

    @property
    def reaction_rows(self):
        rows = self._rows("reaction", ("term", "began", "grade"), REACTION_ROWS)
        shown = [
            {"cells": cells, "row": self.scale and self.scale.row_of_term(cells[0].value() or "")}
            for cells in rows["shown"]
        ]
        return rows | {"shown": shown}

    def _rows(self, row, names, least):
        """`shown`: the rows that hold something, `least` of them at least; `next`: the last possible one, which the
        page copies for a row that is added, or None."""
        rows = [[self[f"{row}{n}_{name}"] for name in names] for n in range(1, MOST_ROWS + 1)]
        filled = [n for n, line in enumerate(rows, start=1) if any(cell.value() for cell in line)]
        count = max(least, *filled, 0)
        return {"shown": rows[:count], "next": rows[-1] if count < MOST_ROWS else None, "name": f"{row}{MOST_ROWS}_"}


# --- marks and holds ---------------------------------------------------------------------------------


class TickedField(forms.MultipleChoiceField):
    """What was ticked on the page. Which of it is there is asked where it is used: meanwhile a form may have changed."""

    def __init__(self, pattern, **kwargs):
        super().__init__(required=False, **kwargs)
        self.pattern = re.compile(pattern)

    def valid_value(self, value):
        return bool(self.pattern.fullmatch(value))


FORM_SHOWN = r"[a-z]+\.[a-z]+:[0-9]{1,18}:[0-9]{1,9}:[0-9a-f]{64}"


class CheckFields(forms.Form):
    """`seen` are the forms that were shown, each with its version and the digest of its content; `chosen` those (or their fields) that are marked;
    `all` the one whose button for all its fields was pressed."""

    seen = forms.RegexField(rf"^({FORM_SHOWN}( |$))*$", widget=forms.HiddenInput, required=False, max_length=100_000)
    chosen = TickedField(r"[a-z]+\.[a-z]+:[0-9]{1,18}(:[A-Za-z][A-Za-z0-9_]{0,23})?")
    all = forms.RegexField(r"^[a-z]+\.[a-z]+:[0-9]{1,18}$", widget=forms.HiddenInput, required=False, max_length=100)


class CheckForm(CheckFields, DataForm):
    is_drafted = False  # ticks are about what is on the page now


class SignForm(CheckFields, SigningForm):
    meaning = forms.ChoiceField(label=_("Meaning of your signature"), widget=forms.RadioSelect)
    field_order = ["meaning", "password", "code"]

    def __init__(self, *args, meanings, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["meaning"].choices = [(meaning, gettext(meaning)) for meaning in meanings]
        self.fields["meaning"].initial = meanings[0]


class HoldForm(DataForm):
    step = forms.ChoiceField(label=_("What shall be done"), widget=forms.RadioSelect)
    reason = ClearTextField(
        label=_("Reason"), max_length=500, lines=2, required=False,
        help_text=_("Needed to unfreeze and to unlock."),
    )  # fmt: skip

    def __init__(self, *args, steps, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["step"].choices = steps


VISIT_AND_VERSION = r"[1-9][0-9]{0,17}:[0-9]{1,9}"


class FreezeForm(DataForm):
    """`seen` are the visits that were shown, each with its version, `chosen` those that are ticked, `patients` those of
    whom all visits shown are."""

    seen = forms.RegexField(
        rf"^({VISIT_AND_VERSION}( |$))*$", widget=forms.HiddenInput, required=False, max_length=100_000
    )
    chosen = TickedField(VISIT_AND_VERSION)
    patients = TickedField(r"[1-9][0-9]{0,17}")
    is_drafted = False


class FreezeFilter(SiteFilter):
    """Which of the visits that are ready to be frozen are shown."""

    patient = ClearTextField(required=False, label=_("Patient"), max_length=20)
    signed = forms.ChoiceField(
        required=False, label=_("Signature"),
        choices=[("", _("all")), ("yes", _("nothing left to sign")), ("no", _("not signed yet"))],
    )  # fmt: skip

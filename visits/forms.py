"""Forms about what was measured. Their fields come from the protocol."""

import re

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from trialsite.fields import (
    ClearTextField,
    StrictDateField,
    StrictDateTimeField,
    StrictDecimalField,
    StrictIntegerField,
    StrictTimeField,
    choices_with_blank,
)
from trialsite.forms import SigningForm
from trialsite.saving import DataForm
from visits.results import NotAResult, read_number, read_result

REACTION_ROWS = 4
INTERRUPTION_ROWS = 3


class ResultField(forms.CharField):
    """What is typed as the result of one test; kept as typed, judged by visits.results."""

    def __init__(self, test, **kwargs):
        self.test = test
        kwargs = {"label": test.name, "required": False, "strip": False, "help_text": test.help, **kwargs}
        if test.kind == "choice":
            choices = choices_with_blank([(choice.code, choice.label) for choice in test.choices])
            kwargs["widget"] = forms.Select(choices=choices)
        elif test.kind == "text":
            kwargs["max_length"] = 500
        else:
            # not type=number: browsers then drop silently what they do not understand, "<50" too
            attributes = {"inputmode": "decimal", "autocomplete": "off"}
            if test.possible:
                attributes |= {"min": str(test.possible[0]), "max": str(test.possible[1])}
            kwargs |= {"max_length": 20, "widget": forms.TextInput(attrs=attributes)}
        super().__init__(**kwargs)

    def clean(self, value):
        value = super().clean(value)
        try:
            result = read_result(self.test, value)
        except NotAResult as fault:
            raise ValidationError(str(fault), code="invalid") from None
        return result.typed if result else ""


class PanelForm(DataForm):
    """A panel of a visit: a field per test, named by the test's code."""

    collected_on = StrictDateField(label=_("Collected on"))
    collected_at = StrictTimeField(label=_("Time"), required=False)

    def __init__(self, *args, record, tests, stored, **kwargs):
        self.tests = [test for test in tests if not test.computed]
        initial = {
            "collected_on": record.collected_on or kwargs.pop("on", None),
            "collected_at": record.collected_at.strftime("%H:%M") if record.collected_at else "",
            "comment": record.comment,
            **{test.code: stored[test.code].typed for test in self.tests if test.code in stored},
        }
        kwargs.pop("on", None)
        super().__init__(*args, record=record, initial=initial, **kwargs)
        for test in self.tests:
            self.fields[test.code] = ResultField(test)
        self.fields["comment"] = ClearTextField(label=_("Comment"), max_length=1000, lines=2, required=False)
        if record.was_touched:  # entered before, or said to be not done, or taken back
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)

    @property
    def results(self):
        """What was typed, by test; a field that was not sent is left out."""
        return {t.code: self.cleaned_data[t.code] for t in self.tests if self.was_sent(t.code)}


class NotDoneForm(DataForm):
    not_done_because = ClearTextField(label=_("Not done because"), max_length=500)


class AttendanceForm(DataForm):
    attended_on = StrictDateField(label=_("Date of the visit"))

    def __init__(self, *args, record, **kwargs):
        super().__init__(*args, record=record, **kwargs)
        if record.state == "attended":
            self.fields["reason"] = ClearTextField(label=_("Reason for the change"), max_length=500)


class MissedVisitForm(DataForm):
    missed_because = ClearTextField(label=_("Missed because"), max_length=500)


class UnscheduledVisitForm(DataForm):
    on = StrictDateField(label=_("Date of the visit"))
    panels = forms.MultipleChoiceField(label=_("Panels that were done"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args, panels, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["panels"].choices = [(panel.code, panel.name) for panel in panels]


class RaiseQueryForm(DataForm):
    test = forms.ChoiceField(label=_("About"), required=False)
    text = ClearTextField(label=_("Question"), max_length=1000, lines=3)

    def __init__(self, *args, tests, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["test"].choices = [("", _("the whole panel")), *[(test.code, test.name) for test in tests]]


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
        super().__init__(max_length=20, **kwargs)
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
            limit = f"{test.words()} {test.unit}".strip()
            kwargs = {"label": test.name, "required": False, "initial": stored.get(test.code, ""),
                      "help_text": _("passes when %(limit)s") % {"limit": limit}}  # fmt: skip
            if test.equals:
                words = [(test.equals, test.equals), (f"not {test.equals}", _("not %s") % test.equals)]
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


class PrepareInfusionForm(DataForm):
    lot = LotField(None, label=_("Lot"), help_text=_("Only lots that are released and not expired."))
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

    def __init__(self, *args, lots, zone, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["lot"].queryset = lots
        self.fields["prepared_at"] = StrictDateTimeField(label=_("Prepared at (local time)"), zone=zone)


class InfusionForm(DataForm):
    """The infusion: times, monitoring (fields CODE_MINUTE), interruptions (stopN_*), reactions (reactionN_*)."""

    def __init__(self, *args, infusions, tests, zone, reactions, record=None, stored=None, **kwargs):
        super().__init__(*args, record=record, **kwargs)
        self.tests, self.minutes, self.zone = tests, infusions.monitoring_minutes, zone
        low, high = infusions.volume_ml
        self.fields["started_at"] = StrictDateTimeField(label=_("Start (local time)"), zone=zone)
        self.fields["stopped_at"] = StrictDateTimeField(label=_("Stop (local time)"), zone=zone)
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
        for n in range(1, INTERRUPTION_ROWS + 1):
            for name, label in (("stopped", _("Stopped (local time)")), ("resumed", _("Resumed (local time)"))):
                self.fields[f"stop{n}_{name}"] = StrictDateTimeField(label=label, zone=zone, required=False)
            self.fields[f"stop{n}_cause"] = ClearTextField(label=_("Cause"), max_length=200, required=False)
        for n in range(1, REACTION_ROWS + 1):
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

    def clean(self):
        cleaned = super().clean()
        for n in range(1, INTERRUPTION_ROWS + 1):
            self._whole_row(cleaned, f"stop{n}", needed=("stopped", "cause"), optional=("resumed",))
        for n in range(1, REACTION_ROWS + 1):
            self._whole_row(cleaned, f"reaction{n}", needed=("term", "began", "grade"))
        return cleaned

    def _whole_row(self, cleaned, row, needed, optional=()):
        if any(cleaned.get(f"{row}_{name}") for name in (*needed, *optional)):
            for name in needed:
                if not cleaned.get(f"{row}_{name}") and f"{row}_{name}" not in self.errors:
                    self.add_error(f"{row}_{name}", _("Fill in the whole row, or leave all of it blank."))

    @property
    def monitoring(self):
        names = {(test.code, minute): f"{test.code}_{minute}" for test in self.tests for minute in self.minutes}
        return {key: self.cleaned_data[name] for key, name in names.items() if self.was_sent(name)}

    @property
    def interruptions(self):
        return self._lines("stop", INTERRUPTION_ROWS, ("stopped", "resumed", "cause"))

    @property
    def reactions(self):
        return self._lines("reaction", REACTION_ROWS, ("term", "began", "grade"))

    def _lines(self, row, count, names):
        """The rows that hold something; a row that was not sent stays as it is stored."""
        fields = [[f"{row}{n}_{name}" for name in names] for n in range(1, count + 1)]
        lines = [tuple(self.sent_or(field, self.initial.get(field)) for field in line) for line in fields]
        return [line for line in lines if line[0]]

    # for the page: rows of bound fields

    @property
    def monitoring_rows(self):
        return [(test, [(minute, self[f"{test.code}_{minute}"]) for minute in self.minutes]) for test in self.tests]

    @property
    def interruption_rows(self):
        return [[self[f"stop{n}_{name}"] for name in ("stopped", "resumed", "cause")]
                for n in range(1, INTERRUPTION_ROWS + 1)]  # fmt: skip

    @property
    def reaction_rows(self):
        return [[self[f"reaction{n}_{name}"] for name in ("term", "began", "grade")]
                for n in range(1, REACTION_ROWS + 1)]  # fmt: skip


# --- marks and holds ---------------------------------------------------------------------------------


class TickedField(forms.MultipleChoiceField):
    """What was ticked on the page. Which of it is there is asked where it is used: meanwhile a form may have changed."""

    def __init__(self, pattern, **kwargs):
        super().__init__(required=False, **kwargs)
        self.pattern = re.compile(pattern)

    def valid_value(self, value):
        return bool(self.pattern.fullmatch(value))


FORM_AND_VERSION = r"[a-z]+\.[a-z]+:[0-9]{1,18}:[0-9]{1,9}"


class CheckFields(forms.Form):
    """`seen` are the forms that were shown, each with its version; `chosen` those (or their fields) that are marked;
    `all` the one whose button for all its fields was pressed."""

    seen = forms.RegexField(
        rf"^({FORM_AND_VERSION}( |$))*$", widget=forms.HiddenInput, required=False, max_length=100_000
    )
    chosen = TickedField(r"[a-z]+\.[a-z]+:[0-9]{1,18}(:[A-Za-z][A-Za-z0-9_]{0,23})?")
    all = forms.RegexField(r"^[a-z]+\.[a-z]+:[0-9]{1,18}$", widget=forms.HiddenInput, required=False, max_length=100)


class CheckForm(CheckFields, DataForm):
    pass


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


class FreezeForm(DataForm):
    chosen = TickedField(r"[0-9]{1,18}:[0-9]{1,9}")

"""Forms about laboratories and their reference ranges."""

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from patients.models import Sex
from trialsite.fields import ClearTextField, StrictDateField, StrictDecimalField, StrictIntegerField, choices_with_blank
from trialsite.forms import reason_field
from trialsite.saving import DataForm
from visits.ranges import COLUMNS, LONGEST_LIFE
from visits.units import units_of


class CodeField(ClearTextField):
    """Letters, digits, - and _; as short as a code is."""

    def clean(self, value):
        value = super().clean(value)
        if value and not (value.isascii() and value.replace("-", "").replace("_", "").isalnum()):
            raise ValidationError(_("Write a code of letters and digits, e.g. LAB01."), code="invalid")
        return value


class CreateLaboratoryForm(DataForm):
    site = forms.ModelChoiceField(None, label=_("Site"), empty_label=None)
    code = CodeField(label=_("Code"), max_length=24)
    name = ClearTextField(label=_("Name"), max_length=200)

    def __init__(self, *args, sites, may_serve_all, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["site"].queryset = sites
        if may_serve_all:
            self.fields["site"].required = False
            self.fields["site"].empty_label = _("All sites")


class ChangeLaboratoryForm(DataForm):
    name = ClearTextField(label=_("Name"), max_length=200)
    is_active = forms.BooleanField(
        label=_("In use"), required=False, help_text=_("A laboratory that is not in use is not offered for new panels.")
    )
    reason = reason_field()


def ends_earlier_field():
    return forms.BooleanField(
        label=_("End the ranges that are replaced on the day before"), required=False,
        help_text=_("Without this, a range that overlaps with one that is there is refused."),
    )  # fmt: skip


def bound_field(label):
    return StrictDecimalField(label=label, min_value=0, max_digits=18, decimal_places=4, required=False)


def age_field(label):
    return StrictIntegerField(label=label, min_value=0, max_value=LONGEST_LIFE, required=False)


def day_field(label, **kwargs):
    return StrictDateField(label=label, not_after_today=False, **kwargs)


class AddRangeForm(DataForm):
    test = forms.ChoiceField(label=_("Test"))
    unit = forms.ChoiceField(label=_("Unit"))
    sex = forms.ChoiceField(label=_("Sex"), choices=[("", _("both")), *Sex.choices], required=False)
    from_age = age_field(_("From age (years)"))
    to_age = age_field(_("To age (years)"))
    low = bound_field(_("Lower limit"))
    high = bound_field(_("Upper limit"))
    valid_from = day_field(_("Valid from"))
    valid_to = day_field(_("Valid to"), required=False, help_text=_("Blank: until further notice."))
    ends_earlier = ends_earlier_field()

    def __init__(self, *args, tests, test=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["test"].choices = choices_with_blank([(t.code, t.name) for t in tests.values()])
        units = dict.fromkeys(u.unit for t in tests.values() for u in units_of(t))
        self.fields["unit"].choices = [(unit, unit or _("without unit")) for unit in units]
        self.fields["unit"].required = "" not in units
        if test in tests:
            self.initial |= {"test": test, "unit": tests[test].unit}


class EndRangeForm(DataForm):
    valid_to = day_field(_("Last day on which it holds"))
    reason = reason_field()


class CopyRangesForm(DataForm):
    valid_from = day_field(_("First day of the copies"))


class ImportRangesForm(DataForm):
    text = forms.CharField(
        label=_("The ranges as CSV"), max_length=500_000,
        widget=forms.Textarea(attrs={"rows": 14, "class": "font-monospace", "spellcheck": "false"}),
    )  # fmt: skip
    ends_earlier = ends_earlier_field()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        words = _("Columns %(columns)s; sex F, M or blank for both; ages, dates and one of the limits may be blank.")
        self.fields["text"].help_text = words % {"columns": ", ".join(COLUMNS)}

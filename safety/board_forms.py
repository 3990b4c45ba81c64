"""The forms of the safety board: releasing a report, recommending, signing, resolving."""

from django import forms
from django.utils.translation import gettext_lazy as _

from patients.models import Blocked
from safety.models import Decision, DsmbReport
from trialsite.fields import ClearTextField, StrictDateField, choices_with_blank
from trialsite.forms import SigningForm
from trialsite.saving import DataForm

ACTION_ITEMS = 5  # lines of the form; more are recorded with another recommendation


class ReleaseForm(DataForm):
    note = ClearTextField(label=_("Note to the board"), max_length=4000, lines=4, required=False)


class PlainForm(DataForm):
    """A button: nothing is entered."""

    is_drafted = False


class RecommendationForm(DataForm):
    report = forms.ModelChoiceField(
        label=_("On the report"), queryset=DsmbReport.objects.none(), required=False,
        empty_label=_("none: recommended between reports"),
    )  # fmt: skip
    met_on = StrictDateField(label=_("Day of the meeting"))
    decision = forms.ChoiceField(label=_("Recommendation"), choices=choices_with_blank(Decision.choices))
    rationale = ClearTextField(
        label=_("Rationale"), max_length=8000, lines=5,
        help_text=_("Sponsor and sites read this: no result by treatment group."),
    )  # fmt: skip
    conditions = ClearTextField(
        label=_("What is to be changed or met"), max_length=8000, lines=3, required=False,
        help_text=_("For modifications and for a suspension."),
    )  # fmt: skip
    blocks = forms.MultipleChoiceField(
        label=_("What is suspended"), choices=Blocked.choices, required=False, widget=forms.CheckboxSelectMultiple,
        help_text=_("For a suspension. A termination stops all of it."),
    )  # fmt: skip
    lifts = forms.ModelMultipleChoiceField(
        label=_("Halts that it lifts"), queryset=None, required=False, widget=forms.CheckboxSelectMultiple
    )
    minutes = ClearTextField(
        label=_("Minutes of the closed session"), max_length=20000, lines=4, required=False,
        help_text=_("Read by those alone who read closed reports."),
    )  # fmt: skip

    def __init__(self, *args, reports, halts, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["report"].queryset = reports
        self.fields["lifts"].queryset = halts
        if not halts:
            self.fields["lifts"].help_text = _("No halt is in force.")
        self.fields["lifts"].label_from_instance = lambda halt: f"{halt.what}, {halt.opened_at:%Y-%m-%d}: {halt.reason}"
        for n in range(1, ACTION_ITEMS + 1):
            self.fields[f"item_{n}"] = ClearTextField(
                label=_("Action item %(n)s") % {"n": n}, max_length=2000, required=False
            )
            self.fields[f"responsible_{n}"] = ClearTextField(label=_("Responsible"), max_length=200, required=False)
            self.fields[f"due_{n}"] = StrictDateField(label=_("Due on"), required=False, not_after_today=False)

    def clean(self):
        cleaned = super().clean()
        for n in range(1, ACTION_ITEMS + 1):
            text, responsible = cleaned.get(f"item_{n}"), cleaned.get(f"responsible_{n}")
            if text and not responsible and f"responsible_{n}" not in self.errors:
                self.add_error(f"responsible_{n}", _("Write who is to do it."))
            if not text and (responsible or cleaned.get(f"due_{n}")) and f"item_{n}" not in self.errors:
                self.add_error(f"item_{n}", _("Write what is to be done."))
        return cleaned

    @property
    def action_items(self):
        """(text, responsible, due on) of the lines that were filled in."""
        lines = [
            tuple(self.cleaned_data[f"{name}_{n}"] for name in ("item", "responsible", "due"))
            for n in range(1, ACTION_ITEMS + 1)
        ]
        return [line for line in lines if line[0]]

    @property
    def item_rows(self):
        return [[self[f"{name}_{n}"] for name in ("item", "responsible", "due")] for n in range(1, ACTION_ITEMS + 1)]

    @property
    def main_fields(self):
        return [
            bound for bound in self.visible_fields() if not bound.name.startswith(("item_", "responsible_", "due_"))
        ]


class SignRecommendationForm(SigningForm):
    pass


class ResolutionForm(DataForm):
    resolution = ClearTextField(label=_("Resolution"), max_length=4000, lines=4)

"""The forms of coding."""

from django import forms
from django.utils.translation import gettext_lazy as _

from safety.coding.rules import Kind
from safety.models import DictionaryTerm
from trialsite.fields import ClearTextField
from trialsite.forms import SiteFilter
from trialsite.saving import DataForm
from visits.forms import TickedField


class CodeForm(DataForm):
    """One term for the words as they were seen, in the ticked records."""

    is_drafted = False

    verbatim = ClearTextField(max_length=500, widget=forms.HiddenInput)
    term = forms.ModelChoiceField(
        DictionaryTerm.objects.all(), widget=forms.HiddenInput, label=_("Term"),
        error_messages={"required": _("Choose a term."), "invalid_choice": _("Choose a term of the dictionary in use.")},
    )  # fmt: skip
    chosen = TickedField(r"[a-z_]{1,20}:[1-9][0-9]{0,17}")

    def __init__(self, *args, recodes=False, **kwargs):
        super().__init__(*args, **kwargs)
        if recodes:
            self.fields["reason"] = ClearTextField(label=_("Why the code is changed"), max_length=500)


class ApproveForm(DataForm):
    is_drafted = False

    chosen = TickedField(r"[1-9][0-9]{0,17}:[0-9]{1,9}")


class VersionForm(DataForm):
    """Take codes over into another version: those that are the same at once, the ticked ones as proposals."""

    is_drafted = False

    what = forms.ChoiceField(choices=[("restate", ""), ("recode", "")], widget=forms.HiddenInput)
    chosen = TickedField(r"[1-9][0-9]{0,17}:[0-9]{1,9}")


class CodingFilter(SiteFilter):
    """What the list of coding shows."""

    kind = forms.ChoiceField(required=False, label=_("Kind"), choices=[("", _("all")), *Kind.choices])

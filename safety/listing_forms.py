"""The filters of the listings."""

from django import forms
from django.utils.translation import gettext_lazy as _

from safety.dictionary import body_systems, told
from safety.models import Deviation
from trialsite import trial
from trialsite.fields import ClearTextField, StrictDateField
from trialsite.saving import DataForm


class ListingFilter(forms.Form):
    """All filters that a listing may have; each keeps those it names. Everything optional, nothing free but words."""

    q = ClearTextField(label=_("Words"), max_length=100, required=False)
    site = forms.ModelMultipleChoiceField(None, required=False, label=_("Site"))
    patient = ClearTextField(label=_("Patient"), max_length=20, required=False)
    arm = forms.ChoiceField(label=_("Arm"), required=False)
    test = forms.ChoiceField(label=_("Test"), required=False)
    body_system = forms.ChoiceField(label=_("Class"), required=False)
    grade = forms.ChoiceField(label=_("Grade"), required=False)
    serious = forms.ChoiceField(label=_("Serious"), required=False, choices=[("", _("all")), ("Y", _("serious only"))])
    related = forms.ChoiceField(label=_("Related"), required=False, choices=[("", _("all")), ("Y", _("related only"))])
    ongoing = forms.ChoiceField(label=_("Ongoing"), required=False, choices=[("", _("all")), ("Y", _("ongoing only"))])
    important = forms.ChoiceField(
        label=_("Important"), required=False, choices=[("", _("all")), ("Y", _("important only"))]
    )
    infusion = forms.ChoiceField(label=_("After infusion number"), required=False)
    category = forms.ChoiceField(
        label=_("Category"), required=False, choices=[("", _("all")), *Deviation._meta.get_field("category").choices]
    )
    open = forms.ChoiceField(
        label=_("Corrective action"), required=False, choices=[("", _("all")), ("Y", _("open only"))]
    )
    of = forms.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, widget=forms.HiddenInput
    )  # a patient's key
    worse = forms.ChoiceField(
        label=_("Shift"), required=False, choices=[("", _("all")), ("Y", _("worse than baseline only"))]
    )
    proposed = forms.ChoiceField(
        label=_("To be confirmed"), required=False, choices=[("", _("all")), ("Y", _("to be confirmed only"))]
    )
    since = StrictDateField(label=_("From"), required=False, not_after_today=False)
    until = StrictDateField(label=_("To"), required=False, not_after_today=False)

    def __init__(self, *args, listing, sites, sees_arms, **kwargs):
        super().__init__(*args, **kwargs)
        protocol = trial.current_protocol()
        self.fields["site"].queryset = sites
        self.fields["grade"].choices = [("", _("all")), *[(str(n), f"≥ {n}") for n in range(1, 6)]]
        self.fields["body_system"].choices = [("", _("all")), *[(name, told(name)) for name in body_systems()]]
        self.fields["test"].choices = [("", _("all")), *[(t.code, t.name) for t in protocol.tests if t.grade_rows]]
        self.fields["arm"].choices = [("", _("all")), *[(arm.code, arm.name) for arm in protocol.arms]]
        count = protocol.infusions.count if protocol.infusions else 0
        self.fields["infusion"].choices = [("", _("all")), *[(str(n), str(n)) for n in range(1, count + 1)]]
        wanted = {*listing.filters, *(["q"] if listing.text else []), *(["arm"] if sees_arms else [])}
        for name in set(self.fields) - wanted:
            del self.fields[name]
        for field in self.fields.values():
            if not hasattr(field, "choices"):
                field.widget.attrs["class"] = "form-control"
        if "site" in self.fields and len(sites) < 2:
            del self.fields["site"]

    @property
    def chosen(self):
        """What was chosen; a filter that cannot be read is left out, and said at its field."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if name not in self.errors}


class SaveViewForm(DataForm):
    name = ClearTextField(label=_("Name of the view"), max_length=80)
    is_drafted = False

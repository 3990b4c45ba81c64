"""Histories and medication, line by line."""

from functools import partial

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from patients import actions, forms
from patients.models import ArtRegimen, HivHistory, MedicalHistory, Medication
from patients.views.parts import load_patient, patient_form_context
from trialsite.forms import answer_reason
from trialsite.roles import Permission, needs, require
from trialsite.saving import Saved, answer_form

# slug: (model, form, heading)
LINES = {
    "hiv": (HivHistory, forms.HivHistoryForm, gettext_lazy("HIV history")),
    "art": (ArtRegimen, forms.ArtRegimenForm, gettext_lazy("Antiretroviral treatment")),
    "history": (MedicalHistory, forms.MedicalHistoryForm, gettext_lazy("Medical history")),
    "medication": (Medication, forms.MedicationForm, gettext_lazy("Concomitant medication")),
}
SEVERAL = ("art", "history", "medication")  # of these a patient may have any number


@needs(Permission.ENTER_DATA)
def save_line(request, pk, kind, line_pk=None):
    """Add or change a line of a history or medication list."""
    if kind not in LINES:
        raise Http404
    model, form_class, heading = LINES[kind]
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    line = get_object_or_404(model.objects.filter(patient=patient), pk=line_pk) if line_pk else None
    form = form_class(request.POST or None, record=line, about=line or patient)

    def save(form):
        saved = actions.save_line(
            model=model, patient=patient, values=form.line_values, line=line,
            version=form.cleaned_data["version"] if line else None,
            reason=form.cleaned_data.get("reason", ""), confirmed=form.confirmed, asked=form.asked, by=request.user,
        )  # fmt: skip
        if more and request.POST.get("next") == "another":
            message = _("Saved: %(line)s. Enter the next one.") % {"line": saved}
            return Saved(reverse("patients:add_line", args=[pk, kind]), saved.version, message)
        return Saved(reverse("patients:show_background", args=[pk]) + f"#{kind}", saved.version, _("Saved."))

    more = line is None and kind in SEVERAL
    withdraw = ""
    if line is not None and hasattr(line, "is_withdrawn") and not line.is_withdrawn:
        withdraw = reverse("patients:withdraw_line", args=[pk, kind, line.pk])
    context = patient_form_context(request, patient, heading, line=line, withdraw=withdraw, another=more)
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.ENTER_DATA)
def withdraw_line(request, pk, kind, line_pk):
    if kind not in SEVERAL:
        raise Http404
    model, _form, heading = LINES[kind]
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    line = get_object_or_404(model.objects.filter(patient=patient), pk=line_pk)
    context = patient_form_context(
        request, patient, _("%(list)s: mark “%(line)s” as entered in error") % {"list": heading, "line": line}
    )
    return answer_reason(
        request, line, partial(actions.withdraw_line, line=line), context,
        back=reverse("patients:show_background", args=[pk]) + f"#{kind}", said=_("Marked as an error."),
    )  # fmt: skip

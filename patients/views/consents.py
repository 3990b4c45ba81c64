"""Consents: recorded and put right."""

from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from patients import actions, forms
from patients.models import Consent
from patients.views.parts import load_patient, patient_form_context
from patients.views.patients import corrected
from trialsite.roles import Permission, needs, require
from trialsite.saving import Saved, answer_form


@needs(Permission.ENTER_DATA)
def record_consent(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    forms_there = [form for form, _version, _approved in actions.consent_forms_for(patient).values()]
    form = forms.ConsentForm(request.POST or None, forms_there=forms_there, record=patient)

    def save(form):
        actions.record_consent(patient=patient, **form.values, version=form.cleaned_data["version"], by=request.user)
        return Saved(reverse("patients:show_patient", args=[pk]), patient.version + 1, _("The consent is recorded."))

    return answer_form(request, form, "form.html", patient_form_context(request, patient, _("Informed consent")), save)


@needs(Permission.ENTER_DATA)
def correct_consent(request, pk):
    consent = get_object_or_404(Consent.objects.visible_to(request.user).select_related("patient__site"), pk=pk)
    patient = consent.patient
    require(request.user, Permission.ENTER_DATA, patient.site)
    form = forms.CorrectConsentForm(request.POST or None, record=consent)

    def save(form):
        saved = actions.correct_consent(
            consent=consent, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        after = load_patient(request.user, patient.pk)
        return Saved(reverse("patients:show_background", args=[patient.pk]), saved.version, corrected(patient, after))

    context = patient_form_context(
        request, patient, _("Correct the consent"), intro=_("Form %(version)s") % {"version": consent.form_version}
    )
    return answer_form(request, form, "form.html", context, save)

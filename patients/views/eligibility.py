"""Eligibility: each criterion with what the rules say of it."""

from django.urls import reverse
from django.utils.translation import gettext as _

from patients import actions, forms
from patients.views.parts import load_patient, patient_form_context
from trialsite.clock import today_at
from trialsite.roles import Permission, needs, require
from trialsite.saving import Saved, answer_form


@needs(Permission.DECIDE_ELIGIBILITY)
def assess_eligibility(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.DECIDE_ELIGIBILITY, patient.site)
    today = today_at(patient.site)
    criteria = patient.protocol.criteria_for(patient.sex)
    findings = [] if request.method == "POST" else actions.findings_about(patient, today)
    form = forms.EligibilityForm(
        request.POST or None, record=patient, initial={"assessed_on": today}, criteria=criteria,
        proposed={finding.criterion.code: finding.holds for finding in findings},
    )  # fmt: skip

    def save(form):
        assessment = actions.assess_eligibility(
            patient=patient, assessed_on=form.cleaned_data["assessed_on"], answers=form.answers,
            comments=form.comments, version=form.cleaned_data["version"], by=request.user,
        )  # fmt: skip
        message = _("The patient is eligible.") if assessment.is_eligible else _("The patient is not eligible.")
        return Saved(reverse("patients:show_patient", args=[pk]), patient.version + 1, message)

    def context():
        on = form.cleaned_data.get("assessed_on", today) if form.is_bound else today
        return {
            **patient_form_context(request, patient, _("Eligibility"))(),
            "rows": form.rows_with(findings or actions.findings_about(patient, on)),
            "is_exclusion": {criterion.code for criterion in patient.protocol.eligibility.exclusion},
        }

    return answer_form(request, form, "patients/assess_eligibility.html", context, save)

"""The pages of emergency unmasking: ask for one patient's arm, be told it, and read the log, which never names an arm."""

from django import forms
from django.core.paginator import Paginator
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from patients import actions
from patients.arms import TOLD_FOR, arm_position, arm_told_by
from patients.models import Unmasking, WhyUnmasked
from patients.views.parts import PER_PAGE, load_patient, strip_of
from trialsite import trial
from trialsite.fields import ClearTextField, choices_with_blank
from trialsite.forms import SigningForm, confirming
from trialsite.roles import Permission, needs, require
from trialsite.saving import Saved, answer_form


class UnmaskForm(SigningForm):
    category = forms.ChoiceField(label=gettext_lazy("Why"), choices=choices_with_blank(WhyUnmasked.choices))
    explanation = ClearTextField(
        label=gettext_lazy("Explanation"), max_length=1000, lines=3,
        help_text=gettext_lazy("The sponsor reads this. Do not name a treatment."),
    )  # fmt: skip
    field_order = ["category", "explanation", "password", "code"]


@needs(Permission.UNMASK_PATIENTS)
def unmask_patient(request, pk):
    """Ask for the arm of one patient: reason, password and second factor, each time."""
    patient = load_patient(request.user, pk)
    require(request.user, Permission.UNMASK_PATIENTS, patient.site)
    form = UnmaskForm(request.POST or None, signer=request.user)

    def save(form):
        unmasking = actions.unmask_patient(patient=patient, **form.values, by=request.user)
        return Saved(reverse("patients:show_unmasking", args=[unmasking.pk]), unmasking.version)

    def context():
        return {
            "patient": patient,
            "strip": strip_of(request.user, patient),
            "is_masked": trial.current_protocol().is_masked,
            "earlier": patient.unmaskings.select_related("unmasked_by"),
        }

    return answer_form(request, form, "patients/unmask_patient.html", context, save, confirm=confirming(request))


@needs(Permission.VIEW_UNMASKINGS)
@require_GET
def show_unmasking(request, pk):
    """One entry of the log; to the person who unmasked, and for some minutes, the arm."""
    unmaskings = Unmasking.objects.visible_to(request.user).select_related("patient__site", "unmasked_by")
    unmasking = get_object_or_404(unmaskings, pk=pk)
    patient, protocol = unmasking.patient, unmasking.patient.protocol
    arm = protocol.arm(code) if (code := arm_told_by(unmasking, request.user)) else None
    context = {
        "unmasking": unmasking,
        "patient": patient,
        "strip": strip_of(request.user, patient),
        "arm": arm,
        "arm_class": arm_position(arm.code) if arm else "",
        "product": protocol.product(arm.product) if arm and arm.product else None,
        "minutes": int(TOLD_FOR.total_seconds() / 60),
    }
    return render(request, "patients/show_unmasking.html", context)


@needs(Permission.VIEW_UNMASKINGS)
@require_GET
def list_unmaskings(request):
    unmaskings = Unmasking.objects.visible_to(request.user).select_related("patient__site", "unmasked_by")
    page = Paginator(unmaskings, PER_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "is_masked": trial.current_protocol().is_masked, "heading": _("Unmasked patients")}
    return render(request, "patients/list_unmaskings.html", context)

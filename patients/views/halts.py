"""Halts of the trial, of an arm, of a patient."""

from django.core.paginator import Paginator
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients import actions, forms
from patients.models import Halt, Patient
from patients.views.parts import PER_PAGE
from trialsite import trial
from trialsite.roles import Permission, can, needs
from trialsite.saving import Saved, answer_form


@needs(Permission.VIEW_PATIENTS, Permission.RECORD_DECISIONS)
@require_GET
def list_halts(request):
    halts = Halt.objects.visible_to(request.user).select_related("patient__site", "opened_by", "lifted_by")
    page = Paginator(halts, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "patients/list_halts.html", {"page": page})


@needs(Permission.OPEN_HALTS)
def open_halt(request):
    protocol = trial.current_protocol()
    arms = protocol.arms if can(request.user, Permission.SEE_ARM) or not protocol.is_masked else ()
    form = forms.OpenHaltForm(request.POST or None, arms=arms, patients=Patient.objects.visible_to(request.user))

    def save(form):
        values = form.values
        values["patient"] = values.pop("number")
        halt = actions.open_halt(**values, by=request.user)
        return Saved(reverse("patients:list_halts"), halt.version, _("The halt is in force."))

    context = {
        "heading": _("Open a halt"),
        "submit": _("Halt"),
        "danger": True,
        "cancel": reverse("patients:list_halts"),
    }
    return answer_form(request, form, "form.html", context, save)

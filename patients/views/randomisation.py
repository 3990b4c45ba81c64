"""Randomisation of a patient, and the list."""

from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients import actions, forms
from patients.arms import arm_position
from patients.models import AllocationList, AllocationSlot, Patient
from patients.randomisation import BadList
from patients.views.parts import load_patient, patient_form_context
from trialsite import trial
from trialsite.clock import today_at
from trialsite.roles import Permission, needs, require
from trialsite.saving import Refused, Saved, answer_form


@needs(Permission.DECIDE_ELIGIBILITY)
def randomise_patient(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.DECIDE_ELIGIBILITY, patient.site)
    today = today_at(patient.site)
    form = forms.RandomiseForm(request.POST or None, record=patient, initial={"day_0": today})

    def save(form):
        actions.randomise_patient(
            patient=patient, day_0=form.cleaned_data["day_0"], version=form.cleaned_data["version"], by=request.user
        )
        message = _("Patient %(number)s is randomised; the visits are planned.") % {"number": patient.number}
        return Saved(reverse("patients:show_patient", args=[pk]), patient.version + 1, message)

    intro = _("The next place of the randomisation list is taken. This cannot be undone.")
    planned = patient.protocol.trial.planned_patients
    if request.method == "GET" and (taken := Patient.objects.exclude(day_0=None).count()) >= planned:
        full = _("%(taken)s patients are randomised already, and the protocol plans %(planned)s.")
        intro = f"{full % {'taken': taken, 'planned': planned}} {intro}"
    context = patient_form_context(
        request, patient, _("Randomise"), submit=_("Randomise %(number)s") % {"number": patient.number}, intro=intro
    )
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.MANAGE_ALLOCATION)
@require_GET
def show_allocation(request):
    lists = AllocationList.objects.select_related("made_by").order_by("pk")
    strata = (
        AllocationSlot.objects.order_by().values("stratum")
        .annotate(total=Count("id"), taken=Count("id", filter=Q(patient__isnull=False))).order_by("stratum")
    )  # fmt: skip
    slots = AllocationSlot.objects.select_related("patient__site", "taken_by")
    page = Paginator(slots, 100).get_page(request.GET.get("page"))
    protocol = trial.current_protocol()
    for slot in page.object_list:
        slot.arm_name, slot.arm_class = protocol.arm(slot.arm).name, arm_position(slot.arm)
    context = {"lists": lists, "strata": strata, "page": page, "protocol": protocol}
    return render(request, "patients/show_allocation.html", context)


@needs(Permission.MANAGE_ALLOCATION)
def make_allocation_list(request):
    form = forms.MakeListForm(request.POST or None)

    def save(form):
        made = actions.make_allocation_list(**form.values, by=request.user)
        message = _("The list is made; its digest is %(sha256)s.") % {"sha256": made.sha256[:16]}
        return Saved(reverse("patients:show_allocation"), 1, message)

    context = {"heading": _("Make the randomisation list"), "cancel": reverse("patients:show_allocation")}
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.MANAGE_ALLOCATION)
def import_allocation_list(request):
    form = forms.ImportListForm(request.POST or None)

    def save(form):
        try:
            actions.import_allocation_list(text=form.cleaned_data["text"], by=request.user)
        except BadList as bad:
            raise Refused({"text": [_cell_text(cell) for cell in bad.cells[:20]]}) from None
        return Saved(reverse("patients:show_allocation"), 1, _("The list is imported."))

    context = {"heading": _("Import a randomisation list"), "cancel": reverse("patients:show_allocation")}
    return answer_form(request, form, "form.html", context, save)


def _cell_text(cell):
    return _("Row %(row)s, column %(column)s: %(expected)s.") % {
        "row": cell.row, "column": cell.column, "expected": cell.expected,
    }  # fmt: skip

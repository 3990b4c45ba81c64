"""From the list of patients to the end: find, screen, put right, record the end."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from patients import actions, forms
from patients.arms import arms_seen_by
from patients.models import TRANSITIONS, Patient, State
from patients.views.parts import PER_PAGE, load_patient, patient_form_context, strip_of, visible_sites
from trialsite.roles import Permission, needs, require
from trialsite.saving import Saved, answer_form


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_patients(request):
    sites, states = request.GET.getlist("site"), request.GET.getlist("state")
    patients = Patient.objects.visible_to(request.user).select_related("site")
    chosen_sites = [int(pk) for pk in sites if pk.isascii() and pk.isdigit() and len(pk) < 10]
    if chosen_sites:
        patients = patients.filter(site__in=chosen_sites)
    chosen_states = [state for state in states if state in State.values]
    if chosen_states:
        patients = patients.filter(state__in=chosen_states)
    page = Paginator(patients, PER_PAGE).get_page(request.GET.get("page"))
    arms = arms_seen_by(request.user, page.object_list)
    for patient in page.object_list:
        patient.strip = strip_of(request.user, patient, arms.get(patient.pk, ""))
    context = {
        "page": page,
        "counts": counts_by_state(request.user),
        "sites": visible_sites(request.user),
        "states": State.choices,
        "chosen_sites": chosen_sites,
        "chosen_states": chosen_states,
        "find_form": forms.FindPatientForm(),
    }
    return render(request, "patients/list_patients.html", context)


def counts_by_state(user):
    counts = dict(
        Patient.objects.visible_to(user)
        .order_by()
        .values_list("state")
        .annotate(n=Count("id"))
        .values_list("state", "n")
    )
    return [(label, counts.get(state, 0)) for state, label in State.choices]


@needs(Permission.VIEW_PATIENTS)
@require_POST
def find_patient(request):
    """Go to a patient by number; by POST, so that no number stands in an address or a log."""
    form = forms.FindPatientForm(request.POST)
    number = form.cleaned_data["number"].strip() if form.is_valid() else ""
    patient = Patient.objects.visible_to(request.user).filter(number=number).first()
    if patient is None:
        messages.error(request, _("There is no patient with this number."))
        return redirect("patients:list_patients")
    return redirect("patients:show_patient", pk=patient.pk)


@needs(Permission.ENTER_DATA)
def screen_patient(request):
    sites = visible_sites(request.user, Permission.ENTER_DATA)
    form = forms.ScreenPatientForm(request.POST or None, sites=sites)

    def save(form):
        patient = actions.screen_patient(**form.values, by=request.user)
        message = _("Patient %(number)s is in screening.") % {"number": patient.number}
        return Saved(reverse("patients:show_patient", args=[patient.pk]), patient.version, message)

    context = {
        "heading": _("Screen a patient"),
        "submit": _("Start screening"),
        "cancel": reverse("patients:list_patients"),
    }
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.ENTER_DATA)
def correct_person(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    form = forms.PersonForm(
        request.POST or None, record=patient, initial={"birth_date": patient.birth_date, "sex": patient.sex}
    )

    def save(form):
        saved = actions.correct_person(
            patient=patient, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("patients:show_background", args=[pk]), saved.version, corrected(patient, saved))

    context = patient_form_context(request, patient, _("Correct date of birth or sex"))
    return answer_form(request, form, "form.html", context, save)


def corrected(before, after):
    """What is told after a correction: also that the patient is to be assessed again."""
    if before.state == State.ELIGIBLE and after.state == State.SCREENING:
        return _("Corrected. Eligibility rests on this: assess it again.")
    return _("Corrected.")


@needs(Permission.ENTER_DATA)
def record_disposition(request, pk):
    patient = load_patient(request.user, pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    choices = [
        s for s in State if s in TRANSITIONS[State(patient.state)] and s not in (State.ELIGIBLE, State.SCREENING)
    ]
    choices = [s for s in choices if s != State.RANDOMISED]
    form = forms.DispositionForm(request.POST or None, choices=choices, record=patient)

    def save(form):
        actions.record_disposition(
            patient=patient, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("patients:show_patient", args=[pk]), patient.version + 1, _("Recorded."))

    context = patient_form_context(request, patient, _("End of screening or of the trial"))
    return answer_form(request, form, "form.html", context, save)

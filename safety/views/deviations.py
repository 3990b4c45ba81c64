"""Pages about deviations: what was recorded, what the system sees and nobody has judged, and the judging."""

from functools import partial

from django.core.paginator import Paginator
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients.models import Patient
from patients.views import PER_PAGE, load_patient, strip_of, visible_sites
from safety import actions
from safety.forms import DeviationFilter, DeviationForm, DismissalForm
from safety.listings.table import address_of
from safety.models import CATEGORIES, Deviation, DismissedProposal
from safety.proposals import proposals_of, unjudged_among, unjudged_of
from trialsite.clock import today_at
from trialsite.forms import answer_reason
from trialsite.roles import Permission, can, needs, require, sites_where
from trialsite.saving import Saved, answer_form

SHOWN_DISMISSED = 20


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_deviations(request):
    """The address above those of single deviations: the listing has what was recorded."""
    chosen = dict(request.GET.lists())
    if "patient" in chosen:
        chosen["of"] = chosen.pop("patient")
    return redirect(address_of("deviations", **chosen))


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_proposals(request):
    """What the system sees and nobody has judged yet; below it, what was judged to be no deviation of late."""
    form = DeviationFilter(request.GET, sites=visible_sites(request.user))
    chosen, user = form.chosen, request.user
    patients = Patient.objects.visible_to(user)
    dismissed = DismissedProposal.objects.visible_to(user).filter(is_withdrawn=False)
    if chosen.get("site"):
        patients = patients.filter(site=chosen["site"])
        dismissed = dismissed.filter(patient__site=chosen["site"])
    if one := chosen_patient(request):
        patients, dismissed = patients.filter(pk=one), dismissed.filter(patient=one)
    waiting = [
        row_of(patient, proposal)
        for patient, proposal in unjudged_among(patients)
        if chosen.get("category") in (None, "", proposal.category)
        and (proposal.is_important or not chosen.get("important"))
    ]
    judged_at = sites_where(user, Permission.RECORD_DEVIATIONS)
    page = Paginator(waiting, PER_PAGE).get_page(request.GET.get("page"))
    for row in page.object_list:
        row["may_judge"] = judged_at is None or row["patient"].site_id in judged_at
    dismissed = list(dismissed.select_related("patient__site", "dismissed_by")[:SHOWN_DISMISSED])
    for line in dismissed:
        line.may_judge = judged_at is None or line.patient.site_id in judged_at
    important = sum(row["proposal"].is_important for row in waiting)
    context = {"page": page, "form": form, "count": len(waiting), "important": important, "dismissed": dismissed}
    return render(request, "safety/list_proposals.html", context)


def chosen_patient(request):
    """The key of the one patient that a listing is asked for, or None."""
    key = request.GET.get("patient", "")
    return int(key) if key.isascii() and key.isdigit() and len(key) < 10 else None


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_deviations_of_patient(request, pk):
    """The card on the patient's page, which fetches it: to work out the proposals would make that page too dear."""
    patient = load_patient(request.user, pk)
    context = {
        "patient": patient,
        "deviations": Deviation.objects.visible_to(request.user).filter(patient=patient),
        "unjudged": len(unjudged_of(patient)),
        "may_record": can(request.user, Permission.RECORD_DEVIATIONS, patient.site) and not patient.is_held,
    }
    return render(request, "safety/_deviations_of_patient.html", context)


def row_of(patient, proposal):
    """A proposal as the listing shows it."""
    return {"patient": patient, "proposal": proposal, "category": CATEGORIES[proposal.category]}


def deviation_context(request, patient, heading, **more):
    """The context of a page about a deviation, worked out when the page is shown."""
    context = {
        "patient": patient,
        "heading": heading,
        "cancel": reverse("patients:show_patient", args=[patient.pk]),
        **more,
    }
    return lambda: {"strip": strip_of(request.user, patient), **context}


def waiting_proposal(request, patient):
    """The proposal that the address names, or None when it names none; one that does not wait is not there."""
    key = request.GET.get("proposal", "")
    if not key:
        return None
    proposal = proposal_named(patient, key)
    if proposal is None:
        raise Http404
    return proposal


def proposal_named(patient, key):
    """The proposal with this key that waits for a judgement, or None."""
    return next((proposal for proposal in unjudged_of(patient) if proposal.key == key), None) if key else None


@needs(Permission.RECORD_DEVIATIONS)
def record_deviation(request, patient_pk):
    """By hand, or from a proposal: then the form comes filled with what the system saw."""
    patient = load_patient(request.user, patient_pk)
    require(request.user, Permission.RECORD_DEVIATIONS, patient.site)
    proposal = waiting_proposal(request, patient) if request.method == "GET" else None
    initial = {"discovered_on": today_at(patient.site)}
    if proposal:
        initial |= {
            "began_on": proposal.on, "category": proposal.category.value, "is_important": proposal.is_important,
            "proposal_key": proposal.key,
            "visit": patient.visits.filter(code=proposal.visit).first(),
        }  # fmt: skip
    form = DeviationForm(request.POST or None, patient=patient, initial=initial)

    def save(form):
        deviation = actions.record_deviation(
            patient=patient, values=form.deviation_values, proposal_key=form.cleaned_data["proposal_key"],
            by=request.user,
        )  # fmt: skip
        location = reverse("safety:show_deviation", args=[deviation.pk])
        return Saved(location, deviation.version, _("The deviation is recorded."))

    def context():
        shown = proposal or (proposal_named(patient, request.POST.get("proposal_key")) if form.is_bound else None)
        back = {"cancel": reverse("safety:list_proposals")} if shown else {}
        return deviation_context(request, patient, _("Record a deviation"), proposal=shown, **back)()

    return answer_form(request, form, "safety/deviation_form.html", context, save)


@needs(Permission.RECORD_DEVIATIONS)
def dismiss_proposal(request, patient_pk):
    patient = load_patient(request.user, patient_pk)
    require(request.user, Permission.RECORD_DEVIATIONS, patient.site)
    proposal = waiting_proposal(request, patient) if request.method == "GET" else None
    form = DismissalForm(request.POST or None, initial={"proposal_key": proposal.key if proposal else ""})
    back = reverse("safety:list_proposals")

    def save(form):
        dismissed = actions.dismiss_proposal(
            patient=patient, proposal_key=form.cleaned_data["proposal_key"], reason=form.cleaned_data["reason"],
            by=request.user,
        )  # fmt: skip
        return Saved(back, dismissed.version, _("It is kept as no deviation, with your reason."))

    context = deviation_context(
        request, patient, _("Not a deviation"), proposal=proposal, cancel=back, title=_("Proposals")
    )
    return answer_form(request, form, "safety/dismissal_form.html", context, save)


@needs(Permission.RECORD_DEVIATIONS)
def restore_proposal(request, pk):
    dismissed = get_object_or_404(
        DismissedProposal.objects.visible_to(request.user).select_related("patient__site"), pk=pk
    )
    require(request.user, Permission.RECORD_DEVIATIONS, dismissed.patient.site)
    back = reverse("safety:list_proposals")
    context = deviation_context(
        request, dismissed.patient, _("Propose again"), intro=dismissed.seen_sentence, cancel=back, title=_("Proposals")
    )
    return answer_reason(
        request, dismissed, partial(actions.restore_proposal, dismissed=dismissed), context,
        back=back, said=_("It is proposed again if it still holds."),
    )  # fmt: skip


def load_deviation(user, pk):
    deviations = Deviation.objects.visible_to(user).select_related("patient__site", "visit", "reported_by")
    return get_object_or_404(deviations, pk=pk)


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_deviation(request, pk):
    deviation = load_deviation(request.user, pk)
    patient = deviation.patient
    may_change = (
        can(request.user, Permission.RECORD_DEVIATIONS, patient.site)
        and not deviation.is_withdrawn and not patient.is_held
    )  # fmt: skip
    seen_now = proposals_of(patient).get(deviation.proposal_key) if deviation.proposal_key else None
    context = deviation_context(
        request, patient, deviation.get_category_display(), deviation=deviation, may_change=may_change,
        seen_now=seen_now, is_as_seen=seen_now is not None and seen_now.sentence.stored() == deviation.seen,
    )  # fmt: skip
    return render(request, "safety/show_deviation.html", context())


@needs(Permission.RECORD_DEVIATIONS)
def change_deviation(request, pk):
    deviation = load_deviation(request.user, pk)
    patient = deviation.patient
    require(request.user, Permission.RECORD_DEVIATIONS, patient.site)
    form = DeviationForm(request.POST or None, record=deviation, patient=patient)

    def save(form):
        saved = actions.change_deviation(
            deviation=deviation, values=form.deviation_values, version=form.cleaned_data["version"],
            reason=form.cleaned_data["reason"], by=request.user,
        )  # fmt: skip
        return Saved(reverse("safety:show_deviation", args=[pk]), saved.version, _("The change is saved."))

    back = reverse("safety:show_deviation", args=[pk])
    context = deviation_context(request, patient, _("Change the deviation"), deviation=deviation, cancel=back)
    return answer_form(request, form, "safety/deviation_form.html", context, save)


@needs(Permission.RECORD_DEVIATIONS)
def withdraw_deviation(request, pk):
    deviation = load_deviation(request.user, pk)
    require(request.user, Permission.RECORD_DEVIATIONS, deviation.patient.site)
    cancel = reverse("safety:show_deviation", args=[pk])
    context = deviation_context(
        request, deviation.patient, _("Mark the deviation as entered in error"), cancel=cancel, title=_("Deviation")
    )
    return answer_reason(
        request, deviation, partial(actions.withdraw_deviation, deviation=deviation), context,
        back=address_of("deviations"), said=_("The deviation is marked as an error."),
    )  # fmt: skip


@needs(Permission.RECORD_DEVIATIONS)
@require_GET
def show_unjudged(request):
    """The section of the start page, which asks for it once it is shown."""
    from safety.home import deviations_to_judge

    section = deviations_to_judge(request.user, request.GET)
    return render(request, "_work_list.html", {"section": section})

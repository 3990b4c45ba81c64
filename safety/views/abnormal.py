"""Pages about what proposes an adverse event, graded results and reactions to infusions, and the judging."""

from functools import partial

from django.core.paginator import Paginator
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from patients.models import Patient
from patients.views import PER_PAGE, visible_sites
from safety import actions
from safety.abnormal_results import proposal_of, seen_told, unjudged_results
from safety.forms import DeclineResultForm, ResultOfEventForm
from safety.models import ActionTaken, AdverseEvent, DeclinedResult, Relationship
from safety.views.adverse_events import event_context, event_form
from safety.views.deviations import chosen_patient
from trialsite.clock import day_at
from trialsite.forms import SiteFilter, answer_reason
from trialsite.roles import Permission, needs, require, sites_where, within_sites
from trialsite.saving import Saved, answer_form
from visits.grading import event_rows
from visits.models import Infusion, Interruption, Measurement, Reaction

SHOWN_DECLINED = 20
# what may propose an event, as addresses name it: where it is found, with what is told of it
KINDS = {
    "measurement": (Measurement, ("patient__site", "panel__visit", "infusion__visit")),
    "reaction": (Reaction, ("patient__site", "infusion__visit")),
}


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def list_abnormal_results(request):
    """What nobody has judged yet; below it, what was declined of late."""
    form = SiteFilter(request.GET, sites=visible_sites(request.user, Permission.VIEW_ADVERSE_EVENTS))
    chosen = form.chosen
    patients = within_sites(Patient.objects.all(), request.user, Permission.VIEW_ADVERSE_EVENTS, "site")
    declined = DeclinedResult.objects.visible_to(request.user).filter(is_withdrawn=False)
    if chosen.get("site"):
        patients, declined = patients.filter(site=chosen["site"]), declined.filter(patient__site=chosen["site"])
    if one := chosen_patient(request):
        patients, declined = patients.filter(pk=one), declined.filter(patient=one)
    waiting = unjudged_results(patients)
    page = Paginator(waiting, PER_PAGE).get_page(request.GET.get("page"))
    judged_at = sites_where(request.user, Permission.REPORT_ADVERSE_EVENTS)
    rows = [
        {
            "proposal": p, "may_judge": judged_at is None or p.patient.site_id in judged_at,
            "steps": {step: address_of_step(step, p.seen) for step in ("report", "belongs", "decline")},
        }
        for p in page.object_list
    ]  # fmt: skip
    declined = list(
        declined.select_related(
            "patient__site", "judged_by", "measurement__panel", "measurement__infusion__visit", "reaction__infusion"
        )[:SHOWN_DECLINED]
    )
    for line in declined:
        line.told, line.is_corrected = seen_told(line.seen), line.seen.grade != line.grade
        line.may_judge = judged_at is None or line.patient.site_id in judged_at
    context = {"page": page, "rows": rows, "form": form, "count": len(waiting), "declined": declined}
    return render(request, "safety/list_abnormal_results.html", context)


STEPS = {"report": "report_proposed_event", "belongs": "add_result_to_event", "decline": "decline_result"}


def address_of_step(step, seen):
    kind = next(kind for kind, (model, _more) in KINDS.items() if isinstance(seen, model))
    return reverse(f"safety:{STEPS[step]}", args=[kind, seen.pk])


@needs(Permission.REPORT_ADVERSE_EVENTS)
@require_GET
def show_abnormal_results(request):
    """The section of the start page, which asks for it once it is shown."""
    from safety.home import results_to_judge

    return render(request, "_work_list.html", {"section": results_to_judge(request.user, request.GET)})


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def count_abnormal_results(request, patient_pk):
    """How much of a patient waits, for pages of the patient, which fetch it."""
    patients = within_sites(Patient.objects.all(), request.user, Permission.VIEW_ADVERSE_EVENTS, "site")
    patient = get_object_or_404(patients, pk=patient_pk)
    waiting = len(unjudged_results(Patient.objects.filter(pk=patient.pk)))
    return render(request, "safety/count_abnormal_results.html", {"patient": patient, "waiting": waiting})


def load_proposal(request, kind, pk):
    """(result or reaction, its open proposal or None). To show the page of one that is not open any more is 404; sending it is
    told why."""
    if kind not in KINDS:
        raise Http404
    model, more = KINDS[kind]
    seen = get_object_or_404(model.objects.visible_to(request.user).select_related(*more), pk=pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, seen.patient.site)
    proposal = proposal_of(seen)
    if proposal is None and request.method == "GET":
        raise Http404
    return seen, proposal


def judging_context(request, seen, proposal, heading, **more):
    back = reverse("safety:list_abnormal_results")
    intro = told(proposal) if proposal else ""
    return event_context(
        request, seen.patient, heading, intro=intro, cancel=back, title=_("Results and reactions to judge"), **more
    )


def told(proposal):
    """What was seen and its grade in one sentence."""
    facts = {"seen": proposal.told, "day": proposal.on, "visit": proposal.visit.code, "grade": f"{proposal.grade}?" if proposal.is_proposed else proposal.grade,
             "scale": proposal.scale, "words": proposal.words}  # fmt: skip
    if not proposal.words:
        return _("%(seen)s on %(day)s, %(visit)s: grade %(grade)s") % facts
    sentence = _("%(seen)s on %(day)s, %(visit)s: grade %(grade)s by %(scale)s (%(words)s)") % facts
    scale, _rows = event_rows(proposal.patient.protocol, proposal.event) or (None, [])
    if scale is None or f"{scale.name} {scale.version}" == proposal.scale:
        return sentence
    return " ".join([sentence, _("The event is graded by %(scale)s: compare its words.") % {
        "scale": f"{scale.name} {scale.version}"
    }])  # fmt: skip


@needs(Permission.REPORT_ADVERSE_EVENTS)
def report_proposed_event(request, kind, pk):
    """The form of an adverse event, filled in with what the result or the reaction says."""
    seen, proposal = load_proposal(request, kind, pk)
    initial = initial_of(proposal) if proposal else {}
    form = event_form(request, seen.patient, about=seen, initial=initial)

    def save(form):
        event = actions.report_proposed_event(
            seen=seen, values=form.event_values, confirmed=form.confirmed, asked=form.asked, by=request.user
        )
        return Saved(reverse("safety:show_adverse_event", args=[event.pk]), event.version, _("The event is reported."))

    context = judging_context(request, seen, proposal, _("Report an adverse event"))
    return answer_form(request, form, "safety/adverse_event_form.html", context, save)


def initial_of(proposal):
    """What the record says of the event."""
    known = {
        "term": proposal.event,
        "grade": f"{proposal.grade}?" if proposal.is_proposed else proposal.grade,
        "began_on": proposal.on,
    }
    if proposal.is_reaction:
        return known | _of_reaction(proposal.seen)
    m, site = proposal.seen, proposal.patient.site
    started = Infusion.objects.filter(patient=m.patient_id).values_list("number", "started_at")
    before = [number for number, at in started if day_at(site, at) <= m.collected_on]
    return known | {
        "infusion_number": max(before, default=None), "aware_at": (m.panel and m.panel.entered_at) or timezone.now(),
    }  # fmt: skip


def _of_reaction(reaction):
    """Its infusion cannot be excluded as the cause. What was done with the infusion is known where it was interrupted from
    then on, or given whole without a pause; who gave it was there."""
    infusion, more = reaction.infusion, {}
    pauses = Interruption.objects.filter(infusion=infusion, is_withdrawn=False).values_list("stopped_at", flat=True)
    if any(stopped_at >= reaction.began_at for stopped_at in pauses):
        more = {"action_taken": ActionTaken.INTERRUPTED}
    elif not pauses and infusion.given_percent == 100:
        more = {"action_taken": ActionTaken.NOT_CHANGED}
    return {
        "infusion_number": infusion.number, "relationship": Relationship.POSSIBLE, "aware_at": reaction.began_at, **more,
    }  # fmt: skip


@needs(Permission.REPORT_ADVERSE_EVENTS)
def add_result_to_event(request, kind, pk):
    seen, proposal = load_proposal(request, kind, pk)
    events = AdverseEvent.objects.visible_to(request.user).filter(patient=seen.patient, is_withdrawn=False)
    form = ResultOfEventForm(request.POST or None, events=events)

    def save(form):
        event = form.cleaned_data["event"]
        actions.add_result_to_event(seen=seen, event=event, by=request.user)
        return Saved(reverse("safety:show_adverse_event", args=[event.pk]), None, _("It belongs to the event."))

    context = judging_context(request, seen, proposal, _("Belongs to an event"), submit=_("Save"))
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.REPORT_ADVERSE_EVENTS)
def decline_result(request, kind, pk):
    seen, proposal = load_proposal(request, kind, pk)
    form = DeclineResultForm(request.POST or None)

    def save(form):
        actions.decline_result(seen=seen, reason=form.cleaned_data["reason"], by=request.user)
        back = reverse("safety:list_abnormal_results")
        return Saved(back, None, _("It is kept as no adverse event, with your reason."))

    context = judging_context(request, seen, proposal, _("No adverse event"), submit=_("No adverse event"))
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.REPORT_ADVERSE_EVENTS)
def restore_result(request, pk):
    declined = get_object_or_404(DeclinedResult.objects.visible_to(request.user).select_related("patient__site"), pk=pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, declined.patient.site)
    back = reverse("safety:list_abnormal_results")
    context = event_context(
        request,
        declined.patient,
        _("Propose again"),
        intro=declined.reason,
        cancel=back,
        title=_("Results and reactions to judge"),
    )
    return answer_reason(
        request, declined, partial(actions.restore_result, declined=declined), context,
        back=back, said=_("It is proposed again if it still holds."),
    )  # fmt: skip

"""Pages about graded results that propose an adverse event, and the judging."""

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
from safety.abnormal_results import proposal_of, unjudged_results
from safety.forms import DeclineResultForm, ResultOfEventForm
from safety.models import AdverseEvent, DeclinedResult
from safety.views.adverse_events import event_context, event_form
from safety.views.deviations import chosen_patient
from trialsite import trial
from trialsite.clock import day_at
from trialsite.forms import SiteFilter, answer_reason
from trialsite.roles import Permission, needs, require, sites_where, within_sites
from trialsite.saving import Saved, answer_form
from trialsite.templatetags.trial import unit_text
from visits.models import Infusion, Measurement

SHOWN_DECLINED = 20


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def list_abnormal_results(request):
    """The graded results that nobody has judged yet; below them, what was declined of late."""
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
    rows = [{"proposal": p, "may_judge": judged_at is None or p.patient.site_id in judged_at} for p in page.object_list]
    declined = list(declined.select_related("patient__site", "judged_by", "measurement")[:SHOWN_DECLINED])
    for line in declined:
        line.test = trial.protocol(line.protocol_version).test(line.measurement.test)
        line.may_judge = judged_at is None or line.patient.site_id in judged_at
    context = {"page": page, "rows": rows, "form": form, "count": len(waiting), "declined": declined}
    return render(request, "safety/list_abnormal_results.html", context)


@needs(Permission.REPORT_ADVERSE_EVENTS)
@require_GET
def show_abnormal_results(request):
    """The section of the start page, which asks for it once it is shown."""
    from safety.home import results_to_judge

    return render(request, "_work_list.html", {"section": results_to_judge(request.user, request.GET)})


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def count_abnormal_results(request, patient_pk):
    """How many of a patient's results wait, for the patient's page, which fetches it."""
    patients = within_sites(Patient.objects.all(), request.user, Permission.VIEW_ADVERSE_EVENTS, "site")
    patient = get_object_or_404(patients, pk=patient_pk)
    waiting = len(unjudged_results(Patient.objects.filter(pk=patient.pk)))
    return render(request, "safety/count_abnormal_results.html", {"patient": patient, "waiting": waiting})


def load_proposal(request, pk):
    """(result, its open proposal or None). To show the page of one that is not open any more is 404; sending it is told why."""
    measured = Measurement.objects.visible_to(request.user)
    measured = measured.select_related("patient__site", "panel__visit", "infusion__visit")
    m = get_object_or_404(measured, pk=pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, m.patient.site)
    proposal = proposal_of(m)
    if proposal is None and request.method == "GET":
        raise Http404
    return m, proposal


def judging_context(request, m, proposal, heading, **more):
    back = reverse("safety:list_abnormal_results")
    intro = told(proposal) if proposal else ""
    return event_context(request, m.patient, heading, intro=intro, cancel=back, title=_("Results to judge"), **more)


def told(proposal):
    """A result and its grade in one sentence."""
    m = proposal.measurement
    return _("%(test)s %(typed)s %(unit)s on %(day)s, %(visit)s: grade %(grade)s (%(words)s)") % {
        "test": proposal.test.name, "typed": m.typed, "unit": unit_text(proposal.unit), "day": m.collected_on,
        "visit": proposal.visit.code, "grade": f"{m.grade}?" if m.grade_is_to_confirm else m.grade, "words": proposal.words,
    }  # fmt: skip


@needs(Permission.REPORT_ADVERSE_EVENTS)
def report_proposed_event(request, pk):
    """The form of an adverse event, filled in with what the result says."""
    m, proposal = load_proposal(request, pk)
    patient = m.patient
    initial = initial_of(m, proposal) if proposal else {}
    form = event_form(request, patient, about=m, initial=initial)

    def save(form):
        event = actions.report_proposed_event(
            measurement=m, values=form.event_values, confirmed=form.confirmed, asked=form.asked, by=request.user
        )
        return Saved(reverse("safety:show_adverse_event", args=[event.pk]), event.version, _("The event is reported."))

    context = judging_context(request, m, proposal, _("Report an adverse event"))
    return answer_form(request, form, "safety/adverse_event_form.html", context, save)


def initial_of(m, proposal):
    """What the result says of the event: its term, its grade, its onset, and after which infusion it came."""
    site = m.patient.site
    started = Infusion.objects.filter(patient=m.patient_id).values_list("number", "started_at")
    before = [number for number, at in started if day_at(site, at) <= m.collected_on]
    return {
        "term": proposal.event,
        "grade": m.grade,
        "began_on": m.collected_on,
        "infusion_number": max(before, default=None),
        "aware_at": (m.panel and m.panel.entered_at) or timezone.now(),
    }


@needs(Permission.REPORT_ADVERSE_EVENTS)
def add_result_to_event(request, pk):
    m, proposal = load_proposal(request, pk)
    events = AdverseEvent.objects.visible_to(request.user).filter(patient=m.patient, is_withdrawn=False)
    form = ResultOfEventForm(request.POST or None, events=events)

    def save(form):
        actions.add_result_to_event(measurement=m, event=form.cleaned_data["event"], by=request.user)
        event = form.cleaned_data["event"]
        return Saved(reverse("safety:show_adverse_event", args=[event.pk]), None, _("The result belongs to the event."))

    context = judging_context(request, m, proposal, _("Belongs to an event"), submit=_("Save"))
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.REPORT_ADVERSE_EVENTS)
def decline_result(request, pk):
    m, proposal = load_proposal(request, pk)
    form = DeclineResultForm(request.POST or None)

    def save(form):
        actions.decline_result(measurement=m, reason=form.cleaned_data["reason"], by=request.user)
        back = reverse("safety:list_abnormal_results")
        return Saved(back, None, _("It is kept as no adverse event, with your reason."))

    context = judging_context(request, m, proposal, _("No adverse event"), submit=_("No adverse event"))
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.REPORT_ADVERSE_EVENTS)
def restore_result(request, pk):
    declined = get_object_or_404(DeclinedResult.objects.visible_to(request.user).select_related("patient__site"), pk=pk)
    require(request.user, Permission.REPORT_ADVERSE_EVENTS, declined.patient.site)
    back = reverse("safety:list_abnormal_results")
    context = event_context(
        request, declined.patient, _("Propose again"), intro=declined.reason, cancel=back, title=_("Results to judge")
    )
    return answer_reason(
        request, declined, partial(actions.restore_result, declined=declined), context,
        back=back, said=_("It is proposed again if it still holds."),
    )  # fmt: skip

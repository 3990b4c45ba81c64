"""What an infusion that is recorded late, or corrected, means for adverse events that were entered earlier: the only place
that works it out, in the transaction that stores the infusion (settings.AFTER_INFUSION). In a trial without infusions the
treatment begins with day 0, which the randomisation sets (settings.AFTER_ALLOCATION).

Proposals of deviations, listings and reports need nothing here: they count days when somebody looks."""

from patients.models import Patient
from safety.actions.adverse_events import soft_problems_of, surroundings_of
from safety.actions.serious import follow_case
from safety.actions.stopping import watch_after_infusion, watch_after_treatment
from safety.cases import days_since, was_treated_before
from safety.consistency import problems_within
from safety.models import AdverseEvent, FactCause, SeriousCase
from trialsite import trial
from trialsite.clock import day_at
from visits.actions import raise_record_queries
from visits.models import Infusion, Query, QueryState

# what an infusion can make untrue of an event that was consistent when it was saved, or ask about it
BY_ORDER = {"event_before_infusion", "event_infusion_unknown", "event_related_untreated", "event_not_given_again",
            "event_given_again"}  # fmt: skip


def follow_infusion(*, infusion, began_before=None, by):
    """After an infusion was recorded, or corrected: `began_before` is when it had begun until now, None for a new one.

    Whether the product is suspected, and whether the sponsor's judgement still holds, is worked out anew for each case; an
    event that now contradicts the order of time gets a query; stopping rules, which count from infusions, are evaluated."""
    if infusion.started_at != began_before:
        _follow_cases(infusion, began_before, by)
        _ask_about_order(infusion.patient_id, by)
    watch_after_infusion(infusion=infusion, by=by)


def follow_allocation(*, patient, by):
    """After a patient was randomised in a trial without infusions: the same, for events that began on day 0 or later."""
    if trial.protocol(patient.protocol_version).infusions:
        return
    cases = SeriousCase.objects.filter(patient=patient).select_related("event__patient__site").order_by("pk")
    for case in cases:
        is_now_treated = was_treated_before(case.event)
        follow_case(event=case.event, cause=FactCause.RANDOMISED, is_about_other_facts=is_now_treated, by=by)
    _ask_about_order(patient.pk, by)
    watch_after_treatment(patient=patient, by=by)


def _follow_cases(infusion, began_before, by):
    cases = SeriousCase.objects.filter(patient=infusion.patient_id).select_related("event__patient__site")
    for case in cases.order_by("pk"):
        event, site = case.event, case.event.patient.site
        others = Infusion.objects.filter(patient=event.patient_id).exclude(pk=infusion.pk)
        days = [day_at(site, at) for at in others.values_list("started_at", flat=True)]
        before = days + ([day_at(site, began_before)] if began_before else [])
        now = [*days, day_at(site, infusion.started_at)]
        is_nearer = days_since(event.began_on, before) != days_since(event.began_on, now)
        follow_case(event=event, cause=FactCause.INFUSION, is_about_other_facts=is_nearer, by=by)


def _ask_about_order(patient, by):
    patient = Patient.objects.select_related("site").get(pk=patient)
    events = list(AdverseEvent.objects.filter(patient=patient, is_withdrawn=False).order_by("pk"))
    if not events:
        return
    around = surroundings_of(patient)
    label = AdverseEvent._meta.label_lower
    queries = Query.objects.filter(record=label, record_id__in=[e.pk for e in events], check_code__in=BY_ORDER)
    asked = set(queries.exclude(state=QueryState.CLOSED).values_list("record_id", flat=True))
    for event in events:
        event.patient = patient
        said = [*problems_within(vars(event), around), *soft_problems_of(event, around)]
        if event.pk in asked or any(problem.code in BY_ORDER for problem in said):
            still = [problem for problem in said if problem.code in BY_ORDER or not problem.hard]
            raise_record_queries(problems=still, record=event, by=by)

"""The data that a report is made of, read in a number of queries that does not grow with them.

What happened on or before the cut-off counts, as the tables know it: safety/dsmb/past.py sees to it that they are
those of the instant. The arms are read by safety/dsmb/arms.py alone, so that whatever the open part is made of cannot
tell them."""

from collections import defaultdict
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, F
from django.db.models.functions import ExtractDay

from patients.models import (
    AllocationSlot,
    ArtRegimen,
    Disposition,
    EligibilityAssessment,
    Halt,
    Patient,
    State,
    Unmasking,
)
from safety.coding.rules import CodingState, Kind
from safety.dsmb.results import read_abnormal, read_baseline, read_grades, read_laboratory, read_scales, read_trend
from safety.dsmb.snapshot import TREND_TEST, VIRAL_LOAD, GivenInfusion, OnePatient, PanelCounts, Snapshot, VisitCounts
from safety.models import ActionItem, AdverseEvent, Coding, Deviation, ResultOfEvent, SponsorAssessment
from safety.models.serious import Causality
from trialsite import trial
from visits.models import (
    Infusion,
    Interruption,
    PanelRecord,
    PanelState,
    Query,
    QueryState,
    Reaction,
    Visit,
    VisitState,
)


def read_snapshot(cutoff: date, entered_until: datetime, reported_on: date) -> Snapshot:
    """All that the open part needs. 28 queries, however many patients there are."""
    patients = read_patients(cutoff)
    visits_by_site, visits_by_code = _read_visits(patients, cutoff)
    read_baseline(patients, cutoff, baseline_tests(trial.current_protocol()))
    return Snapshot(
        cutoff=cutoff,
        entered_until=entered_until,
        reported_on=reported_on,
        patients=patients,
        visits_by_site=visits_by_site,
        visits_by_code=visits_by_code,
        panels_by_site=_read_panels(patients, cutoff, entered_until.date()),
        laboratory=read_laboratory(patients, cutoff),
        trend=read_trend(patients, cutoff, TREND_TEST),
        viral_load=read_trend(patients, cutoff, VIRAL_LOAD, treated_only=True),
        grades=read_grades(patients, cutoff),
        abnormal=read_abnormal(patients, cutoff),
        scales=read_scales(),
        halts=_read_halts(patients, cutoff),
        action_items=_read_action_items(cutoff),
        unmaskings=[u for u in Unmasking.objects.order_by("unmasked_at", "id") if u.unmasked_at.date() <= cutoff],
    )


def read_patients(cutoff) -> dict[int, OnePatient]:
    """The patients with their infusions, adverse events and deviations."""
    patients = _read_patients(cutoff)
    _read_infusions(patients, cutoff)
    _read_events(patients, cutoff)
    _read_deviations(patients, cutoff)
    return patients


def baseline_tests(protocol):
    """The key tests at baseline: the weight that doses are worked out from, what eligibility and strata ask for,
    and what is computed, with its sources. Numbers only, in the protocol's order."""
    wanted = {protocol.infusions.weight_test} if protocol.infusions else set()
    for criterion in protocol.eligibility.criteria:
        if criterion.rule:
            wanted |= {leaf.test for leaf in criterion.rule.leaves() if leaf.test}
    wanted |= {factor.test for factor in protocol.allocation.strata if factor.test}
    for test in protocol.tests:
        if test.computed:
            wanted |= {test.code, *test.computed.of}
    return [test for test in protocol.tests if test.code in wanted and test.kind == "number"]


def _read_patients(cutoff):
    patients = {}
    rows = Patient.objects.filter(screened_on__lte=cutoff).select_related("site").order_by("number")
    slots = AllocationSlot.objects.taken().values_list("patient_id", "taken_at", "stratum")
    taken = {patient: (taken_at, stratum) for patient, taken_at, stratum in slots}
    for row in rows:
        patient = patients[row.pk] = OnePatient(
            row.pk, row.number, row.site.code, row.site.name, row.sex, row.birth_date, row.screened_on,
            row.protocol_version, day_0=row.day_0,
        )  # fmt: skip
        if row.pk in taken:
            taken_at, stratum = taken[row.pk]
            on = taken_at.astimezone(ZoneInfo(row.site.timezone)).date()
            # data of an earlier day may be entered later; nobody is treated before being randomised
            on = min(on, row.day_0) if row.day_0 else on
            if on <= cutoff:
                patient.randomised_on, patient.stratum = on, stratum
    for end in Disposition.objects.filter(on__lte=cutoff).order_by("on", "id"):
        if patient := patients.get(end.patient_id):
            gone = end.state != State.RANDOMISED  # found again after having been lost
            patient.end = end.state if gone else ""
            patient.ended_on, patient.explanation = (end.on, end.explanation) if gone else (None, "")
    for assessment in EligibilityAssessment.objects.filter(assessed_on__lte=cutoff).order_by("assessed_on", "id"):
        if patient := patients.get(assessment.patient_id):
            patient.was_eligible, patient.unmet = assessment.is_eligible, tuple(assessment.unmet)
    for patient_id, started_on in ArtRegimen.objects.filter(is_withdrawn=False).values_list("patient_id", "started_on"):
        if patient := patients.get(patient_id):
            patient.art_since = min(filter(None, (patient.art_since, started_on)))
    return patients


def _read_infusions(patients, cutoff):
    given = {}
    rows = Infusion.objects.select_related("preparation", "patient__site").order_by("patient_id", "number")
    for row in rows:
        on = row.started_at.astimezone(ZoneInfo(row.patient.site.timezone)).date()
        patient = patients.get(row.patient_id)
        if patient is None or patient.randomised_on is None or on > cutoff:
            continue
        planned = row.preparation.planned_dose
        given[row.pk] = GivenInfusion(row.number, on, row.given_dose / planned if planned else None)
        patient.infusions.append(given[row.pk])
    for infusion_id in Interruption.objects.filter(is_withdrawn=False).values_list("infusion_id", flat=True):
        if infusion_id in given:
            given[infusion_id].interruptions += 1
    reactions = Reaction.objects.filter(is_withdrawn=False).order_by("id").values_list("infusion_id", "term", "grade")
    for infusion_id, term, grade in reactions:
        if infusion_id in given:
            given[infusion_id].reactions.append((term, grade))


def _read_visits(patients, cutoff):
    """The visits that were due: the last day of their window is past, or they took place; none after a patient
    has left. Notes which infusions were due to a patient."""
    by_site, by_code = defaultdict(VisitCounts), defaultdict(VisitCounts)
    infusion_at = {
        (version, visit.code): visit.infusion
        for version, protocol in trial.versions().items()
        for visit in protocol.visits
        if visit.infusion
    }
    rows = (
        Visit.objects.filter(is_scheduled=True)
        .exclude(state=VisitState.CANCELLED)
        .values_list("patient_id", "code", "protocol_version", "state", "earliest", "latest", "attended_on")
    )
    for patient_id, code, version, state, earliest, latest, attended_on in rows:
        patient = patients.get(patient_id)
        if patient is None:
            continue
        took_place = state == VisitState.ATTENDED and attended_on <= cutoff
        had_left = patient.ended_on is not None and patient.ended_on < latest
        if not took_place and (latest > cutoff or had_left):
            continue
        for counts in (by_site[patient.site], by_code[code]):
            counts.due += 1
            if took_place:
                counts.attended += 1
                counts.outside_window += not earliest <= attended_on <= latest
            elif state == VisitState.MISSED:
                counts.missed += 1
            else:
                counts.overdue += 1
        if number := infusion_at.get((version, code)):
            patient.infusions_due.add(number)
    for patient in patients.values():
        patient.infusions_due |= {infusion.number for infusion in patient.infusions}
    return by_site, by_code


def _read_panels(patients, cutoff, today):
    by_site = defaultdict(PanelCounts)
    attended = PanelRecord.objects.filter(
        visit__state=VisitState.ATTENDED, visit__attended_on__lte=cutoff, patient__screened_on__lte=cutoff
    )
    for site, state, n in attended.values_list("patient__site__code", "state").annotate(n=Count("id")).order_by():
        counts = by_site[site]
        counts.expected += n
        if state == PanelState.ENTERED:
            counts.entered += n
        elif state == PanelState.NOT_DONE:
            counts.not_done += n
        else:
            counts.missing += n
    entered = attended.filter(entered_at__isnull=False).annotate(
        days=ExtractDay(F("entered_at__date") - F("visit__attended_on"))
    )
    for site, days, n in entered.values_list("patient__site__code", "days").annotate(n=Count("id")).order_by():
        by_site[site].entry_days[max(0, int(days))] += n
    for patient in patients.values():
        for event in patient.events:
            by_site[patient.site].event_days.append(max(0, (event.reported_at - event.aware_at).days))
    queries = Query.objects.exclude(state=QueryState.CLOSED).values_list(
        "patient_id", "state", "raised_at", "panel__collected_on", "infusion__started_at"
    )
    for patient_id, state, raised_at, collected_on, started_at in queries:
        about = collected_on or (started_at or raised_at).date()
        if patient_id not in patients or about > cutoff:
            continue
        counts = by_site[patients[patient_id].site]
        counts.open_queries += state == QueryState.OPEN
        counts.answered_queries += state == QueryState.ANSWERED
        counts.query_days.append(max(0, (today - raised_at.date()).days))
    return by_site


def _read_events(patients, cutoff):
    rows = (
        AdverseEvent.objects.filter(began_on__lte=cutoff, is_withdrawn=False)
        .annotate(of_reaction=Exists(ResultOfEvent.objects.of_reactions_of()))
        .order_by("patient__number", "began_on", "sequence")
    )
    codes = Coding.objects.filter(kind=Kind.ADVERSE_EVENT, state=CodingState.APPROVED)
    code_of = {pk: path for pk, *path in codes.values_list("record_id", "body_system", "preferred_term")}
    judgements = SponsorAssessment.objects.order_by("id").select_related("case")
    judged = {judgement.case.event_id: judgement for judgement in judgements}  # the last one of each
    for event in rows:
        if patient := patients.get(event.patient_id):
            event.counted_as = tuple(code_of.get(event.pk) or (event.body_system.strip(), event.term.strip()))
            event.judgement = judged.get(event.pk)
            event.counts_as_related = event.is_related or (
                event.judgement is not None and event.judgement.causality == Causality.SUSPECTED
            )
            patient.events.append(event)


def _read_deviations(patients, cutoff):
    rows = Deviation.objects.filter(began_on__lte=cutoff, is_withdrawn=False).order_by("began_on", "sequence")
    for deviation in rows:
        if patient := patients.get(deviation.patient_id):
            patient.deviations.append(deviation)


def _read_halts(patients, cutoff):
    """Those opened by the end of the day of the cut-off, in UTC."""
    halts = Halt.objects.order_by("opened_at", "id")
    return [halt for halt in halts if halt.opened_at.date() <= cutoff]


def _read_action_items(cutoff):
    """Those of recommendations that were in effect by the end of the day of the cut-off, in UTC."""
    items = ActionItem.objects.exclude(recommendation__effective_at=None).select_related("recommendation")
    items = items.order_by("recommendation__met_on", "id")
    return [item for item in items if item.recommendation.effective_at.date() <= cutoff]

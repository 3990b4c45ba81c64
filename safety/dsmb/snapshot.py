"""The data that a report is made of, read in a number of queries that does not grow with them.

What happened on or before the cut-off counts, as the tables know it: safety/dsmb/past.py sees to it that they are
those of the instant. The arms are read by `read_arms` alone, so that whatever the open part is made of cannot tell
them. Texts of the protocol are those of the language that is spoken when they are asked for."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Aggregate, Case, CharField, Count, F, FloatField, Max, Min, Q, Value, When
from django.db.models.functions import ExtractDay, Least
from django.utils.translation import gettext as _

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
from safety.models import ActionItem, AdverseEvent, ArmLetter, Coding, Deviation, SponsorAssessment
from safety.models.serious import Causality
from safety.stopping import evaluation as stopping
from safety.stopping.facts import read_treated
from trialsite import trial
from visits.models import (
    Flag,
    Infusion,
    Interruption,
    Measurement,
    PanelRecord,
    PanelState,
    Query,
    QueryState,
    Reaction,
    Visit,
    VisitState,
)

UNSCHEDULED = ""
# the test that is drawn over time; a protocol without it has no such figure
TREND_TEST = "CD4"
# the test of which rebounds are told; a protocol without it has no such table
VIRAL_LOAD = "HIVRNA"


@dataclass
class GivenInfusion:
    number: int
    on: date
    dose_ratio: Decimal | None
    interruptions: int = 0
    reactions: list[tuple[str, int]] = field(default_factory=list)  # term, grade

    @property
    def reaction_grades(self):
        return [grade for _term, grade in self.reactions]


@dataclass
class OnePatient:
    """A patient as of the cut-off. `randomised_on` is None when that came later or not at all."""

    id: int
    number: str
    site: str
    site_name: str
    sex: str
    birth_date: date
    screened_on: date
    protocol_version: str
    randomised_on: date | None = None
    day_0: date | None = None
    was_eligible: bool = False
    unmet: tuple[str, ...] = ()
    end: str = ""  # a State, when the way through screening or the trial has ended
    ended_on: date | None = None
    explanation: str = ""
    art_since: str = ""
    infusions: list[GivenInfusion] = field(default_factory=list)
    infusions_due: set[int] = field(default_factory=set)
    events: list[AdverseEvent] = field(default_factory=list)
    deviations: list[Deviation] = field(default_factory=list)
    baseline: dict[str, tuple[Decimal, str]] = field(default_factory=dict)  # test: value, operator

    @property
    def has_died(self):
        return self.end == State.DIED or any(event.is_fatal for event in self.events)

    def day_of(self, day):
        """Days from day 0, or None."""
        return (day - self.day_0).days if self.day_0 else None


@dataclass
class VisitCounts:
    due: int = 0
    attended: int = 0
    missed: int = 0
    overdue: int = 0
    outside_window: int = 0


@dataclass
class PanelCounts:
    """`entry_days` are those from the visit to the entry of each panel, {days: panels}; `event_days` those from when
    the site became aware of an adverse event to its report."""

    expected: int = 0
    entered: int = 0
    not_done: int = 0
    missing: int = 0
    open_queries: int = 0
    answered_queries: int = 0
    query_days: list[int] = field(default_factory=list)
    entry_days: Counter = field(default_factory=Counter)
    event_days: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Summary:
    """One test at one visit."""

    n: int
    median: float
    lowest: Decimal
    highest: Decimal
    low: int
    high: int
    beyond: int


@dataclass(frozen=True)
class Graded:
    """The grades of one patient's results of a test by direction ("L", "H"), worst after day 0, and at baseline (None:
    not graded then). No direction is there whose grades are all 0."""

    worst: dict[str, int]
    baseline: dict[str, int] | None


@dataclass(frozen=True)
class Abnormal:
    """A result after day 0 that the board should see."""

    patient: int
    test: str
    on: date
    typed: str
    unit: str
    low: Decimal | None
    high: Decimal | None
    grade: int
    direction: str
    baseline_grade: int | None


@dataclass(frozen=True)
class Before:
    """Where the last report stood: its patients, as they were known then."""

    cutoff: date
    entered_until: datetime
    patients: dict[int, OnePatient]


@dataclass
class Snapshot:
    """`laboratory` is by (test, visit code); `trend` are (patient, visit code, day, value) of TREND_TEST, `viral_load`
    those of VIRAL_LOAD after day 0. `event` is the last one of the trail that counts."""

    cutoff: date
    entered_until: datetime
    reported_on: date
    patients: dict[int, OnePatient]
    visits_by_site: dict[str, VisitCounts]
    visits_by_code: dict[str, VisitCounts]
    panels_by_site: dict[str, PanelCounts]
    laboratory: dict[tuple[str, str], Summary]
    trend: list[tuple[int, str, int, Decimal]]
    viral_load: list[tuple[int, str, int, Decimal]]
    grades: dict[str, dict[int, Graded]]  # by test and patient
    abnormal: list[Abnormal]
    scales: list[str]
    halts: list[Halt]
    action_items: list[ActionItem]
    unmaskings: list[Unmasking]
    event: int = 0
    before: Before | None = None

    @property
    def versions(self):
        """The versions of the protocol that there were at the cut-off, oldest first."""
        known, used = trial.versions(), {patient.protocol_version for patient in self.patients.values()}
        return {
            version: protocol
            for place, (version, protocol) in enumerate(known.items())
            if place == 0 or protocol.trial.dated <= self.cutoff or version in used
        }

    @property
    def protocol(self):
        return list(self.versions.values())[-1]

    @property
    def randomised(self):
        return [p for p in self.patients.values() if p.randomised_on]

    @property
    def safety_population(self):
        """Patients who received at least the beginning of one infusion; in a trial without, all randomised."""
        if self.protocol.infusions:
            return [p for p in self.randomised if p.infusions]
        return self.randomised

    @property
    def population_words(self):
        return _("patients who received an infusion") if self.protocol.infusions else _("randomised patients")

    def visit_names(self):
        """{visit code: name} in the order of time, unscheduled visits last."""
        visits = sorted(self.newest("visits").values(), key=lambda visit: visit.day)
        return {**{visit.code: visit.name for visit in visits}, UNSCHEDULED: _("Unscheduled visits")}

    def newest(self, kind):
        """{code: item} of all protocol versions; the newest version's wording, its order first."""
        items = {}
        for protocol in reversed(self.versions.values()):
            for item in getattr(protocol, kind):
                items.setdefault(item.code, item)
        return items


def read_snapshot(cutoff: date, entered_until: datetime, reported_on: date) -> Snapshot:
    """All that the open part needs. 26 queries, however many patients there are."""
    patients = read_patients(cutoff)
    visits_by_site, visits_by_code = _read_visits(patients, cutoff)
    _read_baseline(patients, cutoff, baseline_tests(trial.current_protocol()))
    return Snapshot(
        cutoff=cutoff,
        entered_until=entered_until,
        reported_on=reported_on,
        patients=patients,
        visits_by_site=visits_by_site,
        visits_by_code=visits_by_code,
        panels_by_site=_read_panels(patients, cutoff, entered_until.date()),
        laboratory=_read_laboratory(patients, cutoff),
        trend=_read_trend(patients, cutoff, TREND_TEST),
        viral_load=[row for row in _read_trend(patients, cutoff, VIRAL_LOAD) if row[2] > 0],
        grades=_read_grades(patients, cutoff),
        abnormal=_read_abnormal(patients, cutoff),
        scales=_read_scales(),
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


# --- patients ------------------------------------------------------------------------------------------


def _read_patients(cutoff):
    patients = {}
    rows = Patient.objects.filter(screened_on__lte=cutoff).select_related("site").order_by("number")
    taken = dict(AllocationSlot.objects.taken().values_list("patient_id", "taken_at"))
    for row in rows:
        patient = patients[row.pk] = OnePatient(
            row.pk, row.number, row.site.code, row.site.name, row.sex, row.birth_date, row.screened_on,
            row.protocol_version, day_0=row.day_0,
        )  # fmt: skip
        if row.pk in taken:
            on = taken[row.pk].astimezone(ZoneInfo(row.site.timezone)).date()
            # data of an earlier day may be entered later; nobody is treated before being randomised
            on = min(on, row.day_0) if row.day_0 else on
            patient.randomised_on = on if on <= cutoff else None
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


# --- visits, panels, queries ---------------------------------------------------------------------------------


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


# --- adverse events -----------------------------------------------------------------------------------------


def _read_events(patients, cutoff):
    rows = AdverseEvent.objects.filter(began_on__lte=cutoff, is_withdrawn=False).order_by(
        "patient__number", "began_on", "sequence"
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


# --- measurements -------------------------------------------------------------------------------------------


class Median(Aggregate):
    """The 50th percentile, interpolated between the two middle values (R's type 7)."""

    function = "percentile_cont"
    template = "%(function)s(0.5) within group (order by %(expressions)s)"
    output_field = FloatField()


def _numbers_until(patients, cutoff):
    randomised = [p.id for p in patients.values() if p.randomised_on]
    return Measurement.objects.filter(
        panel__isnull=False, value__isnull=False, collected_on__lte=cutoff, patient__in=randomised
    )


def _summaries(measurements, *also):
    """One row for each test, visit and `also`. A value beyond the limit of quantification counts as that limit."""
    visit = Case(
        When(panel__visit__is_scheduled=True, then=F("panel__visit__code")),
        default=Value(UNSCHEDULED),
        output_field=CharField(),
    )
    rows = (
        measurements.annotate(at=visit)
        .values_list("test", "at", *also)
        .annotate(
            n=Count("id"),
            median=Median("value"),
            lowest=Min("value"),
            highest=Max("value"),
            low=Count("id", filter=Q(flag=Flag.LOW)),
            high=Count("id", filter=Q(flag=Flag.HIGH)),
            beyond=Count("id", filter=~Q(operator="")),
        )
        .order_by()
    )
    return {row[: 2 + len(also)]: Summary(*row[2 + len(also) :]) for row in rows}


def _read_laboratory(patients, cutoff):
    return _summaries(_numbers_until(patients, cutoff))


def _read_baseline(patients, cutoff, tests):
    """The last result on or before day 0, and that of an earlier day when a later one is not there."""
    rows = (
        Measurement.objects.filter(
            panel__isnull=False, value__isnull=False, test__in=[test.code for test in tests],
            collected_on__lte=Least(F("patient__day_0"), cutoff),
        )
        .order_by("collected_on", "id")
        .values_list("patient_id", "test", "value", "operator")
    )  # fmt: skip
    for patient_id, test, value, operator in rows:
        if patient := patients.get(patient_id):
            patient.baseline[test] = (value, operator)


def _read_trend(patients, cutoff, test):
    rows = (
        _numbers_until(patients, cutoff)
        .filter(test=test)
        .order_by("patient__number", "collected_on", "id")
        .values_list("patient_id", "panel__visit__is_scheduled", "panel__visit__code", "collected_on", "value")
    )
    return [
        (patient_id, code if is_scheduled else UNSCHEDULED, patients[patient_id].day_of(on), value)
        for patient_id, is_scheduled, code, on, value in rows
        if patients[patient_id].day_0
    ]


def _graded_until(patients, cutoff):
    return Measurement.objects.filter(
        panel__isnull=False, grade__isnull=False, collected_on__lte=cutoff,
        patient__in=[p.id for p in patients.values() if p.randomised_on],
    )  # fmt: skip


def _read_grades(patients, cutoff):
    """Baseline is the last graded result on or before day 0, as in T4."""
    graded = _graded_until(patients, cutoff).order_by()
    before = (
        graded.filter(collected_on__lte=F("patient__day_0"))
        .order_by("patient_id", "test", "-collected_on", "-id")
        .distinct("patient_id", "test")
        .values_list("patient_id", "test", "grade", "grade_direction")
    )
    baseline = {(patient, test): {way: grade} if grade else {} for patient, test, grade, way in before.iterator()}
    after = (
        graded.filter(collected_on__gt=F("patient__day_0"))
        .values_list("patient_id", "test")
        .annotate(low=Max("grade", filter=Q(grade_direction="L")), high=Max("grade", filter=Q(grade_direction="H")))
    )
    grades = defaultdict(dict)
    for patient, test, low, high in after.iterator():
        worst = {way: grade for way, grade in (("L", low), ("H", high)) if grade}
        grades[test][patient] = Graded(worst, baseline.get((patient, test)))
    return grades


def _read_abnormal(patients, cutoff):
    """Grade 3 or worse, and grade 2 that is worse than at baseline: what the board should see of single results."""
    rows = (
        _graded_until(patients, cutoff)
        .filter(collected_on__gt=F("patient__day_0"))
        .filter(Q(grade__gte=3) | Q(grade=2, baseline_grade__lt=2))
        .order_by("patient__number", "collected_on", "test", "id")
        .values_list(
            "patient_id", "test", "collected_on", "typed", "reported_unit", "reported_low", "reported_high", "grade",
            "grade_direction", "baseline_grade",
        )
    )  # fmt: skip
    return [Abnormal(*row) for row in rows.iterator()]


def _read_scales():
    rows = Measurement.objects.exclude(grade_scale="").order_by().values_list("grade_scale", "grade_scale_version")
    return sorted(f"{scale} {version}".strip() for scale, version in rows.distinct())


# --- the arms: read for the closed part alone ------------------------------------------------------------------


@dataclass(frozen=True)
class Arms:
    """The letter of each patient who has an arm, the laboratory summaries by (test, visit code, letter), and where the
    stopping rules stand (some are of single arms)."""

    letters: dict[int, str]
    laboratory: dict[tuple[str, str, str], Summary]
    stopping: list[stopping.State]


def read_arms(patients, cutoff, series=1) -> Arms:
    """What the closed part needs besides. Ten queries. Raises KeyError when an arm has no letter yet."""
    letters = dict(ArmLetter.objects.filter(series=series).values_list("arm", "letter"))
    taken = AllocationSlot.objects.taken().values_list("patient_id", "arm")
    rows = _summaries(_numbers_until(patients, cutoff), "patient__slot__arm")
    return Arms(
        {patient: letters[arm] for patient, arm in taken},
        {(test, visit, letters[arm]): summary for (test, visit, arm), summary in rows.items()},
        _read_stopping(cutoff),
    )


def _read_stopping(cutoff):
    protocol = trial.current_protocol()
    treated = []
    for patient in read_treated(protocol):
        starts = tuple(day for day in patient.starts if day <= cutoff)
        events = tuple(event for event in patient.events if event.on <= cutoff)
        if starts:
            treated.append(replace(patient, starts=starts, events=events))
    return stopping.evaluate(protocol.stopping_rules, treated, interest=protocol.events_of_interest, on=cutoff)

"""Measurements for a report: summaries, the course of a test, grades."""

from collections import defaultdict
from dataclasses import replace

from django.db.models import Aggregate, Case, CharField, Count, F, FloatField, Max, Min, Q, Value, When
from django.db.models.functions import Coalesce

from safety.abnormal import Finding, of_result
from safety.dsmb.snapshot import UNSCHEDULED, USUAL_RULE, Abnormal, BaselineGrade, Fate, Graded, Summary, rule_of
from safety.models import DeclinedResult, ResultOfEvent
from trialsite import trial
from visits.models import Flag, Measurement
from visits.treated import after_treatment, before_treatment


class Median(Aggregate):
    """The 50th percentile, interpolated between the two middle values (R's type 7)."""

    function = "percentile_cont"
    template = "%(function)s(0.5) within group (order by %(expressions)s)"
    output_field = FloatField()


def numbers_until(patients, cutoff):
    randomised = [p.id for p in patients.values() if p.randomised_on]
    return Measurement.objects.filter(
        panel__isnull=False, value__isnull=False, collected_on__lte=cutoff, patient__in=randomised
    )


def summaries(measurements, *also):
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


def read_laboratory(patients, cutoff):
    return summaries(numbers_until(patients, cutoff))


def read_baseline(patients, cutoff, tests):
    """The last result before the treatment, and that of an earlier day when a later one is not there."""
    rows = (
        before_treatment(Measurement.objects.all())
        .filter(value__isnull=False, test__in=[test.code for test in tests], collected_on__lte=cutoff)
        .order_by("collected_on", "id")
        .values_list("patient_id", "test", "value", "operator")
    )
    for patient_id, test, value, operator in rows:
        if patient := patients.get(patient_id):
            patient.baseline[test] = (value, operator)


def read_trend(patients, cutoff, test, *, treated_only=False):
    numbers = numbers_until(patients, cutoff).filter(test=test)
    rows = (
        (after_treatment(numbers) if treated_only else numbers)
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
        grade__isnull=False, collected_on__lte=cutoff,
        patient__in=[p.id for p in patients.values() if p.randomised_on],
    )  # fmt: skip


def read_grades(patients, cutoff):
    """Baseline is the last graded result before the treatment, as in T4; after it come also the vital signs that are taken
    while infusions run."""
    graded = _graded_until(patients, cutoff).order_by()
    before = (
        before_treatment(graded)
        .order_by("patient_id", "test", "-collected_on", "-id")
        .distinct("patient_id", "test")
        .values_list("patient_id", "test", "grade", "grade_direction", "grade_is_to_confirm")
    )
    baseline = {
        (patient, test): BaselineGrade({way: grade} if grade else {}, to_confirm)
        for patient, test, grade, way, to_confirm in before.iterator()
    }

    def worst(way, **also):
        return Max("grade", filter=Q(grade_direction=way, **also))

    after = (
        after_treatment(graded)
        .values_list("patient_id", "test")
        .annotate(low=worst("L"), high=worst("H"), low_confirmed=worst("L", grade_is_to_confirm=False),
                  high_confirmed=worst("H", grade_is_to_confirm=False))
    )  # fmt: skip
    grades = defaultdict(dict)
    for patient, test, low, high, low_confirmed, high_confirmed in after.iterator():
        ways = (("L", low, low_confirmed), ("H", high, high_confirmed))
        grades[test][patient] = Graded(
            {way: grade for way, grade, _confirmed in ways if grade},
            baseline.get((patient, test)),
            frozenset(way for way, grade, confirmed in ways if grade and grade != confirmed),
        )
    return grades


def read_abnormal(patients, cutoff):
    """What the board should see of single results: those whose grade proposes an adverse event by the protocol's rule."""
    rules = {version: rule_of(protocol) for version, protocol in trial.versions().items()}
    least = min(from_grade for rule in rules.values() for from_grade in rule.proposing_grades)
    rows = (
        after_treatment(_graded_until(patients, cutoff).filter(grade__gte=least))
        .order_by("patient__number", "collected_on", "test", "id")
        .values_list(
            Coalesce("panel__protocol_version", "infusion__visit__protocol_version"),
            "patient_id", "test", "collected_on", "typed", "reported_unit", "reported_low", "reported_high", "grade",
            "grade_direction", "baseline_grade", "grade_is_to_confirm", "infusion__number", "minute", "id", "grade_row",
        )
    )  # fmt: skip
    judged, found = _judgements(patients, cutoff), []
    for version, *row in rows.iterator():
        rule, one = rules.get(version), Abnormal(*row)
        if rule and rule.proposes(one.grade, one.baseline_grade):
            found.append(one if rule is USUAL_RULE else _with_fate(one, judged[one.patient]))
    return found


def _judgements(patients, cutoff):
    """{patient: (judgement, adverse event)} of results; the event of a refusal is None."""
    found, mine = (
        defaultdict(list),
        {"patient__in": list(patients), "is_withdrawn": False, "measurement__isnull": False},
    )
    links = ResultOfEvent.objects.filter(**mine, event__is_withdrawn=False, event__began_on__lte=cutoff)
    for one in links.order_by("id").select_related("event"):
        found[one.patient_id].append((one.as_judgement(), one.event))
    for one in DeclinedResult.objects.filter(**mine).order_by("id"):
        found[one.patient_id].append((one.as_judgement(), None))
    return found


def _with_fate(one, judged):
    finding = Finding(one.id, of_result(one.id), one.row, one.grade, one.on)
    of = [event for judgement, event in judged if judgement.covers(finding)]
    event = next(filter(None, of), None)
    return replace(one, fate=Fate.BELONGS if event else Fate.DECLINED if of else Fate.WAITS, event=event)


def read_scales():
    rows = Measurement.objects.exclude(grade_scale="").order_by().values_list("grade_scale", "grade_scale_version")
    return sorted(f"{scale} {version}".strip() for scale, version in rows.distinct())

"""Measurements for a report: summaries, the course of a test, grades."""

from collections import defaultdict

from django.db.models import Aggregate, Case, CharField, Count, F, FloatField, Max, Min, Q, Value, When
from django.db.models.functions import Least

from safety.dsmb.snapshot import UNSCHEDULED, Abnormal, Graded, Summary
from visits.models import Flag, Measurement


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


def read_trend(patients, cutoff, test):
    rows = (
        numbers_until(patients, cutoff)
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


def read_grades(patients, cutoff):
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


def read_abnormal(patients, cutoff):
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


def read_scales():
    rows = Measurement.objects.exclude(grade_scale="").order_by().values_list("grade_scale", "grade_scale_version")
    return sorted(f"{scale} {version}".strip() for scale, version in rows.distinct())

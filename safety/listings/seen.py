"""What the pictures are made of, gathered from the database: a few statements for any number of patients."""

from collections import defaultdict
from dataclasses import dataclass

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, F, FloatField, Max, Q
from django.db.models.functions import Cast, Coalesce

from patients.models import AllocationSlot, Disposition, Patient
from safety.listings import pictures
from safety.models import AdverseEvent
from trialsite import scales, trial
from trialsite.ctcae import term_told
from trialsite.roles import Permission, within_sites
from visits.grading import HIGH, LOW, name_told_apart
from visits.models import Infusion, Measurement
from visits.treated import AFTER_TREATMENT, BEFORE_TREATMENT, after_treatment, with_treated_at

# the rows of grading scales whose tests the liver plot compares
ALT_ROW, BILIRUBIN_ROW = "alt_high", "bilirubin_high"
MILD = 2  # swimmers show events worse than this


def patients_of(user):
    return within_sites(Patient.objects.all(), user, Permission.VIEW_ADVERSE_EVENTS, "site")


def arms_of(patients):
    """Arm by patient id; ask only for eyes that may see arms."""
    return dict(AllocationSlot.objects.filter(patient__in=patients).values_list("patient_id", "arm"))


def tests_of_row(row):
    """The codes of the tests that a row of a scale grades, in any version of the protocol."""
    return {test.code for protocol in trial.versions().values() for test in protocol.tests if row in test.grade_rows}


def class_and_grade(user):
    """(patient id, class, grade) of every event."""
    events = AdverseEvent.objects.visible_to(user).filter(is_withdrawn=False).with_codes()
    return list(
        events.annotate(told=Coalesce("coded_system", "body_system"))
        .order_by()
        .values_list("patient_id", "told", "grade")
    )


@dataclass(frozen=True)
class Shift:
    """A patient's grades of a test in one direction: at the baseline, and the worst one after it; None where not known.
    `is_proposed`: nobody has confirmed the worst one yet, and what is confirmed is not as bad."""

    patient: int
    baseline: int | None
    worst: int | None
    is_proposed: bool


def shifts(user, test):
    """{direction: a Shift of each patient with a result after the treatment began}, of a test. A low grade
    is none among the high ones: a patient with a grade in one direction has 0 in the other, as in the report's T13."""
    measured = within_sites(Measurement.objects.filter(test=test), user, Permission.VIEW_ADVERSE_EVENTS)
    measured = with_treated_at(measured.exclude(typed=""))
    last_graded = {"filter": BEFORE_TREATMENT & Q(grade__isnull=False), "order_by": ("-collected_on", "-id")}
    of_way = {way: Q(grade_direction=way) & AFTER_TREATMENT for way in ways_of(test)}
    found = measured.values("patient_id").annotate(
        later=Count("id", filter=AFTER_TREATMENT), any_grade=Max("grade", filter=AFTER_TREATMENT),
        before=ArrayAgg("grade", **last_graded), way_before=ArrayAgg("grade_direction", **last_graded),
        **{f"worst_{way}": Max("grade", filter=q) for way, q in of_way.items()},
        **{f"sure_{way}": Max("grade", filter=q & Q(grade_is_to_confirm=False)) for way, q in of_way.items()},
    ).filter(later__gt=0).order_by()  # fmt: skip
    shifts = {way: [] for way in of_way}
    for row in found:
        grade, direction = (row["before"][0], row["way_before"][0]) if row["before"] else (None, "")
        for way, theirs in shifts.items():
            baseline = 0 if grade and direction != way else grade
            worst = None if row["any_grade"] is None else row[f"worst_{way}"] or 0
            theirs.append(Shift(row["patient_id"], baseline, worst, bool(worst and worst > (row[f"sure_{way}"] or 0))))
    return shifts


def ways_of(test):
    """The directions ("L", "H") in which a test is graded, in any version of the protocol."""
    found = set()
    for protocol in trial.versions().values():
        if protocol.grading:
            rows = [row for one in protocol.tests if one.code == test for row in one.grade_rows]
            scale = scales.scale(protocol.grading.scale)
            found |= {LOW if scale.row(row).direction == "low" else HIGH for row in rows}
    return [way for way in (LOW, HIGH) if way in found]


def graded_tests():
    """(code, name) of the tests that a scale grades, in the protocol's order."""
    protocol = trial.current_protocol()
    return [(test.code, name_told_apart(protocol, test)) for test in protocol.tests if test.grade_rows]


def liver_peaks(user):
    """(patient id, number, peak ALT, peak bilirubin) after the treatment began, as multiples of the upper limit of each result."""
    measured = within_sites(Measurement.objects.all(), user, Permission.VIEW_ADVERSE_EVENTS)
    alt, bilirubin = tests_of_row(ALT_ROW), tests_of_row(BILIRUBIN_ROW)
    multiple = Cast(F("value"), FloatField()) / Cast(F("high"), FloatField())
    found = (
        after_treatment(measured.filter(test__in=alt | bilirubin, value__isnull=False, high__gt=0))
        .values("patient_id", "patient__number")
        .annotate(alt=Max(multiple, filter=Q(test__in=alt)), bilirubin=Max(multiple, filter=Q(test__in=bilirubin)))
        .order_by("patient__number")
    )
    return [
        (row["patient_id"], row["patient__number"], row["alt"], row["bilirubin"])
        for row in found if row["alt"] is not None and row["bilirubin"] is not None
    ]  # fmt: skip


def swimmers(patients, today, groups):
    """The courses of these patients (with day 0), in their order; four statements."""
    keys = [patient.pk for patient in patients]
    given, events, ends = defaultdict(list), defaultdict(list), {}
    for pk, number, on in (
        Infusion.objects.filter(patient__in=keys).order_by("number").values_list("patient_id", "number", "started_at")
    ):
        given[pk].append((number, on))
    bad = AdverseEvent.objects.filter(patient__in=keys, is_withdrawn=False).filter(
        Q(grade__gt=MILD) | Q(is_serious=True)
    )
    for pk, on, grade, term in bad.order_by("began_on").values_list("patient_id", "began_on", "grade", "term"):
        events[pk].append((on, grade, term_told(term)))
    for pk, state, on in (
        Disposition.objects.filter(patient__in=keys).order_by("id").values_list("patient_id", "state", "on")
    ):
        ends[pk] = (state, on)
    drawn = []
    for patient in patients:
        state, ended_on = ends.get(patient.pk, ("", None))
        drawn.append(
            pictures.Swimmer(
                patient=patient.pk, number=patient.number, goes_on=ended_on is None, end=state,
                last_day=pictures.last_known(patient.day_0, ended_on, today),
                infusions=tuple((on.date() - patient.day_0).days for _number, on in given[patient.pk]),
                events=tuple(((on - patient.day_0).days, grade, term) for on, grade, term in events[patient.pk]),
                group=groups.get(patient.pk, 0),
            )
        )  # fmt: skip
    return drawn

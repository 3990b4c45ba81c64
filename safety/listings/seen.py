"""What the pictures are made of, gathered from the database: a few statements for any number of patients."""

from collections import defaultdict

from django.db.models import F, FloatField, Max, Q
from django.db.models.functions import Cast, Coalesce

from patients.models import AllocationSlot, Disposition, Patient
from safety.listings import pictures
from safety.models import AdverseEvent
from trialsite import trial
from trialsite.ctcae import term_told
from trialsite.roles import Permission, within_sites
from visits.models import Infusion, Measurement
from visits.treated import after_treatment

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


def shifts(user, test):
    """(patient id, grade at baseline, worst grade after it) of a test; of patients with a result after the treatment began."""
    measured = within_sites(Measurement.objects.filter(test=test), user, Permission.VIEW_ADVERSE_EVENTS)
    later = after_treatment(measured.exclude(typed=""))
    found = later.values("patient_id").annotate(worst=Max("grade"), baseline=Max("baseline_grade")).order_by()
    return [(row["patient_id"], row["baseline"], row["worst"]) for row in found]


def graded_tests():
    """(code, name) of the tests that a scale grades, in the protocol's order."""
    return [(test.code, test.name) for test in trial.current_protocol().tests if test.grade_rows]


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

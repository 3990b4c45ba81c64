"""What came before the treatment: the database says the same as the one rule of grading."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import product

import pytest

from safety.listings import seen
from tests.dsmb_data import ARMS, SmallTrial, in_force, small_protocol
from trialsite.audit import acting
from visits.grading import is_before_treatment
from visits.models import Measurement, PanelRecord
from visits.treated import after_treatment, before_treatment

pytestmark = pytest.mark.django_db

DAY_0 = date(2026, 3, 2)
# the infusion begins at 10:00 by the clock of the site (Shanghai), which is 02:00 UTC
BEGAN = time(10)
DAYS, TIMES = (-1, 0, 1), (None, time(0, 30), time(9, 59), time(10), time(10, 0, 1), time(16), time(23, 30))


@pytest.fixture
def trial(monkeypatch):
    return SmallTrial(in_force(monkeypatch, small_protocol()))


@pytest.mark.parametrize("is_treated", [True, False])
def test_the_database_parts_results_of_panels_as_grading_does(trial, is_treated):
    patient = trial.enrol(next(iter(ARMS)), DAY_0)
    if is_treated:
        trial.treat(patient)
    wanted = {}
    for place, (day, at) in enumerate(product(DAYS, TIMES)):
        on = DAY_0 + timedelta(days=day)
        record = trial.measure(trial.visit(patient, f"U{place}", on, scheduled=False), ALT=1)
        with acting(trial.by, "collected at"):
            PanelRecord.objects.filter(pk=record.pk).update(collected_at=at)
        wanted[record.pk] = is_before_treatment(on, at, day_0=DAY_0, began_at=BEGAN if is_treated else None)
    everything = Measurement.objects.all()
    for parted, is_before in ((before_treatment(everything), True), (after_treatment(everything), False)):
        found = set(parted.values_list("panel_id", flat=True))
        assert found == {pk for pk, before in wanted.items() if before is is_before}


def test_nothing_is_after_the_treatment_of_who_has_no_day_0(trial):
    patient = trial.screen(DAY_0)
    trial.measure(trial.visit(patient, "SCR", DAY_0, start=DAY_0), ALT=1)
    assert not after_treatment(Measurement.objects.all()).exists()


def test_readings_while_an_infusion_runs_are_after_the_treatment_but_for_the_very_first(trial):
    patient = trial.enrol(next(iter(ARMS)), DAY_0)
    visits = trial.visit(patient, "W0", DAY_0), trial.visit(patient, "W4", DAY_0 + timedelta(days=28))
    for number, visit in enumerate(visits, 1):
        infusion = trial.infuse(visit, number)
        with acting(trial.by):
            for minute in (0, 15):
                Measurement.objects.create(
                    patient=patient, infusion=infusion, minute=minute, test="TEMP", typed="39", value=39,
                    collected_on=visit.attended_on,
                )  # fmt: skip
    everything = Measurement.objects.all()
    assert set(after_treatment(everything).values_list("infusion__number", "minute")) == {(1, 15), (2, 0), (2, 15)}
    assert not before_treatment(everything).exists()  # vital signs of infusions are no baseline
    at = datetime.combine(DAY_0, BEGAN).replace(tzinfo=UTC)
    for minute in (0, 15):  # as the rule has it
        when = (at + timedelta(minutes=minute)).time()
        assert is_before_treatment(DAY_0, when, day_0=DAY_0, began_at=BEGAN) is (minute == 0)


@pytest.mark.parametrize(("at", "is_after"), [(time(9), False), (time(16), True)])
def test_shift_table_and_liver_plot_part_day_0_by_the_hour_too(trial, monkeypatch, at, is_after):
    monkeypatch.setattr(seen, "within_sites", lambda records, *_: records)
    monkeypatch.setattr(seen, "tests_of_row", lambda row: {{"alt_high": "ALT", "bilirubin_high": "CD4"}[row]})
    monkeypatch.setattr(seen, "ways_of", lambda test: ["H"])
    patient = trial.enrol(next(iter(ARMS)), DAY_0)
    record = trial.measure(trial.treat(patient), ALT=80, CD4=30)
    with acting(trial.by, "collected at"):
        PanelRecord.objects.filter(pk=record.pk).update(collected_at=at)
        record.measurements.update(high=10, grade=3, grade_direction="H")
    assert seen.shifts(None, "ALT") == {"H": [seen.Shift(patient.pk, None, 3, False)] if is_after else []}
    assert seen.liver_peaks(None) == ([(patient.pk, patient.number, 8.0, 3.0)] if is_after else [])

"""The state of a table as of an instant: whatever was done since, it is what it was."""

import random
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from patients import demo as patient_steps
from patients.models import Consent, Medication, Patient
from safety.models import AdverseEvent
from tests.universe import Universe
from trialsite import as_of
from trialsite.as_of import CutOff, StillWriting, rows_as_of, wait_for_writers
from trialsite.audit import LEFT_OUT, acting, audited_models
from trialsite.models import AuditEvent, Site, User
from visits import demo as visit_steps
from visits.models import Measurement, PanelRecord, Query, Visit

MODELS = [model for model in audited_models() if not model._meta.auto_created]


def state():
    """Every audited row, as Django reads it, without what the trail does not hold."""
    found = {}
    for model in MODELS:
        untold = LEFT_OUT.get(model._meta.label, ())
        names = [field.attname for field in model._meta.concrete_fields if field.column not in untold]
        found[model._meta.label] = list(model.objects.order_by("pk").values(*names))
    return found


def rebuilt(cutoff):
    return {model._meta.label: list(rows_as_of(model, cutoff)) for model in MODELS}


def last_event():
    return AuditEvent.objects.latest("id").pk


class Changes:
    """Things that people do, picked at random."""

    def __init__(self, universe, seed):
        self.universe, self.random = universe, random.Random(seed)
        self.patients = []

    def screen(self):
        patient = self.universe.screened(seed=self.random.randrange(10_000))
        self.patients.append(patient)

    def a_patient(self):
        return patient_steps.fresh(self.random.choice(self.patients))

    def any_of(self, records):
        records = list(records.order_by("pk"))
        return self.random.choice(records) if records else None

    def enter_screening(self):
        for panel in PanelRecord.objects.filter(patient=self.a_patient(), state="expected")[:2]:
            visit_steps.enter_panel(panel=panel, by=self.universe.chen)

    def change_panel(self):
        panel = self.any_of(PanelRecord.objects.filter(state="entered"))
        if panel is None:
            return
        results = {m.test: m.typed for m in panel.measurements.filter(is_computed=False)}
        with acting(self.universe.chen, "read again"):
            for measurement in panel.measurements.filter(value__isnull=False)[:2]:
                measurement.value += Decimal("0.0100")
                measurement.typed = f"{results.get(measurement.test, '')}0"[:500]
                measurement.save()

    def add_medication(self):
        patient_steps.add_medication(
            patient=self.a_patient(),
            treatment=f"Drug {self.random.random()}",
            started_on="2021-05",
            by=self.universe.chen,
        )

    def withdraw_medication(self):
        line = Medication.objects.filter(is_withdrawn=False).first()
        if line:
            with acting(self.universe.chen, "the wrong patient"):
                line.is_withdrawn, line.version = True, line.version + 1
                line.save()

    def ask(self):
        panel = self.any_of(PanelRecord.objects.filter(state="entered"))
        if panel:
            visit_steps.ask(panel=panel, by=self.universe.maria)

    def close(self):
        query = Query.objects.filter(state="open").first()
        if query:
            with acting(self.universe.maria, "answered by telephone"):
                query.state, query.closed_at = "closed", timezone.now()
                query.save()

    def event(self):
        self.universe.event(self.a_patient())

    def grade(self):
        event = self.any_of(AdverseEvent.objects.all())
        if event:
            with acting(self.universe.wang, "worse than we thought"):
                event.grade = event.grade % 4 + 1
                event.save()

    def one(self):
        steps = [self.screen, self.enter_screening, self.enter_screening, self.change_panel, self.change_panel,
                 self.add_medication, self.withdraw_medication, self.ask, self.close, self.event, self.grade]  # fmt: skip
        (self.screen if not self.patients else self.random.choice(steps))()


@pytest.mark.requirement("R1", "R96")
@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_changes_every_earlier_state_can_be_rebuilt(unchanged, seed):
    changes, snapshots = Changes(unchanged, seed), {last_event(): state()}
    while len(snapshots) < 12:
        changes.one()
        snapshots[last_event()] = state()
    for event, snapshot in snapshots.items():
        assert rebuilt(CutOff.after(event)) == snapshot


def test_an_instant_is_the_last_event_at_or_before_it(unchanged):
    patient = unchanged.screened()
    time.sleep(0.002)
    now, before = timezone.now(), last_event()
    time.sleep(0.002)
    patient_steps.add_medication(patient=patient, treatment="Aspirin", started_on="2020", by=unchanged.chen)
    cutoff = CutOff.at(now)
    assert cutoff == CutOff(now, before)
    assert not [row for row in rows_as_of(Medication, cutoff) if row["treatment"] == "Aspirin"]
    assert [row for row in rows_as_of(Medication, CutOff.at(timezone.now())) if row["treatment"] == "Aspirin"]


def test_before_the_first_event_there_was_nothing(world):
    cutoff = CutOff.at(datetime(2001, 1, 1, tzinfo=UTC))
    assert cutoff.event == 0 and not list(rows_as_of(Site, cutoff))


def test_the_rows_have_the_types_of_the_fields(unchanged):
    patient = unchanged.with_results()
    event = last_event()
    numbers = {m.pk: m.value for m in Measurement.objects.filter(patient=patient)}
    with acting(unchanged.chen, "all are changed, so that all come from the trail"):
        Measurement.objects.filter(patient=patient).update(value=Decimal("1"), typed="1")
        Patient.objects.filter(pk=patient.pk).update(sex="F" if patient.sex == "M" else "M")
    row = next(row for row in rows_as_of(Patient, CutOff.after(event)) if row["id"] == patient.pk)
    assert row["birth_date"] == patient.birth_date and row["sex"] == patient.sex and row["site_id"] == patient.site_id
    told = {row["id"]: row["value"] for row in rows_as_of(Measurement, CutOff.after(event))}
    assert told == numbers
    assert {type(value) for value in told.values() if value is not None} == {Decimal}
    # the scale, too, as it was stored
    assert {str(value) for value in told.values()} == {str(value) for value in numbers.values()}


def test_a_column_that_is_younger_than_the_cutoff_has_its_default(unchanged):
    patient = unchanged.screened()
    consent = Consent.objects.get(patient=patient)
    event = last_event()
    with acting(unchanged.chen, "a slip"):
        Consent.objects.filter(pk=consent.pk).update(language="English", version=2)
    query = as_of.table_as_of(Consent, CutOff.after(event)).as_string(connection.connection)
    old = query.replace("later.before)", "later.before - 'version' - 'obtained_by')")
    with connection.cursor() as cursor:
        cursor.execute(f"select version, obtained_by, language from {old} was where id = {consent.pk}")
        assert cursor.fetchone() == (1, None, consent.language)


def test_queries_inside_read_the_tables_as_they_stood(unchanged):
    patient = unchanged.with_results()
    cutoff = CutOff.after(last_event())

    def told():
        panels = Patient.objects.filter(
            panels__measurements__value__gte=0, site__code__contains="%"
        )  # a sign to escape
        joined = Measurement.objects.filter(patient=patient, panel__visit__patient__sex=patient.sex)
        return (
            list(Patient.objects.order_by("pk").values()),
            sorted(joined.values_list("typed", flat=True)),
            panels.count(),
        )

    before = told()
    with acting(unchanged.chen, "later"):
        Measurement.objects.filter(patient=patient).update(typed="1")
        Patient.objects.filter(pk=patient.pk).update(sex="F" if patient.sex == "M" else "M")
    unchanged.screened()
    assert told() != before
    with as_of.tables_as_of(cutoff, [Patient, Measurement, PanelRecord, Visit, Site]):
        assert told() == before
    assert told() != before


def test_tables_are_joined_in_the_order_of_the_query(world):
    """Else the planner, who knows nothing of rebuilt tables, joined every panel with every patient: a report of 10,000
    patients did not end within five minutes."""

    def limit():
        with connection.cursor() as cursor:
            cursor.execute("show join_collapse_limit")
            return cursor.fetchone()[0]

    assert limit() != "1"
    with as_of.tables_as_of(CutOff.after(last_event()), [Patient]):
        assert limit() == "1"


def test_what_the_trail_leaves_out_is_not_there(world):
    assert "password" not in next(rows_as_of(User, CutOff.after(last_event())))


# --- real transactions ------------------------------------------------------------------------------------------


@pytest.mark.requirement("R96")
@pytest.mark.django_db(transaction=True)
def test_a_transaction_counts_whole_or_not_at_all():
    """Two people write at once, so that the cut-off falls into the middle of one of them."""
    universe = Universe()
    begun, go_on, written = threading.Event(), threading.Event(), threading.Event()

    def slow():
        try:
            with acting(universe.chen):
                Site.objects.create(code="S1", name="first half", country="DE", timezone="UTC")
                begun.set()
                assert go_on.wait(20)
                Site.objects.create(code="S2", name="second half", country="DE", timezone="UTC")
            written.set()
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert begun.wait(20)
    with acting(universe.chen):
        Site.objects.create(code="Q", name="quick", country="DE", timezone="UTC")
    time.sleep(0.002)
    instant = timezone.now()
    time.sleep(0.002)
    with pytest.raises(StillWriting):
        wait_for_writers(seconds=0.2)
    go_on.set()
    thread.join()
    assert written.is_set()
    wait_for_writers()
    cutoff = CutOff.at(instant)
    assert len(cutoff.held_back) == 1
    codes = {row["code"] for row in rows_as_of(Site, cutoff)}
    assert "Q" in codes and not codes & {"S1", "S2"}
    later = {row["code"] for row in rows_as_of(Site, CutOff.at(timezone.now()))}
    assert {"Q", "S1", "S2"} <= later

"""What happens at the same moment: threads with connections of their own, on a database that really commits."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from patients import actions as patient_actions
from patients import demo as patient_steps
from patients.actions import randomisation
from patients.models import AllocationSlot, Halt, Medication, Patient, Scope, State
from safety.actions import stopping as stopping_actions
from tests.test_saving import page_with, url_of
from tests.universe import fields_of, send
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.models import AuditEvent
from trialsite.saving import Refused, Stale
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.actions import infusions as infusion_actions
from visits.models import Measurement, Preparation, Visit


def at_once(jobs, threads=8):
    """Run the jobs, up to `threads` of them at the same time; what each gave or raised, in their order."""

    def run(job):
        try:
            return job()
        except Exception as error:
            return error

    pool = ThreadPoolExecutor(threads)
    try:
        return list(pool.map(run, jobs))
    finally:
        list(pool.map(lambda _: (time.sleep(0.01), connections.close_all()), range(threads * 2)))
        pool.shutdown()


@pytest.mark.requirement("R55")
def test_forms_sent_at_the_same_moment_have_one_effect(committed_universe):
    universe = committed_universe
    patient = universe.screened()
    panel = universe.panel(patient, "SCR", "virology")
    chen = universe.client(universe.chen)
    forms = [
        ("/patients/screen/", {"sex": "M", "birth_date": "1980-05-05", "screened_on": patient.screened_on}, Patient),
        (f"/patients/{patient.pk}/lines/medication/",
         {"treatment": "Aspirin", "started_on": "2020", "is_ongoing": "Y"}, Medication),
        (url_of(panel), {"HIVRNA": "<50"}, Measurement),
    ]  # fmt: skip
    for url, changes, counted in forms:
        page, before = page_with(chen, url), counted.objects.count()
        data = {**fields_of(page), **changes}
        clients = [universe.client(universe.chen) for _ in range(6)]
        answers = at_once([lambda c=client, u=url, d=data: c.post(u, d) for client in clients])
        assert [a.status_code for a in answers] == [302] * 6, url
        assert len({a["Location"] for a in answers}) == 1
        assert counted.objects.count() == before + 1, url


def eligible_patients(universe, number):
    """Eligible patients without the way there: many are made at once."""
    with acting(universe.chen, "made for the test"):
        screened_on = today_at(universe.site) - timedelta(days=7)
        return Patient.objects.bulk_create(
            Patient(
                site=universe.site, sequence=1000 + n, number=f"{universe.site.code}-{1000 + n}", sex="M",
                birth_date=timezone.now().date() - timedelta(days=40 * 365), screened_on=screened_on,
                state=State.ELIGIBLE, protocol_version="1.0",
            )
            for n in range(number)
        )  # fmt: skip


@pytest.mark.requirement("R56")
@pytest.mark.parametrize("number", [8, 200])
def test_patients_randomised_at_once_get_distinct_consecutive_places(committed_universe, number, monkeypatch):
    universe = committed_universe
    # another, longer list than the universe's, whose arms are known to nobody here
    with acting(universe.sofia, "a longer list"):
        slot = AllocationSlot.objects.filter(stratum=universe.site.code).order_by("sequence").last()
        AllocationSlot.objects.bulk_create(
            AllocationSlot(
                allocation_list=slot.allocation_list, stratum=slot.stratum, sequence=slot.sequence + n,
                arm=("MSC", "SALINE")[n % 2],
            )
            for n in range(1, number + 1)
        )  # fmt: skip
    if number > 50:  # the plan of visits is another test's; the lock is what this one is about
        monkeypatch.setattr("django.conf.settings.AFTER_RANDOMISATION", [])
    patients = eligible_patients(universe, number)
    today = today_at(universe.site)
    jobs = [
        lambda p=patient: patient_actions.randomise_patient(patient=p, day_0=today, version=1, by=universe.chen)
        for patient in patients
    ]
    failed = [result for result in at_once(jobs, threads=min(number, 24)) if isinstance(result, Exception)]
    assert failed == []
    taken = AllocationSlot.objects.filter(patient__isnull=False)
    assert sorted(taken.values_list("sequence", flat=True)) == list(range(1, number + 1))
    assert taken.values("patient").distinct().count() == number


@pytest.mark.requirement("R56")
def test_one_patient_randomised_twice_at_once_takes_one_place(committed_universe):
    universe = committed_universe
    (patient,) = eligible_patients(universe, 1)
    today = today_at(universe.site)
    results = at_once(
        [
            lambda: patient_actions.randomise_patient(patient=patient, day_0=today, version=None, by=universe.chen)
            for _ in range(6)
        ]
    )
    assert sum(isinstance(result, Patient) for result in results) == 1
    assert sum(isinstance(result, Refused) for result in results) == 5
    assert AllocationSlot.objects.filter(patient__isnull=False).count() == 1
    assert Visit.objects.filter(patient=patient, code="W0").count() == 1


@pytest.mark.requirement("R54")
def test_of_clients_who_save_the_same_panel_one_wins_and_the_others_are_told(committed_universe):
    universe = committed_universe
    panel = universe.panel(universe.screened(), "SCR", "haematology")
    visit_steps.enter_panel(panel=panel, by=universe.chen)
    clients = [universe.client(universe.chen), universe.client(universe.wang)] * 2
    for round_number in range(3):
        pages = [page_with(client, url_of(panel)) for client in clients]
        values = [str(110 + 10 * round_number + n) for n in range(4)]
        answers = at_once(
            [
                lambda c=client, p=page, v=value: send(c, url_of(panel), p, HGB=v, reason=f"reading {v}")
                for client, page, value in zip(clients, pages, values, strict=True)
            ]
        )
        codes = [answer.status_code for answer in answers]
        assert sorted(codes) == [302, 409, 409, 409]
        winner = values[codes.index(302)]
        measurement = Measurement.objects.get(panel=panel, test="HGB")
        assert measurement.typed == winner
        written = AuditEvent.objects.filter(table="visits_measurement", record_id=measurement.pk, operation="update")
        assert written.count() == round_number + 1
        assert written.order_by("id").last().reason == f"reading {winner}"


def test_patients_screened_at_once_at_one_site_get_consecutive_numbers(committed_universe):
    universe = committed_universe
    today = today_at(universe.site)
    results = at_once(
        [
            lambda s=site: patient_actions.screen_patient(
                site=s, sex="F", birth_date=today - timedelta(days=9999), screened_on=today, by=universe.chen
            )
            for site in [universe.site, universe.other_site] * 8
        ]
    )
    assert [r for r in results if isinstance(r, Exception)] == []
    for site in (universe.site, universe.other_site):
        numbers = sorted(Patient.objects.filter(site=site).values_list("number", flat=True))
        assert numbers == [f"{site.code}-{n:03d}" for n in range(1, 9)]


@pytest.mark.requirement("R57")
def test_a_halt_opened_while_an_infusion_is_prepared_is_either_before_or_after(committed_universe):
    """The halt begins between the preparation's look at the halts and its end: it must wait until then."""
    universe = committed_universe
    patient = universe.randomised()
    visit = visit_steps.visit_of(patient, "W0")
    visit_steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs", "pregnancy"])
    order = []

    def prepare():
        visit_steps.prepare(patient=patient, visit=visit, by=universe.zhao)
        order.append("prepared")

    def halt():
        time.sleep(0.15)
        patient_actions.open_halt(scope=Scope.TRIAL, blocks=["infuse"], cause="A death", by=universe.samuel)
        order.append("halted")

    slow = infusion_actions.lock_lot

    def lock_slowly(lot, version=None):
        locked = slow(lot, version)
        time.sleep(0.5)
        return locked

    visit_steps.released_lot(
        site=patient.site, product=product_of(patient), protocol=patient.protocol, by=universe.zhao
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(infusion_actions, "lock_lot", lock_slowly)
        results = at_once([prepare, halt])
    assert [r for r in results if isinstance(r, Exception)] == []
    assert order == ["prepared", "halted"]
    prepared, halted = Preparation.objects.get(), Halt.objects.get()
    events = AuditEvent.objects.filter(table__in=["visits_preparation", "patients_halt"]).order_by("id")
    assert [e.record_id for e in events] == [prepared.pk, halted.pk]
    # and from then on nothing is prepared
    other = universe.randomised()
    visit_steps.enter_visit(patient=other, code="W0", by=universe.chen, panels=["vital_signs", "pregnancy"])
    with pytest.raises(Refused, match="A death"):
        visit_steps.prepare(patient=other, by=universe.zhao)


def product_of(patient):
    arm = AllocationSlot.objects.get(patient=patient).arm
    return patient.protocol.product(patient.protocol.arm(arm).product)


def treated_in(universe, arm, number):
    """So many patients of an arm, infused three days ago."""
    patients = []
    while len(patients) < number:
        patient = universe.randomised(day_0=today_at(universe.site) - timedelta(days=3))
        visit_steps.give_infusion(patient=patient, by=universe.chen, pharmacist=universe.zhao)
        if AllocationSlot.objects.get(patient=patient).arm == arm:
            patients.append(patient_steps.fresh(patient))
    return patients


@pytest.mark.requirement("R57")
def test_two_events_saved_at_once_are_counted_together_and_open_one_halt(committed_universe):
    """Each alone meets no rule of the trial. Whoever evaluates second sees the event of the first."""
    universe = committed_universe
    patients = treated_in(universe, "MSC", 2)
    severe = {"grade": 3, "relationship": "probable"}
    results = at_once([
        lambda p=patient: universe.event(p, began_on=p.day_0 + timedelta(days=1), **severe) for patient in patients
    ])  # fmt: skip
    assert [r for r in results if isinstance(r, Exception)] == []
    assert sorted(Halt.objects.filter(scope=Scope.TRIAL).values_list("rule", flat=True)) == ["RELATED_G3", "SENTINEL"]
    assert Halt.objects.filter(scope=Scope.PATIENT).count() == 2


@pytest.mark.requirement("R57")
@pytest.mark.parametrize("what", ["prepare", "randomise"])
@pytest.mark.parametrize("first", ["event", "other"])
def test_nothing_that_a_rule_halts_slips_through_while_the_event_is_saved(committed_universe, first, what, monkeypatch):
    """The event that meets the rule comes while somebody prepares an infusion or randomises: whoever is second waits, and
    then sees what the first has done."""
    universe = committed_universe
    [patient] = treated_in(universe, "MSC", 1)
    if what == "prepare":
        other = universe.randomised()
        visit_steps.enter_visit(patient=other, code="W0", by=universe.chen, panels=["vital_signs", "pregnancy"])
        visit_steps.released_lot(site=other.site, product=product_of(other), protocol=other.protocol, by=universe.zhao)
        act = lambda: visit_steps.prepare(patient=other, by=universe.zhao)  # noqa: E731
    else:
        other = universe.eligible()
        act = lambda: patient_steps.randomise(patient=other, by=universe.chen)  # noqa: E731
    slowed = {
        ("event", "prepare"): (stopping_actions, "states_now"), ("event", "randomise"): (stopping_actions, "states_now"),
        ("other", "prepare"): (infusion_actions, "lock_lot"), ("other", "randomise"): (randomisation, "_take_next_slot"),
    }[first, what]  # fmt: skip
    quick, is_at_it = getattr(*slowed), threading.Event()

    def slowly(*args, **kwargs):
        is_at_it.set()
        time.sleep(0.8)
        return quick(*args, **kwargs)

    monkeypatch.setattr(*slowed, slowly)

    def report():
        if first == "other":
            is_at_it.wait(20)
        return universe.event(
            patient, began_on=patient.day_0, grade=2, relationship="probable", is_serious=True, is_important=True,
            narrative="Told.",
        )  # fmt: skip

    def do():
        if first == "event":
            is_at_it.wait(20)
        return act()

    event, done = at_once([report, do])
    assert not isinstance(event, Exception), event
    assert Halt.objects.get().rule == "SERIOUS_REACTION"
    if first == "event":
        assert isinstance(done, Refused) and "Held since" in str(done), done
    else:
        assert not isinstance(done, Exception), done
        table = {"prepare": "visits_preparation", "randomise": "patients_allocationslot"}[what]
        saved = AuditEvent.objects.filter(table__in=[table, "patients_halt"]).order_by("id")
        assert [e.table for e in saved][-2:] == [table, "patients_halt"]


@pytest.mark.requirement("R57")
def test_a_visit_is_never_both_missed_and_entered(committed_universe):
    """The two halves come together, round after round: whoever is second sees the first."""
    universe = committed_universe
    patient = universe.screened()
    for visit_code, panel_code in (("SCR", "virology"), ("SCR", "haematology")):
        visit = visit_steps.visit_of(patient, visit_code)
        panel = visit.panels.get(code=panel_code)
        with acting(universe.chen, "back to the plan"):
            Visit.objects.filter(pk=visit.pk).update(state="planned", attended_on=None)
        stale = visit_steps.visit_of(patient, visit_code)
        at_once(
            [
                lambda v=stale: visit_actions.record_missed_visit(
                    visit=v, missed_because="no show", version=v.version, by=universe.chen
                ),
                lambda p=panel: visit_steps.enter_panel(panel=p, by=universe.wang),
            ]
        )
        visit.refresh_from_db()
        panel.refresh_from_db()
        assert (visit.state, panel.state) != ("missed", "entered")


def test_a_visits_day_and_its_panels_saved_at_once_lose_nothing(committed_universe):
    universe = committed_universe
    patient = universe.screened(on=today_at(universe.site) - timedelta(days=9))
    visit = visit_steps.visit_of(patient, "SCR")
    day = patient.screened_on + timedelta(days=1)
    panels = [visit.panels.get(code=code) for code in ("virology", "haematology", "t_cells")]
    results = at_once(
        [
            lambda: visit_actions.record_attendance(visit=visit, attended_on=day, version=None, by=universe.chen),
            *[
                lambda p=panel, d=n: visit_steps.enter_panel(panel=p, by=universe.wang, on=day + timedelta(days=d))
                for n, panel in enumerate(panels)
            ],
        ]
    )
    visit.refresh_from_db()
    events = AuditEvent.objects.filter(table="visits_visit", record_id=visit.pk, operation="update").order_by("id")
    assert visit.version == 1 + len(events), "every change of the visit has a version of its own"
    recorded = results[0]
    if not isinstance(recorded, Exception):
        assert visit.attended_on == day
    else:
        assert isinstance(recorded, (Refused, Stale))


def test_two_bags_cannot_bear_one_label(committed_universe):
    universe = committed_universe
    patients = [universe.randomised(seed=n) for n in (1, 2)]
    for patient in patients:
        visit_steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs", "pregnancy"])
        visit_steps.released_lot(
            site=patient.site, product=product_of(patient), protocol=patient.protocol, by=universe.zhao
        )
    pages = []
    for patient in patients:
        client = universe.client(universe.zhao)
        url = f"/visits/{visit_steps.visit_of(patient, 'W0').pk}/prepare/"
        page = page_with(client, url)
        lot = page.context["form"].fields["lot"].queryset.first()
        now = timezone.now().astimezone(page.context["form"].fields["prepared_at"].zone)
        pages.append((client, url, page, lot.pk, now.strftime("%Y-%m-%d %H:%M")))
    answers = at_once(
        [
            lambda c=c, u=u, p=p, lot=lot, t=t: send(
                c, u, p, lot=lot, viability_percent="90", label="SAME", prepared_at=t
            )
            for c, u, p, lot, t in pages
        ]
    )
    assert sorted(a.status_code for a in answers) == [302, 422]
    assert Preparation.objects.count() == 1


def test_halts_and_patients_do_not_wait_for_each_other_for_ever(committed_universe):
    """Preparing one visit and recording another of the same patient take their locks in one order."""
    universe = committed_universe
    patient = universe.randomised(day_0=today_at(universe.site) - timedelta(days=3))
    visit_steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs", "pregnancy"])
    visit_steps.prepare(patient=patient, by=universe.zhao)
    later = visit_steps.visit_of(patient, "W4")
    lot = Preparation.objects.get().lot
    jobs = [
        lambda: visit_steps.give_infusion(patient=patient, by=universe.chen, pharmacist=universe.zhao),
        lambda: visit_actions.prepare_infusion(
            visit=later,
            lot=lot,
            viability_percent=90,
            weight_kg=60,
            label="L2",
            prepared_at=timezone.now(),
            by=universe.zhao,
        ),
    ]
    given, refused = at_once(jobs)
    assert not isinstance(given, Exception), given
    assert isinstance(refused, Refused)
    assert patient_steps.fresh(patient).day_0 is not None

"""The demonstration trial: it is legal, it is the same each time, and every page has something to show."""

import json
import re
import stat
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone, translation

from patients import demo as entry
from patients.models import AllocationSlot, Consent, Disposition, Halt, Patient, State
from safety.abnormal_results import unjudged_results
from safety.coding.work import to_code
from safety.demo import play_trial, report_event, report_serious_event
from safety.listings.seen import liver_peaks
from safety.models import (
    ActionItem,
    AdverseEvent,
    Coding,
    DeclinedResult,
    Deviation,
    DismissedProposal,
    DsmbReport,
    Recommendation,
    ResultOfEvent,
    SeriousCase,
)
from safety.proposals import unjudged_among
from safety.stopping.facts import states_now
from tests.universe import come_in
from trialsite import demo, trial
from trialsite.clock import today_at
from trialsite.copies import copy_patients
from trialsite.models import AuditEvent, JobState, OutboxMessage, Site, User
from trialsite.protocol import load
from trialsite.roles import Permission, Role, can
from visits import demo as course
from visits import schedule
from visits.home import first_of_list
from visits.models import Infusion, Lot, Measurement, PanelRecord, PanelState, Query, Review, Visit, VisitState

MASKED = Path(__file__).parent.parent / "trialsite" / "protocols" / "examples" / "masked-dose-finding.toml"

CHINESE = re.compile("[\u4e00-\u9fff]")


def play(patients, sites, seed=1):
    machine = User.objects.system()
    places = demo.make_sites(sites, by=machine)
    people = demo.make_people(places, seed=seed, by=machine)
    return play_trial(people=people, sites=places, patients=patients, seed=seed)


def rolled_back(django_db_setup, django_db_blocker, make):
    with django_db_blocker.unblock(), transaction.atomic():
        yield make()
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def trial_of_13(django_db_setup, django_db_blocker):
    """The demo as `manage.py demo` makes it; made once for all tests that only look."""
    yield from rolled_back(django_db_setup, django_db_blocker, lambda: play(patients=13, sites=2))


@pytest.fixture
def machine(db):
    return User.objects.system()


@pytest.fixture
def masked_trial(settings):
    settings.TRIAL_PROTOCOL = str(MASKED)
    trial.versions_in.cache_clear()
    yield load(MASKED)
    trial.versions_in.cache_clear()


# --- what there is to see ------------------------------------------------------------------------------


def test_thirteen_patients_are_seven_and_six(trial_of_13):
    arms = Counter(AllocationSlot.objects.taken().values_list("arm", flat=True))
    assert arms == {"MSC": 7, "SALINE": 6}


def test_some_words_are_coded_some_codes_wait_and_some_words_have_none(trial_of_13):
    states = Counter(Coding.objects.values_list("state", "is_automatic"))
    assert states["approved", True] > 10 and states["approved", False] > 10
    assert states["proposed", False] and states["rejected", False]
    assert to_code(trial_of_13.people.who(Role.DATA_MANAGER)).count()


@pytest.mark.parametrize(
    ("state", "at_least"),
    [
        (State.COMPLETED, 2),
        (State.RANDOMISED, 8),
        (State.WITHDRAWN, 1),
        (State.SCREEN_FAILED, 2),
        (State.SCREENING, 1),
        (State.ELIGIBLE, 1),
    ],
)
def test_patients_are_found_in_every_state(trial_of_13, state, at_least):
    assert Patient.objects.filter(state=state).count() >= at_least


def test_nobody_has_died(trial_of_13):
    assert not Disposition.objects.filter(state=State.DIED).exists()


def test_both_sites_have_enrolled(trial_of_13):
    assert set(AllocationSlot.objects.taken().values_list("stratum", flat=True)) == {"01", "02"}


def visits_now():
    for visit in Visit.objects.filter(patient__state=State.RANDOMISED).select_related("patient__site"):
        window = schedule.Window(visit.planned_on, visit.earliest, visit.latest)
        yield visit, schedule.standing(state=visit.state, window=window, today=today_at(visit.patient.site))


@pytest.mark.parametrize("standing", [s for s in schedule.Standing if s != "cancelled"])
def test_visits_are_found_wherever_a_visit_can_stand(trial_of_13, standing):
    assert standing in {found for _, found in visits_now()}


def test_one_infusion_of_today_waits_for_its_bag_and_one_is_ready_to_be_given(trial_of_13):
    notes = {}
    for role in (Role.COORDINATOR, Role.PHARMACIST):
        for site in Site.objects.all():
            user = trial_of_13.people.who(role, site)
            rows = first_of_list(User.objects.get(pk=user.pk), {}, "infusions")["rows"]
            notes.setdefault(role, []).extend((row["note"], row["when"]) for row in rows)
    today = today_at(Site.objects.first())
    expected = sorted([("needs: the bag", today), ("ready to be given", today)])
    assert sorted(notes[Role.COORDINATOR]) == sorted(notes[Role.PHARMACIST]) == expected


def test_the_bag_that_an_infusion_of_today_waits_for_can_be_prepared(trial_of_13):
    visit = Visit.objects.select_related("patient__site").get(
        infusion=None, preparation=None, state=VisitState.ATTENDED, planned_on=today_at(Site.objects.first())
    )  # fmt: skip
    site, arm = visit.patient.site, visit.patient.slot.arm
    product = visit.patient.protocol.arm(arm).product
    assert Lot.objects.filter(site=site, product=product).usable_on(today_at(site)).exists()


def test_a_visit_has_begun_and_is_not_complete(trial_of_13):
    begun = [
        visit
        for visit in Visit.objects.filter(state=VisitState.ATTENDED, patient__state=State.RANDOMISED)
        if {panel.state for panel in visit.panels.all()} >= {PanelState.EXPECTED, PanelState.ENTERED}
    ]
    assert len(begun) == 1


@pytest.mark.parametrize(
    ("model", "field", "values"),
    [
        (Query, "state", {"open", "answered", "closed"}),
        (Lot, "state", {"quarantined", "released", "rejected"}),
        (PanelRecord, "state", {"expected", "entered", "not_done"}),
        (AdverseEvent, "grade", {1, 2, 3}),
        (AdverseEvent, "is_ongoing", {True, False}),
        (Measurement, "flag", {"", "L", "H"}),
    ],
)
def test_every_kind_can_be_seen(trial_of_13, model, field, values):
    assert set(model.objects.values_list(field, flat=True)) == values


def test_deviations_are_recorded_by_hand_and_as_proposed_and_some_wait_for_a_judgement(trial_of_13):
    recorded = Deviation.objects.all()
    assert recorded.filter(proposal_key="").count() >= 2 and recorded.exclude(proposal_key="").count() >= 3
    assert DismissedProposal.objects.exists()
    assert recorded.filter(is_important=True).exists()
    assert recorded.filter(corrected_on=None).exists() and recorded.exclude(corrected_on=None).exists()
    assert 1 <= len(unjudged_among(Patient.objects.all())) <= 12


def test_graded_results_wait_for_a_judgement_and_some_were_declined(trial_of_13):
    waiting = unjudged_results(Patient.objects.all())
    results = [one for one in waiting if not one.is_reaction]
    assert 1 <= len(results) <= 8 and {"Anemia", "Alanine aminotransferase increased"} <= {one.event for one in results}
    assert DeclinedResult.objects.exists()
    assert Measurement.objects.filter(ungraded_because="hiv").exists()


def test_one_reaction_to_an_infusion_waits_for_a_judgement_and_others_were_reported_as_events(trial_of_13):
    waiting = [one.seen.term for one in unjudged_results(Patient.objects.all()) if one.is_reaction]
    assert waiting == ["Urticaria"]
    reported = ResultOfEvent.objects.filter(reaction__isnull=False)
    assert {(one.event.term, one.event.grade) for one in reported} == {("Fever", 2)} and reported.count() == 2


def test_three_events_are_serious_and_few_others_are_severe(trial_of_13):
    assert AdverseEvent.objects.filter(is_serious=True).count() == 3
    assert AdverseEvent.objects.filter(grade__gte=3).count() <= 8


def test_an_event_that_a_result_shows_has_its_result_and_the_liver_plot_shows_it(trial_of_13):
    """What the laboratory calls raised was measured: of that grade, on that day, linked to the event."""
    terms = {
        "alt_high": "Alanine aminotransferase increased",
        "platelets_low": "Platelet count decreased",
        "hgb": "Anemia",
    }
    events = AdverseEvent.objects.filter(term__in=terms.values())
    grades = {(event.term, event.grade) for event in events}
    assert {(terms["alt_high"], 2), (terms["alt_high"], 3)} <= grades and len({term for term, _grade in grades}) == 3
    for event in events:
        links = event.results.filter(is_withdrawn=False, measurement__isnull=False).select_related("measurement")
        assert (event.began_on, event.grade) in {(one.measurement.collected_on, one.measurement.grade) for one in links}
    severe = events.get(term=terms["alt_high"], grade=3)
    result = severe.results.get(measurement__test="ALT").measurement
    assert f"ALT {result.value / result.reported_high:.1f} times the upper limit" in severe.narrative
    peaks = liver_peaks(trial_of_13.people.who(Role.SAFETY_OFFICER))
    assert len([alt for _pk, _number, alt, _bilirubin in peaks if alt > 2]) >= 2
    assert max(alt for _pk, _number, alt, _bilirubin in peaks) > 5


def test_most_results_that_propose_an_event_are_accepted_and_those_of_late_wait(trial_of_13):
    accepted = ResultOfEvent.objects.filter(measurement__isnull=False).count()
    after = [one for one in DeclinedResult.objects.all() if "before the first infusion" not in one.reason]
    waiting = [one for one in unjudged_results(Patient.objects.all()) if not one.is_reaction]
    assert accepted > len(after) >= 1
    assert 2 <= len(waiting) <= 6 and all((today_at(one.patient.site) - one.on).days <= 60 for one in waiting)


def test_one_case_is_reported_one_is_overdue_and_one_has_its_clock_running(trial_of_13):
    first, late, fresh = SeriousCase.objects.order_by("id")
    assert not first.waits_for_judgement and first.submissions.get(duty="AUTHORITY_15").acknowledged_at
    assert late.waits_for_judgement and late.site_due_at < timezone.now()
    assert timedelta(0) < fresh.site_due_at - timezone.now() < timedelta(hours=24)
    assert not OutboxMessage.objects.filter(task="trialsite.tasks.send_email", done_at=None).exists()


def test_one_patient_has_signed_again(trial_of_13):
    signed = Counter(Consent.objects.values_list("patient", flat=True))
    assert sorted(signed.values())[-2:] == [1, 2]


def test_a_halt_was_opened_and_lifted(trial_of_13):
    assert Halt.objects.filter(rule="").exists()
    assert not Halt.objects.open().exists()


def test_a_stopping_rule_has_halted_one_patient_and_the_trials_path_has_moved(trial_of_13):
    first, *later = Halt.objects.filter(rule="PATIENT_G3").order_by("opened_at")
    assert first.lifted_at and first.crossings.count() == 1
    # what came later counts anew: an event that the sponsor alone could not exclude
    assert all(halt.lifted_at and halt.patient == first.patient for halt in later)
    y = {state.rule.code: state.y for state in states_now() if state.patient is None}
    assert y["RELATED_G3"] == 1 and y["PATIENT_G3"] == 1


def test_one_safety_report_is_made_released_read_and_recommended_on(trial_of_13):
    _waits, report = DsmbReport.objects.order_by("-cutoff")
    assert report.state == JobState.DONE and report.files.count() > 10
    assert report.release.released_by == trial_of_13.people.who(Role.STATISTICIAN)
    member = trial_of_13.people.who(Role.DSMB_MEMBER)
    assert set(report.receipts.values_list("part", "read_by")) == {("open", member.pk), ("closed", member.pk)}
    last = Recommendation.objects.order_by("pk").last()
    assert last.report == report and last.effective_at
    officer = trial_of_13.people.who(Role.SAFETY_OFFICER)
    assert report in DsmbReport.objects.visible_to(officer), "what the start page of the sponsor lists"


def test_the_second_safety_report_waits_in_the_outbox_and_goes_on_from_the_first(trial_of_13):
    report, first = DsmbReport.objects.order_by("-cutoff")
    assert report.compared_with == first and (report.cutoff - first.cutoff).days == 30
    assert AuditEvent.objects.filter(at__gt=first.entered_until, table="safety_adverseevent", operation="update")
    [message] = OutboxMessage.objects.filter(task="safety.tasks.make_dsmb_report", done_at=None)
    assert message.arguments == {"report_id": report.pk} and report.state == JobState.WAITING


def test_the_board_asks_for_different_things_and_some_are_resolved(trial_of_13):
    items = list(ActionItem.objects.all())
    assert len({item.text for item in items}) >= 3
    assert [item for item in items if item.resolved_at] and [item for item in items if not item.resolved_at]
    assert all(item.resolved_at > item.recommendation.recorded_at for item in items if item.resolved_at)


# --- it is plausible -------------------------------------------------------------------------------------


def values_of(test, visit):
    measured = Measurement.objects.filter(test=test, panel__visit__code=visit, patient__day_0__isnull=False)
    return list(measured.exclude(value=None).values_list("value", flat=True))


def test_cd4_is_between_50_and_250_at_first(trial_of_13):
    assert len(values_of("CD4", "SCR")) == 13
    assert all(50 < value <= 250 for value in values_of("CD4", "SCR"))


def test_the_parts_of_cd4_are_together_no_more_than_all(trial_of_13):
    parts = Measurement.objects.filter(test__in=["NVCD4P", "CMCD4P", "EMCD4P"]).exclude(value=None)
    sums = Counter()
    for part in parts:
        sums[part.panel_id] += part.value
    assert all(Decimal(80) < total <= 100 for total in sums.values())


def test_no_query_asks_about_cd4_or_virus(trial_of_13):
    assert not Query.objects.filter(test__in=["CD4", "HIVRNA"]).exists()


def test_results_come_from_laboratories_with_ranges_and_units_of_their_own(trial_of_13):
    results = Measurement.objects.filter(test="HGB", value__isnull=False)
    assert {(m.panel.laboratory.site.code, m.reported_unit) for m in results.select_related("panel__laboratory__site")} == {
        ("01", "g/L"), ("02", "g/dL"),
    }  # fmt: skip
    assert not results.filter(reference=None).exists()
    # ranges that were changed in the middle of the trial
    assert results.model.objects.filter(test="ALT", reference__valid_to__isnull=False).exists()
    assert results.model.objects.filter(test="ALT", reference__valid_to=None, panel__patient__site__code="01").exists()


def test_the_dose_of_cells_follows_from_the_weight(trial_of_13):
    for infusion in Infusion.objects.select_related("preparation__lot").filter(preparation__lot__product="UCMSC"):
        assert infusion.preparation.planned_dose == 500_000 * infusion.preparation.weight_kg


# --- it is legal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "operation", "needed"),
    [
        ("patients_consent", "insert", Permission.ENTER_DATA),
        ("patients_eligibilityassessment", "insert", Permission.DECIDE_ELIGIBILITY),
        ("patients_allocationlist", "insert", Permission.MANAGE_ALLOCATION),
        ("patients_allocationslot", "update", Permission.DECIDE_ELIGIBILITY),
        ("patients_halt", "insert", Permission.OPEN_HALTS),
        ("patients_halt", "update", Permission.RECORD_DECISIONS),
        ("visits_panelrecord", "update", Permission.ENTER_DATA),
        ("visits_laboratory", "insert", Permission.MANAGE_RANGES),
        ("visits_referencerange", "update", Permission.MANAGE_RANGES),
        ("visits_lot", "insert", Permission.MANAGE_LOTS),
        ("visits_lot", "update", Permission.MANAGE_LOTS),
        ("visits_preparation", "insert", Permission.PREPARE_INFUSIONS),
        ("visits_infusion", "insert", Permission.RECORD_INFUSIONS),
        ("safety_adverseevent", "insert", Permission.REPORT_ADVERSE_EVENTS),
        ("safety_deviation", "insert", Permission.RECORD_DEVIATIONS),
        ("safety_dismissedproposal", "insert", Permission.RECORD_DEVIATIONS),
        ("safety_dsmbreport", "insert", Permission.REQUEST_REPORTS),
    ],
)
def test_everybody_acts_within_their_role(trial_of_13, table, operation, needed):
    actors = User.objects.in_bulk(
        AuditEvent.objects.filter(table=table, operation=operation).values_list("by_id", flat=True).distinct()
    )
    assert actors
    # a stopping rule opens its halt in the name of the system
    of_people = [user for user in actors.values() if not (table == "patients_halt" and user.is_system)]
    assert of_people and all(can(user, needed) for user in of_people)


def test_nobody_acts_at_a_foreign_site(trial_of_13):
    site_of = dict(Patient.objects.values_list("pk", "site__code"))
    for user in User.objects.filter(grants__site__isnull=False):
        touched = AuditEvent.objects.filter(by_id=user.pk, patient_id__isnull=False).values_list(
            "patient_id", flat=True
        )
        assert {site_of[pk] for pk in touched.distinct()} <= {user.grants.get().site.code}


# --- the days ---------------------------------------------------------------------------------------------


def test_what_happens_carries_its_own_day(trial_of_13):
    for slot in AllocationSlot.objects.taken().select_related("patient"):
        assert 0 <= (slot.patient.day_0 - slot.taken_at.date()).days <= 3
    for panel in PanelRecord.objects.filter(state=PanelState.ENTERED, version=2):  # entered once, never corrected
        assert 0 <= (panel.entered_at.date() - panel.collected_on).days <= 20


def test_nothing_happens_today_or_later(trial_of_13):
    today = today_at(Site.objects.first())
    assert max(Visit.objects.exclude(attended_on=None).values_list("attended_on", flat=True)) < today


def test_places_of_the_list_are_taken_in_the_order_of_time(trial_of_13):
    for code in ("01", "02"):
        taken = list(AllocationSlot.objects.taken().filter(stratum=code).values_list("taken_at", flat=True))
        assert taken == sorted(taken)


def test_the_clock_goes_right_again():
    past = datetime(2020, 2, 29, 12, tzinfo=UTC)
    with demo.clock_at(past):
        assert timezone.now() == past
        assert Query._meta.get_field("raised_at").get_default() == past
    assert abs(timezone.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_agenda_goes_by_the_time_and_stops(db):
    told, agenda = [], demo.Agenda()
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)

    def tell(word):
        told.append((word, timezone.now()))
        if word == "first":
            agenda.add(noon + timedelta(hours=1), tell, word="child")

    agenda.add(noon + timedelta(hours=2), tell, word="second")
    agenda.add(noon, tell, word="first")
    agenda.add(noon + timedelta(hours=3), tell, word="never")
    agenda.run(until=noon + timedelta(hours=3))
    assert told == [("first", noon), ("child", noon + timedelta(hours=1)), ("second", noon + timedelta(hours=2))]


# --- it is the same each time, and for another trial ---------------------------------------------------------


def all_that_was_typed(seed):
    with transaction.atomic():
        play(patients=2, sites=1, seed=seed)
        panels = Measurement.objects.order_by("id").values_list("patient__number", "test", "typed", "collected_on")
        events = AdverseEvent.objects.order_by("id").values_list("patient__number", "term", "began_on", "grade")
        arms = AllocationSlot.objects.taken().values_list("patient__number", "arm")
        made = list(panels), list(events), list(arms), list(Query.objects.values_list("text", "state"))
        transaction.set_rollback(True)
    return made


def test_the_same_seed_makes_the_same_trial_and_another_another(db):
    first, again, other = (all_that_was_typed(seed) for seed in (5, 5, 6))
    assert first == again
    assert first[0] != other[0]


def test_another_trial_is_played_without_a_change(db, masked_trial):
    play(patients=6, sites=2)
    slots = AllocationSlot.objects.taken()
    assert Counter(slots.values_list("arm", flat=True)) == {"LOW": 2, "HIGH": 2, "PLACEBO": 2}
    assert max(Infusion.objects.values_list("number", flat=True)) == 6
    assert Patient.objects.filter(state=State.COMPLETED).exists()
    assert Patient.objects.filter(state=State.SCREEN_FAILED).exists()


@pytest.mark.parametrize("path", [MASKED, MASKED.parent.parent / "ucmsc-inr" / "1.0.toml"], ids=["masked", "pilot"])
def test_a_body_gives_a_result_for_every_test_of_a_protocol(path):
    from visits.results import is_implausible, read_result

    protocol = load(path)
    for seed in range(30):
        body = course.Body(seed, "FM"[seed % 2])
        body.cells = seed % 3 % 2
        for test in protocol.tests:
            if not test.computed:
                result = read_result(test, body.typed(test, 84, "W12"))
                assert result is not None or not test.required or test.code == "HEIGHT", test.code
                assert not is_implausible(test, result)


# --- the steps, as the tests' universe takes them --------------------------------------------------------------


def test_a_patient_is_brought_to_the_first_infusion_step_by_step(machine):
    site = demo.make_site(by=machine)
    who = {role: demo.make_account(username=role, role=role, site=site, by=machine).user for role in (
        Role.COORDINATOR, Role.INVESTIGATOR, Role.PHARMACIST)}  # fmt: skip
    statistician = demo.make_account(username="statistician", role=Role.STATISTICIAN, by=machine).user
    entry.make_list(by=statistician)
    patient = entry.screen_and_consent(site=site, by=who[Role.COORDINATOR])
    visits = course.enter_screening(patient=patient, by=who[Role.COORDINATOR])
    assert [visit.state for visit in visits] == [VisitState.ATTENDED]
    yesterday = today_at(site) - timedelta(days=1)
    patient = entry.make_eligible(patient=patient, by=who[Role.INVESTIGATOR], on=yesterday)
    assert patient.state == State.ELIGIBLE
    patient = entry.randomise(patient=patient, by=who[Role.INVESTIGATOR], day_0=yesterday)
    assert patient.slot.sequence == 1
    infusion = course.give_infusion(patient=patient, by=who[Role.INVESTIGATOR], pharmacist=who[Role.PHARMACIST])
    assert (infusion.number, infusion.started_at.date()) == (1, yesterday)
    visit = course.enter_visit(patient=patient, code="W0", by=who[Role.COORDINATOR])
    assert not visit.panels.filter(state=PanelState.EXPECTED).exists()
    assert report_event(patient=patient, by=who[Role.INVESTIGATOR]).sequence == 1
    assert report_serious_event(patient=patient, by=who[Role.INVESTIGATOR]).is_serious


# --- the command -------------------------------------------------------------------------------------------


def test_the_accounts_are_written_for_their_owner_only(machine, tmp_path):
    file = tmp_path / "accounts.json"
    call_command("demo", patients=1, sites=1, accounts=str(file), quiet=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    accounts = {account["user"]: account for account in json.loads(file.read_text())}
    assert set(accounts["coordinator-01"]) == {"user", "password", "role", "site", "totp_secret"}
    assert accounts["coordinator-01"]["site"] == "01"
    assert accounts["monitor"]["site"] is None
    assert {account["role"] for account in accounts.values()} == set(Role.values)
    assert all(len(account["password"]) >= 15 for account in accounts.values())
    assert all(account["totp_secret"] is None for account in accounts.values())
    for name, account in accounts.items():
        assert User.objects.get(username=name).check_password(account["password"])


@pytest.mark.django_db(databases=["default", "owner"])
def test_copies_of_patients_are_patients_with_their_records_in_the_trail(machine, client):
    play(patients=1, sites=1)
    models = (Patient, Visit, Measurement, AdverseEvent)
    once, taken, done = [model.objects.count() for model in models], AllocationSlot.objects.taken().count(), []
    copy_patients(3, done.append)
    assert done == [3]
    assert [model.objects.count() for model in models] == [4 * rows for rows in once]
    assert AllocationSlot.objects.taken().count() == 4 * taken > 0
    for model in (Patient, Measurement):
        inserted = AuditEvent.objects.filter(table=model._meta.db_table, operation="insert")
        assert set(inserted.values_list("record_id", flat=True)) == set(model.objects.values_list("pk", flat=True))
    copy = Patient.objects.get(number="01-001-3")
    assert copy.panels.exists() and Review.objects.exists() and not Review.objects.filter(patient=copy).exists()
    come_in(client, User.objects.get(username="investigator-01"))
    page = client.get(f"/patients/{copy.pk}/")
    assert page.status_code == 200 and copy.number in page.content.decode()


def test_second_factors_are_enrolled_where_they_are_required(machine, settings, tmp_path):
    settings.SECOND_FACTOR = "required"
    site = demo.make_site(by=machine)
    people = demo.make_people([site], with_second_factor=True, by=machine)
    assert Authenticator.objects.count() == len(people.accounts)
    secrets = {account.totp_secret for account in people.accounts}
    assert len(secrets) == len(people.accounts)
    assert all(len(secret) == 32 for secret in secrets)


def test_the_demo_wants_an_empty_database(machine):
    demo.make_site(by=machine)
    with pytest.raises(CommandError, match="already"):
        call_command("demo", quiet=True)


def test_the_demo_is_not_made_in_production(machine, settings):
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="invented patients"):
        call_command("demo", quiet=True)
    assert not Site.objects.exists()


PROTOCOLS = MASKED.parent.parent
SHIPPED = [path for path in (*PROTOCOLS.iterdir(), *(PROTOCOLS / "examples").iterdir()) if path.suffix == ".toml" or
           (list(path.glob("*.toml")) and path.name not in ("examples", "zh-hans"))]  # fmt: skip


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_demo_of_every_protocol_shipped_runs_and_its_names_are_in_both_languages(settings, db, path):
    settings.TRIAL_PROTOCOL = str(path)
    trial.versions_in.cache_clear()
    try:
        play(patients=3, sites=1)
        newest = trial.current_protocol().version
        assert Patient.objects.filter(protocol_version=newest, state=State.RANDOMISED).exists()
        for code in ("en", "zh-hans"):
            with translation.override(code):
                names = [thing.name for p in trial.versions().values() for thing in (*p.visits, *p.panels)]
                assert all(bool(CHINESE.search(name)) == (code == "zh-hans") for name in names), names
    finally:
        trial.versions_in.cache_clear()

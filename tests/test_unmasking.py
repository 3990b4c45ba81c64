"""Emergency unmasking: one patient, one person, with reason and both factors; everybody else stays blind (R45, R46)."""

from datetime import timedelta

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone

from patients import actions
from patients.arms import TOLD_FOR, arm_told_by, arms_seen_by
from patients.models import AllocationSlot, Patient, Unmasking
from safety.proposals import unjudged_of
from tests.test_blinding import TELLING, masked_universe
from tests.test_people import SECRET, code
from tests.universe import PASSWORD, fields_of, send
from trialsite import actions as accounts
from trialsite import mails, outbox, trial
from trialsite.audit import acting
from trialsite.clock import day_at
from trialsite.models import AuditEvent, Email, OutboxMessage, SecurityEvent, User
from trialsite.roles import Role
from trialsite.saving import Refused

WHY = {"category": "medical_emergency", "explanation": "Anaphylaxis; adrenaline given"}


@pytest.fixture(scope="module")
def masked_world(django_db_setup, django_db_blocker):
    """A masked trial with two randomised patients; an investigator at each site."""
    with masked_universe(django_db_blocker) as universe:
        universe.patient, universe.other = universe.randomised(), universe.randomised(seed=2)
        universe.candidate = universe.screened(seed=3)
        yield universe


@pytest.fixture
def masked(masked_world):
    with transaction.atomic():
        yield masked_world
        transaction.set_rollback(True)


def address(patient):
    return f"/patients/{patient.pk}/unmask/"


def unmask(masked, patient=None, by=None, **changes):
    return actions.unmask_patient(patient=patient or masked.patient, **{**WHY, **changes}, by=by or masked.wang)


def arm_of(patient):
    return AllocationSlot.objects.get(patient=patient).arm


@pytest.mark.requirement("R46")
def test_with_reason_and_password_the_arm_of_this_patient_is_shown(masked):
    wang = masked.client(masked.wang)
    answer = send(wang, address(masked.patient), **WHY, password=PASSWORD)
    unmasking = Unmasking.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/patients/unmaskings/{unmasking.pk}/")
    page = wang.get(answer["Location"])
    arm = trial.current_protocol().arm(arm_of(masked.patient))
    assert arm.name in page.content.decode() and "no-store" in page["Cache-Control"]
    assert (unmasking.patient, unmasking.unmasked_by, unmasking.is_again) == (masked.patient, masked.wang, False)
    assert (unmasking.category, unmasking.explanation) == tuple(WHY.values())


@pytest.mark.requirement("R46")
@pytest.mark.parametrize(
    "lacks", [{"password": "wrong words altogether"}, {"password": ""}, {"explanation": " "}, {"category": ""}]
)
def test_without_reason_or_proof_nothing_is_told(masked, lacks):
    wang = masked.client(masked.wang)
    answer = send(wang, address(masked.patient), **{**WHY, "password": PASSWORD, **lacks})
    assert answer.status_code == 422 and not TELLING.search(answer.content)
    assert PASSWORD not in answer.content.decode()
    assert not Unmasking.objects.exists() and not Email.objects.exists()


@pytest.mark.requirement("R46")
def test_with_a_device_the_code_is_asked_for_too_and_each_time(masked):
    accounts.enrol_second_factor(user=masked.wang, secret=SECRET, by=masked.wang)
    wang = masked.client(masked.wang)
    assert send(wang, address(masked.patient), **WHY, password=PASSWORD).status_code == 422
    assert send(wang, address(masked.patient), **WHY, password=PASSWORD, code="000000").status_code == 422
    the_code = code()
    assert send(wang, address(masked.patient), **WHY, password=PASSWORD, code=the_code).status_code == 302
    assert send(wang, address(masked.other), **WHY, password=PASSWORD, code=the_code).status_code == 422, "used up"
    assert Unmasking.objects.count() == 1


@pytest.mark.requirement("R25", "R46")
def test_failed_tries_are_written_down_and_told_like_failed_signatures(masked, monkeypatch):
    monkeypatch.setattr(outbox, "send", lambda message: None)
    wang = masked.client(masked.wang)
    for _ in range(3):
        send(wang, address(masked.patient), **WHY, password="wrong words altogether")
    kinds = [event.kind for event in SecurityEvent.objects.filter(user=masked.wang)]
    assert kinds.count("signature failed") == 3 and kinds.count("failed signatures") == 1
    assert Email.objects.filter(about="security").count() == 1


def test_the_same_form_sent_twice_is_one_unmasking(masked):
    wang = masked.client(masked.wang)
    page = wang.get(address(masked.patient))
    first, second = (send(wang, address(masked.patient), page, **WHY, password=PASSWORD) for _ in range(2))
    assert first["Location"] == second["Location"] and Unmasking.objects.count() == 1


@pytest.mark.requirement("R45", "R46")
def test_the_arm_is_told_to_the_person_who_unmasked_for_some_minutes_and_to_nobody_else(masked):
    unmasking = unmask(masked)
    assert arm_told_by(unmasking, masked.wang) == arm_of(masked.patient)
    people = [masked.chen, masked.li, masked.maria, masked.david, masked.samuel, masked.ines, masked.sofia]
    assert not any(arm_told_by(unmasking, user) for user in people)
    second = another_investigator(masked, masked.site)
    assert arm_told_by(unmasking, second) is None
    page = masked.client(second).get(f"/patients/unmaskings/{unmasking.pk}/")
    assert page.status_code == 200 and not TELLING.search(page.content)
    unmasking.unmasked_at = timezone.now() - TOLD_FOR - timedelta(seconds=1)
    assert arm_told_by(unmasking, masked.wang) is None
    unmasking.unmasked_at = timezone.now() + timedelta(seconds=5)
    assert arm_told_by(unmasking, masked.wang) is None


@pytest.mark.requirement("R46", "R49")
def test_who_may_unmask_no_more_is_told_no_more(masked):
    unmasking = unmask(masked)
    accounts.revoke_role(grant=masked.wang.grants.get(), reason="left", by=masked.ada)
    assert arm_told_by(unmasking, User.objects.get(pk=masked.wang.pk)) is None


def test_to_look_again_takes_another_reason_and_is_another_entry(masked):
    first, again = unmask(masked), unmask(masked, explanation="The ward asked again")
    assert (first.is_again, again.is_again) == (False, True)
    wang = masked.client(masked.wang)
    old = timezone.now() - timedelta(hours=1)
    with acting(masked.system, "an hour passes"):
        Unmasking.objects.filter(pk=first.pk).update(unmasked_at=old)
    page = wang.get(f"/patients/unmaskings/{first.pk}/").content
    assert not TELLING.search(page) and address(masked.patient).encode() in page
    assert [proposal.key for proposal in unjudged_of(masked.patient) if "unmasking" in proposal.key] == [
        f"emergency_unmasking:{first.pk}"
    ]


@pytest.mark.requirement("R45", "R46")
def test_all_other_patients_and_pages_stay_masked(masked):
    unmask(masked)
    assert arms_seen_by(masked.wang, [masked.patient, masked.other]) == {}
    wang = masked.client(masked.wang)
    for url in ("/", "/patients/", f"/patients/{masked.patient.pk}/", f"/patients/{masked.other.pk}/", "/patients/unmaskings/",
                address(masked.patient), f"/safety/casebook/{masked.patient.pk}/"):  # fmt: skip
        page = wang.get(url)
        assert page.status_code == 200 and not TELLING.search(page.content), url


@pytest.mark.requirement("R46")
def test_only_who_may_unmask_at_the_site_does(masked):
    for name in ("chen", "zhao", "li", "maria", "david", "sofia", "samuel", "dora", "ada", "ines"):
        client = masked.client(getattr(masked, name))
        assert client.get(address(masked.patient)).status_code == 403, name
        assert client.post(address(masked.patient), {**WHY, "password": PASSWORD}).status_code == 403, name
    there = masked.randomised(site=masked.other_site, by=masked.li, seed=5)
    wang = masked.client(masked.wang)
    assert wang.get(address(there)).status_code == wang.get("/patients/987654/unmask/").status_code == 404
    data = {**fields_of(wang.get(address(masked.patient))), **WHY, "password": PASSWORD}
    assert wang.post(address(there), data).status_code == 404
    accounts.grant_role(user=masked.wang, role=Role.MONITOR, site=None, by=masked.ada)  # who sees all sites now
    wang = masked.client(User.objects.get(pk=masked.wang.pk))
    assert wang.get(address(masked.patient)).status_code == 200
    assert wang.get(address(there)).status_code == wang.post(address(there), data).status_code == 403
    assert not Unmasking.objects.exists()


def another_investigator(masked, site):
    user = accounts.create_account(username="zhou", full_name="Zhou Yi", password=PASSWORD, by=masked.system)
    accounts.grant_role(user=user, role=Role.INVESTIGATOR, site=site, by=masked.ada)
    return User.objects.get(pk=user.pk)


def test_an_investigator_of_another_site_reads_nothing_of_it_in_the_log(masked):
    unmasking, zhou = unmask(masked), masked.client(another_investigator(masked, masked.other_site))
    assert masked.patient.number not in zhou.get("/patients/unmaskings/").content.decode()
    assert zhou.get(f"/patients/unmaskings/{unmasking.pk}/").status_code == 404


def test_the_first_look_of_a_second_person_is_no_looking_again(masked):
    unmask(masked)
    assert not unmask(masked, by=another_investigator(masked, masked.site)).is_again
    assert not unmask(masked, masked.other).is_again, "of another patient"


def test_nobody_is_told_an_arm_without_an_explanation(masked):
    with pytest.raises(Refused) as refusal:
        unmask(masked, explanation=" ")
    assert "explanation" in refusal.value.errors and not Unmasking.objects.exists()


def test_there_is_no_arm_to_tell_before_randomisation(masked):
    with pytest.raises(Refused):
        unmask(masked, masked.candidate)
    page = masked.client(masked.wang).get(address(masked.candidate)).content.decode()
    assert "not randomised" in page and "password" not in page


def test_in_an_open_trial_nothing_is_masked(universe):
    patient = universe.randomised()
    page = universe.client(universe.wang).get(address(patient)).content.decode()
    assert "nothing is masked" in page and 'name="password"' not in page
    assert address(patient) not in universe.client(universe.wang).get(f"/patients/{patient.pk}/").content.decode()
    with pytest.raises(Refused):
        actions.unmask_patient(patient=patient, **WHY, by=universe.wang)


def test_what_is_held_or_ended_can_still_be_unmasked(masked):
    with acting(masked.david, "closed"):
        Patient.objects.filter(pk=masked.patient.pk).update(hold="locked", state="died")
    assert unmask(masked).pk


# --- who is told that, and never the arm --------------------------------------------------------------------


@pytest.mark.requirement("R46")
def test_the_sponsors_safety_officers_are_told_without_arm_or_patient(masked, settings):
    with acting(masked.system, "for the test"):
        User.objects.filter(pk=masked.samuel.pk).update(email="samuel@sponsor.invalid", language="en")
    unmask(masked, explanation="Reaction to ZQARMHIGH?")
    [message] = OutboxMessage.objects.filter(task="trialsite.tasks.send_email")
    assert mails.send(message.arguments["email_id"], message.pk)
    [notice] = mail.outbox
    assert notice.to == ["samuel@sponsor.invalid"]
    assert "site 01" in notice.subject and "Wang Jun" in notice.body and "medical emergency" in notice.body
    assert not TELLING.search((notice.subject + notice.body).encode()) and masked.patient.number not in notice.body
    message.refresh_from_db()
    assert message.done_at


@pytest.mark.requirement("R46")
def test_where_no_officer_has_an_address_those_who_watch_are_told(masked, settings):
    settings.ALERT_EMAIL = ["watch@sponsor.invalid"]
    there = accounts.create_account(
        username="sven", full_name="Sven Olsen", email="sven@sponsor.invalid", password=PASSWORD, by=masked.system
    )
    accounts.grant_role(user=there, role=Role.SAFETY_OFFICER, site=masked.other_site, by=masked.ada)
    unmask(masked)
    assert set(Email.objects.values_list("address", flat=True)) == {"", "watch@sponsor.invalid"}, (
        "not those of another site"
    )


@pytest.mark.requirement("R45", "R46")
def test_the_log_is_read_by_those_who_may_and_names_no_arm(masked):
    unmasking = unmask(masked)
    for name in ("wang", "sofia", "samuel", "ines"):
        client = masked.client(getattr(masked, name))
        for url in ("/patients/unmaskings/", f"/patients/unmaskings/{unmasking.pk}/"):
            page = client.get(url)
            assert page.status_code == 200 and "Anaphylaxis" in page.content.decode(), (name, url)
        assert "Unmasked patients" in client.get("/").content.decode()
    assert not TELLING.search(masked.client(masked.samuel).get(f"/patients/unmaskings/{unmasking.pk}/").content)
    for name in ("chen", "zhao", "li", "maria", "david", "dora", "ada"):
        client = masked.client(getattr(masked, name))
        for url in ("/patients/unmaskings/", f"/patients/unmaskings/{unmasking.pk}/"):
            assert client.get(url).status_code == 403, (name, url)


@pytest.mark.requirement("R6", "R45", "R46")
def test_the_trail_has_one_event_and_no_arm(masked):
    before = AuditEvent.objects.count()
    unmasking = unmask(masked)
    [event] = AuditEvent.objects.order_by("pk")[before:]
    assert (event.table, event.operation, event.by_id, event.patient_id) == (
        "patients_unmasking", "insert", masked.wang.pk, masked.patient.pk)  # fmt: skip
    assert not TELLING.search(str(event.after).encode())
    # whose words might tell more than they should: not for those who may not open the log
    history = f"/history/patients/unmasking/{unmasking.pk}/"
    assert [masked.client(who).get(history).status_code for who in (masked.chen, masked.maria, masked.samuel)] == [
        404
    ] * 3


def test_the_patients_page_says_that_and_when_and_the_system_sees_a_deviation(masked):
    page = f"/patients/{masked.patient.pk}/"
    chen = masked.client(masked.chen)
    assert "unmasked on" not in chen.get(page).content.decode()
    unmasking = unmask(masked)
    day = day_at(masked.site, unmasking.unmasked_at)
    assert f"unmasked on {day}" in chen.get(page).content.decode()
    [proposal] = [one for one in unjudged_of(masked.patient) if one.key.startswith("emergency_unmasking")]
    assert (proposal.category, proposal.is_important, proposal.on) == ("blinding", True, day)
    assert not TELLING.search(str(proposal.sentence).encode())


def test_a_report_lists_those_up_to_its_cut_off(masked):
    first = unmask(masked)
    between = timezone.now()
    unmask(masked, masked.other)
    assert list(Unmasking.objects.until(between)) == [first]
    assert Unmasking.objects.until(timezone.now()).count() == 2

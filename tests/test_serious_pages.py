"""Pages of serious cases, the e-mails about them, and the CIOMS I form."""

import subprocess
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from safety import actions, tasks
from safety.cioms import cioms_pdf, form_of, result_of
from safety.models import SeriousCase, SponsorAssessment, Submission
from tests.universe import PASSWORD, fields_of, send
from trialsite import mails, trial
from trialsite.actions import create_account, grant_role
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.models import Email, OutboxMessage, User
from visits import demo as visit_steps
from visits.models import Preparation, Query

SERIOUS = {"is_serious": True, "is_hospitalisation": True, "grade": 3, "relationship": "possible", "infusion_number": 1,
           "narrative": "患者寒战。Fever of 39.2 °C."}  # fmt: skip


@pytest.fixture(scope="module")
def patient(world):
    return world.infused()


@pytest.fixture
def case(unchanged, patient):
    event = unchanged.event(patient, **SERIOUS)
    return SeriousCase.objects.select_related("event", "patient__site").get(event=event)


def address(name, record):
    return reverse(f"safety:{name}", args=[record.pk])


def text_of(client, url):
    response = client.get(url)
    assert response.status_code == 200, (url, response.status_code)
    return response.content.decode()


def to_sponsor(universe, case, **more):
    return actions.report_case(case=case, version=None, by=universe.wang, **more)


# --- pages ---------------------------------------------------------------------------------------------------


def test_the_way_of_a_case_from_the_site_to_the_authority(unchanged, case):
    chen, samuel = unchanged.client(unchanged.chen), unchanged.client(unchanged.samuel)
    assert "Serious cases to report" in text_of(chen, "/")
    assert case.patient.number in text_of(samuel, "/")
    page = text_of(chen, address("show_case", case))
    assert "Report to the sponsor" in page and "h left" in page and "15 days left" in page
    assert send(chen, address("report_case", case), summary="first").status_code == 302
    judged = send(
        samuel, address("judge_case", case), causality="suspected", comment="Close in time.", password=PASSWORD
    )
    assert judged.status_code == 302
    assert "reason" in fields_of(samuel.get(address("judge_case", case))), "to judge anew takes one"
    assert SponsorAssessment.objects.get(case=case).expectedness == "unexpected", "as the list proposed"
    now = f"{timezone.now().astimezone(ZoneInfo(case.patient.site.timezone)):%Y-%m-%d %H:%M}"
    values = {"report": "AUTHORITY_15.first", "sent_at": now, "reference": "NMPA-17"}
    assert send(samuel, address("record_submission", case), **values).status_code == 302
    answer = {"acknowledged_at": now, "acknowledgement": "Received"}
    submission = Submission.objects.get(case=case, duty="AUTHORITY_15")
    assert send(samuel, address("acknowledge_submission", submission), **answer).status_code == 302
    page = text_of(samuel, address("show_case", case))
    assert "NMPA-17" in page and "Received" in page and "Close in time." in page


def test_a_judgement_without_the_password_is_not_signed(unchanged, case):
    samuel = unchanged.client(unchanged.samuel)
    values = {"causality": "excluded", "expectedness": "expected", "comment": "x"}
    assert send(samuel, address("judge_case", case), **values, password="guess").status_code == 422
    assert not SponsorAssessment.objects.filter(case=case).exists()


@pytest.mark.requirement("R14")
def test_the_sponsor_sends_nothing_in_the_name_of_the_site_and_the_site_judges_nothing(unchanged, case):
    samuel, chen = unchanged.client(unchanged.samuel), unchanged.client(unchanged.chen)
    for page in ("report_case", "choose_case_records"):
        assert samuel.get(address(page, case)).status_code == 403
    for page in ("judge_case", "freeze_case"):
        assert chen.get(address(page, case)).status_code == 403
    to_sponsor(unchanged, case)
    offered = text_of(chen, address("record_submission", case))
    assert "ETHICS.first" in offered and "AUTHORITY" not in offered
    offered = text_of(samuel, address("record_submission", case))
    assert "AUTHORITY_7.first" in offered and "ETHICS" not in offered
    refused = send(chen, address("record_submission", case), report="AUTHORITY_15.first", sent_at="2026-01-01 10:00")
    assert refused.status_code == 422


def test_the_list_shows_the_next_deadline_first(unchanged, patient, case):
    unchanged.event(patient, **{**SERIOUS, "aware_at": timezone.now() - timedelta(hours=2), "term": "Sepsis"})
    page = text_of(unchanged.client(unchanged.chen), reverse("safety:list_cases"))
    assert page.index("Sepsis") < page.index(case.event.term)
    assert "No case fits" in text_of(unchanged.client(unchanged.chen), reverse("safety:list_cases") + "?which=overdue")


def test_the_list_is_narrowed_to_what_is_due_overdue_or_to_be_judged(unchanged, patient, case):
    samuel = unchanged.client(unchanged.samuel)

    def shown(which):
        return {
            row["case"].event.term for row in samuel.get(reverse("safety:list_cases"), {"which": which}).context["rows"]
        }

    def made(term, **due):
        event = unchanged.event(patient, **{**SERIOUS, "term": term})
        with acting(unchanged.system, "for the test"):
            SeriousCase.objects.filter(event=event).update(**due)

    past, later = (timezone.now() + timedelta(hours=hours) for hours in (-1, 1))
    made("Sepsis", site_due_at=past, sponsor_due_at=later)
    made("Stroke", site_due_at=later, sponsor_due_at=past)
    made("Chills", site_due_at=None, sponsor_due_at=None, waits_for_judgement=False)
    first = case.event.term
    assert shown("") == shown("nonsense") == {first, "Sepsis", "Stroke", "Chills"}
    assert shown("open") == shown("judge") == {first, "Sepsis", "Stroke"}
    assert shown("overdue") == {"Sepsis", "Stroke"}


def test_a_report_that_was_sent_is_offered_once_and_noted_by_whoever_owes_it(unchanged, case):
    chen, samuel = unchanged.client(unchanged.chen), unchanged.client(unchanged.samuel)
    to_sponsor(unchanged, case)
    now = f"{timezone.now().astimezone(ZoneInfo(case.patient.site.timezone)):%Y-%m-%d %H:%M}"
    assert send(chen, address("record_submission", case), report="ETHICS.first", sent_at=now).status_code == 302
    offered = text_of(chen, address("record_submission", case))
    assert "ETHICS.first" not in offered and "ETHICS.follow_up" in offered
    sent = Submission.objects.get(case=case, duty="ETHICS")
    assert samuel.get(address("acknowledge_submission", sent)).status_code == 403, "it is the site's report"
    answer = {"acknowledged_at": now, "acknowledgement": "Received"}
    assert send(chen, address("acknowledge_submission", sent), **answer).status_code == 302
    actions.record_submission(
        case=case, case_version=sent.case_version, duty="AUTHORITY_15", stage="first", sent_at=timezone.now(),
        version=None, by=unchanged.samuel,
    )  # fmt: skip
    theirs = Submission.objects.get(case=case, duty="AUTHORITY_15")
    assert chen.get(address("acknowledge_submission", theirs)).status_code == 403


def test_a_form_that_was_opened_before_the_event_changed_is_not_saved(unchanged, case):
    samuel = unchanged.client(unchanged.samuel)
    page = samuel.get(address("judge_case", case))
    actions.change_adverse_event(
        event=case.event, values={"is_life_threatening": True, "grade": 4}, version=None, reason="x", by=unchanged.chen
    )
    stale = send(samuel, address("judge_case", case), page=page, causality="excluded", comment="x", password=PASSWORD)
    assert stale.status_code == 409


def test_results_and_medications_are_chosen_on_a_page(unchanged, case):
    chen = unchanged.client(unchanged.chen)
    page = chen.get(address("choose_case_records", case))
    assert page.status_code == 200 and "version" in fields_of(page)
    assert send(chen, address("choose_case_records", case)).status_code == 302


def test_the_day_of_knowledge_is_corrected_with_a_reason(unchanged, case):
    samuel = unchanged.client(unchanged.samuel)
    values = {"sponsor_knew_at": "2026-11-01 10:00"}
    assert send(samuel, address("correct_knowledge", case), **values).status_code == 422
    assert send(samuel, address("correct_knowledge", case), **values, reason="telephone").status_code == 302
    assert unchanged.client(unchanged.chen).get(address("correct_knowledge", case)).status_code == 404


# --- the form ------------------------------------------------------------------------------------------------


def words_of(pdf, tmp_path):
    file = tmp_path / "form.pdf"
    file.write_bytes(pdf)
    return subprocess.run(["pdftotext", "-layout", str(file), "-"], capture_output=True, text=True, check=True).stdout


def test_the_cioms_form_is_made_of_what_was_frozen(unchanged, case, tmp_path):
    version = to_sponsor(unchanged, case)
    client = unchanged.client(unchanged.samuel)
    response = client.get(address("download_cioms", version))
    assert response["Content-Type"] == "application/pdf" and "no-store" in response["Cache-Control"]
    assert case.number in response["Content-Disposition"] and case.patient.number not in response["Content-Disposition"]
    text = words_of(response.content, tmp_path)
    for words in ("SUSPECT ADVERSE REACTION REPORT", "CIOMS FORM", case.number, case.patient.number, "患者寒战", "39.2 °C",
                  "DID REACTION ABATE", "24d.", "page 1 of 1"):  # fmt: skip
        assert words in text, words
    again = client.get(address("download_cioms", version)).content
    assert again == response.content, "equal versions and eyes give equal bytes"
    actions.change_adverse_event(
        event=case.event, values={"narrative": "Something else"}, version=None, reason="x", by=unchanged.chen
    )
    assert client.get(address("download_cioms", version)).content == again


def test_what_does_not_fit_goes_on_on_the_next_page_whole(unchanged, patient, tmp_path):
    long = "\n".join(f"Line {n} of a long story that is told by the investigator of the site." for n in range(80))
    event = unchanged.event(patient, **{**SERIOUS, "narrative": long})
    version = to_sponsor(unchanged, event.case)
    text = words_of(cioms_pdf(version, unchanged.samuel), tmp_path)
    first, *others = text.split("\f")
    assert "continued" in first and "Line 79" not in first
    assert all(f"Line {n} " in "".join(others) for n in range(80))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ("7", "40", "normal 7 to 40, "),
        (None, "40", "normal up to 40, "),
        ("115", None, "normal from 115, "),
        (None, None, "("),
    ],
)
def test_a_result_on_the_form_has_its_range_and_its_unit_as_people_write_it(low, high, words):
    lab = {"test": "WBC", "result": "12", "unit": "10^9/L", "low": low, "high": high, "flag": "", "on": "2026-11-02"}
    assert result_of(lab, trial.current_protocol()) == f"White blood cells 12 10⁹/L ({words.strip('(')}2026-11-02)"


def test_the_product_is_masked_for_eyes_that_may_not_see_arms(unchanged, case):
    version = to_sponsor(unchanged, case)
    masked = form_of(version, None)
    assert masked["14"] == ["#1 Sodium chloride 0.9 % or Umbilical-cord mesenchymal stem cells (masked)"]
    assert masked["15"] == ["#1 masked"]
    open_eyes = form_of(version, "SALINE")
    assert open_eyes["14"] == ["#1 Sodium chloride 0.9 %"]
    assert "MSC" not in str({key: value for key, value in version.content.items() if key not in ("trial", "case")})


@pytest.mark.requirement("R45")
def test_in_an_open_trial_the_form_names_product_and_lot_and_there_is_no_other_copy(unchanged, case, tmp_path):
    """In a masked one: tests/test_serious_copies.py."""
    version, samuel = to_sponsor(unchanged, case), unchanged.client(unchanged.samuel)
    assert samuel.get(address("ask_for_authority_copy", version)).status_code == 404
    assert "masked" not in text_of(samuel, address("show_case", case))
    text = " ".join(words_of(samuel.get(address("download_cioms", version)).content, tmp_path).split())
    assert "(masked)" not in text and "UNMASKED" not in text
    assert f"; lot {Preparation.objects.get(patient=case.patient).lot.number} (infusion 1)" in text


def test_the_dose_has_its_digits_in_groups(unchanged, case):
    assert form_of(to_sponsor(unchanged, case), "MSC")["15"] == ["#1 500,000 cells per kg, per infusion"]


def test_the_sponsors_address_stands_below_its_name(unchanged, case, monkeypatch):
    version, protocol = to_sponsor(unchanged, case), trial.current_protocol()
    address_of = "100 Xisihuan Zhonglu, Beijing"
    named = protocol.model_copy(
        update={"trial": protocol.trial.model_copy(update={"sponsor": "Hospital", "sponsor_address": address_of})}
    )
    monkeypatch.setattr(trial, "protocol", lambda version: named)
    assert form_of(version, None)["24a"] == f"Hospital\n{address_of}"
    monkeypatch.setattr(trial, "protocol", lambda version: protocol)
    assert form_of(version, None)["24a"] == f"{protocol.trial.sponsor}\n{protocol.trial.registry}"


def test_the_treatment_is_given_for_an_indication_and_not_for_the_trial(unchanged, case, monkeypatch):
    version, protocol = to_sponsor(unchanged, case), trial.current_protocol()
    assert form_of(version, None)["17"] == ["#1 HIV-1 infection, immune non-response to antiretroviral therapy"]
    without = protocol.model_copy(update={"trial": protocol.trial.model_copy(update={"indication": ""})})
    monkeypatch.setattr(trial, "protocol", lambda version: without)
    assert form_of(version, None)["17"] == [f"#1 {protocol.trial.short_title}"]


def test_the_first_form_that_goes_to_the_authority_is_an_initial_one(unchanged, case):
    """Field 25a: the site's version goes to the sponsor, the one with the sponsor's judgement to the authority."""

    def judged(causality, comment="x", **more):
        actions.judge_case(
            case=case, causality=causality, expectedness="unexpected", comment=comment, version=None, by=unchanged.samuel,
            **more,
        )  # fmt: skip
        return actions.make_case_version(case=case, version=None, by=unchanged.samuel)

    def told(version):
        form = form_of(version, None)
        return form["25a"], form["version"]

    assert told(to_sponsor(unchanged, case)) == ("initial", "Initial")
    first = judged("suspected")
    assert told(first) == ("initial", "Initial, version 1")
    actions.record_submission(
        case=case, case_version=first, duty="AUTHORITY_15", stage="first", sent_at=timezone.now(), reference="x",
        version=None, by=unchanged.samuel,
    )  # fmt: skip
    assert told(first) == ("initial", "Initial, version 1"), "what was sent stays as it was"
    assert told(judged("suspected", comment="again", reason="again")) == ("followup", "Follow-up 2")
    # what goes to no authority follows the site's own report
    assert told(judged("excluded", reason="more is known")) == ("followup", "Follow-up 3")


def test_the_clock_of_the_sponsor_says_that_it_waits_for_the_written_report(unchanged, case):
    waits = "written report. That the sponsor knows of the case is recorded"
    samuel = unchanged.client(unchanged.samuel)
    assert waits in text_of(samuel, address("show_case", case))
    to_sponsor(unchanged, case)
    assert waits not in text_of(samuel, address("show_case", case))


def test_each_follow_up_says_when_the_sponsor_received_it(unchanged, case):
    """Field 24c: the first knowledge; of a follow-up the day on which its news came. A judgement of the sponsor is none."""

    def received(version):
        return form_of(version, None)["24c"]

    with acting(unchanged.system, "nine days ago"):
        knew = timezone.now() - timedelta(days=9)
        SeriousCase.objects.filter(pk=case.pk).update(sponsor_knew_at=knew)
    case.refresh_from_db()
    first = to_sponsor(unchanged, case)
    actions.judge_case(
        case=case, causality="suspected", expectedness="unexpected", comment="x", version=None, by=unchanged.samuel
    )
    judged = actions.make_case_version(case=case, version=None, by=unchanged.samuel)
    zone = ZoneInfo(case.patient.site.timezone)
    assert received(first) == received(judged) == f"{knew.astimezone(zone):%Y-%m-%d}"
    for by_site in (True, False):
        values = {"narrative": f"More is known: {by_site}"}
        actions.change_adverse_event(event=case.event, values=values, version=None, reason="x", by=unchanged.chen)
        case.event.refresh_from_db()
        made = to_sponsor(unchanged, case) if by_site else actions.make_case_version(
            case=case, version=None, by=unchanged.samuel
        )  # fmt: skip
        assert received(made) == f"{made.made_at.astimezone(zone):%Y-%m-%d}" != received(first)


def test_the_reaction_abated_only_where_the_treatment_was_stopped(unchanged, patient):
    for action, outcome, ended, answer in (
        ("drug_withdrawn", "recovered", True, "YES"), ("drug_withdrawn", "not_recovered", False, "NO"),
        ("dose_not_changed", "recovered", True, "NA"), ("drug_interrupted", "unknown", False, "NA"),
    ):  # fmt: skip
        values = {"action_taken": action, "outcome": outcome, "is_ongoing": not ended}
        values["ended_on"] = timezone.now().date() if ended else None
        event = unchanged.event(patient, **{**SERIOUS, **values})
        assert form_of(to_sponsor(unchanged, event.case), None)["20"] == answer


@pytest.fixture(scope="module")
def twice(world):
    """One who has had two infusions, the first 28 days ago."""
    today = today_at(world.site)
    patient = world.randomised(on=today - timedelta(days=40), day_0=today - timedelta(days=28))
    for number in (1, 2):
        visit_steps.give_infusion(patient=patient, by=world.chen, pharmacist=world.zhao, number=number)
    return patient


def test_whether_it_came_back_is_asked_once_it_was_given_again_and_stands_in_the_form(unchanged, patient, twice):
    chen = unchanged.client(unchanged.chen)
    once, again = (reverse("safety:report_adverse_event", args=[p.pk]) for p in (patient, twice))
    assert "reappeared" not in fields_of(chen.get(once)) and "reappeared" in fields_of(chen.get(again))
    event = unchanged.event(twice, **{**SERIOUS, "began_on": twice.day_0 + timedelta(days=2)})
    version = to_sponsor(unchanged, event.case)
    form = form_of(version, None)
    assert form["21"] == "NA" and any("not answered yet whether it reappeared" in line for line in form["26"])
    asked = Query.objects.get(record="safety.adverseevent", record_id=event.pk, check_code="event_given_again")
    assert asked.field == "reappeared"
    change = reverse("safety:change_adverse_event", args=[event.pk])
    assert send(chen, change, reappeared="yes", reason="it did").status_code == 302
    asked.refresh_from_db()
    assert asked.state == "closed"
    version = to_sponsor(unchanged, event.case)
    assert form_of(version, None)["21"] == "YES" and "event.reappeared" in version.changed
    refused = send(chen, reverse("safety:report_adverse_event", args=[twice.pk]), term="Cough", reappeared="no")
    assert refused.status_code == 422


def test_an_event_of_the_same_term_after_a_further_infusion_says_that_it_came_back(unchanged, twice):
    first = unchanged.event(twice, **{**SERIOUS, "term": "Chills", "began_on": twice.day_0 + timedelta(days=2)})
    unchanged.event(twice, term="Chills", began_on=today_at(unchanged.site), infusion_number=2)
    assert form_of(to_sponsor(unchanged, first.case), None)["21"] == "YES"


def test_the_code_stands_beside_the_words_of_the_site(unchanged, patient):
    event = unchanged.event(patient, **{**SERIOUS, "term": "FEVER"})
    assert form_of(to_sponsor(unchanged, event.case), None)["7+13"][0].startswith("FEVER (Fever, CTCAE 5.0), grade 3")


# --- e-mail --------------------------------------------------------------------------------------------------


@pytest.fixture
def with_addresses(unchanged):
    for user in (unchanged.samuel, unchanged.chen, unchanged.wang, unchanged.li):
        user.email = f"{user.username}@hospital.example"
        with acting(unchanged.system, "for this test"):
            user.save(update_fields=["email"])
    return unchanged


@pytest.fixture
def told(with_addresses, patient):
    event = with_addresses.event(patient, **SERIOUS)
    return event.case


def to(subject):
    return sorted(
        email.user.username for email in Email.objects.filter(subject__contains=subject).select_related("user")
    )


def test_a_new_case_is_told_to_the_sponsor_and_to_the_site_and_to_no_other_site(told):
    assert to("new serious case") == ["samuel"]
    assert to("serious case opened") == ["chen", "wang"]
    email = Email.objects.filter(subject__contains="new serious case").get()
    assert told.number in email.subject and told.patient.number not in email.subject + email.text
    assert not any(word in email.text for word in ("saline", "Saline", "MSC arm", str(told.patient.birth_date)))
    assert told.event.term not in email.text and "grade" not in email.text, (
        "what the site writes stays in the application"
    )
    assert len(waiting()) == 3


@pytest.mark.requirement("R44")
def test_a_safety_officer_of_one_site_does_not_read_what_others_are_told_of_another(told, unchanged):
    officer = create_account(username="olga", full_name="Olga Old", email="", password=PASSWORD, by=unchanged.system)
    grant_role(user=officer, role="safety_officer", site=unchanged.other_site, by=unchanged.system)
    page = text_of(unchanged.client(User.objects.get(pk=officer.pk)), reverse("list_emails"))
    assert told.number not in page and told.patient.number not in page
    assert told.number in text_of(unchanged.client(unchanged.samuel), reverse("list_emails"))


def waiting():
    """What is to be sent about the case. (The event opened halts, too.)"""
    about = list(Email.objects.filter(key__startswith="CN-").values_list("pk", flat=True))
    return OutboxMessage.objects.filter(done_at=None, arguments__email_id__in=about).order_by("pk")


def run_outbox():
    return [mails.send(message.arguments["email_id"], message.pk) for message in waiting()]


def test_each_notice_is_sent_once_however_often_the_job_runs(told):
    assert run_outbox() == [True] * 3
    assert run_outbox() == [] and len(mail.outbox) == 3
    message = OutboxMessage.objects.filter(done_at__isnull=False).first()
    assert mails.send(message.arguments["email_id"], message.pk) is False and len(mail.outbox) == 3
    assert {email.state for email in Email.objects.filter(key__startswith="CN-")} == {"sent"}


def test_a_worker_that_dies_before_its_note_sends_the_same_message_again(told, monkeypatch):
    message = waiting().first()
    monkeypatch.setattr("trialsite.outbox.mark_done", lambda pk: (_ for _ in ()).throw(SystemExit("killed")))
    with pytest.raises(SystemExit):
        mails.send(message.arguments["email_id"], message.pk)
    monkeypatch.undo()
    assert Email.objects.get(pk=message.arguments["email_id"]).sent_at is None
    assert mails.send(message.arguments["email_id"], message.pk)
    first, second = mail.outbox
    assert first.extra_headers["Message-ID"] == second.extra_headers["Message-ID"]
    assert Email.objects.filter(pk=message.arguments["email_id"], attempts=2).exists()


def test_a_mail_server_that_is_down_is_tried_again_and_the_page_says_so(told, monkeypatch):
    monkeypatch.setattr(
        "django.core.mail.EmailMessage.send", lambda self: (_ for _ in ()).throw(ConnectionRefusedError())
    )
    message = waiting().first()
    with pytest.raises(ConnectionRefusedError):
        mails.send(message.arguments["email_id"], message.pk)
    email = Email.objects.get(pk=message.arguments["email_id"])
    assert (email.state, email.attempts, email.failure) == ("failed", 1, "ConnectionRefusedError")
    assert OutboxMessage.objects.get(pk=message.pk).done_at is None


def test_a_person_without_an_address_is_named_on_the_page(unchanged, case):
    assert Email.objects.get(user=unchanged.samuel, key__startswith=case.number).state == "no_address"
    page = text_of(unchanged.client(unchanged.samuel), reverse("list_emails"))
    assert "no address" in page and case.number in page
    assert "Samuel" not in text_of(unchanged.client(unchanged.li), reverse("list_emails"))
    assert unchanged.client(unchanged.sofia).get(reverse("list_emails")).status_code == 403


@pytest.fixture
def at(monkeypatch):
    """Lets the job look at another hour."""

    def look(instant):
        monkeypatch.setattr(tasks.timezone, "now", lambda: instant)
        try:
            return tasks.watch_cases()
        finally:
            monkeypatch.undo()

    return look


def test_deadlines_are_told_once_before_and_once_when_they_have_passed(with_addresses, told, at):
    aware = told.event.aware_at
    assert at(aware + timedelta(hours=17)) == 0
    assert at(aware + timedelta(hours=19)) == 4, "two reports, two people at the site"
    assert at(aware + timedelta(hours=20)) == 0
    assert at(aware + timedelta(hours=25)) == 4
    assert at(aware + timedelta(hours=26)) == 0
    assert to("report overdue") == ["chen", "chen", "wang", "wang"]
    assert at(told.sponsor_due_at - timedelta(days=1)) == 1
    assert at(told.sponsor_due_at + timedelta(minutes=1)) == 1
    knew = {"sponsor_knew_at": told.opened_at - timedelta(days=3), "reason": "a telephone call before"}
    actions.correct_knowledge(case=told, **knew, version=None, by=with_addresses.samuel)
    told.refresh_from_db()
    before = to("report due by").count("samuel")
    at(told.sponsor_due_at - timedelta(days=1))
    assert to("report due by").count("samuel") == before + 1, "another deadline is told of anew"


def test_what_was_reported_is_not_told_as_due(with_addresses, told, at):
    to_sponsor(with_addresses, told)
    at(told.event.aware_at + timedelta(hours=25))
    assert to("report overdue") == ["chen", "wang"], "the ethics committee alone"


def test_the_job_opens_the_case_of_a_serious_event_that_has_none(unchanged, patient, monkeypatch):
    monkeypatch.setattr("safety.actions.adverse_events.follow_events", lambda **kwargs: None)
    event = unchanged.event(patient, **SERIOUS)
    monkeypatch.undo()
    tasks.watch_cases()
    case = SeriousCase.objects.get(event=event)
    assert case.sponsor_knew_at == event.reported_at and case.opened_by == unchanged.system

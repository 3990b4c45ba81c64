"""The casebook of a patient: the page, and the certified copy that a job makes."""

import hashlib
import json
import re
import subprocess
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import visits.actions
from patients.demo import fresh
from safety import actions
from safety import demo as safety_steps
from safety.actions import casebooks
from safety.casebook import job, lanes
from safety.casebook.lanes import Span, Thing, lay_out
from safety.casebook.record import digest_of, eyes_of, read_record
from safety.models import AdverseEvent, Casebook, CasebookDownload, CasebookFile
from tests.universe import send
from trialsite import outbox
from trialsite.as_of import CutOff
from trialsite.audit import acting
from trialsite.models import AuditEvent, JobState, OutboxMessage, User
from trialsite.saving import Refused
from visits import demo as visit_steps
from visits.models import Measurement, Review


@pytest.fixture(scope="module")
def full(world, django_db_blocker):
    """A patient of whom there is everything: infusion, event, deviation, query with an answer, a signature that is void."""
    with django_db_blocker.unblock():
        patient = world.infused()
        world.event(patient, term="Ague *bold* #panic() <b>", body_system="Infections and infestations", grade=2)
        safety_steps.record_deviation(patient=patient, by=world.chen)
        panel = world.panel(patient, "SCR", "chemistry")
        query = visit_steps.ask(panel=panel, by=world.maria)
        with acting(world.wang):
            for void in (True, False):
                Review.objects.create(
                    patient=patient, record="visits.panelrecord", record_id=panel.pk, visit=panel.visit, mark="signed",
                    record_version=1, digest="0" * 64, meaning="I saw these data", printed_name="Wang Jun",
                    roles="investigator", by=world.wang,
                    **({"void_at": timezone.now(), "void_by": world.chen, "void_because": "ALT was corrected"} if void else {}),
                )  # fmt: skip
        world.patient, world.query = fresh(patient), query
        yield world


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setattr(outbox, "send", lambda message: None)


def made(by, patient, cutoff=None, language="en"):
    """The casebook, as the job makes it."""
    casebook = actions.request_casebook(patient=patient, cutoff=cutoff or timezone.now(), language=language, by=by)
    job.run(casebook.pk, OutboxMessage.objects.latest("pk").pk)
    casebook.refresh_from_db()
    assert casebook.state == JobState.DONE, casebook.failure
    return casebook


def content_of(casebook):
    return bytes(casebook.files.get(name=job.CONTENT).content)


def text_of(casebook, tmp_path):
    file = tmp_path / "casebook.pdf"
    file.write_bytes(bytes(casebook.files.get(name=job.PDF).content))
    return subprocess.run(["pdftotext", "-layout", file, "-"], capture_output=True, check=True).stdout.decode()


def squeezed(text):
    return re.sub(r"\s|-\n\s*", "", text)


# --- the certified copy -----------------------------------------------------------------------------------------


@pytest.mark.requirement("R16")
def test_a_certified_copy_carries_data_metadata_trail_study_cutoff_pages_and_digest(full, unchanged, quiet, tmp_path):
    casebook = made(full.chen, full.patient)
    text = text_of(casebook, tmp_path)
    pages = [page for page in text.split("\f") if page.strip()]
    cover = pages[0]
    for words in (
        "Certified copy",
        full.patient.number,
        "NCT",
        casebook.digest,
        "Chen Wei",
        "Cut-off",
        full.site.timezone,
    ):
        assert words in cover, words
    for number, page in enumerate(pages, start=1):
        assert f"page {number} of {len(pages)}" in page
        assert casebook.digest in page and "Data as of" in page
    assert hashlib.sha256(content_of(casebook)).hexdigest() == casebook.digest
    all_words = squeezed(text)
    for words in (
        "Ague *bold* #panic() <b>",
        "I saw these data",
        "ALT was corrected",
        "Signatures".lower(),
        "first entry",
    ):
        assert squeezed(words) in all_words, words
    for title in ("Consent", "Eligibility", "HIV history", "Concomitant medication", "Adverse events", "Queries",
                  "Deviations from the protocol", "Marks and signatures", "Audit trail", "Infusion 1"):  # fmt: skip
        assert title in text, title


@pytest.mark.requirement("R16")
def test_every_value_of_every_panel_is_in_the_copy(full, unchanged, quiet, tmp_path):
    casebook = made(full.chen, full.patient)
    rows = json.loads(content_of(casebook))["records"]["visits_measurement"]
    assert len(rows) == Measurement.objects.filter(patient=full.patient).count() > 30
    text = squeezed(text_of(casebook, tmp_path))
    for m in Measurement.objects.filter(patient=full.patient, value__isnull=False).exclude(typed=""):
        assert squeezed(m.typed) in text, m
    assert "≤21" in text and "–21" not in text  # bilirubin has one limit, and "–21" would read as minus 21


@pytest.mark.requirement("R16")
def test_the_whole_trail_of_the_patient_is_in_the_copy(full, unchanged, quiet):
    casebook = made(full.chen, full.patient)
    told = {event["id"] for event in json.loads(content_of(casebook))["audit_trail"]}
    copies = ["safety_casebook", "safety_casebookfile"]
    there = AuditEvent.objects.filter(patient_id=full.patient.pk).exclude(table__in=copies)
    assert told == set(there.values_list("pk", flat=True)) and len(told) > 50


@pytest.mark.requirement("R16")
def test_the_same_cutoff_gives_the_same_digest_whatever_was_corrected_since_and_in_either_language(
    full, unchanged, quiet
):
    now = timezone.now()
    first = made(full.chen, full.patient, cutoff=now)
    with acting(full.chen, "misread"):
        Measurement.objects.filter(patient=full.patient, test="ALT").update(typed="77", value=77)
    again = made(full.chen, full.patient, cutoff=now, language="zh-hans")
    assert again.cutoff == first.cutoff
    assert content_of(again) == content_of(first)
    assert again.digest == first.digest


@pytest.mark.requirement("R16")
def test_a_changed_value_gives_another_digest(full, unchanged, quiet, tmp_path):
    first = made(full.chen, full.patient)
    with acting(full.chen, "misread"):
        Measurement.objects.filter(patient=full.patient, test="ALT").update(typed="77.5")
    second = made(full.chen, full.patient)
    assert second.digest != first.digest
    text = text_of(second, tmp_path)
    assert "→77.5" in squeezed(text) and "misread" in text


@pytest.mark.requirement("R16")
def test_the_digest_is_of_every_stored_value_and_every_event(full, unchanged):
    cutoff, eyes = CutOff.at(timezone.now()), eyes_of(full.chen, full.patient)

    def digest(change=lambda record: None):
        record = read_record(full.patient.pk, cutoff, eyes)
        change(record)
        return digest_of(record.content())

    assert digest() == digest()
    changes = [
        lambda record: record.rows["visits_measurement"][3].update(typed="0"),
        lambda record: record.rows["visits_review"][0].update(meaning="I did not see these data"),
        lambda record: record.trail.pop(),
        lambda record: setattr(record.trail[5], "reason", "another"),
        lambda record: record.people.update({full.chen.pk: "Chan Wei"}),
    ]
    assert len({digest(), *map(digest, changes)}) == 1 + len(changes)


def test_the_copy_is_in_the_language_of_who_asked(full, unchanged, quiet, tmp_path):
    text = text_of(made(full.chen, full.patient, language="zh-hans"), tmp_path)
    assert re.search("[\u4e00-\u9fff]{4}", text)
    assert full.patient.number in text


# --- the job ----------------------------------------------------------------------------------------------------


def test_the_job_does_nothing_twice(full, unchanged, quiet):
    casebook = made(full.chen, full.patient)
    files = list(CasebookFile.objects.values_list("pk", "sha256"))
    assert job.run(casebook.pk, OutboxMessage.objects.latest("pk").pk) is False
    assert list(CasebookFile.objects.values_list("pk", "sha256")) == files and len(files) == 2
    assert OutboxMessage.objects.latest("pk").done_at


def test_a_killed_job_is_begun_again(full, unchanged, quiet, monkeypatch):
    casebook = actions.request_casebook(patient=full.patient, cutoff=timezone.now(), language="en", by=full.chen)
    message = OutboxMessage.objects.latest("pk").pk

    def killed(*args):
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(job, "pdf_of", killed)
        job.run(casebook.pk, message)
    assert not casebook.files.exists()
    assert job.run(casebook.pk, message) is True
    assert casebook.files.count() == 2


def test_a_failure_is_told_plainly_and_can_be_asked_for_again(full, unchanged, quiet, monkeypatch):
    monkeypatch.setattr(job, "pdf_of", lambda *args: 1 / 0)
    casebook = actions.request_casebook(patient=full.patient, cutoff=timezone.now(), language="en", by=full.chen)
    assert job.run(casebook.pk, OutboxMessage.objects.latest("pk").pk) is False
    casebook.refresh_from_db()
    assert casebook.state == JobState.FAILED and "ZeroDivisionError" in casebook.failure
    browser = full.client(full.chen)
    assert "could not be made" in browser.get(f"/safety/copies/{casebook.pk}/").content.decode()
    assert send(browser, f"/safety/copies/{casebook.pk}/").status_code == 302
    casebook.refresh_from_db()
    assert casebook.state == JobState.WAITING


def test_a_second_copy_of_the_same_is_refused_while_the_first_is_being_made(full, unchanged, quiet):
    browser, address = full.client(full.chen), f"/safety/casebook/{full.patient.pk}/copy/"
    assert send(browser, address).status_code == 302
    again = send(browser, address)
    assert again.status_code == 422 and "You have asked for the same already" in again.content.decode()
    assert Casebook.objects.filter(requested_by=full.chen).count() == 1
    assert send(full.client(full.maria), address).status_code == 302, "what others asked for is their own"


def test_a_person_asks_for_so_many_copies_a_day_and_the_calendar_for_any(full, unchanged, quiet, monkeypatch):
    monkeypatch.setattr(casebooks, "CASEBOOK", replace(casebooks.CASEBOOK, most_a_day=2))
    for _ in range(2):
        made(full.chen, full.patient)
    with pytest.raises(Refused, match="2 of these in 24 hours"):
        made(full.chen, full.patient)
    with acting(full.system, "for this test"):
        Casebook.objects.filter(requested_by=full.chen).update(requested_at=timezone.now() - timedelta(days=1))
    made(full.chen, full.patient)
    for _ in range(3):
        actions.request_casebook(patient=full.patient, cutoff=timezone.now(), language="en", by=full.system)


def test_the_trail_holds_no_bytes_of_a_copy(full, unchanged, quiet):
    made(full.chen, full.patient)
    for event in AuditEvent.objects.filter(table="safety_casebookfile"):
        assert "content" not in event.after


def test_a_cutoff_in_the_future_is_refused(full, unchanged, quiet):
    with pytest.raises(Refused):
        actions.request_casebook(
            patient=full.patient, cutoff=timezone.now() + timedelta(days=1), language="en", by=full.chen
        )


# --- who may have it --------------------------------------------------------------------------------------------


def test_from_the_request_to_the_file(full, unchanged, quiet):
    browser = full.client(full.maria)
    answer = send(browser, f"/safety/casebook/{full.patient.pk}/copy/")
    assert answer.status_code == 302
    casebook = Casebook.objects.latest("pk")
    assert "Waiting" in browser.get(answer["Location"]).content.decode()
    job.run(casebook.pk, OutboxMessage.objects.latest("pk").pk)
    assert browser.get(f"/safety/copies/{casebook.pk}/progress/")["HX-Refresh"] == "true"
    page = browser.get(answer["Location"]).content.decode()
    file = casebook.files.get(name=job.PDF)
    casebook.refresh_from_db()
    assert f"/safety/copies/files/{file.pk}/" in page and casebook.digest in page
    assert browser.get(f"/safety/copies/files/{file.pk}/").status_code == 405 and not CasebookDownload.objects.exists()
    got = browser.post(f"/safety/copies/files/{file.pk}/")
    [taken] = CasebookDownload.objects.all()
    assert (taken.file, taken.by) == (file, full.maria) and AuditEvent.objects.filter(
        table="safety_casebookdownload"
    ).count() == 1
    assert "taken 1 time" in browser.get(answer["Location"]).content.decode()
    assert got.content.startswith(b"%PDF") and "no-store" in got["Cache-Control"]
    assert got["Content-Disposition"].startswith("attachment") and full.patient.number not in got["Content-Disposition"]


def test_another_sites_copy_and_another_persons_answer_like_none(full, unchanged, quiet):
    casebook = made(full.chen, full.patient)
    file = casebook.files.first()
    for person in (full.li, full.maria, full.wang):
        browser = full.client(person)
        for there, missing in (
            (f"/safety/copies/{casebook.pk}/", "/safety/copies/999999/"),
            (f"/safety/copies/{casebook.pk}/progress/", "/safety/copies/999999/progress/"),
        ):
            assert browser.get(there).status_code == browser.get(missing).status_code == 404
        there, missing = f"/safety/copies/files/{file.pk}/", "/safety/copies/files/999999/"
        assert browser.post(there).status_code == browser.post(missing).status_code == 404
    assert not CasebookDownload.objects.exists()
    li = full.client(full.li)
    for path in ("", "copy/"):
        assert li.get(f"/safety/casebook/{full.patient.pk}/{path}").status_code == 404


@pytest.mark.requirement("R49")
def test_a_role_taken_away_before_the_job_runs_is_gone(full, unchanged, quiet):
    casebook = actions.request_casebook(patient=full.patient, cutoff=timezone.now(), language="en", by=full.maria)
    revoke(full, full.maria)
    assert job.run(casebook.pk, OutboxMessage.objects.latest("pk").pk) is False
    casebook.refresh_from_db()
    assert casebook.state == JobState.FAILED and "NotAllowed" in casebook.failure and not casebook.files.exists()


@pytest.mark.requirement("R49")
def test_who_may_not_see_all_of_it_any_more_cannot_take_it(full, unchanged, quiet):
    casebook = made(full.chen, full.patient)
    revoke(full, full.chen)
    from trialsite.actions import grant_role

    grant_role(user=full.chen, role="pharmacist", site=full.site, reason="moved", by=full.system)
    browser = full.client(User.objects.get(pk=full.chen.pk))
    assert browser.post(f"/safety/copies/files/{casebook.files.first().pk}/").status_code == 403
    assert "cannot be taken" in browser.get(f"/safety/copies/{casebook.pk}/").content.decode()


def revoke(full, user):
    from trialsite.actions import revoke_role

    for grant in User.objects.get(pk=user.pk).current_grants:
        revoke_role(grant=grant, reason="left", by=full.system)


def test_who_sees_no_adverse_events_gets_none(full, unchanged, quiet, tmp_path):
    casebook = made(full.zhao, full.patient)
    assert b"Ague" not in content_of(casebook)
    text = text_of(casebook, tmp_path)
    assert "Ague" not in text and "Left out" in text
    assert "Ague" not in full.client(full.zhao).get(f"/safety/casebook/{full.patient.pk}/").content.decode()


def test_who_sees_no_adverse_events_reads_no_question_and_no_answer_about_one(full, unchanged, quiet, tmp_path):
    event = AdverseEvent.objects.get(patient=full.patient)
    query = visits.actions.raise_query(record=event, field="narrative", text="Was it malaria?", by=full.maria)
    visits.actions.answer_query(query=query, text="No, it was dengue.", version=1, by=full.chen)
    for who, sees in ((full.chen, True), (full.zhao, False)):
        casebook = made(who, full.patient)
        page = full.client(who).get(f"/safety/casebook/{full.patient.pk}/").content.decode()
        for told in (content_of(casebook).decode(), squeezed(text_of(casebook, tmp_path)), page):
            for words in ("malaria", "dengue"):
                assert (words in told) == sees, (who.username, words)


# --- the page ---------------------------------------------------------------------------------------------------


def test_the_page_costs_few_statements(full, unchanged, quiet):
    made(full.chen, full.patient)
    browser = full.client(full.chen)
    with CaptureQueriesContext(connection) as queries:
        page = browser.get(f"/safety/casebook/{full.patient.pk}/")
    assert page.status_code == 200
    assert len(queries) <= 12, [q["sql"][:100] for q in queries.captured_queries]


def test_the_page_draws_each_thing_with_its_words_and_its_way(full, unchanged):
    page = full.client(full.chen).get(f"/safety/casebook/{full.patient.pk}/").content.decode()
    event = full.patient.adverse_events.first()
    start = page.index('<svg class="lanes"')
    drawn = page[start : page.index("</svg>", start)]
    assert (
        f'href="/safety/events/{event.pk}/"' in drawn
        and ", grade 2" in drawn
        and "Ague *bold* #panic() &lt;b&gt;" in drawn
    )
    assert "Infusion 1" in drawn and 'class="lane-thing deviation"' in drawn
    for visit in full.patient.visits.all():
        assert f'href="/visits/{visit.pk}/"' in drawn
    for panel in full.patient.panels.all():
        assert f'href="/visits/panels/{panel.pk}/"' in page
    assert "void since a change" in page and "1 open query" in page
    assert 'data-plot="course-cd4"' in page and 'data-plot="course-hivrna"' in page


# --- the drawing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "span"),
    [("2026", (0, 364)), ("2026-02", (31, 58)), ("2026-02-03", (33, 33)), ("2025-12-31", (-1, -1))],
)
def test_a_partial_date_is_a_span_of_days(text, span):
    assert Span.of(text, date(2026, 1, 1)) == Span(*span)


def test_what_is_not_certain_is_soft():
    thing = Thing("a", "a", Span(0, 30), Span(60, 90), kind="medication")
    [lane] = lay_out({"m": [thing]}, first=-10, last=100, today=100).lanes
    assert [piece.is_soft for piece in lane.things[0].pieces] == [True, False, True]
    day = [Thing("b", "b", Span(5, 5), Span(9, 9))]
    [lane] = lay_out({"m": day}, first=-10, last=100, today=100).lanes
    assert [piece.is_soft for piece in lane.things[0].pieces] == [False]


def test_what_goes_on_is_open_at_today_and_what_began_before_is_cut_off():
    thing = Thing("a", "a", Span(-900, -900), is_ongoing=True)
    chart = lay_out({"m": [thing]}, first=-10, last=100, today=50)
    one = chart.lanes[0].things[0]
    assert one.open_left and one.open_right
    assert one.left == lanes.LEFT and one.right < lanes.WIDTH - lanes.RIGHT


def test_nothing_is_drawn_over_another_and_day_0_is_named():
    things = [Thing("a long name indeed", "x", Span(n, n), Span(n + 1, n + 1)) for n in range(6)]
    chart = lay_out({"m": things}, first=-10, last=300, today=100)
    assert len({one.y for one in chart.lanes[0].things}) == 6
    assert 0 in [day for _x, day in chart.ticks]
    assert len(lanes.ticks(-30, 3000)) <= lanes.MOST_TICKS + 1


@pytest.mark.requirement("R16")
def test_the_bytes_of_old_copies_are_dropped_and_the_same_can_be_made_again(full, unchanged, quiet, settings):
    settings.COPIES_KEPT = timedelta(days=3)
    casebook = made(full.chen, full.patient)
    digests = list(casebook.files.values_list("name", "size", "sha256"))
    soon, late = (timezone.now() + timedelta(days=3, minutes=minutes) for minutes in (-5, 5))
    assert actions.drop_old_casebooks(now=soon, by=full.system) == 0
    assert actions.drop_old_casebooks(now=late, by=full.system) == 2
    assert actions.drop_old_casebooks(now=late, by=full.system) == 0, "what is dropped is left alone"
    browser, file = full.client(full.chen), casebook.files.first()
    assert browser.post(f"/safety/copies/files/{file.pk}/").status_code == 404
    page = browser.get(f"/safety/copies/{casebook.pk}/").content.decode()
    assert "dropped" in page and file.sha256 in page and "/safety/copies/files/" not in page
    casebook.refresh_from_db()
    assert list(casebook.files.values_list("name", "size", "sha256")) == digests
    again = made(full.chen, full.patient, cutoff=casebook.cutoff)
    again.refresh_from_db()
    assert again.digest == casebook.digest

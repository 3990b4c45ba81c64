"""The job that makes a DSMB report: once, whole or not at all, whatever dies on the way."""

import hashlib
import threading
import time
from datetime import UTC, date, datetime
from unittest.mock import Mock

import pytest
from django.db import OperationalError, connection

from patients.models import State
from safety import tasks
from safety.actions import reports
from safety.actions.reports import repeat_dsmb_report, request_dsmb_report
from safety.dsmb.figures import PartFigures
from safety.dsmb.render import NotTypeset
from safety.models import ArmLetter, DsmbFile, DsmbReport
from safety.tasks import make_dsmb_report, request_monthly_report
from tests.dsmb_data import ARMS, SmallTrial, in_force, small_protocol
from tests.test_dsmb_figures import fill
from trialsite import jobs, outbox
from trialsite.models import AuditEvent, JobState, OutboxMessage
from trialsite.saving import Refused, Stale

CUTOFF = date(2026, 6, 30)


@pytest.fixture
def trial(db, monkeypatch):
    monkeypatch.setattr(outbox, "send", lambda message: None)
    return SmallTrial(in_force(monkeypatch, small_protocol()))


@pytest.fixture
def filled(trial):
    """A trial of four patients. Named before `asked`: what is entered after a report was asked for is not in it."""
    fill(trial)
    return trial


@pytest.fixture
def asked(trial):
    """A report that was asked for, and its message."""
    report = request_dsmb_report(cutoff=CUTOFF, by=trial.by)
    return report, OutboxMessage.objects.get()


def run(report, message):
    made = make_dsmb_report(report_id=report.pk, outbox_id=message.pk)
    report.refresh_from_db()
    message.refresh_from_db()
    return made


def test_a_request_and_its_message_are_written_together(asked):
    report, message = asked
    assert report.state == JobState.WAITING
    assert message.task in tasks.app.tasks
    assert message.arguments == {"report_id": report.pk}
    assert message.done_at is None


def test_a_cutoff_in_the_future_is_refused(trial):
    with pytest.raises(Refused) as refusal:
        request_dsmb_report(cutoff=date(2099, 1, 1), by=trial.by)
    assert list(refusal.value.errors) == ["cutoff"]
    assert not OutboxMessage.objects.exists()


def test_the_job_stores_everything_and_ends_its_message(filled, asked):
    report, message = asked
    assert run(report, message)
    assert report.state == JobState.DONE and report.percent == 100 and report.finished_at
    assert report.code_version == jobs.code_version() and report.protocol_version == "1.0"
    assert 0 < report.last_audit_event < AuditEvent.objects.latest("id").pk
    assert AuditEvent.objects.get(pk=report.last_audit_event).at <= report.entered_until
    assert message.done_at
    files = {(file.part, file.name): file for file in report.files.all()}
    assert set(files) == {
        (part, f"{stem}{language}.{kind}")
        for part, stems in (("open", ("report.pdf", "report.html", "tables.zip", "figures.json", "enrolment.svg")),
                            ("closed", ("report.pdf", "report.html", "tables.zip", "figures.json", "trend.svg")))
        for stem, kind in (name.split(".") for name in stems)
        for language in ("", ".zh-hans")
    }  # fmt: skip
    for file in files.values():
        assert file.sha256 == hashlib.sha256(file.content).hexdigest()
    kept = [
        bytes(files[part, name].content)
        for name in ("figures.json", "figures.zh-hans.json") for part in ("open", "closed")
    ]  # fmt: skip
    assert report.figures_sha256 == hashlib.sha256(b"".join(kept)).hexdigest()
    assert PartFigures.from_json(kept[0]).item("F1")
    assert set(ArmLetter.objects.values_list("arm", flat=True)) == set(ARMS)


def test_an_old_report_prints_again_without_the_data(filled, asked):
    from safety.dsmb.draw import draw_plots
    from safety.dsmb.render import render_html, render_pdf

    report, message = asked
    run(report, message)
    fill(filled)
    for part in ("open", "closed"):  # in English; the other language is one of the words alone
        kept = {file.name: bytes(file.content) for file in report.files.filter(part=part)}
        figures = PartFigures.from_json(kept["figures.json"])
        pictures = draw_plots(figures)
        assert render_pdf(figures, pictures) == kept["report.pdf"]
        assert render_html(figures, pictures) == kept["report.html"]


def test_the_job_does_nothing_twice(asked):
    report, message = asked
    run(report, message)
    version, events = report.version, AuditEvent.objects.count()
    assert not run(report, message)
    assert report.version == version and AuditEvent.objects.count() == events
    assert DsmbFile.objects.count() == 16  # an empty trial has no figures to draw


def test_the_audit_trail_tells_the_making_but_no_figures(filled, asked):
    run(*asked)
    events = AuditEvent.objects.of(asked[0])
    assert [event.reason for event in events if event.after["state"] == "done"] == [jobs.MADE]
    told = "".join(
        str(event.after) for event in AuditEvent.objects.filter(table__in=["safety_dsmbreport", "safety_dsmbfile"])
    )
    assert "'content':" not in told and "N = 2" not in told and "Fever" not in told


# --- what goes wrong


def test_a_failure_is_told_plainly_and_can_be_asked_for_again(trial, asked, monkeypatch):
    report, message = asked

    def fails(*_):
        raise NotTypeset("secret inner words")

    monkeypatch.setattr("safety.dsmb.render.render_pdf", fails)
    assert not run(report, message)
    assert report.state == JobState.FAILED and message.done_at
    assert "NotTypeset" in report.failure and "secret" not in report.failure
    assert not DsmbFile.objects.exists()
    with pytest.raises(Stale):
        repeat_dsmb_report(report=report, version=report.version - 1, by=trial.by)
    repeat_dsmb_report(report=report, version=report.version, by=trial.by)
    monkeypatch.undo()
    in_force(monkeypatch, trial.protocol)
    assert run(report, OutboxMessage.objects.latest("pk"))
    assert report.state == JobState.DONE and report.failure == ""


def test_only_a_failed_report_is_asked_for_again(trial, asked):
    with pytest.raises(Refused):
        repeat_dsmb_report(report=asked[0], version=asked[0].version, by=trial.by)


def test_a_database_that_goes_away_leaves_the_message_open(asked, monkeypatch):
    report, message = asked

    def goes_away(**_):
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(tasks, "draw_arm_letters", goes_away)
    with pytest.raises(OperationalError):
        make_dsmb_report(report_id=report.pk, outbox_id=message.pk)
    message.refresh_from_db()
    assert message.done_at is None


@pytest.mark.parametrize("state", [JobState.WAITING, JobState.RUNNING])
def test_a_dead_workers_report_is_begun_again(trial, asked, state):
    report, message = asked
    if state == JobState.RUNNING:
        jobs.begin(reports.REPORT, report.pk, by=trial.by)
    assert run(report, message)
    assert report.state == JobState.DONE


def test_a_report_that_kills_every_worker_is_given_up(trial, asked, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_BEGINNINGS", 2)
    report, message = asked
    for _ in range(2):
        jobs.begin(reports.REPORT, report.pk, by=trial.by)
    assert not run(report, message)
    assert report.state == JobState.FAILED and "TooManyBeginnings" in report.failure


def test_two_workers_do_not_make_the_same_report(asked):
    report, message = asked
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(%s, %s)", [reports.REPORT.gate, report.pk])
        assert not run(report, message)
        assert report.state == JobState.WAITING and message.done_at is None
    finally:
        other.close()  # as when a worker is killed; the server sees it a moment later
    wait_until_free()
    assert run(report, message)


def wait_until_free(seconds=10):
    for _ in range(seconds * 100):
        if not locks_held():
            return
        time.sleep(0.01)
    raise AssertionError("the lock of a closed connection is still held")


def locks_held():
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_locks where locktype = 'advisory' and classid = %s", [reports.REPORT.gate]
        )
        return cursor.fetchone()[0]


def test_the_progress_is_seen_while_the_report_is_made(asked, monkeypatch):
    seen = []
    note = jobs.note_progress

    def watch(*told, by):
        note(*told, by=by)
        seen.append(tuple(DsmbReport.objects.values_list("state", "step", "percent").get()))

    monkeypatch.setattr(jobs, "note_progress", watch)
    run(*asked)
    assert [step for _, step, _ in seen][:2] == ["reading the data", "drawing the open part"]
    percents = [percent for _, _, percent in seen]
    assert percents == sorted(percents) and {state for state, _, _ in seen} == {"running"}


# --- real transactions


@pytest.mark.django_db(transaction=True)
def test_the_data_are_read_at_one_instant(monkeypatch):
    trial = SmallTrial(in_force(monkeypatch, small_protocol()))
    from patients.models import Patient

    with jobs.one_instant():
        before = Patient.objects.count()
        elsewhere = threading.Thread(target=_screen_elsewhere, args=[trial])
        elsewhere.start()
        elsewhere.join()
        assert Patient.objects.count() == before == 0
    assert Patient.objects.count() == 1


def _screen_elsewhere(trial):
    try:
        trial.screen(date(2026, 3, 1))
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_request_is_sent_after_the_commit_and_the_job_runs_from_it(monkeypatch):
    """Request, outbox, worker: the message that the broker gets is what the job needs."""
    trial = SmallTrial(in_force(monkeypatch, small_protocol()))
    sent = []
    monkeypatch.setattr(tasks.app, "send_task", lambda name, kwargs, **_: sent.append((name, kwargs)))
    report = request_dsmb_report(cutoff=CUTOFF, by=trial.by)
    ((name, arguments),) = sent
    tasks.app.tasks[name](**arguments)
    report.refresh_from_db()
    assert report.state == JobState.DONE
    assert OutboxMessage.objects.get().done_at
    assert not locks_held()


# --- each month


@pytest.fixture
def july(monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(2026, 7, 1, 0, 30, tzinfo=UTC)

    monkeypatch.setattr(tasks, "datetime", Clock)
    monkeypatch.setattr(reports, "datetime", Clock)


def test_each_month_one_report_is_asked_for(trial, july):
    trial.screen(date(2026, 6, 30))
    pk = request_monthly_report()
    report = DsmbReport.objects.get(pk=pk)
    assert report.cutoff == date(2026, 6, 30) and report.month == "2026-07"
    assert report.requested_by.is_system
    assert request_monthly_report() is None
    assert DsmbReport.objects.count() == 1


def test_no_monthly_report_is_asked_for_before_the_first_patient(trial, july):
    trial.screen(date(2026, 7, 1))  # not in the month reported on
    assert request_monthly_report() is None


def test_of_two_clocks_one_asks_and_the_other_lets_it_be(trial, july, monkeypatch):
    trial.screen(date(2026, 6, 1))
    request_dsmb_report(cutoff=CUTOFF, month="2026-07", by=trial.by)
    with monkeypatch.context() as patch:
        patch.setattr(
            tasks, "DsmbReport", Mock(**{"objects.filter.return_value.exists.return_value": False})
        )  # too early
        assert request_monthly_report() is None
    assert DsmbReport.objects.count() == 1


def test_the_code_version_tells_the_program():
    assert jobs.code_version()[0].isdigit()


def test_a_patients_end_is_as_of_the_cutoff(trial):
    """One walk through the job with a patient who left later."""
    patient = trial.enrol("ZEBRAARM", date(2026, 3, 2))
    trial.end(patient, State.WITHDRAWN, date(2026, 7, 1))
    report = request_dsmb_report(cutoff=CUTOFF, by=trial.by)
    run(report, OutboxMessage.objects.latest("pk"))
    content = report.files.get(part="open", name="figures.json").content
    rows = {row.cells[0]: row.cells[1] for row in PartFigures.from_json(content).item("F1").rows}
    assert rows["In follow-up"] == "1 (100.0)" and rows["Withdrawn"] == "0 (0.0)"

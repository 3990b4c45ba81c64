"""The pages of the DSMB reports: who sees which part, in how many queries, and what a browser may do with a file."""

import re
import uuid
from datetime import UTC, date, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from safety.actions.reports import REPORT, request_dsmb_report
from safety.models import DsmbReport, Release, ReportDownload
from safety.tasks import make_dsmb_report
from tests.dsmb_data import SmallTrial, in_force, small_protocol
from tests.test_dsmb_figures import fill
from tests.universe import come_in
from trialsite import jobs, outbox
from trialsite.audit import acting
from trialsite.models import Grant, JobState, OutboxMessage, User
from trialsite.roles import Permission, Role, permissions_of

pytestmark = pytest.mark.django_db

CUTOFF = date(2026, 6, 30)


@pytest.fixture
def trial(monkeypatch):
    monkeypatch.setattr(outbox, "send", lambda message: None)
    return SmallTrial(in_force(monkeypatch, small_protocol()))


@pytest.fixture
def report(trial, monkeypatch):
    """A finished report of four patients; its PDF is not typeset, which takes long and is tested elsewhere."""
    monkeypatch.setattr(
        "safety.dsmb.render.render_pdf", lambda figures, pictures: b"%PDF of the " + figures.part.encode()
    )
    fill(trial)
    report = request_dsmb_report(cutoff=CUTOFF, by=trial.by)
    assert make_dsmb_report(report_id=report.pk, outbox_id=OutboxMessage.objects.latest("pk").pk)
    release(report, trial)
    return report


def release(report, trial):
    """The statistician hands it to the board; before, who only reads reports does not see it (tests/test_board.py)."""
    with acting(trial.by):
        Release.objects.create(report=report, released_by=trial.by)
    report.refresh_from_db()


@pytest.fixture
def sign_in(client, trial):
    """Sign in as a person of this role."""

    def sign_in(role):
        with acting(trial.by):
            user, _ = User.objects.get_or_create(username=role, defaults={"full_name": f"Person of role {role}"})
            Grant.objects.get_or_create(user=user, role=role, granted_by=trial.by)
        come_in(client, user)
        return user

    return sign_in


def address(name, *args):
    return reverse(f"safety:{name}", args=args)


def readers(permission):
    return [role for role in Role if permission in permissions_of(role)]


OPEN_ONLY = sorted(set(readers(Permission.READ_OPEN_REPORTS)) - set(readers(Permission.READ_CLOSED_REPORTS)))


# --- who sees what


@pytest.mark.parametrize("role", list(Role))
def test_reports_are_for_those_who_may_read_them(client, sign_in, report, role):
    sign_in(role)
    expected = 200 if role in readers(Permission.READ_OPEN_REPORTS) else 403
    for page in (address("list_reports"), address("show_report", report.pk), address("show_progress", report.pk)):
        assert client.get(page).status_code == expected, page


@pytest.mark.parametrize("role", OPEN_ONLY)
def test_the_closed_part_is_not_there_for_those_who_may_not_read_it(client, sign_in, report, role):
    sign_in(role)
    closed = [
        address("show_report", report.pk) + "?part=closed",
        *(address("download_file", report.pk, "closed", name) for name in ("report.pdf", "report.html", "trend.svg")),
    ]
    for page in closed:
        answer = client.get(page)
        assert answer.status_code == 404, page
    for page in (address("list_reports"), address("show_report", report.pk)):
        words = client.get(page).content.decode()
        assert "part=closed" not in words and "/closed/" not in words and "A (N" not in words


@pytest.mark.parametrize("role", readers(Permission.READ_CLOSED_REPORTS))
def test_the_closed_part_is_shown_to_those_who_may_read_it(client, sign_in, report, role):
    sign_in(role)
    page = client.get(address("show_report", report.pk) + "?part=closed").content.decode()
    assert "A (N = 2)" in page and "Zebra" not in page and "ZEBRAARM" not in page
    pdf = client.post(address("download_file", report.pk, "closed", "report.pdf"))
    assert pdf.status_code == 200 and pdf.content.startswith(b"%PDF")


@pytest.mark.parametrize(
    ("pk", "part", "name"),
    [
        (0, "open", "report.pdf"),
        (None, "shut", "report.pdf"),
        (None, "open", "other.pdf"),
        (None, "open", "figures.json"),
        (None, "open", "..%2Freport.pdf"),
        (None, "open", "report.pdf\x00"),
    ],
)
def test_what_is_no_file_of_a_report_is_not_there(client, sign_in, report, pk, part, name):
    sign_in(Role.DSMB_MEMBER)
    page = address("download_file", report.pk if pk is None else pk, part, name)
    assert client.get(page).status_code == 404


@pytest.mark.parametrize("asked", ["?part=shut", "?part=", "?part=closed%00"])
def test_a_part_that_does_not_exist_is_not_there(client, sign_in, report, asked):
    sign_in(Role.DSMB_MEMBER)
    assert client.get(address("show_report", report.pk) + asked).status_code == 404


# --- what is shown


def test_the_page_shows_the_tables_the_figures_and_the_digests(client, sign_in, report):
    sign_in(Role.MONITOR)
    page = client.get(address("show_report", report.pk)).content.decode()
    for words in (
        "Demographic and key baseline",
        "Total (N = 4)",
        "120.0 [120.0–120.0]",
        "2026-06-30",
        report.code_version,
    ):
        assert words in page
    for file in report.files.filter(part="open", name__in=["report.pdf", "report.html"]):
        assert file.sha256 in page
        assert address("download_file", report.pk, "open", file.name) in page
    for picture in re.findall(r'<img[^>]+src="([^"]+)"', page):
        assert client.get(picture)["Content-Type"] == "image/svg+xml"
    assert "style=" not in page and not re.search(r"<script(?![^>]+src=)", page)


def test_files_are_saved_and_figures_shown_and_neither_can_do_anything(client, sign_in, report):
    sign_in(Role.MONITOR)
    for name, kind, disposition in (
        ("report.pdf", "application/pdf", 'attachment; filename="DSMB-open-2026-06-30.pdf"'),
        ("report.html", "text/html; charset=utf-8", 'attachment; filename="DSMB-open-2026-06-30.html"'),
        ("enrolment.svg", "image/svg+xml", "inline"),
    ):
        ask = client.get if disposition == "inline" else client.post
        answer = ask(address("download_file", report.pk, "open", name))
        assert (answer["Content-Type"], answer["Content-Disposition"]) == (kind, disposition)
        assert "sandbox" in answer["Content-Security-Policy"] and "script" not in answer["Content-Security-Policy"]
        assert answer["Cache-Control"] == "no-store" and answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.requirement("R6")
def test_who_takes_a_report_is_written_down_and_looking_at_a_figure_is_not(client, sign_in, report):
    sign_in(Role.DSMB_MEMBER)
    pdf = address("download_file", report.pk, "closed", "report.pdf")
    assert client.get(pdf).status_code == 405
    assert client.get(address("download_file", report.pk, "open", "enrolment.svg")).status_code == 200
    assert client.post(address("download_file", report.pk, "open", "enrolment.svg")).status_code == 405
    assert not ReportDownload.objects.exists()
    assert client.post(pdf).status_code == 200
    [taken] = ReportDownload.objects.all()
    assert (taken.file.part, taken.file.name, taken.by.roles_text) == ("closed", "report.pdf", "DSMB member")


@pytest.mark.parametrize(
    ("state", "polls", "refreshes"),
    [("waiting", True, False), ("running", True, False), ("done", False, True), ("failed", False, True)],
)
def test_the_progress_is_asked_for_until_there_is_no_more_to_wait_for(client, sign_in, trial, state, polls, refreshes):
    report = request_dsmb_report(cutoff=CUTOFF, by=trial.by)
    with acting(trial.by, "test"):
        failure = "Broken, at noon" if state == "failed" else ""
        DsmbReport.objects.update(state=state, step="reading the data", percent=30, failure=failure)
    sign_in(Role.STATISTICIAN)
    answer = client.get(address("show_progress", report.pk))
    assert ('hx-trigger="every 2s"' in answer.content.decode()) == polls
    assert answer.headers.get("HX-Refresh") == ("true" if refreshes else None)
    if state == "running":
        assert "reading the data" in answer.content.decode() and "30 %" in answer.content.decode()
    if state == "done":
        return
    page = client.get(address("show_report", report.pk)).content.decode()
    assert ("Try again" in page.split("<main", 1)[1].split("</main>")[0]) == (state == "failed")
    assert ("Broken, at noon" in page) == (state == "failed")


# --- asking for a report


def post(client, page, **values):
    return client.post(page, {"version": 0, "idem": uuid.uuid4(), **values})


@pytest.mark.parametrize("role", readers(Permission.REQUEST_REPORTS))
def test_a_report_is_asked_for_once_however_often_the_form_is_sent(client, sign_in, trial, role):
    sign_in(role)
    assert client.get(address("request_report")).status_code == 200
    form = {"idem": uuid.uuid4(), "cutoff": "2026-06-30"}
    first, second = (post(client, address("request_report"), **form) for _ in range(2))
    report = DsmbReport.objects.get()
    assert first.status_code == second.status_code == 302
    assert first["Location"] == second["Location"] == address("show_report", report.pk)
    assert report.cutoff == CUTOFF and report.requested_by.username == role
    assert OutboxMessage.objects.count() == 1


@pytest.mark.parametrize("cutoff", ["", "2099-01-01", "30/06/2026", "2026-02-30", "1_2", "0000-00-00"])
def test_a_cutoff_that_is_no_day_until_today_is_refused(client, sign_in, trial, cutoff):
    sign_in(Role.STATISTICIAN)
    answer = post(client, address("request_report"), cutoff=cutoff)
    assert answer.status_code == 422
    assert not DsmbReport.objects.exists()


def test_who_may_not_ask_for_reports_cannot(client, sign_in, report):
    for role in set(Role) - set(readers(Permission.REQUEST_REPORTS)):
        sign_in(role)
        assert client.get(address("request_report")).status_code == 403
        assert post(client, address("request_report"), cutoff="2026-06-30").status_code == 403
        assert post(client, address("show_report", report.pk)).status_code == 403


def test_a_failed_report_is_asked_for_again_from_its_page(client, sign_in, trial):
    sign_in(Role.STATISTICIAN)
    report = request_dsmb_report(cutoff=CUTOFF, by=trial.by)
    jobs.give_up(REPORT, report.pk, failure="x", outbox_id=0, by=trial.by)
    report.refresh_from_db()
    page = address("show_report", report.pk)
    assert post(client, page, version=report.version - 1).status_code == 409
    assert post(client, page, version=report.version).status_code == 302
    report.refresh_from_db()
    assert report.state == JobState.WAITING
    assert post(client, page, version=report.version).status_code == 422


def test_a_report_is_made_again_from_its_page_and_says_the_same(client, sign_in, report):
    sign_in(Role.STATISTICIAN)
    page = address("show_report", report.pk)
    assert post(client, page, version=report.version).status_code == 302
    again = DsmbReport.objects.exclude(pk=report.pk).get()
    assert (again.cutoff, again.entered_until) == (report.cutoff, report.entered_until)
    assert make_dsmb_report(report_id=again.pk, outbox_id=OutboxMessage.objects.latest("pk").pk)
    words = client.get(page).content.decode()
    assert address("show_report", again.pk) in words and "the same figures" in words
    assert "Make it again" in words
    sign_in(Role.MONITOR)
    assert "Make it again" not in client.get(page).content.decode()


def test_the_instant_until_which_data_count_can_be_chosen(client, sign_in, trial):
    sign_in(Role.STATISTICIAN)
    answer = post(client, address("request_report"), cutoff="2026-06-30", entered_until="2026-07-14 12:00")
    assert answer.status_code == 302
    assert DsmbReport.objects.get().entered_until == datetime(2026, 7, 14, 12, tzinfo=UTC)
    answer = post(client, address("request_report"), cutoff="2026-06-30", entered_until="2026-06-29 12:00")
    assert answer.status_code == 422 and "This is before the cut-off." in answer.content.decode()


# --- how much it costs


@pytest.mark.parametrize("name", ["list_reports", "show_report", "show_progress", "download_file", "request_report"])
def test_a_page_takes_few_queries_and_writes_nothing(client, sign_in, report, name):
    sign_in(Role.DSMB_MEMBER if name != "request_report" else Role.STATISTICIAN)
    args = {
        "show_report": [report.pk], "show_progress": [report.pk], "download_file": [report.pk, "open", "enrolment.svg"],
    }  # fmt: skip
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address(name, *args.get(name, []))).status_code == 200
    assert len(queries) <= 12, [query["sql"] for query in queries]
    assert not [q["sql"] for q in queries if q["sql"].split()[0].upper() in ("INSERT", "UPDATE", "DELETE")]


def test_the_list_takes_no_more_queries_with_more_reports(client, sign_in, report, trial):
    sign_in(Role.STATISTICIAN)
    with CaptureQueriesContext(connection) as before:
        client.get(address("list_reports"))
    for _ in range(10):
        request_dsmb_report(cutoff=CUTOFF, by=trial.by)
    with CaptureQueriesContext(connection) as after:
        client.get(address("list_reports"))
    assert len(after) == len(before)

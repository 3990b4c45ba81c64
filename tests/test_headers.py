"""What every answer carries, and what it never shows."""

from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.db import OperationalError, connections
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from trialsite import pages
from trialsite.management.commands import serve
from trialsite.models import OutboxMessage

PAGES = ["/", "/patients/", "/sign-in/", "/nowhere/", "/accounts/", "/healthz/live"]  # 200, 302, 404 and 403


@pytest.fixture
def chen(world):
    client = world.client(world.chen)
    client.raise_request_exception = False
    return client


@pytest.mark.requirement("R63", "R64", "R43")
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_every_answer_carries_the_headers_that_close_the_browser(chen, path, method):
    answer = getattr(chen, method)(path)
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]
    assert answer["Cache-Control"] == "no-store" or "no-store" in answer["Cache-Control"]
    if path not in ("/healthz/live",):
        assert "charset=utf-8" in answer["Content-Type"]


@pytest.mark.requirement("R63", "R69")
def test_an_answer_of_the_doors_before_the_pages_carries_them_too(chen):
    odd = chen.generic("POST", "/sign-in/", b"x", content_type="application/x-www-form-urlencoded; charset=utf-7")
    host = chen.get("/", headers={"host": "evil.example"})
    assert odd.status_code == host.status_code == 400
    for answer in (odd, host):
        assert "default-src" in answer["Content-Security-Policy"]
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert b"evil.example" not in answer.content


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [("abcd-1234", True), ("A" * 64, True), ("", False), ("short", False), ("A" * 65, False), ("with blank", False),
     ("line\nbreak1", False), ("<script>1", False), ("ünïcödé-1", False)],
)  # fmt: skip
def test_a_plain_request_id_is_echoed_and_any_other_replaced(chen, sent, echoed):
    answer = chen.get("/", headers={"X-Request-ID": sent})
    assert (answer["X-Request-ID"] == sent) == echoed
    assert 8 <= len(answer["X-Request-ID"]) <= 64


@pytest.mark.requirement("R85")
@pytest.mark.parametrize(("path", "status"), [("/nowhere/", 404), ("/accounts/", 403), ("/patients/999999/", 404)])
def test_an_error_page_quotes_the_request_and_shows_no_trace(chen, path, status):
    answer = chen.get(path, headers={"X-Request-ID": "request-4711"})
    text = answer.content.decode()
    assert answer.status_code == status and "request-4711" in text
    for telling in ("Traceback", "psycopg", str(settings.BASE_DIR), "site-packages", "Django", "DEBUG"):
        assert telling not in text


@pytest.mark.requirement("R85")
def test_a_fault_of_ours_is_a_plain_page_with_the_request_id(chen, monkeypatch, caplog):
    monkeypatch.setattr("patients.views.patients.counts_by_state", lambda user: 1 / 0)
    answer = chen.get("/patients/", headers={"X-Request-ID": "request-4711"})
    assert answer.status_code == 500
    assert "request-4711" in answer.content.decode() and "ZeroDivision" not in answer.content.decode()
    assert "default-src" in answer["Content-Security-Policy"]
    assert any(record.levelname == "ERROR" and record.exc_info for record in caplog.records)


@pytest.mark.requirement("R85")
def test_the_last_resort_answers_even_when_the_error_page_itself_fails(rf, monkeypatch):
    monkeypatch.setattr(pages, "render_to_string", lambda *a, **k: 1 / 0)
    answer = pages.not_found(rf.get("/"))
    assert answer.status_code == 404 and answer["Content-Type"] == "text/plain"


@pytest.mark.requirement("R89")
@pytest.mark.parametrize("path", ["/", "/patients/", "/healthz/ready"])
def test_with_the_database_down_the_answer_is_503_and_asks_to_try_again(chen, monkeypatch, path):
    """Every question to the database goes to a socket behind which nobody listens."""

    def nobody_listens(*args, **kwargs):
        raise OperationalError("connection to server failed: Connection refused")

    monkeypatch.setattr(type(connections["default"]), "_cursor", nobody_listens)
    monkeypatch.setattr(pages, "probe_broker", lambda: None)
    answer = chen.get(path, headers={"X-Request-ID": "request-4711"})
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "refused" not in answer.content.decode()
    assert "default-src" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(("without_worker", "status"), [(False, 503), (True, 200)])
def test_jobs_that_wait_are_a_fault_unless_nobody_was_to_do_them(
    unchanged, settings, monkeypatch, without_worker, status
):
    monkeypatch.setattr(pages, "probe_broker", lambda: None)
    settings.NO_WORKER = without_worker
    OutboxMessage.objects.create(task="x", written_at=timezone.now() - timedelta(minutes=6))
    answer = unchanged.client(unchanged.chen).get("/healthz/ready")
    assert answer.status_code == status and answer.json()["queue"] != "ok"


@pytest.mark.parametrize(
    ("no_worker", "own_broker", "told"), [(True, True, "1"), (True, False, "0"), (False, True, "0")]
)
def test_serve_tells_the_web_process_whether_somebody_does_the_jobs(monkeypatch, no_worker, own_broker, told):
    serving, given = serve.Command(), {}
    monkeypatch.setattr(serving, "add", lambda name, command, environment, **_: given.update({name: environment}))
    serving.no_worker, serving.own_broker, serving.own_database = no_worker, own_broker, True
    serving.var, serving.listener = Path("var"), Mock()
    serving.start_programs()
    assert given["web"]["TRIALSITE_NO_WORKER"] == told and ("worker" in given) == (not no_worker)


@pytest.mark.requirement("R88", "R89")
def test_a_save_that_the_database_interrupts_says_that_nothing_was_saved(unchanged, monkeypatch):
    from tests.universe import send

    client = unchanged.client(unchanged.chen)
    client.raise_request_exception = False
    patient = unchanged.screened()

    def cancelled(**kwargs):
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr("patients.actions.save_line", cancelled)
    answer = send(client, f"/patients/{patient.pk}/lines/medication/", treatment="x", started_on="2020", is_ongoing="Y")
    assert answer.status_code == 503 and answer["Retry-After"]
    assert "Nothing was saved by this request" in answer.content.decode()


def test_the_database_that_is_really_gone_is_told_as_503(world, settings):
    """A real connection to a port at which nobody listens."""
    from django.db.backends.postgresql.base import DatabaseWrapper

    dead = {**connections["default"].settings_dict, "HOST": "127.0.0.1", "PORT": "1", "OPTIONS": {"connect_timeout": 1}}
    connection = DatabaseWrapper(dead, alias="dead")
    request = RequestFactory().get("/")
    request.id = "request-4711"
    with pytest.raises(OperationalError) as fault:
        connection.cursor()
    try:
        raise fault.value
    except OperationalError:
        answer = pages.server_error(request)
    assert answer.status_code == 503 and answer["Retry-After"]


@pytest.mark.requirement("R68")
def test_no_page_loads_anything_from_elsewhere_or_runs_text_of_its_own(unchanged):
    import re

    patient = unchanged.infused()
    client = unchanged.client(unchanged.chen)
    for url in ("/", f"/patients/{patient.pk}/", "/visits/", reverse("safety:report_adverse_event", args=[patient.pk])):
        page = client.get(url).content.decode()
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
        assert not re.findall(r"\son\w+=", page) and ' style="' not in page
        for script in re.findall(r"<script([^>]*)>([^<]*)", page):
            assert 'type="application/json"' in script[0] or not script[1].strip(), script

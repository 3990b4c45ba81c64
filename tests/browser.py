"""Real Chromium before the real system: a pytest plugin, and the only place for both.

`served` is what `manage.py serve` starts (PostgreSQL, Valkey, gunicorn, worker, scheduler), in a folder of its own and
filled with a small trial by `python -m tests.browser`; one for all tests of the run. `visitor(username)` signs a
person in with a browser context of their own and gives the page. Whatever a page complains of is kept; the
fixture fails the test for it at the end.

CHROMIUM names the browser when it is not Debian's. Without one the tests are skipped, or fail when
TRIALSITE_REQUIRE_BROWSER=1."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.utils.module_loading import import_string

from tests.test_serve import Served

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 400, "height": 800}
# a form may be refused, or be overtaken: its page comes with these
ANSWERS_TO_FORMS = (409, 422)


@pytest.fixture(scope="session")
def browser_type_launch_args():
    if not CHROMIUM.exists():
        say = pytest.fail if os.environ.get("TRIALSITE_REQUIRE_BROWSER") == "1" else pytest.skip
        say(f"no Chromium at {CHROMIUM}; on Debian: apt-get install chromium")
    # Playwright keeps an event loop in this thread, and Django would refuse the database to all tests that follow
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)  # two systems and two test runners share two cores
    return {"executable_path": str(CHROMIUM), "args": FLAGS}


class Installation(Served):
    """A running system with the people and patients of `fill`; `places` names the addresses of its records."""

    def __init__(self, var, **environment):
        super().__init__(var)
        self.environment |= {"TRIALSITE_PROFILE": "demo", **environment}
        self.address = f"http://127.0.0.1:{self.port}"

    def fill(self, fill):
        command = [sys.executable, "-m", "tests.browser", fill]
        filling = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        assert filling.returncode == 0, filling.stderr
        self.places = json.loads(filling.stdout.splitlines()[-1])

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)


@pytest.fixture(scope="session")
def served(browser_type_launch_args, tmp_path_factory):
    with running(tmp_path_factory.mktemp("served")) as installation:
        yield installation


@contextmanager
def running(folder, fill="tests.browser.fill", **environment):
    """An installation that is filled, by the function of this name, and leaves nothing behind."""
    installation = Installation(folder.resolve(), **environment)
    installation.start()
    try:
        installation.fill(fill)
        yield installation
    finally:
        installation.stop()
        left = not installation.nothing_is_left()
        installation.manage("stop")
    assert not left, "serve left processes behind"


class Complaints(list):
    """What went wrong in the pages of a context, without a word to the person who looks at them."""

    def listen_to(self, context, address):
        self.home = urlsplit(address).netloc
        context.on("console", self.note_console)
        context.on("weberror", lambda error: self.append(f"script: {error.error}"))
        context.on("request", self.note_request)
        context.on("response", self.note_response)

    def note_console(self, message):
        # a violation of the content policy is one, too; answers with an error status are judged in note_response
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.append(f"console: {message.text}")

    def note_request(self, request):
        if urlsplit(request.url).netloc not in (self.home, "") and not request.url.startswith("data:"):
            self.append(f"asks elsewhere: {request.url}")

    def note_response(self, response):
        is_form = response.request.method == "POST" and response.status in ANSWERS_TO_FORMS
        if response.status >= 400 and not is_form:
            self.append(f"{response.status} {response.request.method} {response.url}")


@pytest.fixture
def complaints():
    found = Complaints()
    yield found
    assert found == []


@pytest.fixture
def visitor(browser, served, complaints):
    """visitor("chen") is a page in which this person has signed in."""
    with visitors(browser, served, complaints) as sign_in:
        yield sign_in


@contextmanager
def visitors(browser, served, complaints):
    contexts = []

    def come_in(username, viewport=WIDE):
        context = browser.new_context(base_url=served.address, viewport=viewport)
        context.set_default_timeout(8_000)
        contexts.append(context)
        complaints.listen_to(context, served.address)
        page = context.new_page()
        page.goto("/")
        sign_in(page, username)
        page.get_by_role("heading", name="Good day").wait_for()
        return page

    yield come_in
    for context in contexts:
        context.close()


def sign_in(page, username):
    from tests.universe import PASSWORD

    page.fill("[name=username]", username)
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")


# --- what is in the served system ---------------------------------------------------------------------------


def afternoon():
    """A zone in which it is past two in the afternoon of the same date as in UTC: no test meets a midnight."""
    ahead = 14 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}"  # the sign in these names is turned round


def move_to_the_afternoon(universe):
    from trialsite.audit import acting
    from trialsite.models import Site

    with acting(universe.system, "so that it is afternoon there"):
        Site.objects.filter(code="01").update(timezone=afternoon())
    universe.site.refresh_from_db()


def in_week_4(universe):
    """A woman whose second infusion is due today, all before it entered on its day; and what would be measured today."""
    from patients.demo import fresh
    from trialsite.clock import today_at
    from trialsite.demo import at, clock_at
    from visits import demo as visit_steps

    day_0 = today_at(universe.site) - timedelta(days=28)
    with clock_at(at(universe.site, day_0)):
        patient = universe.infused(day_0=day_0)
        visit_steps.enter_visit(patient=patient, code="W0", by=universe.chen)
    with clock_at(at(universe.site, day_0 + timedelta(days=7))):
        visit_steps.enter_visit(patient=patient, code="W1", by=universe.chen)
    body, week_4 = visit_steps.body_of(fresh(patient)), patient.protocol.visit("W4")
    typed = {
        test.code: body.typed(test, 28, "W4")
        for panel in week_4.panels
        for test in patient.protocol.tests_of(panel)
        if not test.computed
    }
    return {"number": patient.number, "address": f"/patients/{patient.pk}/", "typed": typed}


def fill():
    """A patient with an infusion, an adverse event, a query and a report; the next one of site 01 will get cells."""
    from patients.models import AllocationSlot
    from safety import demo as safety_steps
    from safety.actions.reports import request_dsmb_report
    from safety.models import Release
    from tests.universe import Universe
    from trialsite.audit import acting
    from visits import demo as visit_steps

    universe = Universe()
    move_to_the_afternoon(universe)
    week_4 = in_week_4(universe)
    patient = universe.infused()
    event = universe.event(patient)
    case = universe.event(patient, is_serious=True, is_important=True, grade=3).case
    deviation = safety_steps.record_deviation(patient=patient, by=universe.chen)
    with acting(universe.system, "so that a deviation is proposed"):
        patient.infusions.update(volume_ml=1)
    panel = universe.panel(patient, "W0", "haematology")
    visit_steps.enter_visit(patient=patient, code="W0", by=universe.chen)
    query = visit_steps.ask(panel=panel, by=universe.maria)
    report = request_dsmb_report(cutoff=datetime.now(UTC).date(), by=universe.sofia)
    with acting(universe.sofia):
        Release.objects.create(report=report, released_by=universe.sofia)
    waiting = universe.with_results()
    baseline = visit_steps.visit_of(universe.randomised(), "W0")  # due today, nothing entered
    free = AllocationSlot.objects.filter(stratum="01", patient=None).order_by("sequence")
    while free.first().arm != "MSC":
        universe.randomised()
    visit = panel.visit
    lot = visit.preparation.lot
    return {
        "patient": f"/patients/{patient.pk}/", "visit": f"/visits/{visit.pk}/", "panel": f"/visits/panels/{panel.pk}/",
        "event": f"/safety/events/{event.pk}/", "query": f"/visits/queries/{query.pk}/", "lot": f"/visits/lots/{lot.pk}/",
        "deviation": f"/safety/deviations/{deviation.pk}/", "casebook": f"/safety/casebook/{patient.pk}/",
        "case": f"/safety/cases/{case.pk}/", "check_visit": f"/visits/check/sign/visit/{visit.pk}/",
        "new_deviation": f"/safety/deviations/record/{patient.pk}/?proposal=volume_off_limits%3A1",
        "new_event": f"/safety/events/report/{patient.pk}/", "report": f"/safety/reports/{report.pk}/",
        "in_screening": f"/patients/{waiting.pk}/", "account": f"/accounts/{universe.chen.pk}/",
        "baseline": f"/visits/{baseline.pk}/", "history": f"/history/visits/panelrecord/{panel.pk}/",
        "expected_panel": f"/visits/panels/{universe.panel(patient, 'W1', 'vital_signs').pk}/", "week_4": week_4,
    }  # fmt: skip


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trialsite.settings")
    django.setup()
    print(json.dumps(import_string(sys.argv[1])()))

"""The end of a session as a person sees it, in real Chromium: warned, kept by working, covered, and let in again.

The installation ends sessions after twelve seconds; its pages warn for the last six."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser import Complaints, running, sign_in, visitors

pytestmark = [pytest.mark.browser, pytest.mark.requirement("R38")]

IDLE = 12  # seconds


@pytest.fixture(scope="module")
def brief(browser_type_launch_args, tmp_path_factory):
    with running(tmp_path_factory.mktemp("brief"), TRIALSITE_IDLE_MINUTES=str(IDLE / 60)) as installation:
        yield installation


@pytest.fixture
def person(browser, brief):
    found = Complaints()
    with visitors(browser, brief, found) as come_in:
        yield come_in("chen")
    assert [complaint for complaint in found if not complaint.startswith("401 GET")] == []


def warning_of(page):
    return page.get_by_role("alertdialog")


def test_who_works_stays_who_does_nothing_is_warned_and_then_sees_nothing_more(person, brief):
    page = person
    page.goto(brief.places["new_event"])
    told = "window.told = 0; document.addEventListener('trialsite:signing-out', () => { window.told += 1; })"
    page.evaluate(told)
    field = page.locator("[name=term]")
    for letter in "headache again":  # 14 seconds without a request of the page's own, in which nobody is warned
        field.press_sequentially(letter)
        page.wait_for_timeout(1000)
    assert not warning_of(page).is_visible()

    expect(warning_of(page)).to_be_visible()
    stay = page.get_by_role("button", name="Stay signed in")
    expect(stay).to_be_focused()
    expect(warning_of(page)).to_contain_text("You will be signed out at")
    expect(page.get_by_role("timer")).to_have_text("0:04")
    assert not [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    stay.click()
    expect(warning_of(page)).to_be_hidden()
    assert field.input_value() == "headache again"
    assert page.evaluate("window.told") == 0

    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert page.evaluate("window.told") == 1, "what was typed could be saved before"
    text = page.content()
    assert "headache" not in text and "01-0" not in text, "nothing of a patient is left"
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]

    page.get_by_role("link", name="Sign in again").click()
    expect(page.get_by_text("You were signed out because nothing was done")).to_be_visible()
    sign_in(page, "chen")
    page.wait_for_url("**" + brief.places["new_event"])


def test_what_is_done_in_one_tab_counts_for_all_and_signing_out_covers_all(person, brief):
    idle = person
    idle.goto(brief.places["patient"])
    idle.evaluate(
        "window.warned = 0; const dialog = document.getElementById('session'), show = dialog.showModal.bind(dialog);"
        "dialog.showModal = () => { window.warned += 1; show(); }; null"
    )
    busy = idle.context.new_page()
    for _ in range(5):
        busy.goto("/patients/")
        busy.wait_for_timeout(3000)
    assert idle.evaluate("window.warned") == 0
    busy.locator("summary").first.click()
    busy.get_by_role("button", name="Sign out").click()
    busy.get_by_role("heading", name="Sign in").wait_for()
    expect(idle.get_by_role("heading", name="You are signed out")).to_be_visible(timeout=3000)
    assert "01-0" not in idle.content()


@pytest.mark.requirement("R43")
def test_after_signing_out_the_way_back_shows_nothing(visitor, served):
    page = visitor("chen")
    page.goto(served.places["patient"])
    page.locator("summary").first.click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.go_back()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    assert "01-0" not in page.content()

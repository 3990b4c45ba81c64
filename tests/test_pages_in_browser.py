"""Every main page, as somebody sees it who works there, at a desk's and at a phone's width.

Nothing serious or critical for axe-core, nothing wider than the window, no complaint in the console, and (by the
fixture `visitor`) no request to anywhere else."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser import NARROW, WIDE

pytestmark = pytest.mark.browser

# who: the pages, by their address or by the name that tests.browser.fill gave them
PAGES = {
    "chen": (
        "/", "/patients/", "/patients/screen/", "patient", "patient background/", "patient consent/",
        "patient lines/medication/", "patient disposition/", "in_screening", "in_screening eligibility/", "/visits/",
        "visit", "visit infusion/", "panel", "expected_panel", "expected_panel not-done/", "/visits/queries/", "query",
        "/safety/listings/events/", "event", "new_event", "event change/", "history",
        "/safety/listings/deviations/", "/safety/deviations/proposals/", "new_deviation", "deviation", "deviation change/", "/account/",
        "/visits/calendar/", "casebook", "/safety/results/", "case",
    ),
    "wang": ("/", "/visits/check/", "check_visit", "/safety/cases/"),
    "david": ("/", "/visits/laboratories/", "/visits/laboratories/new/", "/visits/queries/checks/", "/visits/freeze/", "/exports/",
              "/exports/new/", "/protocol/", "/safety/coding/", "/safety/coding/approve/", "/safety/coding/dictionaries/"),
    "samuel": ("/", "/safety/cases/", "case", "/emails/", "/safety/listings/", "/safety/listings/events/",
               "/safety/listings/results/", "/safety/listings/pictures/classes/", "/safety/listings/pictures/shifts/",
               "/safety/listings/pictures/liver/", "/safety/listings/pictures/patients/", "/safety/stopping/", "/patients/unmaskings/"),
    "zhao": ("/", "/visits/lots/", "/visits/lots/receive/", "lot"),
    "maria": ("/", "/visits/check/", "panel", "panel query/", "query"),
    "sofia": ("/", "/patients/allocation/", "/patients/allocation/make/", "/patients/allocation/import/",
              "/safety/reports/new/", "/safety/stopping/simulator/"),
    "dora": ("/", "/safety/reports/", "report ?part=open", "report ?part=closed", "/patients/halts/",
             "/patients/halts/open/", "/safety/board/", "/safety/board/record/"),
    "ada": ("/", "/accounts/", "/accounts/new/", "account"),
}  # fmt: skip
GRAVE = ("serious", "critical")


@pytest.mark.parametrize("username", PAGES)
def test_the_pages_of_a_person_are_fit_to_be_shown(visitor, served, username):
    page = visitor(username)
    found = [fault for name in PAGES[username] for fault in faults_of(page, address(served, name))]
    assert found == []


def test_the_door_is_fit_to_be_shown(browser, served, complaints):
    context = browser.new_context(base_url=served.address)
    complaints.listen_to(context, served.address)
    page = context.new_page()
    found = faults_of(page, "/sign-in/")
    context.close()
    assert found == []


def test_the_menu_of_a_phone_opens(visitor):
    page = visitor("chen", NARROW)
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Adverse events", exact=True).click()
    page.get_by_role("heading", name="Adverse events", level=1).wait_for()


def test_the_navigation_stands_in_one_line_and_the_rest_opens_by_the_keyboard(visitor):
    for username in ("david", "sofia", "wang"):
        page = visitor(username)
        assert page.locator(".main-nav").bounding_box()["height"] < 60, username
    more = page.locator(".main-nav summary")
    more.focus()
    page.keyboard.press("Enter")
    halts = page.get_by_role("link", name="Halts", exact=True)
    expect(halts).to_be_visible()
    page.keyboard.press("Escape")
    expect(halts).to_be_hidden()
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    halts.press("Enter")
    page.get_by_role("heading", name="Halts", level=1).wait_for()
    expect(page.locator(".main-nav .here")).to_have_count(1)


def test_a_line_of_a_list_opens_the_line_and_its_small_link_the_history(visitor, served):
    page = visitor("chen")
    for link, heading in ((0, "Antiretroviral treatment"), (1, "History of")):
        page.goto(served.places["patient"] + "background/")
        page.locator("#art li").first.get_by_role("link").nth(link).click()
        page.get_by_role("heading", name=heading, level=1).wait_for()


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_pages_are_fit_to_be_shown_in_every_state(visitor, served, complaints, language):
    """While checks ask and refuse, with a dialog open, with a draft offered, refused, and when nothing is there."""
    page = visitor("chen")
    speak(page, language)
    found = []
    try:
        for name, look in STATES.items():
            for viewport in (WIDE, NARROW):
                page.set_viewport_size(viewport)
                look(page, served)
                found += grave(page, f"{name} at {viewport['width']} px")
    finally:
        page.set_viewport_size(WIDE)
        speak(page, "en")
        page.context.close()
    complaints[:] = [one for one in complaints if "/patients/999999/" not in one]  # the page that is not there
    assert found == []


def speak(page, language):
    page.goto("/account/")
    page.locator(f"main .languages button[value={language}]").click()
    page.locator(f"main .languages button[value={language}][aria-pressed=true]").wait_for()


def with_a_question(page, served):
    page.goto(served.places["expected_panel"])
    page.locator("[name=PULSE]").fill("118")
    page.locator("[name=PULSE]").press("Tab")
    page.locator("#row_PULSE .question").wait_for()


def with_a_refusal(page, served):
    page.goto(served.places["expected_panel"])
    page.locator("[name=PULSE]").fill("1l8")
    page.locator("[name=PULSE]").press("Tab")
    page.locator("#row_PULSE .refused").wait_for()


def with_a_draft(page, served):
    with_a_question(page, served)
    expect(page.locator("[data-draft-status]")).not_to_be_empty()
    page.goto(served.places["expected_panel"])
    page.locator(".draft").wait_for()


def with_shortcuts(page, served):
    page.goto("/")
    page.locator(".page-foot [data-shortcuts-open]").click()
    page.locator("#shortcuts[open]").wait_for()


def refused(page, served):
    page.goto("/patients/screen/")
    page.locator("main .form-actions .btn-primary").click()
    page.locator("#form-errors").wait_for()


def checked_infusion(page, served):
    page.goto(served.places["visit"] + "infusion/")
    page.locator("[name=volume_ml]").fill("1")
    page.locator("[name=M_PULSE_15]").fill("x")
    page.locator("[name=M_PULSE_15]").press("Tab")
    page.locator("#checks .refused").wait_for()
    page.locator("#checks .question").first.wait_for()


def not_there(page, served):
    page.goto("/patients/999999/")


STATES = {
    "a question": with_a_question, "a refusal": with_a_refusal, "a draft": with_a_draft, "shortcuts": with_shortcuts,
    "a refused form": refused, "an infusion": checked_infusion, "not found": not_there,
}  # fmt: skip


def address(served, name):
    place, _, rest = name.partition(" ")
    return served.places.get(place, place) + rest


def faults_of(page, path):
    faults = []
    for viewport in (WIDE, NARROW):
        page.set_viewport_size(viewport)
        answer = page.goto(path)
        where = f"{path} at {viewport['width']} px"
        if answer.status != 200:
            return [f"{where}: {answer.status}"]
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wider > 0:
            faults.append(f"{where}: {wider} px too wide")
        faults += grave(page, where)
    return faults


def grave(page, where):
    """What axe finds serious or critical on the page as it stands."""
    return [
        f"{where}: {violation['id']}: {node['target'][0]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]

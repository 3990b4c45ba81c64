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
        "/safety/events/", "event", "new_event", "event change/", "history",
        "/safety/deviations/", "/safety/deviations/proposals/", "new_deviation", "deviation", "deviation change/", "/account/",
    ),
    "zhao": ("/", "/visits/lots/", "/visits/lots/receive/", "lot"),
    "maria": ("/", "panel", "panel query/", "query"),
    "sofia": ("/", "/patients/allocation/", "/patients/allocation/make/", "/patients/allocation/import/",
              "/safety/reports/new/"),
    "dora": ("/", "/safety/reports/", "report ?part=open", "report ?part=closed", "/patients/halts/",
             "/patients/halts/open/"),
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
    page.get_by_role("link", name="Adverse events").click()
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
        faults += [
            f"{where}: {violation['id']}: {node['target'][0]}"
            for violation in Axe().run(page).response["violations"]
            if violation["impact"] in GRAVE
            for node in violation["nodes"]
        ]
    return faults

"""Pictures of a running demonstration, made by a real browser: the two of the README, or every main page.

./run install-dev && ./run demo                                    # and in another terminal
.venv/bin/python -m tests.screenshots http://127.0.0.1:8000 var/accounts.json docs/screenshots
.venv/bin/python -m tests.screenshots http://127.0.0.1:8000 var/accounts.json /tmp/pages all [coordinator-01 ...]

`all` makes a picture of every page of WAYS, in both languages and at 1280 and 400 px, into a folder outside the
repository, to be looked at one by one.
"""

import io
import json
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import CHROMIUM, FLAGS

SIZE = {"width": 1280, "height": 990}
COLOURS = 128  # enough for flat pages, and a third of the bytes

# who: what the picture is called, and the way to it: an address, then the links to follow as CSS selectors
PATIENT = "/visits/ -> tr:has(.status-overdue) th a"
VISIT = f"{PATIENT} -> .timeline a:has(.status-entered, .status-signed)"
IN_SCREENING = "/patients/?state=screening -> tbody th a"
WAYS = {
    "": {"sign-in": "/sign-in/"},
    "coordinator-01": {
        "start": "/", "patients": "/patients/", "screen": "/patients/screen/", "grid": "/visits/",
        "calendar": "/visits/calendar/", "patient": PATIENT,
        "background": f"{PATIENT} -> .nav-tabs a[href$='/background/']",
        "casebook": f"{PATIENT} -> .nav-tabs a[href*='/casebook/']",
        "copy": f"{PATIENT} -> .nav-tabs a[href*='/casebook/'] -> a[href$='/copy/']",
        "visit": VISIT, "panel": f"{VISIT} -> th a[href*='/panels/']", "attendance": f"{VISIT} -> a[href$='/date/']",
        "panel-to-enter": "/ -> .work-list a[href$='/'][href*='/panels/']", "panel-refused": "/ -> .work-list a[href$='/'][href*='/panels/']",
        "panel-overtaken": f"{VISIT} -> th a[href*='/panels/']",
        "infusion": f"{PATIENT} -> tr:has(.status-infusion) th a -> a[href$='/infusion/']",
        "prepare": "/ -> .work-list a[href$='/prepare/']",
        "in-screening": IN_SCREENING, "consent": f"{IN_SCREENING} -> a[href$='/consent/']",
        "end-of-trial": f"{PATIENT} -> a[href$='/disposition/']", "unscheduled": f"{PATIENT} -> a[href*='/unscheduled/']",
        "line": f"{PATIENT} -> .nav-tabs a[href$='/background/'] -> #art a[href*='/lines/']",
        "event": "/safety/listings/events/ -> tbody a[href*='/safety/events/']",
        "event-change": "/safety/listings/events/ -> tbody a[href*='/safety/events/'] -> a[href$='/change/']",
        "event-new": f"{PATIENT} -> a[href*='/events/report/']",
        "events": "/safety/listings/events/", "deviations": "/safety/listings/deviations/", "proposals": "/safety/deviations/proposals/",
        "deviation": "/safety/listings/deviations/ -> tbody a[href*='/safety/deviations/']",
        "deviation-new": "/safety/deviations/proposals/ -> a[href*='/deviations/record/']",
        "queries": "/visits/queries/", "query": "/visits/queries/ -> tbody td a[href^='/visits/queries/']", "account": "/account/",
        "password": "/account/password/", "second-factor": "/account/second-factor/", "not-found": "/nowhere/",
    },
    "investigator-01": {
        "start": "/", "to-sign": "/visits/check/", "sign": "/visits/check/ -> a[href*='/check/sign/visit/']",
        "eligibility": f"{IN_SCREENING} -> a[href$='/eligibility/']", "randomise": "/patients/?state=eligible -> tbody th a -> a[href$='/randomise/']",
        "results": "/safety/results/", "result-to-event": "/safety/results/ -> a[href$='/report/']", "listings": "/safety/listings/",
        "listing": "/safety/listings/ -> .card a[href*='/safety/listings/']",
        "results-of-listing": "/safety/listings/results/", "medication": "/safety/listings/medications/",
        "unmask": f"{PATIENT} -> a[href$='/unmask/']",
    },
    "pharmacist-01": {
        "start": "/", "lots": "/visits/lots/", "lot": "/visits/lots/ -> tbody a[href*='/lots/']", "lot-new": "/visits/lots/receive/",
    },
    "monitor": {
        "start": "/", "grid": "/visits/", "to-verify": "/visits/check/",
        "verify": "/visits/check/ -> a[href*='/check/verify/visit/']", "queries": "/visits/queries/",
        "history": f"{VISIT} -> th a[href*='/panels/'] -> a[href^='/history/']",
    },
    "data-manager": {
        "start": "/", "checks": "/visits/queries/checks/", "retire": "/visits/queries/checks/ -> a[href$='/retire/']",
        "laboratories": "/visits/laboratories/",
        "laboratory": "/visits/laboratories/ -> tbody a[href*='/laboratories/']",
        "range-new": "/visits/laboratories/ -> tbody a[href*='/laboratories/'] -> a[href$='/add/']", "freeze": "/visits/freeze/",
        "exports": "/exports/", "export-new": "/exports/new/", "versions": "/protocol/", "coding": "/safety/coding/",
        "approve": "/safety/coding/approve/", "dictionaries": "/safety/coding/dictionaries/",
        "compare": "/safety/coding/dictionaries/ -> tr:last-child th a", "code": "/safety/coding/ -> tbody th a",
    },
    "statistician": {"start": "/", "allocation": "/patients/allocation/", "reports": "/safety/reports/",
                     "report-new": "/safety/reports/new/", "report": "/safety/reports/ -> tbody th a",
                     "part": "/safety/reports/ -> tbody td a:not([href$='pdf'])", "rules": "/safety/stopping/",
                     "rule": "/safety/stopping/ -> tbody th a",
                     "simulator": "/safety/stopping/simulator/", "simulated": "/safety/stopping/simulator/"},
    "safety-officer": {
        "start": "/", "events": "/safety/listings/events/", "halts": "/patients/halts/", "cases": "/safety/cases/",
        "case": "/safety/cases/ -> a[href*='/safety/cases/']", "unmaskings": "/patients/unmaskings/",
        "classes": "/safety/listings/pictures/classes/", "shifts": "/safety/listings/pictures/shifts/",
        "liver": "/safety/listings/pictures/liver/", "swimmers": "/safety/listings/pictures/patients/",
        "halt-open": "/patients/halts/open/", "emails": "/emails/",
        "case-judge": "/safety/cases/ -> a[href*='/safety/cases/'] -> a[href*='judge']",
        "case-reported": "/safety/cases/ -> tr:last-child a[href*='/safety/cases/']",
    },
    "dsmb-1": {
        "start": "/", "reports": "/safety/reports/", "report": "/safety/reports/ -> tbody a", "board": "/safety/board/",
        "recommend": "/safety/board/record/",
    },
    "administrator": {
        "start": "/", "accounts": "/accounts/", "account": "/accounts/ -> tbody a", "account-new": "/accounts/new/",
    },
}  # fmt: skip


def send_the_impossible(page):
    """A panel with a number that cannot be, one that asks, and the rest blank."""
    fields = page.locator("main .panel-row input[inputmode=decimal]")
    for at, typed in enumerate(("99999", "1", "12,5,1")[: fields.count()]):
        fields.nth(at).fill(typed)
    send(page)


def send_what_is_overtaken(page):
    page.locator("main form.panel-form input[name=version]").evaluate("field => { field.value = '0' }")
    field = page.locator("main .panel-row input[inputmode=decimal]").first
    field.fill("141")
    if (reason := page.locator("main [name=reason]")).count():
        reason.fill("141")
    send(page)


def send(page):
    # past what the page asks by itself: the answer is wanted
    with page.expect_navigation():
        page.locator("main form.card").last.evaluate("form => form.submit()")


# what is done there before the picture is taken
DEEDS = {"panel-refused": send_the_impossible, "panel-overtaken": send_what_is_overtaken, "simulated": send}
WIDTHS, TALLEST = (1280, 400), 2600
# code, as the account keeps it
LANGUAGES = ("en", "zh-hans")


class Visitors:
    """People of the demonstration in a browser."""

    def __init__(self, browser, address, accounts):
        self.browser, self.address = browser, address
        self.passwords = {one["user"]: one["password"] for one in json.loads(Path(accounts).read_text())}

    def come_in(self, username):
        page = self.browser.new_context(base_url=self.address, viewport=SIZE).new_page()
        page.goto("/")
        if not username:
            return page
        page.fill("[name=username]", username)
        page.fill("[name=password]", self.passwords[username])
        page.click("main button[type=submit]")
        page.locator(".top-bar .menu").wait_for()
        return page


def take_for_readme(visitors, folder):
    page = visitors.come_in("monitor")
    page.goto("/visits/")
    keep(page, folder / "grid.png")
    page = visitors.come_in("coordinator-01")
    page.goto("/visits/")
    page.locator("tr", has=page.locator(".status-overdue")).locator("th a").first.click()
    page.locator(".uplot").wait_for()
    page.wait_for_load_state("networkidle")  # deviations are asked for once the page is shown
    keep(page, folder / "patient.png")


def take_all(visitors, folder, people):
    folder.mkdir(parents=True, exist_ok=True)
    for username in people or WAYS:
        page = visitors.come_in(username)
        addresses = {name: found for name, way in WAYS[username].items() if (found := follow(page, way))}
        for language in LANGUAGES:
            speak(page, language)
            for name, address in addresses.items():
                page.goto(address)
                if name in DEEDS:
                    DEEDS[name](page)
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": SIZE["height"]})
                    page.wait_for_timeout(300)  # what is asked for once the page is shown; plots
                    if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                        print(f"wider than the window: {username}-{name}-{language}-{width}")
                    take(page, folder / f"{username or 'nobody'}-{name}-{language}-{width}.png")
        speak(page, LANGUAGES[0])
        page.context.close()


def take(page, path):
    """The whole page; of a very long one (a history) its first windows."""
    height = min(page.evaluate("document.documentElement.scrollHeight"), TALLEST)
    page.set_viewport_size({**page.viewport_size, "height": height})
    page.screenshot(path=path)


def follow(page, way):
    """The address to which a way of WAYS leads, or None where the demonstration has no such link now."""
    address, *links = way.split(" -> ")
    if page.goto(address).status not in (200, 404):
        print(f"not to be seen: {address}")
        return None
    for link in links:
        found = page.locator(f"main {link}").first
        if not found.count():
            print(f"not there: {link} on {page.url}")
            return None
        page.goto(found.get_attribute("href"))
    return page.url


def speak(page, language):
    page.goto("/account/")  # or, before the sign-in, its page, whose top bar has them
    page.locator(f".languages button[value={language}]:visible").last.click()


def keep(page, path):
    """Write what is in the window, in few colours."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    address, accounts, folder, *rest = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        visitors = Visitors(browser, address, accounts)
        if rest:
            take_all(visitors, Path(folder), rest[1:])
        else:
            take_for_readme(visitors, Path(folder))
        browser.close()

"""How many key presses and clicks a whole baseline visit takes, from the work-list: counted in real Chromium.

`pytest tests/test_keystrokes.py -s` prints the figures that docs/performance.md tells. A chord (Ctrl+Enter) counts as
one press. What is typed are the digits of the values themselves; what is chosen from a list takes its first letters."""

import pytest
from playwright.sync_api import expect

from tests.test_journey import save
from tests.test_week_4 import fill_in_the_page, today
from trialsite import trial
from visits.demo import Body

pytestmark = pytest.mark.browser

# presses beyond the values themselves, per field: to go on, and to choose from a list or take over the last value
AT_MOST_BESIDE = 1.6
VITAL_SIGNS = {"M_TEMP": "36.7", "M_SYSBP": "116", "M_DIABP": "74", "M_PULSE": "78", "M_RESP": "16", "M_OXYSAT": "98"}


class Hands:
    """What the person does, counted."""

    def __init__(self, page):
        self.page, self.presses, self.clicks, self.characters, self.fields = page, 0, 0, 0, 0

    def click(self, locator):
        self.clicks += 1
        locator.click()

    def press(self, key):
        self.presses += 1
        self.page.keyboard.press(key)

    def type(self, text):
        self.presses += len(text)
        self.characters += len(text)
        self.page.keyboard.type(text)

    def enter(self, test, typed):
        """One field: the value and Enter; the same as last; or not done."""
        self.fields += 1
        field = self.page.locator(f"[name={test.code}]")
        expect(field).to_be_focused()
        if not typed:
            self.press("Enter" if not test.required else "Alt+n")
        elif field.get_attribute("data-last") == typed:
            self.press("Alt+l")
        elif test.kind == "choice":
            self.type(first_letters(test, typed))
            self.press("Enter")
        else:
            self.type(typed)
            self.press("Enter")

    def go_to(self, name):
        """On with Tab, to the field of this name."""
        field = self.page.locator(f"[name={name}]")
        for _n in range(6):
            if field.evaluate("one => one === document.activeElement"):
                return
            self.press("Tab")
        expect(field).to_be_focused()

    def fill(self, name, typed):
        self.go_to(name)
        self.fields += 1
        self.type(typed)


def first_letters(test, code):
    """As many letters of the label as tell it from the others in the list."""
    label = test.choice_label(code)
    others = [choice.label for choice in test.choices if choice.code != code]
    return next(label[:n] for n in range(1, len(label) + 1) if not any(o.startswith(label[:n]) for o in others))


def test_a_baseline_visit_is_entered_with_hardly_a_press_beside_the_values(visitor, served):
    page = visitor("chen")
    hands = Hands(page)
    hands.click(page.locator(f'main a[href="{served.places["baseline"]}"]').first)
    hands.click(page.locator('th a[href^="/visits/panels/"]').first)
    sex = "F" if "Female" in page.locator(".patient-strip").inner_text() else "M"
    body, protocol, panels = Body("keystrokes", sex), trial.current_protocol(), 0
    while "/visits/panels/" in page.url:
        panels += 1
        name = page.get_by_role("heading", level=1).inner_text()
        panel = next(panel for panel in protocol.panels if panel.name == name)
        for test in protocol.tests_of(panel.code):
            if not test.computed:
                hands.enter(test, body.typed(test, 0, "W0"))
        primary = page.get_by_role("button", name="Save and next panel")
        expect(primary).to_be_focused()
        page.wait_for_timeout(500)  # as long as an answer about the last field takes
        answered = page.locator(".question input")
        for n in range(answered.count()):
            hands.clicks += 1
            answered.nth(n).check()
        with page.expect_navigation():
            hands.press("Control+Enter")
        assert page.locator("#form-errors").count() == 0
    assert page.url.endswith(served.places["baseline"])
    assert page.locator("td .status-entered").count() == panels
    told("a visit", hands, panels)
    give_the_infusion(page, visitor, served.places["baseline"], weight=body.typed(protocol.test("WEIGHT"), 0, "W0"))


def give_the_infusion(page, visitor, visit, *, weight):
    """Of the same visit: its start and end, what was given, and all vital signs."""
    pharmacist = visitor("zhao")
    pharmacist.goto(f"{visit}prepare/")
    fill_in_the_page(pharmacist, weight, label="BAG-KEYS")
    save(pharmacist)
    page.goto("/")
    day, hands = today(), Hands(page)
    hands.click(page.locator(f'main a[href="{visit}infusion/"]').first)
    for name, typed in {"started_at": f"{day} 12:00", "stopped_at": f"{day} 13:00", "volume_ml": "100"}.items():
        hands.fill(name, typed)
    hands.fill("access_site", "Left forearm")
    hands.go_to("M_TEMP_0")
    for minute in trial.current_protocol().infusions.monitoring_minutes:
        for code, reading in VITAL_SIGNS.items():
            hands.fields += 1
            expect(page.locator(f"[name={code}_{minute}]")).to_be_focused()
            hands.type(reading)
            hands.press("Enter")
    with page.expect_navigation():
        hands.press("Control+Enter")
    expect(page.get_by_role("status").first).to_contain_text("The infusion is recorded.")
    told("its infusion", hands)


def told(what, hands, panels=0):
    beside = (hands.presses - hands.characters) / hands.fields
    print(f"\n{what}: {panels} panels, {hands.fields} fields: {hands.presses} key presses ({hands.characters} of them the values),"
          f" {hands.clicks} clicks; {beside:.2f} presses per field beside the value")  # fmt: skip
    assert beside <= AT_MOST_BESIDE and hands.clicks <= 2 + panels

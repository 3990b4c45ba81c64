"""A whole week-4 visit with its infusion, as a new coordinator enters it, and what the others do with it until it is
locked: in real Chromium, before the real system.

The patient's way up to this day is made through the actions (tests/browser.py); from the start page on, everything is
done by hand. The steps build on each other, so they are one test; each is a function that reads as what the person
does."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from tests.browser import afternoon
from tests.test_journey import open_panel, save, send_by_keyboard
from tests.universe import PASSWORD
from trialsite import trial

pytestmark = pytest.mark.browser

IMPLAUSIBLE = "31"  # white cells, 10^9/L: possible, and most unusual
LOST = ("ALT", "AST", "ALP")  # typed before the line is lost


@pytest.fixture
def week_4(served):
    """number, address and typed values of the patient whose week-4 visit is due today."""
    return served.places["week_4"]


def today():
    return datetime.now(ZoneInfo(afternoon())).date()


def test_a_week_4_visit_goes_from_the_work_list_to_the_lock(visitor, week_4):
    chen = visitor("chen")
    visit = find_the_visit_in_its_window(chen, week_4)
    enter_vital_signs_by_keyboard(chen, week_4)
    enter_physical_examination(chen, week_4)
    mistype_haemoglobin_and_leave_the_white_cells_in_question(chen, week_4)
    chen = lose_the_line_and_the_tab_in_the_middle_of_chemistry(chen, week_4)
    enter_the_rest(chen, week_4, visit)

    zhao = visitor("zhao")
    prepare_the_bag(zhao, week_4)
    give_the_infusion(chen, week_4)

    maria = visitor("maria")
    verify_the_visit(maria, week_4)
    ask_about_the_potassium(maria, visit)
    answer_the_queries(chen, week_4)
    close_the_queries(maria, week_4)

    wang = visitor("wang")
    sign_with_a_wrong_password(wang, week_4)
    sign(wang, visit)
    correct_the_potassium(chen, visit, week_4)
    see_that_the_signature_is_void(wang, visit)
    sign(wang, visit)

    stale = open_haematology_in_time(chen, visit)
    david = visitor("david")
    lock(david, visit)
    find_nothing_to_change(chen, visit)
    save_too_late(stale)
    see_the_visit_as_it_was(david, visit, week_4)


# --- the coordinator enters ------------------------------------------------------------------------------------


def find_the_visit_in_its_window(page, patient):
    """On the start page: the visit, and what the infusion still needs. Gives the visit's address."""
    infusion = card(page, "Infusions").get_by_role("listitem").filter(has_text=patient["number"])
    expect(infusion).to_contain_text("needs: Vital signs, Pregnancy test, the bag")
    row = card(page, "Visits in their window").get_by_role("listitem").filter(has_text=patient["number"])
    expect(row).to_contain_text("until")
    row.get_by_role("link", name=f"{patient['number']} · W4").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("W4 · Week 4")
    return page.url


def enter_vital_signs_by_keyboard(page, patient):
    """From the first panel on, saving leads to the next one."""
    page.get_by_role("link", name="Vital signs", exact=True).click()
    expect(page.get_by_label("Collected on")).to_have_value(str(today()))
    type_panel(page, "vital_signs", patient)
    send_by_keyboard(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Physical examination")


def enter_physical_examination(page, patient):
    type_panel(page, "physical_exam", patient)
    send_by_keyboard(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Haematology")


def mistype_haemoglobin_and_leave_the_white_cells_in_question(page, patient):
    """The letter O is refused on leaving the field; the white cells are asked about, and saved become a query."""
    type_panel(page, "haematology", patient, HGB="13O", WBC=IMPLAUSIBLE)
    expect(page.locator("#row_HGB .refused")).to_contain_text("plain number")
    page.locator("[name=HGB]").fill(patient["typed"]["HGB"])
    page.keyboard.press("Tab")
    expect(page.locator("#row_HGB .refused")).to_have_count(0)
    expect(page.locator("#row_WBC .question")).to_contain_text("unusual")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#row_WBC .question input")).to_be_focused()
    expect(page.locator("[data-says]")).to_contain_text("then it becomes a query")
    send_by_keyboard(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Chemistry")


def lose_the_line_and_the_tab_in_the_middle_of_chemistry(page, patient):
    """What was typed is told to be unsafe without a line, kept when it is back, and offered in another tab, which is given."""
    status = page.locator("[data-draft-status]")
    panel = page.url
    type_some(page, LOST[:2], patient)
    expect(status).to_contain_text("kept at")
    page.context.set_offline(True)
    type_some(page, LOST[2:], patient)
    expect(status).to_contain_text("No connection: not kept since")
    page.context.set_offline(False)
    expect(status).not_to_contain_text("No connection")
    page.close()

    page = page.context.new_page()
    page.goto("/")
    page.get_by_role("listitem").filter(has_text="next: Chemistry").get_by_role("link").click()
    assert page.url == panel
    expect(page.locator("[name=ALT]")).to_have_value("")
    page.get_by_role("link", name="Continue with it").click()
    for code in LOST:
        expect(page.locator(f"[name={code}]")).to_have_value(patient["typed"][code])
    type_some(page, [test.code for test in typed_tests("chemistry") if test.code not in LOST], patient, first="BILI")
    send_by_keyboard(page)
    return page


def enter_the_rest(page, patient, visit):
    for code in ("virology", "t_cells", "activation", "inflammation", "pregnancy"):
        expect(page.get_by_role("heading", level=1)).to_have_text(trial.current_protocol().panel(code).name)
        type_panel(page, code, patient)
        send_by_keyboard(page)
    page.goto(visit)
    expect(page.locator("td .status-expected, td .status-draft")).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text="Haematology")).to_contain_text("1 open query")
    expect(page.locator("td .status-query-open")).to_have_count(1)


# --- the infusion ------------------------------------------------------------------------------------------------


def prepare_the_bag(page, patient):
    fill_in_the_bag(page, patient)
    save(page)
    expect(page.locator("main")).to_contain_text("BAG-WEEK-4")


def fill_in_the_bag(page, patient):
    waiting = card(page, "Infusions").get_by_role("listitem").filter(has_text=patient["number"])
    expect(waiting).to_contain_text("needs: the bag")
    waiting.get_by_role("link").click()  # to where the bag is prepared
    fill_in_the_page(page, patient["typed"]["WEIGHT"])


def fill_in_the_page(page, weight, label="BAG-WEEK-4"):
    expect(page.get_by_label("Body weight (kg)")).to_have_value(weight)
    page.get_by_label("Lot").select_option(index=1)
    viability = page.get_by_label("Viability after thawing (%)")
    if viability.count():  # the other arm gets no cells
        viability.fill("91.5")
    page.get_by_label("Label on the bag").fill(label)
    page.get_by_label("Prepared at (local time)").fill(f"{today()} 11:10")


def give_the_infusion(page, patient):
    """The start page says that it is ready, and leads to its record."""
    page.goto("/")
    ready = card(page, "Infusions").get_by_role("listitem").filter(has_text=patient["number"])
    expect(ready).to_contain_text("ready to be given")
    ready.get_by_role("link").click()
    page.get_by_label("Start (local time)").fill(f"{today()} 12:00")
    page.get_by_label("Stop (local time)").fill(f"{today()} 13:00")
    page.get_by_label("Volume (mL)").fill("100")
    page.get_by_label("Access").fill("Left antecubital vein")
    page.locator(".monitoring input").first.focus()
    signs = {"M_TEMP": "36.7", "M_SYSBP": "116", "M_DIABP": "74", "M_PULSE": "78", "M_RESP": "16", "M_OXYSAT": "98"}
    for minute in trial.current_protocol().infusions.monitoring_minutes:
        for code, reading in signs.items():
            type_and_go_on(page, f"{code}_{minute}", reading)
    save(page)
    expect(page.get_by_role("status").first).to_contain_text("The infusion is recorded.")


# --- the monitor -------------------------------------------------------------------------------------------------


def verify_the_visit(page, patient):
    """All fields of each panel that the protocol wants compared with the source."""
    open_from_the_list(page, patient, "Review")
    while (button := page.get_by_role("button", name=re.compile("^Verified: "))).count():
        button.first.click()
        expect(page.get_by_role("status").first).to_contain_text("set: verified.")
        row = page.get_by_role("row").filter(has_text=patient["number"]).filter(has_text="W4")
        if not row.count():
            return
        row.get_by_role("link", name=re.compile("W4")).click()


def ask_about_the_potassium(page, visit):
    open_panel(page, visit, "chemistry")
    expect(page.locator("#marks")).to_contain_text("verified")
    expect(page.locator("[name=K]")).to_be_disabled()
    page.get_by_role("link", name="Raise a query").click()
    page.get_by_label("About").select_option("K")
    page.get_by_label("Question").fill("The second decimal cannot be read in the source.")
    save(page)
    expect(page.locator("#row_K .status-query-open")).to_be_visible()


def answer_the_queries(page, patient):
    for about, words in (("The second decimal", "It is as entered."), ("unusual", "Measured twice; it is right.")):
        page.goto("/")
        query = card(page, "Open queries").get_by_role("listitem").filter(has_text=patient["number"])
        query.filter(has_text=about).get_by_role("link").click()
        page.get_by_label("Message").fill(words)
        page.get_by_label("And then").select_option("answer")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".meta .status")).to_have_text("answered")


def close_the_queries(page, patient):
    for _query in range(2):
        page.goto("/")
        answered = card(page, "Answered queries to review").get_by_role("listitem").filter(has_text=patient["number"])
        answered.first.get_by_role("link").click()
        page.get_by_label("And then").select_option("close")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".meta .status")).to_have_text("closed")


# --- the investigator ----------------------------------------------------------------------------------------------


def sign_with_a_wrong_password(page, patient):
    open_from_the_list(page, patient, "Review")
    page.get_by_label("Your password").fill("not-my-password-1905")
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.locator(".invalid-feedback, #form-errors").first).to_be_visible()
    expect(page.locator(".status-signed")).to_have_count(0)


def sign(page, visit):
    page.goto(visit)
    page.get_by_role("link", name="Sign", exact=True).click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("set: signed.")
    page.goto(visit)
    expect(page.locator("tbody td .status-signed")).to_have_count(page.locator("tbody tr").count())


def correct_the_potassium(page, visit, patient):
    open_panel(page, visit, "chemistry")
    expect(page.locator("#marks")).to_contain_text("Wang Jun")
    page.locator("[name=K]").fill("4.4" if patient["typed"]["K"] != "4.4" else "4.5")
    page.get_by_label("Reason for the change").fill("The second decimal was misread")
    save(page)
    expect(page.get_by_role("status").first).to_contain_text("Chemistry: saved.")


def see_that_the_signature_is_void(page, visit):
    """On the visit's page and on the panel's: struck through, with who changed what and why it no longer counts."""
    page.goto(visit)
    expect(page.get_by_role("row").filter(has_text="Chemistry").locator("del")).to_have_text("signed")
    open_panel(page, visit, "chemistry")
    expect(page.locator("#marks")).to_contain_text("Not signed: the data changed after the signature.")
    expect(page.locator("#marks .void")).to_contain_text(["by Chen Wei"])


# --- the data manager ------------------------------------------------------------------------------------------------


def open_haematology_in_time(page, visit):
    """A second tab of the coordinator, in which the form can still be typed into."""
    tab = page.context.new_page()
    open_panel(tab, visit, "haematology")
    expect(tab.locator("[name=PLAT]")).to_be_enabled()
    return tab


def lock(page, visit):
    page.goto(visit)
    page.get_by_role("link", name="Freeze or lock").click()
    page.get_by_label("lock", exact=True).check()
    save(page)
    expect(page.get_by_role("status").first).to_contain_text("These records are now: locked.")


def find_nothing_to_change(page, visit):
    open_panel(page, visit, "haematology")
    expect(page.locator("[name=PLAT]")).to_be_disabled()
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_count(0)
    expect(page.locator("main")).to_contain_text("this visit is locked")


def save_too_late(tab):
    tab.locator("[name=PLAT]").fill("111")
    tab.get_by_label("Reason for the change").fill("Typed before it was locked")
    with tab.expect_navigation() as answer:
        save(tab)
    assert answer.value.status == 422
    expect(tab.locator("#form-errors")).to_contain_text("locked")


def see_the_visit_as_it_was(page, visit, patient):
    open_panel(page, visit, "haematology")
    expect(page.locator("[name=PLAT]")).to_have_value(patient["typed"]["PLAT"])
    expect(page.locator("[name=WBC]")).to_have_value(IMPLAUSIBLE)


# --- what they all do ------------------------------------------------------------------------------------------------


def card(page, title):
    """A section of the start page."""
    return page.locator("section.card").filter(has=page.get_by_role("heading", name=title, exact=True))


def open_from_the_list(page, patient, entry):
    page.get_by_role("link", name=entry, exact=True).click()
    row = page.get_by_role("row").filter(has_text=patient["number"]).filter(has_text="W4")
    row.get_by_role("link", name=re.compile("W4")).click()


def typed_tests(panel):
    return [test for test in trial.current_protocol().tests_of(panel) if not test.computed]


def type_and_go_on(page, name, typed):
    expect(page.locator(f"[name={name}]")).to_be_focused()
    page.keyboard.type(typed)
    page.keyboard.press("Enter")


def type_some(page, codes, patient, first=None):
    """From the field in focus on, or from `first`."""
    if first:
        page.locator(f"[name={first}]").focus()
    for code in codes:
        test = trial.current_protocol().test(code)
        typed = patient["typed"][code]
        # a list is chosen from by the first letters of what it shows
        type_and_go_on(page, code, test.choice_label(typed).split()[0] if test.kind == "choice" and typed else typed)


def type_panel(page, panel, patient, **instead):
    """A whole panel with the keyboard alone: the first field has the focus, Enter goes on."""
    type_some(page, [test.code for test in typed_tests(panel)], {"typed": patient["typed"] | instead})

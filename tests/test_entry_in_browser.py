"""Entering panels in real Chromium: with the keyboard alone, asked at the field, and nothing typed is ever lost."""

import re

import pytest
from playwright.sync_api import expect

from tests.universe import PASSWORD

pytestmark = pytest.mark.browser


def open_panel(page, served, visit, panel):
    page.goto(served.places["patient"])
    page.get_by_role("row").filter(has=page.get_by_role("link", name=re.compile(f"^{visit} "))).get_by_role(
        "link"
    ).first.click()
    page.get_by_role("link", name=panel, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(panel)


def save_though_asked(page):
    """Save; a day outside the window is asked about once, and saved at the second press."""
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(1500)
    if page.locator(".question input:focus").count():
        page.keyboard.press("Control+Enter")


def type_and_go_on(page, name, value):
    expect(page.locator(f"[name={name}]")).to_be_focused()
    page.keyboard.type(value)
    page.keyboard.press("Enter")


def test_a_panel_is_entered_without_the_mouse_and_asked_about_at_the_field(visitor, served):
    page = visitor("chen")
    open_panel(page, served, "W1", "Haematology")
    type_and_go_on(page, "HGB", "13O")
    expect(page.locator("#row_HGB .refused")).to_contain_text("plain number")
    expect(page.locator("[name=HGB]")).to_have_attribute("aria-invalid", "true")
    type_and_go_on(page, "WBC", "30")
    question = page.locator("#row_WBC .question")
    expect(question).to_contain_text("unusual")
    expect(question).to_contain_text("Before")
    expect(page.locator("#row_WBC .status-high")).to_be_visible()
    page.keyboard.press("Alt+n")
    expect(page.locator("[name=missing_NEUT]")).to_have_value("not_done")
    expect(page.locator("[name=LYM]")).to_be_focused()
    page.keyboard.press("Alt+l")
    expect(page.locator("[name=LYM]")).to_have_value(page.locator("[name=LYM]").get_attribute("data-last"))
    type_and_go_on(page, "PLAT", "205")
    expect(page.get_by_role("button", name="Save and next panel")).to_be_focused()
    page.locator("[name=HGB]").fill("132")
    page.keyboard.press("Tab")
    expect(page.locator("#row_HGB .refused")).to_have_count(0)
    expect(page.locator("[name=WBC]")).to_be_focused()
    page.keyboard.press("Alt+m")
    expect(question.locator("input")).to_be_focused()
    page.keyboard.press("Alt+m")
    page.keyboard.press("Control+Enter")  # held back once: the white cells, and a day outside the window
    expect(page.locator("[data-says]")).to_contain_text("2 questions are open")
    expect(page.locator(".answer[data-code=collected_on] input")).to_be_focused()
    page.keyboard.press("Space")
    question.locator("input").focus()
    page.keyboard.press("Space")
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status").first).to_contain_text("Haematology: saved.")
    expect(page.locator("form.panel-form")).to_be_visible()
    assert "/visits/panels/" in page.url, "the next panel of the visit is open"
    open_panel(page, served, "W1", "Haematology")
    expect(page.locator("[name=missing_NEUT]")).to_have_value("not_done")
    expect(page.locator(".status-query-open")).to_have_count(0)


def test_one_click_saves_a_panel_whose_checks_have_answered(visitor, served):
    """A browser takes no second sending of a form while it still handles the click."""
    page = visitor("chen")
    open_panel(page, served, "W1", "Vital signs")
    page.locator("[name=PULSE]").fill("72")
    page.keyboard.press("Tab")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    for tick in page.locator(".question input").all():
        tick.check()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    with page.expect_navigation(timeout=5000):
        page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("saved")


def test_what_is_typed_survives_a_closed_tab_a_lost_connection_and_an_ended_session(visitor, served):
    page = visitor("chen")
    open_panel(page, served, "W1", "Chemistry")
    address, context = page.url, page.context
    kept = "kept at"
    page.locator("[name=ALT]").fill("33")
    expect(page.locator("[data-draft-status]")).to_contain_text(kept)
    page.close()

    page = context.new_page()
    page.goto(address)
    expect(page.locator(".draft")).to_contain_text("did not save it")
    expect(page.locator("[name=ALT]")).to_have_value("")
    page.get_by_role("link", name="Continue with it").click()
    expect(page.locator("[name=ALT]")).to_have_value("33")

    page.route("**/visits/panels/**", lambda route: route.abort())
    page.locator("[name=AST]").fill("34")
    expect(page.locator("[data-draft-status]")).to_contain_text("No connection: not kept since")
    save_though_asked(page)
    expect(page.locator("[data-draft-status]")).to_contain_text("nothing was sent")
    expect(page.locator("[name=AST]")).to_have_value("34")
    page.unroute("**/visits/panels/**")
    expect(page.locator("[data-draft-status]")).to_contain_text(kept)

    context.clear_cookies()
    page.goto(address)
    page.fill("[name=username]", "chen")
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    page.get_by_role("link", name="Continue with it").click()
    expect(page.locator("[name=ALT]")).to_have_value("33")
    expect(page.locator("[name=AST]")).to_have_value("34")
    page.locator("[name=AST]").focus()
    save_though_asked(page)
    expect(page.get_by_role("status").first).to_contain_text("Chemistry: saved. Still to come:")
    page.goto(address)
    expect(page.locator(".draft")).to_have_count(0)
    expect(page.locator("[name=AST]")).to_have_value("34")

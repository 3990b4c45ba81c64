"""One patient's way from screening to the board's PDF, in real Chromium, with real web, worker, broker and database.

Five people take part, each in a browser of their own. The steps build on each other, so they are one test; each
step is a function that reads as what the person does."""

import re
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from tests.browser import afternoon
from trialsite import trial
from visits.demo import Body

pytestmark = pytest.mark.browser

# a woman who meets the criteria; the pulse is implausible and asks whether it is right
MEASURED = {"CD4": "180", "HIVRNA": "<50", "KARNOFSKY": "90", "PULSE": "118", "HGB": "132", "ALT": "21",
            "WBC": "4.60", "PLAT": "205", "PEGEN": "NORMAL", "WEIGHT": "58.4"}  # fmt: skip
SCREENING_PANELS = ("vital_signs", "physical_exam", "haematology", "chemistry", "virology", "t_cells", "activation",
                    "pregnancy", "hepatitis")  # fmt: skip


@pytest.fixture
def body():
    return Body("the patient of the journey", "F", fixed=MEASURED)


def today():
    return datetime.now(ZoneInfo(afternoon())).date()


def test_a_patient_goes_from_screening_to_the_report_of_the_board(visitor, body, tmp_path):
    chen = visitor("chen")
    patient = screen(chen)
    record_consent(chen, patient)
    enter_histories(chen, patient)
    enter_screening(chen, patient, body)
    judge_eligibility(chen, patient)
    randomise(chen, patient)
    see_the_plan(chen, patient)

    enter_baseline(chen, patient, body)
    zhao = visitor("zhao")
    lot = receive_and_release_a_lot(zhao)
    prepare_the_infusion(zhao, patient, lot)
    record_the_infusion(chen, patient)
    report_the_fever(chen, patient)

    maria = visitor("maria")
    raise_a_query(maria, patient)
    correct_haemoglobin(chen, patient)
    close_the_query(maria, patient)
    see_the_correction_in_the_history(maria, patient)
    see_two_tabs_collide(chen, patient)

    sofia = visitor("sofia")
    report = request_the_report(sofia)
    release_the_report(sofia)
    dora = visitor("dora")
    read_the_closed_part(dora, report, patient, count_in_the_trial(chen), tmp_path)
    see_who_acted(maria, patient)


# --- screening -----------------------------------------------------------------------------------------------


def screen(page):
    """Gives the number and the address of the new patient."""
    page.get_by_role("link", name="Screen a patient").first.click()  # what others typed and did not save comes later
    page.get_by_label("Sex").select_option("F")
    page.get_by_label("Date of birth").fill("1984-03-09")
    page.get_by_label("Screening starts on").fill(str(today() - timedelta(days=6)))
    with page.expect_navigation():
        page.get_by_role("button", name="Start screening").click()
    number = re.search(r"01-\d{3}", page.get_by_role("heading", level=1).inner_text()).group()
    expect(page.get_by_role("status")).to_contain_text(f"Patient {number} is in screening.")
    return number, page.url


def record_consent(page, patient):
    page.get_by_role("link", name="Record consent").click()
    page.get_by_label("Signed by the patient on").fill(str(today() - timedelta(days=6)))
    page.get_by_label("Consent obtained by").fill("Dr Wang Jun")
    save(page)
    expect(page.locator(".stepper li").filter(has_text="Consent")).to_have_class("done")


def enter_histories(page, patient):
    page.get_by_role("link", name="Consent and history").click()
    page.get_by_role("link", name=re.compile("Add ?: HIV history")).click()
    page.get_by_label("HIV diagnosed").fill("2014-05")
    page.get_by_label("CDC category").select_option("B")
    page.get_by_label("Lowest CD4 (cells/µL)").fill("41")
    page.get_by_label("Hepatitis B").select_option("negative")
    save(page)
    page.get_by_role("link", name=re.compile("Add ?: Antiretroviral")).click()
    page.get_by_label("Drugs").fill("TDF + 3TC + DTG")
    page.get_by_label("Start").fill("2015")
    page.get_by_label("Yes").check()
    save(page)
    expect(page.locator("#art")).to_contain_text("2015 – ongoing")


def enter_screening(page, patient, body):
    open_visit(page, patient, "SCR")
    visit = page.url
    for code in SCREENING_PANELS:
        open_panel(page, visit, code)
        page.get_by_label("Collected on").fill(str(today() - timedelta(days=6)))
        if code == "t_cells":
            mistype_cd4(page, body)
        else:
            type_values(page, code, body)
        if code == "vital_signs":
            leave_a_question_open(page)
        send_by_keyboard(page)
    vital_signs = page.get_by_role("row").filter(has_text="Vital signs")
    expect(vital_signs).to_contain_text("1 open query")
    expect(page.locator("td .status-entered")).to_have_count(len(SCREENING_PANELS))


def leave_a_question_open(page):
    """The pulse is asked about before it is saved; saved again, it becomes a query."""
    expect(page.locator("#row_PULSE .question")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#row_PULSE .question input")).to_be_focused()


def mistype_cd4(page, body):
    """The letter O for a nought is refused at the field, and stays there as it was typed, like all the rest."""
    type_values(page, "t_cells", body, CD4="18O")
    send_by_keyboard(page)
    cd4 = page.locator("[name=CD4]")
    expect(cd4).to_have_value("18O")
    expect(cd4).to_be_focused()
    assert cd4.get_attribute("aria-invalid") == "true"
    expect(page.locator("#row_CD4 .refused")).not_to_be_empty()
    expect(page.locator("[name=CD8]")).to_have_value(body.typed(trial.current_protocol().test("CD8"), -1, "SCR"))
    cd4.fill("180")


def judge_eligibility(page, patient):
    page.goto(patient[1])
    page.get_by_role("link", name="Assess eligibility").click()
    cd4 = page.get_by_role("row").filter(has_text="I3 CD4 above 50")
    expect(cd4).to_contain_text("CD4 T cells 180 cells/µL")
    expect(cd4).to_contain_text("holds")
    expect(page.locator("[name=holds_I3][value=Y]")).to_be_checked()
    for criterion in trial.current_protocol().criteria_for("F"):
        if criterion.rule is None:
            exclusion = trial.current_protocol().eligibility.is_exclusion(criterion.code)
            page.locator(f"[name=holds_{criterion.code}][value={'N' if exclusion else 'Y'}]").check()
    with page.expect_navigation():
        page.get_by_role("button", name="Record the assessment").click()
    expect(page.get_by_role("status")).to_contain_text("The patient is eligible.")


def randomise(page, patient):
    page.get_by_role("link", name="Randomise", exact=True).first.click()
    page.get_by_role("button", name=f"Randomise {patient[0]}").click()
    expect(page.locator(".patient-strip .arm")).to_have_text("UC-MSC")


def see_the_plan(page, patient):
    for code, day in (("W0", 0), ("W4", 28), ("W48", 336)):
        expect(visit_row(page, code)).to_contain_text(str(today() + timedelta(days=day)))


# --- the pharmacy ----------------------------------------------------------------------------------------------


def receive_and_release_a_lot(page):
    page.get_by_role("link", name="Lots", exact=True).click()
    page.get_by_role("link", name="Receive a lot").click()
    page.get_by_label("Product").select_option("UCMSC")
    page.get_by_label("Lot number").fill("UCM-JOURNEY-1")
    page.get_by_label("Donor code").fill("UC-0417")
    page.get_by_label("Passage").fill("5")
    page.get_by_label("Received on").fill(str(today() - timedelta(days=1)))
    page.get_by_label("Expires on").fill(str(today() + timedelta(days=90)))
    save(page)
    expect(page.locator(".meta")).to_contain_text("in quarantine")
    passes = {"CD73": "98.4", "CD90": "99.1", "CD105": "97.0", "NEGATIVES": "0.6", "VIABILITY": "93",
              "ENDOTOXIN": "<0.5", "MYCOPLASMA": "negative", "STERILITY": "negative", "KARYOTYPE": "normal"}  # fmt: skip
    for code, result in passes.items():
        field = page.locator(f"[name={code}]")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(result)
        else:
            field.fill(result)
    with page.expect_navigation():
        page.get_by_role("button", name="Save results").click()
    expect(page.locator(".status-met")).to_have_count(len(passes))
    page.get_by_role("link", name="Release").click()
    with page.expect_navigation():
        page.get_by_role("button", name="Release").click()
    expect(page.locator(".meta")).to_contain_text("released")
    return "UCM-JOURNEY-1"


def prepare_the_infusion(page, patient, lot):
    """The dose follows from the weight: 500,000 cells for each of 58.4 kg."""
    page.get_by_role("link", name="Start").click()
    page.get_by_role("link", name=f"{patient[0]} · W0").click()  # it leads to where the bag is prepared
    expect(page.get_by_label("Body weight (kg)")).to_have_value("58.4")
    page.get_by_label("Lot").select_option(label=f"{lot}, expires on {today() + timedelta(days=90)}")
    page.get_by_label("Viability after thawing (%)").fill("91.5")
    page.get_by_label("Label on the bag").fill("BAG-JOURNEY-1")
    page.get_by_label("Prepared at (local time)").fill(f"{today()} 11:10")
    save(page)
    expect(page.locator("main")).to_contain_text("29\u202f200\u202f000 cells")


# --- baseline and infusion -----------------------------------------------------------------------------------------


def enter_baseline(page, patient, body):
    open_visit(page, patient, "W0")
    visit = page.url
    for code in trial.current_protocol().visit("W0").panels:
        open_panel(page, visit, code)
        page.get_by_label("Collected on").fill(str(today()))
        type_values(page, code, body, PULSE="76")
        send_by_keyboard(page)
    expect(page.get_by_role("row").filter(has_text="Pregnancy test")).to_contain_text("entered")
    expect(page.locator("td .status-expected")).to_have_count(0)


def record_the_infusion(page, patient):
    open_visit(page, patient, "W0")
    page.get_by_role("link", name="Record the infusion").click()
    page.get_by_label("Start (local time)").fill(f"{today()} 12:00")
    page.get_by_label("Stop (local time)").fill(f"{today()} 13:00")
    page.get_by_label("Volume (mL)").fill("100")
    page.get_by_label("Access").fill("Left antecubital vein")
    page.locator(".monitoring input").first.focus()
    signs = {"M_TEMP": (36.6, 36.7, 37.0, 37.6, 37.8), "M_SYSBP": (118, 116, 112, 110, 114), "M_DIABP": (76, 74, 72, 70, 72),
             "M_PULSE": (74, 78, 84, 90, 88), "M_RESP": (16, 16, 17, 18, 17), "M_OXYSAT": (98, 98, 98, 97, 98)}  # fmt: skip
    for n, minute in enumerate((0, 15, 30, 45, 60)):  # down the column of a minute, then to the next
        for code, readings in signs.items():
            expect(page.locator(f"[name={code}_{minute}]")).to_be_focused()
            page.keyboard.type(str(readings[n]))
            page.keyboard.press("Enter")
    page.locator("[name=reaction1_term]").fill("Fever")
    page.locator("[name=reaction1_began]").fill(f"{today()} 12:45")
    page.locator("[name=reaction1_grade]").fill("1")
    save(page)
    expect(page.get_by_role("status")).to_contain_text("The infusion is recorded.")
    expect(page.locator("main")).to_contain_text("100 mL")


def report_the_fever(page, patient):
    page.get_by_role("link", name="Report adverse event").click()
    page.get_by_label("Adverse event").fill("Fever")
    page.get_by_label("Onset").fill(str(today()))
    expect(page.get_by_label("End")).to_be_hidden()
    page.locator("[name=is_ongoing][value=N]").check()
    page.get_by_label("End").fill(str(today()))
    page.get_by_role("combobox", name=re.compile("^Grade")).select_option("1")
    page.locator("[name=is_serious][value=N]").check()
    page.get_by_label("Relationship to the infusion product").select_option("probable")
    expect(page.get_by_label("After infusion number")).to_have_value("1")
    page.get_by_label("Action taken with the study treatment").select_option("dose_not_changed")
    page.get_by_label("Outcome").select_option("recovered")
    page.get_by_label("Site became aware (local time)").fill(f"{today()} 13:05")
    with page.expect_navigation():
        page.get_by_role("button", name="Report").click()
    page.wait_for_load_state()
    assert page.locator("#form-errors").all_inner_texts() == []
    expect(page.get_by_role("heading", level=1)).to_have_text("Fever")
    expect(page.locator(".meta")).to_contain_text("General disorders")


# --- is it right? -------------------------------------------------------------------------------------------------


def raise_a_query(page, patient):
    open_haematology(page, patient)
    expect(page.locator("[name=HGB]")).to_be_disabled()
    page.get_by_role("link", name="Raise a query").click()
    page.get_by_label("About").select_option("HGB")
    page.get_by_label("Question").fill("The laboratory's sheet says 123.")
    save(page)
    expect(page.locator("#row_HGB .status-query-open")).to_be_visible()


def correct_haemoglobin(page, patient):
    open_haematology(page, patient)
    page.locator("[name=HGB]").fill("123")
    page.get_by_label("Reason for the change").fill("Digits were swapped; checked against the laboratory's sheet")
    save(page)
    expect(page.get_by_role("status")).to_contain_text("Haematology: saved.")


def close_the_query(page, patient):
    open_haematology(page, patient)
    page.locator("#row_HGB .status-query-open").click()
    expect(page.locator(".meta")).to_contain_text("123 g/L")
    page.get_by_label("Message").fill("Corrected, thank you.")
    page.get_by_label("And then").select_option("close")
    with page.expect_navigation():
        page.get_by_role("button", name="Send").click()
    open_haematology(page, patient)
    expect(page.locator("#row_HGB .status-query-open")).to_have_count(0)


def see_the_correction_in_the_history(page, patient):
    """One click from the panel: the old value, the new one, who, and why."""
    page.locator(".meta").get_by_role("link", name="history").click()
    correction = page.locator(".history li").filter(has_text="Digits were swapped")
    expect(correction).to_contain_text("Chen Wei")
    change = correction.locator(".change").filter(has=page.get_by_text("Haemoglobin", exact=True))
    expect(change.locator(".old")).to_have_text(MEASURED["HGB"])
    expect(change.locator(".new")).to_have_text("123")


def see_two_tabs_collide(page, patient):
    """Who saves second is not allowed to overwrite, and sees both."""
    open_haematology(page, patient)
    late = page.context.new_page()
    late.goto(page.url)
    for tab, value in ((page, "124"), (late, "125")):
        tab.locator("[name=HGB]").fill(value)
        tab.get_by_label("Reason for the change").fill("Measured again")
        with tab.expect_navigation() as answer:
            tab.get_by_role("button", name="Save", exact=True).click()
    assert answer.value.status == 409
    row = late.get_by_role("row").filter(has_text="Haemoglobin")
    expect(row).to_contain_text("125")
    expect(row).to_contain_text("124")
    expect(row).to_have_class("differs")
    late.get_by_role("link", name="Open the saved version").click()
    expect(late.locator("[name=HGB]")).to_have_value("124")
    late.close()


# --- the board --------------------------------------------------------------------------------------------------------


def request_the_report(page):
    """Gives the address of the report, once the worker has made it before our eyes."""
    page.get_by_role("link", name="Reports", exact=True).click()
    page.get_by_role("link", name="Request a report").click()
    expect(page.get_by_label("Cut-off")).to_have_value(str(datetime.now(UTC).date()))
    with page.expect_navigation():
        page.get_by_role("button", name="Make the report").click()
    expect(page.locator(".progress-box")).to_be_visible()
    address = page.url
    page.get_by_role("button", name="PDF (English)").wait_for(timeout=120_000)
    return address


def release_the_report(page):
    page.get_by_role("link", name="Release to the board").click()
    with page.expect_navigation():
        page.get_by_role("button", name="Release", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("The board can read the report now.")


def count_in_the_trial(page):
    page.get_by_role("link", name="Patients", exact=True).click()
    return int(page.locator(".figures div").filter(has_text="In the trial").locator("dd").inner_text())


def read_the_closed_part(page, report, patient, randomised, folder):
    page.goto(report)
    page.get_by_role("link", name="Closed part").click()
    expect(page.get_by_role("columnheader", name="A", exact=True).first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="PDF (English)").click()
    assert download.value.suggested_filename == f"DSMB-closed-{datetime.now(UTC).date()}.pdf"
    pdf = folder / "closed.pdf"
    download.value.save_as(pdf)
    assert re.search(r"^Pages: +[1-9]", run("pdfinfo", pdf), re.MULTILINE)
    text = " ".join(run("pdftotext", "-layout", pdf, "-").split())
    assert str(datetime.now(UTC).date()) in text
    # both columns and their sum, on the page as in the file
    numbers = page.get_by_role("row", name=re.compile(r"^Randomised( [0-9]+){3}$"))
    counts = numbers.first.get_by_role("cell").all_inner_texts()
    assert f"Randomised {' '.join(counts)}" in text
    assert int(counts[0]) + int(counts[1]) == int(counts[2]) == randomised
    assert re.search(rf"{patient[0]}\D.{{0,200}}Fever", text)


def see_who_acted(page, patient):
    page.goto(patient[1])
    page.locator(".meta").get_by_role("link", name="history").click()
    expect(
        page.locator(".history .who").filter(has_text=re.compile("Chen Wei, study coordinator", re.IGNORECASE))
    ).not_to_have_count(0)
    expect(page.locator(".history")).to_contain_text(f"randomised, day 0 planned for {today()}")


# --- what they all do ---------------------------------------------------------------------------------------------------


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def save(page):
    """What was typed is kept first, then sent."""
    with page.expect_navigation():
        page.get_by_role("button", name="Save", exact=True).click()


def send_by_keyboard(page):
    with page.expect_navigation():
        page.keyboard.press("Control+Enter")


def visit_row(page, code):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=re.compile(f"^{code} ")))


def open_visit(page, patient, code):
    page.goto(patient[1])
    visit_row(page, code).get_by_role("link").first.click()


def open_panel(page, visit, code):
    page.goto(visit)
    page.get_by_role("link", name=trial.current_protocol().panel(code).name, exact=True).click()


def open_haematology(page, patient):
    open_visit(page, patient, "W0")
    open_panel(page, page.url, "haematology")


def type_values(page, panel, body, **instead):
    """Type a whole panel with the keyboard alone: each value, and Enter to the next field."""
    tests = [test for test in trial.current_protocol().tests_of(panel) if not test.computed]
    page.locator(f"[name={tests[0].code}]").focus()
    for test in tests:
        expect(page.locator(f"[name={test.code}]")).to_be_focused()
        typed = instead.get(test.code, body.typed(test, -1, "SCR"))
        # a list is chosen from by the first letters of what it shows
        page.keyboard.type(test.choice_label(typed).split()[0] if test.kind == "choice" and typed else typed)
        page.keyboard.press("Enter")

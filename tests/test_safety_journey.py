"""From two results of grade 4 to a trial that is halted, and by the board's decision goes on: in real Chromium, before the
real system.

An installation of its own, because what is walked here holds the whole trial. The patients' way up to this day is made
through the actions (`fill`); from the results on, everything is done by hand. The steps build on each other, so they are one
test; each is a function that reads as what the person does."""

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from tests.browser import in_week_4, move_to_the_afternoon, running
from tests.test_journey import open_panel, request_the_report, save, send_by_keyboard
from tests.test_week_4 import (
    card,
    fill_in_the_page,
    find_the_visit_in_its_window,
    give_the_infusion,
    today,
    type_some,
    typed_tests,
)
from tests.universe import PASSWORD

pytestmark = pytest.mark.browser

EVENT = "Alanine aminotransferase increased"
ALT = "640"  # U/L: 16 times a woman's upper limit
# how the rule about related events of grade 3 or worse says that it is met
MET = re.compile(r"Related grade 3 or worse.*: 2 of \d treated patients; the rule stops at 2\.")


@pytest.fixture(scope="module")
def served(browser_type_launch_args, tmp_path_factory):
    folder = tmp_path_factory.mktemp("safety")
    with running(folder, fill="tests.test_safety_journey.fill") as installation:
        yield installation


def fill():
    """Women whose second infusion is due today, four weeks after the first: two who get cells, and the `next` one, of whom
    everything but the bag is there."""
    from patients.models import AllocationSlot, Patient
    from tests.universe import Universe
    from visits.demo import enter_visit

    universe, cells, others = Universe(), [], []
    move_to_the_afternoon(universe)
    while len(cells) < 2 or not others:
        patient = in_week_4(universe)
        arm = AllocationSlot.objects.get(patient__number=patient["number"]).arm
        (cells if arm == "MSC" and len(cells) < 2 else others).append(patient)
    following = Patient.objects.get(number=others[0]["number"])
    enter_visit(patient=following, code="W4", panels=["vital_signs", "pregnancy"], by=universe.chen)
    return {"first": cells[0], "second": cells[1], "next": others[0]}


def test_a_second_severe_event_halts_the_trial_until_the_board_has_decided(visitor, served):
    first, second, following = (served.places[name] for name in ("first", "second", "next"))
    chen, wang, samuel = visitor("chen"), visitor("wang"), visitor("samuel")
    enter_a_result_of_grade_4(chen, first)
    event = report_what_the_result_proposes(chen, first, relationship="unlikely", is_serious=False)
    find_nothing_halted(chen)
    make_it_serious_and_related(wang, event)
    see_the_clocks_run(wang, samuel, first)
    find_only_the_patient_halted(chen, first)

    enter_a_result_of_grade_4(chen, second)
    report_what_the_result_proposes(chen, second, relationship="probable", is_serious=True)
    see_the_clocks_run(wang, samuel, second)
    find_the_trial_halted(chen)
    zhao = visitor("zhao")
    be_refused_the_next_infusion(zhao, following)

    sofia = visitor("sofia")
    report = request_the_report(sofia)
    dora = visitor("dora")
    find_no_report(dora)
    release(sofia, report)
    read_the_closed_part(dora, (first, second))
    recommend_to_go_on(dora)
    find_the_trial_halted(chen)  # a recommendation that nobody signed changes nothing
    sign_as_the_first(dora)
    find_the_trial_halted(chen)  # nor one that only one member of the two has signed
    sign_as_the_last(visitor("dan"))
    see_that_the_halt_is_lifted(dora, (first, second))

    prepare_the_next_infusion_after_all(zhao)
    give_the_infusion(chen, following)


# --- the site: a result, and the event that it proposes -------------------------------------------------------------


def enter_a_result_of_grade_4(page, patient):
    """The grade is shown at the field before anything is saved; the value is asked about, and confirmed."""
    page.goto("/")
    visit = find_the_visit_in_its_window(page, patient)
    open_panel(page, visit, "chemistry")
    type_some(page, ["ALT"], {"typed": {"ALT": ALT}})
    expect(page.locator("#row_ALT .grade.g4")).to_be_visible()
    page.locator("#row_ALT .question input").check()
    type_some(page, [test.code for test in typed_tests("chemistry") if test.code != "ALT"], patient, first="AST")
    send_by_keyboard(page)
    page.goto(visit)
    expect(page.get_by_role("row").filter(has_text="Chemistry")).to_contain_text("grade 4")


def report_what_the_result_proposes(page, patient, *, relationship, is_serious):
    """From the start page; what the result says is filled in. Gives the event's address."""
    page.goto("/")
    result = (
        card(page, "Results and reactions that may be adverse events")
        .get_by_role("listitem")
        .filter(has_text=patient["number"])
    )
    expect(result).to_contain_text(f"Alanine aminotransferase {ALT}")
    expect(result).to_contain_text("grade 4")
    result.get_by_role("link").click()
    page.get_by_role("link", name=re.compile(rf"^Report\s*: {patient['number']}")).click()
    expect(page.get_by_label("Adverse event")).to_have_value(EVENT)
    expect(page.get_by_role("combobox", name=re.compile("^Grade"))).to_have_value("4")
    expect(page.get_by_label("Onset")).to_have_value(str(today()))
    expect(page.get_by_label("After infusion number")).to_have_value("1")
    page.locator("[name=is_ongoing][value=Y]").check()
    if is_serious:
        call_it_serious(page)
    else:
        page.locator("[name=is_serious][value=N]").check()
    page.get_by_label("Relationship to the infusion product").select_option(relationship)
    page.get_by_label("Action taken with the study treatment").select_option("dose_not_changed")
    page.get_by_label("Outcome").select_option("not_recovered")
    page.get_by_role("button", name="Report", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(EVENT)
    told = page.get_by_role("status").filter(has_text="A halt is open now")
    if is_serious:  # the second such event: who reports it is told what is halted, and by which rule
        expect(told.filter(has_text=MET)).to_contain_text("Randomisation, infusions.")
    else:
        expect(told).to_have_count(0)
    expect(page.locator("main")).to_contain_text(f"ALT {ALT}")
    return page.url


def call_it_serious(page):
    page.locator("[name=is_serious][value=Y]").check()
    page.get_by_label("is another important medical event").check()


def make_it_serious_and_related(page, event):
    page.goto(event)
    page.get_by_role("link", name="Change", exact=True).click()
    call_it_serious(page)
    page.get_by_label("Relationship to the infusion product").select_option("probable")
    page.get_by_label("Reason for the change").fill("No other cause was found: serology negative, no new medication")
    page.get_by_role("button", name="Save the change").click()
    expect(page.get_by_role("link", name=re.compile("^case CN-"))).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="A halt is open now")).to_contain_text("Infusions")


def see_the_clocks_run(investigator, safety_officer, patient):
    """A day for the site to tell the sponsor, 15 days for the sponsor to tell the authority."""
    for page, title, left in (
        (investigator, "Serious cases to report", re.compile(r"2[34] h left")),
        (safety_officer, "Serious cases to judge", EVENT),
        (safety_officer, "Reports to authorities due", re.compile(r"1[45] days left")),
    ):
        page.goto("/")
        expect(card(page, title).get_by_role("listitem").filter(has_text=patient["number"])).to_contain_text(left)


# --- the halt ----------------------------------------------------------------------------------------------------------


def find_nothing_halted(page):
    page.goto("/")
    expect(page.locator(".halt")).to_have_count(0)


def find_only_the_patient_halted(page, patient):
    page.goto("/")
    expect(page.locator(".halt")).to_have_count(1)
    expect(page.locator(".halt")).to_contain_text(f"Infusions ({patient['number']}) halted since")


def find_the_trial_halted(page):
    page.goto("/")
    expect(page.locator(".halt").filter(has_text=MET)).to_contain_text("Randomisation, infusions halted since")


def be_refused_the_next_infusion(page, patient):
    """Of a patient to whom nothing has happened, and whatever the time on the bag; the work-list and the page say why."""
    page.goto("/")
    held = card(page, "Infusions").get_by_role("listitem").filter(has_text=patient["number"])
    expect(held).to_contain_text("held: Held since")
    held.get_by_role("link").click()  # to the visit, for nothing can be done
    page.get_by_role("link", name="Prepare", exact=True).click()
    fill_in_the_page(page, patient["typed"]["WEIGHT"])
    with page.expect_navigation() as answer:
        save(page)
    assert answer.value.status == 422
    expect(page.locator("#form-errors")).to_contain_text("Held since")
    expect(page.locator("#form-errors")).to_contain_text(MET)


def prepare_the_next_infusion_after_all(page):
    """What was typed is still there."""
    save(page)
    expect(page.locator("main")).to_contain_text("BAG-WEEK-4")
    expect(page.locator(".halt").filter(has_text=MET)).to_have_count(0)


# --- statistician and board ----------------------------------------------------------------------------------------------


def find_no_report(page):
    expect(card(page, "Latest DSMB reports")).to_contain_text("None yet.")


def release(page, report):
    page.goto(report)
    page.get_by_role("link", name="Release to the board").click()
    page.get_by_label("Note to the board").fill("Two related events of grade 4; the trial is halted")
    page.get_by_role("button", name="Release", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("The board can read the report now.")


def read_the_closed_part(page, patients):
    page.goto("/")
    card(page, "Latest DSMB reports").get_by_role("link", name="DSMB report as of").click()
    expect(page.locator("main")).to_contain_text("Two related events of grade 4")
    page.get_by_role("link", name="Closed part").click()
    for patient in patients:
        event = page.get_by_role("row").filter(has_text=patient["number"]).filter(has_text=EVENT)
        expect(event.first).to_be_visible()
    expect(page.locator("#T15")).to_contain_text("met")
    expect(page.locator("#L6").get_by_role("row").filter(has_text="not lifted")).to_have_count(3)
    page.get_by_role("link", name="I have read this part").click()
    page.get_by_role("button", name="I have read it").click()
    expect(page.locator("dd").filter(has_text="Dora Dung")).to_contain_text("closed")


def recommend_to_go_on(page):
    page.get_by_role("link", name="Record a recommendation").click()
    page.get_by_label("Day of the meeting").fill(str(datetime.now(UTC).date()))
    page.locator("[name=decision]").select_option("modify")
    page.get_by_label("Rationale").fill("Both events came weeks after the infusion and are resolving.")
    page.get_by_label("What is to be changed or met").fill("Liver tests each week until week 12")
    page.get_by_label(MET).check()
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("It takes effect when it is signed.")


def sign_as_the_first(page):
    sign(page)
    expect(page.get_by_role("status").first).to_contain_text("Signed: 1 of 2 signatures. It waits for Dan Drei.")
    expect(page.locator("main")).to_contain_text("waits for Dan Drei")
    expect(page.get_by_role("link", name="Sign", exact=True)).to_have_count(0)


def sign_as_the_last(page):
    """From the start page, which tells of it."""
    page.goto("/")
    draft = (
        card(page, "Recommendations of the safety board")
        .get_by_role("listitem")
        .filter(has_text="waits for your signature")
    )
    draft.get_by_role("link").click()
    expect(page.locator("main")).to_contain_text("waits for Dan Drei")
    sign(page)
    expect(page.get_by_role("status").first).to_contain_text("Signed; it is in effect now.")


def sign(page):
    page.get_by_role("link", name="Sign", exact=True).click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Sign", exact=True).click()


def see_that_the_halt_is_lifted(page, patients):
    """That of the trial; the two patients are held as before, for nothing was decided about them."""
    page.goto("/patients/halts/")
    halts = page.locator("section.card")
    expect(halts.filter(has_text=MET).locator(".status")).to_have_text("lifted")
    for patient in patients:
        expect(halts.filter(has_text=f"({patient['number']})").locator(".status")).to_have_text("in force")

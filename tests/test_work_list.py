"""The start page: what waits for this person, where it is done; and the calendar."""

import re
from datetime import date, timedelta

import pytest
from icalendar import Calendar

from patients.actions import lift_halt, open_halt
from patients.models import Blocked, Scope
from tests.universe import fields_of
from trialsite import actions as people
from trialsite.audit import acting
from trialsite.clock import today_at
from visits import actions
from visits import demo as steps
from visits.models import CalendarFeed, Lot, Query, QueryState, Visit

pytestmark = pytest.mark.django_db


def section(client, title, address="/"):
    """The rows of one section of the start page: (label, address of the link)."""
    sections = client.get(address).context["sections"]
    found = next(s for s in sections if s["title"] == title)
    return client.get(found["later"]).context["section"] if "later" in found else found


def labels(found):
    return [row["label"] for row in found["rows"]]


def test_a_visit_stands_under_overdue_due_or_coming_by_its_window(universe):
    patient = universe.infused()
    chen, today = universe.client(universe.chen), today_at(universe.site)
    visit = Visit.objects.get(patient=patient, code="W1")
    for earliest, latest, title in (
        (-9, -1, "Overdue visits"), (-3, 0, "Visits in their window"), (0, 3, "Visits in their window"),
        (1, 4, "Coming in two weeks"),
    ):  # fmt: skip
        with acting(universe.chen, "moved for a test"):
            visit.earliest, visit.latest = today + timedelta(days=earliest), today + timedelta(days=latest)
            visit.planned_on = visit.earliest
            visit.save()
        assert f"{patient.number} · W1" in labels(section(chen, title)), (earliest, latest)


def test_a_visit_begun_leads_to_its_first_unfinished_panel(universe):
    patient = universe.infused()
    steps.enter_panel(panel=universe.panel(patient, "W1", "vital_signs"), by=universe.chen, on=today_at(universe.site))
    chen = universe.client(universe.chen)
    found = section(chen, "Begun, not complete")
    row = next(row for row in found["rows"] if row["label"].endswith("W1"))
    panel = universe.panel(patient, "W1", "haematology")
    assert row["url"] == f"/visits/panels/{panel.pk}/" and "Haematology" in row["note"]


def work(client, kind):
    """The rows of a section that the start page asks for once it is shown."""
    return client.get(f"/visits/work/{kind}/start/").context["section"]["rows"]


def infusion_of(client, patient):
    return next(row for row in work(client, "infusions") if row["label"].startswith(patient.number))


def test_an_infusion_says_what_it_still_needs_until_it_is_ready_and_leads_there(universe):
    patient = universe.randomised(sex="F")
    chen, zhao = universe.client(universe.chen), universe.client(universe.zhao)
    visit = Visit.objects.get(patient=patient, code="W0")
    weight, pregnancy = (universe.panel(patient, "W0", code) for code in ("vital_signs", "pregnancy"))
    row = infusion_of(chen, patient)
    assert row["note"] == "needs: Vital signs, Pregnancy test, the bag"
    assert row["url"] == f"/visits/panels/{weight.pk}/"
    steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs"])
    assert infusion_of(chen, patient)["url"] == f"/visits/panels/{pregnancy.pk}/"
    assert infusion_of(zhao, patient)["url"] == f"/visits/{visit.pk}/", "the pharmacist enters no panel"
    steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["pregnancy"])
    row = infusion_of(zhao, patient)
    assert (row["note"], row["url"]) == ("needs: the bag", f"/visits/{visit.pk}/prepare/")
    steps.prepare(patient=patient, by=universe.zhao)
    row = infusion_of(chen, patient)
    assert (row["note"], row["url"]) == ("ready to be given", f"/visits/{visit.pk}/infusion/")


@pytest.mark.parametrize("when", ["before the bag", "after the bag"])
def test_an_infusion_is_held_by_a_pregnancy_test_that_is_not_negative(universe, when):
    patient = universe.randomised(sex="F")
    chen = universe.client(universe.chen)
    steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs", "pregnancy"])
    if when == "after the bag":
        steps.prepare(patient=patient, by=universe.zhao)
    panel = universe.panel(patient, "W0", "pregnancy")
    actions.record_panel(
        panel=panel, values={"HCG": "POS"}, collected_on=panel.collected_on, version=None,
        reason="read again", by=universe.chen,
    )  # fmt: skip
    row = infusion_of(chen, patient)
    assert row["note"].startswith("held: The pregnancy test is not negative.") and row["status"] == "halted"
    assert "ready" not in row["note"]


def test_a_pregnancy_test_that_was_not_done_is_still_needed_and_none_is_from_sixty_years_on(universe):
    young, old = (
        universe.randomised(sex="F"),
        universe.randomised(sex="F", birth_date=date(date.today().year - 62, 1, 1)),
    )
    for patient in (young, old):
        steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs"])
        actions.mark_panel_not_done(
            panel=universe.panel(patient, "W0", "pregnancy"),
            not_done_because="No urine",
            version=None,
            by=universe.chen,
        )
    chen = universe.client(universe.chen)
    assert infusion_of(chen, young)["note"] == "needs: Pregnancy test, the bag"
    assert infusion_of(chen, old)["note"] == "needs: the bag"


def test_a_halt_holds_the_infusion_on_the_list(universe):
    patient = universe.randomised(sex="M")
    steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs"])
    steps.prepare(patient=patient, by=universe.zhao)
    open_halt(scope=Scope.TRIAL, blocks=[Blocked.INFUSE], cause="A fever at another site.", by=universe.samuel)
    row = infusion_of(universe.client(universe.chen), patient)
    assert row["note"].startswith("held: Held since ") and "A fever at another site." in row["note"]


def test_a_weight_that_was_not_taken_is_not_waited_for_since_the_latest_one_will_do(universe):
    chen = universe.client(universe.chen)
    patient = universe.randomised(sex="M", day_0=today_at(universe.site))
    assert infusion_of(chen, patient)["note"] == "needs: Vital signs, the bag"
    panel = universe.panel(patient, "W0", "vital_signs")
    actions.mark_panel_not_done(panel=panel, not_done_because="no scales", version=None, by=universe.chen)
    assert infusion_of(chen, patient)["note"] == "needs: the bag"


def test_a_halt_holds_the_infusions_of_those_whom_it_is_about(universe):
    chen = universe.client(universe.chen)
    mine, other = (universe.randomised(sex="M", day_0=today_at(universe.site)) for _n in range(2))
    for scope, about in (
        (Scope.TRIAL, {}), (Scope.PATIENT, {"patient": mine}), (Scope.ARM, {"arm": mine.slot.arm}),
    ):  # fmt: skip
        halt = open_halt(scope=scope, blocks=["infuse"], cause="Fever in two", by=universe.samuel, **about)
        held = f"held: Held since {halt.opened_at:%Y-%m-%d}: Fever in two; needs: "
        assert infusion_of(chen, mine)["note"].startswith(held), scope
        is_held = scope == Scope.TRIAL or (scope == Scope.ARM and other.slot.arm == mine.slot.arm)
        assert infusion_of(chen, other)["note"].startswith("held") == is_held, scope
        lift_halt(halt=halt, decision="The board", by=universe.dora)
        assert infusion_of(chen, mine)["note"].startswith("needs")


def test_a_lot_that_expires_holds_the_bag_that_was_made_from_it(universe):
    chen = universe.client(universe.chen)
    patient = universe.randomised(sex="M", day_0=today_at(universe.site))
    steps.enter_visit(patient=patient, code="W0", by=universe.chen, panels=["vital_signs"])
    lot = steps.prepare(patient=patient, by=universe.zhao).lot
    assert infusion_of(chen, patient)["note"] == "ready to be given"
    with acting(universe.zhao, "for a test"):
        Lot.objects.filter(pk=lot.pk).update(expires_on=today_at(universe.site) - timedelta(days=1))
    assert infusion_of(chen, patient)["note"].startswith("held: The product lot expired")


def test_an_infusion_too_soon_after_the_one_before_is_held(universe):
    chen = universe.client(universe.chen)
    patient = universe.infused(sex="M")
    with acting(universe.chen, "for a test"):
        Visit.objects.filter(patient=patient, code="W4").update(
            planned_on=today_at(universe.site), earliest=today_at(universe.site)
        )
    assert re.search(r"^held: .*days", infusion_of(chen, patient)["note"])


def test_all_lines_of_a_list_are_reached_from_the_start_page(universe, monkeypatch):
    for _n in range(3):
        patient = universe.randomised(sex="M", day_0=today_at(universe.site))
        steps.enter_panel(panel=universe.panel(patient, "W0", "vital_signs"), by=universe.chen)
    monkeypatch.setattr("visits.home.SHOWN", 2)
    monkeypatch.setattr("trialsite.sections.first_of.__defaults__", (2,))
    chen = universe.client(universe.chen)
    for title in ("Begun, not complete", "Infusions", "Unsigned forms"):
        found = section(chen, title)
        assert (len(found["rows"]), found["count"]) == (2, found["count"]) and found["count"] > 2, title
        everything = chen.get(found["url"])
        rows = everything.context["section"]["rows"]
        assert len(rows) == found["count"] and rows[:2] == found["rows"], title
        assert all(row["url"] in everything.content.decode() for row in rows)
    assert f"site={universe.site.pk}" in section(chen, "Begun, not complete", f"/?site={universe.site.pk}")["url"]
    assert chen.get("/visits/work/else/").status_code == 404
    assert universe.client(universe.maria).get("/visits/work/begun/").status_code == 403
    assert universe.client(universe.zhao).get("/visits/work/unsigned/").status_code == 403
    other = universe.client(universe.li)
    assert other.get("/visits/work/infusions/").context["section"]["count"] == 0, "another site's are not told"


def test_who_enters_sees_which_forms_wait_for_a_signature_and_all_of_them_on_a_page(universe):
    patients = [universe.with_results(seed=seed) for seed in range(1, 4)]
    chen, wang = universe.client(universe.chen), universe.client(universe.wang)
    rows = work(chen, "unsigned")
    assert {row["label"] for row in rows} >= {f"{patient.number} · SCR" for patient in patients}
    assert re.fullmatch(r"\d+ of \d+ unsigned", rows[0]["status_text"])
    visit = Visit.objects.get(patient=patients[0], code="SCR")
    assert any(row["url"] == f"/visits/{visit.pk}/" for row in rows)
    titles = [one["title"] for one in wang.get("/").context["sections"]]
    assert "Unsigned forms" not in titles and "To sign" in titles, "who signs has them there"
    page = chen.get("/visits/work/unsigned/")
    assert page.status_code == 200 and all(patient.number in page.content.decode() for patient in patients)
    assert chen.get("/visits/work/nonsense/").status_code == 404
    assert universe.client(universe.dora).get("/visits/work/unsigned/").status_code == 403


def test_the_start_page_can_be_narrowed_to_a_site(universe):
    for site, by in ((universe.site, universe.chen), (universe.other_site, universe.li)):
        patient = universe.screened(site=site, by=by)
        panel = universe.panel(patient, "SCR", "chemistry")
        steps.enter_panel(panel=panel, by=by, slips={"ALT": "900"})
        for query in panel.queries.all():
            actions.answer_query(query=query, text="Checked.", version=None, by=by)
    david = universe.client(universe.david)
    everywhere, here = (section(david, "Answered queries to review", a) for a in ("/", f"/?site={universe.site.pk}"))
    assert 0 < here["count"] < everywhere["count"]
    assert all(label.startswith(universe.site.code) for label in labels(here))
    for nonsense in ("x", "-1", "99999999999999", "١"):
        assert david.get("/", {"site": nonsense}).status_code == 200


def test_nobody_narrows_the_start_page_to_a_site_of_others(universe):
    patient = universe.screened(site=universe.other_site, by=universe.li)
    page = universe.client(universe.chen).get(f"/?site={universe.other_site.pk}").content.decode()
    assert patient.number not in page


def test_what_was_typed_and_not_saved_stands_first_for_that_person_alone(universe):
    patient = universe.screened()
    chen = universe.client(universe.chen)
    path = f"/visits/panels/{universe.panel(patient, 'SCR', 'chemistry').pk}/"
    shown = fields_of(chen.get(path))
    [key], [version] = shown.pop("idem"), shown["version"]
    about = {"draft": "keep", "draft_of": key, "draft_version": version}
    assert chen.post(path, {**shown, **about, "ALT": "77"}).status_code == 200
    row = section(chen, "Typed and not saved")["rows"][0]
    assert row["url"].startswith(f"{path}?draft=yes&kept=") and 'value="77"' in chen.get(row["url"]).content.decode()
    wang = universe.client(universe.wang).get("/").context["sections"]
    assert "Typed and not saved" not in [one["title"] for one in wang]


@pytest.mark.parametrize(("name", "step"), [("maria", "verify"), ("david", "review"), ("wang", "sign")])
def test_what_waits_to_be_marked_is_counted_for_those_who_mark(universe, name, step):
    patient = universe.with_results()
    client = universe.client(getattr(universe, name))
    asked = [s["later"] for s in client.get("/").context["sections"] if f"/check/{step}/" in s.get("later", "")]
    assert asked == [f"/visits/check/{step}/waiting/"]
    found = client.get(asked[0]).context["section"]
    assert f"{patient.number} · SCR" in labels(found)
    assert universe.client(universe.chen).get(asked[0]).status_code == 403


def test_the_calendar_shows_windows_of_five_weeks_and_moves(universe):
    patient = universe.infused()
    chen = universe.client(universe.chen)
    page = chen.get("/visits/calendar/")
    codes = [row["visit"].code for row in page.context["rows"]]
    assert "W1" in codes and "W4" in codes and "W48" not in codes
    row = next(row for row in page.context["rows"] if row["visit"].code == "W1")
    visit = row["visit"]
    inside = [cell["day"] for cell in row["cells"] if cell["window"]]
    assert (inside[0], inside[-1]) == (visit.earliest, visit.latest)
    assert [cell["day"] for cell in row["cells"] if cell["planned"]] == [visit.planned_on]
    with acting(universe.chen, "long ago"):
        Visit.objects.filter(pk=visit.pk).update(earliest="2020-01-01", planned_on="2020-01-02", latest="2020-01-03")
    page = chen.get("/visits/calendar/")
    assert page.context["overdue"] == 1 and "W1" in [row["visit"].code for row in page.context["rows"]]
    far = Visit.objects.get(patient=patient, code="W48")
    assert "W48" in chen.get("/visits/calendar/", {"from": far.planned_on.isoformat()}).content.decode()
    for nonsense in ("x", "9999-12-31", "0001-01-01", "2026-02-30"):
        assert chen.get("/visits/calendar/", {"from": nonsense}).status_code == 200


def test_a_calendar_program_reads_what_its_owner_may_see_until_the_address_ends(universe, client):
    patient = universe.infused()
    other = universe.screened(site=universe.other_site, by=universe.li)
    chen = universe.client(universe.chen)
    told = chen.post("/visits/calendar/renew/", follow=True).content.decode()
    address = told.split("http://testserver")[1].split(".ics")[0] + ".ics"
    answer = client.get(address)
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/calendar")
    events = Calendar.from_ical(answer.content).walk("VEVENT")
    assert any(str(event["summary"]).startswith(f"{patient.number} W4") for event in events)
    assert other.number not in answer.content.decode()
    assert address.rsplit("/")[-1].removesuffix(".ics") not in CalendarFeed.objects.get().digest
    chen.post("/visits/calendar/renew/")
    assert client.get(address).status_code == 404, "the older address ended"
    assert client.get("/visits/feed/guess.ics").status_code == 404


def test_the_calendar_of_an_account_that_was_closed_is_not_answered(universe, client):
    chen = universe.client(universe.chen)
    told = chen.post("/visits/calendar/renew/", follow=True).content.decode()
    address = told.split("http://testserver")[1].split(".ics")[0] + ".ics"
    assert client.get(address).status_code == 200
    people.deactivate_account(user=universe.chen, reason="left", by=universe.ada)
    assert client.get(address).status_code == 404
    people.reactivate_account(user=universe.chen, reason="is back", by=universe.ada)
    assert client.get(address).status_code == 404, "who knew the address must not read on; a new one can be made"


def test_the_start_page_the_grid_and_the_visit_count_the_same_queries_as_open(universe):
    patient = universe.infused()
    panel = universe.panel(patient, "W0", "haematology")
    steps.enter_visit(patient=patient, code="W0", by=universe.chen)
    raised = [
        actions.raise_query(panel=panel, test=test, text="Is it right?", by=universe.maria)
        for test in ("WBC", "PLAT", "HGB")
    ]
    actions.answer_query(query=raised[0], text="It is.", version=None, by=universe.chen)
    waiting = Query.objects.filter(panel__visit=panel.visit_id, state=QueryState.OPEN).count()
    answered = Query.objects.filter(panel__visit=panel.visit_id, state=QueryState.ANSWERED).count()
    assert waiting and answered == 1
    chen = universe.client(universe.chen)
    of_patient = [row for row in labels(section(chen, "Open queries")) if patient.number in row and "W0" in row]
    [row] = [row for row in chen.get("/visits/").context["grid"]["rows"] if row["number"] == patient.number]
    cell = next(cell for cell in row["cells"] if cell and cell["text"].startswith("W0"))
    words = f"{waiting} open quer{'y' if waiting == 1 else 'ies'}, 1 answered query"
    assert cell["queries"] == waiting == len(of_patient) and cell["text"].endswith(words)
    page = chen.get(f"/visits/{panel.visit_id}/").content.decode()
    assert "2 open queries, 1 answered query" in page

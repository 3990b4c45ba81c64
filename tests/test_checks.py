"""Edit checks in the running program: what they ask about lines and events, what came of them, which are retired;
and queries about any record."""

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from patients import actions as patient_actions
from patients.models import ArtRegimen, Medication
from safety import actions as safety_actions
from tests.universe import send, signed
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.saving import Refused
from visits import actions
from visits import demo as steps
from visits.catalogue import LEAST_FIRINGS, Statistics
from visits.models import CheckFiring, CheckRefusal, PanelRecord, Query, RetiredCheck


@pytest.fixture
def panel(unchanged):
    return unchanged.panel(unchanged.screened(), "SCR", "t_cells")


def regimen(universe, patient, start, end="", **more):
    values = {"drugs": "TDF + 3TC + EFV", "started_on": start, "is_ongoing": not end, "ended_on": end}
    return patient_actions.save_line(model=ArtRegimen, patient=patient, values=values, by=universe.chen, **more)


def queries_of(patient, code):
    return Query.objects.filter(patient=patient, check_code=code)


# --- records that are no panels ---------------------------------------------------------------------


@pytest.fixture
def untreated(unchanged):
    """A patient whose treatment is not entered yet."""
    patient = unchanged.screened()
    with acting(unchanged.chen, "for this test"):
        ArtRegimen.objects.filter(patient=patient).update(is_withdrawn=True)
    return patient


def test_a_gap_in_the_treatment_is_asked_and_the_missing_regimen_answers_it(unchanged, untreated):
    regimen(unchanged, untreated, "2015", "2019-03")
    assert not queries_of(untreated, "art_stopped"), "the list may not be complete yet"
    later = regimen(unchanged, untreated, "2019-06")
    query = queries_of(untreated, "art_gap").get()
    assert (query.record, query.record_id, query.field) == ("patients.artregimen", later.pk, "started_on")
    assert query.question == "No antiretroviral treatment from 2019-04-01 to 2019-05-31. Is a regimen missing?"
    regimen(unchanged, untreated, "2019-04-01", "2019-06")
    query.refresh_from_db()
    assert (query.state, query.firing.has_changed_value) == ("closed", True)


def test_a_gap_that_was_confirmed_is_not_asked(unchanged, untreated):
    regimen(unchanged, untreated, "2015", "2019-03")
    regimen(unchanged, untreated, "2019-06", confirmed={("art_gap", "started_on")})
    assert not queries_of(untreated, "art_gap")
    assert CheckFiring.objects.get(patient=untreated, check_code="art_gap").outcome == "confirmed"


def gap(universe, patient, **changes):
    """Send the form of a regimen that leaves a gap after the first."""
    regimen(universe, patient, "2015", "2019-03")
    values = {"drugs": "TDF + 3TC + EFV", "started_on": "2019-06", "is_ongoing": "Y"} | changes
    return send(universe.client(universe.chen), f"/patients/{patient.pk}/lines/art/", **values)


GAP = "art_gap:started_on:2019-06"


def test_a_line_is_asked_about_before_it_is_saved_and_one_click_documents_that_it_is_right(unchanged, untreated):
    answer = gap(unchanged, untreated)
    page = answer.content.decode()
    assert answer.status_code == 422 and "No antiretroviral treatment from 2019-04-01 to 2019-05-31" in page
    assert f'value="{signed(untreated, GAP)}"' in page and 'value="2019-06"' in page
    assert not ArtRegimen.objects.filter(patient=untreated, started_on="2019-06").exists()
    answer = gap(unchanged, untreated, asked=signed(untreated, GAP), confirmed=signed(untreated, GAP))
    assert answer.status_code == 302 and not queries_of(untreated, "art_gap")
    assert CheckFiring.objects.get(patient=untreated, check_code="art_gap").outcome == "confirmed"


def test_what_was_asked_and_is_saved_again_without_a_word_becomes_a_query(unchanged, untreated):
    assert gap(unchanged, untreated, asked=signed(untreated, GAP)).status_code == 302
    assert queries_of(untreated, "art_gap").get().state == "open"


def test_a_tick_counts_for_the_value_that_it_was_set_at_and_for_no_other(unchanged, untreated):
    answer = gap(
        unchanged, untreated, started_on="2019-07", asked=signed(untreated, GAP), confirmed=signed(untreated, GAP)
    )
    assert answer.status_code == 422 and "art_gap:started_on:2019-07" in answer.content.decode()
    assert "checked" not in answer.content.decode().split('name="confirmed"')[1].split(">")[0]


def test_what_was_asked_and_corrected_counts_as_corrected(unchanged, untreated):
    assert gap(unchanged, untreated, started_on="2019-04-01", asked=signed(untreated, GAP)).status_code == 302
    firing = CheckFiring.objects.get(patient=untreated, check_code="art_gap")
    assert (firing.outcome, firing.typed, firing.has_changed_value) == ("corrected", "2019-06", True)


@pytest.mark.parametrize(
    "asked", ["", ":", "art_gap", "no_such:x:1", "impossible:x:1", "art_gap:<b>:1", f"art_gap:a\0:{'x' * 900}"]
)
def test_tokens_that_no_page_of_ours_sent_change_nothing(unchanged, untreated, asked):
    for sent in (asked, signed(untreated, asked)):
        assert gap(unchanged, untreated, asked=sent).status_code == 422
    assert gap(unchanged, untreated, started_on="2019-04-01", asked=signed(untreated, asked)).status_code == 302
    assert not CheckFiring.objects.filter(patient=untreated, test="x").exists()


@pytest.mark.parametrize("name", ["asked", "confirmed"])
def test_what_the_client_says_it_was_asked_counts_only_with_our_signature_for_this_patient(unchanged, untreated, name):
    other = unchanged.screened(seed=7)
    for token in (GAP, f"{GAP}:", f"{GAP}:x", signed(other, GAP), signed(untreated, GAP.replace("06", "07"))):
        assert gap(unchanged, untreated, **{name: token}).status_code == 422, token
    assert gap(unchanged, untreated, **{name: signed(untreated, GAP)}).status_code == 302
    assert CheckFiring.objects.filter(patient=untreated, check_code="art_gap").count() == 1


def test_an_event_is_asked_about_before_it_is_reported(unchanged):
    patient = unchanged.screened()
    before = patient.consents.first().signed_on - timedelta(days=2)
    address = f"/safety/events/report/{patient.pk}/"
    values = {
        "term": "Headache", "began_on": str(before), "is_ongoing": "Y", "grade": "1", "is_serious": "N",
        "relationship": "not_related", "action_taken": "not_applicable", "outcome": "not_recovered",
        "aware_at": f"{today_at(patient.site)} 00:01",
    }  # fmt: skip
    answer = send(unchanged.client(unchanged.chen), address, **values)
    assert answer.status_code == 422 and "Is this medical history?" in answer.content.decode()
    assert not patient.adverse_events.exists()
    token = f"event_before_consent:began_on:{before}"
    assert (
        send(
            unchanged.client(unchanged.chen),
            address,
            **values,
            asked=signed(patient, token),
            confirmed=signed(patient, token),
        ).status_code
        == 302
    )
    assert CheckFiring.objects.get(patient=patient, check_code="event_before_consent").outcome == "confirmed"


@pytest.mark.requirement("R51")
def test_a_medication_does_not_begin_before_birth(unchanged):
    patient = unchanged.screened()
    values = {"treatment": "Aspirin", "started_on": str(patient.birth_date.year - 1), "is_ongoing": True}
    with pytest.raises(Refused) as refusal:
        patient_actions.save_line(model=Medication, patient=patient, values=values, by=unchanged.chen)
    assert "before the patient's birth" in refusal.value.errors["started_on"][0]
    assert not Medication.objects.filter(patient=patient, treatment="Aspirin").exists()


def test_an_event_before_the_consent_is_saved_and_asked_about_and_the_right_day_closes_it(unchanged):
    patient = unchanged.screened()
    signed_on = patient.consents.first().signed_on
    event = unchanged.event(patient, began_on=signed_on - timedelta(days=1))
    query = queries_of(patient, "event_before_consent").get()
    assert (query.record, query.record_id, query.state) == ("safety.adverseevent", event.pk, "open")
    values = unchanged.event_values(patient) | {"began_on": signed_on}
    safety_actions.change_adverse_event(event=event, values=values, version=None, reason="typo", by=unchanged.chen)
    query.refresh_from_db()
    assert query.state == "closed"


# --- one question about a visit, and not one at each of its forms -----------------------------------


def test_a_visit_out_of_its_window_is_asked_about_once(unchanged):
    patient = unchanged.randomised()
    today = timezone.now().date()
    for code in ("haematology", "chemistry"):
        steps.enter_panel(panel=unchanged.panel(patient, "W8", code), by=unchanged.chen, on=today)
    assert queries_of(patient, "window").count() == 1


def test_a_change_of_the_other_value_settles_a_question_about_two(unchanged):
    panel = unchanged.panel(unchanged.screened(), "SCR", "vital_signs")
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={"SYSBP": "95", "DIABP": "97"})
    query = Query.objects.get(panel=panel, check_code="pressure_order")
    on = panel.patient.screened_on
    actions.record_panel(
        panel=panel, values={"SYSBP": "135"}, collected_on=on, version=None, reason="typo", by=unchanged.chen
    )
    query.refresh_from_db()
    assert (query.test, query.state, query.firing.has_changed_value) == ("DIABP", "closed", True)


def test_a_change_at_one_form_answers_what_was_asked_at_another(unchanged):
    patient = unchanged.screened()
    blood, cells = (unchanged.panel(patient, "SCR", code) for code in ("haematology", "t_cells"))
    on = patient.screened_on
    entry = {"collected_on": on, "version": None, "by": unchanged.chen}
    actions.record_panel(panel=blood, values={"LYM": "0.40", "WBC": "4.00"}, **entry)
    actions.record_panel(panel=cells, values={"CD4": "200", "CD8": "800"}, **entry)
    query = queries_of(patient, "t_cells_over_lymphocytes").get()
    assert (query.panel, query.test) == (cells, "CD8")
    actions.record_panel(panel=blood, values={"LYM": "0.50"}, reason="typo", **entry)
    query.refresh_from_db()
    assert query.state == "answered", "changed, but not yet right; and not asked a second time"
    assert queries_of(patient, "t_cells_over_lymphocytes").count() == 1
    actions.record_panel(panel=blood, values={"LYM": "1.40"}, reason="typo", **entry)
    query.refresh_from_db()
    assert (query.state, query.firing.has_changed_value) == ("closed", True)


# --- what came of the checks, and their retirement ---------------------------------------------------


@pytest.mark.parametrize(
    ("fired", "changed", "is_proposed"),
    [
        (LEAST_FIRINGS, 1, True),
        (LEAST_FIRINGS, 2, False),
        (LEAST_FIRINGS - 1, 0, False),
        (100, 19, True),
        (0, 0, False),
    ],
)
def test_a_check_is_proposed_for_retirement_when_it_spoke_often_and_changed_nothing(fired, changed, is_proposed):
    assert Statistics(fired=fired, changed=changed).is_proposed is is_proposed


def fire(universe, panel, times, test="CD4", *, has_changed_value=False):
    with acting(universe.chen, "first entry"):
        CheckFiring.objects.bulk_create(
            CheckFiring(
                patient=panel.patient, panel=panel, test=test, check_code="implausible", typed=str(n), by=universe.chen,
                outcome="confirmed", has_changed_value=has_changed_value,
            )
            for n in range(times)
        )  # fmt: skip


def rows_of(universe, person):
    context = universe.client(person).get("/visits/queries/checks/").context
    return {row["key"]: row for row in [*context["tests"], *(r for _s, rows in context["subjects"] for r in rows)]}


@pytest.mark.requirement("R44")
def test_what_checks_did_is_counted_over_the_sites_of_the_reader(unchanged, panel):
    fire(unchanged, panel, LEAST_FIRINGS)
    for person, fired in ((unchanged.chen, LEAST_FIRINGS), (unchanged.david, LEAST_FIRINGS), (unchanged.li, 0)):
        row = rows_of(unchanged, person)["implausible-CD4"]
        assert (row["statistics"].fired, row["is_proposed"]) == (fired, bool(fired)), person
    assert rows_of(unchanged, unchanged.david)["implausible"]["statistics"].confirmed == LEAST_FIRINGS


def test_a_check_that_is_of_no_use_over_all_its_tests_is_proposed_in_its_own_row_which_names_them(unchanged, panel):
    fire(unchanged, panel, 4, "CD4")
    fire(unchanged, panel, 4, "CD8")
    fire(unchanged, panel, 1, "ALT", has_changed_value=True)
    assert not rows_of(unchanged, unchanged.david)["implausible"]["is_proposed"], "nine times are too few"
    fire(unchanged, panel, 1, "HGB")
    rows = rows_of(unchanged, unchanged.david)
    assert rows["implausible"]["is_proposed"]
    assert {test.code for test in rows["implausible"]["useless_tests"]} == {"CD4", "CD8", "HGB"}, "of ALT it was of use"
    assert not any(rows[f"implausible-{test}"]["is_proposed"] for test in ("CD4", "CD8", "HGB"))
    page = unchanged.client(unchanged.david).get("/visits/queries/checks/").content.decode()
    assert (
        'href="#implausible-CD4"' in page
        and 'id="implausible-CD4"' in page
        and "proposed for retirement, by test" in page
    )
    actions.retire_check(code="implausible", test="CD4", reason="Every patient here is below", by=unchanged.david)
    row = rows_of(unchanged, unchanged.david)["implausible"]
    assert not row["is_proposed"], "what is silent is judged no more"
    assert row["statistics"].fired == 10, "and still told"


def test_a_check_of_single_values_that_changed_values_is_not_proposed(unchanged, panel):
    fire(unchanged, panel, 8, "CD4")
    fire(unchanged, panel, 2, "CD8", has_changed_value=True)
    assert not rows_of(unchanged, unchanged.david)["implausible"]["is_proposed"], "of use in two of ten"


# --- hard checks ------------------------------------------------------------------------------------


def refused(universe, person, code):
    return rows_of(universe, person)[code]["statistics"].refused


def test_what_hard_checks_refuse_at_saving_is_counted_without_a_patient(unchanged):
    patient = unchanged.screened()
    panel = unchanged.panel(patient, "SCR", "t_cells")
    chen, address, on = unchanged.client(unchanged.chen), f"/visits/panels/{panel.pk}/", str(panel.patient.screened_on)
    for _again in range(2):
        assert send(chen, address, collected_on=on, CD4="999999").status_code == 422
    assert not PanelRecord.objects.get(pk=panel.pk).was_touched
    assert refused(unchanged, unchanged.chen, "impossible") == refused(unchanged, unchanged.david, "impossible") == 2
    assert refused(unchanged, unchanged.li, "impossible") == 0, "another site's"
    before_screening = str(panel.patient.screened_on - timedelta(days=400))
    assert send(chen, address, collected_on=before_screening, CD4="400").status_code == 422
    assert sum(refused(unchanged, unchanged.chen, code) for code in ("day_before_screening", "day_before_consent")) == 1
    [kept] = CheckRefusal.objects.filter(check_code="impossible")
    assert (kept.test, kept.site, kept.number) == ("CD4", unchanged.site, 2)
    page = chen.get("/visits/queries/checks/").content.decode()
    assert "refuses to save" in page and "not counted" not in page


def test_what_is_saved_or_only_looked_at_counts_nothing_and_a_refusal_costs_one_statement(unchanged):
    panel = unchanged.panel(unchanged.screened(), "SCR", "t_cells")
    chen, address = unchanged.client(unchanged.chen), f"/visits/panels/{panel.pk}/"
    page = chen.get(address)
    with CaptureQueriesContext(connection) as queries:
        assert (
            send(chen, address, page=page, collected_on=str(panel.patient.screened_on), CD4="999999").status_code == 422
        )
    [counting] = [query["sql"] for query in queries if "visits_checkrefusal" in query["sql"]]
    assert "on conflict" in counting
    with CaptureQueriesContext(connection) as queries:
        chen.get(address)
        assert send(chen, address, collected_on=str(panel.patient.screened_on), CD4="400").status_code == 302
    assert not [query["sql"] for query in queries if "visits_checkrefusal" in query["sql"]]


def test_refusals_of_lines_events_and_infusions_are_counted(unchanged):
    patient = unchanged.screened()
    born = patient.birth_date - timedelta(days=400)
    lines = f"/patients/{patient.pk}/lines/medication/"
    chen = unchanged.client(unchanged.chen)
    assert send(chen, lines, treatment="Aspirin", started_on=str(born), is_ongoing="Y").status_code == 422
    assert refused(unchanged, unchanged.chen, "line_before_birth") == 1
    today = today_at(patient.site)
    event = {
        "term": "Headache", "began_on": str(today), "is_ongoing": "Y", "grade": "1", "is_serious": "N",
        "relationship": "not_related", "action_taken": "not_applicable", "outcome": "not_recovered",
        "aware_at": f"{today - timedelta(days=1)} 10:00",
    }  # fmt: skip
    assert send(chen, f"/safety/events/report/{patient.pk}/", **event).status_code == 422
    assert refused(unchanged, unchanged.chen, "event_aware_before") == 1


def test_a_data_manager_retires_a_soft_check_with_a_reason_and_it_is_silent_until_it_is_restored(unchanged, panel):
    david = unchanged.client(unchanged.david)
    address = "/visits/queries/checks/implausible-CD4/retire/"
    assert send(david, address, reason=" ").status_code == 422
    assert send(david, address, reason="Every patient here is below").status_code == 302
    assert send(david, address, reason="again").status_code == 422
    on = panel.patient.screened_on
    entry = {"panel": panel, "collected_on": on, "version": None, "by": unchanged.chen}
    assert not actions.preview_panel(panel=panel, values={"CD4": "4000"}, collected_on=on)
    actions.record_panel(values={"CD4": "4000"}, **entry)
    assert not Query.objects.filter(panel=panel).exists() and not CheckFiring.objects.filter(panel=panel).exists()
    page = david.get("/visits/queries/checks/").content.decode()
    assert "Every patient here is below" in page and "David Dao" in page
    retired = RetiredCheck.objects.get()
    assert "Every patient here" in david.get(f"/history/visits/retiredcheck/{retired.pk}/").content.decode()
    assert send(david, f"/visits/queries/checks/retired/{retired.pk}/restore/", reason="Ask again").status_code == 302
    actions.record_panel(values={"CD4": "4100"}, reason="it was this", **entry)
    assert Query.objects.filter(panel=panel, test="CD4", check_code="implausible").count() == 1


def test_a_hard_check_cannot_be_retired(unchanged):
    for key in ("impossible-CD4", "day_in_future", "implausible", "nothing", "implausible-NONE"):
        assert unchanged.client(unchanged.david).get(f"/visits/queries/checks/{key}/retire/").status_code == 404, key
    with pytest.raises(Refused):
        actions.retire_check(code="day_in_future", reason="x", by=unchanged.david)


@pytest.mark.parametrize("name", ["chen", "maria", "ines", "sofia"])
def test_who_reads_the_checks_does_not_retire_them(unchanged, name):
    client = unchanged.client(getattr(unchanged, name))
    page = client.get("/visits/queries/checks/")
    assert page.status_code == 200 and b"/retire/" not in page.content
    assert client.post("/visits/queries/checks/implausible-CD4/retire/", {}).status_code == 403


def test_the_printed_list_of_checks_is_the_declared_one(db):
    printed = StringIO()
    call_command("list_checks", markdown=True, stdout=printed)
    page = Path(__file__).parent.parent / "docs" / "checks.md"
    assert printed.getvalue() == page.read_text(encoding="utf-8"), (
        "run manage.py list_checks --markdown > docs/checks.md"
    )


# --- queries about any record -----------------------------------------------------------------------


def test_a_monitor_asks_about_a_line_an_event_and_an_infusion_and_the_query_leads_back(unchanged):
    patient = unchanged.infused()
    event = unchanged.event(patient)
    infusion = patient.infusions.get()
    line = patient.artregimens.first()
    maria = unchanged.client(unchanged.maria)
    asked = [
        (f"/visits/queries/about/patients/artregimen/{line.pk}/", "started_on", f"/patients/{patient.pk}/background/"),
        (f"/visits/queries/about/safety/adverseevent/{event.pk}/", "grade", f"/safety/events/{event.pk}/"),
        (f"/visits/{infusion.visit_id}/infusion/query/", "M_PULSE-15", f"/visits/{infusion.visit_id}/infusion/"),
        (f"/visits/{infusion.visit_id}/infusion/query/", "volume_ml", f"/visits/{infusion.visit_id}/infusion/"),
    ]
    for address, what, back in asked:
        assert send(maria, address, about=what, text="Is it right?").status_code == 302, address
        query = Query.objects.latest("id")
        page = maria.get(f"/visits/queries/{query.pk}/")
        assert f'href="{back}"' in page.content.decode(), address
        assert what.split("-")[0] in (query.field, query.test)
    assert Query.objects.get(test="M_PULSE").minute == 15
    assert unchanged.client(unchanged.chen).get(asked[0][0]).status_code == 403


@pytest.mark.requirement("R44")
def test_who_may_not_see_an_event_does_not_see_a_query_about_it(unchanged):
    event = unchanged.event(unchanged.screened())
    query = actions.raise_query(record=event, field="grade", text="Why a 1?", by=unchanged.maria)
    assert unchanged.client(unchanged.zhao).get(f"/visits/queries/{query.pk}/").status_code == 404
    assert "Why a 1?" not in unchanged.client(unchanged.zhao).get("/visits/queries/").content.decode()
    assert unchanged.client(unchanged.chen).get(f"/visits/queries/{query.pk}/").status_code == 200


def test_after_an_answer_the_page_leads_to_the_next_query_of_the_patient(unchanged, panel):
    first = steps.ask(panel=panel, by=unchanged.maria)
    second = steps.ask(panel=panel, by=unchanged.maria, test="CD4")
    chen = unchanged.client(unchanged.chen)
    answer = send(chen, f"/visits/queries/{first.pk}/", text="It is right.", step="answer")
    page = chen.get(answer["Location"])
    assert page.context["next"] == second
    assert unchanged.client(unchanged.maria).get(f"/visits/queries/{second.pk}/").context["next"] == first


FILTERS = [
    ("", {"old", "check"}), ("state=all", {"old", "check", "done"}), ("state=closed", {"done"}), ("kind=check", {"check"}),
    ("kind=person", {"old"}), ("older=7", {"old"}), ("older=30", set()), ("whose=raised", {"old"}), ("whose=turn", set()),
    ("older=x&kind=y", {"old", "check"}),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "shown"), FILTERS)
def test_the_list_shows_what_its_filter_asks_for(unchanged, panel, asked, shown):
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={"CD4": "4000", "CD8": "4000", "CD4PCT": "20.0"})
    old, done = (steps.ask(panel=panel, by=unchanged.maria, text=text) for text in ("old", "done"))
    actions.close_query(query=done, version=None, by=unchanged.maria)
    with acting(unchanged.maria, "for this test"):
        Query.objects.filter(pk=old.pk).update(raised_at=timezone.now() - timedelta(days=20))
    page = unchanged.client(unchanged.maria).get(f"/visits/queries/?{asked}&patient={panel.patient_id}")
    found = {"check" if query.check_code else query.text for query in page.context["page"].object_list}
    assert found == shown


def test_queries_that_wait_are_counted_by_age_up_to_and_with_the_last_day(unchanged, panel):
    now = timezone.now()
    for days in (0, 7, 8, 14, 15, 30, 31):
        query = steps.ask(panel=panel, by=unchanged.maria)
        with acting(unchanged.maria, "for this test"):
            Query.objects.filter(pk=query.pk).update(raised_at=now - timedelta(days=days, hours=1))
    page = unchanged.client(unchanged.maria).get(f"/visits/queries/?patient={panel.patient_id}")
    assert [number for _name, number in page.context["ages"]] == [2, 2, 2, 1]


def test_a_value_that_was_confirmed_in_one_unit_is_asked_about_again_in_another(unchanged):
    patient = unchanged.with_results()
    panel = unchanged.panel(patient, "SCR", "chemistry")

    def save(unit, confirmed=()):
        actions.record_panel(
            panel=panel, values={"CREAT": "30"}, units={"CREAT": unit}, collected_on=panel.collected_on, version=None,
            confirmed=confirmed, reason="The unit was wrong", by=unchanged.chen,
        )  # fmt: skip
        firings = CheckFiring.objects.filter(panel=panel, test="CREAT", check_code="implausible").order_by("pk")
        return list(firings.values_list("unit", "outcome", "has_changed_value"))

    assert save("µmol/L", [("implausible", "CREAT")]) == [("", "confirmed", False)]
    assert save("µmol/L") == [("", "confirmed", False)], "what was confirmed is not asked again"
    assert save("mg/dL") == [("", "confirmed", True), ("mg/dL", "queried", False)]

"""Visits and their panels: windows, values refused and questioned, computed results, queries."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone

from patients import demo as patient_steps
from patients.models import Hold
from tests.universe import fields_of, send
from trialsite.audit import acting
from trialsite.saving import Refused, Stale
from visits import actions
from visits import demo as steps
from visits.models import PANEL_TRANSITIONS, QUERY_TRANSITIONS, Measurement, PanelRecord, Query, QueryState, Visit
from visits.views import standing_of


def problems_of(refusal):
    return {field: " ".join(texts) for field, texts in refusal.value.errors.items()}


def value_of(panel, test):
    return Measurement.objects.get(panel=panel, test=test)


@pytest.fixture
def panel(unchanged):
    """T cells of screening, not yet entered."""
    return unchanged.panel(unchanged.screened(), "SCR", "t_cells")


def fresh(panel):
    return PanelRecord.objects.select_related("visit", "patient__site").get(pk=panel.pk)


# --- the plan ------------------------------------------------------------------------------------------


STANDINGS = [
    # days from the planned day, state, open panels -> the word
    (-30, "planned", 1, "expected"), (-3, "planned", 1, "due"), (3, "planned", 1, "due"), (4, "planned", 1, "overdue"),
    (400, "attended", 1, "draft"), (400, "attended", 0, "entered"), (400, "missed", 1, "missed"),
]  # fmt: skip


@pytest.mark.parametrize(("days", "state", "open_panels", "word"), STANDINGS)
def test_a_visit_stands_where_its_window_and_its_panels_say(days, state, open_panels, word):
    planned = timezone.now().date()
    visit = Visit(
        planned_on=planned, earliest=planned - timedelta(days=3), latest=planned + timedelta(days=3), state=state,
        attended_on=planned,
    )  # fmt: skip
    assert standing_of(visit, planned + timedelta(days=days), open_panels, is_open=True) == word


def test_a_visits_page_tells_its_window(unchanged):
    patient = unchanged.randomised()
    visit = steps.visit_of(patient, "W1")
    page = unchanged.client(unchanged.chen).get(f"/visits/{visit.pk}/").content.decode()
    day_7 = patient.day_0 + timedelta(days=7)
    assert f"planned for {day_7}" in page
    assert f"window {day_7 - timedelta(days=3)} – {day_7 + timedelta(days=3)}" in page


def test_a_visit_is_missed_with_a_reason_once_its_window_has_opened(unchanged):
    patient = unchanged.randomised()
    far, now = steps.visit_of(patient, "W48"), steps.visit_of(patient, "W0")
    with pytest.raises(Refused):
        steps.miss_visit(patient=patient, code="W48", by=unchanged.chen)
    with pytest.raises(Refused):
        actions.record_missed_visit(visit=now, missed_because=" ", version=None, by=unchanged.chen)
    assert steps.miss_visit(patient=patient, code="W0", by=unchanged.chen).state == "missed"
    far.refresh_from_db()
    assert far.state == "planned"


def test_a_visit_with_entries_was_not_missed(unchanged):
    patient = unchanged.with_results()
    with pytest.raises(Refused, match="was not missed"):
        steps.miss_visit(patient=patient, code="SCR", by=unchanged.chen)


def test_the_date_of_a_visit_is_corrected_with_a_reason(unchanged):
    patient = unchanged.screened()
    visit, by = steps.visit_of(patient, "SCR"), unchanged.chen
    first = patient.screened_on + timedelta(days=1)
    actions.record_attendance(visit=visit, attended_on=first, version=1, by=by)
    with pytest.raises(Stale):
        actions.record_attendance(visit=visit, attended_on=first, version=1, reason="x", by=by)
    with pytest.raises(Refused):
        actions.record_attendance(visit=visit, attended_on=patient.screened_on, version=2, by=by)
    visit = actions.record_attendance(visit=visit, attended_on=patient.screened_on, version=2, reason="typo", by=by)
    assert visit.attended_on == patient.screened_on


@pytest.mark.parametrize(("days", "is_refused"), [(1, True), (0, False), (-200, True)])
def test_an_unscheduled_visit_lies_between_screening_and_today(unchanged, days, is_refused):
    patient = unchanged.screened()
    on = timezone.now().date() + timedelta(days=days)

    def add():
        return actions.add_unscheduled_visit(
            patient=patient, on=on, panels=["virology", "chemistry"], by=unchanged.chen
        )

    if is_refused:
        with pytest.raises(Refused):
            add()
    else:
        assert add().code == "U1" and add().code == "U2"
        assert PanelRecord.objects.filter(visit__code="U1", patient=patient).count() == 2


# --- panels --------------------------------------------------------------------------------------------------


def test_the_first_entry_marks_the_visit_as_attended_on_that_day(unchanged, panel):
    on = panel.patient.screened_on + timedelta(days=2)
    steps.enter_panel(panel=panel, by=unchanged.chen, on=on)
    visit = Visit.objects.get(pk=panel.visit_id)
    assert (visit.state, visit.attended_on) == ("attended", on)
    assert (fresh(panel).state, fresh(panel).entered_by) == ("entered", unchanged.chen)


@pytest.mark.requirement("R51")
@pytest.mark.parametrize(
    ("test", "typed"), [("CD4", "5001"), ("CD4", "-1"), ("CD4PCT", "101"), ("CD4", "12.5"), ("CD4", "<50")]
)
def test_an_impossible_value_is_refused_at_its_field(unchanged, panel, test, typed):
    with pytest.raises(Refused) as refusal:
        steps.enter_panel(panel=panel, by=unchanged.chen, slips={test: typed})
    assert set(problems_of(refusal)) == {test}
    assert fresh(panel).state == "expected" and not Measurement.objects.filter(panel=panel).exists()


def test_an_implausible_value_is_saved_and_raises_one_query_which_its_correction_closes(unchanged, panel):
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={"CD4": "4000", "CD4PCT": "20.0"})
    query = Query.objects.get(panel=panel, test="CD4")
    assert (query.state, query.check_code) == ("open", "implausible")
    assert "4000" in query.text and value_of(panel, "CD4").typed == "4000"
    change = {"panel": panel, "collected_on": fresh(panel).collected_on, "version": None, "by": unchanged.chen}
    actions.record_panel(values={"CD4": "3999"}, reason="still high", **change)
    assert Query.objects.filter(panel=panel, test="CD4").count() == 1, "the same question is not asked twice"
    query.refresh_from_db()
    assert query.state == "answered", "a change is an answer, though not yet the right one"
    actions.record_panel(values={"CD4": "400"}, reason="one zero too many", **change)
    query.refresh_from_db()
    assert query.state == "closed" and "the check is satisfied" in query.messages.last().text
    assert query.firing.has_changed_value, "this question was worth asking"


def test_a_value_that_was_looked_up_in_the_source_raises_no_query_now_or_later(unchanged, panel):
    steps.enter_panel(panel=panel, by=unchanged.chen)
    change = {"panel": panel, "collected_on": fresh(panel).collected_on, "version": None, "by": unchanged.chen}
    actions.record_panel(
        values={"CD4": "4000", "CD4PCT": "20.0"}, confirmed={("implausible", "CD4")}, reason="x", **change
    )
    firing = panel.firings.get(test="CD4")
    assert (firing.outcome, firing.typed, firing.has_changed_value) == ("confirmed", "4000", False)
    actions.record_panel(values={"CD8": "800"}, reason="another value", **change)
    assert not Query.objects.filter(panel=panel, test="CD4").exists()
    actions.record_panel(values={"CD4": "4100"}, reason="it was this", **change)
    assert Query.objects.filter(panel=panel, test="CD4", check_code="implausible").count() == 1, (
        "another value is asked about"
    )


def test_a_preview_tells_what_saving_would_ask_and_refuse_and_writes_nothing(unchanged, panel):
    on = panel.patient.screened_on
    typed = {"CD4": "4000", "CD4PCT": "x"}
    found = actions.preview_panel(panel=panel, values=typed, collected_on=on)
    assert [(p.code, p.test, p.hard) for p in found] == [("unreadable", "CD4PCT", True), ("implausible", "CD4", False)]
    tomorrow = actions.preview_panel(panel=panel, values={}, collected_on=timezone.now().date() + timedelta(days=2))
    assert [(p.test, p.hard) for p in tomorrow if p.hard] == [("collected_on", True)]
    assert fresh(panel).state == "expected" and not Query.objects.filter(panel=panel).exists()
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={"CD4": "4000", "CD4PCT": "20.0"})
    again = actions.preview_panel(panel=fresh(panel), values={"CD4": "4000"}, collected_on=on)
    assert not again, "an open query asks already"
    other = actions.preview_panel(panel=fresh(panel), values={"CD8": "5001"}, collected_on=on)
    assert [actions.key_of(p) for p in other] == [("implausible", "CD8", None)]


def test_what_is_asked_for_and_left_blank_is_still_to_come_until_a_reason_is_given(unchanged, panel):
    entry = {"panel": panel, "collected_on": panel.patient.screened_on, "version": None, "by": unchanged.chen}
    actions.record_panel(values={"CD4": "180"}, **entry)
    assert fresh(panel).state == "begun" and value_of(panel, "CD8").missing_because == "pending"
    rest = [t.code for t in panel.protocol.tests_of(panel.code) if t.required and not t.computed and t.code != "CD4"]
    actions.record_panel(values={}, missing=dict.fromkeys(rest, "not_done"), reason="tube lost", **entry)
    assert fresh(panel).state == "entered" and value_of(panel, "CD8").missing_because == "not_done"
    with pytest.raises(Refused, match="a reason why there is none"):
        actions.record_panel(values={"CD8": "800"}, reason="found", **entry)
    actions.record_panel(values={"CD8": "800"}, missing={"CD8": ""}, reason="found", **entry)
    assert (value_of(panel, "CD8").typed, value_of(panel, "CD8").missing_because) == ("800", "")


def test_ratio_and_subsets_are_computed_and_computed_again(unchanged, panel):
    typed = {"CD4": "200", "CD8": "800", "NVCD4P": "25.0", "CMCD4P": "33.3", "EMCD4P": "30.0", "CD4PCT": ""}
    steps.enter_panel(panel=panel, by=unchanged.chen, slips=typed)
    assert {t: value_of(panel, t).typed for t in ("CD4CD8", "NVCD4", "CMCD4", "EMCD4")} == {
        "CD4CD8": "0.25", "NVCD4": "50", "CMCD4": "67", "EMCD4": "60",
    }  # fmt: skip
    change = {"panel": panel, "collected_on": fresh(panel).collected_on, "version": None, "by": unchanged.chen}
    actions.record_panel(values={"CD8": "400"}, reason="typo", **change)
    assert value_of(panel, "CD4CD8").typed == "0.50"
    actions.record_panel(values={"CD8": ""}, reason="not measured", **change)
    assert value_of(panel, "CD4CD8").typed == ""


def test_a_computed_result_cannot_be_typed(unchanged, panel):
    chen = unchanged.client(unchanged.chen)
    page = chen.get(f"/visits/panels/{panel.pk}/")
    assert "CD4CD8" not in fields_of(page)
    answer = send(chen, f"/visits/panels/{panel.pk}/", page, CD4="200", CD8="800", CD4CD8="9.99")
    assert answer.status_code == 302 and value_of(panel, "CD4CD8").typed == "0.25"


FLAGS = [("HGB", "114", "L"), ("HGB", "115", ""), ("HGB", "150", ""), ("HGB", "151", "H")]


@pytest.mark.parametrize(("test", "typed", "flag"), FLAGS)
def test_a_result_is_flagged_against_the_range_of_the_patients_sex(unchanged, test, typed, flag):
    panel = unchanged.panel(unchanged.screened(), "SCR", "haematology")
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={test: typed})
    assert value_of(panel, test).flag == flag


@pytest.mark.requirement("R1")
def test_a_later_change_needs_a_reason_and_a_new_version(unchanged, panel):
    steps.enter_panel(panel=panel, by=unchanged.chen)
    version, change = (
        fresh(panel).version,
        {"panel": panel, "collected_on": fresh(panel).collected_on, "by": unchanged.chen},
    )
    with pytest.raises(Refused):
        actions.record_panel(values={"CD4": "210"}, version=version, **change)
    with pytest.raises(Stale):
        actions.record_panel(values={"CD4": "210"}, version=version - 1, reason="x", **change)
    actions.record_panel(values={"CD4": "210"}, version=version, reason="x", **change)
    assert fresh(panel).version == version + 1


@pytest.mark.requirement("R56")
def test_the_actions_ask_the_table_of_states_where_a_panel_may_go(unchanged, panel, monkeypatch):
    for state in PANEL_TRANSITIONS:
        monkeypatch.setitem(PANEL_TRANSITIONS, state, set())
    entry = {"panel": panel, "values": {"CD4": "180"}, "collected_on": panel.patient.screened_on, "version": None}
    with pytest.raises(Refused, match="it cannot become begun"):
        actions.record_panel(**entry, by=unchanged.chen)
    with pytest.raises(Refused, match="it cannot become not done"):
        actions.mark_panel_not_done(panel=panel, not_done_because="Tube broken", version=None, by=unchanged.chen)
    assert fresh(panel).state == "expected"


def test_of_a_held_patient_nothing_is_offered_that_would_be_refused(unchanged):
    patient = unchanged.infused()
    chen, event = unchanged.client(unchanged.chen), unchanged.event(patient)
    pages = {
        f"/patients/{patient.pk}/": ("disposition/", "/report/"),
        f"/patients/{patient.pk}/background/": ("person/", "lines/", "patients/consents/"),
        f"/safety/events/{event.pk}/": ("change/",),
    }
    for address, buttons in pages.items():
        page = chen.get(address).content.decode()
        assert [button for button in buttons if button not in page] == [], address
    with acting(unchanged.david, "frozen for a test"):
        patient.hold = Hold.FROZEN
        patient.save()
    for address, buttons in pages.items():
        page = chen.get(address).content.decode()
        assert [button for button in buttons if button in page.replace("/visits/", "")] == [], address


def test_a_panel_that_was_not_done_says_why_and_may_be_entered_after_all(unchanged, panel):
    with pytest.raises(Refused):
        actions.mark_panel_not_done(panel=panel, not_done_because="", version=None, by=unchanged.chen)
    actions.mark_panel_not_done(panel=panel, not_done_because="Tube broken", version=None, by=unchanged.chen)
    assert fresh(panel).state == "not_done"
    entry = {"panel": panel, "values": {"CD4": "180"}, "collected_on": panel.patient.screened_on, "version": None}
    with pytest.raises(Refused, match="why the entry is changed"):
        actions.record_panel(**entry, by=unchanged.chen)
    actions.record_panel(**entry, reason="The tube was found", by=unchanged.chen)
    assert (fresh(panel).state, fresh(panel).not_done_because) == ("begun", "")
    with pytest.raises(Refused, match="Take the entry back first"):
        actions.mark_panel_not_done(panel=panel, not_done_because="x", version=None, by=unchanged.chen)


def test_an_empty_panel_is_not_an_entry(unchanged, panel):
    with pytest.raises(Refused, match="Nothing is entered"):
        actions.record_panel(
            panel=panel, values={"CD4": ""}, collected_on=panel.patient.screened_on, version=None, by=unchanged.chen
        )
    assert fresh(panel).state == "expected"


def test_who_saves_a_panel_is_told_what_is_still_to_come(unchanged, panel):
    answer = send(
        unchanged.client(unchanged.chen), f"/visits/panels/{panel.pk}/",
        collected_on=panel.patient.screened_on.isoformat(), CD4="180",
    )  # fmt: skip
    assert answer.status_code == 302
    assert "Still to come: CD8 T cells" in message_of(answer)


def message_of(answer):
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def test_a_panel_outside_its_window_raises_a_query_which_the_right_day_closes(unchanged):
    patient = unchanged.randomised()
    panel = unchanged.panel(patient, "W4", "haematology")
    entry = {"panel": panel, "values": {"HGB": "130"}, "by": unchanged.chen, "version": None}
    today = timezone.now().date()
    actions.record_panel(**entry, collected_on=today)
    query = Query.objects.get(panel=panel, check_code="window")
    assert "outside the window of W4" in query.text and query.state == "open"
    with acting(unchanged.chen, "the window is moved for this test"):
        Visit.objects.filter(pk=panel.visit_id).update(earliest=today, latest=today)
    actions.record_panel(**entry, collected_on=today, reason="source checked")
    query.refresh_from_db()
    assert query.state == "closed"


def test_a_visit_whose_only_entry_was_taken_back_is_planned_again(unchanged, panel):
    steps.enter_panel(panel=panel, by=unchanged.chen)
    assert Visit.objects.get(pk=panel.visit_id).state == "attended"
    actions.clear_panel(panel=panel, version=None, reason="Entered at the wrong visit", by=unchanged.chen)
    visit = Visit.objects.get(pk=panel.visit_id)
    assert (visit.state, visit.attended_on, fresh(panel).was_touched) == ("planned", None, True)


def test_what_was_measured_before_a_death_is_entered_after_it_and_nothing_later(unchanged):
    today = timezone.now().date()
    patient = unchanged.screened()
    panel = unchanged.panel(patient, "SCR", "t_cells")
    died_on = today - timedelta(days=2)
    patient_steps.end_participation(
        patient=patient, state="died", on=died_on, explanation="Lung infection", by=unchanged.chen
    )
    entry = {"panel": panel, "values": {"CD4": "180"}, "version": None, "by": unchanged.chen}
    with pytest.raises(Refused, match="after the death"):
        actions.record_panel(**entry, collected_on=today - timedelta(days=1))
    actions.record_panel(**entry, collected_on=died_on)
    assert fresh(panel).state == "begun"


def test_an_entry_taken_back_leaves_an_expected_panel_and_its_values_in_the_trail(unchanged, panel):
    steps.enter_panel(panel=panel, by=unchanged.chen, slips={"CD4": "222"})
    with pytest.raises(Refused):
        actions.clear_panel(panel=panel, version=None, reason=" ", by=unchanged.chen)
    actions.clear_panel(panel=panel, version=None, reason="Other patient's report", by=unchanged.chen)
    assert fresh(panel).state == "expected" and value_of(panel, "CD4").typed == ""
    page = unchanged.client(unchanged.ines).get(f"/history/visits/panelrecord/{panel.pk}/").content.decode()
    assert ">222<" in page and "Other patient" in page


def test_a_panel_of_the_other_sex_does_not_exist(unchanged):
    assert PanelRecord.objects.filter(patient=unchanged.screened(sex="F"), code="pregnancy").exists()
    assert not PanelRecord.objects.filter(patient=unchanged.screened(sex="M"), code="pregnancy").exists()


# --- queries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", list(QueryState))
@pytest.mark.parametrize("here", list(QueryState))
def test_a_query_moves_only_as_its_table_says(unchanged, panel, here, to):
    query = steps.ask(panel=panel, by=unchanged.david)
    moves = {"open": actions.reopen_query, "answered": actions.answer_query, "closed": actions.close_query}
    if here != "open":
        moves[here](query=query, text="x", version=None, by=unchanged.david)
    if to in QUERY_TRANSITIONS[here]:
        assert moves[to](query=query, text="y", version=None, by=unchanged.david).state == to
    else:
        with pytest.raises(Refused):
            moves[to](query=query, text="y", version=None, by=unchanged.david)


@pytest.mark.parametrize(
    ("name", "steps_offered"), [("chen", ["answer"]), ("david", ["close"]), ("ines", []), ("samuel", [])]
)
def test_who_answers_a_query_and_who_closes_it(unchanged, panel, name, steps_offered):
    query = steps.ask(panel=panel, by=unchanged.maria)
    page = unchanged.client(getattr(unchanged, name)).get(f"/visits/queries/{query.pk}/")
    assert [code for code, _words in page.context["form"].fields["step"].choices] == steps_offered


def test_an_answer_without_words_is_refused(unchanged, panel):
    query = steps.ask(panel=panel, by=unchanged.maria)
    with pytest.raises(Refused):
        actions.answer_query(query=query, text="  ", version=None, by=unchanged.chen)
    assert actions.close_query(query=query, version=None, by=unchanged.maria).closed_at


# --- lots --------------------------------------------------------------------------------------------------


def test_a_lot_is_released_only_when_all_its_tests_passed(unchanged):
    protocol = patient_steps.fresh(unchanged.screened()).protocol
    product, zhao = protocol.product("UCMSC"), unchanged.zhao
    lot = steps.receive_lot(site=unchanged.site, product=product, by=zhao)
    with pytest.raises(Refused) as refusal:
        actions.release_lot(lot=lot, protocol=protocol, version=None, by=zhao)
    assert len(refusal.value.errors[""]) == len(product.release_tests)
    bad = steps.lot_results(product, is_bad=True)
    lot = actions.record_lot_tests(lot=lot, protocol=protocol, results=bad, version=1, by=zhao)
    with pytest.raises(Refused):
        actions.release_lot(lot=lot, protocol=protocol, version=None, by=zhao)
    good = steps.lot_results(product)
    with pytest.raises(Refused) as refusal:
        actions.record_lot_tests(lot=lot, protocol=protocol, results=good, version=None, by=zhao)
    assert "reason" in refusal.value.errors
    lot = actions.record_lot_tests(lot=lot, protocol=protocol, results=good, version=None, reason="Repeated", by=zhao)
    assert actions.release_lot(lot=lot, protocol=protocol, version=None, by=zhao).state == "released"
    with pytest.raises(Refused):
        actions.record_lot_tests(lot=lot, protocol=protocol, results=bad, version=None, reason="x", by=zhao)
    page = unchanged.client(zhao).get(f"/history/visits/lot/{lot.pk}/").content.decode()
    assert "CD73" in page and "Repeated" in page


def test_a_lot_is_received_once_and_before_it_expires(unchanged):
    today = timezone.now().date()
    values = {"site": unchanged.site, "product": "UCMSC", "number": "L1", "received_on": today, "by": unchanged.zhao}
    with pytest.raises(Refused):
        actions.receive_lot(expires_on=today, **values)
    actions.receive_lot(expires_on=today + timedelta(days=1), **values)
    with pytest.raises(Refused):
        actions.receive_lot(expires_on=today + timedelta(days=9), **values)

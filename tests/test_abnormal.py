"""Adverse events that graded results and reactions to infusions propose: reported, joined to an event, declined, proposed
again."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from patients.models import Patient
from safety import actions
from safety.abnormal_results import proposal_of, unjudged_results
from safety.models import AdverseEvent, DeclinedResult, ResultOfEvent
from tests.universe import fields_of, send, signed
from trialsite import trial
from trialsite.clock import today_at
from trialsite.saving import Refused
from visits import actions as visit_actions
from visits import demo as visit_steps
from visits.models import CheckFiring, Measurement, Query

LIST = "/safety/results/"


@pytest.fixture
def found(unchanged):
    """An ALT of grade 3 of a woman in screening (5 times 40 U/L)."""
    patient = unchanged.screened(sex="F")
    return enter(unchanged, patient, ALT="200", AST="100")["ALT"]


def enter(unchanged, patient, reason="", **values):
    panel = unchanged.panel(patient, "SCR", "chemistry")
    visit_actions.record_panel(
        panel=panel, values=values, collected_on=patient.screened_on, version=None, reason=reason, by=unchanged.chen
    )
    return {m.test: m for m in Measurement.objects.filter(panel=panel)}


def waiting(patient):
    return [(one.seen.test, one.grade) for one in unjudged_results(Patient.objects.filter(pk=patient.pk))]


def test_a_grade_proposes_an_event_with_its_term(unchanged, found):
    # AST of 100 is 2.9 times the limit: grade 2, worse than nothing known
    assert waiting(found.patient) == [("ALT", 3), ("AST", 2)]
    assert proposal_of(found).event == "Alanine aminotransferase increased"
    page = unchanged.client(unchanged.chen).get(LIST).content.decode()
    assert "grade 3" in page and "5.0 to &lt; 10.0 × ULN" in page
    assert unchanged.client(unchanged.li).get(LIST).context["count"] == 0  # another site's
    assert unchanged.client(unchanged.dora).get(LIST).status_code == 403


def test_the_form_of_the_event_comes_filled_in_and_keeps_the_link(unchanged, found):
    chen, url = unchanged.client(unchanged.chen), f"{LIST}measurement/{found.pk}/report/"
    page = chen.get(url)
    filled = {name: fields_of(page)[name] for name in ("term", "grade", "began_on")}
    assert filled == {
        "term": ["Alanine aminotransferase increased"], "grade": ["3"], "began_on": [found.collected_on.isoformat()]
    }  # fmt: skip
    sent = send(
        chen, url, page=page, is_ongoing="Y", is_serious="N", relationship="not_related", action_taken="not_applicable",
        outcome="not_recovered",
    )  # fmt: skip
    assert sent.status_code == 302
    event = AdverseEvent.objects.get(patient=found.patient)
    link = ResultOfEvent.objects.get(event=event)
    assert (link.measurement, link.grade, link.grade_row, link.grade_scale_version) == (found, 3, "alt_high", "2.1")
    assert waiting(found.patient) == [("AST", 2)]
    assert chen.get(url).status_code == 404
    assert "ALT 200" in chen.get(f"/safety/events/{event.pk}/").content.decode()


def test_the_result_belongs_to_the_case_of_the_serious_event_reported_from_it(unchanged, found):
    send(
        unchanged.client(unchanged.chen), f"{LIST}measurement/{found.pk}/report/", is_ongoing="Y", is_serious="Y",
        is_important="on", relationship="not_related", action_taken="not_applicable", outcome="not_recovered", narrative="Told.",
    )  # fmt: skip
    event = AdverseEvent.objects.get(patient=found.patient)
    assert [link.measurement for link in event.case.links.all()] == [found]
    ast = Measurement.objects.get(panel=found.panel, test="AST")
    before = event.case.version
    actions.add_result_to_event(seen=ast, event=event, by=unchanged.chen)
    event.case.refresh_from_db()
    assert {link.measurement for link in event.case.links.all()} == {found, ast} and event.case.version > before


def test_what_the_checks_ask_about_a_proposed_event_is_asked_at_the_form(unchanged, found):
    chen, url = unchanged.client(unchanged.chen), f"{LIST}measurement/{found.pk}/report/"
    before = found.patient.consents.first().signed_on - timedelta(days=1)
    values = {"is_ongoing": "Y", "is_serious": "N", "relationship": "not_related", "action_taken": "not_applicable",
              "outcome": "not_recovered", "began_on": str(before)}  # fmt: skip
    asked = send(chen, url, **values)
    assert asked.status_code == 422 and "Is this medical history?" in asked.content.decode()
    assert not AdverseEvent.objects.filter(patient=found.patient).exists()
    token = signed(found, f"event_before_consent:began_on:{before}")
    assert send(chen, url, **values, asked=token, confirmed=token).status_code == 302
    assert not Query.objects.filter(patient=found.patient, check_code="event_before_consent").exists()
    assert CheckFiring.objects.get(patient=found.patient, check_code="event_before_consent").outcome == "confirmed"


def test_a_result_may_belong_to_an_event_that_is_at_least_as_bad(unchanged, found):
    mild, bad = (unchanged.event(found.patient, grade=grade, began_on=found.collected_on) for grade in (2, 3))
    with pytest.raises(Refused):
        actions.add_result_to_event(seen=found, event=mild, by=unchanged.chen)
    chen = unchanged.client(unchanged.chen)
    assert send(chen, f"{LIST}measurement/{found.pk}/belongs/", event=str(mild.pk)).status_code == 422
    assert send(chen, f"{LIST}measurement/{found.pk}/belongs/", event=str(bad.pk)).status_code == 302
    assert waiting(found.patient) == [("AST", 2)]


def test_what_is_declined_is_kept_with_its_reason_and_comes_back_when_it_gets_worse(unchanged, found):
    patient, chen = found.patient, unchanged.client(unchanged.chen)
    assert send(chen, f"{LIST}measurement/{found.pk}/decline/", reason="").status_code == 422
    assert send(chen, f"{LIST}measurement/{found.pk}/decline/", reason="known hepatitis, unchanged").status_code == 302
    declined = DeclinedResult.objects.get()
    assert (declined.grade, declined.reason, declined.judged_by) == (3, "known hepatitis, unchanged", unchanged.chen)
    assert ("ALT", 3) not in waiting(patient)
    enter(unchanged, patient, reason="typo", ALT="210")
    assert ("ALT", 3) not in waiting(patient)
    enter(unchanged, patient, reason="typo", ALT="400")
    assert ("ALT", 4) in waiting(patient)
    enter(unchanged, patient, reason="typo", ALT="40")
    assert [test for test, _grade in waiting(patient)] == ["AST"]
    assert "corrected since; it had this grade when it was judged" in chen.get(LIST).content.decode()


def test_a_refusal_can_be_taken_back_with_a_reason(unchanged, found):
    declined = actions.decline_result(seen=found, reason="not new", by=unchanged.chen)
    chen = unchanged.client(unchanged.chen)
    assert send(chen, f"{LIST}declined/{declined.pk}/restore/", reason="looked again").status_code == 302
    assert ("ALT", 3) in waiting(found.patient)


def test_what_was_judged_meanwhile_is_told_and_not_judged_twice(unchanged, found):
    chen = unchanged.client(unchanged.chen)
    page = chen.get(f"{LIST}measurement/{found.pk}/decline/")
    actions.decline_result(seen=found, reason="not new", by=unchanged.wang)
    sent = send(chen, f"{LIST}measurement/{found.pk}/decline/", page=page, reason="not new either")
    assert sent.status_code == 422 and DeclinedResult.objects.count() == 1


@pytest.mark.parametrize(("name", "status"), [("li", 404), ("maria", 403), ("david", 403)])
@pytest.mark.parametrize("step", ["report", "belongs", "decline"])
def test_only_the_site_judges(unchanged, found, name, status, step):
    assert unchanged.client(getattr(unchanged, name)).get(f"{LIST}measurement/{found.pk}/{step}/").status_code == status


def test_the_start_page_and_the_patient_s_page_tell_what_waits(unchanged, found):
    chen = unchanged.client(unchanged.chen)
    assert "/safety/start/results/" in chen.get("/").content.decode()
    assert "Alanine aminotransferase 200 U/L" in chen.get("/safety/start/results/").content.decode()
    assert f"/safety/results/of/{found.patient_id}/" in chen.get(f"/patients/{found.patient_id}/").content.decode()
    assert (
        "2 results or reactions may be adverse events"
        in chen.get(f"/safety/results/of/{found.patient_id}/").content.decode()
    )
    assert f"/safety/results/of/{found.patient_id}/" in chen.get(f"/visits/panels/{found.panel_id}/").content.decode()


# --- reactions to infusions ------------------------------------------------------------------------------


REACTIONS = [("Chills", 15, 2), ("Headache", 30, 1)]


@pytest.fixture
def reacted(unchanged):
    """A patient whose first infusion was interrupted after chills of grade 2; the headache of grade 1 proposes nothing."""
    return react(unchanged, REACTIONS, interruption=(20, 10, "Chills"))


def react(universe, reactions, **given):
    day_0 = today_at(universe.site) - timedelta(days=3)
    patient = universe.randomised(day_0=day_0)
    infusion = visit_steps.give_infusion(
        patient=patient, by=universe.chen, pharmacist=universe.zhao, reactions=reactions, **given
    )
    return infusion


def correct(universe, infusion, reactions):
    """Save the infusion again with these reactions: (term, minute, grade)."""
    infusion.refresh_from_db()
    visit_actions.record_infusion(
        visit=infusion.visit, started_at=infusion.started_at, stopped_at=infusion.stopped_at, volume_ml=infusion.volume_ml,
        interruptions=[(i.stopped_at, i.resumed_at, i.cause) for i in infusion.interruptions.filter(is_withdrawn=False)],
        reactions=[(term, infusion.started_at + timedelta(minutes=minute), grade) for term, minute, grade in reactions],
        version=infusion.version, reason="read again", by=universe.chen,
    )  # fmt: skip


def reactions_waiting(infusion):
    found = unjudged_results(Patient.objects.filter(pk=infusion.patient_id))
    return [(one.seen.term, one.grade) for one in found if one.is_reaction]


def the_reaction(infusion, term="Chills"):
    return infusion.reactions.get(term=term, is_withdrawn=False)


ANSWERS = {"is_ongoing": "N", "is_serious": "N", "outcome": "recovered"}


def test_a_reaction_proposes_an_event_from_the_grade_on_that_the_protocol_says(unchanged, reacted, monkeypatch):
    assert reactions_waiting(reacted) == [("Chills", 2)]
    chen = unchanged.client(unchanged.chen)
    page = chen.get(LIST).content.decode()
    assert "Chills, infusion 1" in page and "Moderate tremor of the entire body" in page and "CTCAE 5.0" in page
    assert unchanged.client(unchanged.li).get(LIST).context["count"] == 0  # another site's
    for rule, expected in ((1, {"Chills", "Headache"}), (3, set()), (0, set())):
        plan = trial.current_protocol().grading.model_copy(update={"propose_reactions_from_grade": rule})
        versions = {v: p.model_copy(update={"grading": plan}) for v, p in trial.versions().items()}
        with monkeypatch.context() as patched:
            patched.setattr(trial, "versions", lambda versions=versions: versions)
            assert {term for term, _grade in reactions_waiting(reacted)} == expected


def test_without_a_section_about_grading_reactions_of_grade_2_propose(unchanged, reacted, monkeypatch):
    versions = {v: p.model_copy(update={"grading": None}) for v, p in trial.versions().items()}
    monkeypatch.setattr(trial, "versions", lambda: versions)
    assert reactions_waiting(reacted) == [("Chills", 2)]


def test_the_event_of_a_reaction_comes_filled_in_and_keeps_the_link(unchanged, reacted):
    chen, url = unchanged.client(unchanged.chen), f"{LIST}reaction/{the_reaction(reacted).pk}/report/"
    page = chen.get(url)
    names = ("term", "grade", "began_on", "infusion_number", "relationship", "action_taken")
    on = reacted.started_at.astimezone(ZoneInfo(unchanged.site.timezone)).date()
    assert [fields_of(page)[name] for name in names] == [
        ["Chills"], ["2"], [on.isoformat()], ["1"], ["possible"], ["drug_interrupted"],
    ]  # fmt: skip
    assert fields_of(page)["aware_at"][0].startswith(on.isoformat())
    # by CTCAE it was graded, by DAIDS the event is
    assert (
        "grade 2 by CTCAE 5.0" in page.content.decode() and "The event is graded by DAIDS 2.1" in page.content.decode()
    )
    assert send(chen, url, page=page, **ANSWERS, ended_on=on.isoformat()).status_code == 302
    event = AdverseEvent.objects.get(patient=reacted.patient_id)
    link = ResultOfEvent.objects.get(event=event)
    assert (link.reaction, link.measurement, link.grade, link.grade_row) == (the_reaction(reacted), None, 2, "chills")
    assert reactions_waiting(reacted) == [] and chen.get(url).status_code == 404
    shown = chen.get(f"/safety/events/{event.pk}/").content.decode()
    assert "Chills, infusion 1" in shown and f"/visits/{reacted.visit_id}/infusion/" in shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "dose_not_changed"),
        ({"interruption": (10, 3, "The line")}, ""),
        ({"interruption": (20, 10, "Chills")}, "drug_interrupted"),
        ({"given_percent": 80}, ""),
    ],
    ids=["given whole", "interrupted before it", "interrupted after it", "given in part"],
)
def test_what_was_done_is_filled_in_where_the_infusion_tells_it(unchanged, given, expected):
    infusion = react(unchanged, REACTIONS, **given)
    page = unchanged.client(unchanged.chen).get(f"{LIST}reaction/{the_reaction(infusion).pk}/report/")
    assert fields_of(page)["action_taken"] == [expected]


def test_a_reaction_without_a_term_of_its_own_leaves_the_name_to_the_person(unchanged):
    infusion = react(unchanged, [("Other", 15, 2), ("Hiccups", 20, 3)])
    chen = unchanged.client(unchanged.chen)
    for term, filled in (("Other", ""), ("Hiccups", "Hiccups")):
        page = chen.get(f"{LIST}reaction/{the_reaction(infusion, term).pk}/report/")
        assert fields_of(page)["term"] == [filled]
    # a reaction of which no scale has a row is judged as well
    actions.decline_result(seen=the_reaction(infusion, "Hiccups"), reason="Had them before", by=unchanged.chen)
    assert DeclinedResult.objects.get().grade_row == "" and reactions_waiting(infusion) == [("Other", 2)]


def test_a_declined_reaction_keeps_reason_and_person_and_comes_back_when_it_is_corrected_to_a_worse_one(
    unchanged, reacted
):
    chen, url = unchanged.client(unchanged.chen), f"{LIST}reaction/{the_reaction(reacted).pk}/decline/"
    assert send(chen, url, reason="").status_code == 422
    assert send(chen, url, reason="The room was cold").status_code == 302
    declined = DeclinedResult.objects.get()
    assert (declined.reaction, declined.grade, declined.judged_by) == (the_reaction(reacted), 2, unchanged.chen)
    assert reactions_waiting(reacted) == [] and "The room was cold" in chen.get(LIST).content.decode()
    correct(unchanged, reacted, [("Chills", 25, 2)])
    assert the_reaction(reacted) != declined.reaction, "a corrected line is another one"
    assert reactions_waiting(reacted) == [], "and was judged as the same reaction"
    correct(unchanged, reacted, [("Chills", 25, 3)])
    assert reactions_waiting(reacted) == [("Chills", 3)]
    correct(unchanged, reacted, [("Fever", 25, 2)])
    assert reactions_waiting(reacted) == [("Fever", 2)], "another reaction"
    correct(unchanged, reacted, [])
    assert reactions_waiting(reacted) == []


def test_a_reaction_belongs_to_an_event_that_is_at_least_as_bad_until_it_gets_worse(unchanged, reacted):
    patient, on = reacted.patient, reacted.started_at.date()
    mild, bad = (unchanged.event(patient, term="Chills", grade=grade, began_on=on) for grade in (1, 2))
    with pytest.raises(Refused, match="change the event's grade first"):
        actions.add_result_to_event(seen=the_reaction(reacted), event=mild, by=unchanged.chen)
    url = f"{LIST}reaction/{the_reaction(reacted).pk}/belongs/"
    assert send(unchanged.client(unchanged.chen), url, event=str(bad.pk)).status_code == 302
    assert reactions_waiting(reacted) == []
    correct(unchanged, reacted, [("Chills", 15, 3)])
    assert reactions_waiting(reacted) == [("Chills", 3)]


def test_an_event_taken_back_lets_its_reaction_wait_again(unchanged, reacted):
    event = unchanged.event(reacted.patient, term="Chills", grade=2, began_on=reacted.started_at.date())
    actions.add_result_to_event(seen=the_reaction(reacted), event=event, by=unchanged.chen)
    actions.withdraw_adverse_event(event=event, version=1, reason="twice", by=unchanged.chen)
    assert reactions_waiting(reacted) == [("Chills", 2)]


def test_pages_of_the_infusion_tell_what_waits_and_the_start_page_lists_it(unchanged, reacted):
    chen = unchanged.client(unchanged.chen)
    assert "Chills, infusion 1" in chen.get("/safety/start/results/").content.decode()
    asked = f"/safety/results/of/{reacted.patient_id}/"
    for page in (
        f"/visits/{reacted.visit_id}/infusion/",
        f"/visits/{reacted.visit_id}/",
        f"/patients/{reacted.patient_id}/",
    ):
        assert asked in chen.get(page).content.decode()
    assert "1 result or reaction may be an adverse event" in chen.get(asked).content.decode()
    assert "a reaction of grade 2 or worse proposes an adverse event" in chen.get(
        f"/visits/{reacted.visit_id}/infusion/"
    ).content.decode()  # fmt: skip


@pytest.mark.parametrize(("name", "status"), [("li", 404), ("maria", 403)])
def test_only_the_site_judges_its_reactions(unchanged, reacted, name, status):
    browser = unchanged.client(getattr(unchanged, name))
    for step in ("report", "belongs", "decline"):
        assert browser.get(f"{LIST}reaction/{the_reaction(reacted).pk}/{step}/").status_code == status
    assert unchanged.client(unchanged.chen).get(f"{LIST}infusion/{reacted.pk}/report/").status_code == 404


def test_a_serious_event_that_was_reported_from_a_reaction_links_no_result_to_its_case(unchanged, reacted):
    url = f"{LIST}reaction/{the_reaction(reacted).pk}/report/"
    serious = {
        "is_serious": "Y",
        "is_important": "on",
        "narrative": "Told.",
        "is_ongoing": "Y",
        "outcome": "recovering",
    }
    assert send(unchanged.client(unchanged.chen), url, **serious).status_code == 302
    case = AdverseEvent.objects.get(patient=reacted.patient_id).case
    assert not case.links.filter(measurement__isnull=False).exists() and ResultOfEvent.objects.get().event == case.event

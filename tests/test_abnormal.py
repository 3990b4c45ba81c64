"""Adverse events that graded results propose: reported, joined to an event, declined, proposed again."""

from datetime import timedelta

import pytest

from patients.models import Patient
from safety import actions
from safety.abnormal_results import proposal_of, unjudged_results
from safety.models import AdverseEvent, DeclinedResult, ResultOfEvent
from tests.universe import fields_of, send, signed
from trialsite.saving import Refused
from visits import actions as visit_actions
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
    return [
        (one.measurement.test, one.measurement.grade) for one in unjudged_results(Patient.objects.filter(pk=patient.pk))
    ]


def test_a_grade_proposes_an_event_with_its_term(unchanged, found):
    # AST of 100 is 2.9 times the limit: grade 2, worse than nothing known
    assert waiting(found.patient) == [("ALT", 3), ("AST", 2)]
    assert proposal_of(found).event == "Alanine aminotransferase increased"
    page = unchanged.client(unchanged.chen).get(LIST).content.decode()
    assert "grade 3" in page and "5.0 to &lt; 10.0 × ULN" in page
    assert unchanged.client(unchanged.li).get(LIST).context["count"] == 0  # another site's
    assert unchanged.client(unchanged.dora).get(LIST).status_code == 403


def test_the_form_of_the_event_comes_filled_in_and_keeps_the_link(unchanged, found):
    chen, url = unchanged.client(unchanged.chen), f"{LIST}{found.pk}/report/"
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
        unchanged.client(unchanged.chen), f"{LIST}{found.pk}/report/", is_ongoing="Y", is_serious="Y",
        is_important="on", relationship="not_related", action_taken="not_applicable", outcome="not_recovered", narrative="Told.",
    )  # fmt: skip
    event = AdverseEvent.objects.get(patient=found.patient)
    assert [link.measurement for link in event.case.links.all()] == [found]
    ast = Measurement.objects.get(panel=found.panel, test="AST")
    before = event.case.version
    actions.add_result_to_event(measurement=ast, event=event, by=unchanged.chen)
    event.case.refresh_from_db()
    assert {link.measurement for link in event.case.links.all()} == {found, ast} and event.case.version > before


def test_what_the_checks_ask_about_a_proposed_event_is_asked_at_the_form(unchanged, found):
    chen, url = unchanged.client(unchanged.chen), f"{LIST}{found.pk}/report/"
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
        actions.add_result_to_event(measurement=found, event=mild, by=unchanged.chen)
    chen = unchanged.client(unchanged.chen)
    assert send(chen, f"{LIST}{found.pk}/belongs/", event=str(mild.pk)).status_code == 422
    assert send(chen, f"{LIST}{found.pk}/belongs/", event=str(bad.pk)).status_code == 302
    assert waiting(found.patient) == [("AST", 2)]


def test_what_is_declined_is_kept_with_its_reason_and_comes_back_when_it_gets_worse(unchanged, found):
    patient, chen = found.patient, unchanged.client(unchanged.chen)
    assert send(chen, f"{LIST}{found.pk}/decline/", reason="").status_code == 422
    assert send(chen, f"{LIST}{found.pk}/decline/", reason="known hepatitis, unchanged").status_code == 302
    declined = DeclinedResult.objects.get()
    assert (declined.grade, declined.reason, declined.judged_by) == (3, "known hepatitis, unchanged", unchanged.chen)
    assert ("ALT", 3) not in waiting(patient)
    enter(unchanged, patient, reason="typo", ALT="210")
    assert ("ALT", 3) not in waiting(patient)
    enter(unchanged, patient, reason="typo", ALT="400")
    assert ("ALT", 4) in waiting(patient)
    enter(unchanged, patient, reason="typo", ALT="40")
    assert [test for test, _grade in waiting(patient)] == ["AST"]


def test_a_refusal_can_be_taken_back_with_a_reason(unchanged, found):
    declined = actions.decline_result(measurement=found, reason="not new", by=unchanged.chen)
    chen = unchanged.client(unchanged.chen)
    assert send(chen, f"{LIST}declined/{declined.pk}/restore/", reason="looked again").status_code == 302
    assert ("ALT", 3) in waiting(found.patient)


def test_what_was_judged_meanwhile_is_told_and_not_judged_twice(unchanged, found):
    chen = unchanged.client(unchanged.chen)
    page = chen.get(f"{LIST}{found.pk}/decline/")
    actions.decline_result(measurement=found, reason="not new", by=unchanged.wang)
    sent = send(chen, f"{LIST}{found.pk}/decline/", page=page, reason="not new either")
    assert sent.status_code == 422 and DeclinedResult.objects.count() == 1


@pytest.mark.parametrize(("name", "status"), [("li", 404), ("maria", 403), ("david", 403)])
@pytest.mark.parametrize("step", ["report", "belongs", "decline"])
def test_only_the_site_judges(unchanged, found, name, status, step):
    assert unchanged.client(getattr(unchanged, name)).get(f"{LIST}{found.pk}/{step}/").status_code == status


def test_the_start_page_and_the_patient_s_page_tell_what_waits(unchanged, found):
    chen = unchanged.client(unchanged.chen)
    assert "/safety/start/results/" in chen.get("/").content.decode()
    assert "Alanine aminotransferase 200 U/L" in chen.get("/safety/start/results/").content.decode()
    assert f"/safety/results/of/{found.patient_id}/" in chen.get(f"/patients/{found.patient_id}/").content.decode()
    assert "2 results may be adverse events" in chen.get(f"/safety/results/of/{found.patient_id}/").content.decode()
    assert f"/safety/results/of/{found.patient_id}/" in chen.get(f"/visits/panels/{found.panel_id}/").content.decode()

"""Adverse events: what their fields must say together, reporting, changing, listing."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.utils import timezone

from safety.consistency import CRITERIA, Surroundings, find_contradictions
from safety.models import AdverseEvent
from tests.universe import fields_of, send
from trialsite.saving import Refused, Stale

TODAY = date(2026, 6, 30)
AROUND = Surroundings(
    consented_on=date(2026, 1, 10),
    infusions_given=2,
    first_infusion_on=date(2026, 2, 1),
    today=TODAY,
    is_treated=True,
)
MILD = {
    "is_serious": False, "outcome": "not_recovered", "grade": 1, "is_ongoing": True, "ended_on": None,
    "began_on": date(2026, 3, 1), "aware_on": date(2026, 3, 2), "infusion_number": None, "relationship": "not_related",
}  # fmt: skip
DEAD = {
    "is_serious": True,
    "is_fatal": True,
    "outcome": "fatal",
    "grade": 5,
    "is_ongoing": False,
    "ended_on": date(2026, 3, 5),
}
OVER = {"is_ongoing": False, "ended_on": date(2026, 3, 5), "outcome": "recovered"}

TABLE = [
    # what differs from a mild ongoing event -> the fields that contradict
    ({}, set()),
    ({"is_serious": True}, {"is_serious"}),
    ({"is_hospitalisation": True}, {"is_serious"}),
    ({"is_serious": True, "is_hospitalisation": True}, set()),
    # death: ticked, outcome and grade stand or fall together
    (DEAD, set()),
    ({**DEAD, "is_fatal": False, "is_important": True}, {"is_fatal"}),
    ({**DEAD, "outcome": "recovered"}, {"outcome"}),
    ({**DEAD, "grade": 4}, {"grade"}),
    ({**DEAD, "outcome": "recovered", "grade": 4}, {"outcome", "grade"}),
    ({"grade": 5}, {"is_fatal", "outcome"}),
    ({**DEAD, "is_ongoing": True, "ended_on": None}, {"outcome"}),
    # going on or over
    (OVER, set()),
    ({**OVER, "outcome": "recovered_with_sequelae"}, set()),
    ({**OVER, "outcome": "unknown"}, set()),
    ({"is_ongoing": True, "ended_on": date(2026, 3, 5)}, {"ended_on"}),
    ({"is_ongoing": False}, {"ended_on", "outcome"}),
    ({"outcome": "recovered"}, {"outcome"}),
    ({**OVER, "outcome": "recovering"}, {"outcome"}),
    ({**OVER, "outcome": "not_recovered"}, {"outcome"}),
    # order of days
    ({**OVER, "ended_on": date(2026, 2, 28)}, {"ended_on"}),
    ({**OVER, "ended_on": date(2026, 3, 1)}, set()),
    ({**OVER, "ended_on": date(2026, 7, 1)}, {"ended_on"}),
    ({"began_on": date(2026, 7, 1), "aware_on": date(2026, 7, 1)}, {"began_on"}),
    ({"began_on": date(2026, 1, 9)}, set()),  # before the consent: asked, not refused (visits/edit_checks/)
    ({"began_on": date(2026, 1, 10)}, set()),
    ({"aware_on": date(2026, 2, 28)}, {"aware_at"}),
    ({"aware_on": date(2026, 3, 1)}, set()),
    # the infusion
    ({"infusion_number": 2}, set()),
    ({"infusion_number": 3}, {"infusion_number"}),
    ({"infusion_number": 1, "began_on": date(2026, 1, 31)}, {"infusion_number"}),
    ({"relationship": "definite"}, set()),
]


@pytest.mark.requirement("R51")
@pytest.mark.parametrize(
    ("differs", "fields"), TABLE, ids=[str(sorted(row[0])) + str(n) for n, row in enumerate(TABLE)]
)
def test_what_contradicts_itself_is_named_at_its_field(differs, fields):
    assert set(find_contradictions({**MILD, **differs}, AROUND)) == fields


@pytest.mark.parametrize("criterion", CRITERIA)
def test_each_criterion_makes_an_event_serious(criterion):
    event = {**MILD, criterion: True, **(DEAD if criterion == "is_fatal" else {})}
    assert set(find_contradictions({**event, "is_serious": False}, AROUND)) == {"is_serious"}
    assert not find_contradictions({**event, "is_serious": True}, AROUND)


RELATED = [("not_related", False), ("unlikely", False), ("possible", True), ("probable", True), ("definite", True)]


@pytest.mark.parametrize(("relationship", "contradicts"), RELATED)
def test_before_any_infusion_nothing_is_related_to_it(relationship, contradicts):
    around = replace(AROUND, infusions_given=0, first_infusion_on=None, is_treated=False)
    found = find_contradictions({**MILD, "relationship": relationship}, around)
    assert ("relationship" in found) == contradicts


def test_without_a_consent_there_is_no_adverse_event():
    assert "began_on" in find_contradictions(MILD, replace(AROUND, consented_on=None))


# --- reporting -----------------------------------------------------------------------------------------------


def test_events_of_a_patient_are_numbered(unchanged):
    patient = unchanged.screened()
    assert [unchanged.event(patient).sequence for _ in range(3)] == [1, 2, 3]


def test_the_body_system_follows_from_the_term_or_is_asked_for(unchanged):
    patient = unchanged.screened()
    assert unchanged.event(patient, term="Headache").body_system == "Nervous system disorders"
    with pytest.raises(Refused) as refusal:
        unchanged.event(patient, term="Something odd")
    assert "body_system" in refusal.value.errors
    assert unchanged.event(patient, term="Something odd", body_system="Nervous system disorders")


@pytest.mark.requirement("R1", "R54")
def test_an_event_is_changed_with_a_reason_and_judged_again_as_a_whole(unchanged):
    from safety import actions

    event = unchanged.event(unchanged.screened())
    change = {"event": event, "by": unchanged.wang}
    with pytest.raises(Refused):
        actions.change_adverse_event(values={"grade": 2}, version=1, reason=" ", **change)
    with pytest.raises(Stale):
        actions.change_adverse_event(values={"grade": 2}, version=9, reason="x", **change)
    with pytest.raises(Refused) as refusal:
        actions.change_adverse_event(values={"grade": 5}, version=1, reason="x", **change)
    assert {"is_fatal", "outcome"} <= set(refusal.value.errors)
    changed = actions.change_adverse_event(values={"grade": 2}, version=1, reason="worse", **change)
    assert (changed.grade, changed.term, changed.version) == (2, "Headache", 2)


def test_an_event_entered_in_error_is_marked_with_a_reason_and_leaves_the_listing(unchanged):
    from safety import actions

    event = unchanged.event(unchanged.screened(), term="Nausea")
    with pytest.raises(Refused):
        actions.withdraw_adverse_event(event=event, version=1, reason="", by=unchanged.chen)
    client = unchanged.client(unchanged.chen)
    address = f"/safety/events/{event.pk}/".encode()
    assert address in client.get("/safety/listings/events/").content
    actions.withdraw_adverse_event(event=event, version=1, reason="other patient", by=unchanged.chen)
    assert address not in client.get("/safety/listings/events/").content
    assert client.get(address.decode()).status_code == 200


def test_a_serious_event_is_reported_in_the_browser(unchanged):
    patient = unchanged.infused()
    client = unchanged.client(unchanged.chen)
    url = f"/safety/events/report/{patient.pk}/"
    now = timezone.now().astimezone(__import__("zoneinfo").ZoneInfo(patient.site.timezone))
    fields = {
        "term": "Fever", "began_on": patient.day_0, "is_ongoing": "Y", "grade": "3", "is_serious": "Y",
        "relationship": "possible", "infusion_number": "1", "action_taken": "drug_interrupted", "outcome": "not_recovered",
        "aware_at": f"{now - timedelta(minutes=5):%Y-%m-%d %H:%M}", "narrative": "<i>Since</i> noon",
    }  # fmt: skip
    refused = send(client, url, **fields)
    assert refused.status_code == 422 and "tick which" in refused.content.decode()
    assert fields_of(refused)["narrative"] == ["<i>Since</i> noon"]
    answer = send(client, url, **fields, is_hospitalisation="on")
    assert answer.status_code == 302, answer.content.decode()
    event = AdverseEvent.objects.get(patient=patient)
    assert event.seriousness == ["requires or prolongs hospitalisation"] and event.is_related
    assert "&lt;i&gt;Since&lt;/i&gt;" in client.get(answer["Location"]).content.decode()


FILTERS = [
    ("", {"mild", "severe", "related"}), ("grade=3", {"severe"}), ("infusion=1&serious=Y", set()), ("serious=Y", {"severe"}), ("related=Y", {"related"}),
    ("ongoing=Y", {"mild", "severe"}), ("infusion=1", {"related"}),
    ("sort=grade", {"mild", "severe", "related"}), ("grade=9", {"mild", "severe", "related"}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "shown"), FILTERS)
def test_the_old_address_leads_to_the_listing_that_shows_what_its_filter_asks_for(unchanged, query, shown):
    patient = unchanged.infused()
    today = unchanged.event_values(patient)["began_on"]
    events = {
        "mild": unchanged.event(patient),
        "severe": unchanged.event(patient, grade=3, is_serious=True, is_important=True),
        "related": unchanged.event(
            patient, relationship="possible", infusion_number=1, is_ongoing=False, ended_on=today, outcome="recovered"
        ),
    }
    page = unchanged.client(unchanged.wang).get(f"/safety/events/?{query}", follow=True)
    assert page.redirect_chain == [(f"/safety/listings/events/?{query}".rstrip("?"), 302)]
    assert [count for _label, count in page.context["figures"]] == [3, 1, 1, 1, 1], "of all, whatever is chosen"
    assert "/safety/cases/" in page.content.decode()
    listed = {event.pk for event in page.context["page"].object_list}
    assert listed == {events[name].pk for name in shown}

"""Coding: words as typed and the term beside them; coded by one person, approved by another; dictionaries as tables."""

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.utils import ProgrammingError

from patients import actions as patient_actions
from patients.models import Medication
from safety import actions
from safety.coding.rules import CodingState, Kind, codes_in_force
from safety.coding.search import dictionary_of, suggest
from safety.coding.work import to_code, waiting_of
from safety.models import Coding, Dictionary, DictionaryTerm
from tests.universe import send
from trialsite.saving import Refused, Stale

pytestmark = pytest.mark.requirement("R42")


def words_of(event):
    return actions.Words(Kind.ADVERSE_EVENT, event.pk, event.term)


def term_of(text):
    return DictionaryTerm.objects.get(term=text)


def odd_event(world, term="hedache", patient=None, **changes):
    patient = patient or world.screened()
    return world.event(patient, term=term, body_system="Nervous system disorders", **changes)


def coded(world, event, term="Headache", by=None):
    [coding] = actions.code_terms(words=[words_of(event)], term=term_of(term), by=by or world.david)
    return coding


def approved(world, event, term="Headache"):
    coding = coded(world, event, term)
    [coding] = actions.approve_codings(seen=[(coding.pk, coding.version)], by=world.samuel)
    return coding


def code_in_force(event):
    rows = Coding.objects.filter(record_id=event.pk, kind=Kind.ADVERSE_EVENT).values()
    return codes_in_force(rows).get((Kind.ADVERSE_EVENT, event.pk))


# --- a bare installation ---------------------------------------------------------------------------------


def test_a_bare_installation_has_the_terms_of_ctcae(unchanged):
    ctcae = Dictionary.objects.get()
    assert str(ctcae) == "CTCAE 5.0" and ctcae.is_current
    assert ctcae.terms.count() == ctcae.terms_count == 837
    assert term_of("Headache").body_system == "Nervous system disorders"


def test_words_that_are_a_term_are_coded_at_once_and_marked_so(unchanged):
    event = unchanged.event(unchanged.screened(), term=" headache.")
    coding = Coding.objects.get(record_id=event.pk, kind=Kind.ADVERSE_EVENT)
    assert (coding.verbatim, coding.preferred_term) == (" headache.", "Headache")
    assert coding.state == CodingState.APPROVED and coding.is_automatic and coding.coded_by is None
    event.refresh_from_db()
    assert event.term == " headache."


def test_an_exact_match_waits_where_the_protocol_says_so(unchanged, monkeypatch):
    from safety.actions import coding as module
    from trialsite import trial

    class Plan:
        approve_exact, adverse_events = True, "CTCAE"

    class Protocol:
        coding_plan = Plan

    monkeypatch.setattr(module, "trial", type("T", (), {"current_protocol": staticmethod(lambda: Protocol)}))
    event = unchanged.event(unchanged.screened(), term="Headache")
    assert Coding.objects.get(record_id=event.pk).state == CodingState.PROPOSED
    assert code_in_force(event) is None and trial.current_protocol().coding_plan.approve_exact is False


# --- suggestions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("hedache", "Headache"), ("head ache", "Headache"), ("anaemia", "Anemia"), ("diarrhoea", "Diarrhea"),
     ("count decreased platelet", "Platelet count decreased"), ("ALANINE AMINOTRANSFERASE", "Alanine aminotransferase increased"),
     ("vomitting", "Vomiting"), ("infection lung", "Lung infection"), ("neutrop", "Febrile neutropenia"),
     ("rash maculopapular", "Rash maculo-papular")],
)  # fmt: skip
def test_what_is_typed_in_haste_finds_its_term(unchanged, typed, meant):
    found = [suggestion.term.term for suggestion in suggest(dictionary_of(Kind.ADVERSE_EVENT), typed)]
    assert meant in found[:3], found


@pytest.mark.parametrize("typed", ["", " ", "x", "%", "%_\\", "\x00ab", "(", "'; drop", "a" * 5000, "�☃"])
def test_anything_may_be_typed(unchanged, typed):
    assert len(suggest(dictionary_of(Kind.ADVERSE_EVENT), typed)) <= 10


def test_what_was_coded_before_comes_first_with_how_often(unchanged):
    for _ in range(2):
        approved(unchanged, odd_event(unchanged, "头痛"), "Headache")
    coded(unchanged, odd_event(unchanged, "头痛"), "Fatigue")  # proposed only: nothing is learned from it
    [first] = suggest(dictionary_of(Kind.ADVERSE_EVENT), "头痛。")
    assert (first.term.term, first.times) == ("Headache", 2)
    approved(unchanged, odd_event(unchanged, "Anemia of old"), "Fatigue")
    first, second, *_rest = suggest(dictionary_of(Kind.ADVERSE_EVENT), "anemia OF  old")
    assert (first.term.term, first.times, second.term.term) == ("Fatigue", 1, "Anemia")


# --- coding and approving ------------------------------------------------------------------------------------


@pytest.mark.requirement("R42")
def test_one_person_codes_and_another_approves(unchanged):
    event = odd_event(unchanged)
    coding = coded(unchanged, event)
    assert (coding.state, coding.verbatim, coding.coded_by) == (CodingState.PROPOSED, "hedache", unchanged.david)
    assert code_in_force(event) is None
    with pytest.raises(Refused, match="another person"):
        actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.david)
    with pytest.raises(Stale):
        actions.approve_codings(seen=[(coding.pk, 7)], by=unchanged.samuel)
    actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.samuel)
    assert code_in_force(event).preferred_term == "Headache"
    assert code_in_force(event).body_system == "Nervous system disorders"
    event.refresh_from_db()
    assert event.term == "hedache" and event.version == 1


def test_a_batch_is_approved_whole_or_not_at_all(unchanged):
    mine, other = odd_event(unchanged), odd_event(unchanged, "headach")
    first, second = coded(unchanged, mine), coded(unchanged, other, by=unchanged.samuel)
    with pytest.raises(Refused):
        actions.approve_codings(seen=[(first.pk, 1), (second.pk, 1)], by=unchanged.samuel)
    assert set(Coding.objects.filter(pk__in=[first.pk, second.pk]).values_list("state", flat=True)) == {"proposed"}


def test_a_rejected_code_leaves_the_words_to_code(unchanged):
    event = odd_event(unchanged)
    coding = coded(unchanged, event)
    assert event.pk not in waiting(unchanged)
    with pytest.raises(Refused):
        actions.reject_coding(coding=coding, version=1, reason=" ", by=unchanged.samuel)
    actions.reject_coding(coding=coding, version=1, reason="A sinusitis by the narrative", by=unchanged.samuel)
    assert waiting(unchanged)[event.pk].was_rejected
    with pytest.raises(Refused):
        actions.approve_codings(seen=[(coding.pk, 2)], by=unchanged.samuel)


def waiting(world):
    return {one.record_id: one for one in waiting_of(to_code(world.david, kinds=[Kind.ADVERSE_EVENT]))}


def test_alike_words_are_coded_together_or_not_at_all(unchanged):
    first, second = odd_event(unchanged, "Hedache"), odd_event(unchanged, "hedache")
    actions.code_terms(words=[words_of(first), words_of(second)], term=term_of("Headache"), by=unchanged.david)
    assert not {first.pk, second.pk} & set(waiting(unchanged))
    third = odd_event(unchanged, "hedache")
    with pytest.raises(Refused):
        actions.code_terms(words=[words_of(third), words_of(second)], term=term_of("Headache"), by=unchanged.david)
    assert third.pk in waiting(unchanged)


@pytest.mark.requirement("R1")
def test_other_words_make_the_code_void_and_ask_again(unchanged):
    event = odd_event(unchanged)
    coding = approved(unchanged, event)
    change = {"event": event, "version": None, "by": unchanged.wang}
    event = actions.change_adverse_event(values={"grade": 2}, reason="Worse", **change)
    assert code_in_force(event).preferred_term == "Headache"
    event = actions.change_adverse_event(values={"term": "hed ache, left"}, reason="More exact", **change)
    coding.refresh_from_db()
    assert (coding.state, coding.reason) == (CodingState.VOID, "The words were changed")
    assert code_in_force(event) is None and event.pk in waiting(unchanged)
    event = actions.change_adverse_event(values={"term": "Fatigue"}, reason="Another", **change)
    assert code_in_force(event).preferred_term == "Fatigue"


def test_an_event_entered_in_error_has_no_code(unchanged):
    event = odd_event(unchanged)
    coding = approved(unchanged, event)
    actions.withdraw_adverse_event(event=event, version=1, reason="Another patient's", by=unchanged.wang)
    coding.refresh_from_db()
    assert coding.state == CodingState.VOID and event.pk not in waiting(unchanged)


def test_a_code_in_force_stays_until_the_one_for_it_is_approved(unchanged):
    event = odd_event(unchanged)
    approved(unchanged, event)
    new = {"words": [words_of(event)], "term": term_of("Fatigue"), "by": unchanged.david}
    with pytest.raises(Refused):
        actions.code_terms(**new)
    [coding] = actions.code_terms(**new, reason="The narrative speaks of fatigue")
    assert code_in_force(event).preferred_term == "Headache"
    actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.samuel)
    assert code_in_force(event).preferred_term == "Fatigue"
    assert Coding.objects.filter(record_id=event.pk, state=CodingState.VOID).count() == 1


def test_words_that_were_changed_meanwhile_are_not_coded(unchanged):
    event = odd_event(unchanged)
    seen = words_of(event)
    actions.change_adverse_event(
        event=event, values={"term": "headach"}, version=None, reason="Typing error", by=unchanged.wang
    )
    with pytest.raises(Refused):
        actions.code_terms(words=[seen], term=term_of("Headache"), by=unchanged.david)


def test_histories_and_indications_are_coded_too(unchanged):
    patient = unchanged.screened()
    values = {"treatment": "Paracetamol", "indication": "Headache", "started_on": "2026", "is_ongoing": True}
    line = patient_actions.save_line(model=Medication, patient=patient, values=values, by=unchanged.chen)
    [coding] = Coding.objects.filter(record="patients.medication", record_id=line.pk)  # no dictionary for medications
    assert (coding.kind, coding.preferred_term) == (Kind.INDICATION, "Headache")
    patient_actions.save_line(
        model=Medication, patient=patient, values={"indication": "pain in head"}, line=line, version=1, reason="As told",
        by=unchanged.chen,
    )  # fmt: skip
    assert [
        one.verbatim for one in waiting_of(to_code(unchanged.david, kinds=[Kind.INDICATION], patients=[patient]))
    ] == ["pain in head"]
    coding.refresh_from_db()
    assert coding.state == CodingState.VOID


def test_only_who_may_codes_and_approves(unchanged):
    event = odd_event(unchanged)
    with pytest.raises(PermissionDenied):
        coded(unchanged, event, by=unchanged.wang)
    coding = coded(unchanged, event)
    with pytest.raises(PermissionDenied):
        actions.approve_codings(seen=[(coding.pk, 1)], by=unchanged.maria)


def test_the_terms_of_a_dictionary_are_never_changed(unchanged):
    with pytest.raises(ProgrammingError), transaction.atomic():
        DictionaryTerm.objects.filter(term="Headache").update(term="Fatigue")


# --- pages ---------------------------------------------------------------------------------------------------


def test_words_are_coded_and_approved_on_the_pages(unchanged):
    event, other = odd_event(unchanged), odd_event(unchanged, "Hedache")
    david, samuel = unchanged.client(unchanged.david), unchanged.client(unchanged.samuel)
    address = f"/safety/coding/adverse_event/{event.pk}/"
    assert address in david.get("/safety/coding/").content.decode()
    page = david.get(address)
    assert "Headache" in page.content.decode() and other.patient.number in page.content.decode()
    answer = send(david, address, term="")
    assert answer.status_code == 422
    answer = send(david, address, term=term_of("Headache").pk)
    assert answer.status_code == 302
    codings = Coding.objects.filter(record_id__in=[event.pk, other.pk], kind="adverse_event")
    assert {coding.state for coding in codings} == {"proposed"} and len(codings) == 2
    assert b"coded by you" in david.get("/safety/coding/approve/").content
    tokens = [f"{coding.pk}:{coding.version}" for coding in codings]
    assert send(david, "/safety/coding/approve/", chosen=tokens).status_code == 422
    assert send(samuel, "/safety/coding/approve/", chosen=tokens).status_code == 302
    assert code_in_force(event) and code_in_force(other)
    assert "hedache" in samuel.get("/safety/coding/?state=approved").content.decode()


def test_the_page_of_an_event_tells_its_code(unchanged):
    event = odd_event(unchanged)
    chen = unchanged.client(unchanged.chen)
    assert "not coded yet" in chen.get(f"/safety/events/{event.pk}/").content.decode()
    approved(unchanged, event)
    shown = chen.get(f"/safety/events/{event.pk}/").content.decode()
    assert "hedache" in shown and "Headache" in shown and "not coded yet" not in shown


def test_a_coordinator_is_offered_terms_while_typing(unchanged):
    chen, zhao = unchanged.client(unchanged.chen), unchanged.client(unchanged.zhao)
    answer = chen.get("/safety/coding/suggest/?term=hedache")
    assert b'data-fills="term" value="Headache"' in answer.content
    assert b"No term" in chen.get("/safety/coding/suggest/?term=qqqqqqq").content
    assert b"qq<b>" not in chen.get("/safety/coding/suggest/?term=qq<b>").content
    assert zhao.get("/safety/coding/suggest/?term=hedache").status_code == 403
    assert chen.get("/safety/coding/").status_code == 403

"""Coding: words as typed and the term beside them; coded by one person, approved by another; dictionaries as tables."""

import pytest

from patients import actions as patient_actions
from patients.models import Medication
from safety import actions
from safety.coding.rules import CodingState, Kind, codes_in_force
from safety.coding.search import dictionary_of, suggest
from safety.coding.work import to_code, waiting_of
from safety.models import Coding, Dictionary, DictionaryTerm
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

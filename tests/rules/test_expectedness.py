"""Expected or not, as a truth table."""

import pytest

from safety.expectedness import Coded, propose
from trialsite.protocol.reporting import ExpectedEvent

LIST = (
    ExpectedEvent(code="FEVER", terms=("Fever", "Pyrexia"), worst_grade=2),
    ExpectedEvent(code="REACTION", terms=("Infusion related reaction",), worst_grade=4, serious=True),
    ExpectedEvent(code="DEATH", terms=("Death NOS",), worst_grade=5, serious=True),
)

CASES = {
    "listed, as grave as listed": ("Fever", 2, False, False, True, "up to grade 2"),
    "graver than listed": ("Fever", 3, False, False, False, "this is grade 3"),
    "serious, listed as not": ("Fever", 2, True, False, False, "not as a serious event"),
    "serious, listed as such": ("Infusion related reaction", 4, True, False, True, "up to grade 4"),
    "fatal, where death is not listed": ("Infusion related reaction", 4, True, True, False, "fatal outcome"),
    "fatal grade, where death is not listed": ("Infusion related reaction", 5, True, True, False, "fatal outcome"),
    "fatal, where it is": ("Death NOS", 5, True, True, True, "up to grade 5"),
    "another name of it": (" pyrexia ", 1, False, False, True, "Fever"),
    "in capitals": ("FEVER", 1, False, False, True, "Fever"),
    "not in the list": ("Stroke", 1, False, False, False, "not in the list"),
    "a part of the name alone": ("Infusion", 1, False, False, False, "not in the list"),
}


@pytest.mark.parametrize("term, grade, serious, fatal, expected, why", CASES.values(), ids=CASES)
def test_what_is_worse_than_the_list_says_is_unexpected(term, grade, serious, fatal, expected, why):
    proposal = propose(LIST, reported=term, grade=grade, is_serious=serious, is_fatal=fatal)
    assert proposal.is_expected is expected
    assert why in str(proposal.because)


MILD = {"grade": 1, "is_serious": False, "is_fatal": False}


def coded(preferred, term=""):
    return Coded(term or preferred, preferred, "MedDRA 28.0")


@pytest.mark.parametrize(
    "reported, code, expected, looked_up",
    [
        ("hot all over", coded("Fever"), True, "as coded: Fever (MedDRA 28.0)"),
        ("hot all over", coded("Body temperature increased", "Pyrexia"), True, "as coded: Body temperature increased"),
        ("Fever", coded("Sepsis"), False, "as coded: Sepsis"),
        ("Fever", None, True, "as reported: Fever; no code"),
        ("hot all over", None, False, "as reported: hot all over"),
    ],
)
def test_the_code_in_force_is_looked_up_and_the_reported_term_only_without_one(reported, code, expected, looked_up):
    proposal = propose(LIST, reported=reported, coded=code, **MILD)
    assert proposal.is_expected is expected
    assert looked_up in str(proposal.looked_up) and str(proposal).startswith(str(proposal.because))


@pytest.mark.parametrize(
    "before, now, differs",
    [
        (("Fever", None), ("Fever", coded("Fever")), False),
        (("hot", None), ("hot", coded("Fever")), True),
        (("hot", coded("Sepsis")), ("hot", coded("Stroke")), True),
        (("hot", coded("Sepsis")), ("very hot", coded("Sepsis")), False),
        (("hot", coded("Sepsis")), ("hot", None), False),
        (("hot", coded("Fever")), ("hot", None), True),
    ],
)
def test_a_judgement_is_asked_for_again_when_the_finding_or_the_coded_term_is_another(before, now, differs):
    judged_on = propose(LIST, reported=before[0], coded=before[1], **MILD)
    assert propose(LIST, reported=now[0], coded=now[1], **MILD).differs_from(judged_on.stored()) is differs


def test_a_judgement_from_before_codes_were_looked_at_is_compared_by_its_finding():
    proposal = propose(LIST, reported="Fever", coded=coded("Fever"), **MILD)
    assert not proposal.differs_from(proposal.because.stored())
    assert proposal.differs_from(propose(LIST, reported="Stroke", **MILD).because.stored())


def test_without_a_list_everything_is_unexpected():
    assert not propose((), reported="Fever", **MILD).is_expected

"""Expected or not, as a truth table."""

import pytest

from safety.expectedness import propose
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
    proposal = propose(LIST, terms=(term,), grade=grade, is_serious=serious, is_fatal=fatal)
    assert proposal.is_expected is expected
    assert why in str(proposal.because)


def test_the_coded_term_counts_as_well_as_the_reported_one():
    assert propose(LIST, terms=("hot all over", "Fever"), grade=1, is_serious=False, is_fatal=False).is_expected


def test_without_a_list_everything_is_unexpected():
    assert not propose((), terms=("Fever",), grade=1, is_serious=False, is_fatal=False).is_expected

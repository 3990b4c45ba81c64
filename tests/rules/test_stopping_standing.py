"""What is told of a rule: truth tables of met or not, decided on or not, for the trial, for arms, for single patients."""

from collections import Counter
from datetime import date

import pytest

from safety.stopping.evaluation import Point, State
from safety.stopping.standing import Known, Standing, standing_of, standings
from trialsite.protocol.stopping import AnyEventRule, EventSelector

TRIAL = ("trial", None, "")


def rule(**about):
    return AnyEventRule(
        kind="any_event", code="X", name="X", blocks=["infuse"], counts=EventSelector(serious=True), **about
    )


def state(*counted, of=None, **about):
    """Met by these events; not met without."""
    met = Point(date(2026, 1, 1), 1, 1, frozenset(counted)) if counted else None
    return State(of or rule(), (), met, 1 if met else None, **about)


def known(*counted, in_force=False, target=TRIAL):
    return Known(target, frozenset(counted), in_force)


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        ([], [], Standing.NOT_MET),
        (["e1"], [], Standing.NEW),
        (["e1"], [known("e1", in_force=True)], Standing.HELD),
        (["e1", "e2"], [known("e1", in_force=True)], Standing.HELD),
        (["e1"], [known("e1")], Standing.DECIDED),
        (["e1"], [known("e1", "e2")], Standing.DECIDED),
        (["e1", "e2"], [known("e1")], Standing.NEW),
        (["e1", "e2"], [known("e1"), known("e2")], Standing.DECIDED),
        (["e1", "e2"], [known("e1"), known("e2", in_force=True)], Standing.HELD),
        ([], [known("e1", in_force=True)], Standing.HELD_ALTHOUGH),
        ([], [known("e1")], Standing.WAS_DECIDED),
    ],
)
def test_how_a_rule_stands(now, before, told):
    assert standing_of(state(*now), before) is told
    assert standings([state(*now)], before) == Counter([told])


def test_a_rule_that_halts_single_patients_tells_of_each_who_meets_it_or_did():
    of = rule(scope="patient")
    states = [state(of=of), *(state(f"e{n}", of=of, patient=n) for n in (1, 2, 3))]
    before = [known("e1", in_force=True, target=("patient", 1, "")), known("e2", target=("patient", 2, "")),
              known("e4", target=("patient", 4, "")), known("e5", in_force=True, target=("patient", 5, ""))]  # fmt: skip
    assert standings(states, before) == {
        Standing.HELD: 1, Standing.DECIDED: 1, Standing.NEW: 1, Standing.WAS_DECIDED: 1, Standing.HELD_ALTHOUGH: 1,
    }  # fmt: skip
    assert not standings(states[:1], []), "of the others nothing is told"


def test_each_arm_that_a_rule_halts_is_decided_on_by_itself():
    of = rule(scope="arm", arms=["LOW", "HIGH"])
    before = [known("e1", in_force=True, target=("arm", None, "LOW")), known("e1", target=("arm", None, "HIGH"))]
    assert standings([state("e1", of=of)], before) == {Standing.HELD: 1, Standing.DECIDED: 1}


def test_what_was_decided_on_under_another_key_is_decided():
    now = state("event 7", same=(("event 7", frozenset({"reaction 5", "reaction 6"})),))
    assert standing_of(now, [known("reaction 5")]) is Standing.DECIDED
    assert standing_of(now, [known("reaction 4")]) is Standing.NEW
    assert standing_of(state("event 7", "event 8", same=now.same), [known("reaction 5")]) is Standing.NEW

"""What is told of a rule, for the whole of whom it halts or for each patient: met now or not, and decided on or not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from safety.stopping.evaluation import State


class Standing(Enum):
    """In the order in which they are told."""

    HELD = "met, and its halt is in force"
    NEW = "met by something that no halt was opened for yet"
    DECIDED = "met by what the board has decided on"
    HELD_ALTHOUGH = "not met any more, and its halt is in force"
    WAS_DECIDED = "not met any more, after the board has decided"
    NOT_MET = "never met, as far as is known"


@dataclass(frozen=True)
class Known:
    """One time that a rule was met: the target of the halt (scope, patient, arm), what was counted, is the halt in force."""

    target: tuple
    counted: frozenset[str]
    in_force: bool


def is_new(state: State, known: Iterable[Known]) -> bool:
    """Is a rule met by something for which no halt was opened yet?"""
    return not state.is_decided(key for one in known for key in one.counted)


def standing_of(state: State | None, known: Iterable[Known]) -> Standing:
    """Of one target: its state now (None: single patients who do not meet the rule have none), and when it was met."""
    known = list(known)
    in_force = any(one.in_force for one in known)
    if state is not None and state.is_met:
        if in_force:
            return Standing.HELD
        return Standing.NEW if is_new(state, known) else Standing.DECIDED
    if in_force:
        return Standing.HELD_ALTHOUGH
    return Standing.WAS_DECIDED if known else Standing.NOT_MET


def standings(states: Iterable[State], known: Iterable[Known]) -> Counter[Standing]:
    """Of one rule: how many of its targets stand how. Of a rule that halts single patients those alone are counted who
    meet it or did."""
    now = {target: state for state in states for target in state.targets}
    before: dict[tuple, list[Known]] = {}
    for one in known:
        before.setdefault(one.target, []).append(one)
    return Counter(standing_of(now.get(target), before.get(target, ())) for target in {**now, **before})

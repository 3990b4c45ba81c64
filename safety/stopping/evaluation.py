"""Is a stopping rule met? Pure: the rules of the protocol and what is known of the treated patients in, states out.

Patients are counted, not events: y of the n treated patients had at least one event that counts. The trial's path is told
in the order of the days on which patients were first treated and had their first event, so that an event that is
entered late counts when it began: what would have met the rule then meets it now.

A state keeps what met the rule last (`counted`: keys of patients, or of events for a rule that any event meets), so that a
halt that was lifted is opened again only by something that was not decided on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from safety.stopping.boundaries import Boundary
from safety.stopping.rules import boundary_of
from trialsite.protocol.stopping import (
    AnyEventRule,
    CountRule,
    EventOfInterest,
    EventSelector,
    GroupSequentialRule,
    Halting,
)


@dataclass(frozen=True)
class Event:
    """What a rule may count: an adverse event, a reaction seen at an infusion, or a death. `key` is its own for ever;
    `same` are keys under which the same was counted before, no milder; `number` that of the adverse event in its patient,
    for people; `of_reaction`: it is a reaction recorded at an infusion, or belongs to one."""

    key: str
    on: date
    terms: tuple[str, ...] = ()
    body_system: str = ""
    grade: int = 1
    serious: bool = False
    related: bool = False
    fatal: bool = False
    is_ongoing: bool = False
    number: int | None = None
    same: frozenset[str] = frozenset()
    of_reaction: bool = False


@dataclass(frozen=True)
class Treated:
    """A patient who was treated: `starts` are the days of the infusions (in a trial without, of randomisation), in the
    order in which patients were first treated."""

    id: int
    number: str
    arm: str
    starts: tuple[date, ...]
    events: tuple[Event, ...] = ()
    site: int | None = None


@dataclass(frozen=True)
class Point:
    """Where the trial's path was: after `n` patients `y` had an event; `counted` are they."""

    on: date
    n: int
    y: int
    counted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class State:
    """Where a rule stands, for the whole of whom it counts or, when it halts single patients, for one of them."""

    rule: Halting
    path: tuple[Point, ...]
    # where on the path the rule was last met by something new, and the least count that met it there
    met_at: Point | None = None
    least: int | None = None
    patient: int | None = None
    # number of the patient, numbers of the adverse events: those that met the rule, for people
    who: tuple[tuple[str, tuple[int, ...]], ...] = ()
    # keys that met the rule, each with those under which the same was counted before
    same: tuple[tuple[str, frozenset[str]], ...] = ()

    def is_decided(self, known: Iterable[str]) -> bool:
        """Is all that met the rule among these keys, or was it, under another key and no milder?"""
        known, same = frozenset(known), dict(self.same)
        return all(key in known or same.get(key, frozenset()) & known for key in self.met_at.counted)

    @property
    def is_met(self) -> bool:
        return self.met_at is not None

    @property
    def n(self) -> int:
        return self.path[-1].n if self.path else 0

    @property
    def y(self) -> int:
        return self.path[-1].y if self.path else 0

    @property
    def targets(self) -> list[tuple[str, int | None, str]]:
        """(scope, patient, arm) of each halt that the rule calls for when it is met."""
        if self.rule.scope == "arm":
            return [("arm", None, arm) for arm in self.rule.arms]
        if self.rule.scope == "patient":
            return [("patient", self.patient, "")] if self.patient is not None else []
        return [("trial", None, "")]

    @cached_property
    def boundary(self) -> Boundary | None:
        return boundary_of(self.rule)


def counts(selector: EventSelector, event: Event, starts: Iterable[date], interest: Iterable[EventOfInterest]) -> bool:
    """Does the event of a patient treated on these days count? Nothing counts that began before the treatment."""
    starts = sorted(starts)
    if not starts or event.on < starts[0]:
        return False
    within = selector.within_days_of_infusion
    if within is not None and not any(0 <= (event.on - start).days <= within for start in starts):
        return False
    return may_count(selector, event, interest)


def may_count(selector: EventSelector, event: Event, interest: Iterable[EventOfInterest]) -> bool:
    """All that can be said of an event without its patient's infusions."""
    asked = {"serious": selector.serious, "related": selector.related, "fatal": selector.fatal}
    return (
        (selector.least_grade is None or event.grade >= selector.least_grade)
        and all(wanted is None or getattr(event, name) == wanted for name, wanted in asked.items())
        and (
            not selector.of_interest
            or any(
                one.covers(event.terms, event.body_system, of_reaction=event.of_reaction)
                for one in interest
                if one.code in selector.of_interest
            )
        )
    )


def evaluate(
    rules: Iterable[Halting], patients: Iterable[Treated], *, interest: Iterable[EventOfInterest] = (), on: date
) -> list[State]:
    """Where each rule stands on a day; a rule that halts single patients has a state for each who meets it, too."""
    interest, patients = tuple(interest), list(patients)
    return [state for rule in rules for state in _states(rule, patients, interest, on)]


def looked_at(rule: Halting, patients: Iterable[Treated]) -> list[Treated]:
    """Of the treated patients, in order, those whom the rule looks at: of its arms, and the first so many alone."""
    of_arms = [patient for patient in patients if not rule.arms or patient.arm in rule.arms]
    return of_arms[: rule.patients] if isinstance(rule, CountRule | GroupSequentialRule) else of_arms


def _states(rule, patients, interest, on):
    of_rule = looked_at(rule, patients)
    counted = {p.id: [e for e in p.events if counts(rule.counts, e, p.starts, interest)] for p in of_rule}
    if rule.scope == "patient":
        yield State(rule, _path_of_any(of_rule, counted))
        of_each = (_any_event(rule, [patient], counted, patient.id) for patient in of_rule)
        states = [state for state in of_each if state.is_met]
    elif isinstance(rule, AnyEventRule):
        states = [_any_event(rule, of_rule, counted)]
    elif isinstance(rule, GroupSequentialRule):
        states = [_at_looks(rule, of_rule, counted, on)]
    else:
        states = [_after_each(rule, of_rule, counted, on)]
    yield from (
        replace(state, who=_who(state, of_rule, counted), same=_same(state, of_rule, counted)) for state in states
    )


def _same(state, patients, counted):
    """Of a death all keys that any record of it had."""
    found: dict[str, frozenset[str]] = {}
    for event in (event for patient in patients for event in counted[patient.id] if event.same):
        if state.met_at and event.key in state.met_at.counted:
            found[event.key] = found.get(event.key, frozenset()) | event.same
    return tuple(sorted(found.items(), key=lambda pair: pair[0]))


def _who(state, patients, counted):
    keys = state.met_at.counted if state.met_at else ()
    found = (
        (p, [e for e in counted[p.id] if e.key in keys or (f"patient {p.id}" in keys and e.on <= state.met_at.on)])
        for p in patients
    )
    return tuple((p.number, tuple(sorted({e.number for e in events if e.number}))) for p, events in found if events)


def _any_event(rule, patients, counted, patient=None) -> State:
    path = _path_of_any(patients, counted)
    if path and path[-1].y:
        return State(rule, path, path[-1], 1, patient)
    return State(rule, path, patient=patient)


def _path_of_any(patients, counted) -> tuple[Point, ...]:
    """For a rule that any event meets every event is something new."""
    path = _path(patients, counted, {p.id: min(p.starts) for p in patients})
    every_event = frozenset(event.key for patient in patients for event in counted[patient.id])
    return (*path[:-1], replace(path[-1], counted=every_event)) if path else ()


def _path(patients, counted, since: dict[int, date]) -> tuple[Point, ...]:
    """Step by step: a patient comes to count, or has the first event. On the same day an event comes before the patients
    who have none on it: they are not yet known to be well."""
    steps = []
    for patient in patients:
        first = min((event.on for event in counted[patient.id]), default=None)
        from_day = since[patient.id] if first is None else min(since[patient.id], first)
        steps.append((from_day, 0 if from_day == first else 2, patient.id, 1, 0))
        if first is not None:
            steps.append((first, 1, patient.id, 0, 1))
    n = y = 0
    had_one: frozenset[str] = frozenset()
    path = []
    for day, _order, patient, more, events in sorted(steps):
        n, y = n + more, y + events
        if events:
            had_one |= {f"patient {patient}"}
        path.append(Point(day, n, y, had_one))
    return tuple(path)


def _after_each(rule, patients, counted, on) -> State:
    if isinstance(rule, CountRule):
        since = {p.id: min(p.starts) for p in patients}
    else:
        since = _evaluable(rule, patients, counted, on)
        patients = [p for p in patients if p.id in since]
    path, boundary = _path(patients, counted, since), boundary_of(rule)
    met = least = None
    for point in path:
        rejection = boundary.rejection_at(point.n)
        if rejection is not None and point.y >= rejection and (met is None or point.counted != met.counted):
            met, least = point, rejection
    return State(rule, path, met, least)


def _evaluable(rule, patients, counted, on) -> dict[int, date]:
    """From when each patient counts; those who do not yet are left out. Events may begin no later than `on`."""
    since = {}
    for patient in patients:
        known = min(patient.starts)
        known = date.fromordinal(known.toordinal() + rule.evaluable_after_days)
        first = min((event.on for event in counted[patient.id]), default=None)
        if known <= on or first is not None:
            since[patient.id] = known if first is None else min(known, first)
    return since


def _at_looks(rule, patients, counted, on) -> State:
    """Looks after so many of the patients each, with what is known of them now."""
    since = _evaluable(rule, patients, counted, on)
    patients = [p for p in patients if p.id in since]
    boundary, path, y = boundary_of(rule), [], 0
    had_one: frozenset[str] = frozenset()
    met = least = None
    for n, patient in enumerate(patients, 1):
        if counted[patient.id]:
            y, had_one = y + 1, had_one | {f"patient {patient.id}"}
        point = Point(since[patient.id], n, y, had_one)
        path.append(point)
        rejection = boundary.rejection_at(n)
        if rejection is not None and y >= rejection and (met is None or had_one != met.counted):
            met, least = point, rejection
    return State(rule, tuple(path), met, least)


# --- sentinels -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waiting:
    """Why the next patient waits: until a day (None: nobody can say), for `unresolved` events of those before."""

    until: date | None
    unresolved: tuple[Event, ...] = ()

    def holds(self, on: date) -> bool:
        return bool(self.unresolved) or (self.until is not None and on < self.until)


def waiting_for(sentinel, before: Iterable[Treated], interest: Iterable[EventOfInterest]) -> Waiting:
    """What one who is not treated yet waits for, when `before` are the treated patients of the sentinel's arms, in order.

    Each waits for the one before until the sentinels are through; who comes after the last sentinel waits for that one,
    too, and nobody after that."""
    before = list(before)
    if not before or len(before) > sentinel.patients:
        return Waiting(None)
    last = min(before[-1].starts)
    unresolved = sentinel.unresolved
    going_on = tuple(
        event
        for patient in before
        for event in patient.events
        if unresolved and event.is_ongoing and counts(unresolved, event, patient.starts, interest)
    )
    return Waiting(date.fromordinal(last.toordinal() + sentinel.days_between), going_on)

"""When a stopping rule is met: truth tables of what counts, of whom, in which order; and who waits for whom."""

from datetime import date, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.stopping.evaluation import Event, Treated, counts, evaluate, waiting_for
from safety.stopping.rules import boundary_of
from trialsite.protocol.stopping import (
    AnyEventRule,
    BetaBinomialRule,
    CountRule,
    EventOfInterest,
    EventSelector,
    GroupSequentialRule,
    Sentinel,
)

DAY = date(2026, 1, 1)
TODAY = DAY + timedelta(days=400)
TUMOUR = EventOfInterest(code="TUMOUR", name="Tumour", terms=("Neoplasm",), body_systems=("Neoplasms",))
REACTION = EventOfInterest(code="REACTION", name="Infusion reaction", reactions=True)
SHARED = {"code": "X", "name": "X", "blocks": ["infuse"]}
GRADE_3 = {"counts": EventSelector(least_grade=3, related=True)}


def on(days):
    return DAY + timedelta(days=days)


def event(key="event 1", at=0, **about):
    return Event(key=key, on=on(at), **{"grade": 3, "related": True, **about})


def treated(number, at=None, events=(), arm="MSC"):
    return Treated(number, f"01-{number:03d}", arm, (on(number * 10 if at is None else at),), tuple(events))


def beta_binomial(**about):
    given = {"kind": "beta_binomial", "prior": [D("0.2"), D("1.8")], "acceptable_rate": D("0.1"), "patients": 7,
             "confidence": D("0.9"), **SHARED, **GRADE_3, **about}  # fmt: skip
    return BetaBinomialRule(**given)


def state_of(rule, patients, day=TODAY):
    [state] = evaluate([rule], patients, interest=(TUMOUR,), on=day)
    return state


@pytest.mark.parametrize(
    ("selector", "about", "does"),
    [
        ({"least_grade": 3}, {"grade": 3}, True),
        ({"least_grade": 3}, {"grade": 2}, False),
        ({"least_grade": 3, "related": True}, {"grade": 4, "related": False}, False),
        ({"serious": True}, {"serious": True}, True),
        ({"serious": True}, {"serious": False}, False),
        ({"related": False}, {"related": True}, False),
        ({"fatal": True}, {"fatal": True}, True),
        ({"fatal": True, "related": True}, {"fatal": True, "related": False}, False),
        ({"of_interest": ["TUMOUR"]}, {"terms": ("tumour ",)}, True),
        ({"of_interest": ["TUMOUR"]}, {"terms": ("Lump", "NEOPLASM")}, True),
        ({"of_interest": ["TUMOUR"]}, {"terms": ("Lump",), "body_system": "neoplasms"}, True),
        ({"of_interest": ["TUMOUR"]}, {"terms": ("Lump",)}, False),
        ({"of_interest": ["TUMOUR"]}, {"of_reaction": True}, False),
        ({"of_interest": ["REACTION"]}, {"of_reaction": True}, True),
        ({"of_interest": ["REACTION"]}, {"of_reaction": False}, False),
        ({"within_days_of_infusion": 7}, {"at": 7}, True),
        ({"within_days_of_infusion": 7}, {"at": 8}, False),
        ({"within_days_of_infusion": 7}, {"at": 35}, True),  # after the second infusion
        ({"least_grade": 1}, {"at": -1}, False),  # before the treatment
    ],
)
def test_what_counts(selector, about, does):
    assert counts(EventSelector(**selector), event(**about), (on(0), on(28)), (TUMOUR, REACTION)) is does


@pytest.mark.parametrize(
    ("with_events", "met_at"),
    [
        ([], None), ([1], None), ([1, 2], (2, 2)), ([2], None), ([1, 5], (5, 2)), ([1, 6], None), ([5, 6, 7], (7, 3)),
        ([6, 7], None), ([1, 2, 3], (3, 3)),
    ],
)  # fmt: skip
def test_the_beta_binomial_rule_is_met_at_its_boundary(with_events, met_at):
    """2 of the first 2 to 5, 3 of the first 6 or 7 patients."""
    patients = [treated(n, events=[event(at=n * 10 + 1)] if n in with_events else ()) for n in range(1, 8)]
    state = state_of(beta_binomial(), patients)
    assert (state.met_at and (state.met_at.n, state.met_at.y)) == met_at
    assert (state.n, state.y) == (7, len(with_events))


def test_a_patient_counts_once_and_those_of_other_arms_not_at_all():
    twice = treated(1, events=[event("event 1", 11), event("event 2", 12)])
    assert state_of(beta_binomial(), [twice]).y == 1
    saline = treated(2, events=[event("event 3", 21)], arm="SALINE")
    state = state_of(beta_binomial(arms=["MSC"]), [twice, saline])
    assert (state.n, state.y, state.is_met) == (1, 1, False)
    assert state_of(beta_binomial(), [twice, saline]).is_met


def test_an_event_entered_late_meets_the_rule_as_if_it_had_been_known():
    """By now 2 of 7 are within the boundary; when the second event began they were 2 of 3."""
    patients = [treated(n) for n in range(1, 8)]
    patients[0], patients[1] = (treated(n, events=[event(f"event {n}", 35)]) for n in (1, 2))
    state = state_of(beta_binomial(), patients)
    assert (state.met_at.n, state.met_at.y, state.least) == (3, 2, 2)
    assert state.met_at.counted == {"patient 1", "patient 2"}


def test_on_one_day_an_event_comes_before_those_who_are_only_just_treated():
    patients = [treated(n, at=0) for n in range(1, 7)]
    patients[4], patients[5] = (treated(n, at=0, events=[event(f"event {n}")]) for n in (5, 6))
    assert state_of(beta_binomial(), patients).met_at.n == 2


def test_a_patient_may_have_to_be_watched_for_some_time_before_counting_as_well():
    rule = beta_binomial(evaluable_after_days=28)
    patients = [
        treated(1, 0, [event(at=1)]),
        treated(2, 0, [event("event 2", 3)]),
        *(treated(n, 0) for n in (3, 4, 5, 6, 7)),
    ]
    early, late = state_of(rule, patients, on(4)), state_of(rule, patients, on(28))
    assert (early.n, early.y, early.is_met) == (2, 2, True)
    assert (late.n, late.y) == (7, 2)


def test_beyond_the_planned_patients_the_last_count_holds():
    patients = [treated(n, events=[event(at=n * 10)] if n > 6 else ()) for n in range(1, 10)]
    state = state_of(beta_binomial(), patients)
    assert (state.n, state.y, state.met_at.n, state.least) == (9, 3, 9, 3)


@pytest.mark.parametrize(
    ("with_events", "is_met"), [([1], False), ([1, 3], True), ([2, 3], True), ([1, 4], False), ([4, 5, 6], False)]
)
def test_so_many_of_the_first_patients(with_events, is_met):
    rule = CountRule(kind="k_of_first_m", events=2, patients=3, **SHARED, **GRADE_3)
    patients = [treated(n, events=[event(at=n * 10)] if n in with_events else ()) for n in range(1, 7)]
    assert state_of(rule, patients).is_met is is_met


@pytest.mark.parametrize(
    ("with_events", "treated_so_far", "met_at"),
    [
        ([1, 2], 3, 3), ([1, 2], 2, None), ([1, 4], 6, None), ([4, 5, 6], 6, 6), ([4, 5, 7], 8, None),
        ([4, 5, 7, 8, 9], 9, None),
    ],
)  # fmt: skip
def test_looks_at_the_first_so_many_patients(with_events, treated_so_far, met_at):
    rule = GroupSequentialRule(
        kind="group_sequential",
        looks=[3, 6],
        patients=6,
        acceptable_rate=D("0.1"),
        level=D("0.05"),
        **SHARED,
        **GRADE_3,
    )
    assert boundary_of(rule).counts == (2, 3)
    patients = [treated(n, events=[event(at=n * 10)] if n in with_events else ()) for n in range(1, treated_so_far + 1)]
    state = state_of(rule, patients)
    assert (state.met_at and state.met_at.n) == met_at
    # those after the last look are not looked at
    assert (state.n, state.y) == (min(treated_so_far, 6), len([n for n in with_events if n <= min(treated_so_far, 6)]))


def test_whom_the_last_look_counts_is_not_changed_by_those_who_come_later():
    """The sixth does not count yet, and the seventh does not take that place."""
    rule = GroupSequentialRule(kind="group_sequential", looks=[3, 6], patients=6, acceptable_rate=D("0.1"), level=D("0.05"),
                               evaluable_after_days=28, **SHARED, **GRADE_3)  # fmt: skip
    patients = [treated(n, 0, [event(f"event {n}")] if n in (4, 5, 7) else ()) for n in range(1, 8)]
    patients[5] = treated(6, 20)
    state = state_of(rule, patients, on(30))
    assert (state.n, state.y, state.is_met) == (5, 2, False)


def test_any_event_meets_such_a_rule_and_each_is_something_new():
    rule = AnyEventRule(kind="any_event", **SHARED, **GRADE_3)
    assert not state_of(rule, [treated(1)]).is_met
    assert not state_of(rule, []).is_met
    state = state_of(rule, [treated(1, events=[event("event 1", 10), event("event 2", 11)]), treated(2)])
    assert state.met_at.counted == {"event 1", "event 2"} and state.least == 1 and (state.n, state.y) == (2, 1)


def test_a_rule_for_single_patients_has_a_state_for_each_who_meets_it():
    rule = AnyEventRule(kind="any_event", scope="patient", **SHARED, **GRADE_3)
    patients = [treated(1, events=[event("event 7", 10)]), treated(2), treated(3, events=[event("event 9", 30)])]
    overall, *each = evaluate([rule], patients, on=TODAY)
    assert (overall.n, overall.y, overall.is_met, overall.patient) == (3, 2, False, None)
    assert [(state.patient, state.met_at.counted) for state in each] == [(1, {"event 7"}), (3, {"event 9"})]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.none() | st.integers(0, 60)), max_size=12))
def test_a_path_goes_step_by_step_and_ends_with_all(courses):
    patients = [
        treated(n, start, [event(f"event {n}", start + after)] if after is not None else ())
        for n, (start, after) in enumerate(courses, 1)
    ]
    state = state_of(beta_binomial(), patients)
    assert (state.n, state.y) == (len(courses), sum(after is not None for _start, after in courses))
    before = (0, 0)
    for point in state.path:
        assert (point.n - before[0]) + (point.y - before[1]) == 1 and point.y <= point.n
        before = (point.n, point.y)
    assert [p.on for p in state.path] == sorted(p.on for p in state.path)
    at_the_end = boundary_of(beta_binomial()).rejection_at(state.n)
    if at_the_end is not None and state.y >= at_the_end:
        assert state.is_met


# --- sentinels ---------------------------------------------------------------------------------------------------


def sentinel(**about):
    return Sentinel(**{"patients": 3, "days_between": 14, "blocks": ["infuse"], **about})


@pytest.mark.parametrize(
    ("before", "until"), [(0, None), (1, on(10 + 14)), (2, on(20 + 14)), (3, on(30 + 14)), (4, None)]
)
def test_each_sentinel_and_the_first_after_them_waits_for_the_one_before(before, until):
    waiting = waiting_for(sentinel(), [treated(n) for n in range(1, before + 1)], ())
    assert waiting.until == until
    if until:
        assert waiting.holds(until - timedelta(days=1)) and not waiting.holds(until)
    else:
        assert not waiting.holds(DAY)


def test_the_next_one_waits_while_an_event_goes_on_in_those_before():
    rule = sentinel(unresolved=EventSelector(least_grade=2))
    going_on = event(at=11, is_ongoing=True)
    assert waiting_for(rule, [treated(1, events=[going_on]), treated(2)], ()).unresolved == (going_on,)
    assert waiting_for(rule, [treated(1, events=[going_on])], ()).holds(TODAY)
    for other in (event(at=11), event(at=11, is_ongoing=True, grade=1)):
        assert not waiting_for(rule, [treated(1, events=[other])], ()).holds(TODAY)
    assert not waiting_for(sentinel(), [treated(1, events=[going_on])], ()).unresolved

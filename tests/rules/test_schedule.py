"""Planned days, windows, and where a visit stands."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.protocols import protocol, visit
from visits.schedule import (
    Standing,
    Window,
    days_out_of_window,
    in_window,
    plan,
    screening_window,
    standing,
    study_day,
    window_for,
)


def day(text):
    return date.fromisoformat(text)


def window(planned, earliest, latest):
    return Window(day(planned), day(earliest), day(latest))


@pytest.mark.parametrize(
    ("planned_day", "before", "after", "day0", "expected"),
    [
        pytest.param(0, 0, 3, "2026-01-15", ("2026-01-15", "2026-01-15", "2026-01-18"), id="day 0"),
        pytest.param(7, 3, 3, "2026-01-15", ("2026-01-22", "2026-01-19", "2026-01-25"), id="week 1"),
        pytest.param(-14, 16, 13, "2026-01-31", ("2026-01-17", "2026-01-01", "2026-01-30"), id="screening"),
        pytest.param(28, 0, 1, "2024-02-01", ("2024-02-29", "2024-02-29", "2024-03-01"), id="leap year"),
        pytest.param(28, 0, 1, "2026-02-01", ("2026-03-01", "2026-03-01", "2026-03-02"), id="common year"),
        pytest.param(336, 14, 14, "2025-12-31", ("2026-12-02", "2026-11-18", "2026-12-16"), id="week 48"),
    ],
)
def test_a_window_lies_around_the_planned_day(planned_day, before, after, day0, expected):
    assert window_for(visit(planned_day, before=before, after=after), day(day0)) == window(*expected)


TRIAL = protocol(
    visits=[
        visit(-28, after=7, code="SCR1", phase="screening").model_dump(),
        visit(-14, before=3, after=3, code="SCR2", phase="screening").model_dump(),
        visit(0, code="D0").model_dump(),
        visit(7, before=1, after=1, code="W1").model_dump(),
    ]
)


def test_the_plan_has_the_visits_from_day_0_on():
    assert [(visit.code, window.planned) for visit, window in plan(TRIAL, day("2026-02-27"))] == [
        ("D0", day("2026-02-27")),
        ("W1", day("2026-03-06")),
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param("SCR1", ("2026-01-01", "2026-01-01", "2026-01-08"), id="planned for the start"),
        pytest.param("SCR2", ("2026-01-15", "2026-01-12", "2026-01-18"), id="14 days later"),
    ],
)
def test_before_day_0_is_known_screening_visits_count_from_the_start_of_screening(code, expected):
    assert screening_window(TRIAL, TRIAL.visit(code), day("2026-01-01")) == window(*expected)


def test_a_single_screening_visit_is_on_time_for_as_long_as_some_day_0_makes_it_so():
    screening = visit(-14, before=16, after=13, code="SCR")
    trial = protocol(visits=[screening.model_dump(), visit(0, code="D0").model_dump()])
    found = screening_window(trial, screening, day("2026-01-01"))
    assert found == window("2026-01-01", "2026-01-01", "2026-01-30")
    day0 = day("2026-01-31")
    assert in_window(window_for(screening, day0), found.earliest)
    assert in_window(window_for(screening, day0), found.latest)


@pytest.mark.parametrize(
    ("state", "today", "expected"),
    [
        ("planned", "2026-01-18", Standing.EXPECTED),
        ("planned", "2026-01-19", Standing.DUE),
        ("planned", "2026-01-22", Standing.DUE),
        ("planned", "2026-01-25", Standing.DUE),
        ("planned", "2026-01-26", Standing.OVERDUE),
        ("attended", "2026-01-18", Standing.DONE),
        ("attended", "2026-01-26", Standing.DONE),
        ("missed", "2026-01-18", Standing.MISSED),
        ("missed", "2026-01-26", Standing.MISSED),
    ],
)
def test_where_a_visit_stands(state, today, expected):
    week1 = window("2026-01-22", "2026-01-19", "2026-01-25")
    assert standing(state=state, window=week1, today=day(today)) is expected


def test_an_unscheduled_visit_needs_no_window():
    assert standing(state="attended", window=None, today=day("2026-01-01")) == "done"


@pytest.mark.parametrize(
    ("state", "of"), [("locked", window("2026-01-02", "2026-01-01", "2026-01-03")), ("planned", None)]
)
def test_a_state_that_is_not_known_is_refused(state, of):
    with pytest.raises(ValueError, match="expected"):
        standing(state=state, window=of, today=day("2026-01-01"))


@pytest.mark.parametrize(
    ("on", "days"),
    [("2026-01-17", -2), ("2026-01-18", -1), ("2026-01-19", 0), ("2026-01-22", 0), ("2026-01-25", 0),
     ("2026-01-26", 1), ("2026-02-01", 7)],
)  # fmt: skip
def test_days_out_of_window_are_negative_when_early_and_positive_when_late(on, days):
    week1 = window("2026-01-22", "2026-01-19", "2026-01-25")
    assert days_out_of_window(week1, day(on)) == days
    assert in_window(week1, day(on)) is (days == 0)


@pytest.mark.parametrize(
    ("on", "expected"),
    [("2024-02-27", -1), ("2024-02-28", 0), ("2024-02-29", 1), ("2024-03-01", 2), ("2025-02-28", 366)],
)
def test_the_day_of_the_study_counts_from_0(on, expected):
    assert study_day(day("2024-02-28"), day(on)) == expected


@given(
    day0=st.dates(date(1990, 1, 1), date(2090, 1, 1)),
    planned_day=st.integers(-60, 700),
    before=st.integers(0, 30),
    after=st.integers(0, 30),
    shift=st.integers(-90, 90),
)
def test_a_day_is_in_the_window_when_it_is_at_most_so_far_from_the_plan(day0, planned_day, before, after, shift):
    found = window_for(visit(planned_day, before=before, after=after), day0)
    on = found.planned + timedelta(days=shift)
    assert study_day(day0, on) == planned_day + shift
    assert in_window(found, on) is (-before <= shift <= after)
    nearest = on - timedelta(days=days_out_of_window(found, on))
    assert in_window(found, nearest)

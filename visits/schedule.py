"""The only place that turns protocol days into calendar dates and windows, and says where a visit stands.

Dates are the site's calendar days; today's is a parameter. Days count from day 0, the day of the first
infusion (or of randomisation in a trial without infusions), as protocol days do. SDTM knows no day 0 (its
--DY goes from -1 to 1): the exchange formats shift the days from day 0 on, here they are never shifted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from trialsite.protocol import Protocol, Visit

# what can be recorded about a visit (the states of visits.models.VisitState)
PLANNED, ATTENDED, MISSED, CANCELLED = "planned", "attended", "missed", "cancelled"


class Standing(StrEnum):
    """Where a visit stands on a day."""

    EXPECTED = "expected"  # its window has not opened
    DUE = "due"  # its window is open
    OVERDUE = "overdue"  # its window has closed and nothing is recorded
    DONE = "done"
    MISSED = "missed"
    CANCELLED = "cancelled"  # a later protocol version does without it


@dataclass(frozen=True)
class Window:
    """The day a visit is planned for and the first and last day on which it is on time, all inclusive."""

    planned: date
    earliest: date
    latest: date


def window_for(visit: Visit, day0: date) -> Window:
    planned = day0 + timedelta(days=visit.day)
    return Window(planned, planned - timedelta(days=visit.before), planned + timedelta(days=visit.after))


def plan(protocol: Protocol, day0: date) -> list[tuple[Visit, Window]]:
    """The visits from day 0 on, with their windows, in the protocol's order."""
    return [(visit, window_for(visit, day0)) for visit in protocol.visits_after_day_0]


def screening_window(protocol: Protocol, visit: Visit, started_on: date) -> Window:
    """The window of a screening visit while day 0 is not known yet.

    The first screening visit is planned for the day screening starts, the others keep their distance from it.
    A visit is on time from that day on for as long as some day 0 could make it so: had screening started on the
    first day of the first visit's window. Once day 0 is known, `window_for` is the judge.
    """
    first = protocol.screening_visits[0]
    planned = started_on + timedelta(days=visit.day - first.day)
    latest = started_on + timedelta(days=(visit.day + visit.after) - (first.day - first.before))
    return Window(planned, max(planned - timedelta(days=visit.before), started_on), latest)


def standing(*, state: str, window: Window | None, today: date) -> Standing:
    """Where a visit stands. `state` is PLANNED, ATTENDED, MISSED or CANCELLED; only a planned one needs a window."""
    if state == ATTENDED:
        return Standing.DONE
    if state == MISSED:
        return Standing.MISSED
    if state == CANCELLED:
        return Standing.CANCELLED
    if state != PLANNED or window is None:
        raise ValueError(
            f"expected a planned visit with a window, or one that was attended, missed or cancelled, found {state!r}"
        )
    if today < window.earliest:
        return Standing.EXPECTED
    return Standing.DUE if today <= window.latest else Standing.OVERDUE


def in_window(window: Window, on: date) -> bool:
    return days_out_of_window(window, on) == 0


def days_out_of_window(window: Window, on: date) -> int:
    """How many days too early (negative) or too late (positive); 0 inside the window."""
    if on < window.earliest:
        return (on - window.earliest).days
    return max((on - window.latest).days, 0)


def study_day(day0: date, on: date) -> int:
    """The protocol day: 0 on day 0, -1 the day before. SDTM's --DY is one higher from day 0 on."""
    return (on - day0).days

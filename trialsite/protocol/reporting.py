"""The tables of a protocol file about serious events: who is told by when, and which reactions are expected.

safety/clocks.py counts by the first, safety/expectedness.py compares with the second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from trialsite.protocol.tables import Code, Fault, Flag, Part, Positive, Text, Whole, repeated


class ExpectedEvent(Part):
    """A reaction of the reference safety information: what is no worse than this is expected.

    `worst_grade` 5 says that death is expected; unless `serious`, a serious course is not."""

    code: Code
    terms: tuple[Text, ...] = Field(min_length=1)
    worst_grade: Annotated[Whole, Field(ge=1, le=5)]
    serious: Flag = False


class ReportingDuty(Part):
    """To whom which serious events are reported, and by when: `hours` from the instant, or `days` from the day, at which
    who owes it first knew. That day has the number `first_day`; see safety/clocks.py."""

    code: Code
    name: Text
    to: Literal["sponsor", "ethics_committee", "authority"]
    owed_by: Literal["site", "sponsor"]
    events: Literal["serious", "susar", "grave_susar", "other_susar"]
    hours: Positive | None = None
    days: Positive | None = None
    first_day: Annotated[Whole, Field(ge=0, le=1)] = 0
    complete_days: Positive | None = None
    follow_up_days: Positive | None = None

    @model_validator(mode="after")
    def one_way_to_count(self):
        if (self.hours is None) == (self.days is None):
            raise ValueError("expected exactly one of hours and days")
        if self.to == "sponsor" and self.owed_by != "site":
            raise ValueError("expected owed_by = 'site' for what is reported to the sponsor")
        if self.owed_by == "site" and self.events != "serious":
            raise ValueError("expected events = 'serious' for what the site owes: the sponsor judges what is a SUSAR")
        return self


def faults_of_reporting(p) -> Iterator[Fault]:
    for table in ("safety_reporting", "expected_events"):
        yield from repeated(table, (item.code for item in getattr(p, table)))
    terms = [term.casefold() for event in p.expected_events for term in event.terms]
    yield from repeated("expected_events", terms, "each term")

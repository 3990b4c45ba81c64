"""The only place that says which graded results wait for somebody to say whether they are an adverse event.

Values in, values out. The protocol says which grades propose one (`grading.propose_from_grade`). A proposal is not stored: it is
worked out from the results when somebody looks, and goes when the result is corrected. What is stored is the judgement: an
adverse event that the result belongs to, or the reason why it is none. A judgement holds for the grade that was judged; a
worse one is proposed again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Finding:
    """A result whose grade proposes an adverse event; `row` is the row of the scale."""

    measurement: int
    row: str
    grade: int
    on: date


@dataclass(frozen=True)
class Belongs:
    """A result that was judged to belong to an adverse event, at which grade; and the event as it is now."""

    measurement: int
    row: str
    judged_grade: int
    event_grade: int
    began_on: date
    ended_on: date | None = None  # None: it goes on

    def covers(self, finding: Finding) -> bool:
        """The result itself; or another one of the same row while the event lasts, and no worse than it."""
        if self.measurement == finding.measurement:
            return finding.grade <= self.judged_grade
        lasts = self.began_on <= finding.on and (self.ended_on is None or finding.on <= self.ended_on)
        return self.row == finding.row and lasts and finding.grade <= self.event_grade


@dataclass(frozen=True)
class Declined:
    """A result that was judged to be no adverse event, at which grade."""

    measurement: int
    judged_grade: int

    def covers(self, finding: Finding) -> bool:
        return self.measurement == finding.measurement and finding.grade <= self.judged_grade


def unjudged(findings: Iterable[Finding], judgements: Iterable[Belongs | Declined]) -> list[Finding]:
    """The findings of one patient that wait: of those of one row on one day the worst (a fever that is measured five times
    is one), earliest first."""
    judgements = list(judgements)
    waiting = {}
    for finding in sorted(findings, key=lambda f: (f.on, f.measurement)):
        if any(judgement.covers(finding) for judgement in judgements):
            continue
        first = waiting.setdefault((finding.row, finding.on), finding)
        if finding.grade > first.grade:
            waiting[finding.row, finding.on] = finding
    return list(waiting.values())

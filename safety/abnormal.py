"""The only place that says which graded results, and which reactions to infusions, wait for somebody to say whether they are an
adverse event.

Values in, values out. The protocol says which grades propose one (`grading.propose_from_grade`, `.propose_reactions_from_grade`).
A proposal is not stored: it is worked out from the record when somebody looks, and goes when the record is corrected. What is
stored is the judgement: an adverse event that it belongs to, or the reason why it is none. A judgement holds for the grade that
was judged; a worse one is proposed again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


def of_result(measurement: int) -> str:
    return f"result {measurement}"


def of_reaction(infusion: int, term: str) -> str:
    """A reaction is known by its infusion and its term: a correction stores another line."""
    return f"reaction {infusion} {' '.join(term.split()).casefold()}"


@dataclass(frozen=True)
class Finding:
    """Something seen whose grade proposes an adverse event: `what` it is (of_result, of_reaction), and which `row` of the
    scale graded it (of a reaction `what` again: at another infusion it is another one). `id` is that of its record."""

    id: int
    what: str
    row: str
    grade: int
    on: date


@dataclass(frozen=True)
class Belongs:
    """Something that was judged to belong to an adverse event, at which grade; and the event as it is now."""

    what: str
    row: str
    judged_grade: int
    event_grade: int
    began_on: date
    ended_on: date | None = None  # None: it goes on

    def covers(self, finding: Finding) -> bool:
        """What was judged itself; or what else is of the same row while the event lasts, and no worse than it."""
        if self.what == finding.what and finding.grade <= self.judged_grade:
            return True
        lasts = self.began_on <= finding.on and (self.ended_on is None or finding.on <= self.ended_on)
        is_other = self.what != finding.what or self.what == self.row
        return is_other and self.row == finding.row and lasts and finding.grade <= self.event_grade


@dataclass(frozen=True)
class Declined:
    """Something that was judged to be no adverse event, at which grade."""

    what: str
    judged_grade: int

    def covers(self, finding: Finding) -> bool:
        return self.what == finding.what and finding.grade <= self.judged_grade


def unjudged(findings: Iterable[Finding], judgements: Iterable[Belongs | Declined]) -> list[Finding]:
    """The findings of one patient that wait: of those of one row on one day the worst (a fever that is measured five times
    is one), earliest first."""
    judgements = list(judgements)
    waiting = {}
    for finding in sorted(findings, key=lambda f: (f.on, f.id)):
        if any(judgement.covers(finding) for judgement in judgements):
            continue
        first = waiting.setdefault((finding.row, finding.on), finding)
        if finding.grade > first.grade:
            waiting[finding.row, finding.on] = finding
    return list(waiting.values())

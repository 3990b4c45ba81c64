"""By when a serious event must be reported: what is known of it, since when, and the deadlines that follow.

Sources: ICH E2A III.B (7 and 8 days, 15 days, from the first knowledge that a case qualifies), China GCP 2020 and the
rules on rapid reporting there (day 0 is the day of knowledge; who cannot exclude a causal link suspects it).

- Hours are counted as time that passes: a day of 25 hours in the zone of the site makes no deadline later.
- Days are counted on the calendar of the site. The deadline is the end of the last day, whatever that day's length.
- A case counts as suspected until investigator and sponsor have both excluded the product, and as unexpected unless it
  is known to be expected: a judgement that waits holds up no clock.
- A clock counts from when the case came to qualify and has qualified since. So a new fact starts a clock on the day it
  was known, and a fact that is taken back makes a deadline "no longer applying"; it stays in the list.
- A case that grows graver gets no more time by it: the seven days end at the latest when the running clock would have.

Values in, values out: no database, and the time it is now is given."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_noop as _

from trialsite.protocol.reporting import ReportingDuty


@dataclass(frozen=True)
class Facts:
    """What is known of a case at a moment, as the rules of reporting ask."""

    is_serious: bool
    is_grave: bool  # fatal or life-threatening
    is_suspected: bool
    is_unexpected: bool

    @property
    def is_susar(self):
        """A suspected unexpected serious adverse reaction."""
        return self.is_serious and self.is_suspected and self.is_unexpected

    def qualifies(self, events: str) -> bool:
        """Do events of this kind (a duty's `events`) include the case?"""
        return {
            "serious": self.is_serious,
            "susar": self.is_susar,
            "grave_susar": self.is_susar and self.is_grave,
            "other_susar": self.is_susar and not self.is_grave,
        }[events]


def is_suspected(*, was_treated: bool, by_investigator: bool, by_sponsor: bool | None) -> bool:
    """Can one of the two not exclude that the product caused it? `by_sponsor` is None until the sponsor has judged, and
    counts as "cannot". Nobody suspects a product that the patient has not had."""
    return was_treated and (by_investigator or by_sponsor is not False)


class Stage(StrEnum):
    """Which report on a case: the first, the complete one after a grave one's, one for each later version."""

    FIRST = _("first report")
    COMPLETE = _("complete report")
    FOLLOW_UP = _("follow-up")


class State(StrEnum):
    DUE = _("due")
    OVERDUE = _("overdue")
    DONE = _("done")
    LATE = _("done late")
    ENDED = _("no longer applies")


@dataclass(frozen=True)
class Known:
    """That this was known from this instant on."""

    at: datetime
    facts: Facts


@dataclass(frozen=True)
class Sent:
    """That a duty's report was sent: of which version of the case."""

    duty: str
    stage: str
    case_version: int
    at: datetime


@dataclass(frozen=True)
class Made:
    """That a version of the case was frozen. What the sponsor adds is no news that a site owes to anybody."""

    number: int
    at: datetime
    by_site: bool = True


@dataclass(frozen=True)
class Clock:
    """One deadline of one case. `started_at` is the knowledge it counts from, `due_at` the last instant in time, or the end
    of `due_on`, the last day, where days are counted; `ended_at` is when it ceased to apply."""

    duty: ReportingDuty
    stage: Stage
    started_at: datetime
    due_at: datetime
    due_on: date | None
    state: State
    case_version: int = 0
    done_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_open(self):
        return self.state in (State.DUE, State.OVERDUE)

    @property
    def key(self) -> str:
        """Names the clock within its case: AUTHORITY_7.first, AUTHORITY_7.follow-up.2."""
        name = self.stage.name.lower()
        return f"{self.duty.code}.{name}" + (f".{self.case_version}" if self.stage == Stage.FOLLOW_UP else "")

    def days_left(self, now: datetime, zone: ZoneInfo) -> int:
        """Days on the calendar until the last one; negative when that has passed."""
        last = self.due_on or self.due_at.astimezone(zone).date()
        return (last - now.astimezone(zone).date()).days


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day ends where the clock hangs: the first one of the next day, in UTC."""
    following = day + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)


def in_time(at: datetime, due_at: datetime, due_on: date | None) -> bool:
    """The 24th hour is within 24 hours; midnight is no longer the day that ends with it."""
    return at < due_at if due_on else at <= due_at


def qualifying_spans(known: list[Known], events: str) -> list[tuple[datetime, datetime | None]]:
    """From when to when (None: still) the case qualified, oldest first; `known` is in the order of time."""
    spans, since = [], None
    for entry in known:
        if entry.facts.qualifies(events) and since is None:
            since = entry.at
        elif not entry.facts.qualifies(events) and since is not None:
            spans.append((since, entry.at))
            since = None
    return spans if since is None else [*spans, (since, None)]


def deadline(duty: ReportingDuty, known_at: datetime, zone: ZoneInfo) -> tuple[datetime, date | None]:
    """(due_at, due_on) of a first report."""
    if duty.hours is not None:
        return known_at.astimezone(UTC) + timedelta(hours=duty.hours), None
    last = known_at.astimezone(zone).date() + timedelta(days=duty.days - duty.first_day)
    return end_of_day(last, zone), last


def clocks(
    duties: tuple[ReportingDuty, ...],
    known: list[Known],
    *,
    site_knew_at: datetime,
    zone: ZoneInfo,
    versions: list[Made] = (),
    sent: list[Sent] = (),
    now: datetime,
) -> list[Clock]:
    """Every deadline that the case has or had, by duty, in the order of time.

    `known` is what the sponsor knew, in the order of time; `site_knew_at` is when the site first knew that the event is
    serious. `versions` are those of the case."""
    found = []
    for duty in duties:
        found += _of_duty(duty, duties, known, site_knew_at, zone, versions, sent, now)
    return found


def _of_duty(duty, duties, known, site_knew_at, zone, versions, sent, now):
    own = [each for each in sent if each.duty == duty.code]
    spans = qualifying_spans(known, duty.events)
    found = []
    for number, (since, until) in enumerate(spans):
        start = since
        if duty.owed_by == "site" and number == 0:
            start = min(site_knew_at, since)
        if duty.events == "other_susar":
            start = _susar_since(known, since)
        due_at, due_on = deadline(duty, start, zone)
        if duty.events == "grave_susar":
            due_at, due_on = _no_later_than_others(duties, known, since, zone, due_at, due_on)
        first = _closed(duty, Stage.FIRST, start, due_at, due_on, until, own, now, spans, number)
        found.append(first)
        if duty.complete_days:
            last = (due_on or due_at.astimezone(zone).date()) + timedelta(days=duty.complete_days)
            due_at = end_of_day(last, zone)
            found.append(_closed(duty, Stage.COMPLETE, start, due_at, last, until, own, now, spans, number))
    reported = min((each.at for each in own if each.stage == Stage.FIRST.name.lower()), default=None)
    if duty.follow_up_days and reported is not None:
        found += _follow_ups(duty, own, reported, zone, versions, now)
    return found


def _susar_since(known, since):
    """From when the case has been a SUSAR of any kind, up to `since`: growing less grave gives no more time."""
    return next(
        (start for start, end in qualifying_spans(known, "susar") if start <= since and (not end or end > since)), since
    )


def _no_later_than_others(duties, known, since, zone, due_at, due_on):
    """The deadline of a case that grew graver at `since`, while the clock of the other SUSARs ran."""
    running = _susar_since(known, since)
    for other in duties:
        if other.events == "other_susar" and running < since:
            due_at, due_on = min((due_at, due_on), deadline(other, running, zone), key=lambda pair: pair[0])
    return due_at, due_on


def _closed(duty, stage, start, due_at, due_on, until, own, now, spans, number):
    """The clock, with what has come of it."""
    until_next = spans[number + 1][0] if number + 1 < len(spans) else None
    of_stage = [each for each in own if each.stage == stage.name.lower()]
    done = [each.at for each in of_stage if until_next is None or each.at < until_next]
    done_at = min(done, default=None)
    state = State.ENDED if done_at is None and until is not None else _state(done_at, now, due_at, due_on)
    return Clock(
        duty, stage, start, due_at, due_on, state, done_at=done_at, ended_at=until if state == State.ENDED else None
    )


def _state(done_at, now, due_at, due_on):
    if done_at is not None:
        return State.DONE if in_time(done_at, due_at, due_on) else State.LATE
    return State.DUE if in_time(now, due_at, due_on) else State.OVERDUE


def _follow_ups(duty, own, reported, zone, versions, now):
    """One clock for each version of the case made after the first report and not contained in it."""
    contained = max(each.case_version for each in own if each.at == reported)
    for version in versions:
        number, made_at = version.number, version.at
        if number <= contained or (duty.owed_by == "site" and not version.by_site):
            continue
        last = made_at.astimezone(zone).date() + timedelta(days=duty.follow_up_days)
        due_at = end_of_day(last, zone)
        done_at = min((each.at for each in own if each.case_version >= number), default=None)
        state = _state(done_at, now, due_at, last)
        yield Clock(duty, Stage.FOLLOW_UP, made_at, due_at, last, state, case_version=number, done_at=done_at)

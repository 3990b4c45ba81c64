"""The clocks of serious events, as truth tables."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.clocks import Facts, Known, Made, Sent, State, clocks, deadline, end_of_day, is_suspected
from trialsite.protocol.reporting import ReportingDuty

SHANGHAI, BERLIN, NEW_YORK, CAIRO = map(
    ZoneInfo, ("Asia/Shanghai", "Europe/Berlin", "America/New_York", "Africa/Cairo")
)


def duty(code, events, owed_by="sponsor", **keys):
    to = "sponsor" if owed_by == "site" else "authority"
    return ReportingDuty(code=code, name=code, to=to, owed_by=owed_by, events=events, **keys)


SITE = duty("SPONSOR", "serious", "site", hours=24)
GRAVE = duty("A7", "grave_susar", days=7, complete_days=8, follow_up_days=15)
OTHER = duty("A15", "other_susar", days=15, follow_up_days=15)
DUTIES = (SITE, GRAVE, OTHER)

SERIOUS = Facts(is_serious=True, is_grave=False, is_suspected=False, is_unexpected=True)
SUSAR = Facts(is_serious=True, is_grave=False, is_suspected=True, is_unexpected=True)
DEADLY = Facts(is_serious=True, is_grave=True, is_suspected=True, is_unexpected=True)
EXPECTED = Facts(is_serious=True, is_grave=True, is_suspected=True, is_unexpected=False)
HARMLESS = Facts(is_serious=False, is_grave=False, is_suspected=True, is_unexpected=True)


def at(text, zone=SHANGHAI):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def on(day, hour=12):
    """An instant of that day of March 2026 in Shanghai."""
    return datetime(2026, 3, day, hour, tzinfo=SHANGHAI)


# --- one deadline ---------------------------------------------------------------------------------------

HOURS = {
    "a plain day": (SHANGHAI, "2026-03-02 10:00", "2026-03-03 10:00"),
    "over midnight and new year": (SHANGHAI, "2026-12-31 23:30", "2027-01-01 23:30"),
    "into the leap day": (SHANGHAI, "2028-02-28 08:00", "2028-02-29 08:00"),
    "the leap day left out": (SHANGHAI, "2026-02-28 08:00", "2026-03-01 08:00"),
    "the night that lacks an hour": (BERLIN, "2026-03-28 10:00", "2026-03-29 11:00"),
    "the night with an hour more": (BERLIN, "2026-10-24 10:00", "2026-10-25 09:00"),
    "from the hour that comes twice, first": (BERLIN, "2026-10-25 02:30", "2026-10-26 01:30"),
    "New York in spring": (NEW_YORK, "2026-03-07 20:00", "2026-03-08 21:00"),
}


@pytest.mark.parametrize("zone, known, due", HOURS.values(), ids=HOURS)
def test_hours_are_time_that_passes(zone, known, due):
    due_at, due_on = deadline(SITE, at(known, zone), zone)
    assert due_on is None
    assert due_at - at(known, zone).astimezone(UTC) == timedelta(hours=24)
    assert f"{due_at.astimezone(zone):%Y-%m-%d %H:%M}" == due


DAYS = {
    "day 0 is the day of knowledge": (SHANGHAI, 7, 0, "2026-03-02 10:00", date(2026, 3, 9)),
    "the first minute of it": (SHANGHAI, 7, 0, "2026-03-02 00:00", date(2026, 3, 9)),
    "its last minute": (SHANGHAI, 7, 0, "2026-03-02 23:59", date(2026, 3, 9)),
    "where that day is day 1": (SHANGHAI, 7, 1, "2026-03-02 10:00", date(2026, 3, 8)),
    "fifteen over a month": (SHANGHAI, 15, 0, "2026-03-20 10:00", date(2026, 4, 4)),
    "over the leap day": (SHANGHAI, 7, 0, "2028-02-25 10:00", date(2028, 3, 3)),
    "without a leap day": (SHANGHAI, 7, 0, "2026-02-25 10:00", date(2026, 3, 4)),
    "over the summer time": (BERLIN, 7, 0, "2026-03-25 10:00", date(2026, 4, 1)),
    "over new year": (BERLIN, 15, 0, "2026-12-24 10:00", date(2027, 1, 8)),
}


@pytest.mark.parametrize("zone, days, first, known, last", DAYS.values(), ids=DAYS)
def test_days_end_at_the_midnight_of_the_site(zone, days, first, known, last):
    counted = duty("X", "susar", days=days, first_day=first)
    due_at, due_on = deadline(counted, at(known, zone), zone)
    assert due_on == last
    assert due_at == at(f"{last + timedelta(days=1)} 00:00", zone)


def test_the_day_is_that_of_the_site_not_of_greenwich():
    instant = datetime(2026, 3, 2, 20, 0, tzinfo=UTC)  # in Shanghai it is the 3rd already
    assert deadline(GRAVE, instant, SHANGHAI)[1] == date(2026, 3, 10)
    assert deadline(GRAVE, instant, NEW_YORK)[1] == date(2026, 3, 9)


def test_a_midnight_that_does_not_exist_is_the_moment_when_the_clock_jumps():
    # Cairo goes from 23:59:59 to 01:00 in the night to 2026-04-24
    assert end_of_day(date(2026, 4, 23), CAIRO) == datetime(2026, 4, 23, 22, tzinfo=UTC)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.sampled_from([SHANGHAI, BERLIN, NEW_YORK]))
)
def test_the_last_day_is_never_cut_and_never_longer_than_25_hours(known):
    zone = known.tzinfo
    due_at, last = deadline(GRAVE, known, zone)
    assert timedelta(hours=23) <= due_at - end_of_day(last - timedelta(days=1), zone) <= timedelta(hours=25)
    assert (last - known.astimezone(zone).date()).days == 7
    assert (due_at - timedelta(seconds=1)).astimezone(zone).date() == last


# --- who suspects ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "treated, investigator, sponsor, suspected",
    [
        (True, True, True, True), (True, True, False, True), (True, True, None, True), (True, False, True, True),
        (True, False, False, False), (True, False, None, True), (False, False, None, False), (False, True, True, False),
    ],
)  # fmt: skip
def test_either_one_who_cannot_exclude_suspects(treated, investigator, sponsor, suspected):
    assert is_suspected(was_treated=treated, by_investigator=investigator, by_sponsor=sponsor) is suspected


# --- a case over time -----------------------------------------------------------------------------------


def shown(*known, sent=(), versions=(), now=5, knew=None, duties=DUTIES):
    """key -> (state, last day of March, day of March on which it ended), of everything but the 24 hours."""
    facts = [Known(on(day), facts) for day, facts in known]
    reports = [Sent(name, stage, version, on(day)) for day, name, stage, version in sent]
    found = clocks(
        duties, facts, site_knew_at=knew or facts[0].at, zone=SHANGHAI, versions=[Made(n, on(day)) for n, day in versions],
        sent=reports, now=on(now),
    )  # fmt: skip
    return {
        clock.key: (clock.state, (clock.due_on - date(2026, 2, 28)).days, clock.ended_at and clock.ended_at.day)
        for clock in found
        if clock.due_on
    }


CASES = {
    "an event that is not serious has no clock": dict(known=[(2, HARMLESS)], gives={}),
    "nor one that nobody suspects": dict(known=[(2, SERIOUS)], gives={}),
    "nor one that is expected": dict(known=[(2, EXPECTED)], gives={}),
    "a SUSAR": dict(known=[(2, SUSAR)], gives={"A15.first": (State.DUE, 17, None)}),
    "a grave one": dict(
        known=[(2, DEADLY)], gives={"A7.first": (State.DUE, 9, None), "A7.complete": (State.DUE, 17, None)}
    ),
    "the last day": dict(known=[(2, SUSAR)], now=17, gives={"A15.first": (State.DUE, 17, None)}),
    "the day after": dict(known=[(2, SUSAR)], now=18, gives={"A15.first": (State.OVERDUE, 17, None)}),
    "a fact known later counts from then": dict(
        known=[(2, SERIOUS), (4, SUSAR)], gives={"A15.first": (State.DUE, 19, None)}
    ),
    "what does not bear on it counts from the first day": dict(
        known=[(2, SUSAR), (4, SUSAR)], gives={"A15.first": (State.DUE, 17, None)}
    ),
    "it grows grave: seven days from then": dict(
        known=[(2, SUSAR), (4, DEADLY)],
        gives={
            "A7.first": (State.DUE, 11, None), "A7.complete": (State.DUE, 19, None), "A15.first": (State.ENDED, 17, 4),
        },
    ),
    "it grows grave late: no more time by that": dict(
        known=[(2, SUSAR), (15, DEADLY)], now=16,
        gives={
            "A7.first": (State.DUE, 17, None), "A7.complete": (State.DUE, 25, None), "A15.first": (State.ENDED, 17, 15),
        },
    ),
    "it grows less grave: fifteen days from the beginning": dict(
        known=[(2, DEADLY), (5, SUSAR)],
        gives={
            "A7.first": (State.ENDED, 9, 5), "A7.complete": (State.ENDED, 17, 5), "A15.first": (State.DUE, 17, None),
        },
    ),
    "both exclude the product: it is shown as ended": dict(
        known=[(2, SUSAR), (5, SERIOUS)], gives={"A15.first": (State.ENDED, 17, 5)}
    ),
    "it is suspected again: a clock of its own": dict(
        known=[(2, SUSAR), (5, SERIOUS), (9, SUSAR)], now=10,
        gives={"A15.first": (State.DUE, 24, None)}, ended={"A15.first": (State.ENDED, 17, 5)},
    ),
    "reported in time": dict(
        known=[(2, SUSAR)], sent=[(17, "A15", "first", 0)], now=30, gives={"A15.first": (State.DONE, 17, None)}
    ),
    "reported late": dict(
        known=[(2, SUSAR)], sent=[(18, "A15", "first", 0)], now=30, gives={"A15.first": (State.LATE, 17, None)}
    ),
    "reported, then excluded: it was done": dict(
        known=[(2, SUSAR), (9, SERIOUS)], sent=[(5, "A15", "first", 0)], now=30,
        gives={"A15.first": (State.DONE, 17, None)},
    ),
    "reported, excluded, suspected again: the first report stands": dict(
        known=[(2, SUSAR), (9, SERIOUS), (12, SUSAR)], sent=[(5, "A15", "first", 0)], now=30,
        gives={"A15.first": (State.DONE, 27, None)}, ended={"A15.first": (State.DONE, 17, None)},
    ),
    "to another one": dict(
        known=[(2, SUSAR)], sent=[(5, "A7", "first", 0)], now=6, gives={"A15.first": (State.DUE, 17, None)}
    ),
    "the complete report is one of its own": dict(
        known=[(2, DEADLY)], sent=[(5, "A7", "first", 0)], now=18,
        gives={"A7.first": (State.DONE, 9, None), "A7.complete": (State.OVERDUE, 17, None)},
    ),
    "a later version is due": dict(
        known=[(2, SUSAR)], sent=[(5, "A15", "first", 0)], versions=[(0, 3), (1, 8)], now=9,
        gives={"A15.first": (State.DONE, 17, None), "A15.follow_up.1": (State.DUE, 23, None)},
    ),
    "a later version that was in the report already": dict(
        known=[(2, SUSAR)], sent=[(9, "A15", "first", 1)], versions=[(0, 3), (1, 8)], now=10,
        gives={"A15.first": (State.DONE, 17, None)},
    ),
    "one report of the latest version is enough": dict(
        known=[(2, SUSAR)], sent=[(5, "A15", "first", 0), (12, "A15", "follow_up", 2)],
        versions=[(0, 3), (1, 8), (2, 11)], now=30,
        gives={
            "A15.first": (State.DONE, 17, None), "A15.follow_up.1": (State.DONE, 23, None),
            "A15.follow_up.2": (State.DONE, 26, None),
        },
    ),
    "before the first report there is no follow-up": dict(
        known=[(2, SUSAR)], versions=[(0, 3), (1, 8)], now=9, gives={"A15.first": (State.DUE, 17, None)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_clocks_of_a_case(case):
    found = shown(*case["known"], **{name: case[name] for name in ("sent", "versions", "now") if name in case})
    assert found == case["gives"]
    if "ended" in case:  # the older clock of the same name, which the newer one hides in `shown`
        facts = [Known(on(day), facts) for day, facts in case["known"]]
        reports = [Sent(name, stage, version, on(day)) for day, name, stage, version in case.get("sent", ())]
        oldest = clocks((OTHER,), facts, site_knew_at=on(2), zone=SHANGHAI, sent=reports, now=on(case["now"]))[0]
        ended = oldest.ended_at and oldest.ended_at.day
        assert {"A15.first": (oldest.state, (oldest.due_on - date(2026, 2, 28)).days, ended)} == case["ended"]


def of_site(known, knew, sent=(), now=5):
    facts = [Known(on(day), facts) for day, facts in known]
    reports = [Sent("SPONSOR", "first", 0, moment) for moment in sent]
    return [
        (clock.state, f"{clock.due_at.astimezone(SHANGHAI):%d %H}", clock.ended_at and clock.ended_at.day)
        for clock in clocks((SITE,), facts, site_knew_at=knew, zone=SHANGHAI, sent=reports, now=on(now))
    ]


def test_the_site_has_24_hours_from_its_own_knowledge():
    assert of_site([(2, SERIOUS)], on(1, 18), now=2) == [(State.DUE, "02 18", None)]
    assert of_site([(2, SERIOUS)], on(1, 18), now=3) == [(State.OVERDUE, "02 18", None)]
    assert of_site([(2, SERIOUS)], on(1, 18), sent=[on(2, 18)]) == [(State.DONE, "02 18", None)]
    assert of_site([(2, SERIOUS)], on(1, 18), sent=[on(2, 18) + timedelta(minutes=1)]) == [(State.LATE, "02 18", None)]


def test_an_event_that_is_no_longer_serious_need_not_be_reported_and_one_that_is_again_must():
    assert of_site([(2, SERIOUS), (3, HARMLESS)], on(2)) == [(State.ENDED, "03 12", 3)]
    again = of_site([(2, SERIOUS), (3, HARMLESS), (4, SERIOUS)], on(2), now=4)
    assert again == [(State.ENDED, "03 12", 3), (State.DUE, "05 12", None)]


def test_what_the_sponsor_adds_is_no_follow_up_of_the_site():
    committee = duty("EC", "serious", "site", hours=24, follow_up_days=15)
    for by_site, owed in [(True, ["EC.first", "EC.follow_up.1"]), (False, ["EC.first"])]:
        found = clocks(
            (committee,), [Known(on(2), SERIOUS)], site_knew_at=on(2), zone=SHANGHAI, now=on(9),
            sent=[Sent("EC", "first", 0, on(3))], versions=[Made(0, on(3)), Made(1, on(4), by_site)],
        )  # fmt: skip
        assert [clock.key for clock in found] == owed


def test_midnight_ends_the_last_day():
    known = [Known(on(2), SUSAR)]
    for sent_at, state in [(at("2026-03-17 23:59"), State.DONE), (at("2026-03-18 00:00"), State.LATE)]:
        reports = [Sent("A15", "first", 0, sent_at)]
        assert clocks((OTHER,), known, site_knew_at=on(2), zone=SHANGHAI, sent=reports, now=on(30))[0].state == state
    for now, state in [(at("2026-03-17 23:59"), State.DUE), (at("2026-03-18 00:00"), State.OVERDUE)]:
        [clock] = clocks((OTHER,), known, site_knew_at=on(2), zone=SHANGHAI, now=now)
        assert clock.state == state
        assert clock.days_left(now, SHANGHAI) == (0 if state == State.DUE else -1)


FACTS = st.builds(Facts, st.booleans(), st.booleans(), st.booleans(), st.booleans())


@given(st.lists(FACTS, min_size=1, max_size=6), st.integers(0, 20))
def test_no_deadline_is_ever_erased(facts, now):
    """Whatever becomes known later: what was due stays in the list, with the same last day."""
    known = [Known(on(2) + timedelta(days=n), fact) for n, fact in enumerate(facts)]
    for so_far in range(1, len(known)):
        then, later = (
            [(clock.key, clock.started_at, clock.due_at) for clock in clocks(
                DUTIES, entries, site_knew_at=on(2), zone=SHANGHAI, now=on(2) + timedelta(days=now)
            )]
            for entries in (known[:so_far], known)
        )  # fmt: skip
        assert set(then) <= set(later)


@given(st.lists(FACTS, min_size=1, max_size=6))
def test_a_susar_has_exactly_one_open_clock_of_a_first_report(facts):
    known = [Known(on(2) + timedelta(days=n), fact) for n, fact in enumerate(facts)]
    found = clocks((GRAVE, OTHER), known, site_knew_at=on(2), zone=SHANGHAI, now=on(3))
    open_now = [clock for clock in found if clock.is_open and clock.stage.name == "FIRST"]
    assert len(open_now) == (1 if facts[-1].is_susar else 0)

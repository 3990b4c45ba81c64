"""Instants are shown by one clock a page, with the difference from UTC (R8)."""

import re
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from trialsite.clock import only_site, told_at, zone_shown

pytestmark = pytest.mark.requirement("R8")
AT = datetime(2026, 7, 12, 18, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Asia/Shanghai", "2026-07-13 02:05 UTC+08:00"),
        ("America/New_York", "2026-07-12 14:05 UTC-04:00"),
        ("Asia/Kathmandu", "2026-07-12 23:50 UTC+05:45"),
        ("UTC", "2026-07-12 18:05 UTC"),
    ],
)
def test_an_instant_is_told_by_the_clock_of_the_site(zone, told):
    assert told_at(AT, ZoneInfo(zone)) == told


def test_seconds_are_told_where_they_matter_and_nothing_is_told_of_nothing():
    assert told_at(AT, seconds=True) == "2026-07-12 18:05:09 UTC"
    assert told_at(None) == ""


def test_a_page_takes_the_clock_of_its_patient_else_that_of_the_readers_only_site():
    Place = namedtuple("Place", "timezone")
    here, there = Place("Asia/Shanghai"), Place("Europe/Berlin")

    def person(*sites):
        return SimpleNamespace(current_grants=[SimpleNamespace(site=site) for site in sites])

    patient = SimpleNamespace(site=here)
    assert str(zone_shown(patient, person(there))) == "Asia/Shanghai"
    assert str(zone_shown(None, person(there, there))) == "Europe/Berlin"
    assert zone_shown(None, person(here, there)) == zone_shown(None, None) == zone_shown(None, person(None)) == UTC
    assert only_site(SimpleNamespace()) is None


def test_no_template_writes_an_instant_by_itself():
    for path in sorted((Path(__file__).parent.parent / "templates").rglob("*.html")):
        found = re.findall(r'\|date:"[^"]*[GHis]', path.read_text())
        assert not found, f"{path.name}: use {{% clock %}}"

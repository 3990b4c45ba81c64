"""The strict fields as truth tables: what is taken, as what, and what is refused."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from trialsite.fields import (
    ClearTextField,
    PartialDateField,
    StrictDateField,
    StrictDateTimeField,
    StrictDecimalField,
    StrictIntegerField,
    StrictTimeField,
    YesNoField,
)

REFUSED = object()
TODAY = datetime.now(UTC).date()
SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")

pytestmark = pytest.mark.requirement("R51", "R53")


def outcome(field, typed):
    try:
        return field.clean(typed)
    except ValidationError:
        return REFUSED


DECIMALS = [
    ("12", Decimal(12)), ("12.50", Decimal("12.50")), (" 12 ", Decimal(12)), ("0", Decimal(0)), ("0.001", Decimal("0.001")),
    ("-3", Decimal(-3)), ("1_2_0", REFUSED), ("7_0.5", REFUSED), ("1E2", REFUSED), ("1e-2", REFUSED), ("12,5", REFUSED),
    ("+5", REFUSED), ("007", REFUSED), (".5", REFUSED), ("5.", REFUSED), ("NaN", REFUSED), ("Infinity", REFUSED),
    ("１２", REFUSED), ("١", REFUSED), ("½", REFUSED), ("1 2", REFUSED), ("<5", REFUSED), ("12\n", REFUSED), ("\t12", REFUSED),
    ("12\u200b", REFUSED), ("1.2345", REFUSED), ("9" * 31, REFUSED), ("", REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "expected"), DECIMALS)
def test_a_number_is_digits_and_a_point(typed, expected):
    found = outcome(StrictDecimalField(max_digits=12, decimal_places=3), typed)
    assert found is expected or (found == expected and str(found) == str(expected))


INTEGERS = [
    ("12", 12), ("0", 0), (" 7 ", 7), ("-1", -1), ("12.0", REFUSED), ("1_000", REFUSED), ("1e3", REFUSED), ("0x1F", REFUSED),
    ("٣", REFUSED), ("²", REFUSED), ("012", REFUSED), ("9" * 19, REFUSED), ("", REFUSED), ("--1", REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "expected"), INTEGERS)
def test_a_whole_number_is_digits(typed, expected):
    assert outcome(StrictIntegerField(), typed) == expected


DATES = [
    ("2026-04-03", date(2026, 4, 3)), (" 2026-04-03 ", date(2026, 4, 3)), ("2024-02-29", date(2024, 2, 29)),
    ("2025-02-29", REFUSED), ("2026-02-30", REFUSED), ("03/04/2026", REFUSED), ("3.4.2026", REFUSED), ("2026-4-3", REFUSED),
    ("20260403", REFUSED), ("2026/04/03", REFUSED), ("0001-01-01", REFUSED), ("0026-04-03", REFUSED), ("1899-12-31", REFUSED),
    ("1900-01-01", date(1900, 1, 1)), ("9999-12-31", REFUSED), ("2026-13-01", REFUSED), ("2026-00-01", REFUSED),
    ("２０２６-04-03", REFUSED), ("2026-04-03T00:00", REFUSED), ("2026‐04‐03", REFUSED), ("today", REFUSED), ("", REFUSED),
    ((TODAY + timedelta(days=2)).isoformat(), REFUSED), (TODAY.isoformat(), TODAY),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "expected"), DATES)
def test_a_date_is_written_in_one_way_and_not_in_the_future(typed, expected):
    assert outcome(StrictDateField(), typed) == expected


def test_a_date_may_lie_in_the_future_where_the_field_says_so_but_not_beyond_2100():
    field = StrictDateField(not_after_today=False)
    assert outcome(field, "2100-12-31") == date(2100, 12, 31)
    assert outcome(field, "2101-01-01") is REFUSED


PARTIAL = [
    ("2019", "2019"), ("2019-05", "2019-05"), ("2019-05-14", "2019-05-14"), ("19", REFUSED), ("2019-5", REFUSED),
    ("2019-13", REFUSED), ("2019-02-30", REFUSED), ("2019--14", REFUSED), ("UNK", REFUSED), ("1850", REFUSED), ("2999", REFUSED),
    ("05/2019", REFUSED), ("2019-UN-14", REFUSED), ("２０１９", REFUSED),
]  # fmt: skip


@pytest.mark.requirement("R59")
@pytest.mark.parametrize(("typed", "expected"), PARTIAL)
def test_a_partial_date_stays_partial(typed, expected):
    assert outcome(PartialDateField(), typed) == expected


TIMES = [("09:30", time(9, 30)), ("00:00", time(0)), ("23:59", time(23, 59)), ("24:00", REFUSED), ("9:30", REFUSED),
         ("09:60", REFUSED), ("0930", REFUSED), ("09:30:00", REFUSED), ("09.30", REFUSED), ("9 am", REFUSED)]  # fmt: skip


@pytest.mark.parametrize(("typed", "expected"), TIMES)
def test_a_time_has_two_digits_a_colon_and_two_digits(typed, expected):
    assert outcome(StrictTimeField(), typed) == expected


INSTANTS = [
    (SHANGHAI, "2026-04-03 09:30", datetime(2026, 4, 3, 1, 30, tzinfo=UTC)),
    (SHANGHAI, "2026-04-03T09:30", datetime(2026, 4, 3, 1, 30, tzinfo=UTC)),
    (BERLIN, "2026-01-03 09:30", datetime(2026, 1, 3, 8, 30, tzinfo=UTC)),
    (BERLIN, "2026-03-29 02:30", REFUSED),  # skipped by the clock
    (BERLIN, "2025-10-26 02:30", REFUSED),  # comes twice
    (SHANGHAI, "2026-04-03", REFUSED), (SHANGHAI, "2026-04-03 24:00", REFUSED), (SHANGHAI, "03/04/2026 09:30", REFUSED),
    (SHANGHAI, "2026-02-30 09:30", REFUSED), (SHANGHAI, "0001-01-01 00:00", REFUSED), (SHANGHAI, "9999-12-31 23:59", REFUSED),
    (SHANGHAI, "2026-04-03 09:30+08:00", REFUSED), (SHANGHAI, f"{TODAY + timedelta(days=2)} 00:00", REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "typed", "expected"), INSTANTS)
def test_an_instant_is_one_that_the_clock_of_the_site_showed_once(zone, typed, expected):
    assert outcome(StrictDateTimeField(zone=zone), typed) == expected


TEXTS = [
    ("plain", "plain"), (" blanks ", " blanks "), ("头痛 🙂", "头痛 🙂"), ("e\u0301", "e\u0301"), ("<b>", "<b>"), ("   ", REFUSED),
    ("", REFUSED), ("\u200b", REFUSED), ("a\u200bb", REFUSED), ("\u202eabc", REFUSED), ("\ufeffa", REFUSED), ("\x00", REFUSED),
    ("a\x1bb", REFUSED), ("\ue000", REFUSED), ("\u3164", REFUSED), ("\u2800", REFUSED), ("caf\ufffd", REFUSED),
    ("\u00a0", REFUSED), ("two\nlines", REFUSED), ("a\tb", REFUSED), ("x" * 500, "x" * 500), ("x" * 501, REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "expected"), TEXTS)
def test_of_a_text_every_character_can_be_seen_and_is_kept(typed, expected):
    assert outcome(ClearTextField(), typed) == expected


@pytest.mark.parametrize("kind", [ClearTextField, PartialDateField, StrictDateField, StrictTimeField])
def test_no_browser_cuts_what_is_pasted(kind):
    """What is too long is refused, and stays in the page."""
    assert "maxlength" not in kind().widget.attrs
    assert "maxlength" not in StrictDateTimeField(zone=BERLIN).widget.attrs
    assert outcome(PartialDateField(), "2017-01-05 or 2018") == REFUSED


@pytest.mark.parametrize(("stored", "shown"), [("100.0", "100"), ("71.50", "71.5"), ("0.0", "0"), ("5E+5", "500000")])
def test_a_number_is_shown_without_the_zeros_of_its_column(stored, shown):
    assert StrictDecimalField().prepare_value(Decimal(stored)) == shown


def test_a_text_of_several_lines_keeps_them():
    assert outcome(ClearTextField(lines=3), "one\r\ntwo\tx") == "one\ntwo\tx"


@pytest.mark.parametrize(
    ("typed", "expected"), [("Y", True), ("N", False), ("", REFUSED), ("y", REFUSED), ("1", REFUSED)]
)
def test_yes_and_no_are_the_only_answers(typed, expected):
    assert outcome(YesNoField(), typed) is expected


def test_an_unanswered_question_is_neither():
    assert outcome(YesNoField(required=False), "") is None

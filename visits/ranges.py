"""The only place that says which reference range a result is held against, and which ranges contradict one another.

Pure: a range is anything that has what `Range` has, a row of the database too. Of the ranges of the laboratory that
hold for the sex, for the age in completed years and on the day of collection

1. those in the unit in which the result was reported go before those in another unit of the test, in the protocol's order;
2. those for one sex go before those for both;
3. those for the narrower ages go before those for the wider.

Ranges for the same test, unit and sex whose ages and dates overlap are refused, unless the ages of one lie within
those of the other: so at most one range can win. Where the laboratory gives none, the protocol's own holds.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.utils.translation import gettext as _

from trialsite.protocol import Test
from trialsite.words import listed
from visits.units import in_unit, plain, rounded, standardised, unit_of, units_of

LONGEST_LIFE = 150  # years; beyond the age of anybody
LAST_DAY = date.max
MOST_ROWS = 2_000  # of one table


@dataclass(frozen=True)
class Range:
    """From `low` to `high` in `unit` is normal; bounds, ages and dates are inclusive, None is without bound."""

    test: str
    unit: str
    valid_from: date
    low: Decimal | None = None
    high: Decimal | None = None
    sex: str = ""
    from_age: int | None = None
    to_age: int | None = None
    valid_to: date | None = None
    pk: int | None = None


@dataclass(frozen=True)
class Held:
    """What a result is held against: `low` to `high` exactly, in the protocol's unit, for comparing; the same in the
    unit of the report for people. `reference` is the key of the laboratory's range, None for the protocol's own."""

    reference: int | None
    low: Decimal | None
    high: Decimal | None
    reported_low: Decimal | None
    reported_high: Decimal | None


def ages_of(held) -> tuple[int, int]:
    return (held.from_age or 0, LONGEST_LIFE if held.to_age is None else held.to_age)


def dates_of(held) -> tuple[date, date]:
    return (held.valid_from, held.valid_to or LAST_DAY)


def holds_for(held, *, sex: str, age: int, on: date) -> bool:
    (youngest, oldest), (first, last) = ages_of(held), dates_of(held)
    return held.sex in ("", sex) and youngest <= age <= oldest and first <= on <= last


def range_for(ranges: Iterable, test: Test, unit: str = "", *, sex: str, age: int, on: date):
    """The range of the laboratory that a result reported in `unit` is held against, or None."""
    names = [known.unit for known in units_of(test)]
    reported = unit or test.unit
    order = {name: (name != reported, place) for place, name in enumerate(names)}

    def rank(held):
        youngest, oldest = ages_of(held)
        return (order[held.unit], held.sex == "", oldest - youngest)

    fitting = [r for r in ranges if r.test == test.code and r.unit in order and holds_for(r, sex=sex, age=age, on=on)]
    return min(fitting, key=rank, default=None)


def held_against(ranges: Iterable, test: Test, unit: str = "", *, sex: str, age: int, on: date) -> Held | None:
    """What a result reported in `unit` is held against, or None where neither laboratory nor protocol give a range."""
    if test.kind != "number":
        return None
    reported = unit_of(test, unit)
    found = range_for(ranges, test, unit, sex=sex, age=age, on=on)
    source, reference = found, found.pk if found else None
    if found is None:
        source = test.reference_for(sex)
        if source is None:
            return None
    given_in = unit_of(test, found.unit if found else "")
    low, high = (bound if bound is None else standardised(bound, given_in) for bound in (source.low, source.high))
    shown = [
        bound if bound is None or given_in.unit == reported.unit else in_unit(standardised(bound, given_in), reported)
        for bound in (source.low, source.high)
    ]
    return Held(reference, low, high, *shown)


def contradict(one, other) -> bool:
    """Would both claim the same results, so that nobody could say which of them holds?"""
    if (one.test, one.unit, one.sex) != (other.test, other.unit, other.sex):
        return False
    if not _overlap(dates_of(one), dates_of(other)) or not _overlap(ages_of(one), ages_of(other)):
        return False
    return not (_lies_within(ages_of(one), ages_of(other)) or _lies_within(ages_of(other), ages_of(one)))


def _overlap(one, other) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _lies_within(inner, outer) -> bool:
    return inner != outer and outer[0] <= inner[0] and inner[1] <= outer[1]


# --- in words ------------------------------------------------------------------------------------


def range_text(low: Decimal | None, high: Decimal | None) -> str:
    """115–150, ≥ 40, ≤ 5.0; nothing without bounds."""
    if low is not None and high is not None:
        return f"{_as_read(low)}–{_as_read(high)}"
    return f"≥ {_as_read(low)}" if low is not None else f"≤ {_as_read(high)}" if high is not None else ""


def _as_read(number: Decimal) -> str:
    return f"{plain(number):f}"


def range_shown(test: Test, unit: str, ranges: Iterable, *, sex: str, age: int, on: date) -> str:
    """The range beside the field of a result that is reported in `unit` ("" for the protocol's): words, or nothing."""
    held = held_against(ranges, test, unit, sex=sex, age=age, on=on)
    return range_text(rounded(held.reported_low), rounded(held.reported_high)) if held else ""


def ages_text(held) -> str:
    """18–64, from 65, up to 17; nothing for all ages."""
    if held.from_age is not None and held.to_age is not None:
        return f"{held.from_age}–{held.to_age}"
    if held.from_age is not None:
        return _("from %(age)d") % {"age": held.from_age}
    return _("up to %(age)d") % {"age": held.to_age} if held.to_age is not None else ""


# --- what a range must be --------------------------------------------------------------------------


def faults_of(held, tests: dict[str, Test]) -> Iterator[tuple[str, str]]:
    """What is wrong with one range by itself: (field, sentence)."""
    test = tests.get(held.test)
    if test is None or test.kind != "number":
        yield "test", _("The protocol has no test of numbers with this code.")
    elif held.unit not in [known.unit for known in units_of(test)]:
        known = listed(known.unit for known in units_of(test))
        yield "unit", _("%(test)s is reported in one of: %(units)s.") % {"test": test.name, "units": known}
    if held.sex not in ("", "F", "M"):
        yield "sex", _("Write F, M, or nothing for both.")
    if held.low is None and held.high is None:
        yield "low", _("Give a lower or an upper limit, or both.")
    elif None not in (held.low, held.high) and held.low >= held.high:
        yield "high", _("The upper limit must be above the lower one.")
    for name in ("low", "high"):
        bound = getattr(held, name)
        if bound is not None and (bound < 0 or -bound.as_tuple().exponent > 4 or bound >= 10**14):
            yield name, _("A limit is a number from 0, with at most 4 decimals.")
    for name in ("from_age", "to_age"):
        if not 0 <= (getattr(held, name) or 0) <= LONGEST_LIFE:
            yield name, _("An age is a whole number of years from 0 to %(most)d.") % {"most": LONGEST_LIFE}
    if None not in (held.from_age, held.to_age) and held.to_age < held.from_age:
        yield "to_age", _("The ages end before they begin.")
    if held.valid_to is not None and held.valid_to < held.valid_from:
        yield "valid_to", _("The range ends before it begins.")


def day_before(day: date) -> date:
    return day - timedelta(days=1)


# --- as a table of text ------------------------------------------------------------------------------

COLUMNS = ("test", "unit", "sex", "from_age", "to_age", "low", "high", "valid_from", "valid_to")
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,13})(\.[0-9]{1,4})?", re.ASCII)
_WHOLE = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_DAY = re.compile(r"(19[0-9]{2}|20[0-9]{2}|2100)-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True)
class BadCell:
    """What is wrong in a table: the row (the heading is row 1), the column and a sentence."""

    row: int
    column: str
    text: str


class BadTable(Exception):
    """A table that cannot be taken over, with all its bad cells."""

    def __init__(self, cells: list[BadCell]):
        self.cells = cells
        super().__init__("; ".join(f"row {cell.row}, {cell.column}: {cell.text}" for cell in cells))


def to_csv(ranges: Iterable) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for held in ranges:
        cells = [getattr(held, name) for name in COLUMNS]
        writer.writerow(
            "" if cell is None else _as_read(cell) if isinstance(cell, Decimal) else str(cell) for cell in cells
        )
    return text.getvalue()


def from_csv(text: str, tests: dict[str, Test]) -> list[tuple[int, Range]]:
    """The ranges of a table that was made elsewhere, with their rows, in its order. Columns may stand in any order, parted by commas,
    semicolons or tabs; a row is right by itself and contradicts no other. Raises BadTable with all faults."""
    first_line = text.removeprefix("\ufeff").split("\n", 1)[0]
    parted_by = next((mark for mark in "\t;" if mark in first_line), ",")
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=parted_by, strict=True)
    try:
        lines = [(reader.line_num, [cell.strip(" ") for cell in cells]) for cells in reader]
    except csv.Error:
        raise BadTable([BadCell(reader.line_num, _("(row)"), _("These are no cells parted by commas."))]) from None
    lines = [(row, cells) for row, cells in lines if any(cells)]
    if not lines:
        raise BadTable([BadCell(1, _("(heading)"), _("The first row names the columns: %s.") % ", ".join(COLUMNS))])
    (heading_row, heading), *rows = lines
    if sorted(heading) != sorted(COLUMNS):
        text = _("The first row names these columns, each once: %s.") % ", ".join(COLUMNS)
        raise BadTable([BadCell(heading_row, _("(heading)"), text)])
    if not rows:
        raise BadTable([BadCell(heading_row, _("(heading)"), _("There is no range below the heading."))])
    if len(rows) > MOST_ROWS:
        raise BadTable([BadCell(rows[MOST_ROWS][0], _("(row)"), _("At most %d ranges are read at once.") % MOST_ROWS)])
    faults, read = [], []
    for row, cells in rows:
        if len(cells) != len(heading):
            told = _("There are %(found)d cells and not %(expected)d.") % {
                "found": len(cells), "expected": len(heading),
            }  # fmt: skip
            faults.append(BadCell(row, _("(row)"), told))
            continue
        found, wrong = _range_of(dict(zip(heading, cells, strict=True)))
        if not wrong:
            wrong = list(faults_of(found, tests))
            read.append((row, found))
        faults += [BadCell(row, column, told) for column, told in wrong]
    faults += _contradictions(read)
    if faults:
        raise BadTable(sorted(faults, key=lambda cell: cell.row))
    return read


def _contradictions(read):
    """Row by row in the order of their first days, each held against those that have not ended by then: of one test,
    unit and sex there are only so many ages that do not contradict each other, so that this stays quick."""
    standing = {}
    for row, held in sorted(read, key=lambda one: (one[1].valid_from, one[0])):
        key = (held.test, held.unit, held.sex)
        lasting = [
            (number, one) for number, one in standing.get(key, ())
            if one.valid_to is None or one.valid_to >= held.valid_from
        ]  # fmt: skip
        other = next((number for number, one in lasting if contradict(held, one)), None)
        if other is None:
            lasting.append((row, held))
        else:
            yield BadCell(max(row, other), "valid_from", _("This overlaps with the range in row %d.") % min(row, other))
        standing[key] = lasting


def _range_of(cell_of):
    """(the range, what is wrong with its cells)."""
    wrong, values = [], {name: cell_of[name] for name in ("test", "unit", "sex")}
    for name in COLUMNS[3:]:
        cell = cell_of[name]
        kind = "age" if name.endswith("age") else "bound" if name in ("low", "high") else "day"
        try:
            values[name] = _READERS[kind](cell) if cell else None
        except ValueError:
            wrong.append((name, _EXPECTED[kind]() % {"found": cell[:40]}))
    if not cell_of["valid_from"]:
        wrong.append(("valid_from", _("Write the first day on which the range holds.")))
    return (None, wrong) if wrong else (Range(**values), [])


def _matching(pattern, make):
    def read(cell):
        if not pattern.fullmatch(cell):
            raise ValueError(cell)
        return make(cell)

    return read


_READERS = {
    "age": _matching(_WHOLE, int),
    "bound": _matching(_NUMBER, Decimal),
    "day": _matching(_DAY, date.fromisoformat),
}
_EXPECTED = {
    "age": lambda: _("“%(found)s” is no age: whole years, or nothing."),
    "bound": lambda: _("“%(found)s” is no limit: a plain number with a point and at most 4 decimals, or nothing."),
    "day": lambda: _("“%(found)s” is no day of the calendar: YYYY-MM-DD, or nothing."),
}

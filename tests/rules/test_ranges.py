"""Which reference range a result is held against, which ranges contradict one another, and tables of ranges."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.protocols import test_of
from visits.ranges import (
    COLUMNS,
    BadTable,
    Range,
    ages_text,
    contradict,
    faults_of,
    from_csv,
    held_against,
    holds_for,
    range_for,
    range_shown,
    range_text,
    to_csv,
)

HGB = test_of(
    code="HGB", name="Haemoglobin", unit="g/L", ucum="g/L", possible=(20, 250),
    reference=[{"low": 130, "high": 175, "sex": "M"}, {"low": 115, "high": 150, "sex": "F"}],
    units=[{"unit": "g/dL", "ucum": "g/dL", "factor": 10, "decimals": 1}],
)  # fmt: skip
PLAIN = test_of(code="PLAIN", name="Plain")
NOTE = test_of(code="NOTE", name="Note", kind="text")
TESTS = {"HGB": HGB, "PLAIN": PLAIN, "NOTE": NOTE}
FIRST, ON = date(2026, 1, 1), date(2026, 6, 15)


def of(pk, low, high, unit="g/L", **more):
    bounds = [None if bound is None else Decimal(bound) for bound in (low, high)]
    return Range("HGB", unit, **{"valid_from": FIRST, "low": bounds[0], "high": bounds[1], "pk": pk, **more})


ALL = of(1, 120, 170)
WOMEN = of(2, 110, 150, sex="F")
OLD = of(3, 115, 165, from_age=65)
OLD_WOMEN = of(4, 105, 145, sex="F", from_age=65)
VERY_OLD = of(5, 100, 160, from_age=65, to_age=90)
IN_G_DL = of(6, "12.1", "16.9", "g/dL")
ENDED = of(7, 90, 99, valid_to=date(2026, 6, 14))
LAST_DAY = of(8, 90, 99, valid_to=ON)
COMING = of(9, 90, 99, valid_from=ON + timedelta(days=1))
FIRST_DAY = of(10, 90, 99, valid_from=ON)
OTHER_TEST = replace(ALL, test="PLAIN", pk=11)


@pytest.mark.parametrize(
    ("ranges", "unit", "sex", "age", "winner"),
    [
        ([], "", "F", 40, None),
        ([ALL], "", "F", 40, 1),
        ([ALL, WOMEN], "", "F", 40, 2),
        ([ALL, WOMEN], "", "M", 40, 1),
        ([WOMEN], "", "M", 40, None),
        ([ALL, OLD], "", "M", 64, 1),
        ([ALL, OLD], "", "M", 65, 3),
        ([ALL, OLD, VERY_OLD], "", "M", 65, 5),
        ([ALL, OLD, VERY_OLD], "", "M", 90, 5),
        ([ALL, OLD, VERY_OLD], "", "M", 91, 3),
        ([ALL, OLD, WOMEN, OLD_WOMEN], "", "F", 70, 4),
        ([ALL, OLD, WOMEN], "", "F", 70, 2),  # the sex goes before the age
        ([ALL, IN_G_DL], "", "F", 40, 1),
        ([ALL, IN_G_DL], "g/dL", "F", 40, 6),  # the unit of the report goes first
        ([IN_G_DL], "", "F", 40, 6),
        ([ALL], "g/dL", "F", 40, 1),
        ([WOMEN, IN_G_DL], "g/dL", "F", 40, 6),
        ([ENDED], "", "F", 40, None),
        ([LAST_DAY], "", "F", 40, 8),
        ([COMING], "", "F", 40, None),
        ([FIRST_DAY], "", "F", 40, 10),
        ([OTHER_TEST], "", "F", 40, None),
    ],
)
def test_the_range_that_holds(ranges, unit, sex, age, winner):
    for order in (ranges, ranges[::-1]):
        found = range_for(order, HGB, unit, sex=sex, age=age, on=ON)
        assert (found and found.pk) == winner


@pytest.mark.parametrize(
    ("ranges", "unit", "held"),
    [
        # reference, low, high in the protocol's unit, as reported
        ([ALL], "", (1, "120", "170", "120", "170")),
        ([IN_G_DL], "g/dL", (6, "121", "169", "12.1", "16.9")),
        ([IN_G_DL], "", (6, "121", "169", "121", "169")),
        ([ALL], "g/dL", (1, "120", "170", "12", "17")),
        ([], "", (None, "130", "175", "130", "175")),
        ([], "g/dL", (None, "130", "175", "13", "17.5")),
        ([of(12, None, 170)], "g/dL", (12, None, "170", None, "17")),
    ],
)
def test_what_a_result_is_held_against(ranges, unit, held):
    found = held_against(ranges, HGB, unit, sex="M", age=40, on=ON)
    bounds = [None if bound is None else Decimal(bound) for bound in held[1:]]
    assert [found.reference, found.low, found.high, found.reported_low, found.reported_high] == [held[0], *bounds]


def test_where_nobody_gives_a_range_there_is_none():
    assert held_against([], PLAIN, sex="M", age=40, on=ON) is None
    assert held_against([], NOTE, sex="M", age=40, on=ON) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (ALL, replace(ALL, pk=20), True),
        (ALL, WOMEN, False),
        (ALL, IN_G_DL, False),
        (ALL, OTHER_TEST, False),
        (ALL, OLD, False),  # ages within ages: the narrower wins
        (of(1, 1, 2, from_age=18, to_age=60), of(2, 1, 2, from_age=60, to_age=80), True),
        (of(1, 1, 2, from_age=18, to_age=60), of(2, 1, 2, from_age=61, to_age=80), False),
        (of(1, 1, 2, to_age=60), of(2, 1, 2, from_age=18), True),
        (ENDED, FIRST_DAY, False),
        (LAST_DAY, FIRST_DAY, True),
        (LAST_DAY, COMING, False),
        (ALL, COMING, True),
    ],
)
def test_ranges_that_contradict_one_another(one, other, expected):
    assert contradict(one, other) is contradict(other, one) is expected


ages = st.none() | st.integers(0, 100)
days = st.dates(FIRST, date(2026, 1, 20))
made = st.builds(
    lambda sex, a, b, unit, first, length: Range(
        "HGB", unit, first, Decimal(1), Decimal(2), sex, min(a, b) if None not in (a, b) else a,
        max(a, b) if None not in (a, b) else b, None if length is None else first + timedelta(days=length),
    ),
    st.sampled_from(["", "F", "M"]), ages, ages, st.sampled_from(["g/L", "g/dL"]), days, st.none() | st.integers(0, 9),
)  # fmt: skip


@given(
    wanted=st.lists(made, max_size=12), sex=st.sampled_from("FM"), age=st.integers(0, 110), on=days,
    unit=st.sampled_from(["g/L", "g/dL"]),
)  # fmt: skip
def test_of_ranges_without_contradiction_one_wins_in_any_order(wanted, sex, age, on, unit):
    kept = []
    for one in wanted:
        if not any(contradict(one, other) for other in kept):
            kept.append(replace(one, pk=len(kept) + 1))
    winner = range_for(kept, HGB, unit, sex=sex, age=age, on=on)
    assert range_for(kept[::-1], HGB, unit, sex=sex, age=age, on=on) == winner
    assert (winner is None) == (not any(holds_for(one, sex=sex, age=age, on=on) for one in kept))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"test": "NONE"}, "test"), ({"test": "NOTE"}, "test"), ({"unit": "mg/dL"}, "unit"), ({"sex": "X"}, "sex"),
        ({"low": None, "high": None}, "low"), ({"low": Decimal(170)}, "high"), ({"low": Decimal(-1)}, "low"),
        ({"low": Decimal("1.00001")}, "low"), ({"from_age": 200}, "from_age"), ({"from_age": 5, "to_age": 4}, "to_age"),
        ({"valid_to": date(2025, 12, 31)}, "valid_to"),
    ],
)  # fmt: skip
def test_what_a_range_must_be(change, field):
    assert not list(faults_of(ALL, TESTS))
    assert [name for name, _text in faults_of(replace(ALL, **change), TESTS)] == [field]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [("115.0000", "150.0000", "115–150"), ("0.4000", "1.3000", "0.4–1.3"), (None, "5", "≤ 5"), ("40", None, "≥ 40"),
     (None, None, ""), ("100", "2000", "100–2000")],
)  # fmt: skip
def test_a_range_in_words(low, high, text):
    assert range_text(*(None if bound is None else Decimal(bound) for bound in (low, high))) == text


def test_the_range_beside_a_field_is_in_the_unit_of_the_field():
    assert range_shown(HGB, "g/dL", [ALL], sex="F", age=40, on=ON) == "12–17"
    assert range_shown(HGB, "", [], sex="F", age=40, on=ON) == "115–150"
    assert range_shown(PLAIN, "", [], sex="F", age=40, on=ON) == ""


def test_ages_in_words():
    assert [ages_text(held) for held in (ALL, OLD, VERY_OLD, of(1, 1, 2, to_age=17))] == [
        "", "from 65", "65–90", "up to 17",
    ]  # fmt: skip


# --- tables of text ---------------------------------------------------------------------------------------

HEADING = ",".join(COLUMNS)


def table(*rows):
    return "\n".join([HEADING, *rows])


def test_a_table_is_read_in_its_order_and_written_the_same():
    there = [ALL, WOMEN, replace(IN_G_DL, from_age=18, to_age=64, valid_to=ON)]
    read = from_csv(to_csv(there), TESTS)
    assert [row for row, _held in read] == [2, 3, 4]
    assert [held for _row, held in read] == [replace(held, pk=None) for held in there]


@pytest.mark.parametrize("mark", ["\t", ";", ","])
def test_a_table_may_come_from_a_spreadsheet(mark):
    text = "\ufeff" + to_csv([ALL]).replace(",", mark).replace("\n", "\r\n") + "\r\n"
    assert [held.low for _row, held in from_csv(text, TESTS)] == [Decimal(120)]


@pytest.mark.requirement("R60")
@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", [(1, "(heading)")]),
        ("test,unit", [(1, "(heading)")]),
        (HEADING, [(1, "(heading)")]),
        (HEADING + ",more", [(1, "(heading)")]),
        (table("HGB,g/L"), [(2, "(row)")]),
        (table('HGB,g/L,,,,1,2,2026-01-01,"'), [(2, "(row)")]),
        (table("HGX,g/L,,,,1,2,2026-01-01,"), [(2, "test")]),
        (table("HGB,mg/dL,,,,1,2,2026-01-01,"), [(2, "unit")]),
        (table("HGB,g/L,female,,,1,2,2026-01-01,"), [(2, "sex")]),
        (table("HGB,g/L,,x,-1,1,2,2026-01-01,"), [(2, "from_age"), (2, "to_age")]),
        (table("HGB,g/L,,,,1.00000,1E2,2026-01-01,"), [(2, "low"), (2, "high")]),
        (table("HGB,g/L,,,,１,2,2026-01-01,"), [(2, "low")]),
        (table("HGB,g/L,,,,,,2026-01-01,"), [(2, "low")]),
        (table("HGB,g/L,,,,2,1,2026-01-01,"), [(2, "high")]),
        (table("HGB,g/L,,,,1,2,,"), [(2, "valid_from")]),
        (table("HGB,g/L,,,,1,2,01/02/2026,2026-02-30"), [(2, "valid_from"), (2, "valid_to")]),
        (table("HGB,g/L,,,,1,2,2026-01-01,", "", "HGB,g/L,,,,1,3,2026-05-01,"), [(4, "valid_from")]),
        (table("HGB,g/L,,,,2,1,2026-01-01,", "HGX,g/L,,,,1,2,2026-01-01,"), [(2, "high"), (3, "test")]),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_with_every_bad_cell(text, cells):
    with pytest.raises(BadTable) as bad:
        from_csv(text, TESTS)
    assert [(cell.row, cell.column) for cell in bad.value.cells] == cells


@given(text=st.text(max_size=200) | st.text('HGB,g/L\n;\t1234.-"', max_size=120).map(lambda t: HEADING + "\n" + t))
def test_any_text_is_read_or_refused(text):
    try:
        assert from_csv(text, TESTS)
    except BadTable as bad:
        assert bad.cells

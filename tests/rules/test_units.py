"""What a number means that was reported in another unit than the protocol's."""

from decimal import Decimal
from fractions import Fraction

import pytest
from django.utils.translation import override
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.rules.protocols import test_of
from trialsite.protocol import Reference
from trialsite.ucum import is_ucum, unit_text
from visits.edit_checks.kinds import shown
from visits.results import NotAResult, flag, read_result
from visits.units import bounds_in, in_unit, rounded, standard_text, standardised, unit_of, units_of

CREATININE = test_of(
    name="Creatinine", unit="µmol/L", ucum="umol/L", possible=(10, 3000), plausible=(35, 150), operators=["<", ">"],
    units=[{"unit": "mg/dL", "ucum": "mg/dL", "factor": Decimal("88.4"), "decimals": 2}],
)  # fmt: skip
CELLS = test_of(
    name="Cells", unit="cells/µL", ucum="{cells}/uL", possible=(0, 5000),
    units=[{"unit": "10^9/L", "ucum": "10*9/L", "factor": 1000, "decimals": 3}],
)  # fmt: skip
NOTE = test_of(name="Note", kind="text")
MG_DL = unit_of(CREATININE, "mg/dL")


@pytest.mark.parametrize(
    ("test", "typed", "unit", "operator", "value"),
    [
        (CREATININE, "80", "", "", "80"),
        (CREATININE, "80", "µmol/L", "", "80"),
        (CREATININE, "1.2", "mg/dL", "", "106.08"),
        (CREATININE, "<0.20", "mg/dL", "<", "17.68"),
        (CELLS, "0.412", "10^9/L", "", "412"),
        (CELLS, "5", "10^9/L", "", "5000"),
    ],
)
def test_a_number_is_kept_as_typed_and_means_what_it_is_in_the_protocols_unit(test, typed, unit, operator, value):
    result = read_result(test, typed, unit)
    assert (result.typed, result.operator, result.value) == (typed, operator, Decimal(value))
    assert result.unit == ("" if unit in ("", test.unit) else unit)


@pytest.mark.requirement("R51")
@pytest.mark.parametrize(
    ("typed", "unit", "message"),
    [
        ("0.11", "mg/dL", "Creatinine can only be from 0.12 to 33.93 mg/dL."),
        ("33.94", "mg/dL", "Creatinine can only be from 0.12 to 33.93 mg/dL."),
        ("80", "mg/dL", "Creatinine can only be from 0.12 to 33.93 mg/dL."),
        ("1.234", "mg/dL", "Creatinine is given with at most 2 decimals; this has 3."),
        ("1.2", "", "Creatinine is given with no decimals; this has 1."),
        ("1,2", "mg/dL", "Creatinine must be a plain number, e.g. 1.04, with a point and not a comma."),
        ("1.2", "g/L", "Creatinine is not reported in this unit."),
        ("1.2", "MG/DL", "Creatinine is not reported in this unit."),
    ],
)
def test_a_refusal_speaks_in_the_unit_that_was_typed(typed, unit, message):
    with pytest.raises(NotAResult) as refused:
        read_result(CREATININE, typed, unit)
    assert str(refused.value) == message


def test_the_bounds_that_are_told_can_be_typed():
    for typed in ("0.12", "33.93"):
        assert read_result(CREATININE, typed, "mg/dL")


def test_the_protocols_own_unit_comes_first_and_a_text_has_none():
    assert [unit.unit for unit in units_of(CREATININE)] == ["µmol/L", "mg/dL"]
    assert units_of(NOTE) == ()


def test_bounds_are_rounded_inwards():
    assert bounds_in(CREATININE, "mg/dL", (Decimal(35), Decimal(150))) == (Decimal("0.40"), Decimal("1.69"))
    assert bounds_in(CREATININE, "", (Decimal(35), Decimal(150))) == (Decimal(35), Decimal(150))


@pytest.mark.parametrize(
    ("exact", "stored"), [("1.00005", "1.0000"), ("1.00015", "1.0002"), ("12", "12"), ("106.08", "106.08")]
)
def test_what_is_stored_has_four_decimals_and_halves_go_to_the_even_one(exact, stored):
    assert str(rounded(Decimal(exact))) == stored


@pytest.mark.parametrize(
    ("typed", "operator", "value", "unit", "shown"),
    [
        ("80", "", "80.0000", "µmol/L", "80"),
        ("1.2", "", "106.0800", "mg/dL", "106"),
        ("<0.2", "<", "17.6800", "mg/dL", "<18"),
        ("80", "", "80.0000", "", "80"),
    ],
)
def test_a_result_is_shown_in_the_protocols_unit(typed, operator, value, unit, shown):
    assert standard_text(CREATININE, typed, operator, Decimal(value), unit) == shown


numbers = st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=4)
factors = st.decimals(Decimal("0.0001"), 10**4, allow_nan=False, allow_infinity=False, places=5).filter(lambda f: f > 0)


@given(a=numbers, b=numbers, factor=factors)
def test_conversion_is_exact_and_keeps_the_order(a, b, factor):
    unit = MG_DL.model_copy(update={"factor": factor})
    x, y = standardised(a, unit), standardised(b, unit)
    assert Fraction(x) == Fraction(a) * Fraction(factor)
    assert (a < b) == (x < y) and (a == b) == (x == y)


@given(value=numbers, factor=factors)
def test_there_and_back_is_the_same_but_for_the_last_decimal(value, factor):
    unit = MG_DL.model_copy(update={"factor": factor})
    assert abs(Fraction(in_unit(standardised(value, unit), unit)) - Fraction(value)) <= Fraction(1, 20000)


@given(
    typed=st.decimals(Decimal("0.12"), Decimal("33.93"), places=2), low=st.integers(10, 200), width=st.integers(1, 99)
)
def test_the_flag_is_that_of_an_exact_comparison_in_the_protocols_unit(typed, low, width):
    result = read_result(CREATININE, str(typed), "mg/dL")
    value = Fraction(typed) * Fraction(884, 10)
    expected = "L" if value < low else "H" if value > low + width else ""
    assert flag(result, Reference(low=low, high=low + width)) == expected


@given(typed=st.decimals(Decimal("0.12"), Decimal("33.93"), places=2), bound=st.decimals(1, 30, places=2))
def test_the_flag_against_a_range_in_the_unit_of_the_report_is_that_of_the_two_numbers_as_written(typed, bound):
    assume(bound > 0)
    result = read_result(CREATININE, str(typed), "mg/dL")
    against = Reference(high=standardised(bound, MG_DL))
    assert flag(result, against) == ("H" if typed > bound else "")


@pytest.mark.parametrize(
    "code",
    ["mg/dL", "umol/L", "10*9/L", "10*3/uL", "{cells}/uL", "{copies}/mL", "%", "%{CD4}", "mm[Hg]", "Cel", "/min", "/uL",
     "U/L", "[iU]/mL", "meq/L", "mg/L{FEU}", "kg/m2", "mL/min/{1.73_m2}", "ug", "ng/mL", "10*-3", "k[IU]/L", "ukat/L",
     "mosm/kg", "cm", "kg", "d", "h"],
)  # fmt: skip
def test_units_of_laboratories_are_ucum(code):
    assert is_ucum(code)


@pytest.mark.parametrize(
    "text",
    ["", " ", "µmol/L", "mg/dl ", "mmHg", "10^9/L ", "cells/uL", "mg//dL", "mg/", "/", "mg dL", "MG/DL", "{cells", "mg/{ }",
     "°C", "10*9/ L", "xmol", "IU/mL", "copies/mL", "per cent", "mg/dL\n"],
)  # fmt: skip
def test_what_people_write_is_not_always_ucum(text):
    assert not is_ucum(text)


def test_a_share_is_told_in_the_language_of_the_reader_and_a_stored_sentence_with_it():
    test = test_of(name="Naive", unit="% of CD4", possible=(0, 100))
    said = shown(test, read_result(test, "52", ""))
    assert (unit_text("% of CD4"), str(said)) == ("% of CD4", "52 % of CD4")
    with override("zh-hans"):
        assert (unit_text("% of CD4"), str(said)) == ("%（占 CD4）", "52 %（占 CD4）")

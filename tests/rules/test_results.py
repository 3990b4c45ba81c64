"""What a typed result means, and what follows from it."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.protocols import test_of
from trialsite.protocol import Reference
from visits.results import NotAResult, Result, compute, flag, is_implausible, is_impossible, read_number, read_result

TEMPERATURE = test_of(name="Temperature", unit="°C", decimals=1, possible=(30, 45), plausible=(35, 39))
RNA = test_of(name="HIV RNA", unit="copies/mL", possible=(0, 10_000_000), operators=["<", ">"])
CHANGE = test_of(name="Base excess", unit="mmol/L", decimals=1, possible=(-50, 50))
RATIO = test_of(name="CD4/CD8", decimals=2, computed={"as": "ratio", "of": ("A", "B")}, possible=None)
SMEAR = test_of(
    name="Smear", kind="choice", choices=[{"code": "NEG", "label": "Negative"}, {"code": "POS", "label": "Positive"}]
)
NOTE = test_of(name="Description", kind="text")


def number(typed):
    operator = typed[0] if typed[0] in "<>" else ""
    return Result(typed, operator, Decimal(typed.removeprefix(operator).strip()), "")


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    ("test", "typed", "operator", "value"),
    [
        (TEMPERATURE, "36.6", "", "36.6"),
        (TEMPERATURE, "36", "", "36"),
        (TEMPERATURE, "36.0", "", "36.0"),
        (TEMPERATURE, "  36.6 ", "", "36.6"),
        (TEMPERATURE, "30", "", "30"),
        (TEMPERATURE, "45.0", "", "45.0"),
        (RNA, "0", "", "0"),
        (RNA, "10000000", "", "10000000"),
        (RNA, "<50", "<", "50"),
        (RNA, "< 50", "<", "50"),
        (RNA, ">100000", ">", "100000"),
        (CHANGE, "-2.5", "", "-2.5"),
        (CHANGE, "-0.5", "", "-0.5"),
    ],
)
def test_a_plain_number_is_read_and_kept_as_typed(test, typed, operator, value):
    result = read_result(test, typed)
    assert result == Result(typed.strip(" "), operator, Decimal(value), "")
    assert str(result.value) == value


NO_NUMBER = [
    "1_2_0", "7_0.5", "3_6", "1E2", "36e0", "36,6", "1.000,5", "1,000", "３６", "٣٦", "+36", ".5", "36.", "036", "007",
    "00", "-0", "-0.0", "NaN", "nan", "inf", "Infinity", "-inf", "3 6", "36 .6", "36. 6", "- 36", "--36",
    "36-", "36\u200b",
    "\u200b36", "\ufeff36", "\u00a036", "36\u00a0", "\t36", "36\n", "36\x00", "36°C", "36 C", "0x24", "1/2",
    "½", "３6", "−36",
    "=36", "≤36", "≥36", "~36", "<", "> ", "<<36", "<=36", "< >36", "36<", "<  36", "<\t36", "twelve",
    "36.6.6", "()", "'36",
    "1" * 31, "\u202e36",
]  # fmt: skip


@pytest.mark.requirement("R51")
@pytest.mark.parametrize("typed", NO_NUMBER)
@pytest.mark.parametrize("test", [TEMPERATURE, RNA, CHANGE], ids=lambda test: test.name)
def test_what_is_no_plain_number_is_refused(test, typed):
    with pytest.raises(NotAResult):
        read_result(test, typed)


@pytest.mark.requirement("R51")
@pytest.mark.parametrize(
    ("test", "typed", "message"),
    [
        (TEMPERATURE, "36,6", "Temperature must be a plain number, e.g. 37.0, with a point and not a comma."),
        (
            TEMPERATURE,
            "warm",
            "Temperature must be a plain number, e.g. 37.0: digits only, with a point before the decimals.",
        ),
        (RNA, "1E2", "HIV RNA must be a plain number, e.g. 12: digits only."),
        (RNA, "≤50", "HIV RNA must be a plain number, e.g. 12. Before it may stand < or >."),
        (TEMPERATURE, "~36", "Temperature must be a plain number, e.g. 37.0. No sign may stand before it."),
        (TEMPERATURE, "<36", 'Temperature cannot be given with "<". No sign may stand before it.'),
        (TEMPERATURE, "36.65", "Temperature is given with at most 1 decimal; this has 2."),
        (RNA, "49.5", "HIV RNA is given with no decimals; this has 1."),
        (RNA, "50.0", "HIV RNA is given with no decimals; this has 1."),
        (TEMPERATURE, "29.9", "Temperature can only be from 30 to 45 °C."),
        (TEMPERATURE, "45.1", "Temperature can only be from 30 to 45 °C."),
        (TEMPERATURE, "-36", "Temperature can only be from 30 to 45 °C."),
        (RNA, "<0", "HIV RNA can only be from 0 to 10000000 copies/mL."),
        (RNA, ">10000000", "HIV RNA can only be from 0 to 10000000 copies/mL."),
        (RNA, "1" * 31, "HIV RNA may have at most 30 characters; this has 31."),
        (RATIO, "0.5", "CD4/CD8 is computed from other results and cannot be typed."),
    ],
)
def test_a_refusal_says_why(test, typed, message):
    with pytest.raises(NotAResult) as refused:
        read_result(test, typed)
    assert str(refused.value) == message


@pytest.mark.parametrize("test", [TEMPERATURE, RNA, RATIO, SMEAR, NOTE], ids=lambda test: test.name)
def test_an_empty_field_is_blank(test):
    assert read_result(test, "") is None


@given(typed=st.text(max_size=40) | st.text("0123456789.-+<> ,eE_", max_size=12))
def test_any_text_is_read_or_refused_and_what_is_read_is_what_was_typed(typed):
    for test in (TEMPERATURE, RNA, CHANGE, SMEAR, NOTE):
        try:
            result = read_result(test, typed)
        except NotAResult as error:
            assert test.name in str(error)
            continue
        if result is None:
            assert not typed.strip()
        elif test.kind == "number":
            assert result.typed == typed.strip(" ")
            assert f"{result.value:f}" == result.typed.removeprefix(result.operator).removeprefix(" ")
        else:
            assert result.typed == result.text == typed


@given(value=st.decimals(-50, 50, places=1))
def test_every_number_within_the_bounds_can_be_typed(value):
    typed = f"{value:f}".removeprefix("-") if value == 0 else f"{value:f}"
    assert read_result(CHANGE, typed).value == value


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("<0.5", ("<", Decimal("0.5"))),
        ("95", ("", Decimal(95))),
        ("95 %", None),
        ("", None),
        ("1" * 30, ("", Decimal("1" * 30))),
    ],
)
def test_a_number_without_a_test_is_read_just_as_strictly(typed, expected):
    assert read_number(typed) == expected


# --- choices and texts ---------------------------------------------------------------------------


def test_a_choice_is_one_of_its_codes():
    assert read_result(SMEAR, "NEG") == Result("NEG", "", None, "NEG")


@pytest.mark.requirement("R51")
@pytest.mark.parametrize("typed", ["neg", "Negative", " NEG", "NEG ", "NEG\u200b", "NEG,POS", "0", " "])
def test_anything_else_is_no_choice(typed):
    with pytest.raises(NotAResult, match=r"^Smear must be one of: Negative, Positive\.$"):
        read_result(SMEAR, typed)


@pytest.mark.requirement("R53")
@pytest.mark.parametrize(
    "typed",
    ["Rash on both arms", " indented ", "36,6 °C; ≤ 2 cm", "左上肢皮疹", "Zahnärztin, naïve, Łódź", "e\u0301",
     "<b>bold</b>",
     "'; DROP TABLE", "=1+1", "🙂", "\ufe10", "x" * 500],
)  # fmt: skip
def test_a_text_is_kept_as_typed(typed):
    assert read_result(NOTE, typed) == Result(typed, "", None, typed)


@pytest.mark.parametrize("typed", [" ", "   ", "\t", "\u00a0", "\u3000", "\n"])
def test_a_text_of_blanks_is_blank(typed):
    assert read_result(NOTE, typed) is None


@pytest.mark.requirement("R51")
@pytest.mark.parametrize(
    "typed",
    ["\u200b", "a\u200bb", "a\u200db", "\ufeffa", "a\x00", "a\x07", "two\nlines", "a\r\nb", "a\tb", "a\u2028b",
     "a\u202eb",
     "\u3164", "a\u034fb", "\u2800", "a\ufe00", "a\ufe0f", "a\ud800", "a\ue000", "a\u00adb", "a\x85b"],
)  # fmt: skip
def test_a_text_with_characters_that_cannot_be_seen_is_refused(typed):
    with pytest.raises(NotAResult, match=r"^Description has characters that cannot be seen \(U\+[0-9A-F]{4}[,)]"):
        read_result(NOTE, typed)


def test_a_text_may_have_500_characters():
    with pytest.raises(NotAResult, match="at most 500 characters; this has 501"):
        read_result(NOTE, "x" * 501)


# --- flags and plausibility ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "low", "high", "expected"),
    [
        ("39", 40, 60, "L"),
        ("40", 40, 60, ""),
        ("60", 40, 60, ""),
        ("61", 40, 60, "H"),
        ("<40", 40, 60, "L"),  # below 40 for certain
        ("<50", 40, 60, ""),  # below 50 may be 45
        ("<20", 40, 60, "L"),
        ("<100", 40, 60, ""),
        (">60", 40, 60, "H"),
        (">50", 40, 60, ""),
        (">100", 40, 60, "H"),
        (">20", 40, 60, ""),
        ("1", None, 60, ""),
        ("61", None, 60, "H"),
        ("39", 40, None, "L"),
        ("999", 40, None, ""),
    ],
)
def test_a_result_is_low_high_or_neither(typed, low, high, expected):
    assert flag(number(typed), Reference(low=low, high=high)) == expected


def test_nothing_is_flagged_without_a_number_or_a_range():
    assert flag(None, Reference(low=40)) == ""
    assert flag(number("1"), None) == ""
    assert flag(Result("POS", "", None, "POS"), Reference(low=40)) == ""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("34.9", True), ("35", False), ("39.0", False), ("39.1", True), ("<35", False), ("<34", True), (">40", True)],
)
def test_a_number_outside_the_plausible_range_is_implausible(typed, expected):
    assert is_implausible(TEMPERATURE, number(typed)) is expected


def test_nothing_is_implausible_without_a_number_or_a_range():
    assert not is_implausible(TEMPERATURE, None)
    assert not is_implausible(RNA, number("9999999"))
    assert not is_implausible(NOTE, Result("x", "", None, "x"))


@pytest.mark.parametrize(("typed", "expected"), [("29", True), ("30", False), ("45", False), ("46", True)])
def test_a_number_that_could_not_be_typed_is_impossible(typed, expected):
    assert is_impossible(TEMPERATURE, number(typed)) is expected


def test_nothing_is_impossible_without_bounds():
    assert not is_impossible(RATIO, number("99"))
    assert not is_impossible(TEMPERATURE, None)


# --- computed values -----------------------------------------------------------------------------


def ratio(a, b, decimals=2):
    test = test_of(decimals=decimals, possible=None, computed={"as": "ratio", "of": ("A", "B")})
    return compute(test, {"A": a and number(a), "B": b and number(b)})


@pytest.mark.parametrize(
    ("a", "b", "decimals", "expected"),
    [
        ("183", "915", 2, "0.20"),
        ("1", "3", 2, "0.33"),
        ("2", "3", 2, "0.67"),
        ("1", "8", 2, "0.12"),  # half to even
        ("3", "8", 2, "0.38"),
        ("1", "2", 0, "0"),
        ("3", "2", 0, "2"),
        ("0", "5", 2, "0.00"),
        ("-1", "1000", 1, "0.0"),
        ("10000000", "1", 2, "10000000.00"),
    ],
)
def test_a_ratio_is_rounded_half_to_even(a, b, decimals, expected):
    assert ratio(a, b, decimals) == Result(expected, "", Decimal(expected), "")


@pytest.mark.parametrize(("a", "b"), [("1", "0"), ("0", "0"), (None, "2"), ("1", None), ("<1", "2"), ("1", ">2")])
def test_a_ratio_needs_two_exact_numbers_and_no_zero_below(a, b):
    assert ratio(a, b) is None


@pytest.mark.parametrize(
    ("cd4", "percent", "expected"),
    [("183", "30.5", "56"), ("250", "1.0", "2"), ("350", "1.0", "4"), ("183", "0", "0"), ("183", "100", "183"),
     ("<50", "10", None), ("183", None, None)],
)  # fmt: skip
def test_a_percentage_of_a_count(cd4, percent, expected):
    test = test_of(possible=None, computed={"as": "percent_of", "of": ("CD4", "P")})
    result = compute(test, {"CD4": number(cd4)} | ({"P": number(percent)} if percent else {}))
    assert (result and result.typed) == expected


@given(
    a=st.decimals(0, 10**9, places=4),
    b=st.decimals("0.0001", 10**9, places=4),
    decimals=st.integers(0, 4),
)
def test_a_ratio_is_the_nearest_number_with_so_many_decimals(a, b, decimals):
    a, b = abs(a), abs(b)
    found = ratio(f"{a:f}", f"{b:f}", decimals).value
    assert found == round(Fraction(a) / Fraction(b), decimals)
    assert -found.as_tuple().exponent == decimals

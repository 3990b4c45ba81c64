"""How much is infused, when an infusion is refused, when a lot fails, and what a record contradicts."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.protocols import product
from trialsite.protocol import Infusions
from visits.infusing import (
    dose_deviation_percent,
    infusion_problems,
    is_off_plan,
    lot_failures,
    planned_dose,
    problems_with_giving,
)

CELLS = product(per_kg=Decimal(500_000))
SALINE = product(absolute=Decimal(50), unit="mL")


def reasons_not_to_infuse(**known):
    return [str(problem.text) for problem in problems_with_giving(**known)]


# --- how much ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "weight", "dose"),
    [(CELLS, "60", "30000000"), (CELLS, "61.3", "30650000"), (CELLS, "60.05", "30025000"), (SALINE, "61.3", "50")],
)
def test_the_dose_is_per_kg_times_weight_or_absolute(what, weight, dose):
    assert planned_dose(what, Decimal(weight)) == Decimal(dose)


@given(per_kg=st.decimals("0.001", 10**12, places=3), weight=st.decimals("0.01", 999, places=2))
def test_the_dose_is_exact(per_kg, weight):
    found = planned_dose(product(per_kg=per_kg), weight)
    assert Fraction(found) == Fraction(per_kg) * Fraction(weight)


@pytest.mark.parametrize("weight", ["0", "-60"])
def test_there_is_no_dose_without_a_weight(weight):
    with pytest.raises(ValueError, match="weight"):
        planned_dose(CELLS, Decimal(weight))


@pytest.mark.parametrize(
    ("planned", "given", "percent", "is_off"),
    [
        ("30000000", "30000000", "0", False),
        ("30000000", "33000000", "10", False),
        ("30000000", "33000001", None, True),
        ("30000000", "27000000", "-10", False),
        ("30000000", "26999999", None, True),
        ("30000000", "15000000", "-50", True),
        ("30000000", "0", "-100", True),
    ],
)
def test_a_dose_further_off_than_10_percent_is_off_plan(planned, given, percent, is_off):
    planned, given = Decimal(planned), Decimal(given)
    assert is_off_plan(CELLS, planned, given) is is_off
    if percent:
        assert dose_deviation_percent(planned, given) == Decimal(percent)


# --- may it be given -----------------------------------------------------------------------------

TODAY = date(2026, 2, 12)
SECOND_INFUSION = {
    "is_randomised": True,
    "open_halts": [],
    "lot_state": "released",
    "lot_expires_on": date(2026, 3, 1),
    "on": TODAY,
    "lot_product": "UCMSC",
    "arm_product": "UCMSC",
    "previous_infusion_on": date(2026, 1, 15),
    "least_days_between": 25,
    "number": 2,
    "given_numbers": {1},
    "pregnancy_result": "NEG",
    "sex": "F",
}
FIRST_INFUSION = SECOND_INFUSION | {"number": 1, "given_numbers": set(), "previous_infusion_on": None}


def days_ago(days):
    return TODAY - timedelta(days=days)


@pytest.mark.parametrize(
    ("usual", "change", "reasons"),
    [
        pytest.param(FIRST_INFUSION, {}, [], id="first"),
        pytest.param(SECOND_INFUSION, {}, [], id="second"),
        pytest.param(FIRST_INFUSION, {"is_randomised": False, "arm_product": None},
        ["The patient is not randomised."],
                     id="not randomised"),
        pytest.param(SECOND_INFUSION, {"open_halts": ["two related deaths", "patient held"]},
                     ["Infusions are halted: two related deaths.", "Infusions are halted: patient held."],
                      id="halted"),
        pytest.param(SECOND_INFUSION, {"lot_state": None, "lot_product": None, "lot_expires_on": None},
                     ["No product lot has been chosen."], id="no lot"),
        pytest.param(SECOND_INFUSION, {"lot_state": "quarantined"},
                     ["The product lot is not released; it is in quarantine."], id="lot in quarantine"),
        pytest.param(SECOND_INFUSION, {"lot_state": "rejected"}, ["The product lot is not released; it is rejected."],
                     id="lot rejected"),
        pytest.param(SECOND_INFUSION, {"lot_expires_on": TODAY}, [], id="lot expires today"),
        pytest.param(SECOND_INFUSION, {"lot_expires_on": days_ago(1)}, ["The product lot expired on 2026-02-11."],
                     id="lot expired yesterday"),
        pytest.param(SECOND_INFUSION, {"lot_expires_on": None}, ["The product lot has no expiry date."],
                     id="no expiry"),
        pytest.param(SECOND_INFUSION, {"lot_product": "SALINE"},
                     ["The product lot is not of the product that this patient is to receive."], id="wrong product"),
        pytest.param(SECOND_INFUSION, {"previous_infusion_on": days_ago(25)}, [], id="25 days between"),
        pytest.param(SECOND_INFUSION, {"previous_infusion_on": days_ago(24)},
                     ["The previous infusion was 24 days before, on 2026-01-19; "
                      "at least 25 days must lie between infusions."], id="24 days between"),
        pytest.param(SECOND_INFUSION, {"previous_infusion_on": TODAY},
                     ["The previous infusion was 0 days before, on 2026-02-12; "
                      "at least 25 days must lie between infusions."], id="twice in one day"),
        pytest.param(SECOND_INFUSION, {"previous_infusion_on": days_ago(-1)},
                     ["The previous infusion was given later, on 2026-02-13."], id="previous is later"),
        pytest.param(SECOND_INFUSION, {"number": 1}, ["Infusion 1 has already been given."], id="given before"),
        pytest.param(SECOND_INFUSION, {"given_numbers": {1, 3}},
                     ["Infusion 3 has already been given; infusion 2 cannot follow it."], id="out of order"),
        pytest.param(SECOND_INFUSION, {"given_numbers": set(), "previous_infusion_on": None},
                     ["Infusion 1 has not been given; infusion 2 cannot come before it."], id="second before first"),
        pytest.param(SECOND_INFUSION, {"number": 3}, [], id="the second was skipped"),
        pytest.param(SECOND_INFUSION, {"pregnancy_result": None}, ["There is no pregnancy test for this infusion."],
                     id="woman without a test"),
        pytest.param(SECOND_INFUSION, {"pregnancy_result": "POS"}, ["The pregnancy test is not negative."],
                     id="pregnant"),
        pytest.param(SECOND_INFUSION, {"pregnancy_result": "INDETERMINATE"}, ["The pregnancy test is not negative."],
                     id="test not clear"),
        pytest.param(SECOND_INFUSION, {"pregnancy_result": ""}, [], id="protocol asks for no test"),
        pytest.param(SECOND_INFUSION, {"sex": "M", "pregnancy_result": None}, [], id="man"),
    ],
)  # fmt: skip
def test_reasons_not_to_infuse(usual, change, reasons):
    assert reasons_not_to_infuse(**(usual | change)) == reasons


def test_all_reasons_are_told_at_once_and_none_names_a_product():
    reasons = reasons_not_to_infuse(
        **SECOND_INFUSION
        | {"lot_product": "SALINE", "lot_state": "rejected", "lot_expires_on": days_ago(9), "pregnancy_result": "POS"}
    )
    assert len(reasons) == 4
    assert not any(name in reason for reason in reasons for name in ("UCMSC", "SALINE"))


# --- lots ----------------------------------------------------------------------------------------

RELEASED_BY_TESTS = product(
    per_kg=Decimal(500_000),
    release_tests=[
        {"code": "VIAB", "name": "Viability", "unit": "%", "above": 80},
        {"code": "NEGS", "name": "Other cells", "unit": "%", "below": 2},
        {"code": "ENDO", "name": "Endotoxin", "unit": "EU/kg", "at_most": 5},
        {"code": "STER", "name": "Sterility", "equals": "negative"},
    ],
)
GOOD_LOT = {"VIAB": "92.5", "NEGS": "1.2", "ENDO": "<0.5", "STER": "negative"}


@pytest.mark.parametrize(
    ("change", "failures"),
    [
        pytest.param({}, [], id="all pass"),
        pytest.param({"VIAB": " 92.5 "}, [], id="blanks around"),
        pytest.param({"VIAB": ""}, ["Viability has no result."], id="blank"),
        pytest.param({"VIAB": "80"}, ["Viability is 80 %; it must be > 80 %."], id="at the limit that must be passed"),
        pytest.param({"VIAB": "80.1"}, [], id="just above"),
        pytest.param({"NEGS": "2"}, ["Other cells is 2 %; it must be < 2 %."], id="at the upper limit"),
        pytest.param({"NEGS": "<2"}, [], id="below the upper limit for certain"),
        pytest.param({"ENDO": "5"}, [], id="at most 5"),
        pytest.param({"ENDO": "<10"}, ["Endotoxin is <10 EU/kg; it must be ≤ 5 EU/kg."], id="not certain"),
        pytest.param({"ENDO": "0,5"}, ["Endotoxin: '0,5' is not a number; it must be ≤ 5 EU/kg."], id="comma"),
        pytest.param({"STER": "positive"}, ["Sterility is positive; it must be negative."], id="not sterile"),
        pytest.param({"STER": "Negative"}, ["Sterility is Negative; it must be negative."], id="another word"),
        pytest.param({"STER": "0"}, ["Sterility is 0; it must be negative."], id="a number for a word"),
    ],
)
def test_the_release_tests_that_a_lot_fails(change, failures):
    assert lot_failures(RELEASED_BY_TESTS, GOOD_LOT | change) == failures


def test_a_lot_without_results_fails_every_release_test():
    assert len(lot_failures(RELEASED_BY_TESTS, {})) == 4
    assert lot_failures(SALINE, {}) == []


# --- does the record fit together ----------------------------------------------------------------

INFUSIONS = Infusions(
    count=3, route="intravenous", volume_ml=(Decimal(50), Decimal(100)), least_days_between=25,
    monitoring_minutes=(0, 15, 30), monitoring_tests=(), reaction_window_days=7, weight_test="WEIGHT",
)  # fmt: skip


def at(clock):
    hours, minutes = clock.split(":")
    return datetime(2026, 2, 12, int(hours), int(minutes), tzinfo=UTC)


def problems(interruptions=(), **change):
    record = {
        "product": CELLS,
        "planned": Decimal(30_000_000),
        "given": Decimal(30_000_000),
        "volume_ml": Decimal(50),
        "started_at": at("10:00"),
        "stopped_at": at("11:00"),
        "interruptions": [(at(halted), resumed and at(resumed)) for halted, resumed in interruptions],
        "monitored_minutes": {0, 15, 30},
        "now": at("12:00"),
    }
    return infusion_problems(INFUSIONS, **(record | change))


def codes(*args, **kwargs):
    return [(problem.code, problem.hard) for problem in problems(*args, **kwargs)]


@pytest.mark.parametrize(
    ("interruptions", "change", "expected"),
    [
        pytest.param([], {}, [], id="all well"),
        pytest.param([], {"stopped_at": at("10:00")}, [("stop_before_start", True)], id="no time between"),
        pytest.param([], {"stopped_at": at("09:59")}, [("stop_before_start", True)], id="stop before start"),
        pytest.param([], {"now": at("10:59")}, [("future", True)], id="stops in the future"),
        pytest.param([], {"now": at("11:00")}, [], id="stops now"),
        pytest.param([("10:10", "10:20"), ("10:20", "10:30")], {}, [], id="two interruptions"),
        pytest.param([("10:20", "10:30"), ("10:10", "10:20")], {}, [], id="in any order"),
        pytest.param([("10:00", "11:00")], {}, [], id="from start to stop"),
        pytest.param([("09:59", "10:20")], {}, [("interruption_outside", True)], id="begins before the start"),
        pytest.param([("10:50", "11:01")], {}, [("interruption_outside", True)], id="ends after the stop"),
        pytest.param([("11:01", None)], {}, [("interruption_outside", True)], id="begins after the stop"),
        pytest.param([("10:20", "10:20")], {}, [("interruption_order", True)], id="of no length"),
        pytest.param([("10:20", "10:10")], {}, [("interruption_order", True)], id="ends before it begins"),
        pytest.param([("10:10", "10:30"), ("10:20", "10:40")], {}, [("interruption_overlap", True)], id="overlap"),
        pytest.param([("10:00", "10:30"), ("10:00", "10:40")], {}, [("interruption_overlap", True)],
                     id="both at the start"),
        pytest.param([("10:10", "10:50"), ("10:20", "10:30"), ("10:40", "10:45")], {},
                     [("interruption_overlap", True), ("interruption_overlap", True)], id="one inside another"),
        pytest.param([("10:20", None)], {}, [("interruption_open", True)], id="no end, yet it went on"),
        pytest.param([("11:00", None)], {}, [], id="broken off"),
        pytest.param([], {"given": Decimal(15_000_000)}, [("dose_off_plan", False)], id="half the dose"),
        pytest.param([], {"volume_ml": Decimal("49.9")}, [("volume", False)], id="too little volume"),
        pytest.param([], {"volume_ml": Decimal(100)}, [], id="greatest volume"),
        pytest.param([], {"volume_ml": Decimal("100.1")}, [("volume", False)], id="too much volume"),
        pytest.param([], {"monitored_minutes": {0, 30, 60}}, [("monitoring", False)], id="15 minutes are missing"),
        pytest.param([], {"monitored_minutes": set()}, [("monitoring", False)], id="never watched, told once"),
    ],
)  # fmt: skip
def test_what_does_not_fit_in_an_infusion(interruptions, change, expected):
    assert codes(interruptions, **change) == expected


def test_what_does_not_fit_is_told_in_words():
    found = problems([("09:50", "10:05")], given=Decimal(15_000_000), monitored_minutes={0, 15}, volume_ml=Decimal(20))
    assert [str(problem.text) for problem in found] == [
        "The interruption at 09:50 UTC is not between start and stop.",
        "The given dose differs from the planned one by -50.0 %; up to 10 % is tolerated.",
        "The volume of 20 mL is not from 50 to 100 mL.",
        "The vital signs at 30 minutes are missing.",
    ]

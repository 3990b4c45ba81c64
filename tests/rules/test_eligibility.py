"""Whether an eligibility criterion holds: limits, windows, evidence, compound rules, ages and months."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.eligibility import (
    Evidence,
    Months,
    age_on,
    assess,
    kleene_all,
    kleene_any,
    meets,
    possible_days,
    unmet_criteria,
    whole_months_between,
)
from tests.rules.protocols import protocol
from trialsite.protocol import Limit

TODAY = date(2026, 1, 15)
YES_NO = [{"code": "NEG", "label": "Negative"}, {"code": "POS", "label": "Positive"}]


def number(code, name, unit):
    return {"code": code, "name": name, "unit": unit, "possible": (0, 10_000_000)}


def yes_no(code, name):
    return {"code": code, "name": name, "kind": "choice", "choices": YES_NO}


POSITIVE = {"equals": "POS"}
ANY_HEPATITIS = [{"test": code, **POSITIVE} for code in ("HAV", "HDV", "HEV")]
PILOT = protocol(
    tests=[
        number("CD4", "CD4", "cells/µL"),
        number("RNA", "HIV RNA", "copies/mL"),
        number("ALT", "ALT", "U/L"),
        number("WBC", "WBC", "10⁹/L"),
        number("PLT", "Platelets", "10⁹/L"),
        yes_no("HCV", "HCV RNA"),
        yes_no("HAV", "Anti-HAV"),
        yes_no("HDV", "Anti-HDV"),
        yes_no("HEV", "Anti-HEV"),
    ],
    panels=[{"code": "P", "name": "Panel", "tests": ["CD4"]}],
    eligibility={
        "inclusion": [
            {"code": "I1", "text": "HIV infected"},
            {"code": "AGE", "text": "18 to 65", "rule": {"fact": "age_years", "at_least": 18, "at_most": 65}},
            {"code": "I2", "text": "ART >= 24 months", "rule": {"fact": "art_months", "at_least": 24}},
            {"code": "I3", "text": "CD4", "rule": {"test": "CD4", "above": 50, "at_most": 250, "within_days": 30}},
            {"code": "I4", "text": "RNA", "rule": {"test": "RNA", "at_most": 50, "within_days": 30}},
        ],
        "exclusion": [
            {"code": "E1", "text": "hepatitis", "rule": {"any": [
                {"test": "HCV", **POSITIVE}, {"all": [{"any": ANY_HEPATITIS}, {"test": "ALT", "above": 80}]}]}},
            {"code": "E3", "text": "blood", "rule": {"any": [
                {"test": "WBC", "below": Decimal("2.5")}, {"test": "PLT", "below": 50}]}},
            {"code": "E4", "text": "pregnant", "only_for_sex": "F"},
        ],
    },
)  # fmt: skip


def result(test, typed, *, days_ago=0):
    operator = typed[0] if typed[0] in "<>" else ""
    is_number = typed[-1].isdigit()
    value = Decimal(typed.removeprefix(operator)) if is_number else None
    return Evidence(test, operator, value, "" if is_number else typed, TODAY - timedelta(days=days_ago), "visit SCR")


def finding(code, *evidence, sex="M", **facts):
    results = {}
    for piece in evidence:
        results.setdefault(piece.test, []).append(piece)
    findings = assess(PILOT, sex=sex, facts=facts, results=results, on=TODAY)
    return next(finding for finding in findings if finding.criterion.code == code)


# --- one limit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "value", "operator", "expected"),
    [
        ({"above": 50}, "50", "", False),
        ({"above": 50}, "50.1", "", True),
        ({"at_least": 50}, "49.9", "", False),
        ({"at_least": 50}, "50", "", True),
        ({"below": 50}, "50", "", False),
        ({"below": 50}, "49.9", "", True),
        ({"at_most": 50}, "50", "", True),
        ({"at_most": 50}, "50.1", "", False),
        # "<v" is something below v
        ({"above": 50}, "50", "<", False),
        ({"above": 50}, "51", "<", None),
        ({"at_least": 50}, "50", "<", False),
        ({"at_least": 50}, "51", "<", None),
        ({"below": 50}, "50", "<", True),
        ({"below": 50}, "51", "<", None),
        ({"at_most": 50}, "50", "<", True),
        ({"at_most": 50}, "51", "<", None),
        ({"at_most": 40}, "50", "<", None),
        # ">v" is something above v
        ({"above": 50}, "50", ">", True),
        ({"above": 50}, "49", ">", None),
        ({"at_least": 50}, "50", ">", True),
        ({"at_least": 50}, "49", ">", None),
        ({"below": 50}, "50", ">", False),
        ({"below": 50}, "49", ">", None),
        ({"at_most": 50}, "50", ">", False),
        ({"at_most": 50}, "49", ">", None),
        # two bounds
        ({"above": 50, "at_most": 250}, "100", "", True),
        ({"above": 50, "at_most": 250}, "60", "<", None),
        ({"above": 50, "at_most": 250}, "300", ">", False),
        ({"above": 50, "at_most": 250}, "100", ">", None),
    ],
)
def test_a_number_keeps_a_limit_breaks_it_or_does_not_decide(limit, value, operator, expected):
    assert meets(Limit(**limit), Decimal(value), operator) is expected


@pytest.mark.parametrize(
    ("value", "operator", "expected"),
    [("negative", "", True), ("positive", "", False), ("Negative", "", False), ("", "", None), (None, "", None),
     (Decimal(3), "", False)],
)  # fmt: skip
def test_a_word_must_be_equal(value, operator, expected):
    assert meets(Limit(equals="negative"), value, operator) is expected


@pytest.mark.parametrize(
    ("value", "operator", "expected"),
    [("3", "", True), ("3.0", "", True), ("4", "", False), ("3", "<", False), ("4", "<", None), ("3", ">", False),
     ("2", ">", None)],
)  # fmt: skip
def test_a_number_equals_a_number_however_it_is_written(value, operator, expected):
    assert meets(Limit(equals="3"), Decimal(value), operator) is expected


@pytest.mark.parametrize("value", ["much", "", None])
def test_a_word_does_not_decide_a_limit_on_numbers(value):
    assert meets(Limit(above=50), value) is None


@given(
    operator=st.sampled_from(["<", ">"]),
    typed=st.integers(0, 100),
    limit=st.sampled_from(["above", "at_least", "below", "at_most"]),
    bound=st.integers(0, 100),
    tenths=st.integers(1, 2000),
)
def test_what_is_certain_of_a_bounded_result_is_true_of_every_value_it_can_mean(operator, typed, limit, bound, tenths):
    limit = Limit(**{limit: bound})
    certain = meets(limit, Decimal(typed), operator)
    meant = Decimal(typed) + (Decimal(tenths) / 10) * (-1 if operator == "<" else 1)
    assert certain is None or meets(limit, meant) is certain


@pytest.mark.parametrize(("a", "b"), list(product([True, None, False], repeat=2)))
def test_any_and_all_follow_kleene(a, b):
    order = {False: 0, None: 1, True: 2}
    assert kleene_all([a, b]) is min(a, b, key=order.get)
    assert kleene_any([a, b]) is max(a, b, key=order.get)


# --- the pilot's criteria ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("50", False), ("50.1", True), ("51", True), ("250", True), ("250.1", False), ("251", False), ("<50", False),
     ("<200", None), (">250", False), (">100", None)],
)  # fmt: skip
def test_i3_cd4_above_50_and_at_most_250(typed, expected):
    assert finding("I3", result("CD4", typed)).holds is expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("<20", True),
        ("<50", True),
        ("49", True),
        ("50", True),
        ("51", False),
        ("<51", None),
        ("<400", None),
        (">50", False),
    ],
)
def test_i4_hiv_rna_at_most_50(typed, expected):
    assert finding("I4", result("RNA", typed)).holds is expected


@pytest.mark.parametrize(
    ("days_ago", "expected"),
    [(0, True), (1, True), (30, True), (31, None), (400, None), (-1, None)],
)
def test_a_result_counts_up_to_30_days_back_and_never_from_the_future(days_ago, expected):
    assert finding("I3", result("CD4", "183", days_ago=days_ago)).holds is expected


def test_without_a_window_an_old_result_counts():
    assert finding("E3", result("WBC", "2.4", days_ago=4000)).holds is True


@pytest.mark.parametrize(("years", "expected"), [(17, False), (18, True), (65, True), (66, False), (None, None)])
def test_age_from_18_to_65(years, expected):
    facts = {} if years is None else {"age_years": years}
    assert finding("AGE", **facts).holds is expected


@pytest.mark.parametrize(("months", "expected"), [(23, False), (24, True), (Decimal("24"), True), (None, None)])
def test_i2_24_months_of_therapy(months, expected):
    facts = {} if months is None else {"art_months": months}
    assert finding("I2", **facts).holds is expected


def test_a_criterion_without_a_rule_is_left_to_a_person():
    found = finding("I1")
    assert (found.holds, str(found.because), found.evidence) == (None, "judged by a person", ())


E1 = [
    # HCV,  HAV,   HDV,   HEV,   ALT,  holds
    ("POS", None, None, None, None, True),
    ("POS", "NEG", "NEG", "NEG", "20", True),
    ("NEG", "NEG", "NEG", "NEG", "200", False),
    ("NEG", "POS", "NEG", "NEG", "80", False),
    ("NEG", "POS", "NEG", "NEG", "81", True),
    ("NEG", "NEG", "POS", None, "81", True),
    ("NEG", "NEG", "NEG", "POS", "81", True),
    ("NEG", None, None, None, "80", False),  # whichever they are, ALT is not raised
    ("NEG", "POS", None, None, None, None),
    ("NEG", None, "NEG", "NEG", "81", None),
    ("NEG", "NEG", "NEG", "NEG", None, False),
    (None, "NEG", "NEG", "NEG", "20", None),
    (None, "POS", "NEG", "NEG", ">80", True),
    ("NEG", "POS", "NEG", "NEG", "<100", None),
    (None, None, None, None, None, None),
]


@pytest.mark.parametrize(("hcv", "hav", "hdv", "hev", "alt", "expected"), E1)
def test_e1_hcv_or_another_hepatitis_with_raised_alt(hcv, hav, hdv, hev, alt, expected):
    typed = {"HCV": hcv, "HAV": hav, "HDV": hdv, "HEV": hev, "ALT": alt}
    assert finding("E1", *(result(test, value) for test, value in typed.items() if value)).holds is expected


@pytest.mark.parametrize(
    ("wbc", "platelets", "expected"),
    [("2.4", "200", True), ("2.5", "200", False), ("5", "49", True), ("5", "50", False), ("5", None, None),
     ("2.4", None, True), (None, None, None), ("<2.5", None, True), ("5", "<50", True)],
)  # fmt: skip
def test_e3_few_white_cells_or_platelets(wbc, platelets, expected):
    typed = {"WBC": wbc, "PLT": platelets}
    assert finding("E3", *(result(test, value) for test, value in typed.items() if value)).holds is expected


# --- which result decides, and what is said ------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "holds", "because"),
    [
        pytest.param([("183", 12)], True,
                     "CD4 183 cells/µL on 2026-01-03 (12 days before) is > 50 and ≤ 250", id="holds"),
        pytest.param([("300", 0)], False,
                     "CD4 300 cells/µL on 2026-01-15 (the same day) is not ≤ 250", id="names the bound that fails"),
        pytest.param([("<60", 1)], None,
                     "CD4 <60 cells/µL on 2026-01-14 (1 day before) does not decide > 50", id="does not decide"),
        pytest.param([("300", 20), ("183", 12)], True,
                     "CD4 183 cells/µL on 2026-01-03 (12 days before) is > 50 and ≤ 250, "
                     "but 300 cells/µL on 2025-12-26 (20 days before) says otherwise", id="the newest decides"),
        pytest.param([("40", 30), ("183", 0)], True,
                     "CD4 183 cells/µL on 2026-01-15 (the same day) is > 50 and ≤ 250, "
                     "but 40 cells/µL on 2025-12-16 (30 days before) says otherwise", id="just young enough to object"),
        pytest.param([("300", 40), ("183", 12)], True,
                     "CD4 183 cells/µL on 2026-01-03 (12 days before) is > 50 and ≤ 250", id="too old to object"),
        pytest.param([("183", 12), ("300", -3)], True,
                     "CD4 183 cells/µL on 2026-01-03 (12 days before) is > 50 and ≤ 250", id="later ones do not count"),
        pytest.param([("183", 31)], None,
                     "CD4 183 cells/µL on 2025-12-15 (31 days before) is too old: at most 30 days count", id="too old"),
        pytest.param([("183", 0), ("300", 0)], None,
                     "CD4 183 cells/µL on 2026-01-15 (the same day) and 300 cells/µL on 2026-01-15 (the same day) "
                     "disagree: a person must judge", id="two of one day disagree"),
        pytest.param([("183", 0), ("190", 0)], True,
                     "CD4 190 cells/µL on 2026-01-15 (the same day) is > 50 and ≤ 250", id="two of one day agree"),
        pytest.param([("183.0000", 0)], True,
                     "CD4 183 cells/µL on 2026-01-15 (the same day) is > 50 and ≤ 250", id="zeros of a database"),
        pytest.param([("200.0000", 0)], True,
                     "CD4 200 cells/µL on 2026-01-15 (the same day) is > 50 and ≤ 250", id="zeros of the number"),
        pytest.param([], None, "there is no result of CD4 up to 2026-01-15", id="none"),
    ],
)  # fmt: skip
def test_the_finding_says_in_a_sentence_what_decides(results, holds, because):
    found = finding("I3", *(result("CD4", typed, days_ago=days) for typed, days in results))
    assert (found.holds, str(found.because)) == (holds, because)


def test_the_evidence_of_a_finding_is_what_decides():
    new, old = result("CD4", "183", days_ago=1), result("CD4", "190", days_ago=5)
    assert finding("I3", old, new).evidence == (new,)
    assert finding("I3", new, old).evidence == (new,)
    positive, negative = result("HCV", "POS"), result("ALT", "20")
    found = finding("E1", positive, negative)
    assert found.evidence == (positive,)
    assert str(found.because) == "HCV RNA Positive on 2026-01-15 (the same day) is Positive"


def test_a_fact_is_put_in_a_sentence():
    assert str(finding("AGE", age_years=17).because) == "age 17 years is not ≥ 18"
    assert str(finding("I2", art_months=24).because) == "time on antiretroviral therapy 24 months is ≥ 24"
    assert str(finding("I2").because) == "time on antiretroviral therapy is not known"


def test_each_criterion_of_this_sex_has_one_finding_in_the_protocols_order():
    def codes(sex):
        return [f.criterion.code for f in assess(PILOT, sex=sex, facts={}, results={}, on=TODAY)]

    assert codes("F") == ["I1", "AGE", "I2", "I3", "I4", "E1", "E3", "E4"]
    assert codes("M") == ["I1", "AGE", "I2", "I3", "I4", "E1", "E3"]


# --- unmet criteria ------------------------------------------------------------------------------

GOOD = {"I1": True, "AGE": True, "I2": True, "I3": True, "I4": True, "E1": False, "E3": False, "E4": False}


@pytest.mark.parametrize(
    ("sex", "changes", "unmet"),
    [
        pytest.param("F", {}, [], id="all well"),
        pytest.param("F", {"I3": False}, ["I3"], id="an inclusion is false"),
        pytest.param("F", {"I3": None}, ["I3"], id="an inclusion is open"),
        pytest.param("F", {"E1": True}, ["E1"], id="an exclusion is true"),
        pytest.param("F", {"E1": None}, ["E1"], id="an exclusion is open"),
        pytest.param("F", {"E4": None}, ["E4"], id="a woman's criterion is open"),
        pytest.param("M", {"E4": None}, [], id="a woman's criterion does not ask a man"),
        pytest.param("F", {"E3": True, "I1": None}, ["I1", "E3"], id="in the protocol's order"),
    ],
)
def test_unmet_criteria(sex, changes, unmet):
    assert [c.code for c in unmet_criteria(PILOT, sex=sex, answers=GOOD | changes)] == unmet


def test_no_answers_meet_no_criterion():
    assert len(unmet_criteria(PILOT, sex="F", answers={})) == 8


# --- ages and months -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("born", "on", "age"),
    [
        ("2008-01-16", "2026-01-15", 17),
        ("2008-01-15", "2026-01-15", 18),
        ("1960-01-16", "2026-01-15", 65),
        ("1960-01-15", "2026-01-15", 66),
        ("2008-02-29", "2026-02-28", 17),
        ("2008-02-29", "2026-03-01", 18),
        ("2008-02-29", "2028-02-29", 20),
        ("2026-01-15", "2026-01-15", 0),
        ("2026-01-16", "2026-01-15", -1),
    ],
)
def test_age_is_in_whole_years(born, on, age):
    assert age_on(date.fromisoformat(born), date.fromisoformat(on)) == age


@pytest.mark.parametrize(
    ("start", "on", "fewest", "most"),
    [
        ("2024-01-15", "2026-01-15", 24, 24),
        ("2024-01-16", "2026-01-15", 23, 23),
        ("2024-01", "2026-01-15", 23, 24),  # 31 to 1 January
        ("2024-01", "2026-01-31", 24, 24),
        ("2023", "2026-01-15", 24, 36),  # 31 December to 1 January
        ("2024", "2026-01-15", 12, 24),
        ("2026", "2026-03-10", 0, 2),  # not later than the day itself
        ("2026-03", "2026-03-10", 0, 0),
        ("2027", "2026-03-10", 0, 0),
        ("2024-02", "2026-02-28", 23, 24),  # 29 February 2024 is 24 months back on 1 March
        ("2024-01-31", "2024-02-29", 0, 0),
        ("2024-01-31", "2024-03-01", 1, 1),
    ],
)
def test_months_since_an_incomplete_date_are_a_range(start, on, fewest, most):
    assert whole_months_between(start, date.fromisoformat(on)) == Months(fewest, most)


def test_months_since_a_full_date_may_be_asked_with_a_date():
    assert whole_months_between(date(2024, 1, 15), date(2026, 1, 15)) == (24, 24)


@given(start=st.dates(date(1950, 1, 1), date(2030, 12, 31)), on=st.dates(date(1950, 1, 1), date(2030, 12, 31)))
def test_the_less_is_known_of_a_date_the_wider_is_the_range(start, on):
    day, month, year = (whole_months_between(text, on) for text in (f"{start}", f"{start:%Y-%m}", f"{start:%Y}"))
    assert year.fewest <= month.fewest <= day.fewest == day.most <= month.most <= year.most


@pytest.mark.parametrize(
    "text",
    [
        "",
        "19",
        "2019-5",
        "2019-13",
        "2019-00",
        "2019-02-30",
        "2019-05-00",
        "0000",
        "2019-",
        "２０１９",
        "2019-05-14 ",
        "today",
    ],
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        possible_days(text)

"""Grades: golden vectors of DAIDS 2.1 (corrected, July 2017), its traps, and what holds of every row of a scale."""

import csv
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.dictionary import FILE
from tests.rules.protocols import protocol, test_of
from trialsite import scales
from trialsite.protocol import load
from trialsite.protocol.plans import GradingPlan
from visits.grading import (
    Reading,
    Ungraded,
    baseline_grade,
    event_rows,
    facts_for,
    grade_of,
    grade_result,
    grades_to_choose,
    is_before_treatment,
)
from visits.results import read_result

DAIDS = scales.scale("daids-2.1")
CTCAE = scales.scale("ctcae-5.0")
ULN = {"high": Decimal(40)}


def D(number):
    return None if number is None else Decimal(str(number))


def grade(rows, value, unit="", *, sex="M", age=40, facts=None, operator="", **more):
    rows = [DAIDS.row(row) for row in rows.split()]
    reading = Reading(
        operator, D(value), ucum=unit, factors=((unit, Decimal(1)),), **{name: D(limit) for name, limit in more.items()}
    )
    return grade_of(rows, reading, sex=sex, age=age, facts=facts or {})


CREATININE = "creatinine_high"
FASTING = {"facts": {"fasting": True}}
GOLDEN = [
    ("alt_high", "49.9", "U/L", ULN, 0),
    ("alt_high", "50", "U/L", ULN, 1),
    ("alt_high", "100", "U/L", ULN, 2),
    ("alt_high", "200", "U/L", ULN, 3),
    ("alt_high", "400", "U/L", ULN, 4),
    ("bilirubin_high", "26", "umol/L", {"high": 10}, 3),
    (CREATININE, "35", "umol/L", {"high": 10, "baseline": 34}, 4),
    (CREATININE, "10", "umol/L", {"high": 10, "baseline": 5}, 4),
    (CREATININE, "19", "umol/L", {"high": 10, "baseline": 20}, 3),
    (CREATININE, "7.5", "umol/L", {"high": 10, "baseline": 5}, 3),
    (CREATININE, "9", "umol/L", {"high": 10, "baseline": 5}, 3),
    (CREATININE, "18", "umol/L", {"high": 10, "baseline": 34}, 2),
    (CREATININE, "6.5", "umol/L", {"high": 10, "baseline": 5}, 2),
    (CREATININE, "13", "umol/L", {"high": 10, "baseline": 34}, 1),
    (CREATININE, "10", "umol/L", {"high": 10, "baseline": 20}, 0),
    (CREATININE, "10", "umol/L", {"baseline": 20}, None),  # grades 1 and 0 need the limit
    (CREATININE, "10", "umol/L", {"baseline": 5}, 4),  # grades 2 to 4 can come from the baseline alone
    (CREATININE, "9", "umol/L", {"high": 10}, 0),  # before there is a baseline
    ("glucose_fasting_high", "125", "mg/dL", FASTING, 1),
    ("glucose_fasting_high", "6.95", "mmol/L", FASTING, 2),
    ("glucose_fasting_high", "500", "mg/dL", FASTING, 4),
    ("glucose_nonfasting_high", "160", "mg/dL", {"facts": {"fasting": False}}, 1),
    ("albumin_low", "19", "g/L", {"low": 40}, 3),
    ("albumin_low", "35", "g/L", {"low": 40}, 1),
    ("albumin_low", "35", "g/L", {}, None),
    ("albumin_low", "29", "g/L", {}, 2),
    ("haemoglobin_low_male", "10.9", "g/dL", {}, 1),
    ("haemoglobin_low_male", "10.95", "g/dL", {}, 0),
    ("haemoglobin_low_male", "11.0", "g/dL", {}, 0),
    ("haemoglobin_low_male", "8.9", "g/dL", {}, 3),
    ("haemoglobin_low_female", "8.5", "g/dL", {"sex": "F"}, 2),
    ("haemoglobin_low_female", "6.4", "g/dL", {"sex": "F"}, 4),
    ("platelets_low", "50.0", "10*9/L", {}, 2),
    ("platelets_low", "49.9", "10*9/L", {}, 3),
    ("anc_low", "1.000", "10*9/L", {}, 1),
    ("anc_low", "1.001", "10*9/L", {}, 0),
    ("anc_low", "0.5995", "10*9/L", {}, 3),  # a gap between printed integers
    ("anc_low", "0.399", "10*9/L", {}, 4),
    ("wbc_low", "1.4995", "10*9/L", {}, 3),
    ("sodium_low sodium_high", "120", "mmol/L", {}, 4),
    ("sodium_low sodium_high", "120.5", "mmol/L", {}, 3),
    ("sodium_low sodium_high", "121", "mmol/L", {}, 3),
    ("sodium_low sodium_high", "146", "mmol/L", {}, 1),
    ("potassium_low potassium_high", "3.4", "mmol/L", {}, 0),
    ("potassium_low potassium_high", "3.39", "mmol/L", {}, 1),
    ("potassium_low potassium_high", "5.6", "meq/L", {}, 1),
    ("magnesium_low", "0.445", "mmol/L", {}, 3),
    ("triglycerides_high", "11.4", "mmol/L", FASTING, 3),
    ("triglycerides_high", "11.5", "mmol/L", FASTING, 4),
    ("triglycerides_high", "1000", "mg/dL", FASTING, 3),  # 11.29 mmol/L: the two systems are no conversions
    ("triglycerides_high", "1001", "mg/dL", FASTING, 4),
    ("fibrinogen_low", "1.9", "g/L", {"low": 2}, 1),
    ("fibrinogen_low", "2.1", "g/L", {"low": 2}, 0),
    ("fibrinogen_low", "1.1", "g/L", {"low": "2.5"}, 3),  # 1 to 2 g/L alone would be grade 1; the higher counts
    ("egfr_low", "89", "mL/min", {}, 2),
    ("egfr_low", "100", "mL/min", {"baseline": 200}, 4),
    ("fever", "39.3", "Cel", {"facts": {"non_axillary": True}}, 3),
    ("hypertension_systolic", "180", "mm[Hg]", {}, 3),
]


@pytest.mark.parametrize(("row", "value", "unit", "more", "expected"), GOLDEN)
def test_golden_vectors(row, value, unit, more, expected):
    assert grade(row, value, unit, **more).grade == expected


NOT_GRADED = [
    ("alt_high", {}, Ungraded.NO_UPPER_LIMIT),
    ("albumin_low", {}, Ungraded.NO_LOWER_LIMIT),
    ("cd4_low", {"facts": {"hiv_infected": True}}, Ungraded.HIV),
    ("alc_low", {}, Ungraded.HIV),  # unknown
    ("inr_high", {"facts": {"anticoagulated": True}, "high": 1}, Ungraded.ANTICOAGULATION),
    ("inr_high", {"high": 1}, Ungraded.ANTICOAGULATION),
    ("cholesterol_high", {"facts": {"fasting": False}}, Ungraded.FASTING),
    ("fever", {"facts": {"non_axillary": False}}, Ungraded.SITE),
    ("haemoglobin_low_female", {}, Ungraded.NO_ROW),
    ("cholesterol_high", {"age": 17, "facts": {"fasting": True}}, Ungraded.NO_ROW),
]


@pytest.mark.parametrize(("row", "more", "because"), NOT_GRADED)
def test_what_cannot_be_graded_says_why_and_is_not_0(row, more, because):
    unit = next(iter(sorted(DAIDS.row(row).units)), "U/L")
    found = grade(row, "90", unit, **more)
    assert (found.grade, found.because) == (None, because)


GLUCOSE = "glucose_fasting_high glucose_nonfasting_high glucose_low"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("5.0", 0), ("6.3", None), ("6.5", 1), ("7.0", None), ("9.0", 2), ("8.0", None), ("14", 3), ("2.0", 3)],
)
def test_an_unknown_fasting_state_matters_only_where_the_rows_differ(value, expected):
    found = grade(GLUCOSE, value, "mmol/L")
    assert found.grade == expected
    assert (found.because == Ungraded.FASTING) == (expected is None)


BEYOND = [
    ("alt_high", "<", "50", ULN, 0),  # all below 50 is grade 0
    ("alt_high", "<", "51", ULN, None),
    ("alt_high", ">", "400", ULN, 4),
    ("alt_high", ">", "399", ULN, None),
    ("platelets_low", "<", "25", {}, 4),
    ("platelets_low", "<", "30", {}, None),
    ("platelets_low", ">", "125", {}, 0),
    ("anc_low", ">", "1", {}, 0),  # grade 1 is up to 1.000 and includes it
    ("potassium_low potassium_high", "<", "2", {}, 4),
    ("potassium_low potassium_high", "<", "4", {}, None),
]


@pytest.mark.parametrize(("rows", "operator", "value", "more", "expected"), BEYOND)
def test_a_result_beyond_a_limit_has_a_grade_only_where_it_can_have_no_other(rows, operator, value, more, expected):
    unit = next(iter(sorted(DAIDS.row(rows.split()[0]).units, reverse=True)), "U/L")
    assert grade(rows, value, unit, operator=operator, **more).grade == expected


def test_rows_that_ask_for_more_than_a_number_give_a_grade_to_confirm():
    acid = grade("acidosis", "7.2", "[pH]", low="7.35")
    assert (acid.grade, acid.is_to_confirm, acid.direction) == (4, True, "L")
    assert not grade("acidosis", "7.32", "[pH]", low="7.35").is_to_confirm
    assert grade("direct_bilirubin_high", "9", "umol/L", high=7).is_to_confirm
    assert grade("lactate_high", "4.5", "mmol/L", high=2).grade == 2


LACTATE = [
    # lactate with an upper limit of 2, pH of the same visit -> proposed
    ("1.9", None, 0), ("1.9", "7.1", 0), ("2.5", None, 1), ("4.5", "", 2), ("2.5", "7.30", 1), ("4.5", "7.4", 2), ("2.0", "7.29", 4),
    ("2.5", "<7.0", 4), ("2.5", "<7.4", 1), ("2.5", ">7.2", 1), ("2.5", ">7.3", 1),
]  # fmt: skip


@pytest.mark.parametrize(("lactate", "ph", "expected"), LACTATE)
def test_a_raised_lactate_with_a_ph_below_7_3_at_the_same_visit_proposes_the_worst(lactate, ph, expected):
    acid = test_of(code="PH", unit="", ucum="[pH]", decimals=2)
    fact = {"fact": "acidotic", "test": "PH"}
    test = test_of(
        code="LACT", unit="mmol/L", ucum="mmol/L", decimals=1, grade_rows=["lactate_high"], grade_facts=[fact]
    )
    found = graded(test, lactate, trial=with_grading(test, acid), high=D(2), answers={} if ph is None else {"PH": ph})
    assert (found.grade, found.is_to_confirm) == (expected, expected > 0)


CHOOSE = [
    # row, grade by the number -> what a person may answer
    ("lactate_high", 1, [4, 3, 2, 1, 0]),
    ("acidosis", 4, [4, 3, 0]),
    ("acidosis", 2, []),  # a pH of 7.3 or more is no grade 3, whatever the patient has
    ("fibrinogen_low", 1, [4, 1]),
    ("fibrinogen_low", 4, []),
    ("fibrinogen_low", 0, []),
    ("haematuria", 2, [4, 3, 2]),
    ("hypertension_systolic", 3, [4, 3]),
    ("hypertension_diastolic", 1, [4, 1]),
    ("alt_high", 3, []),
    ("proteinuria", 3, []),
]


@pytest.mark.parametrize(("row", "number", "expected"), CHOOSE)
def test_a_person_chooses_where_the_words_ask_for_more_than_the_number(row, number, expected):
    assert [choice for choice, _words in grades_to_choose(DAIDS.row(row), number)] == expected


def test_each_grade_of_a_row_that_grades_results_can_be_reached():
    for row in (row for scale in (DAIDS, CTCAE) for row in scale.rows if row.is_executable):
        offered = {choice for number, _step in row.steps for choice, _words in grades_to_choose(row, number)}
        by_number = {number for number, step in row.steps if step.bounds or step.answers}
        assert offered | by_number >= {number for number, _step in row.steps if number < 5}, row.id


def test_a_grade_above_0_names_its_row_and_a_0_all_that_were_asked():
    assert grade("sodium_low sodium_high", "120", "mmol/L").row == "sodium_low"
    assert grade("sodium_low sodium_high", "140", "mmol/L").row == "sodium_low sodium_high"
    assert grade("sodium_low sodium_high", "140", "mmol/L").direction == ""


# --- every row, every number ----------------------------------------------------------------------------

EXECUTABLE = [row for scale in (DAIDS, CTCAE) for row in scale.rows if any(step.bounds for step in row.grades.values())]
LIMITS = {"low": Decimal(40), "high": Decimal(60), "baseline": Decimal(50)}
TINY = Decimal("0.000001")


def limits_of(step, unit):
    yield from [(step.units[unit], Decimal(1))] if unit in step.units else []
    for bound, times in ((step.uln, LIMITS["high"]), (step.lln, LIMITS["low"]), (step.baseline, LIMITS["baseline"])):
        if bound:
            yield bound, times


def numbers_of(*rows, unit):
    """Numbers as they are reported in this unit: around every bound of the rows, on it, right beside it and farther off,
    and anywhere up to well beyond the last one."""
    steps = [step for row in rows for step in row.grades.values()]
    limits = sorted({bound.number * times for step in steps for bound, times in limits_of(step, unit)})
    beside = st.sampled_from([-TINY, Decimal(0), TINY]) | st.decimals(min_value=-1, max_value=1, places=3)
    near = st.builds(lambda limit, by: limit + by * limit, st.sampled_from(limits), beside)
    return near | st.decimals(min_value=0, max_value=2 * limits[-1], places=3)


def exact(row, value, unit, facts):
    reading = Reading("", value, ucum=unit, factors=((unit, Decimal(1)),), **LIMITS)
    return grade_of([row], reading, sex=row.sex or "M", age=40, facts=facts)


BY_NUMBER = [(row, unit) for row in EXECUTABLE for unit in sorted(row.units) or ["U/L"]]


@pytest.mark.parametrize(("row", "unit"), BY_NUMBER, ids=lambda part: getattr(part, "id", part))
@given(data=st.data())
def test_every_number_has_one_grade_and_it_never_falls_with_the_distance(row, unit, data):
    numbers = numbers_of(row, unit=unit)
    near, far = sorted((data.draw(numbers), data.draw(numbers)), reverse=row.direction == "low")
    for known in ({}, {step.where: True for step in row.grades.values() if step.where}):
        facts = {**row.needs, **known}
        grades = [exact(row, value, unit, facts).grade for value in (near, far)]
        assert None not in grades and grades[0] <= grades[1]
        hits = [int(grade) for grade, step in row.grades.items() if not step.where or step.where in facts
                if any(bound.holds(near, times=times) for bound, times in limits_of(step, unit))]  # fmt: skip
        assert grades[0] == max(hits, default=0)


@pytest.mark.parametrize(("row", "unit"), BY_NUMBER, ids=lambda part: getattr(part, "id", part))
def test_every_bound_of_every_unit_is_crossed_where_it_is_printed(row, unit):
    for grade, step in row.steps:
        for bound, times in limits_of(step, unit):
            limit, outwards = bound.number * times, TINY if bound.is_upward else -TINY
            facts = {**row.needs, **({step.where: True} if step.where else {})}
            inside, at, outside = (
                exact(row, value, unit, facts).grade for value in (limit + outwards, limit, limit - outwards)
            )
            assert inside >= grade and (bound.is_strict or at >= grade), (grade, bound)
            others = [
                (b, t) for g, s in row.steps if g >= grade for b, t in limits_of(s, unit) if (b, t) != (bound, times)
            ]
            if not any(b.holds(limit - outwards, times=t) for b, t in others):
                assert outside < grade and (not bound.is_strict or at < grade), (grade, bound)


STRENGTHS = ("NEG", "TRACE", "1+", "2+", "3+", "4+")
BY_ANSWER = [row for row in DAIDS.rows if any(step.answers for step in row.grades.values())]


@pytest.mark.parametrize("row", BY_ANSWER, ids=lambda row: row.id)
@given(answers=st.tuples(*[st.sampled_from(STRENGTHS) | st.text(max_size=4)] * 2))
def test_every_answer_of_a_dipstick_has_one_grade_and_it_never_falls_with_the_strength(row, answers):
    def of(answer):
        return grade_of([row], Reading(text=answer), sex="M", age=40, facts={})

    for answer in answers:
        hits = [int(grade) for grade, step in row.grades.items() if answer in step.answers]
        assert len(hits) <= 1 and of(answer).grade == sum(hits)
        assert of(answer).direction == ("H" if hits else "") and (hits or of(answer).row == row.id)
    if set(answers) <= set(STRENGTHS):
        weaker, stronger = sorted(answers, key=STRENGTHS.index)
        assert of(weaker).grade <= of(stronger).grade
    assert of("4+").grade == max(int(grade) for grade in row.grades) and of("NEG").grade == 0


@given(data=st.data())
def test_high_and_low_rows_of_a_test_never_contradict(data):
    for low, high in (
        ("sodium_low", "sodium_high"),
        ("potassium_low", "potassium_high"),
        ("calcium_low", "calcium_high"),
    ):
        value = data.draw(numbers_of(DAIDS.row(low), DAIDS.row(high), unit="mmol/L"))
        grades = [grade(row, value, "mmol/L").grade for row in (low, high)]
        assert min(grades) == 0
        assert grade(f"{low} {high}", value, "mmol/L").grade == max(grades)


# --- through the protocol --------------------------------------------------------------------------------


def haemoglobin():
    units = [{"unit": "g/dL", "ucum": "g/dL", "factor": Decimal(10), "decimals": 1}]
    return test_of(code="HGB", unit="g/L", ucum="g/L", units=units, grade_rows=["haemoglobin_low_male"])


def with_grading(*tests, **more):
    tests = [
        *tests,
        test_of(code="FAST", kind="choice", choices=[{"code": "Y", "label": "Yes"}, {"code": "N", "label": "No"}]),
    ]
    return protocol(tests=tests, grading={"scale": "daids-2.1", **more})


def graded(test, typed, unit="", trial=None, **more):
    trial = trial or with_grading(test)
    held = {"low": None, "high": None, "answers": {}, "sex": "M", "age": 40, **more}
    return grade_result(trial, test, read_result(test, typed, unit), **held)


def test_a_unit_that_the_row_has_not_is_converted_by_the_protocols_factor():
    test = haemoglobin()
    assert [graded(test, typed).grade for typed in ("109", "110", "99", "69")] == [1, 0, 2, 4]
    assert [graded(test, typed, "g/dL").grade for typed in ("10.9", "11.0", "9.9", "6.9")] == [1, 0, 2, 4]


def test_the_bounds_are_those_of_the_reported_unit_where_the_row_has_both():
    units = [{"unit": "mg/dL", "ucum": "mg/dL", "factor": Decimal("0.055507"), "decimals": 1}]
    test = test_of(
        code="GLUC", unit="mmol/L", ucum="mmol/L", decimals=2, units=units, grade_rows=["glucose_fasting_high"]
    )
    trial = with_grading(test, population={"fasting": True})
    assert graded(test, "250.1", "mg/dL", trial).grade == 3  # 13.882 mmol/L, which alone would be grade 2
    assert graded(test, "13.88", trial=trial).grade == 2


def test_limits_of_normal_are_in_the_unit_of_the_report():
    units = [{"unit": "mg/dL", "ucum": "mg/dL", "factor": Decimal("88.4"), "decimals": 2}]
    test = test_of(code="CREAT", unit="µmol/L", ucum="umol/L", units=units, grade_rows=[CREATININE])
    assert graded(test, "1.43", "mg/dL", high=Decimal("1.3")).grade == 1
    assert graded(test, "1.42", "mg/dL", high=Decimal("1.3")).grade == 0
    assert graded(test, "1.43", "mg/dL", high=Decimal("1.3"), baseline=Decimal("88.4")).grade == 2


def test_facts_come_from_the_population_and_from_answers_of_the_same_visit():
    fast = {"fact": "fasting", "test": "FAST", "yes": ["Y"], "no": ["N"]}
    test = test_of(
        code="GLUC", unit="mmol/L", ucum="mmol/L", decimals=2, grade_rows=GLUCOSE.split(), grade_facts=[fast]
    )
    trial = with_grading(test, population={"hiv_infected": True})
    assert facts_for(trial, test, {}) == {"hiv_infected": True}
    assert facts_for(trial, test, {"FAST": "N"}) == {"hiv_infected": True, "fasting": False}
    assert graded(test, "6.5", answers={"FAST": "Y"}).grade == 1
    assert graded(test, "6.5", answers={"FAST": "N"}).row == "glucose_nonfasting_high"
    assert graded(test, "7").because == Ungraded.FASTING


def test_nothing_is_graded_without_a_scale_a_row_or_a_result():
    test = haemoglobin()
    assert graded(test, "") is None
    assert graded(test, "90", trial=protocol(tests=[test])) is None
    assert graded(test_of(code="UREA"), "90") is None


DAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("on", "at", "day_0", "began_at", "expected"),
    [
        (DAY, None, None, None, True),
        (date(2026, 2, 28), None, DAY, None, True),
        (DAY, None, DAY, time(10), True),
        (DAY, time(9), DAY, time(10), True),
        (DAY, time(11), DAY, time(10), False),
        (DAY, time(11), DAY, None, True),
        (date(2026, 3, 2), None, DAY, None, False),
    ],
)
def test_the_baseline_is_before_the_first_infusion(on, at, day_0, began_at, expected):
    assert is_before_treatment(on, at, day_0=day_0, began_at=began_at) == expected


def test_a_low_baseline_is_no_grade_among_highs():
    high = grade("sodium_low sodium_high", "151", "mmol/L")
    assert baseline_grade(high, 1, "L") == 0
    assert baseline_grade(high, 1, "H") == 1
    assert baseline_grade(high, None, "") is None


PROPOSED = [
    (3, 3, True),
    (3, None, True),
    (2, 1, True),
    (2, 2, False),
    (2, None, True),
    (1, 0, False),
    (0, 0, False),
    (None, 0, False),
]


@pytest.mark.parametrize(("now", "before", "expected"), PROPOSED)
def test_grade_3_and_a_worse_grade_2_propose_an_adverse_event(now, before, expected):
    plan = with_grading(haemoglobin(), propose_from_grade=3, propose_worse_from_grade=2).grading
    assert plan.proposes(now, before) == expected


@pytest.mark.parametrize(
    "term, scale, row",
    [
        ("Alanine aminotransferase increased", "DAIDS", "alt_high"),
        (" chills ", "DAIDS", "chills"),
        ("Infusion related reaction", "CTCAE", "infusion_related_reaction"),
        ("Broken leg", "DAIDS", "functional"),
        ("", "DAIDS", "functional"),
        ("injection site reaction", "DAIDS", "site_pain site_erythema"),
    ],
)
def test_the_words_of_an_event_are_those_of_its_row_or_of_the_functional_scale(term, scale, row):
    plan = GradingPlan(scale="daids-2.1", reaction_scale="ctcae-5.0")
    found = event_rows(with_grading().model_copy(update={"grading": plan}), term)
    assert (found[0].name, [one.id for one in found[1]]) == (scale, row.split())
    assert event_rows(with_grading().model_copy(update={"grading": None}), term) is None


# --- the data ---------------------------------------------------------------------------------------------


def test_rows_from_memory_are_marked():
    assert {row.id for row in DAIDS.rows if "M" in row.source.replace(",", " ").split()} == {
        row.id for row in DAIDS.rows if row.unverified
    }


SHIPPED = Path(scales.__file__).parent / "protocols"
PROTOCOLS = sorted(path for path in SHIPPED.rglob("*.toml") if "zh-hans" not in path.parts)


@pytest.mark.parametrize("path", PROTOCOLS, ids=lambda path: str(path.relative_to(SHIPPED)))
def test_every_reaction_that_a_shipped_protocol_names_has_the_words_of_its_grades(path):
    protocol = load(path)
    scale = scales.scale(protocol.grading.reaction_scale)
    assert protocol.infusions.reaction_terms
    rows = {term: scale.row_of_term(term) for term in protocol.infusions.reaction_terms}
    assert [term for term, row in rows.items() if row is None] == []
    assert all(
        {2, 3} & {grade for grade, _step in row.steps} and all(step.words for _g, step in row.steps)
        for row in rows.values()
    )


def test_the_rows_of_ctcae_are_worded_as_published():
    assert not [row.id for row in CTCAE.rows if row.unverified or row.source != "N"]
    # which grades the dictionary has for the term, as the workbook prints them
    printed = {row["term"]: row["grades_defined"] for row in csv.DictReader(FILE.open(encoding="utf-8"))}
    assert {row.term: " ".join(str(grade) for grade, _step in row.rising) for row in CTCAE.rows if row.term} == {
        row.term: printed[row.term] for row in CTCAE.rows if row.term
    }
    assert CTCAE.row("hypoxia").words(1) == "" and CTCAE.row("flushing").words(4) == ""
    assert CTCAE.row_of_term("Other").words(2).startswith("Moderate; minimal, local or noninvasive intervention")


def test_every_row_for_adults_is_there():
    expected = "alt_high ast_high alp_high bilirubin_high direct_bilirubin_high amylase_high lipase_high ck_high creatinine_high " \
        "crcl_low egfr_low albumin_low bicarbonate_low acidosis alkalosis calcium_high calcium_low ionised_calcium_high " \
        "ionised_calcium_low glucose_fasting_high glucose_nonfasting_high glucose_low lactate_high magnesium_low phosphate_low " \
        "potassium_high potassium_low sodium_high sodium_low uric_acid_high cholesterol_high ldl_high triglycerides_high " \
        "haemoglobin_low_male haemoglobin_low_female wbc_low anc_low alc_low cd4_low platelets_low fibrinogen_low inr_high " \
        "pt_high ptt_high methaemoglobin_high proteinuria glycosuria haematuria functional fever hypertension_systolic " \
        "hypertension_diastolic hypotension allergic_reaction cytokine_release rash chills site_pain site_erythema " \
        "site_pruritus"  # fmt: skip
    assert [row.id for row in DAIDS.rows if row.id not in expected.split()] == []
    assert set(expected.split()) == {row.id for row in DAIDS.rows}


def test_both_unit_systems_are_there():
    for row_id in ("glucose_low", "calcium_high", "triglycerides_high", "uric_acid_high"):
        assert {"mg/dL", "mmol/L"} == DAIDS.row(row_id).units
    assert {"/uL", "10*9/L"} == DAIDS.row("anc_low").units


BAD = [
    ('uln = "1.25"', "bound like"),
    ('uln = "< 1.25"', "direction"),
    ('uln = ">= 9"', "beyond the one before"),
]


@pytest.mark.parametrize(("step", "told"), BAD)
def test_a_scale_that_contradicts_itself_is_refused(step, told, tmp_path):
    file = tmp_path / "x-1.toml"
    file.write_text(
        'name = "X"\nversion = "1"\ntitle = "X"\n[[rows]]\nid = "r"\nname = "R"\ndirection = "high"\nsource = "A"\n'
        f'[rows.grades]\n1 = {{ words = "w", {step} }}\n2 = {{ words = "w", uln = ">= 2.5" }}\n'
    )
    with pytest.raises(scales.ScaleError, match=told):
        scales.load(file)

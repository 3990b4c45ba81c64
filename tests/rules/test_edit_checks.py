"""What a person should look at in a panel."""

from decimal import Decimal

import pytest

from tests.rules.protocols import protocol
from visits.edit_checks import CHECKS, find_problems, problems_between
from visits.results import Result


def test_line(code, name, unit="", **keys):
    return {"code": code, "name": name, "unit": unit, "decimals": 1, "possible": (0, 10000), **keys}


test_line.__test__ = False

TRIAL = protocol(
    tests=[
        test_line("WEIGHT", "Weight", "kg", possible=(20, 300)),
        test_line("SYSBP", "Systolic pressure", "mmHg", plausible=(80, 200), required=False),
        test_line("DIABP", "Diastolic pressure", "mmHg", required=False),
        test_line("CD4", "CD4", "cells/µL", operators=["<", ">"]),
        test_line("CD8", "CD8", "cells/µL", required=False),
        test_line("RATIO", "CD4/CD8", computed={"as": "ratio", "of": ("CD4", "CD8")}, plausible=(0, 2)),
        test_line("NVCD4P", "Naive", "%", required=False),
        test_line("CMCD4P", "Central memory", "%", required=False),
        test_line("EMCD4P", "Effector memory", "%", required=False),
        test_line("WBC", "White cells", "10⁹/L", required=False),
        test_line("NEUT", "Neutrophils", "10⁹/L", required=False, operators=["<"]),
        test_line("LYM", "Lymphocytes", "10⁹/L", required=False),
        {"code": "HCG", "name": "Pregnancy test", "kind": "choice", "choices": [{"code": "NEG", "label": "Negative"}]},
    ],
    panels=[
        {"code": "vitals", "name": "Vital signs", "tests": ["WEIGHT", "SYSBP", "DIABP"]},
        {"code": "t_cells", "name": "T cells", "tests": ["CD4", "CD8", "RATIO", "NVCD4P", "CMCD4P", "EMCD4P"]},
        {"code": "blood", "name": "Blood count", "tests": ["WBC", "NEUT", "LYM"]},
        {"code": "pregnancy", "name": "Pregnancy", "tests": ["HCG"], "only_for_sex": "F"},
    ],
)


def results(**typed):
    read = {}
    for code, text in typed.items():
        operator = text[0] if text[0] in "<>" else ""
        value = Decimal(text.removeprefix(operator)) if text[-1].isdigit() else None
        read[code] = Result(text, operator, value, "" if value is not None else text)
    return read


def problems(panel, typed, before=None, sex="F"):
    return find_problems(TRIAL, panel, results(**typed), sex=sex, previous=results(**(before or {})))


def codes(panel, typed, before=None, sex="F"):
    return [(problem.code, problem.test) for problem in problems(panel, typed, before, sex)]


@pytest.mark.parametrize(
    ("panel", "typed", "before", "expected"),
    [
        pytest.param("vitals", {"WEIGHT": "60"}, {}, [], id="nothing to say"),
        # one result
        pytest.param("vitals", {}, {}, [("missing", "WEIGHT")], id="required and blank"),
        pytest.param("vitals", {"WEIGHT": "60", "SYSBP": "201"}, {}, [("implausible", "SYSBP")], id="implausible"),
        pytest.param("vitals", {"WEIGHT": "60", "SYSBP": "200"}, {}, [], id="still plausible"),
        pytest.param("vitals", {"WEIGHT": "19"}, {}, [("impossible", "WEIGHT")], id="impossible"),
        pytest.param("t_cells", {"CD4": "100", "RATIO": "2.1"}, {}, [("implausible", "RATIO")],
                     id="computed, implausible"),
        pytest.param("t_cells", {"CD4": "100"}, {}, [], id="a computed value is not missed"),
        pytest.param("pregnancy", {"HCG": "NEG"}, {}, [], id="a choice"),
        # pressure
        pytest.param("vitals", {"WEIGHT": "60", "SYSBP": "120", "DIABP": "80"}, {}, [], id="120/80"),
        pytest.param("vitals", {"WEIGHT": "60", "SYSBP": "120", "DIABP": "120"}, {}, [("pressure_order", "DIABP")],
                     id="120/120"),
        pytest.param("vitals", {"WEIGHT": "60", "SYSBP": "80", "DIABP": "120"}, {}, [("pressure_order", "DIABP")],
                     id="80/120"),
        pytest.param("vitals", {"WEIGHT": "60", "DIABP": "120"}, {}, [], id="diastolic alone"),
        # subsets
        pytest.param("t_cells", {"CD4": "100", "NVCD4P": "30", "CMCD4P": "40", "EMCD4P": "30"}, {}, [], id="100 %"),
        pytest.param("t_cells", {"CD4": "100", "NVCD4P": "31", "CMCD4P": "40", "EMCD4P": "30"}, {}, [],
                     id="101 % is rounding"),
        pytest.param("t_cells", {"CD4": "100", "NVCD4P": "31.1", "CMCD4P": "40", "EMCD4P": "30"}, {},
                     [("subsets_over_100", "NVCD4P")], id="101.1 %"),
        pytest.param("t_cells", {"CD4": "100", "NVCD4P": "70", "CMCD4P": "40"}, {}, [("subsets_over_100", "NVCD4P")],
                     id="two alone are over 100 %"),
        # cells
        pytest.param("blood", {"WBC": "5.0", "NEUT": "3.0", "LYM": "2.0"}, {}, [], id="parts fill the whole"),
        pytest.param("blood", {"WBC": "5.0", "NEUT": "3.1", "LYM": "2.0"}, {}, [], id="0.1 is rounding"),
        pytest.param("blood", {"WBC": "5.0", "NEUT": "3.2", "LYM": "2.0"}, {}, [("cells_over_wbc", "NEUT")],
                     id="parts too big"),
        pytest.param("blood", {"WBC": "5.0", "LYM": "6.0"}, {}, [("cells_over_wbc", "NEUT")], id="one part too big"),
        pytest.param("blood", {"NEUT": "3.2", "LYM": "2.0"}, {}, [], id="no whole"),
        pytest.param("blood", {"WBC": "1.0", "NEUT": "<6", "LYM": "0.5"}, {}, [], id="a bounded part does not count"),
        # against the previous visit
        pytest.param("vitals", {"WEIGHT": "66"}, {"WEIGHT": "60"}, [], id="weight + 10 %"),
        pytest.param("vitals", {"WEIGHT": "66.1"}, {"WEIGHT": "60"}, [("weight_change", "WEIGHT")],
                     id="weight + more"),
        pytest.param("vitals", {"WEIGHT": "54"}, {"WEIGHT": "60"}, [], id="weight - 10 %"),
        pytest.param("vitals", {"WEIGHT": "53.9"}, {"WEIGHT": "60"}, [("weight_change", "WEIGHT")],
                     id="weight - more"),
        pytest.param("t_cells", {"CD4": "100"}, {"CD4": "200"}, [], id="CD4 - 50 %"),
        pytest.param("t_cells", {"CD4": "99"}, {"CD4": "200"}, [("cd4_fall", "CD4")], id="CD4 - more"),
        pytest.param("t_cells", {"CD4": "900"}, {"CD4": "200"}, [], id="CD4 may rise"),
        pytest.param("t_cells", {"CD4": "<99"}, {"CD4": "200"}, [("cd4_fall", "CD4")], id="CD4 fell at least so far"),
        pytest.param("t_cells", {"CD4": "<150"}, {"CD4": "200"}, [], id="CD4 may have fallen"),
        pytest.param("t_cells", {"CD4": ">10"}, {"CD4": "200"}, [], id="CD4 above something"),
        pytest.param("t_cells", {"CD4": "10"}, {"CD4": "<20"}, [], id="previous only bounded"),
        pytest.param("t_cells", {"CD4": "0"}, {"CD4": "1"}, [("cd4_fall", "CD4")], id="CD4 from 1 to 0"),
        pytest.param("vitals", {"WEIGHT": "60"}, {"WEIGHT": "0"}, [], id="previous was zero"),
    ],
)  # fmt: skip
def test_problems_of_a_panel(panel, typed, before, expected):
    assert codes(panel, typed, before) == expected


def test_a_problem_is_told_in_words_with_its_values():
    found = problems("vitals", {"WEIGHT": "70.5", "SYSBP": "75", "DIABP": "80"}, {"WEIGHT": "60"})
    assert [problem.text for problem in found] == [
        "Systolic pressure 75 mmHg is unusual; expected is 80 to 200. Is it right?",
        "Diastolic pressure 80 mmHg is not below Systolic pressure 75 mmHg.",
        "Weight 70.5 kg: changed by more than 10 % (previously 60 kg).",
    ]
    found = problems("t_cells", {"NVCD4P": "70", "CMCD4P": "40"})
    assert [problem.text for problem in found] == [
        "CD4 was left blank.",
        "Naive 70 %, Central memory 40 %, Effector memory (blank) are together more than 100 %.",
    ]
    assert (
        problems("vitals", {"WEIGHT": "10"})[0].text == "Weight 10 kg is not possible; only values from 20 to 300 are."
    )
    assert problems("blood", {"WBC": "1", "LYM": "3"})[0].text == (
        "Neutrophils (blank), Lymphocytes 3 10⁹/L are together more than White cells 1 10⁹/L."
    )


@pytest.mark.parametrize(
    ("panel", "typed", "sex", "code", "hard"),
    [
        ("vitals", {}, "F", "missing", False),
        ("vitals", {"WEIGHT": "60", "SYSBP": "201"}, "F", "implausible", False),
        ("vitals", {"WEIGHT": "60", "SYSBP": "100", "DIABP": "120"}, "F", "pressure_order", False),
        ("vitals", {"WEIGHT": "19"}, "F", "impossible", True),
        ("vitals", {"WEIGHT": "60", "CD4": "100"}, "F", "not_in_panel", True),
        ("pregnancy", {"HCG": "NEG"}, "M", "not_for_sex", True),
    ],
)
def test_only_what_can_be_no_source_data_cannot_be_saved(panel, typed, sex, code, hard):
    assert [(problem.code, problem.hard) for problem in problems(panel, typed, sex=sex)] == [(code, hard)]


def test_blank_and_absent_are_the_same():
    for blank in ({}, {"WEIGHT": None}):
        found = find_problems(TRIAL, "vitals", blank, sex="F", previous={"WEIGHT": None})
        assert [problem.code for problem in found] == ["missing"]


def test_checks_are_silent_in_a_protocol_without_their_tests():
    other = protocol(
        tests=[test_line("SYSBP", "Systolic pressure")],
        panels=[{"code": "vitals", "name": "Vital signs", "tests": ["SYSBP"]}],
    )
    assert find_problems(other, "vitals", results(SYSBP="10"), sex="F", previous={}) == []


def test_results_while_an_infusion_is_watched_are_compared_without_a_panel():
    watched = protocol(tests=[test_line("M_SYSBP", "Systolic"), test_line("M_DIABP", "Diastolic")]).tests
    found = problems_between(watched, results(M_SYSBP="80", M_DIABP="90"), {})
    assert [problem.code for problem in found] == ["pressure_order"]


def test_no_result_is_judged_twice_by_one_check():
    assert len({(check.code, check.tests) for check in CHECKS}) == len(CHECKS)

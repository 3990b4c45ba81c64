"""What a protocol file can say, and that every fault in one is named: its file, its key and what was expected."""

import os
import re
import subprocess
import sys
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from trialsite.protocol import Limit, Part, ProtocolError, load, load_translation, load_versions, parts, translations_of

ROOT = Path(__file__).resolve().parent.parent
PROTOCOLS = ROOT / "trialsite" / "protocols"
PILOT = PROTOCOLS / "ucmsc-inr" / "1.0.toml"
OTHER = PROTOCOLS / "examples" / "masked-dose-finding.toml"
PILOT_TEXT = PILOT.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pilot():
    return load(PILOT)


@pytest.fixture(scope="module")
def other():
    return load(OTHER)


# --- the pilot ----------------------------------------------------------------------------------


def test_the_pilot_is_the_trial_of_the_paper(pilot):
    assert pilot.trial.registry == "NCT01213186"
    assert pilot.trial.planned_patients == 13
    assert (pilot.trial.masking, pilot.is_masked) == ("open", False)
    assert [(arm.code, arm.ratio) for arm in pilot.arms] == [("MSC", 1), ("SALINE", 1)]
    dose = pilot.product(pilot.arm("MSC").product).dose
    assert (dose.per_kg, dose.absolute, dose.unit) == (500_000, None, "cells")
    assert not pilot.product(pilot.arm("SALINE").product).is_cell_product
    assert pilot.allocation.method == "permuted_blocks"
    assert pilot.allocation.block_sizes == (2, 4)
    assert [factor.by for factor in pilot.allocation.strata] == ["site"]


@pytest.mark.parametrize(
    ("code", "first_day", "last_day", "infusion"),
    [
        ("SCR", -30, -1, None),
        ("W0", 0, 3, 1),
        ("W1", 4, 10, None),
        ("W4", 25, 31, 2),
        ("W5", 32, 38, None),
        ("W8", 53, 59, 3),
        ("W9", 60, 66, None),
        ("W12", 77, 91, None),
        ("W24", 154, 182, None),
        ("W36", 238, 266, None),
        ("W48", 322, 350, None),
    ],
)
def test_the_pilot_s_visits_have_these_windows(pilot, code, first_day, last_day, infusion):
    visit = pilot.visit(code)
    assert (visit.day - visit.before, visit.day + visit.after, visit.infusion) == (first_day, last_day, infusion)


def test_the_pilot_gives_three_infusions_a_month_apart_and_watches_each_for_an_hour(pilot):
    assert [pilot.visit_of_infusion(number).code for number in (1, 2, 3)] == ["W0", "W4", "W8"]
    assert pilot.infusions.monitoring_minutes == (0, 15, 30, 45, 60)
    assert pilot.infusions.reaction_window_days == 7
    assert pilot.test(pilot.infusions.weight_test).unit == "kg"


@pytest.mark.parametrize(
    ("panel", "visits"),
    [
        ("vital_signs", "SCR W0 W1 W4 W5 W8 W9 W12 W24 W36 W48"),
        ("haematology", "SCR W0 W1 W4 W5 W8 W9 W12 W24 W36 W48"),
        ("chemistry", "SCR W0 W1 W4 W5 W8 W9 W12 W24 W36 W48"),
        ("physical_exam", "SCR W0 W4 W8 W12 W24 W36 W48"),
        ("virology", "SCR W0 W4 W8 W12 W24 W36 W48"),
        ("t_cells", "SCR W0 W4 W8 W12 W24 W36 W48"),
        ("activation", "SCR W0 W4 W8 W12 W24 W36 W48"),
        ("hiv_specific", "W0 W12 W24 W48"),
        ("inflammation", "W0 W1 W4 W5 W8 W9 W12 W24 W48"),
        ("pregnancy", "SCR W0 W4 W8 W12 W48"),
        ("hepatitis", "SCR"),
    ],
)
def test_the_pilot_s_panels_fall_on_these_visits(pilot, panel, visits):
    assert [visit.code for visit in pilot.visits if panel in visit.panels] == visits.split()


def test_every_infusion_visit_asks_a_woman_for_a_pregnancy_test_and_no_man(pilot):
    for number in (1, 2, 3):
        visit = pilot.visit_of_infusion(number).code
        assert "pregnancy" in [panel.code for panel in pilot.panels_of(visit, "F")]
        assert "pregnancy" not in [panel.code for panel in pilot.panels_of(visit, "M")]


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("I2", [("art_months", "≥ 24", None)]),
        ("I3", [("CD4", "> 50 and ≤ 250", 30)]),
        ("I4", [("HIVRNA", "≤ 50", 30)]),
        ("I8", [("KARNOFSKY", "≥ 70", 30)]),
        ("I10", [("age_years", "≥ 18 and ≤ 65", None)]),
        ("E3", [("WBC", "< 2.5", 30), ("PLAT", "< 50", 30), ("HGB", "< 80", 30)]),
        (
            "E1",
            [
                ("HCVRNA", "POS", 30),
                ("HAVAB", "POS", 30),
                ("HDVAB", "POS", 30),
                ("HEVAB", "POS", 30),
                ("ALT", "> 80", 30),
            ],
        ),
    ],
)
def test_the_pilot_computes_the_registered_criteria(pilot, code, limits):
    criterion = next(c for c in pilot.eligibility.criteria if c.code == code)
    assert [(leaf.test or leaf.fact, leaf.words(), leaf.within_days) for leaf in criterion.rule.leaves()] == limits


def test_the_pilot_leaves_to_a_person_what_no_rule_can_know(pilot):
    asked = [criterion.code for criterion in pilot.eligibility.criteria if criterion.rule is None]
    assert asked == ["I1", "I5", "I6", "I7", "I9", "E2"]


def test_a_viral_load_may_be_below_the_limit_of_quantification(pilot):
    assert pilot.test("HIVRNA").operators == ("<", ">")


@pytest.mark.parametrize(("code", "sex", "low", "high"), [
    ("HGB", "M", "130", "175"),
    ("HGB", "F", "115", "150"),
    ("K", "M", "3.5", "5.3"),
    ("K", "F", "3.5", "5.3"),
])  # fmt: skip
def test_reference_ranges_follow_the_sex(pilot, code, sex, low, high):
    reference = pilot.test(code).reference_for(sex)
    assert (reference.low, reference.high) == (Decimal(low), Decimal(high))


def test_numbers_of_the_file_stay_what_was_written(pilot):
    rule = next(rule for rule in pilot.stopping_rules if rule.kind == "beta_binomial")
    assert rule.prior == (Decimal("0.2"), Decimal("1.8"))
    assert str(rule.acceptable_rate) == "0.10"
    assert rule.acceptable_rate * 3 == Decimal("0.3")
    assert pilot.test("WBC").plausible == (Decimal("2.00"), Decimal("12.00"))


def test_a_protocol_cannot_be_changed_after_it_was_read(pilot):
    with pytest.raises(ValidationError):
        pilot.trial.masking = "double"
    with pytest.raises(ValidationError):
        pilot.visits[0].day = 3
    for part in everything_in(pilot):
        assert not isinstance(part, (list, dict, set))


def everything_in(value):
    yield value
    if isinstance(value, Part):
        for name in type(value).model_fields:
            yield from everything_in(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from everything_in(item)


@pytest.mark.parametrize("file", [PILOT, OTHER], ids=["pilot", "other"])
def test_values_marked_as_default_and_project_defaults_are_the_same(file):
    text = file.read_text(encoding="utf-8")
    listed = load(file).project_defaults
    marked = set(marked_keys(text))
    for key in marked:
        assert any(key == entry or key.startswith(f"{entry}.") for entry in listed), f"{key} is not listed"
    for entry in listed:
        is_marked = any(key == entry or key.startswith(f"{entry}.") for key in marked)
        # whole parts of the file say it in their headline
        assert is_marked or re.search(rf"^# [-=]+ .*\(default\)[^\n]*\n(#.*\n|\n)*\[\[{entry}\]\]", text, re.M), (
            f"{entry} is not marked"
        )


def marked_keys(text):
    """Dotted keys of the lines that end in a `# default` comment; items of lists are named by their code."""
    path, tables = [], {}
    for line in text.splitlines():
        if header := re.match(r"\[\[?([a-z_.]+)\]\]?", line):
            path = header[1].split(".")
            if line.startswith("[["):
                tables[header[1]] = None
        elif setting := re.match(r"([a-z_]+) = (.*)", line):
            if setting[1] == "code" and ".".join(path) in tables:
                tables[".".join(path)] = setting[2].split('"')[1]
            if re.search(r"# default\b", line):
                keys = []
                for i in range(len(path)):
                    keys.append(path[i])
                    if code := tables.get(".".join(path[: i + 1])):
                        keys.append(code)
                yield ".".join([*keys, setting[1]] if setting[1] != "code" else keys)


# --- another trial ------------------------------------------------------------------------------


def test_another_trial_runs_from_another_file(other):
    assert other.trial.planned_patients == 72
    assert other.is_masked
    assert [arm.code for arm in other.arms] == ["LOW", "HIGH", "PLACEBO"]
    doses = [other.product(arm.product).dose for arm in other.arms]
    assert [(dose.per_kg, dose.absolute) for dose in doses] == [(500_000, None), (1_500_000, None), (None, 100)]
    assert [visit.code for visit in other.visits if visit.infusion] == ["V3", "V4", "V5", "V6", "V7", "V8"]
    assert [visit.code for visit in other.screening_visits] == ["V1", "V2"]
    assert [(factor.by, [level.words() for level in factor.levels]) for factor in other.allocation.strata] == [
        ("site", []),
        ("test", ["≤ 150", "> 150"]),
    ]


def test_the_two_trials_share_neither_visits_nor_panels(pilot, other):
    assert not {visit.code for visit in pilot.visits} & {visit.code for visit in other.visits}
    assert not {panel.code for panel in pilot.panels} & {panel.code for panel in other.panels}


# --- faults -------------------------------------------------------------------------------------

NO_TABLE = "expected, but it is not there"

# what is changed in the pilot's text, to what -> the key that is named (# is any position), and what was expected
FAULTS = {
    # keys
    "misspelt key": (
        "block_sizes = [2, 4]", "blok_sizes = [2, 4]",
        "allocation.blok_sizes", "expected no such key; did you mean 'block_sizes'?",
    ),
    "unknown key in a list": (
        'code = "W4"\n', 'code = "W4"\nwindow = 3\n',
        "visits[3] (W4).window", "expected no such key",
    ),
    "internal name of a key": (
        "{ as = ", "{ as_ = ", "tests[#] (CD4CD8).computed.as", NO_TABLE,
    ),
    "missing table": ("[trial]\n", "[trail]\n", "trial", NO_TABLE),
    "misspelt table": ("[trial]\n", "[trail]\n", "trail", "expected no such key; did you mean 'trial'?"),
    "missing key": ("follow_up_days = 336", "", "trial.follow_up_days", NO_TABLE),
    "missing kind": ('kind = "beta_binomial"\n', "", "stopping_rules[0] (RELATED_G3).kind", NO_TABLE),
    "half a range": (
        "volume_ml = [50, 150]", "volume_ml = [50]", "infusions.volume_ml[1]", NO_TABLE,
    ),
    "a range of three": (
        "volume_ml = [50, 150]", "volume_ml = [50, 100, 150]",
        "infusions.volume_ml", "expected at most 2 in this list",
    ),
    # types
    "number in quotes": (
        "planned_patients = 13", 'planned_patients = "13"',
        "trial.planned_patients", "expected a whole number (found '13')",
    ),
    "flag for a number": ("day = 28", "day = true", "visits[3] (W4).day", "expected a whole number (found true)"),
    "fraction of a day": ("day = 28", "day = 28.5", "visits[3] (W4).day", "expected a whole number (found 28.5)"),
    "decimal in quotes": (
        "acceptable_rate = 0.10", 'acceptable_rate = "0.10"',
        "stopping_rules[0] (RELATED_G3).acceptable_rate", "expected a number (found '0.10')",
    ),
    "flag for a decimal": (
        "tolerance_percent = 10", "tolerance_percent = true",
        "products[0] (UCMSC).dose.tolerance_percent", "expected a number (found true)",
    ),
    "not a number": (
        "acceptable_rate = 0.10", "acceptable_rate = nan",
        "stopping_rules[0] (RELATED_G3).acceptable_rate", "expected a number (found NaN)",
    ),
    "infinite": (
        "tolerance_percent = 10", "tolerance_percent = inf",
        "products[0] (UCMSC).dose.tolerance_percent", "expected a number (found Infinity)",
    ),
    "number for text": (
        'sponsor = "Beijing 302 Hospital"', "sponsor = 302", "trial.sponsor", "expected text in quotes",
    ),
    "blank text": ('sponsor = "Beijing 302 Hospital"', 'sponsor = "  "', "trial.sponsor", "expected some text"),
    "word for a flag": (
        "is_cell_product = true", 'is_cell_product = "yes"',
        "products[0] (UCMSC).is_cell_product", "expected true or false (found 'yes')",
    ),
    "date in quotes": (
        "dated = 2010-09-28  # default: the day", 'dated = "2010-09-28"  #',
        "trial.dated", "expected a date like 2026-01-31, without quotes",
    ),
    "time for a date": (
        "dated = 2010-09-28  # default: the day", "dated = 2010-09-28T10:00:00  #",
        "trial.dated", "expected a date like 2026-01-31",
    ),
    "one value for a list": (
        'languages = ["zh", "en"]', 'languages = "zh"',
        "consent_forms[0].languages", "expected a list in [ ]",
    ),
    "empty list": (
        'languages = ["zh", "en"]', "languages = []", "consent_forms[0].languages", "expected at least 1",
    ),
    "text for a table": (
        "rule = { fact = \"art_months\", at_least = 24 }", 'rule = "24 months"',
        "eligibility.inclusion[1] (I2).rule", "expected a table",
    ),
    "unknown word": (
        'masking = "open"', 'masking = "triple"',
        "trial.masking", "expected 'open', 'single' or 'double' (found 'triple')",
    ),
    "unknown kind of rule": (
        'kind = "beta_binomial"', 'kind = "bayes"',
        "stopping_rules[0] (RELATED_G3).kind", "expected one of 'beta_binomial', 'pocock',",
    ),
    "code with a blank": (
        'code = "W4"', 'code = "W 4"', "visits[3] (W 4).code",
        "expected a code: a letter, then letters, digits or _",
    ),
    # bounds of a single value
    "window sign": ("before = 7", "before = -7", "visits[7] (W12).before", "expected at least 0 (found -7)"),
    "grade six": (
        "counts = { least_grade = 3, related = true }\narms", "counts = { least_grade = 6 }\narms",
        "stopping_rules[0] (RELATED_G3).counts.least_grade", "expected at most 5 (found 6)",
    ),
    "a rate of one": (
        "confidence = 0.90", "confidence = 1.0",
        "stopping_rules[0] (RELATED_G3).confidence", "expected a number below 1",
    ),
    "a prior of nothing": (
        "prior = [0.2, 1.8]", "prior = [0, 1.8]",
        "stopping_rules[0] (RELATED_G3).prior[0]", "expected a number above 0 (found 0)",
    ),
    "a day next century": ("day = 336", "day = 99_999", "visits[10] (W48).day", "expected at most 36525"),
    # one table
    "two ways to dose": (
        "per_kg = 500_000", "absolute = 5\nper_kg = 500_000",
        "products[0] (UCMSC).dose", "expected exactly one of per_kg and absolute",
    ),
    "no way to dose": (
        "per_kg = 500_000", "", "products[0] (UCMSC).dose", "expected exactly one of per_kg and absolute",
    ),
    "release test without limit": (
        'unit = "EU/kg"\nat_most = 5', 'unit = "EU/kg"',
        "products[0] (UCMSC).release_tests[5] (ENDOTOXIN)", "expected a limit",
    ),
    "rule without limit": (
        'rule = { fact = "art_months", at_least = 24 }', 'rule = { fact = "art_months" }',
        "eligibility.inclusion[1] (I2).rule", "expected a limit",
    ),
    "rule of two kinds": (
        'rule = { fact = "art_months"', 'rule = { test = "CD4", fact = "art_months"',
        "eligibility.inclusion[1] (I2).rule", "expected exactly one of test, fact, any, all",
    ),
    "a fact has no date": (
        'rule = { fact = "art_months", at_least = 24 }',
        'rule = { fact = "art_months", at_least = 24, within_days = 3 }',
        "eligibility.inclusion[1] (I2).rule", "expected only above, at_least, below, at_most beside a fact",
    ),
    "limit beside any": (
        "[eligibility.exclusion.rule]\n", "[eligibility.exclusion.rule]\nabove = 3\n",
        "eligibility.exclusion[0] (E1).rule", "expected limits and within_days inside any and all",
    ),
    "limits nobody meets": (
        "above = 50, at_most = 250", "above = 250, at_most = 50",
        "eligibility.inclusion[2] (I3).rule", "expected limits that a number can meet, found > 250 and ≤ 50",
    ),
    "two lower limits": (
        "above = 50, at_most = 250", "above = 50, at_least = 60",
        "eligibility.inclusion[2] (I3).rule", "expected above or at_least, not both",
    ),
    "two upper limits": (
        "at_least = 18, at_most = 65", "below = 18, at_most = 65",
        "eligibility.inclusion[9] (I10).rule", "expected below or at_most, not both",
    ),
    "a computed value to verify": (
        'name = "CD4/CD8 ratio"\n', 'name = "CD4/CD8 ratio"\nverify = true\n',
        "tests[#] (CD4CD8).verify", "expected only for a test that is entered in a panel",
    ),
    "a kind of record twice": (
        'sign = ["panels",', 'sign = ["panels", "panels",',
        "review.sign", "expected each kind of record once, found 'panels' 2 times",
    ),
    "word and number": (
        'equals = "POS", within_days = 30 }\n\n# ===', 'equals = "POS", above = 1 }\n\n# ===',
        "eligibility.exclusion[3] (E4).rule", "expected bounds on a number or equals, not both",
    ),
    "upside-down reference": (
        "{ low = 130, high = 175,", "{ low = 175, high = 130,",
        "tests[#] (HGB).reference[0]", "expected low below high, found 175 and 130",
    ),
    "empty reference": (
        '{ low = 130, high = 175, sex = "M" }', '{ sex = "M" }',
        "tests[#] (HGB).reference[0]", "expected low or high, or both",
    ),
    "factor by test without test": (
        'by = "site"', 'by = "test"', "allocation.strata[0] (SITE)",
        "expected test and levels exactly when by = 'test'",
    ),
    "rule that counts every event": (
        "counts = { fatal = true, related = true }", "counts = {}",
        "stopping_rules[2] (RELATED_DEATH).counts", "expected at least one condition",
    ),
    "LOINC with a wrong check digit": (
        'loinc = "24467-3"', 'loinc = "24467-4"', "tests[#] (CD4).loinc",
        "expected a LOINC code with its check digit",
    ),
    # codes
    "the same visit twice": (
        'code = "W5"', 'code = "W4"', "visits", "expected each code once, found 'W4' 2 times",
    ),
    "the same criterion on both sides": (
        'code = "E2"', 'code = "I2"', "eligibility", "expected each code once, found 'I2' 2 times",
    ),
    "the same release test twice": (
        'code = "CD90"', 'code = "CD73"', "products[0] (UCMSC).release_tests",
        "expected each code once, found 'CD73'",
    ),
    "the same choice twice": (
        'code = "SERUM", label', 'code = "URINE", label',
        "tests[#] (HCGSPEC).choices", "expected each code once, found 'URINE'",
    ),
    "the same sex twice": (
        'high = 150, sex = "F"', 'high = 150, sex = "M"', "tests[#] (HGB).reference",
        "expected each sex once, found 'M'",
    ),
    "the same consent form twice": (
        "[[products]]", '[[consent_forms]]\nversion = "1.0"\ndated = 2011-01-01\nlanguages = ["en"]\n\n[[products]]',
        "consent_forms", "expected each version once, found '1.0' 2 times",
    ),
    "the same factor twice": (
        "[infusions]", '[[allocation.strata]]\ncode = "SITE"\nby = "sex"\n\n[infusions]',
        "allocation.strata", "expected each code once, found 'SITE' 2 times",
    ),
    "the same level twice": (
        'by = "site"', 'by = "test"\ntest = "CD4"\nlevels = [{ code = "A", name = "A", at_most = 150 }, '
        '{ code = "A", name = "B", above = 150 }]',
        "allocation.strata[0] (SITE).levels", "expected each code once, found 'A' 2 times",
    ),
    "unknown product": (
        'product = "SALINE"', 'product = "SALIN"', "arms[1] (SALINE).product",
        "expected the code of a product, found 'SALIN'",
    ),
    "unknown test in a panel": (
        'tests = ["HIVRNA"]', 'tests = ["HIVRNA", "HIVDNA"]',
        "panels[4] (virology).tests", "expected the code of a test, found 'HIVDNA'",
    ),
    "unknown panel": (
        'panels = ["vital_signs", "haematology", "chemistry", "inflammation"]', 'panels = ["vitals"]',
        "visits[2] (W1).panels", "expected the code of a panel, found 'vitals'",
    ),
    "unknown test in a rule": (
        'test = "KARNOFSKY"', 'test = "ECOG"',
        "eligibility.inclusion[7] (I8).rule", "expected the code of a test, found 'ECOG'",
    ),
    "unknown arm": (
        'arms = ["MSC"]', 'arms = ["CELLS"]', "stopping_rules[0] (RELATED_G3).arms",
        "expected the code of an arm, found 'CELLS'",
    ),
    "unknown event of interest": (
        'of_interest = ["THROMBOEMBOLISM", "TUMOUR"]', 'of_interest = ["CLOT"]',
        "stopping_rules[5] (EMBOLISM_TUMOUR).counts.of_interest",
        "expected the code of an event of interest, found 'CLOT'",
    ),
    "unknown default": (
        '"trial.short_title",', '"trial.shorttitle",',
        "project_defaults[2]", "expected a key of this file, found 'trial.shorttitle'",
    ),
    # tests and panels
    "test of two panels": (
        'tests = ["HIVRNA"]', 'tests = ["HIVRNA", "CD4"]', "panels",
        "expected test 'CD4' in one panel, found it 2 times",
    ),
    "test of no panel": (
        'tests = ["HCG", "HCGSPEC"]', 'tests = ["HCG"]',
        "tests[#] (HCGSPEC)", "expected in a panel or among infusions.monitoring_tests",
    ),
    "monitoring test in a panel": (
        'monitoring_tests = ["M_TEMP", ', 'monitoring_tests = ["TEMP", "M_TEMP", ',
        "infusions.monitoring_tests", "expected tests that are in no panel, found 'TEMP'",
    ),
    "unknown monitoring test": (
        'monitoring_tests = ["M_TEMP", ', 'monitoring_tests = ["M_TEM", "M_TEMP", ',
        "infusions.monitoring_tests", "expected the code of a test, found 'M_TEM'",
    ),
    "monitoring test twice": (
        'monitoring_tests = ["M_TEMP", ', 'monitoring_tests = ["M_TEMP", "M_TEMP", ',
        "infusions.monitoring_tests", "expected each test once, found 'M_TEMP' 2 times",
    ),
    "choice without choices": (
        'kind = "text"', 'kind = "choice"', "tests[#] (PEDESC).choices", "expected at least one choice",
    ),
    "choices of a text": (
        'kind = "choice"\nchoices = [\n  { code = "URINE"', 'kind = "text"\nchoices = [\n  { code = "URINE"',
        "tests[#] (HCGSPEC).choices", "expected none for a test of kind 'text'",
    ),
    "bounds of a text": (
        'kind = "text"', 'kind = "text"\npossible = [0, 1]',
        "tests[#] (PEDESC).possible", "expected none for a test of kind 'text'",
    ),
    "number without bounds": (
        "possible = [0, 5000]\nplausible = [20, 700]", "plausible = [20, 700]",
        "tests[#] (CD4).possible", "expected the lowest and highest possible value",
    ),
    "plausible outside possible": (
        "plausible = [20, 700]", "plausible = [20, 7000]",
        "tests[#] (CD4).plausible", "expected bounds inside the possible ones, 0 to 5000",
    ),
    "plausible upside down": (
        "plausible = [20, 700]", "plausible = [700, 20]", "tests[#] (CD4).plausible", "expected [low, high]",
    ),
    "unit twice": (
        'unit = "mg/dL", ucum = "mg/dL", factor = 17.104', 'unit = "µmol/L", ucum = "mg/dL", factor = 17.104',
        "tests[#] (BILI).units", "expected each unit once, found 'µmol/L' 2 times",
    ),
    "UCUM code twice": (
        'unit = "mg/dL", ucum = "mg/dL", factor = 17.104', 'unit = "mg/dL", ucum = "umol/L", factor = 17.104',
        "tests[#] (BILI).units", "expected each UCUM code once, found 'umol/L' 2 times",
    ),
    "unit without factor": ("factor = 17.104, ", "", "tests[#] (BILI).units[0].factor", NO_TABLE),
    "factor of nothing": ("factor = 17.104", "factor = 0", "tests[#] (BILI).units[0].factor", "expected a number above 0"),
    "factor below nothing": (
        "factor = 17.104", "factor = -1", "tests[#] (BILI).units[0].factor", "expected a number above 0",
    ),
    "unit that is not UCUM": (
        'ucum = "umol/L"', 'ucum = "µmol/L"', "tests[#] (BILI).ucum", "expected a unit in UCUM's case-sensitive codes",
    ),
    "unit without UCUM": (
        'ucum = "mg/dL", factor = 17.104', 'ucum = "", factor = 17.104', "tests[#] (BILI).units[0].ucum",
        "expected some text",
    ),
    "other units without the own": (
        'ucum = "umol/L"\n', "", "tests[#] (BILI).ucum", "expected, for there are other units beside it",
    ),
    "other units of a computed test": (
        'computed = { as = "ratio"', 'units = [{ unit = "%", ucum = "%", factor = 1 }]\ncomputed = { as = "ratio"',
        "tests[#] (CD4CD8).units", "expected none for a computed test",
    ),
    "units of a text": (
        'kind = "text"', 'kind = "text"\nunits = [{ unit = "%", ucum = "%", factor = 1 }]',
        "tests[#] (PEDESC).units", "expected none for a test of kind 'text'",
    ),
    "computed from a word": (
        'of = ["CD4", "CD8"]', 'of = ["CD4", "HCG"]', "tests[#] (CD4CD8).computed.of",
        "expected numbers that are entered",
    ),
    "computed from a computed one": (
        'of = ["CD4", "CD8"]', 'of = ["CD4", "NVCD4"]', "tests[#] (CD4CD8).computed.of",
        "expected numbers that are entered",
    ),
    "computed from nothing": (
        'of = ["CD4", "CD8"]', 'of = ["CD4", "CD80"]', "tests[#] (CD4CD8).computed.of",
        "expected the code of a test",
    ),
    "computed from another visit's": (
        'of = ["CD4", "CD8"]', 'of = ["CD4", "HSCRP"]',
        "tests[#] (CD4CD8).computed.of", "expected 'HSCRP' at visit SCR too",
    ),
    "computed with an operator": (
        'computed = { as = "ratio", ', 'operators = ["<"]\ncomputed = { as = "ratio", ',
        "tests[#] (CD4CD8).operators", "expected none for a computed test",
    ),
    # visits
    "visits out of order": ("day = 35", "day = 21", "visits[4] (W5).day", "expected a day after 28, found 21"),
    "no day 0": ("day = 0", "day = 1", "visits", "expected one visit on day 0"),
    "screening after day 0": (
        'day = 7\nbefore = 3\nafter = 3\nphase = "treatment"', 'day = 7\nphase = "screening"',
        "visits[2] (W1).phase", "expected 'screening' exactly for the visits before day 0",
    ),
    "panel twice at a visit": (
        'panels = ["vital_signs", "haematology", "chemistry", "inflammation"]',
        'panels = ["chemistry", "haematology", "chemistry"]',
        "visits[2] (W1).panels", "expected each panel once, found 'chemistry' 2 times",
    ),
    "visit after the end": (
        "follow_up_days = 336", "follow_up_days = 335",
        "visits[10] (W48).day", "expected at most 335 (trial.follow_up_days), found 336",
    ),
    # infusions
    "infusion left out": (
        "infusion = 2\n", "", "visits", "expected infusions [1, 2, 3] in this order, found [1, 3]",
    ),
    "infusion twice": (
        "infusion = 2\n", "infusion = 1\n", "visits", "expected infusions [1, 2, 3] in this order, found [1, 1, 3]",
    ),
    "more infusions than visits": (
        "count = 3", "count = 4", "visits", "expected infusions [1, 2, 3, 4] in this order, found [1, 2, 3]",
    ),
    "infusions too close": (
        "least_days_between = 21", "least_days_between = 30",
        "infusions.least_days_between", "expected at most the 28 days planned from W0 to W4, found 30",
    ),
    "minutes out of order": (
        "monitoring_minutes = [0, 15, 30, 45, 60]", "monitoring_minutes = [0, 30, 15]",
        "infusions.monitoring_minutes", "expected rising minutes",
    ),
    "minutes without tests": (
        "monitoring_minutes = [0, 15, 30, 45, 60]", "monitoring_minutes = []",
        "infusions.monitoring_minutes", "expected monitoring_tests and minutes, or neither",
    ),
    "volumes upside down": (
        "volume_ml = [50, 150]", "volume_ml = [150, 50]", "infusions.volume_ml", "expected [low, high]",
    ),
    "unknown weight": (
        'weight_test = "WEIGHT"', 'weight_test = "MASS"',
        "infusions.weight_test", "expected the code of a test, found 'MASS'",
    ),
    "weight in pounds": (
        'unit = "kg"', 'unit = "lb"', "infusions.weight_test", "expected a number in kg, found 'WEIGHT'",
    ),
    "weight in words": (
        'weight_test = "WEIGHT"', 'weight_test = "PEDESC"', "infusions.weight_test",
        "expected a number in kg, found 'PEDESC'",
    ),
    # entry
    "bound on a word": (
        'rule = { test = "HCG", equals = "POS"', 'rule = { test = "HCG", above = 1',
        "eligibility.exclusion[3] (E4).rule", "expected equals for 'HCG', which is a test of kind 'choice'",
    ),
    "a word that is no choice": (
        'rule = { test = "HCG", equals = "POS"', 'rule = { test = "HCG", equals = "positive"',
        "eligibility.exclusion[3] (E4).rule", "expected a choice of 'HCG' ['NEG', 'POS'], found 'positive'",
    ),
    "a rule on what is measured later": (
        'test = "CD4", above = 50', 'test = "M_TEMP", above = 36',
        "eligibility.inclusion[2] (I3).rule", "expected a test of a visit until day 0, found 'M_TEMP'",
    ),
    "block size no multiple": (
        "block_sizes = [2, 4]", "block_sizes = [2, 3]",
        "allocation.block_sizes", "expected multiples of 2, the sum of the arms' ratios, found [3]",
    ),
    "no block size": (
        "block_sizes = [2, 4]", "block_sizes = []", "allocation.block_sizes", "expected at least one block size",
    ),
    "block sizes of an imported list": (
        'method = "permuted_blocks"', 'method = "imported_list"',
        "allocation.block_sizes", "expected none for an imported list",
    ),
    "levels that overlap": (
        'by = "site"', 'by = "test"\ntest = "CD4"\nlevels = [{ code = "A", name = "A", at_most = 150 }, '
        '{ code = "B", name = "B", at_least = 150 }]',
        "allocation.strata[0] (SITE).levels", "found '≤ 150', then '≥ 150'",
    ),
    "levels with a gap": (
        'by = "site"', 'by = "test"\ntest = "CD4"\nlevels = [{ code = "A", name = "A", at_most = 150 }, '
        '{ code = "B", name = "B", above = 160 }]',
        "allocation.strata[0] (SITE).levels", "expected levels that follow one another",
    ),
    "level without limit": (
        'by = "site"', 'by = "test"\ntest = "CD4"\nlevels = [{ code = "A", name = "A" }]',
        "allocation.strata[0] (SITE).levels[0] (A)", "expected a limit",
    ),
    "level of a word": (
        'by = "site"', 'by = "test"\ntest = "CD4"\nlevels = [{ code = "A", name = "A", equals = "low" }]',
        "allocation.strata[0] (SITE)", "expected a choice of 'CD4' [], found 'low'",
    ),
    # stopping
    "more events than patients": (
        "events = 2", "events = 4", "stopping_rules[1] (SENTINEL).events",
        "expected at most 3, the number of patients",
    ),
    "arm scope without arms": (
        'arms = ["MSC"]\nscope = "arm"', 'scope = "arm"',
        "stopping_rules[5] (EMBOLISM_TUMOUR).arms", "expected the arms that are halted",
    ),
    "patient scope of a rate": (
        'scope = "trial"', 'scope = "patient"',
        "stopping_rules[0] (RELATED_G3).scope", "expected 'arm' or 'trial' for a rule of kind 'beta_binomial'",
    ),
    "a constant and alpha": (
        "confidence = 0.90", "confidence = 0.90\nalpha = 0.10",
        "stopping_rules[0] (RELATED_G3)", "expected exactly one of confidence and alpha",
    ),
    "one half of the second condition": (
        "confidence = 0.90", "confidence = 0.90\nunacceptable_rate = 0.3",
        "stopping_rules[0] (RELATED_G3)", "expected unacceptable_rate and least_probability together",
    ),
    "unacceptable below acceptable": (
        "confidence = 0.90", "confidence = 0.90\nunacceptable_rate = 0.05\nleast_probability = 0.5",
        "stopping_rules[0] (RELATED_G3).unacceptable_rate", "expected more than the acceptable 0.10",
    ),
    "looks that fall": (
        'kind = "beta_binomial"\ncounts = { least_grade = 3, related = true }\narms = ["MSC"]\nscope = "trial"\n'
        'blocks = ["randomise", "infuse"]\npatients = 7\nprior = [0.2, 1.8]\nacceptable_rate = 0.10\nconfidence = 0.90',
        'kind = "group_sequential"\ncounts = { least_grade = 3, related = true }\nblocks = ["infuse"]\npatients = 7\n'
        "acceptable_rate = 0.10\nalpha = 0.10\nlooks = [6, 3]",
        "stopping_rules[0] (RELATED_G3).looks", "expected rising numbers, the last of them 7",
    ),
    "sentinels of an arm that is not there": (
        "[review]", '[sentinel]\npatients = 3\ndays_between = 14\narms = ["CELLS"]\nblocks = ["infuse"]\n\n[review]',
        "sentinel.arms", "expected the code of an arm, found 'CELLS'",
    ),
    # the file
    "no TOML": (
        "[trial]", "[trial", "(file)", "expected TOML: Expected ']' at the end of a table declaration (at line",
    ),
    "a date that does not exist": (
        "dated = 2010-09-28", "dated = 2010-02-30", "(file)", "expected TOML: Invalid date",
    ),
    "a key twice": (
        "planned_patients = 13", "id = \"B\"", "(file)", "expected TOML: Cannot overwrite a value (at line",
    ),
    "a number of 5000 digits": ("day = 28", "day = " + "9" * 5000, "(file)", "expected TOML with numbers"),
    "ten thousand brackets": (
        "[2, 4]", "[" * 10_000, "(file)", "expected TOML with numbers and nesting of ordinary size",
    ),
    "no such scale": ('scale = "daids-2.1"', 'scale = "daids-2.0"', "grading.scale", "daids-2.1, found 'daids-2.0'"),
    "no such row": ('["platelets_low"]', '["plates_low"]', "tests[#] (PLAT).grade_rows", "a row of daids-2.1, found 'plates_low'"),
    "a row in other units": (
        'grade_rows = ["anc_low"]', 'grade_rows = ["glucose_low"]', "tests[#] (NEUT).grade_rows",
        "expected a unit of row 'glucose_low' (mg/dL, mmol/L)",
    ),
    "a row that a person grades": ('["anc_low"]', '["rash"]', "tests[#] (NEUT).grade_rows", "which a person grades"),
    "no such answer": ('yes = ["Y"], no', 'yes = ["YES"], no', "tests[#] (GLUC).grade_facts", "a choice of 'GLUCFAST', found 'YES'"),
    "rows without a scale": (
        'scale = "daids-2.1"  # default\nreaction_scale = "ctcae-5.0"', 'reaction_scale = "ctcae-5.0"', "grading.scale",
        "expected, but it is not there",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_names_the_file_the_key_and_what_was_expected(tmp_path, old, new, key, expected):
    assert old in PILOT_TEXT, "the pilot no longer has what this row changes"
    file = tmp_path / "broken.toml"
    file.write_text(PILOT_TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ProtocolError) as caught:
        load(file)
    named = re.compile(re.escape(key).replace(r"\#", "[0-9]+"))
    faults = [fault for fault in caught.value.faults if named.fullmatch(fault.key) and expected in fault.expected]
    assert faults, str(caught.value)
    assert f"{file}: {faults[0].key}: {faults[0].expected}" in str(caught.value).splitlines()


def broken(folder, *changes):
    """The pilot with several changes, as a file."""
    text = PILOT_TEXT
    for old, new in changes:
        changed = re.sub(old, new, text, flags=re.S | re.M)
        assert changed != text, f"the pilot no longer has {old}"
        text = changed
    file = folder / "broken.toml"
    file.write_text(text, encoding="utf-8")
    return file


NO_SCREENING = (r'\[\[visits\]\]\ncode = "SCR".*?(?=\[\[visits\]\])', "")
NO_INFUSIONS = [
    (r"^\[infusions\].*?(?=^# ---)", ""),
    (r"^infusion = \d\n", ""),
    (r"^# --- monitoring.*?(?=^# ===)", ""),
    (r'  "infusions\..*?",\n', ""),
]


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ([NO_SCREENING], "visits", "expected at least one visit of phase 'screening', before day 0"),
        (
            [
                ("^count = 3", "count = 2"),
                ("^infusion = 1\n", ""),
                ("^infusion = 2", "infusion = 1"),
                ("^infusion = 3", "infusion = 2"),
            ],
            "visits[3] (W4).infusion",
            "expected the first infusion on day 0",
        ),
        (
            [('weight_test = "WEIGHT"', 'weight_test = "M_TEMP"'), ('unit = "°C"', 'unit = "kg"')],
            "infusions.weight_test",
            "expected in a panel of a visit until day 0, for the dose",
        ),
        (
            NO_INFUSIONS,
            "stopping_rules[1] (SENTINEL).counts.within_days_of_infusion",
            "expected none in a trial without infusions",
        ),
        (
            NO_INFUSIONS,
            "events_of_interest[0] (INFUSION_REACTION).reactions",
            "expected none in a trial without infusions",
        ),
    ],
    ids=[
        "no screening visit",
        "first infusion late",
        "weight of no visit",
        "reaction without infusion",
        "of interest without infusion",
    ],
)
def test_a_fault_of_several_tables_is_named_too(tmp_path, changes, key, expected):
    with pytest.raises(ProtocolError) as caught:
        load(broken(tmp_path, *changes))
    assert (key, expected) in [(fault.key, fault.expected) for fault in caught.value.faults]


def test_a_trial_may_have_no_infusions(tmp_path):
    protocol = load(
        broken(tmp_path, *NO_INFUSIONS, (", within_days_of_infusion = [0-9]+", ""), ("^reactions = true\n", ""))
    )
    assert protocol.infusions is None


def test_all_faults_of_a_file_are_told_at_once(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text(PILOT_TEXT.replace("day = 35", "day = 21").replace("[2, 4]", "[3]"), encoding="utf-8")
    with pytest.raises(ProtocolError) as caught:
        load(file)
    assert [fault.key for fault in caught.value.faults] == ["visits[4] (W5).day", "allocation.block_sizes"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ProtocolError, match=r"nowhere\.toml: \(file\): expected a readable file: No such file"):
        load(tmp_path / "nowhere.toml")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ProtocolError, match=r"\(file\): expected a readable file: Is a directory"):
        load(tmp_path)


def test_a_file_in_another_encoding_is_named(tmp_path):
    file = tmp_path / "latin.toml"
    file.write_bytes('title = "caf\xe9"'.encode("latin-1"))
    with pytest.raises(ProtocolError, match=r"\(file\): expected text in UTF-8, found byte 0xe9 at position 12"):
        load(file)


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path, pilot):
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf" + PILOT_TEXT.replace("\n", "\r\n").encode())
    assert load(file) == pilot


def test_an_empty_file_names_every_missing_table(tmp_path):
    file = tmp_path / "empty.toml"
    file.write_text("")
    with pytest.raises(ProtocolError) as caught:
        load(file)
    assert {fault.key for fault in caught.value.faults} == {
        "trial", "consent_forms", "products", "arms", "allocation", "eligibility", "tests", "panels", "visits",
    }  # fmt: skip


# --- versions -----------------------------------------------------------------------------------


def write_version(folder, name, *changes):
    text = PILOT_TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / name).write_text(text, encoding="utf-8")


NEXT = ('\nversion = "1.0"', '\nversion = "1.1"')
NEXT_DATE = ("\ndated = 2010-09-28", "\ndated = 2012-03-01")


def test_versions_of_a_folder_come_oldest_first(tmp_path):
    write_version(tmp_path, "a-later.toml", NEXT, NEXT_DATE)
    write_version(tmp_path, "b-first.toml")
    assert list(load_versions(tmp_path)) == ["1.0", "1.1"]
    assert load_versions(tmp_path)["1.1"].trial.dated == date(2012, 3, 1)


def test_a_single_file_is_its_only_version():
    assert list(load_versions(PILOT)) == ["1.0"]


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ([NEXT_DATE], "trial.version", "expected a version of its own, found '1.0' as in 1.toml"),
        ([NEXT], "trial.dated", "expected a date of its own, found 2010-09-28 as in 1.toml"),
        ([NEXT, NEXT_DATE, ('"UCMSC_INR"', '"OTHER"')], "trial.id", "expected 'UCMSC_INR' as in 1.toml, found 'OTHER'"),
    ],
    ids=["version", "date", "trial"],
)
def test_two_files_of_a_folder_may_not_contradict_each_other(tmp_path, changes, key, expected):
    write_version(tmp_path, "1.toml")
    write_version(tmp_path, "2.toml", *changes)
    with pytest.raises(ProtocolError) as caught:
        load_versions(tmp_path)
    assert str(caught.value) == f"{tmp_path / '2.toml'}: {key}: {expected}"


def test_a_folder_without_files_is_named(tmp_path):
    with pytest.raises(ProtocolError, match=r"\(folder\): expected at least one \.toml file"):
        load_versions(tmp_path)


# --- the command --------------------------------------------------------------------------------


def check_protocol(path, var):
    """Run the command as a person would, where no database can be reached and none may be started."""
    blank = {"TRIALSITE_PROFILE", "DATABASE_URL", "MIGRATION_DATABASE_URL", "TRIAL_PROTOCOL", "DJANGO_SETTINGS_MODULE"}
    environment = {key: value for key, value in os.environ.items() if key not in blank}
    environment |= {"TRIALSITE_VAR": str(var), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "manage.py", "check_protocol", str(path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_check_protocol_says_what_is_in_a_sound_file_and_starts_nothing(tmp_path):
    done = check_protocol(PILOT, tmp_path / "var")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "UCMSC_INR version 1.0 of 2010-09-28: 2 arms, 11 visits, 11 panels, 77 tests, 3 infusions, "
        "14 criteria, 7 stopping rules. No fault found.\nzh-hans/1.0.toml is complete.\n"
    )
    assert not list(tmp_path.rglob("postmaster.pid"))


def test_check_protocol_names_the_faults_and_fails(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text(PILOT_TEXT.replace("before = 7", "before = -7", 1), encoding="utf-8")
    done = check_protocol(file, tmp_path / "var")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{file}: visits[7] (W12).before: expected at least 0 (found -7)" in done.stderr
    assert "Traceback" not in done.stderr


# --- another language ---------------------------------------------------------------------------

CHINESE = PILOT.parent / "zh-hans" / PILOT.name


def translated(folder, text):
    """The pilot in `folder` with this text as its Chinese translation."""
    (folder / "1.toml").write_text(PILOT_TEXT, encoding="utf-8")
    (folder / "zh-hans").mkdir()
    file = folder / "zh-hans" / "1.toml"
    file.write_text(text, encoding="utf-8")
    return file


def without_texts(part):
    """All that is stored, compared and computed: the protocol without what people read."""
    if isinstance(part, Part):
        texts = {
            "name",
            "label",
            "text",
            "help",
            "instructions",
            "specimen",
            "short_title",
            "title",
            "sponsor",
            "indication",
            "route",
        }
        kept = set(type(part).model_fields) - texts - ({"phase"} if type(part).__name__ == "Trial" else set())
        return {name: without_texts(getattr(part, name)) for name in kept}
    return [without_texts(item) for item in part] if isinstance(part, tuple) else part


def test_the_pilot_is_translated_completely():
    for language, files in translations_of(PILOT.parent).items():
        for file in files:
            assert load_translation(file).missing == (), language


def test_a_translation_changes_texts_and_nothing_else(pilot):
    chinese = load_translation(CHINESE).protocol
    assert without_texts(chinese) == without_texts(pilot)
    assert (chinese.test("WEIGHT").name, chinese.visit("W4").name) == ("体重", "第 4 周，第 2 次输注")
    assert chinese.test("HCG").choice_label("POS") == "阳性"
    assert chinese.panel("virology").specimen == "EDTA 血浆"
    assert chinese.eligibility.inclusion[8].text == "能够且愿意签署知情同意书"


def test_words_that_are_compared_are_only_shown_otherwise(pilot):
    chinese = load_translation(CHINESE).protocol
    there, here = (
        {test.code: test for test in protocol.product("UCMSC").release_tests} for protocol in (chinese, pilot)
    )
    assert (there["STERILITY"].equals, there["STERILITY"].equals_label) == ("negative", "阴性")
    assert there["STERILITY"].words() == "阴性" and there["VIABILITY"].words() == "> 80"
    assert here["STERILITY"].words() == here["STERILITY"].equals_label == "negative"
    assert chinese.infusions.reaction_terms == pilot.infusions.reaction_terms
    assert chinese.infusions.reaction_label("Fever") == "发热" and pilot.infusions.reaction_label("Fever") == "Fever"


def test_versions_come_in_a_language_where_they_are_translated(tmp_path):
    translated(tmp_path, '[visits]\nSCR = "筛选"')
    write_version(tmp_path, "2.toml", NEXT, NEXT_DATE)
    there, here = load_versions(tmp_path, "zh-hans"), load_versions(tmp_path)
    assert [protocol.visit("SCR").name for protocol in there.values()] == ["筛选", "Screening"]
    assert [protocol.visit("SCR").name for protocol in here.values()] == ["Screening", "Screening"]
    assert there["1.0"].visit("W1").name == "Week 1"  # a text that is missing stays as it was


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '[visits]\nSRC = "x"',
            "visits.SRC: expected the key of a text of the protocol file; did you mean visits.SCR?",
        ),
        ('[tests.WEIGHT]\nunit = "斤"', "tests.WEIGHT.unit: expected the key of a text of the protocol file"),
        ("[tests.WEIGHT]\nname = 5", "tests.WEIGHT.name: expected text in quotes (found 5)"),
        ('[tests.WEIGHT]\nname = " "', "tests.WEIGHT.name: expected some text"),
        ('tests = "x"', "tests: expected the key of a text of the protocol file"),
        (
            '[specimens]\n"EDTA  blood" = "x"',
            "specimens.'EDTA  blood': expected the key of a text of the protocol file",
        ),
        ("[visits", "(file): expected TOML"),
    ],
)
def test_a_fault_of_a_translation_is_named(tmp_path, text, fault):
    file = translated(tmp_path, text)
    with pytest.raises(ProtocolError) as caught:
        load_versions(tmp_path, "zh-hans")
    assert str(caught.value).startswith(f"{file}: {fault}")


def test_a_translation_of_no_protocol_file_is_named(tmp_path):
    file = translated(tmp_path, "")
    file.rename(file.with_name("2.toml"))
    with pytest.raises(ProtocolError) as caught:
        translations_of(tmp_path)
    assert f"{file.with_name('2.toml')}: (file): expected the name of a protocol file" in str(caught.value)


@pytest.mark.parametrize(
    "file", [PILOT, OTHER, OTHER.parent / "amended" / "1.0.toml"], ids=lambda file: file.parent.name
)
def test_check_protocol_finds_no_fault_in_a_file_of_ours_whatever_stands_beside_it(file, tmp_path):
    done = check_protocol(file, tmp_path / "var")
    assert "No fault found." in done.stdout and done.returncode == 0, done.stderr
    assert f"zh-hans/{file.name} is complete." in done.stdout


def test_check_protocol_tells_what_is_not_translated(tmp_path):
    translated(tmp_path, CHINESE.read_text(encoding="utf-8").replace('SCR = "筛选"', ""))
    done = check_protocol(tmp_path, tmp_path / "var")
    assert "zh-hans/1.toml lacks 1 of its texts: visits.SCR\n" in done.stdout


# --- the documentation --------------------------------------------------------------------------


def documented():
    """Class name -> {key: (default, example)} of docs/protocol.md."""
    sections = re.split(r"^## (\w+)\n", (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"), flags=re.M)
    return {
        name: {
            cells[1].strip(" `"): (cells[3].strip(" `"), cells[5].strip()[1:-1])
            for cells in (line.split(" |") for line in body.splitlines() if line.startswith("| `"))
            for cells in [["", cells[0].lstrip("| "), *cells[1:]]]
        }
        for name, body in zip(sections[1::2], sections[2::2], strict=True)
    }


def own_fields(part):
    return {
        field.alias or name: field
        for name, field in part.model_fields.items()
        if not any(name in base.model_fields for base in part.__bases__)
    }


# one that only binds what another has has nothing to document
WITH_KEYS = [part for part in parts() if own_fields(part)]


@pytest.mark.parametrize("part", WITH_KEYS, ids=lambda part: part.__name__)
def test_the_documentation_lists_every_key_of_every_table(part):
    rows = documented()[part.__name__]
    fields = own_fields(part)
    assert list(rows) == list(fields)
    for key, field in fields.items():
        default, example = rows[key]
        assert default == written(field.default), f"default of {key}"
        assert list(tomllib.loads(example)) == [key], f"example of {key}"


def written(default):
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return {"": '""', (): "[]"}.get(default, f'"{default}"' if isinstance(default, str) else str(default))


def test_the_documentation_knows_no_table_that_is_gone():
    assert set(documented()) - {"Types"} == {part.__name__ for part in WITH_KEYS}


def test_limits_are_told_in_words_without_exponents():
    assert Limit(above=Decimal("5E+5"), at_most=Decimal("1000000")).words() == "> 500000 and ≤ 1000000"

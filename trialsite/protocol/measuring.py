"""What is measured, and when: tests, panels, visits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from trialsite import scales
from trialsite.protocol.tables import (
    CENTURY,
    AboveZero,
    Code,
    Days,
    Fault,
    Flag,
    Loinc,
    Number,
    Part,
    Positive,
    Text,
    Ucum,
    Whole,
    at,
    repeated,
    unknown,
)


class Choice(Part):
    code: Annotated[str, Field(min_length=1, max_length=40)]
    label: Text
    # an answer that a person should look at, e.g. an abnormal finding
    alert: Flag = False

    @property
    def name(self) -> str:
        return self.label


class Reference(Part):
    """Reference range of a test; without `sex` it holds for all."""

    low: Number | None = None
    high: Number | None = None
    sex: Literal["F", "M"] | None = None

    @model_validator(mode="after")
    def is_a_range(self):
        if self.low is None and self.high is None:
            raise ValueError("expected low or high, or both")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"expected low below high, found {self.low} and {self.high}")
        return self


class Unit(Part):
    """Another unit in which a laboratory may report a test: `factor` times its number is that in the test's unit."""

    unit: Text
    ucum: Ucum = Field(min_length=1)
    factor: AboveZero
    decimals: Annotated[Whole, Field(ge=0, le=4)] = 0


class Computed(Part):
    """A value worked out from others of the same visit: a / b, or a * b / 100."""

    as_: Literal["ratio", "percent_of"] = Field(alias="as")
    of: tuple[Code, Code]


class GradeFact(Part):
    """Which answers to a test of kind "choice", at the same visit, say that a fact holds, and which that it does not. Of a
    fact that is measured (`acidotic`, by a pH below 7.3) the test alone."""

    fact: scales.Fact
    test: Code
    yes: tuple[Text, ...] = ()
    no: tuple[Text, ...] = ()


class Test(Part):
    """One thing that is measured or asked: a line of a panel.

    Outside `possible` a value is refused; outside `plausible` it is saved and raises a query. Both are
    inclusive."""

    __test__ = False  # not for pytest

    code: Code
    name: Text
    kind: Literal["number", "choice", "text"] = "number"
    unit: str = ""
    ucum: Ucum = ""
    units: tuple[Unit, ...] = ()
    decimals: Annotated[Whole, Field(ge=0, le=4)] = 0
    possible: tuple[Number, Number] | None = None
    plausible: tuple[Number, Number] | None = None
    # only its multiples are values, e.g. 10 for a scale in tens
    step: AboveZero | None = None
    operators: tuple[Literal["<", ">"], ...] = ()
    choices: tuple[Choice, ...] = ()
    reference: tuple[Reference, ...] = ()
    computed: Computed | None = None
    required: Flag = True
    # compared with the source by the monitor (source data verification)
    verify: Flag = False
    # may the value of the visit before be taken over with one key? Not where each has to be read anew
    repeats: Flag = True
    # the rows of the grading scale for its results
    grade_rows: tuple[str, ...] = ()
    grade_facts: tuple[GradeFact, ...] = ()
    specimen: str = ""
    loinc: Loinc = ""
    help: str = ""

    def reference_for(self, sex: str) -> Reference | None:
        fitting = [r for r in self.reference if r.sex in (None, sex)]
        return min(fitting, key=lambda r: r.sex is None) if fitting else None

    def choice_label(self, code: str) -> str:
        return next((choice.label for choice in self.choices if choice.code == code), code)


class Panel(Part):
    """A form of a visit: tests that are taken together."""

    code: Code
    name: Text
    tests: tuple[Code, ...] = Field(min_length=1)
    specimen: str = ""
    instructions: str = ""
    only_for_sex: Literal["F", "M"] | None = None


class Visit(Part):
    """A planned visit: `day` from day 0, allowed from `day - before` to `day + after` (days)."""

    code: Code
    name: Text
    day: Annotated[Whole, Field(ge=-CENTURY, le=CENTURY)]
    before: Days = 0
    after: Days = 0
    phase: Literal["screening", "treatment", "follow_up"]
    infusion: Positive | None = None
    panels: tuple[Code, ...] = ()


def faults_of_tests(p) -> Iterator[Fault]:
    known = p.by_code["tests"]
    monitoring = p.infusions.monitoring_tests if p.infusions else ()
    for i, panel in enumerate(p.panels):
        yield from unknown(f"{at('panels', i, panel)}.tests", panel.tests, known, "a test")
    # each test has one home, so that its code says where its values are
    homes = Counter(code for panel in p.panels for code in panel.tests)
    for code, times in homes.items():
        if times > 1:
            yield Fault("panels", f"expected test {code!r} in one panel, found it {times} times")
    yield from unknown("infusions.monitoring_tests", monitoring, known, "a test")
    yield from repeated("infusions.monitoring_tests", monitoring, "each test")
    for code in monitoring:
        if code in homes:
            expected = f"expected tests that are in no panel, found {code!r}: give it a code of its own"
            yield Fault("infusions.monitoring_tests", expected)

    for i, test in enumerate(p.tests):
        key = at("tests", i, test)
        if test.code not in homes and test.code not in monitoring:
            yield Fault(key, "expected in a panel or among infusions.monitoring_tests, found in neither")
        if test.verify and (test.computed or test.code in monitoring):
            yield Fault(f"{key}.verify", "expected only for a test that is entered in a panel")
        if test.kind == "choice" and not test.choices:
            yield Fault(f"{key}.choices", "expected at least one choice for a test of kind 'choice'")
        if test.kind != "choice" and test.choices:
            yield Fault(f"{key}.choices", f"expected none for a test of kind {test.kind!r}")
        yield from repeated(f"{key}.choices", (choice.code for choice in test.choices))
        if test.kind != "number":
            for name in (
                "unit",
                "ucum",
                "units",
                "possible",
                "plausible",
                "step",
                "operators",
                "reference",
                "computed",
            ):
                if getattr(test, name):
                    yield Fault(f"{key}.{name}", f"expected none for a test of kind {test.kind!r}")
            continue
        if not test.computed and not test.possible:
            yield Fault(f"{key}.possible", "expected the lowest and highest possible value of a number")
        for name in ("possible", "plausible"):
            bounds = getattr(test, name)
            if bounds and bounds[0] > bounds[1]:
                yield Fault(f"{key}.{name}", f"expected [low, high], found {bounds[0]} before {bounds[1]}")
        if test.step and test.computed:
            yield Fault(f"{key}.step", "expected none for a computed test")
        elif test.step and test.possible and any(bound % test.step for bound in test.possible):
            low, high = test.possible
            yield Fault(f"{key}.step", f"expected one of which {low} and {high} (possible) are multiples")
        outer, inner = test.possible, test.plausible
        if outer and inner and not (outer[0] <= inner[0] and inner[1] <= outer[1]):
            expected = f"expected bounds inside the possible ones, {outer[0]} to {outer[1]}"
            yield Fault(f"{key}.plausible", expected)
        yield from repeated(f"{key}.reference", (r.sex or "(all)" for r in test.reference), "each sex")
        yield from _faults_of_units(test, key)
        if test.computed:
            yield from _faults_of_computed(p, test, f"{key}.computed")


def _faults_of_units(test: Test, key: str) -> Iterator[Fault]:
    if not test.units:
        return
    if test.computed:
        yield Fault(f"{key}.units", "expected none for a computed test")
    for name in ("unit", "ucum"):
        if not getattr(test, name):
            yield Fault(f"{key}.{name}", "expected, for there are other units beside it")
    yield from repeated(f"{key}.units", (test.unit, *(other.unit for other in test.units)), "each unit")
    yield from repeated(f"{key}.units", (test.ucum, *(other.ucum for other in test.units)), "each UCUM code")


def _faults_of_computed(p, test: Test, key: str) -> Iterator[Fault]:
    known = p.by_code["tests"]
    yield from unknown(f"{key}.of", test.computed.of, known, "a test")
    sources = [known[code] for code in test.computed.of if code in known]
    for source in sources:
        if source.kind != "number" or source.computed:
            yield Fault(f"{key}.of", f"expected numbers that are entered, found {source.code!r}")
    if test.operators:
        yield Fault(f"{key.removesuffix('.computed')}.operators", "expected none for a computed test")
    home = {code: panel.code for panel in p.panels for code in panel.tests}
    for visit in p.visits:
        if home.get(test.code) in visit.panels:
            for source in sources:
                if home.get(source.code) not in visit.panels:
                    expected = f"expected {source.code!r} at visit {visit.code} too, to compute from"
                    yield Fault(f"{key}.of", expected)


def faults_of_visits(p) -> Iterator[Fault]:
    for i, visit in enumerate(p.visits):
        key = at("visits", i, visit)
        yield from unknown(f"{key}.panels", visit.panels, p.by_code["panels"], "a panel")
        yield from repeated(f"{key}.panels", visit.panels, "each panel")
        if (visit.day < 0) != (visit.phase == "screening"):
            yield Fault(f"{key}.phase", "expected 'screening' exactly for the visits before day 0")
        if visit.day > p.trial.follow_up_days:
            expected = f"expected at most {p.trial.follow_up_days} (trial.follow_up_days), found {visit.day}"
            yield Fault(f"{key}.day", expected)
    for i, (earlier, later) in enumerate(pairwise(p.visits), start=1):
        if later.day <= earlier.day:
            expected = f"expected a day after {earlier.day}, found {later.day}"
            yield Fault(f"{at('visits', i, later)}.day", expected)
    if not any(visit.day == 0 for visit in p.visits):
        yield Fault("visits", "expected one visit on day 0")
    if not p.screening_visits:
        yield Fault("visits", "expected at least one visit of phase 'screening', before day 0")


def measured_until_day_0(p) -> set[str]:
    known = p.by_code["panels"]
    panels = [known[code] for visit in p.visits if visit.day <= 0 for code in visit.panels if code in known]
    return {code for panel in panels for code in panel.tests}

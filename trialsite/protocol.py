"""The trial protocol as data: the only place that knows the shape of a protocol file.

A protocol version is one TOML file, read with `load(path)` into frozen, validated classes. Pure Python:
no Django here. A fault names the file, the key and what was expected. All faults of shape (keys, types,
limits of one table) are told at once; when there is none, all faults between tables are.
docs/protocol.md lists every key.

A translation is a second file with texts alone, in a folder named after its language beside the protocol file.
It gives the same Protocol with other names in it: codes, numbers and all that is stored or compared stay.

Numbers are `Decimal` throughout (TOML floats are never made binary). Days count from day 0, the day of the
first infusion (or of randomisation in a trial without infusions); minutes count from the start of an
infusion.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from difflib import get_close_matches
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from trialsite import scales
from trialsite.protocol_parts import (
    CENTURY,
    CODE,
    NOT_BLANK,
    AboveZero,
    Code,
    Day,
    Days,
    DictionaryName,
    Fault,
    Flag,
    Loinc,
    Minutes,
    Number,
    Part,
    Percent,
    Positive,
    ProtocolError,
    Text,
    Ucum,
    Whole,
)
from trialsite.protocol_parts import at as _at
from trialsite.protocol_parts import repeated as _repeated
from trialsite.protocol_parts import unknown as _unknown
from trialsite.safety_reporting import ExpectedEvent, ReportingDuty, faults_of_reporting
from trialsite.stopping_rules import EventOfInterest, Sentinel, StoppingRule, faults_of_stopping

# --- what is given ----------------------------------------------------------------------------


class Dose(Part):
    """Exactly one of `per_kg` (units per kg of body weight) and `absolute` (units per infusion)."""

    per_kg: AboveZero | None = None
    absolute: AboveZero | None = None
    unit: Text
    tolerance_percent: Percent

    @model_validator(mode="after")
    def one_way_to_dose(self):
        if (self.per_kg is None) == (self.absolute is None):
            raise ValueError("expected exactly one of per_kg and absolute")
        return self


class Limit(Part):
    """A bound on a number, or a word that a result must equal. Bounds that are absent do not bind."""

    above: Number | None = None
    at_least: Number | None = None
    below: Number | None = None
    at_most: Number | None = None
    equals: Text | None = None

    @model_validator(mode="after")
    def can_be_met(self):
        if self.above is not None and self.at_least is not None:
            raise ValueError("expected above or at_least, not both")
        if self.below is not None and self.at_most is not None:
            raise ValueError("expected below or at_most, not both")
        if self.equals is not None and self.has_bounds:
            raise ValueError("expected bounds on a number or equals, not both")
        if self.low is not None and self.high is not None:
            strict = self.above is not None or self.below is not None
            if self.low > self.high or (strict and self.low == self.high):
                raise ValueError(f"expected limits that a number can meet, found {self.words()}")
        return self

    @property
    def low(self) -> Decimal | None:
        return self.at_least if self.above is None else self.above

    @property
    def high(self) -> Decimal | None:
        return self.at_most if self.below is None else self.below

    @property
    def has_bounds(self) -> bool:
        return self.low is not None or self.high is not None

    @property
    def is_empty(self) -> bool:
        return not self.has_bounds and self.equals is None

    def words(self) -> str:
        bounds = (("> ", self.above), ("≥ ", self.at_least), ("< ", self.below), ("≤ ", self.at_most))
        words = [f"{sign}{bound:f}" for sign, bound in bounds if bound is not None]
        return " and ".join(words if self.equals is None else [*words, self.equals])


class ReleaseTest(Limit):
    """A test a product lot must pass before it may be used."""

    code: Code
    name: Text
    unit: str = ""

    _equals_label: str = PrivateAttr("")

    @property
    def equals_label(self) -> str:
        """The word in `equals` as it is shown; what is stored and compared is `equals`."""
        return self._equals_label or self.equals or ""

    def words(self) -> str:
        return self.equals_label or super().words()

    def result_told(self, result: str) -> str:
        """A result as it is shown."""
        return self.equals_label if result == self.equals else result

    @model_validator(mode="after")
    def has_a_limit(self):
        if self.is_empty:
            raise ValueError("expected a limit: above, at_least, below, at_most or equals")
        return self


class Product(Part):
    code: Code
    name: Text
    is_cell_product: Flag = False
    dose: Dose
    release_tests: tuple[ReleaseTest, ...] = ()


class Arm(Part):
    code: Code
    name: Text
    ratio: Positive = 1
    product: Code


class Infusions(Part):
    """How infusions are given and watched. Which visit has which infusion stands at the visit.

    `volume_ml` is what may be given at one infusion, [lowest, highest]. `weight_test` (in kg) stands in a
    panel; the `monitoring_tests` stand in none: they are asked at each of the `monitoring_minutes`."""

    count: Positive
    route: Text
    volume_ml: tuple[AboveZero, AboveZero]
    least_days_between: Days
    monitoring_minutes: tuple[Minutes, ...]
    monitoring_tests: tuple[Code, ...]
    reaction_window_days: Days
    reaction_terms: tuple[Text, ...] = ()
    weight_test: Code

    _reaction_labels: dict[str, str] = PrivateAttr(default_factory=dict)

    def reaction_label(self, term: str) -> str:
        """A term of the checklist as it is shown; what is stored, and coded, is the term."""
        return self._reaction_labels.get(term, term)


# --- who is let in, and to which arm -------------------------------------------------------------


class Rule(Limit):
    """What computes a criterion: a limit on a test result or a fact about the patient, or any/all of several.

    A result counts only when it was collected at most `within_days` before the day of assessment."""

    test: Code | None = None
    fact: Literal["age_years", "art_months", "months_suppressed"] | None = None
    within_days: Days | None = None
    any: tuple[Rule, ...] = ()
    all: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def one_kind(self):
        kinds = [bool(self.test), bool(self.fact), bool(self.any), bool(self.all)]
        if sum(kinds) != 1:
            raise ValueError("expected exactly one of test, fact, any, all")
        if (self.test or self.fact) and self.is_empty:
            raise ValueError("expected a limit: above, at_least, below, at_most or equals")
        if self.fact and (self.equals is not None or self.within_days is not None):
            raise ValueError("expected only above, at_least, below, at_most beside a fact")
        if (self.any or self.all) and not (self.is_empty and self.within_days is None):
            raise ValueError("expected limits and within_days inside any and all, not beside them")
        return self

    def leaves(self) -> Iterator[Rule]:
        if self.test or self.fact:
            yield self
        for part in (*self.any, *self.all):
            yield from part.leaves()


class Criterion(Part):
    """One eligibility criterion. Without a `rule` a person answers; with one, the rule proposes the answer.

    The rule says when the criterion's text is true: an inclusion criterion must be, an exclusion one not."""

    code: Code
    text: Text
    rule: Rule | None = None
    only_for_sex: Literal["F", "M"] | None = None


class Eligibility(Part):
    inclusion: tuple[Criterion, ...] = Field(min_length=1)
    exclusion: tuple[Criterion, ...] = ()

    @cached_property
    def criteria(self) -> tuple[Criterion, ...]:
        return (*self.inclusion, *self.exclusion)

    def is_exclusion(self, code: str) -> bool:
        return any(criterion.code == code for criterion in self.exclusion)


class Level(Limit):
    """One level of a stratification factor. The levels follow one another, without overlap or gap."""

    code: Code
    name: Text

    @model_validator(mode="after")
    def has_a_limit(self):
        if self.is_empty:
            raise ValueError("expected a limit: above, at_least, below, at_most or equals")
        return self


class Factor(Part):
    """A stratification factor: the site, the sex, or a test result cut into levels."""

    code: Code
    by: Literal["site", "sex", "test"]
    test: Code | None = None
    levels: tuple[Level, ...] = ()

    @model_validator(mode="after")
    def levels_belong_to_tests(self):
        if (self.by == "test") != bool(self.test and self.levels):
            raise ValueError("expected test and levels exactly when by = 'test'")
        return self


class Allocation(Part):
    """`block_sizes` are whole blocks (patients per block), one drawn at random for each block."""

    method: Literal["permuted_blocks", "imported_list"]
    block_sizes: tuple[Positive, ...] = ()
    strata: tuple[Factor, ...] = ()


# --- what is measured, and when ------------------------------------------------------------------


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
    """Which answers to a test of kind "choice", at the same visit, say that a fact holds, and which that it does not."""

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
    operators: tuple[Literal["<", ">"], ...] = ()
    choices: tuple[Choice, ...] = ()
    reference: tuple[Reference, ...] = ()
    computed: Computed | None = None
    required: Flag = True
    # compared with the source by the monitor (source data verification)
    verify: Flag = False
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


# --- what is checked again -----------------------------------------------------------------------

WholeRecord = Literal["infusions", "adverse_events", "consents", "eligibility", "histories", "medications"]
SignedRecord = Literal[WholeRecord, "panels", "casebook"]


class ReviewPlan(Part):
    """Which records are verified against the source as a whole, and which the investigator signs.

    Of panels, those tests are verified that say so themselves (`tests.verify`)."""

    verify: tuple[WholeRecord, ...] = ()
    sign: tuple[SignedRecord, ...] = ()


class CodingPlan(Part):
    """With which dictionary each kind of term is coded (none: it is not), and whether an exact match needs approval."""

    adverse_events: DictionaryName = "CTCAE"
    medical_history: DictionaryName = "CTCAE"
    indications: DictionaryName = "CTCAE"
    medications: DictionaryName = ""
    approve_exact: Flag = False


# --- what is watched -----------------------------------------------------------------------------


class Population(Part):
    """What holds of every patient, as far as rows of a scale ask for it; None where it depends on the result."""

    fasting: Flag | None = None
    non_axillary: Flag | None = None
    hiv_infected: Flag | None = None
    anticoagulated: Flag | None = None

    @property
    def facts(self) -> dict[str, bool]:
        return {name: known for name in scales.FACTS if (known := getattr(self, name)) is not None}


class GradingPlan(Part):
    """By which scale results are graded (and by which infusion reactions), which facts hold of all patients, and from
    which grade on a result proposes an adverse event, in general and where it is worse than the baseline."""

    scale: Text
    reaction_scale: Text | None = None
    population: Population | None = None
    propose_from_grade: Annotated[Whole, Field(ge=1, le=4)] | None = None
    propose_worse_from_grade: Annotated[Whole, Field(ge=1, le=4)] | None = None

    def proposes(self, grade: int | None, baseline: int | None) -> bool:
        """Does a result of this grade propose an adverse event? An unknown baseline counts as normal."""
        if not grade:
            return False
        if self.propose_from_grade and grade >= self.propose_from_grade:
            return True
        return (
            bool(self.propose_worse_from_grade) and grade >= self.propose_worse_from_grade and grade > (baseline or 0)
        )


class ConsentForm(Part):
    version: Text
    dated: Day
    languages: tuple[Text, ...] = Field(min_length=1)


class Trial(Part):
    id: Code
    version: Text
    dated: Day
    short_title: Text
    title: Text
    registry: Text
    sponsor: Text
    phase: Text
    masking: Literal["open", "single", "double"]
    planned_patients: Positive
    follow_up_days: Positive
    board_signatures: Positive = 1


class Protocol(Part):
    """One version of a trial's protocol."""

    trial: Trial
    consent_forms: tuple[ConsentForm, ...] = Field(min_length=1)
    products: tuple[Product, ...] = Field(min_length=1)
    arms: tuple[Arm, ...] = Field(min_length=1)
    allocation: Allocation
    infusions: Infusions | None = None
    eligibility: Eligibility
    tests: tuple[Test, ...] = Field(min_length=1)
    panels: tuple[Panel, ...] = Field(min_length=1)
    visits: tuple[Visit, ...] = Field(min_length=1)
    events_of_interest: tuple[EventOfInterest, ...] = ()
    stopping_rules: tuple[StoppingRule, ...] = ()
    sentinel: Sentinel | None = None
    safety_reporting: tuple[ReportingDuty, ...] = ()
    expected_events: tuple[ExpectedEvent, ...] = ()
    review: ReviewPlan | None = None
    grading: GradingPlan | None = None
    coding: CodingPlan | None = None
    # dotted keys whose values no public source gives: they are defaults of this project. The key of a table
    # stands for all that is in it
    project_defaults: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        return self.trial.version

    @property
    def is_masked(self) -> bool:
        return self.trial.masking != "open"

    @property
    def coding_plan(self) -> CodingPlan:
        return self.coding or CodingPlan()

    @cached_property
    def _by_code(self) -> dict[str, dict]:
        kinds = ("products", "arms", "tests", "panels", "visits", "events_of_interest", "stopping_rules")
        return {kind: {item.code: item for item in getattr(self, kind)} for kind in kinds}

    def product(self, code: str) -> Product:
        return self._by_code["products"][code]

    def arm(self, code: str) -> Arm:
        return self._by_code["arms"][code]

    def test(self, code: str) -> Test:
        return self._by_code["tests"][code]

    def choice(self, code: str) -> Choice:
        """A choice by the codes of its test and its own, "HCG/POS"."""
        test, _slash, own = code.partition("/")
        return {choice.code: choice for choice in self.test(test).choices}[own]

    def panel(self, code: str) -> Panel:
        return self._by_code["panels"][code]

    def visit(self, code: str) -> Visit:
        return self._by_code["visits"][code]

    def tests_of(self, panel: str) -> tuple[Test, ...]:
        return tuple(self.test(code) for code in self.panel(panel).tests)

    def panels_of(self, visit: str, sex: str) -> tuple[Panel, ...]:
        """The panels that a patient of this sex has at this visit."""
        panels = (self.panel(code) for code in self.visit(visit).panels)
        return tuple(panel for panel in panels if panel.only_for_sex in (None, sex))

    @cached_property
    def graded_tests(self) -> frozenset[str]:
        """The codes of the tests whose results are graded."""
        return frozenset(test.code for test in self.tests if test.grade_rows)

    def criteria_for(self, sex: str) -> tuple[Criterion, ...]:
        return tuple(c for c in self.eligibility.criteria if c.only_for_sex in (None, sex))

    def stopping_rule(self, code: str) -> StoppingRule:
        return self._by_code["stopping_rules"][code]

    def visit_of_infusion(self, number: int) -> Visit:
        return next(visit for visit in self.visits if visit.infusion == number)

    @cached_property
    def verified_tests(self) -> frozenset[str]:
        """The codes of the tests that are compared with the source."""
        return frozenset(test.code for test in self.tests if test.verify)

    def is_verified(self, kind: str) -> bool:
        """Are records of this kind compared with the source as a whole?"""
        return self.review is not None and kind in self.review.verify

    def is_signed(self, kind: str) -> bool:
        """Must the investigator sign records of this kind before they are locked?"""
        return self.review is not None and kind in self.review.sign

    @property
    def screening_visits(self) -> tuple[Visit, ...]:
        return tuple(visit for visit in self.visits if visit.phase == "screening")

    @property
    def visits_after_day_0(self) -> tuple[Visit, ...]:
        return tuple(visit for visit in self.visits if visit.phase != "screening")


# --- reading -------------------------------------------------------------------------------------


def load(path: Path | str) -> Protocol:
    """Read one protocol file. Raises ProtocolError with the faults found in it."""
    path = Path(path)
    raw = _read(path)
    try:
        protocol = Protocol.model_validate(raw)
    except ValidationError as error:
        faults = [_fault_of_shape(raw, fault) for fault in error.errors(include_url=False)]
        raise ProtocolError(path, faults) from None
    if faults := list(_find_faults(protocol, raw)):
        raise ProtocolError(path, faults)
    return protocol


def load_versions(path: Path | str, language: str = "") -> dict[str, Protocol]:
    """All versions of one trial, oldest first: from a folder of files, or from a single file.

    In `language` where a version has a translation, else with the texts of the protocol file."""
    path = Path(path)
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise ProtocolError(path, [Fault("(folder)", "expected at least one .toml file")])
    versions: dict[str, tuple[Protocol, Path]] = {}
    for file in files:
        protocol = load(file)
        for other, its_file in versions.values():
            if protocol.trial.id != other.trial.id:
                expected = f"expected {other.trial.id!r} as in {its_file.name}, found {protocol.trial.id!r}"
                raise ProtocolError(file, [Fault("trial.id", expected)])
            if protocol.version == other.version:
                expected = f"expected a version of its own, found {protocol.version!r} as in {its_file.name}"
                raise ProtocolError(file, [Fault("trial.version", expected)])
            if protocol.trial.dated == other.trial.dated:
                # the newest date is the version in force; two of one date would leave it to chance
                expected = f"expected a date of its own, found {protocol.trial.dated} as in {its_file.name}"
                raise ProtocolError(file, [Fault("trial.dated", expected)])
        versions[protocol.version] = protocol, file
    oldest_first = sorted(versions.values(), key=lambda found: found[0].trial.dated)
    for (older, _), (newer, file) in pairwise(oldest_first):
        if faults := list(_faults_between(older, newer)):
            raise ProtocolError(file, faults)
    return {protocol.version: _in_language(protocol, file, language) for protocol, file in oldest_first}


def _in_language(protocol: Protocol, file: Path, language: str) -> Protocol:
    translation = file.parent / language / file.name
    return load_translation(translation).protocol if language and translation.exists() else protocol


class Translation(NamedTuple):
    """A protocol with the texts of a translation, and the keys of the texts that it does not have."""

    protocol: Protocol
    missing: tuple[str, ...]


def load_translation(path: Path | str) -> Translation:
    """Read `LANGUAGE/FILE.toml`, the translation of the protocol file of that name one folder above.

    Where a text is missing that of the protocol file stands. Raises ProtocolError with the faults of either file."""
    path = Path(path)
    file = path.parent.parent / path.name
    own = load(file)
    raw = _read(file)
    known: dict[Key, list[Place]] = {}
    for key, place in _texts(raw):
        known.setdefault(key, []).append(place)
    given = dict(_flat(_read(path)))
    if faults := list(_faults_of_translation(given, known)):
        raise ProtocolError(path, faults)
    for key, text in given.items():
        for table, name in known[key]:
            table[name] = text
    protocol = Protocol.model_validate(raw)
    _show(protocol, given, own)
    return Translation(protocol, tuple(_dotted(key) for key in known if key not in given))


Key = tuple[str, ...]  # of a text, in a translation
Place = tuple[dict, str]  # a table of the protocol file and the name of the text in it


def _texts(raw: dict) -> Iterator[tuple[Key, Place]]:
    """Every text of a protocol file that people read: its key in a translation, and where it stands.

    Words that are compared stand nowhere: they are only shown otherwise (`_show`)."""

    def of(table, names, *key):
        for name in names:
            if table.get(name):
                yield (*key, name), (table, name)

    def one_each(items, name, *key):
        """Items with one text alone: the code itself is the key."""
        for item in items:
            yield (*key, item["code"]), (item, name)

    def specimen_of(table):
        if table.get("specimen"):
            yield ("specimens", table["specimen"]), (table, "specimen")

    yield from of(raw["trial"], ("short_title", "title", "sponsor", "phase"), "trial")
    for product in raw["products"]:
        yield from of(product, ("name",), "products", product["code"])
        tests = product.get("release_tests", ())
        yield from one_each(tests, "name", "products", product["code"], "release_tests")
        for test in tests:
            if "equals" in test:
                yield ("products", product["code"], "results", test["equals"]), ({}, "")
    yield from one_each(raw["arms"], "name", "arms")
    for factor in raw["allocation"].get("strata", ()):
        yield from one_each(factor.get("levels", ()), "name", "levels", factor["code"])
    if infusions := raw.get("infusions"):
        yield from of(infusions, ("route",), "infusions")
        for term in infusions.get("reaction_terms", ()):
            yield ("infusions", "reaction_terms", term), ({}, "")
    for kind in ("inclusion", "exclusion"):
        yield from one_each(raw["eligibility"].get(kind, ()), "text", "eligibility")
    for test in raw["tests"]:
        yield from of(test, ("name", "help"), "tests", test["code"])
        yield from one_each(test.get("choices", ()), "label", "tests", test["code"], "choices")
        yield from specimen_of(test)
    for panel in raw["panels"]:
        yield from of(panel, ("name", "instructions"), "panels", panel["code"])
        yield from specimen_of(panel)
    for table in ("visits", "events_of_interest", "stopping_rules", "safety_reporting"):
        yield from one_each(raw.get(table, ()), "name", table)


def _flat(table: dict, *key: str) -> Iterator[tuple[Key, object]]:
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, *key, name)
        else:
            yield (*key, name), value


def _dotted(key: Key) -> str:
    return ".".join(part if re.fullmatch(r"\w+", part) else repr(part) for part in key)


def _faults_of_translation(given: dict[Key, object], known: dict[Key, list[Place]]) -> Iterator[Fault]:
    names = [_dotted(key) for key in known]
    for key, text in given.items():
        name = _dotted(key)
        if key not in known:
            meant = get_close_matches(name, names, n=1, cutoff=0.8)
            expected = "expected the key of a text of the protocol file"
            yield Fault(name, expected + (f"; did you mean {meant[0]}?" if meant else ""))
        elif not isinstance(text, str):
            yield Fault(name, f"expected text in quotes (found {_shown(text)})")
        elif not text.strip():
            yield Fault(name, "expected some text")


def _show(protocol: Protocol, given: dict[Key, str], own: Protocol) -> None:
    """Let words that are compared, and therefore stay, be shown as the translation has them. `own` is the protocol in
    the language of its file."""
    for interest, untranslated in zip(protocol.events_of_interest, own.events_of_interest, strict=True):
        interest._name_compared = untranslated.name
    for product in protocol.products:
        for test in product.release_tests:
            test._equals_label = given.get(("products", product.code, "results", test.equals), "")
    if infusions := protocol.infusions:
        for term in infusions.reaction_terms:
            infusions._reaction_labels[term] = given.get(("infusions", "reaction_terms", term), term)


def translations_of(path: Path | str) -> dict[str, list[Path]]:
    """The translations that stand beside a protocol file or in its folder, by language.

    Raises ProtocolError for one that translates no protocol file."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    found = {}
    for file in sorted(folder.glob("*/*.toml")):
        if not (folder / file.name).exists():
            raise ProtocolError(file, [Fault("(file)", f"expected the name of a protocol file in {folder.name}/")])
        if path.is_dir() or file.name == path.name:
            found.setdefault(file.parent.name, []).append(file)
    return found


def _faults_between(older: Protocol, newer: Protocol) -> Iterator[Fault]:
    """What an amendment may not do: take from results already entered, or from patients randomised, their meaning."""
    for arm in older.arms:
        if arm.code not in newer._by_code["arms"]:
            yield Fault("arms", f"expected arm {arm.code!r} of version {older.version}, too: patients are in it")
    tests = newer._by_code["tests"]
    for test in older.tests:
        same = tests.get(test.code)
        for name in ("kind", "unit"):
            if same and getattr(same, name) != getattr(test, name):
                expected = (
                    f"expected {getattr(test, name)!r} as in version {older.version}, found {getattr(same, name)!r}"
                )
                yield Fault(
                    f"{_at('tests', newer.tests.index(same), same)}.{name}", f"{expected}: give it another code"
                )
    for i, visit in enumerate(newer.visits):
        same = older._by_code["visits"].get(visit.code)
        if same and (same.infusion, same.phase == "screening") != (visit.infusion, visit.phase == "screening"):
            expected = f"expected the phase and infusion of {visit.code!r} as in version {older.version}"
            yield Fault(_at("visits", i, visit), f"{expected}: give it another code")


def _read(path: Path) -> dict:
    try:
        # a byte order mark, which some editors write, is taken off
        return tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        fault = f"expected a readable file: {error.strerror}"
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        fault = f"expected text in UTF-8, found byte 0x{byte:02x} at position {error.start}"
    except tomllib.TOMLDecodeError as error:
        fault = f"expected TOML: {error}"
    except (ValueError, ArithmeticError, RecursionError):
        # tomllib lets these through for numbers of thousands of digits and for brackets a thousand deep
        fault = "expected TOML with numbers and nesting of ordinary size"
    raise ProtocolError(path, [Fault("(file)", fault)])


def _fault_of_shape(raw: dict, fault: dict) -> Fault:
    key = _key(raw, fault["loc"])
    if fault["type"].startswith("union_tag"):
        key += ".kind"
    return Fault(key, _expectation(fault))


def _key(raw: dict, location: tuple) -> str:
    """`visits[3] (W4).day` for ("visits", 3, "day"): position from 0 and, where there is one, the code."""
    text, here = "", raw
    for step in location:
        if isinstance(step, int):
            here = here[step] if isinstance(here, list) and step < len(here) else None
            code = here.get("code") if isinstance(here, dict) else None
            text += f"[{step}]" + (f" ({code})" if code else "")
        else:
            if isinstance(here, dict) and step not in here and here.get("kind") == step:
                continue  # pydantic names the kind of a stopping rule; the file has no such key
            here = here.get(step) if isinstance(here, dict) else None
            text += f".{step}" if text else str(step)
    return text


EXPECTED = {
    "missing": "expected, but it is not there",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "string_type": "expected text in quotes",
    "date_type": "expected a date like 2026-01-31, without quotes",
    "tuple_type": "expected a list in [ ]",
    "model_type": "expected a table",
    "finite_number": "expected a number",
    "literal_error": "expected {expected}",
    "union_tag_invalid": "expected one of {expected_tags}",
    "union_tag_not_found": "expected, but it is not there",
    "greater_than": "expected a number above {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected a number below {lt}",
    "less_than_equal": "expected at most {le}",
    "too_short": "expected at least {min_length} in this list",
    "too_long": "expected at most {max_length} in this list",
    "string_too_short": "expected some text",
    "string_too_long": "expected at most {max_length} characters",
    CODE: "expected a code: a letter, then letters, digits or _, 24 at most",
    NOT_BLANK: "expected some text",
}


def _expectation(fault: dict) -> str:
    context, found = fault.get("ctx", {}), fault.get("input")
    if fault["type"] == "extra_forbidden":
        meant = get_close_matches(str(fault["loc"][-1]), _known_keys(), n=1)
        return "expected no such key" + (f"; did you mean {meant[0]!r}?" if meant else "")
    template = EXPECTED.get(context.get("pattern", fault["type"]))
    if template:
        message = template.format(**context)
    else:
        message = fault["msg"].removeprefix("Value error, ")
        if not message.startswith("expected"):
            message = f"expected something else: {message}"
    if isinstance(found, (dict, list, tuple, Part, type(None))):
        return message
    return f"{message} (found {_shown(found)})"


def _shown(value) -> str:
    """A value as it may stand in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else str(value)


def _known_keys() -> set[str]:
    return {field.alias or name for part in parts() for name, field in part.model_fields.items()}


def parts(of: type[Part] = Part) -> Iterator[type[Part]]:
    """Every class that stands for a table of the file."""
    for part in of.__subclasses__():
        yield part
        yield from parts(part)


# --- what the classes cannot see: references between tables, and sums ---------------------------------


def _find_faults(p: Protocol, raw: dict) -> Iterator[Fault]:
    yield from _faults_of_codes(p)
    yield from _faults_of_tests(p)
    yield from _faults_of_visits(p)
    yield from _faults_of_infusions(p)
    yield from _faults_of_entry(p)
    yield from faults_of_stopping(p)
    yield from faults_of_reporting(p)
    yield from _faults_of_masking(p)
    yield from _faults_of_review(p)
    yield from (Fault(*fault) for fault in scales.faults_of(p.grading, p.tests))
    for i, dotted in enumerate(p.project_defaults):
        if not _has_key(raw, dotted):
            yield Fault(f"project_defaults[{i}]", f"expected a key of this file, found {dotted!r}")


def _faults_of_codes(p: Protocol) -> Iterator[Fault]:
    tables = ("products", "arms", "tests", "panels", "visits", "events_of_interest", "stopping_rules")
    for table in tables:
        yield from _repeated(table, (item.code for item in getattr(p, table)))
    yield from _repeated("eligibility", (criterion.code for criterion in p.eligibility.criteria))
    yield from _repeated("consent_forms", (form.version for form in p.consent_forms), "each version")
    yield from _repeated("allocation.strata", (factor.code for factor in p.allocation.strata))
    for i, product in enumerate(p.products):
        key = f"{_at('products', i, product)}.release_tests"
        yield from _repeated(key, (test.code for test in product.release_tests))
    for i, factor in enumerate(p.allocation.strata):
        key = f"{_at('allocation.strata', i, factor)}.levels"
        yield from _repeated(key, (level.code for level in factor.levels))
    products = p._by_code["products"]
    for i, arm in enumerate(p.arms):
        yield from _unknown(f"{_at('arms', i, arm)}.product", [arm.product], products, "a product")


def _faults_of_tests(p: Protocol) -> Iterator[Fault]:
    known = p._by_code["tests"]
    monitoring = p.infusions.monitoring_tests if p.infusions else ()
    for i, panel in enumerate(p.panels):
        yield from _unknown(f"{_at('panels', i, panel)}.tests", panel.tests, known, "a test")
    # each test has one home, so that its code says where its values are
    homes = Counter(code for panel in p.panels for code in panel.tests)
    for code, times in homes.items():
        if times > 1:
            yield Fault("panels", f"expected test {code!r} in one panel, found it {times} times")
    yield from _unknown("infusions.monitoring_tests", monitoring, known, "a test")
    yield from _repeated("infusions.monitoring_tests", monitoring, "each test")
    for code in monitoring:
        if code in homes:
            expected = f"expected tests that are in no panel, found {code!r}: give it a code of its own"
            yield Fault("infusions.monitoring_tests", expected)

    for i, test in enumerate(p.tests):
        key = _at("tests", i, test)
        if test.code not in homes and test.code not in monitoring:
            yield Fault(key, "expected in a panel or among infusions.monitoring_tests, found in neither")
        if test.verify and (test.computed or test.code in monitoring):
            yield Fault(f"{key}.verify", "expected only for a test that is entered in a panel")
        if test.kind == "choice" and not test.choices:
            yield Fault(f"{key}.choices", "expected at least one choice for a test of kind 'choice'")
        if test.kind != "choice" and test.choices:
            yield Fault(f"{key}.choices", f"expected none for a test of kind {test.kind!r}")
        yield from _repeated(f"{key}.choices", (choice.code for choice in test.choices))
        if test.kind != "number":
            for name in ("unit", "ucum", "units", "possible", "plausible", "operators", "reference", "computed"):
                if getattr(test, name):
                    yield Fault(f"{key}.{name}", f"expected none for a test of kind {test.kind!r}")
            continue
        if not test.computed and not test.possible:
            yield Fault(f"{key}.possible", "expected the lowest and highest possible value of a number")
        for name in ("possible", "plausible"):
            bounds = getattr(test, name)
            if bounds and bounds[0] > bounds[1]:
                yield Fault(f"{key}.{name}", f"expected [low, high], found {bounds[0]} before {bounds[1]}")
        outer, inner = test.possible, test.plausible
        if outer and inner and not (outer[0] <= inner[0] and inner[1] <= outer[1]):
            expected = f"expected bounds inside the possible ones, {outer[0]} to {outer[1]}"
            yield Fault(f"{key}.plausible", expected)
        yield from _repeated(f"{key}.reference", (r.sex or "(all)" for r in test.reference), "each sex")
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
    yield from _repeated(f"{key}.units", (test.unit, *(other.unit for other in test.units)), "each unit")
    yield from _repeated(f"{key}.units", (test.ucum, *(other.ucum for other in test.units)), "each UCUM code")


def _faults_of_computed(p: Protocol, test: Test, key: str) -> Iterator[Fault]:
    known = p._by_code["tests"]
    yield from _unknown(f"{key}.of", test.computed.of, known, "a test")
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


def _faults_of_visits(p: Protocol) -> Iterator[Fault]:
    for i, visit in enumerate(p.visits):
        key = _at("visits", i, visit)
        yield from _unknown(f"{key}.panels", visit.panels, p._by_code["panels"], "a panel")
        yield from _repeated(f"{key}.panels", visit.panels, "each panel")
        if (visit.day < 0) != (visit.phase == "screening"):
            yield Fault(f"{key}.phase", "expected 'screening' exactly for the visits before day 0")
        if visit.day > p.trial.follow_up_days:
            expected = f"expected at most {p.trial.follow_up_days} (trial.follow_up_days), found {visit.day}"
            yield Fault(f"{key}.day", expected)
    for i, (earlier, later) in enumerate(pairwise(p.visits), start=1):
        if later.day <= earlier.day:
            expected = f"expected a day after {earlier.day}, found {later.day}"
            yield Fault(f"{_at('visits', i, later)}.day", expected)
    if not any(visit.day == 0 for visit in p.visits):
        yield Fault("visits", "expected one visit on day 0")
    if not p.screening_visits:
        yield Fault("visits", "expected at least one visit of phase 'screening', before day 0")


def _faults_of_infusions(p: Protocol) -> Iterator[Fault]:
    planned = [visit for visit in p.visits if visit.infusion]
    numbers = [visit.infusion for visit in planned]
    expected = list(range(1, p.infusions.count + 1)) if p.infusions else []
    if numbers != expected:
        yield Fault("visits", f"expected infusions {expected} in this order, found {numbers}")
    if not p.infusions:
        return
    given = p.infusions
    if planned and planned[0].day != 0:
        i = p.visits.index(planned[0])
        yield Fault(f"{_at('visits', i, planned[0])}.infusion", "expected the first infusion on day 0")
    for earlier, later in pairwise(planned):
        days = later.day - earlier.day
        if days < given.least_days_between:
            expected = f"expected at most the {days} days planned from {earlier.code} to {later.code}"
            yield Fault("infusions.least_days_between", f"{expected}, found {given.least_days_between}")
    if list(given.monitoring_minutes) != sorted(set(given.monitoring_minutes)):
        yield Fault("infusions.monitoring_minutes", "expected rising minutes, each once")
    if bool(given.monitoring_minutes) != bool(given.monitoring_tests):
        yield Fault("infusions.monitoring_minutes", "expected monitoring_tests and minutes, or neither")
    if given.volume_ml[0] > given.volume_ml[1]:
        yield Fault("infusions.volume_ml", "expected [low, high]")
    yield from _unknown("infusions.weight_test", [given.weight_test], p._by_code["tests"], "a test")
    if weight := p._by_code["tests"].get(given.weight_test):
        if weight.kind != "number" or weight.unit != "kg":
            yield Fault("infusions.weight_test", f"expected a number in kg, found {weight.code!r}")
        elif weight.code not in _measured_until_day_0(p):
            yield Fault("infusions.weight_test", "expected in a panel of a visit until day 0, for the dose")


def _faults_of_masking(p: Protocol) -> Iterator[Fault]:
    """What the site is told of an infusion must not differ between the arms."""
    tolerances = {product.dose.tolerance_percent for product in p.products}
    if p.is_masked and len(tolerances) > 1:
        found = ", ".join(str(tolerance) for tolerance in sorted(tolerances))
        yield Fault("products", f"expected one tolerance_percent for all in a masked trial, found {found}")


def _faults_of_review(p: Protocol) -> Iterator[Fault]:
    for name in ("verify", "sign"):
        kinds = getattr(p.review, name, ())
        yield from _repeated(f"review.{name}", kinds, "each kind of record")


def _measured_until_day_0(p: Protocol) -> set[str]:
    known = p._by_code["panels"]
    panels = [known[code] for visit in p.visits if visit.day <= 0 for code in visit.panels if code in known]
    return {code for panel in panels for code in panel.tests}


def _faults_of_entry(p: Protocol) -> Iterator[Fault]:
    for kind in ("inclusion", "exclusion"):
        for i, criterion in enumerate(getattr(p.eligibility, kind)):
            for leaf in criterion.rule.leaves() if criterion.rule else ():
                if leaf.test:
                    yield from _faults_of_asking(p, leaf, f"{_at(f'eligibility.{kind}', i, criterion)}.rule")

    for i, factor in enumerate(p.allocation.strata):
        key = _at("allocation.strata", i, factor)
        for level in factor.levels:
            limits = level.model_dump(include=set(Limit.model_fields))
            yield from _faults_of_asking(p, Rule(test=factor.test, **limits), key)
        yield from _faults_of_levels(factor, f"{key}.levels")

    total, sizes = sum(arm.ratio for arm in p.arms), p.allocation.block_sizes
    if p.allocation.method == "imported_list":
        if sizes:
            yield Fault("allocation.block_sizes", "expected none for an imported list")
    elif not sizes:
        yield Fault("allocation.block_sizes", "expected at least one block size for permuted blocks")
    elif wrong := [size for size in sizes if size % total]:
        expected = f"expected multiples of {total}, the sum of the arms' ratios, found {wrong}"
        yield Fault("allocation.block_sizes", expected)


def _faults_of_asking(p: Protocol, rule: Rule, key: str) -> Iterator[Fault]:
    """A rule about a test that does not exist, comes too late, or cannot give such an answer."""
    test = p._by_code["tests"].get(rule.test)
    if test is None:
        yield from _unknown(key, [rule.test], p._by_code["tests"], "a test")
        return
    if test.code not in _measured_until_day_0(p):
        yield Fault(key, f"expected a test of a visit until day 0, found {test.code!r}")
    if rule.has_bounds and test.kind != "number":
        yield Fault(key, f"expected equals for {test.code!r}, which is a test of kind {test.kind!r}")
    choices = [choice.code for choice in test.choices]
    if rule.equals is not None and rule.equals not in choices:
        yield Fault(key, f"expected a choice of {test.code!r} {choices}, found {rule.equals!r}")


def _faults_of_levels(factor: Factor, key: str) -> Iterator[Fault]:
    numeric = [level for level in factor.levels if level.has_bounds]
    for lower, upper in pairwise(numeric):
        joined = (lower.at_most is not None and lower.at_most == upper.above) or (
            lower.below is not None and lower.below == upper.at_least
        )
        if not joined:
            expected = "expected levels that follow one another (at_most x, above x; or below x, at_least x)"
            yield Fault(key, f"{expected}, found {lower.words()!r}, then {upper.words()!r}")


def _has_key(raw: dict, dotted: str) -> bool:
    """`tests.CD4.plausible` finds the item of the list `tests` whose code is CD4."""
    here = raw
    for step in dotted.split("."):
        if isinstance(here, list):
            here = next((item for item in here if isinstance(item, dict) and item.get("code") == step), None)
        elif isinstance(here, dict):
            here = here.get(step)
        else:
            return False
        if here is None:
            return False
    return True

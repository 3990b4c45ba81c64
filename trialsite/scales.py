"""Grading scales as data: the only place that knows the shape of a scale file (`trialsite/scales/NAME-VERSION.toml`).

A scale is read once, into frozen, validated classes. Pure Python: no Django here. Beside each executable bound stands the
published wording, and with each row its source; rows that no source confirms say `unverified`. A grade is a threshold and
not an interval: a grade holds where its threshold is reached and that of no higher grade is, so that every number has
exactly one grade and the grade never falls while a value moves away from normal. docs/grading.md tells what the keys mean.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from decimal import Context, Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

FOLDER = Path(__file__).parent / "scales"

# what a row may depend on beside the number, each true, false or unknown of a result
FACTS = ("fasting", "non_axillary", "hiv_infected", "anticoagulated", "acidotic")
Fact = Literal["fasting", "non_axillary", "hiv_infected", "anticoagulated", "acidotic"]
EXACT = Context(prec=100)  # more digits than a limit and its multiple can fill
BOUND = re.compile(r"(>=|>|<=|<) ([0-9]+(?:\.[0-9]+)?)")


class ScaleError(Exception):
    """A scale file that cannot be used, with what is wrong in it."""


class Bound(NamedTuple):
    """A half-line: `number` and beyond, upwards or downwards; without `number` itself when `is_strict`."""

    is_upward: bool
    is_strict: bool
    number: Decimal

    def holds(self, value: Decimal, *, times: Decimal = Decimal(1)) -> bool:
        limit = EXACT.multiply(self.number, times)
        if value == limit:
            return not self.is_strict
        return (value > limit) == self.is_upward

    def holds_beyond(self, value: Decimal, *, upward: bool, times: Decimal = Decimal(1)) -> bool:
        """Does it hold right above `value` (or right below), infinitely close to it?"""
        limit = EXACT.multiply(self.number, times)
        if value == limit:
            return upward == self.is_upward
        return (value > limit) == self.is_upward


def _bound(text) -> Bound:
    match = BOUND.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError('expected a bound like ">= 1.25" or "< 30"')
    sign, number = match.groups()
    return Bound(sign in (">", ">="), sign in (">", "<"), Decimal(number))


OneBound = Annotated[Bound, BeforeValidator(_bound)]
Text = Annotated[str, Field(pattern=r"\S")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(Part):
    """One grade of a row: the published words, and where it begins: in units (by UCUM code), as a multiple of the upper
    or lower limit of normal, as a multiple of the baseline, or as the answers of a dipstick. Any of them that holds is
    enough. `confirm`: the words ask for something that is no number, so the grade is proposed and a person confirms.
    `clinical`: the words hold by what no number says, too, so a person may raise a result of a lower grade to it.
    `where`: a fact without which the bounds do not hold; while it is not known to be so, they do not."""

    words: Text
    units: dict[str, OneBound] = {}
    uln: OneBound | None = None
    lln: OneBound | None = None
    baseline: OneBound | None = None
    answers: tuple[Text, ...] = ()
    confirm: bool = False
    clinical: bool = False
    where: Fact | None = None

    @property
    def bounds(self) -> list[Bound]:
        return [*self.units.values(), *(b for b in (self.uln, self.lln, self.baseline) if b)]


class Row(Part):
    """One row of a scale. `tests` are the CDISC codes of what it grades, `term` is the CTCAE term of an adverse event that
    it proposes. `needs` are facts that must be so; ages are completed years. Without bounds a person chooses the grade."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    name: Text
    tests: tuple[Text, ...] = ()
    direction: Literal["high", "low"] | None = None
    term: str = ""
    sex: Literal["F", "M"] | None = None
    from_age: int = 0
    needs: dict[Fact, bool] = {}
    source: Text
    unverified: bool = False
    note: str = ""
    grades: dict[Literal["1", "2", "3", "4", "5"], Step]

    @model_validator(mode="after")
    def is_consistent(self):
        steps = [step for _grade, step in self.steps]
        if any(step.bounds for step in steps) and self.direction is None:
            raise ValueError(f"{self.id}: expected a direction beside bounds")
        if any(bound.is_upward != (self.direction == "high") for step in steps for bound in step.bounds):
            raise ValueError(f"{self.id}: expected all bounds in the direction {self.direction!r}")
        for kind in {*(unit for step in steps for unit in step.units), "uln", "lln", "baseline"}:
            found = [step.units.get(kind) or getattr(step, kind, None) for step in steps if not step.where]
            numbers = [bound.number for bound in found if bound]
            if numbers != sorted(numbers, reverse=self.direction == "high") or len(set(numbers)) != len(numbers):
                raise ValueError(f"{self.id}: expected each grade beyond the one before, in {kind!r}")
        units = [set(step.units) for step in steps if step.units]
        if any(those != units[0] for those in units):
            raise ValueError(f"{self.id}: expected every grade in the same units")
        of_results = [step for grade, step in self.steps if grade < 5]  # nobody dies by a result
        if self.is_executable and any(not (s.bounds or s.answers or s.confirm or s.clinical) for s in of_results):
            raise ValueError(f"{self.id}: expected each grade to be reached by a bound, an answer or a person")
        return self

    @property
    def steps(self) -> list[tuple[int, Step]]:
        """From the worst grade downwards."""
        return sorted(((int(grade), step) for grade, step in self.grades.items()), key=lambda pair: -pair[0])

    @property
    def rising(self) -> list[tuple[int, Step]]:
        return self.steps[::-1]

    @property
    def units(self) -> set[str]:
        return {unit for step in self.grades.values() for unit in step.units}

    @property
    def is_executable(self) -> bool:
        """Can a result be graded by it, or does a person choose?"""
        return any(step.bounds or step.answers for step in self.grades.values())

    def words(self, grade: int) -> str:
        step = self.grades.get(str(grade))
        return step.words if step else ""


# facts that a number of the same visit says, by the unit in which it is reported: the bound below or above which they hold
MEASURED_FACTS = {"acidotic": ("[pH]", _bound("< 7.3"))}


class Scale(Part):
    name: Text
    version: Text
    title: Text
    rows: tuple[Row, ...] = Field(min_length=1)

    @property
    def key(self) -> str:
        return f"{self.name.lower()}-{self.version}"

    @model_validator(mode="after")
    def names_each_row_once(self):
        ids = [row.id for row in self.rows]
        if repeated := {one for one in ids if ids.count(one) > 1}:
            raise ValueError(f"expected each row once, found {sorted(repeated)} again")
        return self

    def row(self, row_id: str) -> Row:
        """Raises KeyError for a row that the scale has not."""
        for row in self.rows:
            if row.id == row_id:
                return row
        raise KeyError(row_id)

    def row_of_term(self, term: str) -> Row | None:
        """The row whose term of an adverse event this is; what a person grades goes before what is measured."""
        return next(iter(self.rows_of_term(term)), None)

    def rows_of_term(self, term: str) -> list[Row]:
        """All such rows: a reaction at the injection site is graded by its pain or by its redness."""
        wanted = " ".join(term.split()).casefold()
        found = [row for row in self.rows if row.term.casefold() == wanted or row.name.casefold() == wanted]
        return sorted(found, key=lambda row: row.is_executable)


def load(path: Path | str) -> Scale:
    """Read one scale file. Raises ScaleError."""
    try:
        return Scale.model_validate(tomllib.loads(Path(path).read_text(encoding="utf-8"), parse_float=Decimal))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ScaleError(f"{path}: {error}") from None


def known_scales() -> list[str]:
    return sorted(path.name.removesuffix(".toml") for path in FOLDER.glob("*.toml"))


@cache
def scale(key: str) -> Scale:
    """The scale of this key, "daids-2.1". Raises KeyError."""
    if key not in known_scales():
        raise KeyError(key)
    found = load(FOLDER / f"{key}.toml")
    if found.key != key:
        raise ScaleError(f"{key}.toml: expected the name and version of its file name, found {found.key!r}")
    return found


# --- what a protocol may say of scales -------------------------------------------------------------------


def faults_of(plan, tests) -> Iterator[tuple[str, str]]:
    """What is wrong in a protocol's section `grading` (None: there is none) and in its tests' `grade_rows` and
    `grade_facts`: (key, what was expected)."""
    if plan is None:
        for i, test in enumerate(tests):
            for name in ("grade_rows", "grade_facts"):
                if getattr(test, name):
                    yield f"tests[{i}] ({test.code}).{name}", "expected a section grading beside it"
        return
    known = known_scales()
    for name in ("scale", "reaction_scale"):
        key = getattr(plan, name)
        if key and key not in known:
            yield f"grading.{name}", f"expected one of {', '.join(known)}, found {key!r}"
    if plan.scale not in known:
        return
    rows, by_code = {row.id: row for row in scale(plan.scale).rows}, {test.code: test for test in tests}
    for i, test in enumerate(tests):
        key = f"tests[{i}] ({test.code})"
        for row_id in test.grade_rows:
            if row_id not in rows:
                yield f"{key}.grade_rows", f"expected a row of {plan.scale}, found {row_id!r}"
            elif expected := _misfit(rows[row_id], test):
                yield f"{key}.grade_rows", expected
        for fact in test.grade_facts:
            asked = by_code.get(fact.test)
            if fact.fact in MEASURED_FACTS:
                unit, _bound_of_it = MEASURED_FACTS[fact.fact]
                if asked is None or asked.kind != "number" or asked.ucum != unit or fact.yes or fact.no:
                    yield (
                        f"{key}.grade_facts",
                        f"expected the code of a test in {unit} without answers, found {fact.test!r}",
                    )
                continue
            if asked is None or asked.kind != "choice":
                yield f"{key}.grade_facts", f"expected the code of a test of kind 'choice', found {fact.test!r}"
                continue
            codes = {choice.code for choice in asked.choices}
            for code in sorted({*fact.yes, *fact.no} - codes):
                yield f"{key}.grade_facts", f"expected a choice of {fact.test!r}, found {code!r}"
            for code in sorted({*fact.yes} & {*fact.no}):
                yield f"{key}.grade_facts", f"expected {code!r} among yes or no, not both"


def _misfit(row: Row, test) -> str:
    """Why a row cannot grade a test, or ""."""
    if not row.is_executable:
        return f"expected a row with bounds, found {row.id!r}, which a person grades"
    answers = {answer for step in row.grades.values() for answer in step.answers}
    if test.kind == "choice":
        missing = sorted(answers - {choice.code for choice in test.choices})
        if not answers:
            return f"expected a row of answers for a test of kind 'choice', found {row.id!r}"
        return f"expected the choices {missing} of row {row.id!r}" if missing else ""
    if test.kind != "number" or answers:
        return f"expected a row that fits a test of kind {test.kind!r}, found {row.id!r}"
    given = {without_annotations(ucum) for ucum in (test.ucum, *(unit.ucum for unit in test.units))}
    if row.units and not given & row.units:
        return (
            f"expected a unit of row {row.id!r} ({', '.join(sorted(row.units))}) as the test's ucum or among its units"
        )
    return ""


def without_annotations(ucum: str) -> str:
    """{cells}/uL is /uL, mL/min/{1.73_m2} is mL/min: what stands in braces means nothing to UCUM."""
    return re.sub(r"/?\{[^}]*\}$|\{[^}]*\}", "", ucum)

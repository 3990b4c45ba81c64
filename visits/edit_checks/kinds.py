"""What an edit check is, and the kinds that compare results with one another, with the ones before, or with days.

A check sees a `Form`: its results, and as `Surroundings` what stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from django.utils.translation import gettext_noop as _

from trialsite.protocol import Test
from trialsite.ucum import unit_text, whole_of_share
from trialsite.words import Name, Sentence
from visits.results import Result

Results = dict[str, Result | None]

# a hard check refuses; a soft one asks, and opens a query unless the person confirms the value
HARD, SOFT = True, False


@dataclass(frozen=True)
class Problem:
    """What one check says. `test` is the field that it is about: a test's code, another field's name, or "" for the
    whole form; `compared` are all the tests whose change could settle it."""

    code: str
    test: str
    text: Sentence
    hard: bool
    compared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What is known beside the form itself. Results are by test code; `baseline` are the last ones before the first infusion,
    each with its grade and direction, for what was collected after it. `window` is the visit's first and last day on
    time, `other_visits` are (planned, taken place, code) of the other planned visits that took place. `is_baseline`: results
    of this form may be what later ones are compared with."""

    sex: str = ""
    previous: Results = field(default_factory=dict)
    same_visit: Results = field(default_factory=dict)
    baseline: dict[str, tuple[Result, int | None, str]] = field(default_factory=dict)
    is_baseline: bool = False
    visit: str = ""
    planned_on: date | None = None
    window: tuple[date, date] | None = None
    visit_on: date | None = None
    is_screening: bool = False
    other_visits: tuple[tuple[date, date, str], ...] = ()
    birth_date: date | None = None
    screened_on: date | None = None
    consented_on: date | None = None
    died_on: date | None = None
    today: date | None = None


class Subject(StrEnum):
    """What a check looks at."""

    VALUE = _("one value")
    FORM = _("values of one form")
    VISIT = _("several forms of one visit")
    COURSE = _("the value before")
    DAY = _("days")
    INFUSION = _("an infusion")
    TREATMENT = _("histories and medication")
    EVENT = _("adverse events")


@dataclass(frozen=True)
class Check:
    """One edit check. Its title, its sentence and its reason are in English here and read in the reader's language."""

    code: str
    hard: bool
    title: str
    says: str
    why: str
    once_a_visit: bool = False  # asked at one form of a visit, not at each
    subject: Subject | None = None  # the heading of the table under which it stands

    def problem(self, test: str = "", compared: tuple[str, ...] = (), /, **values) -> Problem:
        return Problem(self.code, test, Sentence(self.says, values), self.hard, compared or ((test,) if test else ()))

    @property
    def tests(self) -> tuple[str, ...]:
        """The codes of the tests without which the check is silent."""
        return ()

    @property
    def earlier(self) -> tuple[str, ...]:
        """The codes of the tests whose result before this one it needs."""
        return ()

    def field_of(self, form: Form, own: list[str]) -> str:
        """Which of the tests of this form the question stands at."""
        return own[0]

    @property
    def bounds(self) -> str:
        """Its limits in signs, where they are not the protocol's."""
        return ""

    @property
    def is_of_each_test(self) -> bool:
        """Does it speak for one test at a time, so that each test has its own statistics?"""
        return self.subject == Subject.VALUE


class Form:
    """The results of one form, with what stands around it, as checks look at them."""

    def __init__(self, tests: Iterable[Test], results: Results, around: Surroundings, known: Iterable[Test] = ()):
        self.tests = {test.code: test for test in tests}
        self.known = {test.code: test for test in known} or self.tests
        self.results, self.around = results, around

    def now(self, code: str) -> Result | None:
        """The result of this form, or of another form of the same visit."""
        return self.results.get(code) if code in self.tests else self.around.same_visit.get(code)

    def before(self, code: str) -> Result | None:
        return self.around.previous.get(code)

    def told(self, code: str) -> list:
        """The test's name with its result, for a sentence."""
        test = self.known[code]
        return [Name("test", code, test.name), " ", shown(test, self.now(code))]

    def told_before(self, code: str):
        return shown(self.known[code], self.before(code))


@dataclass(frozen=True)
class Below(Check):
    """`lower` must be below `upper`."""

    lower: str = ""
    upper: str = ""

    @property
    def tests(self):
        return (self.lower, self.upper)

    @property
    def bounds(self):
        return f"{self.lower} < {self.upper}"

    def found(self, form: Form) -> dict | None:
        lower, upper = exact(form.now(self.lower)), exact(form.now(self.upper))
        if None in (lower, upper) or lower < upper:
            return None
        return {"lower": form.told(self.lower), "upper": form.told(self.upper)}


@dataclass(frozen=True)
class PartsWithin(Check):
    """`parts` belong to `whole`, a test (times `factor`, to the unit of the parts) or 100 (%), and exceed it by the
    `tolerance` and by `percent` of it at most, for rounding or two ways of counting.

    A part that is missing or only bounded counts as nothing: the others must not exceed the whole either. Parts that are
    computed from the whole say nothing of their own: the check is silent about them."""

    parts: tuple[str, ...] = ()
    whole: str | Decimal = Decimal(100)
    tolerance: Decimal = Decimal(0)
    percent: Decimal = Decimal(0)
    factor: Decimal = Decimal(1)

    @property
    def tests(self):
        return (*self.parts, self.whole) if isinstance(self.whole, str) else self.parts

    @property
    def bounds(self):
        whole = f"{self.whole} %" if isinstance(self.whole, Decimal) else self.whole
        if (factor := self.factor * (1 + self.percent / 100)) != 1:
            whole = f"{factor.normalize():f} × {whole}"
        return f"{' + '.join(self.parts)} ≤ {whole}" + (f" + {self.tolerance}" if self.tolerance else "")

    def field_of(self, form: Form, own: list[str]) -> str:
        """The greatest part of this form: the likeliest to be wrong."""
        return max(own, key=lambda code: (code in self.parts, exact(form.now(code)) or Decimal(0)))

    def found(self, form: Form) -> dict | None:
        if any(form.known[part].computed for part in self.parts):
            return None
        whole = exact(form.now(self.whole)) if isinstance(self.whole, str) else self.whole
        parts = [exact(form.now(part)) or Decimal(0) for part in self.parts]
        if whole is None or sum(parts) <= whole * self.factor * (1 + self.percent / 100) + self.tolerance:
            return None
        told = [form.told(part) for part in self.parts]
        listed = [bit for n, part in enumerate(told) for bit in ([", "] if n else []) + part]
        return {"parts": listed, "whole": form.told(self.whole) if isinstance(self.whole, str) else f"{self.whole} %"}


@dataclass(frozen=True)
class OfCourse(Check):
    """A check of one test's result beside the one before."""

    test: str = ""

    @property
    def tests(self):
        return (self.test,)

    earlier = tests


@dataclass(frozen=True)
class Change(OfCourse):
    """The result changed by more than `percent` of the one before; with `falls_only`, it fell by that."""

    percent: Decimal = Decimal(0)
    falls_only: bool = False

    @property
    def bounds(self):
        return f"{self.test}: {'−' if self.falls_only else '±'}{self.percent} %"

    def found(self, form: Form) -> dict | None:
        old, new = exact(form.before(self.test)), form.now(self.test)
        if old is None or old <= 0 or new is None or new.value is None or new.operator == ">":
            return None
        fell = (old - new.value) * 100 > self.percent * old  # "<20" fell at least as far as 20 did
        rose = (new.value - old) * 100 > self.percent * old and not new.operator
        if not (fell or (rose and not self.falls_only)):
            return None
        return {"result": form.told(self.test), "percent": self.percent, "before": form.told_before(self.test)}


@dataclass(frozen=True)
class Rebound(OfCourse):
    """The result rose above `above` after one of at most `from_at_most`. It takes the place of the plain range check."""

    from_at_most: Decimal = Decimal(0)
    above: Decimal = Decimal(0)

    @property
    def bounds(self):
        return f"{self.test}: ≤ {self.from_at_most} → > {self.above}"

    def found(self, form: Form) -> dict | None:
        old, new = form.before(self.test), form.now(self.test)
        if old is None or old.value is None or old.operator == ">" or old.value > self.from_at_most:
            return None
        if new is None or new.value is None or new.operator == "<":
            return None
        if not (new.value > self.above or (new.operator == ">" and new.value == self.above)):
            return None
        return {"result": form.told(self.test), "above": self.above, "before": form.told_before(self.test)}


@dataclass(frozen=True)
class OfDay(Check):
    """A check of the day on which something was done: `finds` gives the values of its sentence, or None."""

    finds: Callable[[date, Surroundings], dict | None] = lambda day, around: None


def shown(test: Test, result: Result | None):
    if result is None:
        return Sentence(_("(blank)"))
    if result.value is None:
        if test.kind != "choice":
            return result.text
        return Name("choice", f"{test.code}/{result.text}", test.choice_label(result.text))
    unit = result.unit or test.unit
    if whole := whole_of_share(unit):
        return Sentence(_("%(typed)s %% of %(whole)s"), {"typed": result.typed, "whole": whole})
    return f"{result.typed} {unit_text(unit)}".rstrip()


def exact(result: Result | None) -> Decimal | None:
    """The value of a result that is a number without an operator."""
    return None if result is None or result.operator else result.value

"""The only place that looks at the results of a panel together and says what a person should look at.

`CHECKS` is the list of what is compared, by test code; a check speaks only when the panel has its tests, so
that it does not disturb another protocol. A soft problem is saved and raises a query, for the source document
may well say so; a hard one cannot be saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from trialsite.protocol import Protocol, Test
from visits.results import Result, is_implausible, is_impossible
from visits.units import bounds_in

Results = dict[str, Result | None]
Show = Callable[[str], str]  # a test's code to its result in words


@dataclass(frozen=True)
class Problem:
    """`code` names the check, `test` its result ("" for the whole form), `text` is for a person."""

    code: str
    test: str
    text: str
    hard: bool


@dataclass(frozen=True)
class Below:
    """`lower` must be below `upper`, as the diastolic is below the systolic pressure."""

    code: str
    lower: str
    upper: str

    @property
    def tests(self) -> tuple[str, ...]:
        return (self.lower, self.upper)

    def is_broken(self, now: Results, before: Results) -> bool:
        lower, upper = _exact(now.get(self.lower)), _exact(now.get(self.upper))
        return None not in (lower, upper) and lower >= upper

    def text(self, now: Show, before: Show) -> str:
        return f"{now(self.lower)} is not below {now(self.upper)}."


@dataclass(frozen=True)
class PartsWithin:
    """`parts` belong to `whole`, a test or 100 (%), and exceed it by the rounding `tolerance` at most.

    A part that is missing or only bounded counts as nothing: the others must not exceed the whole either."""

    code: str
    parts: tuple[str, ...]
    whole: str | Decimal
    tolerance: Decimal

    @property
    def tests(self) -> tuple[str, ...]:
        return (*self.parts, self.whole) if isinstance(self.whole, str) else self.parts

    def is_broken(self, now: Results, before: Results) -> bool:
        whole = _exact(now.get(self.whole)) if isinstance(self.whole, str) else self.whole
        parts = [_exact(now.get(part)) or Decimal(0) for part in self.parts]
        return whole is not None and sum(parts) > whole + self.tolerance

    def text(self, now: Show, before: Show) -> str:
        whole = now(self.whole) if isinstance(self.whole, str) else f"{self.whole} %"
        return f"{', '.join(now(part) for part in self.parts)} are together more than {whole}."


@dataclass(frozen=True)
class Change:
    """The result changed by more than `percent` of the previous one; with `falls_only`, it fell by that."""

    code: str
    test: str
    percent: Decimal
    falls_only: bool = False

    @property
    def tests(self) -> tuple[str, ...]:
        return (self.test,)

    def is_broken(self, now: Results, before: Results) -> bool:
        old, new = _exact(before.get(self.test)), now.get(self.test)
        if old is None or old <= 0 or new is None or new.value is None or new.operator == ">":
            return False
        fell = (old - new.value) * 100 > self.percent * old  # "<20" fell at least as far as 20 did
        rose = (new.value - old) * 100 > self.percent * old and not new.operator
        return fell or (rose and not self.falls_only)

    def text(self, now: Show, before: Show) -> str:
        verb = "fell" if self.falls_only else "changed"
        return f"{now(self.test)}: {verb} by more than {self.percent} % (previously {before(self.test)})."


Check = Below | PartsWithin | Change

# The percentages and tolerances are defaults of this project: no public source of this trial gives any.
CHECKS: tuple[Check, ...] = (
    Below("pressure_order", "DIABP", "SYSBP"),
    Below("pressure_order", "M_DIABP", "M_SYSBP"),  # while an infusion is watched
    PartsWithin("subsets_over_100", ("NVCD4P", "CMCD4P", "EMCD4P"), Decimal(100), Decimal("1.0")),
    PartsWithin("cells_over_wbc", ("NEUT", "LYM"), "WBC", Decimal("0.1")),
    Change("weight_change", "WEIGHT", Decimal(10)),
    Change("cd4_fall", "CD4", Decimal(50), falls_only=True),
)


def compared_with_previous(tests: Iterable[Test]) -> list[str]:
    """The codes of those tests whose earlier result a check asks for; `previous` needs no others."""
    codes = {test.code for test in tests}
    return [check.test for check in CHECKS if isinstance(check, Change) and check.test in codes]


def find_problems(protocol: Protocol, panel: str, results: Results, *, sex: str, previous: Results) -> list[Problem]:
    """The problems of one panel, in the order of its tests, then those of several results together.

    `results` are those of this panel, `previous` the patient's latest earlier ones, both by test code; None and
    absent are the same: blank.
    """
    problems = _problems_of_the_panel(protocol, panel, results, sex)
    return problems + problems_between(protocol.tests_of(panel), results, previous)


def problems_between(tests: Iterable[Test], results: Results, previous: Results) -> list[Problem]:
    """The problems of results that were taken together without a panel, as while an infusion is watched."""
    known = {test.code: test for test in tests}

    def now(code: str) -> str:
        return f"{known[code].name} {_shown(known[code], results.get(code))}"

    def before(code: str) -> str:
        return _shown(known[code], previous.get(code))

    problems = [problem for test in known.values() for problem in _problems_of_a_result(test, results.get(test.code))]
    for check in CHECKS:
        if set(check.tests) <= set(known) and check.is_broken(results, previous):
            problems.append(Problem(check.code, check.tests[0], check.text(now, before), hard=False))
    return problems


def _problems_of_the_panel(protocol: Protocol, panel: str, results: Results, sex: str) -> list[Problem]:
    form = protocol.panel(panel)
    problems = []
    if form.only_for_sex not in (None, sex):
        problems.append(Problem("not_for_sex", "", f"{form.name} is not for this patient's sex.", hard=True))
    for code in results:
        if code not in form.tests:
            problems.append(Problem("not_in_panel", code, f"{code} is no test of {form.name}.", hard=True))
    return problems


def _problems_of_a_result(test: Test, result: Result | None) -> list[Problem]:
    if result is None:
        if test.required and not test.computed:
            return [Problem("missing", test.code, f"{test.name} was left blank.", hard=False)]
        return []
    found = f"{test.name} {_shown(test, result)}"
    if is_impossible(test, result):
        text = "{} is not possible; only values from {} to {} are.".format(found, *test.possible)
        return [Problem("impossible", test.code, text, hard=True)]
    if is_implausible(test, result):
        expected = bounds_in(test, result.unit, test.plausible)
        text = "{} is unusual; expected is {} to {}. Is it right?".format(found, *expected)
        return [Problem("implausible", test.code, text, hard=False)]
    return []


def _shown(test: Test, result: Result | None) -> str:
    if result is None:
        return "(blank)"
    if result.value is None:
        return test.choice_label(result.text)
    return f"{result.typed} {result.unit or test.unit}".rstrip()


def _exact(result: Result | None) -> Decimal | None:
    """The value of a result that is a number without an operator."""
    return None if result is None or result.operator else result.value

"""Who is let in, and to which arm: criteria with their rules, strata, the way of allocation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from trialsite.protocol.limits import BindingLimit, Limit
from trialsite.protocol.measuring import measured_until_day_0
from trialsite.protocol.tables import Code, Days, Fault, Part, Positive, Text, at, unknown


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
        if self.test or self.fact:
            self.must_bind()
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


class Level(BindingLimit):
    """One level of a stratification factor. The levels follow one another, without overlap or gap."""

    code: Code
    name: Text


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


def faults_of_entry(p) -> Iterator[Fault]:
    for kind in ("inclusion", "exclusion"):
        for i, criterion in enumerate(getattr(p.eligibility, kind)):
            for leaf in criterion.rule.leaves() if criterion.rule else ():
                if leaf.test:
                    yield from _faults_of_asking(p, leaf, f"{at(f'eligibility.{kind}', i, criterion)}.rule")

    for i, factor in enumerate(p.allocation.strata):
        key = at("allocation.strata", i, factor)
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


def _faults_of_asking(p, rule: Rule, key: str) -> Iterator[Fault]:
    """A rule about a test that does not exist, comes too late, or cannot give such an answer."""
    test = p.by_code["tests"].get(rule.test)
    if test is None:
        yield from unknown(key, [rule.test], p.by_code["tests"], "a test")
        return
    if test.code not in measured_until_day_0(p):
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

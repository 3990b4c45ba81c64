"""Limits on a number or a word: what a lot, a rule or a level is held against."""

from __future__ import annotations

from decimal import Decimal

from pydantic import model_validator

from trialsite.protocol.tables import Number, Part, Text


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

    def must_bind(self):
        if self.is_empty:
            raise ValueError("expected a limit: above, at_least, below, at_most or equals")


class BindingLimit(Limit):
    """A limit that has to be there."""

    @model_validator(mode="after")
    def has_a_limit(self):
        self.must_bind()
        return self

"""From a rule of the protocol to its boundary, and to words about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from math import isfinite

from django.utils.translation import gettext as _

from safety.stopping.boundaries import (
    DIGITS,
    Boundary,
    ExactTail,
    LogLikelihoodRatio,
    MaximumLogLikelihoodRatio,
    Posterior,
    Statistic,
    WangTsiatis,
    boundary,
    calibrated,
    constants,
    count_rule,
    every,
    group_sequential,
    rounded,
    straddling,
)
from trialsite.protocol.stopping import CountRule, GroupSequentialRule, Halting, RateRule

# so many digits of a constant are shown where they tell the boundary apart
PRINTED_DIGITS = 6


@lru_cache(maxsize=200)
def boundary_of(rule: Halting) -> Boundary | None:
    """The boundary of a rule that counts patients; None for a rule that any event meets."""
    if isinstance(rule, CountRule):
        return count_rule(rule.events, rule.patients)
    if not isinstance(rule, RateRule):
        return None
    p0 = float(rule.acceptable_rate)
    if isinstance(rule, GroupSequentialRule):
        if rule.alpha is None:
            return group_sequential(p0=p0, looks=rule.looks, level=float(rule.level), shape=float(rule.shape))
        return straddling(p0=p0, looks=rule.looks, shape=float(rule.shape), alpha=float(rule.alpha))[1]
    statistic, looks = statistic_of(rule), every(rule.patients)
    if rule.alpha is not None:
        return calibrated(statistic, float(rule.alpha), looks, p0)
    given = float(getattr(rule, rule.constant_key))
    return boundary(statistic, -given if rule.kind == "pocock" else given, looks)


def statistic_of(rule: RateRule) -> Statistic:
    p0 = float(rule.acceptable_rate)
    match rule.kind:
        case "beta_binomial":
            a, b = map(float, rule.prior)
            if rule.unacceptable_rate is None:
                return Posterior(a, b, p0)
            return Posterior(a, b, p0, float(rule.unacceptable_rate), float(rule.least_probability))
        case "pocock":
            return ExactTail(p0)
        case "wang_tsiatis":
            return WangTsiatis(p0, float(rule.shape), rule.patients)
        case "sprt":
            return LogLikelihoodRatio(p0, float(rule.unacceptable_rate))
        case "max_sprt":
            return MaximumLogLikelihoodRatio(p0)
    raise TypeError(f"a rule of kind {rule.kind!r} has no statistic")


@dataclass(frozen=True)
class Interval:
    """The constants that give one boundary, exactly: to the digits at which statistics are compared. None is no end;
    `has_low` and `has_high`: does the constant that is the end itself give the boundary?"""

    low: Decimal | None
    high: Decimal | None
    has_low: bool
    has_high: bool

    def printed(self):
        """(low, has_low, high, has_high) with as few digits as can be, six at least, rounded inwards: whoever types an end
        that belongs gets the boundary."""
        for digits in range(PRINTED_DIGITS, DIGITS + 1):
            low, high = _shortened(self.low, digits, ROUND_CEILING), _shortened(self.high, digits, ROUND_FLOOR)
            if low is None or high is None or low < high:
                break
        return (
            low,
            low is not None and (low != self.low or self.has_low),
            high,
            high is not None and (high != self.high or self.has_high),
        )


def _shortened(number: Decimal | None, digits: int, rounding: str) -> Decimal | None:
    if number is None:
        return None
    short = Context(prec=digits, rounding=rounding).plus(number).normalize()
    return Decimal(f"{short:f}")


def interval_of(rule: RateRule) -> Interval | None:
    """Which constants give the boundary of the rule, under the protocol's name for them; None where the boundary does not
    follow from one statistic."""
    if isinstance(rule, GroupSequentialRule) or not isinstance(rule, RateRule):
        return None
    statistic = statistic_of(rule)
    low, high = (_exact(end) for end in constants(statistic, boundary_of(rule)))
    has_low, has_high = statistic.above and low is not None, not statistic.above and high is not None
    if rule.kind == "pocock":  # the level is the constant with the other sign
        return Interval(None if high is None else -high, None if low is None else -low, has_high, has_low)
    return Interval(low, high, has_low, has_high)


def _exact(value: float) -> Decimal | None:
    return Decimal(repr(rounded(value))) if isfinite(value) else None


def kinds():
    """The words for each kind of rule, in the reader's language."""
    return {
        "beta_binomial": _("Beta-binomial (Bayesian)"),
        "pocock": _("Pocock, exact binomial"),
        "wang_tsiatis": _("Wang–Tsiatis (O'Brien–Fleming at shape 0)"),
        "sprt": _("Sequential probability ratio (SPRT)"),
        "max_sprt": _("Maximised sequential probability ratio (MaxSPRT)"),
        "group_sequential": _("Group sequential looks"),
        "k_of_first_m": _("So many of the first patients"),
        "any_event": _("Any such event"),
    }

"""From a rule of the protocol to its boundary, and to words about it. Pure."""

from __future__ import annotations

from functools import lru_cache

from django.utils.translation import gettext as _

from safety.stopping.boundaries import (
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
    straddling,
)
from trialsite.protocol.stopping import CountRule, GroupSequentialRule, Halting, RateRule


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


def interval_of(rule: RateRule) -> tuple[float, float] | None:
    """Between which values the constant lies that gives this boundary, under the protocol's name for it; None where the
    boundary does not follow from one statistic."""
    if isinstance(rule, GroupSequentialRule) or not isinstance(rule, RateRule):
        return None
    low, high = constants(statistic_of(rule), boundary_of(rule))
    return (-high, -low) if rule.kind == "pocock" else (low, high)


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

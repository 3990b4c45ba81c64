"""Boundaries of stopping rules: from formulas to counts. Pure; no database, no clock. Formulas: docs/stopping.md.

Each rule weighs what was seen, `events` of `n` patients, by a statistic that grows with the events, and stops when it
reaches a constant (the beta-binomial rules: when it is above). The boundary are the least counts for which it does,
the *rejection counts* b(n): stop if events >= b(n). The other convention in print is the *greatest acceptable
count* b(n) - 1: stop if events > b(n) - 1. Both are named wherever a boundary is shown.

**Calibration** looks for the constant among the boundaries that can be attained: the most liberal one whose exact
probability of crossing at the acceptable rate is at most alpha. A printed constant is not used for that: it need not
reproduce its own boundary (docs/stopping.md, "The constant").

Statistics are compared at 12 significant digits, so that what is equal on paper is equal here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import comb, exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist

from safety.stopping.characteristics import characteristics, crossing_probability

DIGITS = 12
# so often is the interval of the constant halved: then no two attainable boundaries lie between its ends
HALVINGS = 60


@dataclass(frozen=True)
class Boundary:
    """What a rule comes to: at each look (patients) the rejection count; a count above the look cannot be reached.

    A rule that compares a rate after each patient goes on when more patients are treated than planned: the last count
    `holds_beyond` them. Rules with looks, and those about the first so many, look at no more patients."""

    looks: tuple[int, ...]
    counts: tuple[int, ...]
    holds_beyond: bool = False

    @cached_property
    def rejections(self) -> dict[int, int]:
        return dict(zip(self.looks, self.counts, strict=True))

    @property
    def patients(self) -> int:
        return self.looks[-1]

    @property
    def is_continuous(self) -> bool:
        return self.looks == tuple(range(1, self.patients + 1))

    def rejection_at(self, n: int) -> int | None:
        """Stop if events >= this; None when n patients cannot stop the trial: between looks, at a look where no count
        does, and after the last one unless its count holds."""
        look = min(n, self.patients) if self.holds_beyond else n
        count = self.rejections.get(look)
        return count if count is not None and count <= look else None

    def ranges(self) -> list[tuple[int, int | None, int]]:
        """(first n, last n, rejection count) of looks that follow one another with the same count, as tables print it;
        None is "and more". Looks at which nothing can be rejected are left out."""
        found: list[tuple[int, int | None, int]] = []
        for look, count in self.rejections.items():
            if count > look:
                continue
            if found and found[-1][2] == count:
                found[-1] = (found[-1][0], look, count)
            else:
                found.append((look, look, count))
        if found and self.holds_beyond and found[-1][1] == self.patients:
            found[-1] = (found[-1][0], None, found[-1][2])
        return found

    def at(self, rate: float):
        return characteristics(self.rejections, rate)

    def crossing(self, rate: float) -> float:
        return crossing_probability(self.rejections, rate)


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS - 1}e}")


# --- statistics ---------------------------------------------------------------------------------------------


class Statistic(ABC):
    """`of(events, n)` grows with events; a trial stops when it is at least the constant (`above`: more than it)."""

    above = False
    # between these a calibration looks for the constant
    least, most = 0.0, 1.0

    @abstractmethod
    def of(self, events: int, n: int) -> float: ...

    def may_stop(self, events: int, n: int) -> bool:
        """Whatever the constant."""
        return True

    def stops(self, events: int, n: int, constant: float) -> bool:
        if not self.may_stop(events, n):
            return False
        seen = rounded(self.of(events, n))
        return seen > rounded(constant) if self.above else seen >= rounded(constant)

    def counts(self, looks: Sequence[int], constant: float) -> tuple[int, ...]:
        """Rejection counts at the looks; n + 1 where no count of n patients stops the trial."""
        found, count = [], 0
        for n in looks:
            while count <= n and not self.stops(count, n, constant):
                count += 1
            found.append(min(count, n + 1))
        return tuple(found)


@dataclass(frozen=True)
class Posterior(Statistic):
    """Pr(p > p0 | events of n), prior Beta(a, b) (Geller 2003). With `p1` also Pr(p > p1 | ...) must be above `nu`
    (Chen and Chaloner 2006)."""

    a: float
    b: float
    p0: float
    p1: float | None = None
    nu: float = 0.0
    above = True

    def of(self, events, n):
        return beta_tail(self.a + events, self.b + n - events, self.p0)

    def may_stop(self, events, n):
        return self.p1 is None or rounded(self.of_p1(events, n)) > rounded(self.nu)

    def of_p1(self, events, n):
        return beta_tail(self.a + events, self.b + n - events, self.p1)


@dataclass(frozen=True)
class ExactTail(Statistic):
    """Pocock: the exact binomial tail Pr(Bin(n, p0) >= events), the same level at each n. Negative, so that it grows."""

    p0: float
    least, most = -1.0, 0.0

    def of(self, events, n):
        return -binomial_tail(events, n, self.p0)


@dataclass(frozen=True)
class WangTsiatis(Statistic):
    """Events above what is expected, in standard deviations, times (n/N)^(1/2 - shape). Shape 0 is O'Brien and Fleming,
    1/2 Pocock-like."""

    p0: float
    shape: float
    patients: int
    least, most = 0.0, 10_000.0

    def of(self, events, n):
        return (events - n * self.p0) / (sqrt(n * self.p0 * (1 - self.p0)) * (n / self.patients) ** (self.shape - 0.5))


@dataclass(frozen=True)
class LogLikelihoodRatio(Statistic):
    """SPRT, truncated: the log likelihood ratio of p1 against p0."""

    p0: float
    p1: float
    least, most = 0.0, 10_000.0

    def of(self, events, n):
        p0, p1 = self.p0, self.p1
        return events * log(p1 * (1 - p0) / ((1 - p1) * p0)) + n * (log1p(-p1) - log1p(-p0))


@dataclass(frozen=True)
class MaximumLogLikelihoodRatio(Statistic):
    """MaxSPRT: the log likelihood ratio of the rate seen against p0, where more was seen than p0."""

    p0: float
    least, most = 0.0, 10_000.0

    def of(self, events, n):
        if events <= n * self.p0:
            return -inf
        rest = n - events
        return events * log(events / (n * self.p0)) + (rest * log(rest / (n - n * self.p0)) if rest else 0.0)


# --- from statistic to boundary -----------------------------------------------------------------------------


def every(patients: int) -> tuple[int, ...]:
    """A look after each patient."""
    return tuple(range(1, patients + 1))


def boundary(statistic: Statistic, constant: float, looks: Sequence[int]) -> Boundary:
    return Boundary(tuple(looks), statistic.counts(looks, constant), holds_beyond=True)


def calibrated(statistic: Statistic, alpha: float, looks: Sequence[int], p0: float) -> Boundary:
    """The most liberal attainable boundary whose exact probability of crossing at p0 is at most alpha. When there is
    none in so few patients, the boundary cannot be reached at all."""
    return neighbours(
        lambda constant: boundary(statistic, constant, looks), alpha, p0, statistic.least, statistic.most
    )[1]


def neighbours(make, alpha: float, rate: float, low: float, high: float) -> tuple[Boundary, Boundary]:
    """Two attainable boundaries beside each other: the strictest that crosses more often than alpha at this rate, and
    the most liberal that does not. `make(constant)` gets stricter as the constant grows from `low` to `high`, where the
    boundary is never crossed."""
    liberal, strict = make(low), make(high)
    if liberal.crossing(rate) <= alpha:
        return liberal, liberal
    for _halving in range(HALVINGS):
        if sum(strict.counts) - sum(liberal.counts) <= 1:
            break
        middle = (low + high) / 2
        candidate = make(middle)
        if candidate.crossing(rate) > alpha:
            low, liberal = middle, candidate
        else:
            high, strict = middle, candidate
    return liberal, strict


def group_sequential(*, p0: float, looks: Sequence[int], level: float, shape: float) -> Boundary:
    """Looks at fixed numbers of patients (as clinfun's toxbdry): at information t the greatest acceptable count is the
    binomial quantile of 1 - Phi(Phi^-1(level) / t^shape); shape 0 is Pocock-like, 1/2 O'Brien and Fleming."""
    normal, last = NormalDist(), looks[-1]
    acceptable = (
        binomial_quantile(normal.cdf(-normal.inv_cdf(level) / (n / last) ** shape), n, p0) for n in looks
    )  # fmt: skip
    return Boundary(tuple(looks), tuple(count + 1 for count in acceptable))


def straddling(*, p0: float, looks: Sequence[int], shape: float, alpha: float, at: float | None = None):
    """The two group sequential boundaries beside each other whose probability of crossing at p0 (or at another rate
    `at`) lies above and not above alpha: (the liberal one, the strict one)."""

    def make(constant):
        return group_sequential(p0=p0, looks=looks, level=exp(-constant), shape=shape)

    return neighbours(make, alpha, p0 if at is None else at, -log(0.5), 60.0)


def count_rule(events: int, patients: int) -> Boundary:
    """Stop when `events` of the first `patients` had one."""
    return Boundary(every(patients), tuple(min(events, n + 1) for n in every(patients)))


def constants(statistic: Statistic, found: Boundary) -> tuple[float, float]:
    """Between which values the constant of this boundary lies: the greatest statistic that goes on and the least that
    stops. Which of both gives the boundary itself: the first where a rule stops `above` its constant, else the second."""
    goes_on = [
        statistic.of(least - 1, n)
        for n, count in found.rejections.items()
        if (least := min(count, n + 1)) and statistic.may_stop(least - 1, n)
    ]
    stops = [statistic.of(count, n) for n, count in found.rejections.items() if count <= n]
    return max(goes_on, default=-inf), min(stops, default=inf)


# --- distributions ------------------------------------------------------------------------------------------


@lru_cache(maxsize=20_000)
def binomial_tail(events: int, n: int, p: float) -> float:
    """Pr(Bin(n, p) >= events), summed exactly term by term; the shorter side is summed where that loses nothing."""
    if events <= 0:
        return 1.0
    return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n, events - 1, -1))


def binomial_quantile(probability: float, n: int, p: float) -> int:
    """The least count whose cumulative probability is at least this."""
    total = 0.0
    for count in range(n + 1):
        total += comb(n, count) * p**count * (1 - p) ** (n - count)
        if rounded(total) >= rounded(probability):
            return count
    return n


@lru_cache(maxsize=20_000)
def beta_tail(a: float, b: float, x: float) -> float:
    """Pr(p > x) for p from Beta(a, b): 1 - I_x(a, b), by the continued fraction of the incomplete beta function
    (Abramowitz and Stegun 26.5.8), about 13 digits."""
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return 1 - front * _fraction(a, b, x) / a
    return front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's evaluation of the continued fraction."""
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 + step * d
            c = 1 + step / c
            d, c = 1 / (d if abs(d) > tiny else tiny), c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return value

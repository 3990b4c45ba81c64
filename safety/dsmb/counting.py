"""Groups of patients, and how their numbers are written. Medians and quartiles are R's type 7, intervals are exact."""

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from statistics import quantiles

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from safety.dsmb.figures import Column
from trialsite.ucum import unit_text

CONFIDENCE = 0.95
# in the open part, values of fewer patients than these are not summed up: they would be those of single patients
FEWEST = 5
WITHHELD = "*"


@dataclass(frozen=True)
class Group:
    """Patients that are counted together: those of one letter, or all (letter ""). Of an open group (`is_open`) no
    one's part in it may be told."""

    letter: str
    patients: frozenset[int]
    is_open: bool = False

    @property
    def title(self):
        return self.letter or _("Total")

    @property
    def name(self):
        return _("group %(letter)s") % {"letter": self.letter} if self.letter else _("all patients together")

    def of(self, patients):
        return [patient for patient in patients if patient.id in self.patients]

    def withholds(self, n):
        """Are these too few to be summed up where everybody reads it?"""
        return self.is_open and 0 < n < FEWEST


def listed(words):
    """Several items in one cell, parted as the language parts them."""
    return pgettext("between the items of a list", "; ").join(map(str, words))


def with_more(words, more):
    """`Appendicitis (Infections)`, in the language's own brackets."""
    return _("%(name)s (%(more)s)") % {"name": words, "more": more}


def count(n, of):
    """`3 (42.9)`: the number and its percentage."""
    return f"{n} ({100 * n / of:.1f})" if of else str(n)


def parts(n, of):
    """`20/21 (95.2)`."""
    return f"{n}/{of} ({100 * n / of:.1f})" if of else "0/0"


def decimal_text(value, decimals):
    return str(Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def quartiles(values):
    """The three quartiles, R's type 7. Of one value all three are that value; `values` must not be empty."""
    if len(values) == 1:
        return [values[0]] * 3
    return quantiles(values, n=4, method="inclusive")


def median_text(values, decimals):
    """`168.5 [120.0–201.5]`: one digit more than was measured."""
    if not values:
        return "–"
    first, middle, third = (decimal_text(value, decimals + 1) for value in quartiles(values))
    return f"{middle} [{first}–{third}]"


def range_text(values, decimals):
    return f"{decimal_text(min(values), decimals)}–{decimal_text(max(values), decimals)}" if values else "–"


# --- exact intervals


def upper_limit_of_none(n, confidence=CONFIDENCE):
    """The one-sided exact upper confidence limit of a rate when none of `n` patients had the event: with 95 %
    confidence 1 - 0.05^(1/n) (0.348 for 7 patients)."""
    return 1 - (1 - confidence) ** (1 / n)


def exact_interval(k, n, confidence=CONFIDENCE):
    """The two-sided interval of Clopper and Pearson for `k` of `n` > 0."""
    tail = (1 - confidence) / 2
    low = _solve(lambda p: 1 - at_most(k - 1, n, p) - tail) if k else 0.0
    high = _solve(lambda p: tail - at_most(k, n, p)) if k < n else 1.0
    return low, high


def at_most(k, n, p):
    """The probability of at most `k` of `n` at the rate `p`, 0 < p < 1."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))


def _solve(rises):
    """Where a function that rises from below 0 to above it, between 0 and 1, is 0."""
    low, high = 0.0, 1.0
    for _round in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(middle) > 0 else (middle, high)
    return (low + high) / 2


def interval_text(k, n):
    """`2/7, 28.6 % (3.7–71.0)`, and of none with the one-sided limit: `0/7, 0.0 % (0.0–41.0; < 34.8)`."""
    if not n:
        return "–"
    low, high = (f"{100 * limit:.1f}" for limit in exact_interval(k, n))
    one_sided = "" if k else f"; < {100 * upper_limit_of_none(n):.1f}"
    return f"{k}/{n}, {100 * k / n:.1f} % ({low}–{high}{one_sided})"


def none_of(what, groups, population):
    """A note for each group in which nobody had it: absence in few patients proves little."""
    notes = []
    for group in groups:
        n = len(group.of(population))
        if n and not any(what(patient) for patient in group.of(population)):
            low_high = exact_interval(0, n)
            notes.append(
                _(
                    "None of %(n)s (%(group)s): the true rate may be up to %(limit)s %% (one-sided 95 %% upper limit; "
                    "exact two-sided 95 %% interval 0.0–%(high)s %%)."
                )
                % {
                    "n": n, "group": group.name, "limit": f"{100 * upper_limit_of_none(n):.1f}",
                    "high": f"{100 * low_high[1]:.1f}",
                }
            )  # fmt: skip
    return tuple(notes)


def heading_of(group, population):
    return f"{group.title} (N = {len(group.of(population))})"


def columns_by_group(first, groups, population):
    """A column of words, and one for each group with its denominator."""
    return (
        Column(first, align="left", share=1), *(Column(heading_of(group, population)) for group in groups),
    )  # fmt: skip


def name_with_unit(test):
    return f"{test.name} ({unit_text(test.unit)})" if test.unit else test.name

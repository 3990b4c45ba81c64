"""Groups of patients, and how their numbers are written. Medians and quartiles are R's type 7."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from statistics import quantiles

from safety.dsmb.figures import Column

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Group:
    """Patients that are counted together: those of one letter, or all (letter "")."""

    letter: str
    patients: frozenset[int]

    @property
    def title(self):
        return self.letter or "Total"

    def of(self, patients):
        return [patient for patient in patients if patient.id in self.patients]


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


def upper_limit_of_none(n, confidence=CONFIDENCE):
    """The one-sided exact upper confidence limit of a rate when none of `n` patients had the event: with 95 %
    confidence 1 - 0.05^(1/n) (0.348 for 7 patients)."""
    return 1 - (1 - confidence) ** (1 / n)


def none_of(what, groups, population):
    """A note for each group in which nobody had it: absence in few patients proves little."""
    notes = []
    for group in groups:
        n = len(group.of(population))
        if n and not any(what(patient) for patient in group.of(population)):
            name = "all patients together" if not group.letter else f"group {group.letter}"
            limit = f"{100 * upper_limit_of_none(n):.1f}"
            notes.append(
                f"None in {n} patients ({name}): the one-sided 95 % upper limit of the true rate is {limit} %."
            )
    return tuple(notes)


def columns_by_group(first, groups, population):
    """A column of words, and one for each group with its denominator."""
    headings = [f"{group.title} (N = {len(group.of(population))})" for group in groups]
    return (Column(first, align="left", share=1), *(Column(heading) for heading in headings))


def name_with_unit(test):
    return f"{test.name} ({test.unit})" if test.unit else test.name

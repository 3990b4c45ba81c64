"""How a boundary behaves: exact probabilities, by forward recursion over patients and events. No approximation.

A boundary is given by its looks, {patients: rejection count}: after so many patients the trial stops when at least
so many of them had an event. Between looks it goes on."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Characteristics:
    """At one true rate: how likely the boundary is crossed, and how many events and patients are to be expected."""

    rate: float
    crossing: float
    events: float
    patients: float


def characteristics(rejections: Mapping[int, int], rate: float) -> Characteristics:
    """What the boundary does when each patient has an event with probability `rate` (0 to 1), patient by patient."""
    last = max(rejections)
    going_on, crossed, events, patients = [1.0], 0.0, 0.0, 0.0
    for n in range(1, last + 1):
        following = [0.0] * (len(going_on) + 1)
        for count, chance in enumerate(going_on):
            following[count] += chance * (1 - rate)
            following[count + 1] += chance * rate
        least = rejections.get(n, n + 1)
        stopped = following[least:]
        crossed += sum(stopped)
        events += sum(chance * (least + i) for i, chance in enumerate(stopped))
        patients += n * sum(stopped)
        going_on = following[:least]
    events += sum(chance * count for count, chance in enumerate(going_on))
    patients += last * sum(going_on)
    return Characteristics(rate, crossed, events, patients)


def crossing_probability(rejections: Mapping[int, int], rate: float) -> float:
    return characteristics(rejections, rate).crossing


def upper_limit_of_none(n: int, confidence: float = 0.95) -> float:
    """The one-sided exact upper limit of a rate when none of n patients had an event: 0.348 for 7."""
    return 1 - (1 - confidence) ** (1 / n)

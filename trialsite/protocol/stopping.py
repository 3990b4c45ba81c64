"""What is watched, as the protocol says it: events of interest, stopping rules, and the waiting between the first
patients. Shapes alone; what a rule comes to is worked out in safety/stopping/, whose formulas docs/stopping.md has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator

from trialsite.protocol.tables import (
    AboveZero,
    Code,
    Days,
    Fault,
    Flag,
    Number,
    Part,
    Positive,
    Probability,
    Text,
    Whole,
    at,
    unknown,
)

MOST_PATIENTS = 1000
Patients = Annotated[Positive, Field(le=MOST_PATIENTS)]
Shape = Annotated[Number, Field(ge=0, le=0.5)]
Grade = Annotated[Whole, Field(ge=1, le=5)]


class EventOfInterest(Part):
    """Adverse events that are counted apart: by their terms, by the body system, or since they are reactions to infusions."""

    code: Code
    name: Text
    terms: tuple[Text, ...] = ()
    body_systems: tuple[Text, ...] = ()
    # an event that belongs to a reaction recorded at an infusion, whatever its term
    reactions: Flag = False

    _name_compared: str = PrivateAttr("")  # of a translation: the name in the protocol file

    @property
    def words(self) -> set[str]:
        """What terms are compared with, the same in every language."""
        return {term.casefold() for term in (self._name_compared or self.name, *self.terms)}

    def covers(self, terms: Iterable[str], body_system: str = "", *, of_reaction: bool = False) -> bool:
        """Is an event with one of these terms (as reported, as coded) of interest? Capital letters do not matter. `of_reaction`
        says whether it belongs to a reaction recorded at an infusion."""
        return (
            (self.reactions and of_reaction)
            or bool(self.words & {term.strip().casefold() for term in terms})
            or body_system.strip().casefold() in {system.casefold() for system in self.body_systems}
        )


class EventSelector(Part):
    """Which adverse events count for a rule. All that is given must hold; of several `of_interest`, one."""

    least_grade: Grade | None = None
    serious: Flag | None = None
    related: Flag | None = None
    fatal: Flag | None = None
    of_interest: tuple[Code, ...] = ()
    within_days_of_infusion: Days | None = None

    @model_validator(mode="after")
    def selects(self):
        if not self.model_fields_set:
            raise ValueError("expected at least one condition, or every adverse event would count")
        return self


class Halting(Part):
    """What every stopping rule has. Events of patients in `arms` count (of all, when empty); `scope` is what
    is halted: that patient, those arms, or the whole trial; `blocks` is what may then not be done."""

    code: Code
    name: Text
    counts: EventSelector
    scope: Literal["patient", "arm", "trial"] = "trial"
    arms: tuple[Code, ...] = ()
    blocks: tuple[Literal["enrol", "randomise", "infuse"], ...] = Field(min_length=1)


class RateRule(Halting):
    """What the rules have that compare a rate: of the treated patients, those with an event.

    `alpha` asks for the most liberal boundary that is crossed with this probability at most when the true rate is the
    acceptable one; otherwise the constant itself is given, under the name that each kind has for it (`constant_key`)."""

    acceptable_rate: Probability
    patients: Patients
    alpha: Probability | None = None
    # a patient counts so many days after the first infusion, or from the first event that counts
    evaluable_after_days: Days = 0

    @property
    def constant_key(self) -> str:
        return "constant"

    @model_validator(mode="after")
    def alpha_or_constant(self):
        if (self.alpha is None) == (getattr(self, self.constant_key) is None):
            raise ValueError(f"expected exactly one of {self.constant_key} and alpha")
        return self


class BetaBinomialRule(RateRule):
    """Stop when Pr(p > p0 | y events in n patients) > confidence, prior Beta(a, b) (Geller 2003); with an
    `unacceptable_rate` p1 also Pr(p > p1 | ...) > `least_probability` (Chen and Chaloner 2006)."""

    kind: Literal["beta_binomial"]
    prior: tuple[AboveZero, AboveZero]
    confidence: Probability | None = None
    unacceptable_rate: Probability | None = None
    least_probability: Probability | None = None

    @property
    def constant_key(self):
        return "confidence"

    @model_validator(mode="after")
    def second_condition(self):
        if (self.unacceptable_rate is None) != (self.least_probability is None):
            raise ValueError("expected unacceptable_rate and least_probability together")
        return self


class PocockRule(RateRule):
    """Stop when Pr(Bin(n, p0) >= y) <= level, the same level after every patient (Ivanova, Qaqish and Schell 2005)."""

    kind: Literal["pocock"]
    level: Probability | None = None

    @property
    def constant_key(self):
        return "level"


class WangTsiatisRule(RateRule):
    """Stop when y >= n p0 + c (n/N)^(shape - 1/2) sqrt(n p0 (1 - p0)); shape 0 is O'Brien and Fleming's."""

    kind: Literal["wang_tsiatis"]
    shape: Shape
    constant: AboveZero | None = None


class SprtRule(RateRule):
    """Stop when the log likelihood ratio of the unacceptable against the acceptable rate is at least c (truncated)."""

    kind: Literal["sprt"]
    unacceptable_rate: Probability
    constant: AboveZero | None = None


class MaxSprtRule(RateRule):
    """Stop when the log likelihood ratio of the rate seen against the acceptable rate is at least c."""

    kind: Literal["max_sprt"]
    constant: AboveZero | None = None


class GroupSequentialRule(RateRule):
    """Looks after so many patients each, at which y must not be above the binomial quantile (as clinfun's toxbdry)."""

    kind: Literal["group_sequential"]
    looks: tuple[Patients, ...] = Field(min_length=1)
    shape: Shape = Decimal(0)
    level: Annotated[Probability, Field(le=0.5)] | None = None

    @property
    def constant_key(self):
        return "level"


class CountRule(Halting):
    """Stop when `events` of the first `patients` treated patients have had the event."""

    kind: Literal["k_of_first_m"]
    events: Positive
    patients: Patients


class AnyEventRule(Halting):
    """Stop at the first such event."""

    kind: Literal["any_event"]


StoppingRule = Annotated[
    BetaBinomialRule
    | PocockRule
    | WangTsiatisRule
    | SprtRule
    | MaxSprtRule
    | GroupSequentialRule
    | CountRule
    | AnyEventRule,
    Field(discriminator="kind"),
]


class Sentinel(Part):
    """Staggering: among the first `patients` treated patients of `arms` (of all, when empty) the next one waits until
    so many days after the first infusion of the one before, and until no event that `unresolved` selects goes on in
    those before. `blocks` is what waits."""

    patients: Positive
    days_between: Days
    arms: tuple[Code, ...] = ()
    unresolved: EventSelector | None = None
    blocks: tuple[Literal["randomise", "infuse"], ...] = Field(min_length=1)


# --- what the classes cannot see -----------------------------------------------------------------------------


def faults_of_stopping(p) -> Iterator[Fault]:
    for i, rule in enumerate(p.stopping_rules):
        key = at("stopping_rules", i, rule)
        yield from unknown(f"{key}.arms", rule.arms, p.by_code["arms"], "an arm")
        yield from _faults_of_selector(p, rule.counts, f"{key}.counts")
        yield from _faults_of_numbers(rule, key)
        if rule.scope == "arm" and not rule.arms:
            yield Fault(f"{key}.arms", "expected the arms that are halted, for scope 'arm'")
        if rule.scope == "patient" and not isinstance(rule, AnyEventRule):
            yield Fault(f"{key}.scope", f"expected 'arm' or 'trial' for a rule of kind {rule.kind!r}")
        if rule.scope == "patient" and rule.arms and p.is_masked:
            yield Fault(
                f"{key}.arms", "expected none for scope 'patient' in a masked trial: the halt would tell the arm"
            )
    for i, interest in enumerate(p.events_of_interest):
        if interest.reactions and not p.infusions:
            yield Fault(
                f"{at('events_of_interest', i, interest)}.reactions", "expected none in a trial without infusions"
            )
    if p.sentinel:
        yield from _faults_of_sentinel(p)


def _faults_of_numbers(rule, key: str) -> Iterator[Fault]:
    if isinstance(rule, CountRule) and rule.events > rule.patients:
        yield Fault(f"{key}.events", f"expected at most {rule.patients}, the number of patients")
    unacceptable = getattr(rule, "unacceptable_rate", None)
    if unacceptable is not None and unacceptable <= rule.acceptable_rate:
        yield Fault(f"{key}.unacceptable_rate", f"expected more than the acceptable {rule.acceptable_rate}")
    if isinstance(rule, GroupSequentialRule) and (
        list(rule.looks) != sorted(set(rule.looks)) or rule.looks[-1] != rule.patients
    ):
        yield Fault(f"{key}.looks", f"expected rising numbers, the last of them {rule.patients}, as in `patients`")


def _faults_of_selector(p, selector: EventSelector, key: str) -> Iterator[Fault]:
    interest = p.by_code["events_of_interest"]
    yield from unknown(f"{key}.of_interest", selector.of_interest, interest, "an event of interest")
    if selector.within_days_of_infusion is not None and not p.infusions:
        yield Fault(f"{key}.within_days_of_infusion", "expected none in a trial without infusions")


def _faults_of_sentinel(p) -> Iterator[Fault]:
    sentinel = p.sentinel
    yield from unknown("sentinel.arms", sentinel.arms, p.by_code["arms"], "an arm")
    if not p.infusions:
        yield Fault("sentinel", "expected none in a trial without infusions")
    if sentinel.arms and p.is_masked:
        yield Fault("sentinel.arms", "expected none in a masked trial: who has to wait would know the arm")
    if sentinel.unresolved:
        yield from _faults_of_selector(p, sentinel.unresolved, "sentinel.unresolved")

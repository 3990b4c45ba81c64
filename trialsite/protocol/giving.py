"""What is given: products with their doses and release tests, arms, infusions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pydantic import PrivateAttr, model_validator

from trialsite.protocol.limits import BindingLimit
from trialsite.protocol.measuring import measured_until_day_0
from trialsite.protocol.tables import (
    AboveZero,
    Code,
    Days,
    Fault,
    Flag,
    Minutes,
    Part,
    Percent,
    Positive,
    Text,
    at,
    unknown,
)


class Dose(Part):
    """Exactly one of `per_kg` (units per kg of body weight) and `absolute` (units per infusion)."""

    per_kg: AboveZero | None = None
    absolute: AboveZero | None = None
    unit: Text
    tolerance_percent: Percent

    @model_validator(mode="after")
    def one_way_to_dose(self):
        if (self.per_kg is None) == (self.absolute is None):
            raise ValueError("expected exactly one of per_kg and absolute")
        return self


class ReleaseTest(BindingLimit):
    """A test a product lot must pass before it may be used."""

    code: Code
    name: Text
    unit: str = ""

    _equals_label: str = PrivateAttr("")

    @property
    def equals_label(self) -> str:
        """The word in `equals` as it is shown; what is stored and compared is `equals`."""
        return self._equals_label or self.equals or ""

    def words(self) -> str:
        return self.equals_label or super().words()

    def result_told(self, result: str) -> str:
        """A result as it is shown."""
        return self.equals_label if result == self.equals else result


class Product(Part):
    code: Code
    name: Text
    is_cell_product: Flag = False
    dose: Dose
    release_tests: tuple[ReleaseTest, ...] = ()


class Arm(Part):
    code: Code
    name: Text
    ratio: Positive = 1
    product: Code


class Infusions(Part):
    """How infusions are given and watched. Which visit has which infusion stands at the visit.

    `volume_ml` is what may be given at one infusion, [lowest, highest]. `weight_test` (in kg) stands in a
    panel; the `monitoring_tests` stand in none: they are asked at each of the `monitoring_minutes`."""

    count: Positive
    route: Text
    volume_ml: tuple[AboveZero, AboveZero]
    least_days_between: Days
    monitoring_minutes: tuple[Minutes, ...]
    monitoring_tests: tuple[Code, ...]
    reaction_window_days: Days
    reaction_terms: tuple[Text, ...] = ()
    weight_test: Code

    _reaction_labels: dict[str, str] = PrivateAttr(default_factory=dict)

    def reaction_label(self, term: str) -> str:
        """A term of the checklist as it is shown; what is stored, and coded, is the term."""
        return self._reaction_labels.get(term, term)


def faults_of_infusions(p) -> Iterator[Fault]:
    planned = [visit for visit in p.visits if visit.infusion]
    numbers = [visit.infusion for visit in planned]
    expected = list(range(1, p.infusions.count + 1)) if p.infusions else []
    if numbers != expected:
        yield Fault("visits", f"expected infusions {expected} in this order, found {numbers}")
    if not p.infusions:
        return
    given = p.infusions
    if planned and planned[0].day != 0:
        i = p.visits.index(planned[0])
        yield Fault(f"{at('visits', i, planned[0])}.infusion", "expected the first infusion on day 0")
    for earlier, later in pairwise(planned):
        days = later.day - earlier.day
        if days < given.least_days_between:
            expected = f"expected at most the {days} days planned from {earlier.code} to {later.code}"
            yield Fault("infusions.least_days_between", f"{expected}, found {given.least_days_between}")
    if list(given.monitoring_minutes) != sorted(set(given.monitoring_minutes)):
        yield Fault("infusions.monitoring_minutes", "expected rising minutes, each once")
    if bool(given.monitoring_minutes) != bool(given.monitoring_tests):
        yield Fault("infusions.monitoring_minutes", "expected monitoring_tests and minutes, or neither")
    if given.volume_ml[0] > given.volume_ml[1]:
        yield Fault("infusions.volume_ml", "expected [low, high]")
    yield from unknown("infusions.weight_test", [given.weight_test], p.by_code["tests"], "a test")
    if weight := p.by_code["tests"].get(given.weight_test):
        if weight.kind != "number" or weight.unit != "kg":
            yield Fault("infusions.weight_test", f"expected a number in kg, found {weight.code!r}")
        elif weight.code not in measured_until_day_0(p):
            yield Fault("infusions.weight_test", "expected in a panel of a visit until day 0, for the dose")


def faults_of_masking(p) -> Iterator[Fault]:
    """What the site is told of an infusion must not differ between the arms."""
    tolerances = {product.dose.tolerance_percent for product in p.products}
    if p.is_masked and len(tolerances) > 1:
        found = ", ".join(str(tolerance) for tolerance in sorted(tolerances))
        yield Fault("products", f"expected one tolerance_percent for all in a masked trial, found {found}")

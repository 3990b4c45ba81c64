"""The only place that says how much to infuse, whether it may be given, and whether its record fits together.

Doses are in the unit of the product's dose (cells, mL ...), weights in kg, times aware. In a masked trial
nothing here names a product or an arm in a sentence that a site could read: a refusal must not unmask.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal, localcontext

from patients.eligibility import meets
from trialsite.protocol import Infusions, Product, Protocol, ReleaseTest
from visits.edit_checks import Problem
from visits.results import read_number

RELEASED = "released"
# codes of a pregnancy test's result that allow an infusion
NOT_PREGNANT = frozenset({"NEGATIVE", "NEG", "NOT_APPLICABLE", "NA"})


# --- how much ------------------------------------------------------------------------------------


def planned_dose(product: Product, weight_kg: Decimal) -> Decimal:
    """Dose of one infusion, in `product.dose.unit`: per kg times weight, exactly, or the absolute dose."""
    if weight_kg <= 0:
        raise ValueError(f"expected a weight above 0 kg, found {weight_kg}")
    if product.dose.absolute is not None:
        return product.dose.absolute
    with localcontext(prec=80):
        return product.dose.per_kg * weight_kg


def dose_deviation_percent(planned: Decimal, given: Decimal) -> Decimal:
    """How far the given dose is from the planned one, in % of the planned; negative when less was given."""
    return (given - planned) * 100 / planned


def is_off_plan(product: Product, planned: Decimal, given: Decimal) -> bool:
    """Is the given dose further from the planned one than the tolerance? Just as far is still on plan."""
    return abs(given - planned) * 100 > product.dose.tolerance_percent * planned


# --- may it be given -----------------------------------------------------------------------------


def pregnancy_test(protocol: Protocol, visit: str, sex: str) -> str | None:
    """The code of the test that must be negative before the infusion of a visit; None when none is asked for."""
    asked = [
        test.code
        for panel in protocol.panels_of(visit, sex)
        if panel.only_for_sex == "F"
        for test in protocol.tests_of(panel.code)
        if test.kind == "choice"
    ]
    return asked[0] if asked else None


def reasons_not_to_infuse(
    *,
    is_randomised: bool,
    open_halts: Iterable[str],
    lot_state: str | None,
    lot_expires_on: date | None,
    on: date,
    lot_product: str | None,
    arm_product: str | None,
    previous_infusion_on: date | None,
    least_days_between: int,
    number: int,
    given_numbers: Collection[int],
    pregnancy_result: str | None,
    sex: str,
) -> list[str]:
    """Why infusion `number` must not be given on the day `on`; a sentence each, none when it may be given.

    `open_halts` are the names of what halts infusions. A lot can be used up to and including the day it
    expires. A skipped infusion does not bar the next one, but the first cannot be skipped. `pregnancy_result`
    is the code of the test's result before this infusion, None when there is none, and "" when the protocol
    asks for no such test.
    """
    reasons = []
    if not is_randomised:
        reasons.append("The patient is not randomised.")
    reasons.extend(f"Infusions are halted: {halt}." for halt in open_halts)

    if lot_state is None:
        reasons.append("No product lot has been chosen.")
    else:
        if lot_state != RELEASED:
            reasons.append(f"The product lot is not released; it is {lot_state}.")
        if lot_expires_on is None:
            reasons.append("The product lot has no expiry date.")
        elif lot_expires_on < on:
            reasons.append(f"The product lot expired on {lot_expires_on}.")
        if is_randomised and lot_product != arm_product:
            reasons.append("The product lot is not of the product that this patient is to receive.")

    if number in given_numbers:
        reasons.append(f"Infusion {number} has already been given.")
    elif later := sorted(given for given in given_numbers if given > number):
        reasons.append(f"Infusion {later[0]} has already been given; infusion {number} cannot follow it.")
    if number > 1 and 1 not in given_numbers:
        reasons.append(f"Infusion 1 has not been given; infusion {number} cannot come before it.")

    if previous_infusion_on is not None:
        days = (on - previous_infusion_on).days
        if days < 0:
            reasons.append(f"The previous infusion was given later, on {previous_infusion_on}.")
        elif days < least_days_between:
            reasons.append(
                f"The previous infusion was {days} days before, on {previous_infusion_on}; "
                f"at least {least_days_between} days must lie between infusions."
            )

    if sex == "F" and pregnancy_result != "":
        if pregnancy_result is None:
            reasons.append("There is no pregnancy test for this infusion.")
        elif pregnancy_result.upper() not in NOT_PREGNANT:
            reasons.append("The pregnancy test is not negative.")
    return reasons


def lot_failures(product: Product, results: dict[str, str]) -> list[str]:
    """The release tests of a lot that are missing or failed, a sentence each; none when it may be released.

    `results` are as typed, by the code of the release test. "<0.1" passes when all it can mean does.
    """
    failures = (_lot_failure(test, results.get(test.code, "").strip(" ")) for test in product.release_tests)
    return [failure for failure in failures if failure]


def _lot_failure(test: ReleaseTest, typed: str) -> str | None:
    if not typed:
        return f"{test.name} has no result."
    number = read_number(typed)
    if test.equals is not None and number is None:
        passes = meets(test, typed)
    elif number is not None:
        operator, value = number
        passes = meets(test, value, operator)
    else:
        return f"{test.name}: {typed[:40]!r} is not a number; it must be {_limit(test)}."
    if passes:
        return None
    return f"{test.name} is {_with_unit(typed, test)}; it must be {_limit(test)}."


def _limit(test: ReleaseTest) -> str:
    return _with_unit(test.words(), test)


def _with_unit(words: str, test: ReleaseTest) -> str:
    return f"{words} {test.unit}".rstrip()


# --- does the record fit together ----------------------------------------------------------------


def infusion_problems(
    infusions: Infusions,
    *,
    product: Product,
    planned: Decimal,
    given: Decimal,
    volume_ml: Decimal,
    started_at: datetime,
    stopped_at: datetime,
    interruptions: Iterable[tuple[datetime, datetime | None]],
    monitored_minutes: Collection[int],
    now: datetime,
) -> list[Problem]:
    """What does not fit in the record of one infusion. Hard problems contradict time, soft ones the protocol.

    `planned` and `given` are doses; `interruptions` when the infusion was halted and when it was resumed,
    None when it was not; `monitored_minutes` the minutes after the start at which vital signs were taken.
    """
    problems = list(_problems_of_time(started_at, stopped_at, interruptions, now))
    if is_off_plan(product, planned, given):
        deviation = f"{dose_deviation_percent(planned, given):+.1f} %"
        tolerance = f"{product.dose.tolerance_percent} %"
        text = f"The given dose differs from the planned one by {deviation}; up to {tolerance} is tolerated."
        problems.append(_soft("dose_off_plan", text))
    low, high = infusions.volume_ml
    if not low <= volume_ml <= high:
        problems.append(_soft("volume", f"The volume of {volume_ml} mL is not from {low} to {high} mL."))
    if missing := [str(minute) for minute in infusions.monitoring_minutes if minute not in monitored_minutes]:
        problems.append(_soft("monitoring", f"The vital signs at {', '.join(missing)} minutes are missing."))
    return problems


def _problems_of_time(
    started_at: datetime,
    stopped_at: datetime,
    interruptions: Iterable[tuple[datetime, datetime | None]],
    now: datetime,
) -> Iterator[Problem]:
    if max(started_at, stopped_at) > now:
        yield _hard("future", "The infusion lies in the future.")
    if stopped_at <= started_at:
        yield _hard("stop_before_start", "The infusion must stop after it starts.")
        return
    flowing_since = started_at
    for halted_at, resumed_at in sorted(interruptions, key=lambda times: times[0]):
        what = f"The interruption at {halted_at:%H:%M %Z}"
        if not (started_at <= halted_at <= stopped_at and (resumed_at or stopped_at) <= stopped_at):
            yield _hard("interruption_outside", f"{what} is not between start and stop.")
        if resumed_at is not None and resumed_at <= halted_at:
            yield _hard("interruption_order", f"{what} must end after it begins.")
        if started_at <= halted_at < flowing_since:
            yield _hard("interruption_overlap", f"{what} begins before an earlier one ended.")
        if resumed_at is None and halted_at < stopped_at:
            yield _hard("interruption_open", f"{what} has no end, yet the infusion went on after it.")
        flowing_since = max(flowing_since, resumed_at or stopped_at)


def _hard(code: str, text: str) -> Problem:
    return Problem(code, "", text, hard=True)


def _soft(code: str, text: str) -> Problem:
    return Problem(code, "", text, hard=False)

"""The only place that says how much to infuse, whether it may be given, and whether its record fits together.

Doses are in the unit of the product's dose (cells, mL ...), weights in kg, times aware. In a masked trial
nothing here names a product or an arm in a sentence that a site could read: a refusal must not unmask.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal, localcontext

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as noop

from patients.eligibility import meets
from trialsite.protocol import Infusions, Product, Protocol, ReleaseTest
from trialsite.ucum import unit_text
from trialsite.words import Sentence
from visits.edit_checks import Problem, problem
from visits.results import read_number

RELEASED = "released"
# what a lot in another state is, for the sentence that refuses it
NOT_RELEASED = {"quarantined": noop("in quarantine"), "rejected": noop("rejected")}
# codes of a pregnancy test's result that allow an infusion
NOT_PREGNANT = frozenset({"NEGATIVE", "NEG", "NOT_APPLICABLE", "NA"})
# a woman below this age (completed years) needs a pregnancy test before an infusion. Default: from 60 years on a woman
# counts as post-menopausal without further proof (NCCN's definition of menopause)
CHILD_BEARING_BELOW = 60


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


def problems_with_giving(
    *,
    is_randomised: bool,
    open_halts: Iterable[str],
    lot_state: str | None,
    lot_expires_on: date | None,
    on: date,
    lot_product: str | None,
    arm_product: str | None,
    previous_infusion_on: date | None,
    next_infusion_on: date | None = None,
    least_days_between: int,
    number: int,
    given_numbers: Collection[int],
    pregnancy_result: str | None,
    sex: str,
    age: int | None = None,
) -> list[Problem]:
    """Why infusion `number` must not be given on the day `on`: hard problems.

    `open_halts` are the names of what halts infusions. A lot can be used up to and including the day it
    expires. A skipped infusion does not bar the next one, but the first cannot be skipped. `next_infusion_on` is known
    only when the start of a given infusion is corrected. `pregnancy_result`
    is the code of the test's result before this infusion, None when there is none, and "" when the protocol
    asks for no such test; without an `age` (years) a woman counts as of child-bearing age.
    """
    return [
        *([] if is_randomised else [problem("not_randomised")]),
        *(problem("halted", halt=halt) for halt in open_halts),
        *_problems_of_the_lot(lot_state, lot_expires_on, on),
        *([problem("other_product")] if lot_state and is_randomised and lot_product != arm_product else []),
        *_problems_of_order(number, given_numbers),
        *_problems_of_interval(on, previous_infusion_on, next_infusion_on, least_days_between),
        *_problems_of_pregnancy(pregnancy_result, sex, age),
    ]


def _problems_of_the_lot(state: str | None, expires_on: date | None, on: date) -> Iterator[Problem]:
    if state is None:
        yield problem("no_lot")
        return
    if state != RELEASED:
        yield problem("lot_not_released", state=Sentence(NOT_RELEASED.get(state, state)))
    if expires_on is None:
        yield problem("lot_without_expiry")
    elif expires_on < on:
        yield problem("lot_expired", expires_on=expires_on)


def _problems_of_order(number: int, given_numbers: Collection[int]) -> Iterator[Problem]:
    if number in given_numbers:
        yield problem("given_before", number=number)
    elif later := sorted(given for given in given_numbers if given > number):
        yield problem("later_one_given", later=later[0], number=number)
    if number > 1 and 1 not in given_numbers:
        yield problem("first_not_given", number=number)


def _problems_of_interval(on: date, previous_on: date | None, next_on: date | None, least: int) -> Iterator[Problem]:
    if previous_on is not None and previous_on > on:
        yield problem("previous_infusion_later", previous_on=previous_on)
    elif previous_on is not None and (days := (on - previous_on).days) < least:
        yield problem("interval", days=days, previous_on=previous_on, least=least)
    if next_on is not None and next_on < on:
        yield problem("next_infusion_earlier", next_on=next_on)
    elif next_on is not None and (days := (next_on - on).days) < least:
        yield problem("interval_to_next", days=days, next_on=next_on, least=least)


def _problems_of_pregnancy(result: str | None, sex: str, age: int | None) -> Iterator[Problem]:
    if sex != "F" or result == "":
        return
    if result is None:
        if age is None or age < CHILD_BEARING_BELOW:
            yield problem("pregnancy_untested")
    elif result.upper() not in NOT_PREGNANT:
        yield problem("pregnancy_not_excluded")


def lot_failures(product: Product, results: dict[str, str]) -> list[str]:
    """The release tests of a lot that are missing or failed, a sentence each; none when it may be released.

    `results` are as typed, by the code of the release test. "<0.1" passes when all it can mean does.
    """
    failures = (_lot_failure(test, results.get(test.code, "").strip(" ")) for test in product.release_tests)
    return [failure for failure in failures if failure]


def _lot_failure(test: ReleaseTest, typed: str) -> str | None:
    if not typed:
        return _("%(test)s has no result.") % {"test": test.name}
    number = read_number(typed)
    if test.equals is not None and number is None:
        passes = meets(test, typed)
    elif number is not None:
        operator, value = number
        passes = meets(test, value, operator)
    else:
        told = {"test": test.name, "typed": repr(typed[:40]), "limit": _limit(test)}
        return _("%(test)s: %(typed)s is not a number; it must be %(limit)s.") % told
    if passes:
        return None
    told = {"test": test.name, "result": _with_unit(typed, test), "limit": _limit(test)}
    return _("%(test)s is %(result)s; it must be %(limit)s.") % told


def _limit(test: ReleaseTest) -> str:
    return _with_unit(test.words(), test)


def _with_unit(words: str, test: ReleaseTest) -> str:
    return f"{words} {unit_text(test.unit)}".rstrip()


# --- does the record fit together ----------------------------------------------------------------


def infusion_problems(
    infusions: Infusions,
    *,
    product: Product,
    planned: Decimal,
    given: Decimal | None,
    volume_ml: Decimal | None,
    started_at: datetime | None,
    stopped_at: datetime | None,
    interruptions: Iterable[tuple[datetime, datetime | None]],
    monitored_minutes: Collection[int],
    now: datetime,
    prepared_for: Decimal | None = None,
    weight: Decimal | None = None,
    on: date | None = None,
    visit: str = "",
    window: tuple[date, date] | None = None,
    visit_on: date | None = None,
    prepared_at: datetime | None = None,
    reactions: Iterable[datetime] = (),
    is_complete: bool = True,
) -> list[Problem]:
    """What does not fit in the record of one infusion. Hard problems contradict time, soft ones the protocol.

    What is not known yet is None, and the checks that need it are silent. While the form is filled in it is not
    `is_complete`: vital signs are missing only once those of the last minute are there.

    `planned` and `given` are doses; `interruptions` when the infusion was halted and when it was resumed,
    None when it was not; `monitored_minutes` the minutes after the start at which vital signs were taken.
    The bag was `prepared_for` a weight, `weight` is the one measured at the visit (kg); leave either out where no dose
    follows from the weight. `on` is the day of the infusion, `window` the first and last day of its `visit`, which
    took place `visit_on`.
    """
    problems = list(_problems_of_time(started_at, stopped_at, interruptions, now))
    problems += _problems_of_reactions(started_at, reactions, now)
    problems += problems_of_dose(product, planned=planned, given=given, prepared_for=prepared_for, weight=weight)
    low, high = infusions.volume_ml
    if volume_ml is not None and not low <= volume_ml <= high:
        problems.append(problem("volume", volume=volume_ml, low=low, high=high))
    missing = [str(minute) for minute in infusions.monitoring_minutes if minute not in monitored_minutes]
    if missing and (is_complete or max(infusions.monitoring_minutes) in monitored_minutes):
        problems.append(problem("monitoring", minutes=", ".join(missing)))
    if prepared_at and started_at and started_at < prepared_at:
        problems.append(problem("before_preparation"))
    if on and window and not window[0] <= on <= window[1]:
        problems.append(problem("infusion_window", day=on, visit=visit, earliest=window[0], latest=window[1]))
    if on and visit_on and on != visit_on:
        problems.append(problem("infusion_other_day", day=on, visit=visit, visit_on=visit_on))
    return problems


def problems_of_dose(
    product: Product, *, planned: Decimal, given: Decimal | None, prepared_for: Decimal | None, weight: Decimal | None
) -> Iterator[Problem]:
    """What speaks against a dose that is prepared or was given, by the tolerance of the product. Soft; what is not known
    is None."""
    tolerance = product.dose.tolerance_percent
    if given is not None and is_off_plan(product, planned, given):
        deviation = f"{dose_deviation_percent(planned, given):+.1f}"
        yield problem("dose_off_plan", deviation=deviation, tolerance=tolerance)
    if prepared_for and weight and abs(prepared_for - weight) * 100 > tolerance * weight:
        told = {"prepared_for": _plain(prepared_for), "weight": _plain(weight), "tolerance": tolerance}
        yield problem("dose_for_weight", **told)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _problems_of_time(
    started_at: datetime | None,
    stopped_at: datetime | None,
    interruptions: Iterable[tuple[datetime, datetime | None]],
    now: datetime,
) -> Iterator[Problem]:
    if any(at is not None and at > now for at in (started_at, stopped_at)):
        yield problem("future")
    if started_at is None or stopped_at is None:
        return
    if stopped_at <= started_at:
        yield problem("stop_before_start")
        return
    flowing_since = started_at
    for halted_at, resumed_at in sorted(interruptions, key=lambda times: times[0]):
        at = f"{halted_at:%H:%M %Z}"
        if not (started_at <= halted_at <= stopped_at and (resumed_at or stopped_at) <= stopped_at):
            yield problem("interruption_outside", at=at)
        if resumed_at is not None and resumed_at <= halted_at:
            yield problem("interruption_order", at=at)
        if started_at <= halted_at < flowing_since:
            yield problem("interruption_overlap", at=at)
        if resumed_at is None and halted_at < stopped_at:
            yield problem("interruption_open", at=at)
        flowing_since = max(flowing_since, resumed_at or stopped_at)


def _problems_of_reactions(
    started_at: datetime | None, reactions: Iterable[datetime], now: datetime
) -> Iterator[Problem]:
    for began_at in reactions:
        if began_at > now:
            yield problem("future")
        elif started_at is not None and began_at < started_at:
            yield problem("reaction_before_start", at=f"{began_at:%H:%M %Z}")


def whole_of(started_at: datetime | None, stopped_at: datetime | None, volume_ml, given_percent) -> str:
    """What checks about an infusion as a whole look at, as text: what is confirmed is confirmed of exactly this."""
    times = [at.isoformat() if at else "" for at in (started_at, stopped_at)]
    return " ".join([*times, *(str(value) if value is not None else "" for value in (volume_ml, given_percent))])

"""The only place that says what a typed result means, how it is flagged, and what is computed from it.

Nothing is guessed and nothing is repaired: a result is read as the one thing it can mean or it is refused in
plain words (R51, R53). "<50" is an operator and a value: somewhere below 50.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from django.utils.translation import gettext as _

from trialsite.characters import is_unseen
from trialsite.protocol import Reference, Test
from trialsite.ucum import unit_text
from trialsite.words import listed
from visits.ranges import Held
from visits.units import bounds_in, plain, standardised, unit_of

LONGEST_TEXT = 500  # characters
LONGEST_NUMBER = 30  # characters

# an operator, directly before the number or one blank away; a minus; no leading zeros; digits around a point
NUMBER = re.compile(r"(?:([<>]) ?)?(-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?)", re.ASCII)
ANY_OPERATOR = re.compile(r"[<>≤≥=~≈±]")


class NotAResult(Exception):
    """What was typed is no result of this test; the message says why, for the person who typed it."""

    code = "invalid"


class Impossible(NotAResult):
    """A number that nobody can have (the hard check of single values)."""

    code = "impossible"


@dataclass(frozen=True)
class Result:
    """A result as `typed` (without blanks around a number) and as meant.

    A number has a `value` in the protocol's unit and perhaps an `operator`, "<" or ">"; anything else has a
    `text`, for a choice its code. `unit` is the one it was typed in, "" for the protocol's.
    """

    typed: str
    operator: str
    value: Decimal | None
    text: str
    unit: str = ""


def read_result(test: Test, typed: str, unit: str = "") -> Result | None:
    """What `typed` means as a result of `test`, reported in `unit` ("" for the protocol's own); None when the field is
    blank. Raises NotAResult."""
    if test.kind == "number":
        return _read_number_result(test, typed.strip(" "), unit)
    if test.kind == "choice":
        return _read_choice(test, typed)
    return _read_text(test, typed)


def read_number(typed: str) -> tuple[str, Decimal] | None:
    """Operator ("", "<", ">") and value of a plainly written number; None for anything else."""
    match = NUMBER.fullmatch(typed)
    if not match or len(typed) > LONGEST_NUMBER or _is_signed_zero(match[2]):
        return None
    return match[1] or "", Decimal(match[2])


def _read_number_result(test: Test, typed: str, unit: str) -> Result | None:
    if not typed:
        return None
    if test.computed:
        raise NotAResult(_("%(test)s is computed from other results and cannot be typed.") % {"test": test.name})
    try:
        reported = unit_of(test, unit)
    except KeyError:
        raise NotAResult(_("%(test)s is not reported in this unit.") % {"test": test.name}) from None
    _refuse_too_long(test, typed, LONGEST_NUMBER)
    number = read_number(typed)
    if number is None:
        raise NotAResult(_why_not_a_number(test, typed, reported))
    operator, value = number
    if operator and operator not in test.operators:
        told = _('%(test)s cannot be given with "%(sign)s".') % {"test": test.name, "sign": operator}
        raise NotAResult(f"{told} {_operators_allowed(test)}")
    decimals = -value.as_tuple().exponent
    if decimals > reported.decimals:
        raise NotAResult(_too_many_decimals(test, reported.decimals, decimals))
    standard = standardised(value, reported)
    if not _is_possible(test, operator, standard):
        low, high = bounds_in(test, unit, test.possible)
        about = {"test": test.name, "low": low, "high": high, "unit": unit_text(reported.unit)}
        raise Impossible(
            _("%(test)s can only be from %(low)s to %(high)s %(unit)s.") % about if reported.unit
            else _("%(test)s can only be from %(low)s to %(high)s.") % about
        )  # fmt: skip
    if test.step and standard % Decimal(test.step):
        raise NotAResult(
            _("%(test)s is only given in steps of %(step)s.") % {"test": test.name, "step": plain(Decimal(test.step))}
        )
    return Result(typed, operator, standard, "", "" if reported.unit == test.unit else reported.unit)


def _too_many_decimals(test: Test, allowed: int, found: int) -> str:
    about = {"test": test.name, "allowed": allowed, "found": found}
    if allowed == 0:
        return _("%(test)s is given with no decimals; this has %(found)s.") % about
    if allowed == 1:
        return _("%(test)s is given with at most 1 decimal; this has %(found)s.") % about
    return _("%(test)s is given with at most %(allowed)s decimals; this has %(found)s.") % about


def _example(test: Test, reported) -> str:
    """A number as it may be typed in this unit: one that is plausible there, at least possible."""
    usual = "12" if reported.decimals == 0 else "12." + "5".ljust(reported.decimals, "0")
    bounds = test.plausible or test.possible
    if bounds is None:
        return usual
    low, high = bounds_in(test, reported.unit, bounds)
    return usual if low <= Decimal(usual) <= high else f"{(low + high) / 2:.{reported.decimals}f}"


def _why_not_a_number(test: Test, typed: str, reported) -> str:
    decimals = reported.decimals
    about = {"test": test.name, "example": _example(test, reported)}
    if re.fullmatch(r"[<>]? ?-?[0-9]+,[0-9]+", typed, re.ASCII):
        return _("%(test)s must be a plain number, e.g. %(example)s, with a point and not a comma.") % about
    if ANY_OPERATOR.search(typed):
        told = _("%(test)s must be a plain number, e.g. %(example)s.") % about
        return f"{told} {_operators_allowed(test)}"
    if decimals:
        return (
            _("%(test)s must be a plain number, e.g. %(example)s: digits only, with a point before the decimals.")
            % about
        )
    return _("%(test)s must be a plain number, e.g. %(example)s: digits only.") % about


def _operators_allowed(test: Test) -> str:
    if not test.operators:
        return _("No sign may stand before it.")
    if len(test.operators) == 1:
        return _("Before it may stand %(sign)s.") % {"sign": test.operators[0]}
    return _("Before it may stand %(sign)s or %(other)s.") % dict(zip(("sign", "other"), test.operators, strict=True))


def _is_signed_zero(number: str) -> bool:
    return number.startswith("-") and not Decimal(number)


def _is_possible(test: Test, operator: str, value: Decimal) -> bool:
    """Bounds are inclusive; "<" the lowest and ">" the highest possible value leave nothing to be true."""
    if test.possible is None:
        return True
    low, high = test.possible
    return low <= value <= high and not (operator == "<" and value == low) and not (operator == ">" and value == high)


def is_impossible(test: Test, result: Result | None) -> bool:
    """Is it a number that `read_result` would have refused? For values that were not typed but computed."""
    return result is not None and result.value is not None and not _is_possible(test, result.operator, result.value)


def _read_choice(test: Test, typed: str) -> Result | None:
    if not typed:
        return None
    if typed not in {choice.code for choice in test.choices}:
        labels = listed(choice.label for choice in test.choices)
        raise NotAResult(_("%(test)s must be one of: %(labels)s.") % {"test": test.name, "labels": labels})
    return Result(typed, "", None, typed)


def _read_text(test: Test, typed: str) -> Result | None:
    """One line of text in which every character can be seen, kept as typed. Blanks alone are no answer."""
    if not typed.strip():
        return None
    _refuse_too_long(test, typed, LONGEST_TEXT)
    if unseen := sorted({c for c in typed if is_unseen(c)}):
        names = ", ".join(f"U+{ord(c):04X}" for c in unseen[:5])
        told = _("%(test)s has characters that cannot be seen (%(names)s); type it again on one line.")
        raise NotAResult(told % {"test": test.name, "names": names})
    return Result(typed, "", None, typed)


def _refuse_too_long(test: Test, typed: str, most: int) -> None:
    if len(typed) > most:
        about = {"test": test.name, "most": most, "found": len(typed)}
        raise NotAResult(_("%(test)s may have at most %(most)s characters; this has %(found)s.") % about)


# --- what follows from a result ------------------------------------------------------------------


def flag(result: Result | None, reference: Reference | Held | None) -> str:
    """ "L" below the reference range, "H" above it, "" inside it or where that is not certain.

    Both are in the protocol's unit and exact: to multiply result and range by the same factor changes no comparison,
    so this is what comparing them in the unit of the report gives. The range is inclusive. "<40" is low when the range begins at 40; "<50" may still be inside it.
    """
    if result is None or result.value is None or reference is None:
        return ""
    low, high = reference.low, reference.high
    value, operator = result.value, result.operator
    if low is not None and operator != ">" and (value < low or (operator == "<" and value == low)):
        return "L"
    if high is not None and operator != "<" and (value > high or (operator == ">" and value == high)):
        return "H"
    return ""


def is_implausible(test: Test, result: Result | None) -> bool:
    """Is the number outside the plausible range (inclusive)? The number alone is judged, not "<" or ">"."""
    if result is None or result.value is None or test.plausible is None:
        return False
    low, high = test.plausible
    return not low <= result.value <= high


def compute(test: Test, results: dict[str, Result | None]) -> Result | None:
    """The value of a computed test: a / b ("ratio") or a * b / 100 ("percent_of"), in `test.decimals`.

    Half rounds to even, so that many roundings do not drift upward. None when an input is missing or only
    bounded ("<50"), and for a ratio to zero.
    """
    inputs = [results.get(code) for code in test.computed.of]
    if any(result is None or result.value is None or result.operator for result in inputs):
        return None
    a, b = (result.value for result in inputs)
    if test.computed.as_ == "ratio" and b == 0:
        return None
    with localcontext(prec=80):  # more digits than two inputs can fill, so that only the last step rounds
        exact = a / b if test.computed.as_ == "ratio" else a * b / 100
        value = exact.quantize(Decimal(1).scaleb(-test.decimals), rounding=ROUND_HALF_EVEN)
    value = abs(value) if value == 0 else value  # no "-0.0"
    return Result(f"{value:f}", "", value, "")

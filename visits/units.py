"""The only place that turns a number from the unit in which it was reported into the protocol's unit, and back.

Pure. The protocol says of each other unit of a test by which factor its numbers are multiplied. Both are decimals, so
the product is exact: what is compared is never rounded. Only what is stored is rounded, to 4 places, half to even.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

from trialsite.protocol import Test, Unit

EXACT = Context(prec=100)  # more digits than a number of 30 and a factor can fill
STORED_PLACES = 4


def units_of(test: Test) -> tuple[Unit, ...]:
    """The units in which a number of this test may be reported, the protocol's own first; none of other kinds."""
    if test.kind != "number":
        return ()
    own = Unit.model_construct(unit=test.unit, ucum=test.ucum, factor=Decimal(1), decimals=test.decimals)
    return (own, *test.units)


def unit_of(test: Test, unit: str) -> Unit:
    """The unit of this name; "" means the protocol's own. Raises KeyError where the test is not reported in it."""
    for known in units_of(test):
        if known.unit == (unit or test.unit):
            return known
    raise KeyError(unit)


def standardised(value: Decimal, unit: Unit) -> Decimal:
    """The value in the protocol's unit, exactly."""
    return EXACT.multiply(value, unit.factor)


def in_unit(value: Decimal, unit: Unit) -> Decimal:
    """A value in the protocol's unit, in another one: the nearest with 4 decimals, for people to read."""
    return rounded(EXACT.divide(value, unit.factor))


def rounded(value: Decimal | None, rounding=ROUND_HALF_EVEN, places=STORED_PLACES) -> Decimal | None:
    """As it is stored."""
    if value is None or -value.as_tuple().exponent <= places:
        return value
    return value.quantize(Decimal(1).scaleb(-places), rounding=rounding, context=EXACT)


def bounds_in(test: Test, unit: str, bounds: tuple[Decimal, Decimal]) -> tuple[Decimal, Decimal]:
    """Bounds of the protocol in another unit and its decimals, rounded inwards: what lies within them is allowed."""
    known = unit_of(test, unit)
    if known.factor == 1:
        return bounds
    low, high = (EXACT.divide(bound, known.factor) for bound in bounds)
    return plain(rounded(low, ROUND_CEILING, known.decimals)), plain(rounded(high, ROUND_FLOOR, known.decimals))


def plain(number: Decimal) -> Decimal:
    """The same number without the zeros behind it, and without an exponent."""
    number = number.normalize(EXACT)
    return number.quantize(Decimal(1), context=EXACT) if number.as_tuple().exponent > 0 else number


def text_in(test: Test, unit: str, measurement) -> str | None:
    """A stored result in a unit of the test ("" for the protocol's) as people read it, without the unit: as typed where
    it was reported in that unit, else converted, in the unit's decimals. None where this version of the test cannot
    convert it: its protocol standardised to another unit than this one."""
    unit = unit or test.unit
    reported, m = measurement.reported_unit or measurement.unit, measurement
    if m.value is None or reported in ("", unit):
        return m.typed
    if m.unit != test.unit:
        return None
    known = unit_of(test, unit)
    return f"{m.operator}{rounded(in_unit(m.value, known), places=known.decimals):f}"


def standard_text(test: Test, typed: str, operator: str, value: Decimal | None, unit: str) -> str:
    """A stored result in the protocol's unit as people read it, without the unit: as typed where it was reported in
    that unit, else the value in the test's decimals."""
    if value is None or unit in ("", test.unit):
        return typed
    return f"{operator}{rounded(value, places=test.decimals):f}"

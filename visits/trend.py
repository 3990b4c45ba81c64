"""How a few earlier results of a test are drawn beside its field: the only place that turns numbers into a small curve."""

from __future__ import annotations

from decimal import Decimal

WIDTH, HEIGHT, EDGE = 56, 16, 2


def curve(values: list[Decimal]) -> list[tuple[float, float]]:
    """The points (x to the right, y downwards) of these values, oldest first, in a box of WIDTH by HEIGHT.

    Fewer than two values make no curve; equal ones a level line in the middle."""
    if len(values) < 2:
        return []
    low, high = min(values), max(values)
    step = (WIDTH - 2 * EDGE) / (len(values) - 1)
    room = HEIGHT - 2 * EDGE
    return [
        (round(EDGE + n * step, 1), round(EDGE + (float((high - v) / (high - low)) if high > low else 0.5) * room, 1))
        for n, v in enumerate(values)
    ]

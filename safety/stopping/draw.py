"""Where the boundary of a stopping rule and the trial's path lie in a picture: numbers for templates/safety/_boundary.html.
Pure."""

from dataclasses import dataclass

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 18, 46
MOST_TICKS = 12


@dataclass(frozen=True)
class Chart:
    """Coordinates of the picture. `stop` is the region in which the trial stops, `looks` the rejection counts as (x, y,
    words), `path` the trial's way through it, `here` where it is now."""

    x_ticks: tuple[tuple[float, int], ...]
    y_ticks: tuple[tuple[float, int], ...]
    stop: str
    edge: str
    path: str
    points: tuple[tuple[float, float], ...]
    here: tuple[float, float] | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart_of(boundary, path=None) -> Chart:
    """The picture of a boundary; `path` are (n, y) in order, None when the reader may not see them."""
    path = [(0, 0), *(path or ())] if path is not None else []
    widest = max([boundary.patients, *(n for n, _y in path)])
    reachable = [(n, count) for n, count in boundary.rejections.items() if count <= n]
    highest = max([2, *(count + 1 for _n, count in reachable), *(y + 1 for _n, y in path)])

    def x(n):
        return round(LEFT + (WIDTH - LEFT - RIGHT) * n / (widest + 0.5), 1)

    def y(count):
        return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * count / highest, 1)

    stop, edge = [], []
    half = 0.5 if boundary.is_continuous else 0.25
    for n, count in reachable:
        # between the last count that goes on and the first that stops
        level, before, after = y(count - 0.5), x(n - half), x(n + half)
        stop.append(f"M{before} {TOP}V{level}H{after}V{TOP}Z")
        joined = edge and boundary.is_continuous
        edge.append(f"{'L' if joined else 'M'}{before} {level}H{after}")
    if reachable and boundary.holds_beyond and widest > boundary.patients:
        level = y(reachable[-1][1] - 0.5)
        stop.append(f"M{x(boundary.patients + half)} {TOP}V{level}H{WIDTH - RIGHT}V{TOP}Z")
        edge.append(f"M{x(boundary.patients + half)} {level}H{WIDTH - RIGHT}")
    points = tuple((x(n), y(count)) for n, count in path)
    return Chart(
        x_ticks=tuple((x(n), n) for n in ticks(widest)),
        y_ticks=tuple((y(count), count) for count in ticks(highest)),
        stop="".join(stop),
        edge="".join(edge),
        path=" ".join(f"{a},{b}" for a, b in points),
        points=points[1:] if len(points) <= 60 else (),
        here=points[-1] if points else None,
    )


def ticks(most: int) -> list[int]:
    """0 to `most` in steps that are easily read."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if most / step <= MOST_TICKS)
    return list(range(0, most + 1, step))

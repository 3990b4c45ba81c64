"""Where things stand on the time axis of a patient's page: the only place that turns days into places of the drawing.

Pure. Days from day 0 (or from screening) go in, units of the drawing come out. A date of which the day, or day and
month, is unknown is a span: what is certain is drawn firmly, what may be is drawn softly on both sides of it."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import date

WIDTH, LEFT, RIGHT = 1000, 132, 16  # of the drawing; LEFT is room for the names of the lanes
ROW, HEAD, FOOT = 26, 10, 26
LETTER, CHARACTER = 6.3, 11.2  # about the width of a letter, and of a Chinese character
STEPS = (1, 2, 7, 14, 28, 56, 84, 168, 364, 728, 1820, 3640)
MOST_TICKS = 14


@dataclass(frozen=True)
class Span:
    """The first and the last day that a date may be."""

    first: int
    last: int

    @classmethod
    def of(cls, text: str, origin: date) -> Span:
        """Of a date that may be partial: 2019, 2019-05 or 2019-05-14."""
        year, month, day = (*(int(part) for part in text.split("-")), None, None)[:3]
        first = date(year, month or 1, day or 1)
        last = date(year, month or 12, day or monthrange(year, month or 12)[1])
        return cls((first - origin).days, (last - origin).days)


@dataclass(frozen=True)
class Thing:
    """What is drawn: a mark at `start` when there is no `end`, else a bar. `shape` and `kind` are classes of the look."""

    label: str
    title: str
    start: Span
    end: Span | None = None
    is_ongoing: bool = False
    kind: str = ""
    shape: str = ""
    url: str = ""
    window: tuple[int, int] | None = None


@dataclass
class Piece:
    """A part of a bar: certain, or soft where only part of a date is known."""

    x: float
    width: float
    is_soft: bool


@dataclass
class Drawn:
    thing: Thing
    y: float
    x: float
    pieces: list[Piece] = field(default_factory=list)
    open_left: bool = False
    open_right: bool = False
    right: float = 0
    text_x: float = 0
    text_end: bool = False
    window: tuple[float, float] | None = None
    shows_label: bool = True

    @property
    def middle(self):
        return self.y + 16

    @property
    def left(self):
        return min((piece.x for piece in self.pieces), default=self.x)

    @property
    def width(self):
        return max(self.right - self.left, 4)


@dataclass
class Lane:
    name: str
    y: float
    height: float
    things: list[Drawn]

    @property
    def text_y(self):
        return self.y + 19


@dataclass
class Chart:
    lanes: list[Lane]
    ticks: list[tuple[float, int]]
    lines: list[tuple[float, str, str]]
    height: float
    width: float = WIDTH
    left: float = LEFT
    right: float = WIDTH - RIGHT

    @property
    def bottom(self):
        return self.height - FOOT


def lay_out(lanes: dict[str, list[Thing]], *, first: int, last: int, today: int, lines=()) -> Chart:
    """The drawing of these lanes from the `first` day to the `last`. What began earlier is cut off and open there;
    what goes on ends, openly, `today`. `lines` are (day, kind, words) drawn through all lanes."""
    last = max(last, first + 7)
    scale = (WIDTH - LEFT - RIGHT) / (last - first)

    def place(day):
        return round(LEFT + (min(max(day, first), last) - first) * scale, 1)

    y, drawn = HEAD, []
    for name, things in lanes.items():
        rows: list[float] = []
        lane = Lane(name, y, ROW, [])
        for thing in sorted(things, key=lambda one: (one.start.first, one.label)):
            one = _bar(thing, place, first, last, today) if thing.end or thing.is_ongoing else _mark(thing, place)
            row = next((n for n, taken in enumerate(rows) if taken <= one.text_x), None)
            if thing.shape:  # marks stand in one row; a name that has no room is left to the title
                row = 0
                one.shows_label = not rows or one.text_x >= rows[0]
            elif row is None:
                row = len(rows)
            rows += [0] * (row + 1 - len(rows))
            label_end = one.text_x + (width_of(thing.label) + 6 if one.shows_label else 0)
            rows[row] = max(rows[row], label_end, 0 if thing.shape else one.right + 4)
            one.y = y + row * ROW
            lane.things.append(one)
        lane.height = max(len(rows), 1) * ROW + 6
        y += lane.height
        drawn.append(lane)
    return Chart(
        lanes=drawn,
        ticks=[(place(day), day) for day in ticks(first, last)],
        lines=[(place(day), kind, words) for day, kind, words in lines if first <= day <= last],
        height=y + FOOT,
    )


def width_of(words: str) -> float:
    """About how wide words are drawn."""
    return sum(CHARACTER if ord(letter) >= 0x2E80 else LETTER for letter in words)


def ticks(first: int, last: int) -> list[int]:
    """The days named at the axis; day 0 is one of them when it is on it."""
    step = next((step for step in STEPS if (last - first) / step <= MOST_TICKS), STEPS[-1])
    return [day for day in range(-(-first // step) * step, last + 1, step)]


def _mark(thing, place):
    x = place(thing.start.first)
    half = width_of(thing.label) / 2
    one = Drawn(thing, 0, x, right=x, text_x=x - half)
    if thing.window:
        one.window = place(thing.window[0]), max(place(thing.window[1]) - place(thing.window[0]), 2)
    return one


def _bar(thing, place, first, last, today):
    end = thing.end or Span(max(today, thing.start.last), max(today, thing.start.last))
    certain = max(thing.start.last, thing.start.first), max(end.first, thing.start.first)
    one = Drawn(thing, 0, place(thing.start.first))
    edges = [
        (thing.start.first, min(thing.start.last, end.last), True),
        (*certain, False),
        (max(end.first, thing.start.last), end.last, True),
    ]
    for begin, stop, is_soft in edges:
        shown_from, shown_to = max(begin, first), min(stop, last)
        if shown_to > shown_from or (not is_soft and begin == stop and first <= begin <= last):
            one.pieces.append(Piece(place(shown_from), max(round(place(shown_to) - place(shown_from), 1), 4), is_soft))
    if not one.pieces:
        one.pieces.append(Piece(place(thing.start.first), 4, thing.start.first != end.last))
    one.open_left = thing.start.first < first
    one.open_right = thing.is_ongoing or end.last > last
    one.right = max(piece.x + piece.width for piece in one.pieces)
    one.text_x = one.left
    needed = width_of(thing.label)
    if one.text_x + needed > WIDTH - RIGHT:
        one.text_end, one.text_x = True, max(LEFT, WIDTH - RIGHT - needed)
    return one

"""What the pictures show, worked out: counts and places of a drawing. Values in, values out; no database.

A patient counts once for each class or test, with the worst grade. The liver plot is that of evaluation of drug-induced
serious hepatotoxicity (eDISH; FDA, Drug-Induced Liver Injury: Premarketing Clinical Evaluation, 2009): peak ALT against peak
total bilirubin, both as multiples of the upper limit; a case of Hy's law lies beyond 3 and beyond 2."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from math import inf, log10

GRADES = (1, 2, 3, 4, 5)
ALT_LINE, BILIRUBIN_LINE = 3, 2  # multiples of the upper limit of normal


@dataclass
class HeatRow:
    """A class of events: how many patients have which worst grade, and how many events there are."""

    name: str
    patients: dict[int, int] = field(default_factory=lambda: dict.fromkeys(GRADES, 0))
    events: int = 0

    @property
    def total(self):
        return sum(self.patients.values())


def heat_map(events, most_patients):
    """Rows of (patient, class, grade), as HeatRows with the class of most patients first. `most_patients` is how many
    patients a cell could have; `shade` gives a cell its shade by that."""
    worst, rows = defaultdict(dict), {}
    for patient, name, grade in events:
        rows.setdefault(name, HeatRow(name)).events += 1
        worst[name][patient] = max(grade, worst[name].get(patient, 0))
    for name, grades in worst.items():
        for grade in grades.values():
            rows[name].patients[grade] += 1
    return sorted(rows.values(), key=lambda row: (-row.total, row.name))


def shade(count, most):
    """0 to 5: how dark a cell with this count is, of `most` possible."""
    if not count or not most:
        return 0
    return min(5, 1 + (5 * count - 1) // most)


def shift_table(pairs):
    """(baseline grade, worst later grade) of each patient, None where not known: counts by [baseline][worst].

    Rows and columns are None and 0 to 4."""
    levels = (None, 0, 1, 2, 3, 4)
    table = {row: dict.fromkeys(levels, 0) for row in levels}
    for baseline, worst in pairs:
        table[baseline][worst] += 1
    return table


def shift_look(baseline, worst):
    """How a cell of the shift table is drawn: "same", "better", "worse-1" to "worse-4" by how many grades; "" where one of
    the two is not known."""
    if baseline is None or worst is None:
        return ""
    by = worst - baseline
    return f"worse-{by}" if by > 0 else "better" if by else "same"


@dataclass(frozen=True)
class Point:
    patient: int
    number: str
    alt: float
    bilirubin: float
    x: float
    y: float
    is_hy: bool
    group: int = 0


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 470, 56, 20, 34, 48
LOW, HIGH = 0.1, 100.0  # multiples of the upper limit


def liver_points(peaks):
    """`peaks` are (patient id, number, peak ALT, peak bilirubin, group): multiples of the upper limits of normal."""
    return [
        Point(
            pk,
            number,
            alt,
            bilirubin,
            _across(alt),
            _down(bilirubin),
            alt > ALT_LINE and bilirubin > BILIRUBIN_LINE,
            group,
        )
        for pk, number, alt, bilirubin, group in peaks
    ]


# more single points than these hide one another, and nobody reads them
SINGLE, CELL = 500, 6


def crowd_of(points):
    """(points drawn one by one, cells of the others): of many patients those beyond a line stand alone, of the others
    only how many lie in a cell of the picture is drawn."""
    if len(points) <= SINGLE:
        return points, []
    alone = [point for point in points if point.alt > ALT_LINE or point.bilirubin > BILIRUBIN_LINE]
    cells = Counter(
        (CELL * round(point.x / CELL), CELL * round(point.y / CELL), point.group)
        for point in points if point.alt <= ALT_LINE and point.bilirubin <= BILIRUBIN_LINE
    )  # fmt: skip
    most = max(cells.values(), default=0)
    return alone, [
        {"x": x, "y": y, "group": group, "patients": number, "shade": shade(number, most)}
        for (x, y, group), number in sorted(cells.items())
    ]


def _across(value):
    return round(LEFT + (WIDTH - LEFT - RIGHT) * _share(value), 1)


def _down(value):
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(value), 1)


def _share(value):
    value = min(max(value, LOW), HIGH)
    return (log10(value) - log10(LOW)) / (log10(HIGH) - log10(LOW))


def liver_axes():
    """The ticks and the two lines of the liver plot."""
    ticks = (0.1, 0.5, 1, 2, 3, 5, 10, 20, 50, 100)
    return {
        "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM,
        "label_y": HEIGHT - BOTTOM + 16, "title_y": HEIGHT - 6,
        "across": [(_across(tick), f"{tick:g}") for tick in ticks], "down": [(_down(tick), f"{tick:g}") for tick in ticks],
        "alt_line": _across(ALT_LINE), "bilirubin_line": _down(BILIRUBIN_LINE),
    }  # fmt: skip


# --- all patients over time -----------------------------------------------------------------------------------

LANE, LANES_LEFT, LANES_RIGHT, LANES_WIDTH = 22, 84, 44, 1000
EVENT = 9  # how wide an event is drawn, with the room after it


@dataclass(frozen=True)
class Swimmer:
    """One patient's course: days from day 0."""

    patient: int
    number: str
    last_day: int
    goes_on: bool
    end: str = ""  # a State, when participation has ended
    infusions: tuple[int, ...] = ()
    events: tuple[tuple[int, int, str], ...] = ()  # day, grade, term
    group: int = 0


def swimmer_chart(swimmers):
    """The lanes of a chart, one for each patient as given, on one axis of days."""
    days = [0, 28, *(s.last_day for s in swimmers)]
    first = min([0, *(day for s in swimmers for day, _grade, _term in s.events)])
    last = max([*days, *(day for s in swimmers for day, _grade, _term in s.events)])

    def across(day):
        return round(LANES_LEFT + (LANES_WIDTH - LANES_LEFT - LANES_RIGHT) * (day - first) / max(last - first, 1), 1)

    step = next(step for step in (7, 14, 28, 56, 84, 168, 364, 728, 3640) if (last - first) / step <= 14)
    lanes = [
        {
            "swimmer": one, "y": 8 + LANE * place, "middle": 8 + LANE * place + 11, "x": across(0),
            "width": max(across(one.last_day) - across(0), 1), "right": across(one.last_day),
            "infusions": [(across(day), n) for n, day in enumerate(one.infusions, 1)],
            "events": [
                (x, grade, f"{term}, {day}")
                for x, (day, grade, term) in zip(_apart([across(day) for day, *_ in one.events]), one.events, strict=True)
            ],
        }
        for place, one in enumerate(swimmers)
    ]  # fmt: skip
    for lane in lanes:  # the arrow or the line of the end stands behind the events that it would hide
        lane["right"] = _behind(lane["right"], [x for x, _grade, _words in lane["events"]])
    height = 8 + LANE * len(swimmers) + 24
    ticks = [(across(day), day) for day in range(-(-first // step) * step, last + 1, step)]
    return {
        "lanes": lanes,
        "width": LANES_WIDTH,
        "height": height,
        "bottom": height - 20,
        "text_y": height - 6,
        "ticks": ticks,
    }


def _apart(places):
    """Places of events on a lane, from left to right, moved so that none lies on another."""
    moved, least = [0.0] * len(places), -inf
    for n in sorted(range(len(places)), key=lambda n: places[n]):
        moved[n] = round(max(places[n], least), 1)
        least = moved[n] + EVENT
    return moved


def _behind(place, events):
    for x in sorted(events):
        if x - EVENT < place < x + EVENT:
            place = round(x + EVENT, 1)
    return place


def last_known(day_0: date, ended_on: date | None, today: date) -> int:
    """The day up to which a patient is drawn."""
    return max(((ended_on or today) - day_0).days, 0)

"""What a DSMB report says, as a frozen value: the only thing that drawing, printing and the pages know of it.

A report has two parts, open and closed, and each is whole without the other: it can be kept, shown and printed
again by itself, by who may read it. Cells are the text that is read; they are never worked with again. The JSON of
a part is canonical (sorted keys), so that equal figures are equal bytes."""

import json
from dataclasses import asdict, dataclass, field, replace

from django.utils.translation import gettext as _

OPEN, CLOSED = "open", "closed"
# rows of a table: a listing of more is for a program to read
MOST_SHOWN = 2000


@dataclass(frozen=True)
class Column:
    """`group` is the heading above several columns. `share` is the part of free width; 0 is as wide as needed."""

    title: str
    group: str = ""
    align: str = "right"
    share: float = 0


@dataclass(frozen=True)
class Row:
    """`kind`: "" plain, "heading" one cell over the whole width, "inner" set in below its heading, "total"."""

    cells: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """`number` is that of the NIH templates (F1, T4, L1 ...). `wide` asks for a landscape page."""

    number: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    wide: bool = False
    empty: str = ""

    def shortened(self):
        """With as many rows as people read; the rest is told of in a note."""
        if len(self.rows) <= MOST_SHOWN:
            return self
        note = _("The first %(shown)s of %(all)s rows; all of them are in the CSV file.") % {
            "shown": MOST_SHOWN, "all": len(self.rows),
        }  # fmt: skip
        return replace(self, rows=self.rows[:MOST_SHOWN], notes=(*self.notes, note))

    @property
    def column_groups(self):
        """The headings above the columns, as (title, number of columns); empty when there are none."""
        spans = []
        for column in self.columns:
            if spans and column.group and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans if any(title for title, _ in spans) else []

    @property
    def body(self):
        """Each row with its cells as (text, whether it stands to the right), for templates."""
        right = [column.align == "right" for column in self.columns]
        return [(row, list(zip(row.cells, right, strict=True))) for row in self.rows]


@dataclass(frozen=True)
class Line:
    """Points (x, y) that belong together. `role`: "patient", "median", "quartile", "count" or "target".

    `group` is "" or the letter of a coded arm."""

    role: str
    label: str
    points: tuple[tuple[float, float], ...]
    group: str = ""
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plot:
    """`name` says which drawing it is ("cd4", "enrolment"); x of "cd4" are days from day 0, of "enrolment" days of
    the calendar (date.toordinal)."""

    number: str
    title: str
    name: str
    x_title: str
    y_title: str
    description: str
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def file(self):
        return f"{self.name}.svg"


@dataclass(frozen=True)
class About:
    """What stands on the title page. Dates are ISO. The version of the program does not stand here: it must not
    change the bytes of a report that is made again."""

    title: str
    short_title: str
    registry: str
    sponsor: str
    phase: str
    protocol_version: str
    cutoff: str
    entered_until: str
    event: int
    reported_on: str
    language: str = "en"
    scales: str = ""
    author: str = ""  # empty: asked for by the system, each month
    key_figures: tuple[tuple[str, str], ...] = ()
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartFigures:
    """One part of a report."""

    part: str
    about: About
    items: tuple[Table | Plot, ...] = field(default=())

    @property
    def plots(self):
        return [item for item in self.items if isinstance(item, Plot)]

    def item(self, number):
        """The table or plot of this number. Raises KeyError."""
        for item in self.items:
            if item.number == number:
                return item
        raise KeyError(number)

    def shortened(self):
        """What is shown and printed of it."""
        return replace(self, items=tuple(item.shortened() if isinstance(item, Table) else item for item in self.items))

    def to_data(self):
        """Lists, dicts and texts only. A plot has `lines`, a table `rows`."""
        data = asdict(self)
        for item, described in zip(self.items, data["items"], strict=True):
            if isinstance(item, Table):
                described["column_groups"] = item.column_groups
        return data

    def to_json(self) -> bytes:
        return json.dumps(self.to_data(), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, content: bytes):
        data = json.loads(bytes(content))
        about = data["about"]
        about["key_figures"] = tuple(tuple(pair) for pair in about["key_figures"])
        about["methods"] = tuple(about["methods"])
        return cls(data["part"], About(**about), tuple(_item_from(item) for item in data["items"]))


@dataclass(frozen=True)
class Figures:
    """Both parts of a report."""

    open: PartFigures
    closed: PartFigures

    def part(self, name) -> PartFigures:
        return {OPEN: self.open, CLOSED: self.closed}[name]

    @property
    def parts(self):
        return (self.open, self.closed)

    def shortened(self):
        return Figures(*(part.shortened() for part in self.parts))


def _item_from(data):
    data["notes"] = tuple(data["notes"])
    if "rows" in data:
        data.pop("column_groups", None)
        data["columns"] = tuple(Column(**column) for column in data["columns"])
        data["rows"] = tuple(Row(tuple(row["cells"]), row["kind"]) for row in data["rows"])
        return Table(**data)
    data["ticks"] = tuple((x, label) for x, label in data["ticks"])
    data["lines"] = tuple(
        Line(**{**line, "points": tuple(map(tuple, line["points"])), "counts": tuple(line["counts"])})
        for line in data["lines"]
    )
    return Plot(**data)

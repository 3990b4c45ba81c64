"""A listing: rows of one kind with columns to choose, to sort by and to filter, declared once and shown, exported and saved
alike. The address of the page holds the whole choice, so that it can be kept and sent to a colleague."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from urllib.parse import urlencode

from django.db.models import Aggregate, F, Q, QuerySet
from django.urls import reverse

from trialsite.roles import Permission

ARM = "arm"


@dataclass(frozen=True)
class Column:
    """A column: what it tells of a row, and the path in the database by which it is sorted, if it can be."""

    code: str
    label: str
    tell: Callable
    sort: str = ""
    url: Callable | None = None
    look: str = ""  # "grade", "serious", "unit": how the cell is drawn
    level: Callable | None = None  # the grade whose colour a cell of the look "grade" has
    at_first: bool = True  # is it shown until somebody chooses columns?


@dataclass(frozen=True)
class Listing:
    """`rows` gives, for a person, all rows that this person may see. `filters` are the lookups of the filters that this
    listing has, by the names of ListingFilter's fields; `text` are the paths in which words are looked for."""

    code: str
    title: str
    rows: Callable[[object], QuerySet]
    columns: tuple[Column, ...]
    order: tuple[str, ...]
    filters: dict[str, str | Callable] = field(default_factory=dict)
    text: tuple[str, ...] = ()
    patient: str = "patient"  # the path from a row to its patient
    permission: Permission = Permission.VIEW_ADVERSE_EVENTS
    note: str = ""
    figures: tuple[tuple[str, Aggregate], ...] = ()  # counted in all rows that the person may see, whatever is chosen
    beside: tuple[tuple[str, str], ...] = ()  # (label, url name) of the pages that belong to this one

    def columns_for(self, sees_arms):
        return [column for column in self.columns if column.code != ARM or sees_arms]

    def filtered(self, rows, chosen):
        """The rows that the (cleaned) filters ask for."""
        for name, lookup in self.filters.items():
            value = chosen.get(name)
            if value in (None, "", [], False) or (isinstance(value, QuerySet) and not value):
                continue
            rows = lookup(rows, value) if callable(lookup) else rows.filter(**{lookup: value})
        if chosen.get("q"):
            wanted = Q()
            for path in self.text:
                wanted |= Q(**{f"{path}__icontains": chosen["q"]})
            rows = rows.filter(wanted)
        return rows

    def sorted(self, rows, asked):
        """Sorted as asked, "grade" or "-grade"; by what is not a column of this listing nothing is sorted."""
        column = next((c for c in self.columns if c.sort and c.code == asked.removeprefix("-")), None)
        if column is None:
            return rows.order_by(*self.order)
        path = F(column.sort)
        by = path.desc(nulls_last=True) if asked.startswith("-") else path.asc(nulls_last=True)
        return rows.order_by(by, *self.order)


def told(value):
    """A value as a cell shows it: dates and numbers alike in both languages, nothing as a dash."""
    if value in (None, ""):
        return "–"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def address_of(listing, /, **chosen):
    """The address of a listing with these filters."""
    query = urlencode(chosen, doseq=True)
    return reverse("safety:show_listing", args=[listing]) + (f"?{query}" if query else "")

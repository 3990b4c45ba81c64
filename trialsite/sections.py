"""The sections of start pages and patient pages: plain values that the templates draw (docs/interface.md)."""

from django.db.models import Count, Window

SHOWN = 8


def first_of(queryset, shown=SHOWN):
    """The first rows of a query and how many there are in all, in one query."""
    rows = list(queryset.annotate(total=Window(Count("*")))[:shown])
    return rows, rows[0].total if rows else 0


def section(title, rows, count, *, url="", urgent=False, empty=""):
    return {"title": title, "rows": rows, "count": count, "url": url, "urgent": urgent, "empty": empty}

"""The sections of start pages and patient pages: plain values that the templates draw (docs/interface.md)."""

from django.db.models import Count, Window
from django.urls import reverse

SHOWN = 8


def first_of(queryset, shown=SHOWN):
    """The first rows of a query and how many there are in all, in one query."""
    rows = list(queryset.annotate(total=Window(Count("*")))[:shown])
    return rows, rows[0].total if rows else 0


def chosen_site(filters):
    """The key of the site that the address of the page names (`site`), or None."""
    asked = filters.get("site", "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else None


def at_chosen_site(queryset, filters, site):
    """The rows at the chosen site, or all; `site` is the way from a row to its site."""
    chosen = chosen_site(filters)
    return queryset.filter(**{site: chosen}) if chosen else queryset


def section(title, rows, count, *, url="", urgent=False, empty=""):
    return {"title": title, "rows": rows, "count": count, "url": url, "urgent": urgent, "empty": empty}


def later(title, view, filters, *, url, args=()):
    """A section that takes more statements: the start page, once shown, asks for it at this view."""
    asked = reverse(view, args=args)
    if site := chosen_site(filters):
        asked += f"?site={site}"
    return {"title": title, "later": asked, "url": url}

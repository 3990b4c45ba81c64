"""Are the data there, right in time and cleaned? DQ1 to DQ4."""

from django.utils.translation import gettext as _

from safety.dsmb.counting import count, decimal_text, median_text, quartiles
from safety.dsmb.figures import Column, Row, Table
from safety.dsmb.snapshot import PanelCounts, VisitCounts

# days within which what was seen at a visit should be entered
SOON = 7


def _by_site(snapshot, counts_by_site, empty, cells):
    sites = sorted({(p.site, p.site_name) for p in snapshot.patients.values()})
    all_counts = [counts_by_site.get(code, empty()) for code, _name in sites]
    rows = [Row((f"{code} {name}", *cells(of))) for (code, name), of in zip(sites, all_counts, strict=True)]
    if rows:
        rows.append(Row((_("All sites"), *cells(_together(all_counts, empty))), "total"))
    return tuple(rows)


def _together(all_counts, empty):
    total = empty()
    for of in all_counts:
        for name in total.__dataclass_fields__:
            setattr(total, name, getattr(total, name) + getattr(of, name))
    return total


def visits_done(snapshot):
    """DQ1."""

    def cells(c):
        return (str(c.due), count(c.attended, c.due), count(c.missed, c.due), count(c.overdue, c.due),
                count(c.outside_window, c.attended))  # fmt: skip

    rows = _by_site(snapshot, snapshot.visits_by_site, VisitCounts, cells)
    columns = (Column(_("Site"), align="left", share=1), Column(_("Visits due")), Column(_("Attended")),
               Column(_("Missed")), Column(_("Not entered")), Column(_("Outside window")))  # fmt: skip
    return Table(
        "DQ1", _("Data quality: visits"), columns, rows,
        (_("n (%) of the visits due; outside window: of those attended. A visit is due when the last day of its window "
           "is past, or it took place; none is due to a patient who had left."),) if rows else (),
        empty=_("Nobody was screened."),
    )  # fmt: skip


def panels_entered(snapshot):
    """DQ2."""

    def cells(c):
        return (str(c.expected), count(c.entered, c.expected), count(c.not_done, c.expected),
                count(c.missing, c.expected), str(c.open_queries), str(c.answered_queries),
                median_text(sorted(c.query_days), 0).split(" ")[0])  # fmt: skip

    rows = _by_site(snapshot, snapshot.panels_by_site, PanelCounts, cells)
    panels, queries = _("Panels of attended visits"), _("Queries")
    columns = (
        Column(_("Site"), align="left", share=1), Column(_("Expected"), panels), Column(_("Entered"), panels),
        Column(_("Not done"), panels), Column(_("Missing"), panels), Column(_("Open"), queries),
        Column(_("Answered"), queries), Column(_("Median days"), queries),
    )  # fmt: skip
    return Table(
        "DQ2", _("Data quality: panels and queries"), columns, rows,
        (_("n (%) of the panels expected. Queries that are not closed, about data until the cut-off; days from the "
           "query until the instant of the title page."),) if rows else (),
        empty=_("Nobody was screened."),
    )  # fmt: skip


def windows_met(snapshot):
    """DQ3. By visit of the plan, all patients together."""
    names = snapshot.visit_names()
    rows = [
        Row((
            names.get(code, code), str(c.due), count(c.attended, c.due), count(c.attended - c.outside_window, c.due),
            count(c.missed, c.due), count(c.overdue, c.due),
        ))
        for code, c in sorted(snapshot.visits_by_code.items(), key=lambda one: _place(names, one[0]))
    ]  # fmt: skip
    if rows:
        c = _together(snapshot.visits_by_code.values(), VisitCounts)
        rows.append(Row((
            _("All visits"), str(c.due), count(c.attended, c.due), count(c.attended - c.outside_window, c.due),
            count(c.missed, c.due), count(c.overdue, c.due),
        ), "total"))  # fmt: skip
    columns = (Column(_("Visit"), align="left", share=1), Column(_("Visits due")), Column(_("Attended")),
               Column(_("In the window")), Column(_("Missed")), Column(_("Not entered")))  # fmt: skip
    return Table(
        "DQ3", _("Data quality: visit windows"), columns, tuple(rows), (_("n (%) of the visits due."),) if rows else (),
        empty=_("No visit was due."),
    )  # fmt: skip


def _place(names, code):
    order = list(names)
    return (order.index(code) if code in order else len(order), code)


def currency(snapshot):
    """DQ4. How long it took until data were there."""

    def cells(c):
        days, n = sorted(c.entry_days.elements()), c.entry_days.total()
        soon = sum(of for day, of in c.entry_days.items() if day <= SOON)
        return (str(n), _median(days), count(soon, n), str(len(c.event_days)), _median(sorted(c.event_days)),
                count(sum(day <= 1 for day in c.event_days), len(c.event_days)))  # fmt: skip

    rows = _by_site(snapshot, snapshot.panels_by_site, PanelCounts, cells)
    panels, events = _("Panels, from the visit to the entry"), _("Adverse events, from awareness to the report")
    columns = (
        Column(_("Site"), align="left", share=1), Column("n", panels), Column(_("Median days [Q1–Q3]"), panels),
        Column(_("Within %(days)s days") % {"days": SOON}, panels), Column("n", events),
        Column(_("Median days [Q1–Q3]"), events), Column(_("Within 1 day"), events),
    )  # fmt: skip
    return Table(
        "DQ4", _("Data quality: how current the data are"), columns, rows,
        (_("Panels of attended visits that were entered, and all adverse events; n (%)."),) if rows else (),
        empty=_("Nobody was screened."),
    )  # fmt: skip


def _median(days):
    if not days:
        return "–"
    first, middle, third = (decimal_text(day, 0 if day == int(day) else 1) for day in quartiles(days))
    return f"{middle} [{first}–{third}]"

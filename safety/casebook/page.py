"""What stands on the page of a patient's casebook: gathered from the database here alone, in a constant number of
statements, and told in words."""

from collections import Counter, defaultdict

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, CharField, Count, F, IntegerField, OuterRef, Q, Value
from django.db.models.functions import Cast, Coalesce, JSONObject
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from patients.models import ArtRegimen, Medication
from safety.casebook.lanes import Span, Thing, lay_out
from safety.casebook.trail import entries, events_for, names_of_visits
from safety.models import CATEGORIES, AdverseEvent, Deviation
from trialsite.clock import day_at, today_at, zone_of
from trialsite.ctcae import term_told
from trialsite.telling import Teller
from trialsite.templatetags.trial import unit_text
from trialsite.words import listed
from visits import views
from visits.models import (
    Infusion,
    Mark,
    Measurement,
    PanelRecord,
    PanelState,
    Review,
    Visit,
    VisitState,
    answered_queries,
    open_queries,
)
from visits.units import standard_text

# the tests whose course is drawn, where the protocol has them as numbers, and whether on a logarithmic scale
COURSES = (("CD4", False), ("CD8", False), ("CD4CD8", False), ("HIVRNA", True))
LAST_CHANGES = 20

SHAPES = {VisitState.PLANNED: "planned", VisitState.ATTENDED: "attended", VisitState.MISSED: "missed",
          VisitState.CANCELLED: "cancelled"}  # fmt: skip
PANEL_STATUS = {PanelState.EXPECTED: "expected", PanelState.BEGUN: "draft", PanelState.ENTERED: "entered",
                PanelState.NOT_DONE: "not-done"}  # fmt: skip
# which of the marks of a panel its cell shows, the strongest first
STRONGEST = (Mark.SIGNED, Mark.VERIFIED)
MARKS = {
    Mark.VERIFIED: gettext_lazy("verified"),
    Mark.REVIEWED: gettext_lazy("reviewed"),
    Mark.SIGNED: gettext_lazy("signed"),
}
LEGEND = [("expected", PanelState.EXPECTED.label), ("draft", PanelState.BEGUN.label), ("entered", PanelState.ENTERED.label),
          ("not-done", PanelState.NOT_DONE.label), ("verified", MARKS[Mark.VERIFIED]), ("signed", MARKS[Mark.SIGNED])]  # fmt: skip


def visits_of(patient):
    visits = list(Visit.objects.filter(patient=patient).select_related("infusion").order_by("planned_on", "id"))
    for visit in visits:
        visit.patient = patient
        visit.title = views.visit_title(visit)
        visit.given = getattr(visit, "infusion", None)
    return visits


def panels_of(patient, visits):
    """The panels with their open queries and their marks, in one statement."""
    marks = Review.objects.filter(record="visits.panelrecord", record_id=OuterRef("pk")).order_by("id")
    panels = PanelRecord.objects.filter(patient=patient).annotate(
        open_queries=Count("queries", filter=open_queries("queries__")),
        answered_queries=Count("queries", filter=answered_queries("queries__")),
        marks=ArraySubquery(marks.values(json=JSONObject(mark=F("mark"), is_void=Q(void_at__isnull=False)))),
    )
    by_id = {visit.pk: visit for visit in visits}
    panels = list(panels.order_by("visit", "position"))
    for panel in panels:
        panel.visit = by_id[panel.visit_id]
    return panels


def bars_of(user, patient):
    """Adverse events, medication, treatment and deviations as rows of one statement."""

    def rows(kind, queryset, label, detail, began, ended, ongoing, grade=None):
        grade = Value(None, output_field=IntegerField()) if grade is None else Cast(grade, IntegerField())
        return queryset.filter(patient=patient, is_withdrawn=False).order_by().values_list(
            Value(kind, output_field=CharField()), "pk", Cast(label, CharField()), Cast(detail, CharField()),
            Cast(began, CharField()), Coalesce(Cast(ended, CharField()), Value("")), ongoing, grade,
        )  # fmt: skip

    never = Value(False, output_field=BooleanField())
    return rows(
        "event",
        AdverseEvent.objects.visible_to(user),
        "term",
        "is_serious",
        "began_on",
        "ended_on",
        "is_ongoing",
        "grade",
    ).union(
        rows("medication", Medication.objects, "treatment", "indication", "started_on", "ended_on", "is_ongoing"),
        rows("art", ArtRegimen.objects, "drugs", "change_reason", "started_on", "ended_on", "is_ongoing"),
        rows("deviation", Deviation.objects, "category", "is_important", "began_on", "ended_on", never),
        all=True,
    )


def lanes_of(user, patient, visits):
    """The drawing, and the same as rows of a table."""
    today_on, origin = today_at(patient.site), patient.day_0 or patient.screened_on

    def day(on):
        return (on - origin).days

    today = day(today_on)
    lanes = {
        name: []
        for name in (
            _("Visits"),
            _("Infusions"),
            _("Adverse events"),
            _("Antiretroviral"),
            _("Medication"),
            _("Deviations"),
        )
    }
    at_visits, infusions, events, art, medication, deviations = lanes.values()
    table = []

    def add(lane, name, thing, began, ended, words):
        lane.append(thing)
        table.append(
            {
                "lane": name,
                "label": thing.label,
                "url": thing.url,
                "began": began,
                "ended": ended,
                "words": words,
                "day": thing.start.first,
            }
        )

    for visit in visits:
        at = day(visit.on)
        words = visit.get_state_display()
        window = (day(visit.earliest), day(visit.latest)) if visit.is_scheduled else None
        title = _("%(visit)s, %(title)s: %(state)s, %(day)s") % {
            "visit": visit.code,
            "title": visit.title,
            "state": words,
            "day": visit.on,
        }
        if window and visit.state == VisitState.PLANNED:
            title += ". " + _("Window from %(first)s to %(last)s") % {"first": visit.earliest, "last": visit.latest}
        url = reverse("visits:show_visit", args=[visit.pk])
        thing = Thing(visit.code, title, Span(at, at), shape=SHAPES[visit.state], kind="visit", url=url, window=window)
        add(at_visits, _("Visits"), thing, visit.on, "", words)
        if visit.given:
            on = day_at(patient.site, visit.given.started_at)
            number = visit.given.number
            title = _("Infusion %(number)s, %(day)s") % {"number": number, "day": on}
            thing = Thing(str(number), title, Span(day(on), day(on)), shape="infusion", kind="infusion", url=url)
            add(infusions, _("Infusions"), thing, on, "", _("given"))
    bars = bars_of(user, patient)
    for kind, pk, label, detail, began, ended, is_ongoing, grade in bars:
        start, end = Span.of(began, origin), Span.of(ended, origin) if ended else None
        until = _("ongoing") if is_ongoing else ended or _("end not known")
        words, url, css, shape = "", reverse("patients:show_background", args=[patient.pk]), kind, ""
        if kind == "event":
            label = _("%(term)s, grade %(grade)s") % {"term": term_told(label), "grade": grade}
            words, css = _("serious") if detail == "true" else "", f"event g{grade}"
            lane, name, url = events, _("Adverse events"), reverse("safety:show_adverse_event", args=[pk])
        elif kind == "deviation":
            words = _("important") if detail == "true" else ""
            lane, name, url = deviations, _("Deviations"), reverse("safety:show_deviation", args=[pk])
            label, shape, until = str(CATEGORIES.get(label, label)), "" if ended else "deviation", ended
        elif kind == "art":
            lane, name, url = art, _("Antiretroviral"), url + "#art"
        else:
            lane, name, words, url = medication, _("Medication"), detail, url + "#medication"
        if not is_ongoing and end is None and kind != "deviation":
            end = start
        told = _("%(began)s to %(ended)s") % {"began": began, "ended": until} if until else began
        title = ": ".join([label, listed(filter(None, [told, words]))])
        add(
            lane,
            name,
            Thing(label, title, start, end, is_ongoing, css, shape, url),
            began,
            until if until != began else "",
            words,
        )
    first = min([day(patient.screened_on), 0, *(thing.start.first for thing in (*events, *at_visits))])
    last = max([today if patient.is_open else 0, *(thing.start.last for thing in (*at_visits, *events, *infusions))])
    margin = max(round((last - first) * 0.03), 2)
    lines = [(thing.start.first, "infusion", thing.title) for thing in infusions] + [(today, "today", _("today"))]
    chart = lay_out(lanes, first=first - margin, last=last + margin, today=today, lines=lines)
    return {"chart": chart, "rows": sorted(table, key=lambda row: row["day"]), "from_day_0": patient.day_0 is not None}


def courses_of(patient, visits):
    """A plot and a table for each followed test of which there is a number."""
    tests = {test.code: test for test in patient.protocol.tests if test.kind == "number"}
    wanted = [(tests[code], is_log) for code, is_log in COURSES if code in tests]
    measured = defaultdict(list)
    for m in Measurement.objects.filter(
        patient=patient, panel__isnull=False, value__isnull=False, test__in=[test.code for test, _log in wanted]
    ).order_by("collected_on", "id"):
        measured[m.test].append(m)
    origin = patient.day_0 or patient.screened_on
    marks = [
        {"day": (day_at(patient.site, visit.given.started_at) - origin).days, "short": str(visit.given.number),
         "label": _("Infusion %d") % visit.given.number}
        for visit in visits if visit.given
    ]  # fmt: skip
    return [
        _course(test, is_log, measured[test.code], origin, marks, patient.sex)
        for test, is_log in wanted
        if measured[test.code]
    ]


def _course(test, is_log, measured, origin, marks, sex):
    points = [[(m.collected_on - origin).days, float(m.value)] for m in measured if m.value > 0 or not is_log]
    unit = unit_text(test.unit)
    reference = test.reference_for(sex)
    data = {
        "x": {"label": _("Day in trial")},
        "y": {"label": unit or test.name, "log": is_log, **({} if is_log else {"min": 0})},
        "digits": test.decimals,
        "series": [{"label": test.name, "points": points}],
        "marks": marks,
    }
    if (
        reference
        and not is_log
        and reference.low is not None
        and points
        and reference.low <= max(y for _x, y in points)
    ):
        data["bands"] = [
            {"from": float(reference.low), "to": float(reference.high) if reference.high is not None else None}
        ]
    rows = [
        {"on": m.collected_on, "day": (m.collected_on - origin).days, "flag": m.flag, "flag_text": m.get_flag_display(),
         "grade": m.grade, "is_proposed": m.grade_is_to_confirm, "ungraded": m.get_ungraded_because_display(),
         "typed": standard_text(test, m.typed, m.operator, m.value, m.reported_unit)}
        for m in measured
    ]  # fmt: skip
    return {"id": f"course-{test.code.lower()}", "name": test.name, "unit": unit, "data": data, "rows": rows,
            "has_limit": any(m.operator for m in measured), "has_band": "bands" in data}  # fmt: skip


def grid_of(visits, panels):
    """Panels down, visits across: the state of each, its open queries and its marks."""
    planned = [visit for visit in visits if any(panel.visit_id == visit.pk for panel in panels)]
    names, cells = {}, {}
    for panel in panels:
        names.setdefault(panel.code, panel.protocol.panel(panel.code).name)
        cells[panel.code, panel.visit_id] = _cell(panel, names[panel.code])
    columns = [{"label": visit.code, "note": visit.get_state_display() if not visit.on else visit.on.isoformat(),
                "infusion": visit.given is not None} for visit in planned]  # fmt: skip
    rows = [{"name": name, "cells": [cells.get((code, visit.pk)) for visit in planned]} for code, name in names.items()]
    return {"columns": columns, "rows": rows}


def _cell(panel, name):
    standing = {mark["mark"] for mark in panel.marks if not mark["is_void"]}
    void = {mark["mark"] for mark in panel.marks if mark["is_void"]} - standing
    words = [panel.get_state_display(), *(str(MARKS[mark]) for mark in Mark if mark in standing)]
    words += [_("%(mark)s, void since a change") % {"mark": MARKS[mark]} for mark in Mark if mark in void]
    if told := views.queries_told(panel):
        words.append(told)
    strongest = next((str(mark) for mark in STRONGEST if mark in standing), None)
    return {
        "url": reverse("visits:enter_panel", args=[panel.pk]),
        "status": strongest or PANEL_STATUS[panel.state],
        "is_void": bool(void),
        "queries": panel.open_queries,
        "text": f"{panel.visit.code}, {name}: {', '.join(map(str, words))}",
    }


def counts_of(panels):
    """How many panels are in each state."""
    counts = Counter(panel.state for panel in panels)
    return [(label, counts[state]) for state, label in PanelState.choices if counts[state]]


def last_changes(patient, visits, panels, eyes):
    """The newest events of the patient's trail in words, newest first."""
    events = events_for(patient.pk, **eyes).order_by("-id")[:LAST_CHANGES]
    names = names_of_visits(visits, panels)
    names[Infusion] = {visit.given.pk: str(visit.given) for visit in visits if visit.given}
    return entries(Teller(patient.protocol, names, zone=zone_of(patient.site)), events)

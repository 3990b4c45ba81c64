"""Pictures of the safety of all patients whom a person may see: events by class and grade, shifts of results, the liver,
all patients over time. By arm for those alone who may see arms."""

from django.core.paginator import Paginator
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from patients.arms import arm_position, sees_every_arm
from safety.dictionary import told
from safety.listings import pictures, seen
from safety.listings.table import address_of
from trialsite import trial
from trialsite.roles import Permission, needs
from visits.grading import HIGH, LOW

PER_CHART = 60  # patients
WAYS = {LOW: gettext_lazy("%(test)s, low"), HIGH: gettext_lazy("%(test)s, high")}


def sees_arms(user):
    return sees_every_arm(user, Permission.VIEW_ADVERSE_EVENTS)


def groups_of(request, patients):
    """[(heading, ids of its patients)]: all, and each arm where that is asked for and may be seen."""
    everybody = set(patients.values_list("pk", flat=True))
    if not (sees_arms(request.user) and request.GET.get("by") == "arm"):
        return [("", everybody)], {}
    arms = seen.arms_of(patients)
    names = [(arm.code, arm.name) for arm in trial.current_protocol().arms]
    return [(name, {pk for pk in everybody if arms.get(pk) == code}) for code, name in names], arms


def answer(request, template, picture, context):
    shared = {"picture": picture, "may_split": sees_arms(request.user), "is_split": request.GET.get("by") == "arm"}
    return render(request, template, {**shared, **context})


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def show_heat_map(request):
    events = seen.class_and_grade(request.user)
    groups, _arms = groups_of(request, seen.patients_of(request.user).exclude(day_0=None))
    tables = []
    for heading, members in groups:
        rows = pictures.heat_map([event for event in events if not heading or event[0] in members], len(members))
        tables.append({
            "heading": heading, "n": len(members),
            "rows": [
                {"name": told(row.name), "events": row.events, "total": row.total,
                 "cells": [
                     {"grade": grade, "count": count, "shade": pictures.shade(count, len(members)),
                      "url": address_of("events", body_system=row.name, grade=grade)}
                     for grade, count in row.patients.items()
                 ]}
                for row in rows
            ],
        })  # fmt: skip
    return answer(request, "safety/show_heat_map.html", "heat", {"tables": tables, "grades": pictures.GRADES})


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def show_shift_table(request):
    tests = seen.graded_tests()
    code = request.GET.get("test", "")
    code = code if code in dict(tests) else next((test for test, _name in tests), "")
    found = seen.shifts(request.user, code) if code else {}
    groups, _arms = groups_of(request, seen.patients_of(request.user).exclude(day_0=None))
    tables = []
    for way, shifts in found.items():
        for heading, members in groups:
            theirs = [one for one in shifts if not heading or one.patient in members]
            table = pictures.shift_table([(one.baseline, one.worst) for one in theirs])
            proposed = pictures.shift_table([(one.baseline, one.worst) for one in theirs if one.is_proposed])
            name = WAYS[way] % {"test": dict(tests)[code]} if len(found) > 1 else dict(tests)[code]
            tables.append({
                "heading": f"{name} · {heading}" if heading else name, "n": len(theirs),
                "rows": [
                    (_("not known") if baseline is None else baseline,
                     [{"count": count, "proposed": proposed[baseline][worst], "look": pictures.shift_look(baseline, worst)}
                      for worst, count in row.items()])
                    for baseline, row in table.items()
                ],
            })  # fmt: skip
    context = {"tables": tables, "tests": tests, "test": code, "heads": [_("not known"), 0, 1, 2, 3, 4],
               "listing": address_of("results", test=code, worse="Y")}  # fmt: skip
    return answer(request, "safety/show_shift_table.html", "shift", context)


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def show_liver_plot(request):
    peaks = seen.liver_peaks(request.user)
    groups, arms = groups_of(request, seen.patients_of(request.user).exclude(day_0=None))
    points = pictures.liver_points([(*peak, arm_position(arms[peak[0]]) if peak[0] in arms else 0) for peak in peaks])
    alone, cells = pictures.crowd_of(points)
    context = {"points": alone, "cells": cells, "axes": pictures.liver_axes(), "hy": [point for point in points if point.is_hy],
               "arms": [(place, name) for place, (name, _members) in enumerate(groups, 1) if name]}  # fmt: skip
    return answer(request, "safety/show_liver_plot.html", "liver", context)


@needs(Permission.VIEW_ADVERSE_EVENTS)
@require_GET
def show_swimmers(request):
    patients = seen.patients_of(request.user).exclude(day_0=None).order_by("day_0", "number")
    groups, arms = groups_of(request, patients)
    page = Paginator(patients, PER_CHART).get_page(request.GET.get("page"))
    places = {pk: arm_position(arm) for pk, arm in arms.items()}
    drawn = seen.swimmers(list(page.object_list), timezone.now().date(), places)
    drawn.sort(key=lambda one: (one.group, -one.last_day, one.number))
    context = {"page": page, "chart": pictures.swimmer_chart(drawn), "swimmers": drawn,
               "arms": [(place, name) for place, (name, _members) in enumerate(groups, 1) if name]}  # fmt: skip
    return answer(request, "safety/show_swimmers.html", "swimmers", context)

"""Panels: entering results, saying what was not done, taking back."""

from functools import partial

from django.db.models import BooleanField, ExpressionWrapper, F, Q, Window
from django.db.models.functions import RowNumber
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from trialsite.clock import today_at
from trialsite.forms import answer_reason
from trialsite.queried import field_name
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import Saved, answer_form
from trialsite.ucum import unit_text
from trialsite.words import listed
from visits import actions, forms, ranges, results, trend
from visits.grading import asked_for
from visits.laboratories import default_laboratory, laboratories_for, ranges_for
from visits.models import (
    UNFINISHED,
    Measurement,
    Missing,
    QueryState,
)
from visits.units import text_in, units_of
from visits.views.confirmed import confirmed_in
from visits.views.grades import flag_of, grade_of, grade_told
from visits.views.marks import marks_of_parts
from visits.views.plan import is_open, load_panel, visit_context

EARLIER = 4  # results of a test that are shown beside its field


def panel_rows(form, tests, stored, earlier, queries, held, confirmed):
    """What the page shows per test: field, unit, range, earlier values, flag, open query."""
    rows = []
    for test in tests:
        m = stored.get(test.code)
        query = queries.get(test.code)
        units = form[f"unit_{test.code}"] if f"unit_{test.code}" in form.fields else None
        chosen = units.value() if units else ""
        unit = chosen if chosen in dict(units.field.choices if units else ()) else test.unit
        was = ranges.range_text(m.reported_low, m.reported_high) if m and m.typed else held.words(test, unit)
        row = {
            "test": test,
            "typed": shown(test, m) if m else "",
            "unit": unit,
            "units": units,
            "range": was,
            "flag": flag_of(m.flag) if m else None,
            "grade": grade_of(m) if m else None,
            "confirmed": confirmed.get((test.code, None)),
            "query": {"url": reverse("visits:show_query", args=[query.pk]), "text": _("Query")} if query else None,
            **earlier_of(test, earlier.get(test.code, []), unit),
        }  # fmt: skip
        if not test.computed:
            field, missing = form[test.code], form[f"missing_{test.code}"]
            if row["previous"] and not test.repeats:
                field.field.widget.attrs["data-anew"] = ""
            elif row["previous"]:
                field.field.widget.attrs |= {f"data-{name}": str(value) for name, value in row["last"].items()}
            row |= {
                "field": field, "missing": missing, "why": missing.value() or "", "has_value": bool(field.value()),
            }  # fmt: skip
        rows.append(row)
    return rows


def earlier_of(test, measurements, unit=""):
    """How the earlier results of a test, the latest first, stand beside its field: all in `unit`, that of the field ("" is
    the protocol's), each with what was reported where that was another one."""
    before = [earlier_result(test, m, unit) for m in measurements]
    values = [m.value for m in reversed(measurements) if m.value is not None]
    is_comparable = len(values) == len(measurements) and len({m.unit for m in measurements}) == 1
    return {
        "previous": before[0] if before else None,
        "before": before,
        "curve": trend.curve(values) if is_comparable else [],
        "last": last_of(test, measurements[0]) if measurements else {},
    }


def earlier_result(test, measurement, unit):
    """One of them: `value` with its unit where that is needed, the day, what was `reported` in another unit, and whether
    that unit is `foreign` to this version of the protocol."""
    known = [one.unit for one in units_of(test)]
    unit, reported = unit or test.unit, measurement.reported_unit or measurement.unit
    as_reported = f"{shown(test, measurement)} {unit_text(reported)}".rstrip()
    one = {"on": measurement.collected_on, "reported": "", "is_foreign": False}
    if test.kind != "number" or reported in ("", unit):
        return one | {"value": as_reported if len(known) > 1 else shown(test, measurement)}
    text = text_in(test, unit, measurement)
    if text is None or measurement.value is None:
        return one | {"value": as_reported}
    return one | {
        "value": f"{text} {unit_text(unit)}", "reported": as_reported, "is_foreign": reported not in known,
    }  # fmt: skip


def last_of(test, measurement):
    """What taking the last result over puts into the form: value and unit as reported, or, where the form does not know
    that unit, nothing but the words for it."""
    unit, on = measurement.reported_unit or measurement.unit, measurement.collected_on
    if test.kind == "number" and unit and unit not in [known.unit for known in units_of(test)]:
        return {"foreign": f"{measurement.typed} {unit_text(unit)}", "last-on": on}
    return {"last": measurement.typed, "last-unit": unit if test.kind == "number" else "", "last-on": on}


def measurements_of(panel, tests):
    """What is stored of a panel, and the latest earlier results of each test, the latest first; both by its code."""
    on = panel.collected_on or panel.visit.attended_on or panel.visit.on
    is_own = Q(panel=panel)
    is_earlier = Q(test__in=[test.code for test in tests], collected_on__lt=on, panel__isnull=False) & ~Q(typed="")
    nth = Window(
        RowNumber(), partition_by=[ExpressionWrapper(is_own, BooleanField()), F("test")],
        order_by=["-collected_on", "-id"],
    )  # fmt: skip
    found = Measurement.objects.filter(is_own | is_earlier, patient=panel.patient_id).annotate(nth=nth)
    stored, earlier = {}, {}
    for m in found.filter(nth__lte=EARLIER).order_by("nth"):
        if m.panel_id == panel.pk:
            stored[m.test] = m
        else:
            earlier.setdefault(m.test, []).append(m)
    return stored, earlier


def shown(test, measurement):
    """A stored result as people read it: the label of a choice, else what was typed."""
    return test.choice_label(measurement.typed) if test.kind == "choice" else measurement.typed


class Ranges:
    """What the results of a panel are held against: the ranges of a laboratory on a day, else the protocol's."""

    def __init__(self, panel, laboratory, on):
        self.panel, self.patient, self.laboratory, self.on = panel, panel.patient, laboratory, on

    @cached_property
    def held(self):
        return ranges_for(self.panel, self.laboratory, self.on)

    @property
    def about(self):
        return {"sex": self.patient.sex, "age": self.patient.age_on(self.on), "on": self.on}

    def words(self, test, unit):
        return ranges.range_shown(test, unit, self.held, **self.about) if test.kind == "number" else ""

    def flag(self, test, result):
        if result is None or test.kind != "number":
            return None
        against = ranges.held_against(self.held, test, result.unit, **self.about)
        return flag_of(results.flag(result, against))

    def units(self):
        """The unit in which the laboratory reports, by test, where it has ranges in one only."""
        found = {}
        for one in self.held:
            found.setdefault(one.test, set()).add(one.unit)
        return {test: units.pop() for test, units in found.items() if len(units) == 1}


def form_of(request, panel, stored):
    """The form of a panel, and the ranges that its results are held against as far as that is known before it is read."""
    laboratories = list(laboratories_for(panel))
    on = panel.collected_on or panel.visit.attended_on or today_at(panel.patient.site)
    offered = panel.laboratory or (None if panel.was_touched else default_laboratory(panel, laboratories))
    held = Ranges(panel, offered, on)
    form = forms.PanelForm(
        request.POST or None, record=panel, tests=panel.protocol.tests_of(panel.code), stored=stored,
        laboratories=laboratories, laboratory=offered, units=None if request.POST else held.units(), on=on,
    )  # fmt: skip
    return form, held


@needs(Permission.VIEW_PATIENTS, to_post=(Permission.ENTER_DATA,))
def enter_panel(request, pk):
    """Enter or change a panel; who may only look sees the same page without fields."""
    panel = load_panel(request.user, pk)
    site = panel.patient.site
    may_enter = can(request.user, Permission.ENTER_DATA, site) and is_open(panel.visit)
    if request.method == "POST":
        require(request.user, Permission.ENTER_DATA, site)
    protocol = panel.protocol
    tests = protocol.tests_of(panel.code)
    stored, earlier = ({}, {}) if request.method == "POST" else measurements_of(panel, tests)
    form, held = form_of(request, panel, stored)

    def save(form):
        saved = actions.record_panel(
            panel=panel, values=form.results, collected_on=form.cleaned_data["collected_on"],
            collected_at=form.sent_or("collected_at", panel.collected_at),
            comment=form.sent_or("comment", panel.comment), missing=form.missing, units=form.units,
            **form.laboratory, confirmed=form.confirmed, asked=form.asked,
            version=form.cleaned_data["version"], reason=form.cleaned_data.get("reason", ""), by=request.user,
        )  # fmt: skip
        sent, why = {**{code: m.typed for code, m in stored.items()}, **form.results}, form.missing
        blank = [
            test.name for test in form.tests
            if not sent.get(test.code, "").strip()
            and (why.get(test.code) == Missing.PENDING or (test.required and not why.get(test.code)))
        ]  # fmt: skip
        message = _("%s: saved.") % name
        if blank and len(sent) == len(form.tests):
            message += " " + _("Still to come: %s.") % listed(blank)
        return Saved(where_next(request, saved), saved.version, message)

    name = protocol.panel(panel.code).name

    def context():
        there, before = measurements_of(panel, tests) if request.method == "POST" else (stored, earlier)
        plan = protocol.grading
        confirmed = confirmed_in(panel, protocol)
        asked = list(panel.queries.exclude(state=QueryState.CLOSED))
        queries = {query.test: query for query in asked}
        waiting = [
            (query, query.field and field_name("visits.panelrecord", query.field)) for query in asked if not query.test
        ]
        return {
            **visit_context(request, panel.visit, name)(),
            "panel": panel,
            "instructions": protocol.panel(panel.code).instructions,
            "may_enter": may_enter,
            "goes_on": panel.state in UNFINISHED,
            "rows": panel_rows(form, tests, there, before, queries, held, confirmed),
            "may_query": can(request.user, Permission.RAISE_QUERIES, site),
            "proposes": plan is not None and any(plan.proposes(m.grade, m.baseline_grade) for m in there.values()),
            "confirmed": confirmed.get(("", None)),
            "panel_queries": waiting,
            "marks": marks_of_parts(request.user, panel, there.values()),
        }

    return answer_form(request, form, "visits/enter_panel.html", context, save)


def where_next(request, panel):
    """After "Save and next": the next panel of the visit that is not finished, those before it last; else the visit."""
    if request.POST.get("next") == "panel":
        others = panel.visit.panels.filter(state__in=UNFINISHED).exclude(pk=panel.pk).order_by("position", "id")
        open_panels = list(others.values_list("position", "pk"))
        following = [pk for position, pk in open_panels if position >= panel.position]
        if open_panels:
            return reverse("visits:enter_panel", args=[(following or [pk for _position, pk in open_panels])[0]])
    return reverse("visits:show_visit", args=[panel.visit_id])


@needs(Permission.ENTER_DATA)
@require_POST
def check_panel(request, pk):
    """What saving would ask or refuse, the flags and the grades, while the form is filled in. Writes nothing."""
    panel = load_panel(request.user, pk)
    require(request.user, Permission.ENTER_DATA, panel.patient.site)
    stored, earlier = measurements_of(panel, panel.protocol.tests_of(panel.code))
    form, held = form_of(request, panel, stored)
    form.is_valid()
    day, chosen = form.cleaned_data.get("collected_on"), form.laboratory.get("laboratory", panel.laboratory)
    if (day and day != held.on) or chosen != panel.laboratory:
        held = Ranges(panel, chosen, day or held.on)
    readable = {test.code: form.cleaned_data[test.code] for test in form.tests if test.code in form.cleaned_data}
    problems, grades = actions.preview_panel_and_grades(
        panel=panel, values=readable, units=form.units, missing=form.missing, collected_on=day,
        collected_at=form.cleaned_data.get("collected_at"), held=held.held,
    )  # fmt: skip
    moved = {code for code, typed in readable.items() if code in stored and stored[code].typed != typed}
    rows = []
    for test in form.tests:
        typed, unit = readable.get(test.code, ""), form.fields[test.code].unit
        result = results.read_result(test, typed, unit) if typed else None
        of_test = [problem for problem in problems if problem.test == test.code]
        rows.append({
            "code": test.code, "test": test, "typed": typed,
            "errors": form.errors.get(test.code, []) or [problem.text for problem in of_test if problem.hard],
            "flag": held.flag(test, result),
            "grade": grade_told(g.grade, g.is_to_confirm, g.because) if (g := grades.get(test.code)) else None,
            "is_graded_anew": bool(asked_for(test) & moved),
            "questions": questions_of([p for p in of_test if not p.hard], typed, form),
            "range": held.words(test, unit), "unit": unit or test.unit,
            **earlier_of(test, earlier.get(test.code, []), unit),
        })  # fmt: skip
    on = str(form.cleaned_data.get("collected_on") or "")
    whole = [problem for problem in problems if problem.test in ("", "collected_on")]
    rows.append({
        "code": "collected_on", "test": None, "typed": on,
        "errors": form.errors.get("collected_on", []) or [problem.text for problem in whole if problem.hard],
        "questions": questions_of([p for p in whole if not p.hard], on, form),
    })  # fmt: skip
    return render(request, "visits/check_panel.html", {"rows": rows})


def questions_of(problems, typed, form):
    """The soft problems of a row with the name of the box that documents them as looked up."""
    questions = []
    for problem in problems:
        name, key = f"confirm_{problem.code}_{problem.test}", f"{problem.code}:{problem.test}"
        questions.append({
            "text": problem.text, "name": name, "key": key, "said": forms.as_said(form.record, key, typed),
            "ticked": form.ticks.get(name) == typed,
        })  # fmt: skip
    return questions


@needs(Permission.ENTER_DATA)
def mark_panel_not_done(request, pk):
    panel = load_panel(request.user, pk)
    require(request.user, Permission.ENTER_DATA, panel.patient.site)
    form = forms.NotDoneForm(request.POST or None, record=panel)

    def save(form):
        saved = actions.mark_panel_not_done(
            panel=panel, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("visits:show_visit", args=[panel.visit_id]), saved.version, _("Recorded as not done."))

    name = panel.protocol.panel(panel.code).name
    context = visit_context(request, panel.visit, _("%s: not done") % name)
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.ENTER_DATA)
def clear_panel(request, pk):
    panel = load_panel(request.user, pk)
    require(request.user, Permission.ENTER_DATA, panel.patient.site)
    name = panel.protocol.panel(panel.code).name
    context = visit_context(request, panel.visit, _("%s: take the entry back") % name)
    return answer_reason(
        request, panel, partial(actions.clear_panel, panel=panel), context,
        back=reverse("visits:show_visit", args=[panel.visit_id]), said=_("The entry is taken back."),
    )  # fmt: skip

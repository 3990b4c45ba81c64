"""Panels: entering results, saying what was not done, taking back."""

from django.urls import reverse
from django.utils.translation import gettext as _

from patients.actions import today_at
from patients.forms import ReasonForm
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import Saved, answer_form, conflict_row
from visits import actions, forms
from visits.models import (
    Measurement,
    QueryState,
)
from visits.views.marks import marks_of_parts
from visits.views.plan import load_panel, visit_context


def panel_rows(form, tests, stored, previous, queries, sex):
    """What the page shows per test: field, unit, range, previous value, flag, open query."""
    rows = []
    for test in tests:
        m = stored.get(test.code)
        reference = (m.low, m.high) if m and m.typed else range_of(test, sex)
        before = previous.get(test.code)
        query = queries.get(test.code)
        rows.append({
            "test": test,
            "field": None if test.computed else form[test.code],
            "typed": m.typed if m else "",
            "unit": test.unit,
            "range": range_text(*reference),
            "previous": shown(test, before) if before else "",
            "previous_on": before.collected_on if before else "",
            "flag": {"kind": "high" if m.flag == "H" else "low", "text": m.get_flag_display()} if m and m.flag else None,
            "query": {"url": reverse("visits:show_query", args=[query.pk]), "text": _("Query")} if query else None,
        })  # fmt: skip
    return rows


def previous_of(panel, tests):
    """The latest earlier result of each test, by its code."""
    earlier = Measurement.objects.filter(
        patient=panel.patient_id,
        test__in=[test.code for test in tests],
        collected_on__lt=panel.collected_on or panel.visit.on,
        panel__isnull=False,
    )
    newest = earlier.exclude(panel=panel).exclude(typed="").order_by("test", "-collected_on", "-id").distinct("test")
    return {m.test: m for m in newest}


def range_of(test, sex):
    reference = test.reference_for(sex)
    return (reference.low, reference.high) if reference else (None, None)


def range_text(low, high):
    def plain(number):
        return format(number.normalize(), "f")

    if low is not None and high is not None:
        return f"{plain(low)}–{plain(high)}"
    return f"≥ {plain(low)}" if low is not None else f"≤ {plain(high)}" if high is not None else ""


def shown(test, measurement):
    """A stored result as people read it: the label of a choice, else what was typed."""
    return test.choice_label(measurement.typed) if test.kind == "choice" else measurement.typed


@needs(Permission.VIEW_PATIENTS, to_post=(Permission.ENTER_DATA,))
def enter_panel(request, pk):
    """Enter or change a panel; who may only look sees the same page without fields."""
    panel = load_panel(request.user, pk)
    site = panel.patient.site
    may_enter = can(request.user, Permission.ENTER_DATA, site)
    if request.method == "POST":
        require(request.user, Permission.ENTER_DATA, site)
    protocol = panel.protocol
    tests = protocol.tests_of(panel.code)
    stored = {} if request.method == "POST" else {m.test: m for m in panel.measurements.all()}
    form = forms.PanelForm(
        request.POST or None, record=panel, tests=tests, stored=stored,
        on=panel.visit.attended_on or today_at(site),
    )  # fmt: skip

    def save(form):
        saved = actions.record_panel(
            panel=panel, values=form.results, collected_on=form.cleaned_data["collected_on"],
            collected_at=form.sent_or("collected_at", panel.collected_at),
            comment=form.sent_or("comment", panel.comment),
            version=form.cleaned_data["version"], reason=form.cleaned_data.get("reason", ""), by=request.user,
        )  # fmt: skip
        sent = {**{code: m.typed for code, m in stored.items()}, **form.results}
        blank = [test.name for test in form.tests if test.required and not sent.get(test.code, "").strip()]
        message = _("%s: saved.") % name
        if blank and len(sent) == len(form.tests):
            message += " " + _("Left blank: %s.") % ", ".join(blank)
        return Saved(reverse("visits:show_visit", args=[panel.visit_id]), saved.version, message)

    def conflict(form, stale):
        now = {m.test: m.typed for m in stale.current.measurements.all()}
        return [
            conflict_row(_("Collected on"), form.cleaned_data["collected_on"], stale.current.collected_on),
            *[conflict_row(t.name, form.cleaned_data[t.code], now.get(t.code, "")) for t in form.tests],
            conflict_row(_("Comment"), form.cleaned_data["comment"], stale.current.comment),
        ]

    name = protocol.panel(panel.code).name

    def context():
        there = stored or {m.test: m for m in panel.measurements.all()}
        queries = {query.test: query for query in panel.queries.exclude(state=QueryState.CLOSED)}
        return {
            **visit_context(request, panel.visit, name)(),
            "panel": panel,
            "instructions": protocol.panel(panel.code).instructions,
            "may_enter": may_enter,
            "rows": panel_rows(form, tests, there, previous_of(panel, tests), queries, panel.patient.sex),
            "may_query": can(request.user, Permission.RAISE_QUERIES, site),
            "whole_panel_query": queries.get(""),
            "marks": marks_of_parts(request.user, panel, there.values()),
        }

    return answer_form(request, form, "visits/enter_panel.html", context, save, conflict=conflict)


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
    form = ReasonForm(request.POST or None, record=panel)

    def save(form):
        saved = actions.clear_panel(panel=panel, **form.values, version=form.cleaned_data["version"], by=request.user)
        return Saved(reverse("visits:show_visit", args=[panel.visit_id]), saved.version, _("The entry is taken back."))

    name = panel.protocol.panel(panel.code).name
    context = visit_context(request, panel.visit, _("%s: take the entry back") % name)
    return answer_form(request, form, "form.html", context, save)

"""Pages about what was measured, when, and whether it is right."""

from zoneinfo import ZoneInfo

from django.core.paginator import Paginator
from django.db.models import Count, Prefetch, Q
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from patients.actions import today_at
from patients.arms import arm_position, arms_seen_by
from patients.forms import ReasonForm
from patients.models import AllocationSlot, Patient, State
from patients.views import PER_PAGE, load_patient, strip_of, visible_sites
from trialsite import trial
from trialsite.roles import Permission, can, can_see_arm, needs, require
from trialsite.saving import DataForm, Saved, answer_form, conflict_row
from visits import actions, forms, schedule
from visits.models import (
    QUERY_TRANSITIONS,
    Infusion,
    Interruption,
    Lot,
    LotState,
    Measurement,
    PanelRecord,
    PanelState,
    Preparation,
    Query,
    QueryState,
    Reaction,
    Visit,
)


def load_visit(user, pk):
    visits = Visit.objects.visible_to(user).select_related("patient__site")
    return get_object_or_404(visits, pk=pk)


def load_panel(user, pk):
    panels = PanelRecord.objects.visible_to(user).select_related("visit", "patient__site", "entered_by")
    panel = get_object_or_404(panels, pk=pk)
    panel.visit.patient = panel.patient
    return panel


def visit_title(visit):
    """The name of a visit as the protocol has it."""
    if not visit.is_scheduled:
        return _("Unscheduled visit %(code)s") % {"code": visit.code}
    return visit.patient.protocol.visit(visit.code).name


# --- where a visit stands ------------------------------------------------------------------------

STANDING_TEXT = {
    "expected": gettext_lazy("expected"),
    "due": gettext_lazy("due"),
    "overdue": gettext_lazy("overdue"),
    "draft": gettext_lazy("begun"),
    "entered": gettext_lazy("complete"),
    "missed": gettext_lazy("missed"),
    "not-done": gettext_lazy("will not take place"),
}


def standing_of(visit, today, open_panels, *, is_open):
    """One word for a visit: expected, due, overdue, draft (attended, panels missing), entered, missed; or not-done
    when it was planned and the patient's way has ended (`is_open` is false)."""
    window = schedule.Window(visit.planned_on, visit.earliest, visit.latest)
    standing = schedule.standing(state=visit.state, window=window, today=today)
    if standing == schedule.Standing.DONE:
        return "draft" if open_panels else "entered"
    if standing != schedule.Standing.MISSED and not is_open:
        return "not-done"
    return str(standing)


def with_counts(visits):
    counted = visits.annotate(
        open_panels=Count("panels", filter=Q(panels__state=PanelState.EXPECTED), distinct=True),
        open_queries=Count("panels__queries", filter=~Q(panels__queries__state=QueryState.CLOSED), distinct=True)
        + Count("infusion__queries", filter=~Q(infusion__queries__state=QueryState.CLOSED), distinct=True),
    )
    return counted.order_by("planned_on", "id")


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_grid(request):
    """Patients down, visits across: the state of the trial at one glance."""
    patients = Patient.objects.visible_to(request.user).select_related("site").exclude(state=State.SCREEN_FAILED)
    sites = visible_sites(request.user)
    chosen = [int(pk) for pk in request.GET.getlist("site") if pk.isascii() and pk.isdigit() and len(pk) < 10]
    if chosen:
        patients = patients.filter(site__in=chosen)
    page = Paginator(patients, PER_PAGE).get_page(request.GET.get("page"))
    rows = list(page.object_list)
    arms = arms_seen_by(request.user, rows)
    visits = with_counts(Visit.objects.filter(patient__in=rows, is_scheduled=True))
    by_patient, shown_patients = {}, {patient.pk: patient for patient in rows}
    for visit in visits:
        visit.patient = shown_patients[visit.patient_id]
        by_patient.setdefault(visit.patient_id, {})[visit.code] = visit
    protocol = trial.current_protocol()
    columns = [
        {"label": visit.code, "note": _("day %d") % visit.day, "infusion": visit.infusion is not None}
        for visit in protocol.visits
    ]
    grid = {
        "columns": columns,
        "rows": [
            {
                "number": patient.number,
                "url": reverse("patients:show_patient", args=[patient.pk]),
                "arm": patient.protocol.arm(arms[patient.pk]).name if patient.pk in arms else "",
                "arm_class": str(arm_position(arms[patient.pk])) if patient.pk in arms else "",
                "note": "" if patient.is_open else patient.get_state_display(),
                "cells": [
                    cell_of(by_patient.get(patient.pk, {}).get(visit.code), patient) for visit in protocol.visits
                ],
            }
            for patient in rows
        ],
    }
    arms_shown = sorted({(row["arm_class"], row["arm"]) for row in grid["rows"] if row["arm"]})
    legend = list(STANDING_TEXT.items())
    context = {"grid": grid, "legend": legend, "arms": arms_shown, "page": page, "sites": sites, "chosen_sites": chosen}
    return render(request, "visits/show_grid.html", context)


def cell_of(visit, patient):
    if visit is None:
        return None
    standing = standing_of(visit, today_at(patient.site), visit.open_panels, is_open=patient.is_open)
    text = f"{visit.code}: {STANDING_TEXT[standing]}, {visit.on}"
    if visit.open_panels and standing == "draft":
        text += ", " + _("%d panels open") % visit.open_panels
    if visit.open_queries:
        text += ", " + _("%d open queries") % visit.open_queries
    return {
        "status": standing,
        "text": text,
        "url": reverse("visits:show_visit", args=[visit.pk]),
        "queries": visit.open_queries,
    }


# --- one visit ---------------------------------------------------------------------------------------

PANEL_CLASS = {PanelState.EXPECTED: "expected", PanelState.ENTERED: "entered", PanelState.NOT_DONE: "not-done"}


def visit_context(request, visit, heading, **more):
    """The context of a page about a visit, worked out when the page is shown."""
    return lambda: {
        "patient": visit.patient,
        "visit": visit,
        "strip": strip_of(request.user, visit.patient),
        "heading": heading,
        "title": visit_title(visit),
        "cancel": reverse("visits:show_visit", args=[visit.pk]),
        **more,
    }


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_visit(request, pk):
    visit = load_visit(request.user, pk)
    protocol = visit.patient.protocol
    open_queries = Count("queries", filter=~Q(queries__state=QueryState.CLOSED), distinct=True)
    panels = list(
        visit.panels.annotate(open_queries=open_queries, values=Count("measurements", distinct=True))
        .select_related("entered_by").order_by("position")
    )  # fmt: skip
    for panel in panels:
        panel.name = protocol.panel(panel.code).name
        panel.css = PANEL_CLASS[panel.state]
    number = protocol.visit(visit.code).infusion if visit.is_scheduled else None
    sees_arm = can_see_arm(request.user, masked=protocol.is_masked, site=visit.patient.site)
    preparation = infusion = None
    if number:
        infusion = Infusion.objects.filter(visit=visit).first()
        preparation = Preparation.objects.select_related("lot").filter(visit=visit).first()
    today = today_at(visit.patient.site)
    open_panels = sum(panel.state == PanelState.EXPECTED for panel in panels)
    standing = standing_of(visit, today, open_panels, is_open=visit.patient.is_open)
    site = visit.patient.site
    context = visit_context(
        request, visit, visit_title(visit),
        panels=panels, standing=standing, standing_text=STANDING_TEXT[standing], number=number, infusion=infusion,
        preparation=preparation, sees_arm=sees_arm,
        may_enter=can(request.user, Permission.ENTER_DATA, site),
        may_prepare=sees_arm and can(request.user, Permission.PREPARE_INFUSIONS, site),
        may_infuse=can(request.user, Permission.RECORD_INFUSIONS, site),
        may_report=can(request.user, Permission.REPORT_ADVERSE_EVENTS, site),
        dose_unit=protocol.product(preparation.lot.product).dose.unit if preparation and sees_arm else "",
    )  # fmt: skip
    return render(request, "visits/show_visit.html", context())


@needs(Permission.ENTER_DATA)
def record_attendance(request, pk):
    visit = load_visit(request.user, pk)
    require(request.user, Permission.ENTER_DATA, visit.patient.site)
    form = forms.AttendanceForm(request.POST or None, record=visit, initial={"attended_on": visit.attended_on})

    def save(form):
        saved = actions.record_attendance(
            visit=visit, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("visits:show_visit", args=[pk]), saved.version, _("The date is recorded."))

    return answer_form(request, form, "form.html", visit_context(request, visit, _("Date of the visit")), save)


@needs(Permission.ENTER_DATA)
def record_missed_visit(request, pk):
    visit = load_visit(request.user, pk)
    require(request.user, Permission.ENTER_DATA, visit.patient.site)
    form = forms.MissedVisitForm(request.POST or None, record=visit)

    def save(form):
        saved = actions.record_missed_visit(
            visit=visit, **form.values, version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("visits:show_visit", args=[pk]), saved.version, _("The visit is recorded as missed."))

    return answer_form(request, form, "form.html", visit_context(request, visit, _("Missed visit")), save)


@needs(Permission.ENTER_DATA)
def add_unscheduled_visit(request, patient_pk):
    patient = load_patient(request.user, patient_pk)
    require(request.user, Permission.ENTER_DATA, patient.site)
    protocol = patient.protocol
    panels = [panel for panel in protocol.panels if panel.only_for_sex in (None, patient.sex)]
    form = forms.UnscheduledVisitForm(request.POST or None, panels=panels)

    def save(form):
        visit = actions.add_unscheduled_visit(patient=patient, **form.values, by=request.user)
        return Saved(reverse("visits:show_visit", args=[visit.pk]), visit.version, _("The visit is added."))

    context = {
        "patient": patient, "strip": strip_of(request.user, patient), "heading": _("Unscheduled visit"),
        "cancel": reverse("patients:show_patient", args=[patient.pk]),
    }  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


# --- panels ----------------------------------------------------------------------------------------------


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
    protocol = panel.patient.protocol
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

    name = panel.patient.protocol.panel(panel.code).name
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

    name = panel.patient.protocol.panel(panel.code).name
    context = visit_context(request, panel.visit, _("%s: take the entry back") % name)
    return answer_form(request, form, "form.html", context, save)


# --- queries --------------------------------------------------------------------------------------------


@needs(Permission.VIEW_PATIENTS)
@require_GET
def list_queries(request):
    queries = Query.objects.visible_to(request.user).select_related(
        "patient__site", "panel__visit", "infusion__visit", "raised_by"
    )
    state = request.GET.get("state", "open")
    if state in QueryState.values:
        queries = queries.filter(state=state)
    page = Paginator(queries, PER_PAGE).get_page(request.GET.get("page"))
    for query in page.object_list:
        query.about = about(query)
        query.age = (timezone.now() - query.raised_at).days
    counts = dict(Query.objects.visible_to(request.user).order_by().values_list("state").annotate(n=Count("id")))
    tabs = [(value, label, counts.get(value, 0)) for value, label in QueryState.choices]
    return render(request, "visits/list_queries.html", {"page": page, "tabs": tabs, "state": state})


def about(query):
    """What a query is about, in words: visit, panel, test."""
    protocol = query.patient.protocol
    words = []
    if query.panel:
        words += [query.panel.visit.code, protocol.panel(query.panel.code).name]
    elif query.infusion:
        words += [query.infusion.visit.code, _("Infusion %d") % query.infusion.number]
    if query.test:
        words.append(protocol.test(query.test).name)
    if query.minute is not None:
        words.append(_("%d min") % query.minute)
    return " · ".join(words)


STEPS = {
    "answer": (QueryState.ANSWERED, gettext_lazy("answer the query"), Permission.ANSWER_QUERIES),
    "close": (QueryState.CLOSED, gettext_lazy("close the query"), Permission.RAISE_QUERIES),
    "reopen": (QueryState.OPEN, gettext_lazy("ask again"), Permission.RAISE_QUERIES),
}


@needs(Permission.VIEW_PATIENTS, to_post=(Permission.ANSWER_QUERIES, Permission.RAISE_QUERIES))
def show_query(request, pk):
    queries = Query.objects.visible_to(request.user).select_related(
        "patient__site", "panel__visit", "infusion__visit", "raised_by"
    )
    query = get_object_or_404(queries.prefetch_related("messages__by"), pk=pk)
    site = query.patient.site
    allowed = QUERY_TRANSITIONS[QueryState(query.state)]
    steps = [
        (code, words) for code, (state, words, permission) in STEPS.items()
        if state in allowed and can(request.user, permission, site)
    ]  # fmt: skip
    form = forms.QueryMessageForm(request.POST or None, record=query, steps=steps)

    def save(form):
        move = {"answer": actions.answer_query, "close": actions.close_query, "reopen": actions.reopen_query}
        step = form.cleaned_data["step"]
        require(request.user, STEPS[step][2], site)
        saved = move[step](
            query=query, text=form.cleaned_data["text"], version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("visits:list_queries"), saved.version, _("Saved."))

    visit = query.panel.visit if query.panel else query.infusion.visit if query.infusion else None
    m = None
    if query.test:
        m = Measurement.objects.filter(
            panel=query.panel_id, infusion=query.infusion_id, minute=query.minute, test=query.test
        ).first()
    context = {
        "patient": query.patient, "strip": strip_of(request.user, query.patient), "query": query, "about": about(query),
        "steps": steps, "visit": visit, "measurement": m, "heading": _("Query"), "cancel": reverse("visits:list_queries"),
    }  # fmt: skip
    return answer_form(request, form, "visits/show_query.html", context, save)


@needs(Permission.RAISE_QUERIES)
def raise_query(request, panel_pk):
    panel = load_panel(request.user, panel_pk)
    require(request.user, Permission.RAISE_QUERIES, panel.patient.site)
    tests = panel.patient.protocol.tests_of(panel.code)
    form = forms.RaiseQueryForm(request.POST or None, tests=tests, initial={"test": request.GET.get("test", "")})

    def save(form):
        query = actions.raise_query(panel=panel, **form.values, by=request.user)
        return Saved(reverse("visits:enter_panel", args=[panel.pk]), query.version, _("The query is raised."))

    name = panel.patient.protocol.panel(panel.code).name
    return answer_form(request, form, "form.html", visit_context(request, panel.visit, _("Query: %s") % name), save)


# --- lots -------------------------------------------------------------------------------------------------


@needs(Permission.MANAGE_LOTS)
@require_GET
def list_lots(request):
    lots = (
        Lot.objects.visible_to(request.user)
        .select_related("site")
        .annotate(used=Count("preparations"))
        .order_by("-expires_on", "number")
    )
    page = Paginator(lots, PER_PAGE).get_page(request.GET.get("page"))
    protocol = trial.current_protocol()
    for lot in page.object_list:
        lot.product_name = protocol.product(lot.product).name
        lot.is_expired = lot.expires_on < today_at(lot.site)
    return render(request, "visits/list_lots.html", {"page": page})


@needs(Permission.MANAGE_LOTS)
def receive_lot(request):
    sites = visible_sites(request.user, Permission.MANAGE_LOTS)
    form = forms.ReceiveLotForm(request.POST or None, sites=sites, products=trial.current_protocol().products)

    def save(form):
        require(request.user, Permission.MANAGE_LOTS, form.cleaned_data["site"])
        lot = actions.receive_lot(**form.values, by=request.user)
        return Saved(reverse("visits:show_lot", args=[lot.pk]), lot.version, _("The lot is in quarantine."))

    context = {"heading": _("Receive a lot"), "cancel": reverse("visits:list_lots")}
    return answer_form(request, form, "form.html", context, save)


def load_lot(user, pk):
    return get_object_or_404(Lot.objects.visible_to(user).select_related("site"), pk=pk)


@needs(Permission.MANAGE_LOTS)
def show_lot(request, pk):
    """A lot with its release tests; the tests are entered here while it is in quarantine."""
    lot = load_lot(request.user, pk)
    protocol = trial.current_protocol()
    product = protocol.product(lot.product)
    tests = {test.code: test for test in lot.tests.all()}
    form = forms.LotTestsForm(
        request.POST or None, record=lot, product=product, stored={code: test.result for code, test in tests.items()}
    )

    def save(form):
        saved = actions.record_lot_tests(
            lot=lot, protocol=protocol, results=form.results, version=form.cleaned_data["version"],
            reason=form.cleaned_data["reason"], by=request.user,
        )  # fmt: skip
        return Saved(reverse("visits:show_lot", args=[pk]), saved.version, _("The results are saved."))

    rows = [(test, tests.get(test.code)) for test in product.release_tests]
    may_release = all(result is not None and result.has_passed for _test, result in rows)
    context = {
        "lot": lot, "product": product, "rows": rows, "may_release": may_release, "heading": lot.number, "cancel": reverse("visits:list_lots"),
        "in_quarantine": lot.state == LotState.QUARANTINED, "preparations": lot.preparations.select_related("patient"),
    }  # fmt: skip
    return answer_form(request, form, "visits/show_lot.html", context, save)


@needs(Permission.MANAGE_LOTS)
def release_lot(request, pk):
    lot = load_lot(request.user, pk)
    form = DataForm(request.POST or None, record=lot)

    def save(form):
        saved = actions.release_lot(
            lot=lot, protocol=trial.current_protocol(), version=form.cleaned_data["version"], by=request.user
        )
        return Saved(reverse("visits:show_lot", args=[pk]), saved.version, _("The lot is released."))

    context = {"heading": _("Release lot %s") % lot.number, "submit": _("Release"),
               "intro": _("All release tests must have passed."), "cancel": reverse("visits:show_lot", args=[pk])}  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


@needs(Permission.MANAGE_LOTS)
def reject_lot(request, pk):
    lot = load_lot(request.user, pk)
    form = ReasonForm(request.POST or None, record=lot)

    def save(form):
        saved = actions.reject_lot(lot=lot, **form.values, version=form.cleaned_data["version"], by=request.user)
        return Saved(reverse("visits:show_lot", args=[pk]), saved.version, _("The lot is rejected."))

    context = {"heading": _("Reject lot %s") % lot.number, "submit": _("Reject"), "danger": True,
               "cancel": reverse("visits:show_lot", args=[pk])}  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


# --- infusions ------------------------------------------------------------------------------------------------


@needs(Permission.PREPARE_INFUSIONS)
def prepare_infusion(request, pk):
    """The pharmacy's page: it names lot and product, so nobody opens it who may not see the arm."""
    visit = load_visit(request.user, pk)
    patient, protocol = visit.patient, visit.patient.protocol
    require(request.user, Permission.PREPARE_INFUSIONS, patient.site)
    if not can_see_arm(request.user, masked=protocol.is_masked, site=patient.site) or not _planned_infusion(visit):
        raise Http404
    today = today_at(patient.site)
    slot = AllocationSlot.objects.filter(patient=patient).first()
    product = protocol.product(protocol.arm(slot.arm).product) if slot else None
    lots = Lot.objects.filter(site=patient.site, product=product.code if product else "").usable_on(today)
    weight = actions.latest_weight(patient, protocol, today)
    zone = ZoneInfo(patient.site.timezone)
    form = forms.PrepareInfusionForm(
        request.POST or None, record=visit, lots=lots, zone=zone,
        initial={"weight_kg": f"{weight.normalize():f}" if weight else "", "prepared_at": timezone.now()},
    )  # fmt: skip

    def save(form):
        actions.prepare_infusion(visit=visit, **form.values, version=form.cleaned_data["version"], by=request.user)
        return Saved(reverse("visits:show_visit", args=[pk]), visit.version, _("The infusion is prepared."))

    intro = ""
    if product:
        dose = product.dose
        amount = f"{_plain(dose.per_kg or dose.absolute)} {dose.unit}"
        intro = f"{product.name}: " + (_("%s per kg of body weight") % amount if dose.per_kg else amount)
    heading = _("Prepare infusion %d") % _planned_infusion(visit)
    return answer_form(request, form, "form.html", visit_context(request, visit, heading, intro=intro), save)


def _plain(number):
    return f"{number:,.0f}".replace(",", "\u202f")


def _planned_infusion(visit):
    return visit.patient.protocol.visit(visit.code).infusion if visit.is_scheduled else None


@needs(Permission.VIEW_PATIENTS, to_post=(Permission.RECORD_INFUSIONS,))
def record_infusion(request, pk):
    visit = load_visit(request.user, pk)
    patient, protocol = visit.patient, visit.patient.protocol
    if request.method == "POST":
        require(request.user, Permission.RECORD_INFUSIONS, patient.site)
    number = _planned_infusion(visit)
    if not number:
        raise Http404
    infusion = (
        Infusion.objects.filter(visit=visit)
        .prefetch_related(
            "measurements",
            Prefetch("interruptions", Interruption.objects.filter(is_withdrawn=False)),
            Prefetch("reactions", Reaction.objects.filter(is_withdrawn=False)),
        ).first()
    )  # fmt: skip
    tests = [protocol.test(code) for code in protocol.infusions.monitoring_tests]
    form = forms.InfusionForm(
        request.POST or None, record=infusion, infusions=protocol.infusions, tests=tests,
        zone=ZoneInfo(patient.site.timezone), reactions=protocol.infusions.reaction_terms,
        stored={(m.test, m.minute): m.typed for m in infusion.measurements.all()} if infusion else {},
        initial=initial_of(infusion),
    )  # fmt: skip

    def save(form):
        names = ("started_at", "stopped_at", "volume_ml", "given_percent", "access_site", "premedication", "comment")
        saved = actions.record_infusion(
            visit=visit, **{name: form.sent_or(name, getattr(infusion, name, "")) for name in names},
            monitoring=form.monitoring, interruptions=form.interruptions, reactions=form.reactions, version=form.cleaned_data["version"],
            reason=form.cleaned_data.get("reason", ""), by=request.user,
        )  # fmt: skip
        return Saved(reverse("visits:show_visit", args=[pk]), saved.version, _("The infusion is recorded."))

    context = visit_context(
        request, visit, _("Infusion %d") % number, infusion=infusion, minutes=protocol.infusions.monitoring_minutes,
        preparation=Preparation.objects.filter(visit=visit).first(),
        may_enter=can(request.user, Permission.RECORD_INFUSIONS, patient.site),
    )  # fmt: skip
    return answer_form(request, form, "visits/record_infusion.html", context, save)


def initial_of(infusion):
    if infusion is None:
        return {}
    initial = {
        name: getattr(infusion, name)
        for name in (
            "started_at",
            "stopped_at",
            "volume_ml",
            "given_percent",
            "access_site",
            "premedication",
            "comment",
        )
    }
    for n, line in enumerate(infusion.interruptions.all(), start=1):
        initial |= {
            f"stop{n}_stopped": line.stopped_at,
            f"stop{n}_resumed": line.resumed_at,
            f"stop{n}_cause": line.cause,
        }
    for n, line in enumerate(infusion.reactions.all(), start=1):
        initial |= {
            f"reaction{n}_term": line.term,
            f"reaction{n}_began": line.began_at,
            f"reaction{n}_grade": line.grade,
        }
    return initial

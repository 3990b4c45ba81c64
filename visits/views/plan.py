"""The plan: patients by visits, one visit, which visits took place."""

from django.core.paginator import Paginator
from django.db.models import Count, Max, OuterRef, Q
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy
from django.views.decorators.http import require_GET

from patients.arms import arm_position, arms_seen_by
from patients.models import Hold, Patient, State
from patients.views import PER_PAGE, load_patient, strip_of, visible_sites
from trialsite import trial
from trialsite.clock import today_at
from trialsite.roles import Permission, can, can_see_arm, needs, require
from trialsite.saving import Saved, answer_form
from trialsite.ucum import unit_text
from trialsite.words import listed
from visits import actions, forms, schedule, waiting
from visits.contents import PANELS, confirmations_on
from visits.models import (
    UNFINISHED,
    Infusion,
    Mark,
    PanelRecord,
    PanelState,
    Preparation,
    Review,
    Visit,
    answered_queries,
    open_queries,
)
from visits.reviews import STEPS, stricter
from visits.views.marks import PAGES, held, marks_of_visit


def load_visit(user, pk, *more):
    visits = Visit.objects.visible_to(user).select_related("patient__site", *more)
    return get_object_or_404(visits, pk=pk)


def load_panel(user, pk):
    panels = PanelRecord.objects.visible_to(user).select_related("visit", "patient__site", "entered_by", "laboratory")
    panel = get_object_or_404(panels.annotate(confirmed_checks=confirmations_on(PANELS)), pk=pk)
    panel.visit.patient = panel.patient
    return panel


def visit_title(visit):
    """The name of a visit as the protocol has it."""
    if not visit.is_scheduled:
        return _("Unscheduled visit %(code)s") % {"code": visit.code}
    return visit.protocol.visit(visit.code).name


def planned_infusion(visit):
    """The number of the infusion that is planned at a visit, or None."""
    return visit.protocol.visit(visit.code).infusion if visit.is_scheduled else None


# --- where a visit stands ------------------------------------------------------------------------

STANDING_TEXT = {
    "expected": pgettext_lazy("visit", "expected"),
    "due": gettext_lazy("due"),
    "overdue": pgettext_lazy("visit", "overdue"),
    "draft": gettext_lazy("begun"),
    "entered": gettext_lazy("complete"),
    "signed": gettext_lazy("signed"),
    "frozen": gettext_lazy("frozen"),
    "locked": gettext_lazy("locked"),
    "missed": gettext_lazy("missed"),
    "not-done": gettext_lazy("will not take place"),
}


def standing_of(visit, today, open_panels, *, is_open, is_signed=False):
    """One word for a visit: expected, due, overdue, draft (attended, panels missing), entered, missed; not-done when it
    was planned and the patient's way has ended (`is_open` is false); signed when all of it is; frozen and locked say more."""
    hold = stricter(visit.hold, visit.patient.hold if visit.patient_id else Hold.OPEN)
    if hold:
        return str(hold)
    window = schedule.Window(visit.planned_on, visit.earliest, visit.latest)
    standing = schedule.standing(state=visit.state, window=window, today=today)
    if standing == schedule.Standing.DONE:
        return "draft" if open_panels else "signed" if is_signed else "entered"
    if standing == schedule.Standing.CANCELLED or (standing != schedule.Standing.MISSED and not is_open):
        return "not-done"
    return str(standing)


def with_counts(visits):
    marks = Review.objects.standing().filter(visit=OuterRef("pk"), mark=Mark.SIGNED)
    panels = PanelRecord.objects.filter(visit=OuterRef("pk"), state__in=waiting.DONE)
    infusions = Infusion.objects.filter(visit=OuterRef("pk"))
    counted = visits.annotate(
        signed=waiting.number_of(marks),
        to_sign=waiting.number_of(panels) + waiting.number_of(infusions),
        open_panels=Count("panels", filter=Q(panels__state__in=UNFINISHED), distinct=True),
        **{
            name: Count("panels__queries", filter=which("panels__queries__"), distinct=True)
            + Count("infusion__queries", filter=which("infusion__queries__"), distinct=True)
            for name, which in (("open_queries", open_queries), ("answered_queries", answered_queries))
        },
    )
    return counted.order_by("planned_on", "id")


def is_signed(visit):
    """Of a visit of `with_counts`: is every form of it signed?"""
    return bool(visit.to_sign) and visit.signed == visit.to_sign


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
    planned = planned_visits(rows)
    columns = [
        {"label": visit.code, "note": _("day %d") % visit.day, "infusion": visit.infusion is not None}
        for visit in planned
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
                "cells": [cell_of(by_patient.get(patient.pk, {}).get(visit.code), patient) for visit in planned],
            }
            for patient in rows
        ],
    }
    arms_shown = sorted({(row["arm_class"], row["arm"]) for row in grid["rows"] if row["arm"]})
    legend = list(STANDING_TEXT.items())
    context = {"grid": grid, "legend": legend, "arms": arms_shown, "page": page, "sites": sites, "chosen_sites": chosen}
    return render(request, "visits/show_grid.html", context)


def planned_visits(patients):
    """The visits of all protocol versions that these patients are under, by day; of one code the latest."""
    used = {patient.protocol_version for patient in patients} | {trial.current_protocol().version}
    visits = {visit.code: visit for p in trial.versions().values() if p.version in used for visit in p.visits}
    return sorted(visits.values(), key=lambda visit: visit.day)


def queries_told(counted):
    """ "2 open queries, 1 answered" of what has both counts; "" where there is none."""
    n, answered = counted.open_queries, counted.answered_queries
    words = [ngettext("%(n)d open query", "%(n)d open queries", n) % {"n": n}] if n else []
    if answered:
        words.append(ngettext("%(n)d answered query", "%(n)d answered queries", answered) % {"n": answered})
    return listed(words)


def cell_of(visit, patient):
    if visit is None:
        return None
    standing = standing_of(
        visit, today_at(patient.site), visit.open_panels, is_open=patient.is_open, is_signed=is_signed(visit)
    )
    text = f"{visit.code}: {STANDING_TEXT[standing]}, {visit.on}"
    if visit.open_panels and standing == "draft":
        text += ", " + _("%d panels open") % visit.open_panels
    if told := queries_told(visit):
        text += ", " + told
    return {
        "status": standing,
        "text": text,
        "url": reverse("visits:show_visit", args=[visit.pk]),
        "queries": visit.open_queries,
    }


# --- one visit ---------------------------------------------------------------------------------------

PANEL_CLASS = {
    PanelState.EXPECTED: "expected",
    PanelState.BEGUN: "draft",
    PanelState.ENTERED: "entered",
    PanelState.NOT_DONE: "not-done",
}


def is_open(visit):
    """May its data be changed, by those who may enter them?"""
    return held(visit.patient, visit) is None


def visit_context(request, visit, heading, **more):
    """The context of a page about a visit, worked out when the page is shown."""
    return lambda: {
        "patient": visit.patient,
        "visit": visit,
        "strip": strip_of(request.user, visit.patient),
        "heading": heading,
        "title": visit_title(visit),
        "cancel": reverse("visits:show_visit", args=[visit.pk]),
        "hold": held(visit.patient, visit),
        "names_version": len(trial.versions()) > 1,
        **more,
    }


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_visit(request, pk):
    visit = load_visit(request.user, pk)
    protocol = visit.protocol
    panels = list(
        visit.panels.annotate(
            open_queries=Count("queries", filter=open_queries("queries__"), distinct=True),
            answered_queries=Count("queries", filter=answered_queries("queries__"), distinct=True),
            values=Count("measurements", distinct=True), worst=Max("measurements__grade"),
        ).select_related("entered_by").order_by("position")
    )  # fmt: skip
    for panel in panels:
        panel.queries_told = queries_told(panel)
        panel.name = panel.protocol.panel(panel.code).name
        panel.css = PANEL_CLASS[panel.state]
    number = protocol.visit(visit.code).infusion if visit.is_scheduled else None
    sees_arm = can_see_arm(request.user, masked=protocol.is_masked, site=visit.patient.site)
    preparation = infusion = None
    if number:
        counted = {name: Count("queries", filter=which("queries__"), distinct=True)
                   for name, which in (("open_queries", open_queries), ("answered_queries", answered_queries))}  # fmt: skip
        infusion = Infusion.objects.filter(visit=visit).annotate(**counted).first()
        if infusion:
            infusion.queries_told = queries_told(infusion)
        preparation = Preparation.objects.select_related("lot").filter(visit=visit).first()
    marks_of_visit(visit, panels, infusion)
    today = today_at(visit.patient.site)
    open_panels = sum(panel.state in UNFINISHED for panel in panels)
    marked = (*panels, *([infusion] if infusion else []))
    signed = [form.marks["is_signed"] for form in marked]
    standing = standing_of(
        visit, today, open_panels, is_open=visit.patient.is_open, is_signed=bool(signed) and all(signed)
    )
    site = visit.patient.site
    context = visit_context(
        request, visit, visit_title(visit),
        panels=panels, standing=standing, standing_text=STANDING_TEXT[standing], number=number, infusion=infusion,
        preparation=preparation, sees_arm=sees_arm,
        may_enter=can(request.user, Permission.ENTER_DATA, site) and is_open(visit),
        may_prepare=sees_arm and can(request.user, Permission.PREPARE_INFUSIONS, site) and is_open(visit),
        may_infuse=can(request.user, Permission.RECORD_INFUSIONS, site) and is_open(visit),
        may_report=can(request.user, Permission.REPORT_ADVERSE_EVENTS, site) and not visit.patient.is_held,
        may_hold=can(request.user, Permission.REVIEW_DATA, site),
        checks=[
            (reverse("visits:check_visit", args=[step, pk]), page[1])
            for step, page in PAGES.items()
            if any(step in form.marks["open_steps"] for form in marked) and can(request.user, STEPS[step].permission, site)
        ],
        dose_unit=unit_text(protocol.product(preparation.lot.product).dose.unit) if preparation and sees_arm else "",
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

"""What of the visits stands on the start page and on a patient's page."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Case, Count, F, Prefetch, Q, Value, When, Window
from django.db.models.functions import RowNumber
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from patients.models import OPEN_STATES, State
from trialsite import trial
from trialsite.clock import day_at, today_at, today_for
from trialsite.roles import Permission, can, can_see_arm, sites_where
from trialsite.sections import SHOWN, at_chosen_site, chosen_site, first_of, later, section
from trialsite.ucum import unit_text
from trialsite.words import listed
from visits import views, waiting
from visits.models import (
    UNFINISHED,
    Lot,
    LotState,
    Measurement,
    PanelRecord,
    Query,
    QueryState,
    Visit,
    VisitState,
    answered_queries,
    open_queries,
)
from visits.readiness import readiness_among
from visits.reviews import STEPS
from visits.units import standard_text
from visits.views.marks import PAGES, patient_checks

# tests whose course is drawn on the patient's page, where the protocol has them
PLOTTED = ("CD4",)
SOON = timedelta(days=14)


def sections(user, filters):
    today = today_for(user)
    if opens(user, "infusions"):
        yield _later(user, "infusions", filters)
    if can(user, Permission.ENTER_DATA):
        yield from visits_to_do(user, today, filters)
    if signs_not_all(user):
        yield _later(user, "unsigned", filters)
    if can(user, Permission.ANSWER_QUERIES):
        yield queries(user, filters, open_queries, QueryState.OPEN, _("Open queries"))
    if can(user, Permission.RAISE_QUERIES):
        yield queries(user, filters, answered_queries, QueryState.ANSWERED, _("Answered queries to review"))
    for step, (title, *_rest) in PAGES.items():
        if can(user, STEPS[step].permission):
            url = reverse("visits:list_to_check", args=[step])
            yield later(title, "visits:show_waiting", filters, url=url, args=[step])
    if can(user, Permission.MANAGE_LOTS):
        yield lots(user, today)


def _running(user, filters, *permissions):
    """Visits of patients who are in screening or in the trial, where the person has one of the permissions."""
    visits = Visit.objects.filter(patient__state__in=OPEN_STATES)
    sites = [sites_where(user, permission) for permission in permissions]
    if None not in sites:
        visits = visits.filter(patient__site__in=set().union(*sites))
    return at_chosen_site(visits, filters, "patient__site").select_related("patient__site")


def _item(visit, status, text, note="", when=None, url=None):
    return {
        "label": f"{visit.patient.number} · {visit.code}",
        "url": url or reverse("visits:show_visit", args=[visit.pk]),
        "status": status,
        "status_text": text,
        "note": note,
        "when": when or visit.planned_on,
    }


def visits_to_do(user, today, filters):
    """Begun, overdue, in their window, coming: the first of each and how many there are, in one statement."""
    planned = Q(state=VisitState.PLANNED)
    kind = Case(
        When(Q(state=VisitState.ATTENDED, missing__gt=0), then=Value("begun")),
        When(planned & Q(latest__lt=today), then=Value("overdue")),
        When(planned & Q(earliest__lte=today), then=Value("due")),
        When(planned & Q(earliest__lte=today + SOON), then=Value("soon")),
        default=Value(""),
    )
    visits = _running(user, filters, Permission.ENTER_DATA).annotate(missing=MISSING).annotate(kind=kind)
    ranked = visits.exclude(kind="").annotate(
        total=Window(Count("*"), partition_by=[F("kind")]),
        place=Window(RowNumber(), partition_by=[F("kind")], order_by=[F("latest"), F("id")]),
    )
    found = {"begun": [], "overdue": [], "due": [], "soon": []}
    for visit in ranked.filter(place__lte=SHOWN).prefetch_related(_unfinished()):
        found[visit.kind].append(visit)
    calendar = reverse("visits:show_calendar")

    def card(kind, title, item, **kwargs):
        rows = sorted(found[kind], key=lambda visit: visit.place)
        return section(title, [item(v) for v in rows], rows[0].total if rows else 0, **kwargs)

    yield card("overdue", _("Overdue visits"), lambda v: _item(
        v, "overdue", _("%d days overdue") % (today - v.latest).days, views.visit_title(v)),
        url=calendar, urgent=True, empty=_("None overdue."))  # fmt: skip
    yield card("begun", LISTS["begun"].title, _begun_item, url=_address("begun", filters), empty=LISTS["begun"].empty)
    yield card("due", _("Visits in their window"), lambda v: _item(
        v, "due", _("until %s") % v.latest, views.visit_title(v)), url=calendar, empty=_("None due today."))  # fmt: skip
    yield card("soon", _("Coming in two weeks"), lambda v: _item(
        v, "expected", _("from %s") % v.earliest, views.visit_title(v)), url=calendar, empty=_("None planned."))  # fmt: skip


def _begun_item(visit):
    """Leads to the first panel that is not finished."""
    panel = visit.open[0]
    note = _("next: %(panel)s") % {"panel": panel.protocol.panel(panel.code).name}
    url = reverse("visits:enter_panel", args=[panel.pk])
    return _item(visit, "draft", _("%d panels open") % visit.missing, note, visit.attended_on, url)


def begun(user, filters):
    """Visits that took place and lack a panel, those whose window ends first before the others."""
    visits = _running(user, filters, Permission.ENTER_DATA).filter(state=VisitState.ATTENDED).annotate(missing=MISSING)
    return visits.filter(missing__gt=0).prefetch_related(_unfinished()).order_by("latest", "id")


def _unfinished():
    return Prefetch("panels", PanelRecord.objects.filter(state__in=UNFINISHED).order_by("position"), to_attr="open")


def infusions_to_come(user, filters):
    """Infusion visits whose window is open."""
    visits = _running(user, filters, *INFUSING).filter(patient__state=State.RANDOMISED, earliest__lte=today_for(user))
    codes = {v.code for p in trial.versions().values() for v in p.visits if v.infusion}
    to_come = visits.filter(code__in=codes, infusion=None, state__in=[VisitState.PLANNED, VisitState.ATTENDED])
    return to_come.select_related("preparation__lot").prefetch_related("panels").order_by("planned_on", "id")


def infusion_items(user, visits):
    """What each infusion still needs, or what holds it; each leads to the first of it that the person may do."""
    known = readiness_among(visits, at=timezone.now()) if visits else {}
    items = []
    for visit in visits:
        ready, site = known[visit.pk], visit.patient.site
        needs = ready.needs
        held = ready.held(masked_eyes=not can_see_arm(user, masked=visit.protocol.is_masked, site=site))
        parts = [_("held: %s") % " ".join(held)] if held else []
        if needs:
            parts.append(_("needs: %s") % listed(need.name for need in needs))
        status = "halted" if held else "overdue" if visit.latest < today_at(site) else "due"
        items.append(_item(
            visit, status, _("Infusion %d") % ready.number, "; ".join(parts) or _("ready to be given"),
            url=_where_to(user, visit, needs, held),
        ))  # fmt: skip
    return items


def _where_to(user, visit, needs, held):
    """The page where the first thing that an infusion needs is done, if this person may do it; else the visit's (None)."""
    site, missing = visit.patient.site, {need.what for need in needs}
    panel = next((need.panel for need in needs if need.panel), None)
    if panel and can(user, Permission.ENTER_DATA, site):
        return reverse("visits:enter_panel", args=[panel.pk])
    if held or "pregnancy_test" in missing:
        return None
    if "bag" not in missing:
        return (
            reverse("visits:record_infusion", args=[visit.pk]) if can(user, Permission.RECORD_INFUSIONS, site) else None
        )
    may_prepare = can(user, Permission.PREPARE_INFUSIONS, site)
    if may_prepare and can_see_arm(user, masked=visit.protocol.is_masked, site=site):
        return reverse("visits:prepare_infusion", args=[visit.pk])
    return None


def unsigned(user, filters):
    """Visits with forms that are complete and wait for a signature, for who entered them."""
    return at_chosen_site(waiting.to_sign(user, Permission.ENTER_DATA), filters, "patient__site")


def signs_not_all(user):
    """Does the person enter data at a site where somebody else signs? Who signs has them under "To sign"."""
    enters, signs = sites_where(user, Permission.ENTER_DATA), sites_where(user, Permission.SIGN_DATA)
    return signs is not None and (enters is None or bool(set(enters) - set(signs)))


def unsigned_items(user, visits):
    return [
        _item(visit, "due", _("%(n)d of %(all)d unsigned") % {"n": visit.fields - visit.fields_done, "all": visit.fields},
              views.visit_title(visit), visit.on)
        for visit in visits
    ]  # fmt: skip


@dataclass(frozen=True)
class WorkList:
    """Visits with work of one kind: some on the start page, all of them on a page of their own."""

    title: object
    permissions: tuple
    visits: Callable  # (user, filters): the visits, in order
    items: Callable  # (user, visits): their lines
    empty: object
    urgent: bool = False


INFUSING = (Permission.PREPARE_INFUSIONS, Permission.RECORD_INFUSIONS)
MISSING = Count("panels", filter=Q(panels__state__in=UNFINISHED))
LISTS = {
    "begun": WorkList(
        gettext_lazy("Begun, not complete"), (Permission.ENTER_DATA,), begun,
        lambda user, visits: [_begun_item(visit) for visit in visits], gettext_lazy("Every visit begun is complete."),
    ),
    "infusions": WorkList(
        gettext_lazy("Infusions"), INFUSING, infusions_to_come, infusion_items, gettext_lazy("No infusion waits."), True
    ),
    "unsigned": WorkList(
        gettext_lazy("Unsigned forms"), (Permission.ENTER_DATA,), unsigned, unsigned_items, gettext_lazy("All is signed.")
    ),
}  # fmt: skip


def opens(user, kind):
    return any(can(user, permission) for permission in LISTS[kind].permissions)


def _address(kind, filters):
    """Of the page with the whole list, at the chosen site."""
    site = chosen_site(filters)
    return reverse("visits:list_work", args=[kind]) + (f"?site={site}" if site else "")


def _later(user, kind, filters):
    return later(LISTS[kind].title, "visits:show_work", filters, url=_address(kind, filters), args=[kind])


def first_of_list(user, filters, kind):
    """The section of the start page, which asks for it once it is shown."""
    work = LISTS[kind]
    rows, count = first_of(work.visits(user, filters))
    url = _address(kind, filters)
    return section(work.title, work.items(user, rows), count, url=url, urgent=work.urgent, empty=work.empty)


def queries(user, filters, which, state, title):
    rows, count = first_of(
        at_chosen_site(Query.objects.visible_to(user), filters, "patient__site").filter(which())
        .select_related("patient__site", "panel__visit", "infusion__visit").order_by("raised_at")
    )  # fmt: skip
    items = [
        {
            "label": f"{query.patient.number} · {views.about(query)}",
            "url": reverse("visits:show_query", args=[query.pk]),
            "status": "query-open",
            "status_text": _("%d days") % (timezone.now() - query.raised_at).days,
            "note": query.question,
        }
        for query in rows
    ]
    return section(
        title, items, count, url=reverse("visits:list_queries") + f"?state={state}", empty=_("No query waits.")
    )


def waiting_for(user, filters, step):
    """What waits to be verified, reviewed or signed; the start page asks for it once it is shown."""
    title, _heading, _button, find, _done = PAGES[step]
    visits = at_chosen_site(find(user), filters, "patient__site")
    rows, count = first_of(visits)
    items = [
        _item(visit, "due", _("%(n)d of %(all)d open") % {"n": visit.fields - visit.fields_done, "all": visit.fields},
              views.visit_title(visit), visit.on, reverse("visits:check_visit", args=[step, visit.pk]))
        for visit in rows
    ]  # fmt: skip
    return section(title, items, count, url=reverse("visits:list_to_check", args=[step]), empty=_("Nothing waits."))


def lots(user, today):
    lots = Lot.objects.visible_to(user).filter(state=LotState.QUARANTINED)
    rows, count = first_of(lots.select_related("site").order_by("received_on"))
    items = [
        {"label": lot.number, "url": reverse("visits:show_lot", args=[lot.pk]), "status": "due",
         "status_text": lot.get_state_display(), "note": str(lot.site), "when": lot.received_on}
        for lot in rows
    ]  # fmt: skip
    return section(_("Lots in quarantine"), items, count, url=reverse("visits:list_lots"), empty=_("No lot waits."))


# --- the patient's page ------------------------------------------------------------------------------


def patient_sections(user, patient):
    """Timeline and table of visits, infusions, and the course of what the protocol follows."""
    today = today_at(patient.site)
    visits = list(views.with_counts(Visit.objects.filter(patient=patient).select_related("infusion")))
    infusions = [visit.infusion for visit in visits if hasattr(visit, "infusion")]
    stops = []
    for visit in visits:
        visit.patient = patient
        visit.title = views.visit_title(visit)
        visit.standing = views.standing_of(
            visit, today, visit.open_panels, is_open=patient.is_open, is_signed=views.is_signed(visit)
        )
        visit.standing_text = views.STANDING_TEXT[visit.standing]
        visit.infusion_number = views.planned_infusion(visit)
        visit.given = getattr(visit, "infusion", None)
        stops.append({
            "label": visit.code, "date": visit.on, "status": visit.standing, "status_text": visit.standing_text,
            "url": reverse("visits:show_visit", args=[visit.pk]), "queries": visit.open_queries,
            "infusion": visit.infusion_number is not None,
            "is_screening": visit.day is not None and visit.day < 0,
        })  # fmt: skip
    current = next((s for s, v in zip(stops, visits, strict=True) if v.standing in ("due", "overdue", "draft")), None)
    if current:
        current["current"] = True
    return {"visits": visits, "timeline": stops, "infusions": infusions, "plot": course(patient, infusions),
            "patient_checks": patient_checks(user, patient)}  # fmt: skip


def course(patient, infusions):
    """The numbers of the plot and of the table beside it; None without two results."""
    protocol = patient.protocol
    codes = [code for code in PLOTTED if any(test.code == code for test in protocol.tests)]
    measured = list(
        Measurement.objects.filter(patient=patient, test__in=codes, value__isnull=False, panel__isnull=False)
        .order_by("collected_on", "id")
    )  # fmt: skip
    if len(measured) < 2:
        return None
    origin = patient.day_0 or patient.screened_on
    test = protocol.test(codes[0])

    def day(on):
        return (on - origin).days

    return {
        "rows": [
            {
                "on": m.collected_on,
                "day": day(m.collected_on),
                "flag": m.flag,
                "typed": standard_text(test, m.typed, m.operator, m.value, m.reported_unit),
            }
            for m in measured
        ],
        "name": test.name,
        "unit": unit_text(test.unit),
        "data": {
            "x": {"label": _("Day in trial")},
            "y": {"label": unit_text(test.unit) or test.name, "min": 0},  # the card and the series name the test
            "digits": test.decimals,
            "series": [{"label": test.name, "points": [[day(m.collected_on), float(m.value)] for m in measured]}],
            "marks": [
                {
                    "day": day(day_at(patient.site, i.started_at)),
                    "label": _("Infusion %d") % i.number,
                    "short": str(i.number),
                }
                for i in infusions
            ],
        },
    }

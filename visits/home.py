"""What of the visits stands on the start page and on a patient's page."""

from datetime import timedelta

from django.db.models import Case, Count, F, Prefetch, Q, Value, When, Window
from django.db.models.functions import RowNumber
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.models import OPEN_STATES, State
from trialsite import trial
from trialsite.clock import day_at, today_at, today_for
from trialsite.roles import Permission, can, within_sites
from trialsite.sections import SHOWN, at_chosen_site, first_of, later, section
from trialsite.ucum import unit_text
from visits import views
from visits.models import (
    UNFINISHED,
    Lot,
    LotState,
    Measurement,
    PanelRecord,
    PanelState,
    Query,
    QueryState,
    Visit,
    VisitState,
    answered_queries,
    open_queries,
)
from visits.reviews import STEPS
from visits.units import standard_text
from visits.views.marks import PAGES, patient_checks

# tests whose course is drawn on the patient's page, where the protocol has them
PLOTTED = ("CD4",)
SOON = timedelta(days=14)


def sections(user, filters):
    today = today_for(user)
    if can(user, Permission.PREPARE_INFUSIONS) or can(user, Permission.RECORD_INFUSIONS):
        yield infusions_to_come(user, today, filters)
    if can(user, Permission.ENTER_DATA):
        yield from visits_to_do(user, today, filters)
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


def _running(user, permission, filters):
    """Visits of patients who are in screening or in the trial."""
    visits = within_sites(Visit.objects.all(), user, permission).filter(patient__state__in=OPEN_STATES)
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
    missing = Count("panels", filter=Q(panels__state__in=UNFINISHED))
    planned = Q(state=VisitState.PLANNED)
    kind = Case(
        When(Q(state=VisitState.ATTENDED, missing__gt=0), then=Value("begun")),
        When(planned & Q(latest__lt=today), then=Value("overdue")),
        When(planned & Q(earliest__lte=today), then=Value("due")),
        When(planned & Q(earliest__lte=today + SOON), then=Value("soon")),
        default=Value(""),
    )
    visits = _running(user, Permission.ENTER_DATA, filters).annotate(missing=missing).annotate(kind=kind)
    ranked = visits.exclude(kind="").annotate(
        total=Window(Count("*"), partition_by=[F("kind")]),
        place=Window(RowNumber(), partition_by=[F("kind")], order_by=[F("latest"), F("id")]),
    )
    first_unfinished = PanelRecord.objects.filter(state__in=UNFINISHED).order_by("position")
    found = {"begun": [], "overdue": [], "due": [], "soon": []}
    for visit in ranked.filter(place__lte=SHOWN).prefetch_related(Prefetch("panels", first_unfinished, to_attr="open")):
        found[visit.kind].append(visit)
    calendar = reverse("visits:show_calendar")

    def card(kind, title, item, **kwargs):
        rows = sorted(found[kind], key=lambda visit: visit.place)
        return section(title, [item(v) for v in rows], rows[0].total if rows else 0, **kwargs)

    yield card("overdue", _("Overdue visits"), lambda v: _item(
        v, "overdue", _("%d days overdue") % (today - v.latest).days, views.visit_title(v)),
        url=calendar, urgent=True, empty=_("None overdue."))  # fmt: skip
    yield card("begun", _("Begun, not complete"), _begun_item, empty=_("Every visit begun is complete."))
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


def infusions_to_come(user, today, filters):
    """Infusion visits whose window is open, with what each still needs."""
    permission = (
        Permission.PREPARE_INFUSIONS if can(user, Permission.PREPARE_INFUSIONS) else Permission.RECORD_INFUSIONS
    )
    visits = _running(user, permission, filters).filter(patient__state=State.RANDOMISED, earliest__lte=today)
    codes = {v.code for p in trial.versions().values() for v in p.visits if v.infusion}
    waiting = visits.filter(code__in=codes, infusion=None, state__in=[VisitState.PLANNED, VisitState.ATTENDED])
    rows, count = first_of(waiting.select_related("preparation").prefetch_related("panels").order_by("planned_on"))
    items = []
    for visit in rows:
        needed = still_needed(visit)
        status = "overdue" if visit.latest < today else "due"
        text = _("needs: %s") % ", ".join(needed) if needed else _("ready to be given")
        url = reverse("visits:record_infusion", args=[visit.pk]) if not needed else None
        items.append(_item(visit, status, _("Infusion %d") % views.planned_infusion(visit), text, url=url))
    return section(_("Infusions"), items, count, urgent=True, empty=_("No infusion waits."))


def still_needed(visit):
    """What an infusion waits for, in words: the weight, the pregnancy test, the bag. Asks nothing of the database when
    the visit's panels and preparation are loaded."""
    protocol, done = visit.protocol, {p.code for p in visit.panels.all() if p.state == PanelState.ENTERED}
    needed = []
    for panel in protocol.panels_of(visit.code, visit.patient.sex):
        asks_weight = protocol.infusions.weight_test in panel.tests
        if panel.code not in done and (asks_weight or panel.only_for_sex == "F"):
            needed.append(panel.name)
    if getattr(visit, "preparation", None) is None:
        needed.append(_("the bag"))
    return needed


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
    waiting = (
        Lot.objects.visible_to(user).filter(state=LotState.QUARANTINED).select_related("site").order_by("received_on")
    )
    rows, count = first_of(waiting)
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

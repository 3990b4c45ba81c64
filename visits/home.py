"""What of the visits stands on the start page and on a patient's page."""

from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import day_at, today_at
from patients.models import State
from trialsite import trial
from trialsite.roles import Permission, can, within_sites
from trialsite.sections import first_of, section
from visits import views
from visits.models import UNFINISHED, Lot, LotState, Measurement, Query, QueryState, Visit, VisitState
from visits.views.marks import patient_checks

# tests whose course is drawn on the patient's page, where the protocol has them
PLOTTED = ("CD4",)


def today_for(user):
    """The date at the person's site; with several sites or none, the date in UTC."""
    sites = {grant.site for grant in user.current_grants}
    only = next(iter(sites)) if len(sites) == 1 else None
    return today_at(only) if only else timezone.now().date()


def sections(user, filters):
    today = today_for(user)
    if can(user, Permission.ENTER_DATA):
        yield from visits_to_do(user, today)
        yield begun(user)
    if can(user, Permission.PREPARE_INFUSIONS) or can(user, Permission.RECORD_INFUSIONS):
        yield infusions_to_come(user, today)
    if can(user, Permission.ANSWER_QUERIES):
        yield queries(user, QueryState.OPEN, _("Open queries"))
    if can(user, Permission.RAISE_QUERIES):
        yield queries(user, QueryState.ANSWERED, _("Answered queries to review"))
    if can(user, Permission.MANAGE_LOTS):
        yield lots(user, today)


def _running(user, permission):
    visits = within_sites(Visit.objects.all(), user, permission).select_related("patient__site")
    return visits.filter(patient__state__in=[State.SCREENING, State.ELIGIBLE, State.RANDOMISED])


def _item(visit, status, text, note="", when=None):
    return {
        "label": f"{visit.patient.number} · {visit.code}",
        "url": reverse("visits:show_visit", args=[visit.pk]),
        "status": status,
        "status_text": text,
        "note": note,
        "when": when or visit.planned_on,
    }


def visits_to_do(user, today):
    planned = _running(user, Permission.ENTER_DATA).filter(state=VisitState.PLANNED)
    rows, count = first_of(planned.filter(latest__lt=today).order_by("latest"))
    items = [_item(v, "overdue", _("%d days overdue") % (today - v.latest).days, views.visit_title(v)) for v in rows]
    yield section(
        _("Overdue visits"), items, count, url=reverse("visits:show_grid"), urgent=True, empty=_("None overdue.")
    )
    rows, count = first_of(planned.filter(earliest__lte=today, latest__gte=today).order_by("latest"))
    items = [_item(v, "due", _("until %s") % v.latest, views.visit_title(v)) for v in rows]
    yield section(
        _("Visits in their window"), items, count, url=reverse("visits:show_grid"), empty=_("None due today.")
    )


def begun(user):
    missing = Count("panels", filter=Q(panels__state__in=UNFINISHED))
    visits = _running(user, Permission.ENTER_DATA).filter(state=VisitState.ATTENDED)
    rows, count = first_of(visits.annotate(missing=missing).filter(missing__gt=0).order_by("attended_on"))
    items = [_item(v, "draft", _("%d panels open") % v.missing, views.visit_title(v), v.attended_on) for v in rows]
    return section(_("Visits begun, not complete"), items, count, empty=_("Every visit begun is complete."))


def infusions_to_come(user, today):
    """Infusion visits whose window is open, with what each still needs."""
    permission = (
        Permission.PREPARE_INFUSIONS if can(user, Permission.PREPARE_INFUSIONS) else Permission.RECORD_INFUSIONS
    )
    visits = _running(user, permission).filter(patient__state=State.RANDOMISED, earliest__lte=today)
    codes = {v.code for p in trial.versions().values() for v in p.visits if v.infusion}
    waiting = visits.filter(code__in=codes, infusion=None, state__in=[VisitState.PLANNED, VisitState.ATTENDED])
    rows, count = first_of(waiting.select_related("preparation").order_by("planned_on"))
    items = []
    for visit in rows:
        prepared = getattr(visit, "preparation", None)
        text = _("prepared, to be given") if prepared else _("to be prepared")
        items.append(_item(visit, "due", text, _("Infusion %d") % views.planned_infusion(visit)))
    return section(_("Infusions"), items, count, urgent=True, empty=_("No infusion waits."))


def queries(user, state, title):
    rows, count = first_of(
        Query.objects.visible_to(user).filter(state=state)
        .select_related("patient__site", "panel__visit", "infusion__visit").order_by("raised_at")
    )  # fmt: skip
    items = [
        {
            "label": f"{query.patient.number} · {views.about(query)}",
            "url": reverse("visits:show_query", args=[query.pk]),
            "status": "query-open",
            "status_text": _("%d days") % (timezone.now() - query.raised_at).days,
            "note": query.text,
        }
        for query in rows
    ]
    return section(
        title, items, count, url=reverse("visits:list_queries") + f"?state={state}", empty=_("No query waits.")
    )


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
            {"on": m.collected_on, "day": day(m.collected_on), "typed": m.typed, "flag": m.flag} for m in measured
        ],
        "name": test.name,
        "unit": test.unit,
        "data": {
            "x": {"label": _("Day in trial")},
            "y": {"label": f"{test.name}, {test.unit}", "min": 0},
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

"""Pages and page parts that belong to no single app: start page, history, errors, and what every page shows."""

import logging
import shutil
import sys
from datetime import timedelta

from django.apps import apps
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from trialsite import drafts, trial
from trialsite.history import entries_of, patient_of
from trialsite.models import Site
from trialsite.roles import Permission, can, can_see_arm, needs, sites_where, within_sites
from trialsite.sections import SHOWN, chosen_site

log = logging.getLogger(__name__)

# (label, url name or (url name, argument), needs this permission, url name above other pages that belong to it)
NAVIGATION = [
    (pgettext_lazy("the first page", "Start"), "home", None),
    (_("Patients"), "patients:list_patients", Permission.VIEW_PATIENTS),
    (_("Visits"), "visits:show_grid", Permission.VIEW_PATIENTS),
    (_("Calendar"), "visits:show_calendar", Permission.VIEW_PATIENTS),
    (_("Queries"), "visits:list_queries", Permission.VIEW_PATIENTS),
    (
        _("Review"),
        "visits:start_checking",
        (Permission.VERIFY_SOURCE, Permission.REVIEW_DATA, Permission.SIGN_DATA),
    ),
    (
        _("Adverse events"),
        ("safety:show_listing", "events"),
        Permission.VIEW_ADVERSE_EVENTS,
        "safety:list_adverse_events",
        "safety:list_cases",
        "safety:list_abnormal_results",
    ),
    (_("Deviations"), ("safety:show_listing", "deviations"), Permission.VIEW_PATIENTS, "safety:list_deviations"),
    (_("Lots"), "visits:list_lots", Permission.MANAGE_LOTS),
    (_("Listings"), "safety:list_listings", Permission.VIEW_ADVERSE_EVENTS),
    (_("Reports"), "safety:list_reports", Permission.READ_OPEN_REPORTS),
]
# opened seldom: under "More", unless they fit beside the others
NAVIGATION_MORE = [
    (_("Coding"), "safety:list_codes", (Permission.CODE_TERMS, Permission.APPROVE_CODES)),
    (_("Laboratories"), "visits:list_laboratories", Permission.VIEW_PATIENTS),
    (_("Randomisation"), "patients:show_allocation", Permission.MANAGE_ALLOCATION),
    (_("Data export"), "list_exports", Permission.EXPORT_DATA),
    (
        _("Safety board"),
        "safety:list_recommendations",
        (Permission.RECORD_DECISIONS, Permission.READ_OPEN_REPORTS, Permission.VIEW_ADVERSE_EVENTS),
    ),
    (_("Stopping rules"), "safety:list_stopping_rules", (Permission.VIEW_PATIENTS, Permission.RECORD_DECISIONS)),
    (_("Halts"), "patients:list_halts", (Permission.VIEW_PATIENTS, Permission.RECORD_DECISIONS)),
    (_("Protocol"), "list_versions", Permission.VIEW_PATIENTS),
    (
        _("E-mails"),
        "list_emails",
        (
            Permission.JUDGE_SERIOUS_EVENTS,
            Permission.REPORT_ADVERSE_EVENTS,
            Permission.RECORD_DECISIONS,
            Permission.MANAGE_ACCOUNTS,
        ),
    ),
    (_("Accounts"), "list_accounts", Permission.MANAGE_ACCOUNTS),
]


# so many entries stand in one line at 1280 pixels, in both languages
IN_ONE_LINE = 9


class Navigation:
    """The entries this person may open: `first` in the bar, `more` in a menu; worked out only when a template asks."""

    def __init__(self, request):
        self.request = request

    def allowed(self, entries):
        for label, name, permission, *above in entries:
            needed = permission if isinstance(permission, tuple) else (permission,)
            if permission is None or any(can(self.request.user, one) for one in needed):
                name, *arguments = (name,) if isinstance(name, str) else name
                url = reverse(name, args=arguments)
                yield label, url, [url, *map(reverse, above)]

    @cached_property
    def parts(self):
        first, more = list(self.allowed(NAVIGATION)), list(self.allowed(NAVIGATION_MORE))
        if len(first) + len(more) <= IN_ONE_LINE:
            first, more = first + more, []
        path = getattr(self.request, "stands_under", self.request.path)
        around = [
            (len(below), url) for _label, url, belows in first + more for below in belows
            if path == below or (below != "/" and path.startswith(below))
        ]  # fmt: skip
        _length, here = max(around, default=(0, None))  # /visits/lots/ lies below /visits/, too
        return [
            [{"label": label, "url": url, "active": url == here} for label, url, _belows in entries]
            for entries in (first, more)
        ]

    @property
    def first(self):
        return self.parts[0]

    @property
    def more(self):
        return self.parts[1]

    @property
    def is_in_more(self):
        """Is the page one of those under "More"?"""
        return any(entry["active"] for entry in self.more)


def everywhere(request):
    """Context of every page."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"trial": trial.current_protocol().trial, "profile": settings.PROFILE}
    return {
        "trial": trial.current_protocol().trial,
        "profile": settings.PROFILE,
        "nav": Navigation(request),
        "roles_text": user.roles_text,
        "sites_text": user.sites_text,
        "user_links": [{"label": _("My account"), "url": reverse("show_own_account")}],
        "halts": lambda: open_halts(user),
    }


def open_halts(user):
    """Open halts, told on every page. A halt of one arm does not name the arm to masked eyes."""
    from django.db.models import Q

    halts = apps.get_model("patients", "Halt").objects.open()
    if not can_see_arm(user, masked=trial.current_protocol().is_masked):
        halts = halts.exclude(scope="arm")
    visible = within_sites(apps.get_model("patients", "Patient").objects.all(), user, Permission.VIEW_PATIENTS, "site")
    return halts.filter(Q(patient=None) | Q(patient__in=visible)).select_related("patient")


@require_GET
def home(request):
    """What to do next, for this person: each floor adds its sections."""
    sections = [
        section for name in settings.HOME_SECTIONS for section in import_string(name)(request.user, request.GET)
    ]
    sites = []
    if sections and can(request.user, Permission.VIEW_PATIENTS):
        sites = sites_of(request.user)
    return render(request, "home.html", {"sections": sections, "sites": sites, "chosen_site": chosen_site(request.GET)})


def sites_of(user):
    """The sites whose patients the person may see, where there are several to choose from."""
    ids = sites_where(user, Permission.VIEW_PATIENTS)
    if ids is not None and len(ids) < 2:
        return []
    return list(within_sites(Site.objects.all(), user, Permission.VIEW_PATIENTS, "pk"))


@require_GET
def list_drafts(request):
    """All that this person typed and did not save."""
    return render(request, "list_drafts.html", {"section": drafts.section_of(request.user)})


@require_GET
def show_drafts(request):
    """The section of the start page, which asks for it once it is shown."""
    return render(request, "_work_list.html", {"section": drafts.section_of(request.user, SHOWN)})


@require_POST
def discard_draft(request):
    """Throw away what this person typed into a form and did not save."""
    path = request.POST.get("path", "")
    drafts.discard(request.user, path, request.POST.get("kept", ""))
    messages.success(request, gettext("What was not saved is discarded."))
    back = path if url_has_allowed_host_and_scheme(path, None) and request.POST.get("stay") else reverse("home")
    if request.POST.get("list"):
        back = reverse("list_drafts")
    return HttpResponseRedirect(back)


# --- history ------------------------------------------------------------------------------------

# tables whose rows tell the arm (or might, in somebody's words), or the places still free: only for those who may know
SECRET_TABLES = {"patients_allocationslot", "patients_allocationlist", "visits_lot", "visits_lottest",
                 "visits_preparation", "safety_armletter", "safety_crossing", "patients_unmasking"}  # fmt: skip


def sees_secret_tables(user, site=None):
    return can_see_arm(user, masked=trial.current_protocol().is_masked, site=site)


@needs(Permission.VIEW_AUDIT_TRAIL)
@require_GET
def show_history(request, app, model, pk):
    """Who changed this record, when, from what to what, and why. One click from every record."""
    record = load_audited_record(request.user, app, model, pk)
    patient = patient_of(record)
    hidden = () if sees_secret_tables(request.user, getattr(patient, "site", None)) else SECRET_TABLES
    history = entries_of(record, request.user, hidden)
    return render(request, "history.html", {"record": record, "history": history, "patient": patient})


def load_audited_record(user, app, model, pk):
    """Through the model's own door; what has no door, or is secret, is not there."""
    if app not in ("patients", "visits", "safety"):
        raise Http404
    try:
        model_class = apps.get_model(app, model)
    except LookupError:
        raise Http404 from None
    door = getattr(model_class.objects, "visible_to", None)
    if door is None:
        raise Http404
    names = {field.name for field in model_class._meta.fields}
    of_a_patient = "patient" in names
    records = door(user).select_related("patient__site", *{"visit"} & names) if of_a_patient else door(user)
    record = records.filter(pk=pk).first()
    if record is None:
        raise Http404
    # the door of lots lets in only those who handle them; the others ask about the patient
    is_secret = model_class._meta.db_table in SECRET_TABLES and of_a_patient
    if is_secret and not sees_secret_tables(user, record.patient.site):
        raise Http404
    return record


# --- health ---------------------------------------------------------------------------------------


@require_GET
def live(request):
    """The web process answers."""
    return HttpResponse("live\n", content_type="text/plain")


NO_WORKER = "left to wait: served with --no-worker"  # what is meant is no fault


@require_GET
def ready(request):
    """Database, broker, disk and queue are fit for work. No data, only which of them is not."""
    problems = {}
    for name, probe in (
        ("database", probe_database),
        ("broker", probe_broker),
        ("disk", probe_disk),
        ("queue", probe_queue),
    ):
        try:
            problem = probe()
        except Exception as error:
            problem = type(error).__name__
        problems[name] = problem or "ok"
    fit = all(state in ("ok", NO_WORKER) for state in problems.values())
    response = JsonResponse(problems, status=200 if fit else 503)
    if not fit:
        response["Retry-After"] = "5"
        response._has_been_logged = True  # whoever asks knows; a minute's outage must not fill the error log
    return response


def probe_database():
    with connection.cursor() as cursor:
        cursor.execute("select 1")


def probe_broker():
    from trialsite.celery import app

    with app.connection(connect_timeout=2) as broker:
        broker.ensure_connection(max_retries=1, timeout=2)


def probe_disk():
    usage = shutil.disk_usage(settings.VAR)
    return "nearly full" if usage.free < 200_000_000 else None


def probe_queue():
    from trialsite.outbox import oldest_wait

    if settings.NO_WORKER:
        return NO_WORKER
    return "jobs wait for more than five minutes" if oldest_wait() > timedelta(minutes=5) else None


# --- errors -----------------------------------------------------------------------------------------


def error_page(request, status, **context):
    """A plain page that asks neither the database nor who is signed in."""
    context = {"request_id": getattr(request, "id", ""), "status": status, **context}
    try:
        return HttpResponse(render_to_string(f"errors/{status}.html", context), status=status)
    except Exception:  # the page of the last resort must not fail
        log.exception("error page %s cannot be shown", status)
        return HttpResponse(
            f"Error {status}. Request {context['request_id']}", status=status, content_type="text/plain"
        )


def bad_request(request, exception=None):
    too_large = isinstance(exception, (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent))
    return error_page(request, 413 if too_large else 400)


def permission_denied(request, exception=None):
    return error_page(request, 403)


def not_found(request, exception=None):
    return error_page(request, 404)


def server_error(request):
    """A dependency that is down is 503 and asks to try again; everything else is 500."""
    error = sys.exc_info()[1]
    if isinstance(error, (OperationalError, InterfaceError)):
        response = error_page(request, 503)
        response["Retry-After"] = "5"
        return response
    return error_page(request, 500)


def csrf_failure(request, reason=""):
    return error_page(request, 403, csrf=True)

"""Pages of a patient's casebook: everything about one patient on one page, and its certified copies."""

from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, Count, ExpressionWrapper, Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from patients.views import load_patient, strip_of, tabs_of
from safety import actions
from safety.casebook import page
from safety.casebook.record import eyes_of
from safety.models import Casebook, CasebookFile
from trialsite import progress
from trialsite.fields import StrictDateTimeField
from trialsite.languages import LANGUAGES
from trialsite.models import JobState
from trialsite.roles import Permission, can, needs, require
from trialsite.saving import DataForm, Saved, answer_form

COPIES_SHOWN = 5


def stand_under(request, patient):
    """The navigation marks where the patient's other pages stand."""
    request.stands_under = reverse("patients:show_patient", args=[patient.pk])


@needs(Permission.VIEW_PATIENTS)
@require_GET
def show_casebook(request, patient_pk):
    """The way of a patient on one axis, the course of what is followed, every panel's state, the last changes."""
    patient = load_patient(request.user, patient_pk)
    stand_under(request, patient)
    visits = page.visits_of(patient)
    panels = page.panels_of(patient, visits)
    sees_trail = can(request.user, Permission.VIEW_AUDIT_TRAIL, patient.site)
    eyes = eyes_of(request.user, patient)
    context = {
        "patient": patient,
        "strip": strip_of(request.user, patient),
        "tabs": tabs_of(patient, "safety:show_casebook"),
        "lanes": page.lanes_of(request.user, patient, visits),
        "courses": page.courses_of(patient, visits),
        "grid": page.grid_of(visits, panels),
        "counts": page.counts_of(panels),
        "legend": page.LEGEND,
        "sees_trail": sees_trail,
        "copies": _copies_of(request.user, patient) if sees_trail else [],
        "history": page.last_changes(patient, visits, panels, eyes) if sees_trail else [],
    }
    return render(request, "safety/show_casebook.html", context)


def _copies_of(user, patient):
    copies = list(Casebook.objects.visible_to(user).filter(patient=patient)[:COPIES_SHOWN])
    for casebook in copies:
        casebook.status = progress.STATUS[casebook.state]
    return copies


class RequestCasebookForm(DataForm):
    def __init__(self, *args, zone, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["cutoff"] = StrictDateTimeField(
            zone=zone,
            required=False,
            label=_("Cut-off (time at the site)"),
            help_text=_("The record as it stood then. Leave it blank for the moment of the request."),
        )


class RepeatCasebookForm(DataForm):
    pass


@require_http_methods(["GET", "POST"])
@needs(Permission.VIEW_AUDIT_TRAIL)
def request_certified_copy(request, patient_pk):
    patient = load_patient(request.user, patient_pk)
    stand_under(request, patient)
    require(request.user, Permission.VIEW_AUDIT_TRAIL, patient.site)
    form = RequestCasebookForm(request.POST if request.method == "POST" else None, zone=ZoneInfo(patient.site.timezone))

    def save(form):
        casebook = actions.request_casebook(
            patient=patient,
            cutoff=form.cleaned_data["cutoff"] or timezone.now(),
            language=get_language(),
            by=request.user,
        )
        return Saved(_address(casebook), casebook.version, _("The certified copy was requested."))

    context = {
        "patient": patient, "strip": strip_of(request.user, patient), "heading": _("Certified copy of the casebook"),
        "submit": _("Request the copy"),
        "cancel": reverse("safety:show_casebook", args=[patient.pk]),
    }  # fmt: skip
    return answer_form(request, form, "form.html", context, save)


def load_casebook(user, pk):
    return get_object_or_404(Casebook.objects.visible_to(user).select_related("patient__site"), pk=pk)


@require_http_methods(["GET", "POST"])
@needs(Permission.VIEW_AUDIT_TRAIL)
def show_certified_copy(request, pk):
    """The copy, or how far it is. POST asks again for one that failed."""
    casebook = load_casebook(request.user, pk)
    stand_under(request, casebook.patient)
    casebook.status = progress.STATUS[casebook.state]
    form = RepeatCasebookForm(request.POST if request.method == "POST" else None, record=casebook)

    def context():
        return {
            "casebook": casebook, "patient": casebook.patient, "strip": strip_of(request.user, casebook.patient),
            "progress": progress_of(casebook), "files": files_of(casebook), "kept_for": settings.COPIES_KEPT.days,
            "may_take": may_take(request.user, casebook), "language_name": LANGUAGES.get(casebook.language, casebook.language),
        }  # fmt: skip

    def save(form):
        again = actions.repeat_casebook(casebook=casebook, version=form.cleaned_data["version"], by=request.user)
        return Saved(_address(again), again.version, _("The certified copy was requested again."))

    return answer_form(request, form, "safety/show_certified_copy.html", context, save)


@require_GET
@needs(Permission.VIEW_AUDIT_TRAIL)
def show_copy_progress(request, pk):
    """How far a copy is: an htmx partial."""
    casebook = load_casebook(request.user, pk)
    return progress.answer_progress(request, progress_of(casebook))


@require_POST
@needs(Permission.VIEW_AUDIT_TRAIL)
def download_certified_copy(request, pk):
    """A file as it was made; who takes it is written down first. Asked by POST, since a GET writes nothing.

    Answers 403 when the person may not see any more all that is in it, 404 when its bytes were dropped."""
    files = CasebookFile.objects.visible_to(request.user).select_related("casebook__patient__site")
    file = get_object_or_404(files, pk=pk, casebook__state=JobState.DONE)
    if not may_take(request.user, file.casebook):
        raise PermissionDenied("a role was taken away since")
    if file.content is None:
        raise Http404
    actions.record_casebook_download(file=file, by=request.user)
    response = HttpResponse(bytes(file.content), content_type=file.content_type)
    stem, _dot, kind = file.name.rpartition(".")
    response["Content-Disposition"] = f'attachment; filename="{stem}-{file.casebook_id}.{kind}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store, private"
    return response


def files_of(casebook):
    """Its files without their bytes: whether they are kept, and how often each was taken."""
    kept = Q(content__isnull=False)
    return casebook.files.defer("content").annotate(
        times=Count("downloads"), is_kept=ExpressionWrapper(kept, BooleanField())
    )


def may_take(user, casebook):
    """Whether the person may still see everything that is in the copy."""
    eyes = eyes_of(user, casebook.patient)
    return all(eyes[name] or not getattr(casebook, name) for name in eyes)


def progress_of(casebook):
    url = reverse("safety:show_copy_progress", args=[casebook.pk])
    return progress.progress_of(
        casebook, url=url, made=_("The certified copy is made"), not_made=_("The certified copy could not be made")
    )


def _address(casebook):
    return reverse("safety:show_certified_copy", args=[casebook.pk])

"""DSMB reports: the actions that ask for one and keep it, and the pages that show it.

The figures of a part are one of its files (figures.json): file by file the door of DsmbFile decides who reads what,
and the audit trail, which holds no file's content, cannot tell the closed part."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Max
from django.db.models.functions import Length
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from patients.models import AllocationSlot
from safety.dsmb.figures import PartFigures
from safety.models import ArmLetter, DsmbFile, DsmbReport, Part
from trialsite import trial
from trialsite.audit import acting
from trialsite.fields import StrictDateField
from trialsite.models import JobState
from trialsite.outbox import ask_for, mark_done
from trialsite.roles import Permission, can, needs
from trialsite.saving import DataForm, Refused, Saved, answer_form, check_version

TASK = "safety.tasks.make_dsmb_report"
FIGURES = "figures.json"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# names of advisory locks: any numbers that nothing else uses
LETTER_GATE, MAKING, REQUEST_GATE = 1213187, 1213188, 1213191
BEGUN = "the report is begun"

# --- actions ------------------------------------------------------------------------------------------------


def request_dsmb_report(*, cutoff, entered_until=None, month=None, new_series=False, by):
    """Ask for a report of what happened until the day `cutoff`, as it was known at `entered_until` (by default now);
    `month` (YYYY-MM) marks the one monthly report of that month; in a new series the arms get new letters.

    Row and outbox message stand or fall together. Raises IntegrityError when the month has its report."""
    now = datetime.now(UTC)
    entered_until = entered_until or now
    entered_until = entered_until.replace(microsecond=entered_until.microsecond // 1000 * 1000)  # as exact as the trail
    if cutoff > now.date():
        raise Refused({"cutoff": [_("The cut-off is in the future.")]})
    if entered_until > now:
        raise Refused({"entered_until": [_("This time is in the future.")]})
    if entered_until.date() < cutoff:
        raise Refused({"entered_until": [_("This is before the cut-off.")]})
    with acting(by):
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [REQUEST_GATE])
        report = DsmbReport(
            cutoff=cutoff, entered_until=entered_until, month=month, requested_by=by, reported_on=now.date(),
            series=(DsmbReport.objects.aggregate(last=Max("series"))["last"] or 1) + new_series,
        )  # fmt: skip
        first = DsmbReport.objects.filter(cutoff=cutoff, entered_until=entered_until).order_by("id").first()
        if first is None:
            report.compared_with = last_before(report)
        else:  # the same report again: it says the same, whatever was asked for in between
            report.reported_on, report.compared_with = first.reported_on, first.compared_with
            report.series = report.series if new_series else first.series
        report.save()
        ask_for(TASK, report_id=report.pk)
    return report


def last_before(report):
    """The report that this one goes on from: the last one of earlier data, of those that did not fail."""
    earlier = DsmbReport.objects.filter(cutoff__lt=report.cutoff, entered_until__lte=report.entered_until)
    return earlier.exclude(state=JobState.FAILED).order_by("-cutoff", "-entered_until", "id").first()


def repeat_dsmb_report(*, report, version, by):
    """Ask again for a report that could not be made."""
    with acting(by, "requested again after a failure"):
        report = DsmbReport.objects.select_for_update().get(pk=report.pk)
        check_version(report, version)
        if report.state != JobState.FAILED:
            raise Refused(_("Only a report that failed is made again."))
        report.state, report.failure, report.step, report.percent = JobState.WAITING, "", "", 0
        report.version += 1
        report.save(update_fields=["state", "failure", "step", "percent", "version"])
        ask_for(TASK, report_id=report.pk)
    return report


def begin_dsmb_report(*, report_id, by):
    """The report, now being made; None when it is made already. A dead worker's run is simply begun again."""
    with acting(by, BEGUN):
        report = DsmbReport.objects.select_for_update().get(pk=report_id)
        if report.state in (JobState.DONE, JobState.FAILED):
            return None
        report.state, report.failure = JobState.RUNNING, ""
        report.version += 1
        report.save(update_fields=["state", "failure", "version"])
    return report


def note_progress(*, report_id, step, percent, by):
    """Say how far it is, for all to see at once: a transaction of its own."""
    with acting(by, f"the report is being made: {step}"):
        DsmbReport.objects.filter(pk=report_id, state=JobState.RUNNING).update(step=step, percent=percent)


def store_dsmb_report(*, report_id, figures, files, code_version, cutoff, outbox_id, by):
    """Keep what was made, all or nothing. `figures` are those of each language, `files` are (part, name, content type,
    bytes), `cutoff` is that of the trail. Stored once only: who comes second changes nothing."""
    with acting(by, "the report is made"):
        report = DsmbReport.objects.select_for_update().get(pk=report_id)
        if report.state != JobState.DONE:
            DsmbFile.objects.bulk_create(
                DsmbFile(
                    report=report, part=part, name=name, content_type=content_type, content=content,
                    sha256=hashlib.sha256(content).hexdigest(),
                )
                for part, name, content_type, content in files
            )  # fmt: skip
            report.state, report.step, report.percent = JobState.DONE, "", 100
            report.finished_at = timezone.now()
            report.code_version, report.last_audit_event = code_version, cutoff.event
            report.held_back = list(cutoff.held_back)
            report.protocol_version, report.scales = figures[0].open.about.protocol_version, figures[0].open.about.scales
            told = [part.to_json() for one in figures for part in one.parts]
            report.figures_sha256 = hashlib.sha256(b"".join(told)).hexdigest()
            report.version += 1
            report.save()
        mark_done(outbox_id)
    return report


def fail_dsmb_report(*, report_id, failure, outbox_id, by):
    """Give up: nothing is stored, and a person may ask again."""
    with acting(by, "the report could not be made"):
        report = DsmbReport.objects.select_for_update().get(pk=report_id)
        if report.state != JobState.DONE:
            report.state, report.failure, report.step = JobState.FAILED, failure, ""
            report.version += 1
            report.save(update_fields=["state", "failure", "step", "version"])
        mark_done(outbox_id)
    return report


def draw_arm_letters(*, series=1, by):
    """Give each arm without a letter in this series one at random. Drawn once for all its reports, never shown."""
    with acting(by):
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [LETTER_GATE])
        letters = dict(ArmLetter.objects.filter(series=series).values_list("arm", "letter"))
        arms = {arm.code for protocol in trial.versions().values() for arm in protocol.arms}
        arms |= set(AllocationSlot.objects.taken().values_list("arm", flat=True).distinct())
        new = sorted(arms - set(letters))
        secrets.SystemRandom().shuffle(new)
        free = [letter for letter in LETTERS if letter not in letters.values()]
        ArmLetter.objects.bulk_create(
            ArmLetter(series=series, arm=arm, letter=letter) for arm, letter in zip(new, free, strict=False)
        )


def named(name, language):
    """What a file is called in this language: report.pdf, report.zh-hans.pdf."""
    stem, dot, kind = name.rpartition(".")
    return name if language == settings.LANGUAGE_CODE else f"{stem}.{language}{dot}{kind}"


# --- pages --------------------------------------------------------------------------------------------------

# what a file is sent as; anything else is not sent
DOWNLOADS = {
    named(f"report.{kind.lower()}", language): f"{kind} ({name})"
    for kind in ("PDF", "HTML")
    for language, name in settings.LANGUAGES
}
STATUS = {JobState.WAITING: "planned", JobState.RUNNING: "started", JobState.DONE: "done",
          JobState.FAILED: "failed"}  # fmt: skip
# a file is shown or saved, and can do nothing: not even an SVG that somebody opens by itself
FILE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


class RequestReportForm(DataForm):
    cutoff = StrictDateField(
        label=gettext_lazy("Cut-off"),
        help_text=gettext_lazy("What happened on or before this day counts."),
    )


class RepeatReportForm(DataForm):
    pass


def readable_parts(user):
    needed = {Part.OPEN: Permission.READ_OPEN_REPORTS, Part.CLOSED: Permission.READ_CLOSED_REPORTS}
    return [part for part in Part if can(user, needed[part])]


@require_GET
@needs(Permission.READ_OPEN_REPORTS)
def list_reports(request):
    reports = DsmbReport.objects.visible_to(request.user).select_related("requested_by")
    page = Paginator(reports, 50).get_page(request.GET.get("page"))
    for report in page:
        report.status = STATUS[report.state]
    return render(request, "safety/list_reports.html", {"page": page, "parts": readable_parts(request.user)})


@require_http_methods(["GET", "POST"])
@needs(Permission.REQUEST_REPORTS)
def request_report(request):
    form = RequestReportForm(
        request.POST if request.method == "POST" else None, initial={"cutoff": datetime.now(UTC).date()}
    )

    def save(form):
        report = request_dsmb_report(cutoff=form.cleaned_data["cutoff"], by=request.user)
        return Saved(_address(report), report.version, _("The report was requested."))

    return answer_form(request, form, "safety/request_report.html", {}, save)


@require_http_methods(["GET", "POST"])
@needs(Permission.READ_OPEN_REPORTS, to_post=(Permission.REQUEST_REPORTS,))
def show_report(request, pk):
    """The report, or how far it is. POST asks again for one that failed."""
    reports = DsmbReport.objects.visible_to(request.user).select_related("requested_by")
    report = get_object_or_404(reports, pk=pk)
    report.status = STATUS[report.state]
    form = RepeatReportForm(request.POST if request.method == "POST" else None, record=report)
    context = {"report": report, "progress": progress_of(report)}
    if request.method == "POST":

        def save(form):
            again = repeat_dsmb_report(report=report, version=form.cleaned_data["version"], by=request.user)
            return Saved(_address(again), again.version, _("The report was requested again."))

        return answer_form(request, form, "safety/show_report.html", context, save)
    parts = readable_parts(request.user)
    part = next((part for part in parts if part == request.GET.get("part", Part.OPEN)), None)
    if part is None:
        raise Http404
    context |= {"form": form, "parts": parts, "part": part}
    if report.state == JobState.DONE:
        context |= _shown_part(request.user, report, part)
    return render(request, "safety/show_report.html", context)


def _shown_part(user, report, part):
    kept = DsmbFile.objects.visible_to(user).filter(report=report, part=part)
    language = get_language()
    figures = PartFigures.from_json(get_object_or_404(kept, name=named(FIGURES, language)).content)
    files = []
    for file in kept.filter(name__in=DOWNLOADS).defer("content").annotate(size=Length("content")).order_by("name"):
        file.url, file.label = file_address(report, part, file.name), DOWNLOADS[file.name]
        files.append(file)
    pictures = {plot.file: file_address(report, part, named(plot.file, language)) for plot in figures.plots}
    return {"figures": figures, "files": files, "pictures": pictures}


@require_GET
@needs(Permission.READ_OPEN_REPORTS)
def show_progress(request, pk):
    """How far a report is (an htmx partial); tells the page to load anew when there is no more to wait for."""
    report = get_object_or_404(DsmbReport.objects.visible_to(request.user), pk=pk)
    response = render(request, "_progress.html", {"progress": progress_of(report)})
    if report.state in (JobState.DONE, JobState.FAILED):
        response["HX-Refresh"] = "true"
    return response


@dataclass(frozen=True)
class Progress:
    """What _progress.html asks for."""

    url: str
    percent: int
    step: str
    state: str
    text: str = ""


def progress_of(report):
    words = {
        JobState.WAITING: _("Waiting for its turn"),
        JobState.RUNNING: _(report.step) if report.step else _("Begun"),
        JobState.DONE: _("The report is made"),
        JobState.FAILED: _("The report could not be made"),
    }
    url = reverse("safety:show_progress", args=[report.pk])
    return Progress(url, report.percent, words[report.state], report.state, report.failure)


@require_GET
@needs(Permission.READ_OPEN_REPORTS)
def download_file(request, pk, part, name):
    """A file as it was stored. The figures, SVG, are shown in the page; all else is saved by the browser."""
    if name not in DOWNLOADS and not name.endswith(".svg"):
        raise Http404
    files = DsmbFile.objects.visible_to(request.user).select_related("report")
    file = get_object_or_404(files, report=pk, part=part, name=name, report__state=JobState.DONE)
    response = HttpResponse(bytes(file.content), content_type=file.content_type)
    if file.content_type == "image/svg+xml":
        response["Content-Disposition"] = "inline"
    else:
        saved_as = f"DSMB-{file.part}-{file.report.cutoff}.{file.name.partition('.')[2]}"
        response["Content-Disposition"] = f'attachment; filename="{saved_as}"'
    response["Content-Security-Policy"] = FILE_POLICY
    response["X-Content-Type-Options"] = "nosniff"
    return response


def file_address(report, part, name):
    return reverse("safety:download_file", args=[report.pk, part, name])


def _address(report):
    return reverse("safety:show_report", args=[report.pk])

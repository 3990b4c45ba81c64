"""Pages of the DSMB reports: ask for one, see how far it is, read it, take its files."""

from datetime import UTC, datetime

from django import forms
from django.conf import settings
from django.core.paginator import Paginator
from django.db.models.functions import Length
from django.http import Http404, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from safety.actions.reports import (
    FIGURES,
    TABLES,
    look_at_letters,
    named,
    record_report_download,
    repeat_dsmb_report,
    request_dsmb_report,
)
from safety.dsmb.figures import PartFigures
from safety.letters import letters_of, may_read_letters, series_drawn
from safety.models import DsmbFile, DsmbReport, LetterLook, Part, Recommendation
from trialsite import progress
from trialsite.fields import ClearTextField, StrictDateField, StrictDateTimeField
from trialsite.forms import SigningForm, confirming
from trialsite.models import JobState
from trialsite.roles import Permission, can, needs
from trialsite.saving import DataForm, Saved, answer_form

# what a file is sent as; anything else is not sent
DOWNLOADS = {
    named(file, language): f"{kind} ({name})"
    for file, kind in (("report.pdf", "PDF"), ("report.html", "HTML"), (TABLES, "CSV, XLSX"))
    for language, name in settings.LANGUAGES
}
# a file is shown or saved, and can do nothing: not even an SVG that somebody opens by itself
FILE_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


class RequestReportForm(DataForm):
    cutoff = StrictDateField(
        label=gettext_lazy("Cut-off"),
        help_text=gettext_lazy("What happened on or before this day counts."),
    )
    entered_until = StrictDateTimeField(
        zone=UTC,
        required=False,
        label=gettext_lazy("Data entered until (UTC)"),
        help_text=gettext_lazy("Blank: until now. What was entered or corrected later is left out."),
    )
    new_series = forms.BooleanField(
        required=False,
        label=gettext_lazy("Begin a new series: draw new letters for the arms"),
        help_text=gettext_lazy("When a letter has become known. Later reports keep the new ones."),
    )


class RepeatReportForm(DataForm):
    pass


class LettersForm(SigningForm):
    reason = ClearTextField(
        label=gettext_lazy("Why the letters must be known"), max_length=1000, lines=3,
        help_text=gettext_lazy("Inspectors read this. Do not name a treatment."),
    )  # fmt: skip
    field_order = ["reason", "password", "code"]


def readable_parts(user):
    needed = {Part.OPEN: Permission.READ_OPEN_REPORTS, Part.CLOSED: Permission.READ_CLOSED_REPORTS}
    return [part for part in Part if can(user, needed[part])]


@require_GET
@needs(Permission.READ_OPEN_REPORTS)
def list_reports(request):
    reports = DsmbReport.objects.visible_to(request.user).select_related("requested_by", "release__released_by")
    page = Paginator(reports, 50).get_page(request.GET.get("page"))
    for report in page:
        report.status = progress.STATUS[report.state]
    return render(request, "safety/list_reports.html", {"page": page, "parts": readable_parts(request.user)})


@require_http_methods(["GET", "POST"])
@needs(Permission.REQUEST_REPORTS)
def request_report(request):
    form = RequestReportForm(
        request.POST if request.method == "POST" else None, initial={"cutoff": datetime.now(UTC).date()}
    )

    def save(form):
        report = request_dsmb_report(**form.values, by=request.user)
        return Saved(_address(report), report.version, _("The report was requested."))

    return answer_form(request, form, "safety/request_report.html", {}, save)


@require_http_methods(["GET", "POST"])
@needs(Permission.READ_OPEN_REPORTS, to_post=(Permission.REQUEST_REPORTS,))
def show_report(request, pk):
    """The report, or how far it is. POST asks again for one that failed, or for one that is made to be made anew."""
    reports = DsmbReport.objects.visible_to(request.user)
    reports = reports.select_related("requested_by", "compared_with", "release__released_by")
    report = get_object_or_404(reports, pk=pk)
    report.status = progress.STATUS[report.state]
    form = RepeatReportForm(request.POST if request.method == "POST" else None, record=report)
    is_shown = DsmbReport.objects.visible_to(request.user).filter(pk=report.compared_with_id).exists()
    context = {"report": report, "progress": progress_of(report), "may_read_compared": is_shown}
    if request.method == "POST":

        def save(form):
            if report.state == JobState.DONE:
                again = request_dsmb_report(cutoff=report.cutoff, entered_until=report.entered_until, by=request.user)
            else:
                again = repeat_dsmb_report(report=report, version=form.cleaned_data["version"], by=request.user)
            return Saved(_address(again), again.version, _("The report was requested again."))

        return answer_form(request, form, "safety/show_report.html", context, save)
    parts = readable_parts(request.user)
    part = next((part for part in parts if part == request.GET.get("part", Part.OPEN)), None)
    if part is None:
        raise Http404
    context |= {"form": form, "parts": parts, "part": part}
    if report.state == JobState.DONE:
        context |= _shown_part(request.user, report, part) | _at_the_board(request.user, report, part)
        context["again"] = made_again(report)
    return render(request, "safety/show_report.html", context)


def _at_the_board(user, report, part):
    """Whether it is released, who has read it, what was recommended on it, and what this person may do."""
    release, receipts = getattr(report, "release", None), list(report.receipts.select_related("read_by"))
    has_read = any(receipt.read_by_id == user.pk and receipt.part == part for receipt in receipts)
    return {
        "release": release,
        "receipts": receipts,
        "recommendations": Recommendation.objects.visible_to(user).filter(report=report),
        "may_release": release is None and can(user, Permission.RELEASE_REPORTS),
        "may_confirm": release is not None and not has_read and can(user, Permission.RECORD_DECISIONS),
        "may_recommend": release is not None and can(user, Permission.RECORD_DECISIONS),
    }


def made_again(report):
    """The other reports of this cut-off and series, each with whether it says the same."""
    others = DsmbReport.objects.filter(
        cutoff=report.cutoff, entered_until=report.entered_until, series=report.series, state=JobState.DONE
    ).exclude(pk=report.pk)
    return [(other, other.figures_sha256 == report.figures_sha256) for other in others.order_by("id")]


def _shown_part(user, report, part):
    kept = DsmbFile.objects.visible_to(user).filter(report=report, part=part)
    language = get_language()
    figures = PartFigures.from_json(get_object_or_404(kept, name=named(FIGURES, language)).content)
    files = []
    order = list(DOWNLOADS)
    stored = kept.filter(name__in=DOWNLOADS).defer("content").annotate(size=Length("content"))
    for file in sorted(stored, key=lambda file: order.index(file.name)):
        file.url, file.label = file_address(report, part, file.name), DOWNLOADS[file.name]
        files.append(file)
    pictures = {plot.file: file_address(report, part, named(plot.file, language)) for plot in figures.plots}
    return {"figures": figures, "files": files, "pictures": pictures}


@require_GET
@needs(Permission.READ_OPEN_REPORTS)
def show_progress(request, pk):
    """How far a report is: an htmx partial."""
    report = get_object_or_404(DsmbReport.objects.visible_to(request.user), pk=pk)
    return progress.answer_progress(request, progress_of(report))


def progress_of(report):
    url = reverse("safety:show_progress", args=[report.pk])
    return progress.progress_of(
        report, url=url, made=_("The report is made"), not_made=_("The report could not be made")
    )


# --- the letters of the arms ------------------------------------------------------------------------------


@require_GET
@needs(Permission.VIEW_LETTER_LOG)
def list_letter_looks(request):
    """Who was told the letters of which series, when and why; never the letters."""
    looks = LetterLook.objects.visible_to(request.user).select_related("looked_by")
    page = Paginator(looks, 50).get_page(request.GET.get("page"))
    drawn = series_drawn() if may_read_letters(request.user) else []
    return render(request, "safety/list_letter_looks.html", {"page": page, "drawn": drawn})


@require_http_methods(["GET", "POST"])
@needs(Permission.RELEASE_REPORTS)
def read_letters(request, series):
    """The letters of a series: with a reason and the password, each time. They are on the answer to this form alone, which
    nobody keeps; sent again, it tells that they were shown."""
    drawn = dict(series_drawn()) if may_read_letters(request.user) else {}
    if series not in drawn:
        raise Http404
    form = LettersForm(request.POST or None, signer=request.user)
    looks = []

    def save(form):
        looks.append(look_at_letters(series=series, reason=form.cleaned_data["reason"], by=request.user))
        return Saved(reverse("safety:list_letter_looks"), looks[0].version)

    context = {"series": series, "reports": drawn[series]}
    answer = answer_form(request, form, "safety/read_letters.html", context, save, confirm=confirming(request))
    if looks and answer.status_code == 302:
        told = {"look": looks[0], "letters": letters_of(series)}
        answer = render(request, "safety/read_letters.html", context | told)
    answer["Cache-Control"] = "no-store, private"
    return answer


@require_http_methods(["GET", "POST"])
@needs(Permission.READ_OPEN_REPORTS)
def download_file(request, pk, part, name):
    """A file as it was stored. The figures, SVG, are shown in the page by GET; all else is saved by the browser, asked for
    by POST, since who takes it is written down first and a GET writes nothing."""
    if name not in DOWNLOADS and not name.endswith(".svg"):
        raise Http404
    files = DsmbFile.objects.visible_to(request.user).select_related("report")
    file = get_object_or_404(files, report=pk, part=part, name=name, report__state=JobState.DONE)
    is_shown = file.content_type == "image/svg+xml"
    if is_shown != (request.method == "GET"):
        return HttpResponseNotAllowed(["GET"] if is_shown else ["POST"])
    if not is_shown:
        record_report_download(file=file, by=request.user)
    response = HttpResponse(bytes(file.content), content_type=file.content_type)
    if is_shown:
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

"""The pages of the exports: ask for one, see how far it is, take its files. Each person sees the own ones alone."""

from datetime import UTC

from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from trialsite import progress
from trialsite.exchange import actions
from trialsite.exchange.tables import Scope, titles
from trialsite.fields import StrictDateTimeField
from trialsite.models import DataExport, ExportChunk, ExportFile, JobState, Site
from trialsite.roles import Permission, needs
from trialsite.saving import DataForm, Saved, answer_form


class RequestExportForm(DataForm):
    cutoff = StrictDateTimeField(
        zone=UTC,
        required=False,
        label=gettext_lazy("Cut-off (UTC)"),
        help_text=gettext_lazy("The data as they stood then. Leave it blank for the moment of the request."),
    )
    sites = forms.TypedMultipleChoiceField(label=gettext_lazy("Sites"), coerce=int, widget=forms.CheckboxSelectMultiple)
    kinds = forms.MultipleChoiceField(label=gettext_lazy("Kinds of records"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args, scope, **kwargs):
        super().__init__(*args, **kwargs)
        sites = Site.objects.in_bulk(scope.all_sites)
        self.fields["sites"].choices = [(pk, str(sites[pk])) for pk in scope.all_sites]
        self.fields["kinds"].choices = [(name, title) for name, title in titles().items() if name in scope.sites]
        for name in ("sites", "kinds"):
            self.fields[name].initial = [value for value, _words in self.fields[name].choices]


class RepeatExportForm(DataForm):
    pass


@require_GET
@needs(Permission.EXPORT_DATA)
def list_exports(request):
    kept = Count("files__chunks", filter=Q(files__chunks__position=0))
    exports = DataExport.objects.visible_to(request.user).annotate(kept=kept).order_by("-id")
    page = Paginator(exports, 50).get_page(request.GET.get("page"))
    sites = Site.objects.in_bulk()
    for export in page:
        export.status = progress.STATUS[export.state]
        export.codes = ", ".join(sites[pk].code for pk in export.sites if pk in sites)
    return render(request, "exports/list_exports.html", {"page": page, "kept_for": settings.COPIES_KEPT.days})


@require_http_methods(["GET", "POST"])
@needs(Permission.EXPORT_DATA)
def request_export(request):
    form = RequestExportForm(request.POST if request.method == "POST" else None, scope=Scope.of(request.user))

    def save(form):
        asked = form.cleaned_data
        export = actions.request_export(
            cutoff=asked["cutoff"] or timezone.now(), sites=asked["sites"], kinds=asked["kinds"], by=request.user
        )
        return Saved(_address(export), export.version, _("The export was requested."))

    return answer_form(request, form, "exports/request_export.html", {"most": actions.EXPORT.most_at_once}, save)


@require_http_methods(["GET", "POST"])
@needs(Permission.EXPORT_DATA)
def show_export(request, pk):
    """The export, or how far it is. POST asks again for one that failed."""
    export = get_object_or_404(DataExport.objects.visible_to(request.user), pk=pk)
    export.status = progress.STATUS[export.state]
    form = RepeatExportForm(request.POST if request.method == "POST" else None, record=export)

    def context():
        files = export.files.order_by("-name").annotate(
            times=Count("downloads", distinct=True), pieces=Count("chunks", distinct=True)
        )
        chosen = export.scope["sites"] if export.scope else export.kinds
        return {
            "export": export, "progress": progress_of(export), "files": files, "kept_for": settings.COPIES_KEPT.days,
            "sites": Site.objects.filter(pk__in=export.sites), "kinds": [title for name, title in titles().items() if name in chosen],
            "may_take": export.state == JobState.DONE and may_take(request.user, export),
        }  # fmt: skip

    def save(form):
        again = actions.repeat_export(export=export, version=form.cleaned_data["version"], by=request.user)
        return Saved(_address(again), again.version, _("The export was requested again."))

    return answer_form(request, form, "exports/show_export.html", context, save)


@require_GET
@needs(Permission.EXPORT_DATA)
def show_export_progress(request, pk):
    """How far an export is: an htmx partial."""
    export = get_object_or_404(DataExport.objects.visible_to(request.user), pk=pk)
    return progress.answer_progress(request, progress_of(export))


@require_POST
@needs(Permission.EXPORT_DATA)
def download_export(request, pk):
    """A file as it was made; who takes it is written down first. Asked by POST, since a GET writes nothing.

    Answers 403 when the person may not see any more all that is in it, 404 when its bytes were dropped."""
    files = ExportFile.objects.visible_to(request.user).select_related("export")
    file = get_object_or_404(files, pk=pk, export__state=JobState.DONE)
    if not may_take(request.user, file.export):
        raise PermissionDenied("a role was taken away since")
    chunks = ExportChunk.objects.filter(file=file).values_list("content", flat=True)
    count = chunks.count()
    if not count:
        raise Http404
    actions.record_download(file=file, by=request.user)
    pieces = (bytes(chunks.get(position=position)) for position in range(count))  # one in memory at a time
    response = StreamingHttpResponse(pieces, content_type=file.content_type)
    response["Content-Disposition"] = f'attachment; filename="{file.name}"'
    response["Content-Length"] = str(file.size)
    response["X-Content-Type-Options"] = "nosniff"
    return response


def may_take(user, export):
    """Whether the person may still see everything that is in the export."""
    return bool(export.scope) and Scope.of(user).covers(Scope.from_stored(export.scope))


def progress_of(export):
    url = reverse("show_export_progress", args=[export.pk])
    return progress.progress_of(
        export,
        url=url,
        step=titles().get(export.step) or _("Packing the files"),
        made=_("The export is made"),
        not_made=_("The export could not be made"),
    )


def _address(export):
    return reverse("show_export", args=[export.pk])

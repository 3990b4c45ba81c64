"""What is done to exports: the only place that writes them. A person asks; a job begins, makes and keeps; a person takes."""

import hashlib

from django.conf import settings
from django.utils import timezone

from trialsite import jobs
from trialsite.audit import acting
from trialsite.models import DataExport, ExportChunk, ExportDownload, ExportFile

EXPORT = jobs.Kind(
    DataExport, "trialsite.tasks.make_export", "export_id", gate=1213189, most_at_once=2, most_a_day=20,
    same=("sites", "kinds"),
)  # fmt: skip
CHUNK = 1 << 20  # bytes


def request_export(*, cutoff, sites, kinds, by):
    """Ask for a copy as of `cutoff` (UTC) of these sites (ids) and kinds (names).

    Raises Refused for a cut-off in the future, for one that is under way for the person, and for too many (jobs.Kind)."""
    return jobs.request(EXPORT, cutoff=jobs.instant_asked(cutoff), sites=sorted(sites), kinds=list(kinds), by=by)


def repeat_export(*, export, version, by):
    """Ask again for an export that could not be made."""
    return jobs.repeat(EXPORT, export, version=version, by=by)


def store_export(*, export_id, made, scope, outbox_id, by):
    """Keep what was made; see jobs.keeping."""
    with jobs.keeping(EXPORT, export_id, outbox_id=outbox_id, by=by) as export:
        if export is None:
            return
        for name, content_type, path in made.files:
            _store_file(export, name, content_type, path)
        export.scope, export.last_audit_event = scope.stored(), made.last_audit_event
        export.protocol_versions = made.protocol_versions


def _store_file(export, name, content_type, path):
    with path.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        file = ExportFile.objects.create(
            export=export, name=name, content_type=content_type, size=source.tell(), sha256=sha256
        )
        source.seek(0)
        position = 0
        while content := source.read(CHUNK):
            ExportChunk.objects.create(file=file, position=position, content=content)
            position += 1


def record_download(*, file, by):
    """That somebody takes this file, before the first byte is sent."""
    with acting(by):
        return ExportDownload.objects.create(file=file, by=by)


def drop_old_contents(*, now=None):
    """Drop the bytes of exports made more than settings.COPIES_KEPT ago; rows, digests and downloads stay. Gives how many pieces.

    The same can be made again: the trail still has it."""
    old = (now or timezone.now()) - settings.COPIES_KEPT
    return ExportChunk.objects.filter(file__export__finished_at__lt=old).delete()[0]

"""What is done to exports: the only place that writes them. A person asks; a job begins, makes and keeps; a person takes."""

import hashlib
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from trialsite.audit import acting
from trialsite.models import DataExport, ExportChunk, ExportDownload, ExportFile, JobState, User
from trialsite.outbox import ask_for, mark_done
from trialsite.saving import Refused, check_version

TASK = "trialsite.tasks.make_export"
BEGUN = "the export is begun"
MOST_AT_ONCE = 2  # of one person, waiting or being made
CHUNK = 1 << 20  # bytes
KEPT_FOR = timedelta(days=30)


def request_export(*, cutoff, sites, kinds, by):
    """Ask for a copy as of `cutoff` (UTC, to the millisecond as the trail has it) of these sites (ids) and kinds (names).

    Raises Refused for a cut-off in the future, and when as many as a person may have are on their way."""
    if cutoff > timezone.now():
        raise Refused({"cutoff": [_("The cut-off is in the future.")]})
    cutoff = cutoff.replace(microsecond=cutoff.microsecond // 1000 * 1000)
    with acting(by):
        User.objects.select_for_update().get(pk=by.pk)  # one request of a person at a time
        under_way = DataExport.objects.filter(requested_by=by, state__in=[JobState.WAITING, JobState.RUNNING])
        if under_way.count() >= MOST_AT_ONCE:
            raise Refused(_("Your last exports are still being made. Ask again when one of them is done."))
        export = DataExport.objects.create(cutoff=cutoff, sites=sorted(sites), kinds=list(kinds), requested_by=by)
        ask_for(TASK, export_id=export.pk)
    return export


def repeat_export(*, export, version, by):
    """Ask again for an export that could not be made."""
    with acting(by, "requested again after a failure"):
        export = DataExport.objects.select_for_update().get(pk=export.pk)
        check_version(export, version)
        if export.state != JobState.FAILED:
            raise Refused(_("Only an export that failed is made again."))
        export.state, export.failure, export.step, export.percent = JobState.WAITING, "", "", 0
        export.version += 1
        export.save(update_fields=["state", "failure", "step", "percent", "version"])
        ask_for(TASK, export_id=export.pk)
    return export


def begin_export(*, export_id, by):
    """The export, now being made; None when it is made already. A dead worker's run is simply begun again."""
    with acting(by, BEGUN):
        export = DataExport.objects.select_for_update().get(pk=export_id)
        if export.state in (JobState.DONE, JobState.FAILED):
            return None
        export.state, export.failure = JobState.RUNNING, ""
        export.version += 1
        export.save(update_fields=["state", "failure", "version"])
    return export


def note_export_progress(*, export_id, step, percent, by):
    """Say how far it is, for all to see at once: a transaction of its own."""
    with acting(by, f"the export is being made: {step}"):
        DataExport.objects.filter(pk=export_id, state=JobState.RUNNING).update(step=step, percent=percent)


def store_export(*, export_id, made, scope, code_version, outbox_id, by):
    """Keep what was made, all or nothing, and once only: who comes second changes nothing."""
    with acting(by, "the export is made"):
        export = DataExport.objects.select_for_update().get(pk=export_id)
        if export.state != JobState.DONE:
            for name, content_type, path in made.files:
                _store_file(export, name, content_type, path)
            export.state, export.step, export.percent = JobState.DONE, "", 100
            export.finished_at = timezone.now()
            export.scope, export.last_audit_event = scope.stored(), made.last_audit_event
            export.protocol_versions, export.code_version = made.protocol_versions, code_version
            export.version += 1
            export.save()
        mark_done(outbox_id)
    return export


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


def fail_export(*, export_id, failure, outbox_id, by):
    """Give up: nothing is stored, and the person may ask again."""
    with acting(by, "the export could not be made"):
        export = DataExport.objects.select_for_update().get(pk=export_id)
        if export.state != JobState.DONE:
            export.state, export.failure, export.step = JobState.FAILED, failure, ""
            export.version += 1
            export.save(update_fields=["state", "failure", "step", "version"])
        mark_done(outbox_id)
    return export


def record_download(*, file, by):
    """That somebody takes this file, before the first byte is sent."""
    with acting(by):
        return ExportDownload.objects.create(file=file, by=by)


def drop_old_contents(*, now=None):
    """Drop the bytes of exports made more than KEPT_FOR ago; rows, digests and downloads stay. Gives how many pieces.

    The same can be made again: the trail still has it."""
    old = (now or timezone.now()) - KEPT_FOR
    return ExportChunk.objects.filter(file__export__finished_at__lt=old).delete()[0]

"""The job that makes an export; trialsite/jobs.py says what happens when it dies on the way.

What the person may export is asked when the job runs, not when it was asked for: a role that was taken away meanwhile
is gone."""

import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from trialsite import jobs
from trialsite.exchange.actions import EXPORT, store_export
from trialsite.exchange.files import as_text
from trialsite.exchange.making import make_files
from trialsite.exchange.tables import Scope
from trialsite.models import User


class NothingToExport(RuntimeError):
    """The person may export nothing of what was asked for any more."""


def run(export_id, outbox_id):
    """Make the export that was asked for. Gives whether this run made it."""
    return jobs.run(EXPORT, export_id, outbox_id, _make)


def _make(export, outbox_id, by):
    say = partial(jobs.note_progress, EXPORT, export.pk, by=by)
    asker = User.objects.get(pk=export.requested_by_id)
    scope = Scope.of(asker, sites=export.sites, kinds=export.kinds)
    if not asker.is_active or not scope.sites:
        raise NothingToExport
    about = {
        "export": export.pk, "by": asker.full_name, "username": asker.username,
        "roles": sorted({grant.role for grant in asker.current_grants}), "asked_at": as_text(export.requested_at),
        "made_at": as_text(datetime.now(UTC).replace(microsecond=0)), "program": jobs.code_version(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="trialsite-export-") as folder:
        made = make_files(Path(folder), scope=scope, cutoff=export.cutoff, about=about, say=say)
        say("storing", 95)
        store_export(export_id=export.pk, made=made, scope=scope, outbox_id=outbox_id, by=by)

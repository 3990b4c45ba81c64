"""The job that makes an export: once, whole or not at all, whatever dies on the way.

What the person may export is asked when the job runs, not when it was asked for: a role that was taken away meanwhile
is gone. See safety/tasks.py for the pattern: advisory lock, short transactions, one that stores everything."""

import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from django.db import InterfaceError, OperationalError

from trialsite.as_of import StillWriting
from trialsite.audit import request_id
from trialsite.exchange import actions
from trialsite.exchange.files import as_text
from trialsite.exchange.making import make_files
from trialsite.exchange.tables import Scope
from trialsite.jobs import MOST_BEGINNINGS, TooManyBeginnings, alone_with, code_version, times_begun
from trialsite.models import User
from trialsite.outbox import mark_done

log = logging.getLogger(__name__)

MAKING = 1213189  # name of the advisory lock: any number that nothing else uses


class NothingToExport(RuntimeError):
    """The person may export nothing of what was asked for any more."""


def run(export_id, outbox_id):
    """Make the export that was asked for; see the module. Gives whether this run made it.

    Raises only when the database is not there, or somebody has been writing for a minute: the outbox sends it again."""
    with alone_with(MAKING, export_id) as alone:
        if not alone:
            return False  # another worker is at it, and will mark the message as done
        by = User.objects.system()
        token = request_id.set(f"outbox-{outbox_id}")
        try:
            export = actions.begin_export(export_id=export_id, by=by)
            if export is None:
                mark_done(outbox_id)
                return False
            if times_begun(export, actions.BEGUN) > MOST_BEGINNINGS:
                raise TooManyBeginnings(f"begun {MOST_BEGINNINGS} times and never finished")
            _make(export, outbox_id, by)
            return True
        except (OperationalError, InterfaceError, StillWriting):
            raise
        except Exception as error:
            log.exception("export %s could not be made", export_id)
            failure = f"{type(error).__name__}, at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
            actions.fail_export(export_id=export_id, failure=failure, outbox_id=outbox_id, by=by)
            return False
        finally:
            request_id.reset(token)


def _make(export, outbox_id, by):
    def say(step, percent):
        actions.note_export_progress(export_id=export.pk, step=step, percent=percent, by=by)

    asker = User.objects.get(pk=export.requested_by_id)
    scope = Scope.of(asker, sites=export.sites, kinds=export.kinds)
    if not asker.is_active or not scope.sites:
        raise NothingToExport
    about = {
        "export": export.pk, "by": asker.full_name, "username": asker.username,
        "roles": sorted({grant.role for grant in asker.current_grants}), "asked_at": as_text(export.requested_at),
        "made_at": as_text(datetime.now(UTC).replace(microsecond=0)), "program": code_version(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="trialsite-export-") as folder:
        made = make_files(Path(folder), scope=scope, cutoff=export.cutoff, about=about, say=say)
        say("storing", 95)
        actions.store_export(
            export_id=export.pk, made=made, scope=scope, code_version=code_version(), outbox_id=outbox_id, by=by
        )

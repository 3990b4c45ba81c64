"""The job that makes a casebook: once, whole or not at all, whatever dies on the way.

What the person may see is asked when the job runs: a role that was taken away meanwhile is gone. See safety/tasks.py
for the pattern."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

from django.db import InterfaceError, OperationalError
from django.utils import translation
from django.utils.translation import gettext_noop

from safety.actions import casebooks
from safety.casebook.record import digest_of, eyes_of, read_record
from safety.dsmb.render import pdf_of
from trialsite.as_of import CutOff, StillWriting, wait_for_writers
from trialsite.audit import request_id
from trialsite.jobs import MOST_BEGINNINGS, TooManyBeginnings, alone_with, code_version, one_instant, times_begun
from trialsite.models import User
from trialsite.outbox import mark_done
from trialsite.roles import Permission, can

log = logging.getLogger(__name__)

MAKING = 1213190  # name of the advisory lock: any number that nothing else uses
PDF, CONTENT = "casebook.pdf", "casebook.json"
TEMPLATE = Path(__file__).parent / "casebook.typ"


class NotAllowed(RuntimeError):
    """The person may not see the patient, or the trail, any more."""


def run(casebook_id, outbox_id):
    """Make the casebook that was asked for; see the module. Gives whether this run made it.

    Raises only when the database is not there, or somebody has been writing for a minute: the outbox sends it again."""
    with alone_with(MAKING, casebook_id) as alone:
        if not alone:
            return False  # another worker is at it, and will mark the message as done
        by = User.objects.system()
        token = request_id.set(f"outbox-{outbox_id}")
        try:
            casebook = casebooks.begin_casebook(casebook_id=casebook_id, by=by)
            if casebook is None:
                mark_done(outbox_id)
                return False
            if times_begun(casebook, casebooks.BEGUN) > MOST_BEGINNINGS:
                raise TooManyBeginnings(f"begun {MOST_BEGINNINGS} times and never finished")
            _make(casebook, outbox_id, by)
            return True
        except (OperationalError, InterfaceError, StillWriting):
            raise
        except Exception as error:
            log.exception("casebook %s could not be made", casebook_id)
            failure = f"{type(error).__name__}, at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
            casebooks.fail_casebook(casebook_id=casebook_id, failure=failure, outbox_id=outbox_id, by=by)
            return False
        finally:
            request_id.reset(token)


def _make(casebook, outbox_id, by):
    from safety.casebook.words import told

    def say(step, percent):
        casebooks.note_casebook_progress(casebook_id=casebook.pk, step=step, percent=percent, by=by)

    asker, site = User.objects.get(pk=casebook.requested_by_id), casebook.patient.site
    if not asker.is_active or not all(
        can(asker, permission, site) for permission in (Permission.VIEW_PATIENTS, Permission.VIEW_AUDIT_TRAIL)
    ):
        raise NotAllowed
    eyes = eyes_of(asker, casebook.patient)
    say(gettext_noop("reading the data"), 10)
    wait_for_writers()
    with one_instant():
        cutoff = CutOff.at(casebook.cutoff)
        record = read_record(casebook.patient_id, cutoff, eyes)
    content = record.content()
    digest = digest_of(content)
    say(gettext_noop("writing the pages"), 40)
    with translation.override(casebook.language):
        document = told(
            record, digest=digest, made_at=datetime.now(UTC), made_for=asker.full_name, program=code_version()
        )
    say(gettext_noop("typesetting"), 60)
    pdf = pdf_of(TEMPLATE, json.dumps(document, ensure_ascii=False).encode())
    say(gettext_noop("storing"), 95)
    casebooks.store_casebook(
        casebook_id=casebook.pk, files=[(PDF, "application/pdf", pdf), (CONTENT, "application/json", content)],
        eyes=eyes, digest=digest, code_version=code_version(), last_audit_event=cutoff.event, outbox_id=outbox_id, by=by,
    )  # fmt: skip

"""The job that makes a casebook; trialsite/jobs.py says what happens when it dies on the way.

What the person may see is asked when the job runs: a role that was taken away meanwhile is gone."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from django.utils import translation
from django.utils.translation import gettext_noop

from safety.actions.casebooks import CASEBOOK, store_casebook
from safety.casebook.record import digest_of, eyes_of, read_record
from safety.dsmb.render import pdf_of
from trialsite import jobs
from trialsite.as_of import CutOff, wait_for_writers
from trialsite.models import User
from trialsite.roles import Permission, can

PDF, CONTENT = "casebook.pdf", "casebook.json"
TEMPLATE = Path(__file__).parent / "casebook.typ"


class NotAllowed(RuntimeError):
    """The person may not see the patient, or the trail, any more."""


def run(casebook_id, outbox_id):
    """Make the casebook that was asked for. Gives whether this run made it."""
    return jobs.run(CASEBOOK, casebook_id, outbox_id, _make)


def _make(casebook, outbox_id, by):
    from safety.casebook.words import told

    say = partial(jobs.note_progress, CASEBOOK, casebook.pk, by=by)
    asker, site = User.objects.get(pk=casebook.requested_by_id), casebook.patient.site
    if not asker.is_active or not all(
        can(asker, permission, site) for permission in (Permission.VIEW_PATIENTS, Permission.VIEW_AUDIT_TRAIL)
    ):
        raise NotAllowed
    eyes = eyes_of(asker, casebook.patient)
    say(gettext_noop("reading the data"), 10)
    wait_for_writers()
    with jobs.one_instant():
        cutoff = CutOff.at(casebook.cutoff)
        record = read_record(casebook.patient_id, cutoff, eyes)
    content = record.content()
    digest = digest_of(content)
    say(gettext_noop("writing the pages"), 40)
    with translation.override(casebook.language):
        document = told(
            record, digest=digest, made_at=datetime.now(UTC), made_for=asker.full_name, program=jobs.code_version()
        )
    say(gettext_noop("typesetting"), 60)
    pdf = pdf_of(TEMPLATE, json.dumps(document, ensure_ascii=False).encode())
    say(gettext_noop("storing"), 95)
    store_casebook(
        casebook_id=casebook.pk, files=[(PDF, "application/pdf", pdf), (CONTENT, "application/json", content)],
        eyes=eyes, digest=digest, last_audit_event=cutoff.event, outbox_id=outbox_id, by=by,
    )  # fmt: skip

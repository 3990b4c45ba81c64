"""What is done to casebooks: a person asks for one; a job begins, makes and keeps it."""

import hashlib

from django.conf import settings
from django.utils import timezone

from safety.models import Casebook, CasebookDownload, CasebookFile
from trialsite import jobs
from trialsite.audit import acting
from trialsite.reasons import because

CASEBOOK = jobs.Kind(
    Casebook, "safety.tasks.make_casebook", "casebook_id", gate=1213190, most_at_once=3, most_a_day=100,
    same=("patient", "language"),
)  # fmt: skip


def request_casebook(*, patient, cutoff, language, by):
    """Ask for the certified copy of one patient's record as it stood at `cutoff`, its words in `language`.

    Raises Refused for a cut-off in the future, for one that is under way for the person, and for too many (jobs.Kind)."""
    return jobs.request(CASEBOOK, patient=patient, cutoff=jobs.instant_asked(cutoff), language=language, by=by)


def repeat_casebook(*, casebook, version, by):
    """Ask again for a casebook that could not be made."""
    return jobs.repeat(CASEBOOK, casebook, version=version, by=by)


def store_casebook(*, casebook_id, files, eyes, digest, last_audit_event, outbox_id, by):
    """Keep what was made; see jobs.keeping. `files` are (name, content type, bytes)."""
    with jobs.keeping(CASEBOOK, casebook_id, outbox_id=outbox_id, by=by) as casebook:
        if casebook is None:
            return
        CasebookFile.objects.bulk_create(
            CasebookFile(
                casebook=casebook, name=name, content_type=content_type, content=content, size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for name, content_type, content in files
        )  # fmt: skip
        casebook.sees_arm, casebook.sees_events = eyes["sees_arm"], eyes["sees_events"]
        casebook.digest, casebook.last_audit_event = digest, last_audit_event


def record_casebook_download(*, file, by):
    """That somebody takes this file, before the first byte is sent."""
    with acting(by):
        return CasebookDownload.objects.create(file=file, by=by)


def drop_old_casebooks(*, now=None, by):
    """Drop the bytes of copies made more than settings.COPIES_KEPT ago; rows, digests and downloads stay. Gives how many.

    The same can be made again, with the same digest: the trail still has it."""
    old = CasebookFile.objects.filter(casebook__finished_at__lt=(now or timezone.now()) - settings.COPIES_KEPT)
    with acting(by, because("contents of old copies dropped")):
        return old.exclude(content=None).update(content=None)

"""What is done to casebooks: a person asks for one; a job begins, makes and keeps it."""

import hashlib

from django.utils import timezone
from django.utils.translation import gettext as _

from safety.models import Casebook, CasebookFile
from trialsite.audit import acting
from trialsite.models import JobState, User
from trialsite.outbox import ask_for, mark_done
from trialsite.saving import Refused, check_version

TASK = "safety.tasks.make_casebook"
BEGUN = "the casebook is begun"
MOST_AT_ONCE = 3  # of one person, waiting or being made


def request_casebook(*, patient, cutoff, language, by):
    """Ask for the certified copy of one patient's record as it stood at `cutoff`, its words in `language`.

    Raises Refused for a cut-off in the future or before the patient, and when a person has many under way."""
    if cutoff > timezone.now():
        raise Refused({"cutoff": [_("The cut-off is in the future.")]})
    cutoff = cutoff.replace(microsecond=cutoff.microsecond // 1000 * 1000)
    with acting(by):
        User.objects.select_for_update().get(pk=by.pk)  # one request of a person at a time
        under_way = Casebook.objects.filter(requested_by=by, state__in=[JobState.WAITING, JobState.RUNNING])
        if under_way.count() >= MOST_AT_ONCE:
            raise Refused(_("Your last casebooks are still being made. Ask again when one of them is done."))
        casebook = Casebook.objects.create(patient=patient, cutoff=cutoff, language=language, requested_by=by)
        ask_for(TASK, casebook_id=casebook.pk)
    return casebook


def repeat_casebook(*, casebook, version, by):
    """Ask again for a casebook that could not be made."""
    with acting(by, "requested again after a failure"):
        casebook = Casebook.objects.select_for_update().get(pk=casebook.pk)
        check_version(casebook, version)
        if casebook.state != JobState.FAILED:
            raise Refused(_("Only a casebook that failed is made again."))
        casebook.state, casebook.failure, casebook.step, casebook.percent = JobState.WAITING, "", "", 0
        casebook.version += 1
        casebook.save(update_fields=["state", "failure", "step", "percent", "version"])
        ask_for(TASK, casebook_id=casebook.pk)
    return casebook


def begin_casebook(*, casebook_id, by):
    """The casebook, now being made; None when it is made already. A dead worker's run is simply begun again."""
    with acting(by, BEGUN):
        casebook = Casebook.objects.select_for_update(of=("self",)).select_related("patient__site").get(pk=casebook_id)
        if casebook.state in (JobState.DONE, JobState.FAILED):
            return None
        casebook.state, casebook.failure = JobState.RUNNING, ""
        casebook.version += 1
        casebook.save(update_fields=["state", "failure", "version"])
    return casebook


def note_casebook_progress(*, casebook_id, step, percent, by):
    """Say how far it is, for all to see at once: a transaction of its own."""
    with acting(by, f"the casebook is being made: {step}"):
        Casebook.objects.filter(pk=casebook_id, state=JobState.RUNNING).update(step=step, percent=percent)


def store_casebook(*, casebook_id, files, eyes, digest, code_version, last_audit_event, outbox_id, by):
    """Keep what was made, all or nothing, and once only: who comes second changes nothing.
    `files` are (name, content type, bytes)."""
    with acting(by, "the casebook is made"):
        casebook = Casebook.objects.select_for_update().get(pk=casebook_id)
        if casebook.state != JobState.DONE:
            CasebookFile.objects.bulk_create(
                CasebookFile(
                    casebook=casebook, name=name, content_type=content_type, content=content, size=len(content),
                    sha256=hashlib.sha256(content).hexdigest(),
                )
                for name, content_type, content in files
            )  # fmt: skip
            casebook.state, casebook.step, casebook.percent = JobState.DONE, "", 100
            casebook.finished_at = timezone.now()
            casebook.sees_arm, casebook.sees_events = eyes["sees_arm"], eyes["sees_events"]
            casebook.digest, casebook.code_version = digest, code_version
            casebook.last_audit_event = last_audit_event
            casebook.version += 1
            casebook.save()
        mark_done(outbox_id)
    return casebook


def fail_casebook(*, casebook_id, failure, outbox_id, by):
    """Give up: nothing is stored, and the person may ask again."""
    with acting(by, "the casebook could not be made"):
        casebook = Casebook.objects.select_for_update().get(pk=casebook_id)
        if casebook.state != JobState.DONE:
            casebook.state, casebook.failure, casebook.step = JobState.FAILED, failure, ""
            casebook.version += 1
            casebook.save(update_fields=["state", "failure", "step", "version"])
        mark_done(outbox_id)
    return casebook

"""What is done to DSMB reports: a person, or the calendar, asks for one; a job begins, makes and keeps it.

The figures of a part are one of its files (figures.json): file by file the door of DsmbFile decides who reads what,
and the audit trail, which holds no file's content, cannot tell the closed part."""

import hashlib
import secrets
from datetime import UTC, datetime

from django.db import connection
from django.utils.translation import gettext as _

from patients.models import AllocationSlot
from safety.models import ArmLetter, DsmbFile, DsmbReport
from trialsite import jobs, trial
from trialsite.audit import acting
from trialsite.saving import Refused

REPORT = jobs.Kind(DsmbReport, "safety.tasks.make_dsmb_report", "report_id", gate=1213188)
FIGURES = "figures.json"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER_GATE = 1213187  # name of an advisory lock: any number that nothing else uses


def request_dsmb_report(*, cutoff, month=None, by):
    """Ask for a report as of `cutoff`; `month` (YYYY-MM) marks the one monthly report of that month.

    Raises Refused for a day in the future, IntegrityError when the month has its report."""
    if cutoff > datetime.now(UTC).date():
        raise Refused({"cutoff": [_("The cut-off is in the future.")]})
    return jobs.request(REPORT, cutoff=cutoff, month=month, by=by)


def repeat_dsmb_report(*, report, version, by):
    """Ask again for a report that could not be made."""
    return jobs.repeat(REPORT, report, version=version, by=by)


def store_dsmb_report(*, report_id, figures, files, last_audit_event, outbox_id, by):
    """Keep what was made; see jobs.keeping. `files` are (part, name, content type, bytes)."""
    with jobs.keeping(REPORT, report_id, outbox_id=outbox_id, by=by) as report:
        if report is None:
            return
        DsmbFile.objects.bulk_create(
            DsmbFile(
                report=report, part=part, name=name, content_type=content_type, content=content,
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for part, name, content_type, content in files
        )  # fmt: skip
        report.last_audit_event = last_audit_event
        report.protocol_version = figures.open.about.protocol_version
        report.figures_sha256 = hashlib.sha256(b"".join(part.to_json() for part in figures.parts)).hexdigest()


def draw_arm_letters(*, by):
    """Give each arm without a letter one at random. Drawn once for all reports of the trial, never shown."""
    with acting(by):
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [LETTER_GATE])
        known = set(ArmLetter.objects.values_list("arm", flat=True))
        arms = {arm.code for protocol in trial.versions().values() for arm in protocol.arms}
        arms |= set(AllocationSlot.objects.taken().values_list("arm", flat=True).distinct())
        new = sorted(arms - known)
        secrets.SystemRandom().shuffle(new)
        if new:
            used = set(ArmLetter.objects.values_list("letter", flat=True))
            free = [letter for letter in LETTERS if letter not in used]
            ArmLetter.objects.bulk_create(
                ArmLetter(arm=arm, letter=letter) for arm, letter in zip(new, free, strict=False)
            )

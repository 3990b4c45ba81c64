"""What is done to DSMB reports: a person, or the calendar, asks for one; a job begins, makes and keeps it.

The figures of a part are one of its files (figures.json): file by file the door of DsmbFile decides who reads what,
and the audit trail, which holds no file's content, cannot tell the closed part."""

import hashlib
import secrets
from datetime import UTC, datetime

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Max
from django.utils.translation import gettext as _

from patients.models import AllocationSlot
from safety.letters import may_read_letters
from safety.models import ArmLetter, DsmbFile, DsmbReport, LetterLook, ReportDownload
from trialsite import jobs, trial
from trialsite.audit import acting
from trialsite.models import JobState
from trialsite.saving import Refused

REPORT = jobs.Kind(
    DsmbReport, "safety.tasks.make_dsmb_report", "report_id", gate=1213188, most_at_once=3, most_a_day=20,
    same=("cutoff", "series"),
)  # fmt: skip
FIGURES, TABLES = "figures.json", "tables.zip"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER_GATE, REQUEST_GATE = 1213187, 1213191  # names of advisory locks: any numbers that nothing else uses


def named(name, language):
    """What a file is called in this language: report.pdf, report.zh-hans.pdf."""
    stem, dot, kind = name.rpartition(".")
    return name if language == settings.LANGUAGE_CODE else f"{stem}.{language}{dot}{kind}"


def request_dsmb_report(*, cutoff, entered_until=None, month=None, new_series=False, by):
    """Ask for a report of what happened until the day `cutoff`, as it was known at `entered_until` (by default now);
    `month` (YYYY-MM) marks the one monthly report of that month; in a new series the arms get new letters.

    Raises Refused for a day or an instant that cannot be, for one that is under way for the person and for too many
    (jobs.Kind), IntegrityError when the month has its report."""
    now = datetime.now(UTC)
    if cutoff > now.date():
        raise Refused({"cutoff": [_("The cut-off is in the future.")]})
    if entered_until and entered_until > now:
        raise Refused({"entered_until": [_("This time is in the future.")]})
    entered_until = jobs.instant_of_trail(entered_until or now)
    if entered_until.date() < cutoff:
        raise Refused({"entered_until": [_("This is before the cut-off.")]})
    with acting(by):
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [REQUEST_GATE])
        series = (DsmbReport.objects.aggregate(last=Max("series"))["last"] or 1) + new_series
        first = DsmbReport.objects.filter(cutoff=cutoff, entered_until=entered_until).order_by("id").first()
        if first:  # the same again: it says the same, whatever was asked for in between
            values = {"reported_on": first.reported_on, "compared_with": first.compared_with}
            series = series if new_series else first.series
        else:
            values = {"reported_on": now.date(), "compared_with": last_before(cutoff, entered_until)}
        return jobs.request(
            REPORT, cutoff=cutoff, entered_until=entered_until, month=month, series=series, **values, by=by
        )


def last_before(cutoff, entered_until):
    """The report that one of this cut-off goes on from: the last one that the board had got by then, of an earlier cut-off
    or of the same one; before there was one, the last of an earlier cut-off that was made (and did not fail)."""
    made = DsmbReport.objects.exclude(state=JobState.FAILED).order_by("-cutoff", "-entered_until", "id")
    before = made.filter(cutoff__lte=cutoff, entered_until__lte=entered_until)
    return before.filter(release__released_at__lte=entered_until).first() or before.filter(cutoff__lt=cutoff).first()


def repeat_dsmb_report(*, report, version, by):
    """Ask again for a report that could not be made."""
    return jobs.repeat(REPORT, report, version=version, by=by)


def store_dsmb_report(*, report_id, figures, files, cutoff, outbox_id, by):
    """Keep what was made; see jobs.keeping. `figures` are those of each language, `files` are (part, name, content type,
    bytes), `cutoff` is that of the trail."""
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
        about = figures[0].open.about
        report.last_audit_event, report.held_back = cutoff.event, list(cutoff.held_back)
        report.protocol_version, report.scales = about.protocol_version, about.scales
        told = b"".join(part.to_json() for one in figures for part in one.parts)
        report.figures_sha256 = hashlib.sha256(told).hexdigest()


def record_report_download(*, file, by):
    """That somebody takes this file, before the first byte is sent."""
    with acting(by):
        return ReportDownload.objects.create(file=file, by=by)


def draw_arm_letters(*, series=1, by):
    """Give each arm without a letter in this series one at random. Drawn once for all its reports; told by `look_at_letters` alone."""
    with acting(by):
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [LETTER_GATE])
        letters = dict(ArmLetter.objects.filter(series=series).values_list("arm", "letter"))
        arms = {arm.code for protocol in trial.versions().values() for arm in protocol.arms}
        arms |= set(AllocationSlot.objects.taken().values_list("arm", flat=True).distinct())
        new = sorted(arms - set(letters))
        secrets.SystemRandom().shuffle(new)
        free = [letter for letter in LETTERS if letter not in letters.values()]
        ArmLetter.objects.bulk_create(
            ArmLetter(series=series, arm=arm, letter=letter) for arm, letter in zip(new, free, strict=False)
        )


def look_at_letters(*, series, reason, by):
    """Write down that `by` is told which letter stands for which arm in a series, and why. Raises Refused.

    Call it after `confirm_signer`; `safety.letters.letters_of` then tells them."""
    if not may_read_letters(by):
        raise PermissionDenied("read the letters of closed reports")
    if not reason.strip():
        raise Refused({"reason": [_("Write why the letters must be known.")]})
    if not ArmLetter.objects.filter(series=series).exists():
        raise Refused(_("No letters are drawn for this series yet."))
    with acting(by):
        return LetterLook.objects.create(series=series, reason=reason, looked_by=by)

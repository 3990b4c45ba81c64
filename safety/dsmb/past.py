"""Reads what a report is made of as it was known at the instant of its cut-off: from the tables as the trail rebuilds
them, all at one instant of now."""

from datetime import UTC

from patients.models import AllocationSlot, ArtRegimen, Disposition, EligibilityAssessment, Halt, Patient, Unmasking
from safety.dsmb.arms import read_arms
from safety.dsmb.reading import read_patients, read_snapshot
from safety.dsmb.snapshot import Before
from safety.models import (
    ActionItem,
    AdverseEvent,
    Coding,
    DeclinedResult,
    Deviation,
    DsmbReport,
    Recommendation,
    Release,
    ResultOfEvent,
    SeriousCase,
    SponsorAssessment,
)
from trialsite.as_of import CutOff, tables_as_of, wait_for_writers
from trialsite.jobs import one_instant
from trialsite.models import Site, User
from visits.models import Infusion, Interruption, Measurement, PanelRecord, Preparation, Query, Reaction, Visit

# what tells who is in the trial and what happened to them
ABOUT_PATIENTS = [
    Site, Patient, AllocationSlot, Disposition, EligibilityAssessment, ArtRegimen, Preparation, Infusion, Interruption,
    Reaction, AdverseEvent, ResultOfEvent, Coding, SeriousCase, SponsorAssessment, Deviation,
]  # fmt: skip
ALL = [
    *ABOUT_PATIENTS,
    Halt,
    Unmasking,
    Recommendation,
    ActionItem,
    Visit,
    PanelRecord,
    Query,
    Measurement,
    DeclinedResult,
]


def read_past(report):
    """The snapshot, the arms and the cut-off of a report that was asked for. The arms have their letters.

    Raises StillWriting when somebody who had begun before goes on for a minute."""
    wait_for_writers()
    with one_instant():
        before = _read_before(report) if report.compared_with else None
        author = _author_of(report)
        cutoff = CutOff.at(report.entered_until)
        with tables_as_of(cutoff, ALL):
            snapshot = read_snapshot(report.cutoff, report.entered_until.astimezone(UTC), report.reported_on)
            arms = read_arms(snapshot.patients, report.cutoff, report.series)
    snapshot.before, snapshot.event, snapshot.author = before, cutoff.event, author
    return snapshot, arms, cutoff


def _read_before(report):
    last = report.compared_with
    is_released = Release.objects.filter(report_id=last.pk, released_at__lte=report.entered_until).exists()
    with tables_as_of(CutOff.at(last.entered_until), ABOUT_PATIENTS):
        return Before(last.cutoff, last.entered_until.astimezone(UTC), read_patients(last.cutoff), is_released)


def _author_of(report):
    """Who first asked for a report of this cut-off, by the name of that day; empty for the system."""
    asked = DsmbReport.objects.filter(cutoff=report.cutoff, entered_until=report.entered_until).order_by("id").first()
    if asked is None or asked.requested_by.is_system:
        return ""
    with tables_as_of(CutOff.at(asked.requested_at), [User]):
        return User.objects.filter(pk=asked.requested_by_id).values_list("full_name", flat=True).first() or ""

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
    Deviation,
    Recommendation,
    ResultOfEvent,
    SeriousCase,
    SponsorAssessment,
)
from trialsite.as_of import CutOff, tables_as_of, wait_for_writers
from trialsite.jobs import one_instant
from trialsite.models import Site
from visits.models import Infusion, Interruption, Measurement, PanelRecord, Preparation, Query, Reaction, Visit

# what tells who is in the trial and what happened to them
ABOUT_PATIENTS = [
    Site, Patient, AllocationSlot, Disposition, EligibilityAssessment, ArtRegimen, Preparation, Infusion, Interruption,
    Reaction, AdverseEvent, ResultOfEvent, Coding, SeriousCase, SponsorAssessment, Deviation,
]  # fmt: skip
ALL = [*ABOUT_PATIENTS, Halt, Unmasking, Recommendation, ActionItem, Visit, PanelRecord, Query, Measurement]


def read_past(report):
    """The snapshot, the arms and the cut-off of a report that was asked for. The arms have their letters.

    Raises StillWriting when somebody who had begun before goes on for a minute."""
    wait_for_writers()
    with one_instant():
        before = _read_before(report.compared_with) if report.compared_with else None
        cutoff = CutOff.at(report.entered_until)
        with tables_as_of(cutoff, ALL):
            snapshot = read_snapshot(report.cutoff, report.entered_until.astimezone(UTC), report.reported_on)
            arms = read_arms(snapshot.patients, report.cutoff, report.series)
    snapshot.before, snapshot.event = before, cutoff.event
    return snapshot, arms, cutoff


def _read_before(report):
    with tables_as_of(CutOff.at(report.entered_until), ABOUT_PATIENTS):
        return Before(report.cutoff, report.entered_until.astimezone(UTC), read_patients(report.cutoff))

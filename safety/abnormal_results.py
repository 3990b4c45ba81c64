"""The graded results that propose adverse events, gathered from the database: the only place that does. Three statements for
any number of patients."""

from dataclasses import dataclass

from patients.models import Patient
from safety.abnormal import Belongs, Declined, Finding, unjudged
from safety.models import DeclinedResult, ResultOfEvent
from trialsite import scales, trial
from trialsite.grade_words import grade_told
from visits.models import Measurement


@dataclass(frozen=True)
class Proposal:
    """A result that waits for a judgement. `event` is what it would be called (a term of CTCAE)."""

    measurement: Measurement
    finding: Finding
    event: str

    @property
    def patient(self):
        return self.measurement.patient

    @property
    def visit(self):
        return (self.measurement.panel or self.measurement.infusion).visit

    @property
    def test(self):
        return self.visit.protocol.test(self.measurement.test)

    @property
    def unit(self):
        return self.measurement.reported_unit or self.measurement.unit

    @property
    def words(self):
        """The published words of the grade."""
        m = self.measurement
        return grade_told(f"{m.grade_scale.lower()}-{m.grade_scale_version}", row_of(m).words(m.grade))


def row_of(m):
    """The row that graded a result, of the scale as it is now."""
    scale = scales.scale(f"{m.grade_scale.lower()}-{m.grade_scale_version}")
    return scale.row(m.grade_row)


def proposing(patients):
    """The results of these patients whose grade proposes an adverse event by the protocol's rule, judged or not."""
    plans = {version: protocol.grading for version, protocol in trial.versions().items() if protocol.grading}
    rules = [
        rule for plan in plans.values() for rule in (plan.propose_from_grade, plan.propose_worse_from_grade) if rule
    ]
    if not rules:
        return []
    bad = (
        Measurement.objects.filter(patient__in=patients, grade__gte=min(rules))
        .select_related("patient__site", "panel__visit", "infusion__visit").order_by("collected_on", "id")
    )  # fmt: skip
    found = []
    for m in bad:
        plan = plans.get((m.panel or m.infusion.visit).protocol_version)
        if plan and plan.proposes(m.grade, m.baseline_grade):
            found.append(m)
    return found


def unjudged_results(patients):
    """The proposals of adverse events that wait, of these patients, earliest first."""
    measured = {m.pk: m for m in proposing(patients)}
    if not measured:
        return []
    judgements = {}
    mine = {"patient__in": {m.patient_id for m in measured.values()}, "is_withdrawn": False}
    for one in ResultOfEvent.objects.filter(**mine, event__is_withdrawn=False).select_related("event"):
        event = one.event
        judgements.setdefault(one.patient_id, []).append(
            Belongs(one.measurement_id, one.grade_row, one.grade, event.grade, event.began_on,
                    None if event.is_ongoing else event.ended_on)
        )  # fmt: skip
    for one in DeclinedResult.objects.filter(**mine):
        judgements.setdefault(one.patient_id, []).append(Declined(one.measurement_id, one.grade))
    findings = {}
    for m in measured.values():
        findings.setdefault(m.patient_id, []).append(Finding(m.pk, m.grade_row, m.grade, m.collected_on))
    waiting = [
        Proposal(measured[finding.measurement], finding, row_of(measured[finding.measurement]).term)
        for patient, theirs in findings.items() for finding in unjudged(theirs, judgements.get(patient, ()))
    ]  # fmt: skip
    return sorted(waiting, key=lambda one: (one.finding.on, one.patient.number, one.measurement.pk))


def proposal_of(measurement):
    """The open proposal of one result, or None: judged already, or its grade proposes nothing (any more)."""
    waiting = unjudged_results(Patient.objects.filter(pk=measurement.patient_id))
    return next((one for one in waiting if one.measurement.pk == measurement.pk), None)

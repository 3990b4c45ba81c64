"""What proposes adverse events, gathered from the database: graded results, and reactions to infusions. The only place that does.
Four statements for any number of patients."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from patients.models import Patient
from safety.abnormal import Finding, of_reaction, of_result, unjudged
from safety.models import DeclinedResult, ResultOfEvent
from trialsite import scales, trial
from trialsite.clock import day_at
from trialsite.ctcae import term_told
from trialsite.grade_words import grade_told
from trialsite.protocol.plans import REACTIONS_PROPOSE_FROM
from trialsite.templatetags.trial import unit_text
from visits.models import Measurement, Reaction


@dataclass(frozen=True)
class Proposal:
    """Something seen that waits for a judgement: a result or a reaction."""

    seen: Measurement | Reaction
    finding: Finding

    @property
    def is_reaction(self):
        return isinstance(self.seen, Reaction)

    @property
    def patient(self):
        return self.seen.patient

    @property
    def grade(self):
        return self.seen.grade

    @property
    def is_proposed(self):
        """Does the grade wait for a clinical answer?"""
        return not self.is_reaction and self.seen.grade_is_to_confirm

    @property
    def on(self):
        """The day, at the site."""
        return self.finding.on

    @property
    def visit(self):
        return self.infusion.visit if self.infusion else self.seen.panel.visit

    @property
    def infusion(self):
        """At which it was seen, None for a result of a panel."""
        return self.seen.infusion

    @property
    def event(self):
        """What the event would be called: a term of CTCAE, or what the reaction was called; "" where that says nothing."""
        row = row_of(self.seen)
        return row.term if row else self.seen.term

    @property
    def scale(self):
        """By which scale it was graded, "" when by none."""
        return f"{self.seen.grade_scale} {self.seen.grade_scale_version}".strip()

    @property
    def words(self):
        """The published words of the grade, "" where there are none."""
        row = row_of(self.seen)
        return grade_told(_scale_key(self.seen), row.words(self.seen.grade)) if row else ""

    @property
    def told(self):
        return seen_told(self.seen)


def seen_told(seen):
    """A result or a reaction in a few words."""
    if isinstance(seen, Reaction):
        return _("%(reaction)s, infusion %(number)s") % {
            "reaction": term_told(seen.term), "number": seen.infusion.number,
        }  # fmt: skip
    test = trial.protocol(version_of(seen)).test(seen.test)
    return f"{test.name} {seen.typed} {unit_text(seen.reported_unit or seen.unit)}".strip()


def version_of(seen):
    """The protocol by which it was seen."""
    if isinstance(seen, Reaction):
        return seen.protocol_version
    return (seen.panel or seen.infusion.visit).protocol_version


def _scale_key(seen):
    return f"{seen.grade_scale.lower()}-{seen.grade_scale_version}"


def row_of(seen):
    """The row that graded it, of the scale as it is now; None for a reaction of which no scale has one."""
    return scales.scale(_scale_key(seen)).row(seen.grade_row) if seen.grade_row else None


def findings_in(patients):
    """What of these patients proposes an adverse event by the protocol's rule, judged or not: (record, Finding)."""
    plans = {version: protocol.grading for version, protocol in trial.versions().items()}
    return [*_results(patients, plans), *_reactions(patients, plans)]


def _results(patients, plans):
    plans = {version: plan for version, plan in plans.items() if plan}
    rules = [
        rule for plan in plans.values() for rule in (plan.propose_from_grade, plan.propose_worse_from_grade) if rule
    ]
    if not rules:
        return
    bad = Measurement.objects.filter(patient__in=patients, grade__gte=min(rules))
    for m in bad.select_related("patient__site", "panel__visit", "infusion__visit"):
        plan = plans.get(version_of(m))
        if plan and plan.proposes(m.grade, m.baseline_grade):
            yield m, Finding(m.pk, of_result(m.pk), m.grade_row, m.grade, m.collected_on)


def _reactions(patients, plans):
    rules = {
        version: plan.propose_reactions_from_grade if plan else REACTIONS_PROPOSE_FROM
        for version, plan in plans.items() if trial.protocol(version).infusions
    }  # fmt: skip
    if not any(rules.values()):
        return
    bad = Reaction.objects.filter(
        patient__in=patients, is_withdrawn=False, grade__gte=min(rule for rule in rules.values() if rule)
    )
    for r in bad.select_related("patient__site", "infusion__visit"):
        rule = rules.get(version_of(r))
        if rule and r.grade >= rule:
            what = of_reaction(r.infusion_id, r.term)
            yield r, Finding(r.pk, what, what, r.grade, day_at(r.patient.site, r.began_at))


def unjudged_results(patients):
    """The proposals of adverse events that wait, of these patients, earliest first."""
    seen, findings = {}, {}
    for record, finding in findings_in(patients):
        seen[finding] = record
        findings.setdefault(record.patient_id, []).append(finding)
    if not seen:
        return []
    judgements = {}
    mine = {"patient__in": set(findings), "is_withdrawn": False}
    for one in ResultOfEvent.objects.filter(**mine, event__is_withdrawn=False).select_related("event", "reaction"):
        judgements.setdefault(one.patient_id, []).append(one.as_judgement())
    for one in DeclinedResult.objects.filter(**mine).select_related("reaction"):
        judgements.setdefault(one.patient_id, []).append(one.as_judgement())
    waiting = [
        Proposal(seen[finding], finding)
        for patient, theirs in findings.items() for finding in unjudged(theirs, judgements.get(patient, ()))
    ]  # fmt: skip
    return sorted(waiting, key=lambda one: (one.on, one.patient.number, one.is_reaction, one.seen.pk))


def proposal_of(seen):
    """The open proposal of one result or reaction, or None: judged already, or its grade proposes nothing (any more)."""
    waiting = unjudged_results(Patient.objects.filter(pk=seen.patient_id))
    return next((one for one in waiting if one.seen == seen), None)

"""Eligibility: what the rules say, what a person answers, and what was overtaken since."""

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from patients import eligibility
from patients.actions.records import lock_open_patient, next_version
from patients.models import ArtRegimen, Consent, CriterionAnswer, EligibilityAssessment, State
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.reasons import because
from trialsite.saving import Refused
from trialsite.words import for_the_record


def facts_about(patient, on):
    """The facts that criteria may ask for, as of a day: age in years, whole months of treatment (at least)."""
    regimens = ArtRegimen.objects.filter(patient=patient, is_withdrawn=False).values_list("started_on", "is_ongoing")
    return eligibility.facts_of(birth_date=patient.birth_date, regimens=list(regimens), on=on)


def findings_about(patient, on):
    """What the rules say about each criterion on a day, from what was entered so far."""
    results = import_string(settings.SCREENING_EVIDENCE)(patient)
    return eligibility.assess(patient.protocol, sex=patient.sex, facts=facts_about(patient, on), results=results, on=on)


def overtaken_by(patient, assessment, answers):
    """What an assessment rested on and is otherwise by now, after corrections: `consent`, the day of the first consent
    when that is later than the assessment; `criteria`, (code, why) of those that the rules judge otherwise."""
    first = Consent.objects.filter(patient=patient).order_by("signed_on").first()
    late = first.signed_on if first and first.signed_on > assessment.assessed_on else None
    if assessment.protocol_version != patient.protocol_version:
        return {"consent": late, "criteria": []}
    then = {answer.criterion: answer.computed for answer in answers if answer.assessment_id == assessment.pk}
    now = findings_about(patient, assessment.assessed_on)
    return {"consent": late, "criteria": [
        (f.criterion.code, str(f.because)) for f in now
        if f.criterion.code in then and f.holds is not None and f.holds != then[f.criterion.code]
    ]}  # fmt: skip


def assess_eligibility(*, patient, assessed_on, answers, comments, version, by):
    """Record the answers to all criteria; the patient is then eligible, or stays in screening with what is unmet.

    `answers` says of each criterion whether its statement holds; `comments` explain an answer that differs from
    what the rule worked out."""
    with acting(by, because("eligibility assessed on %(day)s", day=assessed_on)):
        patient = lock_open_patient(patient, version)
        if patient.state not in (State.SCREENING, State.ELIGIBLE):
            raise Refused(
                _("Eligibility is assessed in screening; the patient is: %(state)s.")
                % {"state": patient.get_state_display()}
            )
        protocol = patient.protocol
        errors = {}
        if not Consent.objects.filter(patient=patient, signed_on__lte=assessed_on).exists():
            errors[""] = [_("There is no consent signed on or before this day.")]
        if not patient.screened_on <= assessed_on <= today_at(patient.site):
            errors["assessed_on"] = [_("The day must lie between screening and today.")]
        findings = findings_about(patient, assessed_on)
        for finding in findings:
            code = finding.criterion.code
            if answers.get(code) is None:
                errors[f"holds_{code}"] = [_("Answer this criterion.")]
            elif finding.holds is not None and answers[code] != finding.holds and not comments.get(code, "").strip():
                errors[f"comment_{code}"] = [_("The results say otherwise; write why you differ.")]
        if errors:
            raise Refused(errors)
        unmet = eligibility.unmet_criteria(protocol, sex=patient.sex, answers=answers)
        assessment = EligibilityAssessment.objects.create(
            patient=patient,
            assessed_on=assessed_on,
            protocol_version=protocol.version,
            is_eligible=not unmet,
            unmet=[criterion.code for criterion in unmet],
        )
        CriterionAnswer.objects.bulk_create(
            CriterionAnswer(
                patient=patient,
                assessment=assessment,
                criterion=finding.criterion.code,
                holds=answers[finding.criterion.code],
                computed=finding.holds,
                because=for_the_record(finding.because, protocol_of=patient),
                because_told=finding.because.stored(),
                evidence=[
                    {"test": e.test, "value": f"{e.operator}{e.value if e.value is not None else e.text}",
                     "on": e.collected_on.isoformat(), "source": e.source}
                    for e in finding.evidence
                ],
                comment=comments.get(finding.criterion.code, ""),
            )
            for finding in findings
        )  # fmt: skip
        patient.state = State.SCREENING if unmet else State.ELIGIBLE
        next_version(patient, "state")
    return assessment


def assess_again(patient):
    """What the assessment rests on was corrected: who is not randomised yet is assessed again."""
    if patient.state == State.ELIGIBLE:
        patient.state = State.SCREENING

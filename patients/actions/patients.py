"""From screening to the end: who comes in, who is put right, who leaves."""

from django.db.models import Max
from django.utils.translation import gettext as _

from patients.actions.eligibility import assess_again
from patients.actions.halts import refuse_when_halted
from patients.actions.records import announce, lock_open_patient, next_version
from patients.models import TRANSITIONS, Blocked, Disposition, EligibilityAssessment, Patient, State
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.models import Site, VersionApproval
from trialsite.reasons import because
from trialsite.saving import Refused


def screen_patient(*, site, sex, birth_date, screened_on, by):
    """Give the next number of the site to a new patient, under the protocol version in force there, and plan the screening
    visits."""
    if birth_date > screened_on:
        raise Refused({"birth_date": [_("The date of birth is after the day of screening.")]})
    if screened_on > today_at(site):
        raise Refused({"screened_on": [_("The day of screening is in the future.")]})
    with acting(by):
        site = Site.objects.select_for_update().get(pk=site.pk)
        refuse_when_halted(Blocked.ENROL)
        version = VersionApproval.objects.in_force(site, screened_on)
        sequence = (site.patients.aggregate(last=Max("sequence"))["last"] or 0) + 1
        patient = Patient.objects.create(
            site=site,
            sequence=sequence,
            number=f"{site.code}-{sequence:03d}",
            sex=sex,
            birth_date=birth_date,
            screened_on=screened_on,
            protocol_version=version,
        )
        announce("AFTER_SCREENING", patient=patient, by=by)
    return patient


def correct_person(*, patient, birth_date, sex=None, version, reason, by):
    """Put a wrongly typed date of birth or sex right. Who was found eligible is assessed again before randomisation;
    panels that nobody entered yet follow the sex. What was entered stays, and so does the stratum of a randomisation."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the entry is changed.")]})
    with acting(by, reason):
        patient = lock_open_patient(patient, version)
        if birth_date > patient.screened_on:
            raise Refused({"birth_date": [_("The date of birth is after the day of screening.")]})
        moved = sex is not None and sex != patient.sex
        patient.birth_date, patient.sex = birth_date, sex or patient.sex
        assess_again(patient)
        next_version(patient, "birth_date", "sex", "state")
        if moved:
            announce("AFTER_SEX_CORRECTED", patient=patient, by=by)
        announce("AFTER_CHANGE", record=patient, reason=reason, by=by)
    return patient


def record_disposition(*, patient, state, on, explanation="", version, by):
    """Record that screening failed, or that the patient completed, withdrew, was lost or died."""
    with acting(by, because("end of participation on %(day)s", day=on)):
        patient = lock_open_patient(patient, version)
        errors = {}
        if state not in TRANSITIONS[State(patient.state)] or state in (State.ELIGIBLE, State.SCREENING):
            errors["state"] = [
                _("This cannot follow: the patient is %(state)s.") % {"state": patient.get_state_display()}
            ]
        if not patient.screened_on <= on <= today_at(patient.site):
            errors["on"] = [_("The date must lie between screening and today.")]
        if state == State.SCREEN_FAILED and not explanation.strip():
            assessment = EligibilityAssessment.objects.filter(patient=patient).last()
            if assessment is None or assessment.is_eligible:
                errors["explanation"] = [_("Write why screening failed.")]
            else:
                explanation = because("Criteria: %(criteria)s", criteria=", ".join(assessment.unmet))
        if state in (State.WITHDRAWN, State.DIED) and not explanation.strip():
            errors["explanation"] = [_("Write the reason or the cause.")]
        if errors:
            raise Refused(errors)
        disposition = Disposition.objects.create(
            patient=patient, protocol_version=patient.protocol_version, state=state, on=on, explanation=explanation
        )
        patient.state = state
        next_version(patient, "state")
        announce("AFTER_DISPOSITION", disposition=disposition, by=by)
    return disposition

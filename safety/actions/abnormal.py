"""Graded results that propose an adverse event: reported as one, told to belong to one, or declined with the reason."""

from django.utils.translation import gettext as _

from patients.actions import lock_open_patient, next_version, refuse_when_withdrawn
from safety.abnormal_results import proposal_of
from safety.actions.adverse_events import report_adverse_event
from safety.actions.serious import link_results_of
from safety.models import AdverseEvent, DeclinedResult, ResultOfEvent, SeriousCase
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.saving import Refused, check_version
from visits.actions import marks_void


def report_proposed_event(*, measurement, values, confirmed=(), asked=None, by):
    """Report the adverse event that a result proposes: see `report_adverse_event`. The result belongs to it."""
    with acting(by):
        patient = lock_open_patient(measurement.patient)
        _open_proposal(measurement)
        event = report_adverse_event(patient=patient, values=values, confirmed=confirmed, asked=asked, by=by)
        _join(measurement, event, by)
    return event


def add_result_to_event(*, measurement, event, by):
    """Say that a result belongs to an adverse event that was reported already, and is at least as bad."""
    with acting(by):
        patient = lock_open_patient(measurement.patient)
        _open_proposal(measurement)
        event = AdverseEvent.objects.select_for_update(of=("self",)).get(pk=event.pk)
        refuse_when_withdrawn(event)
        if event.patient_id != patient.pk:
            raise Refused({"event": [_("This event is of another patient.")]})
        if event.grade < measurement.grade:
            told = _("The event has grade %(event)d and the result grade %(result)d: change the event's grade first.")
            raise Refused({"event": [told % {"event": event.grade, "result": measurement.grade}]})
        return _join(measurement, event, by)


def decline_result(*, measurement, reason, by):
    """Judge that a result is no adverse event, with the reason. A worse grade of it is proposed again."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why this is no adverse event.")]})
    with acting(by, reason):
        patient = lock_open_patient(measurement.patient, even_frozen=True)
        _open_proposal(measurement)
        marks_void(record=patient, reason=reason, by=by)  # who signed the casebook did not see this
        return _judge(DeclinedResult, measurement, by, reason=reason)


def restore_result(*, declined, version, reason, by):
    """Take a refusal back: if the grade still holds, it is proposed again."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why this is taken back.")]})
    with acting(by, reason):
        patient = lock_open_patient(declined.patient, even_frozen=True)
        declined = DeclinedResult.objects.select_for_update(of=("self",)).get(pk=declined.pk)
        check_version(declined, version)
        refuse_when_withdrawn(declined)
        declined.is_withdrawn = True
        next_version(declined, "is_withdrawn")
        marks_void(record=patient, reason=reason, by=by)
    return declined


def _open_proposal(measurement):
    """The patient is locked. Raises Refused when nothing waits any more."""
    measurement.refresh_from_db()
    if proposal_of(measurement) is None:
        raise Refused(_("This proposal is not open any more: it was judged, or the result has changed."))


def _join(measurement, event, by):
    joined = _judge(ResultOfEvent, measurement, by, event=event)
    case = SeriousCase.objects.select_for_update(of=("self",)).filter(event=event).first()
    if case:
        with acting(by, because("the records linked to the case were chosen")):
            link_results_of(case)
            next_version(case)
    return joined


def _judge(model, m, by, **more):
    return model.objects.create(
        patient_id=m.patient_id, protocol_version=(m.panel or m.infusion.visit).protocol_version, measurement=m,
        grade=m.grade, grade_scale=m.grade_scale, grade_scale_version=m.grade_scale_version, grade_row=m.grade_row,
        judged_by=by, **more,
    )  # fmt: skip

"""What proposes an adverse event, a graded result or a reaction to an infusion: reported as one, told to belong to one, or
declined with the reason."""

from functools import partial

from django.utils.translation import gettext as _

from patients.actions import lock_open_patient, next_version, refuse_when_withdrawn
from safety.abnormal_results import proposal_of, version_of
from safety.actions.adverse_events import report_adverse_event
from safety.actions.serious import link_results_of
from safety.actions.stopping import watch_events
from safety.models import AdverseEvent, DeclinedResult, ResultOfEvent, SeriousCase
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.saving import Refused, check_version
from visits.actions import marks_void
from visits.models import Measurement


def report_proposed_event(*, seen, values, confirmed=(), asked=None, by):
    """Report the adverse event that a result or a reaction proposes: see `report_adverse_event`. It belongs to it before
    anything follows from the event: a stopping rule counts both once."""
    with acting(by):
        patient = lock_open_patient(seen.patient)
        _open_proposal(seen)
        return report_adverse_event(
            patient=patient, values=values, confirmed=confirmed, asked=asked, at_once=partial(_join, seen, by=by), by=by
        )


def add_result_to_event(*, seen, event, by):
    """Say that a result or a reaction belongs to an adverse event that was reported already, and is at least as bad."""
    with acting(by):
        patient = lock_open_patient(seen.patient)
        _open_proposal(seen)
        event = AdverseEvent.objects.select_for_update(of=("self",)).get(pk=event.pk)
        refuse_when_withdrawn(event)
        if event.patient_id != patient.pk:
            raise Refused({"event": [_("This event is of another patient.")]})
        if event.grade < seen.grade:
            told = _("The event has grade %(event)d, and what was seen grade %(seen)d: change the event's grade first.")
            raise Refused({"event": [told % {"event": event.grade, "seen": seen.grade}]})
        joined = _join(seen, event, by=by)
        if joined.reaction_id:  # which may make it one that a stopping rule counts
            watch_events(events=[event], by=by)
        return joined


def decline_result(*, seen, reason, by):
    """Judge that a result or a reaction is no adverse event, with the reason. A worse grade of it is proposed again."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why this is no adverse event.")]})
    with acting(by, reason):
        patient = lock_open_patient(seen.patient, even_frozen=True)
        _open_proposal(seen)
        marks_void(record=patient, reason=reason, by=by)  # who signed the casebook did not see this
        return _judge(DeclinedResult, seen, by, reason=reason)


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


def _open_proposal(seen):
    """The patient is locked. Raises Refused when nothing waits any more."""
    seen.refresh_from_db()
    if proposal_of(seen) is None:
        raise Refused(_("This proposal is not open any more: it was judged, or the record has changed."))


def _join(seen, event, *, by):
    joined = _judge(ResultOfEvent, seen, by, event=event)
    case = SeriousCase.objects.select_for_update(of=("self",)).filter(event=event).first()
    if case:
        with acting(by, because("the records linked to the case were chosen")):
            link_results_of(case)
            next_version(case)
    return joined


def _judge(model, seen, by, **more):
    which = "measurement" if isinstance(seen, Measurement) else "reaction"
    return model.objects.create(
        patient_id=seen.patient_id, protocol_version=version_of(seen), **{which: seen},
        grade=seen.grade, grade_scale=seen.grade_scale, grade_scale_version=seen.grade_scale_version,
        grade_row=seen.grade_row, judged_by=by, **more,
    )  # fmt: skip

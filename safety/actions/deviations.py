"""Deviations: recorded by hand or from a proposal, changed, taken back; and proposals judged to be none."""

from datetime import timedelta

from django.db.models import Max
from django.utils.translation import gettext as _

from patients.actions import lock_open_patient, next_version, refuse_when_withdrawn
from safety.deviations import find_contradictions
from safety.models import Deviation, DismissedProposal
from safety.proposals import unjudged_of
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.saving import Refused, check_version
from visits.actions import marks_void


def record_deviation(*, patient, values, proposal_key="", by):
    """Record a deviation; `values` by the names of Deviation's fields. With the key of a proposal, that one is judged.

    Raises Refused with what contradicts itself, and when the proposal is not open any more."""
    with acting(by):
        patient = lock_open_patient(patient, even_frozen=True)
        seen = _open_proposal(patient, proposal_key).sentence.stored() if proposal_key else None
        _refuse_contradictions(patient, values, seen)
        last = Deviation.objects.filter(patient=patient).aggregate(last=Max("sequence"))["last"] or 0
        _void_casebook(patient, "a deviation was recorded", by)
        return Deviation.objects.create(
            patient=patient,
            protocol_version=patient.protocol_version,
            sequence=last + 1,
            proposal_key=proposal_key,
            seen=seen,
            reported_by=by,
            **values,
        )


def _void_casebook(patient, reason, by):
    """Who signed the patient's casebook did not see this."""
    marks_void(record=patient, reason=reason, by=by)


def change_deviation(*, deviation, values, version, reason, by):
    """Change a deviation, with the reason."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why the entry is changed.")]})
    with acting(by, reason):
        patient = lock_open_patient(deviation.patient, even_frozen=True)
        deviation = Deviation.objects.select_for_update(of=("self",)).get(pk=deviation.pk)
        check_version(deviation, version)
        refuse_when_withdrawn(deviation)
        for name, value in values.items():
            setattr(deviation, name, value)
        _refuse_contradictions(patient, {**deviation.__dict__, **values}, deviation.seen)
        next_version(deviation, *values)
        _void_casebook(patient, reason, by)
    return deviation


def withdraw_deviation(*, deviation, version, reason, by):
    """Mark a deviation as entered in error. It stays readable; what it was proposed from is proposed again."""
    return _take_back(Deviation, deviation, version, reason, by)


def dismiss_proposal(*, patient, proposal_key, reason, by):
    """Judge that what the system sees is no deviation, with the reason."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why this is no deviation.")]})
    with acting(by, reason):
        patient = lock_open_patient(patient, even_frozen=True)
        proposal = _open_proposal(patient, proposal_key)
        _void_casebook(patient, reason, by)
        return DismissedProposal.objects.create(
            patient=patient,
            protocol_version=patient.protocol_version,
            proposal_key=proposal.key,
            seen=proposal.sentence.stored(),
            reason=reason,
            dismissed_by=by,
        )


def restore_proposal(*, dismissed, version, reason, by):
    """Take a dismissal back: if it still holds, it is proposed again."""
    return _take_back(DismissedProposal, dismissed, version, reason, by)


def _take_back(model, line, version, reason, by):
    if not reason.strip():
        raise Refused({"reason": [_("Write why this is taken back.")]})
    with acting(by, reason):
        lock_open_patient(line.patient, even_frozen=True)
        line = model.objects.select_for_update(of=("self",)).get(pk=line.pk)
        check_version(line, version)
        refuse_when_withdrawn(line)
        line.is_withdrawn = True
        next_version(line, "is_withdrawn")
        _void_casebook(line.patient, reason, by)
    return line


def _open_proposal(patient, key):
    """The proposal that waits for a judgement; the patient is locked. Raises Refused when there is none."""
    for proposal in unjudged_of(patient):
        if proposal.key == key:
            return proposal
    raise Refused(_("This proposal is not open any more: it was judged, or the data have changed."))


def _refuse_contradictions(patient, values, seen):
    not_before = patient.screened_on - timedelta(days=30)
    errors = find_contradictions(values, not_before=not_before, today=today_at(patient.site))
    if not values["description"].strip() and not seen:
        errors["description"] = [_("Write what happened.")]
    if errors:
        raise Refused(errors)
    visit = values.get("visit")
    if visit is not None and visit.patient_id != patient.pk:
        raise Refused({"visit": [_("This visit is of another patient.")]})

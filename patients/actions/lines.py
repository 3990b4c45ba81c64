"""Histories and medication: lists of a patient, line by line."""

from django.utils.translation import gettext as _

from patients.actions.records import (
    announce,
    lock_open_patient,
    next_version,
    refuse_before_consent,
    refuse_when_withdrawn,
)
from patients.models import HivHistory
from trialsite.audit import acting
from trialsite.saving import Refused, check_version, require_reason


def save_line(*, model, patient, values, line=None, version=None, reason="", confirmed=(), asked=None, by):
    """Add a line to a list of the patient (history, treatment, medication), or change one.

    What the edit checks of the floors above ask about it becomes a query, unless it is in `confirmed`: (check, field).
    Where a person can be asked, `asked` are the tokens of what was asked (trialsite.saving.Question); what is not among
    them raises Questions, and nothing is saved."""
    answers = {"confirmed": confirmed, "asked": asked}
    with acting(by, reason):
        patient = lock_open_patient(patient)
        refuse_before_consent(patient)
        if line is None:
            if model is HivHistory and HivHistory.objects.filter(patient=patient).exists():
                raise Refused(_("The HIV history was entered already; change that one."))
            _refuse_impossible_span(model, values)
            line = model.objects.create(patient=patient, protocol_version=patient.protocol_version, **values)
            announce("AFTER_LINE_SAVED", line=line, **answers, by=by)
            return line
        line = model.objects.select_for_update().get(pk=line.pk, patient=patient)
        check_version(line, version)
        refuse_when_withdrawn(line)
        require_reason(reason)
        for name, value in values.items():
            setattr(line, name, value)
        _refuse_impossible_span(model, line.__dict__)
        next_version(line, *values)
        announce("AFTER_LINE_SAVED", line=line, **answers, by=by)
        announce("AFTER_CHANGE", record=line, reason=reason, by=by)
        return line


def withdraw_line(*, line, version, reason, by):
    """Mark a line as entered in error. It stays in the history and no longer counts."""
    with acting(by, reason):
        lock_open_patient(line.patient)
        line = type(line).objects.select_for_update().get(pk=line.pk)
        check_version(line, version)
        refuse_when_withdrawn(line)
        require_reason(reason, _("Write why the entry is withdrawn."))
        line.is_withdrawn = True
        next_version(line, "is_withdrawn")
        announce("AFTER_LINE_SAVED", line=line, by=by)
        announce("AFTER_CHANGE", record=line, reason=reason, by=by)
    return line


def _refuse_impossible_span(model, values):
    if values.get("is_ongoing") and values.get("ended_on"):
        raise Refused({"ended_on": [_("An end date contradicts “ongoing”.")]})
    if values.get("is_ongoing") is False and not values.get("ended_on") and model is not HivHistory:
        raise Refused({"ended_on": [_("Write the end date, or say that it is ongoing.")]})
    start, end = values.get("started_on") or "", values.get("ended_on") or ""
    if start and end and end[: len(start)] < start[: len(end)]:
        raise Refused({"ended_on": [_("The end is before the start.")]})

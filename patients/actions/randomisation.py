"""Randomisation: the next place of the patient's stratum, and day 0."""

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from patients import randomisation
from patients.actions.halts import refuse_when_halted, refuse_when_waiting
from patients.actions.records import announce, lock_open_patient, next_version
from patients.models import AllocationList, AllocationSlot, Blocked, State
from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.reasons import because
from trialsite.saving import Refused

# how long a patient's randomisation may wait for those before it
TURNSTILE_PATIENCE = "30s"


def randomise_patient(*, patient, day_0, version, by):
    """Take the next place of the patient's stratum and plan the visits from day 0.

    The place is taken last: who comes at the same time waits a few milliseconds at a lock on the first list and
    then sees which places are gone, so that places go out one after another and none twice."""
    with acting(by, because("randomised, day 0 planned for %(day)s", day=day_0)):
        patient = lock_open_patient(patient, version)
        if patient.state != State.ELIGIBLE:
            raise Refused(
                _("Only an eligible patient is randomised; this one is: %(state)s.")
                % {"state": patient.get_state_display()}
            )
        today = today_at(patient.site)
        refuse_when_waiting(Blocked.RANDOMISE, patient=patient, on=today)
        refuse_when_halted(Blocked.RANDOMISE, patient=patient)
        earliest = patient.assessed_on or patient.screened_on
        if not earliest <= day_0 <= today + timedelta(days=14):
            raise Refused(
                {
                    "day_0": [
                        _("Day 0 must lie between the assessment of %(earliest)s and 14 days from now.")
                        % {"earliest": earliest}
                    ]
                }
            )
        stratum = _stratum_of(patient, day_0)
        patient.state, patient.day_0 = State.RANDOMISED, day_0
        next_version(patient, "state", "day_0")
        announce("AFTER_RANDOMISATION", patient=patient, by=by)
        _take_next_slot(patient, stratum, by)
        announce("AFTER_ALLOCATION", patient=patient, by=by)
    return patient


def _stratum_of(patient, on):
    protocol = patient.protocol
    results = {}
    if any(factor.by == "test" for factor in protocol.allocation.strata):
        known = import_string(settings.SCREENING_EVIDENCE)(patient)
        for test, evidence in known.items():
            newest = max((e for e in evidence if e.collected_on <= on), key=lambda e: e.collected_on, default=None)
            if newest and newest.value is not None and not newest.operator:
                results[test] = newest.value
    try:
        return randomisation.stratum_of(protocol, site=patient.site.code, sex=patient.sex, results=results)
    except randomisation.NoStratum as lack:
        raise Refused(_("The stratum cannot be told: %(missing)s") % {"missing": " ".join(lack.missing)}) from None


def _take_next_slot(patient, stratum, by):
    with connection.cursor() as cursor:
        cursor.execute(
            "select set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
            [TURNSTILE_PATIENCE, TURNSTILE_PATIENCE],
        )
    AllocationList.objects.select_for_update().order_by("pk").first()
    slot = AllocationSlot.objects.filter(stratum=stratum, patient=None).order_by("sequence").first()
    if slot is None:
        raise Refused(
            _("No place is left for stratum %(stratum)s; the statistician must add to the list.") % {"stratum": stratum}
        )
    slot.patient, slot.taken_at, slot.taken_by = patient, timezone.now(), by
    slot.save(update_fields=["patient", "taken_at", "taken_by"])


def set_day_0(*, patient, day_0, reason, by):
    """Move day 0 to the day on which the first infusion was really given."""
    with acting(by, reason):
        patient = lock_open_patient(patient)
        if patient.day_0 != day_0:
            patient.day_0 = day_0
            next_version(patient, "day_0")
    return patient

"""Staggering of the first patients: why the next one waits, and from which day it may go on. Asked by the work-list, at the
page of an infusion, and under the gate of the halts at the moment of randomising and of preparing or recording a first infusion
(settings.BEFORE_TREATMENT)."""

from django.utils.translation import gettext_noop

from patients.actions import hold_halts
from patients.models import AllocationSlot, Patient, State
from safety.stopping.evaluation import waiting_for
from safety.stopping.facts import read_treated
from trialsite import trial
from trialsite.words import Sentence
from visits.models import Preparation

UNTIL = gettext_noop(
    "The first %(patients)s patients and the one after them wait for one another: the next one may begin on %(until)s."
)
GOES_ON = gettext_noop("The next patient waits until an adverse event of an earlier one is resolved.")
NOT_TREATED = gettext_noop("The next patient waits until the one before has had the first infusion.")


def reasons_to_wait(*, what, days, is_final):
    """Why `what` ("randomise", "infuse") must wait, for patients who were not treated yet: {patient.pk: sentences}, each
    on the day that `days` names; nobody else is in it. In the same number of statements for one patient or many.

    What `is_final` is asked under the gate of the halts, so that nobody else begins or has an event meanwhile."""
    asked = {p: on for p, on in days.items() if p.protocol.sentinel and what in p.protocol.sentinel.blocks}
    if not asked:
        return {}
    if is_final:
        hold_halts()
    if what == "infuse" and any(patient.protocol.sentinel.arms for patient in asked):
        arms = dict(AllocationSlot.objects.filter(patient__in=asked).values_list("patient", "arm"))
        asked = {p: on for p, on in asked.items() if p.pk in arms and _is_of(p.protocol.sentinel, arms[p.pk])}
    found = {}
    for version in {patient.protocol_version for patient in asked}:
        of_version = {patient.pk: on for patient, on in asked.items() if patient.protocol_version == version}
        found |= reasons_now(trial.protocol(version).sentinel, what, of_version)
    return found


def reasons_now(sentinel, what, days):
    """The same by the patient's key; None stands for whoever comes next."""
    protocol = trial.current_protocol()
    treated = [one for one in read_treated(protocol) if _is_of(sentinel, one.arm)]
    beginning = _about_to_begin(sentinel, what) if len(treated) <= sentinel.patients + 1 else set()
    found = {}
    for patient, on in days.items():
        before = [one for one in treated if one.id != patient]
        waiting, reasons = waiting_for(sentinel, before, protocol.events_of_interest), []
        if waiting.until and on < waiting.until:
            reasons.append(Sentence(UNTIL, {"patients": sentinel.patients, "until": waiting.until}))
        if waiting.unresolved:
            reasons.append(Sentence(GOES_ON))
        if len(before) <= sentinel.patients and beginning - {patient}:
            reasons.append(Sentence(NOT_TREATED))
        if reasons:
            found[patient] = reasons
    return found


def _is_of(sentinel, arm):
    return not sentinel.arms or arm in sentinel.arms


def _about_to_begin(sentinel, what):
    """The keys of the patients who are randomised, or for an infusion prepared, and have not begun yet."""
    waiting = Patient.objects.filter(state=State.RANDOMISED, infusions=None)
    if what == "infuse":
        waiting = waiting.filter(pk__in=Preparation.objects.filter(number=1).values("patient"))
    if sentinel.arms:
        waiting = waiting.filter(slot__arm__in=sentinel.arms)
    return set(waiting.values_list("pk", flat=True))


def waiting_now(on):
    """What the next patient waits for on a day: sentences; none without sentinels."""
    sentinel = trial.current_protocol().sentinel
    return [] if sentinel is None else reasons_now(sentinel, sentinel.blocks[0], {None: on}).get(None, [])

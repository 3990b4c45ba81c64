"""Staggering of the first patients: why the next one waits, and from which day it may go on. Asked at the page of
an infusion, and under the gate of the halts at the moment of randomising and of preparing or recording a first infusion
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


def reasons_to_wait(*, what, patient, on, is_final):
    """Why `what` ("randomise", "infuse") must wait on a day, for a patient who was not treated yet: sentences, or none.

    What `is_final` is asked under the gate of the halts, so that nobody else begins or has an event meanwhile."""
    sentinel = patient.protocol.sentinel
    if sentinel is None or what not in sentinel.blocks:
        return []
    if is_final:
        hold_halts()
    if what == "infuse" and sentinel.arms:
        slot = AllocationSlot.objects.filter(patient=patient).first()
        if slot is None or slot.arm not in sentinel.arms:
            return []
    return reasons_now(sentinel, what, on, patient)


def reasons_now(sentinel, what, on, patient=None):
    """The same for whoever comes next."""
    protocol = trial.current_protocol()
    treated = [
        one for one in read_treated(protocol) if not (patient and one.id == patient.pk) and _is_of(sentinel, one.arm)
    ]  # fmt: skip
    waiting = waiting_for(sentinel, treated, protocol.events_of_interest)
    reasons = []
    if waiting.until and on < waiting.until:
        reasons.append(Sentence(UNTIL, {"patients": sentinel.patients, "until": waiting.until}))
    if waiting.unresolved:
        reasons.append(Sentence(GOES_ON))
    if len(treated) <= sentinel.patients and _is_another_about_to_begin(sentinel, what, patient):
        reasons.append(Sentence(NOT_TREATED))
    return reasons


def _is_of(sentinel, arm):
    return not sentinel.arms or arm in sentinel.arms


def _is_another_about_to_begin(sentinel, what, patient):
    """Is somebody else randomised, or for an infusion prepared, who has not begun yet?"""
    others = Patient.objects.filter(state=State.RANDOMISED, infusions=None).exclude(pk=patient and patient.pk)
    if what == "infuse":
        others = others.filter(pk__in=Preparation.objects.filter(number=1).values("patient"))
    if sentinel.arms:
        others = others.filter(slot__arm__in=sentinel.arms)
    return others.exists()


def waiting_now(on):
    """What the next patient waits for on a day: sentences; none without sentinels."""
    sentinel = trial.current_protocol().sentinel
    return [] if sentinel is None else reasons_now(sentinel, sentinel.blocks[0], on)

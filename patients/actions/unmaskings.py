"""Emergency unmasking: that somebody was told an arm, never the arm."""

from django.utils.translation import gettext as _

from patients.models import AllocationSlot, Unmasking
from patients.notices import tell_of_unmasking
from trialsite import trial
from trialsite.audit import acting
from trialsite.saving import Refused


def unmask_patient(*, patient, category, explanation, by):
    """Write down that `by` is told the arm of one patient, and why; the sponsor is told that, not the arm. Raises Refused.

    Call it after `confirm_signer`; `patients.arms.arm_told_by` then tells the arm. It waits for no lock of ours and asks
    for no hold: in an emergency nothing may stand in the way."""
    if not trial.current_protocol().is_masked:
        raise Refused(_("This trial is open: nothing is masked."))
    if not AllocationSlot.objects.filter(patient=patient).exists():
        raise Refused(_("The patient is not randomised: there is no arm to tell."))
    if not explanation.strip():
        raise Refused({"explanation": [_("Write why the arm must be known.")]})
    with acting(by):
        unmasking = Unmasking.objects.create(
            patient=patient,
            category=category,
            explanation=explanation,
            unmasked_by=by,
            is_again=Unmasking.objects.filter(patient=patient, unmasked_by=by).exists(),
        )
        tell_of_unmasking(unmasking)
    return unmasking

"""Who sees which arm: the only place that reads arms for people."""

from patients.models import AllocationSlot
from trialsite import trial
from trialsite.roles import can_see_arm


def arms_seen_by(user, patients):
    """Arm by patient id, of those patients whose arm this person may see; one query."""
    masked = trial.current_protocol().is_masked
    seen = [patient.pk for patient in patients if can_see_arm(user, masked=masked, site=patient.site)]
    if not seen:
        return {}
    return dict(AllocationSlot.objects.filter(patient__in=seen).values_list("patient_id", "arm"))


def arm_position(code):
    """1, 2 ... in the order of the protocol: which colour and shape an arm has."""
    codes = [arm.code for arm in trial.current_protocol().arms]
    return codes.index(code) + 1 if code in codes else 0

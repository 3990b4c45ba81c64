"""Who sees which arm: the only place that reads arms for people."""

from datetime import timedelta

from django.utils import timezone

from patients.models import AllocationSlot
from trialsite import trial
from trialsite.roles import Permission, can, can_see_arm, sites_where

# so long an unmasking shows the arm: an answer that was lost on the way can be loaded again, a page left open cannot
TOLD_FOR = timedelta(minutes=10)


def arms_seen_by(user, patients):
    """Arm by patient id, of those patients whose arm this person may see; one query."""
    masked = trial.current_protocol().is_masked
    seen = [patient.pk for patient in patients if can_see_arm(user, masked=masked, site=patient.site)]
    if not seen:
        return {}
    return dict(AllocationSlot.objects.filter(patient__in=seen).values_list("patient_id", "arm"))


def sees_every_arm(user, permission):
    """May this person see the arm of every patient whom the permission shows? Others filter and part nothing by arm: of
    the patients of the other sites that would tell it."""
    at = [sites_where(user, Permission.SEE_ARM)]
    if not trial.current_protocol().is_masked:
        at.append(sites_where(user, Permission.SEE_ARM_WHEN_OPEN))
    if None in at:
        return True
    shown = sites_where(user, permission)
    return shown is not None and shown <= set().union(*at)


def arm_told_by(unmasking, user):
    """The arm that this unmasking tells `user`, or None: only who unmasked is told, only while that person may unmask at
    this site, and only for some minutes. Nobody else learns anything by it, and of no other patient."""
    is_theirs = unmasking.unmasked_by_id == user.pk
    age = timezone.now() - unmasking.unmasked_at
    if not (is_theirs and timedelta(0) <= age <= TOLD_FOR):
        return None
    if not can(user, Permission.UNMASK_PATIENTS, unmasking.patient.site):
        return None
    return AllocationSlot.objects.values_list("arm", flat=True).get(patient=unmasking.patient_id)


def arm_position(code):
    """1, 2 ... in the order of the protocol: which colour and shape an arm has."""
    codes = [arm.code for arm in trial.current_protocol().arms]
    return codes.index(code) + 1 if code in codes else 0

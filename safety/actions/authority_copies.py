"""The copy of a serious case that names the product, for the authority: asked for by the sponsor, made by who may see the arm."""

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from safety.cases import goes_to_authority, may_make_copy
from safety.models import AuthorityCopy, CopyStep, SeriousCase
from safety.notices import tell_of_copy_asked, tell_of_copy_made
from trialsite.audit import acting
from trialsite.roles import Permission, require
from trialsite.saving import Refused


def ask_for_authority_copy(*, case_version, purpose, by):
    """Ask who may see arms for the authority's copy of a version; they get an e-mail. Raises Refused."""
    require(by, Permission.JUDGE_SERIOUS_EVENTS, case_version.patient.site)
    with acting(by):
        _lock_case(case_version)
        earlier = AuthorityCopy.objects.filter(case_version=case_version).last()
        if earlier and earlier.step == CopyStep.ASKED:
            raise Refused(_("The copy was asked for already, and is not made yet."))
        copy = _note(case_version, CopyStep.ASKED, purpose, by)
        tell_of_copy_asked(copy)
    return copy


def make_authority_copy(*, case_version, purpose, by):
    """Write down that `by` makes the copy that names the product, and why. Raises Refused.

    Call it after `confirm_signer`; `safety.cioms.authority_pdf` then makes it. The sponsor's safety officers are told that
    it is made, not what it says."""
    if not may_make_copy(by, case_version.patient):
        raise PermissionDenied("make the authority's copy of a case")
    with acting(by):
        _lock_case(case_version)
        copy = _note(case_version, CopyStep.MADE, purpose, by)
        tell_of_copy_made(copy)
    return copy


def _lock_case(case_version):
    cases = SeriousCase.objects.select_for_update(of=("self",)).select_related("event", "patient__site")
    case = cases.get(pk=case_version.case_id)
    if not goes_to_authority(case):
        raise Refused(
            _("Only a suspected unexpected serious reaction of a masked trial is reported with the product named.")
        )
    return case


def _note(case_version, step, purpose, by):
    return AuthorityCopy.objects.create(
        case_id=case_version.case_id, case_version=case_version, patient_id=case_version.patient_id, step=step,
        purpose=purpose, by=by,
    )  # fmt: skip

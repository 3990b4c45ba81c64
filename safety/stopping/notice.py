"""The e-mail that tells of a halt a stopping rule opened: to whom, and in which words. It names no patient and no arm."""

from django.db.models import Q
from django.utils.translation import gettext as _

from patients.models import Scope
from trialsite import trial
from trialsite.models import Grant, User
from trialsite.roles import ROLES, Permission, can_see_arm


def people_to_tell(halt):
    """Those who may decide, the sponsor's safety officer, and the investigators of the sites concerned; of an arm that is
    held while the trial is masked those alone who may see arms."""
    sites = Q(site=halt.patient.site_id) if halt.patient_id else Q()
    everywhere = _roles(Permission.RECORD_DECISIONS, Permission.OPEN_HALTS)
    grants = Grant.objects.current().filter(Q(role__in=everywhere) | Q(role__in=_roles(Permission.SIGN_DATA)) & sites)
    people = User.objects.filter(is_active=True, pk__in=grants.values("user")).exclude(email="").order_by("pk")
    masked = trial.current_protocol().is_masked
    return [
        person for person in people if halt.scope != Scope.ARM or can_see_arm(person, masked=masked)
    ]  # fmt: skip


def _roles(*permissions):
    return [role for role, (_sentence, may) in ROLES.items() if any(permission in may for permission in permissions)]


def words_of_halt(halt):
    """(subject, text)."""
    told = {"trial": trial.current_protocol().trial.id, "what": halt.blocks_text, "cause": halt.reason,
            "at": f"{halt.opened_at:%Y-%m-%d %H:%M} UTC"}  # fmt: skip
    subject = _("Trialsite %(trial)s: a stopping rule has opened a halt") % told
    text = _(
        "Held since %(at)s: %(what)s.\n\n%(cause)s\n\n"
        "The halt holds until the safety board's decision is recorded. Sign in to Trialsite to see what it rests on."
    )
    return subject, text % told

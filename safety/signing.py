"""Who has signed a recommendation of the safety board, and for whom it waits."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from safety.models import BoardSignature
from trialsite import mails, trial
from trialsite.roles import Permission
from trialsite.words import listed


@dataclass(frozen=True)
class Signing:
    """`signed` of the `wanted` signatures are there; `others` are the names of those who may give the rest."""

    signed: int
    wanted: int
    others: tuple[str, ...]

    @property
    def missing(self) -> int:
        return max(self.wanted - self.signed, 0)

    @property
    def has_too_few(self) -> bool:
        return len(self.others) < self.missing

    @property
    def count_text(self) -> str:
        return _("%(signed)s of %(wanted)s signatures") % {"signed": self.signed, "wanted": self.wanted}

    @property
    def others_text(self) -> str:
        names = listed(self.others)
        if len(self.others) <= self.missing:
            return names
        return _("%(n)s of: %(names)s") % {"n": self.missing, "names": names}


def board_members():
    return list(mails.people_who(Permission.RECORD_DECISIONS))


def signatures_in_force(recommendations, members):
    """Of recommendations that are not in effect, those that count: given for the version that stands now (something more
    that meets the rule of a halt it would lift makes a new one), by who is a member of the board now. Others stay as a
    record. {recommendation: {person}}, by keys."""
    versions, may_sign = {one.pk: one.version for one in recommendations}, {member.pk for member in members}
    given = BoardSignature.objects.filter(recommendation__in=versions, signed_by__in=may_sign)
    signers: dict[int, set[int]] = {}
    for recommendation, by, version in given.values_list("recommendation_id", "signed_by_id", "record_version"):
        if version == versions[recommendation]:
            signers.setdefault(recommendation, set()).add(by)
    return signers


def add_signing(recommendations):
    """Give each that is neither in effect nor withdrawn its `signing`: two statements for all. For eyes of the board."""
    waiting = [one for one in recommendations if not one.effective_at and not one.is_withdrawn]
    if not waiting:
        return
    members, wanted = board_members(), trial.current_protocol().trial.board_signatures
    signers = signatures_in_force(waiting, members)
    for one in waiting:
        by = signers.get(one.pk, set())
        one.signing = Signing(len(by), wanted, tuple(member.full_name for member in members if member.pk not in by))

"""Whether a reaction is expected: held against the reference safety information of the protocol (ICH E2A, II.C).

What is more serious, graver or more specific than the reference says is unexpected. This proposes; the sponsor judges.
Values in, a sentence out."""

from dataclasses import dataclass

from django.utils.translation import gettext_noop as _

from trialsite.protocol.reporting import ExpectedEvent
from trialsite.words import Sentence


@dataclass(frozen=True)
class Proposal:
    is_expected: bool
    because: Sentence


def propose(
    expected: tuple[ExpectedEvent, ...], *, terms: tuple[str, ...], grade: int, is_serious: bool, is_fatal: bool
) -> Proposal:
    """What the reference says of an event known by any of these `terms` (as reported, as coded)."""
    told = {" ".join(term.split()).casefold() for term in terms if term}
    entry = next((e for e in expected if told & {term.casefold() for term in e.terms}), None)
    if entry is None:
        return Proposal(False, Sentence(_("The term is not in the list of expected reactions.")))
    name = {"term": entry.terms[0]}
    if is_fatal and entry.worst_grade < 5:
        return Proposal(False, Sentence(_("%(term)s is expected, but not with a fatal outcome."), name))
    if grade > entry.worst_grade:
        values = {**name, "worst": entry.worst_grade, "grade": grade}
        return Proposal(
            False, Sentence(_("%(term)s is expected up to grade %(worst)s; this is grade %(grade)s."), values)
        )
    if is_serious and not entry.serious:
        return Proposal(False, Sentence(_("%(term)s is expected, but not as a serious event."), name))
    return Proposal(
        True, Sentence(_("%(term)s is expected up to grade %(worst)s."), {**name, "worst": entry.worst_grade})
    )

"""Whether a reaction is expected: held against the reference safety information of the protocol (ICH E2A, II.C).

What is more serious, graver or more specific than the reference says is unexpected. The reference names terms of the
dictionary, so the event is looked up by its code in force, and by the reported term only while it has none. This
proposes; the sponsor judges. Values in, sentences out."""

from dataclasses import dataclass

from django.utils.translation import gettext_noop as _

from trialsite.protocol.reporting import ExpectedEvent
from trialsite.words import Sentence

AS_CODED = _("Looked up as coded: %(term)s (%(dictionary)s).")
AS_REPORTED = _("Looked up as reported: %(term)s; no code of it is approved.")
WHOLE = _("%(finding)s %(looked_up)s")


@dataclass(frozen=True)
class Coded:
    """The code in force of an event: a term of the dictionary, and the preferred term above it."""

    term: str
    preferred_term: str
    dictionary: str


@dataclass(frozen=True)
class Proposal:
    """`because` is what the reference says, `looked_up` under which term it was asked."""

    is_expected: bool
    because: Sentence
    looked_up: Sentence

    def __str__(self):
        return str(self._whole)

    def stored(self) -> dict:
        """Both sentences, as a judgement keeps them."""
        return self._whole.stored()

    @property
    def _whole(self):
        return Sentence(WHOLE, {"finding": self.because, "looked_up": self.looked_up})

    def differs_from(self, stored: dict) -> bool:
        """Does this say something else than what a judgement kept: another finding, or one about another coded term?

        That words are coded now which were not then is no other finding."""
        if stored.get("template") != WHOLE:  # of a judgement that was made before codes were looked at
            return stored != self.because.stored()
        now, before = self.stored()["values"], stored["values"]
        if now["finding"] != before["finding"]:
            return True
        both_coded = now["looked_up"]["template"] == before["looked_up"]["template"] == AS_CODED
        return both_coded and now["looked_up"]["values"]["term"] != before["looked_up"]["values"]["term"]


def propose(
    expected: tuple[ExpectedEvent, ...], *, reported: str, coded: Coded | None = None, grade: int, is_serious: bool,
    is_fatal: bool,
) -> Proposal:  # fmt: skip
    """What the reference says of an event that was reported in these words and is coded so, if it is."""
    if coded:
        terms = (coded.term, coded.preferred_term)
        looked_up = Sentence(AS_CODED, {"term": coded.preferred_term, "dictionary": coded.dictionary})
    else:
        terms, looked_up = (reported,), Sentence(AS_REPORTED, {"term": reported})
    told = {" ".join(term.split()).casefold() for term in terms}
    entry = next((e for e in expected if told & {term.casefold() for term in e.terms}), None)
    is_expected, because = _found(entry, grade, is_serious, is_fatal)
    return Proposal(is_expected, because, looked_up)


def _found(entry, grade, is_serious, is_fatal):
    """(is it expected, why) of an event of which this entry of the reference speaks, or none."""
    if entry is None:
        return False, Sentence(_("The term is not in the list of expected reactions."))
    name = {"term": entry.terms[0]}
    if is_fatal and entry.worst_grade < 5:
        return False, Sentence(_("%(term)s is expected, but not with a fatal outcome."), name)
    if grade > entry.worst_grade:
        values = {**name, "worst": entry.worst_grade, "grade": grade}
        return False, Sentence(_("%(term)s is expected up to grade %(worst)s; this is grade %(grade)s."), values)
    if is_serious and not entry.serious:
        return False, Sentence(_("%(term)s is expected, but not as a serious event."), name)
    return True, Sentence(_("%(term)s is expected up to grade %(worst)s."), {**name, "worst": entry.worst_grade})

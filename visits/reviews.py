"""Marks and holds: what may be said of a form and when, what closes records, what makes a mark void. No database here.

A mark (visits.models.Review) is set on a form; a hold (patients.models.Hold) on a visit or on all records of a patient.
`STEPS` is the whole of it: docs/states.md is printed from it by `manage.py print_states`."""

from dataclasses import dataclass, field
from typing import Literal

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop as noop

from patients.models import Hold
from trialsite.roles import Permission
from trialsite.words import Sentence
from visits.models.reviews import Mark

# the states of a mark; several marks stand on a form, each in a state of its own
NO_MARK, VOID = "", "void"


@dataclass(frozen=True)
class Standing:
    """What the rules ask about a form, a visit or a patient's records. Counts are of what belongs to it."""

    has_entries: bool = True  # something was entered, or it was said that nothing was done
    is_over: bool = True  # the visit took place or was missed; the patient's way through the trial has ended
    pending: int = 0  # panels begun or not entered yet
    open_queries: int = 0  # which the site has not answered
    unclosed_queries: int = 0
    unsigned: int = 0  # forms that must be signed and are not
    is_withdrawn: bool = False  # entered in error
    hold: str = Hold.OPEN
    hold_above: str = Hold.OPEN  # of the patient, for a visit
    marks: frozenset = field(default_factory=frozenset)  # (mark, field) that stand


@dataclass(frozen=True)
class Step:
    """`before` are the states from which it leads to `after`; `needs` are keys of NEEDS; `reasoned` asks for a reason."""

    of: Literal["mark", "hold"]
    before: tuple[str, ...]
    after: str
    permission: Permission
    needs: tuple[str, ...] = ()
    reasoned: bool = False
    words: str = ""


STEPS = {
    "verify": Step("mark", (NO_MARK, VOID), Mark.VERIFIED, Permission.VERIFY_SOURCE,
                   ("entered", "complete", "not_withdrawn", "not_locked"), words=_("verify")),
    "review": Step("mark", (NO_MARK, VOID), Mark.REVIEWED, Permission.REVIEW_DATA,
                   ("entered", "complete", "answered", "not_withdrawn", "not_locked"), words=_("review")),
    "sign": Step("mark", (NO_MARK, VOID), Mark.SIGNED, Permission.SIGN_DATA,
                 ("entered", "complete", "answered", "not_withdrawn", "not_locked"), words=_("sign")),
    "sign_casebook": Step("mark", (NO_MARK, VOID), Mark.SIGNED, Permission.SIGN_DATA,
                          ("over", "complete", "answered", "frozen", "not_locked"), words=_("sign the casebook")),
    "freeze": Step("hold", (Hold.OPEN,), Hold.FROZEN, Permission.REVIEW_DATA,
                   ("over", "complete", "answered"), words=_("freeze")),
    "lock": Step("hold", (Hold.OPEN, Hold.FROZEN), Hold.LOCKED, Permission.REVIEW_DATA,
                 ("over", "complete", "closed", "signed"), words=_("lock")),
    "unfreeze": Step("hold", (Hold.FROZEN,), Hold.OPEN, Permission.REVIEW_DATA,
                     ("free_above",), reasoned=True, words=_("unfreeze")),
    "unlock": Step("hold", (Hold.LOCKED,), Hold.OPEN, Permission.REVIEW_DATA,
                   ("free_above",), reasoned=True, words=_("unlock")),
    "unlock_frozen": Step("hold", (Hold.LOCKED,), Hold.FROZEN, Permission.REVIEW_DATA,
                          ("not_locked_above",), reasoned=True, words=_("unlock, and keep frozen")),
}  # fmt: skip

# key: (does it hold?, what is said when it does not, what it means in the printed table)
NEEDS = {
    "entered": (lambda s: s.has_entries, noop("Nothing is entered yet."), "entered, or said to be not done"),
    "over": (lambda s: s.is_over, noop("It is not over yet."),
             "the visit took place or was missed; the patient's way through the trial has ended"),
    "complete": (lambda s: not s.pending, noop("Values are still to come: panels %(pending)s."), "no value still to come"),
    "answered": (lambda s: not s.open_queries, noop("Queries wait for an answer of the site: %(open_queries)s."),
                 "no query that waits for the site"),
    "closed": (lambda s: not s.unclosed_queries, noop("Queries are not closed: %(unclosed_queries)s."), "every query closed"),
    "signed": (lambda s: not s.unsigned, noop("The investigator has not signed: forms %(unsigned)s."),
               "every form signed that the protocol says"),
    "not_withdrawn": (lambda s: not s.is_withdrawn, noop("This was marked as entered in error."), "not entered in error"),
    "frozen": (lambda s: s.hold == Hold.FROZEN, noop("The data manager freezes the patient's records first."), "frozen"),
    "not_locked": (lambda s: Hold.LOCKED not in (s.hold, s.hold_above), noop("It is locked."), "not locked"),
    "free_above": (lambda s: s.hold_above == Hold.OPEN,
                   noop("All records of the patient are frozen or locked: open those first."), "the patient's records open"),
    "not_locked_above": (lambda s: s.hold_above != Hold.LOCKED,
                         noop("All records of the patient are locked: unlock those first."), "the patient's records not locked"),
}  # fmt: skip

# what a change of the form does to each mark; whole forms are signed and reviewed, fields of panels are verified
VOIDED_BY = {
    Mark.VERIFIED: "a change of the field, or of the record",
    Mark.REVIEWED: "any change of the form",
    Mark.SIGNED: "any change of the form",
}

# what an investigator can mean by signing (21 CFR 11.50): stored in English, shown in the reader's language
MEANINGS = (
    noop("I have reviewed these data and confirm that they are accurate and complete."),
    noop("I am responsible for these data and approve them."),
)
MEANING_OF_CASEBOOK = noop(
    "I have reviewed the casebook of this patient and confirm that all its records are accurate and complete and"
    " were made under my supervision."
)


def meaning_told(stored: str) -> str:
    """What a signature means, in the reader's language."""
    return gettext(stored) if stored in (*MEANINGS, MEANING_OF_CASEBOOK) else stored


def reasons_not_to(step, standing, field=""):
    """Sentences why this step (a key of STEPS) may not be taken now; none when it may. Who acts is asked elsewhere."""
    rule, reasons = STEPS[step], []
    if rule.of == "mark":
        if (rule.after, field) in standing.marks:
            reasons.append(Sentence(noop("It is marked already: %(mark)s."), {"mark": Mark(rule.after).label}))
    elif standing.hold not in rule.before:
        reasons.append(Sentence(noop("This cannot follow: it is %(hold)s."), {"hold": Hold(standing.hold).label}))
    for key in rule.needs:
        holds, said, _meaning = NEEDS[key]
        if not holds(standing):
            values = {
                name: getattr(standing, name) for name in ("pending", "open_queries", "unclosed_queries", "unsigned")
            }
            reasons.append(Sentence(said, {name: n for name, n in values.items() if f"%({name})s" in said}))
    return reasons


def may(step, standing, field=""):
    return not reasons_not_to(step, standing, field)


def is_voided(mark, field, changed):
    """Does a change of the fields `changed` (None: of whatever) make this mark void?"""
    return field == "" or changed is None or field in changed


def stricter(one, other):
    """The hold that two holds make together."""
    order = (Hold.OPEN, Hold.FROZEN, Hold.LOCKED)
    return max(Hold(one), Hold(other), key=order.index)

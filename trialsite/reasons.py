"""What the system gives as a reason, or says where a person would: the only place that names it.

The trail keeps them as plain English words, between the reasons that people type; what stands here is told in the
reader's language, and what people typed as they typed it."""

import re
from functools import cache

from django.utils.translation import gettext, gettext_noop

REASONS = (
    # accounts
    gettext_noop("approved on %(day)s"),
    gettext_noop("own language chosen"),
    gettext_noop("one-time link"),
    gettext_noop("own password changed"),
    # patients
    gettext_noop("consent %(form)s signed on %(day)s"),
    gettext_noop("eligibility assessed on %(day)s"),
    gettext_noop("randomisation list made"),
    gettext_noop("randomisation list imported"),
    gettext_noop("randomised, day 0 planned for %(day)s"),
    gettext_noop("end of participation on %(day)s"),
    gettext_noop("Criteria: %(criteria)s"),
    # visits
    gettext_noop("protocol version %(version)s followed from %(day)s"),
    gettext_noop("the first infusion was given on %(day)s"),
    gettext_noop("unscheduled visit"),
    gettext_noop("visit took place on %(day)s"),
    gettext_noop("visit missed: %(why)s"),
    gettext_noop("first entry"),
    gettext_noop("what was still to come"),
    gettext_noop("not done: %(why)s"),
    gettext_noop("No longer asked for under protocol version %(version)s"),
    gettext_noop("Not asked for in the corrected sex"),
    gettext_noop("address of the calendar renewed"),
    gettext_noop("address of the calendar ended"),
    gettext_noop("contents of old copies dropped"),
    gettext_noop("view of a listing saved"),
    gettext_noop("saved view forgotten"),
    # product, infusion
    gettext_noop("release tests entered"),
    gettext_noop("lot released"),
    gettext_noop("infusion prepared"),
    gettext_noop("infusion recorded"),
    gettext_noop("the baseline was entered late or changed"),
    gettext_noop("the proposed grade was answered"),
    # reference ranges
    gettext_noop("new range from %(day)s"),
    gettext_noop("table of ranges imported"),
    # queries, marks, holds
    gettext_noop("query raised"),
    gettext_noop("query answered"),
    gettext_noop("query closed"),
    gettext_noop("query re-opened"),
    gettext_noop("the edit checks looked again"),
    gettext_noop("The value was changed; the check still asks."),
    gettext_noop("The value was changed; the check is satisfied."),
    gettext_noop("verified against the source"),
    gettext_noop("reviewed"),
    gettext_noop("signed"),
    gettext_noop("frozen"),
    gettext_noop("locked"),
    # serious events, the board
    gettext_noop("the event of the case was changed"),
    gettext_noop("the code of the event of the case was changed"),
    gettext_noop("an infusion of the patient was recorded or corrected"),
    gettext_noop("the patient of the case was randomised"),
    gettext_noop("the case of a serious event is opened"),
    gettext_noop("the sponsor judged the case"),
    gettext_noop("the records linked to the case were chosen"),
    gettext_noop("the case is frozen in a version"),
    gettext_noop("the site reported the case to the sponsor"),
    gettext_noop("a report of the case was recorded"),
    gettext_noop("the report was acknowledged"),
    gettext_noop("released to the board"),
    gettext_noop("Recommendation %(number)s of the safety board, %(day)s: %(decision)s."),
    gettext_noop("Code approved"),
    gettext_noop("Coded anew"),
    gettext_noop("The words were changed"),
    gettext_noop("The record was marked as entered in error"),
    gettext_noop("a stopping rule is met by what %(name)s saved"),
    # what jobs make
    gettext_noop("the making is begun"),
    gettext_noop("is being made"),
    gettext_noop("was made"),
    gettext_noop("could not be made"),
    gettext_noop("requested again after a failure"),
    gettext_noop("corrected for the benchmark"),
)


# values that are words of the interface themselves, not typed by anybody: stored in English as the reason is
WORDS = {"decision"}


def because(reason, **values) -> str:
    """A reason of the system, in the language of the record. It must be one of REASONS: KeyError."""
    if reason not in REASONS:
        raise KeyError(reason)
    return reason % values if values else reason


@cache
def _with_values():
    """(what such a reason looks like, reason) of those that have values."""
    found = []
    for reason in REASONS:
        if "%(" in reason:
            pattern = re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.*)", re.escape(reason))
            found.append((re.compile(pattern, re.DOTALL), reason))
    return found


def reason_told(stored: str) -> str:
    """A reason of the trail in the reader's language, where it is the system's; what a person typed as it is."""
    if stored in REASONS:
        return gettext(stored)
    for pattern, reason in _with_values():
        if match := pattern.fullmatch(stored):
            values = {name: gettext(value) if name in WORDS else value for name, value in match.groupdict().items()}
            return gettext(reason) % values
    return stored

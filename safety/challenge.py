"""Did the reaction abate after the treatment was stopped, and come back when it was given again? Fields 20 and 21 of the
CIOMS I form (ICH E2B(R3) G.k.8 and G.k.9.i.4). Values in, "YES", "NO" or "NA" out: NA is what could not happen, and what
nobody answered."""

from collections.abc import Iterable
from datetime import date

YES, NO, NOT_APPLICABLE = "YES", "NO", "NA"
STOPPED = ("drug_withdrawn", "drug_interrupted")
ABATED = ("recovered", "recovered_with_sequelae", "recovering")


def infusions_before(infusions: Iterable[tuple[int, date]], onset: date, number: int | None) -> list[int]:
    """Which of the infusions, (number, day), were given before the event: until the one after which it came, where the
    site says so, else until its day."""
    return [n for n, day in infusions if (n <= number if number else day <= onset)]


def infusions_after(infusions: Iterable[tuple[int, date]], onset: date, number: int | None) -> list[int]:
    """Which were given after the event. Only who was treated before can be treated again."""
    infusions = list(infusions)
    before = infusions_before(infusions, onset, number)
    return sorted(n for n, day in infusions if n not in before and day >= onset) if before else []


def abated(*, was_treated: bool, action_taken: str, outcome: str) -> str:
    """Field 20: only where the treatment was stopped for the event. A death is no answer to it."""
    if not was_treated or action_taken not in STOPPED:
        return NOT_APPLICABLE
    if outcome in ABATED:
        return YES
    return NO if outcome == "not_recovered" else NOT_APPLICABLE


def reappeared(*, given_again: list[int], answer: str, came_again: bool) -> str:
    """Field 21: only where a further infusion was given. `answer` is the site's ("yes", "no", "unknown" or none yet);
    without one an event of the same term that began after the further infusion says that it came back."""
    if not given_again:
        return NOT_APPLICABLE
    if answer in ("yes", "no"):
        return {"yes": YES, "no": NO}[answer]
    return YES if came_again and not answer else NOT_APPLICABLE

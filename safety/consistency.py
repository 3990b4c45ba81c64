"""The rules between the fields of an adverse event: values in, sentences by field out.

Each is a row of visits/edit_checks/table.py, and so of the page that says which checks this trial runs.

Sources: ICH E2A (seriousness), CDASHIG 2.1 AE domain, DAIDS AE grading (grade 5 is death)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from safety.challenge import infusions_after
from visits import edit_checks
from visits.edit_checks import problem

CRITERIA = (
    "is_fatal",
    "is_life_threatening",
    "is_hospitalisation",
    "is_disability",
    "is_congenital",
    "is_important",
)


@dataclass(frozen=True)
class Surroundings:
    """What is known around the event: the consent, how many infusions were given, the day of the first, today, whether the
    patient is treated (in a trial without infusions: randomised), the day of a death, and number and day of each infusion."""

    consented_on: date | None
    infusions_given: int
    first_infusion_on: date | None
    today: date
    is_treated: bool
    died_on: date | None = None
    infusions: tuple[tuple[int, date], ...] = ()

    def given_again(self, event: dict) -> list[int]:
        """The infusions that were given after the event, to whom was treated before it."""
        return infusions_after(self.infusions, event["began_on"], event.get("infusion_number"))


def find_contradictions(event: dict, around: Surroundings) -> dict[str, list[str]]:
    """What contradicts itself in an event, by field; empty when it is consistent. `event` is by field name."""
    found: dict[str, list[str]] = {}
    for said in problems_within(event, around):
        found.setdefault(said.test, []).append(str(said.text))
    return found


def problems_within(event: dict, around: Surroundings) -> Iterator[edit_checks.Problem]:
    """What the hard checks of adverse events say (visits/edit_checks/table.py declares them)."""
    criteria = any(event.get(name) for name in CRITERIA)
    if event["is_serious"] and not criteria:
        yield problem("event_no_criterion", "is_serious")
    if not event["is_serious"] and criteria:
        yield problem("event_not_serious", "is_serious")
    yield from _problems_of_death(event)
    yield from _problems_of_end(event, around)

    if event["began_on"] > around.today:
        yield problem("event_in_future", "began_on")
    if around.consented_on is None:
        yield problem("event_unconsented", "began_on")
    yield from edit_checks.problems_of_event(event["began_on"], edit_checks.Surroundings(died_on=around.died_on))
    if event.get("aware_on") and event["aware_on"] < event["began_on"]:
        yield problem("event_aware_before", "aware_at")

    number = event.get("infusion_number")
    if number and number > around.infusions_given:
        yield problem("event_infusion_unknown", "infusion_number", infusions_given=around.infusions_given)
    if number and around.first_infusion_on and event["began_on"] < around.first_infusion_on:
        yield problem("event_before_infusion", "infusion_number", first_infusion_on=around.first_infusion_on)
    if event["relationship"] in ("possible", "probable", "definite") and not around.is_treated:
        yield problem("event_related_untreated", "relationship")
    if event.get("reappeared") and not around.given_again(event):
        yield problem("event_not_given_again", "reappeared")


def questions_about(event: dict, around: Surroundings) -> Iterator[edit_checks.Problem]:
    """What the soft checks of adverse events ask, beside those of visits/edit_checks.py."""
    again = around.given_again(event)
    if event["is_serious"] and again and not event.get("reappeared"):
        yield problem("event_given_again", "reappeared", number=again[0])


def _problems_of_death(event):
    fatal = {
        "is_fatal": bool(event.get("is_fatal")),
        "outcome": event["outcome"] == "fatal",
        "grade": event["grade"] == 5,
    }
    if any(fatal.values()):
        codes = {"is_fatal": "event_death_criterion", "outcome": "event_death_outcome", "grade": "event_death_grade"}
        yield from (problem(codes[name], name) for name, holds in fatal.items() if not holds)


def _problems_of_end(event, around):
    ended_on, outcome = event.get("ended_on"), event["outcome"]
    if event["is_ongoing"]:
        if ended_on:
            yield problem("event_ongoing_ended", "ended_on")
        if outcome in ("recovered", "recovered_with_sequelae", "fatal"):
            yield problem("event_ongoing_resolved", "outcome")
    else:
        if not ended_on:
            yield problem("event_without_end", "ended_on")
        if outcome in ("recovering", "not_recovered"):
            yield problem("event_ended_unresolved", "outcome")
    if ended_on and ended_on < event["began_on"]:
        yield problem("event_end_before_onset", "ended_on")
    if ended_on and ended_on > around.today:
        yield problem("event_in_future", "ended_on")

"""The rules between the fields of an adverse event: values in, sentences by field out.

Sources: ICH E2A (seriousness), CDASHIG 2.1 AE domain, DAIDS AE grading (grade 5 is death)."""

from dataclasses import dataclass
from datetime import date

from django.utils.translation import gettext as _

from visits import edit_checks

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
    """What is known around the event: the consent, how many infusions were given, the day of the first, today, and the
    day of a death."""

    consented_on: date | None
    infusions_given: int
    first_infusion_on: date | None
    today: date
    died_on: date | None = None


def find_contradictions(event: dict, around: Surroundings) -> dict[str, list[str]]:
    """What contradicts itself in an event, by field; empty when it is consistent. `event` is by field name."""
    found: dict[str, list[str]] = {}

    def say(field, sentence):
        found.setdefault(field, []).append(sentence)

    criteria = [name for name in CRITERIA if event.get(name)]
    if event["is_serious"] and not criteria:
        say("is_serious", _("A serious event meets at least one of the criteria; tick which."))
    if not event["is_serious"] and criteria:
        say("is_serious", _("A criterion of seriousness is ticked: the event is serious."))

    fatal = {
        "is_fatal": bool(event.get("is_fatal")),
        "outcome": event["outcome"] == "fatal",
        "grade": event["grade"] == 5,
    }
    if any(fatal.values()) and not all(fatal.values()):
        missing = {
            "is_fatal": _(
                "Death goes with “results in death”, outcome fatal and grade 5; this criterion is not ticked."
            ),
            "outcome": _("Death goes with “results in death”, outcome fatal and grade 5; the outcome is not fatal."),
            "grade": _("Death goes with “results in death”, outcome fatal and grade 5; the grade is not 5."),
        }
        for field, holds in fatal.items():
            if not holds:
                say(field, missing[field])
    resolved = event["outcome"] in ("recovered", "recovered_with_sequelae", "fatal")
    if event["is_ongoing"]:
        if event.get("ended_on"):
            say("ended_on", _("An event that goes on has no end date."))
        if resolved:
            say("outcome", _("An event that goes on has not ended in this outcome."))
    else:
        if not event.get("ended_on"):
            say("ended_on", _("Write the end date, or say that the event goes on."))
        if event["outcome"] in ("recovering", "not_recovered"):
            say("outcome", _("An event that has ended has another outcome."))
    if event.get("ended_on") and event["ended_on"] < event["began_on"]:
        say("ended_on", _("The end is before the onset."))
    if event.get("ended_on") and event["ended_on"] > around.today:
        say("ended_on", _("The date is in the future."))

    if event["began_on"] > around.today:
        say("began_on", _("The date is in the future."))
    if around.consented_on is None:
        say("began_on", _("No consent is recorded for this patient; adverse events count from the consent on."))
    for problem in edit_checks.problems_of_event(event["began_on"], edit_checks.Surroundings(died_on=around.died_on)):
        say("began_on", str(problem.text))
    if event.get("aware_on") and event["aware_on"] < event["began_on"]:
        say("aware_at", _("The site became aware before the onset."))

    number = event.get("infusion_number")
    if number and number > around.infusions_given:
        say(
            "infusion_number",
            _("The patient has had %(infusions_given)s infusions.") % {"infusions_given": around.infusions_given},
        )
    if number and around.first_infusion_on and event["began_on"] < around.first_infusion_on:
        say(
            "infusion_number",
            _("The onset is before the first infusion of %(first_infusion_on)s.")
            % {"first_infusion_on": around.first_infusion_on},
        )
    if event["relationship"] in ("possible", "probable", "definite") and around.infusions_given == 0:
        say("relationship", _("The patient has had no infusion: the event cannot be related to the product."))
    return found

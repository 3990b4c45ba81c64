"""What the checks of days look for: each gives the values of its sentence, or None when it is silent."""

from datetime import date, timedelta

from visits.edit_checks.kinds import Surroundings

# default: results may be entered from so many days before the day on which screening starts
DAYS_BEFORE_SCREENING = 30


def in_the_future(day: date, around: Surroundings) -> dict | None:
    return {} if around.today and day > around.today else None


def after_death(day: date, around: Surroundings) -> dict | None:
    return {"died_on": around.died_on} if around.died_on and day > around.died_on else None


def long_before_screening(day: date, around: Surroundings) -> dict | None:
    screened_on = around.screened_on
    if screened_on is None or day >= screened_on - timedelta(days=DAYS_BEFORE_SCREENING):
        return None
    return {"days": DAYS_BEFORE_SCREENING, "screened_on": screened_on}


def before_consent(day: date, around: Surroundings) -> dict | None:
    return {"consented_on": around.consented_on} if around.consented_on and day < around.consented_on else None


def out_of_window(day: date, around: Surroundings) -> dict | None:
    if around.window is None or around.window[0] <= day <= around.window[1]:
        return None
    return {"day": day, "visit": around.visit, "earliest": around.window[0], "latest": around.window[1]}


def on_another_day(day: date, around: Surroundings) -> dict | None:
    """Screening is not done in a day: its visit has no one date."""
    if around.visit_on is None or around.is_screening or day == around.visit_on:
        return None
    return {"day": day, "visit": around.visit, "visit_on": around.visit_on}


def in_the_wrong_order(day: date, around: Surroundings) -> dict | None:
    if around.planned_on is None:
        return None
    for planned, taken_place, other in around.other_visits:
        if (planned < around.planned_on and taken_place > day) or (planned > around.planned_on and taken_place < day):
            return {"day": day, "visit": around.visit, "other": other, "other_day": taken_place}
    return None

"""Fields 20 and 21 of the CIOMS I form, as truth tables."""

from datetime import date, timedelta

import pytest

from safety.challenge import abated, infusions_after, infusions_before, reappeared

DAY = date(2026, 3, 10)


def given(*days):
    return [(number, DAY + timedelta(days=day)) for number, day in enumerate(days, 1)]


@pytest.mark.parametrize(
    "infusions, number, before, after",
    [
        (given(), None, [], []),
        (given(-5), None, [1], []),
        (given(-5, 9), None, [1], [2]),
        (given(-5, 9, 30), None, [1], [2, 3]),
        (given(-5, 0), None, [1, 2], []),  # on the day of the onset: taken for before
        (given(-5, 0), 1, [1], [2]),  # unless the site says that it came after the first
        (given(-5, 9), 2, [1, 2], []),  # it says so, whatever the days
        (given(-5, -1), 1, [1], []),  # given between, but not after the event
        (given(5), None, [], []),  # never treated before: nothing is given again
        (given(5, 30), None, [], []),
    ],
)
def test_what_was_given_before_the_event_and_after_it(infusions, number, before, after):
    assert infusions_before(infusions, DAY, number) == before
    assert infusions_after(infusions, DAY, number) == after


@pytest.mark.parametrize(
    "was_treated, action, outcome, answer",
    [
        (True, "drug_withdrawn", "recovered", "YES"),
        (True, "drug_withdrawn", "recovering", "YES"),
        (True, "drug_interrupted", "recovered_with_sequelae", "YES"),
        (True, "drug_withdrawn", "not_recovered", "NO"),
        (True, "drug_withdrawn", "fatal", "NA"),
        (True, "drug_interrupted", "unknown", "NA"),
        (True, "dose_not_changed", "recovered", "NA"),
        (True, "dose_rate_reduced", "recovered", "NA"),
        (False, "drug_withdrawn", "recovered", "NA"),
    ],
)
def test_it_abated_only_where_the_treatment_was_stopped(was_treated, action, outcome, answer):
    assert abated(was_treated=was_treated, action_taken=action, outcome=outcome) == answer


@pytest.mark.parametrize(
    "again, answer, came_again, expected",
    [
        ([], "", False, "NA"),
        ([], "", True, "NA"),
        ([2], "yes", False, "YES"),
        ([2], "no", False, "NO"),
        ([2], "no", True, "NO"),  # what the site answers counts
        ([2], "unknown", True, "NA"),
        ([2], "", False, "NA"),
        ([2], "", True, "YES"),
    ],
)
def test_it_reappeared_only_where_an_infusion_was_given_again(again, answer, came_again, expected):
    assert reappeared(given_again=again, answer=answer, came_again=came_again) == expected

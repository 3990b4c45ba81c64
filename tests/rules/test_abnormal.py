"""Which graded results wait for a judgement: a truth table."""

from datetime import date

import pytest

from safety.abnormal import Belongs, Declined, Finding, unjudged


def day(n):
    return date(2026, 1, n)


def finding(pk=1, row="alt_high", grade=3, on=10):
    return Finding(pk, row, grade, day(on))


def belongs(pk=1, row="alt_high", judged=3, event=3, began=10, ended=None):
    return Belongs(pk, row, judged, event, day(began), ended and day(ended))


CASES = {
    "nobody judged it": ([], [1]),
    "it is an event": ([belongs()], []),
    "it is declined": ([Declined(1, 3)], []),
    "it got worse since it was declined": ([Declined(1, 2)], [1]),
    "it got worse since it became an event": ([belongs(judged=2, event=2)], [1]),
    "another result of the row is an event that goes on": ([belongs(pk=7, began=3)], []),
    "that event had ended": ([belongs(pk=7, began=3, ended=9)], [1]),
    "that event ended on the day": ([belongs(pk=7, began=3, ended=10)], []),
    "that event had not begun": ([belongs(pk=7, began=11)], [1]),
    "that event is less bad": ([belongs(pk=7, began=3, event=2)], [1]),
    "that event is of another row": ([belongs(pk=7, row="ast_high", began=3)], [1]),
    "another result is declined": ([Declined(7, 4)], [1]),
}


@pytest.mark.parametrize(("judgements", "waiting"), CASES.values(), ids=CASES.keys())
def test_what_waits(judgements, waiting):
    assert [one.measurement for one in unjudged([finding()], judgements)] == waiting


def test_of_one_row_on_one_day_the_worst_waits():
    five = [finding(pk, grade=grade) for pk, grade in ((1, 3), (2, 4), (3, 4), (4, 3))]
    assert [one.measurement for one in unjudged([*five, finding(9, on=11), finding(8, row="ast_high")], [])] == [
        2,
        8,
        9,
    ]

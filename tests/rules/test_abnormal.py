"""Which graded results and reactions to infusions wait for a judgement: truth tables."""

from datetime import date

import pytest

from safety.abnormal import Belongs, Declined, Finding, of_reaction, of_result, unjudged


def day(n):
    return date(2026, 1, n)


def finding(pk=1, row="alt_high", grade=3, on=10):
    return Finding(pk, of_result(pk), row, grade, day(on))


def belongs(pk=1, row="alt_high", judged=3, event=3, began=10, ended=None):
    return Belongs(of_result(pk), row, judged, event, day(began), ended and day(ended))


CASES = {
    "nobody judged it": ([], [1]),
    "it is an event": ([belongs()], []),
    "it is declined": ([Declined(of_result(1), 3)], []),
    "it got worse since it was declined": ([Declined(of_result(1), 2)], [1]),
    "it got worse since it became an event": ([belongs(judged=2, event=2)], [1]),
    "another result of the row is an event that goes on": ([belongs(pk=7, began=3)], []),
    "that event had ended": ([belongs(pk=7, began=3, ended=9)], [1]),
    "that event ended on the day": ([belongs(pk=7, began=3, ended=10)], []),
    "that event had not begun": ([belongs(pk=7, began=11)], [1]),
    "that event is less bad": ([belongs(pk=7, began=3, event=2)], [1]),
    "that event is of another row": ([belongs(pk=7, row="ast_high", began=3)], [1]),
    "another result is declined": ([Declined(of_result(7), 4)], [1]),
}


@pytest.mark.parametrize(("judgements", "waiting"), CASES.values(), ids=CASES.keys())
def test_what_waits(judgements, waiting):
    assert [one.id for one in unjudged([finding()], judgements)] == waiting


def test_of_one_row_on_one_day_the_worst_waits():
    five = [finding(pk, grade=grade) for pk, grade in ((1, 3), (2, 4), (3, 4), (4, 3))]
    assert [one.id for one in unjudged([*five, finding(9, on=11), finding(8, row="ast_high")], [])] == [
        2,
        8,
        9,
    ]


def chills(pk=1, infusion=1, term="Chills", grade=3, on=10):
    what = of_reaction(infusion, term)
    return Finding(pk, what, what, grade, day(on))


def chills_belong(judged=3, event=3, ended=None):
    what = of_reaction(1, "chills ")
    return Belongs(what, what, judged, event, day(10), ended and day(ended))


OF_REACTIONS = {
    "nobody judged it": (chills(), [], True),
    "it is an event": (chills(), [chills_belong()], False),
    "its line was corrected, and it is no worse": (chills(pk=2, grade=2), [chills_belong()], False),
    "its line was corrected, and it is worse": (chills(pk=2, grade=4), [chills_belong()], True),
    "it is worse, and so is the event": (chills(pk=2, grade=4), [chills_belong(event=4)], False),
    "it is declined": (chills(), [Declined(of_reaction(1, "Chills"), 3)], False),
    "it is worse than what was declined": (chills(grade=4), [Declined(of_reaction(1, "Chills"), 3)], True),
    "it came at another infusion": (chills(infusion=2), [chills_belong()], True),
    "another term was judged": (chills(term="Fever"), [chills_belong()], True),
}


@pytest.mark.parametrize(("seen", "judgements", "waits"), OF_REACTIONS.values(), ids=OF_REACTIONS.keys())
def test_which_reactions_wait(seen, judgements, waits):
    assert unjudged([seen], judgements) == ([seen] if waits else [])

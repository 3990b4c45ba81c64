"""The only place that works out whether an eligibility criterion holds, and on which evidence.

A finding is a proposal that a person confirms or overrules. Three-valued logic (Kleene): true, false, or None
when it cannot be computed. A register's "continuously" (I3: CD4 <= 250 "continuously") cannot be proved by a
program that has not seen every result: the newest result within the window decides, and an earlier one within
the window that says otherwise is named in the finding, for the person to judge.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from django.utils.translation import gettext_noop

from trialsite.protocol import Criterion, Limit, Protocol, Rule
from trialsite.ucum import unit_text
from trialsite.words import Name, Sentence

# what is said of a fact that is known, and of one that is not
FACTS = {
    "age_years": (gettext_noop("age %(value)s years %(verdict)s"), gettext_noop("age is not known")),
    "art_months": (
        gettext_noop("time on antiretroviral therapy %(value)s months %(verdict)s"),
        gettext_noop("time on antiretroviral therapy is not known"),
    ),
    "months_suppressed": (
        gettext_noop("time with suppressed virus %(value)s months %(verdict)s"),
        gettext_noop("time with suppressed virus is not known"),
    ),
}
SEMICOLON, AND = Sentence(gettext_noop("; ")), Sentence(gettext_noop(" and "))

PARTIAL_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?", re.ASCII)


@dataclass(frozen=True)
class Evidence:
    """One result of a test: a number in the test's unit (`value`), or a choice's code or a text (`text`).

    `operator` is "", or "<" or ">" for a value beyond what the laboratory can measure. `source` says where
    the result is found, e.g. "visit SCR, panel haematology".
    """

    test: str
    operator: str
    value: Decimal | None
    text: str
    collected_on: date
    source: str


@dataclass(frozen=True)
class Finding:
    """Whether a criterion's statement is true (good for an inclusion, bad for an exclusion), and why."""

    criterion: Criterion
    holds: bool | None
    because: Sentence
    evidence: tuple[Evidence, ...] = ()


# --- limits --------------------------------------------------------------------------------------


def meets(limit: Limit, value: Decimal | int | str | None, operator: str = "") -> bool | None:
    """Is a value within a limit? None when that cannot be told.

    With the operator "<" the true value is anything below `value`, with ">" anything above it: "<50" is at
    most 50 for certain, and may or may not be at most 40.
    """
    return kleene_all(answer for _, answer in _bounds(limit, value, operator))


def _bounds(limit: Limit, value: Decimal | int | str | None, operator: str) -> list[tuple[str, bool | None]]:
    """Each bound of a limit in words, and whether the value keeps it."""
    # bound, sign, for an exact value, for "<value", for ">value"
    table: list[tuple[Decimal | None, str, Callable, Callable, Callable]] = [
        (
            limit.above,
            ">",
            lambda v, b: v > b,
            lambda v, b: False if v <= b else None,
            lambda v, b: v >= b or None,
        ),
        (
            limit.at_least,
            "≥",
            lambda v, b: v >= b,
            lambda v, b: False if v <= b else None,
            lambda v, b: v >= b or None,
        ),
        (
            limit.below,
            "<",
            lambda v, b: v < b,
            lambda v, b: v <= b or None,
            lambda v, b: False if v >= b else None,
        ),
        (
            limit.at_most,
            "≤",
            lambda v, b: v <= b,
            lambda v, b: v <= b or None,
            lambda v, b: False if v >= b else None,
        ),
    ]
    is_number = isinstance(value, (Decimal, int))
    answers = []
    for bound, sign, exact, less, greater in table:
        if bound is not None:
            judge = {"": exact, "<": less, ">": greater}[operator]
            answers.append((f"{sign} {bound:f}", judge(value, bound) if is_number else None))
    if limit.equals is not None:
        answers.append((limit.equals, _equals(limit.equals, value, operator)))
    return answers


def _equals(expected: str, value: Decimal | int | str | None, operator: str) -> bool | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value == expected
    try:
        expected_value = Decimal(expected)
    except InvalidOperation:
        return False
    if operator == "<":
        return False if value <= expected_value else None
    if operator == ">":
        return False if value >= expected_value else None
    return value == expected_value


def kleene_all(answers: Iterable[bool | None]) -> bool | None:
    """False if one is false; else None if one is None; else True."""
    answers = list(answers)
    return False if False in answers else None if None in answers else True


def kleene_any(answers: Iterable[bool | None]) -> bool | None:
    """True if one is true; else None if one is None; else False."""
    answers = list(answers)
    return True if True in answers else None if None in answers else False


# --- criteria ------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    holds: bool | None
    because: Sentence
    evidence: tuple[Evidence, ...] = ()


def assess(
    protocol: Protocol,
    *,
    sex: str,
    facts: dict[str, Decimal | int],
    results: dict[str, list[Evidence]],
    on: date,
) -> list[Finding]:
    """A finding for each criterion that applies to this sex, in the protocol's order, as of the day `on`.

    `facts` are known by name (age_years, art_months, months_suppressed), `results` by the code of their test.
    """
    findings = []
    for criterion in protocol.criteria_for(sex):
        if criterion.rule is None:
            answer = _Answer(None, Sentence(gettext_noop("judged by a person")))
        else:
            answer = _answer(protocol, criterion.rule, facts, results, on)
        findings.append(Finding(criterion, answer.holds, answer.because, answer.evidence))
    return findings


def unmet_criteria(protocol: Protocol, *, sex: str, answers: dict[str, bool | None]) -> list[Criterion]:
    """The criteria that stand in the way: inclusions that are not true and exclusions that are not false.

    `answers` are by criterion code; no answer is not a good answer.
    """

    def is_met(criterion: Criterion) -> bool:
        wanted = not protocol.eligibility.is_exclusion(criterion.code)
        return answers.get(criterion.code) is wanted

    return [criterion for criterion in protocol.criteria_for(sex) if not is_met(criterion)]


def _answer(protocol: Protocol, rule: Rule, facts: dict, results: dict, on: date) -> _Answer:
    if rule.any or rule.all:
        parts = [_answer(protocol, part, facts, results, on) for part in (*rule.any, *rule.all)]
        return _joined(parts, kleene_any if rule.any else kleene_all)
    if rule.fact:
        return _answer_by_fact(rule, facts.get(rule.fact))
    return _answer_by_test(protocol, rule, results.get(rule.test, []), on)


def _joined(parts: list[_Answer], kleene: Callable) -> _Answer:
    """The answer of several parts, explained by those that decide it."""
    holds = kleene(part.holds for part in parts)
    deciding = [part for part in parts if part.holds is holds]
    evidence = dict.fromkeys(piece for part in deciding for piece in part.evidence)
    return _Answer(holds, _listed(list(dict.fromkeys(part.because for part in deciding)), SEMICOLON), tuple(evidence))


def _listed(parts: list, joint: Sentence) -> Sentence:
    """The parts with the joint between them."""
    told = [piece for part in parts for piece in (joint, part)][1:]
    return Sentence("%(parts)s", {"parts": told})


def _answer_by_fact(rule: Rule, value: Decimal | int | None) -> _Answer:
    known, unknown = FACTS[rule.fact]
    if value is None:
        return _Answer(None, Sentence(unknown))
    verdict = _verdict(rule, value, "", str)
    return _Answer(meets(rule, value), Sentence(known, {"value": _plain(value), "verdict": verdict}))


def _answer_by_test(protocol: Protocol, rule: Rule, results: list[Evidence], on: date) -> _Answer:
    test = protocol.test(rule.test)
    name = Name("test", test.code, test.name)
    known = sorted((r for r in results if r.collected_on <= on), key=lambda r: r.collected_on)
    if not known:
        words = gettext_noop("there is no result of %(test)s up to %(day)s")
        return _Answer(None, Sentence(words, {"test": name, "day": on}))

    def label(code: str) -> Name | str:
        return Name("choice", f"{test.code}/{code}", test.choice_label(code)) if test.kind == "choice" else code

    def shown(result: Evidence) -> Sentence:
        value = result.text if result.value is None else f"{result.operator}{_plain(result.value)}"
        value = label(value) if test.kind == "choice" else f"{value} {unit_text(test.unit)}".rstrip()
        ago = _days_before(result.collected_on, on)
        words = gettext_noop("%(value)s on %(day)s (%(ago)s)")
        return Sentence(words, {"value": value, "day": result.collected_on, "ago": ago})

    def answer(result: Evidence) -> bool | None:
        return meets(rule, _value(result), result.operator)

    newest = known[-1]
    if rule.within_days is not None and (on - newest.collected_on).days > rule.within_days:
        words = gettext_noop("%(test)s %(result)s is too old: at most %(days)s days count")
        values = {"test": name, "result": shown(newest), "days": rule.within_days}
        return _Answer(None, Sentence(words, values), (newest,))
    same_day = tuple(result for result in known if result.collected_on == newest.collected_on)
    if len({answer(result) for result in same_day}) > 1:
        words = gettext_noop("%(test)s %(results)s disagree: a person must judge")
        several = _listed([shown(result) for result in same_day], AND)
        return _Answer(None, Sentence(words, {"test": name, "results": several}), same_day)
    holds = answer(newest)
    verdict = _verdict(rule, _value(newest), newest.operator, label)
    words = gettext_noop("%(test)s %(result)s %(verdict)s")
    because = Sentence(words, {"test": name, "result": shown(newest), "verdict": verdict})
    earlier = [
        result
        for result in known
        if rule.within_days is not None
        and (on - result.collected_on).days <= rule.within_days
        and answer(result) not in (holds, None)
    ]
    if earlier and holds is not None:
        words = gettext_noop("%(finding)s, but %(result)s says otherwise")
        because = Sentence(words, {"finding": because, "result": shown(earlier[-1])})
    return _Answer(holds, because, same_day)


def _value(result: Evidence) -> Decimal | str | None:
    return result.text if result.value is None else result.value


def _verdict(limit: Limit, value, operator: str, label: Callable[[str], Name | str]) -> Sentence:
    """Like "is > 50 and ≤ 250", "is not ≤ 250" or "does not decide ≤ 40": names the bounds that matter alone."""
    answers = _bounds(limit, value, operator)
    holds = kleene_all(answer for _, answer in answers)
    words = {
        True: gettext_noop("is %(bounds)s"),
        False: gettext_noop("is not %(bounds)s"),
        None: gettext_noop("does not decide %(bounds)s"),
    }
    told = [label(bound) for bound, answer in answers if answer is holds]
    return Sentence(words[holds], {"bounds": _listed(told, AND)})


def _plain(value: Decimal | int) -> str:
    """The number without the zeros that a database adds to its end."""
    return f"{Decimal(value).normalize():f}"


def _days_before(day: date, on: date) -> Sentence:
    days = (on - day).days
    if days == 0:
        return Sentence(gettext_noop("the same day"))
    return Sentence(gettext_noop("1 day before") if days == 1 else gettext_noop("%(days)s days before"), {"days": days})


# --- ages and spans ------------------------------------------------------------------------------


class Months(NamedTuple):
    """Whole months, as few and as many as an incomplete date allows."""

    fewest: int
    most: int


def age_on(birth_date: date, on: date) -> int:
    """Age in whole years, negative before birth. A 29 February is followed by birthdays on 1 March."""
    return on.year - birth_date.year - ((on.month, on.day) < (birth_date.month, birth_date.day))


def whole_months_between(start: date | str, on: date) -> Months:
    """Whole months from `start` to `on`, 0 when it starts later.

    `start` may be incomplete, "2019" or "2019-05": the fewest months count from its last possible day (not
    after `on`), the most from its first. A criterion such as "at least 24 months of therapy" (I2) must use
    the fewest. A month is whole on the same day of a later month, or on the first of the next where that
    month has no such day. Raises ValueError for what is no date.
    """
    earliest, latest = possible_days(start)
    return Months(_months(min(latest, on), on), _months(min(earliest, on), on))


def possible_days(partial: date | str) -> tuple[date, date]:
    """The first and the last day that "2019", "2019-05" or "2019-05-14" can mean. Raises ValueError."""
    if isinstance(partial, date):
        return partial, partial
    match = PARTIAL_DATE.fullmatch(partial)
    if not match:
        raise ValueError(f"expected YYYY, YYYY-MM or YYYY-MM-DD, found {partial[:20]!r}")
    year, month, day = (int(part) if part else None for part in match.groups())
    if day is not None:
        return date(year, month, day), date(year, month, day)
    first = date(year, 1 if month is None else month, 1)
    last_month = first.month if month else 12
    return first, date(year, last_month, calendar.monthrange(year, last_month)[1])


def facts_of(*, birth_date: date, regimens: list[tuple[str, bool]], on: date) -> dict[str, int]:
    """What criteria may ask for besides results, as of a day: age in years, whole months of treatment (at least).

    `regimens` of antiretroviral treatment are (start, is it ongoing); without an ongoing one the months are unknown.
    """
    facts = {"age_years": age_on(birth_date, on)}
    if any(is_ongoing for _, is_ongoing in regimens):
        facts["art_months"] = max(whole_months_between(started_on, on).fewest for started_on, _ in regimens)
    return facts


def _months(start: date, on: date) -> int:
    return 12 * (on.year - start.year) + on.month - start.month - (on.day < start.day)

"""The only place that says which grade a result has: values in, a grade or the reason why there is none out.

Pure, and in exact decimals. A result is graded in the unit in which it was reported: by the scale's bounds in that unit,
and only where the scale has none, by bounds that are multiplied with the protocol's factor. Multiples are of the limits
of normal as they were reported. From the worst grade downwards the first that is reached wins, which closes the gaps
between printed integers. "Not gradable" is an answer of its own and never 0: a limit of normal is not known, a fact
that the row needs is not known, or "<50" may be one grade as well as another. What is not known does no harm where the
grade is the same either way. Where several rows hold, the higher grade counts.

A baseline is the last result before the first infusion: collected before day 0, or on it, but not after that infusion
began. Results until then have none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from hashlib import sha256
from itertools import product

from django.utils.translation import gettext_lazy as _

from trialsite import scales
from trialsite.protocol import Protocol, Test
from trialsite.scales import MEASURED_FACTS, Row, Scale, without_annotations
from visits.results import Result
from visits.units import standardised, unit_of, units_of

HIGH, LOW = "H", "L"


class Ungraded(StrEnum):
    """Why a result has no grade."""

    NO_UPPER_LIMIT = "no_upper_limit"
    NO_LOWER_LIMIT = "no_lower_limit"
    NOT_EXACT = "not_exact"  # "<50" may be one grade as well as another
    FASTING = "fasting"
    SITE = "site"
    HIV = "hiv"
    ANTICOAGULATION = "anticoagulation"
    NO_ROW = "no_row"  # the scale has no row for this patient, or for this answer


# for people; what is not known, and what is not so
TOLD = {
    Ungraded.NO_UPPER_LIMIT: _("no upper limit of normal"),
    Ungraded.NO_LOWER_LIMIT: _("no lower limit of normal"),
    Ungraded.NOT_EXACT: _("beyond the limit of quantification"),
    Ungraded.FASTING: _("fasting or not: unknown, or no row for it"),
    Ungraded.SITE: _("temperature: axillary, or its site is unknown"),
    Ungraded.HIV: _("the row is not for people with HIV"),
    Ungraded.ANTICOAGULATION: _("anticoagulation: taken or unknown"),
    Ungraded.NO_ROW: _("the scale has no row for this"),
}
BECAUSE = {
    "fasting": Ungraded.FASTING,
    "non_axillary": Ungraded.SITE,
    "hiv_infected": Ungraded.HIV,
    "anticoagulated": Ungraded.ANTICOAGULATION,
}


@dataclass(frozen=True)
class Reading:
    """A number as reported, and what it is held against: `value` and `baseline` in the protocol's unit, exactly, as are
    the limits of normal; `factors` turn each unit of the test (UCUM) into the protocol's, and `ucum` is the reported one.
    A choice has a `text` instead."""

    operator: str = ""
    value: Decimal | None = None
    text: str = ""
    ucum: str = ""
    factors: tuple[tuple[str, Decimal], ...] = ()
    low: Decimal | None = None
    high: Decimal | None = None
    baseline: Decimal | None = None

    def times(self, row: Row) -> tuple[str, Decimal] | None:
        """The unit of the row by which this is graded, with its factor; None when the row has none of the test's."""
        reported = [pair for pair in self.factors if pair[0] == self.ucum]
        return next(((unit, factor) for unit, factor in (*reported, *self.factors) if unit in row.units), None)


@dataclass(frozen=True)
class Grade:
    """`grade` 0 to 5, or None and `because`. `row` names the rows that were asked (for a grade above 0 the one that gave
    it), `direction` is "H" or "L" above 0. `is_to_confirm`: the row asks for more than the number."""

    grade: int | None
    row: str = ""
    direction: str = ""
    because: str = ""
    is_to_confirm: bool = False


def grades_to_choose(row: Row, grade: int) -> list[tuple[int, str]]:
    """What a person may answer about a result that has this grade of the row by its number: grades with their words, the
    worst first. Where that grade is only proposed, these are the row's clinical ones, and 0 with no words; else those above
    it to which clinical facts alone raise a result, and itself. Nothing where there is nothing to answer."""
    steps = dict(row.steps)
    if grade in steps and steps[grade].confirm:
        return [*((n, step.words) for n, step in row.steps if step.confirm), (0, "")]
    raised = [(n, step.words) for n, step in row.steps if grade in steps and step.clinical and n > grade]
    return [*raised, (grade, steps[grade].words)] if raised else []


def answered(grade: Grade, answer: int) -> Grade:
    """A grade as a person answered it."""
    return replace(grade, grade=answer, direction=grade.direction if answer else "", is_to_confirm=False)


def digest_of_proposal(scale: Scale, row: Row, grade: int, *, typed: str, unit: str) -> str:
    """SHA-256 of what a person is asked: the result as reported, the proposed grade, and the row of that version of the
    scale with its words. An answer holds as long as this is the same."""
    words = [[n, step.words] for n, step in row.steps]
    asked = [scale.name, scale.version, row.id, words, grade, typed, unit]
    return sha256(json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class _Span:
    """From which to which grade a result may be by one row; one grade for an exact number."""

    least: Grade
    most: Grade


def grade_of(rows: Iterable[Row], reading: Reading, *, sex: str, age: int, facts: Mapping[str, bool]) -> Grade:
    """The grade of a reading by those of these rows that are for such a patient. `facts` are what is known: a fact that is
    not in it is unknown."""
    candidates = [row for row in rows if row.sex in (None, sex) and age >= row.from_age]
    if not candidates:
        return Grade(None, because=Ungraded.NO_ROW)
    unknown = sorted({fact for row in candidates for fact in row.needs} - set(facts))
    found = []
    for guess in product((True, False), repeat=len(unknown)):
        found.append(_by_rows(candidates, reading, {**facts, **dict(zip(unknown, guess, strict=True))}))
    if len({(one.grade, one.direction, one.is_to_confirm) for one in found}) > 1 and unknown:
        return Grade(None, row=_names(candidates), because=BECAUSE[unknown[0]])
    return found[0]


def _names(rows):
    return " ".join(row.id for row in rows)


def _by_rows(candidates: list[Row], reading: Reading, facts: Mapping[str, bool]) -> Grade:
    """All needed facts are known here."""
    hold = [row for row in candidates if all(facts[fact] == wanted for fact, wanted in row.needs.items())]
    if not hold:
        needed = next(fact for fact, wanted in candidates[0].needs.items() if facts[fact] != wanted)
        return Grade(None, row=_names(candidates), because=BECAUSE[needed])
    spans = [_span(row, reading, facts) for row in hold]
    least, most = (max((getattr(span, end) for span in spans), key=_badness) for end in ("least", "most"))
    if most.grade is None:
        return most
    if least.grade != most.grade:
        return Grade(None, row=most.row, because=Ungraded.NOT_EXACT)
    return most if most.grade else replace(most, row=_names(hold), direction="", is_to_confirm=False)


def _badness(grade: Grade):
    """A grade above 0 counts more than one that is not known, and this more than 0."""
    return (grade.grade or 0, grade.grade is None)


def _span(row: Row, reading: Reading, facts: Mapping[str, bool]) -> _Span:
    if reading.value is None:
        for grade, step in row.steps:
            if reading.text in step.answers:
                one = Grade(grade, row.id, HIGH, is_to_confirm=step.confirm)
                return _Span(one, one)
        return _Span(*[Grade(0, row.id)] * 2)
    value = reading.value

    def at(bound, times):
        return bound.holds(value, times=times)

    def just_below(bound, times):
        return bound.holds_beyond(value, upward=False, times=times)

    def just_above(bound, times):
        return bound.holds_beyond(value, upward=True, times=times)

    def far_below(bound, times):
        return not bound.is_upward

    def far_above(bound, times):
        return bound.is_upward

    ends = {"": (at, at), "<": (far_below, just_below), ">": (just_above, far_above)}[reading.operator]
    found = sorted((_first_hit(row, reading, facts, end) for end in ends), key=_badness)
    return _Span(*found)


def _first_hit(row: Row, reading: Reading, facts: Mapping[str, bool], is_reached) -> Grade:
    """The worst grade whose threshold is reached. Limits that are not known are left out; but nothing is 0 or better
    before they are known. Results before the baseline have none to be compared with."""
    direction, unit = {"high": HIGH, "low": LOW}[row.direction], reading.times(row)
    unknown = ""
    for grade, step in row.steps:
        if step.where and not facts.get(step.where):
            continue
        limits = []
        if step.units and unit:
            limits.append((step.units[unit[0]], unit[1]))
        for bound, limit, because in (
            (step.uln, reading.high, Ungraded.NO_UPPER_LIMIT),
            (step.lln, reading.low, Ungraded.NO_LOWER_LIMIT),
        ):
            if bound and limit is None:
                unknown = because
            elif bound:
                limits.append((bound, limit))
        if step.baseline and reading.baseline is not None:
            limits.append((step.baseline, reading.baseline))
        if any(is_reached(bound, times) for bound, times in limits):
            return Grade(grade, row.id, direction, is_to_confirm=step.confirm)
    if unknown:
        return Grade(None, row.id, because=unknown)
    return Grade(0, row.id)


# --- from the protocol's words ---------------------------------------------------------------------------


def reading_of(
    test: Test, result: Result, *, low: Decimal | None, high: Decimal | None, baseline: Decimal | None = None
) -> Reading:
    """A result as it is graded. `low` and `high` are the limits of normal in the unit of the report, as they are shown;
    `baseline` is in the protocol's unit."""
    if test.kind != "number":
        return Reading(text=result.text)
    reported = unit_of(test, result.unit)
    low, high = (limit if limit is None else standardised(limit, reported) for limit in (low, high))
    factors = tuple((without_annotations(unit.ucum), unit.factor) for unit in units_of(test))
    return Reading(
        result.operator, result.value, ucum=without_annotations(reported.ucum), factors=factors, low=low, high=high,
        baseline=baseline,
    )  # fmt: skip


def answer_of(result: Result | None) -> str:
    """A result as it answers what another one asks: the code of a choice, else the number in the protocol's unit with its
    sign; "" for none."""
    if result is None:
        return ""
    return result.text or (f"{result.operator}{result.value}" if result.value is not None else "")


def is_measured(fact: str, answer: str) -> bool | None:
    """Does a number, as `answer_of` tells it, say that the fact holds? None where it does not say."""
    _unit, bound = MEASURED_FACTS[fact]
    operator, number = (answer[:1], answer[1:]) if answer[:1] in "<>" else ("", answer)
    try:
        value = Decimal(number)
    except InvalidOperation:
        return None
    if not operator:
        return bound.holds(value)
    beyond = bound.holds_beyond(value, upward=operator == ">")
    return beyond if beyond == (bound.is_upward == (operator == ">")) else None


def facts_for(protocol: Protocol, test: Test, answers: Mapping[str, str]) -> dict[str, bool]:
    """What is known beside a result: what holds of all patients, and what `answers` (`answer_of` the results of the same
    visit, by the code of the test) say."""
    population = protocol.grading.population
    facts = population.facts if population else {}
    for fact in test.grade_facts:
        answer = answers.get(fact.test, "")
        if fact.fact in MEASURED_FACTS:
            if (holds := is_measured(fact.fact, answer)) is not None:
                facts[fact.fact] = holds
        elif answer in fact.yes or answer in fact.no:
            facts[fact.fact] = answer in fact.yes
    return facts


def grade_result(
    protocol: Protocol, test: Test, result: Result | None, *, low: Decimal | None, high: Decimal | None,
    baseline: Decimal | None = None, answers: Mapping[str, str], sex: str, age: int,
) -> Grade | None:  # fmt: skip
    """The grade of a result by the protocol's scale; None where there is no result, or nothing that grades it."""
    if result is None or protocol.grading is None or not test.grade_rows:
        return None
    scale = scales.scale(protocol.grading.scale)
    rows = [scale.row(row_id) for row_id in test.grade_rows]
    reading = reading_of(test, result, low=low, high=high, baseline=baseline)
    return grade_of(rows, reading, sex=sex, age=age, facts=facts_for(protocol, test, answers))


def reaction_row(protocol: Protocol, term: str) -> tuple[Scale, Row | None] | None:
    """The scale by which the protocol grades infusion reactions, with the row of this term; None without a scale."""
    if protocol.grading is None or not protocol.grading.reaction_scale:
        return None
    scale = scales.scale(protocol.grading.reaction_scale)
    return scale, scale.row_of_term(term)


def event_rows(protocol: Protocol, term: str) -> tuple[Scale, list[Row]] | None:
    """The published words by which an adverse event of this term is graded: the rows of the protocol's scale, of the scale
    for infusion reactions where that one has none, else the functional scale for events that have no row of their own."""
    if protocol.grading is None:
        return None
    scale = scales.scale(protocol.grading.scale)
    own = scale.rows_of_term(term) if term.strip() else []
    of_reactions = reaction_row(protocol, term) if term.strip() and not own else None
    if of_reactions and of_reactions[1]:
        return of_reactions[0], [of_reactions[1]]
    rows = own or [row for row in scale.rows if row.id == FUNCTIONAL]
    return (scale, rows) if rows else None


# the row of events that have none of their own, whichever the scale
FUNCTIONAL = "functional"


def reaction_columns(protocol: Protocol, term: str) -> dict[str, str]:
    """By which words a reaction was graded, as it is stored."""
    scale, row = reaction_row(protocol, term) or (None, None)
    return {
        "grade_scale": scale.name if row else "",
        "grade_scale_version": scale.version if row else "",
        "grade_row": row.id if row else "",
    }


def asked_for(test: Test) -> set[str]:
    """The codes of the tests whose answers the grade of this one depends on."""
    return {fact.test for fact in test.grade_facts}


def baseline_value(test: Test, result: Result | None) -> Decimal | None:
    """A baseline as it is compared with; None for one that is not exact."""
    return result.value if result is not None and not result.operator else None


def is_before_treatment(on: date, at: time | None, *, day_0: date | None, began_at: time | None) -> bool:
    """Was a result collected `on` this day (`at` this time, when known) before the first infusion, which began on day 0
    at `began_at`? Without times a result of day 0 was: blood is drawn before the infusion."""
    if day_0 is None or on < day_0:
        return True
    return on == day_0 and (at is None or began_at is None or at <= began_at)


def baseline_grade(grade: Grade | None, before: int | None, direction_before: str) -> int | None:
    """The baseline's grade as it is compared with a later one: in the same direction; a low baseline is 0 among highs."""
    if before and grade is not None and grade.direction and direction_before and grade.direction != direction_before:
        return 0
    return before


def name_told_apart(protocol, test):
    """A vital sign of panels and the one of the same name that is taken while infusions run are two tests."""
    if protocol.infusions is None or test.code not in protocol.infusions.monitoring_tests:
        return test.name
    return _("%(name)s (%(more)s)") % {"name": test.name, "more": _("at infusions")}

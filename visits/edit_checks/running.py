"""Running the checks: values in, problems out."""

from collections.abc import Collection, Iterable
from datetime import date, timedelta
from itertools import pairwise

from patients.eligibility import possible_days
from trialsite.protocol import Protocol, Test
from trialsite.words import Name
from visits.edit_checks.kinds import Form, OfDay, Problem, Rebound, Results, Surroundings, shown
from visits.edit_checks.lookup import problem
from visits.edit_checks.table import BY_CODE, CHECKS
from visits.results import Result, is_implausible, is_impossible
from visits.units import bounds_in


def find_problems(
    protocol: Protocol, panel: str, results: Results, *, around: Surroundings, on: date | None = None
) -> list[Problem]:
    """The problems of one panel: of the panel itself, of each result in the order of its tests, of several results
    together, of the day `on` which it was collected. `results` are by test code; None and absent are the same: blank."""
    form = Form(protocol.tests_of(panel), results, around, protocol.tests)
    found = _problems_of_the_panel(protocol, panel, results, around.sex) + _problems_within(form)
    return found + (problems_of_day(on, around, hard=False) if on else [])


def problems_between(tests: Iterable[Test], results: Results) -> list[Problem]:
    """The problems of results that were taken together without a panel, as while an infusion is watched."""
    return _problems_within(Form(tests, results, Surroundings()))


def problems_of_day(day: date, around: Surroundings, *, hard: bool) -> list[Problem]:
    """What the hard, or the soft, checks say about the day on which something was done."""
    found = ((check, check.finds(day, around)) for check in CHECKS if isinstance(check, OfDay) and check.hard is hard)
    return [check.problem(**values) for check, values in found if values is not None]


def _problems_of_the_panel(protocol: Protocol, panel: str, results: Results, sex: str) -> list[Problem]:
    form = protocol.panel(panel)
    name = Name("panel", panel, form.name)
    found = []
    if form.only_for_sex not in (None, sex):
        found.append(problem("not_for_sex", panel=name))
    return found + [problem("not_in_panel", code, test=code, panel=name) for code in results if code not in form.tests]


def _problems_within(form: Form) -> list[Problem]:
    each = [found for test in form.tests.values() for found in _problems_of_a_result(test, form.results.get(test.code))]
    together = []
    for check in CHECKS:
        own = [code for code in check.tests if code in form.tests]
        if own and set(check.tests) <= set(form.known) and (values := check.found(form)) is not None:
            together.append(check.problem(check.field_of(form, own), check.tests, **values))
    sharper = {found.test for found in together if isinstance(BY_CODE[found.code], Rebound)}
    return [found for found in each if found.code != "implausible" or found.test not in sharper] + together


def _problems_of_a_result(test: Test, result: Result | None) -> list[Problem]:
    told = {"test": Name("test", test.code, test.name), "result": shown(test, result)}
    if is_impossible(test, result):
        return [problem("impossible", test.code, **told, low=test.possible[0], high=test.possible[1])]
    if is_implausible(test, result):
        low, high = bounds_in(test, result.unit, test.plausible)
        return [problem("implausible", test.code, **told, low=low, high=high)]
    if result is not None and any(choice.alert for choice in test.choices if choice.code == result.text):
        return [problem("alert", test.code, **told)]
    return []


# --- records that are no panels ----------------------------------------------------------------------


def problems_of_line(dates: dict[str, str], around: Surroundings) -> list[Problem]:
    """The hard problems of a line of a history or medication: `dates` are by field, perhaps partial, perhaps blank."""
    found = []
    for name, typed in dates.items():
        if not typed:
            continue
        first, last = possible_days(typed)
        if around.birth_date and last < around.birth_date:
            found.append(problem("line_before_birth", name, birth_date=around.birth_date))
        if around.died_on and first > around.died_on:
            found.append(problem("line_after_death", name, died_on=around.died_on))
    return found


def problems_of_regimens(regimens: Collection[tuple[str, str]], around: Surroundings) -> list[Problem]:
    """The soft problems of the antiretroviral treatment as a whole: `regimens` are (start, end), perhaps partial; the
    end is "" while the regimen goes on."""
    spans = sorted((possible_days(start)[0], possible_days(end)[1] if end else None) for start, end in regimens)
    found = []
    covered = None  # the last day that the regimens so far can reach
    for (_start, end), (start, _end) in pairwise(spans):
        if end is None:
            return found  # one goes on: nothing after it is a gap
        covered = max(covered or end, end)
        if start > covered + timedelta(days=1):
            gap = {"first": covered + timedelta(days=1), "last": start - timedelta(days=1)}
            found.append(problem("art_gap", "started_on", **gap))
    ends = [end for _start, end in spans]
    if not spans or None in ends or around.consented_on is None:
        return found
    if around.consented_on <= max(ends) < (around.today or date.max):
        found.append(problem("art_stopped", "ended_on", ended_on=max(ends)))
    return found


def problems_of_event(began_on: date, around: Surroundings) -> list[Problem]:
    """The problems of an adverse event's onset."""
    found = []
    if around.consented_on and began_on < around.consented_on:
        found.append(problem("event_before_consent", "began_on", consented_on=around.consented_on))
    if around.died_on and began_on > around.died_on:
        found.append(problem("event_after_death", "began_on", died_on=around.died_on))
    return found

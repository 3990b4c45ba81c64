"""The one readable place where all edit checks are declared: `CHECKS`.

A check has a code, a title, the sentence it says, and why it is there. A hard one refuses; a soft one asks, and opens a
query unless the person confirms the value, for the source document may well say so. A check speaks only where the
protocol has its tests. Values in, sentences out: what stands beside the form arrives as `Surroundings`, loaded by the
actions; what is not known there is left empty, and the checks that need it are silent. Checks of infusions are declared
here and worked out in visits/infusing.py, those of an event's own fields in safety/consistency.py.

Bounds of the trial stand in the protocol; the percentages and tolerances here are defaults of this project, unless a
source is named, for no public source of this trial gives any.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from patients.eligibility import possible_days
from trialsite.protocol import Protocol, Test
from trialsite.ucum import unit_text
from trialsite.words import Name, Sentence
from visits.results import Result, is_implausible, is_impossible
from visits.units import bounds_in

Results = dict[str, Result | None]

# a woman below this age (completed years) needs a pregnancy test before an infusion. Default: from 60 years on a woman
# counts as post-menopausal without further proof (NCCN's definition of menopause)
CHILD_BEARING_BELOW = 60
# default: results may be entered from so many days before the day on which screening starts
DAYS_BEFORE_SCREENING = 30


@dataclass(frozen=True)
class Problem:
    """What one check says. `test` is the field that it is about: a test's code, another field's name, or "" for the
    whole form; `compared` are all the tests whose change could settle it."""

    code: str
    test: str
    text: Sentence
    hard: bool
    compared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What is known beside the form itself. Results are by test code; `baseline` are the last ones before the first infusion,
    each with its grade and direction, for what was collected after it. `window` is the visit's first and last day on
    time, `other_visits` are (planned, taken place, code) of the other planned visits that took place."""

    sex: str = ""
    previous: Results = field(default_factory=dict)
    same_visit: Results = field(default_factory=dict)
    baseline: dict[str, tuple[Result, int | None, str]] = field(default_factory=dict)
    visit: str = ""
    planned_on: date | None = None
    window: tuple[date, date] | None = None
    visit_on: date | None = None
    is_screening: bool = False
    other_visits: tuple[tuple[date, date, str], ...] = ()
    birth_date: date | None = None
    screened_on: date | None = None
    consented_on: date | None = None
    died_on: date | None = None
    today: date | None = None


class Subject(StrEnum):
    """What a check looks at."""

    VALUE = _("one value")
    FORM = _("values of one form")
    VISIT = _("several forms of one visit")
    COURSE = _("the value before")
    DAY = _("days")
    INFUSION = _("an infusion")
    TREATMENT = _("histories and medication")
    EVENT = _("adverse events")


@dataclass(frozen=True)
class Check:
    """One edit check. Its title, its sentence and its reason are in English here and read in the reader's language."""

    code: str
    subject: Subject
    title: str
    says: str
    why: str
    hard: bool = False
    once_a_visit: bool = False  # asked at one form of a visit, not at each

    def problem(self, test: str = "", compared: tuple[str, ...] = (), /, **values) -> Problem:
        return Problem(self.code, test, Sentence(self.says, values), self.hard, compared or ((test,) if test else ()))

    @property
    def tests(self) -> tuple[str, ...]:
        """The codes of the tests without which the check is silent."""
        return ()

    @property
    def earlier(self) -> tuple[str, ...]:
        """The codes of the tests whose result before this one it needs."""
        return ()

    def field_of(self, form: Form, own: list[str]) -> str:
        """Which of the tests of this form the question stands at."""
        return own[0]

    @property
    def bounds(self) -> str:
        """Its limits in signs, where they are not the protocol's."""
        return ""

    @property
    def is_of_each_test(self) -> bool:
        """Does it speak for one test at a time, so that each test has its own statistics?"""
        return self.subject == Subject.VALUE


class Form:
    """The results of one form, with what stands around it, as checks look at them."""

    def __init__(self, tests: Iterable[Test], results: Results, around: Surroundings, known: Iterable[Test] = ()):
        self.tests = {test.code: test for test in tests}
        self.known = {test.code: test for test in known} or self.tests
        self.results, self.around = results, around

    def now(self, code: str) -> Result | None:
        """The result of this form, or of another form of the same visit."""
        return self.results.get(code) if code in self.tests else self.around.same_visit.get(code)

    def before(self, code: str) -> Result | None:
        return self.around.previous.get(code)

    def told(self, code: str) -> list:
        """The test's name with its result, for a sentence."""
        test = self.known[code]
        return [Name("test", code, test.name), " ", _shown(test, self.now(code))]

    def told_before(self, code: str):
        return _shown(self.known[code], self.before(code))


@dataclass(frozen=True)
class Below(Check):
    """`lower` must be below `upper`."""

    lower: str = ""
    upper: str = ""

    @property
    def tests(self):
        return (self.lower, self.upper)

    @property
    def bounds(self):
        return f"{self.lower} < {self.upper}"

    def found(self, form: Form) -> dict | None:
        lower, upper = _exact(form.now(self.lower)), _exact(form.now(self.upper))
        if None in (lower, upper) or lower < upper:
            return None
        return {"lower": form.told(self.lower), "upper": form.told(self.upper)}


@dataclass(frozen=True)
class PartsWithin(Check):
    """`parts` belong to `whole`, a test (times `factor`, to the unit of the parts) or 100 (%), and exceed it by the
    `tolerance` and by `percent` of it at most, for rounding or two ways of counting.

    A part that is missing or only bounded counts as nothing: the others must not exceed the whole either. Parts that are
    computed from the whole say nothing of their own: the check is silent about them."""

    parts: tuple[str, ...] = ()
    whole: str | Decimal = Decimal(100)
    tolerance: Decimal = Decimal(0)
    percent: Decimal = Decimal(0)
    factor: Decimal = Decimal(1)

    @property
    def tests(self):
        return (*self.parts, self.whole) if isinstance(self.whole, str) else self.parts

    @property
    def bounds(self):
        whole = f"{self.whole} %" if isinstance(self.whole, Decimal) else self.whole
        if (factor := self.factor * (1 + self.percent / 100)) != 1:
            whole = f"{factor.normalize():f} × {whole}"
        return f"{' + '.join(self.parts)} ≤ {whole}" + (f" + {self.tolerance}" if self.tolerance else "")

    def field_of(self, form: Form, own: list[str]) -> str:
        """The greatest part of this form: the likeliest to be wrong."""
        return max(own, key=lambda code: (code in self.parts, _exact(form.now(code)) or Decimal(0)))

    def found(self, form: Form) -> dict | None:
        if any(form.known[part].computed for part in self.parts):
            return None
        whole = _exact(form.now(self.whole)) if isinstance(self.whole, str) else self.whole
        parts = [_exact(form.now(part)) or Decimal(0) for part in self.parts]
        if whole is None or sum(parts) <= whole * self.factor * (1 + self.percent / 100) + self.tolerance:
            return None
        told = [form.told(part) for part in self.parts]
        listed = [bit for n, part in enumerate(told) for bit in ([", "] if n else []) + part]
        return {"parts": listed, "whole": form.told(self.whole) if isinstance(self.whole, str) else f"{self.whole} %"}


@dataclass(frozen=True)
class Change(Check):
    """The result changed by more than `percent` of the one before; with `falls_only`, it fell by that."""

    test: str = ""
    percent: Decimal = Decimal(0)
    falls_only: bool = False

    @property
    def tests(self):
        return (self.test,)

    earlier = tests

    @property
    def bounds(self):
        return f"{self.test}: {'−' if self.falls_only else '±'}{self.percent} %"

    def found(self, form: Form) -> dict | None:
        old, new = _exact(form.before(self.test)), form.now(self.test)
        if old is None or old <= 0 or new is None or new.value is None or new.operator == ">":
            return None
        fell = (old - new.value) * 100 > self.percent * old  # "<20" fell at least as far as 20 did
        rose = (new.value - old) * 100 > self.percent * old and not new.operator
        if not (fell or (rose and not self.falls_only)):
            return None
        return {"result": form.told(self.test), "percent": self.percent, "before": form.told_before(self.test)}


@dataclass(frozen=True)
class Rebound(Check):
    """The result rose above `above` after one of at most `from_at_most`. It takes the place of the plain range check."""

    test: str = ""
    from_at_most: Decimal = Decimal(0)
    above: Decimal = Decimal(0)

    @property
    def tests(self):
        return (self.test,)

    earlier = tests

    @property
    def bounds(self):
        return f"{self.test}: ≤ {self.from_at_most} → > {self.above}"

    def found(self, form: Form) -> dict | None:
        old, new = form.before(self.test), form.now(self.test)
        if old is None or old.value is None or old.operator == ">" or old.value > self.from_at_most:
            return None
        if new is None or new.value is None or new.operator == "<":
            return None
        if not (new.value > self.above or (new.operator == ">" and new.value == self.above)):
            return None
        return {"result": form.told(self.test), "above": self.above, "before": form.told_before(self.test)}


@dataclass(frozen=True)
class OfDay(Check):
    """A check of the day on which something was done: `finds` gives the values of its sentence, or None."""

    finds: Callable[[date, Surroundings], dict | None] = lambda day, around: None


# --- what the checks of days look for ------------------------------------------------------------


def _in_the_future(day: date, around: Surroundings) -> dict | None:
    return {} if around.today and day > around.today else None


def _after_death(day: date, around: Surroundings) -> dict | None:
    return {"died_on": around.died_on} if around.died_on and day > around.died_on else None


def _long_before_screening(day: date, around: Surroundings) -> dict | None:
    screened_on = around.screened_on
    if screened_on is None or day >= screened_on - timedelta(days=DAYS_BEFORE_SCREENING):
        return None
    return {"days": DAYS_BEFORE_SCREENING, "screened_on": screened_on}


def _before_consent(day: date, around: Surroundings) -> dict | None:
    return {"consented_on": around.consented_on} if around.consented_on and day < around.consented_on else None


def _out_of_window(day: date, around: Surroundings) -> dict | None:
    if around.window is None or around.window[0] <= day <= around.window[1]:
        return None
    return {"day": day, "visit": around.visit, "earliest": around.window[0], "latest": around.window[1]}


def _on_another_day(day: date, around: Surroundings) -> dict | None:
    """Screening is not done in a day: its visit has no one date."""
    if around.visit_on is None or around.is_screening or day == around.visit_on:
        return None
    return {"day": day, "visit": around.visit, "visit_on": around.visit_on}


def _in_the_wrong_order(day: date, around: Surroundings) -> dict | None:
    if around.planned_on is None:
        return None
    for planned, taken_place, other in around.other_visits:
        if (planned < around.planned_on and taken_place > day) or (planned > around.planned_on and taken_place < day):
            return {"day": day, "visit": around.visit, "other": other, "other_day": taken_place}
    return None


# --- all of them -----------------------------------------------------------------------------------

CHECKS: tuple[Check, ...] = (
    # one value
    Check(
        "impossible", Subject.VALUE, _("Impossible value"),
        _("%(test)s %(result)s is not possible; only values from %(low)s to %(high)s are."),
        _("Outside the protocol's possible bounds, which no living adult or analyser exceeds: a slip."), hard=True,
    ),
    Check(
        "implausible", Subject.VALUE, _("Unusual value"),
        _("%(test)s %(result)s is unusual; expected is %(low)s to %(high)s. Is it right?"),
        _("Outside the protocol's plausible bounds: rare in these patients, so that a slip is likelier."),
    ),
    Check(
        "alert", Subject.VALUE, _("Answer that a person should look at"),
        _("%(test)s: %(result)s. Is it right?"),
        _("The protocol marks this answer: a positive or abnormal finding has consequences."),
    ),
    # one form
    Check(
        "not_for_sex", Subject.FORM, _("Form of the other sex"), _("%(panel)s is not for this patient's sex."),
        _("The protocol asks for this form in one sex only."), hard=True,
    ),
    Check(
        "not_in_panel", Subject.FORM, _("Test that the form does not have"), _("%(test)s is no test of %(panel)s."),
        _("Only what the protocol puts into a form is stored with it."), hard=True,
    ),
    Below(
        "pressure_order", Subject.FORM, _("Diastolic not below systolic pressure"),
        _("%(lower)s is not below %(upper)s."), _("By definition of the two; they are easily swapped."),
        lower="DIABP", upper="SYSBP",
    ),
    Below(
        "pressure_order_infused", Subject.FORM, _("Diastolic not below systolic pressure, during an infusion"),
        _("%(lower)s is not below %(upper)s."), _("By definition of the two; they are easily swapped."),
        lower="M_DIABP", upper="M_SYSBP",
    ),
    PartsWithin(
        "subsets_over_100", Subject.FORM, _("Naive and memory subsets over 100 percent"),
        _("%(parts)s are together more than %(whole)s."),
        _("The subsets exclude one another; one percent is left for rounding."),
        parts=("NVCD4P", "CMCD4P", "EMCD4P"), whole=Decimal(100), tolerance=Decimal("1.0"),
    ),
    PartsWithin(
        "subsets_over_total", Subject.FORM, _("Naive and memory cells over all CD4 cells"),
        _("%(parts)s are together more than %(whole)s."),
        _("The subsets exclude one another; one percent and two cells are left for rounding. Silent where they are computed."),
        parts=("NVCD4", "CMCD4", "EMCD4"), whole="CD4", percent=Decimal(1), tolerance=Decimal(2),
    ),
    PartsWithin(
        "cells_over_wbc", Subject.FORM, _("Neutrophils and lymphocytes over all white cells"),
        _("%(parts)s are together more than %(whole)s."),
        _("Both are white cells; 0.1 × 10⁹/L is left for rounding."),
        parts=("NEUT", "LYM"), whole="WBC", tolerance=Decimal("0.1"),
    ),
    # several forms of one visit
    PartsWithin(
        "t_cells_over_lymphocytes", Subject.VISIT, _("CD4 and CD8 cells over all lymphocytes"),
        _("%(parts)s are together more than %(whole)s."),
        _("Both are lymphocytes. A fifth is left, for flow cytometer and blood counter count apart."),
        parts=("CD4", "CD8"), whole="LYM", percent=Decimal(20), factor=Decimal(1000),
    ),
    # the value before
    Change(
        "weight_change", Subject.COURSE, _("Weight changed by more than a tenth"),
        _("%(result)s: changed by more than %(percent)s %% (previously %(before)s)."),
        _("The dose of cells follows from the weight; so great a change within weeks is rare."),
        test="WEIGHT", percent=Decimal(10),
    ),
    Change(
        "cd4_fall", Subject.COURSE, _("CD4 fell by more than half"),
        _("%(result)s: fell by more than %(percent)s %% (previously %(before)s)."),
        _("CD4 is the main endpoint and falls slowly under treatment: another patient's report, or an event."),
        test="CD4", percent=Decimal(50), falls_only=True,
    ),
    Rebound(
        "hivrna_rebound", Subject.COURSE, _("HIV RNA rebound"),
        _("%(result)s: a rebound above %(above)s after %(before)s. Is it right, and is it being confirmed?"),
        _("Above 200 copies/mL after suppression is virological rebound when confirmed (DHHS); asked once, in place of "
           "the range."),
        test="HIVRNA", from_at_most=Decimal(50), above=Decimal(200),
    ),
    # days
    OfDay(
        "day_in_future", Subject.DAY, _("Day in the future"), _("The date is in the future."),
        _("What is recorded has been done."), hard=True, finds=_in_the_future,
    ),
    OfDay(
        "day_after_death", Subject.DAY, _("Day after the death"), _("The date is after the death of %(died_on)s."),
        _("Nothing is measured after a death."), hard=True, finds=_after_death,
    ),
    OfDay(
        "day_before_screening", Subject.DAY, _("Day long before screening"),
        _("The date is more than %(days)s days before screening (%(screened_on)s)."),
        _("Results count for 30 days before entry (registry): an older one is a slip of the year."),
        hard=True, finds=_long_before_screening,
    ),
    OfDay(
        "day_before_consent", Subject.DAY, _("Day before the consent"),
        _("The date is before the consent of %(consented_on)s."),
        _("Nothing is done for a trial before the consent (ICH E6)."), hard=True, finds=_before_consent,
    ),
    OfDay(
        "window", Subject.DAY, _("Visit outside its window"),
        _("Collected on %(day)s, outside the window of %(visit)s (%(earliest)s to %(latest)s)."),
        _("The window stands in the protocol; outside it a visit is a deviation."),
        once_a_visit=True, finds=_out_of_window,
    ),
    OfDay(
        "other_day", Subject.DAY, _("Collected on another day than the visit's"),
        _("Collected on %(day)s, but %(visit)s took place on %(visit_on)s. Is it right?"),
        _("A form mostly has the date of its visit. Screening is not done in a day: silent there."),
        finds=_on_another_day,
    ),
    OfDay(
        "visit_order", Subject.DAY, _("Visits in the wrong order"),
        _("%(visit)s on %(day)s and %(other)s on %(other_day)s are not in the order of the plan."),
        _("The plan has an order; a wrong month or visit breaks it."), once_a_visit=True, finds=_in_the_wrong_order,
    ),
    # an infusion: may it be given
    Check(
        "not_randomised", Subject.INFUSION, _("Infusion before randomisation"), _("The patient is not randomised."),
        _("The arm decides what is infused."), hard=True,
    ),
    Check(
        "halted", Subject.INFUSION, _("Infusion during a halt"), _("Infusions are halted: %(halt)s."),
        _("A halt holds until a recorded decision lifts it."), hard=True,
    ),
    Check(
        "no_lot", Subject.INFUSION, _("Infusion without a lot"), _("No product lot has been chosen."),
        _("What was infused must be traced to its lot (GMP)."), hard=True,
    ),
    Check(
        "lot_not_released", Subject.INFUSION, _("Lot not released"),
        _("The product lot is not released; it is %(state)s."),
        _("Only a lot whose release tests passed is infused (GMP)."), hard=True,
    ),
    Check(
        "lot_without_expiry", Subject.INFUSION, _("Lot without expiry date"),
        _("The product lot has no expiry date."), _("It cannot be told whether it may be used."), hard=True,
    ),
    Check(
        "lot_expired", Subject.INFUSION, _("Lot expired"), _("The product lot expired on %(expires_on)s."),
        _("A lot is used up to and including the day on which it expires."), hard=True,
    ),
    Check(
        "other_product", Subject.INFUSION, _("Lot of another product"),
        _("The product lot is not of the product that this patient is to receive."),
        _("The product follows from the arm."), hard=True,
    ),
    Check(
        "given_before", Subject.INFUSION, _("Infusion given twice"), _("Infusion %(number)s has already been given."),
        _("Each infusion of the protocol is given once."), hard=True,
    ),
    Check(
        "later_one_given", Subject.INFUSION, _("Infusion after a later one"),
        _("Infusion %(later)s has already been given; infusion %(number)s cannot follow it."),
        _("A skipped infusion is not made up for."), hard=True,
    ),
    Check(
        "first_not_given", Subject.INFUSION, _("Infusion before the first"),
        _("Infusion 1 has not been given; infusion %(number)s cannot come before it."),
        _("The first infusion is day 0: the plan hangs on it."), hard=True,
    ),
    Check(
        "previous_infusion_later", Subject.INFUSION, _("Infusion dated before the previous one"),
        _("The previous infusion was given later, on %(previous_on)s."), _("Infusions follow one another."),
        hard=True,
    ),
    Check(
        "interval", Subject.INFUSION, _("Infusion too soon after the previous one"),
        _("The previous infusion was %(days)s days before, on %(previous_on)s; at least %(least)s days must lie between "
           "infusions."),
        _("The least interval stands in the protocol."), hard=True,
    ),
    Check(
        "pregnancy_untested", Subject.INFUSION, _("No pregnancy test before the infusion"),
        _("There is no pregnancy test for this infusion."),
        _("Where the protocol asks for one: every woman below 60 years (default) has one at the visit of the infusion."),
        hard=True,
    ),
    Check(
        "pregnancy_not_excluded", Subject.INFUSION, _("Pregnancy test not negative"),
        _("The pregnancy test is not negative."), _("A pregnant woman is not infused, at whatever age."), hard=True,
    ),
    # an infusion: does its record fit together
    Check(
        "future", Subject.INFUSION, _("Infusion in the future"), _("The infusion lies in the future."),
        _("What is recorded has been done."), hard=True,
    ),
    Check(
        "stop_before_start", Subject.INFUSION, _("Stop before start"), _("The infusion must stop after it starts."),
        _("The order of time."), hard=True,
    ),
    Check(
        "interruption_outside", Subject.INFUSION, _("Interruption outside the infusion"),
        _("The interruption at %(at)s is not between start and stop."), _("The order of time."), hard=True,
    ),
    Check(
        "interruption_order", Subject.INFUSION, _("Interruption ends before it begins"),
        _("The interruption at %(at)s must end after it begins."), _("The order of time."), hard=True,
    ),
    Check(
        "interruption_overlap", Subject.INFUSION, _("Interruptions overlap"),
        _("The interruption at %(at)s begins before an earlier one ended."), _("The order of time."), hard=True,
    ),
    Check(
        "interruption_open", Subject.INFUSION, _("Interruption without end"),
        _("The interruption at %(at)s has no end, yet the infusion went on after it."), _("The order of time."),
        hard=True,
    ),
    Check(
        "reaction_before_start", Subject.INFUSION, _("Reaction before the infusion"),
        _("The reaction at %(at)s began before the infusion."), _("What began before it is no reaction to it."), hard=True,
    ),
    Check(
        "dose_off_plan", Subject.INFUSION, _("Dose given off plan"),
        _("The given dose differs from the planned one by %(deviation)s %%; up to %(tolerance)s %% is tolerated."),
        _("The tolerance stands in the protocol. In a masked trial only the part of the bag is judged."),
    ),
    Check(
        "dose_for_weight", Subject.INFUSION, _("Dose prepared for another weight"),
        _("The bag was prepared for %(prepared_for)s kg, but the weight at the visit is %(weight)s kg: more than "
           "%(tolerance)s %% apart."),
        _("The dose follows from the weight of the visit; the dose's tolerance stands in the protocol. Only the weights "
           "are told, which say nothing about the arm."),
    ),
    Check(
        "volume", Subject.INFUSION, _("Volume outside the protocol"),
        _("The volume of %(volume)s mL is not from %(low)s to %(high)s mL."), _("The volume stands in the protocol."),
    ),
    Check(
        "monitoring", Subject.INFUSION, _("Vital signs missing"),
        _("The vital signs at %(minutes)s minutes are missing."), _("The times of monitoring stand in the protocol."),
    ),
    Check(
        "before_preparation", Subject.INFUSION, _("Infusion before its preparation"),
        _("The infusion began before the bag was prepared."), _("The order of time."),
    ),
    Check(
        "infusion_window", Subject.INFUSION, _("Infusion outside the visit's window"),
        _("Infused on %(day)s, outside the window of %(visit)s (%(earliest)s to %(latest)s)."),
        _("The window stands in the protocol; outside it an infusion is a deviation."),
    ),
    # histories and medication
    Check(
        "line_before_birth", Subject.TREATMENT, _("Date before birth"),
        _("The date is before the patient's birth on %(birth_date)s."),
        _("Of a partial date, only the latest possible day counts."), hard=True,
    ),
    Check(
        "line_after_death", Subject.TREATMENT, _("Date after the death"),
        _("The date is after the death of %(died_on)s."),
        _("Of a partial date, only the earliest possible day counts."), hard=True,
    ),
    Check(
        "art_gap", Subject.TREATMENT, _("Gap in the antiretroviral treatment"),
        _("No antiretroviral treatment from %(first)s to %(last)s. Is a regimen missing?"),
        _("Patients are treated without interruption (registry, I2). Partial dates are taken as all days that they can "
           "mean: only a certain gap speaks."),
    ),
    Check(
        "art_stopped", Subject.TREATMENT, _("Antiretroviral treatment stopped in the trial"),
        _("No antiretroviral treatment goes on after %(ended_on)s. Is a regimen missing?"),
        _("The treatment is to be continued (registry, I2). Silent about regimens that ended before the consent."),
    ),
    # adverse events
    Check(
        "event_before_consent", Subject.EVENT, _("Onset before the consent"),
        _("The onset is before the consent of %(consented_on)s. Is this medical history?"),
        _("Adverse events count from the consent on (ICH E6); what was there before is history, unless it got worse."),
    ),
    Check(
        "event_after_death", Subject.EVENT, _("Onset after the death"),
        _("The onset is after the death of %(died_on)s."), _("Nothing begins after a death."), hard=True,
    ),
    Check(
        "event_no_criterion", Subject.EVENT, _("Serious without a criterion"),
        _("A serious event meets at least one of the criteria; tick which."), _("ICH E2A defines serious by criteria."),
        hard=True,
    ),
    Check(
        "event_not_serious", Subject.EVENT, _("Criterion of seriousness, yet not serious"),
        _("A criterion of seriousness is ticked: the event is serious."), _("ICH E2A defines serious by criteria."),
        hard=True,
    ),
    Check(
        "event_death_criterion", Subject.EVENT, _("Death without its criterion"),
        _("Death goes with “results in death”, outcome fatal and grade 5; this criterion is not ticked."),
        _("One death, three fields: in both scales grade 5 is death (DAIDS, CTCAE)."), hard=True,
    ),
    Check(
        "event_death_outcome", Subject.EVENT, _("Death without its outcome"),
        _("Death goes with “results in death”, outcome fatal and grade 5; the outcome is not fatal."),
        _("One death, three fields: in both scales grade 5 is death (DAIDS, CTCAE)."), hard=True,
    ),
    Check(
        "event_death_grade", Subject.EVENT, _("Death without its grade"),
        _("Death goes with “results in death”, outcome fatal and grade 5; the grade is not 5."),
        _("One death, three fields: in both scales grade 5 is death (DAIDS, CTCAE)."), hard=True,
    ),
    Check(
        "event_ongoing_ended", Subject.EVENT, _("Ongoing with an end"), _("An event that goes on has no end date."),
        _("CDASH: an end date exactly when the event does not go on."), hard=True,
    ),
    Check(
        "event_ongoing_resolved", Subject.EVENT, _("Ongoing, yet resolved"),
        _("An event that goes on has not ended in this outcome."), _("The outcome says that it is over."), hard=True,
    ),
    Check(
        "event_without_end", Subject.EVENT, _("Over without an end"),
        _("Write the end date, or say that the event goes on."),
        _("CDASH: an end date exactly when the event does not go on."), hard=True,
    ),
    Check(
        "event_ended_unresolved", Subject.EVENT, _("Over, yet not resolved"),
        _("An event that has ended has another outcome."), _("The outcome says that it goes on."), hard=True,
    ),
    Check(
        "event_end_before_onset", Subject.EVENT, _("End before the onset"), _("The end is before the onset."),
        _("The order of time."), hard=True,
    ),
    Check(
        "event_in_future", Subject.EVENT, _("Onset or end in the future"), _("The date is in the future."),
        _("What is recorded has been done."), hard=True,
    ),
    Check(
        "event_unconsented", Subject.EVENT, _("Event without any consent"),
        _("No consent is recorded for this patient; adverse events count from the consent on."),
        _("Nothing is done for a trial before the consent (ICH E6)."), hard=True,
    ),
    Check(
        "event_aware_before", Subject.EVENT, _("Known before it began"),
        _("The site became aware before the onset."), _("The clock of reporting counts from the awareness."), hard=True,
    ),
    Check(
        "event_infusion_unknown", Subject.EVENT, _("After an infusion that was not given"),
        _("The patient has had %(infusions_given)s infusions."), _("The order of time."), hard=True,
    ),
    Check(
        "event_before_infusion", Subject.EVENT, _("After an infusion, yet before the first"),
        _("The onset is before the first infusion of %(first_infusion_on)s."), _("The order of time."), hard=True,
    ),
    Check(
        "event_related_untreated", Subject.EVENT, _("Related to a product that was not given"),
        _("The patient has had no infusion: the event cannot be related to the product."), _("The order of time."),
        hard=True,
    ),
    Check(
        "event_not_given_again", Subject.EVENT, _("Came back, yet nothing was given again"),
        _("No further infusion was given after this event: leave the field blank."), _("The order of time."), hard=True,
    ),
    Check(
        "event_given_again", Subject.EVENT, _("Given again after a serious event"),
        _("Infusion %(number)s was given after this event. Did it come back?"),
        _("Field 21 of the CIOMS I form asks it of every serious event after which the product was given again."),
    ),
)  # fmt: skip

BY_CODE = {check.code: check for check in CHECKS}


def title_of(code: str) -> str:
    """The title of a check in the language of the reader."""
    return gettext(BY_CODE[code].title) if code in BY_CODE else code



def problem(code: str, test: str = "", /, **values) -> Problem:
    """What the check of this code says, with the values of its sentence."""
    return BY_CODE[code].problem(test, **values)


# --- running them ----------------------------------------------------------------------------------


def looked_up(protocol: Protocol, panel: str) -> tuple[set[str], set[str]]:
    """The codes of those tests whose result at other forms of the visit, and whose earlier result, a check of this
    panel asks for: `Surroundings.same_visit` and `previous` need no others."""
    own = set(protocol.panel(panel).tests)
    known = {test.code for test in protocol.tests}
    speaking = [check for check in CHECKS if check.tests and set(check.tests) <= known and own & set(check.tests)]
    elsewhere = {code for check in speaking for code in check.tests} - own
    return elsewhere, {code for check in speaking for code in check.earlier}


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
    told = {"test": Name("test", test.code, test.name), "result": _shown(test, result)}
    if is_impossible(test, result):
        return [problem("impossible", test.code, **told, low=test.possible[0], high=test.possible[1])]
    if is_implausible(test, result):
        low, high = bounds_in(test, result.unit, test.plausible)
        return [problem("implausible", test.code, **told, low=low, high=high)]
    if result is not None and any(choice.alert for choice in test.choices if choice.code == result.text):
        return [problem("alert", test.code, **told)]
    return []


def _shown(test: Test, result: Result | None):
    if result is None:
        return Sentence(_("(blank)"))
    if result.value is None:
        if test.kind != "choice":
            return result.text
        return Name("choice", f"{test.code}/{result.text}", test.choice_label(result.text))
    return f"{result.typed} {unit_text(result.unit or test.unit)}".rstrip()


def _exact(result: Result | None) -> Decimal | None:
    """The value of a result that is a number without an operator."""
    return None if result is None or result.operator else result.value


def compared_by(code: str, test: str) -> tuple[str, ...]:
    """The tests whose change can settle what the check asked about `test`."""
    check = BY_CODE.get(code)
    return check.tests if check and check.tests else ((test,) if test else ())


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


# --- the catalogue ------------------------------------------------------------------------------------


def retirement_key(code: str, test: str) -> tuple[str, str]:
    """(check, test) under which a check is counted and retired: those of single values for one test, the others as a
    whole."""
    check = BY_CODE.get(code)
    return (code, test) if check and check.is_of_each_test else (code, "")


def each_speaks_of(check: Check, protocol: Protocol) -> list[Test]:
    """The tests of the protocol that a check of single values looks at."""
    return [test for test in protocol.tests if _LOOKS_AT[check.code](test)]


_LOOKS_AT = {
    "impossible": lambda test: test.possible is not None and test.kind == "number",
    "implausible": lambda test: test.plausible is not None,
    "alert": lambda test: any(choice.alert for choice in test.choices),
}


def is_in(check: Check, protocol: Protocol) -> bool:
    """Can the check speak in this trial?"""
    if check.subject == Subject.INFUSION:
        return protocol.infusions is not None
    if check.is_of_each_test:
        return bool(each_speaks_of(check, protocol))
    known = {test.code: test for test in protocol.tests}
    if not set(check.tests) <= set(known):
        return False
    return not (isinstance(check, PartsWithin) and any(known[part].computed for part in check.parts))

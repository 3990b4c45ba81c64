"""One version of a trial's protocol, all of it."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from pydantic import Field

from trialsite import scales
from trialsite.protocol.entry import Allocation, Criterion, Eligibility
from trialsite.protocol.giving import Arm, Infusions, Product
from trialsite.protocol.measuring import Choice, Panel, Test, Visit
from trialsite.protocol.plans import CodingPlan, GradingPlan, ReviewPlan
from trialsite.protocol.reporting import ExpectedEvent, ReportingDuty
from trialsite.protocol.stopping import EventOfInterest, Sentinel, StoppingRule
from trialsite.protocol.tables import Code, Day, Part, Positive, Text


class ConsentForm(Part):
    version: Text
    dated: Day
    languages: tuple[Text, ...] = Field(min_length=1)


class Trial(Part):
    id: Code
    version: Text
    dated: Day
    short_title: Text
    title: Text
    registry: Text
    sponsor: Text
    sponsor_address: str = ""
    indication: str = ""
    phase: Text
    masking: Literal["open", "single", "double"]
    planned_patients: Positive
    follow_up_days: Positive
    board_signatures: Positive = 1


class Protocol(Part):
    """One version of a trial's protocol."""

    trial: Trial
    consent_forms: tuple[ConsentForm, ...] = Field(min_length=1)
    products: tuple[Product, ...] = Field(min_length=1)
    arms: tuple[Arm, ...] = Field(min_length=1)
    allocation: Allocation
    infusions: Infusions | None = None
    eligibility: Eligibility
    tests: tuple[Test, ...] = Field(min_length=1)
    panels: tuple[Panel, ...] = Field(min_length=1)
    visits: tuple[Visit, ...] = Field(min_length=1)
    events_of_interest: tuple[EventOfInterest, ...] = ()
    stopping_rules: tuple[StoppingRule, ...] = ()
    sentinel: Sentinel | None = None
    safety_reporting: tuple[ReportingDuty, ...] = ()
    expected_events: tuple[ExpectedEvent, ...] = ()
    review: ReviewPlan | None = None
    grading: GradingPlan | None = None
    coding: CodingPlan | None = None
    # dotted keys whose values no public source gives: they are defaults of this project. The key of a table
    # stands for all that is in it
    project_defaults: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        return self.trial.version

    @property
    def is_masked(self) -> bool:
        return self.trial.masking != "open"

    @property
    def coding_plan(self) -> CodingPlan:
        return self.coding or CodingPlan()

    @cached_property
    def by_code(self) -> dict[str, dict]:
        kinds = ("products", "arms", "tests", "panels", "visits", "events_of_interest", "stopping_rules")
        return {kind: {item.code: item for item in getattr(self, kind)} for kind in kinds}

    def product(self, code: str) -> Product:
        return self.by_code["products"][code]

    def arm(self, code: str) -> Arm:
        return self.by_code["arms"][code]

    def test(self, code: str) -> Test:
        return self.by_code["tests"][code]

    def choice(self, code: str) -> Choice:
        """A choice by the codes of its test and its own, "HCG/POS"."""
        test, _slash, own = code.partition("/")
        return {choice.code: choice for choice in self.test(test).choices}[own]

    def panel(self, code: str) -> Panel:
        return self.by_code["panels"][code]

    def visit(self, code: str) -> Visit:
        return self.by_code["visits"][code]

    def tests_of(self, panel: str) -> tuple[Test, ...]:
        return tuple(self.test(code) for code in self.panel(panel).tests)

    def panels_of(self, visit: str, sex: str) -> tuple[Panel, ...]:
        """The panels that a patient of this sex has at this visit."""
        panels = (self.panel(code) for code in self.visit(visit).panels)
        return tuple(panel for panel in panels if panel.only_for_sex in (None, sex))

    @cached_property
    def graded_tests(self) -> frozenset[str]:
        """The codes of the tests whose results are graded."""
        return frozenset(test.code for test in self.tests if test.grade_rows)

    @cached_property
    def tests_of_measured_facts(self) -> frozenset[str]:
        """The codes of the tests whose numbers say what grades of other tests need to know."""
        facts = [fact for test in self.tests for fact in test.grade_facts]
        return frozenset(fact.test for fact in facts if fact.fact in scales.MEASURED_FACTS)

    def criteria_for(self, sex: str) -> tuple[Criterion, ...]:
        return tuple(c for c in self.eligibility.criteria if c.only_for_sex in (None, sex))

    def stopping_rule(self, code: str) -> StoppingRule:
        return self.by_code["stopping_rules"][code]

    def visit_of_infusion(self, number: int) -> Visit:
        return next(visit for visit in self.visits if visit.infusion == number)

    @cached_property
    def verified_tests(self) -> frozenset[str]:
        """The codes of the tests that are compared with the source."""
        return frozenset(test.code for test in self.tests if test.verify)

    def is_verified(self, kind: str) -> bool:
        """Are records of this kind compared with the source as a whole?"""
        return self.review is not None and kind in self.review.verify

    def is_signed(self, kind: str) -> bool:
        """Must the investigator sign records of this kind before they are locked?"""
        return self.review is not None and kind in self.review.sign

    @property
    def screening_visits(self) -> tuple[Visit, ...]:
        return tuple(visit for visit in self.visits if visit.phase == "screening")

    @property
    def visits_after_day_0(self) -> tuple[Visit, ...]:
        return tuple(visit for visit in self.visits if visit.phase != "screening")

"""What is checked again, coded and graded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from trialsite.protocol.tables import DictionaryName, Fault, Flag, Part, Text, Whole, repeated

WholeRecord = Literal["infusions", "adverse_events", "consents", "eligibility", "histories", "medications"]
SignedRecord = Literal[WholeRecord, "panels", "casebook"]


class ReviewPlan(Part):
    """Which records are verified against the source as a whole, and which the investigator signs.

    Of panels, those tests are verified that say so themselves (`tests.verify`)."""

    verify: tuple[WholeRecord, ...] = ()
    sign: tuple[SignedRecord, ...] = ()


class CodingPlan(Part):
    """With which dictionary each kind of term is coded (none: it is not), and whether an exact match needs approval."""

    adverse_events: DictionaryName = "CTCAE"
    medical_history: DictionaryName = "CTCAE"
    indications: DictionaryName = "CTCAE"
    medications: DictionaryName = ""
    approve_exact: Flag = False


class Population(Part):
    """What holds of every patient, as far as rows of a scale ask for it; None where it depends on the result."""

    fasting: Flag | None = None
    non_axillary: Flag | None = None
    hiv_infected: Flag | None = None
    anticoagulated: Flag | None = None

    @property
    def facts(self) -> dict[str, bool]:
        return {name: known for name in type(self).model_fields if (known := getattr(self, name)) is not None}


# from which grade on a reaction to an infusion proposes an adverse event, where the protocol says nothing of it
REACTIONS_PROPOSE_FROM = 2


class GradingPlan(Part):
    """By which scale results are graded (and by which infusion reactions), which facts hold of all patients, and from
    which grade on an adverse event is proposed: by a result, in general and where it is worse than the baseline; by a
    reaction to an infusion (0: by none)."""

    scale: Text
    reaction_scale: Text | None = None
    population: Population | None = None
    propose_from_grade: Annotated[Whole, Field(ge=1, le=4)] | None = None
    propose_worse_from_grade: Annotated[Whole, Field(ge=1, le=4)] | None = None
    propose_reactions_from_grade: Annotated[Whole, Field(ge=0, le=5)] = REACTIONS_PROPOSE_FROM

    @property
    def proposing_grades(self) -> tuple[int, ...]:
        """The grades from which on a result may propose an adverse event; none where no result does."""
        return tuple(filter(None, (self.propose_from_grade, self.propose_worse_from_grade)))

    def proposes(self, grade: int | None, baseline: int | None) -> bool:
        """Does a result of this grade propose an adverse event? An unknown baseline counts as normal."""
        if not grade:
            return False
        if self.propose_from_grade and grade >= self.propose_from_grade:
            return True
        return (
            bool(self.propose_worse_from_grade) and grade >= self.propose_worse_from_grade and grade > (baseline or 0)
        )


def faults_of_review(p) -> Iterator[Fault]:
    for name in ("verify", "sign"):
        kinds = getattr(p.review, name, ())
        yield from repeated(f"review.{name}", kinds, "each kind of record")

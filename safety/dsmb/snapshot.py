"""What a report is made of, as values: the patients with all that happened to them, and what was counted.

Texts of the protocol are those of the language that is spoken when they are asked for."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from django.utils.translation import gettext as _

from patients.models import Halt, State, Unmasking
from safety.models import ActionItem, AdverseEvent, Deviation
from trialsite import trial
from trialsite.protocol.plans import GradingPlan

UNSCHEDULED = ""
# the test that is drawn over time; a protocol without it has no such figure
TREND_TEST = "CD4"
# the test of which rebounds are told; a protocol without it has no such table
VIRAL_LOAD = "HIVRNA"


@dataclass
class GivenInfusion:
    number: int
    on: date
    dose_ratio: Decimal | None
    interruptions: int = 0
    reactions: list[tuple[str, int]] = field(default_factory=list)  # term, grade

    @property
    def reaction_grades(self):
        return [grade for _term, grade in self.reactions]


@dataclass
class OnePatient:
    """A patient as of the cut-off. `randomised_on` is None when that came later or not at all."""

    id: int
    number: str
    site: str
    site_name: str
    sex: str
    birth_date: date
    screened_on: date
    protocol_version: str
    randomised_on: date | None = None
    stratum: str = ""
    day_0: date | None = None
    was_eligible: bool = False
    unmet: tuple[str, ...] = ()
    end: str = ""  # a State, when the way through screening or the trial has ended
    ended_on: date | None = None
    explanation: str = ""
    art_since: str = ""
    infusions: list[GivenInfusion] = field(default_factory=list)
    infusions_due: set[int] = field(default_factory=set)
    events: list[AdverseEvent] = field(default_factory=list)
    deviations: list[Deviation] = field(default_factory=list)
    baseline: dict[str, tuple[Decimal, str]] = field(default_factory=dict)  # test: value, operator

    @property
    def has_died(self):
        return self.end == State.DIED or any(event.is_fatal for event in self.events)

    def day_of(self, day):
        """Days from day 0, or None."""
        return (day - self.day_0).days if self.day_0 else None


@dataclass
class VisitCounts:
    due: int = 0
    attended: int = 0
    missed: int = 0
    overdue: int = 0
    outside_window: int = 0


@dataclass
class PanelCounts:
    """`entry_days` are those from the visit to the entry of each panel, {days: panels}; `event_days` those from when
    the site became aware of an adverse event to its report."""

    expected: int = 0
    entered: int = 0
    not_done: int = 0
    missing: int = 0
    open_queries: int = 0
    answered_queries: int = 0
    query_days: list[int] = field(default_factory=list)
    entry_days: Counter = field(default_factory=Counter)
    event_days: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Summary:
    """One test at one visit."""

    n: int
    median: float
    lowest: Decimal
    highest: Decimal
    low: int
    high: int
    beyond: int


@dataclass(frozen=True)
class BaselineGrade:
    """The grade of the last result before the treatment, by direction ("L", "H"; none for grade 0), and whether an
    investigator has still to confirm it."""

    grades: dict[str, int]
    is_to_confirm: bool = False


@dataclass(frozen=True)
class Graded:
    """The grades of one patient's results of a test: the worst after the treatment began by direction, and that at
    baseline (None: not graded then). No direction is there whose grades are all 0. `to_confirm` are the directions whose
    worst grade an investigator has still to confirm."""

    worst: dict[str, int]
    baseline: BaselineGrade | None
    to_confirm: frozenset[str] = frozenset()


# which grades the board sees result by result, where the protocol has no rule for it
USUAL_RULE = GradingPlan(scale="-", propose_from_grade=3, propose_worse_from_grade=2)


def rule_of(protocol) -> GradingPlan:
    """Which results propose an adverse event, by this version of the protocol."""
    plan = protocol.grading
    return plan if plan and plan.proposing_grades else USUAL_RULE


class Fate(Enum):
    """What became of a result that proposes an adverse event."""

    BELONGS = "belongs"
    DECLINED = "declined"
    WAITS = "waits"


@dataclass(frozen=True)
class Abnormal:
    """A result after the treatment began that the board should see. `infusion` and `minute` are those of a reading while an
    infusion ran; `id` and `row` are those of the result and of the scale's row that graded it. `fate` is what became of the
    proposal (None: the protocol proposes none), `event` the adverse event that it belongs to."""

    patient: int
    test: str
    on: date
    typed: str
    unit: str
    low: Decimal | None
    high: Decimal | None
    grade: int
    direction: str
    baseline_grade: int | None
    is_to_confirm: bool = False
    infusion: int | None = None
    minute: int | None = None
    id: int = 0
    row: str = ""
    fate: Fate | None = None
    event: AdverseEvent | None = None


@dataclass(frozen=True)
class Before:
    """Where the last report stood: its patients, as they were known then. `is_released`: the board had got it."""

    cutoff: date
    entered_until: datetime
    patients: dict[int, OnePatient]
    is_released: bool = True


@dataclass
class Snapshot:
    """`laboratory` is by (test, visit code); `trend` are (patient, visit code, day, value) of TREND_TEST, `viral_load`
    those of VIRAL_LOAD after day 0. `event` is the last one of the trail that counts."""

    cutoff: date
    entered_until: datetime
    reported_on: date
    patients: dict[int, OnePatient]
    visits_by_site: dict[str, VisitCounts]
    visits_by_code: dict[str, VisitCounts]
    panels_by_site: dict[str, PanelCounts]
    laboratory: dict[tuple[str, str], Summary]
    trend: list[tuple[int, str, int, Decimal]]
    viral_load: list[tuple[int, str, int, Decimal]]
    grades: dict[str, dict[int, Graded]]  # by test and patient
    abnormal: list[Abnormal]
    scales: list[str]
    halts: list[Halt]
    action_items: list[ActionItem]
    unmaskings: list[Unmasking]
    event: int = 0
    before: Before | None = None
    author: str = ""  # who asked for the report; empty: the system, each month

    @property
    def versions(self):
        """The versions of the protocol that there were at the cut-off, oldest first."""
        known, used = trial.versions(), {patient.protocol_version for patient in self.patients.values()}
        return {
            version: protocol
            for place, (version, protocol) in enumerate(known.items())
            if place == 0 or protocol.trial.dated <= self.cutoff or version in used
        }

    @property
    def protocol(self):
        return list(self.versions.values())[-1]

    @property
    def randomised(self):
        return [p for p in self.patients.values() if p.randomised_on]

    @property
    def safety_population(self):
        """Patients who received at least the beginning of one infusion; in a trial without, all randomised."""
        if self.protocol.infusions:
            return [p for p in self.randomised if p.infusions]
        return self.randomised

    @property
    def population_words(self):
        return _("patients who received an infusion") if self.protocol.infusions else _("randomised patients")

    def visit_names(self):
        """{visit code: name} in the order of time, unscheduled visits last."""
        visits = sorted(self.newest("visits").values(), key=lambda visit: visit.day)
        return {**{visit.code: visit.name for visit in visits}, UNSCHEDULED: _("Unscheduled visits")}

    def newest(self, kind):
        """{code: item} of all protocol versions; the newest version's wording, its order first."""
        items = {}
        for protocol in reversed(self.versions.values()):
            for item in getattr(protocol, kind):
                items.setdefault(item.code, item)
        return items

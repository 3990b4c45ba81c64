"""What was measured, when, and is it right: one file per noun."""

from visits.models.infusions import (
    Infusion,
    Interruption,
    Lot,
    LotState,
    LotTest,
    Preparation,
    Reaction,
)
from visits.models.panels import (
    UNFINISHED,
    WITH_VALUES,
    Flag,
    Laboratory,
    Measurement,
    Missing,
    PanelRecord,
    PanelState,
    ReferenceRange,
)
from visits.models.plan import CalendarFeed, Visit, VisitState
from visits.models.queries import (
    CHANGED_SATISFIED,
    CHANGED_STILL_ASKS,
    QUERY_TRANSITIONS,
    CheckFiring,
    Outcome,
    Query,
    QueryMessage,
    QueryState,
    RetiredCheck,
)
from visits.models.reviews import Mark, Review

__all__ = [
    "CHANGED_SATISFIED",
    "CHANGED_STILL_ASKS",
    "QUERY_TRANSITIONS",
    "UNFINISHED",
    "WITH_VALUES",
    "CalendarFeed",
    "CheckFiring",
    "Flag",
    "Infusion",
    "Interruption",
    "Laboratory",
    "Lot",
    "LotState",
    "LotTest",
    "Mark",
    "Measurement",
    "Missing",
    "Outcome",
    "PanelRecord",
    "PanelState",
    "Preparation",
    "Query",
    "QueryMessage",
    "QueryState",
    "Reaction",
    "ReferenceRange",
    "RetiredCheck",
    "Review",
    "Visit",
    "VisitState",
]

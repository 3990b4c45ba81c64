"""What went wrong, and may the trial go on."""

from safety.models.adverse_events import (
    RELATED,
    SERIOUSNESS,
    ActionTaken,
    AdverseEvent,
    Expectedness,
    Outcome,
    Relationship,
)
from safety.models.casebooks import (
    Casebook,
    CasebookFile,
)
from safety.models.deviations import (
    CATEGORIES,
    Deviation,
    DismissedProposal,
)
from safety.models.reports import (
    ArmLetter,
    DsmbFile,
    DsmbReport,
    Part,
)
from safety.models.stopping import Crossing

__all__ = [
    "CATEGORIES",
    "RELATED",
    "SERIOUSNESS",
    "ActionTaken",
    "AdverseEvent",
    "ArmLetter",
    "Casebook",
    "CasebookFile",
    "Crossing",
    "Deviation",
    "DismissedProposal",
    "DsmbFile",
    "DsmbReport",
    "Expectedness",
    "Outcome",
    "Part",
    "Relationship",
]

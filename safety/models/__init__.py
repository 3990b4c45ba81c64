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
from safety.models.coding import Coding, Dictionary, DictionaryTerm
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

__all__ = [
    "CATEGORIES",
    "RELATED",
    "SERIOUSNESS",
    "ActionTaken",
    "AdverseEvent",
    "ArmLetter",
    "Casebook",
    "CasebookFile",
    "Coding",
    "Deviation",
    "Dictionary",
    "DictionaryTerm",
    "DismissedProposal",
    "DsmbFile",
    "DsmbReport",
    "Expectedness",
    "Outcome",
    "Part",
    "Relationship",
]

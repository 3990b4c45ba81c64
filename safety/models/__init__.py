"""What went wrong, and may the trial go on."""

from safety.models.abnormal import (
    DeclinedResult,
    ResultOfEvent,
)
from safety.models.adverse_events import (
    RELATED,
    SERIOUSNESS,
    ActionTaken,
    AdverseEvent,
    Expectedness,
    Outcome,
    Reappeared,
    Relationship,
)
from safety.models.board import (
    GOING_ON,
    HALTING,
    Acknowledgement,
    ActionItem,
    BoardSignature,
    ClosedMinutes,
    Decision,
    LiftedHalt,
    ReadingReceipt,
    Recommendation,
    Release,
)
from safety.models.casebooks import (
    Casebook,
    CasebookDownload,
    CasebookFile,
)
from safety.models.coding import (
    Coding,
    Dictionary,
    DictionaryTerm,
)
from safety.models.deviations import (
    CATEGORIES,
    Deviation,
    DismissedProposal,
)
from safety.models.listings import (
    ListingCopy,
    SavedView,
)
from safety.models.reports import (
    ArmLetter,
    DsmbFile,
    DsmbReport,
    LetterLook,
    Part,
    ReportDownload,
)
from safety.models.serious import (
    AuthorityCopy,
    CaseFact,
    CaseLink,
    CaseVersion,
    Causality,
    CopyPurpose,
    CopyStep,
    FactCause,
    SeriousCase,
    SponsorAssessment,
    Submission,
)
from safety.models.stopping import (
    Crossing,
)

__all__ = [
    "CATEGORIES",
    "GOING_ON",
    "HALTING",
    "RELATED",
    "SERIOUSNESS",
    "Acknowledgement",
    "ActionItem",
    "ActionTaken",
    "AdverseEvent",
    "ArmLetter",
    "AuthorityCopy",
    "BoardSignature",
    "CaseFact",
    "CaseLink",
    "CaseVersion",
    "Casebook",
    "CasebookDownload",
    "CasebookFile",
    "Causality",
    "ClosedMinutes",
    "Coding",
    "CopyPurpose",
    "CopyStep",
    "Crossing",
    "Decision",
    "DeclinedResult",
    "Deviation",
    "Dictionary",
    "DictionaryTerm",
    "DismissedProposal",
    "DsmbFile",
    "DsmbReport",
    "Expectedness",
    "FactCause",
    "LetterLook",
    "LiftedHalt",
    "ListingCopy",
    "Outcome",
    "Part",
    "ReadingReceipt",
    "Reappeared",
    "Recommendation",
    "Relationship",
    "Release",
    "ReportDownload",
    "ResultOfEvent",
    "SavedView",
    "SeriousCase",
    "SponsorAssessment",
    "Submission",
]

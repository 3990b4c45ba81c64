"""Everything that writes about what went wrong: one file per noun. Reports have their own, safety/reports.py."""

from safety.actions.adverse_events import change_adverse_event, report_adverse_event, withdraw_adverse_event
from safety.actions.casebooks import repeat_casebook, request_casebook
from safety.actions.coding import Words, approve_codings, code_line, code_terms, follow_words, reject_coding
from safety.actions.deviations import (
    change_deviation,
    dismiss_proposal,
    record_deviation,
    restore_proposal,
    withdraw_deviation,
)

__all__ = [
    "Words",
    "approve_codings",
    "change_adverse_event",
    "change_deviation",
    "code_line",
    "code_terms",
    "dismiss_proposal",
    "follow_words",
    "record_deviation",
    "reject_coding",
    "repeat_casebook",
    "report_adverse_event",
    "request_casebook",
    "restore_proposal",
    "withdraw_adverse_event",
    "withdraw_deviation",
]

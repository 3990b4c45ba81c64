"""Everything that writes about what went wrong: one file per noun. Reports have their own, safety/reports.py."""

from safety.actions.adverse_events import change_adverse_event, report_adverse_event, withdraw_adverse_event
from safety.actions.casebooks import repeat_casebook, request_casebook
from safety.actions.deviations import (
    change_deviation,
    dismiss_proposal,
    record_deviation,
    restore_proposal,
    withdraw_deviation,
)
from safety.actions.serious import (
    acknowledge_submission,
    correct_knowledge,
    follow_event,
    judge_case,
    make_case_version,
    record_submission,
    report_case,
    set_case_links,
)

__all__ = [
    "acknowledge_submission",
    "change_adverse_event",
    "change_deviation",
    "correct_knowledge",
    "dismiss_proposal",
    "follow_event",
    "judge_case",
    "make_case_version",
    "record_deviation",
    "record_submission",
    "repeat_casebook",
    "report_adverse_event",
    "report_case",
    "request_casebook",
    "restore_proposal",
    "set_case_links",
    "withdraw_adverse_event",
    "withdraw_deviation",
]

"""Everything that writes about what went wrong: one file per noun."""

from safety.actions.adverse_events import change_adverse_event, report_adverse_event, withdraw_adverse_event
from safety.actions.casebooks import repeat_casebook, request_casebook
from safety.actions.deviations import (
    change_deviation,
    dismiss_proposal,
    record_deviation,
    restore_proposal,
    withdraw_deviation,
)
from safety.actions.reports import draw_arm_letters, repeat_dsmb_report, request_dsmb_report
from safety.actions.stopping import watch_after_disposition, watch_after_infusion, watch_event, watch_rules

__all__ = [
    "change_adverse_event",
    "change_deviation",
    "dismiss_proposal",
    "draw_arm_letters",
    "record_deviation",
    "repeat_casebook",
    "repeat_dsmb_report",
    "report_adverse_event",
    "request_casebook",
    "request_dsmb_report",
    "restore_proposal",
    "watch_after_disposition",
    "watch_after_infusion",
    "watch_event",
    "watch_rules",
    "withdraw_adverse_event",
    "withdraw_deviation",
]

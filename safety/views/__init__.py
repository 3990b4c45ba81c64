"""Pages about what went wrong: one file per noun, as the actions."""

from safety.views.adverse_events import (
    change_adverse_event,
    list_adverse_events,
    report_adverse_event,
    show_adverse_event,
    withdraw_adverse_event,
)
from safety.views.casebook import (
    download_certified_copy,
    request_certified_copy,
    show_casebook,
    show_certified_copy,
    show_copy_progress,
)
from safety.views.deviations import (
    change_deviation,
    dismiss_proposal,
    list_deviations,
    list_deviations_of_patient,
    list_proposals,
    record_deviation,
    restore_proposal,
    show_deviation,
    show_unjudged,
    withdraw_deviation,
)
from safety.views.reports import download_file, list_reports, request_report, show_progress, show_report

__all__ = [
    "change_adverse_event",
    "change_deviation",
    "dismiss_proposal",
    "download_certified_copy",
    "download_file",
    "list_adverse_events",
    "list_deviations",
    "list_deviations_of_patient",
    "list_proposals",
    "list_reports",
    "record_deviation",
    "report_adverse_event",
    "request_certified_copy",
    "request_report",
    "restore_proposal",
    "show_adverse_event",
    "show_casebook",
    "show_certified_copy",
    "show_copy_progress",
    "show_deviation",
    "show_progress",
    "show_report",
    "show_unjudged",
    "withdraw_adverse_event",
    "withdraw_deviation",
]

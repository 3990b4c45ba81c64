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
from safety.views.coding import approve_codes, code_term, list_codes, reject_code, suggest_terms
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

__all__ = [
    "approve_codes",
    "change_adverse_event",
    "change_deviation",
    "code_term",
    "dismiss_proposal",
    "download_certified_copy",
    "list_adverse_events",
    "list_codes",
    "list_deviations",
    "list_deviations_of_patient",
    "list_proposals",
    "record_deviation",
    "reject_code",
    "report_adverse_event",
    "request_certified_copy",
    "restore_proposal",
    "show_adverse_event",
    "show_casebook",
    "show_certified_copy",
    "show_copy_progress",
    "show_deviation",
    "show_unjudged",
    "suggest_terms",
    "withdraw_adverse_event",
    "withdraw_deviation",
]

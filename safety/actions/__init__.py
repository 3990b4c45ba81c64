"""Everything that writes about what went wrong: one file per noun."""

from safety.actions.adverse_events import (
    change_adverse_event,
    report_adverse_event,
    withdraw_adverse_event,
)
from safety.actions.board import (
    MEANING,
    RECEIVERS,
    acknowledge_recommendation,
    confirm_reading,
    digest_of,
    record_recommendation,
    release_report,
    resolve_action_item,
    sign_recommendation,
    withdraw_recommendation,
)
from safety.actions.casebooks import (
    repeat_casebook,
    request_casebook,
)
from safety.actions.coding import (
    Words,
    approve_codings,
    code_line,
    code_terms,
    follow_words,
    reject_coding,
)
from safety.actions.deviations import (
    change_deviation,
    dismiss_proposal,
    record_deviation,
    restore_proposal,
    withdraw_deviation,
)
from safety.actions.reports import (
    draw_arm_letters,
    repeat_dsmb_report,
    request_dsmb_report,
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
    "MEANING",
    "RECEIVERS",
    "Words",
    "acknowledge_recommendation",
    "acknowledge_submission",
    "approve_codings",
    "change_adverse_event",
    "change_deviation",
    "code_line",
    "code_terms",
    "confirm_reading",
    "correct_knowledge",
    "digest_of",
    "dismiss_proposal",
    "draw_arm_letters",
    "follow_event",
    "follow_words",
    "judge_case",
    "make_case_version",
    "record_deviation",
    "record_recommendation",
    "record_submission",
    "reject_coding",
    "release_report",
    "repeat_casebook",
    "repeat_dsmb_report",
    "report_adverse_event",
    "report_case",
    "request_casebook",
    "request_dsmb_report",
    "resolve_action_item",
    "restore_proposal",
    "set_case_links",
    "sign_recommendation",
    "withdraw_adverse_event",
    "withdraw_deviation",
    "withdraw_recommendation",
]

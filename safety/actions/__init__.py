"""Everything that writes about what went wrong: one file per noun."""

from safety.actions.abnormal import (
    add_result_to_event,
    decline_result,
    report_proposed_event,
    restore_result,
)
from safety.actions.adverse_events import (
    change_adverse_event,
    report_adverse_event,
    withdraw_adverse_event,
)
from safety.actions.authority_copies import (
    ask_for_authority_copy,
    make_authority_copy,
)
from safety.actions.board import (
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
    drop_old_casebooks,
    record_casebook_download,
    repeat_casebook,
    request_casebook,
)
from safety.actions.coding import (
    Words,
    approve_codings,
    code_line,
    code_terms,
    follow_words,
    load_dictionary,
    recode_codings,
    reject_coding,
    restate_codings,
    use_dictionary,
)
from safety.actions.deviations import (
    change_deviation,
    dismiss_proposal,
    record_deviation,
    restore_proposal,
    withdraw_deviation,
)
from safety.actions.listings import (
    forget_view,
    record_copy,
    save_view,
)
from safety.actions.reports import (
    draw_arm_letters,
    look_at_letters,
    record_report_download,
    repeat_dsmb_report,
    request_dsmb_report,
)
from safety.actions.serious import (
    acknowledge_submission,
    correct_knowledge,
    follow_events,
    judge_case,
    make_case_version,
    record_submission,
    report_case,
    set_case_links,
)
from safety.actions.stopping import (
    watch_after_disposition,
    watch_events,
    watch_rules,
)
from safety.actions.treatment import follow_allocation, follow_infusion

__all__ = [
    "RECEIVERS",
    "Words",
    "acknowledge_recommendation",
    "acknowledge_submission",
    "add_result_to_event",
    "approve_codings",
    "ask_for_authority_copy",
    "change_adverse_event",
    "change_deviation",
    "code_line",
    "code_terms",
    "confirm_reading",
    "correct_knowledge",
    "decline_result",
    "digest_of",
    "dismiss_proposal",
    "draw_arm_letters",
    "drop_old_casebooks",
    "follow_allocation",
    "follow_events",
    "follow_infusion",
    "follow_words",
    "forget_view",
    "judge_case",
    "load_dictionary",
    "look_at_letters",
    "make_authority_copy",
    "make_case_version",
    "recode_codings",
    "record_casebook_download",
    "record_copy",
    "record_deviation",
    "record_recommendation",
    "record_report_download",
    "record_submission",
    "reject_coding",
    "release_report",
    "repeat_casebook",
    "repeat_dsmb_report",
    "report_adverse_event",
    "report_case",
    "report_proposed_event",
    "request_casebook",
    "request_dsmb_report",
    "resolve_action_item",
    "restate_codings",
    "restore_proposal",
    "restore_result",
    "save_view",
    "set_case_links",
    "sign_recommendation",
    "use_dictionary",
    "watch_after_disposition",
    "watch_events",
    "watch_rules",
    "withdraw_adverse_event",
    "withdraw_deviation",
    "withdraw_recommendation",
]

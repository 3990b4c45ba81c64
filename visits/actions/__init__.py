"""Everything that writes about what was measured, when, and whether it is right: one file per noun.

Views, commands, importers, demo data and tests call these, by `from visits import actions`."""

from visits.actions.feeds import end_feed, renew_feed
from visits.actions.infusions import latest_weight, prepare_infusion, record_infusion
from visits.actions.lots import receive_lot, record_lot_tests, reject_lot, release_lot
from visits.actions.panels import clear_panel, mark_panel_not_done, preview_panel, record_panel
from visits.actions.plan import (
    add_unscheduled_visit,
    died_on,
    follow_amendment,
    move_plan,
    plan_screening,
    plan_visits,
    record_attendance,
    record_missed_visit,
)
from visits.actions.queries import (
    answer_query,
    check_line,
    close_query,
    key_of,
    raise_query,
    raise_record_queries,
    reopen_query,
    restore_check,
    retire_check,
    retired_checks,
)
from visits.actions.ranges import (
    add_range,
    apply_range,
    change_laboratory,
    copy_ranges,
    create_laboratory,
    end_range,
    import_ranges,
    withdraw_range,
)

__all__ = [
    "add_range",
    "add_unscheduled_visit",
    "answer_query",
    "apply_range",
    "change_laboratory",
    "check_line",
    "clear_panel",
    "close_query",
    "copy_ranges",
    "create_laboratory",
    "died_on",
    "end_feed",
    "end_range",
    "follow_amendment",
    "import_ranges",
    "key_of",
    "latest_weight",
    "mark_panel_not_done",
    "move_plan",
    "plan_screening",
    "plan_visits",
    "prepare_infusion",
    "preview_panel",
    "raise_query",
    "raise_record_queries",
    "receive_lot",
    "record_attendance",
    "record_infusion",
    "record_lot_tests",
    "record_missed_visit",
    "record_panel",
    "reject_lot",
    "release_lot",
    "renew_feed",
    "reopen_query",
    "restore_check",
    "retire_check",
    "retired_checks",
    "withdraw_range",
]

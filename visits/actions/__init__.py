"""Everything that writes about what was measured, when, and whether it is right: one file per noun.

Views, commands, importers, demo data and tests call these, by `from visits import actions`."""

from visits.actions.feeds import end_feed, renew_feed
from visits.actions.infusions import latest_weight, prepare_infusion, record_infusion
from visits.actions.lots import receive_lot, record_lot_tests, reject_lot, release_lot
from visits.actions.panels import clear_panel, mark_panel_not_done, record_panel
from visits.actions.plan import (
    add_unscheduled_visit,
    follow_amendment,
    move_plan,
    plan_screening,
    plan_visits,
    record_attendance,
    record_missed_visit,
)
from visits.actions.queries import answer_query, close_query, raise_query, reopen_query

__all__ = [
    "add_unscheduled_visit",
    "answer_query",
    "clear_panel",
    "close_query",
    "end_feed",
    "follow_amendment",
    "latest_weight",
    "mark_panel_not_done",
    "move_plan",
    "plan_screening",
    "plan_visits",
    "prepare_infusion",
    "raise_query",
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
]

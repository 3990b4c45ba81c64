"""Pages about what was measured, when, and whether it is right: one file per noun, as the actions."""

from visits.views.calendar import calendar_feed, end_feed, renew_feed, show_calendar
from visits.views.infusions import prepare_infusion, record_infusion
from visits.views.lots import list_lots, receive_lot, reject_lot, release_lot, show_lot
from visits.views.panels import clear_panel, enter_panel, mark_panel_not_done
from visits.views.plan import (
    STANDING_TEXT,
    add_unscheduled_visit,
    planned_infusion,
    record_attendance,
    record_missed_visit,
    show_grid,
    show_visit,
    standing_of,
    visit_title,
    with_counts,
)
from visits.views.queries import about, list_queries, raise_query, show_query

__all__ = [
    "STANDING_TEXT",
    "about",
    "add_unscheduled_visit",
    "calendar_feed",
    "clear_panel",
    "end_feed",
    "enter_panel",
    "list_lots",
    "list_queries",
    "mark_panel_not_done",
    "planned_infusion",
    "prepare_infusion",
    "raise_query",
    "receive_lot",
    "record_attendance",
    "record_infusion",
    "record_missed_visit",
    "reject_lot",
    "release_lot",
    "renew_feed",
    "show_calendar",
    "show_grid",
    "show_lot",
    "show_query",
    "show_visit",
    "standing_of",
    "visit_title",
    "with_counts",
]

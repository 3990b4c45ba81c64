"""Pages about what was measured, when, and whether it is right: one file per noun, as the actions."""

from visits.views.infusions import prepare_infusion, record_infusion
from visits.views.lots import list_lots, receive_lot, reject_lot, release_lot, show_lot
from visits.views.marks import marks_of_parts
from visits.views.panels import clear_panel, enter_panel, mark_panel_not_done
from visits.views.plan import (
    STANDING_TEXT,
    add_unscheduled_visit,
    is_signed,
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
from visits.views.reviews import (
    check_patient,
    check_record,
    check_visit,
    freeze_visits,
    hold_patient,
    hold_visit,
    list_to_check,
    start_checking,
    take_back_mark,
)

__all__ = [
    "STANDING_TEXT",
    "about",
    "add_unscheduled_visit",
    "check_patient",
    "check_record",
    "check_visit",
    "clear_panel",
    "enter_panel",
    "freeze_visits",
    "hold_patient",
    "hold_visit",
    "is_signed",
    "list_lots",
    "list_queries",
    "list_to_check",
    "mark_panel_not_done",
    "marks_of_parts",
    "planned_infusion",
    "prepare_infusion",
    "raise_query",
    "receive_lot",
    "record_attendance",
    "record_infusion",
    "record_missed_visit",
    "reject_lot",
    "release_lot",
    "show_grid",
    "show_lot",
    "show_query",
    "show_visit",
    "standing_of",
    "start_checking",
    "take_back_mark",
    "visit_title",
    "with_counts",
]

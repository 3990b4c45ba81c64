"""Pages about what was measured, when, and whether it is right: one file per noun, as the actions."""

from visits.views.checks import list_checks, restore_check, retire_check
from visits.views.infusions import prepare_infusion, record_infusion
from visits.views.laboratories import (
    add_range,
    apply_range,
    change_laboratory,
    copy_ranges,
    create_laboratory,
    end_range,
    import_ranges,
    list_laboratories,
    show_laboratory,
    show_range,
    withdraw_range,
)
from visits.views.lots import list_lots, receive_lot, reject_lot, release_lot, show_lot
from visits.views.panels import check_panel, clear_panel, enter_panel, mark_panel_not_done
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
    "add_range",
    "add_unscheduled_visit",
    "apply_range",
    "change_laboratory",
    "check_panel",
    "clear_panel",
    "copy_ranges",
    "create_laboratory",
    "end_range",
    "enter_panel",
    "import_ranges",
    "list_checks",
    "list_laboratories",
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
    "restore_check",
    "retire_check",
    "show_grid",
    "show_laboratory",
    "show_lot",
    "show_query",
    "show_range",
    "show_visit",
    "standing_of",
    "visit_title",
    "with_counts",
    "withdraw_range",
]

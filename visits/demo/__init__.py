"""The steps of the demonstration, and of the tests' universe, about what was measured; and the bodies it comes from."""

from visits.demo.bodies import (
    Body,
    body_of,
    cells_of,
    usual_range,
)
from visits.demo.checking import (
    answer,
    ask,
    close,
    correct,
    lock,
    mend_slip,
    open_queries,
    review,
    sign,
    verify,
)
from visits.demo.infusions import (
    asked_before_infusion,
    give_infusion,
    judge_lot,
    lot_results,
    prepare,
    receive_lot,
    released_lot,
)
from visits.demo.laboratories import (
    change_ranges,
    make_laboratory,
)
from visits.demo.panels import (
    enter_panel,
    enter_screening,
    enter_visit,
    miss_visit,
    visit_of,
)

__all__ = [
    "Body",
    "answer",
    "ask",
    "asked_before_infusion",
    "body_of",
    "cells_of",
    "change_ranges",
    "close",
    "correct",
    "enter_panel",
    "enter_screening",
    "enter_visit",
    "give_infusion",
    "judge_lot",
    "lock",
    "lot_results",
    "make_laboratory",
    "mend_slip",
    "miss_visit",
    "open_queries",
    "prepare",
    "receive_lot",
    "released_lot",
    "review",
    "sign",
    "usual_range",
    "verify",
    "visit_of",
]

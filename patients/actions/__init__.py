"""Everything that writes about who is in the trial: one file per noun.

Views, commands, importers, demo data and tests call these, by `from patients import actions`."""

from patients.actions.allocation import (
    import_allocation_list,
    make_allocation_list,
)
from patients.actions.consents import (
    consent_forms_for,
    correct_consent,
    has_form_to_sign,
    record_consent,
)
from patients.actions.eligibility import (
    assess_eligibility,
    facts_about,
    findings_about,
    overtaken_by,
)
from patients.actions.halts import (
    held_since,
    hold_halts,
    lift_halt,
    open_halt,
    reasons_to_wait,
    refuse_when_halted,
    refuse_when_waiting,
    waiting_among,
)
from patients.actions.lines import (
    save_line,
    withdraw_line,
)
from patients.actions.patients import (
    correct_person,
    record_disposition,
    screen_patient,
)
from patients.actions.randomisation import (
    randomise_patient,
    set_day_0,
)
from patients.actions.records import (
    lock_open_patient,
    lock_patient,
    next_version,
    refuse_before_consent,
    refuse_when_held,
    refuse_when_withdrawn,
)
from patients.actions.unmaskings import (
    unmask_patient,
)

__all__ = [
    "assess_eligibility",
    "consent_forms_for",
    "correct_consent",
    "correct_person",
    "facts_about",
    "findings_about",
    "has_form_to_sign",
    "held_since",
    "hold_halts",
    "import_allocation_list",
    "lift_halt",
    "lock_open_patient",
    "lock_patient",
    "make_allocation_list",
    "next_version",
    "open_halt",
    "overtaken_by",
    "randomise_patient",
    "reasons_to_wait",
    "record_consent",
    "record_disposition",
    "refuse_before_consent",
    "refuse_when_halted",
    "refuse_when_held",
    "refuse_when_waiting",
    "refuse_when_withdrawn",
    "save_line",
    "screen_patient",
    "set_day_0",
    "unmask_patient",
    "waiting_among",
    "withdraw_line",
]

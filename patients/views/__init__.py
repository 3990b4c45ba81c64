"""Pages about who is in the trial: one file per noun. Each view guards, loads through the door, acts, redirects."""

from patients.views.consents import (
    correct_consent,
    record_consent,
)
from patients.views.eligibility import (
    assess_eligibility,
)
from patients.views.halts import (
    list_halts,
    open_halt,
)
from patients.views.lines import (
    save_line,
    withdraw_line,
)
from patients.views.overview import (
    show_background,
    show_overtaken,
    show_patient,
)
from patients.views.parts import (
    PER_PAGE,
    load_patient,
    patient_form_context,
    strip_of,
    tabs_of,
    visible_sites,
)
from patients.views.patients import (
    correct_person,
    find_patient,
    list_patients,
    record_disposition,
    screen_patient,
)
from patients.views.randomisation import (
    import_allocation_list,
    make_allocation_list,
    randomise_patient,
    show_allocation,
)
from patients.views.unmaskings import (
    list_unmaskings,
    show_unmasking,
    unmask_patient,
)

__all__ = [
    "PER_PAGE",
    "assess_eligibility",
    "correct_consent",
    "correct_person",
    "find_patient",
    "import_allocation_list",
    "list_halts",
    "list_patients",
    "list_unmaskings",
    "load_patient",
    "make_allocation_list",
    "open_halt",
    "patient_form_context",
    "randomise_patient",
    "record_consent",
    "record_disposition",
    "save_line",
    "screen_patient",
    "show_allocation",
    "show_background",
    "show_overtaken",
    "show_patient",
    "show_unmasking",
    "strip_of",
    "tabs_of",
    "unmask_patient",
    "visible_sites",
    "withdraw_line",
]

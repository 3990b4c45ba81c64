"""What the forms about visits are called where they are not shown (trialsite/titles.py)."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from patients.titles import RECORDS as OF_PATIENTS
from trialsite.titles import FormTitle
from visits.models import Laboratory, Lot, Measurement, PanelRecord, Query, ReferenceRange, Review, Visit
from visits.views import about, planned_infusion


def of_visit(words):
    return FormTitle(words, "visit")


def of_panel(words, key="pk"):
    return FormTitle(words, "panel", key)


def _panel_name(panel):
    return panel.protocol.panel(panel.code).name


def _infusion(visit, _arguments):
    return _("Infusion %d") % number if (number := planned_infusion(visit)) else _("A form")


def _preparation(visit, _arguments):
    return _("Prepare infusion %d") % number if (number := planned_infusion(visit)) else _("A form")


RECORDS = {
    "patient": OF_PATIENTS["patient"],
    "visit": (
        lambda user: Visit.objects.visible_to(user).select_related("patient"),
        lambda visit: f"{visit.patient.number} · {visit.code}",
    ),
    "panel": (
        lambda user: PanelRecord.objects.visible_to(user).select_related("visit", "patient"),
        lambda panel: f"{panel.patient.number} · {panel.visit.code}",
    ),
    "query": (
        lambda user: Query.objects.visible_to(user).select_related("patient", "panel__visit", "infusion__visit"),
        lambda query: f"{query.patient.number} · {about(query)}",
    ),
    "result": (
        lambda user: Measurement.objects.visible_to(user).select_related("patient"),
        lambda measurement: f"{measurement.patient.number} · {measurement.protocol.test(measurement.test).name}",
    ),
    "mark": (lambda user: Review.objects.visible_to(user).select_related("patient"), lambda mark: mark.patient.number),
    "lot": (Lot.objects.visible_to, str),
    "laboratory": (Laboratory.objects.visible_to, str),
    "range": (
        lambda user: ReferenceRange.objects.visible_to(user).select_related("laboratory"),
        lambda held: f"{held.laboratory} · {held.test}",
    ),
}
FORMS = {
    "record_attendance": of_visit(gettext_lazy("Date of the visit")),
    "record_missed_visit": of_visit(gettext_lazy("Missed visit")),
    "prepare_infusion": of_visit(_preparation),
    "record_infusion": of_visit(_infusion),
    "query_infusion": of_visit(lambda visit, arguments: _("Query: %s") % _infusion(visit, arguments)),
    "hold_visit": of_visit(gettext_lazy("Freeze or lock")),
    "hold_patient": FormTitle(gettext_lazy("Freeze or lock all records"), "patient"),
    "add_unscheduled_visit": FormTitle(gettext_lazy("Unscheduled visit"), "patient", "patient_pk"),
    "enter_panel": of_panel(lambda panel, _arguments: _panel_name(panel)),
    "mark_panel_not_done": of_panel(lambda panel, _arguments: _("%s: not done") % _panel_name(panel)),
    "clear_panel": of_panel(lambda panel, _arguments: _("%s: take the entry back") % _panel_name(panel)),
    "raise_query": of_panel(lambda panel, _arguments: _("Query: %s") % _panel_name(panel), "panel_pk"),
    "show_query": FormTitle(gettext_lazy("Query"), "query"),
    "query_record": FormTitle(gettext_lazy("Query")),
    "confirm_grade": FormTitle(gettext_lazy("Grade of a result"), "result"),
    "take_back_mark": FormTitle(gettext_lazy("Take back a mark"), "mark"),
    "create_laboratory": FormTitle(gettext_lazy("New laboratory")),
    "change_laboratory": FormTitle(gettext_lazy("Change the laboratory"), "laboratory"),
    "add_range": FormTitle(gettext_lazy("New reference range"), "laboratory"),
    "copy_ranges": FormTitle(gettext_lazy("Copy all ranges to a new date"), "laboratory"),
    "import_ranges": FormTitle(gettext_lazy("Import ranges"), "laboratory"),
    "end_range": FormTitle(gettext_lazy("End the range"), "range"),
    "withdraw_range": FormTitle(gettext_lazy("Entered in error"), "range"),
    "apply_range": FormTitle(gettext_lazy("Apply to these results"), "range"),
    "retire_check": FormTitle(gettext_lazy("Retire a check")),
    "restore_check": FormTitle(gettext_lazy("Restore a check")),
    "receive_lot": FormTitle(gettext_lazy("Receive a lot")),
    "show_lot": FormTitle(gettext_lazy("Release tests"), "lot"),
    "release_lot": FormTitle(gettext_lazy("Release"), "lot"),
    "reject_lot": FormTitle(gettext_lazy("Reject"), "lot"),
}

"""What the forms about safety are called where they are not shown (trialsite/titles.py)."""

from django.utils.translation import gettext_lazy

from patients.titles import RECORDS as OF_PATIENTS
from safety.models import AdverseEvent, Deviation, SeriousCase
from trialsite.ctcae import term_told
from trialsite.titles import FormTitle


def of_patient(words):
    return FormTitle(words, "patient", "patient_pk")


def of_case(words):
    return FormTitle(words, "case")


RECORDS = {
    "patient": OF_PATIENTS["patient"],
    "event": (
        lambda user: AdverseEvent.objects.visible_to(user).select_related("patient"),
        lambda event: f"{event.patient.number} · {term_told(event.term)}",
    ),
    "case": (
        lambda user: SeriousCase.objects.visible_to(user).select_related("patient", "event"),
        lambda case: f"{case.patient.number} · {term_told(case.event.term)}",
    ),
    "deviation": (
        lambda user: Deviation.objects.visible_to(user).select_related("patient"),
        lambda deviation: deviation.patient.number,
    ),
}
FORMS = {
    "report_adverse_event": of_patient(gettext_lazy("Report an adverse event")),
    "change_adverse_event": FormTitle(gettext_lazy("Change the adverse event"), "event"),
    "withdraw_adverse_event": FormTitle(gettext_lazy("Entered in error"), "event"),
    "report_proposed_event": FormTitle(gettext_lazy("Report an adverse event")),
    "add_result_to_event": FormTitle(gettext_lazy("Belongs to an event")),
    "decline_result": FormTitle(gettext_lazy("No adverse event")),
    "restore_result": FormTitle(gettext_lazy("Propose again")),
    "record_deviation": of_patient(gettext_lazy("Record a deviation")),
    "dismiss_proposal": of_patient(gettext_lazy("Not a deviation")),
    "restore_proposal": FormTitle(gettext_lazy("Propose again")),
    "change_deviation": FormTitle(gettext_lazy("Change the deviation"), "deviation"),
    "withdraw_deviation": FormTitle(gettext_lazy("Mark the deviation as entered in error"), "deviation"),
    "report_case": of_case(gettext_lazy("Report the case to the sponsor")),
    "freeze_case": of_case(gettext_lazy("Freeze a version of the case")),
    "choose_case_records": of_case(gettext_lazy("Results and medications of the case")),
    "correct_knowledge": of_case(gettext_lazy("Correct since when it was known")),
    "record_submission": of_case(gettext_lazy("Note that a report was sent")),
    "acknowledge_submission": FormTitle(gettext_lazy("Note what was answered")),
    "ask_for_authority_copy": FormTitle(gettext_lazy("Ask the statistician for the authority's copy")),
    "request_certified_copy": of_patient(gettext_lazy("Certified copy of the casebook")),
    "show_certified_copy": FormTitle(gettext_lazy("Certified copy of the casebook")),
    "record_recommendation": FormTitle(gettext_lazy("Record a recommendation")),
    "withdraw_recommendation": FormTitle(gettext_lazy("Withdraw the recommendation")),
    "acknowledge_recommendation": FormTitle(gettext_lazy("Confirm receipt")),
    "resolve_action_item": FormTitle(gettext_lazy("Resolve an action item")),
    "release_report": FormTitle(gettext_lazy("Release the report to the board")),
    "confirm_reading": FormTitle(gettext_lazy("I have read this part")),
    "request_report": FormTitle(gettext_lazy("Request a DSMB report")),
    "show_report": FormTitle(gettext_lazy("DSMB report")),
    "use_dictionary": FormTitle(gettext_lazy("Dictionaries")),
    "reject_code": FormTitle(gettext_lazy("Reject the code")),
}

"""What the forms about patients are called where they are not shown (trialsite/titles.py)."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from patients.models import Consent, Patient
from patients.views.lines import LINES
from trialsite.titles import FormTitle


def number_of(patient):
    return patient.number


def of_patient(words):
    return FormTitle(words, "patient")


def _list_of(_patient, arguments):
    kind = LINES.get(arguments["kind"])
    return kind[2] if kind else _("A form")


RECORDS = {
    "patient": (Patient.objects.visible_to, number_of),
    "consent": (
        lambda user: Consent.objects.visible_to(user).select_related("patient"),
        lambda consent: consent.patient.number,
    ),
}
FORMS = {
    "screen_patient": FormTitle(gettext_lazy("Screen a patient")),
    "correct_person": of_patient(gettext_lazy("Correct date of birth or sex")),
    "record_consent": of_patient(gettext_lazy("Informed consent")),
    "correct_consent": FormTitle(gettext_lazy("Correct the consent"), "consent"),
    "assess_eligibility": of_patient(gettext_lazy("Eligibility")),
    "randomise_patient": of_patient(gettext_lazy("Randomise")),
    "record_disposition": of_patient(gettext_lazy("End of screening or of the trial")),
    "add_line": of_patient(_list_of),
    "change_line": of_patient(_list_of),
    "withdraw_line": of_patient(_list_of),
    "open_halt": FormTitle(gettext_lazy("Open a halt")),
}

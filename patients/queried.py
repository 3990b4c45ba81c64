"""The histories, treatments and consents that a query may be about."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from trialsite.queried import Queried


def _background(patient, record):
    return reverse("patients:show_background", args=[patient])


RECORDS = {
    "patients.consent": Queried(_("Consent"), _background),
    "patients.hivhistory": Queried(_("HIV history"), _background),
    "patients.artregimen": Queried(_("Antiretroviral treatment"), _background),
    "patients.medicalhistory": Queried(_("Medical history"), _background),
    "patients.medication": Queried(_("Concomitant medication"), _background),
}

"""The events and deviations that a query may be about."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from trialsite.queried import Queried
from trialsite.roles import Permission


def _event(patient, record):
    return reverse("safety:show_adverse_event", args=[record])


def _deviation(patient, record):
    return reverse("safety:show_deviation", args=[record])


RECORDS = {
    "safety.adverseevent": Queried(_("Adverse event"), _event, Permission.VIEW_ADVERSE_EVENTS),
    "safety.deviation": Queried(_("Deviation"), _deviation),
}

"""Jobs about who is in the trial: the notice to the sponsor that a patient was unmasked."""

import logging

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import Q
from django.utils import translation
from django.utils.translation import gettext as _

from patients.models import Unmasking
from trialsite import outbox, trial
from trialsite.celery import app
from trialsite.models import User
from trialsite.roles import Role

log = logging.getLogger(__name__)


@app.task(name="patients.tasks.send_unmasking_notice")
def send_unmasking_notice(unmasking_id, outbox_id):
    """Tell the sponsor's safety officers of the site that a patient was unmasked, each in the own language. Nobody has an
    address: tell settings.ALERT_EMAIL, so that no unmasking goes unnoticed. Gives how many were told.

    Neither arm nor patient nor explanation is in the mail: those may read them who may open the log. Raises when a mail cannot be handed
    over: the outbox asks again, and who was told already is told twice."""
    unmasking = Unmasking.objects.select_related("patient__site", "unmasked_by").get(pk=unmasking_id)
    told = [(officer.email, officer.language) for officer in officers_of(unmasking.patient.site)]
    told = told or [(address, "") for address in settings.ALERT_EMAIL]
    if not told:
        log.error("nobody is named to whom an unmasking could be told")
    for address, language in told:
        with translation.override(language or settings.LANGUAGE_CODE):
            send_mail(*words_of(unmasking), from_email=None, recipient_list=[address])
    outbox.mark_done(outbox_id)
    return len(told)


def officers_of(site):
    """The sponsor's safety officers of a site who have an address."""
    here = Q(grants__site=None) | Q(grants__site=site)
    officers = User.objects.filter(here, grants__role=Role.SAFETY_OFFICER, grants__revoked_at=None, is_active=True)
    return officers.exclude(email="").distinct().order_by("pk")


def words_of(unmasking):
    """(subject, text) of the notice: where, who, when, which kind of reason."""
    told = {
        "trial": trial.current_protocol().trial.id,
        "site": unmasking.patient.site.code,
        "by": unmasking.unmasked_by.full_name,
        "at": f"{unmasking.unmasked_at:%Y-%m-%d %H:%M} UTC",
        "why": unmasking.get_category_display(),
        "number": unmasking.pk,
    }
    subject = _("Trialsite %(trial)s: a patient at site %(site)s was unmasked") % told
    text = _(
        "One patient at site %(site)s was unmasked in an emergency.\n\n"
        "By: %(by)s\nWhen: %(at)s\nWhy: %(why)s\nNumber in the log: %(number)s\n\n"
        "This message does not name the patient or the treatment. The log in Trialsite (start page, “Unmasked patients”) "
        "names the patient, never the treatment."
    )
    return subject, text % told

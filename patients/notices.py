"""The e-mail that tells the sponsor that a patient was unmasked. Neither arm nor patient nor explanation is in it: those may
read them who may open the log."""

from functools import partial

from django.conf import settings
from django.utils.translation import gettext as _

from trialsite import mails, trial
from trialsite.models import Email
from trialsite.roles import Permission


def tell_of_unmasking(unmasking):
    """The sponsor's safety officers of the site are told. None has an address: those of settings.ALERT_EMAIL, too, so that no
    unmasking goes unnoticed. Called in the transaction that wrote it down."""
    officers = list(mails.people_who(Permission.JUDGE_SERIOUS_EVENTS, site=unmasking.patient.site))
    to = officers if any(officer.email for officer in officers) else [*officers, *settings.ALERT_EMAIL]
    mails.write(key=f"unmasking/{unmasking.pk}", to=to, about=Email.About.SAFETY, words=partial(words_of, unmasking))


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

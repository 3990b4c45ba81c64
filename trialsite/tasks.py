"""Jobs of the machine itself, and of the exports."""

import logging

from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone
from django.utils.translation import gettext as _

from trialsite import drafts, mails, outbox, trial
from trialsite.celery import app
from trialsite.models import SecurityEvent

log = logging.getLogger(__name__)


@app.task
def drain_outbox():
    return outbox.drain()


@app.task
def forget_old_drafts():
    """Remove what was typed and neither saved nor touched for a month."""
    return drafts.forget_old(timezone.now())


@app.task(name="trialsite.tasks.send_email")
def send_email(email_id, outbox_id):
    """Send one notice, once. Raises when it cannot be handed over: the outbox asks again. Gives whether it was sent."""
    return mails.send(email_id, outbox_id)


@app.task(name="trialsite.tasks.send_alert")
def send_alert(event_id, outbox_id):
    """Tell settings.ALERT_EMAIL of a SecurityEvent. Raises when the mail cannot be handed over: the outbox asks again.

    Killed between sending and its mark it sends twice, which is better than never. Gives whether a mail was sent."""
    event = SecurityEvent.objects.get(pk=event_id)
    if settings.ALERT_EMAIL:
        send_mail(*words_of_alert(event), from_email=None, recipient_list=settings.ALERT_EMAIL)
    else:
        log.error("nobody is named to whom an alert could be sent: %s", event.kind)
    outbox.mark_done(outbox_id)
    return bool(settings.ALERT_EMAIL)


def words_of_alert(event):
    """(subject, text): who, when, from where; nothing of a patient."""
    about = trial.current_protocol().trial
    told = {
        "what": event.kind,
        "trial": about.id,
        "account": event.username,
        "at": f"{event.at:%Y-%m-%d %H:%M:%S} UTC",
        "address": event.address or "–",
        "request": event.request_id or "–",
    }
    subject = _("Trialsite %(trial)s: %(what)s, account %(account)s") % told
    text = _(
        "Trialsite raised an alert: %(what)s.\n\n"
        "Account: %(account)s\nWhen: %(at)s\nAddress: %(address)s\nRequest: %(request)s\n\n"
        "Ask the person whether it was they. If not, end the sessions of the account and deactivate it: "
        "Accounts, then the name."
    )
    return subject, text % told


@app.task
def make_export(export_id, outbox_id):
    from trialsite.exchange import job  # the worker alone needs it

    return job.run(export_id, outbox_id)


@app.task
def drop_old_exports():
    from trialsite.exchange.actions import drop_old_contents

    return drop_old_contents()

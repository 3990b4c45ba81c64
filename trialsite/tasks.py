"""Jobs of the machine itself, and of the exports."""

from django.utils import timezone

from trialsite import drafts, mails, outbox
from trialsite.celery import app


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


@app.task
def make_export(export_id, outbox_id):
    from trialsite.exchange import job  # the worker alone needs it

    return job.run(export_id, outbox_id)


@app.task
def drop_old_exports():
    from trialsite.exchange.actions import drop_old_contents

    return drop_old_contents()

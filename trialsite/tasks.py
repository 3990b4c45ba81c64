"""Jobs of the machine itself."""

from trialsite import outbox
from trialsite.celery import app


@app.task
def drain_outbox():
    return outbox.drain()

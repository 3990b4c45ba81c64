"""Jobs of the machine itself, and of the exports."""

from trialsite import outbox
from trialsite.celery import app


@app.task
def drain_outbox():
    return outbox.drain()


@app.task
def make_export(export_id, outbox_id):
    from trialsite.exchange import job  # the worker alone needs it

    return job.run(export_id, outbox_id)


@app.task
def drop_old_exports():
    from trialsite.exchange.actions import drop_old_contents

    return drop_old_contents()

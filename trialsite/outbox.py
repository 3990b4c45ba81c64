"""Jobs that must not be lost: a row written with the data they belong to, sent until the job says it is done.

`ask_for(task, **ids)` inside an action writes the row; after the commit it is sent at once, and whatever the broker
or a worker lost is sent again by `drain` (beat calls it). Tasks get ids only, and are idempotent."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from trialsite.models import OutboxMessage

log = logging.getLogger(__name__)

SEND_AGAIN_AFTER = timedelta(seconds=60)
# a person waits while this is sent: a broker that is down must not hold the page, `drain` comes again anyway
ONE_TRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0, "connect_retries_timeout": 2}


def ask_for(task, **arguments):
    """Write down that `task` must run with these ids; it is sent after the commit."""
    message = OutboxMessage.objects.create(task=task, arguments=arguments)
    transaction.on_commit(lambda: send(message.pk))
    return message


def ask_for_each(task, name, ids):
    """The same for many ids of one task, in one statement. When the broker is away the first that fails ends the sending:
    a person waits, and `drain` comes again."""
    rows = [OutboxMessage(task=task, arguments={name: pk}) for pk in ids]
    messages = OutboxMessage.objects.bulk_create(rows)
    transaction.on_commit(lambda: all(send(message.pk) for message in messages))


def send(message_id):
    """Hand one message to the broker. A broker that is down is logged, never raised: `drain` comes again."""
    from trialsite.celery import app

    message = OutboxMessage.objects.filter(pk=message_id, done_at=None).first()
    if message is None:
        return False
    try:
        with app.connection_for_write(connect_timeout=2, transport_options=ONE_TRY) as broker:
            app.send_task(
                message.task,
                kwargs={**message.arguments, "outbox_id": message.pk},
                connection=broker,
                retry=False,
                ignore_result=True,
            )
    except Exception as error:  # whichever transport is in use raises errors of its own
        log.warning("outbox message %s not sent: %s", message.pk, type(error).__name__)
        return False
    OutboxMessage.objects.filter(pk=message_id).update(sent_at=timezone.now(), times_sent=F("times_sent") + 1)
    return True


def drain():
    """Send what was never sent, or was sent a while ago and is not done. Gives how many were sent."""
    now = timezone.now()
    # a message from the future was sent by a clock that ran ahead
    due = Q(sent_at=None) | Q(sent_at__lt=now - SEND_AGAIN_AFTER) | Q(sent_at__gt=now + SEND_AGAIN_AFTER)
    waiting = OutboxMessage.objects.filter(due, done_at=None)
    return sum(send(pk) for pk in waiting.order_by("pk").values_list("pk", flat=True)[:100])


def mark_done(message_id):
    """Called in the transaction that stores what the job made."""
    OutboxMessage.objects.filter(pk=message_id).update(done_at=timezone.now())


def oldest_wait():
    """How long the oldest open message has waited, as a timedelta; zero when none waits."""
    oldest = OutboxMessage.objects.filter(done_at=None).order_by("written_at").first()
    return timezone.now() - oldest.written_at if oldest else timedelta(0)

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
    message = OutboxMessage.objects.create(task=task, arguments=arguments, **as_sent())
    transaction.on_commit(lambda: send_new([message]))
    return message


def ask_for_each(task, name, ids):
    """The same for many ids of one task, in one statement."""
    rows = [OutboxMessage(task=task, arguments={name: pk}, **as_sent()) for pk in ids]
    messages = OutboxMessage.objects.bulk_create(rows)
    transaction.on_commit(lambda: send_new(messages))


def as_sent():
    """What is written says that it was sent, for it will be a moment later; what dies in between is sent again."""
    return {"sent_at": timezone.now(), "times_sent": 1}


def send_new(messages):
    """Hand over what was just written. When the broker is away the first that fails ends the sending: a person waits, and
    `drain` comes again."""
    for position, message in enumerate(messages):
        if not send(message):
            left = [message.pk for message in messages[position:]]
            OutboxMessage.objects.filter(pk__in=left).update(sent_at=None, times_sent=0)
            return


def send(message):
    """Hand one message to the broker; says whether it could. A broker that is down is logged, never raised."""
    from trialsite.celery import app

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
    return True


def drain():
    """Send what was never sent, or was sent a while ago and is not done. Gives how many were sent."""
    now = timezone.now()
    # a message from the future was sent by a clock that ran ahead
    due = Q(sent_at=None) | Q(sent_at__lt=now - SEND_AGAIN_AFTER) | Q(sent_at__gt=now + SEND_AGAIN_AFTER)
    sent = 0
    for message in OutboxMessage.objects.filter(due, done_at=None).order_by("pk")[:100]:
        if send(message):
            sent += OutboxMessage.objects.filter(pk=message.pk).update(
                sent_at=timezone.now(), times_sent=F("times_sent") + 1
            )
    return sent


def mark_done(message_id):
    """Called in the transaction that stores what the job made."""
    OutboxMessage.objects.filter(pk=message_id).update(done_at=timezone.now())


def oldest_wait():
    """How long the oldest open message has waited, as a timedelta; zero when none waits."""
    oldest = OutboxMessage.objects.filter(done_at=None).order_by("written_at").first()
    return timezone.now() - oldest.written_at if oldest else timedelta(0)

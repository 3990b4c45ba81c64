"""Notices by e-mail: written with the data they are about, sent by a job, each once; and the page that shows them.

`write(...)` inside an action keeps one row per notice and person and asks the outbox to have it sent. A worker that dies
between handing the mail over and noting that leaves the row unsent: the next one sends the same message with the same
Message-ID, which mail servers and readers take for one. A mail says nothing of a patient but the number, and no arm."""

import hashlib

from django.core.mail import EmailMessage
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import F
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import override
from django.views.decorators.http import require_GET

from trialsite import outbox, trial
from trialsite.jobs import alone_with
from trialsite.models import Email
from trialsite.roles import Permission, needs

SENDING = 1213194  # name of the advisory lock: any number that nothing else uses
PER_PAGE = 50


def write(*, key, user, about, words):
    """Keep a notice to a person, once for each key, and have it sent. `words()` gives (subject, text), and is called in
    the language of that person. Gives whether it is new."""
    key = f"{key}/{user.pk}"
    with transaction.atomic():
        if Email.objects.filter(key=key).exists():
            return False
        with override(user.language or "en"):
            subject, text = words()
        row = {"about": about, "user": user, "address": user.email, "subject": subject[:200], "text": text}
        email, is_new = Email.objects.get_or_create(key=key, defaults=row)
        if is_new and email.address:
            outbox.ask_for("trialsite.tasks.send_email", email_id=email.pk)
    return is_new


def send(email_id, outbox_id):
    """Hand one notice to the mail server and note it. Gives whether this run sent it."""
    with alone_with(SENDING, email_id) as alone:
        if not alone:
            return False  # another worker is at it, and will mark the message as done
        email = Email.objects.get(pk=email_id)
        if email.sent_at is None:
            Email.objects.filter(pk=email_id).update(attempts=F("attempts") + 1)
            try:
                message_of(email).send()
            except Exception as error:
                Email.objects.filter(pk=email_id).update(failure=type(error).__name__)
                raise
        with transaction.atomic():
            Email.objects.filter(pk=email_id, sent_at=None).update(sent_at=timezone.now(), failure="")
            outbox.mark_done(outbox_id)
    return email.sent_at is None


def message_of(email):
    name = hashlib.sha256(email.key.encode()).hexdigest()[:32]
    headers = {"Message-ID": f"<{name}@{trial.current_protocol().trial.id.lower().replace('_', '-')}.trialsite>"}
    return EmailMessage(email.subject, email.text, to=[email.address], headers=headers)


@needs(Permission.JUDGE_SERIOUS_EVENTS, Permission.REPORT_ADVERSE_EVENTS, Permission.MANAGE_ACCOUNTS)
@require_GET
def list_emails(request):
    """What was written to whom, and what became of it."""
    emails = Email.objects.visible_to(request.user).select_related("user")
    page = Paginator(emails, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "list_emails.html", {"page": page})

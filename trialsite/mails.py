"""Notices by e-mail: written with the data they are about, sent by a job, each once; and the page that shows them.

The one way in which this application sends mail. `write(...)` inside an action keeps one row per notice and person and
asks the outbox to have it sent. A worker that dies
between handing the mail over and noting that leaves the row unsent: the next one sends the same message with the same
Message-ID, which mail servers and readers take for one. A mail names no patient, nothing clinical and no arm."""

import hashlib
import logging

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.paginator import Paginator
from django.db import connection, transaction
from django.db.models import F, Q
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import override
from django.views.decorators.http import require_GET

from trialsite import outbox, trial
from trialsite.jobs import alone_with
from trialsite.models import Email, User
from trialsite.roles import ROLES, Permission, needs

log = logging.getLogger(__name__)

SENDING, WRITING = 1213194, 1213195  # names of the advisory locks: any numbers that nothing else uses
PER_PAGE = 50
READERS = (
    Permission.JUDGE_SERIOUS_EVENTS,
    Permission.REPORT_ADVERSE_EVENTS,
    Permission.RECORD_DECISIONS,
    Permission.MANAGE_ACCOUNTS,
)


def people_who(*permissions, site=None):
    """The active people who hold one of these permissions now: at the site, or, without one, anywhere."""
    roles = [role for role, (_sentence, may) in ROLES.items() if not set(permissions).isdisjoint(may)]
    here = Q(grants__site=site) | Q(grants__site=None) if site else Q()
    holding = User.objects.filter(here, grants__role__in=roles, grants__revoked_at=None)
    return holding.filter(is_active=True, is_system=False).distinct().order_by("pk")


def write(*, key, to, about, words):
    """Keep a notice for each of these people (or bare addresses), once for each key, and have it sent. `words()` gives
    (subject, text), and is called once in each language that they read. Gives how many notices are new.

    A notice for nobody, or for a person without an address, is kept too: the page shows that it reached no one."""
    with transaction.atomic():
        with connection.cursor() as cursor:  # who writes the same notice at this moment is waited for
            cursor.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [WRITING, key])
        rows = {f"{key}/{_name_of(reader)}": reader for reader in [*to] or [""]}
        known = set(Email.objects.filter(key__in=rows).values_list("key", flat=True))
        told, emails = {}, []
        for its_key, reader in rows.items():
            if its_key in known:
                continue
            user = reader if isinstance(reader, User) else None
            language = (user and user.language) or settings.LANGUAGE_CODE
            if language not in told:
                with override(language):
                    told[language] = words()
            subject, text = told[language]
            emails.append(
                Email(key=its_key, about=about, user=user, address=user.email if user else reader, subject=subject[:200], text=text)
            )  # fmt: skip
        emails = Email.objects.bulk_create(emails)
        outbox.ask_for_each("trialsite.tasks.send_email", "email_id", [email.pk for email in emails if email.address])
    if emails and not any(email.address for email in emails):
        log.error("nobody has an address to whom %s could be told", key)
    return len(emails)


def _name_of(reader):
    """What names person or address in a key."""
    if isinstance(reader, User):
        return str(reader.pk)
    return hashlib.sha256(reader.encode()).hexdigest()[:16] if reader else "nobody"


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


@needs(*READERS)
@require_GET
def list_emails(request):
    """What was written to whom, and what became of it."""
    emails = Email.objects.visible_to(request.user).select_related("user")
    page = Paginator(emails, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "list_emails.html", {"page": page})

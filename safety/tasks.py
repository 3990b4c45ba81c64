"""The jobs of the safety floor: making DSMB reports, asking for one each month, and making casebooks."""

import logging
from datetime import UTC, datetime, timedelta
from functools import partial

from django.core.mail import EmailMessage
from django.db import IntegrityError
from django.db.models import Max
from django.utils.translation import gettext_noop

from patients.models import Halt, Patient
from safety.actions.reports import FIGURES, REPORT, draw_arm_letters, request_dsmb_report, store_dsmb_report
from safety.models import DsmbReport
from safety.stopping.notice import people_to_tell, words_of_halt
from trialsite import jobs
from trialsite.celery import app
from trialsite.models import AuditEvent, User
from trialsite.outbox import mark_done

log = logging.getLogger(__name__)

# what is stored while a report is made, in the language of the record; the page tells it in the reader's
DRAWING = {"open": gettext_noop("drawing the open part"), "closed": gettext_noop("drawing the closed part")}
TYPESETTING = {"open": gettext_noop("typesetting the open part"), "closed": gettext_noop("typesetting the closed part")}


@app.task(name="safety.tasks.make_dsmb_report")
def make_dsmb_report(report_id, outbox_id):
    """Make the report that was asked for, once, whatever happens. Gives whether this run made it."""
    return jobs.run(REPORT, report_id, outbox_id, _make)


def _make(report, outbox_id, by):
    # only the worker needs these: matplotlib alone is 40 MB
    from safety.dsmb.compute import compute_figures
    from safety.dsmb.draw import draw_plots
    from safety.dsmb.render import render_html, render_pdf

    say = partial(jobs.note_progress, REPORT, report.pk, by=by)
    say(gettext_noop("reading the data"), 5)
    draw_arm_letters(by=by)
    with jobs.one_instant():
        last_event = AuditEvent.objects.aggregate(last=Max("id"))["last"]
        figures = compute_figures(report.cutoff, made_on=datetime.now(UTC).date(), code_version=jobs.code_version())
    files = []
    for place, part in enumerate(figures.parts):
        say(DRAWING[part.part], 35 + 30 * place)
        pictures = draw_plots(part)
        say(TYPESETTING[part.part], 45 + 30 * place)
        files += [
            (part.part, FIGURES, "application/json", part.to_json()),
            (part.part, "report.html", "text/html; charset=utf-8", render_html(part, pictures)),
            (part.part, "report.pdf", "application/pdf", render_pdf(part, pictures)),
            *((part.part, name, "image/svg+xml", content) for name, content in pictures.items()),
        ]
    say(gettext_noop("storing"), 95)
    store_dsmb_report(
        report_id=report.pk, figures=figures, files=files, last_audit_event=last_event, outbox_id=outbox_id, by=by
    )


@app.task(name="safety.tasks.request_monthly_report")
def request_monthly_report():
    """Ask for this month's report, as of the end of the last month, unless it was asked for. Beat calls it every
    hour, so that no outage skips a month. Gives the new report's key."""
    today = datetime.now(UTC).date()
    month, cutoff = f"{today:%Y-%m}", today.replace(day=1) - timedelta(days=1)
    if DsmbReport.objects.filter(month=month).exists():
        return None
    if not Patient.objects.filter(screened_on__lte=cutoff).exists():
        return None
    try:
        return request_dsmb_report(cutoff=cutoff, month=month, by=User.objects.system()).pk
    except IntegrityError:
        return None  # another worker was first


@app.task(name="safety.tasks.make_casebook")
def make_casebook(casebook_id, outbox_id):
    """Make the casebook that was asked for, once, whatever happens. Gives whether this run made it."""
    from safety.casebook import job

    return job.run(casebook_id, outbox_id)


@app.task(name="safety.tasks.tell_of_halt")
def tell_of_halt(halt_id, outbox_id):
    """Tell of a halt that a stopping rule opened. Raises when the mail cannot be handed over: the outbox asks again.

    Killed between sending and its mark it sends twice, which is better than never. Gives how many were told."""
    halt = Halt.objects.select_related("patient").get(pk=halt_id)
    addresses = [person.email for person in people_to_tell(halt)]
    if addresses:
        subject, text = words_of_halt(halt)
        EmailMessage(subject, text, bcc=addresses).send()
    else:
        log.error("nobody has an address to whom halt %s could be told", halt.pk)
    mark_done(outbox_id)
    return len(addresses)

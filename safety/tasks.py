"""The jobs of the safety floor: making DSMB reports, and asking for one each month.

A job may run twice, at once or one after the other, and may die at any line: who works on a report holds an advisory
lock that goes with the connection, so that the next run need not ask whether the last one is alive; what a run
made is stored in one transaction or not at all."""

import logging
from datetime import UTC, datetime, timedelta

from django.db import IntegrityError, InterfaceError, OperationalError
from django.utils import translation
from django.utils.translation import gettext_noop

from patients.models import Patient
from safety import reports
from safety.models import DsmbReport
from trialsite.as_of import StillWriting
from trialsite.audit import request_id
from trialsite.celery import app
from trialsite.jobs import MOST_BEGINNINGS, TooManyBeginnings, alone_with, code_version, times_begun
from trialsite.languages import LANGUAGES
from trialsite.models import User
from trialsite.outbox import mark_done

log = logging.getLogger(__name__)

# what is stored while a report is made, in the language of the record; the page tells it in the reader's
DRAWING = {"open": gettext_noop("drawing the open part"), "closed": gettext_noop("drawing the closed part")}
TYPESETTING = {"open": gettext_noop("typesetting the open part"), "closed": gettext_noop("typesetting the closed part")}


@app.task(name="safety.tasks.make_dsmb_report")
def make_dsmb_report(report_id, outbox_id):
    """Make the report that was asked for, once, whatever happens; see the module. Gives whether this run made it.

    Raises only when the database is not there: the outbox sends the message again."""
    with alone_with(reports.MAKING, report_id) as alone:
        if not alone:
            return False  # another worker is at it, and will mark the message as done
        by = User.objects.system()
        token = request_id.set(f"outbox-{outbox_id}")
        try:
            report = reports.begin_dsmb_report(report_id=report_id, by=by)
            if report is None:
                mark_done(outbox_id)
                return False
            if times_begun(report, reports.BEGUN) > MOST_BEGINNINGS:
                raise TooManyBeginnings(f"begun {MOST_BEGINNINGS} times and never finished")
            _make(report, outbox_id, by)
            return True
        except (OperationalError, InterfaceError, StillWriting):
            raise
        except Exception as error:
            log.exception("DSMB report %s could not be made", report_id)
            failure = f"{type(error).__name__}, at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
            reports.fail_dsmb_report(report_id=report_id, failure=failure, outbox_id=outbox_id, by=by)
            return False
        finally:
            request_id.reset(token)


def _make(report, outbox_id, by):
    # only the worker needs these: matplotlib alone is 40 MB
    from safety.dsmb.compute import compute_figures
    from safety.dsmb.draw import draw_plots
    from safety.dsmb.past import read_past
    from safety.dsmb.render import render_html, render_pdf

    def say(step, percent):
        reports.note_progress(report_id=report.pk, step=step, percent=percent, by=by)

    say(gettext_noop("reading the data"), 5)
    reports.draw_arm_letters(series=report.series, by=by)
    snapshot, arms, cutoff = read_past(report)
    made, files = [], []
    for place, language in enumerate(LANGUAGES):
        with translation.override(language):
            figures = compute_figures(snapshot, arms)
            made.append(figures)
            for part in figures.parts:
                done = 35 + 30 * place + (15 if part.part == "closed" else 0)
                say(DRAWING[part.part], done)
                pictures = draw_plots(part)
                say(TYPESETTING[part.part], done + 5)
                kept = {
                    reports.FIGURES: ("application/json", part.to_json()),
                    "report.html": ("text/html; charset=utf-8", render_html(part, pictures)),
                    "report.pdf": ("application/pdf", render_pdf(part, pictures)),
                    **{name: ("image/svg+xml", content) for name, content in pictures.items()},
                }
                files += [(part.part, reports.named(name, language), *file) for name, file in kept.items()]
    say(gettext_noop("storing"), 95)
    reports.store_dsmb_report(
        report_id=report.pk, figures=made, files=files, code_version=code_version(), cutoff=cutoff,
        outbox_id=outbox_id, by=by,
    )  # fmt: skip


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
        return reports.request_dsmb_report(cutoff=cutoff, month=month, by=User.objects.system()).pk
    except IntegrityError:
        return None  # another worker was first


@app.task(name="safety.tasks.make_casebook")
def make_casebook(casebook_id, outbox_id):
    """Make the casebook that was asked for, once, whatever happens. Gives whether this run made it."""
    from safety.casebook import job

    return job.run(casebook_id, outbox_id)

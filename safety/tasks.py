"""The jobs of the safety floor: making DSMB reports, asking for one each month, making casebooks,
reminding of reports on serious cases."""

from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import IntegrityError, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext_noop

from patients.models import Patient
from safety import actions, notices
from safety.actions.reports import (
    FIGURES,
    REPORT,
    TABLES,
    draw_arm_letters,
    named,
    request_dsmb_report,
    store_dsmb_report,
)
from safety.actions.serious import follow_events
from safety.models import AdverseEvent, DsmbReport
from trialsite import jobs
from trialsite.celery import app
from trialsite.languages import LANGUAGES
from trialsite.models import User

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
    from safety.dsmb.past import read_past
    from safety.dsmb.render import render_html, render_pdf
    from safety.dsmb.tables import tables_of

    say = partial(jobs.note_progress, REPORT, report.pk, by=by)
    say(gettext_noop("reading the data"), 5)
    draw_arm_letters(series=report.series, by=by)
    snapshot, arms, cutoff = read_past(report)
    made, files = [], []
    for place, language in enumerate(LANGUAGES):
        with translation.override(language):
            whole = compute_figures(snapshot, arms)
            made.append(whole.shortened())
            for part in made[-1].parts:
                done = 35 + 30 * place + (15 if part.part == "closed" else 0)
                say(DRAWING[part.part], done)
                pictures = draw_plots(part)
                say(TYPESETTING[part.part], done + 5)
                kept = {
                    FIGURES: ("application/json", part.to_json()),
                    "report.html": ("text/html; charset=utf-8", render_html(part, pictures)),
                    "report.pdf": ("application/pdf", render_pdf(part, pictures)),
                    TABLES: ("application/zip", tables_of(whole.part(part.part))),
                    **{name: ("image/svg+xml", content) for name, content in pictures.items()},
                }
                files += [(part.part, named(name, language), *file) for name, file in kept.items()]
    say(gettext_noop("storing"), 95)
    store_dsmb_report(report_id=report.pk, figures=made, files=files, cutoff=cutoff, outbox_id=outbox_id, by=by)


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


@app.task(name="safety.tasks.drop_old_casebooks")
def drop_old_casebooks():
    return actions.drop_old_casebooks(by=User.objects.system())


@app.task(name="safety.tasks.watch_cases")
def watch_cases():
    """Open the cases of serious events that have none (reported by an older program), and remind of deadlines. Beat
    calls it every few minutes. Gives how many notices are new."""
    without = AdverseEvent.objects.filter(is_serious=True, is_withdrawn=False, case=None).select_related(
        "patient__site"
    )
    for event in without[:1000]:
        with transaction.atomic():
            follow_events(events=[event], by=User.objects.system())
    now = timezone.now()
    return sum(notices.tell_of_deadlines(case, now) for case in notices.cases_to_look_at(now))

"""What a DSMB report costs: seconds of each step, queries, memory, pages, by the number of patients.

Run it on a scratch database that `manage.py demo` has filled. docs/performance.md has the method and figures."""

import json
import resource
import time
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext

from safety.actions.reports import draw_arm_letters
from safety.dsmb.compute import compute_figures
from safety.dsmb.draw import draw_plots
from safety.dsmb.past import read_past
from safety.dsmb.render import render_html, render_pdf
from safety.dsmb.tables import tables_of
from safety.models import AdverseEvent, DsmbReport
from trialsite.audit import acting
from trialsite.management.commands.benchmark import peak_memory
from trialsite.models import AuditEvent, User
from trialsite.reasons import because
from visits.models import Measurement


class Command(BaseCommand):
    help = "Print what a DSMB report of this database costs."

    def add_arguments(self, parser):
        parser.add_argument(
            "--corrected", action="store_true", help="first correct every result, after the report's cut-off"
        )

    def handle(self, *, corrected, **options):
        if settings.PRODUCTION:
            raise CommandError("The benchmark writes into the trial: it does not run in production.")
        draw_arm_letters(by=User.objects.system())
        cutoff = datetime.now(UTC)
        if corrected:
            correct_all_results()
        self.stdout.write(json.dumps(self.report(cutoff), indent=2))

    def report(self, now):
        before = DsmbReport(cutoff=now.date() - timedelta(days=31), entered_until=now)
        report = DsmbReport(
            cutoff=now.date() - timedelta(days=1), entered_until=now, reported_on=now.date(), compared_with=before
        )
        at_first, seconds, sizes, processor = peak_memory(), {}, {}, processor_seconds()

        def timed(name, make, *arguments):
            begun = time.perf_counter()
            made = make(*arguments)
            seconds[name] = round(seconds.get(name, 0) + time.perf_counter() - begun, 1)
            return made

        with CaptureQueriesContext(connection) as queries:
            snapshot, arms, _cutoff = timed("reading", read_past, report)
        after_reading = peak_memory()
        figures = timed("counting", compute_figures, snapshot, arms)
        for whole, part in zip(figures.parts, figures.shortened().parts, strict=True):
            sizes[f"{part.part}, CSV"] = len(timed("CSV and XLSX", tables_of, whole))
            pictures = timed("drawing", draw_plots, part)
            sizes[f"{part.part}, HTML"] = len(timed("HTML", render_html, part, pictures))
            sizes[f"{part.part}, PDF"] = len(timed("PDF", render_pdf, part, pictures))
        return {
            "patients": len(snapshot.patients),
            "events": AdverseEvent.objects.count(),
            "measurements": Measurement.objects.count(),
            "events of the trail": AuditEvent.objects.count(),
            "queries": len(queries),
            "seconds, of one language": seconds | {"all": round(sum(seconds.values()), 1)},
            "of the processor, without the database": round(processor_seconds() - processor, 1),
            "MB: before, after reading, at the peak": [at_first, after_reading, peak_memory()],
            "MB of the typesetter at its peak": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
            "MB of files": {name: round(size / 1e6, 1) for name, size in sizes.items()},
        }


def processor_seconds():
    """Of this process and of those it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def correct_all_results():
    """One event of the trail for each result, later than the cut-off: every row has to be rebuilt from it."""
    of_patient = Measurement.objects.order_by().values_list("patient", flat=True).distinct()
    for patient in list(of_patient):
        with acting(User.objects.system(), because("corrected for the benchmark")):
            Measurement.objects.filter(patient=patient).update(typed=Concat("typed", Value("0")))

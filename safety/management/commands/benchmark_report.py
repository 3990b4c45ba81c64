"""What a DSMB report costs: seconds of each step, queries, memory, pages, by the number of patients.

Run it on a scratch database that `manage.py demo` has filled. docs/performance.md has the method and figures."""

import json
import resource
import time
from datetime import UTC, datetime, timedelta

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections, transaction
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
from trialsite.audit import acting, audited_models
from trialsite.management.commands.benchmark import OFFSET, TOLD_APART, in_order, peak_memory
from trialsite.models import AuditEvent, User
from trialsite.reasons import because
from visits.models import Measurement


class Command(BaseCommand):
    help = "Print what a DSMB report of this database costs."

    def add_arguments(self, parser):
        parser.add_argument("--copies", type=int, default=0, help="first add each patient that often again, by SQL")
        parser.add_argument(
            "--corrected", action="store_true", help="then correct every result, after the report's cut-off"
        )

    def handle(self, *, copies, corrected, **options):
        if settings.PRODUCTION:
            raise CommandError("The benchmark writes into the trial: it does not run in production.")
        if copies:
            copy_without_trail(copies)
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


def copy_without_trail(times):
    """Each patient with all records, `times` more times, by the owner and past the triggers: ten thousand patients in
    minutes. The copies have no events in the trail, which is what an old entry looks like to a report of now."""
    patient = apps.get_model("patients", "Patient")
    models = in_order([m for m in audited_models() if m is patient or any(f.name == "patient" for f in m._meta.fields)])
    tables = [model._meta.db_table for model in models]
    with connections["owner"].cursor() as cursor:
        cursor.execute("set statement_timeout = 0")
        for table in tables:
            cursor.execute(f"alter table {table} disable trigger user")
        try:
            with transaction.atomic("owner"):
                for model in models:
                    cursor.execute(copy_statement(model, models, times))
        finally:
            for table in tables:
                cursor.execute(f"alter table {table} enable trigger user")
                cursor.execute(f"analyze {table}")


def copy_statement(model, models, times):
    names, values, table = [], [], model._meta.db_table
    apart = TOLD_APART.get(table, {})
    for field in model._meta.concrete_fields:
        value = apart.get(field.name, f'"{field.column}"').format(k="k")
        if field.primary_key or field.related_model in models or field.name == "record_id":
            value = f"{value} + {OFFSET} * k"
        names.append(f'"{field.column}"')
        values.append(value)
    of_a_patient = "" if model._meta.model_name == "patient" else "patient_id is not null and "
    return f"""insert into {table} ({", ".join(names)})
        select {", ".join(values)} from {table} cross join generate_series(1::bigint, {times}) k
        where {of_a_patient} id < {OFFSET}"""  # noqa: S608 - names of our own tables

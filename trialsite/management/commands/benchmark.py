"""What pages, saves and exports cost: SQL queries and milliseconds; what processes cost: start-up time and memory.

Run it on a database that `manage.py demo` has filled; it saves panels there (a change of the comment, with a reason).
docs/performance.md has the method and figures."""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from trialsite import presence
from trialsite.exchange.making import make_files
from trialsite.exchange.tables import Scope
from trialsite.models import Grant, User
from trialsite.roles import Role

BACKEND = "django.contrib.auth.backends.ModelBackend"
FIELD = re.compile(r'<(?:input|textarea)[^>]*name="(version|idem)"[^>]*value="([^"]*)"')


class Command(BaseCommand):
    help = "Print queries and milliseconds per page and save, start-up time, and memory per process."

    def add_arguments(self, parser):
        parser.add_argument("--runs", type=int, default=15, help="counted runs of each page (after two warm-ups)")
        parser.add_argument(
            "--export", action="store_true", help="measure an export of everything instead of the pages"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")

    def handle(self, *, runs, export, **options):
        if settings.PRODUCTION:
            raise CommandError("The benchmark writes into the trial: it does not run in production.")
        if export:
            self.stdout.write(json.dumps(self.export(), indent=2))
            return
        self.runs = runs
        figures = {
            "patients": apps.get_model("patients", "Patient").objects.count(),
            "events": events_about(),
            "pages": list(self.pages()),
            "saves": list(self.saves()),
            "start": self.start_up(),
            "memory": self.memory(),
        }
        self.stdout.write(json.dumps(figures, indent=2) if options["json"] else self.tables(figures))

    # --- pages ------------------------------------------------------------------------------------

    def browser_of(self, role):
        grant = Grant.objects.current().filter(role=role, user__is_active=True).select_related("user").first()
        if grant is None:
            raise CommandError(f"There is no {role}: fill the database with `manage.py demo` first.")
        client = Client()
        client.force_login(User.objects.get(pk=grant.user_id), backend=BACKEND)
        client.session.save()
        client.cookies[settings.PRESENCE_COOKIE_NAME] = presence.stamp(client.session.session_key)
        return client, grant.site

    def pages(self):
        model = apps.get_model
        coordinator, site = self.browser_of(Role.COORDINATOR)
        statistician, _ = self.browser_of(Role.STATISTICIAN)
        patient = model("patients", "Patient").objects.filter(site=site, state="randomised").first()
        if patient is None:
            raise CommandError("There is no randomised patient: fill the database with `manage.py demo` first.")
        visit = patient.visits.filter(infusion__isnull=False).first()
        panel = patient.panels.filter(state="entered").order_by("-collected_on").first()
        event = model("safety", "AdverseEvent").objects.filter(patient__site=site).first()

        def listing(code):
            return reverse("safety:show_listing", args=[code])

        wanted = [
            ("start page", coordinator, reverse("home")),
            ("patients", coordinator, reverse("patients:list_patients")),
            ("patient", coordinator, reverse("patients:show_patient", args=[patient.pk])),
            ("consent and history", coordinator, reverse("patients:show_background", args=[patient.pk])),
            ("grid of visits", coordinator, reverse("visits:show_grid")),
            ("visit", coordinator, reverse("visits:show_visit", args=[visit.pk])),
            ("panel form", coordinator, reverse("visits:enter_panel", args=[panel.pk])),
            ("infusion form", coordinator, reverse("visits:record_infusion", args=[visit.pk])),
            ("queries", coordinator, reverse("visits:list_queries")),
            ("adverse events of a site", coordinator, listing("events")),
            *(
                (f"listing of all sites: {words}", statistician, address)
                for words, address in (
                    ("events", listing("events")),
                    ("events, worst grade first", listing("events") + "?sort=-grade"),
                    ("events with a word", listing("events") + "?q=fever"),
                    ("serious events", listing("serious")),
                    ("deviations", listing("deviations")),
                    ("abnormal results", listing("results")),
                    ("classes by grade", reverse("safety:show_heat_map")),
                    ("shift table", reverse("safety:show_shift_table")),
                    ("liver plot", reverse("safety:show_liver_plot")),
                    ("patients as lines", reverse("safety:show_swimmers")),
                )
            ),
            ("grid of all sites", statistician, reverse("visits:show_grid")),
            ("history of a panel", coordinator, reverse("show_history", args=["visits", "panelrecord", panel.pk])),
            ("reports", statistician, reverse("safety:list_reports")),
        ]
        if event:
            wanted.append(("adverse event", coordinator, reverse("safety:show_adverse_event", args=[event.pk])))
        for name, client, url in wanted:
            yield {"name": name, **self.measure(lambda client=client, url=url: client.get(url))}

    def saves(self):
        coordinator, site = self.browser_of(Role.COORDINATOR)
        panels = apps.get_model("visits", "PanelRecord").objects.filter(patient__site=site, state="entered")
        panel = panels.filter(code="chemistry").first() or panels.first()
        url = reverse("visits:enter_panel", args=[panel.pk])
        values = {m.test: m.typed for m in panel.measurements.filter(is_computed=False)}
        numeric = next(
            m for m in panel.measurements.filter(is_computed=False, value__isnull=False) if m.typed.isdigit()
        )
        count = 0

        def save():
            nonlocal count
            count += 1
            page = coordinator.get(url).content.decode()
            keys = dict(FIELD.findall(page))
            changed = {numeric.test: str(int(numeric.typed) + count % 2)}
            body = {**values, **changed, **keys, "collected_on": panel.collected_on, "collected_at": "",
                    "comment": f"benchmark {count}", "reason": "benchmark"}  # fmt: skip
            return lambda: coordinator.post(url, body)

        yield {"name": f"whole panel ({len(values)} values)", **self.measure(save, prepared=True, expected=302)}

    def measure(self, action, prepared=False, expected=200):
        """Queries of one run, and the median time of several, without counting the preparation of each run."""
        milliseconds = []
        for _ in range(self.runs + 2):
            run = action() if prepared else action
            with CaptureQueriesContext(connection) as queries:
                began = time.perf_counter()
                response = run()
                milliseconds.append(1000 * (time.perf_counter() - began))
            if response.status_code != expected:
                raise CommandError(f"{response.request['PATH_INFO']} answers {response.status_code}")
        times = sorted(milliseconds[2:])
        return {
            "queries": len(queries),
            "ms": round(statistics.median(times), 1),
            "slowest": round(times[-1], 1),
            "kB": round(len(response.content) / 1024),
        }

    # --- exports ----------------------------------------------------------------------------------

    def export(self):
        """Seconds until each step of an export of everything, megabytes of its files, and of memory at its peak."""
        statistician = Grant.objects.current().filter(role=Role.STATISTICIAN).first().user
        before, began, steps = peak_memory(), time.perf_counter(), {}

        def say(step, percent):
            steps[step] = round(time.perf_counter() - began, 1)

        with tempfile.TemporaryDirectory() as folder:
            made = make_files(Path(folder), scope=Scope.of(statistician), cutoff=timezone.now(), about={}, say=say)
            sizes = {file.name: round(file.stat().st_size / 1e6, 1) for file in sorted(Path(folder).iterdir())}
        return {
            "patients": apps.get_model("patients", "Patient").objects.count(),
            "measurements": apps.get_model("visits", "Measurement").objects.count(),
            "events": made.last_audit_event,
            "seconds": round(time.perf_counter() - began, 1),
            "begun after, s": steps,
            "MB of memory, before and at the peak": (before, peak_memory()),
            "MB": {name: size for name, size in sizes.items() if size >= 0.5},
        }

    # --- processes ----------------------------------------------------------------------------------

    def start_up(self):
        """Seconds until the web application can answer, in a fresh interpreter."""
        code = "import trialsite.wsgi"
        times = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, cwd=settings.BASE_DIR, env=os.environ)
            times.append(time.perf_counter() - began)
        return {"web application, s": round(statistics.median(times), 2)}

    def memory(self):
        """MB of each process of a running `serve`: resident, and its share of what several use together (PSS)."""
        rows = []
        for file in sorted((settings.VAR / "run").glob("*.pid")):
            text = file.read_text().strip()
            # `serve` is the parent of all the others, which have pid files of their own
            for pid in [] if not text else [int(text)] if file.stem == "serve" else family(int(text)):
                if used := memory_of(pid):
                    rows.append({"name": file.stem, "pid": pid, **used})
        return rows

    def tables(self, figures):
        lines = [
            f"{figures['patients']} patients, about {figures['events']} events in the trail, {self.runs} runs each",
            "",
        ]
        lines.append(f"{'page or save':32}{'queries':>8}{'ms':>8}{'slowest':>9}{'kB':>6}")
        for row in figures["pages"] + figures["saves"]:
            lines.append(f"{row['name']:32}{row['queries']:8}{row['ms']:8}{row['slowest']:9}{row['kB']:6}")
        lines += ["", *(f"{name:32}{value:8}" for name, value in figures["start"].items()), ""]
        for row in figures["memory"]:
            lines.append(
                f"{row['name']:12} process {row['pid']:>7}   {row['resident']:6.0f} MB, share {row['share']:.0f} MB"
            )
        if not figures["memory"]:
            lines.append("memory: start `manage.py serve` beside this to see its processes")
        return "\n".join(lines)


def events_about():
    """How many events the trail has, as PostgreSQL estimates it: counting tens of millions takes longer than a statement may."""
    with connection.cursor() as cursor:
        table = apps.get_model("trialsite", "AuditEvent")._meta.db_table
        cursor.execute("select greatest(reltuples, 0)::bigint from pg_class where oid = %s::regclass", [table])
        return cursor.fetchone()[0]


def peak_memory():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def family(pid):
    """The process and its children, from /proc."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [pid, *(one for child in below for one in family(child))]


def memory_of(pid):
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.endswith("kB")}
    return {"resident": kilobytes["Rss"] / 1024, "share": kilobytes["Pss"] / 1024}

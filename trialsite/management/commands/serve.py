"""`manage.py serve`: starts everything that Trialsite is made of, keeps it running, and ends it all."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from trialsite import embedded, processes
from trialsite.processes import Program

READY_WITHIN = 60  # seconds
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 6  # seconds for the programs to finish what they do, before they are killed


class Command(BaseCommand):
    help = "Runs the web pages, the worker, the scheduler and, unless their URLs are set, database and broker."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--demo", action="store_true", help="fill an empty database with an invented trial")
        parser.add_argument("--host", default=os.environ.get("TRIALSITE_HOST", "127.0.0.1"))
        parser.add_argument("--port", type=int, default=int(os.environ.get("TRIALSITE_PORT", "8000")))
        parser.add_argument(
            "--no-worker", action="store_true",
            help="leave out the worker and the scheduler: reports, exports, copies and e-mails wait, unless CELERY_BROKER_URL "
            "names a broker that a worker elsewhere serves",
        )  # fmt: skip

    def handle(self, *, demo, host, port, no_worker, **options):
        if demo and settings.PRODUCTION:
            raise CommandError("--demo is for invented patients; it does not go with a production profile")
        self.var, self.demo, self.host, self.port, self.no_worker = settings.VAR, demo, host, port, no_worker
        self.own_database = "DATABASE_URL" not in os.environ
        self.own_broker = "CELERY_BROKER_URL" not in os.environ
        self.programs = []
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup's wish holds
                signal.signal(number, stop_now)
        try:
            with processes.claimed(self.var):
                self.run()
        except processes.AlreadyServed as other:
            raise CommandError(f"already running as process {other.pid}; `manage.py stop` ends it") from None
        except (embedded.EmbeddedError, DatabaseError) as problem:
            raise CommandError(str(problem)) from problem
        except KeyboardInterrupt:
            self.say("stopped")

    def run(self):
        try:
            if count := processes.end_left_over(self.var):
                self.say(f"ended {count} processes that a killed serve had left")
            with self.open_port() as self.listener:
                self.prepare()
                self.start_programs()
                self.wait_until_ready()
                self.greet()
                while True:
                    self.tend()
                    time.sleep(0.2)
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self.end()

    @property
    def nobody_works(self):
        """Nobody is to do the jobs: with a broker of others a worker elsewhere is."""
        return self.no_worker and self.own_broker

    # --- start -------------------------------------------------------------------------------

    def open_port(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=2048)
        except OSError as problem:
            why = os.strerror(problem.errno)
            raise CommandError(f"cannot listen on {self.host}:{self.port}: {why}") from None

    def prepare(self):
        """Database, tables, static files, and the demo's patients."""
        unfinished = self.var / "demo.unfinished"
        if self.own_database:
            embedded.start_database(self.var)
            self.note_postgres()
            if self.demo and unfinished.exists():
                self.say("the demo was interrupted while it was being made; making it again")
                embedded.empty_database(self.var)
        if "owner" in settings.DATABASES:
            call_command("migrate", interactive=False, verbosity=0)
        elif self.migrations_are_missing():
            raise CommandError("the database is behind the program: `manage.py migrate` with MIGRATION_DATABASE_URL")
        call_command("collectstatic", interactive=False, verbosity=0)
        if self.demo and not self.database_is_in_use():
            unfinished.touch()
            self.make_demo()
            unfinished.unlink()
        connections.close_all()

    def migrations_are_missing(self):
        executor = MigrationExecutor(connections["default"])
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))

    def database_is_in_use(self):
        from trialsite.models import Site

        return Site.objects.exists()

    def make_demo(self):
        command = [sys.executable, "manage.py", "demo", "--accounts", str(self.var / "accounts.json")]
        environment = {**os.environ, processes.MARK: str(self.var)}
        maker = subprocess.Popen(command, cwd=embedded.BASE, env=environment, start_new_session=True)
        if maker.wait():
            raise CommandError("the demo could not be made; its output is above")

    def start_programs(self):
        # the programs get the runtime role only, and no way to the owner's
        environment = {key: value for key, value in os.environ.items() if key != "MIGRATION_DATABASE_URL"}
        environment["TRIALSITE_VAR"] = str(self.var)
        environment["DJANGO_SETTINGS_MODULE"] = "trialsite.settings"
        environment["TRIALSITE_NO_WORKER"] = "1" if self.nobody_works else "0"
        environment["TRIALSITE_BIND"] = f"fd://{self.listener.fileno()}"
        if self.own_database:
            environment["DATABASE_URL"] = embedded.database_url(self.var)
        if self.own_broker:
            environment["CELERY_BROKER_URL"] = embedded.broker_url(self.var)
            self.add("valkey", embedded.broker_command(self.var), environment)
        python = [sys.executable, "-m"]
        gunicorn = [*python, "gunicorn", "-c", "python:trialsite.gunicorn_conf", "trialsite.wsgi"]
        self.add("web", gunicorn, environment, keep_open=[self.listener.fileno()])
        if not self.no_worker:
            celery = [*python, "celery", "-A", "trialsite"]
            size = os.environ.get("TRIALSITE_WORKERS", "1")
            self.add(
                "worker",
                [*celery, "worker", "-c", size, "-l", "INFO", "--without-gossip", "--without-mingle"],
                environment,
            )
            self.add("beat", [*celery, "beat", "-l", "INFO", "--pidfile="], environment)

    def add(self, name, command, environment, **options):
        program = Program(self.var, name, command, environment, **options)
        program.start()
        self.programs.append(program)

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_WITHIN
        while (status := self.ready_status()) != 200:
            self.tend()
            for program in self.programs:
                if program.deaths >= 3:
                    raise CommandError(f"{program.name} does not start; {program.log} ends:\n{program.last_words()}")
            if time.monotonic() > deadline:
                raise CommandError(f"/healthz/ready answers {status} after {READY_WITHIN} s; see {self.var / 'log'}")
            time.sleep(0.1)

    def ready_status(self):
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        name = next((host for host in settings.ALLOWED_HOSTS if not host.startswith(("*", "."))), self.host)
        connection = http.client.HTTPConnection(local, self.port, timeout=2)
        try:
            connection.request("GET", "/healthz/ready", headers={"Host": name})
            return connection.getresponse().status
        except OSError as problem:
            return str(problem)
        finally:
            connection.close()

    def greet(self):
        accounts = self.var / "accounts.json"
        if self.demo and accounts.exists():
            self.say_accounts(json.loads(accounts.read_text()))
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.say(f"Trialsite is ready at http://{shown}:{self.port}/    (Ctrl-C ends it)")

    def say_accounts(self, accounts):
        columns = ("user", "password", "role", "site")
        rows = [
            columns,
            *(tuple(str(account.get(column) or "") for column in columns) for account in accounts),
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    # --- while it runs, and the end ----------------------------------------------------------------

    def tend(self):
        for program in self.programs:
            if news := program.tend():
                self.say(news)
        if self.own_database and not processes.alive(self.postgres):
            self.say("postgres ended; starting it again")
            try:
                embedded.start_database(self.var)
                self.note_postgres()
            except (embedded.EmbeddedError, psycopg.OperationalError) as problem:
                self.say(str(problem))  # and try again at the next turn

    def note_postgres(self):
        self.postgres = embedded.postmaster_pid(self.var)
        processes.pid_file(self.var, "postgres").write_text(f"{self.postgres}\n")

    def end(self):
        connections.close_all()
        processes.end([program for program in self.programs if program.name != "valkey"], GRACE)
        processes.end([program for program in self.programs if program.name == "valkey"], 2)
        processes.end_left_over(self.var, seconds=0)
        if self.own_database:
            if not embedded.stop_database(self.var):
                self.say("PostgreSQL goes on: another process uses it, and the last one stops it")
            processes.pid_file(self.var, "postgres").unlink(missing_ok=True)

    def say(self, line):
        with contextlib.suppress(OSError):  # whoever was listening may have gone
            self.stdout.write(line)
            self.stdout.flush()


def stop_now(number, frame):
    raise KeyboardInterrupt

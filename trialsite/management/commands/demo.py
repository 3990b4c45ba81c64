"""`manage.py demo`: fills an empty database with an invented trial."""

import time

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils.module_loading import import_string

from trialsite import demo
from trialsite.copies import copy_patients
from trialsite.models import Site, User
from trialsite.saving import Refused


class Command(BaseCommand):
    help = "Fill an empty database with an invented trial: sites, accounts, and patients in every state."

    def add_arguments(self, parser):
        parser.add_argument("--patients", type=int, default=13, metavar="N", help="how many are randomised (13)")
        parser.add_argument(
            "--copies", type=int, default=0, metavar="N",
            help="then add each patient N times more, by SQL and without signatures: 588 make ten thousand of 13 (0)",
        )  # fmt: skip
        parser.add_argument("--sites", type=int, default=2, metavar="S", help="how many sites take part (2)")
        parser.add_argument(
            "--seed", default="1", metavar="K", help="the same seed on the same day, the same trial (1)"
        )
        parser.add_argument("--accounts", metavar="FILE", help="write who can sign in with what to this file, as JSON")
        parser.add_argument("--quiet", action="store_true", help="print neither progress nor accounts")

    def handle(self, *, patients, copies, sites, seed, accounts, quiet, **options):
        if settings.PRODUCTION:
            raise CommandError("the demo is for invented patients; it does not go with a production profile")
        if not 1 <= patients <= 5000 or not 1 <= sites <= 99:
            raise CommandError("choose 1 to 5000 patients and 1 to 99 sites")
        if not 0 <= copies <= 1000:
            raise CommandError("choose 0 to 1000 copies")
        if User._meta.db_table not in connection.introspection.table_names():
            call_command("migrate", verbosity=0)
        if apps.get_model("patients.Patient").objects.exists():
            raise CommandError("there are patients in the database already; the demo needs an empty one")
        if Site.objects.exists():
            raise CommandError("there are sites in the database already; the demo needs an empty one")
        self.quiet, self.told, self.began = quiet, -1, time.monotonic()
        with connection.cursor() as cursor:  # a demo cut short is made anew: no need to wait for the disk at each step
            cursor.execute("set synchronous_commit = off")
        machine = User.objects.system()
        self.tell(0, f"{sites} sites and their people")
        places = demo.make_sites(sites, by=machine)
        with_second_factor = bool(accounts) and settings.SECOND_FACTOR == "required"
        people = demo.make_people(places, seed=seed, with_second_factor=with_second_factor, by=machine)
        if accounts:
            demo.write_accounts(people, accounts)
        play = import_string(settings.DEMO_TRIAL)
        try:
            play(people=people, sites=places, patients=patients, seed=seed, tell=self.tell)
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        if copies:
            self.told = -1
            copy_patients(copies, lambda done: self.tell(100 * done // copies, f"{done} copies of each patient"))
        if not quiet and not accounts:
            self.show(people)

    def tell(self, percent, words):
        """A line for every tenth."""
        if not self.quiet and percent // 10 > self.told // 10:
            self.told = percent
            self.stdout.write(f"demo {percent:3d} %  {words}  ({time.monotonic() - self.began:.0f} s)")
            self.stdout.flush()

    def show(self, people):
        rows = [("user", "password", "role", "site")]
        rows += [(a.user.username, a.password, a.role, a.site.code if a.site else "") for a in people.accounts]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

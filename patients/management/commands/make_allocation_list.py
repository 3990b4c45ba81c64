"""The statistician's command: make the randomisation list from a seed, or import one that was made elsewhere."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from patients import actions
from patients.randomisation import BadList
from trialsite.models import User
from trialsite.roles import Permission, can
from trialsite.saving import Refused


class Command(BaseCommand):
    help = "Make the randomisation list for every stratum that has none (--seed, --places), or import it (--csv FILE)."

    def add_arguments(self, parser):
        parser.add_argument("--by", required=True, help="user name of the statistician who makes the list")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--seed", help="recorded with the list; the same seed makes the same list")
        source.add_argument("--csv", type=Path, help="a list with the columns stratum, sequence, arm")
        parser.add_argument("--places", type=int, default=40, help="places per stratum, at least (default 40)")

    def handle(self, *, by, seed, csv, places, **options):
        person = User.objects.filter(username__iexact=by, is_active=True).first()
        if person is None or not can(person, Permission.MANAGE_ALLOCATION):
            raise CommandError(f"{by} is no statistician of this trial.")
        if places < 1:
            raise CommandError("--places must be 1 or more.")
        try:
            if csv:
                made = actions.import_allocation_list(text=csv.read_text(encoding="utf-8"), by=person)
            else:
                made = actions.make_allocation_list(slots_per_stratum=places, seed=seed, by=person)
        except (Refused, OSError, UnicodeDecodeError) as error:
            raise CommandError(str(error)) from None
        except BadList as bad:
            lines = [f"row {cell.row}, column {cell.column}: {cell.expected}" for cell in bad.cells]
            raise CommandError("\n".join(lines)) from None
        self.stdout.write(f"{made.slots.count()} places, algorithm {made.algorithm}, SHA-256 {made.sha256}")

"""The edit checks of this trial, as docs/checks.md has them."""

from django.core.management.base import BaseCommand
from django.utils.translation import override

from trialsite import trial
from visits import catalogue


class Command(BaseCommand):
    help = "Print the edit checks that this trial runs: a line each, or docs/checks.md."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--markdown", action="store_true", help="print docs/checks.md instead")

    def handle(self, *, markdown, **options):
        protocol = trial.current_protocol()
        with override("en"):
            if markdown:
                self.stdout.write(catalogue.page(protocol), ending="")
                return
            for row in catalogue.table(protocol, {}, {}):
                self.stdout.write(f"{row['kind']}  {row['check'].code}  {row['title']}  {row['bounds']}")

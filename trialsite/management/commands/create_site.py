"""A hospital that takes part, by command: sites come before the people at them."""

from django.core.management.base import BaseCommand, CommandError

from trialsite.actions import create_site
from trialsite.models import User
from trialsite.saving import Refused


class Command(BaseCommand):
    help = "Create a site, e.g. create_site 01 'Beijing 302 Hospital' --country CN --timezone Asia/Shanghai"

    def add_arguments(self, parser):
        parser.add_argument("code", help="opens the numbers of the site's patients")
        parser.add_argument("name")
        parser.add_argument("--country", required=True, help="two letters, ISO 3166-1")
        parser.add_argument("--timezone", required=True, help="IANA name, e.g. Asia/Shanghai")

    def handle(self, *, code, name, country, timezone, **options):
        try:
            site = create_site(code=code, name=name, country=country, timezone=timezone, by=User.objects.system())
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(f"site {site}")

"""The way in for the first administrator: an account by command, opened by a one-time link."""

from django.contrib.auth.tokens import default_token_generator
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.urls import reverse
from django.utils.http import int_to_base36

from trialsite.actions import create_account, grant_role
from trialsite.models import Site, User
from trialsite.roles import Role
from trialsite.saving import Refused


class Command(BaseCommand):
    help = "Create an account and print the link that sets its password: it works once, for 30 minutes."

    def add_arguments(self, parser):
        parser.add_argument("username")
        parser.add_argument("--full-name", required=True)
        parser.add_argument("--email", default="")
        parser.add_argument("--role", choices=Role.values, default=Role.ADMINISTRATOR)
        parser.add_argument("--site", help="code of the site; without it the role holds at all sites")
        parser.add_argument(
            "--address", default="http://127.0.0.1:8000", help="where the trial is reached, for the link"
        )

    def handle(self, *, username, full_name, email, role, site, address, **options):
        machine = User.objects.system()
        at = None
        if site and (at := Site.objects.filter(code=site).first()) is None:
            raise CommandError(f"there is no site {site}")
        try:
            with transaction.atomic():
                user = create_account(username=username, full_name=full_name, email=email, by=machine)
                grant_role(user=user, role=role, site=at, reason="created by command", by=machine)
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        arguments = [int_to_base36(user.pk), default_token_generator.make_token(user)]
        self.stdout.write(address.rstrip("/") + reverse("set_password", args=arguments))

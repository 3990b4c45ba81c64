"""Django's migrate, as the role that owns the tables: the runtime role could not."""

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as Migrate
from django.db import connections


class Command(Migrate):
    def add_arguments(self, parser):
        super().add_arguments(parser)
        if "owner" in settings.DATABASES:
            parser.set_defaults(database="owner")

    def handle(self, *args, **options):
        with connections[options["database"]].cursor() as cursor:
            cursor.execute("show server_encoding")
            encoding = cursor.fetchone()[0]
        if encoding != "UTF8":
            raise CommandError(f"The database is encoded in {encoding}: make it anew with ENCODING 'UTF8'.")
        return super().handle(*args, **options)

"""Load a dictionary that the sponsor has a licence for: MedDRA's .asc files, or any other as CSV (docs/coding.md)."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from safety.actions import load_dictionary, use_dictionary
from safety.coding.reading import READERS, BadDictionary
from trialsite.models import User
from trialsite.saving import Refused


class Command(BaseCommand):
    help = (
        "Load a version of a dictionary, all of it or nothing: load_dictionary --kind meddra --version 27.1 MedAscii/"
    )

    def create_parser(self, *args, **kwargs):
        # Django's own --version, which tells its version, makes way
        return super().create_parser(*args, **kwargs, conflict_handler="resolve")

    def add_arguments(self, parser):
        parser.add_argument("path", type=Path, help="the folder of the .asc files, or the CSV file")
        parser.add_argument("--kind", choices=READERS, required=True)
        parser.add_argument("--version", dest="dictionary_version", required=True, help="e.g. 27.1")
        parser.add_argument("--name", help="as the protocol's [coding] names it (default MedDRA; needed for csv)")
        parser.add_argument("--language", default="en")
        parser.add_argument("--licence", default="", help="kept with it, e.g. the number of the subscription")
        parser.add_argument("--use", action="store_true", help="code with this version from now on")

    def handle(self, *, path, kind, dictionary_version, name, language, licence, use, **options):
        name, by = name or ("MedDRA" if kind == "meddra" else ""), User.objects.system()
        if not name or len(name) > 40 or len(dictionary_version) > 20:
            raise CommandError("Give --name (at most 40 characters) and a --version of at most 20 characters.")
        try:
            dictionary, is_new = load_dictionary(
                name=name, dictionary_version=dictionary_version, terms=READERS[kind](path), language=language,
                licence=licence, by=by,
            )  # fmt: skip
            if use and not dictionary.is_current:
                dictionary = use_dictionary(
                    dictionary=dictionary, version=None, reason="taken into use by load_dictionary --use", by=by
                )
        except (BadDictionary, Refused) as error:
            raise CommandError(str(error)) from None
        told = "loaded" if is_new else "was loaded already, from the same files"
        in_use = (
            "in use" if dictionary.is_current else "not in use yet: take it into use on the page Coding, Dictionaries"
        )
        self.stdout.write(f"{dictionary}: {dictionary.terms_count} terms {told}; {in_use}. SHA-256 {dictionary.sha256}")

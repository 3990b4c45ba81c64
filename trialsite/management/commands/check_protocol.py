"""Say whether a protocol file can be used, without starting anything."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from trialsite.protocol import ProtocolError, load_translation, load_versions, translations_of


class Command(BaseCommand):
    help = "Check a protocol file (or a folder of versions) and its translations; name every fault with its file, key and what was expected."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("path", type=Path, help="a .toml file or a folder with one file per version")

    def handle(self, *, path, **options):
        try:
            versions = load_versions(path)
            translations = {
                f"{language}/{file.name}": load_translation(file)
                for language, files in translations_of(path).items()
                for file in files
            }
        except ProtocolError as error:
            raise CommandError(str(error)) from None
        for protocol in versions.values():
            trial = protocol.trial
            self.stdout.write(
                f"{trial.id} version {trial.version} of {trial.dated}: {len(protocol.arms)} arms, "
                f"{len(protocol.visits)} visits, {len(protocol.panels)} panels, {len(protocol.tests)} tests, "
                f"{protocol.infusions.count if protocol.infusions else 0} infusions, "
                f"{len(protocol.eligibility.criteria)} criteria, {len(protocol.stopping_rules)} stopping rules. "
                f"No fault found."
            )
        for name, translation in translations.items():
            if translation.missing:
                self.stdout.write(
                    f"{name} lacks {len(translation.missing)} of its texts: {', '.join(translation.missing)}"
                )
            else:
                self.stdout.write(f"{name} is complete.")

"""`manage.py regrade`: which stored results would have another grade now, and grading them anew."""

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import override

from trialsite.models import User
from visits import actions


class Command(BaseCommand):
    help = (
        "List the results whose grade differs from what holds now; with --apply, grade them anew. Old grades are kept."
    )

    def add_arguments(self, parser):
        parser.add_argument("--apply", action="store_true", help="grade them anew")
        parser.add_argument("--reason", default="", help="why, for the audit trail; needed to apply")
        parser.add_argument("--by", default="", help="the sign-in name of the person who decided it; needed to apply")

    def handle(self, *, apply, reason, by, **options):
        with override("en"):
            if not apply:
                differing = actions.differing_grades()
                self._tell(differing)
                self.stdout.write(f"{len(differing)} results would have another grade. Nothing was changed.")
                return
            person = User.objects.filter(username=by, is_active=True).first()
            if person is None or not reason.strip():
                raise CommandError("Give --reason, and with --by the sign-in name of the person who decided it.")
            changed, left = actions.regrade(reason=reason, by=person)
            self._tell([*changed, *left])
            self.stdout.write(f"{len(changed)} results graded anew, {len(left)} left as they are: frozen or locked.")

    def _tell(self, differing):
        for one in differing:
            m, (old, new) = one.measurement, one.grades
            self.stdout.write(
                f"{m.patient.number}  {m.collected_on}  {m.test} {m.typed} {m.reported_unit}: {old} -> {new}"
                f"  ({one.columns['grade_row']}){'  closed' if one.is_closed else ''}"
            )

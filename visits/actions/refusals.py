"""What hard checks refuse at saving: told at the fields, and counted."""

from django.db import connection

from trialsite.saving import Refused
from visits.edit_checks import retirement_key

# one statement, when a save is refused only; a number by check, test and site: no patient, no value, and never more rows
COUNT = """
INSERT INTO "visits_checkrefusal" (check_code, test, site_id, number)
select code, test, %(site)s, 1 from unnest(%(codes)s::text[], %(tests)s::text[]) as found (code, test)
on conflict (check_code, test, site_id) do update set number = visits_checkrefusal.number + 1
"""


class RefusedByChecks(Refused):
    """Hard checks refuse what was entered about a patient: `errors` as Refused, `checks` are (check, test) of each."""

    def __init__(self, errors, checks, patient):
        self.checks, self.patient = list(checks), patient
        super().__init__(errors)

    def count(self):
        count_refusals(self.checks, self.patient)


def refused_by(problems, patient, field=None):
    """The refusal that these problems are, each told at its own field, or all of them at `field`."""
    return RefusedByChecks(by_field(problems, field), checks_of(problems), patient)


def checks_of(problems):
    return [(problem.code, problem.test) for problem in problems]


def by_field(problems, field=None):
    """What problems say, by field; all of it at `field` where one is given."""
    errors = {}
    for problem in problems:
        errors.setdefault(problem.test if field is None else field, []).append(str(problem.text))
    return errors


def count_refusals(checks, patient):
    """Count that these checks, (check, test) each, refused one save."""
    keys = sorted({retirement_key(*check) for check in checks})
    if not keys:
        return
    codes, tests = ([key[n] for key in keys] for n in (0, 1))
    with connection.cursor() as cursor:
        cursor.execute(COUNT, {"site": patient.site_id, "codes": codes, "tests": tests})

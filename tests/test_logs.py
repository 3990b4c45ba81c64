"""The log: errors of every layer, without what was typed about a patient."""

import json
import logging

import pytest
from django.conf import settings
from django.db import IntegrityError
from django.utils.module_loading import import_string
from psycopg.errors import CheckViolation

TOLD = (
    'new row for relation "patients_patient" violates check constraint "sex"\n'
    "DETAIL:  Failing row contains (7, 01-007, X, 1980-05-05, first line\n\nsecond line)."
)


def line_of(message, *args, exc_info=None):
    """The line that the log would have."""
    written = settings.LOGGING["formatters"]["json"]
    record = logging.LogRecord("trialsite", logging.ERROR, __file__, 1, message, args, exc_info)
    record.request_id = "-"
    return json.loads(import_string(written["()"])(written["format"]).format(record))


@pytest.mark.requirement("R106")
def test_no_row_that_the_database_repeats_in_an_error_is_logged():
    try:
        try:
            raise CheckViolation(TOLD)
        except CheckViolation as failure:
            raise IntegrityError(TOLD) from failure
    except IntegrityError as error:
        line = line_of("%s could not be made", "report", exc_info=(IntegrityError, error, error.__traceback__))
        said = line_of("task raised unexpected: %r", error)["message"]
    for secret in ("01-007", "1980-05-05", "second line"):
        assert secret not in json.dumps(line) and secret not in said
    assert line["message"] == "report could not be made" and 'constraint "sex"' in said
    assert line["exc_info"].count('constraint "sex"') == 2 and "The above exception was" in line["exc_info"]
    assert __file__ in line["exc_info"], "where it happened is still told"

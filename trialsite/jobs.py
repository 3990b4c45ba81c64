"""What jobs that make something share: who works alone, what one instant is, how often a job was begun, which program."""

import subprocess
import tomllib
from contextlib import contextmanager
from functools import cache

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max

from trialsite.models import AuditEvent, JobState

# a job that took so many workers with it is not begun again by itself
MOST_BEGINNINGS = 50


class TooManyBeginnings(RuntimeError):
    """The making ended many times without a word: the worker was killed each time."""


@contextmanager
def alone_with(gate, key):
    """Whether this connection alone works on that thing. The lock is the session's: it outlives the short
    transactions of the run, and ends with a killed worker's connection. `gate` is a number per kind of job."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s, %s)", [gate, key])
        alone = cursor.fetchone()[0]
    try:
        yield alone
    finally:
        if alone and connection.connection is not None and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(%s, %s)", [gate, key])


@contextmanager
def one_instant():
    """All queries inside see the data of one instant (inside another transaction: as that one does)."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("set transaction isolation level repeatable read, read only")
        yield


def times_begun(record, reason):
    """How often the making of this record was begun, for this `reason`, since it was last asked for."""
    history = AuditEvent.objects.of(record)
    asked = history.filter(after__state=JobState.WAITING).aggregate(last=Max("id"))["last"] or 0
    return history.filter(id__gt=asked, reason=reason).count()


@cache
def code_version():
    """The program's version, with the commit when it runs from a clone: `0.1.0`, `0.1.0 (g1a2b3c4)`."""
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--match", "v*"],
            cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=10, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return project
    return f"{project} ({described})" if described else project

"""What all jobs that make something share. A person asks for it; a worker begins, says how far it is, and keeps what it
made, once, whole or not at all, whatever dies on the way.

A job may run twice, at once or one after the other, and may die at any line: who works on a thing holds an advisory
lock that goes with the connection, so that the next run need not ask whether the last one is alive; what a run made
is stored in one transaction or not at all. Each kind says in its own actions what it is asked with and what it keeps,
and in its own job how it is made.
"""

import logging
import subprocess
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, models, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from trialsite.as_of import StillWriting
from trialsite.audit import acting, request_id
from trialsite.models import AuditEvent, JobState, User
from trialsite.outbox import ask_for, mark_done
from trialsite.reasons import because
from trialsite.saving import Refused, check_version

log = logging.getLogger(__name__)

# a job that took so many workers with it is not begun again by itself
MOST_BEGINNINGS = 50
UNDER_WAY = (JobState.WAITING, JobState.RUNNING)
# the reasons in the trail
BEGUN = because("the making is begun")
BEING_MADE = because("is being made")
MADE = because("was made")
NOT_MADE = because("could not be made")
AGAIN = because("requested again after a failure")


@dataclass(frozen=True)
class Kind:
    """A kind of thing that a job makes: its model, the task and what that calls the thing's id, the number of its
    advisory lock (any that nothing else uses), how many one person may have under way and ask for in 24 hours, and the
    fields that make two of them the same. (The system asks for what the calendar says.)

    The model has state, step, percent, failure, finished_at, requested_by, code_version, last_audit_event, version."""

    model: type[models.Model]
    task: str
    id_name: str
    gate: int
    most_at_once: int
    most_a_day: int
    same: tuple[str, ...]


# --- what a person does -------------------------------------------------------------------------------------


def instant_asked(cutoff):
    """The cut-off as the trail can tell it, to the millisecond. Raises Refused for one in the future."""
    if cutoff > timezone.now():
        raise Refused({"cutoff": [_("The cut-off is in the future.")]})
    return instant_of_trail(cutoff)


def instant_of_trail(instant):
    """The instant as exact as the trail's are."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def request(kind, *, by, **values):
    """Ask for a thing of this kind. Row and outbox message stand or fall together.

    Raises Refused when the same is under way for the person, or as many as they may have."""
    with acting(by):
        _refuse_many(kind, values, by)
        record = kind.model.objects.create(**values, requested_by=by)
        ask_for(kind.task, **{kind.id_name: record.pk})
    return record


def repeat(kind, record, *, version, by):
    """Ask again for a thing that could not be made. Raises Stale and Refused, also for too many under way."""
    with acting(by, AGAIN):
        _refuse_many(kind, {name: getattr(record, name) for name in kind.same}, by)
        record = kind.model.objects.select_for_update().get(pk=record.pk)
        check_version(record, version)
        if record.state != JobState.FAILED:
            raise Refused(_("Only what could not be made is made again."))
        _set(record, state=JobState.WAITING, failure="", step="", percent=0)
        ask_for(kind.task, **{kind.id_name: record.pk})
    return record


def _refuse_many(kind, values, by):
    if by.is_system:
        return
    User.objects.select_for_update().get(pk=by.pk)  # one request of a person at a time
    mine = kind.model.objects.filter(requested_by=by)
    under_way = mine.filter(state__in=UNDER_WAY)
    if under_way.filter(**{name: values[name] for name in kind.same}).exists():
        raise Refused(_("You have asked for the same already, and it is still being made. Ask again when it is done."))
    if under_way.count() >= kind.most_at_once:
        raise Refused(_("What you asked for last is still being made. Ask again when it is done."))
    if mine.filter(requested_at__gt=timezone.now() - timedelta(days=1)).count() >= kind.most_a_day:
        raise Refused(
            _(
                "You have asked for %(count)d of these in 24 hours, which is the most. Use one that is made, or ask again tomorrow."
            )
            % {"count": kind.most_a_day}
        )


# --- what the worker does -----------------------------------------------------------------------------------


def run(kind, pk, outbox_id, make):
    """Have `make(record, outbox_id, by)` make and keep the thing that was asked for. Gives whether this run made it.

    Raises only when the database is not there, or somebody has been writing for a minute: the outbox sends it again."""
    with alone_with(kind.gate, pk) as alone:
        if not alone:
            return False  # another worker is at it, and will mark the message as done
        by = User.objects.system()
        token = request_id.set(f"outbox-{outbox_id}")
        try:
            record = begin(kind, pk, by=by)
            if record is None:
                mark_done(outbox_id)
                return False
            if times_begun(record) > MOST_BEGINNINGS:
                raise TooManyBeginnings(f"begun {MOST_BEGINNINGS} times and never finished")
            make(record, outbox_id, by)
            return True
        except (OperationalError, InterfaceError, StillWriting):
            raise
        except Exception as error:
            log.exception("%s %s could not be made", kind.model._meta.verbose_name, pk)
            failure = f"{type(error).__name__}, at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
            give_up(kind, pk, failure=failure, outbox_id=outbox_id, by=by)
            return False
        finally:
            request_id.reset(token)


def begin(kind, pk, *, by):
    """The thing, now being made; None when it is made already. A dead worker's run is simply begun again."""
    with acting(by, BEGUN):
        record = kind.model.objects.select_for_update().get(pk=pk)
        if record.state not in UNDER_WAY:
            return None
        _set(record, state=JobState.RUNNING, failure="")
    return record


def note_progress(kind, pk, step, percent, *, by):
    """Say how far it is, for all to see at once: a transaction of its own."""
    with acting(by, BEING_MADE):
        kind.model.objects.filter(pk=pk, state=JobState.RUNNING).update(step=step, percent=percent)


@contextmanager
def keeping(kind, pk, *, outbox_id, by):
    """A transaction in which what was made is kept, all or nothing. Gives the record, to be filled in; None when
    another run was first: who comes second changes nothing."""
    with acting(by, MADE):
        record = kind.model.objects.select_for_update().get(pk=pk)
        if record.state == JobState.DONE:
            yield None
        else:
            yield record
            record.state, record.step, record.percent, record.finished_at = JobState.DONE, "", 100, timezone.now()
            record.code_version = code_version()
            record.version += 1
            record.save()
        mark_done(outbox_id)


def give_up(kind, pk, *, failure, outbox_id, by):
    """Nothing is stored, and the person may ask again."""
    with acting(by, NOT_MADE):
        record = kind.model.objects.select_for_update().get(pk=pk)
        if record.state != JobState.DONE:
            _set(record, state=JobState.FAILED, failure=failure, step="")
        mark_done(outbox_id)
    return record


def _set(record, **values):
    for name, value in values.items():
        setattr(record, name, value)
    record.version += 1
    record.save(update_fields=[*values, "version"])


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


def times_begun(record):
    """How often the making of this record was begun since it was last asked for."""
    history = AuditEvent.objects.of(record)
    asked = history.filter(after__state=JobState.WAITING).aggregate(last=Max("id"))["last"] or 0
    return history.filter(id__gt=asked, reason=BEGUN).count()


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

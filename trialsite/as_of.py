"""The state of any audited table as of an instant, rebuilt from the trail: the only place that knows how.

A row stood as it stands now, unless the trail has a later event of it: then it stood as `before` of the earliest later
one, and was not there when that is its insertion. The database does all of it (`table_as_of` is an expression for a
FROM, which can be joined and filtered); nothing is held in memory.

    wait_for_writers()                       # what was begun before now is committed or gone: the past stands still
    cutoff = CutOff.at(instant)
    for row in rows_as_of(Patient, cutoff):  # {"id": 1, "number": "01-001", "birth_date": date(1980, 1, 1), ...}

    with tables_as_of(cutoff, [Patient, Visit]):  # every query in here reads them as they stood, the ORM's too
        Patient.objects.count()

Columns that the trail leaves out (audit.LEFT_OUT) are not there. A column younger than the cut-off is null, or its
default where it cannot be null.
"""

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from psycopg import sql

from trialsite.audit import LEFT_OUT
from trialsite.models import AuditEvent

# no transaction is longer; within it the numbers of transactions are taken for theirs
LONGEST_TRANSACTION = timedelta(hours=1)
PORTION = 2000  # rows fetched at once
PATIENCE = 300_000  # milliseconds: a whole table is sorted before its first row comes


class StillWriting(RuntimeError):
    """A transaction that had begun did not end in time."""


@dataclass(frozen=True)
class CutOff:
    """Up to which event of the trail one looks.

    The trail counts up to `event`, without `held_back`: earlier events of transactions that went on after it. So a
    transaction counts whole or not at all, and no state is shown that nobody could ever see."""

    instant: datetime
    event: int
    held_back: tuple[int, ...] = ()

    @classmethod
    def at(cls, instant):
        """After the last event at or before the instant. Call `wait_for_writers` before, when it is a recent one."""
        with connection.cursor() as cursor:
            cursor.execute("select max(id) from trialsite_auditevent where at <= %s", [instant])
            event = cursor.fetchone()[0] or 0
        return cls(instant, event, _begun_before(event, instant))

    @classmethod
    def after(cls, event_id):
        """Right after this event."""
        instant = AuditEvent.objects.values_list("at", flat=True).get(pk=event_id)
        return cls(instant, event_id, _begun_before(event_id, instant))


def _begun_before(event, instant):
    """The events up to this one of transactions that have later ones, too. The transaction that asks is cut through."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select distinct transaction from trialsite_auditevent where id > %s and at <= %s"
            " and transaction is distinct from txid_current_if_assigned()",
            [event, instant + LONGEST_TRANSACTION],
        )
        later = [number for (number,) in cursor]
        if not later:
            return ()
        cursor.execute(
            "select id from trialsite_auditevent where id <= %s and at >= %s and transaction = any(%s) order by id",
            [event, instant - LONGEST_TRANSACTION, later],
        )
        return tuple(number for (number,) in cursor)


def wait_for_writers(seconds=60):
    """Wait until every transaction that has written to the trail by now has ended: the trail up to now is whole then.

    Raises StillWriting after `seconds`."""
    end = time.monotonic() + seconds
    waiting = others = _who_writes()
    while waiting & others:
        if time.monotonic() > end:
            raise StillWriting(f"{len(waiting & others)} transactions have not ended within {seconds} s")
        time.sleep(0.05)
        others = _who_writes()


def _who_writes():
    """Who else holds the lock that a first line in the trail takes, and keeps to the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select virtualtransaction from pg_locks where relation = 'trialsite_auditevent'::regclass"
            " and database = (select oid from pg_database where datname = current_database())"
            " and mode = 'RowExclusiveLock' and pid <> pg_backend_pid()"
        )
        return {number for (number,) in cursor}


def table_as_of(model, cutoff):
    """The table of an audited model as it stood at the cut-off: SQL for a FROM, with the table's own column names."""
    fields = _told_fields(model)
    return sql.SQL("""(
        with later as (
            select distinct on (record_id) record_id, before from trialsite_auditevent
            where "table" = {name} and {after} order by record_id, id)
        select {live} from {table} live where not exists (select from later where later.record_id = live.id)
        union all
        select {was} from later
        cross join lateral jsonb_populate_record(null::{table}, {defaults}::jsonb || later.before) was
        where later.before is not null)""").format(
        name=sql.Literal(model._meta.db_table),
        table=sql.Identifier(model._meta.db_table),
        after=is_later(cutoff),
        live=_columns("live", fields),
        was=_columns("was", fields),
        defaults=sql.Literal(json.dumps(_defaults(fields), cls=DjangoJSONEncoder)),
    )


def is_later(cutoff, events=""):
    """SQL: whether an event of the trail (of that alias) is later than the cut-off."""
    number = sql.Identifier(*filter(None, [events, "id"]))
    later = sql.SQL("{} > {}").format(number, sql.Literal(cutoff.event))
    if not cutoff.held_back:
        return later
    return sql.SQL("({} or {} = any({}))").format(later, number, sql.Literal(list(cutoff.held_back)))


def rows_as_of(model, cutoff, **equals):
    """The rows of an audited model as they stood at the cut-off, by key: dictionaries by `attname`, of the types that
    the fields have; of them those whose columns have these values. To be read to the end, or closed, before the connection is used for something else that writes."""
    fields = _told_fields(model)
    wanted = [
        sql.SQL("{} = {}").format(sql.Identifier("was", name), sql.Literal(value)) for name, value in equals.items()
    ]
    query = sql.SQL("select {} from {} was where {} order by id").format(
        _columns("was", fields), table_as_of(model, cutoff), sql.SQL(" and ").join(wanted or [sql.SQL("true")])
    )
    names = [field.attname for field in fields]
    readers = [(field.attname, field) for field in fields if isinstance(field, models.JSONField)]
    for line in stream(query):
        row = dict(zip(names, line, strict=True))
        for name, field in readers:
            row[name] = field.from_db_value(row[name], None, connection)
        yield row


@contextmanager
def tables_as_of(cutoff, wanted):
    """Inside, the tables of these audited models are as they stood at the cut-off to every query that Django sends;
    nothing can be written. To be used within one instant (trialsite/jobs.py) when there is more than one query.

    Each query gets the past of the tables that it names as common table expressions of the tables' names, which hide
    the true ones: no statement more, no right more, and no copy."""
    past = {model._meta.db_table: _hiding(model, cutoff) for model in wanted}

    def in_the_past(execute, statement, params, many, context):
        if str(statement).startswith("SELECT"):
            hiding = ", ".join(text for table, text in past.items() if f'"{table}"' in statement)
            if hiding:
                hiding = hiding if params is None else hiding.replace("%", "%%")
                statement = f"with {hiding} {statement}"
        return execute(statement, params, many, context)

    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select set_config('statement_timeout', %s, true)", [str(PATIENCE)])
            cursor.execute("set transaction read only")
            # The planner knows no statistics of a rebuilt table, and may join two that have nothing to do with each
            # other. Each join of the ORM hangs on a table before it: in that order it cannot.
            cursor.execute("set local join_collapse_limit = 1")
        with connection.execute_wrapper(in_the_past):
            yield


def _hiding(model, cutoff):
    query = sql.SQL("{} as not materialized (select {} from {} past)").format(
        sql.Identifier(model._meta.db_table), _columns("past", _told_fields(model)), table_as_of(model, cutoff)
    )
    with connection.cursor():  # there is a connection to ask how it quotes
        return query.as_string(connection.connection)


def stream(query):
    """The rows of a query, fetched in portions: tuples as the driver gives them, JSON as text."""
    with transaction.atomic():
        text = query.as_string(connection.connection)  # numbers and our own names only: nothing to send apart
        with connection.cursor() as cursor:
            cursor.execute("select set_config('statement_timeout', %s, true)", [str(PATIENCE)])
        with connection.chunked_cursor() as cursor:
            cursor.execute(text)
            while portion := cursor.fetchmany(PORTION):
                yield from portion


def _told_fields(model):
    untold = LEFT_OUT.get(model._meta.label, ())
    return [field for field in model._meta.concrete_fields if field.column not in untold]


def _columns(alias, fields):
    return sql.SQL(", ").join(sql.Identifier(alias, field.column) for field in fields)


def _defaults(fields):
    """What stands in a column that cannot be null before there was that column."""
    return {
        field.column: field.get_default()
        for field in fields
        if not field.null and field.has_default() and (field.default in (list, dict) or not callable(field.default))
    }

"""The one gate for writes, and the trail that the database keeps of them.

`acting(by, reason)` opens the transaction and names the person and the reason to the database. Statement-level
triggers on every clinical table write `AuditEvent` rows from there; a write outside `acting()` is refused by the
database, an update or delete without a reason too. The trigger function belongs to the owner role and runs with
its rights: the runtime role can read the trail, and neither write, change nor delete it, nor switch it off.
"""

import json
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

from django.apps import apps
from django.db import connection, connections, transaction

# Tables that hold no clinical or account data: working state of the machine itself.
UNAUDITED = {
    "trialsite.AuditEvent",  # is the trail
    "trialsite.OutboxMessage",  # job bookkeeping; what a job does is audited
    "trialsite.Email",  # a notice of what the trail has; its row says what became of it
    "trialsite.FormReceipt",  # idempotency keys
    "trialsite.Draft",  # what is typed and not saved: no data yet
    "trialsite.SecurityEvent",  # is itself a log, append-only for the runtime role
    "visits.CheckRefusal",  # how often hard checks refused: numbers, of no patient
    "safety.DictionaryTerm",  # a dictionary as it was loaded: its row is audited, with the digest; terms never change
    "trialsite.ExportChunk",  # bytes of a copy; its digest and who took it are audited
}
# Columns that the trail must not hold.
LEFT_OUT = {"trialsite.User": ["password"], "safety.DsmbFile": ["content"],
            "safety.CasebookFile": ["content"]}  # fmt: skip

# what the database says of a change without a reason
NO_REASON = "TS002"

_acting: ContextVar = ContextVar("acting", default=None)
request_id: ContextVar = ContextVar("request_id", default="")


class NobodyNamed(Exception):
    """A write was tried without a person who acts."""


@dataclass
class Act:
    """Who acts and why, now; and what the database was last told of it."""

    by: object
    reason: str
    told: tuple | None = None


@contextmanager
def acting(by, reason=""):
    """A transaction in which `by` acts, for `reason`.

    May be nested: the inner person and reason hold for the inner block, then the outer ones again; an inner block
    without a reason has the outer one's. `reason` is required by the database for every update and delete; a first
    entry needs none. The database is told right before the first write under each person and reason."""
    if by is None or not by.pk:
        raise NobodyNamed("every write names the person who acts")
    act = _acting.get()
    if act is not None:
        outer = act.by, act.reason
        act.by, act.reason = by, reason or act.reason
        try:
            yield
        finally:
            act.by, act.reason = outer
        return
    act = Act(by, reason)
    token = _acting.set(act)
    try:
        with transaction.atomic(), connection.execute_wrapper(_name_the_actor):
            yield
    finally:
        _acting.reset(token)


def somebody_acts():
    """Are we inside `acting()`? What is written here is undone when the action is refused."""
    return _acting.get() is not None


# what cannot write, and needs nobody named
READS = ("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK")
# how the statement begins that forgets a draft and writes the receipt of its save (trialsite/saving.py)
RECEIPT = "with forgotten as (delete from trialsite_draft"


def _name_the_actor(execute, sql, params, many, context):
    act = _acting.get()
    if act is not None and act.told != (act.by, act.reason) and not str(sql).lstrip().startswith(_unaudited()):
        act.told = act.by, act.reason
        tell_database(act.by, act.reason)
    elif act is not None and str(sql).startswith("ROLLBACK"):
        act.told = None  # what was told after the savepoint is forgotten with it
    return execute(sql, params, many, context)


@cache
def _unaudited():
    """How statements begin that the trail does not ask about."""
    tables = [apps.get_model(label)._meta.db_table for label in UNAUDITED]
    return (
        *READS, RECEIPT, *(f'{verb} "{table}"' for table in tables for verb in ("INSERT INTO", "UPDATE", "DELETE FROM"))
    )  # fmt: skip


def tell_database(by, reason):
    """Name the person and the reason for the rest of the transaction."""
    roles = "" if by.is_system else ",".join(sorted({grant.role for grant in by.current_grants}))
    actor = {"id": by.pk, "name": by.full_name, "roles": roles, "reason": reason, "request": request_id.get()}
    with connection.cursor() as cursor:
        cursor.execute("select set_config('trialsite.actor', %s, true)", [json.dumps(actor)])


def audited_models():
    """Every model of the four floors that is not in UNAUDITED."""
    for label in ("trialsite", "patients", "visits", "safety"):
        for model in apps.get_app_config(label).get_models(include_auto_created=True):
            if model._meta.label not in UNAUDITED and model._meta.managed and not model._meta.proxy:
                yield model


TRAIL = """
create or replace function audited_patient(table_name text, line jsonb) returns bigint language sql immutable as $$
    select (line ->> case when table_name = 'patients_patient' then 'id' else 'patient_id' end)::bigint $$;

create or replace function write_audit_trail() returns trigger language plpgsql security definer
set search_path = pg_catalog, public, pg_temp as $$
declare
    actor jsonb := nullif(current_setting('trialsite.actor', true), '')::jsonb;
    reason text := coalesce(btrim(actor ->> 'reason', E' \\t\\r\\n'), '');
    left_out text[] := tg_argv[0]::text[];
begin
    if coalesce(actor ->> 'id', '') = '' then
        raise exception 'a write to % names nobody', tg_table_name using errcode = 'TS001';
    elsif tg_op <> 'INSERT' and reason = '' then
        raise exception 'a change of % needs a reason', tg_table_name using errcode = 'TS002';
    end if;
    if tg_op = 'INSERT' then
        insert into trialsite_auditevent (at, transaction, "table", operation, record_id, patient_id, before, after,
            by_id, by_name, by_roles, reason, request_id)
        select date_trunc('milliseconds', clock_timestamp()), txid_current(), tg_table_name, lower(tg_op), id, audited_patient(tg_table_name, line), null, line - left_out, (actor ->> 'id')::bigint,
            actor ->> 'name', actor ->> 'roles', reason, actor ->> 'request'
        from (select id, to_jsonb(new_rows) as line from new_rows) n order by id;
    elsif tg_op = 'UPDATE' then
        -- a row under another key would be told as neither the old one nor the new one
        if exists (select from old_rows o where not exists (select from new_rows n where n.id = o.id)) then
            raise exception 'the key of a row of % is never changed', tg_table_name using errcode = 'TS005';
        end if;
        insert into trialsite_auditevent (at, transaction, "table", operation, record_id, patient_id, before, after,
            by_id, by_name, by_roles, reason, request_id)
        select date_trunc('milliseconds', clock_timestamp()), txid_current(), tg_table_name, lower(tg_op), id, audited_patient(tg_table_name, line), old_line - left_out, line - left_out,
            (actor ->> 'id')::bigint,
            actor ->> 'name', actor ->> 'roles', reason, actor ->> 'request'
        from (select id, to_jsonb(new_rows) as line from new_rows) n
        join (select id, to_jsonb(old_rows) as old_line from old_rows) o using (id)
        where line is distinct from old_line order by id;
    else
        insert into trialsite_auditevent (at, transaction, "table", operation, record_id, patient_id, before, after,
            by_id, by_name, by_roles, reason, request_id)
        select date_trunc('milliseconds', clock_timestamp()), txid_current(), tg_table_name, lower(tg_op), id, audited_patient(tg_table_name, line), line - left_out, null, (actor ->> 'id')::bigint,
            actor ->> 'name', actor ->> 'roles', reason, actor ->> 'request'
        from (select id, to_jsonb(old_rows) as line from old_rows) o order by id;
    end if;
    return null;
end $$;

create or replace function keep_the_trail() returns trigger language plpgsql as $$
begin
    raise exception 'the audit trail is never changed' using errcode = 'TS003';
end $$;

create or replace trigger keep_the_trail before update or delete or truncate on trialsite_auditevent
for each statement execute function keep_the_trail();
"""


def install_trail(using):
    """(Re-)create the functions, attach the triggers to every audited table, and set the rights of the runtime role.

    Runs after every migration, as the owner role, so that no new table can be forgotten."""
    owner = connections[using]
    with owner.cursor() as cursor:
        existing = set(owner.introspection.table_names(cursor))
        if "trialsite_auditevent" not in existing:
            return
        cursor.execute(TRAIL)
        for model in audited_models():
            table = model._meta.db_table
            if table not in existing:
                continue
            left_out = "{" + ",".join(LEFT_OUT.get(model._meta.label, [])) + "}"
            for operation, rows in (
                ("insert", "new table as new_rows"),
                ("update", "old table as old_rows new table as new_rows"),
                ("delete", "old table as old_rows"),
            ):
                cursor.execute(
                    f"create or replace trigger audit_{operation} after {operation} on {table} "
                    f"referencing {rows} for each statement execute function write_audit_trail('{left_out}')"
                )
            cursor.execute(
                f"create or replace trigger never_truncated before truncate on {table} "
                f"for each statement execute function keep_the_trail()"
            )
        _grant_rights(cursor, existing)


# Tables from which the runtime role may delete: working state, never clinical data.
MAY_BE_DELETED = ("django_session", "trialsite_exportchunk", "trialsite_draft", "axes_accessattempt", "axes_accessfailurelog", "axes_accessattemptexpiration", "mfa_authenticator",
                  "account_emailaddress", "account_emailconfirmation")  # fmt: skip


def _grant_rights(cursor, existing):
    runtime = connections["default"].settings_dict["USER"]
    cursor.execute("select current_user")
    owner = cursor.fetchone()[0]
    if not runtime or runtime == owner:
        return  # a single-role deployment; trialsite/checks.py warns of it
    role = connections["default"].ops.quote_name(runtime)
    cursor.execute(f"grant usage on schema public to {role}")
    cursor.execute(f"grant select, insert, update on all tables in schema public to {role}")
    cursor.execute(f"grant usage on all sequences in schema public to {role}")
    for table in MAY_BE_DELETED:
        if table in existing:
            cursor.execute(f"grant delete on {table} to {role}")
    cursor.execute(f"revoke insert, update, delete, truncate on trialsite_auditevent from {role}")
    cursor.execute(f"revoke all on sequence trialsite_auditevent_id_seq from {role}")
    cursor.execute(f"revoke execute on function write_audit_trail() from public, {role}")
    unchanging = {"trialsite_securityevent", "django_migrations", "safety_dictionaryterm"} & existing
    cursor.execute(f"revoke update on {', '.join(sorted(unchanging))} from {role}")
    cursor.execute(f"revoke insert on django_migrations from {role}")


def history_of(*records):
    """The events of these records, oldest first, each with `.changes`: (column, old, new) of what differs."""
    from trialsite.models import AuditEvent

    events = list(AuditEvent.objects.of(*records))
    for event in events:
        event.changes = changes_of(event)
    return events


def changes_of(event):
    before, after = event.before or {}, event.after or {}
    return [
        (column, before.get(column), after.get(column))
        for column in (after or before)
        if before.get(column) != after.get(column) and column != "id"
    ]

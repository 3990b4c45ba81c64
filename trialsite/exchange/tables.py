"""What is exported: the kinds of records that the floors declare, their columns, and the SQL that reads them.

A floor announces a module in settings.EXPORTS that has `TABLES` and `NOT_EXPORTED` (label of a model -> why not).
A table is declared in a line; every column of its model is exported unless it is named in `leave_out`:

    Table("consents", _("Consents"), Consent)

What a key of another record becomes: a patient his number and site, a person the user name, a site its code, all else
the `id` of that record in its own file. `paths` adds columns from other records, as Django writes them: `visit__code`.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module

from django.conf import settings
from django.db import models
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from psycopg import sql

from trialsite import trial
from trialsite.as_of import is_later, table_as_of
from trialsite.models import Site, User, VersionApproval
from trialsite.roles import Permission, can_see_arm, sites_where

# what a column holds, as the data dictionary calls it
KINDS = (
    (models.BooleanField, "Y/N"), (models.DateTimeField, "UTC date and time"), (models.DateField, "date"),
    (models.TimeField, "time"), (models.DecimalField, "number"), (models.IntegerField, "integer"),
    (models.AutoField, "integer"), (models.JSONField, "JSON"), (models.CharField, "text"), (models.TextField, "text"),
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a file. `paths` are where its value stands, from the table's model; the first that has one counts.

    Words are English whatever language the reader speaks: the same data give the same bytes."""

    name: str
    label: str
    kind: str = "text"
    unit: str = ""
    codes: str = ""
    source: str = ""
    paths: tuple[str, ...] = ()
    is_person: bool = False
    is_sentence: bool = False


@dataclass(frozen=True)
class Table:
    """A kind of record: one CSV file, one sheet.

    `site` is the path to the site that a row belongs to; a row is exported to who may export and has `permission`
    there, and may see arms there, if it `shows_arm`. Rows of no site are everybody's if `everybodys`. Rows for which
    `arm_rows` (column -> value) hold are for those alone who may see arms. The columns `sentences` hold what the system
    said (trialsite.words), which is told in English, with the names of the protocol version of the row."""

    name: str
    title: str
    model: type[models.Model]
    site: str = "patient__site"
    permission: Permission = Permission.VIEW_PATIENTS
    shows_arm: bool = False
    everybodys: bool = False
    arm_rows: dict = field(default_factory=dict)
    paths: dict = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    units: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    @property
    def file(self):
        return f"{self.name}.csv"

    @cached_property
    def columns(self):
        """`id`, patient and site first, then what `paths` adds, then the model's other fields."""
        with translation.override("en"):
            added = [self._at(name, *([at] if isinstance(at, str) else at)) for name, at in self.paths.items()]
            fields = [each for each in self.model._meta.concrete_fields if each.name not in self.leave_out]
            own = [column for each in fields for column in self._own(each)]
        told = {column.paths for column in added}
        columns = [*added, *(column for column in own if column.paths not in told)]
        first = [column for name in ("id", "patient", "site") for column in columns if column.name == name]
        last = [column for column in columns if column.name == "version"]
        return (*first, *(column for column in columns if column not in (*first, *last)), *last)

    def _own(self, of):
        target = of.related_model
        if of.is_relation and target._meta.label == "patients.Patient":
            yield self._at(of.name, f"{of.name}__number")
            yield self._at("site", f"{of.name}__site__code")
        elif target is User:
            yield self._at(of.name, f"{of.name}__username", label=str(of.verbose_name), is_person=True)
        elif target is Site:
            yield self._at(of.name, f"{of.name}__code")
        elif of.is_relation:
            yield self._at(of.attname, of.name)
        else:
            yield self._at(of.name, of.name)

    def _at(self, name, *paths, label="", is_person=False):
        of = field_at(self.model, paths[0])
        kind = next(word for kind, word in KINDS if isinstance(of, kind) or of.is_relation)
        points_at = ""
        if of.is_relation:
            kind, points_at = "integer", f"id in {files_by_model().get(of.related_model, 'no file of this export')}"
        return Column(
            name=name,
            label=label or str(of.verbose_name),
            kind="text" if name in self.sentences else kind,
            is_sentence=name in self.sentences,
            unit=self.units.get(name, ""),
            codes="; ".join(f"{code} = {words}" for code, words in of.flatchoices),
            source=". ".join(
                filter(None, [" or ".join(paths).replace("__", "."), points_at, self.notes.get(name, "")])
            ),
            paths=paths,
            is_person=is_person,
        )

    # --- reading -------------------------------------------------------------------------------------

    def query(self, cutoff, sites, *, arms):
        """SQL of the rows at these sites as of the cut-off, in the order of their `id`."""
        rows = _Rows(self, cutoff, sites, arms)
        columns = sql.SQL(", ").join(rows.value(column) for column in self.columns)
        return rows.select(columns) + sql.SQL(" order by {}").format(sql.Identifier("r", "id"))

    def audit_query(self, cutoff, sites, *, arms):
        """SQL of the events of those rows, oldest first, in the order of AUDIT_COLUMNS."""
        hidden = [self.model._meta.get_field(name).column for name in self.leave_out]
        rows = _Rows(self, cutoff, sites, arms)
        patient = next((rows.value(column) for column in self.columns if column.name == "patient"), sql.SQL("null"))
        return sql.SQL("""
            select e.id, e.at, e.transaction, {file}, e.record_id, one.patient, e.operation,
                case e.operation when 'update' then (select jsonb_object_agg(key, value)
                    from jsonb_each(e.before - {hidden}) where value is distinct from e.after -> key)
                    else e.before - {hidden} end::text,
                case e.operation when 'update' then (select jsonb_object_agg(key, value)
                    from jsonb_each(e.after - {hidden}) where value is distinct from e.before -> key)
                    else e.after - {hidden} end::text,
                e.by_id, e.by_name, e.by_roles, e.reason
            from trialsite_auditevent e join ({rows}) one on one.id = e.record_id
            where e."table" = {table} and not {later} order by e.id""").format(
            file=sql.Literal(self.name),
            hidden=sql.SQL("{}::text[]").format(sql.Literal(hidden)),
            table=sql.Literal(self.model._meta.db_table),
            later=is_later(cutoff, "e"),
            rows=rows.select(sql.SQL("{} id, {} patient").format(rows.at("id"), patient)),
        )


def field_at(model, path):
    """The field at the end of a path; its last step may be a key of another record."""
    *steps, last = path.split("__")
    for step in steps:
        model = model._meta.get_field(step).related_model
    return model._meta.get_field(last)


class _Rows:
    """The FROM and WHERE of a table's rows: each table that a path passes is joined, as of the cut-off, once."""

    def __init__(self, table, cutoff, sites, arms):
        self.table, self.cutoff, self.sites, self.arms = table, cutoff, sites, arms
        self.joined = {(): ("r", table.model)}
        self.parts = [sql.SQL("{} r").format(table_as_of(table.model, cutoff))]

    def at(self, path):
        *steps, last = path.split("__")
        alias, model = self._join(tuple(steps))
        return sql.Identifier(alias, model._meta.get_field(last).column)

    def _join(self, steps):
        if steps not in self.joined:
            alias, model = self._join(steps[:-1])
            key = model._meta.get_field(steps[-1])
            name = f"t{len(self.joined)}"
            self.joined[steps] = name, key.related_model
            self.parts.append(
                sql.SQL("left join {} {} on {} = {}").format(
                    table_as_of(key.related_model, self.cutoff), sql.Identifier(name),
                    sql.Identifier(name, "id"), sql.Identifier(alias, key.column),
                )
            )  # fmt: skip
        return self.joined[steps]

    def value(self, column):
        if len(column.paths) == 1:
            return self.at(column.paths[0])
        return sql.SQL("coalesce({})").format(sql.SQL(", ").join(map(self.at, column.paths)))

    def select(self, columns):
        where = sql.SQL(" and ").join(self._conditions())
        return sql.SQL("select {} from {} where {}").format(columns, sql.SQL(" ").join(self.parts), where)

    def _conditions(self):
        site = self.at(self.table.site)
        of_them = sql.SQL("{} = any({})").format(site, sql.Literal(list(self.sites)))
        yield sql.SQL("({} or {} is null)").format(of_them, site) if self.table.everybodys else of_them
        if not self.arms:
            for column, value in self.table.arm_rows.items():
                yield sql.SQL("{} is distinct from {}").format(self.at(column), sql.Literal(value))


# --- which there are ---------------------------------------------------------------------------------------

OWN = [
    Table("sites", _("Sites"), Site, site="id"),
    Table("version_approvals", _("Approvals of protocol versions"), VersionApproval, site="site"),
]
AUDIT_TRAIL = "audit_trail"
AUDIT_COLUMNS = (
    Column("id", "event", "integer"),
    Column("at", "when", "UTC date and time"),
    Column("transaction", "events of one number were made together", "integer"),
    Column("file", "file in which the record stands"),
    Column("record", "the record's id in that file", "integer"),
    Column("patient", "number"),
    Column("operation", "what was done", codes="insert = entered; update = changed"),
    Column("before", "of a change: what differed, as it stood before", "JSON"),
    Column("after", "the record as entered, or what differs after a change", "JSON"),
    Column("by_id", "who acted; id in people.csv", "integer"),
    Column("by_name", "who acted: the name then"),
    Column("by_roles", "the roles then"),
    Column("reason", "why"),
)
TRAIL_TITLE = _("Audit trail of these records")


@cache
def tables():
    """Every table that can be exported, by name, in the order of the floors."""
    declared = [*OWN, *(table for module in _modules() for table in module.TABLES)]
    return {table.name: table for table in declared}


def not_exported():
    """Label of a model -> why it is in no export."""
    return {label: why for module in _modules() for label, why in module.NOT_EXPORTED.items()} | {
        "trialsite.User": gettext_noop("people.csv names who stands in the data; accounts are no data of the trial"),
        "trialsite.Grant": gettext_noop("accounts are no data of the trial"),
        "trialsite.LostFactor": gettext_noop("accounts are no data of the trial"),
        "trialsite.DataExport": gettext_noop("machine-made copies of these records"),
        "trialsite.ExportFile": gettext_noop("machine-made copies of these records"),
        "trialsite.ExportDownload": gettext_noop("machine-made copies of these records"),
    }


def _modules():
    return [import_module(name) for name in settings.EXPORTS]


@cache
def files_by_model():
    return {table.model: table.file for table in tables().values()}


def titles():
    """Name -> title of everything that can be chosen."""
    return {**{name: table.title for name, table in tables().items()}, AUDIT_TRAIL: TRAIL_TITLE}


# --- who may have it ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scope:
    """What one person may export: the sites (ids) per table, and whether arms may be named."""

    sites: dict[str, tuple[int, ...]]
    arms: bool

    @classmethod
    def of(cls, user, sites=None, kinds=None):
        """What the person may export now; of it only these sites (ids) and kinds (names), where they are given."""
        masked = trial.current_protocol().is_masked
        everywhere = {site.pk: site for site in Site.objects.all()}
        here = _within(everywhere, user, Permission.EXPORT_DATA)
        here = here if sites is None else here & set(sites)
        seen = {pk for pk in here if can_see_arm(user, masked=masked, site=everywhere[pk])}
        found = {}
        for name, table in tables().items():
            allowed = _within(everywhere, user, table.permission) & (seen if table.shows_arm else here)
            found[name] = tuple(sorted(allowed))
        found[AUDIT_TRAIL] = tuple(sorted(here & _within(everywhere, user, Permission.VIEW_AUDIT_TRAIL)))
        chosen = {name: ids for name, ids in found.items() if ids and (kinds is None or name in kinds)}
        return cls(chosen, bool(seen) and can_see_arm(user, masked=masked))

    def covers(self, other):
        """Whether everything of the other scope is within this one."""
        return (self.arms or not other.arms) and all(
            set(ids) <= set(self.sites.get(name, ())) for name, ids in other.sites.items()
        )

    @property
    def all_sites(self):
        return sorted({pk for ids in self.sites.values() for pk in ids})

    def stored(self):
        return {"sites": {name: list(ids) for name, ids in self.sites.items()}, "arms": self.arms}

    @classmethod
    def from_stored(cls, stored):
        return cls({name: tuple(ids) for name, ids in stored["sites"].items()}, stored["arms"])


def _within(everywhere, user, permission):
    ids = sites_where(user, permission)
    return set(everywhere) if ids is None else set(everywhere) & ids

"""What a stored value says to people: the only place that turns columns of the trail into words of the reader's language.

A key of another record is told as what that record is called, a code as what it stands for, a truth as yes or no, a
sentence in the reader's language; what people typed stays as they typed it. What the floors above name by codes of
their own they tell themselves (settings.TOLD_CODES).
"""

import json
import re
from collections import defaultdict
from datetime import UTC
from functools import cache

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from trialsite import trial
from trialsite.audit import audited_models, changes_of
from trialsite.clock import instant_of, told_at
from trialsite.exchange.tables import tables
from trialsite.grade_words import row_told
from trialsite.models import User
from trialsite.reasons import reason_told
from trialsite.roles import Role
from trialsite.words import Sentence

OPERATIONS = {"insert": gettext_lazy("entered"), "update": gettext_lazy("changed"), "delete": gettext_lazy("deleted")}
# columns that say nothing beside the record
UNTOLD = {"id", "version", "patient_id"}
# nor these: by what the machine finds a record again; what it stands for is told beside it
MACHINES = {
    "visits_measurement": {"answered_about"},
    "safety_caseversion": {"content"},
    "safety_coding": {"key"},
    "safety_deviation": {"proposal_key"},
    "safety_dismissedproposal": {"proposal_key"},
}
# words of the machine that are kept as a sentence, too: told from that, in the reader's language
SAID_IN = {"text": "said", "because": "because_told", "cause": "cause_told"}
# what is nobody's to read (as in the data export)
NOBODYS = {
    "patients_allocationslot": {"allocation_list_id", "block", "block_size"},
    "visits_infusion": {"preparation_id"},
}
# what the protocol names: by column, or by table and column
NAMED_BY_PROTOCOL = {
    "test": "test", "arm": "arm", "product": "product", "visits_visit.code": "visit", "visits_panelrecord.code": "panel",
}  # fmt: skip
# whose fields a query is about, by the column that names the record
QUERIED_BY = {"panel_id": "visits.panelrecord", "infusion_id": "visits.infusion"}
# reasons that the system may have given, in a column of the record itself: by column, or by table and column
REASON_COLUMNS = {
    "void_because",
    "visits_panelrecord.not_done_because",
    "visits_querymessage.text",
    "safety_coding.reason",
    "patients_halt.cause",
    "patients_halt.decision",
    "patients_disposition.explanation",
}


@cache
def models_by_table():
    return {model._meta.db_table: model for model in audited_models()}


@cache
def _titles():
    return {table.model._meta.db_table: table.title for table in tables().values()}


def kind_told(table):
    """What the records of a table are called, in words."""
    model = models_by_table().get(table)
    return str(_titles().get(table) or (model._meta.verbose_name if model else table))


def column_label(model, column):
    for name in (column, column.removesuffix("_id")):
        try:
            return model._meta.get_field(name).verbose_name
        except FieldDoesNotExist:
            continue
    return column


def roles_told(stored):
    """The roles that somebody held when acting, in words; the trail keeps their codes."""
    codes = [code.strip() for code in stored.split(",") if code.strip()]
    return ", ".join(str(Role(code).label) if code in Role.values else code for code in codes)


def is_blank(value):
    return value is None or value == ""


class Teller:
    """Tells values. `names` says what records are called, by model and key (see `names_of`); who or what is not among
    them is told by kind and number. Instants are told by the clock of `zone`."""

    def __init__(self, protocol, names=None, *, zone=UTC):
        self.protocol, self.names, self.zone = protocol, names or {}, zone

    def changes(self, event, only=None, only_named=False):
        """(column, its label, old, new) of what differs, in words; of a new record, what is filled in. Of these columns
        `only`; without the keys of records of which no names are known, if `only_named`."""
        model = models_by_table().get(event.table)
        fields = {field.column: field for field in model._meta.concrete_fields} if model else {}
        skip = UNTOLD | NOBODYS.get(event.table, set()) | MACHINES.get(event.table, set())
        for column, old, new in changes_of(event):
            nothing = (is_blank(old) and is_blank(new)) or (event.operation == "insert" and new in ([], {}, False))
            if column in skip or nothing or (only is not None and column not in only):
                continue
            if any(column == said and plain in fields for plain, said in SAID_IN.items()):
                continue
            pointed_at = fields[column].related_model if column in fields else None
            if only_named and pointed_at and pointed_at not in self.names:
                continue
            label = str(column_label(model, column)) if model else column
            before, after = event.before or {}, event.after or {}
            yield column, label, self.value(fields.get(column), old, before), self.value(fields.get(column), new, after)

    def value(self, field, value, line):
        """A stored value in words; `line` are all values of its row."""
        if is_blank(value):
            return ""
        if isinstance(value, bool):
            return _("yes") if value else _("no")
        if isinstance(value, dict) and value.keys() == {"template", "values"}:
            return str(Sentence.of(value, self.protocol))
        if field is None:
            return str(value)
        if said := line.get(SAID_IN.get(field.column, "")):
            return str(Sentence.of(said, self.protocol))
        if field.is_relation:
            return self.name(field.related_model, value)
        if told := self._code_told(field, value, line):
            return told
        if isinstance(value, list):
            return "; ".join(self._item(field, one) for one in value)
        if isinstance(value, dict):
            return json.dumps(value, ensure_ascii=False, sort_keys=True)
        if isinstance(field, models.DateTimeField):
            return told_at(instant_of(value), self.zone, seconds=True)
        return str(dict(field.flatchoices).get(value, value))

    def name(self, model, key):
        """What this record is called."""
        found = self.names.get(model, {}).get(key)
        if found:
            return str(found)
        return str(key) if model is User else f"{model._meta.verbose_name} {key}"

    def named(self, kind, code):
        """What the protocol calls a test, a panel, a visit or an arm; another version where this one does not have it."""
        return trial.named(kind, code, self.protocol)

    def choice(self, test, code):
        """What the protocol calls this answer of a test that has a list of them."""
        for protocol in (self.protocol, *trial.versions().values()):
            try:
                found = protocol.test(test)
            except (KeyError, AttributeError):
                continue
            return found.choice_label(code) if found.kind == "choice" else code
        return code

    def release_test(self, code, value):
        """What the protocol calls a release test, or its result."""
        for protocol in (self.protocol, *trial.versions().values()):
            for test in (test for product in protocol.products for test in product.release_tests if test.code == code):
                return test.name if value == code else test.result_told(value)
        return value

    def _code_told(self, field, value, line):
        """What a code stands for; None where the column holds no code."""
        table, column = field.model._meta.db_table, field.column
        kind = NAMED_BY_PROTOCOL.get(f"{table}.{column}") or NAMED_BY_PROTOCOL.get(column)
        if kind:
            return self.named(kind, value)
        if column in ("typed", "text") and table in ("visits_measurement", "visits_checkfiring"):
            return self.choice(line.get("test"), value)
        if column == "grade_row":
            return row_told(line.get("grade_scale", ""), line.get("grade_scale_version", ""), value)
        if table == "visits_lottest" and column in ("code", "result"):
            return self.release_test(line["code"], value)
        if column in ("roles", "by_roles"):
            return roles_told(value)
        if column in REASON_COLUMNS or f"{table}.{column}" in REASON_COLUMNS:
            return reason_told(value)
        about = _model(value if column == "record" else line.get("record"))
        if column == "record" and about:
            return str(about._meta.verbose_name)
        if column == "record_id" and about:
            return self.name(about, value)
        if column == "field":
            if not about:  # a query about a panel or an infusion
                about = _model(next((m for c, m in QUERIED_BY.items() if line.get(c)), None))
            own = about and next((one for one in about._meta.concrete_fields if one.name == value), None)
            return str(own.verbose_name) if own else self.named("test", value)
        told = told_codes().get(f"{table}.{column}") or told_codes().get(column)
        return told(value) if told and isinstance(value, str) else None

    def _item(self, field, one):
        """One of a list: a code, or a piece of evidence."""
        if isinstance(one, dict):
            return " ".join(self._fact(one, name) for name in sorted(one, key=_order))
        told = told_codes().get(f"{field.model._meta.db_table}.{field.column}") or told_codes().get(field.column)
        return str(told(one)) if told else str(one)

    def _fact(self, piece, name):
        """What a piece of evidence says of itself."""
        value = str(piece[name])
        if name == "test":
            return self.named("test", value)
        if name == "value":
            return self.choice(piece.get("test"), value)
        if name == "source" and (found := SOURCE.fullmatch(value)):
            return " ".join([found["visit"], self.named("panel", found["panel"])])
        return value


ORDER = ("test", "value", "on", "source")
SOURCE = re.compile(r"visit (?P<visit>\S+), panel (?P<panel>\S+)")  # as visits.evidence writes it


def _order(name):
    return ORDER.index(name) if name in ORDER else len(ORDER)


@cache
def told_codes():
    return {column: import_string(name) for column, name in settings.TOLD_CODES.items()}


def _model(label):
    try:
        return apps.get_model(label) if label else None
    except (LookupError, ValueError):
        return None


# --- what records are called ----------------------------------------------------------------------------------


def keys_in(events, only=None):
    """The keys of other records that these events tell, by model: what `names_of` must be asked. Of a table that is in
    `only`, those of these columns alone."""
    keys = defaultdict(set)
    for event in events:
        model = models_by_table().get(event.table)
        fields = {field.column: field for field in model._meta.concrete_fields} if model else {}
        skip = UNTOLD | NOBODYS.get(event.table, set())
        for column, old, new in changes_of(event):
            if column in skip or column not in fields or (only and column not in only.get(event.table, (column,))):
                continue
            if fields[column].is_relation:
                keys[fields[column].related_model] |= {key for key in (old, new) if key}
            elif column == "record_id" and (about := _model((event.after or event.before).get("record"))):
                keys[about] |= {key for key in (old, new) if key}
    return keys


def names_of(keys, user, hidden=(), known=None):
    """What the records of these keys are called, by model, beside those `known`: one statement a model, each through its
    own door."""
    names = dict(known or {})
    for model, wanted in keys.items():
        if not wanted:
            continue
        door = getattr(model.objects, "visible_to", None)
        if model._meta.db_table in hidden:
            continue
        visited = any(field.name == "visit" for field in model._meta.concrete_fields)
        rows = door(user) if door and model is not User else model.objects.all()
        rows = rows.select_related("visit") if visited else rows
        names[model] = names.get(model, {}) | {
            row.pk: f"{row.visit} · {row}" if visited and row.visit_id else str(row)
            for row in rows.filter(pk__in=wanted)
        }
    return names

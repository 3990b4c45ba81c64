"""What an event of the audit trail of a patient says, in words: of which record, by whom, what from what to what."""

import json
from functools import cache

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext as _

from trialsite import trial
from trialsite.audit import audited_models, changes_of
from trialsite.exchange.tables import tables
from trialsite.history import OPERATIONS, column_label, is_blank, roles_told
from trialsite.models import AuditEvent, User
from trialsite.pages import SECRET_TABLES
from trialsite.words import Sentence
from visits.models import QueryMessage

# columns that tell nothing beside the record, or what is nobody's to read (as in the data export)
UNTOLD = {"id", "patient_id", "version", "digest"}
NOBODYS = {
    "patients_allocationslot": {"allocation_list_id", "block", "block_size"},
    "visits_infusion": {"preparation_id"},
}
# copies are made of the record; they are no part of it
COPIES = {"safety_casebook", "safety_casebookfile"}
# of lines that are one value each, what the page tells; the copy tells all
BRIEFLY = {"visits_measurement": ("typed", "flag", "grade", "missing_because", "reported_unit")}
EVENTS = {"safety_adverseevent", "safety_resultofevent", "safety_declinedresult"}
EVENT_RECORD = "safety.adverseevent"  # as what is about one names it


@cache
def models_by_table():
    return {model._meta.db_table: model for model in audited_models()}


def hidden_tables(*, sees_arm, sees_events):
    """The tables of which these eyes read nothing."""
    return COPIES | (set() if sees_arm else SECRET_TABLES) | (set() if sees_events else EVENTS)


def events_for(patient_pk, *, sees_arm, sees_events):
    """The patient's trail as these eyes read it: without the hidden tables, and without what is about their records."""
    events = AuditEvent.objects.filter(patient_id=patient_pk)
    events = events.exclude(table__in=hidden_tables(sees_arm=sees_arm, sees_events=sees_events))
    if sees_events:
        return events
    said = QueryMessage.objects.filter(patient=patient_pk, query__record=EVENT_RECORD).values("pk")
    is_about_another = Q(after__record__isnull=True) | ~Q(after__record=EVENT_RECORD)
    return events.filter(is_about_another).exclude(table=QueryMessage._meta.db_table, record_id__in=said)


@cache
def _titles():
    return {table.model._meta.db_table: table.title for table in tables().values()}


def kind_told(table):
    """What the records of a table are called, in words."""
    model = models_by_table().get(table)
    return str(_titles().get(table) or (model._meta.verbose_name_plural if model else table))


class Teller:
    """Tells events of one patient. `visits` and `panels` are those that events may name, `people` names by key; a
    person who is not among them stays untold (the page) or is a number."""

    def __init__(self, protocol, *, visits=(), panels=(), people=None):
        self.protocol, self.people = protocol, people
        self.visits = {visit.pk: visit for visit in visits}
        self.panels = {panel.pk: panel for panel in panels}

    def entries(self, events):
        """As _history.html asks for them; of a value only what is worth reading."""
        return [
            {
                "at": event.at, "by": event.by_name, "role": roles_told(event.by_roles), "reason": event.reason,
                "what": _("%(record)s: %(what)s") % {"record": self.record(event), "what": OPERATIONS[event.operation]},
                "changes": [{"field": name, "old": old, "new": new} for name, old, new in self.changes(event, BRIEFLY.get(event.table))],
            }
            for event in events
        ]  # fmt: skip

    def record(self, event):
        """Which record it was: its kind, and what tells it from others of the kind."""
        line = event.after or event.before
        return " · ".join(filter(None, [kind_told(event.table), self._name(event.table, line)]))

    def _name(self, table, line):
        if table == "visits_visit":
            return line["code"]
        words = [self._visit(line.get("visit_id")), self._panel(line.get("panel_id"))]
        if table == "visits_panelrecord":
            words.append(self._named("panel", line["code"]))
        if line.get("test"):
            words.append(self._named("test", line["test"]))
        if line.get("minute") is not None:
            words.append(_("%d min") % line["minute"])
        for column in ("criterion", "term", "treatment", "drugs", "sequence"):
            if line.get(column) and len(words) < 4:
                words.append(str(line[column]))
                break
        return ", ".join(filter(None, words))

    def _visit(self, pk):
        visit = self.visits.get(pk)
        return visit.code if visit else ""

    def _panel(self, pk):
        panel = self.panels.get(pk)
        return f"{self._visit(panel.visit_id)} {self._named('panel', panel.code)}".strip() if panel else ""

    def _named(self, kind, code):
        for protocol in (self.protocol, *trial.versions().values()):
            try:
                return getattr(protocol, kind)(code).name
            except KeyError:
                continue
        return code

    def changes(self, event, only=None):
        """(column in words, old, new) of what differs; of a new record, what is filled in. Of these columns `only`."""
        model = models_by_table().get(event.table)
        skip = UNTOLD | NOBODYS.get(event.table, set())
        fields = {field.column: field for field in model._meta.concrete_fields} if model else {}
        for column, old, new in changes_of(event):
            if (
                column in skip
                or (is_blank(old) and is_blank(new))
                or (event.operation == "insert" and new in ([], {}, False))
            ):
                continue
            field = fields.get(column)
            if field is not None and field.related_model is User and self.people is None:
                continue
            label = str(column_label(model, column)) if model else column
            yield label, self.value(field, old), self.value(field, new)

    def value(self, field, value):
        """A stored value as people read it."""
        if is_blank(value):
            return ""
        if isinstance(value, bool):
            return _("yes") if value else _("no")
        if isinstance(value, dict) and value.keys() == {"template", "values"}:
            return str(Sentence.of(value, self.protocol))
        if isinstance(value, (dict, list)):
            return json.dumps(value, ensure_ascii=False, sort_keys=True)
        if field is None:
            return str(value)
        if field.related_model is User:
            return (self.people or {}).get(value, str(value))
        if field.is_relation:
            label = field.related_model._meta.label
            told = {"visits.Visit": self._visit, "visits.PanelRecord": self._panel}.get(label, lambda key: "")(value)
            return told or str(value)
        if isinstance(field, models.DateTimeField):
            return f"{value[:10]} {value[11:19]} UTC"
        return str(dict(field.flatchoices).get(value, value))

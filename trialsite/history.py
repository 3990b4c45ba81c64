"""What the trail says of a record, and of the lines that belong to it, in words for its history page."""

from django.core.exceptions import FieldDoesNotExist
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from trialsite.audit import changes_of
from trialsite.models import AuditEvent, User
from trialsite.roles import Role

OPERATIONS = {"insert": gettext_lazy("entered"), "update": gettext_lazy("changed"), "delete": gettext_lazy("deleted")}
# of lines that are one value each, the columns worth reading, the value first; the others follow from it
WORTH_READING = {
    "visits_measurement": ("typed", "flag", "grade"),
    "visits_lottest": ("result", "has_passed"),
    "patients_criterionanswer": ("holds", "comment"),
}
# of those, the columns worth reading only where they change with the value or without it
WORTH_READING_WHEN_CHANGED = {"visits_measurement": ("reported_unit", "reported_low", "reported_high")}
# what is no line of the record, although it points at it: each of these has a page of its own
NO_LINES = {("visits.Laboratory", "panels"), ("visits.ReferenceRange", "measurements")}
# columns that say nothing beside the record
UNTOLD = {"id", "version", "patient_id", "said"}


def entries_of(record, user, hidden=()):
    """Newest first: at, by, role, what, reason, changes (field, old, new), as _history.html asks for them.

    A save that touched the record and its lines is one entry. Lines in the tables `hidden` are left out."""
    parts = parts_of(record, user, hidden)
    own = record._meta.db_table
    entries = []
    for event in AuditEvent.objects.of_rows({own: [record.pk], **{part.table: part.ids for part in parts}}):
        is_own = event.table == own
        part = None if is_own else next(part for part in parts if part.table == event.table)
        changes = own_changes(record, event) if is_own else part.changes(record, event)
        if not (changes or is_own):
            continue
        last = entries[-1] if entries else None
        if last is None or not last.takes(event):
            last = Entry(event)
            entries.append(last)
        last.add(event, changes, is_own)
    return with_names([entry.shown() for entry in reversed(entries)])


def with_names(entries):
    """The same, with people's names for the keys of their accounts."""
    told = [change for entry in entries for change in entry["changes"] if change["is_person"]]
    people = User.objects.in_bulk({key for change in told for key in (change["old"], change["new"]) if key})
    for change in told:
        change["old"], change["new"] = (people.get(change[side], change[side]) for side in ("old", "new"))
    return entries


class Entry:
    """What one person did in one transaction for one reason; each row once."""

    def __init__(self, event):
        self.first, self.what, self.rows, self.own, self.lines = event, None, set(), [], []

    def takes(self, event):
        mine = (self.first.transaction, self.first.by_id, self.first.reason)
        row = (event.table, event.record_id)
        return mine == (event.transaction, event.by_id, event.reason) and row not in self.rows

    def add(self, event, changes, is_own):
        self.rows.add((event.table, event.record_id))
        self.what = event.operation if is_own or self.what is None else self.what
        (self.own if is_own else self.lines).extend(changes)

    def shown(self):
        return {
            "at": self.first.at, "by": self.first.by_name, "role": roles_told(self.first.by_roles),
            "what": OPERATIONS[self.what], "reason": self.first.reason, "changes": self.own + self.lines,
        }  # fmt: skip


def roles_told(stored):
    """The roles that somebody held when acting, in words; the trail keeps their codes."""
    codes = [code for code in stored.split(",") if code]
    return ", ".join(str(Role(code).label) if code in Role.values else code for code in codes)


def own_changes(record, event):
    return [
        told_change(column_label(record, column), record, column, old, new)
        for column, old, new in changes_of(event)
        if column not in UNTOLD and not (is_blank(old) and is_blank(new))
    ]


def told_change(field, model, column, old, new):
    columns = {field.attname: field.related_model for field in model._meta.concrete_fields}
    return {"field": field, "old": old, "new": new, "is_person": columns.get(column) is User}


def is_blank(value):
    return value is None or value == ""


class Part:
    """The lines of one table that belong to the record."""

    def __init__(self, model, column, ids):
        self.model, self.column, self.ids, self.table = model, column, ids, model._meta.db_table

    def changes(self, record, event):
        name = self.name(record, event.after or event.before)
        value, *others = WORTH_READING.get(self.table, (None,))
        if event.operation == "update":
            others += WORTH_READING_WHEN_CHANGED.get(self.table, ())
        told = []
        for column, old, new in changes_of(event):
            if column in (*UNTOLD, self.column) or (is_blank(old) and is_blank(new)):
                continue
            if column == value:
                told.insert(0, told_change(name, self.model, column, old, new))
            elif value is None or column in others:
                field = f"{name}: {column_label(self.model, column)}"
                told.append(told_change(field, self.model, column, old, new))
        return told

    def name(self, record, line):
        """What the line is called: the test, the criterion, or what its kind is called."""
        if self.table == "visits_measurement":
            name = record.patient.protocol.test(line["test"]).name
            return (
                name
                if line["minute"] is None
                else _("%(test)s, %(minute)s min") % {"test": name, "minute": line["minute"]}
            )
        for column in ("criterion", "code"):
            if line.get(column):
                return line[column]
        return f"{self.model._meta.verbose_name} {line['id']}"


def parts_of(record, user, hidden):
    """The lines that belong to the record: what points at it by another key than `patient`, through its own door."""
    parts = []
    for relation in record._meta.related_objects:
        model, key = relation.related_model, relation.field
        if (record._meta.label, relation.name) in NO_LINES:
            continue
        door = getattr(model.objects, "visible_to", None)
        if key.name == "patient" or door is None or model._meta.db_table in hidden:
            continue
        ids = list(door(user).filter(**{key.name: record}).order_by().values_list("pk", flat=True))
        parts.append(Part(model, key.column, ids))
    return parts


def column_label(model, column):
    for name in (column, column.removesuffix("_id")):
        try:
            return model._meta.get_field(name).verbose_name
        except FieldDoesNotExist:
            continue
    return column

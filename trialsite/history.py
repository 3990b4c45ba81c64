"""What the trail says of a record, and of the lines that belong to it, in words for its history page."""

from django.utils.translation import gettext as _

from trialsite import trial
from trialsite.clock import zone_shown
from trialsite.models import AuditEvent, User
from trialsite.reasons import reason_told
from trialsite.telling import OPERATIONS, Teller, keys_in, kind_told, names_of, roles_told

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
# lines that the protocol names by a code
NAMED_LINES = {
    "visits_panelrecord": lambda teller, code: teller.named("panel", code),
    "visits_visit": lambda teller, code: code,
    "visits_lottest": lambda teller, code: teller.release_test(code, code),
}
# what a page of one record need not say: a sentence that stands in words beside it, the digest of a mark,
# and the instant of the entry itself
LEFT_OUT = {"said", "digest", "loaded_at"}


def entries_of(record, user, hidden=()):
    """Newest first: at, by, role, what, reason, changes (field, old, new), as _history.html asks for them.

    A save that touched the record and its lines is one entry. Lines in the tables `hidden` are left out."""
    parts = {part.table: part for part in parts_of(record, user, hidden)}
    own = record._meta.db_table
    events = list(AuditEvent.objects.of_rows({own: [record.pk], **{table: part.ids for table, part in parts.items()}}))
    zone = zone_shown(patient_of(record), user)
    teller = Teller(_protocol_of(record), _names_for(record, events, user, hidden), zone=zone)
    entries = []
    for event in events:
        is_own = event.table == own
        changes = own_changes(teller, event) if is_own else parts[event.table].changes(teller, event)
        if not (changes or is_own):
            continue
        last = entries[-1] if entries else None
        if last is None or not last.takes(event):
            last = Entry(event)
            entries.append(last)
        last.add(event, changes, is_own)
    return [entry.shown() for entry in reversed(entries)]


def _names_for(record, events, user, hidden):
    """What the record points at is called, and the people of its lines; what else the lines point at is not told."""
    keys = keys_in(event for event in events if event.table == record._meta.db_table)
    keys[User] |= keys_in(events, WORTH_READING)[User]
    known = {type(record): {record.pk: record}}
    for field in record._meta.concrete_fields:
        if field.is_relation and field.is_cached(record) and getattr(record, field.name):
            known[field.related_model] = {getattr(record, field.attname): getattr(record, field.name)}
    for model, names in known.items():
        keys[model] -= names.keys()
    return names_of(keys, user, hidden, known)


def patient_of(record):
    """The patient whom a record is about, or who it is; None when it is about nobody."""
    return getattr(record, "patient", record if record._meta.label == "patients.Patient" else None)


def _protocol_of(record):
    """The version that names what the record is about."""
    return (
        getattr(record, "protocol", None)
        or getattr(getattr(record, "patient", None), "protocol", None)
        or (trial.current_protocol())
    )


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
            "what": OPERATIONS[self.what], "reason": reason_told(self.first.reason), "changes": self.own + self.lines,
        }  # fmt: skip


def own_changes(teller, event):
    return [
        {"field": label, "old": old, "new": new}
        for column, label, old, new in teller.changes(event)
        if column not in LEFT_OUT
    ]


class Part:
    """The lines of one table that belong to the record."""

    def __init__(self, model, column, ids):
        self.model, self.column, self.ids, self.table = model, column, ids, model._meta.db_table

    def changes(self, teller, event):
        name = self.name(teller, event.after or event.before)
        value, *others = WORTH_READING.get(self.table, (None,))
        if event.operation == "update":
            others += WORTH_READING_WHEN_CHANGED.get(self.table, ())
        told = []
        for column, label, old, new in teller.changes(event, only_named=True):
            if column == self.column or column in LEFT_OUT:
                continue
            if column == value:
                told.insert(0, {"field": name, "old": old, "new": new})
            elif value is None or column in others:
                told.append(
                    {"field": _("%(line)s: %(column)s") % {"line": name, "column": label}, "old": old, "new": new}
                )
        return told

    def name(self, teller, line):
        """What the line is called: the test, the criterion, or what its kind is called."""
        if self.table == "visits_measurement":
            name = teller.named("test", line["test"])
            if line["minute"] is None:
                return name
            return _("%(test)s, %(minute)s min") % {"test": name, "minute": line["minute"]}
        if self.table in NAMED_LINES and line.get("code"):
            return NAMED_LINES[self.table](teller, line["code"])
        if line.get("criterion"):
            return line["criterion"]
        return f"{kind_told(self.table)} {line['id']}"


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

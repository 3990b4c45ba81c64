"""The record of one patient as it stood at a cut-off: the only place that reads it for a certified copy.

Every audited table with a patient is in it, also those that come later, and every event of the patient's trail up to
the cut-off; without what the asker's eyes may not see. The digest is of the stored values: words, languages and
the program's version do not change it."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from patients.models import Patient
from safety.casebook.trail import COPIES, EVENT_RECORD, events_for, hidden_tables
from safety.models import Dictionary
from trialsite import trial
from trialsite.as_of import CutOff, rows_as_of
from trialsite.audit import audited_models
from trialsite.models import AuditEvent, Site, User
from trialsite.pages import sees_secret_tables
from trialsite.roles import Permission, can
from trialsite.telling import NOBODYS
from visits.models import Laboratory, Lot, ReferenceRange

FORM = "trialsite casebook 1"  # of casebook.json


class NotThere(RuntimeError):
    """The patient was not there yet at the cut-off."""


def eyes_of(user, patient):
    """What of this patient the person may see, beyond the plain records."""
    return {
        "sees_arm": sees_secret_tables(user, patient.site),
        "sees_events": can(user, Permission.VIEW_ADVERSE_EVENTS, patient.site),
    }


@dataclass
class Record:
    """Rows by table as stored, the trail, and the names of who stands in them."""

    cutoff: CutOff
    eyes: dict
    patient: dict
    site: dict
    rows: dict[str, list[dict]]
    trail: list[AuditEvent]
    people: dict[int, str]
    laboratories: dict[int, str] = field(default_factory=dict)
    lots: dict[int, str] = field(default_factory=dict)
    ranges: dict[int, str] = field(default_factory=dict)
    dictionaries: dict[int, str] = field(default_factory=dict)

    def objects(self, model):
        """The records of a model as unsaved objects with the values of then."""
        return [model(**row) for row in self.rows.get(model._meta.db_table, ())]

    def content(self) -> bytes:
        """Canonical JSON: equal records give equal bytes."""
        protocol = trial.current_protocol().trial
        told = {
            "form": FORM, "trial": protocol.id, "registry": protocol.registry, "cutoff": self.cutoff.instant,
            "last_audit_event": self.cutoff.event, "seen": self.eyes, "patient": self.patient, "site": self.site,
            "records": self.rows, "people": {str(pk): name for pk, name in self.people.items()},
            "laboratories": {str(pk): name for pk, name in self.laboratories.items()},
            "lots": {str(pk): name for pk, name in self.lots.items()},
            "ranges": {str(pk): name for pk, name in self.ranges.items()},
            "dictionaries": {str(pk): name for pk, name in self.dictionaries.items()},
            "audit_trail": [
                {
                    "id": e.pk, "at": e.at, "transaction": e.transaction, "table": e.table, "record": e.record_id,
                    "operation": e.operation, "before": _told(e.table, e.before), "after": _told(e.table, e.after),
                    "by": e.by_id, "by_name": e.by_name, "by_roles": e.by_roles, "reason": e.reason,
                }
                for e in self.trail
            ],
        }  # fmt: skip
        return json.dumps(
            told, cls=DjangoJSONEncoder, ensure_ascii=False, sort_keys=True, separators=(",", ":")
        ).encode()

    @property
    def versions(self):
        """The protocol versions under which anything was entered."""
        found = {row.get("protocol_version") for rows in (*self.rows.values(), [self.patient]) for row in rows}
        return sorted(version for version in found if version)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def patient_tables(hidden):
    """The models whose rows belong to one patient."""
    for model in audited_models():
        table = model._meta.db_table
        if table not in hidden | COPIES and any(f.name == "patient" for f in model._meta.concrete_fields):
            yield model


def read_record(patient_pk, cutoff, eyes) -> Record:
    """Raises NotThere. To be called after `wait_for_writers`, within one instant."""
    hidden = hidden_tables(**eyes)
    patient = next(rows_as_of(Patient, cutoff, id=patient_pk), None)
    if patient is None:
        raise NotThere
    site = next(rows_as_of(Site, cutoff, id=patient["site_id"]))
    rows = {}
    for model in patient_tables(hidden):
        table = model._meta.db_table
        found = [_told(table, row) for row in rows_as_of(model, cutoff, patient_id=patient_pk)]
        if found := [row for row in found if _is_for(row, eyes)]:
            rows[table] = found
    _leave_out_answers(rows)
    events = events_for(patient_pk, **eyes).filter(pk__lte=cutoff.event).exclude(pk__in=cutoff.held_back)
    trail = list(events.order_by("pk"))
    named = _people_in(rows) | {e.by_id for e in trail}
    people = {row["id"]: row["full_name"] for row in rows_as_of(User, cutoff) if row["id"] in named}
    laboratories = {row["laboratory_id"] for row in rows.get("visits_panelrecord", ())}
    names = {row["id"]: row["name"] for row in rows_as_of(Laboratory, cutoff) if row["id"] in laboratories}
    used = {row["lot_id"] for row in rows.get("visits_preparation", ())}  # none where the arm may not be seen
    lots = {row["id"]: f"{row['number']} ({row['product']})" for row in rows_as_of(Lot, cutoff) if row["id"] in used}
    held = {row["reference_id"] for row in rows.get("visits_measurement", ()) if row["reference_id"]}
    ranges = {row["id"]: str(ReferenceRange(**row)) for row in rows_as_of(ReferenceRange, cutoff) if row["id"] in held}
    coded = {row["dictionary_id"] for row in rows.get("safety_coding", ())}
    dictionaries = {
        row["id"]: f"{row['name']} {row['dictionary_version']}"
        for row in rows_as_of(Dictionary, cutoff)
        if row["id"] in coded
    }
    return Record(cutoff, eyes, patient, site, rows, trail, people, names, lots, ranges, dictionaries)


def _told(table, line):
    """Without the columns that are nobody's to read."""
    if line is None or table not in NOBODYS:
        return line
    return {name: value for name, value in line.items() if name not in NOBODYS[table]}


def _is_for(line, eyes):
    return eyes["sees_events"] or line.get("record") != EVENT_RECORD


def _leave_out_answers(rows):
    """What was said about a question that is not for these eyes is not for them either."""
    asked = {query["id"] for query in rows.get("visits_query", ())}
    said = [message for message in rows.pop("visits_querymessage", ()) if message["query_id"] in asked]
    if said:
        rows["visits_querymessage"] = said


def _people_in(rows):
    found = set()
    keys = defaultdict(list)
    for model in audited_models():
        for one in model._meta.concrete_fields:
            if isinstance(one, models.ForeignKey) and one.related_model is User:
                keys[model._meta.db_table].append(one.attname)
    for table, lines in rows.items():
        found |= {line[key] for line in lines for key in keys[table] if line.get(key)}
    return found

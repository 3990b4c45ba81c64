"""The events of a patient's trail that these eyes may read, and what each says in words: of which record, by whom, what
from what to what."""

from django.db.models import Q
from django.utils.translation import gettext as _

from trialsite.ctcae import term_told
from trialsite.models import AuditEvent
from trialsite.pages import SECRET_TABLES
from trialsite.reasons import reason_told
from trialsite.telling import OPERATIONS, kind_told, roles_told
from trialsite.words import listed
from visits.models import PanelRecord, QueryMessage, Visit

# copies are made of the record; they are no part of it
COPIES = {"safety_casebook", "safety_casebookfile"}
# of lines that are one value each, what the page tells; the copy tells all
BRIEFLY = {"visits_measurement": ("typed", "flag", "grade", "missing_because", "reported_unit")}
EVENTS = {"safety_adverseevent", "safety_resultofevent", "safety_declinedresult"}
EVENT_RECORD = "safety.adverseevent"  # as what is about one names it


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


def names_of_visits(visits, panels):
    """What the visits and panels of a patient are called, for a Teller."""
    codes = {visit.pk: visit.code for visit in visits}
    return {
        Visit: codes,
        PanelRecord: {panel.pk: f"{codes.get(panel.visit_id, '')} {panel}".strip() for panel in panels},
    }


def entries(teller, events):
    """As _history.html asks for them; of a value only what is worth reading."""
    return [
        {
            "at": event.at, "by": event.by_name, "role": roles_told(event.by_roles), "reason": reason_told(event.reason),
            "what": _("%(record)s: %(what)s") % {"record": record_told(teller, event), "what": OPERATIONS[event.operation]},
            "changes": [
                {"field": label, "old": old, "new": new}
                for _column, label, old, new in teller.changes(event, BRIEFLY.get(event.table), only_named=True)
            ],
        }
        for event in events
    ]  # fmt: skip


def record_told(teller, event):
    """Which record it was: its kind, and what tells it from others of the kind."""
    line = event.after or event.before
    return " · ".join(filter(None, [kind_told(event.table), _name(teller, event.table, line)]))


def _name(teller, table, line):
    if table == "visits_visit":
        return line["code"]
    named = [(Visit, line.get("visit_id")), (PanelRecord, line.get("panel_id"))]
    words = [teller.name(model, key) for model, key in named if key]
    if table == "visits_panelrecord":
        words.append(teller.named("panel", line["code"]))
    if line.get("test"):
        words.append(teller.named("test", line["test"]))
    if line.get("minute") is not None:
        words.append(_("%d min") % line["minute"])
    for column in ("criterion", "term", "treatment", "drugs", "sequence"):
        if line.get(column) and len(words) < 4:
            words.append(term_told(line[column]) if column == "term" else str(line[column]))
            break
    return listed(filter(None, words))

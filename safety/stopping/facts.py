"""What stopping rules and sentinels look at, read from the records: treated patients, and what happened to them.

As the record stands now, of all sites, arms included: for the watch, and for pages that show no more of it than the
reader may see."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

from django.db.models import F, FilteredRelation, Q
from django.utils import timezone

from patients.models import Disposition, Patient, State
from safety.abnormal import of_reaction
from safety.coding.rules import CodingState, Kind
from safety.models import AdverseEvent, Causality, Coding, Outcome, ResultOfEvent, SponsorAssessment
from safety.stopping.evaluation import Event, Treated, evaluate
from trialsite import trial
from trialsite.clock import day_at
from visits.models import Infusion, Reaction


def states_now(rules=None, treated=None):
    """Where the stopping rules of the protocol (or these) stand, for the `treated` patients when they are read already."""
    protocol = trial.current_protocol()
    rules = protocol.stopping_rules if rules is None else rules
    if treated is None:
        treated = read_treated(protocol, least_grade=min((rule.counts.least_grade or 1 for rule in rules), default=1))
    return evaluate(rules, treated, interest=protocol.events_of_interest, on=timezone.now().date())


def read_treated(protocol, *, least_grade=1) -> list[Treated]:
    """All treated patients in the order of their first treatment, with their events of this grade or worse: five
    statements, and one more each for their codes, for what the sponsor could not exclude, and for those of reactions.

    A reaction and the adverse event that was reported from it are one: the event counts, unless it is milder."""
    treated, starts, events = {}, defaultdict(list), defaultdict(list)
    for (patient, number, arm, site), day in _starts(protocol):
        treated[patient] = number, arm or "", site
        starts[patient].append(day)
    rows = list(AdverseEvent.objects.filter(Q(grade__gte=least_grade) | Q(is_fatal=True), is_withdrawn=False))
    known = known_of(rows)
    seen = Seen.read(least_grade, rows)
    for row, told in zip(rows, known, strict=True):
        events[row.patient_id].append(replace(told, same=seen.keys_of_event(row)))
    for row in seen.standing:
        if not seen.is_reported(row):
            events[row.patient_id].append(replace(event_of_reaction(row), same=seen.keys_of(row)))
    for patient, day in Disposition.objects.filter(state=State.DIED).values_list("patient_id", "on"):
        events[patient].append(event_of_death(patient, day))
    return [
        Treated(patient, number, arm, tuple(starts[patient]), tuple(events[patient]), site)
        for patient, (number, arm, site) in treated.items()
    ]


def _starts(protocol):
    """((patient, number, arm, site), day) of each infusion, in order; in a trial without, of randomisation."""
    if protocol.infusions:
        rows = Infusion.objects.order_by("started_at", "patient_id").values_list(
            "patient_id",
            "patient__number",
            "patient__slot__arm",
            "patient__site_id",
            "started_at",
            "patient__site__timezone",
        )
        for *who, started_at, zone in rows:
            yield who, started_at.astimezone(ZoneInfo(zone)).date()
    else:
        rows = Patient.objects.filter(slot__isnull=False).order_by("day_0", "slot__taken_at")
        for *who, day in rows.values_list("pk", "number", "slot__arm", "site_id", "day_0"):
            yield who, day


def codes_of(rows) -> dict[int, list[tuple[str, str, str]]]:
    """(term, preferred term, body system) of the approved codes of these events, by event."""
    found = defaultdict(list)
    approved = Coding.objects.filter(
        kind=Kind.ADVERSE_EVENT, state=CodingState.APPROVED, record_id__in=[r.pk for r in rows]
    )
    for event, *path in approved.values_list("record_id", "term", "preferred_term", "body_system"):
        found[event].append(tuple(path))
    return found


def suspected_by_sponsor(rows) -> set[int]:
    """Those of the events of which the sponsor, judging last, could not exclude that the product caused them."""
    serious = [row.pk for row in rows if row.is_serious]
    judged = SponsorAssessment.objects.filter(case__event__in=serious).order_by("id")
    last = dict(judged.values_list("case__event", "causality")) if serious else {}
    return {event for event, causality in last.items() if causality == Causality.SUSPECTED}


def of_reactions(rows) -> set[int]:
    """Those of the events that belong to a reaction recorded at an infusion."""
    linked = ResultOfEvent.objects.of_reactions().filter(event__in=[row.pk for row in rows])
    return set(linked.values_list("event_id", flat=True)) if rows else set()


def known_of(rows) -> list[Event]:
    """The events as the rules see them, with what is known of each beside its own fields; in their order."""
    codes, suspected, reacted = codes_of(rows), suspected_by_sponsor(rows), of_reactions(rows)
    return [event_of(row, codes.get(row.pk, ()), row.pk in suspected, row.pk in reacted) for row in rows]


def event_of(row: AdverseEvent, codes=(), is_suspected=False, of_reaction=False) -> Event:
    """Related is what the investigator or the sponsor could not exclude."""
    terms, systems = {row.term}, [row.body_system]
    for term, preferred, system in codes:
        terms |= {term, preferred}
        systems.append(system)
    is_fatal = row.is_fatal or row.outcome == Outcome.FATAL or row.grade == 5
    return Event(
        key=_key_of_death(row.patient_id) if is_fatal else f"event {row.pk}",
        on=row.began_on, terms=tuple(sorted(terms)), body_system=systems[-1], grade=row.grade, serious=row.is_serious,
        related=row.is_related or is_suspected, fatal=is_fatal, is_ongoing=row.is_ongoing, number=row.sequence,
        of_reaction=of_reaction,
    )  # fmt: skip


def event_of_reaction(row: Reaction) -> Event:
    """A reaction seen at an infusion is taken for related, until its adverse event is judged."""
    return Event(
        key=_key_of_death(row.patient_id) if row.grade == 5 else _key_of_line(row),
        on=day_at(row.patient.site, row.began_at), terms=(row.term,), grade=row.grade, related=True, fatal=row.grade == 5,
        of_reaction=True,
    )  # fmt: skip


def _key_of_line(row):
    return f"reaction {row.pk}"


@dataclass(frozen=True)
class Seen:
    """The lines of the reactions to infusions, by what they are (`of_reaction`), those that were corrected among them, and
    the adverse events that were reported from them.

    What was decided on is kept by key, for ever: of a line before it was corrected, of a reaction before it was reported
    as an event. It goes on to hold for what came of it, as long as that is no worse."""

    lines: dict[str, list[Reaction]]
    events: dict[str, list[AdverseEvent]]
    standing: list[Reaction]

    @classmethod
    def read(cls, least_grade, known):
        """Of this grade or worse; `known` are the adverse events that stand. One statement."""
        lines, events, by_id = defaultdict(list), defaultdict(list), {event.pk: event for event in known}
        link = FilteredRelation("results_of_events", condition=Q(results_of_events__is_withdrawn=False))
        rows = Reaction.objects.filter(grade__gte=least_grade).annotate(link=link, event_id=F("link__event"))
        each = {}
        for row in rows.select_related("patient__site").order_by("pk"):
            what = of_reaction(row.infusion_id, row.term)
            if each.setdefault(row.pk, row) is row:
                lines[what].append(row)
            if row.event_id in by_id:
                events[what].append(by_id[row.event_id])
        return cls(lines, events, [row for row in each.values() if not row.is_withdrawn])

    def is_reported(self, row):
        """Does an adverse event that is no milder stand for this reaction?"""
        return any(event.grade >= row.grade for event in self.events.get(of_reaction(row.infusion_id, row.term), ()))

    def keys_of(self, row):
        """Under which keys this reaction was counted before, no milder than it is."""
        lines = self.lines[of_reaction(row.infusion_id, row.term)]
        return frozenset(_key_of_line(line) for line in lines if line.grade >= row.grade and line.pk <= row.pk)

    def keys_of_event(self, event):
        """Under which keys the reactions were counted from which it was reported, no milder than it is."""
        return frozenset(
            _key_of_line(line)
            for what, events in self.events.items() if any(one.pk == event.pk for one in events)
            for line in self.lines.get(what, ()) if line.grade >= event.grade
        )  # fmt: skip


def event_of_death(patient_id: int, on: date) -> Event:
    """A death that was recorded as the end of participation; nobody has judged whether it is related."""
    return Event(key=_key_of_death(patient_id), on=on, grade=5, serious=True, fatal=True)


def _key_of_death(patient_id):
    # a patient dies once, however it is recorded
    return f"death {patient_id}"

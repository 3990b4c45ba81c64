"""What went wrong: adverse events by term (T6), by worst grade (T7), and the listings L1 to L3.

Tables count events under treatment, in patients who were treated; listings have every event."""

from collections import Counter, defaultdict

from patients.models import State
from safety.dsmb.counting import count, none_of
from safety.dsmb.figures import Column, Row, Table
from safety.models import ActionTaken


def treated_since(patient):
    return patient.infusions[0].on if patient.infusions else patient.day_0


def events_under_treatment(patient):
    start = treated_since(patient)
    return [event for event in patient.events if start is None or event.began_on >= start]


def other_events_note(snapshot):
    population = {p.id for p in snapshot.safety_population}
    n = sum(
        len(p.events) - (len(events_under_treatment(p)) if p.id in population else 0)
        for p in snapshot.patients.values()
    )
    if not n:
        return ()
    events = "1 event" if n == 1 else f"{n} events"
    start = "the first infusion" if snapshot.protocol.infusions else "day 0"
    return (f"{events} before {start}, or in patients who did not come so far, in the listings only.",)


def by_term(snapshot):
    """{(body system, term): {patient id: events}}: the most frequent body system first, in it the most frequent
    term. Terms that differ in capital letters alone are one."""
    found, spelt = defaultdict(lambda: defaultdict(list)), {}
    for patient in snapshot.safety_population:
        for event in events_under_treatment(patient):
            system, term = event.body_system.strip(), event.term.strip()
            key = (system.casefold(), term.casefold())
            spelt[key] = min(spelt.get(key, (system, term)), (system, term))
            found[key][patient.id].append(event)
    in_system = defaultdict(set)
    for (system, _), patients in found.items():
        in_system[system] |= set(patients)
    order = sorted(found, key=lambda key: (-len(in_system[key[0]]), key[0], -len(found[key]), key[1]))
    first_spelling = {}
    for key in order:
        first_spelling.setdefault(key[0], spelt[key][0])
    return {(first_spelling[key[0]], spelt[key][1]): found[key] for key in order}


def by_system(terms):
    systems = defaultdict(lambda: defaultdict(list))
    for (system, _), patients in terms.items():
        for patient, events in patients.items():
            systems[system][patient] += events
    return systems


def kinds_of_events(snapshot):
    """What the overview counts: (words, whether an event is of this kind in this patient)."""
    kinds = [
        ("Any adverse event", lambda p, e: True),
        ("Related to the study treatment", lambda p, e: e.is_related),
        ("Grade 3 or worse", lambda p, e: e.grade >= 3),
        ("Related, grade 3 or worse", lambda p, e: e.is_related and e.grade >= 3),
        ("Serious", lambda p, e: e.is_serious),
        ("Serious and related", lambda p, e: e.is_serious and e.is_related),
        ("Fatal", lambda p, e: e.is_fatal),
        ("Treatment withdrawn", lambda p, e: e.action_taken == ActionTaken.WITHDRAWN),
    ]
    if infusions := snapshot.protocol.infusions:
        window = infusions.reaction_window_days
        kinds.append((
            f"Within {window} days of an infusion",
            lambda p, e: any(0 <= (e.began_on - i.on).days <= window for i in p.infusions),
        ))  # fmt: skip
    for interest in snapshot.protocol.events_of_interest:
        terms = {term.casefold() for term in (interest.name, *interest.terms)}
        kinds.append((
            f"Of interest, by the reported term: {interest.name}", lambda p, e, terms=terms: e.term.strip().casefold() in terms
        ))  # fmt: skip
    return kinds


def adverse_events(snapshot, groups):
    """T6. Patients with each event once, and the number of events."""
    population = snapshot.safety_population
    members = [group.of(population) for group in groups]
    headings = [f"{g.title} (N = {len(these)})" for g, these in zip(groups, members, strict=True)]
    columns = [Column("Body system and term", align="left", share=1)]
    for heading in headings:
        columns += [Column("Patients, n (%)", heading), Column("Events", heading)]

    def cells(events_of):
        texts = []
        for these in members:
            found = [events for p in these if (events := events_of(p))]
            texts += [count(len(found), len(these)), str(sum(map(len, found)))]
        return texts

    rows = []
    if population:
        rows.append(Row(("Overview", *[""] * (len(columns) - 1)), "heading"))
        for words, is_kind in kinds_of_events(snapshot):
            of_kind = lambda p, is_kind=is_kind: [e for e in events_under_treatment(p) if is_kind(p, e)]  # noqa: E731
            rows.append(Row((words, *cells(of_kind)), "inner"))
    terms = by_term(snapshot)
    systems = by_system(terms)
    last = None
    for (system, term), patients in terms.items():
        if system != last:
            rows.append(Row((system, *[""] * (len(columns) - 1)), "heading"))
            rows.append(Row(("Any of this body system", *cells(lambda p, s=system: systems[s].get(p.id))), "inner"))
            last = system
        rows.append(Row((term, *cells(lambda p, patients=patients: patients.get(p.id))), "inner"))
    return Table(
        "T6", "Adverse events by body system and term", tuple(columns), tuple(rows),
        (f"Of {snapshot.population_words}; a patient counts once in each line.", *other_events_note(snapshot))
        if rows else other_events_note(snapshot),
        wide=len(groups) > 3, empty="Nobody was treated.",
    )  # fmt: skip


def worst_grades(snapshot, groups):
    """T7. Each patient once for each term, at the worst grade."""
    population = snapshot.safety_population
    members = [group.of(population) for group in groups]
    columns = [Column("Body system and term", align="left", share=1)]
    for group, these in zip(groups, members, strict=True):
        columns += [Column(str(grade), f"{group.title} (N = {len(these)})", share=0.11) for grade in range(1, 6)]

    def cells(events_of):
        texts = []
        for these in members:
            worst = Counter(max(e.grade for e in events) for p in these if (events := events_of(p)))
            texts += [str(worst[grade]) if worst[grade] else "·" for grade in range(1, 6)]
        return texts

    terms = by_term(snapshot)
    systems = by_system(terms)
    rows, last = [], None
    if terms:
        rows.append(Row(("Any adverse event", *cells(events_under_treatment)), "total"))
    for (system, term), patients in terms.items():
        if system != last:
            rows.append(Row((system, *[""] * (len(columns) - 1)), "heading"))
            rows.append(Row(("Any of this body system", *cells(lambda p, s=system: systems[s].get(p.id))), "inner"))
            last = system
        rows.append(Row((term, *cells(lambda p, patients=patients: patients.get(p.id))), "inner"))
    return Table(
        "T7", "Adverse events by worst grade", tuple(columns), tuple(rows),
        ("Number of patients whose worst grade it was; a dot is none.",) if rows else (),
        wide=len(groups) > 3,
        empty=f"No adverse event in {len(population)} treated patients." if population else "Nobody was treated.",
    )  # fmt: skip


def _listing_columns(letters, *columns):
    group = (Column("Group", align="left"),) if letters else ()
    return (Column("Patient", align="left"), *group, *columns)


def _who(patient, letters):
    return (patient.number, *((letters.get(patient.id, "–"),) if letters else ()))


def _day(snapshot, patient, day):
    number = patient.day_of(day) if patient.randomised_on else None
    return day.isoformat() if number is None else f"{day} (day {number})"


def _listed(snapshot):
    for patient in snapshot.patients.values():
        for event in patient.events:
            yield patient, event


def _end_of(snapshot, event):
    if event.ended_on and event.ended_on <= snapshot.cutoff:
        return event.ended_on.isoformat()
    return "ongoing" if event.is_ongoing or event.ended_on else "not known"


def serious_events(snapshot, groups, letters):
    """L1. Every serious event, also before the first infusion and in patients who were not randomised."""
    columns = _listing_columns(
        letters, Column("No."), Column("Event", align="left", share=3), Column("Grade"),
        Column("Onset", align="left"), Column("End", align="left"), Column("Serious because", align="left", share=3),
        Column("Relationship", align="left", share=1.4), Column("Expected", align="left", share=1.4),
        Column("Action", align="left", share=1.6), Column("Outcome", align="left", share=1.6),
    )  # fmt: skip
    rows = tuple(
        Row((*_who(p, letters), str(e.sequence), f"{e.term} ({e.body_system})", str(e.grade),
             _day(snapshot, p, e.began_on), _end_of(snapshot, e), "; ".join(e.seriousness),
             str(e.get_relationship_display()), str(e.get_expectedness_display()), str(e.get_action_taken_display()),
             str(e.get_outcome_display())))
        for p, e in _listed(snapshot) if e.is_serious
    )  # fmt: skip
    notes = none_of(lambda p: any(e.is_serious for e in events_under_treatment(p)), groups, snapshot.safety_population)
    return Table("L1", "Serious adverse events", columns, rows, notes, wide=True, empty="No serious adverse event.")


def deaths(snapshot, groups, letters):
    """L2."""
    columns = _listing_columns(
        letters, Column("Died on", align="left"), Column("Last infusion", align="left"),
        Column("Fatal adverse events (relationship)", align="left", share=1),
    )  # fmt: skip
    rows = []
    for patient in (p for p in snapshot.patients.values() if p.has_died):
        fatal = [event for event in patient.events if event.is_fatal]
        ends = [patient.ended_on] if patient.end == State.DIED else [e.ended_on for e in fatal if e.ended_on]
        died_on = ends[0] if ends else None
        last = patient.infusions[-1] if patient.infusions else None
        before = f", {(died_on - last.on).days} days before" if last and died_on else ""
        rows.append(
            Row((
                *_who(patient, letters),
                _day(snapshot, patient, died_on) if died_on else "not known",
                f"no. {last.number} on {last.on}{before}" if last else "none",
                "; ".join(f"{e.term} ({e.get_relationship_display()})" for e in fatal) or "none reported",
            ))
        )  # fmt: skip
    notes = none_of(lambda p: p.has_died, groups, snapshot.safety_population)
    return Table("L2", "Deaths", columns, tuple(rows), notes, empty="No deaths.")


def all_events(snapshot, letters):
    """L3."""
    columns = _listing_columns(
        letters, Column("No."), Column("Event", align="left", share=2), Column("Body system", align="left", share=2),
        Column("Grade"), Column("Serious", align="left"), Column("Onset", align="left"), Column("End", align="left"),
        Column("After infusion"), Column("Relationship", align="left", share=1),
        Column("Action", align="left", share=1.3), Column("Outcome", align="left", share=1.3),
    )  # fmt: skip
    rows = tuple(
        Row((*_who(p, letters), str(e.sequence), e.term, e.body_system, str(e.grade), "yes" if e.is_serious else "no",
             _day(snapshot, p, e.began_on), _end_of(snapshot, e), str(e.infusion_number or "–"),
             str(e.get_relationship_display()), str(e.get_action_taken_display()), str(e.get_outcome_display())))
        for p, e in _listed(snapshot)
    )  # fmt: skip
    return Table("L3", "All adverse events", columns, rows, wide=True, empty="No adverse event.")

"""What went wrong: adverse events by term (T6), by worst grade (T7), with exact intervals (T9), the related ones (T10),
the reactions to infusions (T11), and the listings L1 to L3.

Tables count events under treatment, in patients who were treated; listings have every event."""

from collections import Counter, defaultdict

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from patients.models import Sex, State
from safety import dictionary
from safety.dsmb.counting import (
    FEWEST,
    WITHHELD,
    count,
    heading_of,
    interval_text,
    listed,
    none_of,
    with_more,
)
from safety.dsmb.figures import Column, Row, Table
from safety.models import ActionTaken
from trialsite.ctcae import term_told

GRADES = range(1, 6)


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
    if snapshot.protocol.infusions:
        words = ngettext(
            "%(n)s event before the first infusion, or in patients who did not come so far, in the listings only.",
            "%(n)s events before the first infusion, or in patients who did not come so far, in the listings only.",
            n,
        )
    else:
        words = ngettext(
            "%(n)s event before day 0, or in patients who did not come so far, in the listings only.",
            "%(n)s events before day 0, or in patients who did not come so far, in the listings only.",
            n,
        )
    return (words % {"n": n},)


def by_term(snapshot, wanted=lambda event: True):
    """{(body system, term): {patient id: events}} of the events that are wanted: the most frequent body system first, in
    it the most frequent term. Terms that differ in capital letters alone are one."""
    found, spelt = defaultdict(lambda: defaultdict(list)), {}
    for patient in snapshot.safety_population:
        for event in filter(wanted, events_under_treatment(patient)):
            system, term = event.counted_as
            key = (system.casefold(), term.casefold())
            spelt[key] = min(spelt.get(key, (system, term)), (system, term))
            found[key][patient.id].append(event)
    in_system = defaultdict(set)
    for (system, _term), patients in found.items():
        in_system[system] |= set(patients)
    order = sorted(found, key=lambda key: (-len(in_system[key[0]]), key[0], -len(found[key]), key[1]))
    first_spelling = {}
    for key in order:
        first_spelling.setdefault(key[0], spelt[key][0])
    return {(first_spelling[key[0]], spelt[key][1]): found[key] for key in order}


def by_system(terms):
    systems = defaultdict(lambda: defaultdict(list))
    for (system, _term), patients in terms.items():
        for patient, events in patients.items():
            systems[system][patient] += events
    return systems


def kinds_of_events(snapshot, *, is_open):
    """What the overview counts: (words, whether an event is of this kind in this patient). What was done with the treatment,
    what came soon after an infusion, and reactions to infusions are of the closed part alone."""
    kinds = [
        (_("Any adverse event"), lambda p, e: True),
        (_("Related to the study treatment"), lambda p, e: e.counts_as_related),
        (_("Grade 3 or worse"), lambda p, e: e.grade >= 3),
        (_("Related, grade 3 or worse"), lambda p, e: e.counts_as_related and e.grade >= 3),
        (_("Serious"), lambda p, e: e.is_serious),
        (_("Serious and related"), lambda p, e: e.is_serious and e.counts_as_related),
        (_("Fatal"), lambda p, e: e.is_fatal),
    ]
    if not is_open:
        kinds.append((_("Treatment withdrawn"), lambda p, e: e.action_taken == ActionTaken.WITHDRAWN))
    if (infusions := snapshot.protocol.infusions) and not is_open:
        window = infusions.reaction_window_days
        kinds.append((
            _("Within %(days)s days of an infusion") % {"days": window},
            lambda p, e: any(0 <= (e.began_on - i.on).days <= window for i in p.infusions),
        ))  # fmt: skip
    for interest in snapshot.protocol.events_of_interest:
        if interest.reactions and is_open:
            continue
        kinds.append((
            _("Of interest: %(name)s") % {"name": interest.name},
            lambda p, e, interest=interest: interest.covers(
                (e.term, e.counted_as[1]), e.counted_as[0], of_reaction=e.of_reaction
            ),
        ))  # fmt: skip
    return kinds


def adverse_events(snapshot, groups):
    """T6. Patients with each event once, and the number of events."""
    population = snapshot.safety_population
    members = [group.of(population) for group in groups]
    columns = [Column(_("Body system and term"), align="left", share=1)]
    for group in groups:
        heading = heading_of(group, population)
        columns += [Column(_("Patients, n (%)"), heading), Column(_("Events"), heading)]

    def cells(events_of):
        texts = []
        for these in members:
            found = [events for p in these if (events := events_of(p))]
            texts += [count(len(found), len(these)), str(sum(map(len, found)))]
        return texts

    rows, is_open = [], any(group.is_open for group in groups)
    if population:
        rows.append(Row((_("Overview"), *[""] * (len(columns) - 1)), "heading"))
        for words, is_kind in kinds_of_events(snapshot, is_open=is_open):
            of_kind = lambda p, is_kind=is_kind: [e for e in events_under_treatment(p) if is_kind(p, e)]  # noqa: E731
            rows.append(Row((words, *cells(of_kind)), "inner"))
    rows += rows_by_term(by_term(snapshot), cells)
    return Table(
        "T6", _("Adverse events by body system and term"), tuple(columns), tuple(rows),
        (_("Of %(patients)s; a patient counts once in each line.") % {"patients": snapshot.population_words},
         *other_events_note(snapshot), *_reactions_note(snapshot, is_open=is_open))
        if rows else other_events_note(snapshot),
        wide=len(groups) > 3, empty=_("Nobody was treated."),
    )  # fmt: skip


def _reactions_note(snapshot, *, is_open):
    """Where reactions to infusions are counted. It tells no number, and stands there whether there were any or not."""
    names = [one.name for one in snapshot.protocol.events_of_interest if one.reactions]
    if not names or not snapshot.protocol.infusions:
        return ()
    if is_open:
        return (_("Of interest, in the closed part alone: %(names)s.") % {"names": listed(names)},)
    return (
        _("Of interest, %(names)s: adverse events of these terms, and those that were reported from a reaction recorded at an "
          "infusion. Reactions that were not reported as adverse events are in T11 alone.") % {"names": listed(names)},
    )  # fmt: skip


def rows_by_term(terms, cells):
    """Body systems as headings, with a line for each as a whole and one for each term."""
    systems = by_system(terms)
    last = None
    for (system, term), patients in terms.items():
        if system != last:
            whole = cells(lambda p, system=system: systems[system].get(p.id))
            yield Row((str(dictionary.told(system)), *[""] * len(whole)), "heading")
            yield Row((_("Any of this body system"), *whole), "inner")
            last = system
        yield Row((term_told(term), *cells(lambda p, patients=patients: patients.get(p.id))), "inner")


def worst_grades(snapshot, groups):
    """T7. Each patient once for each term, at the worst grade."""
    return _by_worst_grade(
        snapshot, groups, "T7", _("Adverse events by worst grade"), _("Any adverse event"),
        none=_("No adverse event in %(n)s treated patients."),
    )  # fmt: skip


def related_events(snapshot, groups):
    """T10. As T7, of the events that somebody thinks may come from the treatment."""
    return _by_worst_grade(
        snapshot, groups, "T10", _("Related adverse events by worst grade"), _("Any related adverse event"),
        none=_("No related adverse event in %(n)s treated patients."), wanted=lambda event: event.counts_as_related,
    )  # fmt: skip


def _by_worst_grade(snapshot, groups, number, title, whole, *, none, wanted=lambda event: True):
    population = snapshot.safety_population
    members = [group.of(population) for group in groups]
    columns = [Column(_("Body system and term"), align="left", share=1)]
    for group in groups:
        columns += [Column(str(grade), heading_of(group, population), share=0.11) for grade in GRADES]

    def cells(events_of):
        texts = []
        for these in members:
            worst = Counter(max(e.grade for e in events) for p in these if (events := events_of(p)))
            texts += [str(worst[grade]) if worst[grade] else "·" for grade in GRADES]
        return texts

    terms = by_term(snapshot, wanted)
    rows = []
    if terms:
        rows.append(Row((whole, *cells(lambda p: [*filter(wanted, events_under_treatment(p))])), "total"))
        rows += rows_by_term(terms, cells)
    return Table(
        number, title, tuple(columns), tuple(rows),
        (_("Number of patients whose worst grade it was; a dot is none."),) if rows else (),
        wide=len(groups) > 3,
        empty=none % {"n": len(population)} if population else _("Nobody was treated."),
    )  # fmt: skip


def rates(snapshot, groups):
    """T9. How many patients had what matters most, and what that tells of the true rate."""
    population = snapshot.safety_population
    members = [group.of(population) for group in groups]
    wanted = (
        (_("Related to the study treatment"), lambda e: e.counts_as_related),
        (_("Grade 3 or worse"), lambda e: e.grade >= 3),
        (_("Related, grade 3 or worse"), lambda e: e.counts_as_related and e.grade >= 3),
        (_("Serious"), lambda e: e.is_serious),
        (_("Serious and related"), lambda e: e.is_serious and e.counts_as_related),
        (_("Fatal"), lambda e: e.is_fatal),
    )
    rows = [
        Row((words, *(
            interval_text(sum(any(is_such(e) for e in events_under_treatment(p)) for p in these), len(these))
            for these in members
        )))
        for words, is_such in wanted
        if population
    ]  # fmt: skip
    return Table(
        "T9", _("Patients with events that matter most, with exact intervals"),
        (Column(_("Adverse event"), align="left", share=1),
         *(Column(heading_of(group, population)) for group in groups)),
        tuple(rows),
        (_("n/N, % (exact two-sided 95 % interval of Clopper and Pearson; of none also the one-sided 95 % upper limit)."),)
        if rows else (),
        wide=len(groups) > 3, empty=_("Nobody was treated."),
    )  # fmt: skip


def by_stratum(snapshot, groups):
    """T16. Safety by stratum of the randomisation; strata are no arms. None where nothing is stratified."""
    if not any(protocol.allocation.strata for protocol in snapshot.versions.values()):
        return None
    population = snapshot.safety_population
    wanted = (
        (_("Any event, n (%)"), lambda e: True),
        (_("Grade 3 or worse, n (%)"), lambda e: e.grade >= 3),
        (_("Serious, n (%)"), lambda e: e.is_serious),
    )
    columns = [Column(_("Stratum"), align="left", share=1)]
    for group in groups:
        heading = heading_of(group, population)
        columns += [
            Column(_("Patients"), heading, share=0.34),
            *(Column(words, heading, share=0.4) for words, _such in wanted),
        ]

    def row(words, of_stratum, kind=""):
        cells = []
        for group in groups:
            these = group.of(of_stratum)
            numbers = [count(sum(any(map(is_such, events_under_treatment(p))) for p in these), len(these))
                       for _words, is_such in wanted]  # fmt: skip
            cells += [str(len(these)), *([WITHHELD] * len(numbers) if group.withholds(len(these)) else numbers)]
        return Row((words, *cells), kind)

    strata = sorted({p.stratum for p in population})
    rows = [row(_stratum_told(snapshot, key), [p for p in population if p.stratum == key]) for key in strata]
    if rows:
        rows.append(row(_("All strata"), population, "total"))
    withheld = any(WITHHELD in row.cells for row in rows)
    notes = (_("Of %(patients)s; a patient counts once in each column.") % {"patients": snapshot.population_words},)
    if withheld:
        notes += (_("%(sign)s: of fewer than %(n)s patients nothing is summed up.") % {"sign": WITHHELD, "n": FEWEST},)
    return Table(
        "T16", _("Safety by stratum of the randomisation"), tuple(columns), tuple(rows), notes if rows else (),
        wide=True, empty=_("Nobody was treated."),
    )  # fmt: skip


def _stratum_told(snapshot, key):
    """`01 First hospital, low`: the levels by their names."""
    names = {p.site: f"{p.site} {p.site_name}" for p in snapshot.patients.values()} | {
        sex.value: str(sex.label) for sex in Sex
    }
    for protocol in snapshot.versions.values():
        names |= {level.code: level.name for factor in protocol.allocation.strata for level in factor.levels}
    return ", ".join(names.get(level, level) for level in key.split("/"))


def infusion_reactions(snapshot, groups):
    """T11. By the number of the infusion, each at its worst grade, and the terms. Of the closed part alone."""
    infusions = snapshot.protocol.infusions
    if infusions is None:
        return None
    population = snapshot.safety_population
    members = [group.of(population) for group in groups]
    columns = [Column(_("Infusion and reaction"), align="left", share=1)]
    for group in groups:
        heading = heading_of(group, population)
        columns += [
            Column(_("Given"), heading, share=0.36), Column(_("With a reaction, n (%)"), heading, share=0.48),
            Column(_("Grades 1/2/3/4/5"), heading, share=0.44),
        ]  # fmt: skip

    def cells(given_of, reactions_of):
        texts = []
        for these in members:
            given = [i for p in these for i in given_of(p)]
            worst = Counter(max(grades) for i in given if (grades := reactions_of(i)))
            texts += [str(len(given)), count(worst.total(), len(given)), "/".join(str(worst[g]) for g in GRADES)]
        return texts

    rows = []
    if any(p.infusions for p in population):
        for number in range(1, max(i.number for p in population for i in p.infusions) + 1):
            of_number = lambda p, number=number: [i for i in p.infusions if i.number == number]  # noqa: E731
            name = _("Infusion %(number)s") % {"number": number}
            rows.append(Row((name, *cells(of_number, lambda i: i.reaction_grades))))
        rows.append(Row((_("All infusions"), *cells(lambda p: p.infusions, lambda i: i.reaction_grades)), "total"))
        terms = Counter(term for p in population for i in p.infusions for term in {t for t, _grade in i.reactions})
        if terms:
            rows.append(Row((_("By reaction, all infusions"), *[""] * (len(columns) - 1)), "heading"))
        for term, _n in sorted(terms.items(), key=lambda one: (-one[1], one[0])):
            of_term = lambda i, term=term: [grade for its, grade in i.reactions if its == term]  # noqa: E731
            rows.append(Row((term_told(term), *cells(lambda p: p.infusions, of_term)), "inner"))
    return Table(
        "T11", _("Reactions to infusions"), tuple(columns), tuple(rows),
        (_("Infusions, not patients: each at the worst grade of its reactions."),) if rows else (),
        wide=len(groups) > 3, empty=_("No infusion was given."),
    )  # fmt: skip


def listing_columns(letters, *columns):
    group = (Column(_("Group"), align="left"),) if letters else ()
    return (Column(_("Patient"), align="left"), *group, *columns)


def who(patient, letters):
    return (patient.number, *((letters.get(patient.id, "–"),) if letters else ()))


def day_told(snapshot, patient, day):
    number = patient.day_of(day) if patient.randomised_on else None
    if number is None:
        return day.isoformat()
    return _("%(date)s (day %(number)s)") % {"date": day, "number": number}


def _listed(snapshot):
    for patient in snapshot.patients.values():
        for event in patient.events:
            yield patient, event


def _end_of(snapshot, event):
    if event.ended_on and event.ended_on <= snapshot.cutoff:
        return event.ended_on.isoformat()
    return _("ongoing") if event.is_ongoing or event.ended_on else _("not known")


def serious_events(snapshot, groups, letters):
    """L1. Every serious event, also before the first infusion and in patients who were not randomised."""
    is_closed = not any(group.is_open for group in groups)
    columns = listing_columns(
        letters, Column(_("No.")), Column(_("Event"), align="left", share=3), Column(_("Grade")),
        Column(_("Onset"), align="left"), Column(_("End"), align="left"),
        Column(_("Serious because"), align="left", share=3), Column(_("Relationship"), align="left", share=1.6),
        Column(_("Expected"), align="left", share=1.4), Column(_("By the sponsor"), align="left", share=1.8),
        *((Column(_("Action"), align="left", share=1.6),) if is_closed else ()),
        Column(_("Outcome"), align="left", share=1.6),
    )  # fmt: skip
    rows = tuple(
        Row((*who(p, letters), str(e.sequence), with_more(term_told(e.term), dictionary.told(e.counted_as[0])), str(e.grade),
             day_told(snapshot, p, e.began_on), _end_of(snapshot, e), listed(e.seriousness),
             str(e.get_relationship_display()), str(e.get_expectedness_display()), _by_sponsor(e),
             *((str(e.get_action_taken_display()),) if is_closed else ()), str(e.get_outcome_display())))
        for p, e in _listed(snapshot) if e.is_serious
    )  # fmt: skip
    notes = none_of(lambda p: any(e.is_serious for e in events_under_treatment(p)), groups, snapshot.safety_population)
    return Table(
        "L1", _("Serious adverse events"), columns, rows, notes, wide=True, empty=_("No serious adverse event.")
    )


def _by_sponsor(event):
    """How the sponsor judged it last."""
    if event.judgement is None:
        return "–"
    return listed((event.judgement.get_causality_display(), event.judgement.get_expectedness_display()))


def deaths(snapshot, groups, letters):
    """L2."""
    columns = listing_columns(
        letters, Column(_("Died on"), align="left"), Column(_("Last infusion"), align="left"),
        Column(_("Fatal adverse events (relationship)"), align="left", share=1),
    )  # fmt: skip
    rows = []
    for patient in (p for p in snapshot.patients.values() if p.has_died):
        fatal = [event for event in patient.events if event.is_fatal]
        ends = [patient.ended_on] if patient.end == State.DIED else [e.ended_on for e in fatal if e.ended_on]
        died_on = ends[0] if ends else None
        rows.append(
            Row((
                *who(patient, letters),
                day_told(snapshot, patient, died_on) if died_on else _("not known"),
                _last_infusion(patient, died_on),
                listed(with_more(term_told(e.term), e.get_relationship_display()) for e in fatal) or _("none reported"),
            ))
        )  # fmt: skip
    notes = none_of(lambda p: p.has_died, groups, snapshot.safety_population)
    return Table("L2", _("Deaths"), columns, tuple(rows), notes, wide=True, empty=_("No deaths."))


def _last_infusion(patient, died_on):
    if not patient.infusions:
        return _("none")
    last = patient.infusions[-1]
    about = {"number": last.number, "day": last.on}
    if died_on is None:
        return _("no. %(number)s on %(day)s") % about
    return _("no. %(number)s on %(day)s, %(days)s days before") % (about | {"days": (died_on - last.on).days})


def _as_counted(event):
    term, reported = event.counted_as[1], term_told(event.term)
    return reported if term.casefold() == event.term.strip().casefold() else with_more(reported, term_told(term))


def all_events(snapshot, groups, letters):
    """L3. Which infusion an event came after, and what was done with the treatment, is of the closed part alone."""
    is_closed = not any(group.is_open for group in groups)
    columns = listing_columns(
        letters, Column(_("No.")), Column(_("Event (counted as)"), align="left", share=2.5),
        Column(_("Body system"), align="left", share=2),
        Column(_("Grade")), Column(_("Serious"), align="left"), Column(_("Onset"), align="left"),
        Column(_("End"), align="left"), *((Column(_("After infusion"), share=0.9),) if is_closed else ()),
        Column(_("Relationship"), align="left", share=1.15),
        *((Column(_("Action"), align="left", share=1.3),) if is_closed else ()),
        Column(_("Outcome"), align="left", share=1.1),
    )  # fmt: skip
    rows = tuple(
        Row((*who(p, letters), str(e.sequence), _as_counted(e),
             str(dictionary.told(e.counted_as[0])), str(e.grade), _("yes") if e.is_serious else _("no"),
             day_told(snapshot, p, e.began_on), _end_of(snapshot, e),
             *((str(e.infusion_number or "–"),) if is_closed else ()), str(e.get_relationship_display()),
             *((str(e.get_action_taken_display()),) if is_closed else ()), str(e.get_outcome_display())))
        for p, e in _listed(snapshot)
    )  # fmt: skip
    return Table("L3", _("All adverse events"), columns, rows, wide=True, empty=_("No adverse event."))

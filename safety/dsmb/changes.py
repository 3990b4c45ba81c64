"""What changed since the last report: C1 to C3, and what became of what the board asked for: C4. Both reports count by their
own cut-off, each as it was known then."""

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from patients.models import State
from safety.dsmb.counting import listed
from safety.dsmb.figures import Column, Row, Table
from trialsite.ctcae import term_told


def changes(snapshot, groups, letters):
    if snapshot.before is None:
        return (Table("C1", _("What changed since the last report"), (), (), empty=_("This is the first report.")),)
    is_closed = not any(group.is_open for group in groups)
    return (
        numbers(snapshot, groups),
        changed_events(snapshot, letters, is_closed=is_closed),
        changed_patients(snapshot, letters, is_closed=is_closed),
    )


def action_items(snapshot):
    """C4. What the board asked for in recommendations that were in effect at the cut-off, the open items first."""
    since = snapshot.before.entered_until if snapshot.before else None
    open_items, resolved = [], []
    for item in snapshot.action_items:
        is_resolved = item.resolved_at is not None and item.resolved_at.date() <= snapshot.cutoff
        is_late = item.due_on is not None and item.due_on < snapshot.cutoff and not is_resolved
        state = _("resolved") if is_resolved else _("overdue") if is_late else pgettext("action item", "open")
        news = ""
        if since and is_resolved and item.resolved_at > since:
            news = _("resolved since")
        elif since and item.recommendation.effective_at > since:
            news = pgettext("action item", "new")
        cells = (
            item.recommendation.met_on.isoformat(), item.text, item.responsible, item.due_on.isoformat() if item.due_on else "–",
            f"{state}, {item.resolved_at:%Y-%m-%d}" if is_resolved else state, item.resolution if is_resolved else "–",
        )  # fmt: skip
        (resolved if is_resolved else open_items).append(Row((*cells, news or "–") if since else cells))
    columns = (
        Column(_("Meeting"), align="left"), Column(_("Action item"), align="left", share=2),
        Column(_("Responsible"), align="left"), Column(_("Due"), align="left"), Column(_("State"), align="left"),
        Column(_("How it was resolved"), align="left", share=2),
        *((Column(_("Since the last report"), align="left"),) if since else ()),
    )  # fmt: skip
    return Table(
        "C4", _("Action items of the safety board"), columns, (*open_items, *resolved),
        empty=_("The board has asked for nothing."),
    )  # fmt: skip


def numbers(snapshot, groups):
    """C1. `then → now` of what the board counts."""
    then, now = snapshot.before.patients.values(), snapshot.patients.values()

    def events(is_such):
        return lambda p: sum(map(is_such, p.events))

    infused = [
        (_("Patients who received an infusion"), lambda p: bool(p.infusions)),
        (_("Infusions given"), lambda p: len(p.infusions)),
    ]
    infused = infused if snapshot.protocol.infusions else []
    wanted = [
        (_("Randomised patients"), lambda p: bool(p.randomised_on)),
        *infused,
        (_("Completed"), lambda p: p.end == State.COMPLETED),
        (_("Withdrawn or lost to follow-up, of the randomised"),
         lambda p: bool(p.randomised_on) and p.end in (State.WITHDRAWN, State.LOST)),
        (_("Died"), lambda p: p.has_died),
        (_("Adverse events"), events(lambda e: True)),
        (_("Related adverse events"), events(lambda e: e.counts_as_related)),
        (_("Adverse events of grade 3 or worse"), events(lambda e: e.grade >= 3)),
        (_("Serious adverse events"), events(lambda e: e.is_serious)),
        (_("Deviations from the protocol"), lambda p: len(p.deviations)),
    ]  # fmt: skip
    if all(not group.letter for group in groups):
        wanted.insert(0, (_("Screened patients"), lambda p: 1))
    rows = []
    for words, number_of in wanted:
        cells = []
        for group in groups:
            was, is_now = (sum(map(number_of, group.of(patients))) for patients in (then, now))
            cells.append(f"{was} → {is_now}")
        rows.append(Row((words, *cells)))
    return Table(
        "C1", _("What changed since the last report: numbers"),
        (Column("", align="left", share=1), *(Column(group.title) for group in groups)), tuple(rows),
        (_("The last report: cut-off %(cutoff)s, data entered until %(instant)s UTC. All events, also those before "
           "treatment.") % _about_before(snapshot),
         *(() if snapshot.before.is_released else (
             _("The board had not got that report: none had been released. It is the last one that was made."),
         ))),
    )  # fmt: skip


def _about_before(snapshot):
    before = snapshot.before
    return {"cutoff": before.cutoff, "instant": f"{before.entered_until:%Y-%m-%d %H:%M:%S}"}


def changed_events(snapshot, letters, *, is_closed):
    """C2. Every adverse event that is new, says something else, or is gone. What was done with the treatment is of the closed
    part alone."""
    then = {e.pk: (p, e) for p in snapshot.before.patients.values() for e in p.events}
    now = {e.pk: (p, e) for p in snapshot.patients.values() for e in p.events}
    rows = []
    for patient, event in now.values():
        if event.pk not in then:
            is_late = event.began_on <= snapshot.before.cutoff
            what = _("new, entered late") if is_late else _("new")
            rows.append((patient, event, what, listed(_facts(event))))
        elif differences := _differences(then[event.pk][1], event, is_open=not is_closed):
            rows.append((patient, event, _("changed"), listed(differences)))
    rows += [(p, e, _("no longer counted"), listed(_facts(e))) for pk, (p, e) in then.items() if pk not in now]
    rows.sort(key=lambda row: (row[0].number, row[1].began_on, row[1].sequence))
    group = (Column(_("Group"), align="left"),) if letters else ()
    return Table(
        "C2", _("What changed since the last report: adverse events"),
        (Column(_("Patient"), align="left"), *group, Column(_("No.")), Column(_("Event"), align="left", share=1.2),
         Column(_("Onset"), align="left"), Column(pgettext("what changed", "What"), align="left"), Column(_("Details"), align="left", share=2)),
        tuple(
            Row((p.number, *((letters.get(p.id, "–"),) if letters else ()), str(e.sequence), term_told(e.term),
                 e.began_on.isoformat(), what, details))
            for p, e, what, details in rows
        ),
        (_("New, entered late: it began before the cut-off of the last report, which did not know of it. No longer "
           "counted: entered in error, or the onset was corrected to a later day."),) if rows else (),
        empty=_("No adverse event is new or was changed."),
    )  # fmt: skip


def _facts(event):
    yield _("grade %(grade)s") % {"grade": event.grade}
    if event.is_serious:
        yield _("serious")
    yield str(event.get_relationship_display())
    yield str(event.get_outcome_display())


def _differences(was, event, *, is_open):
    """What says something else now, as `what: then → now`."""
    told = (
        (_("event"), lambda e: term_told(e.term)),
        (_("counted as"), lambda e: term_told(e.counted_as[1])),
        (_("grade"), lambda e: str(e.grade)),
        (_("serious"), lambda e: _("yes") if e.is_serious else _("no")),
        (_("relationship"), lambda e: str(e.get_relationship_display())),
        (_("sponsor's judgement"), lambda e: str(e.judgement.get_causality_display()) if e.judgement else "–"),
        (pgettext("adverse event", "expected"), lambda e: str(e.get_expectedness_display()) or "–"),
        (_("outcome"), lambda e: str(e.get_outcome_display())),
        *(() if is_open else ((_("action"), lambda e: str(e.get_action_taken_display())),)),
        (_("onset"), lambda e: e.began_on.isoformat()),
    )
    return [f"{words}: {of(was)} → {of(event)}" for words, of in told if of(was) != of(event)]


def changed_patients(snapshot, letters, *, is_closed):
    """C3. Who was randomised since, and who left. Why, in the site's own words, is not told beside a letter: such words may
    name the arm."""
    rows = []
    for patient in snapshot.patients.values():
        was = snapshot.before.patients.get(patient.id)
        if patient.randomised_on and not (was and was.randomised_on):
            rows.append((patient, _("randomised"), patient.randomised_on, ""))
        end_then = was.end if was else ""
        if patient.end != end_then:
            what = str(State(patient.end).label).lower() if patient.end else _("in follow-up again")
            rows.append((patient, what, patient.ended_on, patient.explanation.strip()))
    for patient in snapshot.before.patients.values():
        here = snapshot.patients.get(patient.id)
        if patient.randomised_on and not (here and here.randomised_on):
            rows.append((patient, _("no longer counted as randomised"), None, ""))
    group = (Column(_("Group"), align="left"),) if letters else ()
    return Table(
        "C3", _("What changed since the last report: patients"),
        (Column(_("Patient"), align="left"), *group, Column(pgettext("what changed", "What"), align="left", share=1 if is_closed else 0),
         Column(_("Date"), align="left"), *(() if is_closed else (Column(_("Explanation"), align="left", share=1),))),
        tuple(
            Row((p.number, *((letters.get(p.id, "–"),) if letters else ()), what, day.isoformat() if day else "–",
                 *(() if is_closed else (words,))))
            for p, what, day, words in rows
        ),
        empty=_("Nobody was randomised since, and nobody left."),
    )  # fmt: skip

"""The figures of a DSMB report, from a snapshot of the data: which tables its two parts have.

Numbers of tables, figures and listings are those of the NIH templates for single- and multi-site trials (24 March
2008). Both parts come from the same functions (people.py, events.py, measurements.py), given other groups of
patients: the open part has the one group of all, the closed part one for each letter and all of them."""

from safety.dsmb.counting import Group
from safety.dsmb.events import adverse_events, all_events, deaths, serious_events, worst_grades
from safety.dsmb.figures import CLOSED, OPEN, About, Figures, PartFigures
from safety.dsmb.measurements import laboratory_summary, trend_plot
from safety.dsmb.people import (
    baseline,
    data_entered,
    enrolment,
    enrolment_plot,
    exposure,
    screen_failures,
    status,
    visits_done,
)


def compute_figures(snapshot, arms) -> Figures:
    """Both parts, in the language that is spoken: the numbers are the same in each. Reads nothing."""
    return Figures(open=open_part(snapshot), closed=closed_part(snapshot, arms))


def open_part(snapshot) -> PartFigures:
    groups = [Group("", frozenset(snapshot.patients))]
    laboratory = {(test, visit, ""): summary for (test, visit), summary in snapshot.laboratory.items()}
    items = (
        status(snapshot, groups, screened=True),
        enrolment_plot(snapshot),
        enrolment(snapshot),
        screen_failures(snapshot),
        baseline(snapshot, groups),
        exposure(snapshot, groups),
        visits_done(snapshot),
        data_entered(snapshot),
        *safety_items(snapshot, groups, laboratory, {}),
    )
    return PartFigures(OPEN, about(snapshot, OPEN), tuple(filter(None, items)))


def closed_part(snapshot, arms) -> PartFigures:
    randomised = {patient.id for patient in snapshot.randomised}
    letters = {patient: letter for patient, letter in arms.letters.items() if patient in randomised}
    groups = [
        Group(letter, frozenset(patient for patient, its in letters.items() if its == letter))
        for letter in sorted(set(letters.values()))
    ]
    groups.append(Group("", frozenset(snapshot.patients)))
    totals = {(test, visit, ""): summary for (test, visit), summary in snapshot.laboratory.items()}
    items = (
        status(snapshot, groups, screened=False),
        baseline(snapshot, groups),
        exposure(snapshot, groups),
        *safety_items(snapshot, groups, arms.laboratory | totals, letters),
    )
    return PartFigures(CLOSED, about(snapshot, CLOSED), tuple(filter(None, items)))


def safety_items(snapshot, groups, laboratory, letters):
    return (
        adverse_events(snapshot, groups),
        worst_grades(snapshot, groups),
        serious_events(snapshot, groups, letters),
        deaths(snapshot, groups, letters),
        all_events(snapshot, letters),
        laboratory_summary(snapshot, groups, laboratory),
        trend_plot(snapshot, groups),
    )


def about(snapshot, part):
    trial = snapshot.protocol.trial
    randomised, treated = snapshot.randomised, snapshot.safety_population
    serious = [p for p in snapshot.patients.values() if any(event.is_serious for event in p.events)]
    died = [p for p in snapshot.patients.values() if p.has_died]
    treated_words = "Treated" if snapshot.protocol.infusions else "In the safety population"
    methods = [
        "What happened on or before the cut-off counts, as it had been entered at the instant on the title page. "
        "Data entered or corrected later are not in it.",
        "Baseline tables are of all randomised patients; tables of adverse events are of "
        f"{snapshot.population_words}. Each column heading says its N.",
        "A patient counts once for each term, with the worst grade. Terms are those that the investigator reported; "
        "they differ in more than capital letters. Grades are DAIDS 2.1.",
        "Medians and quartiles are interpolated (R type 7). A result beyond the limit of quantification counts as "
        "that limit.",
        "Days count from day 0, the day of the first infusion."
        if snapshot.protocol.infusions
        else "Days count from day 0, the day of randomisation.",
    ]
    if part == OPEN:
        methods.append("Nothing in this part is shown by treatment group.")
    else:
        methods.append(
            "Letters stand for the treatment groups. Which letter is which group is not in this report; the letters "
            "are the same in all reports of this trial."
        )
    return About(
        title=trial.title,
        short_title=trial.short_title,
        registry=trial.registry,
        sponsor=trial.sponsor,
        phase=trial.phase,
        protocol_version=", ".join(snapshot.versions),
        cutoff=snapshot.cutoff.isoformat(),
        entered_until=f"{snapshot.entered_until:%Y-%m-%d %H:%M:%S} UTC",
        event=snapshot.event,
        reported_on=snapshot.reported_on.isoformat(),
        key_figures=(
            ("Screened", str(len(snapshot.patients))),
            ("Randomised", f"{len(randomised)} of {trial.planned_patients} planned"),
            (treated_words, str(len(treated))),
            ("Patients with serious adverse events", str(len(serious))),
            ("Deaths", str(len(died))),
        ),
        methods=tuple(methods),
    )

"""The figures of a DSMB report, from a snapshot of the data: which tables its two parts have.

Numbers of tables, figures and listings are those of the NIH templates for single- and multi-site trials (24 March
2008); what they do not have goes on with the next numbers, or has letters of its own (C: what changed, DQ: data
quality). Both parts come from the same functions (people.py, events.py ...), given other groups of patients: the open
part has the one group of all, the closed part one for each letter and all of them."""

from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

from safety.dsmb.changes import action_items, changes
from safety.dsmb.counting import FEWEST, Group
from safety.dsmb.events import (
    adverse_events,
    all_events,
    by_stratum,
    deaths,
    infusion_reactions,
    rates,
    related_events,
    serious_events,
    worst_grades,
)
from safety.dsmb.figures import CLOSED, OPEN, About, Figures, PartFigures
from safety.dsmb.grades import abnormal_results, shifts, worst_results
from safety.dsmb.halts import halts, stopping_rules, unmaskings
from safety.dsmb.introduction import introduction
from safety.dsmb.measurements import laboratory_summary, trend_plot, viral_load
from safety.dsmb.people import (
    baseline,
    deviations,
    enrolment,
    enrolment_plot,
    exposure,
    screen_failures,
    status,
)
from safety.dsmb.quality import currency, panels_entered, visits_done, windows_met
from trialsite.languages import tag


def compute_figures(snapshot, arms) -> Figures:
    """Both parts, in the language that is spoken: the numbers are the same in each. Reads nothing."""
    return Figures(open=open_part(snapshot), closed=closed_part(snapshot, arms))


def open_part(snapshot) -> PartFigures:
    groups = [Group("", frozenset(snapshot.patients), is_open=True)]
    laboratory = {(test, visit, ""): summary for (test, visit), summary in snapshot.laboratory.items()}
    items = (
        *introduction(snapshot),
        *changes(snapshot, groups, {}),
        action_items(snapshot),
        status(snapshot, groups, screened=True),
        enrolment_plot(snapshot),
        trend_plot(snapshot, groups),
        enrolment(snapshot),
        screen_failures(snapshot),
        deviations(snapshot, groups),
        baseline(snapshot, groups),
        exposure(snapshot, groups),
        visits_done(snapshot),
        panels_entered(snapshot),
        windows_met(snapshot),
        currency(snapshot),
        *event_tables(snapshot, groups, laboratory_summary(snapshot, groups, laboratory)),
        worst_results(snapshot, groups),
        shifts(snapshot, groups),
        viral_load(snapshot, groups),
        by_stratum(snapshot, groups),
        *listings(snapshot, groups, {}),
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
        *introduction(snapshot),
        *changes(snapshot, groups, letters),
        action_items(snapshot),
        status(snapshot, groups, screened=False),
        trend_plot(snapshot, groups),
        baseline(snapshot, groups),
        exposure(snapshot, groups),
        *event_tables(snapshot, groups, laboratory_summary(snapshot, groups, arms.laboratory | totals)),
        infusion_reactions(snapshot, groups),
        worst_results(snapshot, groups),
        shifts(snapshot, groups),
        viral_load(snapshot, groups),
        stopping_rules(snapshot, arms.stopping),
        by_stratum(snapshot, groups),
        *listings(snapshot, groups, letters),
    )
    return PartFigures(CLOSED, about(snapshot, CLOSED), tuple(filter(None, items)))


def event_tables(snapshot, groups, laboratory):
    """T6 to T10, `laboratory` (T8) at its number."""
    return (
        adverse_events(snapshot, groups),
        worst_grades(snapshot, groups),
        laboratory,
        rates(snapshot, groups),
        related_events(snapshot, groups),
    )


def listings(snapshot, groups, letters):
    return (
        serious_events(snapshot, groups, letters),
        deaths(snapshot, groups, letters),
        all_events(snapshot, groups, letters),
        abnormal_results(snapshot, letters),
        unmaskings(snapshot, letters),
        halts(snapshot, is_open=any(group.is_open for group in groups)),
    )


def about(snapshot, part):
    trial = snapshot.protocol.trial
    randomised, treated = snapshot.randomised, snapshot.safety_population
    serious = [p for p in snapshot.patients.values() if any(event.is_serious for event in p.events)]
    died = [p for p in snapshot.patients.values() if p.has_died]
    has_infusions = bool(snapshot.protocol.infusions)
    methods = [
        _("What happened on or before the cut-off counts, as it had been entered at the instant on this page. Data "
          "entered or corrected later are not in it."),
        _("Baseline tables are of all randomised patients; tables of adverse events are of %(patients)s. Each column "
          "heading says its N.") % {"patients": snapshot.population_words},
        _("A patient counts once for each term, with the worst grade. Events count by the code in force, without one "
          "by the reported term; terms differ in more than capital letters."),
        _("Medians and quartiles are interpolated (R type 7). A result beyond the limit of quantification counts as "
          "that limit."),
        _("Days count from day 0, the day of the first infusion.") if has_infusions
        else _("Days count from day 0, the day of randomisation."),
    ]  # fmt: skip
    if part == OPEN:
        methods.append(
            _("Nothing in this part is shown by treatment group, nor how large the groups are. So that counts do not "
              "tell the groups either, curves of single patients are in the closed part alone, and results of fewer "
              "than %(n)s patients are not summed up.")
            % {"n": FEWEST}
        )  # fmt: skip
        if has_infusions:
            methods.append(
                _(
                    "What can tell the product is in the closed part alone: doses, interruptions, actions taken with the "
                    "treatment, reactions to infusions, which infusion an event came after, and why and of whom something was halted."
                )
            )
    else:
        methods.append(
            _("Letters stand for the treatment groups. Which letter is which group is not in this report; the letters "
              "are the same in all reports of this series.")
        )  # fmt: skip
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
        scales=", ".join(snapshot.scales),
        language=tag(get_language()),
        author=snapshot.author,
        key_figures=(
            (pgettext("number of patients", "Screened"), str(len(snapshot.patients))),
            (
                _("Randomised"),
                _("%(n)s of %(planned)s planned") % {"n": len(randomised), "planned": trial.planned_patients},
            ),
            (_("Treated") if has_infusions else _("In the safety population"), str(len(treated))),
            (_("Patients with serious adverse events"), str(len(serious))),
            (_("Deaths"), str(len(died))),
        ),
        methods=tuple(methods),
    )

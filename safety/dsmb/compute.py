"""The figures of a DSMB report, from a snapshot of the data: the only place that knows its tables.

Numbers of tables, figures and listings are those of the NIH templates for single- and multi-site trials (24 March
2008). Open and closed part come from the same functions, given other groups of patients: the open part has the
one group of all, the closed part one for each letter and all of them. Medians and quartiles are R's type 7."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import accumulate
from statistics import quantiles

from patients.eligibility import age_on, whole_months_between
from patients.models import Sex, State
from safety.dsmb.figures import CLOSED, OPEN, About, Column, Figures, Line, PartFigures, Plot, Row, Table
from safety.dsmb.snapshot import (
    TREND_TEST,
    UNSCHEDULED,
    PanelCounts,
    VisitCounts,
    baseline_tests,
    read_laboratory_by_letter,
    read_letters,
    read_snapshot,
)
from safety.models import ActionTaken

# more lines than these say less than a band of quartiles
MOST_LINES = 60
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Group:
    """Patients that are counted together: those of one letter, or all (letter "")."""

    letter: str
    patients: frozenset[int]

    @property
    def title(self):
        return self.letter or "Total"

    def of(self, patients):
        return [patient for patient in patients if patient.id in self.patients]


def compute_figures(cutoff: date, *, made_on: date | None = None, code_version: str = "") -> Figures:
    """Both parts as of the cut-off: what happened until then, as it is known now.

    Every arm must have its letter (safety.reports.draw_arm_letters). Runs 20 queries, however many patients
    there are; the caller sees to it that they see one instant (safety/tasks.py)."""
    snapshot = read_snapshot(cutoff, made_on or datetime.now(UTC).date())
    letters, laboratory = read_letters(), read_laboratory_by_letter(snapshot)
    return Figures(
        open=open_part(snapshot, code_version), closed=closed_part(snapshot, letters, laboratory, code_version)
    )


def open_part(snapshot, code_version="") -> PartFigures:
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
    return PartFigures(OPEN, about(snapshot, code_version, OPEN), tuple(filter(None, items)))


def closed_part(snapshot, letters, laboratory, code_version="") -> PartFigures:
    """`letters` by patient, `laboratory` by (test, visit, letter)."""
    randomised = {patient.id for patient in snapshot.randomised}
    letters = {patient: letter for patient, letter in letters.items() if patient in randomised}
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
        *safety_items(snapshot, groups, laboratory | totals, letters),
    )
    return PartFigures(CLOSED, about(snapshot, code_version, CLOSED), tuple(filter(None, items)))


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


# --- how numbers are written ------------------------------------------------------------------------------


def count(n, of):
    """`3 (42.9)`: the number and its percentage."""
    return f"{n} ({100 * n / of:.1f})" if of else str(n)


def parts(n, of):
    """`20/21 (95.2)`."""
    return f"{n}/{of} ({100 * n / of:.1f})" if of else "0/0"


def decimal_text(value, decimals):
    return str(Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def quartiles(values):
    """The three quartiles, R's type 7. Of one value all three are that value; `values` must not be empty."""
    if len(values) == 1:
        return [values[0]] * 3
    return quantiles(values, n=4, method="inclusive")


def median_text(values, decimals):
    """`168.5 [120.0–201.5]`: one digit more than was measured."""
    if not values:
        return "–"
    first, middle, third = (decimal_text(value, decimals + 1) for value in quartiles(values))
    return f"{middle} [{first}–{third}]"


def range_text(values, decimals):
    return f"{decimal_text(min(values), decimals)}–{decimal_text(max(values), decimals)}" if values else "–"


def upper_limit_of_none(n, confidence=CONFIDENCE):
    """The one-sided exact upper confidence limit of a rate when none of `n` patients had the event: with 95 %
    confidence 1 - 0.05^(1/n), for 7 patients 0.348 (docs of the trial's stopping rules give the same table)."""
    return 1 - (1 - confidence) ** (1 / n)


def none_of(what, groups, population):
    """A note for each group in which nobody had it: absence in few patients proves little."""
    notes = []
    for group in groups:
        n = len(group.of(population))
        if n and not any(what(patient) for patient in group.of(population)):
            name = "all patients together" if not group.letter else f"group {group.letter}"
            limit = f"{100 * upper_limit_of_none(n):.1f}"
            notes.append(
                f"None in {n} patients ({name}): the one-sided 95 % upper limit of the true rate is {limit} %."
            )
    return tuple(notes)


def columns_by_group(first, groups, population):
    """A column of words, and one for each group with its denominator."""
    headings = [f"{group.title} (N = {len(group.of(population))})" for group in groups]
    return (Column(first, align="left", share=1), *(Column(heading) for heading in headings))


def visit_order(snapshot):
    """{visit code: name} in the order of time, unscheduled visits last."""
    visits = sorted(snapshot.newest("visits").values(), key=lambda visit: visit.day)
    return {**{visit.code: visit.name for visit in visits}, UNSCHEDULED: "Unscheduled visits"}


# --- the title page ------------------------------------------------------------------------------------------


def about(snapshot, code_version, part):
    trial = snapshot.protocol.trial
    randomised, treated = snapshot.randomised, safety_population(snapshot)
    serious = [p for p in snapshot.patients.values() if any(event.is_serious for event in p.events)]
    died = [p for p in snapshot.patients.values() if has_died(p)]
    treated_words = "Treated" if snapshot.protocol.infusions else "In the safety population"
    methods = [
        "What happened on or before the cut-off counts, as it was known on the date of the report. Data entered or "
        "corrected later are not in it.",
        "Baseline tables are of all randomised patients; tables of adverse events are of "
        f"{population_words(snapshot)}. Each column heading says its N.",
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
        made_on=snapshot.made_on.isoformat(),
        code_version=code_version,
        key_figures=(
            ("Screened", str(len(snapshot.patients))),
            ("Randomised", f"{len(randomised)} of {trial.planned_patients} planned"),
            (treated_words, str(len(treated))),
            ("Patients with serious adverse events", str(len(serious))),
            ("Deaths", str(len(died))),
        ),
        methods=tuple(methods),
    )


def has_died(patient):
    return patient.end == State.DIED or any(event.is_fatal for event in patient.events)


# --- F1 to T2: who came, and who is still there -------------------------------------------------------------


def status(snapshot, groups, *, screened):
    """F1. Of the screened, and of the randomised by group."""
    rows = []
    everybody, randomised = list(snapshot.patients.values()), snapshot.randomised
    if screened:
        before = [p for p in everybody if not p.randomised_on]
        places = (
            ("In screening", lambda p: not p.end and not p.was_eligible),
            ("Eligible, not yet randomised", lambda p: not p.end and p.was_eligible),
            ("Screen failure", lambda p: p.end == State.SCREEN_FAILED),
            ("Withdrew before randomisation", lambda p: p.end == State.WITHDRAWN),
            ("Died before randomisation", lambda p: p.end == State.DIED),
        )
        rows.append(Row(("Screened", str(len(everybody))), "total"))
        for words, is_there in places:
            rows.append(Row((words, count(sum(map(is_there, before)), len(everybody))), "inner"))
    numbers = [group.of(randomised) for group in groups]
    rows.append(Row(("Randomised", *(str(len(patients)) for patients in numbers)), "total"))
    places = [
        ("In follow-up", lambda p: not p.end),
        ("Completed", lambda p: p.end == State.COMPLETED),
        ("Withdrawn", lambda p: p.end == State.WITHDRAWN),
        ("Lost to follow-up", lambda p: p.end == State.LOST),
        ("Died", lambda p: p.end == State.DIED),
    ]
    for words, is_there in places:
        cells = (count(sum(map(is_there, patients)), len(patients)) for patients in numbers)
        rows.append(Row((words, *cells), "inner"))
    if snapshot.protocol.infusions:
        cells = (count(sum(bool(p.infusions) for p in patients), len(patients)) for patients in numbers)
        rows.append(Row(("At least one infusion begun", *cells)))
    notes = ["Where each patient stood at the cut-off; n (%)."]
    if screened:
        notes.append("Percentages are of the screened, and below that line of the randomised patients.")
    columns = (Column("Status", align="left", share=1), *(Column(group.title) for group in groups))
    return Table("F1", "Status of the trial", columns, tuple(rows), tuple(notes))


def enrolment_plot(snapshot):
    """F2. The protocol gives no rate of enrolment, so the plan is its number of patients alone."""
    planned = snapshot.protocol.trial.planned_patients
    lines = []
    for label, days in (
        ("Screened", [p.screened_on for p in snapshot.patients.values()]),
        ("Randomised", [p.randomised_on for p in snapshot.randomised]),
    ):
        by_day = sorted(Counter(days).items())
        totals = accumulate(n for _, n in by_day)
        points = [(day.toordinal(), total) for (day, _), total in zip(by_day, totals, strict=True)]
        if points:
            lines.append(Line("count", label, (*points, (snapshot.cutoff.toordinal(), points[-1][1]))))
    if not lines:
        return None
    start, end = min(line.points[0][0] for line in lines), snapshot.cutoff.toordinal()
    lines.append(Line("target", f"Planned: {planned}", ((start, planned), (end, planned))))
    return Plot(
        "F2",
        "Enrolment, actual and planned",
        "enrolment",
        "Date",
        "Patients",
        f"Until {snapshot.cutoff} {len(snapshot.patients)} patients were screened and {len(snapshot.randomised)} "
        f"randomised; {planned} are planned.",
        tuple(lines),
        notes=("The protocol gives the number of patients that is planned, and no rate.",),
    )


def enrolment(snapshot):
    """T1. By site and month; months without patients are left out."""
    by_site = defaultdict(lambda: defaultdict(Counter))
    for patient in snapshot.patients.values():
        months = by_site[(patient.site, patient.site_name)]
        months[f"{patient.screened_on:%Y-%m}"]["screened"] += 1
        if patient.end == State.SCREEN_FAILED:
            months[f"{patient.ended_on:%Y-%m}"]["failed"] += 1
        if patient.randomised_on:
            months[f"{patient.randomised_on:%Y-%m}"]["randomised"] += 1

    def cells(counts):
        return tuple(str(counts[what]) for what in ("screened", "failed", "randomised"))

    rows, everything = [], Counter()
    for (code, name), months in sorted(by_site.items()):
        rows.append(Row((f"{code} {name}", "", "", ""), "heading"))
        site = Counter()
        for month, counts in sorted(months.items()):
            rows.append(Row((month, *cells(counts)), "inner"))
            site += counts
        rows.append(Row(("All months", *cells(site)), "inner"))
        everything += site
    if rows:
        rows.append(Row(("All sites", *cells(everything)), "total"))
    columns = (Column("Site and month", align="left", share=1), Column("Screened"), Column("Screen failures"),
               Column("Randomised"))  # fmt: skip
    return Table("T1", "Enrolment by site and month", columns, tuple(rows), empty="Nobody was screened.")


def screen_failures(snapshot):
    """T2. A patient may have failed several criteria."""
    failed = [p for p in snapshot.patients.values() if p.end == State.SCREEN_FAILED]
    criteria = {
        criterion.code: criterion.text
        for protocol in snapshot.versions.values()
        for criterion in protocol.eligibility.criteria
    }
    by_criterion, other = Counter(), Counter()
    for patient in failed:
        if patient.unmet and not patient.was_eligible:
            by_criterion.update(patient.unmet)
        else:
            other[patient.explanation.strip() or "Not stated"] += 1
    rows = [
        Row((f"{code}: {criteria.get(code, '')}".removesuffix(": "), count(by_criterion[code], len(failed))))
        for code in [*criteria, *sorted(set(by_criterion) - set(criteria))]
        if by_criterion[code]
    ]
    rows += [Row((f"Other: {words}", count(n, len(failed)))) for words, n in sorted(other.items())]
    return Table(
        "T2",
        "Reasons for screen failure",
        (Column("Reason", align="left", share=1), Column(f"Screen failures (N = {len(failed)})")),
        tuple(rows),
        ("n (%); a patient may have failed several criteria.",) if rows else (),
        empty="No screen failures.",
    )


# --- T4, T5: who they are, and what they were given ------------------------------------------------------------


def baseline(snapshot, groups):
    """T4. All randomised patients; results are the last ones on or before day 0."""
    patients = snapshot.randomised
    members = [group.of(patients) for group in groups]
    rows = []

    def words(title, label_of, labels):
        rows.append(Row((title, *[""] * len(groups)), "heading"))
        for key, label in labels:
            cells = (count(sum(label_of(p) == key for p in these), len(these)) for these in members)
            rows.append(Row((label, *cells), "inner"))

    def numbers(title, value_of, decimals, below=None):
        values = [[v for p in these if (v := value_of(p)) is not None] for these in members]
        if not any(values):
            return
        rows.append(Row((title, *[""] * len(groups)), "heading"))
        rows.append(Row(("n", *(str(len(these)) for these in values)), "inner"))
        rows.append(Row(("Median [Q1–Q3]", *(median_text(these, decimals) for these in values)), "inner"))
        rows.append(Row(("Min–max", *(range_text(these, decimals) for these in values)), "inner"))
        if below:
            label, is_below = below
            cells = (count(sum(map(is_below, these)), len(known)) for these, known in zip(members, values, strict=True))
            rows.append(Row((label, *cells), "inner"))

    if patients:
        sites = sorted({(p.site, f"{p.site} {p.site_name}") for p in patients})
        words("Site, n (%)", lambda p: p.site, sites)
        words("Sex, n (%)", lambda p: p.sex, [(sex.value, str(sex.label)) for sex in Sex])
        numbers("Age (years)", lambda p: age_on(p.birth_date, p.randomised_on), 0)
        numbers("Time on antiretroviral therapy (months)", months_on_art, 0)
    for test in baseline_tests(snapshot.protocol):
        below = None
        if "<" in test.operators:
            limits = {p.baseline[test.code] for p in patients if p.baseline.get(test.code, ("", ""))[1] == "<"}
            if limits:
                said = ", ".join(f"<{limit.normalize():f}" for limit, _ in sorted(limits))
                is_below = lambda p, code=test.code: p.baseline.get(code, ("", ""))[1] == "<"  # noqa: E731
                below = (f"Below the limit of quantification ({said}), n (%)", is_below)
        value_of = lambda p, code=test.code: p.baseline.get(code, (None,))[0]  # noqa: E731
        numbers(name_with_unit(test), value_of, test.decimals, below)
    return Table(
        "T4",
        "Demographic and key baseline characteristics",
        columns_by_group("Characteristic", groups, patients),
        tuple(rows),
        ("All randomised patients. The last result on or before day 0. Of an incomplete date of the first "
         "antiretroviral therapy the latest possible day counts.",) if rows else (),
        empty="Nobody was randomised.",
    )  # fmt: skip


def months_on_art(patient):
    """Whole months of antiretroviral therapy at randomisation; the fewest, when its start is incompletely known."""
    return whole_months_between(patient.art_since, patient.randomised_on).fewest if patient.art_since else None


def name_with_unit(test):
    return f"{test.name} ({test.unit})" if test.unit else test.name


def exposure(snapshot, groups):
    """T5. Infusions given of those due, doses given of those planned, interruptions and reactions."""
    patients, infusions = snapshot.randomised, snapshot.protocol.infusions
    members = [group.of(patients) for group in groups]
    rows = []

    def add(words, cell, kind="inner"):
        rows.append(Row((words, *map(cell, members)), kind))

    def heading(words):
        rows.append(Row((words, *[""] * len(groups)), "heading"))

    def given(these, number=None):
        return [i for p in these for i in p.infusions if number in (None, i.number)]

    def due(these, number=None):
        return sum(number in (None, n) for p in these for n in p.infusions_due)

    def describe(number):
        add("Given of due, n/N (%)", lambda these: parts(len(given(these, number)), due(these, number)))
        add(
            "Interrupted, n (%) of given",
            lambda these: count(sum(bool(i.interruptions) for i in given(these, number)), len(given(these, number))),
        )
        add(
            "With a reaction, n (%) of given",
            lambda these: count(sum(bool(i.reaction_grades) for i in given(these, number)), len(given(these, number))),
        )
        add(
            "Worst grade of a reaction",
            lambda these: str(max((g for i in given(these, number) for g in i.reaction_grades), default="–")),
        )

    if patients:
        followed = lambda these: [d for p in these if (d := days_followed(snapshot, p)) is not None]  # noqa: E731
        heading("Follow-up from day 0 (days)")
        add("Median [Q1–Q3]", lambda these: median_text(followed(these), 0))
        add("Min–max", lambda these: range_text(followed(these), 0))
    if patients and infusions:
        ratios = lambda these: [100 * i.dose_ratio for i in given(these) if i.dose_ratio is not None]  # noqa: E731
        heading("Infusions given, patients, n (%)")
        for number in range(infusions.count + 1):
            add(
                str(number),
                lambda these, number=number: count(sum(len(p.infusions) == number for p in these), len(these)),
            )
        for number in range(1, infusions.count + 1):
            heading(f"Infusion {number}")
            describe(number)
        heading("All infusions")
        describe(None)
        heading("Dose given of dose planned (%), each infusion")
        add("Median [Q1–Q3]", lambda these: median_text(ratios(these), 0))
        add("Min–max", lambda these: range_text(ratios(these), 1))
    return Table(
        "T5",
        "Exposure to the study treatment",
        columns_by_group("", groups, patients),
        tuple(rows),
        ("All randomised patients. An infusion is due when the last day of its visit window is past and the patient "
         "has not left before, or when it was given. The planned dose is that worked out before the infusion.",)
        if rows and infusions
        else (),
        empty="Nobody was randomised.",
    )  # fmt: skip


def days_followed(snapshot, patient):
    """Days from day 0 to the patient's end in the trial or the cut-off; None before day 0."""
    days = patient.day_of(min(filter(None, (patient.ended_on, snapshot.cutoff))))
    return days if days is not None and days >= 0 else None


# --- DQ: are the data there? ------------------------------------------------------------------------------------


def _by_site(snapshot, counts_by_site, empty, cells):
    sites = sorted({(p.site, p.site_name) for p in snapshot.patients.values()})
    rows = [Row((f"{code} {name}", *cells(counts_by_site.get(code, empty())))) for code, name in sites]
    return rows, [counts_by_site.get(code, empty()) for code, _ in sites]


def visits_done(snapshot):
    def cells(c):
        return (str(c.due), count(c.attended, c.due), count(c.missed, c.due), count(c.overdue, c.due),
                count(c.outside_window, c.attended))  # fmt: skip

    rows, counts = _by_site(snapshot, snapshot.visits_by_site, VisitCounts, cells)
    if rows:
        names = VisitCounts.__dataclass_fields__
        total = VisitCounts(**{name: sum(getattr(c, name) for c in counts) for name in names})
        rows.append(Row(("All sites", *cells(total)), "total"))
    columns = (Column("Site", align="left", share=1), Column("Visits due"), Column("Attended"), Column("Missed"),
               Column("Not entered"), Column("Outside window"))  # fmt: skip
    return Table(
        "DQ1", "Data quality: visits", columns, tuple(rows),
        ("n (%) of the visits due; outside window: of those attended. A visit is due when the last day of its window "
         "is past, or it took place; none is due to a patient who had left.",) if rows else (),
        empty="Nobody was screened.",
    )  # fmt: skip


def data_entered(snapshot):
    def cells(c):
        return (str(c.expected), count(c.entered, c.expected), count(c.not_done, c.expected),
                count(c.missing, c.expected), str(c.open_queries), str(c.answered_queries),
                median_text(sorted(c.query_days), 0).split(" ")[0])  # fmt: skip

    rows, counts = _by_site(snapshot, snapshot.panels_by_site, PanelCounts, cells)
    if rows:
        total = PanelCounts()
        for c in counts:
            for name in PanelCounts.__dataclass_fields__:
                setattr(total, name, getattr(total, name) + getattr(c, name))
        rows.append(Row(("All sites", *cells(total)), "total"))
    columns = (
        Column("Site", align="left", share=1), Column("Expected", "Panels of attended visits"),
        Column("Entered", "Panels of attended visits"), Column("Not done", "Panels of attended visits"),
        Column("Missing", "Panels of attended visits"), Column("Open", "Queries"), Column("Answered", "Queries"),
        Column("Median days", "Queries"),
    )  # fmt: skip
    return Table(
        "DQ2", "Data quality: panels and queries", columns, tuple(rows),
        ("n (%) of the panels expected. Queries that are not closed, about data until the cut-off; days from the "
         "query to the date of the report.",) if rows else (),
        empty="Nobody was screened.",
    )  # fmt: skip


# --- T6, T7, L1 to L3: what went wrong -------------------------------------------------------------------------


def safety_population(snapshot):
    """Patients who received at least the beginning of one infusion; in a trial without, all randomised."""
    if snapshot.protocol.infusions:
        return [p for p in snapshot.randomised if p.infusions]
    return snapshot.randomised


def population_words(snapshot):
    return "patients who received an infusion" if snapshot.protocol.infusions else "randomised patients"


def treated_since(patient):
    return patient.infusions[0].on if patient.infusions else patient.day_0


def events_under_treatment(patient):
    start = treated_since(patient)
    return [event for event in patient.events if start is None or event.began_on >= start]


def other_events_note(snapshot):
    population = {p.id for p in safety_population(snapshot)}
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
    for patient in safety_population(snapshot):
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
            f"Of interest: {interest.name}", lambda p, e, terms=terms: e.term.strip().casefold() in terms
        ))  # fmt: skip
    return kinds


def adverse_events(snapshot, groups):
    """T6. Patients with each event once, and the number of events."""
    population = safety_population(snapshot)
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
        (f"Of {population_words(snapshot)}; a patient counts once in each line.", *other_events_note(snapshot))
        if rows else other_events_note(snapshot),
        wide=len(groups) > 3, empty="Nobody was treated.",
    )  # fmt: skip


def worst_grades(snapshot, groups):
    """T7. Each patient once for each term, at the worst grade."""
    population = safety_population(snapshot)
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
    notes = none_of(lambda p: any(e.is_serious for e in events_under_treatment(p)), groups, safety_population(snapshot))
    return Table("L1", "Serious adverse events", columns, rows, notes, wide=True, empty="No serious adverse event.")


def deaths(snapshot, groups, letters):
    """L2."""
    columns = _listing_columns(
        letters, Column("Died on", align="left"), Column("Last infusion", align="left"),
        Column("Fatal adverse events (relationship)", align="left", share=1),
    )  # fmt: skip
    rows = []
    for patient in filter(has_died, snapshot.patients.values()):
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
    notes = none_of(has_died, groups, safety_population(snapshot))
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


# --- T8 and the trend: what was measured -----------------------------------------------------------------------


def laboratory_summary(snapshot, groups, laboratory):
    """T8. Every numeric test of the panels, by visit. `laboratory` by (test, visit, letter), "" for all."""
    columns = [Column("Test and visit", align="left", share=1)]
    randomised = snapshot.randomised
    for group in groups:
        heading = f"{group.title} (N = {len(group.of(randomised))})"
        columns += [Column("n", heading), Column("Median (min–max)", heading), Column("L/H/Q", heading)]
    visits = visit_order(snapshot)
    measured = defaultdict(set)
    for test, visit, _ in laboratory:
        measured[test].add(visit)
    rows = []
    for code, test in snapshot.newest("tests").items():
        if code not in measured or test.kind != "number":
            continue
        rows.append(Row((name_with_unit(test), *[""] * (len(columns) - 1)), "heading"))
        # the name of a visit that no protocol has any more is its code
        for visit in [v for v in (*visits, *sorted(measured[code] - set(visits))) if v in measured[code]]:
            cells = []
            for group in groups:
                cells += summary_cells(laboratory.get((code, visit, group.letter)), test.decimals)
            rows.append(Row((visits.get(visit, visit), *cells), "inner"))
    return Table(
        "T8", "Laboratory tests and vital signs by visit", tuple(columns), tuple(rows),
        ("Randomised patients. L, H: results below and above the reference range; Q: beyond the limit of "
         "quantification.",) if rows else (),
        wide=len(groups) > 2, empty="Nothing was measured in randomised patients.",
    )  # fmt: skip


def summary_cells(summary, decimals):
    if summary is None:
        return ["0", "–", "–"]
    median = decimal_text(summary.median, decimals + 1)
    lowest, highest = decimal_text(summary.lowest, decimals), decimal_text(summary.highest, decimals)
    return [str(summary.n), f"{median} ({lowest}–{highest})", f"{summary.low}/{summary.high}/{summary.beyond}"]


def trend_plot(snapshot, groups):
    """F3. Each patient's line (a band of quartiles when there are many), and the median of each group by visit."""
    test = snapshot.newest("tests").get(TREND_TEST)
    if test is None or not snapshot.trend:
        return None
    coded = [group for group in groups if group.letter] or groups
    days = {code: visit.day for code, visit in snapshot.newest("visits").items()}
    lines = []
    for group in coded:
        rows = [row for row in snapshot.trend if row[0] in group.patients]
        by_patient, by_visit = defaultdict(list), defaultdict(dict)
        for patient, visit, day, value in rows:
            by_patient[patient].append((day, float(value)))
            if visit in days:
                by_visit[visit][patient] = value
        if len({row[0] for row in snapshot.trend}) <= MOST_LINES:
            lines += [Line("patient", "", tuple(points), group.letter) for points in by_patient.values()]
        at = {days[visit]: quartiles(sorted(values.values())) for visit, values in by_visit.items()}
        counts = {days[visit]: len(values) for visit, values in by_visit.items()}
        if not any(line.role == "patient" for line in lines):
            for place in (0, 2):
                points = tuple((day, float(at[day][place])) for day in sorted(at))
                lines.append(Line("quartile", "", points, group.letter))
        points = tuple((day, float(at[day][1])) for day in sorted(at))
        label = f"Median, {group.title}" if group.letter else "Median"
        lines.append(Line("median", label, points, group.letter, tuple(counts[day] for day in sorted(at))))
    medians = [line for line in lines if line.role == "median" and line.points]
    ticks = sorted({day for line in medians for day, _ in line.points})
    words = "; ".join(
        f"{line.label} {line.points[0][1]:g} on day {line.points[0][0]} and {line.points[-1][1]:g} on day "
        f"{line.points[-1][0]}"
        for line in medians
    )
    return Plot(
        "F3", f"{test.name} over time", "trend", "Days from day 0", name_with_unit(test), f"{words}.", tuple(lines),
        tuple((day, str(day)) for day in ticks),
        ("Randomised patients. Thin lines: single patients, on the days of their visits; thick lines: medians by "
         "visit, drawn at the planned day.",) if any(line.role == "patient" for line in lines)
        else ("Randomised patients. Medians and quartiles by visit, drawn at the planned day.",),
    )  # fmt: skip

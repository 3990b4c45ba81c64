"""Who came, who they are, what they were given, and whether the data are there: F1 to T5 and DQ."""

from collections import Counter, defaultdict
from itertools import accumulate

from patients.eligibility import age_on, whole_months_between
from patients.models import Sex, State
from safety.dsmb.counting import columns_by_group, count, median_text, name_with_unit, parts, range_text
from safety.dsmb.figures import Column, Line, Plot, Row, Table
from safety.dsmb.snapshot import PanelCounts, VisitCounts, baseline_tests

# --- F1 to T2: who came, and who is still there


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


# --- T4, T5: who they are, and what they were given


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


# --- DQ: are the data there?


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

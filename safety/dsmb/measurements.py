"""What was measured: the laboratory summary (T8) and the CD4 cells over time (F3)."""

from collections import defaultdict

from safety.dsmb.counting import decimal_text, name_with_unit, quartiles
from safety.dsmb.figures import Column, Line, Plot, Row, Table
from safety.dsmb.snapshot import TREND_TEST

# more lines than these say less than a band of quartiles
MOST_LINES = 60


def laboratory_summary(snapshot, groups, laboratory):
    """T8. Every numeric test of the panels, by visit. `laboratory` by (test, visit, letter), "" for all."""
    columns = [Column("Test and visit", align="left", share=1)]
    randomised = snapshot.randomised
    for group in groups:
        heading = f"{group.title} (N = {len(group.of(randomised))})"
        columns += [Column("n", heading), Column("Median (min–max)", heading), Column("L/H/Q", heading)]
    visits = snapshot.visit_names()
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

"""What was measured: the laboratory summary (T8), the viral load (T14), and the CD4 cells over time (F3)."""

from collections import defaultdict
from itertools import pairwise

from django.utils.translation import gettext as _

from safety.dsmb.counting import (
    FEWEST,
    WITHHELD,
    count,
    decimal_text,
    heading_of,
    listed,
    name_with_unit,
    quartiles,
)
from safety.dsmb.figures import Column, Line, Plot, Row, Table
from safety.dsmb.snapshot import TREND_TEST, UNSCHEDULED, VIRAL_LOAD

# more lines than these say less than a band of quartiles
MOST_LINES = 60


def laboratory_summary(snapshot, groups, laboratory):
    """T8. Every numeric test of the panels, by visit. `laboratory` by (test, visit, letter), "" for all."""
    columns = [Column(_("Test and visit"), align="left", share=1)]
    randomised = snapshot.randomised
    for group in groups:
        heading = heading_of(group, randomised)
        columns += [Column("n", heading), Column(_("Median (min–max)"), heading), Column(_("L/H/Q"), heading)]
    visits = snapshot.visit_names()
    measured = defaultdict(set)
    for test, visit, _letter in laboratory:
        measured[test].add(visit)
    rows = []
    for code, test in _by_panel(snapshot).items():
        if code not in measured or test.kind != "number":
            continue
        rows.append(Row((name_with_unit(test), *[""] * (len(columns) - 1)), "heading"))
        # the name of a visit that no protocol has any more is its code
        for visit in [v for v in (*visits, *sorted(measured[code] - set(visits))) if v in measured[code]]:
            cells = []
            for group in groups:
                cells += summary_cells(laboratory.get((code, visit, group.letter)), test.decimals, group)
            rows.append(Row((visits.get(visit, visit), *cells), "inner"))
    return Table(
        "T8", _("Laboratory tests and vital signs by visit"), tuple(columns), tuple(rows),
        (_("Tests by panel, those panels first of which most tests are graded. Randomised patients. L, H: results below and above the reference range; Q: beyond the limit of "
           "quantification."), *withheld_note(groups)) if rows else (),
        wide=len(groups) > 2, empty=_("Nothing was measured in randomised patients."),
    )  # fmt: skip


def _by_panel(snapshot):
    """{code: test} by panel in the protocol's order, those panels first of which most tests are graded: blood counts and
    chemistry before what describes or explains. Tests of no panel come last."""
    tests = snapshot.newest("tests")

    def graded(panel):
        of_panel = [tests[code] for code in panel.tests if code in tests]
        return sum(bool(test.grade_rows) for test in of_panel) / max(len(of_panel), 1)

    panels = sorted(snapshot.newest("panels").values(), key=graded, reverse=True)
    order = [code for panel in panels for code in panel.tests if code in tests]
    return {code: tests[code] for code in dict.fromkeys([*order, *tests])}


def withheld_note(groups):
    if not any(group.is_open for group in groups):
        return ()
    return (_("%(sign)s: of fewer than %(n)s results nothing is summed up.") % {"sign": WITHHELD, "n": FEWEST},)


def summary_cells(summary, decimals, group):
    if summary is None:
        return ["0", "–", "–"]
    if group.withholds(summary.n):
        return [str(summary.n), WITHHELD, WITHHELD]
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
        if not group.is_open and len({row[0] for row in snapshot.trend}) <= MOST_LINES:
            lines += [Line("patient", "", tuple(points), group.letter) for points in by_patient.values()]
        by_visit = {visit: values for visit, values in by_visit.items() if not group.withholds(len(values))}
        at = {days[visit]: quartiles(sorted(values.values())) for visit, values in by_visit.items()}
        counts = {days[visit]: len(values) for visit, values in by_visit.items()}
        if not any(line.role == "patient" for line in lines):
            for place in (0, 2):
                points = tuple((day, float(at[day][place])) for day in sorted(at))
                lines.append(Line("quartile", "", points, group.letter))
        points = tuple((day, float(at[day][1])) for day in sorted(at))
        label = _("Median, %(group)s") % {"group": group.letter} if group.letter else _("Median")
        lines.append(Line("median", label, points, group.letter, tuple(counts[day] for day in sorted(at))))
    medians = [line for line in lines if line.role == "median" and line.points]
    ticks = sorted({day for line in medians for day, _value in line.points})
    words = listed(
        _("%(line)s %(first)g on day %(first_day)s and %(last)g on day %(last_day)s")
        % {
            "line": line.label, "first": line.points[0][1], "first_day": line.points[0][0],
            "last": line.points[-1][1], "last_day": line.points[-1][0],
        }
        for line in medians
    )  # fmt: skip
    if any(line.role == "patient" for line in lines):
        notes = (_("Randomised patients. Thin lines: single patients, on the days of their visits; thick lines: medians "
                   "by visit, drawn at the planned day."),)  # fmt: skip
    else:
        notes = (
            _("Randomised patients. Medians and quartiles by visit, drawn at the planned day."),
            *withheld_note(groups),
        )
    if not medians:
        return None
    return Plot(
        "F3", _("%(test)s over time") % {"test": test.name}, "trend", _("Days from day 0"), name_with_unit(test),
        f"{words}.", tuple(lines), tuple((day, str(day)) for day in ticks), notes,
    )  # fmt: skip


# copies/mL above which a viral load counts as a rebound of that size
REBOUNDS = (50, 200, 1000)


def viral_load(snapshot, groups):
    """T14. Patients above each limit: at any time after day 0, twice in a row, and by visit."""
    test = snapshot.newest("tests").get(VIRAL_LOAD)
    if test is None:
        return None
    randomised = snapshot.randomised
    of_patient, at_visit = defaultdict(list), defaultdict(lambda: defaultdict(dict))
    for patient, visit, _day, value in snapshot.viral_load:
        of_patient[patient].append(value)
        at_visit[visit][patient] = [value]
    columns = [Column("", align="left", share=1)]
    for group in groups:
        heading = heading_of(group, randomised)
        columns += [Column("n", heading), *(Column(f"> {limit}", heading) for limit in REBOUNDS)]

    def row(words, values_of, height=max):
        cells = []
        for group in groups:
            heights = [height(values) for p in group.of(randomised) if (values := values_of.get(p.id))]
            above = [sum(one > limit for one in heights) for limit in REBOUNDS]
            cells += [str(len(heights)), *(count(n, len(heights)) for n in above)]
        return Row((words, *cells))

    rows = []
    if of_patient:
        rows.append(row(_("Highest result after day 0"), of_patient))
        twice = {patient: values for patient, values in of_patient.items() if len(values) > 1}
        lower_of_two = lambda values: max(map(min, pairwise(values)))  # noqa: E731
        rows.append(row(_("Two results in a row after day 0"), twice, lower_of_two))
        rows.append(Row((_("By visit"), *[""] * (len(columns) - 1)), "heading"))
    for visit, name in snapshot.visit_names().items():
        if visit in at_visit and visit != UNSCHEDULED:
            rows.append(Row(row(name, at_visit[visit]).cells, "inner"))
    return Table(
        "T14", _("Rebound of the viral load: %(test)s") % {"test": name_with_unit(test)}, tuple(columns), tuple(rows),
        (_("Randomised patients with a result (n), and n (%) of them above each limit. A result below the limit of "
           "quantification counts as that limit."),) if rows else (),
        wide=len(groups) > 2, empty=_("Nothing was measured after day 0."),
    )  # fmt: skip

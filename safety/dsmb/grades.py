"""The grades of results: the worst after day 0 (T12), how they shifted (T13), and the results to be seen (L4)."""

from collections import Counter

from django.utils.translation import gettext as _

from safety.dsmb.counting import heading_of
from safety.dsmb.events import day_told, listing_columns, who
from safety.dsmb.figures import Column, Row, Table
from trialsite.ucum import unit_text

GRADES = (1, 2, 3, 4)


def _name(test, way):
    words = {"L": _("%(test)s, low"), "H": _("%(test)s, high")}
    return words[way] % {"test": test} if way else test


def _lines(snapshot):
    """(name, way, {patient: Graded}) of each test and direction in which anything was graded; of a test without any
    grade above 0 one line without direction."""
    for code, test in snapshot.newest("tests").items():
        of_test = snapshot.grades.get(code)
        if not of_test:
            continue
        ways = {way for g in of_test.values() for way in (*g.worst, *(g.baseline or {}))}
        for way in sorted(ways, reverse=True) or [""]:
            yield _name(test.name, way), way, of_test


def worst_results(snapshot, groups):
    """T12. Each patient once for each test and direction."""
    randomised = snapshot.randomised
    columns = [Column(_("Test"), align="left", share=1)]
    for group in groups:
        columns += [Column(title, heading_of(group, randomised), share=0.11) for title in ("n", *map(str, GRADES))]
    rows = []
    for name, way, of_test in _lines(snapshot):
        cells = []
        for group in groups:
            graded = [of_test[p.id] for p in group.of(randomised) if p.id in of_test]
            worst = Counter(g.worst.get(way, 0) for g in graded)
            cells += [str(len(graded)), *(str(worst[grade]) if worst[grade] else "·" for grade in GRADES)]
        rows.append(Row((name, *cells)))
    return Table(
        "T12", _("Worst grade of each test after day 0"), tuple(columns), tuple(rows),
        (_("Randomised patients with a graded result after day 0 (n), and how many of them had this as the worst grade; "
           "a dot is none. Scale: %(scales)s.") % {"scales": ", ".join(snapshot.scales).replace(" ", "\u00a0")},) if rows else (),
        wide=len(groups) > 3, empty=_("No result was graded."),
    )  # fmt: skip


def shifts(snapshot, groups):
    """T13. Grade at baseline by the worst grade after it, of tests in which anybody got worse."""
    randomised = {p.id: p for p in snapshot.randomised}
    columns = [Column(_("Test and grade at baseline"), align="left", share=1)]
    for group in groups:
        columns += [Column(str(grade), heading_of(group, randomised.values()), share=0.11) for grade in (0, *GRADES)]
    rows = []
    for name, way, of_test in _lines(snapshot):
        pairs = {
            patient: (None if g.baseline is None else g.baseline.get(way, 0), g.worst.get(way, 0))
            for patient, g in of_test.items()
        }
        if not any(worst > (before or 0) for before, worst in pairs.values()):
            continue
        rows.append(Row((name, *[""] * (len(columns) - 1)), "heading"))
        for before in sorted({before for before, _worst in pairs.values()}, key=lambda b: (b is None, b or 0)):
            cells = []
            for group in groups:
                worst = Counter(after for p, (b, after) in pairs.items() if b == before and p in group.patients)
                cells += [str(worst[grade]) if worst[grade] else "·" for grade in (0, *GRADES)]
            words = _("Not graded") if before is None else _("Grade %(grade)s") % {"grade": before}
            rows.append(Row((words, *cells), "inner"))
    return Table(
        "T13", _("Shift of grades: baseline by the worst after day 0"), tuple(columns), tuple(rows),
        (_("Randomised patients; columns are the worst grade after day 0, a dot is none. Baseline is the last result on "
           "or before day 0. Tests in which nobody got worse are left out."),) if rows else (),
        wide=len(groups) > 3, empty=_("In no test did a grade get worse."),
    )  # fmt: skip


def abnormal_results(snapshot, letters):
    """L4."""
    tests = snapshot.newest("tests")
    ways = {"L": _("low"), "H": _("high")}
    columns = listing_columns(
        letters, Column(_("Test"), align="left", share=2), Column(_("Collected"), align="left"),
        Column(_("Result"), align="left", share=1), Column(_("Reference range"), align="left", share=1),
        Column(_("Grade")), Column(_("At baseline")),
    )  # fmt: skip
    rows = tuple(
        Row((
            *who(snapshot.patients[one.patient], letters), tests[one.test].name if one.test in tests else one.test,
            day_told(snapshot, snapshot.patients[one.patient], one.on), f"{one.typed} {unit_text(one.unit)}".strip(), _range(one),
            f"{one.grade} {ways.get(one.direction, '')}".strip(),
            "–" if one.baseline_grade is None else str(one.baseline_grade),
        ))
        for one in snapshot.abnormal
    )  # fmt: skip
    return Table(
        "L4", _("Clinically significant abnormal results"), columns, rows,
        (_("Results after day 0 of grade 3 or worse, or of grade 2 where the grade at baseline was lower."),)
        if rows else (),
        wide=True, empty=_("No result of grade 3 or worse, none of grade 2 that was lower at baseline."),
    )  # fmt: skip


def _range(one):
    low, high = (f"{limit.normalize():f}" if limit is not None else None for limit in (one.low, one.high))
    if low and high:
        return f"{low}–{high}"
    return f"≥ {low}" if low else f"≤ {high}" if high else "–"

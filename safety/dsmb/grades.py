"""The grades of results: the worst after the treatment began (T12), how they shifted (T13), and the results to be seen (L4).

A grade that an investigator has still to confirm counts as it is proposed; a note says how many of those counted are so."""

from collections import Counter

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from safety.dsmb.counting import heading_of, with_more
from safety.dsmb.events import day_told, listing_columns, who
from safety.dsmb.figures import Column, Row, Table
from safety.dsmb.introduction import proposing_rule
from safety.dsmb.snapshot import Fate
from trialsite.ctcae import term_told
from trialsite.ucum import unit_text
from visits.grading import name_told_apart

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
        ways = {way for g in of_test.values() for way in (*g.worst, *(g.baseline.grades if g.baseline else ()))}
        for way in sorted(ways, reverse=True) or [""]:
            yield _name(name_told_apart(snapshot.protocol, test), way), way, of_test


def _unconfirmed_note(unconfirmed, counted):
    """How many of the grades counted are proposed and not yet confirmed; no note where none is."""
    if not unconfirmed:
        return ()
    words = ngettext(
        "%(n)s of the %(all)s grades above 0 that are counted here is proposed, and waits for an investigator's confirmation.",
        "%(n)s of the %(all)s grades above 0 that are counted here are proposed, and wait for an investigator's "
        "confirmation.",
        unconfirmed,
    )
    return (words % {"n": unconfirmed, "all": counted},)


def worst_results(snapshot, groups):
    """T12. Each patient once for each test and direction."""
    randomised = snapshot.randomised
    columns = [Column(_("Test"), align="left", share=1)]
    for group in groups:
        columns += [Column(title, heading_of(group, randomised), share=0.11) for title in ("n", *map(str, GRADES))]
    rows, counted, unconfirmed = [], 0, 0
    for name, way, of_test in _lines(snapshot):
        cells = []
        for group in groups:
            graded = [of_test[p.id] for p in group.of(randomised) if p.id in of_test]
            worst = Counter(g.worst.get(way, 0) for g in graded)
            cells += [str(len(graded)), *(str(worst[grade]) if worst[grade] else "·" for grade in GRADES)]
        rows.append(Row((name, *cells)))
        counted += sum(bool(g.worst.get(way)) for g in of_test.values())
        unconfirmed += sum(way in g.to_confirm for g in of_test.values())
    return Table(
        "T12", _("Worst grade of each test after the treatment began"), tuple(columns), tuple(rows),
        (_("Randomised patients with a graded result after the treatment began (n), and how many of them had this as the "
           "worst grade; a dot is none. Results of day 0 that were collected after the first infusion began count, as do "
           "vital signs while infusions run. Scale: %(scales)s.")
         % {"scales": ", ".join(snapshot.scales).replace(" ", "\u00a0")},
         *_unconfirmed_note(unconfirmed, counted)) if rows else (),
        wide=len(groups) > 3, empty=_("No result was graded."),
    )  # fmt: skip


def shifts(snapshot, groups):
    """T13. Grade at baseline by the worst grade after it, of tests in which anybody got worse."""
    randomised = {p.id: p for p in snapshot.randomised}
    columns = [Column(_("Test and grade at baseline"), align="left", share=1)]
    for group in groups:
        columns += [Column(str(grade), heading_of(group, randomised.values()), share=0.11) for grade in (0, *GRADES)]
    rows, counted, unconfirmed = [], 0, 0
    for name, way, of_test in _lines(snapshot):
        pairs = {
            patient: (None if g.baseline is None else g.baseline.grades.get(way, 0), g.worst.get(way, 0))
            for patient, g in of_test.items()
        }
        is_measured_before = any(before is not None for before, _worst in pairs.values())
        if not is_measured_before or not any(worst > (before or 0) for before, worst in pairs.values()):
            continue
        for patient, g in of_test.items():
            counted += sum(bool(grade) for grade in pairs[patient])
            unconfirmed += (way in g.to_confirm) + bool(
                g.baseline and way in g.baseline.grades and g.baseline.is_to_confirm
            )
        rows.append(Row((name, *[""] * (len(columns) - 1)), "heading"))
        for before in sorted({before for before, _worst in pairs.values()}, key=lambda b: (b is None, b or 0)):
            cells = []
            for group in groups:
                worst = Counter(after for p, (b, after) in pairs.items() if b == before and p in group.patients)
                cells += [str(worst[grade]) if worst[grade] else "·" for grade in (0, *GRADES)]
            words = _("Not graded") if before is None else _("Grade %(grade)s") % {"grade": before}
            rows.append(Row((words, *cells), "inner"))
    return Table(
        "T13", _("Shift of grades: baseline by the worst after the treatment began"), tuple(columns), tuple(rows),
        (_("Randomised patients; columns are the worst grade after the treatment began, a dot is none. Baseline is the last "
           "result before it. Tests in which nobody got worse, and those that nobody had at baseline, are in T12 alone."),
         *_unconfirmed_note(unconfirmed, counted)) if rows else (),
        wide=len(groups) > 3, empty=_("In no test did a grade get worse."),
    )  # fmt: skip


def abnormal_results(snapshot, letters):
    """L4. Of a reading while an infusion ran the closed part says at which minute; the open part tells no reactions."""
    tests = snapshot.newest("tests")
    ways = {"L": _("low"), "H": _("high")}
    columns = listing_columns(
        letters, Column(_("Test"), align="left", share=2), Column(_("Collected"), align="left", share=1.2 if letters else 0),
        Column(_("Result"), align="left", share=1), Column(_("Reference range"), align="left", share=1),
        Column(_("Grade")), Column(_("At baseline")), Column(_("Adverse event"), align="left", share=1.4),
    )  # fmt: skip

    def collected(one):
        day = day_told(snapshot, snapshot.patients[one.patient], one.on)
        if one.infusion is None or not letters:
            return day
        return _("%(day)s, infusion %(number)s, minute %(minute)s") % {
            "day": day, "number": one.infusion, "minute": one.minute,
        }  # fmt: skip

    rows = tuple(
        Row((
            *who(snapshot.patients[one.patient], letters), tests[one.test].name if one.test in tests else one.test,
            collected(one), f"{one.typed} {unit_text(one.unit)}".strip(), _range(one),
            f"{one.grade}{'?' if one.is_to_confirm else ''} {ways.get(one.direction, '')}".strip(),
            "–" if one.baseline_grade is None else str(one.baseline_grade), _became(one),
        ))
        for one in snapshot.abnormal
    )  # fmt: skip
    notes = ()
    if unconfirmed := sum(one.is_to_confirm for one in snapshot.abnormal):
        notes = (
            _("?: the grade is proposed, and waits for an investigator's confirmation (%(n)s of %(all)s results).")
            % {"n": unconfirmed, "all": len(rows)},
        )
    rule = proposing_rule(snapshot)
    return Table(
        "L4", _("Clinically significant abnormal results"), columns, rows, (rule, *notes) if rows else (),
        wide=True, empty=_("No such result. %(rule)s") % {"rule": rule},
    )  # fmt: skip


def _became(one):
    """What became of the proposal. Why it was judged to be none is free text of a site, and in neither part."""
    if one.fate is Fate.BELONGS:
        return with_more(term_told(one.event.term), _("no. %(number)s") % {"number": one.event.sequence})
    return {Fate.DECLINED: _("judged to be none"), Fate.WAITS: _("not judged yet"), None: "–"}[one.fate]


def _range(one):
    low, high = (f"{limit.normalize():f}" if limit is not None else None for limit in (one.low, one.high))
    if low and high:
        return f"{low}–{high}"
    return f"≥ {low}" if low else f"≤ {high}" if high else "–"

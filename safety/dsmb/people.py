"""Who came, who they are, and what they were given: F1 to T5."""

from collections import Counter, defaultdict
from itertools import accumulate

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from patients.eligibility import age_on, whole_months_between
from patients.models import Sex, State
from safety.dsmb.counting import columns_by_group, count, heading_of, median_text, name_with_unit, parts, range_text
from safety.dsmb.figures import Column, Line, Plot, Row, Table
from safety.dsmb.reading import baseline_tests
from safety.models import CATEGORIES

# --- F1 to T2: who came, and who is still there


def status(snapshot, groups, *, screened):
    """F1. Of the screened, and of the randomised by group."""
    rows = []
    everybody, randomised = list(snapshot.patients.values()), snapshot.randomised
    if screened:
        before = [p for p in everybody if not p.randomised_on]
        places = (
            (_("In screening"), lambda p: not p.end and not p.was_eligible),
            (_("Eligible, not yet randomised"), lambda p: not p.end and p.was_eligible),
            (_("Screen failure"), lambda p: p.end == State.SCREEN_FAILED),
            (_("Withdrew before randomisation"), lambda p: p.end == State.WITHDRAWN),
            (_("Died before randomisation"), lambda p: p.end == State.DIED),
        )
        rows.append(Row((pgettext("number of patients", "Screened"), str(len(everybody))), "total"))
        for words, is_there in places:
            rows.append(Row((words, count(sum(map(is_there, before)), len(everybody))), "inner"))
    numbers = [group.of(randomised) for group in groups]
    rows.append(Row((_("Randomised"), *(str(len(patients)) for patients in numbers)), "total"))
    places = [
        (_("In follow-up"), lambda p: not p.end),
        (_("Completed"), lambda p: p.end == State.COMPLETED),
        (_("Withdrawn"), lambda p: p.end == State.WITHDRAWN),
        (_("Lost to follow-up"), lambda p: p.end == State.LOST),
        (_("Died"), lambda p: p.end == State.DIED),
    ]
    for words, is_there in places:
        cells = (count(sum(map(is_there, patients)), len(patients)) for patients in numbers)
        rows.append(Row((words, *cells), "inner"))
    if snapshot.protocol.infusions:
        cells = (count(sum(bool(p.infusions) for p in patients), len(patients)) for patients in numbers)
        rows.append(Row((_("At least one infusion begun"), *cells)))
    notes = [_("Where each patient stood at the cut-off; n (%).")]
    if screened:
        notes.append(_("Percentages are of the screened, and below that line of the randomised patients."))
    columns = (Column(_("Status"), align="left", share=1), *(Column(group.title) for group in groups))
    return Table("F1", _("Status of the trial"), columns, tuple(rows), tuple(notes))


def enrolment_plot(snapshot):
    """F2. The protocol gives no rate of enrolment, so the plan is its number of patients alone."""
    planned = snapshot.protocol.trial.planned_patients
    lines = []
    for label, days in (
        (pgettext("number of patients", "Screened"), [p.screened_on for p in snapshot.patients.values()]),
        (_("Randomised"), [p.randomised_on for p in snapshot.randomised]),
    ):
        by_day = sorted(Counter(days).items())
        totals = accumulate(n for _day, n in by_day)
        points = [(day.toordinal(), total) for (day, _n), total in zip(by_day, totals, strict=True)]
        if points:
            lines.append(Line("count", label, (*points, (snapshot.cutoff.toordinal(), points[-1][1]))))
    if not lines:
        return None
    start, end = min(line.points[0][0] for line in lines), snapshot.cutoff.toordinal()
    lines.append(Line("target", _("Planned: %(n)s") % {"n": planned}, ((start, planned), (end, planned))))
    return Plot(
        "F2",
        _("Enrolment, actual and planned"),
        "enrolment",
        _("Date"),
        _("Patients"),
        _("Until %(day)s %(screened)s patients were screened and %(randomised)s randomised; %(planned)s are planned.")
        % {
            "day": snapshot.cutoff,
            "screened": len(snapshot.patients),
            "randomised": len(snapshot.randomised),
            "planned": planned,
        },
        tuple(lines),
        notes=(_("The protocol gives the number of patients that is planned, and no rate."),),
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
        rows.append(Row((_("All months"), *cells(site)), "inner"))
        everything += site
    if rows:
        rows.append(Row((_("All sites"), *cells(everything)), "total"))
    columns = (Column(_("Site and month"), align="left", share=1), Column(pgettext("number of patients", "Screened")), Column(_("Screen failures")),
               Column(_("Randomised")))  # fmt: skip
    return Table("T1", _("Enrolment by site and month"), columns, tuple(rows), empty=_("Nobody was screened."))


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
            other[patient.explanation.strip() or _("Not stated")] += 1
    rows = [
        Row((f"{code}: {criteria.get(code, '')}".removesuffix(": "), count(by_criterion[code], len(failed))))
        for code in [*criteria, *sorted(set(by_criterion) - set(criteria))]
        if by_criterion[code]
    ]
    rows += [
        Row((_("Other: %(words)s") % {"words": words}, count(n, len(failed)))) for words, n in sorted(other.items())
    ]
    return Table(
        "T2",
        _("Reasons for screen failure"),
        (Column(_("Reason"), align="left", share=1), Column(f"{_('Screen failures')} (N = {len(failed)})")),
        tuple(rows),
        (_("n (%); a patient may have failed several criteria."),) if rows else (),
        empty=_("No screen failures."),
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
        rows.append(Row((_("Median [Q1–Q3]"), *(median_text(these, decimals) for these in values)), "inner"))
        rows.append(Row((_("Min–max"), *(range_text(these, decimals) for these in values)), "inner"))
        if below:
            label, is_below = below
            cells = (count(sum(map(is_below, these)), len(known)) for these, known in zip(members, values, strict=True))
            rows.append(Row((label, *cells), "inner"))

    if patients:
        sites = sorted({(p.site, f"{p.site} {p.site_name}") for p in patients})
        words(_("Site, n (%)"), lambda p: p.site, sites)
        words(_("Sex, n (%)"), lambda p: p.sex, [(sex.value, str(sex.label)) for sex in Sex])
        numbers(_("Age (years)"), lambda p: age_on(p.birth_date, p.randomised_on), 0)
        numbers(_("Time on antiretroviral therapy (months)"), months_on_art, 0)
    for test in baseline_tests(snapshot.protocol):
        below = None
        if "<" in test.operators:
            limits = {p.baseline[test.code] for p in patients if p.baseline.get(test.code, ("", ""))[1] == "<"}
            if limits:
                said = ", ".join(f"<{limit.normalize():f}" for limit, _operator in sorted(limits))
                is_below = lambda p, code=test.code: p.baseline.get(code, ("", ""))[1] == "<"  # noqa: E731
                below = (_("Below the limit of quantification (%(limits)s), n (%%)") % {"limits": said}, is_below)
        value_of = lambda p, code=test.code: p.baseline.get(code, (None,))[0]  # noqa: E731
        numbers(name_with_unit(test), value_of, test.decimals, below)
    return Table(
        "T4",
        _("Demographic and key baseline characteristics"),
        columns_by_group(_("Characteristic"), groups, patients),
        tuple(rows),
        (_("All randomised patients. The last result on or before day 0. Of an incomplete date of the first "
           "antiretroviral therapy the latest possible day counts."),) if rows else (),
        empty=_("Nobody was randomised."),
    )  # fmt: skip


def months_on_art(patient):
    """Whole months of antiretroviral therapy at randomisation; the fewest, when its start is incompletely known."""
    return whole_months_between(patient.art_since, patient.randomised_on).fewest if patient.art_since else None


def exposure(snapshot, groups):
    """T5. Infusions given of those due, doses given of those planned, and interruptions. The open part tells only
    what does not depend on the product."""
    patients, infusions = snapshot.randomised, snapshot.protocol.infusions
    members = [group.of(patients) for group in groups]
    is_open = any(group.is_open for group in groups)
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
        add(_("Given of due, n/N (%)"), lambda these: parts(len(given(these, number)), due(these, number)))
        if not is_open:
            add(
                _("Interrupted, n (%) of given"),
                lambda these: count(
                    sum(bool(i.interruptions) for i in given(these, number)), len(given(these, number))
                ),
            )

    if patients:
        followed = lambda these: [d for p in these if (d := days_followed(snapshot, p)) is not None]  # noqa: E731
        heading(_("Follow-up from day 0 (days)"))
        add(_("Median [Q1–Q3]"), lambda these: median_text(followed(these), 0))
        add(_("Min–max"), lambda these: range_text(followed(these), 0))
    if patients and infusions:
        ratios = lambda these: [100 * i.dose_ratio for i in given(these) if i.dose_ratio is not None]  # noqa: E731
        heading(_("Infusions given, patients, n (%)"))
        for number in range(infusions.count + 1):
            add(
                str(number),
                lambda these, number=number: count(sum(len(p.infusions) == number for p in these), len(these)),
            )
        for number in range(1, infusions.count + 1):
            heading(_("Infusion %(number)s") % {"number": number})
            describe(number)
        heading(_("All infusions"))
        describe(None)
        if not is_open:
            heading(_("Dose given of dose planned (%), each infusion"))
            add(_("Median [Q1–Q3]"), lambda these: median_text(ratios(these), 0))
            add(_("Min–max"), lambda these: range_text(ratios(these), 1))
            add(_("Below 80 %, n (%)"), lambda these: count(sum(r < 80 for r in ratios(these)), len(ratios(these))))
    notes = ()
    if rows and infusions:
        notes = (
            _("All randomised patients. An infusion is due when the last day of its visit window is past and the "
              "patient has not left before, or when it was given. The planned dose is that worked out before the "
              "infusion."),
        )  # fmt: skip
        if is_open:
            notes += (_("Doses, interruptions and reactions can tell the product: they are in the closed part alone."),)
    return Table(
        "T5",
        _("Exposure to the study treatment"),
        columns_by_group("", groups, patients),
        tuple(rows),
        notes,
        empty=_("Nobody was randomised."),
    )


def days_followed(snapshot, patient):
    """Days from day 0 to the patient's end in the trial or the cut-off; None before day 0."""
    days = patient.day_of(min(filter(None, (patient.ended_on, snapshot.cutoff))))
    return days if days is not None and days >= 0 else None


# --- T3: deviations from the protocol


def deviations(snapshot, groups):
    """T3. Patients with a deviation once in each line, and the number of deviations."""
    everybody = list(snapshot.patients.values())
    found = Counter(deviation.category for patient in everybody for deviation in patient.deviations)
    rows = []

    def add(words, is_such, kind="inner"):
        cells = []
        for group in groups:
            these = [[d for d in p.deviations if is_such(d)] for p in group.of(everybody)]
            cells += [count(sum(map(bool, these)), len(these)), str(sum(map(len, these)))]
        rows.append(Row((words, *cells), kind))

    if found:
        add(_("Any deviation"), lambda d: True, "total")
        add(_("Important"), lambda d: d.is_important)
        add(_("With an effect on the patient's safety"), lambda d: bool(d.effect_on_safety.strip()))
        add(_("Corrective action not completed"), lambda d: d.is_open)
        rows.append(Row((_("By category"), *[""] * (2 * len(groups))), "heading"))
        for category, words in CATEGORIES.items():
            if found[category]:
                add(str(words), lambda d, category=category: d.category == category)
    columns = [Column(_("Deviation"), align="left", share=1)]
    for group in groups:
        heading = heading_of(group, everybody)
        columns += [Column(_("Patients, n (%)"), heading), Column(_("Deviations"), heading)]
    return Table(
        "T3", _("Deviations from the protocol"), tuple(columns), tuple(rows),
        (_("All screened patients. Deviations that happened on or before the cut-off; those entered in error are left "
           "out."),) if rows else (),
        empty=_("No deviation was recorded."),
    )  # fmt: skip

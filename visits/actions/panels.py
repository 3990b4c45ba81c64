"""Results, a whole panel at a time."""

from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import next_version, refuse_when_held
from trialsite.audit import acting
from trialsite.reasons import because
from trialsite.saving import Refused, check_version, require_reason
from visits import edit_checks, ranges, results
from visits.actions.grades import (
    Grading,
    ask_for_regrading,
    comes_before,
    first_infusion_began,
    grade_anew,
    held_as_stored,
    is_asked_elsewhere,
    is_baseline_of,
    ungraded,
)
from visits.actions.plan import mark_attended, move_panel, plan_again_when_empty, refuse_impossible_day
from visits.actions.queries import not_asked_yet, raise_check_queries
from visits.actions.refusals import refused_by
from visits.actions.reviews import marks_void
from visits.contents import columns_of
from visits.grading import asked_for
from visits.laboratories import laboratories_for, ranges_for
from visits.models import GRADE_COLUMNS, Measurement, Missing, PanelRecord, PanelState, Visit, VisitState
from visits.units import rounded, unit_of

AS_IT_STANDS = object()


def lock_panel(panel, version=None):
    """The panel's row, its visit's and its patient's, locked until the end of the transaction; refuses when they are
    held. Raises Stale when `version` is not current."""
    panels = PanelRecord.objects.select_for_update(of=("patient", "visit", "self"))
    locked = panels.select_related("visit", "patient__site", "laboratory").get(pk=panel.pk)
    check_version(locked, version)
    locked.visit.patient = locked.patient
    refuse_when_held(locked.patient, locked.visit)
    return locked


def record_panel(
    *, panel, values, collected_on, collected_at=None, comment="", missing=None, units=None,
    laboratory=AS_IT_STANDS, confirmed=(), asked=None, version, reason="", by,
):  # fmt: skip
    """Save the whole panel: `values` are what was typed, by test code.

    Impossible values are refused; implausible ones are saved and raise a query, unless the person confirms them:
    `confirmed` are the (check, test) that were looked up in the source. A later change needs a reason, unless it only adds
    what was still to come. Fields that are
    not in `values` stay as they are. `missing` says by test code why a value is not there (Missing); what the form asks
    for and nobody explains is still to come, and the panel then counts as begun. `units` are the units in which values
    were reported, by test code; what is not named there stays in its unit, and is in the protocol's when it is new.
    `laboratory` measured it, None for none that is known: its ranges on the day of collection are stored with the
    results, and taken anew when the laboratory or that day is changed. `asked` is what checks said while the form was filled in: what was typed
    then, by (check, test)."""
    is_explained = bool(reason.strip())
    reason = reason if is_explained else because("what was still to come" if panel.was_touched else "first entry")
    with acting(by, reason):
        panel = lock_panel(panel, version)
        patient = panel.patient
        refuse_impossible_day(patient, collected_on, "collected_on")
        tests = panel.protocol.tests_of(panel.code)
        there, elsewhere = _results_of(panel, tests)
        before = {code: columns_of(m) for code, m in there.items()}
        laboratory = _laboratory_of(panel, laboratory)
        units = {code: m.reported_unit for code, m in there.items() if m.typed} | (units or {})
        read = _read(tests, {code: m.typed for code, m in there.items() if not m.is_computed} | values, units)
        lacking = _lacking(tests, read, {code: m.missing_because for code, m in there.items()} | (missing or {}))
        around = _surroundings(panel, tests, elsewhere, collected_on, collected_at)
        if panel.was_touched and not is_explained:
            about = {"collected_on": collected_on, "collected_at": collected_at, "comment": comment,
                     "laboratory": laboratory}  # fmt: skip
            if not _only_adds(panel, about, there, read, lacking, units):
                raise Refused({"reason": [_("Write why the entry is changed.")]})
        is_moved = (panel.collected_on, panel.collected_at) != (collected_on, collected_at)
        problems = _look_at(panel, tests, read, collected_on, around)
        if not any(read.get(test.code) for test in tests if not test.computed) and set(lacking.values()) <= {PENDING}:
            raise Refused(_("Nothing is entered. If the panel was not done, say so and why."))
        if hard := [problem for problem in problems if problem.hard]:
            raise refused_by(hard, patient)
        now = timezone.now()
        changed = store_results(
            {(test.code, None): (test, read.get(test.code)) for test in tests},
            {(code, None): m for code, m in there.items()},
            owner={"panel": panel}, patient=patient, collected_on=collected_on, lacking=lacking,
            held=ranges_for(panel, laboratory, collected_on), all_anew=(laboratory.pk if laboratory else None) != panel.laboratory_id,
            grading=Grading.of(panel.protocol, patient, collected_on, read, around),
        )  # fmt: skip
        panel.laboratory = laboratory
        move_panel(panel, PanelState.BEGUN if PENDING in lacking.values() else PanelState.ENTERED)
        panel.collected_on, panel.collected_at = collected_on, collected_at
        panel.comment, panel.not_done_because = comment, ""
        panel.entered_by, panel.entered_at = by, now
        next_version(
            panel, "state", "collected_on", "collected_at", "comment", "not_done_because", "laboratory", "entered_by",
            "entered_at",
        )  # fmt: skip
        if panel.version > 2:  # a first entry has no mark
            touched = {code for code, m in there.items() if columns_of(m) != before[code]}
            marks_void(record=panel, fields=touched, reason=reason, by=by)
        mark_attended(panel.visit, collected_on)
        raise_check_queries(
            problems, changed, read=read, patient=patient, panel=panel, whole=collected_on.isoformat(), confirmed=confirmed,
            asked=asked, by=by,
        )  # fmt: skip
        if (around.is_baseline and (changed or is_moved)) or is_asked_elsewhere(panel.protocol, tests, changed):
            ask_for_regrading(patient)
    return panel


def preview_panel(*, panel, values, units=None, missing=None, collected_on=None):
    """What saving these values would ask or refuse, without a lock and without a write: a list of Problem.

    The arguments are those of `record_panel`. What cannot be read as a result is a hard problem at its test, a day on
    which nothing can have been done one at "collected_on"; both are then left out of what is compared. What an open
    query asks already, and what was confirmed, is not asked again. `key_of` gives what `record_panel` takes as
    `confirmed` and `asked`."""
    return preview_panel_and_grades(
        panel=panel, values=values, units=units, missing=missing, collected_on=collected_on
    )[0]


def preview_panel_and_grades(
    *, panel, values, units=None, missing=None, collected_on=None, collected_at=None, held=()
):  # fmt: skip
    """The same, and by test code the grades (`visits.grading.Grade`) of results held against the ranges `held`."""
    tests = panel.protocol.tests_of(panel.code)
    there, elsewhere = _results_of(panel, tests)
    typed = {code: m.typed for code, m in there.items() if not m.is_computed} | values
    units = {code: m.reported_unit for code, m in there.items() if m.typed} | (units or {})
    read, refused = {}, []
    for test in tests:
        try:
            read |= _read([test], typed, units)
        except Refused as refusal:
            refused += [edit_checks.Problem("unreadable", test.code, text, hard=True)
                        for texts in refusal.errors.values() for text in texts]  # fmt: skip
            read[test.code] = None
    on = collected_on or panel.collected_on or panel.visit.on
    try:
        refuse_impossible_day(panel.patient, on, "collected_on")
    except Refused as refusal:
        refused += [edit_checks.Problem("day", "collected_on", text, hard=True)
                    for texts in refusal.errors.values() for text in texts]  # fmt: skip
    around = _surroundings(panel, tests, elsewhere, on, collected_at)
    problems = _look_at(panel, tests, read, on, around)
    changed = {(code, None) for code, result in read.items() if _is_another(there.get(code), result, units.get(code))}
    soft = not_asked_yet([p for p in problems if not p.hard], changed, read=read, panel=panel, whole=on.isoformat())
    grading = Grading.of(panel.protocol, panel.patient, on, read, around)
    about = {"sex": panel.patient.sex, "age": panel.patient.age_on(on), "on": on}
    grades = {
        test.code: grading.standing(
            test, result, ranges.held_against(held, test, result.unit, **about), there.get(test.code)
        )
        for test in tests if test.grade_rows and (result := read.get(test.code))
    }  # fmt: skip
    return refused + [p for p in problems if p.hard] + soft, grades


def _is_another(m, result, unit):
    """Does a result, reported in this unit, differ from the measurement that is stored?"""
    if m is None or result is None or m.typed != result.typed:
        return (m.typed if m else "") != (result.typed if result else "")
    return unit not in (None, m.reported_unit)


PENDING = Missing.PENDING


def _look_at(panel, tests, read, collected_on, around):
    """The problems of the results that were read, to which those that are computed are added."""
    for test in tests:
        if test.computed:
            read[test.code] = results.compute(test, around.same_visit | read)
    return edit_checks.find_problems(panel.protocol, panel.code, read, around=around, on=collected_on)


def _surroundings(panel, tests, elsewhere, collected_on, collected_at):
    """What the edit checks and the grades may ask for beside this panel; `elsewhere` are the results of `_results_of`."""
    visit = panel.visit
    here, earlier, baseline, is_baseline = _told_apart(panel, tests, elsewhere, collected_on, collected_at)
    others = Visit.objects.filter(patient=panel.patient_id, is_scheduled=True, state=VisitState.ATTENDED)
    taken_place = others.exclude(pk=visit.pk).values_list("planned_on", "attended_on", "code")
    return edit_checks.Surroundings(
        sex=panel.patient.sex,
        previous=earlier,
        same_visit=here,
        baseline=baseline,
        is_baseline=is_baseline,
        visit=visit.code,
        planned_on=visit.planned_on if visit.is_scheduled else None,
        window=(visit.earliest, visit.latest) if visit.is_scheduled else None,
        visit_on=visit.attended_on,
        is_screening=visit.day is not None and visit.day < 0,
        other_visits=tuple(taken_place) if visit.is_scheduled else (),
    )


def _only_adds(panel, about, there, read, lacking, units):
    """Does the entry leave alone what stood there, so that it only adds what was still to come?"""
    if panel.state != PanelState.BEGUN:
        return False
    if any(getattr(panel, name) not in (value, None, "") for name, value in about.items()):
        return False
    stood = [m for m in there.values() if not m.is_computed and (m.typed or m.missing_because not in ("", PENDING))]
    return not any(
        _is_another(m, read.get(m.test), units.get(m.test)) or m.missing_because != lacking.get(m.test, "")
        for m in stood
    )


def _lacking(tests, read, because):
    """Why values are not there, by test code: as `because` says, else still to come where the form asks for one.

    Raises Refused where there is both a value and a reason why there is none, or no such reason."""
    lacking, errors = {}, {}
    for test in tests:
        why = because.get(test.code) or ""
        if test.computed:
            continue
        if why and why not in Missing.values:
            errors[test.code] = [_("Say why the value is missing with one of the reasons of the list.")]
        elif why and read.get(test.code):
            if why != PENDING:
                errors[test.code] = [_("There is a value, and a reason why there is none. Take one of them out.")]
        elif not read.get(test.code) and (why or test.required):
            lacking[test.code] = why or PENDING
    if errors:
        raise Refused(errors)
    return lacking


def _laboratory_of(panel, laboratory):
    if laboratory is AS_IT_STANDS:
        return panel.laboratory
    is_another = laboratory is not None and laboratory.pk != panel.laboratory_id
    if is_another and laboratory not in laboratories_for(panel):
        raise Refused({"laboratory": [_("This laboratory does not measure this panel for the site.")]})
    return laboratory


def mark_panel_not_done(*, panel, not_done_because, version, reason="", by):
    """Record that a panel was not done, and why. Entered values stay in the history only when they are taken back."""
    with acting(by, reason or because("not done: %(why)s", why=not_done_because)):
        panel = lock_panel(panel, version)
        errors = {}
        if not not_done_because.strip():
            errors["not_done_because"] = [_("Write why the panel was not done.")]
        if errors:
            raise Refused(errors)
        was_touched = panel.was_touched
        move_panel(panel, PanelState.NOT_DONE)
        if was_touched:
            require_reason(reason)
        panel.not_done_because = not_done_because
        panel.entered_by, panel.entered_at = by, timezone.now()
        next_version(panel, "state", "not_done_because", "entered_by", "entered_at")
        if panel.version > 2:
            marks_void(record=panel, reason=reason or because("not done: %(why)s", why=not_done_because), by=by)
    return panel


def clear_panel(*, panel, version, reason, by):
    """Take back an entry made by mistake: the panel is expected again, the values stay in the audit trail."""
    with acting(by, reason):
        panel = lock_panel(panel, version)
        if not reason.strip():
            raise Refused({"reason": [_("Write why the entry is taken back.")]})
        panel.measurements.exclude(typed="", missing_because="").update(
            typed="", operator="", value=None, text="", flag="", missing_because="", version=F("version") + 1,
            low=None, high=None, reported_unit="", reported_low=None, reported_high=None, reference=None, **ungraded(),
        )  # fmt: skip
        move_panel(panel, PanelState.EXPECTED)
        panel.not_done_because, panel.laboratory = "", None
        panel.collected_on = panel.collected_at = None
        panel.entered_by, panel.entered_at = by, timezone.now()
        next_version(
            panel, "state", "not_done_because", "collected_on", "collected_at", "laboratory", "entered_by", "entered_at"
        )
        marks_void(record=panel, reason=reason, by=by)
        plan_again_when_empty(panel.visit)
        ask_for_regrading(panel.patient)
    return panel


def _read(tests, typed, units):
    """The results of what was typed in these units, by test code. Raises Refused with a sentence at each bad field."""
    read, errors = {}, {}
    for test in tests:
        if test.computed:
            continue
        try:
            read[test.code] = results.read_result(test, typed.get(test.code, ""), units.get(test.code, ""))
        except results.NotAResult as fault:
            errors[test.code] = [str(fault)]
    if errors:
        raise Refused(errors)
    return read


def as_result(m):
    """A stored result; one in the protocol's unit has the unit ""."""
    unit = "" if m.reported_unit == m.unit else m.reported_unit
    return results.Result(m.typed, m.operator, m.value, m.text, unit) if m.typed else None


def _asked_beside(panel, tests):
    """The tests of other panels that the checks, the computed tests and the grades of this one ask for: of the same visit,
    of earlier ones, and before and after the treatment."""
    own = {test.code for test in tests}
    in_visit, before = edit_checks.looked_up(panel.protocol, panel.code)
    in_visit |= {code for test in tests if test.computed for code in test.computed.of} - own
    in_visit |= {code for test in tests if test.grade_rows for code in asked_for(test)} - own
    return in_visit, before, own & panel.protocol.graded_tests


def _results_of(panel, tests):
    """What is stored of a panel, by test code, and the patient's results of other panels that are asked for beside it, by
    day; in one statement."""
    beside = Q(test__in=set().union(*_asked_beside(panel, tests))) & ~Q(typed="")
    found = (
        Measurement.objects.filter(Q(panel=panel) | beside, patient=panel.patient_id, panel__isnull=False)
        .order_by("collected_on", "id")
        .annotate(visit_id=F("panel__visit"), at=F("panel__collected_at"), treated_at=first_infusion_began())
    )  # fmt: skip
    there, elsewhere = {}, []
    for m in found:
        if m.panel_id == panel.pk:
            there[m.test] = m
        else:
            elsewhere.append(m)
    return there, elsewhere


def _told_apart(panel, tests, elsewhere, collected_on, collected_at):
    """Of the results of other panels, by test code: those of the same visit, the latest earlier ones, and the baseline
    ones (`visits.edit_checks.Surroundings`); and whether there are results that those of this form may be the baseline
    of, or may have been until now."""
    in_visit, before, graded = _asked_beside(panel, tests)
    here, earlier, baseline, is_baseline = {}, {}, {}, False
    own_days = {(collected_on, collected_at), (panel.collected_on or collected_on, panel.collected_at)}
    for m in elsewhere:
        if m.visit_id == panel.visit_id and m.test in in_visit:
            here[m.test] = as_result(m)
        if m.collected_on < collected_on and m.test in before:
            earlier[m.test] = as_result(m)
        if m.test in graded and is_baseline_of(m, panel.patient, collected_on, collected_at):
            baseline[m.test] = (as_result(m), m.grade, m.grade_direction)
        if m.test in graded and not is_baseline:
            is_baseline = any(comes_before(on, at, m, panel.patient) for on, at in own_days)
    return here, earlier, baseline, is_baseline


def store_results(wanted, there, *, owner, patient, collected_on, lacking=None, held=(), all_anew=False, grading):
    """Write the results that are new or differ; gives what was typed before, by the keys (test, minute) of the values
    that changed.

    The range of a result, one of `held` (the laboratory's on that day) or the protocol's, is taken when the result is
    first stored, when it or its day changes, or for `all_anew`; and then stays. `grading` grades what is stored, and anew
    what depends on an answer that changes. `lacking` says by test code why a value is not there."""
    new, changed, graded_anew, before = [], [], [], {}
    age = patient.age_on(collected_on)
    moved = {
        code for (code, minute), (_test, result) in wanted.items()
        if (m := there.get((code, minute))) and m.typed != (result.typed if result else "")
    }  # fmt: skip
    for (code, minute), (test, result) in wanted.items():
        m = there.get((code, minute))
        why = (lacking or {}).get(code, "")
        if m is None and result is None and not why:
            continue
        typed = result.typed if result else ""
        unit = unit_of(test, result.unit).unit if result and test.kind == "number" else ""
        is_in_other_unit = m is not None and bool(m.typed and typed) and (m.reported_unit or m.unit) != unit
        is_as_it_was = m is not None and (m.typed, m.missing_because, m.collected_on) == (typed, why, collected_on)
        if is_as_it_was and not (typed and (all_anew or is_in_other_unit)):
            if typed and moved & asked_for(test):
                graded_anew.append(grade_anew(m, grading.columns(test, result, held_as_stored(m), m)))
            continue
        if m is None or m.typed != typed or is_in_other_unit:
            before[code, minute] = m.typed if m else ""
        against = ranges.held_against(held, test, unit, sex=patient.sex, age=age, on=collected_on) if result else None
        content = {
            "typed": typed,
            "operator": result.operator if result else "",
            "value": rounded(result.value) if result else None,
            "text": result.text if result else "",
            "unit": test.unit,
            "reported_unit": unit,
            **as_stored(against),
            "missing_because": why,
            "flag": results.flag(result, against),
            **grading.columns(test, result, against, m),
            "is_computed": test.computed is not None,
            "collected_on": collected_on,
        }
        if m is None:
            new.append(Measurement(patient=patient, test=code, minute=minute, **owner, **content))
        else:
            for name, value in content.items():
                setattr(m, name, value)
            m.version += 1
            changed.append(m)
    if new:
        Measurement.objects.bulk_create(new)
    if changed:
        Measurement.objects.bulk_update(changed, [*content, "version"])
    if graded_anew:
        Measurement.objects.bulk_update(graded_anew, [*GRADE_COLUMNS, "version"])
    return before


def as_stored(held):
    """The columns of a result that say what it is held against."""
    return {
        "reference_id": held.reference if held else None,
        "low": rounded(held.low) if held else None,
        "high": rounded(held.high) if held else None,
        "reported_low": rounded(held.reported_low) if held else None,
        "reported_high": rounded(held.reported_high) if held else None,
    }

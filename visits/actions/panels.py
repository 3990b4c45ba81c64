"""Results, a whole panel at a time."""

from django.db.models import F
from django.utils import timezone

from patients.actions import next_version, refuse_when_held
from trialsite.audit import acting
from trialsite.saving import Refused, check_version
from visits import edit_checks, results
from visits.actions.plan import mark_attended, plan_again_when_empty, refuse_impossible_day
from visits.actions.queries import raise_check_queries
from visits.actions.reviews import marks_void
from visits.contents import columns_of
from visits.models import WITH_VALUES, Measurement, Missing, PanelRecord, PanelState


def lock_panel(panel, version=None):
    """The panel's row, its visit's and its patient's, locked until the end of the transaction; refuses when they are
    held. Raises Stale when `version` is not current."""
    panels = PanelRecord.objects.select_for_update(of=("patient", "visit", "self"))
    locked = panels.select_related("visit", "patient__site").get(pk=panel.pk)
    check_version(locked, version)
    locked.visit.patient = locked.patient
    refuse_when_held(locked.patient, locked.visit)
    return locked


def record_panel(
    *, panel, values, collected_on, collected_at=None, comment="", missing=None, units=None, laboratory=None,
    confirmed=(), asked=None, version, reason="", by,
):  # fmt: skip
    """Save the whole panel: `values` are what was typed, by test code.

    Impossible values are refused; implausible ones are saved and raise a query, unless the person confirms them:
    `confirmed` are the (check, test) that were looked up in the source. A later change needs a reason. Fields that are
    not in `values` stay as they are. `missing` says by test code why a value is not there (Missing); what the form asks
    for and nobody explains is still to come, and the panel then counts as begun. `units` are the units in which values
    were reported, where not in the protocol's. `asked` is what checks said while the form was filled in: what was typed
    then, by (check, test)."""
    with acting(by, reason or "first entry"):
        panel = lock_panel(panel, version)
        patient, protocol = panel.patient, panel.protocol
        if panel.was_touched and not reason.strip():
            raise Refused({"reason": ["Write why the entry is changed."]})
        refuse_impossible_day(patient, collected_on, "collected_on")
        tests = protocol.tests_of(panel.code)
        there = {m.test: m for m in panel.measurements.all()}
        before = {code: columns_of(m) for code, m in there.items()}
        read = _read(tests, {code: m.typed for code, m in there.items() if not m.is_computed} | values)
        lacking = _lacking(tests, read, {code: m.missing_because for code, m in there.items()} | (missing or {}))
        visit_results = read if not _needs_other_panels(tests) else _results_of_visit(panel) | read
        for test in tests:
            if test.computed:
                read[test.code] = results.compute(test, visit_results)
        problems = edit_checks.find_problems(
            protocol, panel.code, read, sex=patient.sex, previous=_previous_results(panel, tests, collected_on)
        )
        if not any(read.get(test.code) for test in tests if not test.computed) and set(lacking.values()) <= {PENDING}:
            raise Refused("Nothing is entered. If the panel was not done, say so and why.")
        problems += _out_of_window(panel.visit, collected_on)
        if hard := [problem for problem in problems if problem.hard]:
            raise Refused(by_field(hard))
        now = timezone.now()
        changed = store_results(
            {(test.code, None): (test, read.get(test.code)) for test in tests},
            {(code, None): m for code, m in there.items()},
            owner={"panel": panel}, patient=patient, collected_on=collected_on, lacking=lacking,
        )  # fmt: skip
        panel.state = PanelState.BEGUN if PENDING in lacking.values() else PanelState.ENTERED
        panel.collected_on, panel.collected_at = collected_on, collected_at
        panel.comment, panel.not_done_because = comment, ""
        panel.entered_by, panel.entered_at = by, now
        next_version(
            panel, "state", "collected_on", "collected_at", "comment", "not_done_because", "entered_by", "entered_at"
        )
        if panel.version > 2:  # a first entry has no mark
            touched = {code for code, m in there.items() if columns_of(m) != before[code]}
            marks_void(record=panel, fields=touched, reason=reason, by=by)
        mark_attended(panel.visit, collected_on)
        raise_check_queries(
            problems, changed, read=read, patient=patient, panel=panel, confirmed=confirmed, asked=asked, by=by
        )
    return panel


PENDING = Missing.PENDING


def _lacking(tests, read, because):
    """Why values are not there, by test code: as `because` says, else still to come where the form asks for one.

    Raises Refused where there is both a value and a reason why there is none, or no such reason."""
    lacking, errors = {}, {}
    for test in tests:
        why = because.get(test.code) or ""
        if test.computed:
            continue
        if why and why not in Missing.values:
            errors[test.code] = ["Say why the value is missing with one of the reasons of the list."]
        elif why and read.get(test.code):
            if why != PENDING:
                errors[test.code] = ["There is a value, and a reason why there is none. Take one of them out."]
        elif not read.get(test.code) and (why or test.required):
            lacking[test.code] = why or PENDING
    if errors:
        raise Refused(errors)
    return lacking


def _out_of_window(visit, collected_on):
    if visit.is_scheduled and not visit.earliest <= collected_on <= visit.latest:
        text = f"Collected on {collected_on}, outside the window of {visit.code} ({visit.earliest} to {visit.latest})."
        return [edit_checks.Problem("window", "", text, hard=False)]
    return []


def mark_panel_not_done(*, panel, not_done_because, version, reason="", by):
    """Record that a panel was not done, and why. Entered values stay in the history only when they are taken back."""
    with acting(by, reason or f"not done: {not_done_because}"):
        panel = lock_panel(panel, version)
        errors = {}
        if not not_done_because.strip():
            errors["not_done_because"] = ["Write why the panel was not done."]
        if panel.state in WITH_VALUES:
            errors[""] = ["Values were entered. Clear them first, with a reason."]
        if errors:
            raise Refused(errors)
        panel.state, panel.not_done_because = PanelState.NOT_DONE, not_done_because
        panel.entered_by, panel.entered_at = by, timezone.now()
        next_version(panel, "state", "not_done_because", "entered_by", "entered_at")
        if panel.version > 2:
            marks_void(record=panel, reason=reason or f"not done: {not_done_because}", by=by)
    return panel


def clear_panel(*, panel, version, reason, by):
    """Take back an entry made by mistake: the panel is expected again, the values stay in the audit trail."""
    with acting(by, reason):
        panel = lock_panel(panel, version)
        if not reason.strip():
            raise Refused({"reason": ["Write why the entry is taken back."]})
        panel.measurements.exclude(typed="", missing_because="").update(
            typed="", operator="", value=None, text="", flag="", missing_because="", version=F("version") + 1
        )
        panel.state, panel.not_done_because = PanelState.EXPECTED, ""
        panel.collected_on = panel.collected_at = None
        panel.entered_by, panel.entered_at = by, timezone.now()
        next_version(panel, "state", "not_done_because", "collected_on", "collected_at", "entered_by", "entered_at")
        marks_void(record=panel, reason=reason, by=by)
        plan_again_when_empty(panel.visit)
    return panel


def _read(tests, typed):
    """The results of what was typed, by test code. Raises Refused with a sentence at each bad field."""
    read, errors = {}, {}
    for test in tests:
        if test.computed:
            continue
        try:
            read[test.code] = results.read_result(test, typed.get(test.code, ""))
        except results.NotAResult as fault:
            errors[test.code] = [str(fault)]
    if errors:
        raise Refused(errors)
    return read


def _needs_other_panels(tests):
    own = {test.code for test in tests}
    return any(not set(test.computed.of) <= own for test in tests if test.computed)


def _results_of_visit(panel):
    measured = Measurement.objects.filter(panel__visit=panel.visit_id).exclude(panel=panel)
    return {m.test: as_result(m) for m in measured}


def as_result(m):
    return results.Result(m.typed, m.operator, m.value, m.text) if m.typed else None


def _previous_results(panel, tests, collected_on):
    """The patient's latest earlier results of those tests that a check compares over time, by test code."""
    compared = edit_checks.compared_with_previous(tests)
    if not compared:
        return {}
    earlier = (
        Measurement.objects.filter(
            patient=panel.patient_id, test__in=compared, collected_on__lt=collected_on, panel__isnull=False,
        )
        .exclude(panel=panel).exclude(typed="").order_by("test", "-collected_on", "-id").distinct("test")
    )  # fmt: skip
    return {m.test: as_result(m) for m in earlier}


def by_field(problems):
    errors = {}
    for problem in problems:
        errors.setdefault(problem.test, []).append(problem.text)
    return errors


def store_results(wanted, there, *, owner, patient, collected_on, lacking=None):
    """Write the results that are new or differ; gives what was typed before, by the keys (test, minute) of the values
    that changed.

    The reference range is taken when a value is first stored or changed, and then stays. `lacking` says by test code
    why a value is not there."""
    new, changed, before = [], [], {}
    for (code, minute), (test, result) in wanted.items():
        m = there.get((code, minute))
        why = (lacking or {}).get(code, "")
        if m is None and result is None and not why:
            continue
        typed = result.typed if result else ""
        if m is not None and (m.typed, m.missing_because, m.collected_on) == (typed, why, collected_on):
            continue
        if m is None or m.typed != typed:
            before[code, minute] = m.typed if m else ""
        reference = test.reference_for(patient.sex)
        low, high = (reference.low, reference.high) if reference else (None, None)
        content = {
            "typed": typed,
            "operator": result.operator if result else "",
            "value": result.value if result else None,
            "text": result.text if result else "",
            "unit": test.unit,
            "low": low,
            "high": high,
            "reported_unit": test.unit,
            "reported_low": low,
            "reported_high": high,
            "missing_because": why,
            "flag": results.flag(result, reference),
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
    return before

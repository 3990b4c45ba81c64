"""Everything that writes about what was measured, when, and whether it is right."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db.models import F
from django.utils import timezone

from patients.actions import (
    day_at,
    lock_patient,
    next_version,
    refuse_before_consent,
    refuse_when_halted,
    set_day_0,
    today_at,
)
from patients.models import AllocationSlot, Blocked, State
from trialsite.audit import acting
from trialsite.saving import Refused, check_version
from visits import edit_checks, infusing, results, schedule
from visits.models import (
    QUERY_TRANSITIONS,
    Infusion,
    Interruption,
    Lot,
    LotState,
    LotTest,
    Measurement,
    PanelRecord,
    PanelState,
    Preparation,
    Query,
    QueryMessage,
    QueryState,
    Reaction,
    Visit,
    VisitState,
)

# --- the plan ------------------------------------------------------------------------------------


def plan_screening(*, patient, by):
    """Plan the screening visits around the day on which screening starts."""
    windows = [
        (visit, schedule.screening_window(patient.protocol, visit, patient.screened_on))
        for visit in patient.protocol.screening_visits
    ]
    _plan(patient, windows, by)


def plan_visits(*, patient, by):
    """Plan the visits from day 0 on."""
    _plan(patient, schedule.plan(patient.protocol, patient.day_0), by)


def _plan(patient, windows, by):
    protocol = patient.protocol
    with acting(by):
        visits = Visit.objects.bulk_create(
            Visit(
                patient=patient,
                code=visit.code,
                protocol_version=protocol.version,
                day=visit.day,
                planned_on=window.planned,
                earliest=window.earliest,
                latest=window.latest,
            )
            for visit, window in windows
        )
        PanelRecord.objects.bulk_create(
            PanelRecord(
                patient=patient, visit=visit, code=panel.code, protocol_version=protocol.version, position=position
            )
            for visit in visits
            for position, panel in enumerate(protocol.panels_of(visit.code, patient.sex))
        )


def move_plan(*, patient, day_0, reason, by):
    """Move day 0, and with it the windows of the visits that have not taken place."""
    with acting(by, reason):
        patient = set_day_0(patient=patient, day_0=day_0, reason=reason, by=by)
        planned = list(
            Visit.objects.select_for_update(of=("self",)).filter(
                patient=patient, is_scheduled=True, state=VisitState.PLANNED, day__gte=0
            )
        )
        for visit in planned:
            window = schedule.window_for(patient.protocol.visit(visit.code), day_0)
            visit.planned_on, visit.earliest, visit.latest = window.planned, window.earliest, window.latest
            visit.version += 1
        Visit.objects.bulk_update(planned, ["planned_on", "earliest", "latest", "version"])


def add_unscheduled_visit(*, patient, on, panels, by):
    """A visit that the plan does not have, with the panels that were done."""
    with acting(by, "unscheduled visit"):
        patient = lock_patient(patient)
        refuse_before_consent(patient, on, "on")
        errors = {}
        if not patient.is_open:
            errors[""] = [f"The patient is not in the trial: {patient.get_state_display()}."]
        if not patient.screened_on <= on <= today_at(patient.site):
            errors["on"] = ["The date must lie between screening and today."]
        if not panels:
            errors["panels"] = ["Choose at least one panel."]
        if errors:
            raise Refused(errors)
        count = Visit.objects.filter(patient=patient, is_scheduled=False).count()
        visit = Visit.objects.create(
            patient=patient,
            code=f"U{count + 1}",
            protocol_version=patient.protocol_version,
            is_scheduled=False,
            planned_on=on,
            earliest=on,
            latest=on,
            state=VisitState.ATTENDED,
            attended_on=on,
        )
        PanelRecord.objects.bulk_create(
            PanelRecord(
                patient=patient, visit=visit, code=code, protocol_version=patient.protocol_version, position=position
            )
            for position, code in enumerate(panels)
        )
    return visit


def lock_visit(visit, version=None):
    locked = Visit.objects.select_for_update(of=("self",)).select_related("patient__site").get(pk=visit.pk)
    check_version(locked, version)
    return locked


def record_attendance(*, visit, attended_on, version, reason="", by):
    """Record the day on which a visit took place, or correct it."""
    with acting(by, reason or f"visit took place on {attended_on}"):
        visit = lock_visit(visit, version)
        _refuse_impossible_day(visit.patient, attended_on, "attended_on")
        if visit.state == VisitState.ATTENDED and not reason.strip():
            raise Refused({"reason": ["Write why the date is changed."]})
        visit.state, visit.attended_on, visit.missed_because = VisitState.ATTENDED, attended_on, ""
        next_version(visit, "state", "attended_on", "missed_because")
    return visit


def record_missed_visit(*, visit, missed_because, version, by):
    """Record that a planned visit did not take place, and why."""
    with acting(by, f"visit missed: {missed_because}"):
        visit = lock_visit(visit, version)
        errors = {}
        if not missed_because.strip():
            errors["missed_because"] = ["Write why the visit was missed."]
        if visit.panels.filter(state=PanelState.ENTERED).exists() or hasattr(visit, "infusion"):
            errors[""] = ["Data of this visit were entered: it was not missed."]
        if visit.earliest > today_at(visit.patient.site):
            errors[""] = ["The window of this visit has not opened."]
        if errors:
            raise Refused(errors)
        visit.state, visit.attended_on, visit.missed_because = VisitState.MISSED, None, missed_because
        next_version(visit, "state", "attended_on", "missed_because")
    return visit


def _refuse_impossible_day(patient, day, field):
    if day > today_at(patient.site):
        raise Refused({field: ["The date is in the future."]})
    if day < patient.screened_on - timedelta(days=30):
        raise Refused({field: [f"The date is more than 30 days before screening ({patient.screened_on})."]})
    refuse_before_consent(patient, day, field)


# --- panels -----------------------------------------------------------------------------------------


def lock_panel(panel, version=None):
    locked = (
        PanelRecord.objects.select_for_update(of=("self",)).select_related("visit", "patient__site").get(pk=panel.pk)
    )
    check_version(locked, version)
    return locked


def record_panel(*, panel, values, collected_on, collected_at=None, comment="", version, reason="", by):
    """Save the whole panel: `values` are what was typed, by test code.

    Impossible values are refused; implausible ones are saved and raise a query. A later change needs a reason.
    Fields that are not in `values` stay as they are."""
    with acting(by, reason or "first entry"):
        panel = lock_panel(panel, version)
        patient, protocol = panel.patient, panel.patient.protocol
        if panel.state == PanelState.ENTERED and not reason.strip():
            raise Refused({"reason": ["Write why the entry is changed."]})
        _refuse_impossible_day(patient, collected_on, "collected_on")
        tests = protocol.tests_of(panel.code)
        there = {m.test: m for m in panel.measurements.all()}
        read = _read(tests, {code: m.typed for code, m in there.items() if not m.is_computed} | values)
        visit_results = read if not _needs_other_panels(tests) else _results_of_visit(panel) | read
        for test in tests:
            if test.computed:
                read[test.code] = results.compute(test, visit_results)
        problems = edit_checks.find_problems(
            protocol, panel.code, read, sex=patient.sex, previous=_previous_results(panel, tests, collected_on)
        )
        if hard := [problem for problem in problems if problem.hard]:
            raise Refused(_by_field(hard))
        now = timezone.now()
        changed = _store(
            {(test.code, None): (test, read.get(test.code)) for test in tests},
            {(code, None): m for code, m in there.items()},
            owner={"panel": panel}, patient=patient, collected_on=collected_on,
        )  # fmt: skip
        panel.state, panel.collected_on, panel.collected_at = PanelState.ENTERED, collected_on, collected_at
        panel.comment, panel.not_done_because = comment, ""
        panel.entered_by, panel.entered_at = by, now
        next_version(
            panel, "state", "collected_on", "collected_at", "comment", "not_done_because", "entered_by", "entered_at"
        )
        _mark_attended(panel.visit, collected_on)
        _raise_check_queries(problems, changed, patient=patient, panel=panel, by=by)
    return panel


def mark_panel_not_done(*, panel, not_done_because, version, reason="", by):
    """Record that a panel was not done, and why. Entered values stay in the history only when they are taken back."""
    with acting(by, reason or f"not done: {not_done_because}"):
        panel = lock_panel(panel, version)
        errors = {}
        if not not_done_because.strip():
            errors["not_done_because"] = ["Write why the panel was not done."]
        if panel.state == PanelState.ENTERED:
            errors[""] = ["Values were entered. Clear them first, with a reason."]
        if errors:
            raise Refused(errors)
        panel.state, panel.not_done_because = PanelState.NOT_DONE, not_done_because
        panel.entered_by, panel.entered_at = by, timezone.now()
        next_version(panel, "state", "not_done_because", "entered_by", "entered_at")
    return panel


def clear_panel(*, panel, version, reason, by):
    """Take back an entry made by mistake: the panel is expected again, the values stay in the audit trail."""
    with acting(by, reason):
        panel = lock_panel(panel, version)
        if not reason.strip():
            raise Refused({"reason": ["Write why the entry is taken back."]})
        panel.measurements.exclude(typed="").update(
            typed="", operator="", value=None, text="", flag="", version=F("version") + 1
        )
        panel.state, panel.not_done_because = PanelState.EXPECTED, ""
        next_version(panel, "state", "not_done_because")
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


def _by_field(problems):
    errors = {}
    for problem in problems:
        errors.setdefault(problem.test, []).append(problem.text)
    return errors


def _store(wanted, there, *, owner, patient, collected_on):
    """Write the results that are new or differ; gives the keys (test, minute) whose value changed.

    The reference range is taken when a value is first stored or changed, and then stays."""
    new, changed = [], []
    for (code, minute), (test, result) in wanted.items():
        m = there.get((code, minute))
        if m is None and result is None:
            continue
        if m is not None and m.typed == (result.typed if result else "") and m.collected_on == collected_on:
            continue
        reference = test.reference_for(patient.sex)
        content = {
            "typed": result.typed if result else "",
            "operator": result.operator if result else "",
            "value": result.value if result else None,
            "text": result.text if result else "",
            "unit": test.unit,
            "low": reference.low if reference else None,
            "high": reference.high if reference else None,
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
        Measurement.objects.bulk_update(
            changed, ["typed", "operator", "value", "text", "unit", "low", "high", "flag", "collected_on", "version"]
        )
    return {(m.test, m.minute) for m in (*new, *changed)}


def _mark_attended(visit, on):
    if visit.state == VisitState.ATTENDED:
        return
    visit = lock_visit(visit)  # somebody may have recorded its day meanwhile
    if visit.state != VisitState.ATTENDED:
        visit.state, visit.attended_on, visit.missed_because = VisitState.ATTENDED, on, ""
        next_version(visit, "state", "attended_on", "missed_because")


# --- queries --------------------------------------------------------------------------------------------


def _raise_check_queries(problems, changed, *, patient, panel=None, infusion=None, by):
    """Ask about soft problems of what was just entered, unless the same question is open already.

    A changed value answers the open questions of checks about it that it no longer breaks."""
    open_queries = list(
        Query.objects.select_for_update(of=("self",)).filter(panel=panel, infusion=infusion, patient=patient)
        .exclude(check_code="").exclude(state=QueryState.CLOSED)
    )  # fmt: skip
    asked = {(q.check_code, q.test, q.minute) for q in open_queries}
    broken = {(p.code, p.test, getattr(p, "minute", None)): p for p in problems if p.code != "missing"}
    touched = {code for code, _ in changed}
    raised = [
        Query(
            patient=patient, panel=panel, infusion=infusion, test=problem.test, minute=key[2],
            check_code=problem.code, text=problem.text, raised_by=by,
        )
        for key, problem in broken.items()
        if key not in asked and (not problem.test or problem.test in touched)
    ]  # fmt: skip
    if raised:
        Query.objects.bulk_create(raised)
    for query in open_queries:
        if query.test in touched and (query.check_code, query.test, query.minute) not in broken:
            QueryMessage.objects.create(
                query=query, patient=patient, text="The value was changed; the check is satisfied.", by=by
            )
            query.state, query.closed_at = QueryState.CLOSED, timezone.now()
            next_version(query, "state", "closed_at")
    return raised


def raise_query(*, panel, test, text, by):
    """Ask the site about a value (or, without `test`, about the whole panel)."""
    if not text.strip():
        raise Refused({"text": ["Write the question."]})
    with acting(by, "query raised"):
        return Query.objects.create(patient=panel.patient, panel=panel, test=test, text=text, raised_by=by)


def answer_query(*, query, text, version, by):
    return _move_query(query, QueryState.ANSWERED, text, version, by)


def close_query(*, query, text="", version, by):
    return _move_query(query, QueryState.CLOSED, text, version, by)


def reopen_query(*, query, text, version, by):
    return _move_query(query, QueryState.OPEN, text, version, by)


def _move_query(query, state, text, version, by):
    with acting(by, f"query {state.label}"):
        query = Query.objects.select_for_update(of=("self",)).get(pk=query.pk)
        check_version(query, version)
        if state not in QUERY_TRANSITIONS[QueryState(query.state)]:
            raise Refused(f"The query is {query.get_state_display()} already.")
        if not text.strip() and state != QueryState.CLOSED:
            raise Refused({"text": ["Write a message."]})
        if text.strip():
            QueryMessage.objects.create(query=query, patient_id=query.patient_id, text=text, by=by)
        query.state = state
        query.closed_at = timezone.now() if state == QueryState.CLOSED else None
        next_version(query, "state", "closed_at")
    return query


# --- lots --------------------------------------------------------------------------------------------------


def receive_lot(*, site, product, number, donor="", passage=None, received_on, expires_on, by):
    """A lot arrives; it stays in quarantine until it is released."""
    if expires_on <= received_on:
        raise Refused({"expires_on": ["The lot expires before it was received."]})
    with acting(by):
        if Lot.objects.filter(site=site, product=product, number=number).exists():
            raise Refused({"number": ["This lot was received already."]})
        return Lot.objects.create(
            site=site, product=product, number=number, donor=donor, passage=passage,
            received_on=received_on, expires_on=expires_on,
        )  # fmt: skip


def lock_lot(lot, version=None):
    locked = Lot.objects.select_for_update().get(pk=lot.pk)
    check_version(locked, version)
    return locked


def record_lot_tests(*, lot, protocol, results, version, reason="", by):
    """Enter the release tests of a lot in quarantine; `results` as typed, by the code of the test."""
    with acting(by, reason or "release tests entered"):
        lot = lock_lot(lot, version)
        if lot.state != LotState.QUARANTINED:
            raise Refused(f"The lot is {lot.get_state_display()}; its tests stay as they are.")
        product = protocol.product(lot.product)
        there = {test.code: test for test in lot.tests.all()}
        for test in product.release_tests:
            typed = results.get(test.code, "").strip(" ")
            if not typed:
                continue
            alone = product.model_copy(update={"release_tests": (test,)})
            passed = not infusing.lot_failures(alone, {test.code: typed})
            if test.code not in there:
                LotTest.objects.create(lot=lot, code=test.code, result=typed, has_passed=passed)
            elif there[test.code].result != typed:
                if not reason.strip():
                    raise Refused({"reason": ["Write why a result is changed."]})
                there[test.code].result, there[test.code].has_passed = typed, passed
                next_version(there[test.code], "result", "has_passed")
        next_version(lot)
    return lot


def release_lot(*, lot, protocol, version, by):
    """Release a lot all of whose tests have passed."""
    with acting(by, "lot released"):
        lot = lock_lot(lot, version)
        if lot.state != LotState.QUARANTINED:
            raise Refused(f"The lot is {lot.get_state_display()} already.")
        typed = {test.code: test.result for test in lot.tests.all()}
        if failures := infusing.lot_failures(protocol.product(lot.product), typed):
            raise Refused({"": failures})
        lot.state = LotState.RELEASED
        next_version(lot, "state")
    return lot


def reject_lot(*, lot, reason, version, by):
    """Take a lot out of use, also one that was released."""
    if not reason.strip():
        raise Refused({"reason": ["Write why the lot is rejected."]})
    with acting(by, reason):
        lot = lock_lot(lot, version)
        lot.state = LotState.REJECTED
        next_version(lot, "state")
    return lot


# --- infusions ----------------------------------------------------------------------------------------------


def latest_weight(patient, protocol, on):
    """The latest body weight (kg) on or before a day, or None."""
    test = protocol.infusions.weight_test
    found = (
        Measurement.objects.filter(patient=patient, test=test, value__isnull=False, collected_on__lte=on)
        .order_by("-collected_on", "-id").first()
    )  # fmt: skip
    return found.value if found else None


def _refuse_infusion(patient, visit, lot, at, *, given, halted_at=None):
    """Raise Refused with every reason against infusing this lot at this instant. Locks the lot.

    Halts are asked about as of `halted_at`, by default now: who records what was given before a halt may, who
    prepares a bag under one may not, whatever time is written on it."""
    protocol = patient.protocol
    slot = AllocationSlot.objects.filter(patient=patient).first()
    arm = protocol.arm(slot.arm) if slot else None
    refuse_when_halted(Blocked.INFUSE, patient=patient, arm=slot.arm if slot else None, at=halted_at)
    lot = lock_lot(lot)
    on = day_at(patient.site, at)
    if lot.site_id != patient.site_id:
        raise Refused({"lot": ["The lot is at another site."]})
    if on < lot.received_on:
        raise Refused({"lot": [f"The lot was received later, on {lot.received_on}."]})
    infusion = protocol.visit(visit.code).infusion
    previous = [i for i in given if i.number < infusion]
    reasons = infusing.reasons_not_to_infuse(
        is_randomised=slot is not None and patient.state == State.RANDOMISED,
        open_halts=[],
        lot_state=lot.state,
        lot_expires_on=lot.expires_on,
        on=on,
        lot_product=lot.product,
        arm_product=arm.product if arm else None,
        previous_infusion_on=max((day_at(patient.site, i.started_at) for i in previous), default=None),
        least_days_between=protocol.infusions.least_days_between,
        number=infusion,
        given_numbers={i.number for i in given},
        pregnancy_result=_pregnancy_result(patient, visit),
        sex=patient.sex,
    )
    if reasons:
        raise Refused({"": reasons})
    return lot


def _pregnancy_result(patient, visit):
    """The code of the pregnancy test of this visit; None when it is missing, "" when the protocol asks for none."""
    protocol = patient.protocol
    asked = [
        test.code
        for panel in protocol.panels_of(visit.code, patient.sex)
        if panel.only_for_sex == "F"
        for test in protocol.tests_of(panel.code)
        if test.kind == "choice"
    ]
    if not asked:
        return ""
    found = Measurement.objects.filter(panel__visit=visit, test=asked[0]).exclude(typed="").first()
    return found.text if found else None


def prepare_infusion(
    *, visit, lot, weight_kg, prepared_dose=None, viability_percent=None, label, prepared_at, version=None, by
):
    """Prepare the bag of one infusion: the dose follows from the protocol and the weight."""
    with acting(by, "infusion prepared"):
        patient = lock_patient(visit.patient)  # before any of the visits, as whoever moves the plan does
        visit = lock_visit(visit, version)
        number = _infusion_number(visit)
        if Preparation.objects.filter(patient=patient, number=number).exists():
            raise Refused("This infusion was prepared already.")
        if Preparation.objects.filter(label=label).exists():
            raise Refused({"label": ["This label is on another bag."]})
        _refuse_impossible_day(patient, day_at(patient.site, prepared_at), "prepared_at")
        given = list(Infusion.objects.filter(patient=patient))
        lot = _refuse_infusion(patient, visit, lot, prepared_at, given=given)
        product = patient.protocol.product(lot.product)
        planned = infusing.planned_dose(product, weight_kg)
        return Preparation.objects.create(
            patient=patient,
            visit=visit,
            number=number,
            lot=lot,
            weight_kg=weight_kg,
            planned_dose=planned,
            prepared_dose=planned if prepared_dose is None else prepared_dose,
            viability_percent=viability_percent,
            label=label,
            prepared_at=prepared_at,
        )


def _infusion_number(visit):
    number = visit.patient.protocol.visit(visit.code).infusion if visit.is_scheduled else None
    if number is None:
        raise Refused("No infusion is planned at this visit.")
    return number


def record_infusion(
    *, visit, started_at, stopped_at, volume_ml, given_percent=Decimal(100), access_site="", premedication="",
    comment="", monitoring=None, interruptions=(), reactions=(), version, reason="", by,
):  # fmt: skip
    """Record how an infusion was given, or correct it.

    `monitoring` is what was typed, by (test code, minute); `interruptions` are (stopped_at, resumed_at, cause),
    `reactions` are (term, began_at, grade). The lot, the halts and the order of infusions are checked under lock."""
    monitoring = monitoring or {}
    with acting(by, reason or "infusion recorded"):
        patient = lock_patient(visit.patient)  # before any of the visits, as whoever moves the plan does
        visit = lock_visit(visit)
        protocol, number = patient.protocol, _infusion_number(visit)
        preparation = Preparation.objects.select_related("lot").filter(patient=patient, number=number).first()
        if preparation is None:
            raise Refused("The infusion was not prepared: no lot and no dose are known.")
        on = day_at(patient.site, started_at)
        if on < patient.screened_on:
            raise Refused({"started_at": [f"The patient was screened later, on {patient.screened_on}."]})
        infusion = Infusion.objects.select_for_update(of=("self",)).filter(patient=patient, number=number).first()
        if infusion is None:
            check_first_version(version)
            given = list(Infusion.objects.filter(patient=patient))
            lot = _refuse_infusion(patient, visit, preparation.lot, started_at, given=given, halted_at=started_at)
        else:
            check_version(infusion, version)
            lot = preparation.lot
            if not reason.strip():
                raise Refused({"reason": ["Write why the entry is changed."]})
        there = {(m.test, m.minute): m for m in infusion.measurements.all()} if infusion else {}
        read = _read_monitoring(protocol, {key: m.typed for key, m in there.items()} | monitoring)
        problems = infusing.infusion_problems(
            protocol.infusions,
            product=protocol.product(lot.product),
            planned=preparation.planned_dose,
            given=preparation.prepared_dose * given_percent / 100,
            volume_ml=volume_ml,
            started_at=started_at,
            stopped_at=stopped_at,
            interruptions=[(stopped, resumed) for stopped, resumed, _ in interruptions],
            monitored_minutes={minute for (_, minute), result in read.items() if result},
            now=timezone.now(),
        )
        if hard := [problem for problem in problems if problem.hard]:
            raise Refused(_by_field(hard))
        content = {
            "started_at": started_at, "stopped_at": stopped_at, "volume_ml": volume_ml,
            "given_percent": given_percent, "access_site": access_site, "premedication": premedication,
            "comment": comment,
        }  # fmt: skip
        if infusion is None:
            infusion = Infusion.objects.create(
                patient=patient, visit=visit, preparation=preparation, number=number, **content
            )
        else:
            for name, value in content.items():
                setattr(infusion, name, value)
            next_version(infusion, *content)
        tests = {code: protocol.test(code) for code in protocol.infusions.monitoring_tests}
        changed = _store(
            {(code, minute): (tests[code], result) for (code, minute), result in read.items()},
            there,
            owner={"infusion": infusion}, patient=patient, collected_on=on,
        )  # fmt: skip
        _replace_lines(infusion, Interruption, ("stopped_at", "resumed_at", "cause"), interruptions)
        _replace_lines(infusion, Reaction, ("term", "began_at", "grade"), reactions)
        _mark_attended(visit, on)
        soft = [*problems, *_problems_of_monitoring(tests, read, protocol.infusions.monitoring_minutes)]
        _raise_check_queries(soft, changed, patient=patient, infusion=infusion, by=by)
        if number == 1 and patient.day_0 != on:
            move_plan(patient=patient, day_0=on, reason=f"the first infusion was given on {on}", by=by)
    return infusion


def check_first_version(version):
    """A first save comes with version 0 or none; anything else saw a record that is not there."""
    if version:
        raise Refused("The infusion was changed meanwhile. Open the form again.")


def _read_monitoring(protocol, monitoring):
    read, errors = {}, {}
    for (code, minute), typed in monitoring.items():
        try:
            read[code, minute] = results.read_result(protocol.test(code), typed)
        except results.NotAResult as fault:
            errors[f"{code}_{minute}"] = [str(fault)]
    if errors:
        raise Refused(errors)
    return read


@dataclass(frozen=True)
class MonitoringProblem:
    """A soft problem of a value measured during an infusion, `minute` minutes after its start."""

    code: str
    test: str
    minute: int
    text: str


def _problems_of_monitoring(tests, read, minutes):
    for minute in minutes:
        taken = {code: read.get((code, minute)) for code in tests}
        for problem in edit_checks.problems_between(tests.values(), taken, {}):
            if problem.code != "missing":
                yield MonitoringProblem(problem.code, problem.test, minute, f"At {minute} minutes: {problem.text}")


def _replace_lines(infusion, model, names, lines):
    """Make the lines of an infusion be `lines`: new ones are added, those gone are marked as entered in error."""
    wanted = [tuple(line) for line in lines]
    for record in model.objects.filter(infusion=infusion, is_withdrawn=False):
        key = tuple(getattr(record, name) for name in names)
        if key in wanted:
            wanted.remove(key)
        else:
            record.is_withdrawn = True
            next_version(record, "is_withdrawn")
    model.objects.bulk_create(
        model(infusion=infusion, patient_id=infusion.patient_id, **dict(zip(names, line, strict=True)))
        for line in wanted
    )


"""Infusions: prepared by the pharmacy, recorded as they were given."""

from dataclasses import dataclass, replace
from decimal import Decimal

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from patients.actions import (
    hold_halts,
    lock_open_patient,
    next_version,
    reasons_to_wait,
    refuse_when_halted,
    refuse_when_waiting,
)
from patients.models import Blocked
from trialsite.audit import acting
from trialsite.clock import day_at
from trialsite.reasons import because
from trialsite.saving import Question, Refused, check_version
from trialsite.words import Sentence
from visits import edit_checks, infusing, ranges, results
from visits.actions.grades import Grading, answers_at, ask_for_regrading
from visits.actions.lots import lock_lot
from visits.actions.panels import store_results
from visits.actions.plan import lock_visit, mark_attended, move_plan, refuse_impossible_day
from visits.actions.queries import Entry, ask_first, field_of, key_of, not_asked_yet, question_of, raise_check_queries
from visits.actions.refusals import RefusedByChecks, checks_of, refused_by
from visits.actions.reviews import marks_void
from visits.grading import reaction_columns
from visits.models import Infusion, Interruption, Measurement, Preparation, Reaction
from visits.readiness import readiness_of


def latest_weight(patient, protocol, on):
    """The latest body weight (kg) on or before a day, or None."""
    test = protocol.infusions.weight_test
    found = (
        Measurement.objects.filter(patient=patient, test=test, value__isnull=False, collected_on__lte=on)
        .order_by("-collected_on", "-id").first()
    )  # fmt: skip
    return found.value if found else None


def _refuse_infusion(patient, visit, lot, at, *, halted_at=None, masked_eyes=False, is_correction=False):
    """Raise Refused with every reason against infusing this lot at this instant. Locks the lot.

    Halts are asked about as of `halted_at`, by default now: who records what was given before a halt may, who
    prepares a bag under one may not, whatever time is written on it. Of a start that is corrected (`is_correction`) all is
    asked that the start decides, but the turn of the first patients. With `masked_eyes` nothing is told about the
    lot or the arm but that the bag may not be infused."""
    if visit.protocol.visit(visit.code).infusion == 1 and not is_correction:
        refuse_when_waiting(Blocked.INFUSE, patient=patient, on=day_at(patient.site, at))
    try:
        refuse_when_halted(Blocked.INFUSE, patient=patient, at=halted_at)
    except Refused as halt:
        raise RefusedByChecks(halt.errors, [("halted", "")], patient) from None
    lot, visit.patient = lock_lot(lot), patient
    known = replace(readiness_of(visit, at=at, halted_at=halted_at), is_correction=is_correction)
    if reasons := known.reasons_not_to_infuse(lot, masked_eyes=masked_eyes):
        problems = known.of_the_patient if masked_eyes else known.problems_with(lot)
        raise RefusedByChecks({"": reasons}, checks_of(problems), patient)
    return lot


def prepare_infusion(
    *, visit, lot, weight_kg, prepared_dose=None, viability_percent=None, label, prepared_at, confirmed=(), asked=None,
    version=None, by,
):  # fmt: skip
    """Prepare the bag of one infusion: the dose follows from the protocol and the weight.

    Where `asked` is given, a dose off plan and an unlikely weight are asked about first: Questions. What stays so is a
    query when the infusion is recorded."""
    with acting(by, because("infusion prepared")):
        patient = lock_open_patient(visit.patient)  # before any of the visits, as whoever moves the plan does
        visit = lock_visit(visit, version)
        number = _infusion_number(visit)
        if Preparation.objects.filter(patient=patient, number=number).exists():
            raise Refused(_("This infusion was prepared already."))
        if Preparation.objects.filter(label=label).exists():
            raise Refused({"label": [_("This label is on another bag.")]})
        refuse_impossible_day(patient, day_at(patient.site, prepared_at), "prepared_at")
        lot = _refuse_infusion(patient, visit, lot, prepared_at)
        product = visit.protocol.product(lot.product)
        if product.is_cell_product and viability_percent is None:
            raise Refused({"viability_percent": [_("Cells are infused only with their viability after thawing.")]})
        planned = infusing.planned_dose(product, weight_kg)
        dose = planned if prepared_dose is None else prepared_dose
        if asked is not None:
            weight = latest_weight(patient, visit.protocol, day_at(patient.site, prepared_at))
            odd = infusing.problems_of_dose(
                product, planned=planned, given=dose, prepared_for=weight_kg if product.dose.per_kg else None, weight=weight
            )  # fmt: skip
            typed = {"dose_off_plan": ("prepared_dose", dose), "dose_for_weight": ("weight_kg", weight_kg)}
            about = [(p, *typed[p.code]) for p in odd]
            questions = [(Question(p.code, name, str(value), p.text), (p.code, name)) for p, name, value in about]
            ask_first(questions, asked, confirmed)
        return Preparation.objects.create(
            patient=patient,
            protocol_version=visit.protocol_version,
            visit=visit,
            number=number,
            lot=lot,
            weight_kg=weight_kg,
            planned_dose=planned,
            prepared_dose=dose,
            viability_percent=viability_percent,
            label=label,
            prepared_at=prepared_at,
        )


def _weights(protocol, preparation, visit):
    """What the bag was prepared for and what was measured at the visit (kg), where a dose follows from the weight.

    In a masked trial they are compared in all arms alike, or none."""
    products = protocol.products if protocol.is_masked else [protocol.product(preparation.lot.product)]
    if not any(product.dose.per_kg for product in products):
        return {}
    of_visit = Measurement.objects.filter(panel__visit=visit, test=protocol.infusions.weight_test).first()
    return {"prepared_for": preparation.weight_kg, "weight": of_visit.value if of_visit else None}


def _infusion_number(visit):
    number = visit.protocol.visit(visit.code).infusion if visit.is_scheduled else None
    if number is None:
        raise Refused(_("No infusion is planned at this visit."))
    return number


def record_infusion(
    *, visit, started_at, stopped_at, volume_ml, given_percent=Decimal(100), access_site="", premedication="",
    comment="", monitoring=None, interruptions=(), reactions=(), confirmed=(), asked=None, version, reason="", by,
):  # fmt: skip
    """Record how an infusion was given, or correct it.

    `monitoring` is what was typed, by (test code, minute); `interruptions` are (stopped_at, resumed_at, cause),
    `reactions` are (term, began_at, grade). The lot, the halts and the order of infusions are checked under lock.

    Soft problems open a query each, unless in `confirmed`: (check, field). Where `asked` is given, the tokens of what the
    person has been asked, what is not among them is asked first: Questions."""
    monitoring = monitoring or {}
    with acting(by, reason or because("infusion recorded")):
        patient = lock_open_patient(visit.patient)  # before any of the visits, as whoever moves the plan does
        hold_halts()  # what is recorded here may itself meet a stopping rule
        visit = lock_visit(visit)
        protocol, number = visit.protocol, _infusion_number(visit)
        preparation = Preparation.objects.select_related("lot").filter(patient=patient, number=number).first()
        if preparation is None:
            raise Refused(_("The infusion was not prepared: no lot and no dose are known."))
        on = day_at(patient.site, started_at)
        if on < patient.screened_on:
            later = _("The patient was screened later, on %(day)s.") % {"day": patient.screened_on}
            raise Refused({"started_at": [later]})
        infusion = Infusion.objects.select_for_update(of=("self",)).filter(patient=patient, number=number).first()
        if infusion is None:
            check_first_version(version)
        else:
            check_version(infusion, version)
            if not reason.strip():
                raise Refused({"reason": [_("Write why the entry is changed.")]})
        began_before = infusion.started_at if infusion else None
        there = {(m.test, m.minute): m for m in infusion.measurements.all()} if infusion else {}
        read = _read_monitoring(protocol, {key: m.typed for key, m in there.items()} | monitoring)
        problems = _problems_of_the_record(
            visit, preparation, read, started_at=started_at, stopped_at=stopped_at, volume_ml=volume_ml,
            given_percent=given_percent, interruptions=interruptions, reactions=reactions,
        )  # fmt: skip
        if hard := [problem for problem in problems if problem.hard]:
            raise refused_by(hard, patient)
        if started_at != began_before:
            _refuse_infusion(
                patient, visit, preparation.lot, started_at, halted_at=started_at, masked_eyes=protocol.is_masked,
                is_correction=infusion is not None,
            )  # fmt: skip
        content = {
            "started_at": started_at, "stopped_at": stopped_at, "volume_ml": volume_ml,
            "given_percent": given_percent, "access_site": access_site, "premedication": premedication,
            "comment": comment,
        }  # fmt: skip
        if infusion is None:
            infusion = Infusion.objects.create(
                patient=patient,
                protocol_version=visit.protocol_version,
                visit=visit,
                preparation=preparation,
                number=number,
                **content,
            )
        else:
            for name, value in content.items():
                setattr(infusion, name, value)
            next_version(infusion, *content)
            marks_void(record=infusion, reason=reason, by=by)
        tests = {code: protocol.test(code) for code in protocol.infusions.monitoring_tests}
        changed = store_results(
            {(code, minute): (tests[code], result) for (code, minute), result in read.items()},
            there,
            owner={"infusion": infusion}, patient=patient, collected_on=on,
            grading=Grading(protocol, patient, on, answers_at(visit, tests.values())),
        )  # fmt: skip
        _replace_lines(infusion, Interruption, ("stopped_at", "resumed_at", "cause"), interruptions)
        _replace_lines(
            infusion, Reaction, ("term", "began_at", "grade"), reactions,
            more=lambda term, *_others: reaction_columns(protocol, term),
        )  # fmt: skip
        mark_attended(visit, on)
        soft = [*problems, *_problems_of_monitoring(tests, read, protocol.infusions.monitoring_minutes)]
        whole = infusing.whole_of(started_at, stopped_at, volume_ml, given_percent)
        raise_check_queries(
            soft, changed, read=read, patient=patient, infusion=infusion, whole=whole,
            confirmed=[key for key in map(key_of, soft) if (key[0], field_of(*key[1:])) in confirmed],
            asked=_keys_of_tokens(asked or (), protocol.infusions), shown=asked, by=by,
        )  # fmt: skip
        if number == 1 and patient.day_0 != on:
            move_plan(
                patient=patient, day_0=on, reason=because("the first infusion was given on %(day)s", day=on), by=by
            )
        if number == 1 and started_at != began_before:
            ask_for_regrading(patient)  # what was collected before it is the baseline
        for name in settings.AFTER_INFUSION:
            import_string(name)(infusion=infusion, began_before=began_before, by=by)
    return infusion


def _problems_of_the_record(visit, preparation, read, *, given_percent, interruptions, reactions, started_at, **known):
    """What does not fit together, of what is known; `read` are the vital signs by (test, minute)."""
    protocol = visit.protocol
    return infusing.infusion_problems(
        protocol.infusions,
        product=protocol.product(preparation.lot.product),
        # in a masked trial only the part of the bag is judged: the dose in it would tell the arm
        planned=preparation.prepared_dose if protocol.is_masked else preparation.planned_dose,
        given=None if given_percent is None else preparation.prepared_dose * given_percent / 100,
        interruptions=[(stopped, resumed) for stopped, resumed, _cause in interruptions],
        reactions=[began_at for _term, began_at, _grade in reactions],
        monitored_minutes={minute for (_test, minute), result in read.items() if result},
        now=timezone.now(),
        prepared_at=preparation.prepared_at,
        started_at=started_at,
        on=day_at(visit.patient.site, started_at) if started_at else None,
        visit=visit.code,
        window=(visit.earliest, visit.latest),
        visit_on=visit.attended_on,
        **_weights(protocol, preparation, visit),
        **known,
    )


def preview_infusion(
    *, visit, started_at=None, stopped_at=None, volume_ml=None, given_percent=None, monitoring=None, interruptions=(),
    reactions=(),
):  # fmt: skip
    """What recording this would refuse, as sentences, and ask, as Questions: (reasons, questions). Without a lock and
    without a write. The arguments are those of `record_infusion`; what is not known yet is None."""
    patient, protocol, number = visit.patient, visit.protocol, _infusion_number(visit)
    preparation = Preparation.objects.select_related("lot").filter(patient=patient, number=number).first()
    if preparation is None:
        return [_("The infusion was not prepared: no lot and no dose are known.")], []
    infusion = Infusion.objects.filter(patient=patient, number=number).first()
    there = {(m.test, m.minute): m.typed for m in infusion.measurements.all()} if infusion else {}
    typed = there | (monitoring or {})
    read = _read_monitoring(protocol, typed)
    changed = {key for key, value in typed.items() if value != there.get(key, "")}
    problems = _problems_of_the_record(
        visit, preparation, read, started_at=started_at, stopped_at=stopped_at, volume_ml=volume_ml,
        given_percent=given_percent, interruptions=interruptions, reactions=reactions, is_complete=False,
    )  # fmt: skip
    reasons = [str(problem.text) for problem in problems if problem.hard]
    if started_at and (infusion is None or started_at != infusion.started_at):
        if number == 1 and infusion is None:
            reasons += reasons_to_wait(Blocked.INFUSE, patient=patient, on=day_at(patient.site, started_at))
        try:
            refuse_when_halted(Blocked.INFUSE, patient=patient, at=started_at)
        except Refused as halt:
            reasons.append(str(halt))
        known = readiness_of(visit, at=started_at, halted_at=started_at)
        known = replace(known, is_correction=infusion is not None)
        reasons += known.reasons_not_to_infuse(preparation.lot, masked_eyes=protocol.is_masked)
    tests = {code: protocol.test(code) for code in protocol.infusions.monitoring_tests}
    soft = [p for p in problems if not p.hard]
    soft += _problems_of_monitoring(tests, read, protocol.infusions.monitoring_minutes)
    whole = infusing.whole_of(started_at, stopped_at, volume_ml, given_percent)
    asking = not_asked_yet(soft, changed, read=read, infusion=infusion, whole=whole)
    entry = Entry(read, changed, whole, False)
    return list(dict.fromkeys(reasons)), [question_of(problem, entry) for problem in asking]


def preview_grades(*, visit, monitoring):
    """The grades (visits.grading.Grade) that vital signs typed so far would have, by (test, minute). Writes nothing."""
    patient, protocol = visit.patient, visit.protocol
    tests = {code: protocol.test(code) for code in protocol.infusions.monitoring_tests}
    stored = Measurement.objects.filter(infusion__visit=visit)
    there = {(m.test, m.minute): m for m in stored}
    grading = Grading(protocol, patient, visit.on, answers_at(visit, tests.values()))
    about = {"sex": patient.sex, "age": patient.age_on(visit.on), "on": visit.on}
    read = _read_monitoring(protocol, {key: m.typed for key, m in there.items()} | monitoring)
    grades = {
        key: grading.standing(
            tests[key[0]], result, ranges.held_against((), tests[key[0]], result.unit, **about), there.get(key)
        )
        for key, result in read.items() if result
    }  # fmt: skip
    return {key: grade for key, grade in grades.items() if grade}


def _keys_of_tokens(tokens, infusions):
    """What was asked, {(check, test, minute): value}: of what this form can ask."""
    fields = {field_of(test, minute): (test, minute) for test in infusions.monitoring_tests
              for minute in infusions.monitoring_minutes} | {"": ("", None)}  # fmt: skip
    parts = [token.split(":", 2) for token in tokens if token.count(":") >= 2]
    soft = {check.code for check in edit_checks.CHECKS if not check.hard}
    return {(code, *fields[name]): typed for code, name, typed in parts if code in soft and name in fields}


def check_first_version(version):
    """A first save comes with version 0 or none; anything else saw a record that is not there."""
    if version:
        raise Refused(_("The infusion was changed meanwhile. Open the form again."))


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
    text: Sentence
    hard: bool = False


AT_MINUTE = gettext_noop("At %(minute)s minutes: %(text)s")


def _problems_of_monitoring(tests, read, minutes):
    for minute in minutes:
        taken = {code: read.get((code, minute)) for code in tests}
        for problem in edit_checks.problems_between(tests.values(), taken):
            text = Sentence(AT_MINUTE, {"minute": minute, "text": problem.text})
            yield MonitoringProblem(problem.code, problem.test, minute, text)


def _replace_lines(infusion, model, names, lines, more=lambda *line: {}):
    """Make the lines of an infusion be `lines`: new ones are added, those gone are marked as entered in error. `more` gives
    the other columns of a new line."""
    wanted = [tuple(line) for line in lines]
    for record in model.objects.filter(infusion=infusion, is_withdrawn=False):
        key = tuple(getattr(record, name) for name in names)
        if key in wanted:
            wanted.remove(key)
        else:
            record.is_withdrawn = True
            next_version(record, "is_withdrawn")
    model.objects.bulk_create(
        model(
            infusion=infusion,
            patient_id=infusion.patient_id,
            protocol_version=infusion.protocol_version,
            **dict(zip(names, line, strict=True)),
            **more(*line),
        )
        for line in wanted
    )

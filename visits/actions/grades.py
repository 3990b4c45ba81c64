"""Grades of results: given when a result is saved, and given anew by a person, with the reason."""

from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

from django.db.models import F, OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from patients.actions import next_version
from patients.models import Hold, Patient
from trialsite import scales
from trialsite.audit import acting
from trialsite.outbox import ask_for
from trialsite.protocol import Protocol
from trialsite.reasons import because
from trialsite.saving import Refused, check_version
from visits import grading, results
from visits.actions.plan import lock_visit
from visits.actions.reviews import marks_void
from visits.models import GRADE_COLUMNS, Infusion, Measurement, PanelRecord, SupersededGrade
from visits.ranges import Held
from visits.units import rounded, standardised, unit_of

REGRADE = "visits.tasks.regrade_patient"


@dataclass
class Grading:
    """What grades the results of one form: `answers` are what the visit says beside them, by test code; `baseline` are the results
    before the first infusion, each with its grade and direction (visits.edit_checks.Surroundings)."""

    protocol: Protocol
    patient: Patient
    on: date
    answers: dict = field(default_factory=dict)
    baseline: dict = field(default_factory=dict)

    @classmethod
    def of(cls, protocol, patient, on, read, around):
        """From the results of a form, `read` by test code, and what stands beside it."""
        said = {code: grading.answer_of(result) for code, result in (around.same_visit | read).items()}
        return cls(protocol, patient, on, {code: answer for code, answer in said.items() if answer}, around.baseline)

    def grade(self, test, result, against):
        """The grade of a result that is held against a range (None: against none); None where nothing grades it."""
        base = self.baseline.get(test.code)
        return grading.grade_result(
            self.protocol, test, result, answers=self.answers,
            # as they are stored and shown, so that grading anew what is stored gives the same
            low=rounded(against.reported_low) if against else None,
            high=rounded(against.reported_high) if against else None,
            baseline=grading.baseline_value(test, base[0]) if base else None,
            sex=self.patient.sex, age=self.patient.age_on(self.on),
        )  # fmt: skip

    def standing(self, test, result, against, m):
        """The grade, or what a person answered for it (`confirm_grade`) where the stored measurement `m` says so."""
        grade = self.grade(test, result, against)
        if grade is None or not grade.grade or m is None or not m.answered_about:
            return grade
        scale, unit = scales.scale(self.protocol.grading.scale), unit_of(test, result.unit).unit
        row = scale.row(grade.row)
        if m.answered_grade not in dict(grading.grades_to_choose(row, grade.grade)):
            return grade
        asked = grading.digest_of_proposal(
            scale, row, grade.grade, typed=result.typed, unit=unit if test.kind == "number" else ""
        )
        return grading.answered(grade, m.answered_grade) if asked == m.answered_about else grade

    def columns(self, test, result, against, m=None):
        """The grade as it is stored; `m` is the measurement as it was stored before."""
        grade = self.standing(test, result, against, m)
        if grade is None:
            return ungraded()
        scale = scales.scale(self.protocol.grading.scale)
        _result, before, direction = self.baseline.get(test.code, (None, None, ""))
        return {
            "grade": grade.grade,
            "grade_direction": grade.direction,
            "grade_scale": scale.name,
            "grade_scale_version": scale.version,
            "grade_row": grade.row,
            "grade_is_to_confirm": grade.is_to_confirm,
            "baseline_grade": grading.baseline_grade(grade, before, direction),
            "ungraded_because": str(grade.because),
        }


def answers_at(visit, tests):
    """What a visit says on which the grades of these tests depend, by test code."""
    asked = {code for test in tests if test.grade_rows for code in grading.asked_for(test)}
    if not asked:
        return {}
    given = Measurement.objects.filter(patient=visit.patient_id, panel__visit=visit, test__in=asked).exclude(typed="")
    return {m.test: grading.answer_of(result_of(visit.protocol.test(m.test), m)) for m in given}


def is_asked_elsewhere(protocol, tests, changed):
    """Does a grade of another form's result depend on what was changed, given by (test code, minute), on that of `tests`?"""
    codes, own = {code for code, _minute in changed}, {test.code for test in tests}
    return any(codes & grading.asked_for(test) for test in protocol.tests if test.grade_rows and test.code not in own)


def ungraded():
    """The columns of what nothing grades."""
    return {name: Measurement._meta.get_field(name).get_default() for name in GRADE_COLUMNS}


def held_as_stored(m):
    """The range that a stored result is held against."""
    return Held(m.reference_id, m.low, m.high, m.reported_low, m.reported_high)


def grade_anew(m, columns):
    """The measurement with another grade, not yet saved."""
    for name, value in columns.items():
        setattr(m, name, value)
    m.version += 1
    return m


# --- the baseline -----------------------------------------------------------------------------------------


def first_infusion_began():
    """When the first infusion of a measurement's patient began, as an expression."""
    return Subquery(Infusion.objects.filter(patient=OuterRef("patient"), number=1).values("started_at")[:1])


def is_baseline_of(m, patient, on, at):
    """May this result be the baseline of one that was collected on this day, at this time? It is loaded with `at` and
    `treated_at`; of several, the last one is."""
    return _is_parted((m.collected_on, m.at), (on, at), m, patient)


def comes_before(on, at, m, patient):
    """The other way round: may a result of this day and time be the baseline of `m`?"""
    return _is_parted((on, at), (m.collected_on, m.at), m, patient)


def _is_parted(first, second, m, patient):
    """Does the beginning of the treatment lie between the two?"""
    when = _treatment_of(m, patient)
    return grading.is_before_treatment(*first, **when) and not grading.is_before_treatment(*second, **when)


def _treatment_of(m, patient):
    began = m.treated_at and m.treated_at.astimezone(ZoneInfo(patient.site.timezone)).time()
    return {"day_0": patient.day_0, "began_at": began}


def was_before_treatment(m):
    """Is this a result from before the treatment, which is compared with nothing? It is loaded with `treated_at`, its panel or
    infusion, and its patient's site."""
    if m.infusion_id:
        return m.infusion.number == 1 and m.minute == 0
    return grading.is_before_treatment(m.collected_on, m.panel.collected_at, **_treatment_of(m, m.patient))


# --- graded anew ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OtherGrade:
    """A stored result whose grade by what holds now differs from the one it has."""

    measurement: Measurement
    columns: dict  # as they would be stored
    is_closed: bool  # frozen or locked: it is left as it is

    @property
    def form(self):
        return self.measurement.panel or self.measurement.infusion

    @property
    def is_by_the_same_scale(self):
        names = ("grade_scale", "grade_scale_version")
        return all(getattr(self.measurement, name) == self.columns[name] for name in names)

    @property
    def grades(self):
        """(as it is, as it would be), as text."""
        return tuple(
            str(said["ungraded_because"] or ("–" if said["grade"] is None else said["grade"]))
            for said in (columns_of(self.measurement), self.columns)
        )


def columns_of(m):
    return {name: getattr(m, name) for name in GRADE_COLUMNS}


def differing_grades(records=None):
    """The results, among `records` (all), that would now have another grade, row or baseline; by patient and day.

    That is so after another scale or row in a protocol file, after a baseline was entered late or corrected, after day 0 has
    moved, and for results that were entered before anything graded them."""
    found, by_patient = [], {}
    everything = (
        Measurement.objects.exclude(typed="")
        .select_related("patient__site", "panel__visit", "infusion__visit")
        .annotate(at=F("panel__collected_at"), treated_at=first_infusion_began()).order_by("collected_on", "id")
    )  # fmt: skip
    if records is not None:
        everything = everything.filter(patient__in=records.values("patient"))
    for m in everything:
        by_patient.setdefault(m.patient_id, []).append(m)
    wanted = None if records is None else set(records.values_list("pk", flat=True))
    for measured in by_patient.values():
        answers, now = {}, {}
        for m in measured:
            if m.panel_id and (answer := m.text or _number_asked_for(m)):
                answers.setdefault(m.panel.visit_id, {})[m.test] = answer
        for m in measured:
            now[m.pk] = _columns_now(m, measured, answers, now)
            if now[m.pk] != columns_of(m) and (wanted is None or m.pk in wanted):
                visit = (m.panel or m.infusion).visit
                found.append(OtherGrade(m, now[m.pk], (m.patient.hold, visit.hold) != (Hold.OPEN, Hold.OPEN)))
    return sorted(
        found, key=lambda one: (one.measurement.patient.number, one.measurement.collected_on, one.measurement.pk)
    )


def _number_asked_for(m):
    """The number of a result that says a fact about others, as they ask for it; "" for any other."""
    protocol = m.panel.protocol
    if m.value is None or m.test not in protocol.tests_of_measured_facts:
        return ""
    return grading.answer_of(result_of(protocol.test(m.test), m))


def _columns_now(m, measured, answers, now):
    """`measured` are all results of the patient by day, `now` the columns of those that were collected before."""
    form = m.panel or m.infusion
    protocol = form.protocol if m.panel else form.visit.protocol
    if m.test not in protocol.graded_tests:
        return ungraded()
    test, baseline = protocol.test(m.test), {}
    for other in measured if m.panel_id else ():
        is_earlier = other.test == m.test and other.panel_id and other.pk in now
        if is_earlier and is_baseline_of(other, m.patient, m.collected_on, m.at):
            base = now[other.pk]
            baseline[m.test] = (result_of(test, other), base["grade"], base["grade_direction"])
    grading_now = Grading(protocol, m.patient, m.collected_on, answers.get(form.visit_id, {}), baseline)
    return grading_now.columns(
        test, result_of(test, m), held_as_stored(m) if m.low is not None or m.high is not None else None, m
    )


def result_of(test, m):
    """A stored result, exactly as it was typed: the stored value is rounded."""
    unit = "" if m.reported_unit == m.unit else m.reported_unit
    number = results.read_number(m.typed) if test.kind == "number" else None
    value = standardised(number[1], unit_of(test, unit)) if number else None
    return results.Result(m.typed, m.operator, value, m.text, unit)


def ask_for_regrading(patient):
    """A result that others are compared with, or the day of the first infusion, was entered late or changed: a job grades
    the patient's results anew. Called in the transaction that stores it."""
    ask_for(REGRADE, patient_id=patient.pk)


def regrade_patient(*, patient, by):
    """Give the open results of a patient the grade that follows from the baseline as it is now. What another version of
    the scale would say is left to a person. Gives what `regrade` gives."""
    return regrade(reason=because("the baseline was entered late or changed"), patient=patient, by=by)


# --- what a row asks beside the number --------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What a person may say about a stored result beside its number: its `grade` by the number, of a row of a scale.

    `is_proposed`: that grade asks to be confirmed; else it holds, and the result may be raised. `is_answered`: somebody
    answered already."""

    scale: scales.Scale
    row: scales.Row
    grade: int
    is_answered: bool

    @property
    def choices(self):
        return grading.grades_to_choose(self.row, self.grade)

    @property
    def is_proposed(self):
        return dict(self.row.steps)[self.grade].confirm


def proposed_grade(m):
    """What a person is asked about the grade of a stored result, may say of it, or did (Asked); None where the row asks nothing."""
    if not m.grade_row or " " in m.grade_row or not (m.grade or m.answered_about):
        return None
    key = f"{m.grade_scale.lower()}-{m.grade_scale_version}"
    if key not in scales.known_scales():
        return None
    scale = scales.scale(key)
    row = scale.row(m.grade_row)
    if m.answered_about and not m.grade_is_to_confirm:
        for grade, _step in row.steps:
            if m.answered_about == grading.digest_of_proposal(scale, row, grade, typed=m.typed, unit=m.reported_unit):
                return Asked(scale, row, grade, is_answered=True)
    asked = Asked(scale, row, m.grade, is_answered=False) if m.grade else None
    return asked if asked and asked.choices and asked.is_proposed == m.grade_is_to_confirm else None


def confirm_grade(*, measurement, grade, reason="", version, by):
    """The investigator says which grade a result has, where the words of its row ask for more than the number: of a grade
    that is proposed this one, another of the row's clinical ones, or 0 for none of them; of any other, a higher one to
    which clinical facts alone raise it. Another grade than that of the number needs the reason. Raises Refused.

    The answer stays with the result, bound to value, row and words (`answered_about`): grading anew keeps it as long as
    these are the same, and asks again when they are not."""
    with acting(by, reason or because("the proposed grade was answered")):
        form = measurement.panel or measurement.infusion
        visit = lock_visit(form.visit)
        form = type(form).objects.select_for_update(of=("self",)).get(pk=form.pk)
        m = Measurement.objects.select_for_update(of=("self",)).get(pk=measurement.pk)
        check_version(m, version)
        asked = proposed_grade(m)
        if asked is None:
            raise Refused(_("This grade does not ask for an answer any more. Open the form again."))
        if grade not in dict(asked.choices):
            raise Refused({"grade": [_("Choose one of the grades of the row.")]})
        if grade == m.grade and not m.grade_is_to_confirm:
            raise Refused({"grade": [_("The result has this grade already.")]})
        if not reason.strip() and (grade != asked.grade or not m.grade_is_to_confirm):
            raise Refused({"reason": [_("Write why the grade is another one.")]})
        is_another = grade != m.grade
        if is_another:
            SupersededGrade.objects.create(
                patient_id=m.patient_id, measurement=m, reason=reason.strip()[:500], superseded_by=by, **columns_of(m)
            )
        # a dipstick has no direction in its row: its grades are highs, as `grade_of` gives them
        direction = {"low": grading.LOW}.get(asked.row.direction, grading.HIGH)
        m.grade, m.grade_direction, m.grade_is_to_confirm = grade, direction if grade else "", False
        m.answered_grade, m.answered_by, m.answered_at = grade, by, timezone.now()
        m.answered_about = grading.digest_of_proposal(
            asked.scale, asked.row, asked.grade, typed=m.typed, unit=m.reported_unit
        )
        next_version(m, "grade", "grade_direction", "grade_is_to_confirm", "answered_grade", "answered_by", "answered_at",
                     "answered_about")  # fmt: skip
        next_version(form)
        fields = {m.test} if isinstance(form, PanelRecord) else None
        marks_void(record=form, fields=fields, reason=reason or because("the proposed grade was answered"), by=by)
        if is_another:
            ask_for_regrading(visit.patient)
    return m


def regrade(*, reason, patient=None, by):
    """Give every open result that differs the grade that holds now, with the reason. The old grade stays as a record of its
    own; marks on the changed results become void. Gives (those changed, those left: frozen or locked).

    With a `patient` only this one's, and only by the version of the scale that graded them."""
    if not reason.strip():
        raise Refused({"reason": [_("Write why results are graded anew.")]})
    with acting(by, reason):
        patients = [patient.pk] if patient else sorted({one.measurement.patient_id for one in differing_grades()})
        list(Patient.objects.select_for_update().filter(pk__in=patients).order_by("pk"))  # no form of theirs moves now
        differing = differing_grades(Measurement.objects.filter(patient__in=patients))
        if patient:
            differing = [one for one in differing if one.is_by_the_same_scale]
        wanted = [one for one in differing if not one.is_closed]
        old = [
            SupersededGrade(
                patient_id=one.measurement.patient_id, measurement=one.measurement, reason=reason.strip()[:500],
                superseded_by=by, **columns_of(one.measurement),
            )
            for one in wanted if one.measurement.grade_scale
        ]  # fmt: skip
        SupersededGrade.objects.bulk_create(old)
        changed = [grade_anew(one.measurement, one.columns) for one in wanted]
        Measurement.objects.bulk_update(changed, [*GRADE_COLUMNS, "version"], batch_size=500)
        touched = {}
        for one in wanted:
            touched.setdefault(one.form, set()).add(one.measurement.test)
        for form, tests in touched.items():  # whoever has the form open sees the change before saving
            next_version(form)
            marks_void(record=form, fields=tests if isinstance(form, PanelRecord) else None, reason=reason, by=by)
    return wanted, [one for one in differing if one.is_closed]

"""Grades of results: given when a result is saved, and given anew by a person, with the reason."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

from django.db.models import F, OuterRef, Subquery
from django.utils.translation import gettext as _

from patients.models import Hold, Patient
from trialsite import scales
from trialsite.audit import acting
from trialsite.protocol import Protocol
from trialsite.saving import Refused
from visits import grading, results
from visits.actions.reviews import marks_void
from visits.models import GRADE_COLUMNS, Infusion, Measurement, PanelRecord, SupersededGrade
from visits.ranges import Held
from visits.units import rounded, units_of


@dataclass
class Grading:
    """What grades the results of one form: `answers` are the choices of the visit, by test code; `baseline` are the results
    before the first infusion, each with its grade and direction (visits.edit_checks.Surroundings)."""

    protocol: Protocol
    patient: Patient
    on: date
    answers: dict = field(default_factory=dict)
    baseline: dict = field(default_factory=dict)

    @classmethod
    def of(cls, protocol, patient, on, read, around):
        """From the results of a form, `read` by test code, and what stands beside it."""
        choices = {code: result.text for code, result in (around.same_visit | read).items() if result and result.text}
        return cls(protocol, patient, on, choices, around.baseline)

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

    def columns(self, test, result, against):
        """The grade as it is stored."""
        grade = self.grade(test, result, against)
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
    """The choices at a visit on which the grades of these tests depend, by test code."""
    asked = {code for test in tests if test.grade_rows for code in grading.asked_for(test)}
    if not asked:
        return {}
    given = Measurement.objects.filter(patient=visit.patient_id, panel__visit=visit, test__in=asked).exclude(typed="")
    return dict(given.values_list("test", "text"))


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
    began = m.treated_at and m.treated_at.astimezone(ZoneInfo(patient.site.timezone)).time()
    when = {"day_0": patient.day_0, "began_at": began}
    return grading.is_before_treatment(m.collected_on, m.at, **when) and not grading.is_before_treatment(on, at, **when)

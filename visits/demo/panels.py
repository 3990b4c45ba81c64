"""Visits with their panels: entered, not done, missed."""

from decimal import Decimal

from trialsite.audit import acting
from trialsite.clock import today_at
from trialsite.reasons import because
from visits import actions
from visits.demo.bodies import body_of
from visits.laboratories import default_laboratory, ranges_for
from visits.models import PanelState, Visit
from visits.units import in_unit, rounded, unit_of


def visit_of(patient, code):
    return Visit.objects.get(patient=patient, code=code)


def enter_panel(*, panel, by, on=None, body=None, slips=None, found=None):
    """Enter all tests of a panel. `slips` are typed instead of what was measured, by the code of the test; `found` likewise, of
    what is implausible and was looked up in the source."""
    visit, patient = panel.visit, panel.patient
    on = on or visit.attended_on or min(visit.planned_on, today_at(patient.site))
    body = body or body_of(patient)
    day = (on - patient.day_0).days if patient.day_0 else -1
    typed = {
        test.code: body.typed(test, day, visit.code)
        for test in panel.protocol.tests_of(panel.code)
        if not test.computed
    }
    laboratory = default_laboratory(panel) if panel.laboratory_id is None else panel.laboratory
    found = found or {}
    units = units_of_laboratory(panel, laboratory, on, without={**(slips or {}), **found})
    typed = {code: in_its_unit(text, units[code]) if code in units else text for code, text in typed.items()}
    return actions.record_panel(
        panel=panel, values=typed | (slips or {}) | found, collected_on=on,
        confirmed=[*(("alert", code) for code in typed), *(("implausible", code) for code in found)],
        laboratory=laboratory, version=None, by=by,
        units={code: unit.unit for code, unit in units.items()},
    )  # fmt: skip


def units_of_laboratory(panel, laboratory, on, without=()):
    """The unit of each test that the laboratory reports in another one than the protocol's: that of its ranges."""
    tests = {test.code: test for test in panel.protocol.tests_of(panel.code) if not test.computed}
    held = {r.test: r.unit for r in ranges_for(panel, laboratory, on) if r.test in tests and r.test not in without}
    return {code: unit_of(tests[code], unit) for code, unit in held.items() if unit != tests[code].unit}


def in_its_unit(typed, unit):
    """A plain number in the protocol's unit as a laboratory reports it in another."""
    return f"{rounded(in_unit(Decimal(typed), unit), places=unit.decimals):f}" if typed else ""


def enter_visit(*, patient, code, by, on=None, body=None, panels=None, not_done=None, slips=None, found=None):
    """Enter the panels of a visit that are still expected: all, or those whose codes are in `panels`.

    `not_done` says, by the code of a panel, why it was not done; `slips` and `found` are typed by code of the test."""
    body, not_done, slips, found = body or body_of(patient), not_done or {}, slips or {}, found or {}
    with acting(by, because("first entry")):
        visit = visit_of(patient, code)
        visit.patient = patient
        for panel in visit.panels.filter(state=PanelState.EXPECTED):
            panel.patient, panel.visit = patient, visit
            if panel.code in not_done:
                actions.mark_panel_not_done(panel=panel, not_done_because=not_done[panel.code], version=None, by=by)
            elif panels is None or panel.code in panels:
                tests = patient.protocol.panel(panel.code).tests
                mine, there = ({t: typed for t, typed in each.items() if t in tests} for each in (slips, found))
                enter_panel(panel=panel, by=by, on=on, body=body, slips=mine, found=there)
    return visit_of(patient, code)


def enter_screening(*, patient, by, on=None, body=None, panels=None, slips=None):
    """Enter all screening visits, on the days for which they are planned (not after today). Gives the visits."""
    today = today_at(patient.site)
    return [
        enter_visit(
            patient=patient, code=visit.code, by=by, on=on or min(visit.planned_on, today), body=body, panels=panels,
            slips=slips,
        )
        for visit in Visit.objects.filter(patient=patient, day__lt=0)
    ]  # fmt: skip


def miss_visit(*, patient, code, by, because="The patient was travelling and could not be reached"):
    return actions.record_missed_visit(visit=visit_of(patient, code), missed_because=because, version=None, by=by)

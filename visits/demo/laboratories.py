"""Laboratories and their ranges."""

from visits import actions
from visits.laboratories import laboratory_tests
from visits.ranges import Range, to_csv
from visits.units import in_unit, rounded, unit_of


def make_laboratory(*, site, protocol, on, by, other_units=()):
    """The laboratory of a site, with a range for each test of blood for which the protocol has one, from a day on.

    It reports the tests in `other_units` in the first other unit of the protocol."""
    laboratory = actions.create_laboratory(
        site=site, code=f"LAB{site.code}", name=f"Clinical laboratory, {site.name}"[:200], by=by
    )
    there = []
    for test in [test for test in laboratory_tests(protocol) if test.reference]:
        unit = unit_of(test, test.units[0].unit if test.code in other_units and test.units else "")
        for reference in test.reference:
            low, high = (
                bound and rounded(in_unit(bound, unit), places=unit.decimals)
                for bound in (reference.low, reference.high)
            )
            there.append(Range(test.code, unit.unit, on, low, high, reference.sex or ""))
    if there:
        actions.import_ranges(laboratory=laboratory, text=to_csv(there), by=by)
    return laboratory


def change_ranges(*, laboratory, tests, on, by, by_percent=-10):
    """A new analyser: the upper limits of some tests differ from a day on."""
    present = [r for r in laboratory.ranges.in_force(on) if r.test in tests and r.high is not None]
    changed = [
        Range(r.test, r.unit, on, r.low, rounded(r.high * (100 + by_percent) / 100, places=2), r.sex) for r in present
    ]
    if changed:
        actions.import_ranges(laboratory=laboratory, text=to_csv(changed), ends_earlier=True, by=by)

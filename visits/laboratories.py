"""What a laboratory measures, and what a panel's form asks about laboratories and their ranges. Reads only."""

from visits.models import Laboratory, ReferenceRange


def laboratory_tests(protocol):
    """The tests that a laboratory measures: those of a specimen, in the protocol's order."""
    of_panels = {code for panel in protocol.panels if panel.specimen for code in panel.tests}
    return [test for test in protocol.tests if test.specimen or test.code in of_panels]


def is_measured_in_laboratory(panel):
    """Does a laboratory measure any test of this panel?"""
    tests = set(panel.protocol.panel(panel.code).tests)
    return any(test.code in tests for test in laboratory_tests(panel.protocol))


def laboratories_for(panel):
    """The laboratories to choose from for a panel: those in use that measure for its site, and the one it names."""
    if not is_measured_in_laboratory(panel):
        return Laboratory.objects.none()
    return Laboratory.objects.serving(panel.patient.site_id) | Laboratory.objects.filter(pk=panel.laboratory_id)


def default_laboratory(panel, laboratories=None):
    """What the form offers before anything is entered: the only laboratory there is, or none."""
    found = list(laboratories_for(panel)) if laboratories is None else list(laboratories)
    return found[0] if len(found) == 1 else None


def ranges_for(panel, laboratory, on):
    """The ranges of a laboratory for the tests of a panel on a day, for `visits.ranges`; one query, none without."""
    if laboratory is None or on is None:
        return []
    tests = panel.protocol.panel(panel.code).tests
    return list(ReferenceRange.objects.in_force(on).filter(laboratory=laboratory, test__in=tests))

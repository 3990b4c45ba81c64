"""Checks by their code, and by the tests that they look at in a protocol."""

from django.utils.translation import gettext

from trialsite.protocol import Protocol, Test
from visits.edit_checks.kinds import Check, PartsWithin, Problem, Subject
from visits.edit_checks.table import BY_CODE, CHECKS


def title_of(code: str) -> str:
    """The title of a check in the language of the reader."""
    return gettext(BY_CODE[code].title) if code in BY_CODE else code


def problem(code: str, test: str = "", /, **values) -> Problem:
    """What the check of this code says, with the values of its sentence."""
    return BY_CODE[code].problem(test, **values)


def compared_by(code: str, test: str) -> tuple[str, ...]:
    """The tests whose change can settle what the check asked about `test`."""
    check = BY_CODE.get(code)
    return check.tests if check and check.tests else ((test,) if test else ())


def retirement_key(code: str, test: str) -> tuple[str, str]:
    """(check, test) under which a check is counted and retired: those of single values for one test, the others as a
    whole."""
    check = BY_CODE.get(code)
    return (code, test) if check and check.is_of_each_test else (code, "")


def each_speaks_of(check: Check, protocol: Protocol) -> list[Test]:
    """The tests of the protocol that a check of single values looks at."""
    return [test for test in protocol.tests if _LOOKS_AT[check.code](test)]


_LOOKS_AT = {
    "impossible": lambda test: test.possible is not None and test.kind == "number",
    "implausible": lambda test: test.plausible is not None,
    "alert": lambda test: any(choice.alert for choice in test.choices),
}


def is_in(check: Check, protocol: Protocol) -> bool:
    """Can the check speak in this trial?"""
    if check.subject == Subject.INFUSION:
        return protocol.infusions is not None
    if check.is_of_each_test:
        return bool(each_speaks_of(check, protocol))
    known = {test.code: test for test in protocol.tests}
    if not set(check.tests) <= set(known):
        return False
    return not (isinstance(check, PartsWithin) and any(known[part].computed for part in check.parts))


def looked_up(protocol: Protocol, panel: str) -> tuple[set[str], set[str]]:
    """The codes of those tests whose result at other forms of the visit, and whose earlier result, a check of this
    panel asks for: `Surroundings.same_visit` and `previous` need no others."""
    own = set(protocol.panel(panel).tests)
    known = {test.code for test in protocol.tests}
    speaking = [check for check in CHECKS if check.tests and set(check.tests) <= known and own & set(check.tests)]
    elsewhere = {code for check in speaking for code in check.tests} - own
    return elsewhere, {code for check in speaking for code in check.earlier}

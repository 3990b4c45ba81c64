"""Which checks this trial runs, and what came of them: the rows of the page and of docs/checks.md.

The text comes from the declarations (visits/edit_checks/table.py) and the protocol, the numbers from CheckFiring. No patient
is named and no value: what a check did is counted over the sites that the reader may see."""

from dataclasses import dataclass

from django.db.models import Count, Q, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from trialsite.words import listed
from visits import edit_checks
from visits.models import CheckFiring, CheckRefusal, Outcome, RetiredCheck

# a check is proposed for retirement once it has spoken so often and changed nothing in more than this share of times
LEAST_FIRINGS = 10
USELESS_ABOVE_PERCENT = 80

HARD, SOFT = gettext_lazy("hard"), gettext_lazy("soft")


@dataclass(frozen=True)
class Statistics:
    """How often a soft check spoke, what became of it, and how often the value was changed, then or later; how often a
    hard one refused a save."""

    fired: int = 0
    corrected: int = 0
    confirmed: int = 0
    queried: int = 0
    changed: int = 0
    refused: int = 0

    def __add__(self, other):
        return Statistics(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def changed_percent(self):
        return round(100 * self.changed / self.fired) if self.fired else None

    @property
    def is_useless(self):
        """Did it change nothing in more than the share of times?"""
        return (self.fired - self.changed) * 100 > USELESS_ABOVE_PERCENT * self.fired

    @property
    def is_proposed(self):
        return self.fired >= LEAST_FIRINGS and self.is_useless


def statistics_for(user):
    """Statistics by the key under which a check is retired; two queries."""
    outcomes = {str(outcome): Count("id", filter=Q(outcome=outcome)) for outcome in Outcome}
    counted = (
        CheckFiring.objects.visible_to(user).order_by().values("check_code", "test")
        .annotate(fired=Count("id"), changed=Count("id", filter=Q(has_changed_value=True)), **outcomes)
    )  # fmt: skip
    found = {}
    for row in counted:
        key = edit_checks.retirement_key(row.pop("check_code"), row.pop("test"))
        found[key] = found.get(key, Statistics()) + Statistics(**row)
    refusals = CheckRefusal.objects.visible_to(user).order_by().values_list("check_code", "test")
    for code, test, number in refusals.annotate(n=Sum("number")):
        found[code, test] = found.get((code, test), Statistics()) + Statistics(refused=number)
    return found


def where_of(check, protocol):
    """On which panels of the protocol the check looks; "" when it is about no test."""
    if check.is_of_each_test:
        return _("%(number)s tests") % {"number": len(edit_checks.each_speaks_of(check, protocol))}
    if check.tests:
        panels = [panel.name for panel in protocol.panels if set(check.tests) & set(panel.tests)]
        watched = protocol.infusions and set(check.tests) & set(protocol.infusions.monitoring_tests)
        return listed([*panels, _("vital signs during an infusion")] if watched else panels)
    return ""


def table(protocol, statistics, retired):
    """A row per check that can speak in this trial."""
    return [
        {
            "check": check, "subject": _(check.subject), "title": _(check.title), "why": _(check.why),
            "where": where_of(check, protocol), "bounds": check.bounds, "kind": HARD if check.hard else SOFT,
            **_state((check.code, ""), check, statistics, retired, protocol),
        }
        for check in edit_checks.CHECKS if edit_checks.is_in(check, protocol)
    ]  # fmt: skip


def table_of_tests(protocol, statistics, retired):
    """A row per test and soft check of its single values."""
    rows = []
    for check in edit_checks.CHECKS:
        if not check.is_of_each_test or check.hard:
            continue
        for test in edit_checks.each_speaks_of(check, protocol):
            panels = [panel.name for panel in protocol.panels if test.code in panel.tests]
            rows.append({
                "check": check, "title": _(check.title), "test": test, "where": listed(panels),
                "bounds": _bounds_of(check, test), **_state((check.code, test.code), check, statistics, retired, protocol),
            })  # fmt: skip
    return rows


def _bounds_of(check, test):
    if check.code == "alert":
        return listed(choice.label for choice in test.choices if choice.alert)
    return f"{test.plausible[0]}–{test.plausible[1]}"


def _state(key, check, statistics, retired, protocol):
    """What came of the check so far: of one of single values, over all its tests unless `key` names one.

    Over all its tests, a check may have spoken often enough to be judged where each test alone has not: then it is
    proposed in its own row, which names the tests (`useless_tests`) for which it can be retired."""
    code, test = key
    by_test = check.is_of_each_test and not test
    gone = retired.get(key)
    numbers, useless_tests = statistics.get(key, Statistics()), []
    is_proposed = numbers.is_proposed
    if by_test:
        of_tests = {its_test: s for (its, its_test), s in statistics.items() if its == code}
        numbers = sum(of_tests.values(), Statistics())
        speaking = {its_test: s for its_test, s in of_tests.items() if (code, its_test) not in retired}
        useless = {its_test for its_test, s in speaking.items() if s.fired and s.is_useless}
        useless_tests = [one for one in edit_checks.each_speaks_of(check, protocol) if one.code in useless]
        is_proposed = bool(useless_tests) and sum(speaking.values(), Statistics()).is_proposed
    return {
        "statistics": numbers, "retired": gone, "key": "-".join(filter(None, key)),
        "may_retire": not (check.hard or by_test or gone), "useless_tests": useless_tests,
        "is_proposed": is_proposed and not (check.hard or gone),
    }  # fmt: skip


def retired_now():
    """The retired checks by their key; one query."""
    current = RetiredCheck.objects.filter(restored_at=None).select_related("retired_by")
    return {(retired.check_code, retired.test): retired for retired in current}


def key_named(text, protocol):
    """(check, test) of a soft check that can be retired in this trial, from its key in an address; or None."""
    code, _dash, test = text.partition("-")
    check = edit_checks.BY_CODE.get(code)
    if check is None or check.hard or not edit_checks.is_in(check, protocol):
        return None
    known = {test.code for test in edit_checks.each_speaks_of(check, protocol)} if check.is_of_each_test else {""}
    return (code, test) if test in known else None


def page(protocol):
    """docs/checks.md."""
    lines = [
        "# Edit checks",
        "",
        "Printed by `manage.py list_checks --markdown > docs/checks.md` from `visits/edit_checks/table.py` and the protocol",
        "of this trial; a test keeps the two equal. A hard check refuses; a soft one asks, and opens a query unless the value",
        "is confirmed. The page “Checks” of the program shows the same with what came of each: how often it spoke, and how",
        f"often that changed a value. A check that spoke {LEAST_FIRINGS} times or more and changed nothing in over",
        f"{USELESS_ABOVE_PERCENT} % of them is proposed for retirement: for a test, or over all tests together. A hard check",
        "shows how often it refused a save. Bounds of single values stand in the protocol file.",
        "",
    ]  # fmt: skip
    rows = table(protocol, {}, {})
    for subject in dict.fromkeys(row["subject"] for row in rows):
        lines += [
            f"## {subject.capitalize()}",
            "",
            "| check | code | | where | bounds | why |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['title']} | `{row['check'].code}` | {row['kind']} | {row['where']} | {row['bounds']} | {row['why']} |"
            for row in rows if row["subject"] == subject
        ]  # fmt: skip
        lines.append("")
    return "\n".join(lines)

"""Which checks this trial runs, and what came of them: the rows of the page and of docs/checks.md.

The text comes from the declarations (visits/edit_checks/table.py) and the protocol, the numbers from CheckFiring. No patient
is named and no value: what a check did is counted over the sites that the reader may see."""

from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from trialsite.words import listed
from visits import edit_checks
from visits.models import CheckFiring, Outcome, RetiredCheck

# a check is proposed for retirement once it has spoken so often and changed nothing in more than this share of times
LEAST_FIRINGS = 10
USELESS_ABOVE_PERCENT = 80

HARD, SOFT = gettext_lazy("hard"), gettext_lazy("soft")


@dataclass(frozen=True)
class Statistics:
    """How often a check spoke, what became of it, and how often the value was changed, then or later."""

    fired: int = 0
    corrected: int = 0
    confirmed: int = 0
    queried: int = 0
    changed: int = 0

    def __add__(self, other):
        return Statistics(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def changed_percent(self):
        return round(100 * self.changed / self.fired) if self.fired else None

    @property
    def is_proposed(self):
        useless = (self.fired - self.changed) * 100 > USELESS_ABOVE_PERCENT * self.fired
        return self.fired >= LEAST_FIRINGS and useless


def statistics_for(user):
    """Statistics by the key under which a check is retired; one query."""
    outcomes = {str(outcome): Count("id", filter=Q(outcome=outcome)) for outcome in Outcome}
    counted = (
        CheckFiring.objects.visible_to(user).order_by().values("check_code", "test")
        .annotate(fired=Count("id"), changed=Count("id", filter=Q(has_changed_value=True)), **outcomes)
    )  # fmt: skip
    found = {}
    for row in counted:
        key = edit_checks.retirement_key(row.pop("check_code"), row.pop("test"))
        found[key] = found.get(key, Statistics()) + Statistics(**row)
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
            **_state((check.code, ""), check, statistics, retired),
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
                "bounds": _bounds_of(check, test), **_state((check.code, test.code), check, statistics, retired),
            })  # fmt: skip
    return rows


def _bounds_of(check, test):
    if check.code == "alert":
        return ", ".join(choice.label for choice in test.choices if choice.alert)
    return f"{test.plausible[0]}–{test.plausible[1]}"


def _state(key, check, statistics, retired):
    """What came of the check so far: of one of single values, over all its tests unless `key` names one."""
    code, test = key
    numbers = statistics.get(key)
    if check.is_of_each_test and not test:
        numbers = sum((s for (its, _test), s in statistics.items() if its == code), Statistics())
    numbers = numbers or Statistics()
    gone = retired.get(key)
    by_test = check.is_of_each_test and not test
    return {
        "statistics": numbers, "retired": gone, "key": "-".join(filter(None, key)),
        "may_retire": not (check.hard or by_test or gone),
        "is_proposed": numbers.is_proposed and not (check.hard or by_test or gone),
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
        f"{USELESS_ABOVE_PERCENT} % of them is proposed for retirement. Bounds of single values stand in the protocol file.",
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

"""`manage.py print_states`: prints docs/states.md, the states of everything that has states, from the code itself."""

from django.core.management.base import BaseCommand
from django.utils.translation import override

from patients.models import TRANSITIONS, Hold, State
from visits.models import PANEL_TRANSITIONS, QUERY_TRANSITIONS, Mark, PanelState, QueryState
from visits.reviews import NEEDS, NO_MARK, STEPS, VOID, VOIDED_BY


class Command(BaseCommand):
    help = "Print docs/states.md: the diagrams of all states, and what each step needs."
    requires_system_checks = []

    def handle(self, **options):
        with override("en"):
            self.stdout.write(page(), ending="")


def page():
    marks = {name: step for name, step in STEPS.items() if step.of == "mark"}
    holds = {name: step for name, step in STEPS.items() if step.of == "hold"}
    return "\n".join([
        "# States",
        "",
        "Printed by `manage.py print_states > docs/states.md` from the dicts that the code itself asks; a test keeps the two",
        "equal.",
        "",
        "## Patient (`patients.models.TRANSITIONS`)",
        "",
        *diagram(State, [(one, other, "") for one, others in TRANSITIONS.items() for other in in_order(State, others)]),
        "## Panel (`visits.models.PANEL_TRANSITIONS`)",
        "",
        *diagram(
            PanelState, [(a, b, "") for a, others in PANEL_TRANSITIONS.items() for b in in_order(PanelState, others)]
        ),
        "## Query (`visits.models.QUERY_TRANSITIONS`)",
        "",
        *diagram(
            QueryState, [(a, b, "") for a, others in QUERY_TRANSITIONS.items() for b in in_order(QueryState, others)]
        ),
        "## Marks on a form (`visits.reviews.STEPS`)",
        "",
        "Each mark stands on its own; a panel is verified field by field. Who takes a mark back makes it void, too.",
        "",
        *marks_diagram(marks),
        *steps_table(marks),
        "",
        "| mark | becomes void by |",
        "|---|---|",
        *[f"| {mark.label} | {VOIDED_BY[mark]} |" for mark in Mark],
        "",
        "The signature of a casebook is about frozen records; opening them makes it void.",
        "",
        "## Holds on a visit, and on all records of a patient (`visits.reviews.STEPS`)",
        "",
        "Of the visit's and the patient's hold the stricter one counts. Frozen: no data are changed; queries are answered,",
        "and marks set. Locked: nothing is added or changed.",
        "",
        *diagram(Hold, [(b, step.after, name) for name, step in holds.items() for b in step.before]),
        *steps_table(holds),
        "",
    ])  # fmt: skip


def in_order(states, some):
    return [state for state in states if state in some]


def node(state):
    return str(state) or "none"


def diagram(states, arrows):
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{state.label}" as {node(state)}' for state in states]
    lines += [f"    {node(a)} --> {node(b)}" + (f": {words}" if words else "") for a, b, words in arrows]
    return [*lines, "```", ""]


def marks_diagram(steps):
    lines = ["```mermaid", "stateDiagram-v2", '    state "not marked" as none']
    lines += [f'    state "{mark.label}" as {mark}' for mark in Mark]
    for name, step in steps.items():
        lines += [f"    {node(before)} --> {step.after}: {name}" for before in step.before if before in (NO_MARK, VOID)]
    lines += [f"    {mark} --> void: change" for mark in Mark]
    return [*lines, "```", ""]


def steps_table(steps):
    lines = ["| step | who may | needs |", "|---|---|---|"]
    for name, step in steps.items():
        needs = [NEEDS[key][2] for key in step.needs] + (["a reason"] if step.reasoned else [])
        lines.append(f"| {name} | {step.permission.value} | {'; '.join(needs)} |")
    return lines

"""When a form may be marked and records held, as a truth table; what voids which mark; and that the docs print it."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from patients.models import Hold
from visits.models import Mark
from visits.reviews import (
    MEANING_OF_CASEBOOK,
    MEANINGS,
    NEEDS,
    STEPS,
    Standing,
    is_voided,
    may,
    reasons_not_to,
    stricter,
)

READY = Standing()
FROZEN, LOCKED = Standing(hold=Hold.FROZEN), Standing(hold=Hold.LOCKED)
TABLE = [
    # step, where it stands, may it be taken
    ("verify", READY, True), ("review", READY, True), ("sign", READY, True),
    ("verify", Standing(has_entries=False), False), ("sign", Standing(has_entries=False), False),
    ("verify", Standing(pending=1), False), ("review", Standing(pending=1), False), ("sign", Standing(pending=1), False),
    ("verify", Standing(open_queries=1), True), ("review", Standing(open_queries=1), False),
    ("sign", Standing(open_queries=1), False), ("sign", Standing(unclosed_queries=1), True),
    ("sign", Standing(is_withdrawn=True), False), ("verify", Standing(is_withdrawn=True), False),
    ("verify", FROZEN, True), ("review", FROZEN, True), ("sign", FROZEN, True),
    ("verify", LOCKED, False), ("review", LOCKED, False), ("sign", LOCKED, False),
    ("sign", Standing(hold_above=Hold.LOCKED), False), ("sign", Standing(hold_above=Hold.FROZEN), True),
    ("sign", Standing(marks=frozenset({(Mark.SIGNED, "")})), False),
    ("sign", Standing(marks=frozenset({(Mark.REVIEWED, "")})), True),
    ("sign_casebook", READY, False), ("sign_casebook", FROZEN, True), ("sign_casebook", LOCKED, False),
    ("sign_casebook", Standing(hold=Hold.FROZEN, is_over=False), False),
    ("sign_casebook", Standing(hold=Hold.FROZEN, open_queries=1), False),
    ("freeze", READY, True), ("freeze", FROZEN, False), ("freeze", LOCKED, False),
    ("freeze", Standing(is_over=False), False), ("freeze", Standing(pending=1), False),
    ("freeze", Standing(open_queries=1), False), ("freeze", Standing(unclosed_queries=1), True),
    ("freeze", Standing(unsigned=1), True),
    ("lock", READY, True), ("lock", FROZEN, True), ("lock", LOCKED, False), ("lock", Standing(is_over=False), False),
    ("lock", Standing(pending=1), False), ("lock", Standing(unclosed_queries=1), False),
    ("lock", Standing(unsigned=1), False),
    ("unfreeze", FROZEN, True), ("unfreeze", READY, False), ("unfreeze", LOCKED, False),
    ("unfreeze", Standing(hold=Hold.FROZEN, hold_above=Hold.FROZEN), False),
    ("unlock", LOCKED, True), ("unlock", FROZEN, False), ("unlock", READY, False),
    ("unlock", Standing(hold=Hold.LOCKED, hold_above=Hold.LOCKED), False),
    ("unlock_frozen", LOCKED, True), ("unlock_frozen", FROZEN, False),
    ("unlock_frozen", Standing(hold=Hold.LOCKED, hold_above=Hold.FROZEN), True),
    ("unlock_frozen", Standing(hold=Hold.LOCKED, hold_above=Hold.LOCKED), False),
]  # fmt: skip


@pytest.mark.parametrize(("step", "standing", "allowed"), TABLE)
def test_a_step_may_be_taken_from_here(step, standing, allowed):
    assert may(step, standing) is allowed
    assert bool(reasons_not_to(step, standing)) is not allowed


def test_the_table_asks_about_every_step_and_every_need():
    assert {step for step, _, _ in TABLE} == set(STEPS)
    assert {key for step in STEPS.values() for key in step.needs} == set(NEEDS)


def test_every_reason_is_a_sentence_with_its_count():
    standing = Standing(
        has_entries=False, is_over=False, pending=2, open_queries=3, unclosed_queries=4, unsigned=5, is_withdrawn=True,
        hold=Hold.LOCKED, hold_above=Hold.LOCKED,
    )  # fmt: skip
    for step in STEPS:
        for reason in reasons_not_to(step, standing):
            assert str(reason)[0].isupper() and str(reason).endswith(".") and "%(" not in str(reason)
    assert "panels 2" in " ".join(map(str, reasons_not_to("lock", standing)))


@pytest.mark.parametrize(
    ("field", "changed", "void"),
    [("", {"ALT"}, True), ("", set(), True), ("", None, True), ("ALT", {"ALT"}, True), ("ALT", {"AST"}, False),
     ("ALT", set(), False), ("ALT", None, True)],
)  # fmt: skip
def test_a_change_makes_void_what_is_about_it(field, changed, void):
    assert is_voided(Mark.VERIFIED, field, changed) is void


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [("", "", ""), ("", "frozen", "frozen"), ("locked", "frozen", "locked"), ("frozen", "locked", "locked")],
)
def test_the_stricter_hold_counts(one, other, both):
    assert stricter(one, other) == both == stricter(other, one)


def test_what_is_opened_again_needs_a_reason_and_nothing_else_does():
    assert {name for name, step in STEPS.items() if step.reasoned} == {"unfreeze", "unlock", "unlock_frozen"}


def test_each_meaning_is_one_sentence_of_its_own():
    assert len({*MEANINGS, MEANING_OF_CASEBOOK}) == len(MEANINGS) + 1
    assert all(len(meaning) <= 300 for meaning in (*MEANINGS, MEANING_OF_CASEBOOK))


def test_the_documentation_shows_the_states_of_the_code():
    out = StringIO()
    call_command("print_states", stdout=out)
    assert out.getvalue() == (Path(__file__).parents[2] / "docs" / "states.md").read_text(encoding="utf-8")

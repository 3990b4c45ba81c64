"""What the trail says in words: every field has a name in both languages, every code is told, every reason of the system."""

import ast
import re
import tomllib
from collections import Counter

import pytest
from django.utils import translation
from django.utils.functional import Promise

from patients.models import AllocationSlot, Halt, Patient
from safety.dictionary import terms
from tests.test_house import SOURCES, name_of
from trialsite import scales, trial
from trialsite.audit import audited_models
from trialsite.ctcae import FOLDER, names, term_told, terms_named
from trialsite.grade_words import grade_told, row_told
from trialsite.models import AuditEvent, User
from trialsite.reasons import REASONS, because, reason_told
from trialsite.telling import NOBODYS, UNTOLD, Teller, kind_told
from trialsite.words import Sentence
from visits.edit_checks import problems_between
from visits.models import CheckFiring, Measurement, PanelRecord, Query, QueryMessage, Review, Visit
from visits.results import Result

CLINICAL = [
    model for model in audited_models()
    if model is Patient or any(field.name == "patient" for field in model._meta.concrete_fields)
]  # fmt: skip
CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.mark.parametrize("model", CLINICAL, ids=lambda model: model._meta.label)
def test_every_field_of_a_patients_record_has_words_in_both_languages(model):
    """A new field: `models.DateField(_("signed on"))`, for keys `verbose_name=_("…")`; then ./run messages."""
    table = model._meta.db_table
    fields = [field for field in model._meta.concrete_fields if field.column not in UNTOLD | NOBODYS.get(table, set())]
    unmarked = [field.name for field in fields if not isinstance(field.verbose_name, Promise)]
    assert not unmarked
    with translation.override("zh-hans"):
        assert CHINESE.search(kind_told(table))
        assert not [field.name for field in fields if not CHINESE.search(str(field.verbose_name))]
        choices = [(field.name, label) for field in fields for value, label in field.flatchoices if label != value]
        assert not [(name, label) for name, label in choices if not CHINESE.search(str(label))]


def reasons_in(path):
    """Literals that a source gives `acting` as the reason."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "acting":
            given = [*node.args[1:], *(keyword.value for keyword in node.keywords if keyword.arg == "reason")]
            for part in given:
                within = {id(one) for call in ast.walk(part) if isinstance(call, ast.Call) for one in ast.walk(call)}
                yield from (one for one in ast.walk(part) if id(one) not in within and _is_text(one))


def _is_text(node):
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
    )


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_reasons_of_the_system_stand_in_the_list_of_reasons(path):
    """`acting(by, because("first entry"))`, and the reason in trialsite/reasons.py: else the trail is not translated."""
    assert not [f"line {node.lineno}" for node in reasons_in(path)]
    called = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
              if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "because" and node.args]  # fmt: skip
    given = {node.args[0].value for node in called if isinstance(node.args[0], ast.Constant)}
    assert given <= set(REASONS)


def test_reasons_of_the_system_are_told_in_the_readers_language_and_others_as_typed():
    stored = because("visit missed: %(why)s", why="was away\n(travel)")
    assert stored == "visit missed: was away\n(travel)"
    assert reason_told(stored) == stored
    with translation.override("zh-hans"):
        assert reason_told(stored) == "访视缺失：was away\n(travel)"
        assert reason_told("first entry") == "首次录入"
        assert reason_told("Male") == "Male", "a word of the interface that a person typed"
        assert all(CHINESE.search(reason_told(reason)) for reason in REASONS)
    with pytest.raises(KeyError):
        because("some other reason")


# (model, column, stored value, its row, in English, in Chinese)
TOLD = [
    (Measurement, "test", "CD4", {}, "CD4 T cells", None),
    (Measurement, "is_computed", True, {}, "yes", "是"),
    (Measurement, "flag", "H", {}, "high", "偏高"),
    (Measurement, "typed", "5.1", {"test": "CD4"}, "5.1", "5.1"),
    (Measurement, "typed", "NEG", {"test": "HBSAG"}, None, None),
    (PanelRecord, "state", "not_done", {}, "not done", "未做"),
    (PanelRecord, "entered_by_id", 7, {}, "Chen Wei", "Chen Wei"),
    (PanelRecord, "visit_id", 3, {}, "W4", "W4"),
    (PanelRecord, "visit_id", 99, {}, "visit 99", "访视 99"),
    (Query, "check_code", "weight_change", {}, "Weight changed by more than a tenth", None),
    (Query, "record", "safety.adverseevent", {}, "adverse event", "不良事件"),
    (Query, "record_id", 5, {"record": "safety.adverseevent"}, "Fever (grade 2)", None),
    (Query, "field", "grade", {"record": "safety.adverseevent"}, "grade", "分级"),
    (Review, "field", "CD4", {"record": "visits.panelrecord"}, "CD4 T cells", None),
    (Review, "roles", "investigator,pharmacist", {}, "Investigator, Pharmacist", "研究者, 药师"),
    (Review, "void_because", "first entry", {}, "first entry", "首次录入"),
    (
        QueryMessage,
        "text",
        "The value was changed; the check is satisfied.",
        {},
        "The value was changed; the check is satisfied.",
        "值已更改；核查已通过。",
    ),
    (QueryMessage, "text", "Looked up: it is right.", {}, "Looked up: it is right.", "Looked up: it is right."),
    (
        PanelRecord,
        "not_done_because",
        "No longer asked for under protocol version 1.1",
        {},
        None,
        "自方案 1.1 版起不再要求",
    ),
    (PanelRecord, "not_done_because", "Not asked for in the corrected sex", {}, None, "按更正后的性别不要求"),
    (PanelRecord, "not_done_because", "No tube", {}, "No tube", "No tube"),
    (CheckFiring, "outcome", "queried", {}, "query opened", None),
    (Halt, "blocks", ["enrol", "infuse"], {}, "screening of new patients; infusions", None),
    (Visit, "attended_on", "2026-03-01", {}, "2026-03-01", "2026-03-01"),
    (PanelRecord, "entered_at", "2026-03-01T10:00:00.123+00:00", {}, "2026-03-01 10:00:00 UTC", None),
]


@pytest.mark.parametrize(("model", "column", "value", "line", "english", "chinese"), TOLD)
def test_a_stored_value_is_told_in_words(model, column, value, line, english, chinese):
    from safety.models import AdverseEvent

    names = {User: {7: "Chen Wei"}, Visit: {3: "W4"}, AdverseEvent: {5: "Fever (grade 2)"}}
    field = next(field for field in model._meta.concrete_fields if field.column == column)
    for language, expected in (("en", english), ("zh-hans", chinese)):
        with translation.override(language):
            told = Teller(trial.current_protocol(), names).value(field, value, line)
        assert expected is None or told == expected


@pytest.mark.django_db
def test_the_whole_trail_of_a_patient_is_told_in_chinese(world):
    patient = world.infused()
    with translation.override("zh-hans"):
        teller = Teller(patient.protocol)
        for event in AuditEvent.objects.filter(patient_id=patient.pk):
            assert CHINESE.search(kind_told(event.table))
            assert not event.reason or CHINESE.search(reason_told(event.reason)), event.reason
            for column, label, _old, _new in teller.changes(event):
                assert CHINESE.search(label), (event.table, column)


def test_what_is_nobodys_is_not_told():
    made = AuditEvent(
        table=AllocationSlot._meta.db_table, operation="insert", after={"block": 3, "stratum": "", "arm": "A"}
    )
    assert [column for column, *_told in Teller(trial.current_protocol()).changes(made)] == ["arm"]


def test_every_term_of_ctcae_has_a_chinese_name_of_its_own():
    named = names("zh-hans")
    assert list(named) == list(terms()), "the terms of the dictionary, in its order"
    assert not [term for term, name in named.items() if not CHINESE.search(name) or name.casefold() == term.casefold()]
    assert not {name: often for name, often in Counter(named.values()).items() if often > 1}
    assert not [name for name in named.values() if re.search(r"[,;:()]|[A-Za-z0-9][一-鿿]|[一-鿿][A-Za-z0-9]", name)]
    tables = tomllib.loads((FOLDER / "zh-hans" / "ctcae-5.0.toml").read_text(encoding="utf-8"))
    assert {term: system for system, told in tables.items() for term in told} == terms(), "under its body system"


def test_terms_are_told_with_their_chinese_name_and_stored_in_english():
    assert term_told("Fever") == "Fever"
    with translation.override("zh-hans"):
        assert term_told("Fever") == "发热（Fever）" and term_told("fever ") == "发热（fever ）"
        assert term_told("Bad night") == "Bad night" and not term_told("")


@pytest.mark.parametrize("key", scales.known_scales())
def test_every_row_of_a_scale_and_every_grade_has_chinese_words(key):
    told = tomllib.loads((scales.FOLDER / "zh-hans" / f"{key}.toml").read_text(encoding="utf-8"))
    rows = scales.scale(key).rows
    assert list(told["rows"]) == [row.id for row in rows] and all(map(CHINESE.search, told["rows"].values()))
    written = {step.words for row in rows for _grade, step in row.steps}
    assert set(told["words"]) <= written, "as the scale writes them"
    with translation.override("zh-hans"):
        assert not [words for words in written if re.search(r"[A-Za-z]{5,}|\b(to|OR|AND)\b", grade_told(key, words))
                    and "Stevens-Johnson" not in words]  # fmt: skip
        name, version = key.split("-")
        assert row_told(name, version, f"{rows[0].id} unheard_of") == f"{told['rows'][rows[0].id]}; unheard_of"
    assert row_told("DAIDS", "2.1", "alt_high") == "ALT, high"


def test_events_of_interest_are_compared_with_the_same_words_in_every_language():
    english = {one.code: one.words for one in trial.current_protocol().events_of_interest}
    with translation.override("zh-hans"):
        chinese = trial.current_protocol().events_of_interest
        assert {one.code: one.words for one in chinese} == english
        assert all(CHINESE.search(one.name) and not one.covers((one.name,)) for one in chinese)


@pytest.mark.parametrize(
    ("words", "first", "among"),
    [
        ("发热", "Fever", "Febrile neutropenia"),
        ("结肠穿孔", "Colonic perforation", "Colonic perforation"),
        ("反复左侧头痛", "Headache", "Headache"),
        ("痔", "Hemorrhoids", "Hemorrhoidal hemorrhage"),
    ],
)
def test_words_in_chinese_find_their_terms(words, first, among):
    found = terms_named(words)
    assert among in found and found[0] == first, found
    assert not terms_named("Fever") and not terms_named(" ")


def test_an_answer_from_a_list_is_read_in_the_language_of_whoever_reads():
    """A query that was raised while somebody worked in English, read by somebody who works in Chinese."""
    protocol = trial.current_protocol()
    test = next(test for test in protocol.tests if any(choice.alert for choice in test.choices))
    answer = next(choice for choice in test.choices if choice.alert)
    [problem] = problems_between([test], {test.code: Result(answer.code, "", None, answer.code)})
    stored = problem.text.stored()
    assert answer.label in str(problem.text)
    with translation.override("zh-hans"):
        chinese = trial.current_protocol()
        assert chinese.test(test.code).choice_label(answer.code) in str(Sentence.of(stored, chinese))

"""Two languages: who gets which, what stays the same in both, and that no sentence is left untranslated."""

import ast
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import formats, translation

from safety import dictionary
from safety.models import Expectedness
from tests.test_house import ROOT, SOURCES, TEMPLATES, name_of
from tests.words import words_of_code, words_of_template
from trialsite import actions, trial
from trialsite.management.commands import messages
from trialsite.models import AuditEvent, User
from trialsite.saving import Refused
from visits.models import PanelState
from visits.views.plan import STANDING_TEXT

ENGLISH, CHINESE = '<html lang="en"', '<html lang="zh-Hans"'


def choose(client, code, back="/account/"):
    return client.post("/sign-in/language/", {"language": code, "back": back})


def page(client, address="/account/", **headers):
    return client.get(address, headers=headers).content.decode()


def test_before_the_sign_in_the_browser_keeps_the_language(unchanged):
    client = Client()
    assert ENGLISH in page(client, "/sign-in/")
    answer = choose(client, "zh-hans", back="/sign-in/?next=/visits/")
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in/?next=/visits/")
    answer = client.get("/sign-in/")
    assert CHINESE in answer.content.decode() and "登录" in answer.content.decode()
    assert answer["Content-Language"] == "zh-Hans"


def test_a_browser_that_asks_for_chinese_gets_it(unchanged):
    assert CHINESE in page(Client(), "/sign-in/", accept_language="zh-CN,zh;q=0.9,en;q=0.5")
    assert ENGLISH in page(Client(), "/sign-in/", accept_language="fr")


def test_an_account_keeps_its_language_in_every_browser(unchanged):
    client = unchanged.client(unchanged.chen)
    assert ENGLISH in page(client)
    assert choose(client, "zh-hans").status_code == 302
    assert User.objects.get(username="chen").language == "zh-hans"
    assert CHINESE in page(client) and CHINESE in page(unchanged.client(unchanged.chen))
    assert ENGLISH in page(unchanged.client(unchanged.wang))


def test_the_account_comes_before_the_browser(unchanged):
    actions.choose_language(language="en", by=unchanged.chen)
    client = unchanged.client(unchanged.chen)
    client.cookies["language"] = "zh-hans"
    assert ENGLISH in page(client)
    assert CHINESE in page(client, "/sign-in/language-of-nobody/", accept_language="zh")  # a 404, in the browser's


def test_who_has_chosen_nothing_goes_on_in_the_language_of_the_sign_in(unchanged):
    client = unchanged.client(unchanged.chen)
    client.cookies["language"] = "zh-hans"
    assert CHINESE in page(client)


def test_the_choice_is_in_the_audit_trail(unchanged):
    actions.choose_language(language="zh-hans", by=unchanged.chen)
    event = AuditEvent.objects.of(unchanged.chen).last()
    assert (event.after["language"], event.by_id, event.reason) == ("zh-hans", unchanged.chen.pk, "own language chosen")


@pytest.mark.parametrize("code", ["", "fr", "zh", "zh-hant", "en\n", "x" * 5000])
def test_there_are_two_languages_only(unchanged, code):
    assert choose(unchanged.client(unchanged.chen), code).status_code == 400
    with pytest.raises(Refused):
        actions.choose_language(language=code, by=unchanged.chen)
    assert User.objects.get(username="chen").language == ""


@pytest.mark.parametrize("back", ["https://elsewhere.example/", "//elsewhere.example", "javascript:1", ""])
def test_the_way_back_leads_nowhere_else(unchanged, back):
    assert choose(unchanged.client(unchanged.chen), "en", back)["Location"] == "/"


def test_a_language_is_not_chosen_by_reading(unchanged):
    assert unchanged.client(unchanged.chen).get("/sign-in/language/?language=zh-hans").status_code == 405


def test_the_language_costs_no_statement(unchanged):
    def cost():
        client = unchanged.client(unchanged.chen)
        with CaptureQueriesContext(connection) as queries:
            client.get("/account/")
        return [query["sql"].split()[0] for query in queries.captured_queries]

    before = cost()
    actions.choose_language(language="zh-hans", by=unchanged.chen)
    assert cost() == before and not {"INSERT", "UPDATE"} & set(before)


def test_one_answer_leaves_nothing_to_the_next(unchanged):
    page(Client(), "/sign-in/", accept_language="zh-CN")
    assert translation.get_language() == "en"


def test_dates_and_numbers_are_the_same_in_both_languages():
    instant = datetime(2026, 4, 3, 14, 5, tzinfo=UTC)
    told = []
    for code in ("en", "zh-hans"):
        with translation.override(code):
            kinds = ("DATE_FORMAT", "DATETIME_FORMAT", "TIME_FORMAT", "SHORT_DATE_FORMAT", "YEAR_MONTH_FORMAT")
            told.append([*(formats.date_format(instant, kind) for kind in kinds), formats.number_format(1234567.5)])
    assert told[0] == told[1] == ["2026-04-03", "2026-04-03 14:05", "14:05", "2026-04-03", "2026-04", "1234567.5"]


@pytest.mark.parametrize("code", ["en", "zh-hans"])
def test_the_protocol_is_told_in_the_language_that_is_spoken(code):
    with translation.override(code):
        assert trial.current_protocol().visit("SCR").name == {"en": "Screening", "zh-hans": "筛选"}[code]
        assert trial.protocol("1.0").test("HCG").choice_label("POS") == {"en": "Positive", "zh-hans": "阳性"}[code]


def test_what_is_stored_as_plain_words_is_in_the_language_of_the_record(unchanged):
    with translation.override("zh-hans"):
        patient = unchanged.eligible()
        answer = patient.criterionanswers.get(criterion="I8")
        assert answer.because_text.startswith("Karnofsky 功能状态评分 ") and "符合 ≥ 70" in answer.because_text
    assert answer.because == answer.because_text
    assert answer.because.startswith("Karnofsky performance status ") and answer.because.endswith("is ≥ 70")


# --- the catalogue -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", messages.languages())
def test_every_text_is_translated_and_compiled(language):
    assert list(messages.faults_of(language)) == [], "./run messages, then translate what it lists"


CATALOGUE = """\
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

msgid "Visit %(code)s"
msgstr "访视 %(code)s"

msgctxt "lot"
msgid "failed"
msgstr "不合格"

msgid "%(n)s query"
msgid_plural "%(n)s queries"
msgstr[0] "%(n)s 个质疑"
"""
SAID = '_("Visit %(code)s"); pgettext("lot", "failed"); ngettext("%(n)s query", "%(n)s queries", n)'


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A program of one line with its catalogue; gives a function that changes them and tells the faults."""
    code, catalogue = tmp_path / "code.py", tmp_path / "django.po"
    monkeypatch.setattr(messages, "sources", lambda: [code])
    monkeypatch.setattr(messages, "po_file", lambda language: catalogue)
    monkeypatch.setattr(settings, "BASE_DIR", tmp_path)
    code.write_text(SAID, encoding="utf-8")
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    messages.write("zh-hans")

    def faults(*, said=SAID, old="", new="", compiled=True):
        code.write_text(said, encoding="utf-8")
        text = catalogue.read_text(encoding="utf-8")
        assert old in text
        catalogue.write_text(text.replace(old, new, 1), encoding="utf-8")
        found = list(messages.faults_of("zh-hans"))
        return [fault for fault in found if not fault.endswith("is not compiled from django.po")] if compiled else found

    return faults


def test_a_complete_catalogue_has_no_fault(small):
    assert small(compiled=False) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"said": SAID + '; _("Panel")'}, "is not in the catalogue: 'Panel'"),
        ({"said": SAID.replace('_("Visit %(code)s"); ', "")}, "is said nowhere: 'Visit %(code)s'"),
        ({"old": 'msgstr "访视 %(code)s"', "new": 'msgstr ""'}, "is not translated: 'Visit %(code)s'"),
        ({"old": '"%(n)s 个质疑"', "new": '""'}, "is not translated: ('%(n)s query', '%(n)s queries')"),
        (
            {"old": "访视 %(code)s", "new": "访视 %(kode)s"},
            "has other placeholders than its translation '访视 %(kode)s'",
        ),
        ({"old": "访视 %(code)s", "new": "访视"}, "has other placeholders than its translation '访视'"),
        ({"old": "#, python-format", "new": "#, python-format, fuzzy"}, "is marked as fuzzy: "),
    ],
)
def test_a_fault_of_a_catalogue_is_found(small, change, fault):
    found = small(**change)
    assert len(found) == 1 and found[0].startswith(fault)


def test_a_catalogue_that_was_not_compiled_is_found(small):
    assert small(old="访视 %(code)s", new="第 %(code)s 次访视", compiled=False) == [
        "django.mo is not compiled from django.po"
    ]


def test_texts_are_marked_under_names_that_are_collected():
    known = set(messages.KEYWORDS) | {"activate", "override", "get_language", "to_locale", "templatize"}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django.utils.translation"):
                assert {alias.asname or alias.name for alias in node.names} <= known, name_of(path)


def test_every_body_system_of_the_dictionary_is_marked():
    assert set(dictionary.MARKED) == set(dictionary.body_systems())


def test_what_templates_say_is_collected(tmp_path):
    file = tmp_path / "page.html"
    file.write_text(
        '{% load i18n %}{% translate \'It is <b>new</b>\' %}{{ x|default:_("none") }}{% translate "50 %" as y %}'
        "{% blocktranslate count n=rows|length %}{{ n }} row{% plural %}{{ n }} rows{% endblocktranslate %}"
        "{% blocktranslate with a=b %}from {{ a }}, 5 %{% endblocktranslate %}",
        encoding="utf-8",
    )
    assert list(messages.texts_of(file)) == [
        ("It is <b>new</b>", None), ("none", None), ("50 %%", None), (("%(n)s row", "%(n)s rows"), None),
        ("from %(a)s, 5 %%", None),
    ]  # fmt: skip


# names, codes, abbreviations and units that are the same in both languages
NOT_WORDS = {"Trialsite", "UTC", "SHA", "kg", "mL", "ALT", "Beta", "CIOMS", "CSV", "PDF", "XLSX"}
# the DSMB report is a document in the language of the record
IN_ENGLISH = {"safety/_dsmb_file.html", "safety/_dsmb_part.html"}


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_no_word_of_a_template_is_left_unmarked(path):
    if path.relative_to(ROOT / "templates").as_posix() not in IN_ENGLISH:
        assert words_of_template(path.read_text(encoding="utf-8"), NOT_WORDS) == []


@pytest.mark.parametrize("path", [path for path in SOURCES if not {"demo.py", "demo"} & set(path.parts)], ids=name_of)
def test_no_sentence_of_the_code_is_left_unmarked(path):
    assert list(words_of_code(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "<p>Visit</p>",
        '<a title="Visit">1</a>',
        "{% if a %}Visit{% endif %}",
        "{{ a }} visits",
        '<td data-label="Visit">1</td>',
    ],
)
def test_a_word_in_a_template_is_found(text):
    assert words_of_template(text, NOT_WORDS)


@pytest.mark.parametrize(
    "text",
    ["{% translate 'Visit' %}", "{% blocktranslate %}Visit{% endblocktranslate %}", '<p class="visit">{{ a }} UTC</p>',
     "<tr{% if a %} class='b'{% endif %}>", "{# Visit #}", "<code>visit</code>"],
)  # fmt: skip
def test_what_is_no_word_in_a_template_is_not(text):
    assert not words_of_template(text, NOT_WORDS)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('Refused("The lot is closed.")', True), ('Refused({"": [f"The lot is {x}."]})', True),
        ('Refused(_("The lot is closed."))', False), ('Refused({"a": [_("A %(x)s") % {"x": x}]})', False),
        ('CharField(label="Lot")', True), ('CharField(label=_("Lot"))', False), ('CharField(label=test.name)', False),
        ('ValidationError("Write a number.", code="x")', True), ('messages.success(request, "Saved now.")', True),
        ('errors["on"] = ["The date is wrong."]', True), ('errors["on"] = [_("The date is wrong.")]', False),
        ('log.warning("this is for us")', False), ("Saved(url, 1, 'The panel is saved.')", True),
    ],
)  # fmt: skip
def test_a_sentence_in_code_is_found(code, found):
    assert bool(list(words_of_code(code))) == found


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (PanelState.EXPECTED.label, "待录入"),  # true also when the visit is overdue
        (Expectedness.EXPECTED.label, "预期"),
        (Expectedness.UNEXPECTED.label, "非预期"),
        (STANDING_TEXT["expected"], "未到期"),
    ],
)
def test_an_expected_panel_an_expected_event_and_an_expected_visit_are_three_words_in_chinese(label, told):
    with translation.override("zh-hans"):
        assert str(label) == told

"""Two languages: who gets which, what stays the same in both, and that no sentence is left untranslated."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import formats, translation

from trialsite import actions
from trialsite.models import AuditEvent, User
from trialsite.saving import Refused

CHINESE = 'lang="zh-Hans"'


def choose(client, code, back="/account/"):
    return client.post("/sign-in/language/", {"language": code, "back": back})


def page(client, address="/account/", **headers):
    return client.get(address, headers=headers).content.decode()


def test_before_the_sign_in_the_browser_keeps_the_language(unchanged):
    client = Client()
    assert 'lang="en"' in page(client, "/sign-in/")
    answer = choose(client, "zh-hans", back="/sign-in/?next=/visits/")
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in/?next=/visits/")
    answer = client.get("/sign-in/")
    assert CHINESE in answer.content.decode()
    assert answer["Content-Language"] == "zh-Hans"


def test_a_browser_that_asks_for_chinese_gets_it(unchanged):
    assert CHINESE in page(Client(), "/sign-in/", accept_language="zh-CN,zh;q=0.9,en;q=0.5")
    assert 'lang="en"' in page(Client(), "/sign-in/", accept_language="fr")


def test_an_account_keeps_its_language_in_every_browser(unchanged):
    client = unchanged.client(unchanged.chen)
    assert 'lang="en"' in page(client)
    assert choose(client, "zh-hans").status_code == 302
    assert User.objects.get(username="chen").language == "zh-hans"
    assert CHINESE in page(client) and CHINESE in page(unchanged.client(unchanged.chen))
    assert 'lang="en"' in page(unchanged.client(unchanged.wang))


def test_the_account_comes_before_the_browser(unchanged):
    actions.choose_language(language="en", by=unchanged.chen)
    client = unchanged.client(unchanged.chen)
    client.cookies["language"] = "zh-hans"
    assert 'lang="en"' in page(client)
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

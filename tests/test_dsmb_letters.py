"""The letters of the closed reports: told to one person, with a reason and the password, on one answer; all others stay blind."""

import re

import pytest
from django.core.exceptions import PermissionDenied
from django.db import transaction

from safety import actions
from safety.letters import letters_of, may_read_letters
from safety.models import ArmLetter, LetterLook
from tests.test_blinding import masked_universe
from tests.test_people import SECRET, code
from tests.universe import PASSWORD, fields_of, send
from trialsite import actions as accounts
from trialsite.models import AuditEvent, User
from trialsite.saving import Refused

LOG, FORM = "/safety/reports/letters/", "/safety/reports/letters/1/"
WHY = "The board asks for unmasked data in its meeting of today."
TELLING = re.compile(rb"ZQ(PROD|NAME|ARM|TITLE)")


@pytest.fixture(scope="module")
def masked_world(django_db_setup, django_db_blocker):
    """A masked trial whose letters are drawn."""
    with masked_universe(django_db_blocker) as universe:
        actions.draw_arm_letters(series=1, by=universe.system)
        yield universe


@pytest.fixture
def masked(masked_world):
    with transaction.atomic():
        yield masked_world
        transaction.set_rollback(True)


def told_on(page):
    """Letter -> arm of the table on a page."""
    return dict(re.findall(r'<th scope="row">(\w)</th><td>(ZQTITLE [^<]*)</td>', page.content.decode()))


@pytest.mark.requirement("R45", "R46")
def test_with_reason_and_password_the_statistician_is_told_what_each_letter_stands_for(masked):
    answer = send(masked.client(masked.sofia), FORM, reason=WHY, password=PASSWORD)
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    told = told_on(answer)
    assert told == {one.letter: one.name for one in letters_of(1)}
    assert sorted(told) == ["A", "B", "C"] and len(set(told.values())) == 3
    look = LetterLook.objects.get()
    assert (look.series, look.reason, look.looked_by) == (1, WHY, masked.sofia)


@pytest.mark.requirement("R45")
def test_the_letters_are_on_that_answer_alone_and_no_log_holds_them(masked):
    sofia = masked.client(masked.sofia)
    page = sofia.get(FORM)
    send(sofia, FORM, page=page, reason=WHY, password=PASSWORD)
    again = send(sofia, FORM, page=page, reason=WHY, password=PASSWORD)
    assert (again.status_code, again["Location"]) == (302, LOG), "the form sent again shows them no second time"
    look = LetterLook.objects.get()
    for url in (LOG, FORM, f"/history/safety/letterlook/{look.pk}/"):
        found = sofia.get(url)
        assert found.status_code == 200 and not TELLING.search(found.content), url
    for event in AuditEvent.objects.filter(table="safety_letterlook"):
        assert set(event.after) == {"id", "series", "reason", "looked_by_id", "looked_at", "version"}


@pytest.mark.parametrize("sent", [{"password": "guess", "reason": WHY}, {"password": PASSWORD, "reason": " "}, {}])
def test_without_reason_or_password_nobody_is_told_and_nothing_is_written_down(masked, sent):
    answer = send(masked.client(masked.sofia), FORM, **sent)
    assert answer.status_code == 422 and not TELLING.search(answer.content)
    assert not LetterLook.objects.exists()


@pytest.mark.requirement("R46")
def test_the_code_is_asked_for_where_a_device_is_enrolled(masked):
    accounts.enrol_second_factor(user=masked.sofia, secret=SECRET, by=masked.sofia)
    sofia = masked.client(masked.sofia)
    assert "code" in fields_of(sofia.get(FORM))
    assert send(sofia, FORM, reason=WHY, password=PASSWORD, code="").status_code == 422
    assert told_on(send(sofia, FORM, reason=WHY, password=PASSWORD, code=code()))


@pytest.mark.requirement("R45")
def test_for_all_others_the_page_is_not_there_and_the_log_is_for_inspectors(masked):
    send(masked.client(masked.sofia), FORM, reason=WHY, password=PASSWORD)
    for name in ("chen", "wang", "zhao", "maria", "david", "samuel", "dora", "ada", "ines"):
        client = masked.client(getattr(masked, name))
        for answer in (client.get(FORM), client.post(FORM, {"reason": WHY, "password": PASSWORD})):
            assert answer.status_code in (403, 404) and not TELLING.search(answer.content), name
        log = client.get(LOG)
        assert log.status_code == (200 if name == "ines" else 403), name
        assert (WHY in log.content.decode()) == (name == "ines") and FORM not in log.content.decode()
        reports = client.get("/safety/reports/")
        assert (LOG in reports.content.decode()) == (name == "ines"), name
        assert LetterLook.objects.visible_to(getattr(masked, name)).exists() == (name == "ines")
    assert LetterLook.objects.count() == 1


@pytest.mark.requirement("R45")
def test_a_statistician_of_one_site_is_not_told(masked):
    """The letters tell the arms of the patients of all sites."""
    user = accounts.create_account(
        username="sten", full_name="Sten Site", email="", password=PASSWORD, by=masked.system
    )
    accounts.grant_role(user=user, role="statistician", site=masked.site, reason="for this test", by=masked.system)
    sten = User.objects.get(pk=user.pk)
    assert not may_read_letters(sten) and may_read_letters(masked.sofia)
    assert masked.client(sten).get(FORM).status_code == 404
    assert FORM not in masked.client(sten).get(LOG).content.decode()
    with pytest.raises(PermissionDenied):
        actions.look_at_letters(series=1, reason=WHY, by=sten)


def test_a_series_without_letters_has_none_to_tell(masked):
    assert masked.client(masked.sofia).get("/safety/reports/letters/2/").status_code == 404
    with pytest.raises(Refused):
        actions.look_at_letters(series=2, reason=WHY, by=masked.sofia)
    assert set(ArmLetter.objects.values_list("series", flat=True)) == {1}

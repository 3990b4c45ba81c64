"""Accounts, sign-in, second factor, sessions: the requirements R21, R22, R27 to R34, R37, R40 to R43."""

import os
import re
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import signing
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from patients.models import Patient
from trialsite import actions, sign_in
from trialsite.audit import NobodyNamed, acting
from trialsite.models import AuditEvent, Email, FormReceipt, Grant, LostFactor, SecurityEvent, User
from trialsite.roles import Role
from trialsite.saving import Refused

PASSWORD = "four unrelated words here"
OTHER = "quite another long sentence"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
WRONG = "User name or password is wrong."
ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.django_db


@pytest.fixture
def machine(db):
    return User.objects.system()


@pytest.fixture
def site(machine):
    return actions.create_site(code="01", name="Beijing 302", country="CN", timezone="Asia/Shanghai", by=machine)


@pytest.fixture
def ana(machine, site):
    """A coordinator at site 01."""
    user = actions.create_account(username="ana", full_name="Ana Lima", password=PASSWORD, by=machine)
    actions.grant_role(user=user, role=Role.COORDINATOR, site=site, by=machine)
    return user


@pytest.fixture
def ada(machine):
    """An administrator."""
    user = actions.create_account(username="ada", full_name="Ada Berg", password=PASSWORD, by=machine)
    actions.grant_role(user=user, role=Role.ADMINISTRATOR, by=machine)
    return user


def come_in(username="ana", password=PASSWORD, client=None, **extra):
    client = client or Client()
    client.answer = client.post(reverse("sign_in"), {"username": username, "password": password}, **extra)
    return client


def is_in(client):
    return client.get(reverse("show_own_account")).status_code == 200


def code(secret=SECRET, steps=0):
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def save(client, url, **values):
    """Open a data form and send it back filled in."""
    page = client.get(url)
    assert page.status_code == 200, page
    keys = {name: page.context["form"][name].value() for name in ("version", "idem")}
    return client.post(url, {**keys, **values})


def link_in(response):
    return re.search(r"/sign-in/set-password/[^<\s]+", response.content.decode())[0]


def kinds(username):
    return [event.kind for event in SecurityEvent.objects.filter(username=username).order_by("id")]


# --- accounts: actions -------------------------------------------------------------------------------


def test_nobody_creates_an_account_without_saying_who_acts():
    with pytest.raises(NobodyNamed):
        actions.create_account(username="ana", full_name="Ana", by=None)


SAME_NAME = ["ana", "Ana", "ANA", " ana ", "ａｎａ", "ᴬna", "Ａna"]


@pytest.mark.requirement("R21")
@pytest.mark.parametrize("name", SAME_NAME)
def test_a_user_name_is_never_given_twice_in_whatever_case_or_form(ana, ada, name):
    """Not even after the account was closed."""
    actions.deactivate_account(user=ana, reason="left", by=ada)
    with pytest.raises(Refused) as refusal:
        actions.create_account(username=name, full_name="Another Ana", by=ada)
    assert "username" in refusal.value.errors


def test_the_database_itself_gives_no_user_name_twice(ana, machine):
    with pytest.raises(IntegrityError, match="user_names_differ"), acting(machine):
        User.objects.create(username="ANA", full_name="Another Ana")


def test_an_account_is_never_deleted_nor_handed_on(ana, machine):
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic(), acting(machine, "x"):
        User.objects.filter(pk=ana.pk)._raw_delete("default")


@pytest.mark.parametrize("name", ["a", "", "-ana", "ana lima", "анa", "a\u200bna", "a" * 65, "名字", "ana\x00"])
def test_a_user_name_has_one_alphabet(machine, name):
    with pytest.raises(Refused):
        actions.create_account(username=name, full_name="Ana", by=machine)


def test_an_account_without_a_password_lets_nobody_in(machine):
    user = actions.create_account(username="eva", full_name="Eva", by=machine)
    assert not user.has_usable_password()
    assert come_in("eva", "").answer.status_code == 422


def test_grants_leave_an_audit_trail_with_their_reason(ana, ada):
    grant = ana.grants.get()
    actions.revoke_role(grant=grant, reason="moved to another ward", by=ada)
    events = list(AuditEvent.objects.of(grant))
    assert [(event.operation, event.by_name) for event in events] == [("insert", "Trialsite"), ("update", "Ada Berg")]
    assert events[1].reason == "moved to another ward" and events[1].by_roles == "administrator"


def test_the_trail_does_not_hold_passwords(ana):
    actions.change_password(user=ana, password=OTHER, by=ana)
    events = AuditEvent.objects.of(ana)
    assert [event.operation for event in events] == ["insert", "update"]
    assert all("password" not in (event.after or {}) for event in events)


# role held, role asked, at the site, by whom, the field that refuses (None: granted)
GRANTS = [
    (None, Role.MONITOR, False, "ada", None),
    (None, Role.COORDINATOR, True, "ada", None),
    (None, Role.COORDINATOR, False, "ada", "site"),
    (None, Role.PHARMACIST, False, "ada", "site"),
    (None, "owner", False, "ada", "role"),
    (Role.MONITOR, Role.MONITOR, False, "ada", "role"),
    (Role.MONITOR, Role.DATA_MANAGER, False, "ada", None),
    (Role.MONITOR, Role.ADMINISTRATOR, False, "ada", "role"),
    (Role.ADMINISTRATOR, Role.STATISTICIAN, False, "ada", "role"),
    (None, Role.MONITOR, False, "self", ""),
]


@pytest.mark.parametrize(("held", "asked", "at_site", "by", "field"), GRANTS)
def test_which_role_is_granted(machine, ada, site, held, asked, at_site, by, field):
    """R37, segregation of duties."""
    user = actions.create_account(username="eva", full_name="Eva", by=machine)
    if held:
        actions.grant_role(user=user, role=held, by=machine)
    by = user if by == "self" else ada
    if field is None:
        assert actions.grant_role(user=user, role=asked, site=site if at_site else None, by=by).pk
    else:
        with pytest.raises(Refused) as refusal:
            actions.grant_role(user=user, role=asked, site=site if at_site else None, by=by)
        assert list(refusal.value.errors) == [field]


def test_nobody_closes_or_strips_the_own_account(ada):
    with pytest.raises(Refused):
        actions.deactivate_account(user=ada, reason="x", by=ada)
    with pytest.raises(Refused):
        actions.revoke_role(grant=ada.grants.get(), reason="x", by=ada)
    with pytest.raises(Refused):
        actions.reset_sign_in(user=ada, reason="x", by=ada)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"code": "1 "}, "code"),
        ({"code": "TOOLONG12"}, "code"),
        ({"country": "China"}, "country"),
        ({"timezone": "Asia/Nowhere"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
    ],
)
def test_a_site_that_cannot_be_is_refused(machine, values, field):
    right = {"code": "02", "name": "Kunming", "country": "CN", "timezone": "Asia/Shanghai"}
    with pytest.raises(Refused) as refusal:
        actions.create_site(**{**right, **values}, by=machine)
    assert list(refusal.value.errors) == [field]


def test_a_site_code_is_given_once(machine, site):
    with pytest.raises(Refused):
        actions.create_site(code="01", name="x", country="CN", timezone="UTC", by=machine)


# --- passwords ---------------------------------------------------------------------------------------

# password, accepted
PASSWORDS = [
    ("short words", False),  # 11
    ("twelve chars", True),
    ("x" * 11 + "é", True),
    ("7qw 9rt 2zu 4", True),
    ("        spaces at both ends   ", True),
    ("🐢🐇🦉🐝🐢🐇🦉🐝🦊🐻🐼🐨", True),
    ("correct horse battery staple", True),
    ("ab3 " * 32, True),  # 128
    ("ab3 " * 32 + "x", False),  # 129
    ("123456654321", False),
    ("Password1234", False),
    ("trialsite2026", False),
    ("Trialsite!Trialsite", False),
    ("my trialsite key is long enough", True),
    ("NCT01213186NCT", False),
    ("ana.lima.lima", False),
    ("Ana Lima Ana Lima", False),
]


@pytest.mark.parametrize(("password", "accepted"), PASSWORDS)
def test_which_passwords_are_taken(machine, password, accepted):
    """R28"""
    user = User(username="ana.lima", full_name="Ana Lima")
    if accepted:
        actions.check_new_password(user, password)
    else:
        with pytest.raises(Refused):
            actions.check_new_password(user, password)


def test_a_password_is_kept_exactly_as_typed(machine):
    """R28: neither stripped nor cut nor normalised."""
    for number, password in enumerate(["  both ends are blank  ", "🐢" * 20 + "\u0041\u030a", "y z " * 32]):
        actions.create_account(username=f"user{number}", full_name="x", password=password, by=machine)
        assert is_in(come_in(f"user{number}", password))
        assert not is_in(come_in(f"user{number}", password.strip() if password != password.strip() else password[:-1]))


def test_passwords_are_hashed_with_argon2():
    """R29"""
    shown = settings_of("demo", "print(settings.PASSWORD_HASHERS[0])")
    assert shown.endswith("Argon2PasswordHasher")


def settings_of(profile, code, **variables):
    """What `code` prints under these settings, in a process of its own."""
    done = settings_process(profile, code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def settings_process(profile, code, **variables):
    environment = {
        **os.environ,
        "TRIALSITE_PROFILE": profile,
        "DJANGO_SETTINGS_MODULE": "trialsite.settings",
        **variables,
    }
    program = f"from django.conf import settings; settings.DEBUG; {code}"
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)


# --- sign-in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ana", "Ana", " ANA ", "ａｎａ"])
def test_the_right_name_and_password_open_the_door(ana, name):
    client = come_in(name)
    assert client.answer.status_code == 302
    assert is_in(client)


@pytest.mark.parametrize("path", ["/", "/patients/", "/accounts/", "/account/", "/visits/", "/safety/x", "/nowhere/"])
def test_without_a_session_every_page_leads_to_the_door(client, path):
    answer = client.get(path)
    assert answer.status_code == 302 and answer.url.startswith(reverse("sign_in") + "?next=")


def test_the_door_leads_back_to_where_one_wanted_to_go(ana, client):
    answer = client.post("/sign-in/?next=/account/", {"username": "ana", "password": PASSWORD})
    assert answer.url == "/account/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_the_door_leads_to_no_other_place(ana, client, target):
    answer = client.post("/sign-in/", {"username": "ana", "password": PASSWORD, "next": target})
    assert answer.url == "/"


@pytest.mark.parametrize("target", ["0", "x", "account", "?a", "trialsite.views.home"])
def test_what_is_no_address_here_leads_to_the_start_page(ana, target):
    client = come_in("ana")
    client.raise_request_exception = False
    answer = client.get("/sign-in/", {"next": target})
    assert (answer.status_code, answer.url) == (302, "/")


def failing_page(username):
    answer = come_in(username, "wrong words altogether").answer
    page = answer.content.decode().replace(username, "NAME")
    return answer.status_code, re.sub(r'csrfmiddlewaretoken" value="\w+"', "", page)


def test_the_door_does_not_tell_who_has_an_account(ana, ada):
    """R32: absent, closed, of the machine, or wrong password: the same answer."""
    actions.deactivate_account(user=ada, reason="left", by=User.objects.system())
    answers = {failing_page(name) for name in ("ana", "ada", "bob", "system")}
    assert len(answers) == 1
    status, page = answers.pop()
    assert status == 422 and WRONG in page


def test_the_door_hashes_once_whether_or_not_there_is_an_account(ana, monkeypatch):
    """R32: the hash is what takes time."""
    from django.contrib.auth.hashers import MD5PasswordHasher

    calls = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda self, *a: calls.append(1) or encode(self, *a))
    counts = []
    for name in ("ana", "bob", "system"):
        calls.clear()
        come_in(name, "wrong words altogether")
        counts.append(len(calls))
    assert counts == [1, 1, 1]


def test_showing_the_door_writes_nothing_and_opens_no_session(client):
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(reverse("sign_in"))
    assert answer.status_code == 200 and len(queries) == 0
    assert set(answer.cookies) == {settings.CSRF_COOKIE_NAME}
    assert not Session.objects.exists()


def test_the_door_asks_for_the_anti_forgery_token(ana):
    client = come_in(client=Client(enforce_csrf_checks=True))
    assert client.answer.status_code == 403 and not is_in(client)


ODD = ["a\x00b", "\u202eana", "x" * 200, "x" * 100_000, "'; drop table trialsite_user; --", "名字", "\ufdfa" * 150]


@pytest.mark.parametrize("text", ODD)
def test_the_door_takes_any_input_calmly(ana, text):
    assert come_in(text, text).answer.status_code == 422


def test_each_coming_and_going_is_written_down(ana):
    come_in(password="wrong words altogether", HTTP_X_REQUEST_ID="request-0001")
    client = come_in()
    client.post(reverse("sign_out"))
    assert kinds("ana") == ["failed", "signed in", "signed out"]
    first = SecurityEvent.objects.order_by("id").first()
    assert (first.user, first.address, first.request_id) == (ana, "127.0.0.1", "request-0001")


def test_the_log_of_comings_cannot_be_changed_by_the_program(ana):
    event = SecurityEvent.objects.create(kind="signed in", user=ana)
    for write in (lambda: SecurityEvent.objects.update(kind="x"), event.delete):
        with pytest.raises(Exception, match="permission denied"), transaction.atomic():
            write()


def test_whoever_comes_in_is_told_of_failed_tries(ana):
    """R31"""
    come_in(password="wrong words altogether")
    page = come_in().get(reverse("show_own_account")).content.decode()
    assert "1 failed try to sign in with your name" in page


# --- how often one may try ---------------------------------------------------------------------------


def fail(times, username="ana", **extra):
    return [come_in(username, "wrong words altogether", **extra).answer.status_code for _ in range(times)]


@pytest.mark.requirement("R31")
def test_after_ten_failures_the_door_stays_shut_for_a_while_for_this_address_only(ana, ada):
    assert fail(10) == [422] * 9 + [429]
    right = come_in()
    assert right.answer.status_code == 429 and not is_in(right)
    assert right.answer["Retry-After"] == "900"
    assert "ana" not in right.answer.content.decode()
    assert is_in(come_in("ada")), "others are not touched"
    assert is_in(come_in(REMOTE_ADDR="10.0.0.9")), "a stranger cannot lock the person out"
    assert {"paused"} <= set(kinds("ana"))


def test_after_the_pause_the_right_password_opens_again(ana):
    fail(12)
    AccessAttempt.objects.update(
        attempt_time=AccessAttempt.objects.get().attempt_time - timedelta(minutes=15, seconds=1)
    )
    assert is_in(come_in())


@pytest.mark.requirement("R31")
def test_each_failure_after_the_pause_begins_a_longer_one_and_a_day_without_any_forgets(ana, ada):
    def wait(**time):
        AccessAttempt.objects.update(attempt_time=AccessAttempt.objects.get().attempt_time - timedelta(**time))

    fail(10)
    for minutes in (15, 30, 60, 120, 240, 240):
        assert come_in().answer["Retry-After"] == str(minutes * 60)
        wait(minutes=minutes - 1)
        assert come_in().answer.status_code == 429, minutes
        wait(minutes=1, seconds=1)
        assert fail(1) == [429], "one more wrong word closes the door again"
    assert is_in(come_in("ada")) and is_in(come_in(REMOTE_ADDR="10.0.0.9")), "no other account, no other address"
    wait(days=1)
    assert fail(9) == [422] * 9, "ten tries again"


@pytest.mark.requirement("R31")
def test_who_came_in_begins_anew(ana):
    fail(10)
    AccessAttempt.objects.update(attempt_time=AccessAttempt.objects.get().attempt_time - timedelta(minutes=16))
    assert is_in(come_in())
    assert fail(9) == [422] * 9


def test_tries_during_the_pause_do_not_lengthen_it(ana):
    fail(10)
    before = AccessAttempt.objects.get().attempt_time
    assert fail(3) == [429] * 3
    assert AccessAttempt.objects.get().attempt_time == before


def test_another_spelling_is_not_another_ten_tries(ana):
    assert fail(5, "ana") + fail(5, "ANA") == [422] * 9 + [429]


def test_a_name_without_an_account_is_treated_alike(ana):
    assert fail(10, "bob") == [422] * 9 + [429]


def test_success_begins_the_count_anew(ana):
    fail(9)
    assert is_in(come_in())
    assert fail(9) == [422] * 9


def test_many_addresses_against_one_account_raise_the_alarm_once(ana, caplog):
    """R31"""
    for number in range(15):
        fail(3, REMOTE_ADDR=f"10.0.0.{number}")
    assert kinds("ana").count("many failures") == 1
    assert "many failures for one account: ana" in caplog.text
    assert Email.objects.filter(about=Email.About.SECURITY).values("key").distinct().count() == 1


def test_guessed_passwords_are_not_kept(ana):
    fail(1)
    attempt = AccessAttempt.objects.get()
    assert "wrong words" not in attempt.post_data


# header, proxies in front, the address that counts
ADDRESSES = [
    ("", 0, "127.0.0.1"),
    ("6.6.6.6", 0, "127.0.0.1"),
    ("9.9.9.9", 1, "9.9.9.9"),
    ("6.6.6.6, 9.9.9.9", 1, "9.9.9.9"),
    ("6.6.6.6, 9.9.9.9, 10.0.0.1", 2, "9.9.9.9"),
    ("", 1, "127.0.0.1"),
]


@pytest.mark.parametrize(("header", "proxies", "expected"), ADDRESSES)
def test_only_what_our_proxies_wrote_is_believed(rf, settings, header, proxies, expected):
    settings.PROXIES = proxies
    assert sign_in.address_of(rf.get("/", HTTP_X_FORWARDED_FOR=header)) == expected


# --- the second factor -------------------------------------------------------------------------------


@pytest.fixture
def ana_with_phone(ana):
    actions.enrol_second_factor(user=ana, secret=SECRET, by=ana)
    return ana


@pytest.mark.requirement("R30")
def test_with_a_second_factor_the_password_alone_opens_nothing(ana_with_phone):
    client = come_in()
    assert client.answer.url == reverse("enter_code")
    assert not is_in(client)
    assert client.post(reverse("enter_code"), {"code": code()}).status_code == 302
    assert is_in(client)


def test_a_code_works_once(ana_with_phone):
    the_code = code()
    assert sign_in.use_code(ana_with_phone, the_code)
    assert not sign_in.use_code(ana_with_phone, the_code)


@pytest.mark.parametrize("steps", [-2, -1, 1, 2])
def test_a_code_is_good_for_its_thirty_seconds_only(ana_with_phone, steps):
    assert not sign_in.use_code(ana_with_phone, code(steps=steps))


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "１２３４５６", "12 34 5", "\x00"])
def test_what_is_no_code_is_refused(ana_with_phone, typed):
    assert come_in().post(reverse("enter_code"), {"code": typed}).status_code == 422


def test_wrong_codes_are_throttled_like_wrong_passwords(ana_with_phone):
    client = come_in()
    wrong = [client.post(reverse("enter_code"), {"code": "000000"}).status_code for _ in range(11)]
    assert wrong == [422] * 9 + [429, 429]
    assert client.post(reverse("enter_code"), {"code": code()}).status_code == 429
    assert come_in().answer.status_code == 429


def test_codes_are_not_asked_for_without_a_password(client):
    assert client.get(reverse("enter_code")).url == reverse("sign_in")


def test_the_wait_for_a_code_ends(ana_with_phone, monkeypatch):
    client = come_in()
    now = time.time()
    monkeypatch.setattr(sign_in.time, "time", lambda: now + 301)
    assert client.post(reverse("enter_code"), {"code": code()}).url == reverse("sign_in")


def test_a_changed_password_ends_the_wait_for_a_code(ana_with_phone):
    client = come_in()
    actions.change_password(user=ana_with_phone, password=OTHER, by=ana_with_phone)
    assert client.post(reverse("enter_code"), {"code": code()}).url == reverse("sign_in")


def test_the_secret_is_not_readable_in_the_database(ana_with_phone):
    assert SECRET not in str(Authenticator.objects.get().data)


def enrol(client):
    page = client.get(reverse("enrol_second_factor"))
    secret, signed = page.context["secret"].replace(" ", ""), page.context["signed"]
    return secret, client.post(reverse("enrol_second_factor"), {"signed": signed, "code": code(secret)})


def test_a_device_is_enrolled_by_its_first_code(ana):
    client = come_in()
    secret, answer = enrol(client)
    assert answer.url == reverse("show_own_account") and is_in(client)
    assert come_in().answer.url == reverse("enter_code")
    assert not sign_in.use_code(ana, code(secret)), "the code of the enrolment is used up"


def test_a_wrong_first_code_enrols_nothing(ana):
    client = come_in()
    signed = client.get(reverse("enrol_second_factor")).context["signed"]
    assert client.post(reverse("enrol_second_factor"), {"signed": signed, "code": "000000"}).status_code == 422
    assert not sign_in.has_second_factor(ana)


def test_a_secret_made_for_somebody_else_is_not_enrolled(ana, ada):
    page = come_in("ada").get(reverse("enrol_second_factor"))
    form = {"signed": page.context["signed"], "code": code(page.context["secret"].replace(" ", ""))}
    come_in().post(reverse("enrol_second_factor"), form)
    assert not sign_in.has_second_factor(ana)


def test_showing_the_enrolment_writes_nothing(ana):
    client = come_in()
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("enrol_second_factor"))
    assert not writes(queries)


def writes(queries):
    return [query["sql"] for query in queries if re.match("INSERT|UPDATE|DELETE", query["sql"])]


PAGES = ["/", "/account/", "/account/password/", "/patients/", "/visits/", "/accounts/", "/nowhere/"]


@pytest.mark.requirement("R30")
@pytest.mark.parametrize("path", PAGES)
def test_where_it_is_required_every_page_leads_to_enrolment(ana, settings, path):
    settings.SECOND_FACTOR = "required"
    assert come_in().get(path).url == reverse("enrol_second_factor")


def test_where_it_is_required_enrolment_opens_the_pages(ana, settings):
    settings.SECOND_FACTOR = "required"
    client = come_in()
    assert client.get(reverse("enrol_second_factor")).status_code == 200
    enrol(client)
    assert is_in(client)


def test_where_it_is_required_one_may_still_leave(ana, settings):
    settings.SECOND_FACTOR = "required"
    assert come_in().post(reverse("sign_out")).url == reverse("sign_in")


def test_the_device_is_changed_only_after_the_password_was_given_again(ana, monkeypatch):
    client = come_in()
    now = time.time()
    monkeypatch.setattr(sign_in.time, "time", lambda: now + 601)
    answer = client.get(reverse("enrol_second_factor"))
    assert answer.url == reverse("confirm_identity") + "?next=%2Faccount%2Fsecond-factor%2F"
    assert client.post(answer.url, {"password": "wrong words altogether"}).status_code == 422
    assert client.post(answer.url, {"password": PASSWORD}).url == reverse("enrol_second_factor")
    assert client.get(reverse("enrol_second_factor")).status_code == 200


# --- one-time links ----------------------------------------------------------------------------------


@pytest.fixture
def invited(ada):
    """(an administrator's client, a new account, its link)"""
    client = come_in("ada")
    answer = save(client, reverse("create_account"), full_name="Eva Roth", username="eva", email="")
    user = User.objects.get(username="eva")
    assert answer.url == reverse("show_account", args=[user.pk])
    return client, user, link_in(client.get(answer.url))


@pytest.mark.requirement("R22")
def test_an_administrator_gives_a_link_and_never_a_password(invited):
    client, user, link = invited
    assert "set-password/" not in client.get(reverse("show_account", args=[user.pk])).content.decode(), "shown once"
    answer = Client().post(link, {"password": PASSWORD, "again": PASSWORD})
    assert answer.url == reverse("sign_in")
    assert is_in(come_in("eva"))


@pytest.mark.requirement("R33")
def test_a_link_works_once(invited):
    _client, _user, link = invited
    Client().post(link, {"password": PASSWORD, "again": PASSWORD})
    assert Client().get(link).status_code == 404
    assert Client().post(link, {"password": OTHER, "again": OTHER}).status_code == 404
    assert is_in(come_in("eva"))


def test_of_two_who_open_one_link_at_once_only_the_first_sets_a_password(invited):
    _client, user, link = invited
    token = link.rsplit("/", 2)[1]
    actions.change_password(user=user, password=PASSWORD, token=token, by=user)
    with pytest.raises(Refused):
        actions.change_password(user=user, password=OTHER, token=token, by=user)


def test_a_link_expires_after_thirty_minutes(invited, settings):
    assert settings.PASSWORD_RESET_TIMEOUT == 1800
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert Client().get(invited[2]).status_code == 404


def test_an_altered_link_or_one_of_another_account_does_not_open(invited, ana):
    *_, link = invited
    prefix, account, token, _end = link.rsplit("/", 3)
    from django.utils.http import int_to_base36

    for other in (f"{prefix}/{account}/{token[:-1]}0/", f"{prefix}/{int_to_base36(ana.pk)}/{token}/",
                  f"{prefix}/zzzzzzzzzzzzzzz/{token}/", f"{prefix}/{account}/x/"):  # fmt: skip
        assert Client().get(other).status_code == 404 or other == link


def test_a_newer_link_kills_the_older(invited):
    client, user, link = invited
    save(client, reverse("reset_sign_in", args=[user.pk]), reason="lost")
    assert Client().get(link).status_code == 404


def test_a_reset_ends_sessions_and_does_not_pass_the_second_factor_by(ana_with_phone, ada):
    """R33"""
    ana_client = come_in()
    ana_client.post(reverse("enter_code"), {"code": code()})
    client = come_in("ada")
    answer = save(client, reverse("reset_sign_in", args=[ana_with_phone.pk]), reason="forgotten")
    assert not is_in(ana_client)
    assert come_in().answer.status_code == 422, "the old password is dead"
    Client().post(link_in(client.get(answer.url)), {"password": OTHER, "again": OTHER})
    assert come_in("ana", OTHER).answer.url == reverse("enter_code")


@pytest.fixture
def bea(machine):
    """Another administrator."""
    user = actions.create_account(username="bea", full_name="Bea Cruz", password=PASSWORD, by=machine)
    actions.grant_role(user=user, role=Role.ADMINISTRATOR, by=machine)
    return user


@pytest.mark.requirement("R22")
def test_a_lost_phone_is_forgotten_when_two_administrators_say_so(ana_with_phone, ada, bea):
    one, other = come_in("ada"), come_in("bea")
    assert save(one, reverse("report_lost_factor", args=[ana_with_phone.pk]), reason="rang back").status_code == 302
    lost = LostFactor.objects.get()
    confirm = reverse("confirm_lost_factor", args=[lost.pk])
    assert sign_in.has_second_factor(ana_with_phone) and come_in().answer.url == reverse("enter_code"), "nothing yet"
    assert "reported by" not in one.get("/").content.decode()
    assert "reported by Ada Berg" in other.get("/").content.decode()
    assert "set-password/" not in one.get(reverse("show_account", args=[ana_with_phone.pk])).content.decode()
    answer = save(one, confirm, reason="it is true")
    assert answer.status_code == 422 and "ask another administrator" in answer.content.decode()
    assert sign_in.has_second_factor(ana_with_phone)
    answer = save(other, confirm, reason="saw the passport")
    assert not sign_in.has_second_factor(ana_with_phone)
    assert come_in().answer.status_code == 422, "the old password is dead"
    Client().post(link_in(other.get(answer.url)), {"password": OTHER, "again": OTHER})
    assert is_in(come_in("ana", OTHER))
    assert other.get(confirm).status_code == 404, "it is confirmed once"
    assert [event.by_name for event in AuditEvent.objects.of(lost)] == ["Ada Berg", "Bea Cruz"]
    assert [kind for kind in kinds("ana") if "factor" in kind] == [
        "second factor reported lost",
        "second factor forgotten",
    ]


@pytest.mark.requirement("R22")
def test_nobody_alone_becomes_another_person(ana_with_phone, ada, bea, machine):
    with pytest.raises(Refused):
        actions.report_lost_factor(user=ada, reason="x", by=ada)
    lost = actions.report_lost_factor(user=ana_with_phone, reason="x", by=ada)
    for by in (ada, ana_with_phone):
        with pytest.raises(Refused):
            actions.confirm_lost_factor(lost=lost, reason="x", by=by)
    with pytest.raises(Refused):
        actions.report_lost_factor(user=ana_with_phone, reason="again", by=bea)
    with pytest.raises(IntegrityError, match="two_people"), acting(ada, "by hand"):
        LostFactor.objects.update(confirmed_by=ada)


@pytest.mark.requirement("R22")
def test_an_administrator_made_for_the_purpose_does_not_confirm(ana_with_phone, ada, machine):
    eve = actions.create_account(username="eve", full_name="Eve Ash", password=PASSWORD, by=ada)
    actions.grant_role(user=eve, role=Role.ADMINISTRATOR, by=ada)
    lost = actions.report_lost_factor(user=ana_with_phone, reason="x", by=ada)
    with pytest.raises(Refused, match="made you an administrator"):
        actions.confirm_lost_factor(lost=lost, reason="x", by=eve)


def test_a_report_of_a_lost_phone_is_good_for_a_day(ana_with_phone, ada, bea, machine):
    lost = actions.report_lost_factor(user=ana_with_phone, reason="x", by=ada)
    with acting(machine, "a day passes"):
        LostFactor.objects.update(reported_at=lost.reported_at - timedelta(days=1, seconds=1))
    assert come_in("bea").get(reverse("confirm_lost_factor", args=[lost.pk])).status_code == 404
    with pytest.raises(Refused, match="older than a day"):
        actions.confirm_lost_factor(lost=lost, reason="x", by=bea)
    assert actions.report_lost_factor(user=ana_with_phone, reason="again", by=ada)


def test_where_no_phone_is_enrolled_none_is_lost(ana, ada):
    with pytest.raises(Refused, match="no second factor"):
        actions.report_lost_factor(user=ana, reason="x", by=ada)


def test_a_weak_or_mistyped_password_is_refused_and_the_link_lives(invited):
    *_, link = invited
    assert Client().post(link, {"password": "short", "again": "short"}).status_code == 422
    assert Client().post(link, {"password": PASSWORD, "again": OTHER}).status_code == 422
    assert Client().get(link).status_code == 200


def test_no_digest_of_a_password_is_kept_among_the_receipts(invited):
    *_, link = invited
    receipts = FormReceipt.objects.count()
    Client().post(link, {"password": PASSWORD, "again": PASSWORD})
    client = come_in("eva")
    client.post(reverse("change_password"), {"current": PASSWORD, "password": OTHER, "again": OTHER})
    assert FormReceipt.objects.count() == receipts


# --- sessions ----------------------------------------------------------------------------------------


def key(client):
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@pytest.mark.requirement("R40")
def test_the_session_id_changes_at_sign_in_and_the_old_one_is_dead(ana_with_phone):
    client = come_in()
    before = key(client)
    client.post(reverse("enter_code"), {"code": code()})
    assert key(client) != before
    assert not Session.objects.filter(pk=before).exists()


def test_the_session_id_changes_at_enrolment(ana):
    client = come_in()
    before = key(client)
    enrol(client)
    assert key(client) != before and not Session.objects.filter(pk=before).exists()


@pytest.mark.requirement("R40")
def test_a_changed_password_keeps_this_session_under_a_new_id_and_ends_the_others(ana):
    here, there = come_in(), come_in()
    before = key(here)
    answer = here.post(reverse("change_password"), {"current": PASSWORD, "password": OTHER, "again": OTHER})
    assert answer.status_code == 302
    assert is_in(here) and key(here) != before
    assert not is_in(there)
    assert is_in(come_in(password=OTHER))


def test_the_present_password_is_asked_for_and_throttled(ana):
    client = come_in()
    form = {"current": "wrong words altogether", "password": OTHER, "again": OTHER}
    answers = [client.post(reverse("change_password"), form).status_code for _ in range(10)]
    assert answers == [422] * 9 + [429]


@pytest.mark.requirement("R34")
def test_a_deactivated_person_is_out_at_the_very_next_request(ana, ada):
    client = come_in()
    actions.deactivate_account(user=ana, reason="left", by=ada)
    assert client.get(reverse("show_own_account")).status_code == 302
    assert come_in().answer.status_code == 422
    assert User.objects.filter(pk=ana.pk).exists()
    actions.reactivate_account(user=ana, reason="came back", by=ada)
    assert is_in(come_in())


def test_even_a_session_that_was_overlooked_opens_nothing_to_a_deactivated_person(ana, ada, monkeypatch):
    client = come_in()
    monkeypatch.setattr(actions, "end_sessions", lambda user: None)
    actions.deactivate_account(user=ana, reason="left", by=ada)
    assert not is_in(client)


@pytest.mark.requirement("R40")
def test_a_changed_role_ends_the_sessions(ana, ada, site):
    client = come_in()
    actions.grant_role(user=ana, role=Role.MONITOR, by=ada)
    assert not is_in(client)
    client = come_in()
    actions.revoke_role(grant=ana.grants.get(role=Role.MONITOR), reason="error", by=ada)
    assert not is_in(client)


@pytest.mark.requirement("R42")
def test_a_person_sees_and_ends_the_own_sessions(ana, ada):
    one, two, three, stranger = come_in(), come_in(), come_in(), come_in("ada")
    rows = one.get(reverse("show_own_account")).context["sessions"]
    assert sorted(row["is_this"] for row in rows) == [False, False, True]
    one.post(reverse("end_own_sessions"), {"which": actions.session_name(key(two))})
    assert [is_in(client) for client in (one, two, three)] == [True, False, True]
    one.post(reverse("end_own_sessions"), {"which": actions.session_name(key(stranger))})
    assert is_in(stranger), "only the own ones"
    one.post(reverse("end_own_sessions"))
    assert [is_in(client) for client in (one, three, stranger)] == [True, False, True]


def test_an_administrator_ends_anyones_sessions(ana, ada):
    client = come_in()
    come_in("ada").post(reverse("end_sessions", args=[ana.pk]))
    assert not is_in(client)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns: clock(60) is a minute after the test began."""
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began)
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: began + seconds)


IDLE = 20 * 60
BACKGROUND = {"HTTP_X_BACKGROUND": "1"}


@pytest.mark.requirement("R39")
def test_a_session_ends_after_twelve_hours_whatever_was_done(ana, clock):
    client = come_in()
    for minute in range(1, 12 * 60, 10):
        clock(60 * minute)
        assert is_in(client), minute
    clock(12 * 3600 - 5)
    assert is_in(client)
    clock(12 * 3600 + 5)
    answer = client.get(reverse("show_own_account"))
    assert answer.status_code == 302 and "ended=over" in answer.url
    assert "twelve hours" in client.get(answer.url).content.decode()
    assert kinds("ana")[-1] == "ended, after twelve hours"


@pytest.mark.requirement("R38")
def test_a_session_ends_twenty_minutes_after_the_last_request(ana, clock):
    client = come_in()
    clock(IDLE - 1)
    assert is_in(client)
    clock(2 * IDLE - 2)
    assert is_in(client), "each request counts anew"
    before = key(client)
    clock(3 * IDLE)
    answer = client.get("/account/?page=2")
    assert answer.url == "/sign-in/?next=%2Faccount%2F%3Fpage%3D2&ended=idle"
    assert answer["Clear-Site-Data"] == '"cache", "storage"'
    assert kinds("ana") == ["signed in", "ended, idle"]
    assert not Session.objects.filter(pk=before).exists()
    assert client.cookies[settings.PRESENCE_COOKIE_NAME].value == ""
    page = client.get(answer.url)
    assert "nothing was done for 20 minutes" in page.content.decode()
    answer = client.post("/sign-in/", {"username": "ana", "password": PASSWORD, "next": page.context["next"]})
    assert answer.url == "/account/?page=2"


@pytest.mark.requirement("R38")
def test_what_an_idle_person_sends_is_not_saved(ana, clock):
    client = come_in()
    clock(IDLE + 1)
    form = {"current": PASSWORD, "password": OTHER, "again": OTHER}
    answer = client.post(reverse("change_password"), form, HTTP_REFERER="http://testserver/account/password/")
    assert answer.url == "/sign-in/?next=%2Faccount%2Fpassword%2F&ended=idle"
    assert is_in(come_in())


@pytest.mark.parametrize("referer", ["http://evil.example/account/", "//evil.example", "javascript:alert(1)", ""])
def test_the_way_back_stays_here(ana, clock, referer):
    client = come_in()
    clock(IDLE + 1)
    assert client.post(reverse("end_own_sessions"), HTTP_REFERER=referer).url == "/sign-in/?ended=idle"


@pytest.mark.requirement("R38")
def test_a_page_that_asks_by_itself_keeps_nobody_signed_in(ana, clock):
    client = come_in()
    for minute in range(1, 20):
        clock(60 * minute)
        assert client.get(reverse("stay"), **BACKGROUND).json()["left"] == IDLE - 60 * minute
    clock(IDLE + 1)
    answer = client.get(reverse("stay"), HTTP_REFERER="http://testserver/visits/", **BACKGROUND)
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/sign-in/?next=%2Fvisits%2F&ended=idle"
    assert kinds("ana")[-1] == "ended, idle"
    assert not is_in(client)


def test_who_says_to_be_there_stays(ana, clock):
    client = come_in()
    clock(IDLE - 1)
    assert client.post(reverse("stay")).json()["left"] == IDLE
    clock(2 * IDLE - 2)
    assert is_in(client)


def test_staying_does_not_lengthen_the_twelve_hours(ana, clock):
    client = come_in()
    clock(900)
    assert client.post(reverse("stay")).json()["cap"] == 12 * 3600 - 900


@pytest.mark.requirement("R38")
@pytest.mark.parametrize("forge", ["missing", "empty", "altered", "of another session", "not a number"])
def test_the_instant_of_the_last_request_cannot_be_forged(ana, ada, forge):
    client, other = come_in(), come_in("ada")
    name = settings.PRESENCE_COOKIE_NAME
    mine = client.cookies[name].value
    if forge == "missing":
        del client.cookies[name]
    else:
        client.cookies[name] = {
            "empty": "",
            "altered": mine[:-1] + ("A" if mine[-1] != "A" else "B"),
            "of another session": other.cookies[name].value,
            "not a number": signing.dumps(["x"], salt=f"trialsite.presence.{key(client)}"),
        }[forge]
    assert not is_in(client)
    assert is_in(other)


def test_an_old_instant_does_not_open_a_session_again(ana, clock):
    client = come_in()
    clock(IDLE + 1)
    fresh = signing.dumps(time.time(), salt=f"trialsite.presence.{key(client)}")
    assert not is_in(client)
    client.cookies[settings.PRESENCE_COOKIE_NAME] = fresh
    assert not is_in(client), "the session itself is gone"


@pytest.mark.requirement("R38")
@pytest.mark.parametrize("jump", [-3600, 400 * 24 * 3600])
def test_a_clock_that_jumps_signs_out_and_lets_in_again(ana, clock, jump):
    client = come_in()
    clock(jump)
    answer = client.get(reverse("show_own_account"))
    assert answer.status_code == 302 and answer.url.startswith("/sign-in/")
    assert client.get(answer.url).status_code == 200
    assert is_in(come_in(client=client))


def test_reading_pages_writes_no_instant_to_the_database(ana, clock):
    client = come_in()
    clock(120)
    with CaptureQueriesContext(connection) as queries:
        assert is_in(client)
    assert not writes(queries)


@pytest.mark.requirement("R41")
def test_the_instant_is_closed_to_scripts_and_other_sites(ana):
    cookie = come_in().answer.cookies[settings.PRESENCE_COOKIE_NAME]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["domain"] and not cookie["max-age"]


def test_being_alive_and_healthy_asks_nothing_of_a_session(ana, clock):
    client = come_in()
    clock(IDLE + 1)
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/healthz/live").status_code == 200
    assert len(queries) == 0


@pytest.mark.parametrize(
    ("minutes", "taken"),
    [
        ("0.2", True),
        ("20", True),
        ("720", True),
        ("0", False),
        ("-5", False),
        ("721", False),
        ("nan", False),
        ("x", False),
    ],
)
def test_the_idle_time_must_make_sense(minutes, taken):
    done = settings_process("demo", "print(settings.IDLE.total_seconds())", TRIALSITE_IDLE_MINUTES=minutes)
    assert (done.returncode == 0) == taken


@pytest.mark.requirement("R43")
def test_signing_out_leaves_nothing_behind(ana):
    client = come_in()
    before = key(client)
    assert client.get(reverse("show_own_account"))["Cache-Control"] == "no-store"
    answer = client.post(reverse("sign_out"))
    assert answer["Clear-Site-Data"] == '"cache", "storage"', "a browser would clear other systems' cookies, too"
    assert not answer.cookies[settings.SESSION_COOKIE_NAME].value
    assert not answer.cookies[settings.PRESENCE_COOKIE_NAME].value
    assert not Session.objects.filter(pk=before).exists() and not is_in(client)


def test_signing_out_takes_a_post(ana):
    client = come_in()
    assert client.get(reverse("sign_out")).status_code == 405
    assert is_in(client)


@pytest.mark.requirement("R41")
def test_the_cookies_are_closed_to_scripts_and_other_sites(ana):
    client = come_in()
    cookie = client.answer.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["domain"]
    assert len(cookie.value) >= 26, "128 bits in 36 letters"


def test_in_production_the_cookies_are_bound_to_host_and_tls():
    """R41"""
    shown = settings_of(
        "production",
        "print(settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, settings.SESSION_COOKIE_SECURE,"
        " settings.CSRF_COOKIE_SECURE, settings.SECOND_FACTOR)",
        TRIALSITE_SECRET_KEY="k" * 50,
        TRIALSITE_HOSTS="trial.example",
    )
    assert shown == "__Host-trialsite __Host-trialsite-csrf True True required"


# --- pages of the administrator ----------------------------------------------------------------------


@pytest.mark.requirement("R27")
def test_a_new_installation_has_no_account_that_opens():
    assert [user.username for user in User.objects.all()] == ["system"]
    assert not User.objects.get().has_usable_password()


DEFAULTS = ["admin", "root", "test", "demo", "user", "guest", "system", "trialsite", "postgres", "operator"]


@pytest.mark.parametrize("name", DEFAULTS)
def test_no_default_name_and_password_open(name):
    """R27"""
    for password in (name, "password", "changeme"):
        assert not is_in(come_in(name, password))


def routes(account, grant):
    return [
        reverse("list_accounts"),
        reverse("create_account"),
        reverse("show_account", args=[account.pk]),
        reverse("grant_role", args=[account.pk]),
        reverse("revoke_role", args=[grant.pk]),
        reverse("deactivate_account", args=[account.pk]),
        reverse("reset_sign_in", args=[account.pk]),
        reverse("report_lost_factor", args=[account.pk]),
    ]


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMINISTRATOR])
def test_only_administrators_reach_the_accounts(machine, ada, site, role):
    user = actions.create_account(username="eva", full_name="Eva", password=PASSWORD, by=machine)
    grant = actions.grant_role(user=user, role=role, site=site, by=machine)
    client = come_in("eva")
    paths = [*routes(ada, grant), reverse("end_sessions", args=[ada.pk]), reverse("reactivate_account", args=[ada.pk])]
    for path in paths:
        assert client.post(path).status_code in (403, 405), path
        assert client.get(path).status_code in (403, 405), path
    assert list(ada.grants.current().values_list("role", flat=True)) == [Role.ADMINISTRATOR]


def test_the_pages_of_accounts_cost_little_and_write_nothing(ana, ada, site, machine):
    for number in range(20):
        user = actions.create_account(username=f"user{number:02}", full_name=f"Person {number}", by=machine)
        actions.grant_role(user=user, role=Role.MONITOR, site=site, by=machine)
    client = come_in("ada")
    own = [reverse("show_own_account"), reverse("change_password"), reverse("enrol_second_factor")]
    client.get(own[0])
    for path in [*routes(ana, ana.grants.get()), *own]:
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(path)
        assert answer.status_code == 200, path
        assert len(queries) <= 12, (path, len(queries))
        assert not writes(queries), path


def test_an_account_is_shown_with_roles_and_last_sign_in(ana, ada):
    come_in()
    page = come_in("ada").get(reverse("list_accounts")).content.decode()
    assert "Ana Lima" in page and "Study coordinator, 01" in page
    assert "Trialsite</a></th>" not in page, "the machine's account is not a person's"


def test_an_administrator_grants_and_revokes_with_a_reason(ada, site, machine):
    user = actions.create_account(username="eva", full_name="Eva", by=machine)
    client = come_in("ada")
    url = reverse("grant_role", args=[user.pk])
    assert save(client, url, role=Role.MONITOR, site=site.pk, reason="").status_code == 422
    assert save(client, url, role=Role.MONITOR, site=site.pk, reason="delegation log 3").status_code == 302
    grant = Grant.objects.get(user=user)
    assert AuditEvent.objects.of(grant).get().reason == "delegation log 3"
    assert save(client, url, role=Role.MONITOR, site=site.pk, reason="again").status_code == 422
    assert save(client, reverse("revoke_role", args=[grant.pk]), reason="left").status_code == 302
    assert client.get(reverse("revoke_role", args=[grant.pk])).status_code == 404
    assert not user.grants.current().exists()


def test_a_double_submit_creates_one_account(ada):
    client = come_in("ada")
    page = client.get(reverse("create_account"))
    values = {name: page.context["form"][name].value() for name in ("version", "idem")}
    values |= {"full_name": "Eva Roth", "username": "eva", "email": ""}
    first, second = client.post(reverse("create_account"), values), client.post(reverse("create_account"), values)
    assert first.url == second.url and User.objects.filter(username="eva").count() == 1


def test_an_administrator_deactivates_and_reactivates(ana, ada):
    client = come_in("ada")
    assert save(client, reverse("deactivate_account", args=[ana.pk]), reason="left").status_code == 302
    assert not User.objects.get(pk=ana.pk).is_active
    assert save(client, reverse("reactivate_account", args=[ana.pk]), reason="back").status_code == 302
    assert User.objects.get(pk=ana.pk).is_active


def test_the_machines_account_is_not_administered(ada, machine):
    client = come_in("ada")
    for name in ("show_account", "grant_role", "reset_sign_in", "deactivate_account"):
        assert client.get(reverse(name, args=[machine.pk])).status_code == 404


# --- the command -------------------------------------------------------------------------------------


def test_the_first_administrator_comes_by_command(db, capsys):
    call_command("create_account", "ada", "--full-name", "Ada Berg", "--address", "http://testserver/")
    link = capsys.readouterr().out.strip().removeprefix("http://testserver")
    assert Client().post(link, {"password": PASSWORD, "again": PASSWORD}).url == reverse("sign_in")
    assert come_in("ada").get(reverse("list_accounts")).status_code == 200


def test_the_command_says_what_cannot_be(ana):
    with pytest.raises(CommandError, match="taken"):
        call_command("create_account", "Ana", "--full-name", "x")
    with pytest.raises(CommandError, match="no site 99"):
        call_command("create_account", "eva", "--full-name", "x", "--role", "monitor", "--site", "99")
    assert not User.objects.filter(username="eva").exists()


# --- whose patients ----------------------------------------------------------------------------------


def test_a_coordinator_does_not_see_the_other_sites_patients(ana, site, machine):
    other = actions.create_site(code="02", name="Kunming", country="CN", timezone="Asia/Shanghai", by=machine)
    with acting(machine):
        mine, foreign = (
            Patient.objects.create(
                site=where, number=f"{where.code}-001", sequence=1, sex="F", protocol_version="1.0",
                birth_date=date(1980, 1, 1), screened_on=date(2026, 1, 5),
            )
            for where in (site, other)
        )  # fmt: skip
    assert set(Patient.objects.visible_to(ana)) == {mine}
    client = come_in()
    missing = client.get(reverse("patients:show_patient", args=[10**9]))
    answer = client.get(reverse("patients:show_patient", args=[foreign.pk]))
    assert answer.status_code == missing.status_code == 404

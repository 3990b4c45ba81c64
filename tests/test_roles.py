"""Who may do what: the table that the sponsor signs, and that every address keeps to it."""

import json
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.test import RequestFactory

from trialsite.management.commands.check_roles_dump import dump, roles_page
from trialsite.models import Grant, Site, User
from trialsite.roles import (
    AT_A_SITE,
    ROLES,
    Permission,
    Role,
    can,
    can_see_arm,
    needs,
    permissions_of,
    require,
    sites_where,
)

P = Permission
HERE, THERE = Site(pk=1, code="01"), Site(pk=2, code="02")

# permission: coordinator, investigator, pharmacist, monitor, data manager, statistician, safety officer,
#             DSMB member, administrator, inspector
TABLE = [
    (P.VIEW_PATIENTS, "xxxxxxx..x"),
    (P.ENTER_DATA, "xx........"),
    (P.DECIDE_ELIGIBILITY, "xx........"),
    (P.REPORT_ADVERSE_EVENTS, "xx........"),
    (P.VIEW_ADVERSE_EVENTS, "xx.xxxx..x"),
    (P.CODE_TERMS, "....x.x..."),
    (P.APPROVE_CODES, "....x.x..."),
    (P.JUDGE_SERIOUS_EVENTS, "......x..."),
    (P.UNMASK_PATIENTS, ".x........"),
    (P.VIEW_UNMASKINGS, ".x...xx..x"),
    (P.RAISE_QUERIES, "...xx....."),
    (P.ANSWER_QUERIES, "xx........"),
    (P.VERIFY_SOURCE, "...x......"),
    (P.REVIEW_DATA, "....x....."),
    (P.SIGN_DATA, ".x........"),
    (P.RECORD_DEVIATIONS, "xx.xx....."),
    (P.MANAGE_RANGES, "....x....."),
    (P.EXPORT_DATA, ".x..xx...."),
    (P.RELEASE_VERSIONS, "....x....."),
    (P.SEE_ARM, "..x..x.x.."),
    (P.SEE_ARM_WHEN_OPEN, "xx.xx.x..x"),
    (P.MANAGE_LOTS, "..x......."),
    (P.PREPARE_INFUSIONS, "x.x......."),
    (P.RECORD_INFUSIONS, "xx........"),
    (P.MANAGE_ALLOCATION, ".....x...."),
    (P.OPEN_HALTS, "......xx.."),
    (P.REQUEST_REPORTS, ".....xx..."),
    (P.RELEASE_REPORTS, ".....x...."),
    (P.READ_OPEN_REPORTS, "...xxxxx.x"),
    (P.READ_CLOSED_REPORTS, ".....x.x.."),
    (P.VIEW_LETTER_LOG, ".....x...x"),
    (P.RECORD_DECISIONS, ".......x.."),
    (P.VIEW_AUDIT_TRAIL, "xxxxxxx..x"),
    (P.MANAGE_ACCOUNTS, "........x."),
]


def someone(*grants):
    """A person who holds these (role, site); nothing is asked of the database."""
    user = User(username="someone", full_name="Some One")
    user.current_grants = [Grant(user=user, role=role, site=site) for role, site in grants]
    return user


@pytest.mark.parametrize(("permission", "row"), TABLE, ids=[permission.name for permission, _ in TABLE])
def test_each_permission_is_held_by_exactly_these_roles(permission, row):
    held = "".join("x" if can(someone((role, HERE)), permission) else "." for role in Role)
    assert held == row


def test_the_table_names_every_permission():
    assert {permission for permission, _row in TABLE} == set(Permission)


def test_every_permission_is_held_by_some_role():
    assert {permission for role in Role for permission in permissions_of(role)} == set(Permission)


def test_every_role_has_a_sentence():
    assert set(ROLES) == set(Role)
    assert all(str(sentence).endswith(".") for sentence, _permissions in ROLES.values())


def test_the_docs_say_what_the_code_does():
    page = (Path(__file__).parent.parent / "docs" / "roles.md").read_text(encoding="utf-8")
    assert page == roles_page(), "run: manage.py check_roles_dump --markdown > docs/roles.md"


@pytest.mark.parametrize("permission", [P.VIEW_PATIENTS, P.ENTER_DATA, P.SEE_ARM, P.READ_CLOSED_REPORTS,
                                        P.VIEW_ADVERSE_EVENTS, P.VIEW_AUDIT_TRAIL])  # fmt: skip
def test_an_administrator_reaches_no_data(permission):
    """R37"""
    assert not can(someone((Role.ADMINISTRATOR, None)), permission)


# role's site, asked site, may enter data
SITES = [
    (HERE, HERE, True),
    (HERE, THERE, False),
    (None, HERE, True),
    (None, THERE, True),
    (HERE, None, True),
]


@pytest.mark.parametrize(("held_at", "asked_at", "expected"), SITES)
def test_a_role_reaches_as_far_as_its_site(held_at, asked_at, expected):
    assert can(someone((Role.COORDINATOR, held_at)), P.ENTER_DATA, asked_at) is expected


def test_roles_at_two_sites_do_not_mix():
    person = someone((Role.COORDINATOR, HERE), (Role.MONITOR, THERE))
    assert can(person, P.ENTER_DATA, HERE) and not can(person, P.ENTER_DATA, THERE)
    assert can(person, P.RAISE_QUERIES, THERE) and not can(person, P.RAISE_QUERIES, HERE)
    assert sites_where(person, P.VIEW_PATIENTS) == {HERE.pk, THERE.pk}
    assert sites_where(person, P.ENTER_DATA) == {HERE.pk}


def test_without_a_role_nothing_is_allowed():
    assert not any(can(someone(), permission) for permission in Permission)
    assert sites_where(someone(), P.VIEW_PATIENTS) == set()


# role, masked trial, sees arms
ARMS = [
    (Role.COORDINATOR, False, True), (Role.COORDINATOR, True, False),
    (Role.INVESTIGATOR, False, True), (Role.INVESTIGATOR, True, False),
    (Role.PHARMACIST, False, True), (Role.PHARMACIST, True, True),
    (Role.MONITOR, False, True), (Role.MONITOR, True, False),
    (Role.DATA_MANAGER, False, True), (Role.DATA_MANAGER, True, False),
    (Role.STATISTICIAN, False, True), (Role.STATISTICIAN, True, True),
    (Role.SAFETY_OFFICER, False, True), (Role.SAFETY_OFFICER, True, False),
    (Role.DSMB_MEMBER, False, True), (Role.DSMB_MEMBER, True, True),
    (Role.ADMINISTRATOR, False, False), (Role.ADMINISTRATOR, True, False),
    (Role.INSPECTOR, False, True), (Role.INSPECTOR, True, False),
]  # fmt: skip


@pytest.mark.parametrize(("role", "masked", "expected"), ARMS)
def test_who_sees_the_arm(role, masked, expected):
    assert can_see_arm(someone((role, HERE)), masked=masked) is expected


def test_require_refuses_who_lacks_the_permission():
    require(someone((Role.MONITOR, HERE)), P.RAISE_QUERIES, HERE)
    with pytest.raises(PermissionDenied):
        require(someone((Role.MONITOR, HERE)), P.RAISE_QUERIES, THERE)


# method, role, let in; the view: reading takes VIEW_PATIENTS, sending takes ENTER_DATA
DOOR = [
    ("get", Role.MONITOR, True),
    ("get", Role.ADMINISTRATOR, False),
    ("post", Role.MONITOR, False),
    ("post", Role.COORDINATOR, True),
    ("delete", Role.MONITOR, False),
]


@pytest.mark.parametrize(("method", "role", "let_in"), DOOR)
def test_a_view_may_need_more_to_post_than_to_read(method, role, let_in):
    @needs(P.VIEW_PATIENTS, to_post=(P.ENTER_DATA,))
    def view(request):
        return "in"

    request = getattr(RequestFactory(), method)("/")
    request.user = someone((role, HERE))
    if let_in:
        assert view(request) == "in"
    else:
        with pytest.raises(PermissionDenied):
            view(request)


def test_a_view_cannot_need_nothing():
    with pytest.raises(TypeError):
        needs()


# --- every address -----------------------------------------------------------------------------------


def test_every_address_says_who_may_enter():
    undeclared = [route["route"] for route in dump()["routes"] if route["access"] == "undeclared"]
    assert undeclared == [], "decorate these views with needs(...), or list them in check_roles_dump"


def test_only_the_door_and_the_health_pages_are_open():
    opened = {route["name"] for route in dump()["routes"] if route["access"] == "open"}
    assert opened == {
        "sign_in",
        "choose_language",
        "enter_code",
        "set_password",
        "visits:calendar_feed",
        "live",
        "ready",
    }


def test_no_address_takes_put_patch_or_delete():
    """R13"""
    for route in dump()["routes"]:
        assert set(route["methods"]) <= {"GET", "HEAD", "POST"}, route["route"]


READERS = [Role.MONITOR, Role.DATA_MANAGER, Role.INSPECTOR, Role.STATISTICIAN, Role.SAFETY_OFFICER]


@pytest.mark.parametrize("role", READERS)
def test_the_sponsors_side_sends_no_form_that_enters_data(role):
    """R14"""
    for route in dump()["routes"]:
        if {"ENTER_DATA", "REPORT_ADVERSE_EVENTS", "RECORD_INFUSIONS"} & set(route["to_post"]):
            others = set(route["to_post"]) & {permission.name for permission in permissions_of(role)}
            assert route["may"][role]["POST"] is bool(others), route["route"]


def test_an_administrator_posts_to_accounts_only():
    """R37"""
    allowed = {
        route["route"].split("/")[1]
        for route in dump()["routes"]
        if route["may"][Role.ADMINISTRATOR]["POST"] and route["access"] == "by permission"
    }
    assert allowed == {"accounts"}


def test_the_command_prints_json(capsys):
    call_command("check_roles_dump")
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["roles"]) == set(Role.values)
    assert printed["roles"]["administrator"]["permissions"] == ["MANAGE_ACCOUNTS"]
    assert {"route", "name", "access", "methods", "to_get", "to_post", "may"} == set(printed["routes"][0])


def test_site_staff_hold_their_roles_at_a_site():
    assert set(AT_A_SITE) == {Role.COORDINATOR, Role.INVESTIGATOR, Role.PHARMACIST}

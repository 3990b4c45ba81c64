"""Fixtures of all tests. tests/database.py has the database, tests/universe.py the people, tests/browser.py Chromium."""

import sys

import pytest
from django.db import transaction
from django.db.models import QuerySet

from tests.universe import Universe

pytest_plugins = ["tests.browser"]

OUR_CODE = ("tests", "trialsite", "patients", "visits", "safety")


@pytest.fixture(scope="session", autouse=True)
def rows_have_an_order():
    """Our code, the tests and the pages of a table may not take rows by their place where nothing says their order:
    PostgreSQL gives them in any."""
    take = QuerySet.__getitem__

    def take_in_order(rows, place):
        asks = sys._getframe(1).f_globals["__name__"]
        if asks.split(".")[0] in OUR_CODE or asks == "django.core.paginator":
            assert rows.ordered, f"{rows.model.__name__} has no order here: order_by() comes before [{place}]"
        return take(rows, place)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(QuerySet, "__getitem__", take_in_order)
        yield


@pytest.fixture
def universe(db):
    return Universe()


@pytest.fixture
def committed_universe(transactional_db):
    """The same, visible to other connections."""
    return Universe()


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """A universe that the tests of a module share: made once, in a transaction that is rolled back at its end.

    Tests that use it take `unchanged` too, or change nothing; they must not ask for `db`."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield Universe()
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def screened(world):
    """A patient in screening whose panels are still to be entered."""
    return world.screened()


@pytest.fixture
def unchanged(world):
    """What this test does to the shared universe is undone after it."""
    with transaction.atomic():
        yield world
        transaction.set_rollback(True)

"""Fixtures of all tests. tests/database.py has the database, tests/universe.py the people, tests/browser.py Chromium."""

import pytest
from django.db import transaction

from tests.universe import Universe

pytest_plugins = ["tests.browser"]


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


@pytest.fixture
def unchanged(world):
    """What this test does to the shared universe is undone after it."""
    with transaction.atomic():
        yield world
        transaction.set_rollback(True)

"""Fixtures of all tests. tests/database.py has the database, tests/universe.py the people."""

import pytest

from tests.universe import Universe


@pytest.fixture
def universe(db):
    return Universe()


@pytest.fixture
def committed_universe(transactional_db):
    """The same, visible to other connections."""
    return Universe()

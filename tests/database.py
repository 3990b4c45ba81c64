"""The test run's own database and broker: a pytest plugin, loaded before Django's settings are.

Each run gets a folder of its own under the system's temporary one, so that runs beside each other never
meet; in it a PostgreSQL that all xdist workers share, and one TRIALSITE_VAR per worker. With
TRIALSITE_TEST_EXTERNAL=1 an outside server is used: DATABASE_URL (the runtime role), MIGRATION_DATABASE_URL
(the owner, who must be allowed to create databases) and TRIALSITE_TEST_SUPERUSER_URL.

As in production the tests' `default` connection is the runtime role, which may not truncate; after a test
with real transactions the superuser puts every table back to what it held after the migrations.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from trialsite import embedded, processes

PREFIX = "trialsite-test-"
NO_DISK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # nothing here has to last

# For tests with many rows: what the planner knows is else of tables full of what earlier tests took back, and it
# takes thousands of rows for one. PostgreSQL's own daemon sees committed rows only.
FRESH_STATISTICS = "CREATE FUNCTION fresh_statistics() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN EXECUTE ''ANALYZE''; END'"

EXTERNAL = os.environ.get("TRIALSITE_TEST_EXTERNAL") == "1"
CONTROLLER = "PYTEST_XDIST_WORKER" not in os.environ
if CONTROLLER:
    os.environ["TRIALSITE_TEST_FOLDER"] = tempfile.mkdtemp(prefix=PREFIX)
    # called last: after the one by which `embedded` stops the server
    atexit.register(shutil.rmtree, os.environ["TRIALSITE_TEST_FOLDER"], ignore_errors=True)
FOLDER = Path(os.environ["TRIALSITE_TEST_FOLDER"]).resolve()
VAR = FOLDER / os.environ.get("PYTEST_XDIST_WORKER", "main")
SUPERUSER = os.environ["TRIALSITE_TEST_SUPERUSER_URL"] if EXTERNAL else embedded.superuser_url(FOLDER)

for needed in ("run", "log", "static"):
    (VAR / needed).mkdir(parents=True, exist_ok=True)
os.environ["TRIALSITE_PROFILE"] = "test"
os.environ["TRIALSITE_VAR"] = str(VAR)
os.environ["CELERY_BROKER_URL"] = embedded.broker_url(VAR)
if not EXTERNAL:
    os.environ["DATABASE_URL"] = embedded.database_url(FOLDER)
    os.environ["MIGRATION_DATABASE_URL"] = embedded.owner_url(FOLDER)


def pytest_configure(config):
    config.pluginmanager.register(Databases(), "trialsite-databases")  # after pytest-django, so that ours holds


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    if CONTROLLER and not EXTERNAL and not session.config.option.collectonly:
        remove_what_killed_runs_left()
        embedded.start_database(FOLDER, NO_DISK)
        with psycopg.connect(SUPERUSER) as server:
            server.execute(f"ALTER ROLE {embedded.OWNER} CREATEDB")


def remove_what_killed_runs_left():
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or just being removed
            if (folder / "postgres.users").exists() and embedded.stop_database(folder):  # nobody uses it any more
                for var in folder.iterdir():
                    processes.end_left_over(var, seconds=0)
                shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    try:
        return (yield)
    finally:
        if Databases.name and commits(item):
            empty_tables()


def commits(item):
    """Whether the test leaves rows behind, since it is not wrapped in a transaction that is rolled back."""
    marker = item.get_closest_marker("django_db")
    by_marker = marker and (any(marker.args) or marker.kwargs.get("transaction"))
    return by_marker or not {"transactional_db", "live_server"}.isdisjoint(item.fixturenames)


def empty_tables():
    """Puts every table and sequence back to what it held after the migrations."""
    with as_superuser() as database:
        # no triggers then: neither the audit trail's nor those of foreign keys
        database.execute("SET session_replication_role = replica; SET lock_timeout = '10s'")
        # many times faster than TRUNCATE, which makes new files for each table and index that hang together
        for table in {*filled_tables(database), *Databases.first_rows}:
            database.execute(f"DELETE FROM {table}")
        for table, rows in Databases.first_rows.items():
            with database.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(rows)
        for sequence, last in last_numbers(database).items():
            if last != (first := Databases.first_numbers[sequence]):
                database.execute("SELECT setval(%s::regclass, %s, %s)", [sequence, first or 1, first is not None])


def as_superuser():
    return psycopg.connect(make_conninfo(SUPERUSER, dbname=Databases.name))


def filled_tables(database):
    tables = database.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'"
    )
    ask = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for (table,) in tables)
    return [table for (table,) in database.execute(ask)]


def rows_of(database, table):
    with database.cursor().copy(f"COPY {table} TO STDOUT") as copy:
        return b"".join(copy)


def last_numbers(database):
    return dict(database.execute("SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences"))


class Databases:
    name = None  # of this worker's test database, once it is made
    first_rows = {}  # table -> what the migrations have put there, as COPY writes it
    first_numbers = {}  # sequence -> its last number after the migrations, None if it has not been used

    @pytest.fixture(scope="session")
    @classmethod
    def django_db_setup(cls, django_test_environment, django_db_blocker, django_db_modify_db_settings):
        """The test database, migrated by its owner; `default` reaches the same one as the runtime role.

        pytest-django's own would leave out `owner` when no test names it."""
        from django.db import connections
        from django.test.utils import setup_databases, teardown_databases

        with django_db_blocker.unblock():
            made = setup_databases(verbosity=0, interactive=False, serialized_aliases=())
            cls.name = connections["owner"].settings_dict["NAME"]
            embedded.close_to_others(make_conninfo(SUPERUSER, dbname=cls.name))
            with as_superuser() as database:
                database.execute(FRESH_STATISTICS)
                cls.first_rows = {table: rows_of(database, table) for table in filled_tables(database)}
                cls.first_numbers = last_numbers(database)
        yield
        cls.name = None
        if EXTERNAL:  # our own server goes as a whole
            with django_db_blocker.unblock():
                teardown_databases(made, verbosity=0)

    @pytest.fixture(scope="session")
    @classmethod
    def broker(cls):
        """The address of a running Valkey, this worker's own; settings.CELERY_BROKER_URL is the same."""
        valkey = processes.Program(VAR, "valkey", embedded.broker_command(VAR), os.environ)
        valkey.start()
        while not embedded.broker_answers(VAR):
            assert valkey.process.poll() is None, valkey.last_words()
            time.sleep(0.02)
        yield embedded.broker_url(VAR)
        processes.end([valkey], 5)

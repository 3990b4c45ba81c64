"""The servers from the wheels start, survive being killed, and stop with their last user."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from trialsite import embedded, processes

HOLD = """
import sys
from trialsite import embedded
embedded.start_database(sys.argv[1])
print("started", flush=True)
sys.stdin.read()
"""


def another_process(var):
    """A process that uses the database of `var` until its input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(var)],
        cwd=embedded.BASE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(var, question, url=embedded.database_url):
    with psycopg.connect(url(var)) as database:
        return database.execute(question).fetchone()[0]


def runs(var):
    pid = embedded.postmaster_pid(var)
    return pid is not None and processes.alive(pid)


@pytest.fixture(scope="module")
def var(tmp_path_factory):
    var = tmp_path_factory.mktemp("var")
    embedded.start_database(var)
    yield var
    assert embedded.stop_database(var)


@pytest.fixture
def fresh(tmp_path):
    yield tmp_path
    embedded.stop_database(tmp_path)


# --- folder, secrets, addresses ------------------------------------------------------------------


def test_an_address_is_known_before_anything_runs(tmp_path):
    var = tmp_path / "not made"
    assert embedded.database_url(var).startswith("postgresql://trialsite_app@/trialsite?host=/")
    assert embedded.owner_url(var).startswith("postgresql://trialsite_owner@/trialsite?host=/")
    assert embedded.broker_url(var).startswith("redis+socket:///")
    assert not var.exists()


def test_the_folder_is_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIALSITE_VAR", str(tmp_path / "a" / "b"))
    assert embedded.var_folder() == (tmp_path / "a" / "b").resolve()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_secret_is_made_once_even_by_many_at_once(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda _: embedded.kept_secret(tmp_path, "key"), range(64)))
    assert len(made) == 1
    assert len(made.pop()) >= 50
    assert [file.name for file in (tmp_path / "secrets").iterdir()] == ["key"]
    assert (tmp_path / "secrets" / "key").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_somebody_opened_is_refused(tmp_path):
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey").chmod(0o755)
    with pytest.raises(embedded.EmbeddedError, match="open to other users"):
        embedded.broker_command(tmp_path)


# --- PostgreSQL ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting, value",
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("log_statement", "none"),
        ("log_min_error_statement", "panic"),
        ("TimeZone", "UTC"),
    ],
)
def test_the_server_keeps_what_it_promised(var, setting, value):
    assert ask(var, f"SHOW {setting}") == value


@pytest.mark.parametrize("role", [embedded.OWNER, embedded.RUNTIME])
def test_neither_role_may_do_more_than_sign_in(var, role):
    rights = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
    assert ask(var, f"SELECT {rights} FROM pg_roles WHERE rolname = '{role}'") is False
    assert ask(var, f"SELECT count(*) FROM pg_auth_members WHERE member = '{role}'::regrole") == 0


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE t (n int)", "CREATE TEMP TABLE t (n int)", "CREATE SCHEMA s", "CREATE ROLE r"]
)
def test_the_runtime_role_makes_nothing(var, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(var, statement)


def test_chinese_words_can_be_searched(var):
    with psycopg.connect(embedded.superuser_url(var)) as database:
        database.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        assert database.execute("SELECT similarity('不良事件', '不良事故') > 0").fetchone()[0]


def test_what_was_typed_is_not_repeated_in_the_log(var):
    with pytest.raises(psycopg.errors.DivisionByZero):
        ask(var, "SELECT 1/0 AS secret_of_a_patient")
    log = (var / "log" / "postgres.log").read_text()
    assert "division by zero" in log
    assert "secret_of_a_patient" not in log


def test_six_processes_at_once_start_one_server_and_the_last_one_stops_it(fresh):
    six = [another_process(fresh) for _ in range(6)]
    assert [process.stdout.readline() for process in six] == ["started\n"] * 6
    assert ask(fresh, "SELECT count(*) FROM pg_database WHERE datname = 'trialsite'") == 1
    for process in six:
        assert runs(fresh)
        process.communicate(timeout=30)
    assert not runs(fresh)


def test_a_restart_keeps_the_data(fresh):
    for expected in (1, 2):
        embedded.start_database(fresh)
        with psycopg.connect(embedded.owner_url(fresh)) as database:
            database.execute("CREATE TABLE IF NOT EXISTS t (n int)")
            database.execute("INSERT INTO t VALUES (1)")
            assert database.execute("SELECT count(*) FROM t").fetchone()[0] == expected
        assert embedded.stop_database(fresh)
        assert not runs(fresh)


def test_a_killed_user_does_not_keep_the_server_for_ever(fresh):
    killed = another_process(fresh)
    killed.stdout.readline()
    killed.kill()
    killed.communicate()
    assert runs(fresh)
    embedded.start_database(fresh)
    assert embedded.stop_database(fresh)
    assert not runs(fresh)


def test_a_killed_server_comes_back_with_what_was_committed(fresh):
    embedded.start_database(fresh)
    with psycopg.connect(embedded.owner_url(fresh), autocommit=True) as database:
        database.execute("CREATE TABLE t AS SELECT 7 AS n")
        os.kill(embedded.postmaster_pid(fresh), signal.SIGKILL)
        embedded.start_database(fresh)
    assert ask(fresh, "SELECT n FROM t", embedded.owner_url) == 7


def test_a_killed_initdb_is_begun_anew(fresh):
    begun = another_process(fresh)
    deadline = time.monotonic() + 20
    while not (fresh / "postgres.draft" / "PG_VERSION").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    begun.kill()
    begun.communicate()
    embedded.start_database(fresh)
    assert ask(fresh, "SELECT 1") == 1


def test_a_process_number_used_again_after_a_reboot_does_not_matter(fresh):
    embedded.start_database(fresh)
    pid_file = fresh / "postgres" / "postmaster.pid"
    before = pid_file.read_text()
    embedded.stop_database(fresh)
    stranger = subprocess.Popen(["sleep", "100"])
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *before.splitlines()[1:]]))
        embedded.start_database(fresh)
        assert ask(fresh, "SELECT 1") == 1
    finally:
        stranger.kill()
        stranger.wait()


def test_a_folder_of_another_major_version_is_refused_with_a_hint(tmp_path):
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(embedded.EmbeddedError, match=r"made by PostgreSQL 12, .* dump it"):
        embedded.start_database(tmp_path)


@pytest.mark.parametrize("name", ["long " * 30, "with a space & a % sign 病"])
def test_any_path_will_do(fresh, name):
    var = fresh / name
    embedded.start_database(var)
    try:
        assert ask(var, "SELECT current_user") == "trialsite_app"
    finally:
        assert embedded.stop_database(var)
    socket = embedded._socket_folder(var / "postgres")
    assert socket == var / "postgres" or not socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="concerns root")
@pytest.mark.parametrize("name", ["short", "long " * 30])
def test_root_without_user_namespaces_runs_it_as_nobody(tmp_path, monkeypatch, name):
    monkeypatch.setattr(embedded, "_root_may_map_users", lambda: False)
    var = tmp_path / name
    try:
        for _ in range(2):
            embedded.start_database(var)
            assert ask(var, "SELECT current_user") == "trialsite_app"
            assert Path("/proc", str(embedded.postmaster_pid(var))).stat().st_uid == 65534
            assert embedded.stop_database(var)
        assert var.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree((var / "postgres").resolve().parent)


# --- Valkey --------------------------------------------------------------------------------------


def test_the_queue_survives_a_killed_broker(tmp_path):
    for needed in ("run", "log"):
        (tmp_path / needed).mkdir()
    valkey = processes.Program(tmp_path, "valkey", embedded.broker_command(tmp_path), os.environ)
    socket = embedded.broker_url(tmp_path).removeprefix("redis+socket://")
    for expected in ([], [b"job"]):
        valkey.start()
        while not embedded.broker_answers(tmp_path):
            assert valkey.process.poll() is None, valkey.last_words()
            time.sleep(0.02)
        assert Path(socket).stat().st_mode & 0o777 == 0o700
        with redis.Redis(unix_socket_path=socket) as client:
            assert client.lrange("queue", 0, -1) == expected
            client.rpush("queue", "job")
        time.sleep(1.2)  # it writes to disk every second
        valkey.kill()
        valkey.process.wait()
    shutil.rmtree(Path(socket).parent)

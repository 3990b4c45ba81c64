"""`serve` starts everything, keeps it running, and leaves nothing behind: seen from outside, on real processes."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trialsite import embedded, processes
from trialsite.processes import Program

PROGRAMS = ("postgres", "valkey", "web", "worker", "beat")
OUR_OWN = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "CELERY_BROKER_URL", "TRIALSITE_PROFILE")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Served:
    """One installation, seen from outside."""

    def __init__(self, var):
        self.var, self.port = var, free_port()
        self.environment = {key: value for key, value in os.environ.items() if key not in OUR_OWN}
        self.environment |= {"TRIALSITE_VAR": str(var), "TRIALSITE_PORT": str(self.port)}

    def manage(self, *arguments):
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=embedded.BASE, env=self.environment, capture_output=True, text=True, timeout=60
        )

    def start(self):
        command = [sys.executable, "manage.py", "serve"]
        self.process = subprocess.Popen(
            command,
            cwd=embedded.BASE,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "is ready at" in line:
                return "".join(said)
        raise AssertionError(f"serve ended with code {self.process.wait()}: {''.join(said)}")

    def pid(self, name):
        text = processes.pid_file(self.var, name).read_text()
        return int(text) if text else None

    def ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def nothing_is_left(self):
        with socket.socket() as probe:
            port_is_closed = probe.connect_ex(("127.0.0.1", self.port)) != 0
        return port_is_closed and not any(mentions(pid, self.var) for pid in everyone())


def everyone():
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if int(folder.name) != os.getpid()]


def mentions(pid, var):
    """Whether the process was started for `var`: it is in its command line or its environment."""
    try:
        told = Path("/proc", str(pid), "cmdline").read_bytes() + Path("/proc", str(pid), "environ").read_bytes()
    except OSError:
        return False
    return str(var).encode() in told and processes.alive(pid)


def soon(happens, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("served").resolve())
    served.start()
    yield served
    if not served.nothing_is_left():
        served.manage("stop")


def test_every_program_runs_in_a_group_of_its_own_and_has_a_pid_file(served):
    pids = {name: served.pid(name) for name in PROGRAMS}
    assert all(map(processes.alive, pids.values()))
    assert {os.getpgid(pid) for pid in pids.values()} == set(pids.values())
    assert served.pid("serve") == served.process.pid
    assert served.ready()


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_a_program_has_no_way_to_the_role_that_owns_the_tables(served, name):
    told = Path("/proc", str(served.pid(name)), "environ").read_text()
    assert "DATABASE_URL=postgresql://trialsite_app@" in told
    assert "trialsite_owner" not in told


def test_each_request_is_one_line_of_json_with_its_id_and_without_its_query(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=5)
    connection.request("GET", "/healthz/live?name=somebody", headers={"X-Request-ID": "a-request-of-ours"})
    connection.getresponse()
    connection.close()
    log = served.var / "log" / "web.log"
    line = re.compile(r'^\{.*"request_id": "a-request-of-ours".*"path": "/healthz/live", "status": 200.*\}$', re.M)
    assert soon(lambda: line.search(log.read_text()))
    assert "somebody" not in log.read_text()


def test_a_second_serve_says_so_and_gives_up(served):
    second = served.manage("serve")
    assert second.returncode == 1
    assert f"already running as process {served.process.pid}" in second.stderr
    assert served.ready()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_program_is_started_again(served, name):
    killed = served.pid(name)
    os.kill(killed, signal.SIGKILL)
    assert soon(lambda: served.pid(name) not in (killed, None) and processes.alive(served.pid(name)))
    assert soon(served.ready)


def test_after_a_killed_serve_the_next_one_clears_up_and_serves(served):
    left = [served.pid(name) for name in ("web", "worker", "beat", "valkey")]
    served.process.kill()
    served.process.wait()
    assert all(map(processes.alive, left))
    assert "that a killed serve had left" in served.start()
    assert not any(map(processes.alive, left))
    assert served.ready()


def test_ctrl_c_ends_everything_within_ten_seconds(served):
    began = time.monotonic()
    served.process.send_signal(signal.SIGINT)
    said, _ = served.process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert said.endswith("stopped\n")
    assert served.process.returncode == 0
    assert served.nothing_is_left()
    assert [file.name for file in (served.var / "run").glob("*.pid")] == ["serve.pid"]


def test_stop_ends_a_running_serve_and_waits_for_it(served):
    served.start()
    assert served.manage("stop").stdout == "stopped\n"
    assert served.nothing_is_left()
    assert served.process.wait(1) == 0


def test_stop_says_when_nothing_was_running(tmp_path):
    nothing = Served(tmp_path).manage("stop")
    assert (nothing.returncode, nothing.stdout) == (0, "nothing was running\n")


def test_a_taken_port_is_said_in_one_line(tmp_path):
    late = Served(tmp_path)
    with socket.create_server(("127.0.0.1", late.port)):
        refused = late.manage("serve")
    assert refused.returncode == 1
    assert refused.stderr == f"CommandError: cannot listen on 127.0.0.1:{late.port}: Address already in use\n"
    assert not (tmp_path / "postgres").exists()


def test_the_demo_is_not_for_production(tmp_path):
    served = Served(tmp_path)
    served.environment |= {
        "TRIALSITE_PROFILE": "production",
        "TRIALSITE_SECRET_KEY": "x" * 60,
        "TRIALSITE_HOSTS": "trial.example",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    assert "invented patients" in served.manage("serve", "--demo").stderr


# --- the parts, on small programs ------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for needed in ("run", "log"):
        (tmp_path / needed).mkdir()
    yield tmp_path
    processes.end_left_over(tmp_path, seconds=0)


def shell(folder, script):
    program = Program(folder, "program", ["sh", "-c", script], os.environ)
    program.start()
    return program


def test_a_program_that_dies_young_is_started_again_ever_later(folder):
    program = shell(folder, "exit 3")
    pauses = []
    for _ in range(3):
        program.process.wait()
        assert program.tend() == "program ended with code 3; starting it again"
        pauses.append(program.pause)
        assert soon(lambda: program.tend() is None and program.next_start is None)
    assert pauses == sorted(set(pauses))


def test_what_does_not_want_to_end_is_killed_with_all_its_children(folder):
    program = shell(folder, "trap '' TERM; sleep 100 & echo $!; sleep 100")
    assert soon(lambda: program.log.read_text())
    child = int(program.log.read_text())
    processes.end([program], 0.2)
    assert program.process.returncode == -signal.SIGKILL
    assert soon(lambda: not processes.alive(child), 5)


def test_only_our_own_left_over_processes_are_ended(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    stranger = subprocess.Popen(["sleep", "100"], env={processes.MARK: str(elsewhere)})
    try:
        left = shell(folder, "sleep 100 & echo begun; wait")
        assert soon(lambda: left.log.read_text())
        assert processes.end_left_over(folder) == 2
        assert left.process.wait(5) != 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()

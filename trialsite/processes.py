"""The programs that `serve` runs, seen as processes: the only place for pid files, groups and signals.

Every program gets a process group of its own and a mark in its environment, which its children inherit. By
the mark the next `serve`, or `stop`, knows what a killed `serve` has left behind, and touches nothing else.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

from trialsite.embedded import BASE

MARK = "TRIALSITE_SERVED_FROM"


class AlreadyServed(Exception):
    """Another `serve` works in this folder; `pid` is its process number."""

    def __init__(self, pid):
        self.pid = pid


@contextlib.contextmanager
def claimed(var):
    """While it lasts, this process is the one `serve` of `var`. Raises AlreadyServed."""
    path = pid_file(var, "serve")
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                if number := file.read():
                    raise AlreadyServed(int(number)) from None
                time.sleep(0.05)  # it has just begun, or is about to be gone
        try:
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield
        finally:
            file.truncate(0)  # kept, since removing a locked file would let two in


def pid_file(var, name) -> Path:
    return Path(var) / "run" / f"{name}.pid"


class Program:
    """A program that is to run until told otherwise: started again when it dies, later if it dies young."""

    def __init__(self, var, name, command, environment, keep_open=()):
        self.var, self.name, self.command, self.keep_open = var, name, command, keep_open
        self.environment = {**environment, MARK: str(var)}
        self.log = var / "log" / f"{name}.log"
        self.pause, self.deaths, self.process = 0.0, 0, None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=BASE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self.keep_open,
                start_new_session=True,
            )
        pid_file(self.var, self.name).write_text(f"{self.process.pid}\n")
        self.started, self.next_start = time.monotonic(), None

    def tend(self):
        """To be called again and again. Returns a sentence when there is news."""
        if self.process.poll() is None:
            return None
        now = time.monotonic()
        if self.next_start is None:
            self.kill()  # what is left of its group
            self.pause = 0.2 if now - self.started > 30 else min(10.0, 2 * self.pause or 0.2)
            self.next_start, self.deaths = now + self.pause, self.deaths + 1
            return f"{self.name} ended with code {self.process.returncode}; starting it again"
        if now >= self.next_start:
            self.start()
        return None

    def kill(self):
        """Kills the whole group, also what outlived its leader."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def last_words(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def end(programs, seconds):
    """Asks all `programs` to end, and after `seconds` makes them; their groups are empty afterwards."""
    for program in programs:
        program.process.terminate()  # the leader alone: it tells its children when they are to end
    deadline = time.monotonic() + seconds
    for program in programs:
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.process.wait(max(0, deadline - time.monotonic()))
        program.kill()
        program.process.wait()
        pid_file(program.var, program.name).unlink(missing_ok=True)


def end_left_over(var, seconds=5):
    """Ends every process that carries the mark of `var`; returns how many there were."""
    found = pids = _marked(var)
    deadline = time.monotonic() + seconds
    number = signal.SIGTERM
    while pids:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(0.1)
        pids = _marked(var)
        number = signal.SIGKILL if time.monotonic() > deadline else 0
    return len(found)


def _marked(var):
    mark = f"{MARK}={var}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # another user's, or gone
            if mark in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def alive(pid):
    """Whether the process runs; a dead one that nobody has collected yet does not."""
    try:
        os.kill(pid, 0)
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return True

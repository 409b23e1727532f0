"""A PostgreSQL that is thrown away, for tests; they are skipped where it is not installed."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = [
    "DatabasePlace",
    "Server",
    "keep_tables",
    "place_of_test",
    "pooled",
    "program",
    "put_tables_back",
    "running",
    "standby_of",
    "value_in",
]


def program(name: str, package: str = "postgresql") -> str:
    """Returns the path of a program of PostgreSQL, or skips the test; Debian keeps them out of the path."""
    places = [shutil.which(name), *sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True), shutil.which(f"/usr/sbin/{name}")]
    found = next((place for place in places if place), None)
    if found is None:
        pytest.skip(f"{name} of {package} is not installed")
    return found


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server on a port of this machine.

    Attributes:
        root: its folder.
        data: its data.
        port: its port.
        user: who its programs run as.
    """

    def __init__(self, root: Path, data: Path | None = None) -> None:
        self.root = root
        self.data = data or root / "data"
        self.port = free_port()
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            nobody = pwd.getpwnam("nobody")
            os.chown(root, nobody.pw_uid, nobody.pw_gid)
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(self, name: str, *arguments: str) -> None:
        """Runs a program of PostgreSQL to its end."""
        environment = {**os.environ, "LC_ALL": "C"}
        subprocess.run(
            [program(name), *arguments], check=True, cwd=self.root, stdout=subprocess.DEVNULL, timeout=120, env=environment, **self.user
        )

    def make(self) -> None:
        """Makes its data."""
        self.run("initdb", "--auth=trust", "--username=arm", "--no-sync", "--encoding=UTF8", "--pgdata", str(self.data))

    def start(self, *, flushes: bool = False) -> None:
        """Starts it; it answers when this returns. Where it does not flush, a stopped process loses nothing, a stopped machine may."""
        options = f"-k {self.root} -c listen_addresses=127.0.0.1 -p {self.port}{'' if flushes else ' -F'}"
        self.run("pg_ctl", "start", "--wait", "--pgdata", str(self.data), "--log", str(self.root / "log"), "--options", options)

    def promote(self) -> None:
        """Makes a server of its own of a standby."""
        self.run("pg_ctl", "promote", "--wait", "--pgdata", str(self.data))

    def stop(self, mode: str = "fast") -> None:
        """Stops it, unless it was stopped: `immediate` is as if it was killed."""
        if not (self.data / "postmaster.pid").exists():
            return
        self.run("pg_ctl", "stop", "--wait", "--mode", mode, "--pgdata", str(self.data))

    def url(self, database: str = "postgres", role: str = "arm") -> str:
        """Returns the URL of a database."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Executes a statement; returns the rows of its answer."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            answer = connection.execute(statement)
            return answer.fetchall() if answer.description is not None else []


class DatabasePlace(str):
    """The URL of a database where a test may expect the path of a file: one that then treats it as a file is skipped."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """What only a path has."""
        if hasattr(Path, name):
            pytest.skip(f"needs a journal or state that is a file: it asks for its {name}")
        raise AttributeError(name)


def keep_tables(url: str) -> None:
    """Keeps a copy of the tables of the library as they are now."""
    with _connected(url) as connection:
        connection.execute("DROP SCHEMA IF EXISTS kept CASCADE")
        connection.execute("CREATE SCHEMA kept")
        for table in _tables(connection, "amili_arm"):
            connection.execute(f"CREATE TABLE kept.{table} AS TABLE amili_arm.{table}")


def put_tables_back(url: str) -> None:
    """Makes the tables what they were when they were kept, as on a standby that lacks what followed and was promoted."""
    with _connected(url) as connection:
        for table in _tables(connection, "kept"):
            connection.execute(f"TRUNCATE amili_arm.{table}")
            connection.execute(f"INSERT INTO amili_arm.{table} SELECT * FROM kept.{table}")
        connection.execute("UPDATE amili_arm.journal SET server = server || '0'")


def value_in(place: Path | str, of_file: str, of_database: str) -> Any:
    """The value that a query finds, in a file or in a database."""
    if isinstance(place, DatabasePlace):
        with _connected(place) as connection:
            return connection.execute(of_database).fetchone()[0]
    with contextlib.closing(sqlite3.connect(place)) as connection:
        return connection.execute(of_file).fetchone()[0]


def _connected(url: str) -> Any:
    import psycopg

    return psycopg.connect(url)


def _tables(connection: Any, schema: str) -> list[str]:
    return [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,))]


def place_of_test(request: pytest.FixtureRequest, path: Path) -> Path | str:
    """Where the journal or state of a test is: a path; with `AMILI_ARM_TEST_JOURNAL=postgresql`, a database, or the test is skipped."""
    if os.environ.get("AMILI_ARM_TEST_JOURNAL") != "postgresql":
        return path
    if request.node.get_closest_marker("needs_file") is not None:
        pytest.skip("needs a journal or state that is a file")
    return DatabasePlace(request.getfixturevalue("database"))


@contextmanager
def standby_of(server: Server, port: int | None = None) -> Iterator[Server]:
    """A standby that has all that a server has now, and gets what follows through this port; None: it gets nothing more."""
    root = Path(tempfile.mkdtemp(prefix="pg", dir=server.root.parent))
    standby = Server(root)
    try:
        arguments = ["--host", "127.0.0.1", "--port", str(port or server.port), "--username", "arm", "--pgdata", str(standby.data)]
        standby.run("pg_basebackup", "--checkpoint", "fast", "--no-sync", *["--write-recovery-conf"] * (port is not None), *arguments)
        (standby.data / "standby.signal").touch()
        standby.start()
        try:
            yield standby
        finally:
            standby.stop("immediate")
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def pooled(server: Server) -> Iterator[str]:
    """The URL of PgBouncer before a server, in transaction mode, with two connections to it: each transaction may get another one."""
    pgbouncer, port = program("pgbouncer", "PgBouncer"), free_port()
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": 2,
        "server_round_robin": 1,
        "logfile": server.root / "pgbouncer.log",
    }
    file = server.root / "pgbouncer.ini"
    lines = [f"{name} = {value}" for name, value in settings.items()]
    file.write_text("\n".join([f"[databases]\n* = host=127.0.0.1 port={server.port} user=arm", "[pgbouncer]", *lines]), "utf-8")
    process = subprocess.Popen([pgbouncer, "--quiet", str(file)], cwd=server.root, **server.user)
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.01)
        yield f"postgresql://arm@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def running(*, flushes: bool = False) -> Iterator[Server]:
    """A server of its own; one that flushes is on a disk."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    program("initdb")
    # The path of a socket has 107 bytes at the most, and pytest's directories are only for who runs it.
    root = Path(tempfile.mkdtemp(prefix="pg", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) and not flushes else "/tmp"))
    try:
        server = Server(root)
        server.make()
        server.start(flushes=flushes)
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(root, ignore_errors=True)

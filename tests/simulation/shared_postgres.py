"""The real PostgreSQL below the stories of shared runs: each process of the program has a database, and tells one story at a time in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg._queries import PostgresQuery

from amili_arm_async.database.url import DatabaseUrl
from amili_arm_async.postgres.schema import VERSION, prepare_schema

from .shared_server import current

if TYPE_CHECKING:
    from ..support.postgres import Server

__all__ = ["LOCK_WAIT", "Copy", "RealDatabase", "pipelined"]

LOCK_WAIT = "1ms"
"""How long the real server waits for a lock. Whoever holds it does not run meanwhile."""


@dataclass(frozen=True)
class Copy:
    """The content of a database: that of each table, and where each sequence is."""

    rows: dict[str, bytes]
    sequences: dict[str, Any]


class RealDatabase:
    """A database in which one story at a time is told.

    Args:
        server: where it is made.
        name: its name.

    Attributes:
        admin: a connection that nobody is told of.
        server: which server the tables say that it is, before the first run.
    """

    def __init__(self, server: Server, name: str) -> None:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
        self._url = server.url(name).replace(f"127.0.0.1:{server.port}/", "/") + f"?host={server.root}&port={server.port}"
        prepare_schema(DatabaseUrl(self._url), "journal")
        self._free: list[Any] = []
        self.admin = self._connect()
        self._names = self._of_kind("r")
        self._sequences = self._of_kind("S")
        # It is nobody's but those who check: it may wait, and nothing comes in between.
        self.admin.execute("SET lock_timeout TO 0")
        for table in self._names:
            self.admin.execute(f"ALTER TABLE amili_arm.{table} SET (autovacuum_enabled = off)")
        (self.server,) = self.admin.execute("SELECT server FROM amili_arm.journal").fetchone()
        self._tables = ", ".join(f"amili_arm.{name}" for name in self._names)

    def _of_kind(self, kind: str) -> list[str]:
        query = "SELECT relname FROM pg_class WHERE relkind = %s AND relnamespace = 'amili_arm'::regnamespace ORDER BY 1"
        return [name for (name,) in self.admin.execute(query, (kind,)).fetchall()]

    @staticmethod
    def of(process: int) -> RealDatabase:
        """Returns the database of a process of this program."""
        return _made(current(), process)

    def _connect(self) -> Any:
        # Neither does it plan anew, nor depend on what was measured in earlier stories.
        options = f"-c lock_timeout={LOCK_WAIT} -c jit=off -c synchronous_commit=off -c plan_cache_mode=force_custom_plan"
        return psycopg.connect(self._url, autocommit=True, prepare_threshold=None, options=options, client_encoding="UTF8")

    def clean(self) -> None:
        """Makes it as it was at first."""
        self.admin.execute(f"TRUNCATE {self._tables} RESTART IDENTITY")
        self.admin.execute("INSERT INTO amili_arm.journal (id, version, server) VALUES (1, %s, %s)", (VERSION, self.server))

    def copy(self) -> Copy:
        """Returns all that is committed."""
        rows = {}
        for name in self._names:
            with self.admin.cursor().copy(f"COPY amili_arm.{name} TO STDOUT (FORMAT binary)") as out:
                rows[name] = b"".join(map(bytes, out))
        last = {name: self.admin.execute(f"SELECT last_value, is_called FROM amili_arm.{name}").fetchone() for name in self._sequences}
        return Copy(rows, last)

    def restore(self, copy: Copy) -> None:
        """Puts back what was committed when it was copied."""
        self.admin.execute(f"TRUNCATE {self._tables}")
        for name, content in copy.rows.items():
            with self.admin.cursor().copy(f"COPY amili_arm.{name} FROM STDIN (FORMAT binary)") as into:
                into.write(content)
        for name, (last, is_called) in copy.sequences.items():
            self.admin.execute("SELECT setval(%s, %s, %s)", (f"amili_arm.{name}", last, is_called))

    def take(self) -> Any:
        """Returns a connection for a session."""
        return self._free.pop() if self._free else self._connect()

    def give_back(self, raw: Any) -> None:
        """A session is over: what it had not committed is undone, as when its connection is lost."""
        status = raw.info.transaction_status
        if status in {psycopg.pq.TransactionStatus.ACTIVE, psycopg.pq.TransactionStatus.UNKNOWN}:
            # A story was interrupted that took too long.
            raw.close()
            return
        if status != psycopg.pq.TransactionStatus.IDLE:
            raw.execute("ROLLBACK")
        self._free.append(raw)


@cache
def _made(server: Server, process: int) -> RealDatabase:
    return RealDatabase(server, f"simulation_{process}")


def pipelined(raw: Any, statements: list[tuple[str, Any]]) -> list[Any]:
    """Sends statements together, in one message; raises the failure of the first one that failed.

    It does what a pipeline of psycopg does, with its adapters: but that wakes the server for each statement.
    """
    wire = raw.pgconn
    wire.nonblocking = 0
    wire.enter_pipeline_mode()
    adapters = []
    for text, values in statements:
        adapters.append(psycopg.adapt.Transformer(raw))
        query = PostgresQuery(adapters[-1])
        query.convert(text, values)
        wire.send_query_params(query.query, query.params, query.types, query.formats, psycopg.pq.Format.BINARY)
    wire.pipeline_sync()
    rows: list[Any] = []
    failure: Exception | None = None
    for adapter in adapters:
        result = wire.get_result()
        if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
            failure = failure or psycopg.errors.error_from_result(result)
        elif result.status == psycopg.pq.ExecStatus.TUPLES_OK:
            adapter.set_pgresult(result)
            rows.append(adapter.load_rows(0, result.ntuples, tuple))
        else:
            rows.append(None)
        # Nothing follows the result of a statement.
        wire.get_result()
    # That of the end of the pipeline.
    wire.get_result()
    wire.exit_pipeline_mode()
    wire.nonblocking = 1
    if failure is not None:
        raise failure
    return rows

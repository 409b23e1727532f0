"""The journal of a dry run in PostgreSQL: what the database knows is copied into a temporary file, and nothing is written or locked."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from .... import clock
from ....clock import Stamp
from ....errors import JournalError
from ....postgres.connection import PostgresConnection
from ....postgres.lease import is_owned
from ....postgres.schema import check_schema
from ....sqlite.snapshot import Snapshot
from ..sqlite.find_run import find_run
from ..sqlite.journal import SqliteRunJournal
from ..sqlite.mark import stale_since
from ..sqlite.queries import span_of
from ..sqlite.schema import open_journal
from ..sqlite.store import RunStore
from .shared import refuse_shared
from .store import WORD, ServerMark, why_stale

if TYPE_CHECKING:
    from ....clock import ServiceClock
    from ....config import BulkOptions
    from ....database.url import DatabaseUrl
    from ..run_key import RunKey

__all__ = ["PostgresDryRunJournal"]

_ROWS: Final = 1000
_BODIES: Final = 20

_COLUMNS: Final = {
    "batches": (
        "id, attempt, records, state, tries, sent, boot, boot_id, service, accepted, accepted_boot, accepted_service, took, uuid, shared,"
        " was_ambiguous, status, final, reason, message, exceptions, spans"
    ),
    "records": "batch, keys, prints, names, first, places",
    "superseded": "batch, position",
    "overtaken": "batch, position",
    "bodies": "batch, body",
}


class PostgresDryRunJournal(SqliteRunJournal):
    """The journal of a dry run in PostgreSQL. See `SqliteRunJournal`.

    Args:
        url: of the database.
        key: which run.
        options: of the run.
        service: the clock of the service.
    """

    def __init__(self, url: DatabaseUrl, key: RunKey, options: BulkOptions, service: ServiceClock) -> None:
        self._url = url
        super().__init__(key, options, service)

    def _place_of(self, options: BulkOptions) -> str:
        return str.__str__(self._url)

    def _take_snapshot(self) -> Snapshot:
        snapshot = _DatabaseSnapshot(self._url, self._key)
        self._kind = snapshot.make_store  # type: ignore[assignment]
        return snapshot


class _DatabaseSnapshot(Snapshot):
    """What a database knows of the runs of an operation and a client number, in a file of SQLite.

    Args:
        url: of the database.
        key: the run that is tried out.

    Raises:
        JournalError: the database can't be read, or the file not be written.
        ConfigurationError: the run was begun in parts.
    """

    def __init__(self, url: DatabaseUrl, key: RunKey) -> None:
        self._make_folder(str.__str__(url), "journal.sqlite")
        self._running: set[int] = set()
        self._stale: str | None = None
        try:
            check_schema(url, WORD, may_be_missing=True)
            with contextlib.closing(open_journal(self.path)) as target, contextlib.closing(PostgresConnection(url, WORD)) as source:
                source.identify()
                if source.execute("SELECT to_regclass('batches') IS NOT NULL").fetchone()[0]:
                    with source.transaction(reads=True):
                        self._copy(source, target, key)
        except (OSError, sqlite3.Error) as exc:
            self.close()
            text = f"the {WORD} {url} can't be copied into a temporary file, which a dry run needs: {exc}. TMPDIR names another folder"
            raise JournalError(text) from exc
        except BaseException:
            self.close()
            raise

    def is_running(self, run: int) -> bool:
        return run in self._running

    def make_store(self, key: RunKey, path: str, keeps_bodies: bool, **settings: Any) -> RunStore:
        """Makes the store of the copy."""
        return _CopiedStore(key, path, keeps_bodies, **settings).of(self, self._stale)

    def _copy(self, source: Any, target: sqlite3.Connection, key: RunKey) -> None:
        refuse_shared(source, key)
        find_run(source, self._original, key)
        columns = "id, run_id, operation, client_no, base_url, attempts, deadline, started, ended, process, token, pruned, written"
        query = f"SELECT {columns} FROM runs WHERE operation = ? AND client_no = ?"  # noqa: S608 - our own words
        rows = source.execute(query, (key.operation, key.client_no)).fetchall()
        target.execute("BEGIN")
        _insert(target, f"runs ({columns})", rows)
        for run, run_id, *_ in rows:
            if is_owned(source, run):
                self._running.add(run)
            for table, names in _COLUMNS.items():
                if table != "bodies" or run_id == key.run_id:
                    _copy_table(source, target, table, names, run)
            _copy_numbers(source, target, run)
        self._stale = why_stale(source)
        stale = source.execute("SELECT sent, boot, boot_id, service, deadline FROM stale").fetchall()
        if self._stale is not None and not stale:
            (deadline,) = source.execute("SELECT deadline FROM journal").fetchone()
            stale = [(*clock.stamp(), deadline)]
        _insert(target, "stale", stale)
        target.execute("COMMIT")


def _copy_table(source: Any, target: sqlite3.Connection, table: str, columns: str, run: int) -> None:
    """Copies the rows of a run, some at a time."""
    least, greatest = span_of(run)
    order = columns.split(", ", maxsplit=1)[0] if table not in {"superseded", "overtaken"} else columns
    after: tuple[Any, ...] = (least,) if order != columns else (least, -1)
    marks = ", ".join("?" * len(after))
    query = f"SELECT {columns} FROM {table} WHERE ({order}) > ({marks}) AND {order.split(', ')[0]} <= ? ORDER BY {order} LIMIT ?"  # noqa: S608
    while rows := source.execute(query, (*after, greatest, _BODIES if table == "bodies" else _ROWS)).fetchall():
        _insert(target, f"{table} ({columns})", rows)
        after = rows[-1][: len(after)]


def _copy_numbers(source: Any, target: sqlite3.Connection, run: int) -> None:
    last, columns = 0, "id, run, least, greatest, packed"
    query = f"SELECT {columns} FROM numbers WHERE run = ? AND id > ? ORDER BY id LIMIT ?"  # noqa: S608 - our own words
    while rows := source.execute(query, (run, last, _ROWS)).fetchall():
        _insert(target, f"numbers ({columns})", rows)
        last = rows[-1][0]


def _insert(target: sqlite3.Connection, table: str, rows: list[Any]) -> None:
    if rows:
        target.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608 - our own words


class _CopiedStore(RunStore):
    """The run of the copy. See `RunStore`."""

    __slots__ = ("_reason", "_snapshot")

    def of(self, snapshot: _DatabaseSnapshot, reason: str | None) -> _CopiedStore:
        """Sets whose copy it is, and why the journal is stale."""
        self._snapshot, self._reason = snapshot, reason
        return self

    def _is_in_progress(self) -> bool:
        return self._snapshot.is_running(self.id)

    def _make_mark(self) -> ServerMark:
        return _CopiedMark(self._reason)


class _CopiedMark(ServerMark):
    """Says what the database said of itself when it was copied."""

    def __init__(self, reason: str | None) -> None:
        super().__init__()
        self.reason = reason

    def begin(self, connection: Any, *, now: Stamp, deadline: float) -> None:
        self.stale = stale_since(connection)

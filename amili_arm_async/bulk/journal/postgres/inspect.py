"""Reads and adopts journals in PostgreSQL: one side of `journal.inspect`. Called in a thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .... import clock
from ....errors import JournalError
from ....postgres.connection import PostgresConnection
from ....postgres.lease import is_owned
from ....postgres.schema import check_schema
from ...parts import part_run_id
from ..run_key import pruned_error
from ..sqlite.inspect import find_runs, read_run
from .store import WORD, why_stale

if TYPE_CHECKING:
    from ....database.url import DatabaseUrl
    from ..inspect import JournalRun

__all__ = ["adopt", "opened", "read", "runs_of", "stale_reason"]

_HAVE_ENDED: Final = "UPDATE batches SET sender = NULL, sent = ?, boot = ?, boot_id = ?, service = ? WHERE sender IS NOT NULL"

_IN_DOUBT: Final = "another process took over what some were sending, and it is not known that they have ended"


@contextlib.contextmanager
def opened(url: DatabaseUrl, *, statement: float | None = None) -> Iterator[Any]:
    """A connection to a journal that is there.

    Args:
        url: of the database.
        statement: seconds that a statement may take.

    Yields:
        The connection.

    Raises:
        JournalError: there is no journal, or it can't be used.
    """
    check_schema(url, WORD)
    connection = PostgresConnection(url, WORD, statement=statement)
    try:
        connection.identify()
        yield connection
    finally:
        connection.close()


def read(url: DatabaseUrl, *, keys: bool, pruned: bool) -> list[JournalRun]:
    """Reads the runs of a journal. See `read_journal`."""
    with opened(url) as connection, connection.transaction(reads=True):
        rows = connection.execute("SELECT id FROM runs WHERE pruned IS NULL OR ? ORDER BY id", (pruned,)).fetchall()
        stale = why_stale(connection) is not None
        return [replace(read_run(connection, run, keys=keys, running=is_owned(connection, run)), stale=stale) for (run,) in rows]


def adopt(url: DatabaseUrl) -> str | None:
    """See `adopt_journal`."""
    with opened(url) as connection, connection.transaction():
        for run, run_id in connection.execute("SELECT id, run_id FROM runs").fetchall():
            if is_owned(connection, run):
                raise JournalError(f"the run {run_id!r} of the journal {url} is in progress: wait until it ends")
        reason = why_stale(connection)
        if reason is not None:
            connection.execute("DELETE FROM stale")
            connection.execute("UPDATE journal SET server = ?", (connection.server,))
            connection.execute("UPDATE runs SET server = ? WHERE server IS NOT NULL", (connection.server,))
        # What they sent, they sent before now.
        in_doubt = connection.execute(_HAVE_ENDED, clock.stamp(None)).rowcount
        return reason or (_IN_DOUBT if in_doubt else None)


def stale_reason(url: DatabaseUrl) -> str | None:
    """Returns why a journal is stale, or None. See `journal.inspect.stale_reason`."""
    with opened(url) as connection, connection.transaction(reads=True):
        return why_stale(connection)


def runs_of(url: DatabaseUrl, operation: str, client_no: int, run_id: str | None) -> list[tuple[str, float]]:
    """Lists the runs of an operation and a client number: of a shared run, its parts. See `journal.sqlite.inspect.runs_of`."""
    with opened(url) as connection:
        query = "SELECT parts, pruned FROM shared_runs WHERE run_id = ? AND operation = ? AND client_no = ?"
        if run_id is not None and (row := connection.execute(query, (run_id, operation, client_no)).fetchone()) is not None:
            if row[1] is not None:
                raise pruned_error(url, run_id, operation, row[1])
            parts = {part_run_id(run_id, part, row[0]) for part in range(row[0])}
            return [run for run in find_runs(connection, url, operation, client_no, None) if run[0] in parts]
        return find_runs(connection, url, operation, client_no, run_id)

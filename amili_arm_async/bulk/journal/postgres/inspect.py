"""Reads, adopts and prunes journals in PostgreSQL: one side of `journal.inspect`. Called in a thread."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .... import clock
from ....errors import JournalError
from ....postgres.connection import PostgresConnection
from ....postgres.lease import give_back, is_owned, try_take
from ....postgres.schema import check_schema
from ...parts import part_run_id
from ..sqlite.inspect import find_runs, read_run, reasons_to_keep, remove_run
from ..sqlite.sent_numbers import forget_numbers
from .store import WORD, note_change, why_stale

if TYPE_CHECKING:
    from ....database.url import DatabaseUrl
    from ..inspect import JournalRun, KeptBecause

__all__ = ["adopt", "opened", "prune", "read", "runs_of", "stale_reason"]

_LONG: Final = 600.0
"""Seconds that a statement may take that removes a run."""

_PART_OF_IT: Final = "starts_with(run_id, ? || ' (part ')"

_STILL_THERE: Final = """SELECT 1 FROM runs
WHERE pruned IS NULL AND runs.client_no = nights.client_no AND starts_with(runs.run_id, nights.run_id || ' (part ')"""

_IS_SENT: Final = "SELECT 1 FROM parts WHERE run = -nights.id AND part = 1 AND lease_until > clock_timestamp()"


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
        query = "SELECT parts FROM shared_runs WHERE run_id = ? AND operation = ? AND client_no = ?"
        if run_id is not None and (row := connection.execute(query, (run_id, operation, client_no)).fetchone()) is not None:
            parts = {part_run_id(run_id, part, row[0]) for part in range(row[0])}
            return [run for run in find_runs(connection, url, operation, client_no, None) if run[0] in parts]
        return find_runs(connection, url, operation, client_no, run_id)


def prune(
    url: DatabaseUrl,
    run_id: str | None,
    older_than: float,
    *,
    with_failures: bool,
    unfinished: bool,
    keep: float,
    kept: Callable[[JournalRun, Sequence[KeptBecause]], object],
) -> int:
    """Removes runs. See `prune_journal`; `keep` is its `keep_numbers`, `kept` its `on_kept`."""
    removed = 0
    now = clock.unix_time()
    why = reasons_to_keep(now, older_than, with_failures=with_failures, unfinished=unfinished)
    with opened(url, statement=_LONG) as connection:
        with connection.transaction():
            forget_numbers(connection, now - keep)
        query = f"SELECT id FROM runs WHERE pruned IS NULL AND (run_id = coalesce(?, run_id) OR {_PART_OF_IT}) ORDER BY id"  # noqa: S608
        for (run,) in connection.execute(query, (run_id, run_id)).fetchall():
            if (owner := try_take(connection, run, 0, token=secrets.token_hex(8))) is None:
                kept(read_run(connection, run, keys=False, running=True), ["running"])
                continue
            try:
                with connection.transaction():
                    found, reasons = remove_run(connection, run, why, keep)
                    note_change(connection, found.operation, found.client_no, found.base_url)
            finally:
                give_back(connection, owner)
            if reasons:
                kept(found, reasons)
            else:
                removed += 1
        with connection.transaction():
            _remove_reports(connection, now - older_than)
    return removed


def _remove_reports(connection: Any, before: float) -> None:
    """Removes the reports of parts that were removed, and what is kept of the customers of a night of which all parts were."""
    connection.execute("DELETE FROM reports USING runs WHERE runs.id = run AND pruned IS NOT NULL")
    connection.execute(f"DELETE FROM nights WHERE started < ? AND NOT EXISTS ({_STILL_THERE}) AND NOT EXISTS ({_IS_SENT})", (before,))  # noqa: S608
    connection.execute("DELETE FROM failed_customers WHERE NOT EXISTS (SELECT 1 FROM nights WHERE id = night)")

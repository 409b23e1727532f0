"""Reads the journals of other runs for a replay, and writes to them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .... import clock
from ....errors import JournalError
from ....sqlite.file import connect, path_of
from ....sqlite.lock import is_locked
from ..protocol import JournalRecord
from ..run_key import RunKey, pruned_error
from .queries import ids_in_order, read_identified, states_of, superseded
from .schema import broken, open_journal

__all__ = ["SqliteReplayJournals", "find_named", "note_written", "records_of"]


class SqliteReplayJournals:
    """See `ReplayJournals`."""

    def exists(self, path: str) -> bool:
        """See `ReplayJournals`."""
        return Path(path).exists()

    def declare_runs(self, path: str, runs: Iterable[RunKey]) -> None:
        """See `ReplayJournals`."""
        now = clock.unix_time()
        rows = [(run.run_id, run.operation, run.client_no, run.base_url, now, os.getpid()) for run in runs]
        if not rows:
            return
        with contextlib.closing(open_journal(path, create=True)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT OR IGNORE INTO runs (run_id, operation, client_no, base_url, attempts, deadline, started, process)"
                    " VALUES (?, ?, ?, ?, 0, 0, ?, ?)",
                    rows,
                )
                connection.execute("COMMIT")
            except sqlite3.Error as exc:
                raise broken(path, exc) from exc

    def read_run(self, path: str, run: RunKey, on_records: Callable[[Iterable[JournalRecord]], None]) -> bool:
        """See `ReplayJournals`."""
        path = path_of(path)
        try:
            with contextlib.closing(open_journal(path, create=False)) as connection:
                found = find_named(connection, path, run)
                if found is None:
                    return False
                if is_locked(path, found):
                    raise JournalError(f"the run {run.run_id!r} of the journal {path} is in progress: wait until it ends")
                for batch in ids_in_order(connection, found, "state <> 'queued'"):
                    on_records(records_of(connection, batch, is_document=not run.safe))
        except (sqlite3.Error, OSError) as exc:
            raise broken(path, exc) from exc
        return True

    def note_written(self, path: str, run: RunKey) -> None:
        """See `ReplayJournals`."""
        path = path_of(path)
        try:
            with contextlib.closing(connect(path, "rw")) as connection:
                note_written(connection, find_named(connection, path, run))
        except sqlite3.Error as exc:
            raise broken(path, exc) from exc


def note_written(connection: sqlite3.Connection, found: int | None) -> None:
    """Records that the last attempt of a run, that of a replay, has written the dead letter.

    Args:
        connection: of the journal.
        found: what `find_named` found.
    """
    if found is not None:
        # Not where an attempt before it has not: what that one sent still has to mark the lines of other runs.
        connection.execute("UPDATE runs SET written = attempts WHERE id = ? AND written = attempts - 1", (found,))


def find_named(connection: sqlite3.Connection, path: str, run: RunKey) -> int | None:
    """Finds a run. Unlike `find_run`, it does not check the address: the replay has done so.

    Args:
        connection: of the journal.
        path: of the journal, for error messages.
        run: the run.

    Returns:
        The id of the run; None where the journal does not have it.

    Raises:
        JournalError: the run was pruned.
    """
    row = connection.execute(
        "SELECT id, pruned FROM runs WHERE run_id = ? AND operation = ? AND client_no = ?",
        (run.run_id, run.operation, run.client_no),
    ).fetchone()
    if row is not None and row[1] is not None:
        raise pruned_error(path, run.run_id, run.operation, row[1])
    return row[0] if row is not None else None


def records_of(connection: sqlite3.Connection, batch: int, *, is_document: bool) -> Iterator[JournalRecord]:
    """Reads the records of a batch, except superseded ones.

    Args:
        connection: of the journal.
        batch: its id.
        is_document: whether they are documents.

    Yields:
        The records.
    """
    names, prints, _ = read_identified(connection, batch, is_document=is_document)
    gone = superseded(connection, batch)
    for position, (name, state) in enumerate(zip(names, states_of(connection, batch), strict=True)):
        if position not in gone:
            yield JournalRecord(name, state, prints[position] if len(prints) else -1)

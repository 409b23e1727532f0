"""How runs are removed from a journal. Called in a thread."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace

from ... import clock
from ..journals import JournalRun, KeptBecause
from .files import broken, open_journal, path_of
from .kept_numbers import forget_numbers, keep_numbers
from .locks import lock
from .reading import read_run
from .reads import span_of

__all__ = ["prune"]


def prune(
    path: str | os.PathLike[str],
    run_id: str | None,
    older_than: float,
    *,
    with_failures: bool,
    unfinished: bool,
    keep: float,
    kept: Callable[[JournalRun, Sequence[KeptBecause]], object],
) -> int:
    """See `prune_journal`."""
    path = path_of(path)
    removed = 0
    now = clock.unix_time()

    def why(run: JournalRun, last: float) -> list[KeptBecause]:
        found = [("unfinished", not unfinished and run.is_unfinished), ("failures", not with_failures and run.has_failures)]
        # With a clock that was put back, nothing is old.
        found.append(("recent", now - last < older_than))
        return [reason for reason, holds in found if holds]  # type: ignore[misc]

    with contextlib.closing(open_journal(path, create=False)) as connection:
        try:
            forgotten = connection.execute("SELECT count(*) FROM numbers").fetchone()[0]
            forget_numbers(connection, now - keep)
            forgotten -= connection.execute("SELECT count(*) FROM numbers").fetchone()[0]
            query = "SELECT id FROM runs WHERE pruned IS NULL AND run_id = coalesce(?, run_id) ORDER BY id"
            for (run,) in connection.execute(query, (run_id,)).fetchall():
                if (held := lock(path, run)) is None:
                    kept(read_run(connection, path, run, keys=False), ["running"])
                    continue
                try:
                    found, reasons = _remove(connection, path, run, why, keep)
                finally:
                    held.release()
                if reasons:
                    kept(found, reasons)
                else:
                    removed += 1
            if removed or forgotten:
                connection.execute("VACUUM")
        except sqlite3.Error as exc:
            raise broken(path, exc) from exc
    return removed


def _remove(
    connection: sqlite3.Connection, path: str, run: int, why: Callable[[JournalRun, float], list[KeptBecause]], keep: float
) -> tuple[JournalRun, list[KeptBecause]]:
    """Removes a run that is locked here, unless `why` says why not: what it is like is only certain now."""
    span = span_of(run)
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = replace(read_run(connection, path, run, keys=False), running=False)
        reasons = why(found, _last(connection, run))
        if not reasons and found.pruned is None:
            if keep > 0:
                keep_numbers(connection, run)
            for table in ("records", "bodies", "superseded", "overtaken"):
                connection.execute(f"DELETE FROM {table} WHERE batch BETWEEN ? AND ?", span)  # noqa: S608 - our own words
            connection.execute("DELETE FROM batches WHERE id BETWEEN ? AND ?", span)
            connection.execute("UPDATE runs SET pruned = ?, token = NULL WHERE id = ?", (clock.unix_time(), run))
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return found, reasons


def _last(connection: sqlite3.Connection, run: int) -> float:
    """When anything was done in a run last, as a Unix time."""
    row = connection.execute("SELECT max(started, coalesce(ended, started)) FROM runs WHERE id = ?", (run,)).fetchone()
    times = connection.execute("SELECT max(sent), max(accepted) FROM batches WHERE id BETWEEN ? AND ?", span_of(run)).fetchone()
    return float(max(row[0], *(time or 0.0 for time in times)))

"""Reads, adopts and prunes journals: the SQLite side of `journal.inspect`. Called in a thread."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from .... import clock
from ....errors import JournalError
from ....sqlite.file import check, connect, path_of
from ....sqlite.guard import FileGuard
from ....sqlite.lock import is_locked, lock
from ...outcomes import State
from ..inspect import JournalBatch, JournalRun, KeptBecause
from ..run_key import pruned_error
from .mark import JournalMark, why_stale
from .mark import adopt as adopt_file
from .queries import ids, keys_of, read_row, span_of, superseded
from .schema import JOURNAL, broken, open_journal
from .sent_numbers import forget_numbers, keep_numbers
from .store import CRASHED, IN_PROGRESS

__all__ = [
    "Judged",
    "Why",
    "adopt",
    "find_runs",
    "keep_together",
    "last_activity",
    "prune",
    "read",
    "read_run",
    "reasons_to_keep",
    "remove_records",
    "report_kept",
    "runs_of",
    "stale_reason",
]

Why: TypeAlias = Callable[[JournalRun, float], list[KeptBecause]]
"""Says why a run is not removed: called with the run, and the Unix time of its last activity."""

Judged: TypeAlias = tuple[JournalRun, list[KeptBecause]]
"""A run, and the reasons why it is not removed."""


def read(path: str | os.PathLike[str], *, keys: bool, pruned: bool) -> list[JournalRun]:
    """Reads the runs of a journal. See `read_journal`."""
    path = path_of(path)
    check(path, JOURNAL)
    try:
        with contextlib.closing(_reader(path)) as connection:
            connection.execute("BEGIN")
            rows = connection.execute("SELECT id FROM runs WHERE pruned IS NULL OR ? ORDER BY id", (pruned,)).fetchall()
            stale = why_stale(connection, path) is not None
            return [replace(read_run(connection, run, keys=keys, running=is_locked(path, run)), stale=stale) for (run,) in rows]
    except (sqlite3.Error, OSError) as exc:
        raise broken(path, exc) from exc


def adopt(path: str | os.PathLike[str]) -> str | None:
    """See `adopt_journal`."""
    path = path_of(path)
    guard, mark = FileGuard(path, JOURNAL.word), JournalMark(path)
    with contextlib.closing(open_journal(path, create=False, guard=guard)) as connection, contextlib.closing(mark):
        try:
            connection.execute("BEGIN IMMEDIATE")
            for run, run_id in connection.execute("SELECT id, run_id FROM runs").fetchall():
                if is_locked(path, run):
                    raise JournalError(f"the run {run_id!r} of the journal {path} is in progress: wait until it ends")
            reason = why_stale(connection, path)
            if reason is not None:
                adopt_file(connection)
                mark.is_due = True
            connection.execute("COMMIT")
            mark.committed(connection, guard)
        except (sqlite3.Error, OSError) as exc:
            raise broken(path, exc) from exc
    return reason


def stale_reason(path: str | os.PathLike[str]) -> str | None:
    """Returns why a journal is stale, or None. See `journal.inspect.stale_reason`."""
    path = path_of(path)
    check(path, JOURNAL)
    try:
        with contextlib.closing(_reader(path)) as connection:
            return why_stale(connection, path)
    except (sqlite3.Error, OSError) as exc:
        raise broken(path, exc) from exc


def _reader(path: str) -> sqlite3.Connection:
    """Opens a connection that changes nothing. Where possible it has write access, so that SQLite can clean up its files at close."""
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    connection = connect(path, mode)
    connection.execute("PRAGMA query_only = 1")
    return connection


def read_run(connection: sqlite3.Connection, run: int, *, keys: bool, running: bool) -> JournalRun:
    """Reads a summary of a run.

    Args:
        connection: of the journal.
        run: the id of the run.
        keys: whether to read the keys of records that are open or unknown.
        running: whether a process is going on with it.

    Returns:
        The summary.
    """
    name = connection.execute(
        "SELECT run_id, operation, client_no, base_url, attempts, started, ended, deadline, pruned FROM runs WHERE id = ?", (run,)
    ).fetchone()
    counts: Counter[State] = Counter()
    open_batches: list[JournalBatch] = []
    unknown_batches: list[JournalBatch] = []
    for batch in ids(connection, run):
        state, uuid, sent = connection.execute("SELECT state, uuid, sent FROM batches WHERE id = ?", (batch,)).fetchone()
        records, outcome, exceptions = read_row(connection, batch)
        if state == "sending":
            # It may have been accepted, whatever becomes of the process.
            outcome = IN_PROGRESS if running else CRASHED
        gone = superseded(connection, batch) if outcome is None or outcome.state != "succeeded" or exceptions else set()
        if outcome is None:
            counts["accepted" if state == "open" else "not_sent"] += records
            if state == "open":
                open_batches.append(JournalBatch(uuid, records, "open", "", sent, keys_of(connection, batch) if keys else ()))
            continue
        said = {place: exceptions.get(place, outcome) for place in range(records) if place not in gone} if exceptions or gone else {}
        found: Counter[State] = Counter(one.state for one in said.values()) if said or gone else Counter({outcome.state: records})
        counts.update(found)
        for open_state, batches in (("unknown", unknown_batches), ("accepted", open_batches)):
            number = found[open_state]  # type: ignore[index]
            if number:
                places = [place for place in range(records) if place not in gone and exceptions.get(place, outcome).state == open_state]
                names = keys_of(connection, batch) if keys else None
                reason = exceptions.get(places[0], outcome).reason
                batches.append(JournalBatch(uuid, number, open_state, reason, sent, [names[place] for place in places] if names else ()))
    run_id, operation, client_no, base_url, attempts, started, ended, deadline, pruned = name
    times = (attempts, started, ended, deadline)
    return JournalRun(run_id, operation, client_no, base_url, *times, running, dict(counts), open_batches, unknown_batches, pruned)


def runs_of(path: str | os.PathLike[str], operation: str, client_no: int, run_id: str | None) -> list[tuple[str, float]]:
    """Lists the runs of an operation and a client number.

    Args:
        path: of the journal.
        operation: the operation.
        client_no: the client number.
        run_id: only this run; None: all.

    Returns:
        The runs as (run_id, deadline in seconds), the oldest first.

    Raises:
        JournalError: the journal does not exist or can't be read, has no such run, or the run was pruned.
    """
    path = path_of(path)
    check(path, JOURNAL)
    try:
        with contextlib.closing(_reader(path)) as connection:
            return find_runs(connection, path, operation, client_no, run_id)
    except sqlite3.Error as exc:
        raise broken(path, exc) from exc


def find_runs(connection: sqlite3.Connection, path: str, operation: str, client_no: int, run_id: str | None) -> list[tuple[str, float]]:
    """Lists the runs of an operation and a client number. See `runs_of`.

    Args:
        connection: of the journal.
        path: of the journal, for error messages.
        operation: the operation.
        client_no: the client number.
        run_id: only this run; None: all.

    Returns:
        The runs as (run_id, deadline in seconds), the oldest first.

    Raises:
        JournalError: it has no such run, or the run was pruned.
    """
    rows = connection.execute(
        "SELECT run_id, deadline, pruned FROM runs WHERE operation = ? AND client_no = ? AND run_id = coalesce(?, run_id) ORDER BY id",
        (operation, client_no, run_id),
    ).fetchall()
    runs = [(found, deadline) for found, deadline, pruned in rows if pruned is None]
    if run_id is not None and rows and not runs:
        raise pruned_error(path, run_id, operation, rows[0][2])
    if not runs:
        which = f"run {run_id!r} of " if run_id is not None else "run of "
        raise JournalError(f"the journal {path} has no {which}{operation} for client number {client_no}")
    return runs


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
    """Removes runs. See `prune_journal`; `keep` is its `keep_numbers`, `kept` its `on_kept`."""
    path = path_of(path)
    removed = 0
    now = clock.unix_time()
    why = reasons_to_keep(now, older_than, with_failures=with_failures, unfinished=unfinished)
    with contextlib.closing(open_journal(path, create=False)) as connection:
        try:
            forgotten = connection.execute("SELECT count(*) FROM numbers").fetchone()[0]
            forget_numbers(connection, now - keep)
            forgotten -= connection.execute("SELECT count(*) FROM numbers").fetchone()[0]
            query = "SELECT run_id, client_no FROM runs WHERE pruned IS NULL AND run_id = coalesce(?, run_id)"
            for name in connection.execute(f"{query} GROUP BY 1, 2 ORDER BY min(id)", (run_id,)).fetchall():
                removed += report_kept(_prune(connection, path, name, why, keep), kept)
            if removed or forgotten:
                connection.execute("VACUUM")
        except sqlite3.Error as exc:
            raise broken(path, exc) from exc
    return removed


def reasons_to_keep(now: float, older_than: float, *, with_failures: bool, unfinished: bool) -> Why:
    """Returns what says why a run is not removed.

    Args:
        now: Unix time.
        older_than: see `prune_journal`.
        with_failures: see `prune_journal`.
        unfinished: see `prune_journal`.
    """

    def why(run: JournalRun, last: float) -> list[KeptBecause]:
        found = [("unfinished", not unfinished and run.is_unfinished), ("failures", not with_failures and run.has_failures)]
        # If the clock was set back, no run counts as old.
        found.append(("recent", now - last < older_than))
        return [reason for reason, holds in found if holds]  # type: ignore[misc]

    return why


def keep_together(judged: Sequence[Judged]) -> bool:
    """Says why the runs of a night stay: where one does, all do, since whoever repeats the night needs all of them.

    Args:
        judged: the runs, each with its own reasons to stay; it gets another one where only others have some.

    Returns:
        Whether they stay.
    """
    stay = any(reasons for _, reasons in judged)
    for _, reasons in judged:
        if stay and not reasons:
            reasons.append("night")
    return stay


def report_kept(judged: Sequence[Judged], kept: Callable[[JournalRun, Sequence[KeptBecause]], object]) -> int:
    """Reports the runs that were not removed.

    Args:
        judged: the runs, each with the reasons why it was not.
        kept: called with those that have some.

    Returns:
        The number of those that were removed.
    """
    for run, reasons in judged:
        if reasons:
            kept(run, reasons)
    return sum(not reasons for _, reasons in judged)


def _prune(connection: sqlite3.Connection, path: str, name: tuple[str, int], why: Why, keep: float) -> list[Judged]:
    """Removes all runs of a name and a client number, or none of them."""
    with contextlib.ExitStack() as held:
        free: set[int] = set()
        for run in (runs := _runs_of(connection, name)):
            if (one := lock(path, run)) is not None:
                held.callback(one.release)
                free.add(run)
        if len(free) < len(runs):
            # Nothing is written: the process of such a run may have locked the journal.
            judged = _judge(connection, runs, free, why)
            keep_together(judged)
            return judged
        connection.execute("BEGIN IMMEDIATE")
        try:
            # One may have been begun, or removed, since.
            runs = _runs_of(connection, name)
            judged = _judge(connection, runs, free, why)
            if not keep_together(judged):
                for run in runs:
                    remove_records(connection, run, keep)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
    return judged


def _runs_of(connection: sqlite3.Connection, name: tuple[str, int]) -> list[int]:
    query = "SELECT id FROM runs WHERE run_id = ? AND client_no = ? AND pruned IS NULL ORDER BY id"
    return [run for (run,) in connection.execute(query, name).fetchall()]


def _judge(connection: sqlite3.Connection, runs: Sequence[int], free: set[int], why: Why) -> list[Judged]:
    last = max((last_activity(connection, run) for run in runs), default=0.0)
    found = [(read_run(connection, run, keys=False, running=run not in free), run in free) for run in runs]
    return [(run, why(run, last) if is_free else ["running"]) for run, is_free in found]


def remove_records(connection: sqlite3.Connection, run: int, keep: float) -> None:
    """Removes what is known of a run, but its name and its numbers. Call it in a transaction, under the lock.

    Args:
        connection: of the journal.
        run: the id of the run.
        keep: seconds for which its numbers are kept.
    """
    span = span_of(run)
    if keep > 0:
        keep_numbers(connection, run)
    for table in ("records", "bodies", "superseded", "overtaken"):
        connection.execute(f"DELETE FROM {table} WHERE batch BETWEEN ? AND ?", span)  # noqa: S608 - our own words
    connection.execute("DELETE FROM batches WHERE id BETWEEN ? AND ?", span)
    connection.execute("UPDATE runs SET pruned = ?, token = NULL WHERE id = ?", (clock.unix_time(), run))


def last_activity(connection: sqlite3.Connection, run: int) -> float:
    """Returns the Unix time of the last activity of a run.

    Args:
        connection: of the journal.
        run: the id of the run.
    """
    row = connection.execute("SELECT CASE WHEN ended > started THEN ended ELSE started END FROM runs WHERE id = ?", (run,)).fetchone()
    times = connection.execute("SELECT max(sent), max(accepted) FROM batches WHERE id BETWEEN ? AND ?", span_of(run)).fetchone()
    return float(max(row[0], *(time or 0.0 for time in times)))

"""A journal as people look at it: its runs, what is open in them, and how finished ones are removed. Called in a thread."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from ... import clock
from ...errors import JournalError
from ..journals import JournalBatch, JournalRun
from ..states import State
from .files import broken, check, connect, open_journal, path_of
from .locks import is_locked, lock
from .reads import ids, keys_of, read_row, span_of, superseded

__all__ = ["prune", "read", "runs_of"]


def read(path: str | os.PathLike[str], keys: bool) -> list[JournalRun]:
    """See `read_journal`."""
    path = path_of(path)
    check(path)
    try:
        with contextlib.closing(_reader(path)) as connection:
            connection.execute("BEGIN")
            rows = connection.execute("SELECT id FROM runs ORDER BY id").fetchall()
            return [_read_run(connection, path, run, keys) for (run,) in rows]
    except sqlite3.Error as failure:
        raise broken(path, failure) from failure


def _reader(path: str) -> sqlite3.Connection:
    """A connection that changes nothing. One that may write tidies up beside the file when it is the last one to close."""
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    connection = connect(path, mode)
    connection.execute("PRAGMA query_only = 1")
    return connection


def _read_run(connection: sqlite3.Connection, path: str, run: int, keys: bool) -> JournalRun:
    name = connection.execute(
        "SELECT run_id, operation, client_no, base_url, attempts, started, ended, deadline FROM runs WHERE id = ?", (run,)
    ).fetchone()
    counts: Counter[State] = Counter()
    open_batches: list[JournalBatch] = []
    unknown_batches: list[JournalBatch] = []
    for batch in ids(connection, run):
        state, uuid, sent = connection.execute("SELECT state, uuid, sent FROM batches WHERE id = ?", (batch,)).fetchone()
        records, verdict, exceptions = read_row(connection, batch)
        gone = superseded(connection, batch) if verdict is None or verdict.state != "succeeded" or exceptions else set()
        if verdict is None:
            counts["accepted" if state == "open" else "not_sent"] += records
            if state == "open":
                open_batches.append(JournalBatch(uuid, records, "open", "", sent, keys_of(connection, batch) if keys else ()))
            continue
        said = {place: exceptions.get(place, verdict) for place in range(records) if place not in gone} if exceptions or gone else {}
        found: Counter[State] = Counter(one.state for one in said.values()) if said or gone else Counter({verdict.state: records})
        counts.update(found)
        for fate, batches in (("unknown", unknown_batches), ("accepted", open_batches)):
            number = found[fate]  # type: ignore[index]
            if number:
                places = [place for place in range(records) if place not in gone and exceptions.get(place, verdict).state == fate]
                names = keys_of(connection, batch) if keys else None
                reason = exceptions.get(places[0], verdict).reason
                batches.append(JournalBatch(uuid, number, fate, reason, sent, [names[place] for place in places] if names else ()))
    run_id, operation, client_no, base_url, attempts, started, ended, deadline = name
    running = is_locked(path, run)
    times = (attempts, started, ended, deadline)
    return JournalRun(run_id, operation, client_no, base_url, *times, running, dict(counts), open_batches, unknown_batches)


def prune(path: str | os.PathLike[str], run_id: str | None, older_than: float | None, unfinished: bool) -> int:
    """See `prune_journal`."""
    path = path_of(path)
    removed = 0
    with contextlib.closing(open_journal(path, create=False)) as connection:
        try:
            for (run,) in connection.execute("SELECT id FROM runs ORDER BY id").fetchall():
                if (held := lock(path, run)) is not None:
                    try:
                        removed += _remove(connection, path, run, lambda found: _is_wanted(found, run_id, older_than, unfinished))
                    finally:
                        held.release()
            if removed:
                connection.execute("VACUUM")
        except sqlite3.Error as failure:
            raise broken(path, failure) from failure
    return removed


def _is_wanted(found: JournalRun, run_id: str | None, older_than: float | None, unfinished: bool) -> bool:
    if run_id not in {None, found.run_id} or not (unfinished or found.is_finished):
        return False
    return older_than is None or clock.unix_time() - (found.ended or found.started) >= older_than


def _remove(connection: sqlite3.Connection, path: str, run: int, wanted: Callable[[JournalRun], bool]) -> bool:
    """Removes a run that is locked here, if it is wanted: what it is like is only certain now."""
    connection.execute("BEGIN IMMEDIATE")
    row = connection.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone()
    if row is None or not wanted(replace(_read_run(connection, path, run, keys=False), running=False)):
        connection.execute("ROLLBACK")
        return False
    span = span_of(run)
    for table in ("records", "bodies", "superseded", "overtaken"):
        connection.execute(f"DELETE FROM {table} WHERE batch BETWEEN ? AND ?", span)  # noqa: S608 - our own words
    connection.execute("DELETE FROM batches WHERE id BETWEEN ? AND ?", span)
    connection.execute("DELETE FROM runs WHERE id = ?", (run,))
    connection.execute("COMMIT")
    return True


def runs_of(path: str, operation: str, client_no: int, run_id: str | None) -> list[tuple[str, float]]:
    """The runs of a journal of one kind, as (run_id, deadline).

    Raises:
        JournalError: there is no journal, or no such run in it.
    """
    check(path)
    try:
        with contextlib.closing(_reader(path)) as connection:
            rows = connection.execute(
                "SELECT run_id, deadline FROM runs WHERE operation = ? AND client_no = ? AND run_id = coalesce(?, run_id) ORDER BY id",
                (operation, client_no, run_id),
            ).fetchall()
    except sqlite3.Error as failure:
        raise broken(path, failure) from failure
    if not rows:
        which = f"run {run_id!r} of " if run_id is not None else "run of "
        raise JournalError(f"the journal {path} has no {which}{operation} for client number {client_no}")
    return rows

"""What the journal of a run says of the records of a dead letter file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator

from .. import clock
from ..bulk.chunking import split_json_objects
from ..bulk.fingerprints import content_name
from ..bulk.journal.run_key import pruned_error
from ..bulk.journal.sqlite.index import read_records
from ..bulk.journal.sqlite.queries import body_of, ids, states_of, superseded
from ..bulk.journal.sqlite.schema import broken, open_journal
from ..errors import JournalError
from ..sqlite.file import connect, path_of
from ..sqlite.lock import is_locked
from .replay_table import Group, LineTable

__all__ = ["consult", "keep_cut_off"]


def begin_own(path: str, runs: Iterable[tuple[str, Group]]) -> None:
    """Writes down the runs that lines are about to be given to, so that a journal without one of them is known not to be the same.

    Args:
        path: of the replay's own journal; made where there is none.
        runs: the run_ids, and the groups whose lines they get; one that is there already goes on.

    Raises:
        JournalError: it can't be written.
    """
    now = clock.unix_time()
    rows = [(run_id, group.operation, group.client_no, group.base_url, now, os.getpid()) for run_id, group in runs]
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


def consult(table: LineTable, group: Group, *, is_own: bool) -> None:
    """Takes what the journal says into the table; where it can't be asked, the group is in trouble.

    Args:
        table: the lines.
        group: the run.
        is_own: whether it is the replay's own journal: a run of that is never cut off.
    """
    assert group.journal is not None
    path = path_of(group.journal)
    try:
        with contextlib.closing(open_journal(path, create=False)) as connection:
            found = _find(connection, group, path)
            run = found[0] if found is not None else None
            group.is_cut_off = found is not None and found[1] and not is_own
            if run is None and not group.is_document:
                return
            if run is None:
                group.trouble = f"the journal {path} has no run {group.run_id!r} any more: nobody can tell what was sent since"
            elif is_locked(path, run):
                group.trouble = f"the run {group.run_id!r} of the journal {path} is going on: wait for its end"
            else:
                _copy(connection, run, table, group)
    except JournalError as exc:
        group.trouble = str(exc)
    except (sqlite3.Error, OSError) as exc:
        group.trouble = str(broken(path, exc))


def keep_cut_off(group: Group) -> None:
    """Some lines were sent for a run that was cut off before its source was read to the end: that it still was.

    Raises:
        JournalError: the journal can't be written.
    """
    assert group.journal is not None
    path = path_of(group.journal)
    try:
        with contextlib.closing(connect(path, "rw")) as connection:
            found = _find(connection, group, path)
            if found is not None:
                connection.execute("UPDATE runs SET ended = NULL WHERE id = ?", (found[0],))
    except sqlite3.Error as exc:
        raise broken(path, exc) from exc


def _find(connection: sqlite3.Connection, group: Group, path: str) -> tuple[int, bool] | None:
    """The run in its journal, and whether it was cut off.

    Raises:
        JournalError: it was removed.
    """
    row = connection.execute(
        "SELECT id, ended IS NULL, pruned FROM runs WHERE run_id = ? AND operation = ? AND client_no = ?",
        (group.run_id, group.operation, group.client_no),
    ).fetchone()
    if row is not None and row[2] is not None:
        raise pruned_error(path, str(group.run_id), group.operation, row[2])
    return (row[0], bool(row[1])) if row is not None else None


def _copy(connection: sqlite3.Connection, run: int, table: LineTable, group: Group) -> None:
    """Takes in the records whose names are in the file."""
    for batch in ids(connection, run, "state <> 'queued'"):
        table.sql.executemany(
            "INSERT INTO entries SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM lines WHERE grp = ?1 AND name = ?2)",
            _entries(connection, batch, group.id, document=group.is_document),
        )


def _entries(connection: sqlite3.Connection, batch: int, group: int, *, document: bool) -> Iterator[tuple[int, str, str, int]]:
    names, prints, _ = read_records(connection, batch)
    gone = superseded(connection, batch)
    texts: list[bytes] | None = None
    for position, (name, state) in enumerate(zip(names, states_of(connection, batch), strict=True)):
        if position in gone:
            continue
        if name.startswith("?"):
            # It was never sent: its name was not needed.
            if texts is None:
                body = body_of(connection, batch)
                texts = split_json_objects(body) if body is not None else []
            name = content_name(texts[position], document=document) if texts else name  # noqa: PLW2901 - it is the same record
        yield group, name, state, prints[position] if len(prints) else -1

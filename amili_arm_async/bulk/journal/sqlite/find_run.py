"""Finds a run in a journal, and refuses one that is in progress."""

from __future__ import annotations

import sqlite3

from ....errors import ConfigurationError
from ....sqlite.lock import is_locked
from ..run_key import RunKey, pruned_error, running_error

__all__ = ["find_run", "refuse_running"]


def find_run(connection: sqlite3.Connection, path: str, name: RunKey) -> tuple[int, int] | None:
    """The id of a run and the process that began it last; None where the journal does not have it.

    Raises:
        ConfigurationError: it sends to another address.
        JournalError: it was removed.
    """
    row = connection.execute(
        "SELECT id, process, base_url, pruned FROM runs WHERE run_id = ? AND operation = ? AND client_no = ?",
        (name.run_id, name.operation, name.client_no),
    ).fetchone()
    if row is None:
        return None
    if row[2] != name.base_url:
        raise ConfigurationError(
            f"the run {name.run_id!r} of this journal was begun against {row[2]}, and now base_url is {name.base_url}: "
            "give another run_id or another journal"
        )
    if row[3] is not None:
        raise pruned_error(path, name.run_id, name.operation, row[3])
    return row[0], row[1]


def refuse_running(connection: sqlite3.Connection, *, path: str, name: RunKey) -> None:
    """Refuses a run that somebody is at, before anything is written: the other process may stand still in the middle of a transaction,
    and to wait for that takes a minute. This takes no lock: it only spares the waiting.

    Raises:
        JournalError: somebody is at it, or it was removed.
        ConfigurationError: it sends to another address.
    """
    found = find_run(connection, path, name)
    if found is not None and is_locked(path, found[0]):
        raise running_error(path, name, found[1])

"""Finds a run in a journal, and refuses one that is in progress."""

from __future__ import annotations

import sqlite3

from ....errors import ConfigurationError
from ....sqlite.lock import is_locked
from ..run_key import RunKey, pruned_error, running_error

__all__ = ["find_run", "refuse_running"]


def find_run(connection: sqlite3.Connection, path: str, name: RunKey) -> tuple[int, int] | None:
    """Finds a run in a journal.

    Args:
        connection: of the journal.
        path: of the journal, for error messages.
        name: the run.

    Returns:
        The id of the run and of the process that began it last; None if it is not in the journal.

    Raises:
        ConfigurationError: the run was begun against another address.
        JournalError: the run was pruned.
    """
    row = connection.execute(
        "SELECT id, process, base_url, pruned FROM runs WHERE run_id = ? AND operation = ? AND client_no = ?",
        (name.run_id, name.operation, name.client_no),
    ).fetchone()
    if row is None:
        return None
    if row[2] != name.base_url:
        raise ConfigurationError(
            f"the run {name.run_id!r} of this journal was started with base_url {row[2]}, and now base_url is {name.base_url}: "
            "use another run_id or another journal"
        )
    if row[3] is not None:
        raise pruned_error(path, name.run_id, name.operation, row[3])
    return row[0], row[1]


def refuse_running(connection: sqlite3.Connection, *, path: str, name: RunKey) -> None:
    """Refuses a run that is in progress, before anything is written.

    This takes no lock and only saves time: a stalled process may hold the write lock, and waiting for that takes a minute.

    Args:
        connection: of the journal.
        path: of the journal.
        name: the run.

    Raises:
        JournalError: the run is in progress, or was pruned.
        ConfigurationError: the run was begun against another address.
    """
    found = find_run(connection, path, name)
    if found is not None and is_locked(path, found[0]):
        raise running_error(path, name, found[1])

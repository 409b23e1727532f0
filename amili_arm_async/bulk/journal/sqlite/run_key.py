"""Which run of a journal is meant, where it stands there, and whether somebody is at it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from ....errors import ConfigurationError, JournalError
from ....sqlite.lock import is_locked

__all__ = ["RunKey", "find_run", "going_on", "refuse_running", "removed"]


@dataclass(frozen=True, slots=True)
class RunKey:
    """Which run it is.

    Attributes:
        run_id, operation, client_no: name it.
        base_url: where it sends; the same run never sends anywhere else.
        safe: whether its records may be sent again when nobody knows what became of them.
    """

    run_id: str
    operation: str
    client_no: int
    base_url: str
    safe: bool


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
        raise removed(path, name.run_id, name.operation, row[3])
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
        raise going_on(path, name, found[1])


def going_on(path: str, name: RunKey, process: int) -> JournalError:
    """The error for a run that somebody is at."""
    return JournalError(
        f"the run {name.run_id!r} ({name.operation}) of the journal {path} is going on already, in process {process}: wait for its end"
    )


def removed(path: str, run_id: str, operation: str, when: float) -> JournalError:
    """The error for a run that was removed at a Unix time."""
    day = datetime.fromtimestamp(when, UTC).astimezone().isoformat(" ", "minutes")
    return JournalError(
        f"the run {run_id!r} ({operation}) of the journal {path} was pruned on {day}: what became of its records is not known any more, "
        "so nothing is sent under its name. Send new records with another run_id"
    )

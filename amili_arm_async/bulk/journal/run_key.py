"""Pure: what identifies a run in a journal, and the errors that name a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ...errors import JournalError

__all__ = ["RunKey", "pruned_error", "running_error"]


@dataclass(frozen=True, slots=True)
class RunKey:
    """Identifies a run.

    Attributes:
        run_id: the id that the caller gave it.
        operation: what it does, for example `documents.create_batch`.
        client_no: the client number that it sends for.
        base_url: the address that it sends to; a run never sends to another one.
        safe: whether its records may be sent again when their outcome is unknown.
    """

    run_id: str
    operation: str
    client_no: int
    base_url: str
    safe: bool


def running_error(path: str, key: RunKey, process: int) -> JournalError:
    """Makes the error for a run that another process has in progress.

    Args:
        path: of the journal.
        key: the run.
        process: the id of that process.

    Returns:
        The error, not raised.
    """
    return JournalError(
        f"the run {key.run_id!r} ({key.operation}) of the journal {path} is already in progress in process {process}: wait until it ends"
    )


def pruned_error(path: str | None, run_id: str, operation: str, when: float) -> JournalError:
    """Makes the error for a run that was pruned.

    Args:
        path: of the journal; None where it is known which is meant.
        run_id: the id of the run.
        operation: what it did.
        when: Unix time at which it was pruned.

    Returns:
        The error, not raised.
    """
    journal = f"the journal {path}" if path is not None else "this journal"
    day = datetime.fromtimestamp(when, UTC).astimezone().isoformat(" ", "minutes")
    return JournalError(
        f"the run {run_id!r} ({operation}) of {journal} was pruned on {day}: the outcomes of its records are no longer known, "
        "so nothing is sent under its name. Send only new records with another run_id: documents without a number that succeeded would be "
        "sent a second time"
    )

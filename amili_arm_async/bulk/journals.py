"""What a journal holds, for people: its runs, and what is open in them. SQLite and anyio are only loaded when one is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .states import State

__all__ = ["JournalBatch", "JournalRun", "prune_journal", "read_journal"]


@dataclass(frozen=True, slots=True)
class JournalBatch:
    """A batch of which records are open or unknown.

    Attributes:
        batch_uuid: its name on the server, or None where it was not accepted.
        records: number of its records that are.
        state: `open` (accepted, no result yet), `accepted` or `unknown`.
        reason: why.
        sent: Unix time of its last try, or None.
        keys: of those records; empty where they were not asked for.
    """

    batch_uuid: str | None
    records: int
    state: str
    reason: str
    sent: float | None
    keys: Sequence[str | None] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class JournalRun:
    """A run in a journal.

    Attributes:
        run_id, operation, client_no: name it.
        base_url: where it sends.
        attempts: how often it was begun.
        started: Unix time of the first.
        ended: Unix time at which its source had been sent to the end, or None: it is going on, or was cut off.
        deadline: seconds for which it waits for the result of a batch.
        running: whether a process is at it now.
        counts: records by state; those of batches on the wire or open are `accepted` or, not being accepted yet, `not_sent`.
        open_batches: accepted, without a result.
        unknown_batches: those of which records are `unknown`.
    """

    run_id: str
    operation: str
    client_no: int
    base_url: str
    attempts: int
    started: float
    ended: float | None
    deadline: float
    running: bool
    counts: Mapping[State, int]
    open_batches: Sequence[JournalBatch]
    unknown_batches: Sequence[JournalBatch]

    @property
    def is_finished(self) -> bool:
        """Whether it was done to its end and nothing in it is open."""
        return self.ended is not None and not self.running and not self.open_batches and not self.unknown_batches


async def read_journal(path: str | os.PathLike[str], *, keys: bool = False) -> list[JournalRun]:
    """The runs of a journal, the oldest first; also while they are going on. Nothing is changed.

    Args:
        path: of the journal.
        keys: also give the keys of the records that are open or unknown.

    Raises:
        JournalError: there is no journal, or it can't be read.
    """
    from anyio import to_thread  # noqa: PLC0415

    from .journal import reading  # noqa: PLC0415

    return await to_thread.run_sync(reading.read, path, keys)


async def prune_journal(
    path: str | os.PathLike[str], *, run_id: str | None = None, older_than: float | None = None, unfinished: bool = False
) -> int:
    """Removes runs from a journal, and gives the space back. A run_id that was removed must not come again: it would send everything.

    Args:
        path: of the journal.
        run_id: only this one.
        older_than: only runs that ended so many seconds ago or more.
        unfinished: also those that were cut off, or in which something is open or unknown. One that is running is never removed.

    Returns:
        how many runs were removed.

    Raises:
        JournalError: there is no journal, or it can't be written.
    """
    from anyio import to_thread  # noqa: PLC0415

    from .journal import reading  # noqa: PLC0415

    return await to_thread.run_sync(reading.prune, path, run_id, older_than, unfinished)

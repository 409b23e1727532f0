"""What a journal holds, for people: its runs, and what is open in them. SQLite and anyio are only loaded when one is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, TypeAlias

from ...config import check_number
from ..outcomes import OPEN, SUCCESS, State

__all__ = [
    "KEEP_NUMBERS",
    "OLDER_THAN",
    "JournalBatch",
    "JournalRun",
    "KeptBecause",
    "adopt_journal",
    "prune_journal",
    "read_journal",
    "stale_reason",
]

KeptBecause: TypeAlias = Literal["running", "recent", "failures", "unfinished"]
"""Why a run was not removed."""

OLDER_THAN: Final = 30 * 86_400.0
KEEP_NUMBERS: Final = 400 * 86_400.0


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
        pruned: Unix time at which it was removed: only its name is left. Else None.
        stale: whether the journal may not know all that was sent with it: see `adopt_journal`.
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
    pruned: float | None = None
    stale: bool = False

    @property
    def is_unfinished(self) -> bool:
        """Whether it was cut off, or of some records nobody knows what became (`accepted`, `unknown`), or some had no turn."""
        return self.ended is None or any(self.counts.get(state) for state in OPEN)

    @property
    def has_failures(self) -> bool:
        """Whether records did not make it: `failed`, `rejected`, `invalid`, `blocked`."""
        return any(number and state not in SUCCESS | OPEN for state, number in self.counts.items())

    @property
    def is_finished(self) -> bool:
        """Whether it was done to its end and nothing in it is open."""
        return self.ended is not None and not self.running and not self.open_batches and not self.unknown_batches


async def read_journal(path: str | os.PathLike[str], *, keys: bool = False, pruned: bool = False) -> list[JournalRun]:
    """The runs of a journal, the oldest first; also while they are going on. Nothing is changed.

    Args:
        path: of the journal.
        keys: also give the keys of the records that are open or unknown.
        pruned: also give the runs that were removed; of them only the name and the times are known.

    Returns:
        A summary of each run.

    Raises:
        JournalError: there is no journal, or it can't be read.
    """
    from anyio import to_thread  # noqa: PLC0415

    from .sqlite import inspect  # noqa: PLC0415

    return await to_thread.run_sync(partial(inspect.read, path, keys=keys, pruned=pruned))


async def prune_journal(
    path: str | os.PathLike[str],
    *,
    run_id: str | None = None,
    older_than: float = OLDER_THAN,
    with_failures: bool = False,
    unfinished: bool = False,
    keep_numbers: float = KEEP_NUMBERS,
    on_kept: Callable[[JournalRun, Sequence[KeptBecause]], object] | None = None,
) -> int:
    """Removes old runs in which every record succeeded from a journal, and gives the space back. All others must be asked for.

    Of a run that was removed two things are left. Its name: to begin it again, or to go on with it, is refused. And the numbers of the
    documents that it sent, for a while: another run does not send them (see `BulkOptions.resend_known`).

    Args:
        path: of the journal.
        run_id: only this one.
        older_than: only runs in which nothing was done for so many seconds. Default 30 days.
        with_failures: also those in which records are `failed`, `rejected`, `invalid` or `blocked`.
        unfinished: also those that were cut off, or in which records are `accepted`, `unknown` or `not_sent`. One that is going on is
            never removed.
        keep_numbers: seconds for which the numbers of the documents of removed runs are kept, from their removal; a later prune forgets
            them. Default 400 days; 0 keeps none.
        on_kept: called with each run that is not removed, and why not: `running`, `recent` (see `older_than`), `failures`,
            `unfinished`. It is called in a thread.

    Returns:
        how many runs were removed.

    Raises:
        JournalError: there is no journal, or it can't be written.
        ConfigurationError: a number of seconds is none.
    """
    from anyio import to_thread  # noqa: PLC0415

    from .sqlite import inspect  # noqa: PLC0415

    check_number("older_than", older_than, least=0)
    check_number("keep_numbers", keep_numbers, least=0)
    do = partial(inspect.prune, path, run_id, older_than, with_failures=with_failures, unfinished=unfinished)
    return await to_thread.run_sync(partial(do, keep=keep_numbers, kept=on_kept or (lambda _run, _why: None)))


async def adopt_journal(path: str | os.PathLike[str]) -> str | None:
    """Says that a journal is the right one, though its file was moved or copied: from now on it counts as knowing all that was sent.

    A journal that was put back from a backup, copied, moved or made anew is stale: a run looks each document up before it may leave, and
    sends nothing that can't be looked up. Say this only of a journal that was moved on purpose while no run was going on, and is used in
    one place only: what it does not know is sent again.

    Args:
        path: of the journal.

    Returns:
        why it was stale, in words; None where it was not, and nothing was changed.

    Raises:
        JournalError: there is no journal, it can't be written, or a run of it is going on.
    """
    from anyio import to_thread  # noqa: PLC0415

    from .sqlite import inspect  # noqa: PLC0415

    return await to_thread.run_sync(inspect.adopt, path)


async def stale_reason(path: str | os.PathLike[str]) -> str | None:
    """Why a journal is stale (see `adopt_journal`), in words; None where it is not. Nothing is changed.

    Raises:
        JournalError: there is no journal, or it can't be read.
    """
    from anyio import to_thread  # noqa: PLC0415

    from .sqlite import inspect  # noqa: PLC0415

    return await to_thread.run_sync(inspect.stale_reason, path)

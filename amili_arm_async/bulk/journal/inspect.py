"""Inspects, adopts and prunes journals. What keeps them, and anyio, are loaded only when a journal is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from ...config import check_number
from ...database.url import database_url
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
    "whole_run",
]

KeptBecause: TypeAlias = Literal["running", "recent", "failures", "unfinished", "night"]
"""Why a run was not removed. `night`: another run of the same name and client number was not."""

OLDER_THAN: Final = 30 * 86_400.0
KEEP_NUMBERS: Final = 400 * 86_400.0


@dataclass(frozen=True, slots=True)
class JournalBatch:
    """A batch with records that are open or unknown.

    Attributes:
        batch_uuid: its batchUuid, or None if it was not accepted.
        records: the number of these records.
        state: `open` (accepted, no result yet), `accepted` or `unknown`.
        reason: the reason code of the first of them.
        sent: Unix time of its last try, or None.
        keys: the keys of these records; empty if they were not asked for.
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
        run_id, operation, client_no: identify the run.
        base_url: the address to which it sends.
        attempts: the number of attempts.
        started: Unix time at which the first one began.
        ended: Unix time at which the source had been sent completely; None if the run is in progress or was cut off.
        deadline: seconds for which it waits for the result of a batch.
        running: whether a process is running it now.
        counts: records by state. Records of open batches count as `accepted`, queued ones as `not_sent`, and those that were being sent as
            `unknown`, whether the process is still sending them or has ended.
        open_batches: batches that were accepted and have no result.
        unknown_batches: batches with records that are `unknown`.
        pruned: Unix time at which it was pruned, after which only its name is left; else None.
        stale: whether the journal may not know everything that was sent with it: see `adopt_journal`.
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
        """Whether it was cut off, or holds records whose outcome is open (`accepted`, `unknown`) or that were not sent."""
        return self.ended is None or any(self.counts.get(state) for state in OPEN)

    @property
    def has_failures(self) -> bool:
        """Whether it holds records that did not succeed: `failed`, `rejected`, `invalid`, `blocked`."""
        return any(number and state not in SUCCESS | OPEN for state, number in self.counts.items())

    @property
    def is_finished(self) -> bool:
        """Whether it was completed and nothing in it is open."""
        return self.ended is not None and not self.running and not self.open_batches and not self.unknown_batches


def whole_run(run_id: str, parts: Sequence[JournalRun], number: int) -> JournalRun:
    """Returns a shared run as one run.

    Args:
        run_id: its name.
        parts: the parts that were begun; one at least.
        number: the number of all parts.
    """
    counts: Counter[State] = Counter()
    for part in parts:
        counts.update(part.counts)
    ends = [part.ended for part in parts if part.ended is not None]
    pruned = [part.pruned for part in parts if part.pruned is not None]
    return replace(
        parts[0],
        run_id=run_id,
        attempts=max(part.attempts for part in parts),
        started=min(part.started for part in parts),
        ended=max(ends) if len(ends) == number else None,
        running=any(part.running for part in parts),
        counts=dict(counts),
        open_batches=[batch for part in parts for batch in part.open_batches],
        unknown_batches=[batch for part in parts for batch in part.unknown_batches],
        pruned=max(pruned) if pruned else None,
    )


def _place(path: str | os.PathLike[str]) -> Any:
    """Returns the address of a database, which hides its password, or the path of a file."""
    return database_url(path) or path


def _keeper(path: str | os.PathLike[str]) -> Any:
    """Returns the module that looks at what keeps a journal."""
    if database_url(path) is not None:
        from .postgres import inspect as database  # noqa: PLC0415

        return database
    from .sqlite import inspect  # noqa: PLC0415

    return inspect


def _pruner(path: str | os.PathLike[str]) -> Any:
    """Returns the module that prunes a journal."""
    if database_url(path) is None:
        return _keeper(path)
    from .postgres import prune  # noqa: PLC0415

    return prune


async def read_journal(path: str | os.PathLike[str], *, keys: bool = False, pruned: bool = False) -> list[JournalRun]:
    """Reads the runs of a journal, the oldest first. Changes nothing, and works while runs are in progress.

    Args:
        path: the path of the journal, or the URL of its database.
        keys: also read the keys of records that are open or unknown.
        pruned: also return the runs that were pruned; only their names and times are known.

    Returns:
        A summary of each run.

    Raises:
        JournalError: there is no journal, or it can't be read.
    """
    from anyio import to_thread  # noqa: PLC0415

    return await to_thread.run_sync(partial(_keeper(path).read, _place(path), keys=keys, pruned=pruned))


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
    """Removes old runs from a journal and frees the space. By default, only runs in which every record succeeded.

    Runs of one name and client number are removed together or not at all: what keeps the documents of a night keeps its customers, without
    which it can't be repeated. So are the parts of a shared run. It is unfinished while a part was not begun.

    Two things are kept of a pruned run. Its name: starting or resuming it is refused. And, for a while, the numbers of the documents that
    it sent: other runs don't send them again (see `BulkOptions.resend_known`).

    Args:
        path: the path of the journal, or the URL of its database.
        run_id: only the runs of this name: of a shared run, that of the whole.
        older_than: only runs without activity for so many seconds. Default 30 days.
        with_failures: also runs with records that are `failed`, `rejected`, `invalid` or `blocked`.
        unfinished: also runs that were cut off, or with records that are `accepted`, `unknown` or `not_sent`. A run in progress is never
            removed.
        keep_numbers: seconds for which to keep the document numbers of pruned runs, from the time they were pruned; a later prune deletes
            them. Default 400 days; 0 keeps none.
        on_kept: called with each run that is not removed, and the reasons: `running`, `recent` (see `older_than`), `failures`,
            `unfinished`; `night` where only another run of its name is kept for one of these. Called in a thread.

    Returns:
        The number of runs removed. A shared run is one.

    Raises:
        JournalError: there is no journal, or it can't be written.
        ConfigurationError: `older_than` or `keep_numbers` is not a valid number of seconds, or `run_id` names a part of a shared run.
    """
    from anyio import to_thread  # noqa: PLC0415

    check_number("older_than", older_than, least=0)
    check_number("keep_numbers", keep_numbers, least=0)
    do = partial(_pruner(path).prune, _place(path), run_id, older_than, with_failures=with_failures, unfinished=unfinished)
    return await to_thread.run_sync(partial(do, keep=keep_numbers, kept=on_kept or (lambda _run, _why: None)))


async def adopt_journal(path: str | os.PathLike[str]) -> str | None:
    """Declares a journal up to date after its file was moved or copied on purpose.

    A journal that was restored from a backup, copied, moved or recreated is stale: a run then looks up each document before sending it, and
    sends nothing that can't be looked up. Adopt a journal only if it was moved on purpose while no run was in progress, and is used in one
    place only: documents that it does not know are sent again.

    For a journal in PostgreSQL, it also says that no process of an earlier attempt runs any more: so what one was about to send when
    another took its run over may be sent again by a reconcile that may resend.

    Args:
        path: the path of the journal, or the URL of its database.

    Returns:
        Why it was stale, in words; None if it was not, and nothing was changed.

    Raises:
        JournalError: there is no journal, it can't be written, or one of its runs is in progress.
    """
    from anyio import to_thread  # noqa: PLC0415

    return await to_thread.run_sync(_keeper(path).adopt, _place(path))


async def stale_reason(path: str | os.PathLike[str]) -> str | None:
    """Tells why a journal is stale (see `adopt_journal`). Changes nothing.

    Args:
        path: the path of the journal, or the URL of its database.

    Returns:
        The reason, in words; None if it is not stale.

    Raises:
        JournalError: there is no journal, or it can't be read.
    """
    from anyio import to_thread  # noqa: PLC0415

    return await to_thread.run_sync(_keeper(path).stale_reason, _place(path))

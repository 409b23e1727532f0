"""The parts of a run in the journal that a reconcile reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from ....clock import Stamp
from ...chunking import Batch
from ...keys import CompactKeys
from ...number_forms import Candidates, form_of
from ...outcomes import UNCERTAIN, BatchOutcome, Outcome
from ..deferred import DeferredOutcomes, DeferredRecords, common
from ..protocol import UnknownBatch
from .queries import (
    NOT_AWAITED,
    deadline_of,
    note_time,
    number_unknown,
    read_row,
    read_unknown,
    runs_like,
    slowest,
    superseded,
    taken_ids,
    taken_keys,
    unknown_ids,
)
from .queries import keys_of as read_keys
from .store import RunStore

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from ....database.worker import DatabaseWorker

__all__ = ["SqliteReconcileStore", "adopted"]


_MOST_SCANNED: Final = 1_000_000
"""Most numbers of a journal to scan for proofs: takes a second or two."""

_AT_ONCE: Final = 20
"""Number of batches read at a time, so that other work on the journal can run in between."""

_MOST_PROOFS: Final = 5
"""Documents of a kind to look up as proof: one that is not found may have failed meanwhile."""


class _Pool:
    """The best candidates for a kind of number form: those that are long enough, else the longest."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._chosen = Candidates([], [])

    def add(self, key: str, *, succeeded: bool) -> None:
        """Adds a number if it is better than those in the pool."""
        some = self._chosen.succeeded if succeeded else self._chosen.accepted
        if len(some) < _MOST_PROOFS:
            some.append(key)
        elif len(shortest := min(some, key=len)) < min(len(key), self._length):
            some[some.index(shortest)] = key

    @property
    def is_full(self) -> bool:
        """Whether more numbers can't improve it."""
        return any(len(some) == _MOST_PROOFS and min(map(len, some)) >= self._length for some in self._chosen)

    def chosen(self) -> Candidates:
        """Returns the candidates."""
        return self._chosen


class SqliteReconcileStore:
    """The records of a run whose outcome is unknown, and those that were accepted without an explanation.

    Args:
        store: of the run; owned by the thread.
        run: the id of the run.
        thread: does the work.
        deferred: records of the source that wait for these outcomes.
        next_row: returns the id of a new batch.
        settle: records the outcome of a batch: called with its id, its outcome, by position the outcomes that differ, and the HTTP status.
    """

    def __init__(
        self,
        store: RunStore,
        run: int,
        thread: DatabaseWorker,
        deferred: DeferredOutcomes,
        next_row: Callable[[], int],
        settle: Callable[[int, Outcome, Mapping[int, Outcome], int | None], None],
    ) -> None:
        self._store = store
        self._run = run
        self._thread = thread
        self._deferred = deferred
        self._next_row = next_row
        self._settle = settle

    async def deadline(self) -> float:
        """Returns the longest deadline of the attempts of the run, in seconds: no document that it sent appears later than that."""
        return await self._thread.call(partial(deadline_of, run=self._run))

    async def slowest(self) -> float:
        """Returns the seconds from the 202 to the result of the slowest batch of the run."""
        return await self._thread.call(partial(slowest, run=self._run))

    async def batches(self) -> list[int]:
        """Returns the ids of the batches that hold such records."""
        return await self._thread.call(partial(unknown_ids, run=self._run))

    async def number_of_documents(self) -> int:
        """Returns the number of their records that are unknown, or accepted and not explained."""
        return await self._thread.call(partial(number_unknown, run=self._run))

    async def note_time(self, batches: Sequence[int], now: Stamp) -> None:
        """Records that batches were sent before now, where the clocks can't tell when that was.

        Args:
            batches: their ids.
            now: the current time.
        """
        await self._thread.call(partial(note_time, batches=batches, now=now))

    async def read(self, batch: int) -> UnknownBatch:
        """Reads one of these batches."""
        return await self._thread.call(partial(read_unknown, batch=batch))

    async def sender_of(self, batch: int) -> str | None:
        """Returns who may still be about to send a batch of an earlier attempt; None: nobody."""
        return await self._thread.call(partial(self._store.sender_of, batch=batch))

    def looked_up(self, batch: UnknownBatch, outcomes: Mapping[int, Outcome], still_deferred: frozenset[int]) -> Iterator[BatchOutcome]:
        """Records the outcomes of a look-up.

        Args:
            batch: the batch.
            outcomes: by position, the outcomes.
            still_deferred: positions whose records in the source keep waiting.

        Returns:
            The outcomes of the records of the source that waited for the batch.
        """
        standard, others = common(dict(sorted({**batch.known, **outcomes}.items())))
        self._settle(batch.id, standard, others, batch.status)
        return self._deferred.settle(batch.id, standard, others, still_deferred, are_sent=True)

    def waiting(self, batch: int) -> list[int]:
        """Returns the positions of the records of a batch that `enter_again` enters.

        Args:
            batch: the id of the batch.
        """
        return sorted(position for records in self._deferred.of(batch) for position in records.positions)

    async def enter_again(self, batch: int) -> tuple[Batch, int] | None:
        """Enters the waiting records of a batch as a new batch, which replaces them when it is sent.

        Args:
            batch: the id of the batch.

        Returns:
            The new batch and its id; None if no records wait.
        """
        found = self._deferred.of(batch)
        pairs = sorted((index, position) for records in found for index, position in zip(records.indexes, records.positions, strict=True))
        if not pairs:
            return None
        row = self._next_row()
        entered = await self._thread.call(partial(self._store.enter_again, old=batch, new=row, records=pairs))
        # Only now: if this is interrupted, no record is lost.
        self._deferred.take(batch)
        return entered, row

    async def candidates(
        self, needed: Mapping[tuple[object, ...], int], *, near: int, is_settled: Callable[[Stamp], bool], of_all_runs: bool = False
    ) -> dict[tuple[object, ...], Candidates]:
        """Finds numbers whose documents should exist, by kind of form: some that are as long as needed, or else the longest.

        Args:
            needed: the kinds to look for, with the lengths.
            near: the id of the batch to begin next to.
            is_settled: whether enough time has passed since a stamp that what was accepted then should exist.
            of_all_runs: whether to include other runs of the journal to the same client number and address.

        Returns:
            The candidates by kind.
        """
        pools = {kind: _Pool(length) for kind, length in needed.items()}
        runs = await self._thread.call(partial(runs_like, run=self._run)) if of_all_runs else [self._run]
        batches: list[int] = []
        for run in runs:
            batches += await self._thread.call(partial(taken_ids, run=run, near=near, most=_MOST_SCANNED))
        scanned = 0
        while batches and scanned < _MOST_SCANNED and not all(pool.is_full for pool in pools.values()):
            some, batches = batches[:_AT_ONCE], batches[_AT_ONCE:]
            for key, succeeded, sent in await self._thread.call(partial(taken_keys, batches=some)):
                scanned += 1
                form = form_of(key)
                if (pool := pools.get(form.kind)) is not None and (succeeded or is_settled(sent)):
                    pool.add(key, succeeded=succeeded)
        return {kind: pool.chosen() for kind, pool in pools.items()}


def adopted(connection: sqlite3.Connection, *, batch: int, first: int) -> DeferredRecords:
    """Reads the records of a batch whose outcome is open, as if a source had yielded them.

    Args:
        connection: of the journal.
        batch: its id.
        first: the place in the source of the first one.

    Returns:
        The records.
    """
    _, outcome, exceptions = read_row(connection, batch)
    keys, gone = read_keys(connection, batch), superseded(connection, batch)
    outcomes = {place: exceptions.get(place, outcome or NOT_AWAITED) for place in range(len(keys)) if place not in gone}
    places = [place for place, one in outcomes.items() if one.state in UNCERTAIN]
    compact = CompactKeys([keys[place] for place in places])
    return DeferredRecords(places, range(first, first + len(places)), compact, [outcomes[place] for place in places], before=False)

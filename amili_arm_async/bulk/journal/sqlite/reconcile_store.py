"""What a reconcile reads of a run and writes into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

    from ....sqlite.worker import SqliteWorker

__all__ = ["SqliteReconcileStore", "adopted"]


_MOST_SCANNED: Final = 1_000_000
"""Numbers of a journal that are looked at for proofs: a second or two."""

_AT_ONCE: Final = 20
"""Batches that are read at a time: others who write in the journal have their turn in between."""

_MOST_PROOFS: Final = 5
"""Documents of a kind that are asked for: one that is not there may have failed since."""


class _Pool:
    """The best candidates of a kind of form: those that are long enough, or else the longest."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._chosen = Candidates([], [])

    def add(self, key: str, *, succeeded: bool) -> None:
        """Takes in a number, if it is better than what is there."""
        some = self._chosen.succeeded if succeeded else self._chosen.accepted
        if len(some) < _MOST_PROOFS:
            some.append(key)
        elif len(shortest := min(some, key=len)) < min(len(key), self._length):
            some[some.index(shortest)] = key

    @property
    def is_full(self) -> bool:
        """Whether more would not be better."""
        return any(len(some) == _MOST_PROOFS and min(map(len, some)) >= self._length for some in self._chosen)

    def chosen(self) -> Candidates:
        """What was found."""
        return self._chosen


class SqliteReconcileStore:
    """The records of a run whose fate nobody knows, and those that were accepted without an explanation.

    Args:
        store: of the run, owned by the thread.
        run: the id of the run.
        thread: does the work.
        deferred: records of the source that wait for them.
        next_row: gives the id of a new batch.
        settle: writes what became of a batch.
    """

    def __init__(
        self,
        store: RunStore,
        run: int,
        thread: SqliteWorker,
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
        """The longest deadline that an attempt of the run had: no document that it sent comes later than that."""
        return await self._thread.call(partial(deadline_of, run=self._run))

    async def slowest(self) -> float:
        """Seconds from the 202 to the result of the slowest batch of the run."""
        return await self._thread.call(partial(slowest, run=self._run))

    async def batches(self) -> list[int]:
        """The batches that hold some."""
        return await self._thread.call(partial(unknown_ids, run=self._run))

    async def read(self, batch: int) -> UnknownBatch:
        """One of them."""
        return await self._thread.call(partial(read_unknown, batch=batch))

    def looked_up(self, batch: UnknownBatch, outcomes: Mapping[int, Outcome], still_deferred: frozenset[int]) -> Iterator[BatchOutcome]:
        """What the look-up of a batch showed; gives the outcomes of those who waited for it, but for the `held` positions."""
        standard, others = common(dict(sorted({**batch.known, **outcomes}.items())))
        self._settle(batch.id, standard, others, batch.status)
        return self._deferred.settle(batch.id, standard, others, still_deferred)

    async def enter_again(self, batch: int) -> tuple[Batch, int] | None:
        """The records of a batch that wait, as a new batch; it takes their place when it is sent. None where there are none."""
        found = self._deferred.of(batch)
        pairs = sorted((index, position) for records in found for index, position in zip(records.indexes, records.positions, strict=True))
        if not pairs:
            return None
        row = self._next_row()
        entered = await self._thread.call(partial(self._store.enter_again, old=batch, new=row, records=pairs))
        # Not before: whatever cuts this off, they are somewhere.
        self._deferred.take(batch)
        return entered, row

    async def candidates(
        self, needed: Mapping[tuple[object, ...], int], *, near: int, is_settled: Callable[[Stamp], bool], of_all_runs: bool = False
    ) -> dict[tuple[object, ...], Candidates]:
        """Numbers whose documents should be there, by kind of form, for each some that are as long as needed, or else the longest.

        Args:
            needed: the kinds that are looked for, and the lengths.
            near: the batch next to which it is looked first.
            is_settled: whether so much has passed since a stamp that what was accepted then should be there.
            of_all_runs: whether those of other runs of the journal to the same client number and address will do, too.
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
    """The records of a batch whose fate is open, as if a source had yielded them from place `first` on."""
    _, outcome, exceptions = read_row(connection, batch)
    keys, gone = read_keys(connection, batch), superseded(connection, batch)
    said = {place: exceptions.get(place, outcome or NOT_AWAITED) for place in range(len(keys)) if place not in gone}
    places = [place for place, one in said.items() if one.state in UNCERTAIN]
    compact = CompactKeys([keys[place] for place in places])
    return DeferredRecords(places, range(first, first + len(places)), compact, [said[place] for place in places], before=False)

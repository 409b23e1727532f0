"""What a run needs of its journal (`RunJournal`), and a reconcile (`ReconcileStore`): protocols, whatever keeps the journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from ...clock import Stamp
from ..chunking import Batch
from ..number_forms import Candidates
from ..outcomes import ACCEPTED, BatchOutcome, Outcome
from ..parts import SharedPart
from .recorder import Recorder
from .run_key import RunKey

__all__ = [
    "AcceptedBatch",
    "Attempt",
    "JournalRecord",
    "LookUpFirst",
    "ReconcileStore",
    "ReplayJournals",
    "RunJournal",
    "StaleSince",
    "UnknownBatch",
]


class AcceptedBatch(NamedTuple):
    """A batch that the server accepted in an earlier attempt, and whose result is still to come.

    Attributes:
        id: its id in the journal.
        batch_uuid: its batchUuid.
        accepted: when the 202 came.
        keys: the keys of its records.
        outcome: what is known of all its records but the exceptions, or None.
        exceptions: by position, the outcomes that differ.
        is_shared: whether another batch was given the same batchUuid.
    """

    id: int
    batch_uuid: str
    accepted: Stamp
    keys: list[str | None]
    outcome: Outcome | None
    exceptions: Mapping[int, Outcome]
    is_shared: bool


class UnknownBatch(NamedTuple):
    """A batch with records that are unknown, or accepted and not explained by the result of the batch.

    Attributes:
        id: its id in the journal.
        sent: when its last attempt began.
        status: the status of the answer that left it unknown, or None.
        batch_uuid: the batchUuid of the 202, or None.
        keys: the keys of all its records.
        body: what was sent, or None where it was not kept.
        unknown: by position, the records that are unknown.
        accepted: by position, those that were accepted and are not explained.
        known: by position, all that are not unknown.
    """

    id: int
    sent: Stamp
    status: int | None
    batch_uuid: str | None
    keys: list[str | None]
    body: bytes | None
    unknown: dict[int, Outcome]
    accepted: dict[int, Outcome]
    known: dict[int, Outcome]

    @property
    def was_accepted(self) -> bool:
        """Whether one of its records is known to have been accepted."""
        return any(outcome.state in ACCEPTED for outcome in self.known.values())


class StaleSince(NamedTuple):
    """What a stale journal may be missing.

    Attributes:
        sent: when documents that it does not know of may have been sent last.
        deadline: seconds that their results may take.
    """

    sent: Stamp
    deadline: float


LookUpFirst = Callable[[Batch, frozenset[int]], Awaitable[dict[int, Outcome] | None]]
"""Looks up the documents of a batch before it may be sent. It is given the batch and the positions of documents that will not be sent in
any case; it returns by position the outcomes of those that may not be sent, or None where the run stopped."""


class Attempt(NamedTuple):
    """An attempt of a run.

    Attributes:
        token: its name: no other attempt of any run has the same one.
        previous: the token of the attempt of the run before it; None if it is the first one.
        first_batch: the id of its first batch. Those of earlier attempts are smaller.
    """

    token: str
    previous: str | None
    first_batch: int


class JournalRecord(NamedTuple):
    """A record as a journal has it.

    Attributes:
        name: its identity: of its key, or of its content.
        state: its state; `open` where the result of its batch is still to come.
        fingerprint: of its content; -1 where it was never sent.
    """

    name: str
    state: str
    fingerprint: int


class ReplayJournals(Protocol):
    """What a replay needs of journals while none of their runs is in progress; may block."""

    def exists(self, path: str) -> bool:
        """Returns whether there is a journal at a path.

        Args:
            path: of the journal.
        """
        ...

    def declare_runs(self, path: str, runs: Iterable[RunKey]) -> None:
        """Writes runs down that nothing was sent for yet; durable when it returns. What is there already stays.

        Args:
            path: of the journal, which is made where there is none.
            runs: the runs.

        Raises:
            JournalError: it can't be written.
        """
        ...

    def read_run(self, path: str, run: RunKey, on_records: Callable[[Iterable[JournalRecord]], None]) -> bool:
        """Reads the records of a run.

        Args:
            path: of the journal.
            run: the run.
            on_records: called with its records, in the order in which they were sent, again and again.

        Returns:
            Whether the journal has the run.

        Raises:
            JournalError: the run was pruned or is in progress, or the journal can't be read.
        """
        ...

    def shared_part(self, path: str, run: RunKey) -> SharedPart | None:
        """Tells whether a run is a part of a shared run.

        Args:
            path: of the journal.
            run: the run.

        Returns:
            Which part; None where it is none.

        Raises:
            ArmError: the shared run was pruned, or goes to another address, or the journal can't be read.
        """
        ...

    def note_written(self, path: str, run: RunKey) -> None:
        """Records that the last attempt of a run, that of a replay, has written the dead letter, unless an attempt before it has not.

        Args:
            path: of the journal.
            run: the run; nothing happens where the journal does not have it.

        Raises:
            JournalError: the journal can't be written.
        """
        ...


class ReconcileStore(Protocol):
    """The batches of a run with records that are unknown, or accepted and not explained."""

    async def deadline(self) -> float:
        """Returns the longest deadline of all attempts of the run, in seconds.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def slowest(self) -> float:
        """Returns the longest time from a 202 to a result in the run, in seconds; 0 where none is known.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def batches(self) -> list[int]:
        """Returns the ids of these batches, in the order in which they were cut.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def number_of_documents(self) -> int:
        """Returns the number of their records that are unknown, or accepted and not explained.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def note_time(self, batches: Sequence[int], now: Stamp) -> None:
        """Records that batches were sent before now, where the clocks can't tell when that was: a wait counts from there.

        Args:
            batches: their ids.
            now: the current time.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def read(self, batch: int) -> UnknownBatch:
        """Reads one of them.

        Args:
            batch: its id.

        Returns:
            What is known of it; records that a later batch replaced are left out.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def sender_of(self, batch: int) -> str | None:
        """Returns who may still be about to send a batch of an earlier attempt, in words; None: nobody.

        Args:
            batch: its id.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    def looked_up(self, batch: UnknownBatch, outcomes: Mapping[int, Outcome], still_deferred: frozenset[int]) -> Iterator[BatchOutcome]:
        """Records what the look-up of a batch showed; durable with the next durable step.

        Args:
            batch: the batch.
            outcomes: by position, the outcomes of the records that were looked up.
            still_deferred: positions whose outcomes stay deferred, because the batch may be sent again.

        Returns:
            The outcomes that were deferred until now.
        """
        ...

    def waiting(self, batch: int) -> list[int]:
        """Returns the positions of the records of a batch that `enter_again` enters.

        Args:
            batch: the id of the batch.
        """
        ...

    async def enter_again(self, batch: int) -> tuple[Batch, int] | None:
        """Enters the deferred records of a batch as a new batch, which takes their place once it is sent.

        Args:
            batch: the id of the batch.

        Returns:
            The new batch and its id; None where no record of it is deferred.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def candidates(
        self, needed: Mapping[tuple[object, ...], int], *, near: int, is_settled: Callable[[Stamp], bool], of_all_runs: bool = False
    ) -> dict[tuple[object, ...], Candidates]:
        """Finds documents that the server should have, to prove that look-ups work.

        Args:
            needed: the kinds of number forms that are needed, with the lengths.
            near: the id of the batch next to which to search first.
            is_settled: whether what was accepted at a time should be found by now.
            of_all_runs: whether to search the other runs of the journal to the same client number and address, too.

        Returns:
            By kind, numbers that are as long as needed, or else the longest.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...


class RunJournal(Recorder, Protocol):
    """A recorder that keeps every step, so that a later attempt of the same run can resume it.

    Attributes:
        look_up_first: set by the caller on a stale journal: called for every batch before `decide` returns it.
    """

    look_up_first: LookUpFirst | None

    @property
    def defers(self) -> bool:
        """Whether outcomes that a look-up may better are deferred, because unknown documents are looked up at the end of the run."""
        ...

    @property
    def stale_since(self) -> Sequence[StaleSince]:
        """What a stale journal may be missing; empty where the journal is not stale. Known once `begin` has returned."""
        ...

    @property
    def attempt(self) -> Attempt:
        """The attempt in progress. Known once `begin` has returned."""
        ...

    async def count_latest(self, batch: int) -> None:
        """Makes a customer with a number done only if what succeeded is the latest that the run sent for it, in a batch that counts: else
        it may have been overwritten since, and is sent again.

        Args:
            batch: the id of the first batch that counts.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    @property
    def open_batches(self) -> list[int]:
        """The ids of the batches of earlier attempts whose results are still to come."""
        ...

    async def read_open_batch(self, row: int) -> AcceptedBatch:
        """Reads one of them.

        Args:
            row: its id.

        Returns:
            The batch.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    async def adopt_batch(self, row: int, first: int) -> int:
        """Where the run has no source, lets the records of a batch whose outcomes are open stand for one.

        Args:
            row: the id of the batch.
            first: the index that its first such record gets.

        Returns:
            The number of such records; 0 where the run has a source, or the batch was adopted before.

        Raises:
            JournalError: the journal can't be used any more.
        """
        ...

    def settle_open_batch(self, opened: AcceptedBatch, outcome: Outcome, exceptions: Mapping[int, Outcome]) -> Iterator[BatchOutcome]:
        """The result of an open batch is known.

        Args:
            opened: the batch.
            outcome: the outcome of all its records but the exceptions.
            exceptions: by position, the outcomes that differ.

        Returns:
            The outcomes of the records of the source that waited for it.
        """
        ...

    def stop_waiting(self) -> None:
        """The run stops: whoever waits for an open batch continues at once."""
        ...

    @property
    def reconcile_store(self) -> ReconcileStore:
        """The batches that a reconcile looks up. Known once `begin` has returned."""
        ...

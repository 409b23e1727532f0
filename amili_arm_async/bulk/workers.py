"""The sending part of a run: workers that pull batches from the reader and deliver them, as many as the concurrency asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from anyio.abc import TaskGroup

from .. import clock
from ..errors import ArmError
from ..transport import Transport
from .chunking import Batch
from .control import RunControl
from .delivery import BatchSender
from .dry_run import DryRunSender
from .in_flight import BatchTracker, InFlightBatch, OutcomeQueue
from .journal.recorder import Recorder
from .keys import KeyTicket
from .limits import AdaptiveConcurrency, SharedLimits
from .polling import Poller
from .reader import Reader
from .spec import RunSpec

__all__ = ["Workers"]


class Workers:
    """The workers of a run.

    Args:
        spec: what is sent, where to and how.
        transport: the connections.
        shared_limits: what all runs of the client share.
        reader: gives the batches.
        tracker: takes in what becomes of each record.
        poller: waits for results.
        control: whether the run continues.
        recorder: keeps each step.
        outcomes: no batch begins while there is no room in it.

    Attributes:
        concurrency: the number of batches that may be sent at once.
        sender: delivers the batches.
    """

    def __init__(
        self,
        spec: RunSpec,
        transport: Transport,
        shared_limits: SharedLimits,
        *,
        reader: Reader,
        tracker: BatchTracker,
        poller: Poller,
        control: RunControl,
        recorder: Recorder,
        outcomes: OutcomeQueue,
    ) -> None:
        self._reader = reader
        self._tracker = tracker
        self._control = control
        self._recorder = recorder
        self._outcomes = outcomes
        self.concurrency = AdaptiveConcurrency(spec.options.concurrency, clock.monotonic, self._resize)
        self.sender: BatchSender | DryRunSender = (
            DryRunSender(spec, tracker, control, recorder)
            if spec.options.dry_run
            else BatchSender(spec, transport, shared_limits, tracker, control, poller, recorder, reader, self.concurrency)
        )
        # By number: a worker that is cancelled in the middle lets the next one in.
        self._claiming: dict[int, Batch] = {}
        self._pulling = asyncio.Lock()
        self._group: TaskGroup | None = None
        self._count = 0

    def start(self, group: TaskGroup) -> None:
        """Starts the workers.

        Args:
            group: where they run; more of them join it when the concurrency grows.
        """
        self._group = group
        self._resize()

    def end(self) -> list[Batch]:
        """Starts no worker any more.

        Returns:
            The batches that were pulled and not claimed: nothing is in flight of them, and they have no final state.
        """
        self._group = None
        return list(self._claiming.values())

    def _resize(self) -> None:
        """Starts as many workers as the concurrency asks for; those that are too many end by themselves."""
        self.sender.resize()
        while self._group is not None and self._count < self._wanted:
            self._count += 1
            self._group.start_soon(self._work)

    @property
    def _wanted(self) -> int:
        return self.concurrency.limit + self._recorder.batches_ahead

    async def _work(self) -> None:
        try:
            while self._count <= self._wanted and (entry := await self._pull()) is not None:
                await self._deliver(*entry)
        finally:
            self._count -= 1

    async def _deliver(self, in_flight: InFlightBatch, before: Sequence[KeyTicket], after: Sequence[asyncio.Event]) -> None:
        with self._reader.sending():
            for other in before:
                await other.left.wait()
            for settled in after:
                await settled.wait()
            await self.sender.deliver(in_flight)

    async def _pull(self) -> tuple[InFlightBatch, list[KeyTicket], Sequence[asyncio.Event]] | None:
        """Returns the next batch, registered in the order of the source; None when there is none, or the run stops."""
        async with self._pulling:
            while True:
                await self._outcomes.wait_for_room()
                batch = await self._reader.next_batch()
                if batch is None:
                    return None
                self._claiming[batch.number] = batch
                try:
                    claimed = await self._recorder.decide(batch)
                except ArmError as exc:
                    self._control.stop_for_journal(exc)
                    return None
                if claimed is None:
                    return None
                del self._claiming[batch.number]
                for outcome in claimed.outcomes:
                    self._tracker.publish(outcome)
                if claimed.batch is not None:
                    return *self._tracker.enter(claimed.batch, claimed.row), claimed.after

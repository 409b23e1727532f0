"""Processes accepted batches some time later: stores their records and makes their results."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

from .. import clock
from . import processing
from .ledger import Ledger, RecordResult, split_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .settings import RecordKind, SandboxSettings

CHUNK = 500
"""Records processed before the loop gets its turn again."""


class Worker:
    """Processes accepted batches one by one, in order, each `delay()` seconds after its 202."""

    def __init__(self, ledger: Ledger, settings: SandboxSettings, delay: Callable[[], float]) -> None:
        self._ledger = ledger
        self._settings = settings
        self._delay = delay
        self._queue: deque[tuple[float, int]] = deque()
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._busy = asyncio.Lock()
        self._held = False
        self._task: asyncio.Task[None] | None = None
        self.omitted: set[tuple[RecordKind, str]] = set()

    @property
    def waiting(self) -> int:
        """How many batches are accepted and not yet at work."""
        return len(self._queue)

    def start(self) -> None:
        """Begins to process."""
        self._task = asyncio.create_task(self._run(), name="amili-arm-sandbox-worker")

    async def stop(self) -> None:
        """Stops at once; batches that wait stay unprocessed.

        What went wrong in the worker, if anything, is raised.
        """
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def add(self, number: int) -> None:
        """Puts a batch that was just accepted in the queue."""
        self._queue.append((clock.monotonic() + self._delay(), number))
        self._settled.clear()
        self._changed.set()

    def hold(self) -> None:
        """Processes nothing more until `release`; a batch at work is finished."""
        self._held = True
        self._changed.set()

    def release(self) -> None:
        """Processes again."""
        self._held = False
        self._changed.set()

    async def settled(self) -> None:
        """Waits until every accepted batch is processed.

        While processing is held that is not before its release.
        """
        await self._settled.wait()
        if self._task is not None and self._task.done():
            self._task.result()  # raises what stopped the worker, instead of a wait without end

    async def process_now(self) -> None:
        """Processes the batches that wait now, without their delay and even while processing is held."""
        for _ in range(len(self._queue)):
            await self._process_next()
        async with self._busy:  # the one that was at work already is waited for too
            pass

    async def _run(self) -> None:
        try:
            while True:
                await self._until_due()
                await self._process_next()
        except Exception:
            self._settled.set()
            raise

    async def _until_due(self) -> None:
        """Returns when the first batch of the queue is due and nothing holds it."""
        while True:
            self._changed.clear()
            if self._queue and not self._held:
                wait: float | None = self._queue[0][0] - clock.monotonic()
                if wait is not None and wait <= 0:
                    return
            else:
                wait = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    async def _process_next(self) -> None:
        async with self._busy:
            if not self._queue:
                return
            _, number = self._queue.popleft()
            await self._process(number)
            if not self._queue:
                self._settled.set()

    async def _process(self, number: int) -> None:
        batch = self._ledger.store.batch(number)
        records = split_batch(batch.kind, batch.body or b"")
        entries: list[dict[str, Any]] = []
        failed = 0
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            outcomes = self._ledger.apply(batch.kind, batch.client, chunk, updates=bool(batch.updates))
            failed += sum(outcome.fault is not None for outcome in outcomes)
            if self._settings.result_style == "entries":
                entries.extend(self._entries(batch.kind, outcomes))
            await clock.turn()
        status, answer = self._result(batch.uuid, batch.kind, len(records), failed, entries)
        self._ledger.store.finish_batch(number, status, processing.encode(answer))

    def _result(self, uuid: str, kind: RecordKind, count: int, failed: int, entries: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """Returns the status and the body that GET batch answers from now on."""
        words = self._settings.words
        partial = 0 < failed < count
        answer: dict[str, Any] = {
            "status": words.processed,
            "result": words.partial if partial else words.failed if failed else words.succeeded,
            "message": f"{count - failed} of {count} {kind} processed without errors",
            "batchUuid": uuid,
        }
        if self._settings.result_style == "entries":
            answer[self._settings.entries_name or kind] = entries
        return (self._settings.partial_status if partial else 200), answer

    def _entries(self, kind: RecordKind, outcomes: Sequence[RecordResult]) -> list[dict[str, Any]]:
        """Returns one entry of the result for each record, without those the tests want left out."""
        words = self._settings.words
        name = "customerNo" if kind == "customers" else "documentNo"
        entries: list[dict[str, Any]] = []
        for number, key, fault in outcomes:
            if self.omitted and (kind, key) in self.omitted:
                continue
            entry: dict[str, Any] = {name: number} if number else {}
            entry["status"] = words.processed
            entry["result"] = words.succeeded if fault is None else words.failed
            entry["message"] = fault or ""
            entries.append(entry)
        return entries

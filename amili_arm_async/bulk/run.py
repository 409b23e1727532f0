"""`BulkRun`: what `create_many` and its like return; awaited it gives the report, entered it gives each batch's outcome."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio

from ..errors import BulkError, ConfigurationError
from ..transport import Transport
from .limits import SharedLimits
from .outcomes import BatchOutcome
from .report import BulkReport
from .source import Source
from .spec import RunSpec

if TYPE_CHECKING:
    from .journal.protocol import RunJournal
    from .runner import BulkRunner

__all__ = ["BulkRun"]


class BulkRun:
    """A bulk run. Nothing is sent before it is awaited or entered; it can be done once.

    * `report = await run`: sends everything and gives the report.
    * `async with run: async for outcome in run: ...`: gives the outcome of each batch as it settles. Leaving the loop early starts no new
      batch, lets those in flight end, and awaits no further result. Entered and never iterated, it runs to its end.
    * `run.report`: correct at any time, whatever ended the run.

    Raises:
        BulkError: the run could not continue: the source raised, the credentials were refused, or the patience of the run ended. Its
            `report` has what became of each record, its `__cause__` is the reason.
        JournalError, ConfigurationError: the journal can't be used for this run: nothing was sent.
    """

    def __init__(
        self,
        spec: RunSpec,
        source: Source,
        transport: Transport,
        shared_limits: SharedLimits,
        journal: RunJournal | None,
        report: BulkReport,
    ) -> None:
        # A program that never begins a run does not load what only a run needs.
        from .runner import BulkRunner  # noqa: PLC0415

        self.report = report
        self._runner: BulkRunner = BulkRunner(spec, source, transport, shared_limits, self.report, journal)
        self._state = "new"
        self._task: asyncio.Task[None] | None = None
        self._iterated = False

    def __repr__(self) -> str:
        return f"<BulkRun {self._state}: {self.report.summary()}>"

    def __del__(self) -> None:
        # Like a coroutine that was never awaited: that nothing was sent must not go unnoticed.
        if getattr(self, "_state", "") == "new":
            warnings.warn("a BulkRun was never awaited or entered: nothing was sent", RuntimeWarning, stacklevel=2)

    def _begin(self) -> None:
        if self._state != "new":
            raise ConfigurationError("a BulkRun can be awaited or entered once: call create_many() again for another run")
        self._state = "running"
        self.report.begin()

    # --- awaited ----------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, BulkReport]:
        return self._whole().__await__()

    async def _whole(self) -> BulkReport:
        self._begin()
        try:
            await self._runner.run()
        finally:
            self._state = "ended"
        return self.report

    # --- entered ----------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> BulkRun:
        self._begin()
        self._runner.outcomes.open()
        self._task = asyncio.create_task(self._runner.run())
        self._task.add_done_callback(self._ended)
        return self

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._state = "ended"
        self._runner.outcomes.wake()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        task = self._task
        assert task is not None
        self._runner.outcomes.close()
        is_cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        if is_cancelled:
            task.cancel()
        elif self._iterated or kind is not None:
            self._runner.leave()
        try:
            await _wait_for(task, is_cancelled=is_cancelled)
        except BulkError:
            # Where an error is on its way to the caller already, it may be this one: the loop raises it too.
            if kind is None:
                raise

    async def __aiter__(self) -> AsyncIterator[BatchOutcome]:
        if self._task is None:
            raise ConfigurationError("enter the run first: async with run: async for outcome in run: ...")
        self._iterated = True
        outcomes = self._runner.outcomes
        while True:
            while (outcome := outcomes.take()) is not None:
                yield outcome
            if self._task.done():
                # Raises what ended the run, if that was an error.
                self._task.result()
                return
            await outcomes.wait()


async def _wait_for(task: asyncio.Task[None], *, is_cancelled: bool) -> None:
    """Waits for a task until it has ended, however often the waiting is cancelled. The task is cancelled then, too."""
    # A scope of anyio that is cancelled cancels at each turn of the loop: once is enough.
    with anyio.CancelScope(shield=is_cancelled) as waiting:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as cancelled:
            waiting.shield = True
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.gather(task, return_exceptions=True)
            current = asyncio.current_task()
            if not is_cancelled and current is not None and current.cancelling():
                raise cancelled

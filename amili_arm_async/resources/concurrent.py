"""Many small reads at once, given in the order of their items or as they end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..config import check_int
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..bulk.source import Source

__all__ = ["ConcurrentMap"]

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class ConcurrentMap(Generic[ItemT, ResultT]):
    """Enter it, then iterate it: `async with ... as results: async for result in results: ...`.

    At most `at_once` calls are under way, and no more items are read than that. Leaving early cancels what is under way.

    Args:
        items: what is asked for; read lazily.
        call: asks for one.
        at_once: calls under way at the most.
        ordered: give results in the order of the items; else as they end.
    """

    def __init__(
        self,
        items: Iterable[ItemT] | AsyncIterable[ItemT],
        call: Callable[[ItemT], Awaitable[ResultT]],
        *,
        at_once: int,
        ordered: bool,
    ) -> None:
        check_int("concurrency", at_once, least=1)
        from ..bulk.source import Source  # noqa: PLC0415 - only for many reads

        self._source: Source = Source(items)
        self._call = call
        self._at_once = at_once
        self._ordered = ordered
        self._tasks: deque[asyncio.Task[ResultT]] = deque()
        self._reader: asyncio.Task[None] | None = None
        self._open = False
        self._used = False

    async def __aenter__(self) -> ConcurrentMap[ItemT, ResultT]:
        if self._used:
            raise ConfigurationError("it can be entered once: make the call again")
        self._open = self._used = True
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open = False
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *([self._reader] if self._reader is not None else [])]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __aiter__(self) -> ConcurrentMap[ItemT, ResultT]:
        if not self._open:
            raise ConfigurationError("enter it first: async with ... as results: async for result in results: ...")
        return self

    async def __anext__(self) -> ResultT:
        while self._open:
            self._read_on()
            task = self._ready()
            if task is not None:
                self._tasks.remove(task)
                return task.result()
            # A slow source does not keep back what is there, and slow answers do not keep the source from being read.
            waited = [*(list(self._tasks)[:1] if self._ordered else self._tasks), *([self._reader] if self._reader is not None else [])]
            if not waited:
                break
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if self._open and self._source.failure is not None:
            raise self._source.failure
        raise StopAsyncIteration

    def _ready(self) -> asyncio.Task[ResultT] | None:
        candidates = list(self._tasks)[:1] if self._ordered else self._tasks
        return next((task for task in candidates if task.done()), None)

    def _read_on(self) -> None:
        """Starts to read the source if there is room for further calls."""
        if self._reader is not None and self._reader.done():
            self._reader.result()
            self._reader = None
        if self._reader is None and len(self._tasks) < self._at_once and not self._source.ended:
            self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        from ..bulk.source import Collected  # noqa: PLC0415

        items = Collected()
        await self._source.read(1, items)
        self._tasks.extend(asyncio.create_task(self._run(item)) for item in items)

    async def _run(self, item: ItemT) -> ResultT:
        return await self._call(item)

"""Many small reads side by side, given in the order in which they were asked for, or as they end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

from ..bulk.source import Source
from ..config import check_int
from ..errors import ConfigurationError

__all__ = ["SideBySide"]

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class SideBySide(Generic[ItemT, ResultT]):
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
        self._source = Source(items)
        self._call = call
        self._at_once = at_once
        self._ordered = ordered
        self._tasks: deque[asyncio.Task[ResultT]] = deque()
        self._open = False
        self._used = False

    async def __aenter__(self) -> SideBySide[ItemT, ResultT]:
        if self._used:
            raise ConfigurationError("it can be entered once: make the call again")
        self._open = self._used = True
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open = False
        tasks, self._tasks = list(self._tasks), deque()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __aiter__(self) -> SideBySide[ItemT, ResultT]:
        if not self._open:
            raise ConfigurationError("enter it first: async with ... as results: async for result in results: ...")
        return self

    async def __anext__(self) -> ResultT:
        await self._fill()
        if not self._tasks or not self._open:
            if self._source.failure is not None:
                raise self._source.failure
            raise StopAsyncIteration
        if not self._ordered:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            done = next(task for task in self._tasks if task.done())
            self._tasks.remove(done)
            return done.result()
        result = await asyncio.shield(self._tasks[0])
        self._tasks.popleft()
        return result

    async def _fill(self) -> None:
        items: list[Any] = []
        while self._open and len(self._tasks) < self._at_once and not self._source.ended:
            # One at a time: a slow source must not keep back what is already there.
            await self._source.read(1, items)
            for item in items:
                self._tasks.append(asyncio.create_task(self._run(item)))
            items.clear()

    async def _run(self, item: ItemT) -> ResultT:
        return await self._call(item)

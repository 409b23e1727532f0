"""What keeps a run from pushing a server that can't take more: a hold for all, and lanes whose number goes down and comes back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from .. import clock, log

__all__ = ["Hold", "Lanes", "Pressure", "acquire_place"]


class Hold:
    """Until when nobody may send: a `Retry-After` holds all who share it."""

    def __init__(self) -> None:
        self._until = 0.0

    def extend(self, seconds: float) -> None:
        """Holds everyone for `seconds` from now, unless they are held longer already."""
        self._until = max(self._until, clock.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds until it is over; 0 when it is."""
        return max(0.0, self._until - clock.monotonic())


class Pressure:
    """What all bulk runs of one client share.

    Attributes:
        hold: until when nobody may send.
        open_batches: a place for each batch that is accepted and not yet known to be processed.
    """

    def __init__(self, open_batches: int) -> None:
        self.hold = Hold()
        self.open_batches = asyncio.Semaphore(open_batches)


class Lanes:
    """How many batches of a run may be on the wire at once: halved when the server says "too much", one more after a while of quiet."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._calm_until = 0.0

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[None]:
        """A lane, as soon as one is free."""
        if self._used >= int(self._limit) or self._waiting:
            await self._queue()
        else:
            self._used += 1
        try:
            yield
        finally:
            self._used -= 1
            self._wake()

    async def _queue(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._used -= 1
                self._wake()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _wake(self) -> None:
        while self._waiting and self._used < int(self._limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self._used += 1
                turn.set_result(None)

    def slower(self) -> None:
        """The server said "too much". What was already on the wire then says it too, so it counts once a second."""
        now = clock.monotonic()
        if now >= self._calm_until:
            self._limit = max(1.0, int(self._limit) / 2)
            self._calm_until = now + 1.0
            log.info("slower", concurrency=int(self._limit))

    def went_well(self) -> None:
        """A batch was taken: after as many as there are lanes, there is one more."""
        if self._limit < self._most:
            self._limit = min(self._most, self._limit + 1.0 / self._limit)
            self._wake()


async def acquire_place(places: asyncio.Semaphore, stopping: asyncio.Event) -> bool:
    """Acquires a place, or gives up when the run stops: then False."""
    if not places.locked():
        return await places.acquire()
    acquired, stopped = asyncio.create_task(places.acquire()), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((acquired, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            return True
    except asyncio.CancelledError:
        _give_back(places, acquired)
        raise
    finally:
        stopped.cancel()
    _give_back(places, acquired)
    return False


def _give_back(places: asyncio.Semaphore, acquired: asyncio.Task[Literal[True]]) -> None:
    if not acquired.cancel() and not acquired.cancelled():
        places.release()

"""What keeps a run from pushing a server that can't take more: a hold for all, places for open batches, and lanes to the wire."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from .. import clock

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
    """So many may be in at once as `most` says, which may change; the others wait, the first come first.

    Args:
        most: gives the number.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[None]:
        """A lane, as soon as one is free."""
        await self.enter()
        try:
            yield
        finally:
            self.leave()

    async def enter(self) -> None:
        """Waits for a lane and takes it."""
        if self._used < self._most() and not self._waiting:
            self._used += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Gives the lane back."""
        self._used -= 1
        self.wake()

    def wake(self) -> None:
        """Lets in as many as there is room for; to be called when `most` gives more."""
        while self._waiting and self._used < self._most():
            turn = self._waiting.popleft()
            if not turn.done():
                self._used += 1
                turn.set_result(None)


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

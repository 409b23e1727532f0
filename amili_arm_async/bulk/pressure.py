"""What keeps a run from pushing a server that can't take more: a hold for all, places for open batches, and lanes to the wire."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from .. import clock

__all__ = ["BatchNames", "ResizableSemaphore", "RetryAfterGate", "SharedLimits", "acquire_place"]


class RetryAfterGate:
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


class SharedLimits:
    """What all bulk runs of one client share.

    Attributes:
        hold: until when nobody may send.
        open_batches: a place for each batch that is accepted and not yet known to be processed.
        names: the batchUuids that were given to their batches.
    """

    def __init__(self, open_batches: int) -> None:
        self.hold = RetryAfterGate()
        self.open_batches = asyncio.Semaphore(open_batches)
        self.names = BatchNames()


class BatchNames:
    """The batchUuids that were given to the batches of a client. One that is given twice comes from a cache in between, or is a
    mistake of the service: nobody can say which batch it is of. Compared without case and outer blanks."""

    MOST = 200_000
    """The last ones are kept; a run of 200 million records has as many."""

    def __init__(self) -> None:
        self._given: dict[str, None] = {}
        self._shared: set[str] = set()

    def give(self, client_no: int, batch_uuid: str) -> bool:
        """A batch was given this name; False where another batch has it: both share it from now on."""
        name = _name(client_no, batch_uuid)
        if name in self._given:
            self._shared.add(name)
            return False
        self._given[name] = None
        if len(self._given) > self.MOST:
            del self._given[next(iter(self._given))]
        return True

    def reopen(self, client_no: int, batch_uuid: str) -> None:
        """A batch that has this name is asked for again."""
        self._given[_name(client_no, batch_uuid)] = None

    def share(self, client_no: int, batch_uuid: str) -> None:
        """Another batch has this name too."""
        self._shared.add(_name(client_no, batch_uuid))

    def is_shared(self, client_no: int, batch_uuid: str) -> bool:
        """Whether more than one batch was given this name."""
        return bool(self._shared) and _name(client_no, batch_uuid) in self._shared


def _name(client_no: int, batch_uuid: str) -> str:
    return f"{client_no}/{batch_uuid.strip().casefold()}"


class ResizableSemaphore:
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

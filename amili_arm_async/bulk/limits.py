"""What keeps a run from pushing a server that can't take more: a hold for all, places for open batches, and lanes to the wire."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal

from .. import clock, log

__all__ = [
    "MOST",
    "START",
    "AdaptiveConcurrency",
    "BatchNames",
    "HillClimber",
    "ResizableSemaphore",
    "RetryAfterGate",
    "SharedLimits",
    "acquire_place",
]

START: Final = 8
"""Batches at once that a run begins with where no number is given."""

MOST: Final = 32
"""Batches at once at the most where no number is given."""

_UP: Final = 2.0
_DOWN: Final = 0.75

_WORTH: Final = 0.2
"""More at once must bring this share of what it would bring if nothing stood in its way."""

_ALL: Final = 0.8
"""Where the last step up brought this share of it, the knee lies beyond: there is no need to look for it below."""

_NO_LESS: Final = 0.95
"""Fewer at once must bring this share of the best that was seen."""

_FEWEST: Final = 8
"""Batches by which a number is judged at the least."""

_LOOK_AGAIN: Final = 70
"""Windows after which it is looked for again; each is three rounds of batches or more."""

_OTHERWISE: Final = 1.6
"""When so many times less, or more, comes through than the best, twice in a row, things are not what they were."""

_CALM: Final = 1.0
"""Seconds in which "too much" counts once: what was already on the wire says it too."""

_WARY: Final = 60.0
"""Seconds for which no more is tried than what was not too much."""


class HillClimber:
    """The search for the knee. It is told of each batch that was taken, and changes `limit`.

    What comes through is reckoned by Little's law: so many batches at once, each of which takes so long.

    Args:
        start: batches at once in the beginning.
        most: batches at once at the most.
    """

    def __init__(self, start: int, most: int) -> None:
        self._most = most
        self.measure(start, 0.0)

    def measure(self, limit: int, now: float) -> None:
        """Looks for the knee, from `limit` on."""
        self.limit = limit
        self._direction: Literal["first", "up", "steady", "down", "rest"] = "first"
        # The last number that was worth it, what came through with it, and the share that the step to it brought.
        self._from = limit
        self._best = 0.0
        self._share = 0.0
        self._odd = 0
        self._rests = 0
        self._begin_window(now)

    def _begin_window(self, since: float) -> None:
        self._since = since
        self._seconds = 0.0
        self._batches = 0

    def taken(self, seconds: float, now: float) -> None:
        """A batch was taken at `now`, so many seconds after it began to leave."""
        if now - seconds < self._since:
            # What was on the wire already says nothing of a new limit.
            return
        self._seconds += seconds
        self._batches += 1
        # To go up in haste costs little: what is too many is found on the way down.
        enough = max(self.limit // 2, _FEWEST) if self._direction in {"first", "up"} else 3 * max(self.limit, _FEWEST)
        if self._batches >= enough and self._seconds > 0:
            before = self.limit
            self._judge(self.limit * self._batches / self._seconds, now)
            self._begin_window(self._since if self.limit == before else now)

    def _judge(self, rate: float, now: float) -> None:
        if self._direction == "rest":
            self._rest(rate, now)
        elif self._direction == "down":
            if rate >= _NO_LESS * self._best:
                self._from = self.limit
                self._try_fewer()
            else:
                self._settle()
        elif self._direction == "steady":
            self._best = rate
            if self._share < _ALL:
                self._try_fewer()
            else:
                self._settle()
        else:
            self._go_up(rate)

    def _go_up(self, rate: float) -> None:
        if self._direction == "up":
            self._share = (rate / self._best - 1) / (self.limit / self._from - 1)
        if self._direction == "first" or self._share >= _WORTH:
            self._from, self._best = self.limit, rate
            if self.limit < self._most:
                self._direction, self.limit = "up", min(self._most, int(self.limit * _UP))
                return
        # Before it goes down, it is seen what comes through where it stands when all has calmed.
        self._direction, self.limit = "steady", self._from

    def _try_fewer(self) -> None:
        fewer = int(self._from * _DOWN)
        if fewer < 1:
            self._settle()
        else:
            self._direction, self.limit = "down", fewer

    def _settle(self) -> None:
        self._direction, self.limit = "rest", self._from

    def _rest(self, rate: float, now: float) -> None:
        self._rests += 1
        self._odd = 0 if self._best / _OTHERWISE <= rate <= self._best * _OTHERWISE else self._odd + 1
        if self._odd > 1 or self._rests >= _LOOK_AGAIN:
            self.measure(self.limit, now)


class AdaptiveConcurrency:
    """The number of batches of a run that may be on the wire at once.

    Args:
        fixed: the number that was given, or None: then it is looked for.
        now: seconds by a steady clock.
        changed: called when there may be more, or fewer, than before.
    """

    def __init__(self, fixed: int | None, now: Callable[[], float], changed: Callable[[], None]) -> None:
        self._now = now
        self._changed = changed
        self._climb = HillClimber(START, MOST) if fixed is None else None
        self._most = fixed or START
        self._limit = float(self._most)
        self._calm_until = 0.0
        self._wary_until = 0.0

    @property
    def limit(self) -> int:
        """Batches on the wire at once at the most, now."""
        return int(self._limit)

    def slower(self) -> None:
        """The server said "too much": half as many."""
        now = self._now()
        if now < self._calm_until:
            return
        if self._climb is not None:
            # It comes back to less than what was too much.
            self._most = max(1, min(self._most, int(self._limit * _DOWN)))
            self._wary_until = now + _WARY
        self._limit = max(1.0, int(self._limit) / 2)
        self._calm_until = now + _CALM
        log.info("slower", concurrency=self.limit)
        self._changed()

    def taken(self, seconds: float) -> None:
        """A batch was taken, so long after it began to leave. Below what the run had before the server said "too much", there is one
        more after as many as there are at once."""
        before, now = self.limit, self._now()
        if self._limit < self._most:
            self._limit = min(self._most, self._limit + 1.0 / self._limit)
        elif self._climb is not None and now >= self._wary_until:
            if self._wary_until:
                self._climb.measure(self.limit, now)
                self._wary_until = 0.0
            self._climb.taken(seconds, now)
            self._most = self._climb.limit
            self._limit = float(self._most)
        if self.limit != before:
            log.debug("pace", concurrency=self.limit)
            self._changed()


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

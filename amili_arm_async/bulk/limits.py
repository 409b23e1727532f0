"""Limits that keep a run from overloading the server: the Retry-After gate, slots for open batches, adaptive concurrency."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from .. import clock, log

__all__ = [
    "MOST",
    "START",
    "AdaptiveConcurrency",
    "BatchUuids",
    "HillClimber",
    "OpenBatchSlot",
    "ResizableSemaphore",
    "RetryAfterGate",
    "SharedLimits",
]

START: Final = 8
"""Batches at once at the beginning of a run, where no number is given."""

MOST: Final = 32
"""Batches at once, at the most, where no number is given."""

_STEP_UP: Final = 2.0
_STEP_DOWN: Final = 0.75

_LEAST_GAIN: Final = 0.2
"""A step up must gain this share of what it would gain without a bottleneck."""

_FULL_GAIN: Final = 0.8
"""Where the last step up gained this share of it, the best number is not below: there is no need to try fewer."""

_LEAST_SHARE: Final = 0.95
"""Fewer at once must keep this share of the best throughput."""

_LEAST_BATCHES: Final = 8
"""Batches after which a number is evaluated, at the least."""

_WINDOWS_BETWEEN_SEARCHES: Final = 70
"""Windows after which the search begins again; each is three rounds of batches or more."""

_CHANGE_FACTOR: Final = 1.6
"""Where the throughput differs from the best by this factor twice in a row, the search begins again."""

_CALM_SECONDS: Final = 1.0
"""Seconds in which "too much" counts once: the batches in flight get the same answer."""

_WARY_SECONDS: Final = 60.0
"""Seconds after "too much" in which no higher number is tried."""


class HillClimber:
    """Searches the lowest number of batches at once with the best throughput; it learns of each accepted batch, and changes `limit`.

    Throughput is computed by Little's law, from the number of batches at once and the time that each of them takes.

    Args:
        start: batches at once at the beginning.
        most: batches at once, at the most.

    Attributes:
        limit: batches at once, now.
    """

    def __init__(self, start: int, most: int) -> None:
        self._most = most
        self.begin_search(start, 0.0)

    def begin_search(self, limit: int, now: float) -> None:
        """Begins the search.

        Args:
            limit: batches at once at the beginning of the search.
            now: the time, in seconds of a steady clock.
        """
        self.limit = limit
        self._direction: Literal["first", "up", "steady", "down", "rest"] = "first"
        # The last number that was an improvement, its throughput, and the share that the step to it gained.
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

    def on_accepted(self, seconds: float, now: float) -> None:
        """Takes note of an accepted batch.

        Args:
            seconds: seconds from the first byte to the answer.
            now: the time of the answer, in seconds of a steady clock.
        """
        if now - seconds < self._since:
            # A batch that was in flight before says nothing about a new limit.
            return
        self._seconds += seconds
        self._batches += 1
        # Few batches suffice on the way up: too high a number is found on the way down.
        enough = max(self.limit // 2, _LEAST_BATCHES) if self._direction in {"first", "up"} else 3 * max(self.limit, _LEAST_BATCHES)
        if self._batches >= enough and self._seconds > 0:
            before = self.limit
            self._evaluate(self.limit * self._batches / self._seconds, now)
            self._begin_window(self._since if self.limit == before else now)

    def _evaluate(self, rate: float, now: float) -> None:
        if self._direction == "rest":
            self._rest(rate, now)
        elif self._direction == "down":
            if rate >= _LEAST_SHARE * self._best:
                self._from = self.limit
                self._try_fewer()
            else:
                self._settle()
        elif self._direction == "steady":
            self._best = rate
            if self._share < _FULL_GAIN:
                self._try_fewer()
            else:
                self._settle()
        else:
            self._try_more(rate)

    def _try_more(self, rate: float) -> None:
        if self._direction == "up":
            self._share = (rate / self._best - 1) / (self.limit / self._from - 1)
        if self._direction == "first" or self._share >= _LEAST_GAIN:
            self._from, self._best = self.limit, rate
            if self.limit < self._most:
                self._direction, self.limit = "up", min(self._most, int(self.limit * _STEP_UP))
                return
        # Before it goes down, the throughput is measured once more without a change.
        self._direction, self.limit = "steady", self._from

    def _try_fewer(self) -> None:
        fewer = int(self._from * _STEP_DOWN)
        if fewer < 1:
            self._settle()
        else:
            self._direction, self.limit = "down", fewer

    def _settle(self) -> None:
        self._direction, self.limit = "rest", self._from

    def _rest(self, rate: float, now: float) -> None:
        self._rests += 1
        self._odd = 0 if self._best / _CHANGE_FACTOR <= rate <= self._best * _CHANGE_FACTOR else self._odd + 1
        if self._odd > 1 or self._rests >= _WINDOWS_BETWEEN_SEARCHES:
            self.begin_search(self.limit, now)


class AdaptiveConcurrency:
    """The number of batches of a run that may be sent at once.

    Args:
        fixed: the number, or None: it tunes itself.
        now: returns the seconds of a steady clock.
        changed: called when the limit has changed.
    """

    def __init__(self, fixed: int | None, now: Callable[[], float], changed: Callable[[], None]) -> None:
        self._now = now
        self._changed = changed
        self._climber = HillClimber(START, MOST) if fixed is None else None
        self._most = fixed or START
        self._limit = float(self._most)
        self._share: int | None = None
        self._is_together = False
        self._calm_until = 0.0
        self._wary_until = 0.0

    @property
    def limit(self) -> int:
        """The number of batches that may be sent at once, now."""
        return self.own_limit if self._share is None else min(self.own_limit, self._share)

    @property
    def own_limit(self) -> int:
        """The number that this run would send at once if it was alone."""
        return int(self._limit)

    @property
    def wanted(self) -> int:
        """The number that this run tries to send at once, or comes back to after "too much"."""
        return max(self.own_limit, int(self._most))

    def limit_to(self, share: int | None, *, together: bool) -> None:
        """Limits the number to the share that other processes leave to this run.

        Args:
            share: the share; None: there is no limit.
            together: whether all processes together keep in mind what was too much: then this one comes back to what it was.
        """
        self._is_together = together
        if share == self._share:
            return
        before, was_limited = self.limit, self._is_limited
        self._share = share
        if was_limited and not self._is_limited and self._climber is not None and self._limit >= self._most:
            # What was measured is older than the limit.
            self._climber.begin_search(self.own_limit, self._now())
        if self.limit != before:
            log.debug("concurrency changed", concurrency=self.limit)
            self._changed()

    @property
    def _is_limited(self) -> bool:
        return self._share is not None and self._share < self.own_limit

    def back_off(self) -> None:
        """Halves the limit: the server said "too much" (429 or 503)."""
        now = self._now()
        if now < self._calm_until:
            return
        if self._climber is not None and not self._is_together:
            # It recovers to less than what was too much.
            self._most = max(1, min(self._most, int(self.limit * _STEP_DOWN)))
            self._wary_until = now + _WARY_SECONDS
        self._limit = max(1.0, self.limit / 2)
        self._calm_until = now + _CALM_SECONDS
        log.info("concurrency lowered", concurrency=self.limit)
        self._changed()

    def on_accepted(self, seconds: float) -> None:
        """Takes note of an accepted batch, and adapts the limit.

        While the limit recovers from "too much", it grows by one after as many batches as there are at once.

        Args:
            seconds: seconds from the first byte to the answer.
        """
        if self._is_limited:
            # It would learn nothing of a higher number.
            return
        before, now = self.limit, self._now()
        if self._limit < self._most:
            self._limit = min(self._most, self._limit + 1.0 / self._limit)
        elif self._climber is not None and now >= self._wary_until:
            if self._wary_until:
                self._climber.begin_search(self.limit, now)
                self._wary_until = 0.0
            self._climber.on_accepted(seconds, now)
            self._most = self._climber.limit
            self._limit = float(self._most)
        if self.limit != before:
            log.debug("concurrency changed", concurrency=self.limit)
            self._changed()


class RetryAfterGate:
    """Until when no request may be sent: a `Retry-After` holds all who share the gate.

    Args:
        on_held: called with the seconds by which the gate stays closed longer.

    Attributes:
        on_asked: called where an answer to this process closes the gate for longer.
    """

    def __init__(self, on_held: Callable[[float], None] = lambda _: None) -> None:
        self._until = self._asked_until = 0.0
        self._on_held = on_held
        self.on_asked: set[Callable[[], None]] = set()

    def extend(self, seconds: float) -> None:
        """Closes the gate because the server asks for it, unless it is closed for longer already.

        Args:
            seconds: seconds from now.
        """
        before, self._asked_until = self._asked_until, max(self._asked_until, clock.monotonic() + seconds)
        self.hold(seconds)
        if self._asked_until > before:
            for tell in self.on_asked:
                tell()

    def hold(self, seconds: float) -> None:
        """Closes the gate because the server asked another process for it, unless it is closed for longer already.

        Args:
            seconds: seconds from now.
        """
        now, before = clock.monotonic(), self._until
        self._until = max(before, now + seconds)
        if self._until > before:
            self._on_held(self._until - max(before, now))

    @property
    def asked(self) -> float:
        """Seconds for which an answer to this process closes the gate; 0 or less where none does."""
        return self._asked_until - clock.monotonic()

    @property
    def remaining(self) -> float:
        """Seconds until the gate opens; 0 when it is open."""
        return max(0.0, self._until - clock.monotonic())


class OpenBatchSlot:
    """The right of one batch to be open on the server: accepted, and not yet known to be processed.

    One owner has it at a time and closes it; used as a context manager, it is closed unless it was handed over.

    Args:
        slots: the semaphore that is released when the slot is closed; None where open batches are not counted.
    """

    __slots__ = ("_slots",)

    def __init__(self, slots: asyncio.Semaphore | None = None) -> None:
        self._slots = slots

    def close(self) -> None:
        """Gives the slot back; does nothing where it was given back or handed over before."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.release()

    def hand_over(self) -> OpenBatchSlot:
        """Gives the slot to a new owner.

        Returns:
            The slot for the new owner; to close this one does nothing from now on.
        """
        slot, self._slots = OpenBatchSlot(self._slots), None
        return slot

    def __enter__(self) -> OpenBatchSlot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SharedLimits:
    """What all bulk runs of one client share.

    Args:
        open_batches: number of batches that may be open on the server at once.
        on_held: called with the seconds by which a `Retry-After` holds everything longer.

    Attributes:
        gate: until when nothing may be sent, because of a `Retry-After`.
        batch_uuids: the batchUuids that the server gave to batches.
    """

    def __init__(self, open_batches: int, on_held: Callable[[float], None] = lambda _: None) -> None:
        self.gate = RetryAfterGate(on_held)
        self.batch_uuids = BatchUuids()
        self._slots = asyncio.Semaphore(open_batches)

    async def open_slot(self, stopping: asyncio.Event) -> OpenBatchSlot | None:
        """Waits for a slot for one open batch.

        Args:
            stopping: is set when the run stops.

        Returns:
            The slot, which the caller closes or hands over; None where the run stopped first.
        """
        slots = self._slots
        if not slots.locked():
            await slots.acquire()
            return OpenBatchSlot(slots)
        acquired, stopped = asyncio.create_task(slots.acquire()), asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((acquired, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not stopping.is_set():
                return OpenBatchSlot(slots)
        except asyncio.CancelledError:
            _give_back(slots, acquired)
            raise
        finally:
            stopped.cancel()
        _give_back(slots, acquired)
        return None


def _give_back(slots: asyncio.Semaphore, acquired: asyncio.Task[Literal[True]]) -> None:
    if not acquired.cancel() and not acquired.cancelled():
        slots.release()


class BatchUuids:
    """The batchUuids that the server gave to the batches of a client, compared without case and outer blanks.

    A batchUuid that is given twice comes from a cache in between, or is a mistake of the service: it does not identify a batch.
    """

    MOST = 200_000
    """The last ones are kept; a run of 200 million records has as many."""

    def __init__(self) -> None:
        self._given: dict[str, None] = {}
        self._shared: set[str] = set()

    def register(self, client_no: int, batch_uuid: str) -> bool:
        """Registers the batchUuid of a batch that was accepted.

        Args:
            client_no: the client number of the batch.
            batch_uuid: the batchUuid of the answer.

        Returns:
            False where another batch has the batchUuid: both share it from now on.
        """
        name = _uuid_key(client_no, batch_uuid)
        if name in self._given:
            self._shared.add(name)
            return False
        self._given[name] = None
        if len(self._given) > self.MOST:
            del self._given[next(iter(self._given))]
        return True

    def reopen(self, client_no: int, batch_uuid: str) -> None:
        """Registers the batchUuid of a batch of an earlier attempt that is polled again.

        Args:
            client_no: the client number of the batch.
            batch_uuid: its batchUuid.
        """
        self._given[_uuid_key(client_no, batch_uuid)] = None

    def share(self, client_no: int, batch_uuid: str) -> None:
        """Takes note that another batch has this batchUuid too.

        Args:
            client_no: the client number of both batches.
            batch_uuid: the batchUuid.
        """
        self._shared.add(_uuid_key(client_no, batch_uuid))

    def is_shared(self, client_no: int, batch_uuid: str) -> bool:
        """Returns whether more than one batch has this batchUuid.

        Args:
            client_no: the client number.
            batch_uuid: the batchUuid.

        Returns:
            True where a result with this batchUuid may be that of another batch.
        """
        return bool(self._shared) and _uuid_key(client_no, batch_uuid) in self._shared


def _uuid_key(client_no: int, batch_uuid: str) -> str:
    return f"{client_no}/{batch_uuid.strip().casefold()}"


class ResizableSemaphore:
    """A semaphore whose size may change; those who wait enter in the order in which they came.

    Args:
        size: gives the number that may be in at once, now.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._used = 0
        self._most = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()

    async def acquire(self) -> None:
        """Waits until there is room, and enters."""
        if self._used < self._size() and not self._waiting:
            self._used += 1
            if self._used > self._most:
                self._most = self._used
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        """Leaves, and lets in who waits."""
        self._used -= 1
        self.wake()

    def wake(self) -> None:
        """Lets in as many as there is room for; to be called when the size has grown."""
        while self._waiting and self._used < self._size():
            turn = self._waiting.popleft()
            if not turn.done():
                self._used += 1
                self._most = max(self._most, self._used)
                turn.set_result(None)

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits to enter."""
        return bool(self._waiting)

    @property
    def most(self) -> int:
        """How many were in at once, at the most, since the count began."""
        return self._most

    def begin_count(self) -> None:
        """Begins to count how many are in at once."""
        self._most = self._used

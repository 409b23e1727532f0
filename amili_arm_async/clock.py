"""The one place that reads the clock, and the one that sleeps; a test replaces its functions here."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

__all__ = ["Alarm", "loop_time", "monotonic", "sleep", "turn", "unix_time", "wait"]


def monotonic() -> float:
    """Seconds of a clock that never goes back; only differences mean anything."""
    return time.monotonic()


def unix_time() -> float:
    """Seconds since 1970, as the identity service and `Retry-After` count them."""
    return time.time()


def loop_time(seconds: float) -> float:
    """The time `seconds` from now by the clock of the event loop, as `asyncio.timeout_at` wants it."""
    return asyncio.get_running_loop().time() + seconds


async def sleep(seconds: float) -> None:
    """Sleeps `seconds`; at least one turn of the event loop."""
    await asyncio.sleep(max(0.0, seconds))


async def turn() -> None:
    """One turn of the event loop: what has already happened is noticed."""
    await asyncio.sleep(0)


async def wait(event: asyncio.Event, seconds: float | None) -> bool:
    """Waits for `event`, `seconds` at the most (None: as long as it takes); whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()


class Alarm:
    """Raises TimeoutError in its block when it is not renewed within `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds)
        self._renewed = 0.0

    async def __aenter__(self) -> Alarm:
        self._renewed = monotonic()
        await self._timeout.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    def renew(self) -> None:
        """There was progress: the seconds begin anew. To set a timer costs more than to look at the clock: at most once a second."""
        now = monotonic()
        if now - self._renewed > 1.0:
            self._renewed = now
            self._timeout.reschedule(loop_time(self._seconds))

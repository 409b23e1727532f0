"""The one place that reads the clock, and the one that sleeps; a test replaces its functions here."""

from __future__ import annotations

import asyncio
import time

__all__ = ["monotonic", "sleep", "unix_time", "wait"]


def monotonic() -> float:
    """Seconds of a clock that never goes back; only differences mean anything."""
    return time.monotonic()


def unix_time() -> float:
    """Seconds since 1970, as the identity service and `Retry-After` count them."""
    return time.time()


async def sleep(seconds: float) -> None:
    """Sleeps `seconds`; at least one turn of the event loop."""
    await asyncio.sleep(max(0.0, seconds))


async def wait(event: asyncio.Event, seconds: float | None) -> bool:
    """Waits for `event`, `seconds` at the most (None: as long as it takes); whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()

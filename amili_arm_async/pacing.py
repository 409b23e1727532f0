"""The pace of requests: so many a second, evenly."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from . import clock

__all__ = ["Pace"]

_LATE: Final = 0.05
"""Seconds by which a turn may be late without moving those after it: the timers of an event loop are never early, and often late."""


class Pace:
    """Gives turns evenly, in the order in which they are asked for. A turn that was not given, since its task was cancelled, is not lost.

    Args:
        per_second: turns a second.
    """

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._next = -math.inf
        self._lock = asyncio.Lock()

    async def turn(self) -> bool:
        """Waits for a turn, and returns whether that took any time."""
        waited = self._lock.locked()
        async with self._lock:
            now = clock.monotonic()
            due = self._next if now - self._next <= _LATE else now
            if due > now:
                waited = True
                await clock.sleep(due - now)
            self._next = due + self._interval
        return waited

"""The only module that reads the clock and sleeps; tests replace its functions."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

__all__ = [
    "Alarm",
    "ServiceClock",
    "Stamp",
    "TimeLimit",
    "boot_id",
    "boot_time",
    "is_late",
    "loop_time",
    "monotonic",
    "sleep",
    "stamp",
    "steady_time",
    "turn",
    "turns",
    "unix_time",
    "wait",
]


def monotonic() -> float:
    """Returns the seconds of a clock that never goes back; only differences are meaningful."""
    return time.monotonic()


def unix_time() -> float:
    """Returns the seconds since 1970, as the identity service and `Retry-After` count them."""
    return time.time()


def boot_time() -> float | None:
    """Returns the seconds since this machine was started, including those in which it was suspended.

    Comparable between processes as long as `boot_id` is the same. None where the system has no such clock.
    """
    name = "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    number = getattr(time, name, None)
    return time.clock_gettime(number) if number is not None else None


@cache
def boot_id() -> str | None:
    """Returns an id that is different after each start of this machine; None where the system has none."""
    if sys.platform == "darwin":
        return _boot_session_of_macos()
    try:
        found = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    except (OSError, ValueError):
        return None
    # A container may have a boot clock of its own: Linux shifts it for each time namespace.
    with contextlib.suppress(OSError):
        found += f" {os.readlink('/proc/self/ns/time')}"  # noqa: PTH115 - not a real link
    return found or None


def _boot_session_of_macos() -> str | None:
    import ctypes  # noqa: PLC0415 - only there

    buffer = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(buffer))
    try:
        failed = ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", buffer, ctypes.byref(size), None, ctypes.c_size_t(0))
    except (OSError, AttributeError):
        return None
    return None if failed else buffer.value.decode("ascii", "replace") or None


def steady_time() -> float:
    """Returns the seconds of the best clock of this process that cannot be set.

    That is the clock of `boot_time`, or else `monotonic`. Only differences within one process are meaningful.
    """
    seconds = boot_time()
    return seconds if seconds is not None else monotonic()


class Stamp(NamedTuple):
    """When something happened, by up to three clocks that don't fail together.

    Attributes:
        wall: Unix time by the clock of this machine, which anybody can set.
        boot: seconds by `boot_time`, or None.
        boot_id: names the start of the machine that `boot` counts from; None where it is not known, and then `boot` says nothing.
        service: Unix time by the clock of the service, or None.
    """

    wall: float
    boot: float | None = None
    boot_id: str | None = None
    service: float | None = None

    def passed(self, now: Stamp) -> float | None:
        """Returns the seconds that have certainly passed from this stamp to `now`.

        That is the smallest difference by any clock that both have, and at least 0. None where only the wall clock is known: a single
        clock may have been set.
        """
        found = self._differences(now)
        return max(0.0, min(found.values())) if len(found) > 1 else None

    def at_most(self, now: Stamp) -> float:
        """Returns the most seconds that may have passed from this stamp to `now`: the largest difference by any clock that both have."""
        return max(self._differences(now).values())

    def clocks(self, now: Stamp) -> tuple[str, ...]:
        """Returns the clocks that both stamps have, as they are called in messages."""
        return tuple(self._differences(now))

    def _differences(self, now: Stamp) -> dict[str, float]:
        found = {"the clock of this machine": now.wall - self.wall}
        if self.boot is not None and now.boot is not None and self.boot_id is not None and self.boot_id == now.boot_id:
            found["its boot clock"] = now.boot - self.boot
        if self.service is not None and now.service is not None:
            found["the clock of the service"] = now.service - self.service
        return found


def stamp(service: float | None = None) -> Stamp:
    """Returns the current time; `service` is what the clock of the service says."""
    return Stamp(unix_time(), boot_time(), boot_id(), service)


class ServiceClock:
    """What time it is by the clock of a service, from the `Date` of its answers. It can't be known exactly, so there are two bounds.

    A `Date` that stands still, goes back, or comes from a cache moves the bounds apart: then less time seems to have passed, never more.
    """

    def __init__(self) -> None:
        # The service's time minus `steady_time`, from below and from above.
        self._least: float | None = None
        self._most: float | None = None

    def note(self, date: str | None, asked: float, answered: float) -> None:
        """Takes the `Date` of a response into account.

        `asked` and `answered` are the times of `steady_time` between which it was written.
        """
        seconds = _seconds_of(date) if date is not None else None
        if seconds is None:
            return
        # It is in whole seconds.
        least, most = seconds - answered, seconds + 1 - asked
        self._least = least if self._least is None else min(self._least, least)
        self._most = most if self._most is None else max(self._most, most)

    @property
    def is_known(self) -> bool:
        """Tells whether a response had a date."""
        return self._least is not None

    def earliest(self) -> float | None:
        """Returns the earliest Unix time that the service may have now: for the end of a period that must have passed."""
        return self._least + steady_time() if self._least is not None else None

    def latest(self) -> float | None:
        """Returns the latest Unix time that the service may have now: for the beginning of a period that must pass."""
        return self._most + steady_time() if self._most is not None else None


@lru_cache(maxsize=4)
def _seconds_of(date: str) -> float | None:
    """Returns the Unix time of a date in a header; all responses of one second have the same date."""
    try:
        found = parsedate_to_datetime(date)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def loop_time(seconds: float) -> float:
    """Returns the time in `seconds` from now by the clock of the event loop, as `asyncio.timeout_at` expects it."""
    return asyncio.get_running_loop().time() + seconds


async def sleep(seconds: float) -> None:
    """Sleeps for `seconds`, and at least for one iteration of the event loop."""
    await asyncio.sleep(max(0.0, seconds))


async def turn() -> None:
    """Runs one iteration of the event loop, so that what has already happened is noticed."""
    await asyncio.sleep(0)


async def turns() -> None:
    """Runs some iterations of the event loop, after it was kept busy.

    What others have started makes progress, such as a request until it is on the wire. If there is nothing to do, this takes well below a
    millisecond.
    """
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def wait(event: asyncio.Event, seconds: float | None) -> bool:
    """Waits for `event`, at most `seconds` (None: without a limit), and returns whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()


_TURNS: Final = 20
"""Turns of the event loop in which what has already arrived reaches whoever waits for it; an answer takes three or four."""


_LATE: Final = 0.1
"""Seconds from which on a timer is late: nothing of this process, or of its loop, went on meanwhile."""


def is_late(at: float) -> bool:
    """Tells whether a timer that was due at this loop time is late: the loop was blocked, or the process stopped."""
    return asyncio.get_running_loop().time() - at > _LATE


class TimeLimit:
    """Raises TimeoutError in its block when that does not end within `seconds` (None: it may take as long as it takes).

    A loop that was blocked, by the caller's own code or by a slow source, finds the time over and the answer in the socket at once. What
    arrived in time counts: so when the time is over, the loop gets some turns, which take less than a millisecond when nothing blocks it.
    And where the end of the time was seen late (`is_late`), as long as the loop stood still is added, once and at most the seconds again:
    until then nothing of ours could go on, such as a request that the other side is still answering.

    As long as `holds` returns True, the block may go on; soon after that, it ends.
    """

    def __init__(self, seconds: float | None, holds: Callable[[], bool] | None = None) -> None:
        self._seconds = seconds
        self._holds = holds
        self._at = math.inf
        self._timeout = asyncio.timeout(None)
        self._handle: asyncio.Handle | None = None

    async def __aenter__(self) -> TimeLimit:
        await self._timeout.__aenter__()
        self.renew()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()
        await self._timeout.__aexit__(kind, error, trace)

    @property
    def left(self) -> float:
        """Seconds until the time is over; below 0 where it is."""
        return self._at - asyncio.get_running_loop().time()

    def renew(self) -> None:
        """Starts the seconds again."""
        self._stop()
        if self._seconds is not None:
            self._at = loop_time(self._seconds)
            self._begin(self._seconds, self._over)

    def _begin(self, seconds: float, over: Callable[[float], None]) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        self._handle = loop.call_at(at, over, at)

    def _over(self, at: float) -> None:
        assert self._seconds is not None
        if is_late(at):
            self._begin(min(asyncio.get_running_loop().time() - at, self._seconds), lambda _: self._end(_TURNS))
        else:
            self._end(_TURNS)

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _end(self, turns: int) -> None:
        loop = asyncio.get_running_loop()
        if self._holds is not None and self._holds():
            assert self._seconds is not None
            self._begin(self._seconds / 30, lambda _: self._end(_TURNS))
        elif turns:
            self._handle = loop.call_soon(self._end, turns - 1)
        else:
            self._handle = None
            self._timeout.reschedule(loop.time())


class Alarm:
    """Raises TimeoutError in its block when it is not renewed within `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._limit = TimeLimit(seconds)
        self._renewed = 0.0

    async def __aenter__(self) -> Alarm:
        self._renewed = monotonic()
        await self._limit.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._limit.__aexit__(kind, error, trace)

    def renew(self) -> None:
        """Starts the seconds again, because there was progress.

        It may start them up to a tenth earlier, a second at most: setting a timer costs more than reading the clock.
        """
        now = monotonic()
        if now - self._renewed > min(1.0, self._seconds / 10):
            self._renewed = now
            self._limit.renew()

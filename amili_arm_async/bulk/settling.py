"""How long it is to be waited until a document that is not there won't come any more."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from .. import clock
from ..clock import Stamp
from ..transport import Transport
from .job import RunSpec

__all__ = ["Settling", "settle_time"]

_MARGIN: Final = 1.1


def settle_time(settle: float | None, deadline: float, slowest: float) -> float:
    """Seconds after which a document that is not there won't come any more, so that it may be sent.

    Args:
        settle: what the caller wants; used where it is longer than the deadline.
        deadline: the longest of the attempts that may have sent it.
        slowest: seconds from the 202 to the result of the slowest batch.
    """
    return max(settle if settle is not None and settle > deadline else _MARGIN * deadline, _MARGIN * slowest)


class Settling:
    """The time to settle. It has passed when two clocks at least say so, and none denies it; a clock that was set forward makes it no
    shorter. Where fewer than two can tell, it is waited anew; `settle` seconds after this object was made, it has passed in any case: that
    is measured by a clock that nobody can set.

    Args:
        job: the run.
        transport: the connections.
        settle: seconds.
    """

    def __init__(self, job: RunSpec, transport: Transport, settle: float) -> None:
        self.seconds = settle
        self._job = job
        self._transport = transport
        self._began = clock.monotonic()

    async def ask_for_the_time(self) -> None:
        """Asks the service for its time, by a cheap read, where no answer had a `Date` yet. Without one, it is done without."""
        if not self._transport.service_clock.is_known:
            await self._transport.ask(self._job.probe, timeout=self._job.timeout)

    def left(self, sent: Stamp | None) -> float:
        """The seconds that are still to be waited after something was sent; None where nobody knows when it was."""
        anew = self.seconds - (clock.monotonic() - self._began)
        passed = sent.passed(self._now()) if sent is not None else None
        return max(0.0, anew if passed is None else min(anew, self.seconds - passed))

    def why(self, sent: Stamp | None) -> str:
        """Until when it is waited after something was sent, and why."""
        left, now = self.left(sent), self._now()
        # To the second, and not to the one before.
        until = datetime.fromtimestamp(math.ceil(clock.unix_time() + left), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if sent is None or sent.passed(now) is None:
            cause = "fewer than two clocks tell when they were sent, so all of it is waited now"
        elif now.wall - sent.wall - (sent.passed(now) or 0.0) > 60:
            cause = "the clock of this machine may have been set forward since they were sent, so it does not count alone"
        else:
            cause = "so many must pass after they were sent"
        return f"waiting until {until} before documents are looked up: the time to settle is {self.seconds:g} s, {cause}"

    def when(self, sent: Stamp | None) -> str:
        """What to do about a document that is not there, and may have been sent at a time that is not long enough ago."""
        left = self.left(sent)
        until = datetime.fromtimestamp(math.ceil(clock.unix_time() + left), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"it is not found, and may still come: run again with the same run id after {until}"

    def _now(self) -> Stamp:
        return clock.stamp(self._transport.service_clock.earliest())

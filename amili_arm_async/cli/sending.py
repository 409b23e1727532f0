"""A bulk run as the commands do it: with a bar, and ended with care by Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from .. import clock
from ..bulk.report import Progress
from ..bulk.run import BulkRun
from .output import warn
from .progress import Show

__all__ = ["GRACE", "InterruptedRunError", "on_progress", "run_until_interrupted", "send"]

GRACE: Final = 5.0
"""Seconds that the batches on the wire have to end after Ctrl-C: one that is cut off may have been taken or not, and nobody can say."""


class InterruptedRunError(Exception):
    """Ctrl-C ended the run; its report tells how far it came."""


def run_until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Does the work in an event loop of its own; every Ctrl-C cancels it, also a second one.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            # asyncio would raise the second Ctrl-C in whatever code runs just then, which could be the settling of a batch.
            with suppress(NotImplementedError):
                loop.add_signal_handler(signal.SIGINT, task.cancel)
        await work

    try:
        asyncio.run(main())
    except (asyncio.CancelledError, InterruptedRunError):
        raise KeyboardInterrupt from None


async def send(run: BulkRun) -> None:
    """Does the whole run. After Ctrl-C no new batch starts; after a second one, or `GRACE`, those on the wire are cut off too.

    Raises:
        BulkError: the run could not go on.
        InterruptedRunError: Ctrl-C.
    """
    async with asyncio.timeout(None) as grace, run:
        try:
            async for _ in run:
                pass
        except asyncio.CancelledError:
            grace.reschedule(clock.loop_time(GRACE))
            warn("stopping when the batches on the wire have ended; Ctrl-C again cuts them off")
            raise InterruptedRunError from None


def on_progress(show: Show | None) -> Callable[[Progress], None] | None:
    """What a bulk run calls to move a bar."""
    if show is None:
        return None

    def tell(progress: Progress) -> None:
        bad = progress.settled - sum(progress.counts[state] for state in ("succeeded", "accepted"))
        words = [f"open batches: {progress.open_batches}"] if progress.open_batches else []
        words += [f"{bad:,} did not make it"] if bad else []
        words += [f"waiting for the server ({progress.trouble})"] if progress.trouble else []
        show(progress.settled, ", ".join(words))

    return tell

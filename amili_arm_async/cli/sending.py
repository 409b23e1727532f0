"""Work as the commands do it: with a bar, ended with care by a signal, and its end told in words and in an exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from .. import clock
from ..bulk.report import Progress
from ..bulk.run import BulkRun
from ..bulk.states import STATES, BatchOutcome
from ..errors import ArmError, BulkError, ConfigurationError
from .batch_lines import BatchLines
from .interrupts import InterruptedRunError, SignalHandler
from .output import warn
from .progress import Show

__all__ = ["GRACE", "on_progress", "run_to_end", "send"]

GRACE: Final = 5.0
"""Seconds that the batches on the wire have to end after a signal: one that is cut off may have been taken or not, and nobody can say."""


def run_to_end(work: Coroutine[Any, Any, None], interrupts: SignalHandler) -> int:
    """Does the work to its end, and says what ended it early; gives the exit code for that, or 0."""
    try:
        interrupts.run(work)
    except InterruptedRunError:
        warn("interrupted")
        return interrupts.code
    except ConfigurationError as exc:
        warn(str(exc))
        return 2
    except BulkError as exc:
        warn(f"the run could not go on: {exc.__cause__ or exc}")
        if rest := exc.report.rest_in_words():
            warn(rest)
        return interrupts.code or 1
    except ArmError as exc:
        warn(str(exc))
        return interrupts.code or 1
    return 0


async def send(run: BulkRun, grace: float = GRACE, told: Callable[[BatchOutcome], object] = lambda _: None) -> None:
    """Does the whole run. After a signal no new batch starts; `grace` seconds later, those on the wire are cut off too.

    Args:
        run: the run.
        grace: seconds.
        told: told of each outcome, as long as there was no signal.

    Raises:
        BulkError: the run could not go on.
        InterruptedRunError: a signal ended it.
    """
    async with asyncio.timeout(None) as limit, run:
        try:
            async for outcome in run:
                told(outcome)
        except asyncio.CancelledError:
            limit.reschedule(clock.loop_time(grace))
            warn(f"stopping when the batches on the wire have ended, in {grace:g} s at the most; Ctrl-C again does not wait for them")
            raise InterruptedRunError from None


def on_progress(
    show: Show | None, *, far: Callable[[], float | None] = lambda: None, lines: BatchLines | None = None
) -> Callable[[Progress], None] | None:
    """What a bulk run calls to move a bar.

    Args:
        show: moves the bar; None where there is none.
        far: how much of the source is read, from 0 to 1, or None: it makes an estimate of how many records there are.
        lines: told of what the run waits for.
    """
    if show is None and lines is None:
        return None

    def tell(progress: Progress) -> None:
        if lines is not None:
            lines.waiting(progress.trouble)
        if show is not None:
            read = far()
            about = progress.totals.records_read / read if read and progress.totals.records_read else None
            show(progress.settled, _in_words(progress), about)

    return tell


def _in_words(progress: Progress) -> str:
    """What matters most first: a narrow terminal shows the beginning."""
    words = [f"waiting for the server ({progress.trouble})"] if progress.trouble else []
    words += [f"{state} {progress.counts[state]:,}" for state in STATES if progress.counts[state]]
    words += [f"open batches: {progress.open_batches}"] if progress.open_batches else []
    return ", ".join(words)

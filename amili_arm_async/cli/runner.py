"""Work as the commands do it: with a bar, ended with care by a signal, and its end told in words and in an exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from .. import clock
from ..bulk.outcomes import STATES, BatchOutcome
from ..bulk.report import Progress
from ..bulk.run import BulkRun
from ..errors import ArmError, BulkError, ConfigurationError
from .output import plain, warn
from .progress import Show
from .signals import InterruptedRunError, SignalHandler

__all__ = ["GRACE", "BatchLines", "on_progress", "run_to_end", "send"]


class BatchLines:
    """Tells of each batch when it is settled, and when the server lets the run wait. No key of a record, nothing that is in one.

    Args:
        task: what is done, in words.
        quiet: whether nothing is told.
    """

    def __init__(self, task: str, *, quiet: bool = False) -> None:
        self._task = task
        self._is_silent = quiet or sys.stderr.isatty()
        self._settled = 0
        self._trouble: str | None = None

    def on_settled(self, outcome: BatchOutcome) -> None:
        """The final state of a batch. Records that were in none are only counted: there may be one such outcome for each of them."""
        self._settled += len(outcome)
        if outcome.number:
            self._write(
                "batch",
                batch=outcome.number,
                batch_uuid=plain(outcome.batch_uuid) if outcome.batch_uuid is not None else None,
                records=len(outcome),
                counts=outcome.counts,
                settled=self._settled,
            )

    def waiting(self, trouble: str | None) -> None:
        """What the run waits for, or None; told once each time it changes to something."""
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble is not None:
                self._write("waiting", trouble=plain(trouble), settled=self._settled)

    def _write(self, event: str, **told: Any) -> None:
        if self._is_silent:
            return
        now = datetime.fromtimestamp(clock.unix_time(), UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode({"time": now, "event": event, "task": self._task, **told})
        try:
            sys.stderr.write(line.decode() + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            # Whoever read the log is gone: that is no reason to end the run.
            self._is_silent = True


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

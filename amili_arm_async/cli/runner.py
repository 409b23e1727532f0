"""How a command does its work: with a progress bar, stopped gracefully by a signal, and with an exit code at the end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from .. import clock
from ..bulk.outcomes import STATES, BatchOutcome
from ..bulk.report import BulkReport, Progress
from ..bulk.run import BulkRun
from ..client import ArmClient
from ..errors import ArmError, BulkError, ConfigurationError, InterruptedRunError
from .monitoring import current_run
from .output import plain, print_json, warn, warn_at_end
from .progress import UpdateBar
from .settling import waiting_lines
from .signals import SignalHandler
from .wording import in_options

__all__ = ["GRACE", "BatchLines", "Job", "on_progress", "run_job", "run_to_end", "send"]


class BatchLines:
    """Logs a JSON line on standard error for each batch with a final state, and when the run has to wait for the server.

    The lines hold no key and no content of a record. On a terminal, which shows a bar, nothing is logged.

    Args:
        task: what is done, such as "create customers".
        quiet: log nothing.
    """

    def __init__(self, task: str, *, quiet: bool = False) -> None:
        self._task = task
        self._is_silent = quiet or sys.stderr.isatty()
        self._settled = 0
        self._trouble: str | None = None

    def on_settled(self, outcome: BatchOutcome) -> None:
        """Logs the final state of a batch. Records that were in no batch are only counted: each may have such an outcome of its own.

        Args:
            outcome: of the batch.
        """
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
        """Logs what the run waits for, once each time that it changes.

        Args:
            trouble: what the server answered last, such as "429"; None where the run does not wait.
        """
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble is not None:
                self._write("waiting", trouble=plain(trouble), settled=self._settled)

    def _write(self, event: str, **values: Any) -> None:
        if self._is_silent:
            return
        now = datetime.fromtimestamp(clock.unix_time(), UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode({"time": now, "event": event, "task": self._task, **values})
        sys.stderr.write(line.decode() + "\n")
        sys.stderr.flush()


GRACE: Final = 5.0
"""Seconds that batches in flight get to finish after a signal: it is not known whether a batch that is cut off was accepted."""


class Job(Protocol):
    """What a command does, with its result."""

    @property
    def arm(self) -> ArmClient:
        """The client."""
        ...

    def bulk_reports(self) -> Mapping[str, BulkReport]:
        """Returns the reports of its bulk runs so far, by the kind of their records."""
        ...

    @property
    def ok(self) -> bool:
        """Whether all went well."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Returns the report for programs, a JSON object."""
        ...

    def print_table(self) -> None:
        """Prints the report for people, on standard error."""
        ...

    def name_failures(self) -> None:
        """Names the first failed records on standard error."""
        ...


def run_job(job: Job, work: Coroutine[Any, Any, None], *, is_durable: bool, as_json: bool) -> int:
    """Does the work of a job, and prints its report.

    Args:
        job: has the report.
        work: does the work.
        is_durable: whether what is done is on disk already, so that a second signal may end the process at once.
        as_json: print the report for programs.

    Returns:
        The exit code: 0 if the job is ok, else 1; 2 for wrong use; 130 or 143 after a signal.
    """
    monitor = current_run()
    # A signal may come before the work has begun.
    with closing(work), SignalHandler(durable=is_durable) as signals:
        monitor.begin(job.arm.client_no, job.bulk_reports)
        code = run_to_end(work, signals)
        report = {**job.as_json(), "ok": job.ok and not code} if as_json or monitor.has_on_end else {}
        monitor.report = report
        if as_json:
            print_json(report)
        else:
            job.print_table()
        job.name_failures()
    return code or (0 if job.ok else 1)


_GOES_ON: Final = "the same command continues where this one stopped"


def run_to_end(work: Coroutine[Any, Any, None], signals: SignalHandler) -> int:
    """Does the work, and says on standard error what ended it early, below all else that the command prints.

    Args:
        work: what is done.
        signals: handles signals meanwhile.

    Returns:
        The exit code of what ended the work early, or 0.
    """
    monitor = current_run()
    try:
        signals.run(monitor.watch(work))
    except InterruptedRunError:
        warn_at_end("interrupted" + (f": {_GOES_ON}" if signals.is_durable else ""), is_cause=True)
        return signals.code
    except ConfigurationError as exc:
        monitor.error = in_options(str(exc))
        warn_at_end(monitor.error, is_cause=True)
        return 2
    except BulkError as exc:
        monitor.cause = exc.__cause__
        monitor.error = in_options(f"the run could not continue: {exc.__cause__ or exc}")
        if rest := exc.report.rest_in_words():
            warn_at_end(rest)
        warn_at_end(monitor.error + (f". After that, {_GOES_ON}" if signals.is_durable else ""), is_cause=True)
        return signals.code or 1
    except ArmError as exc:
        monitor.cause = exc
        monitor.error = in_options(str(exc))
        warn_at_end(monitor.error, is_cause=True)
        return signals.code or 1
    return 0


async def send(run: BulkRun, grace: float = GRACE, on_settled: Callable[[BatchOutcome], object] = lambda _: None) -> None:
    """Does the whole run. After a signal no new batch starts; `grace` seconds later, those in flight are cut off too.

    Args:
        run: the run.
        grace: seconds.
        on_settled: called with each outcome, until a signal comes.

    Raises:
        BulkError: the run could not continue.
        InterruptedRunError: a signal ended it.
    """
    async with asyncio.timeout(None) as limit, run:
        try:
            async for outcome in run:
                on_settled(outcome)
        except asyncio.CancelledError:
            limit.reschedule(clock.loop_time(grace))
            current_run().stopping(grace)
            warn(f"stopping when the batches in flight have ended, in at most {grace:g} s; Ctrl-C again does not wait for them")
            raise InterruptedRunError from None


def on_progress(
    update: UpdateBar | None, *, share_read: Callable[[], float | None] = lambda: None, lines: BatchLines | None = None
) -> Callable[[Progress], None]:
    """Makes the `on_progress` of a bulk run.

    Args:
        update: moves the bar; None where there is none.
        share_read: returns how much of the source is read, from 0 to 1, or None; the number of records is estimated from it.
        lines: logs what the run waits for; None: nothing is logged.

    Returns:
        The function.
    """
    monitor = current_run()

    def show(progress: Progress) -> None:
        monitor.on_progress(progress)
        if lines is not None:
            lines.waiting(progress.trouble)
        if update is not None and progress.settling is not None:
            update(progress.settled, waiting_lines(progress.settling), until=clock.monotonic() + progress.settling.left)
        elif update is not None:
            share = share_read()
            estimate = progress.totals.records_read / share if share and progress.totals.records_read else None
            update(progress.settled, _in_words(progress), estimate)

    return show


def _in_words(progress: Progress) -> str:
    """Returns what matters most first: a narrow terminal shows only the beginning."""
    words = [f"waiting for the server ({progress.trouble})"] if progress.trouble else []
    words += [f"{state} {progress.counts[state]:,}" for state in STATES if progress.counts[state]]
    words += [f"open batches: {progress.open_batches}"] if progress.open_batches else []
    return ", ".join(words)

"""What others learn of the run of a command: systemd and a file of metrics while it is going on, and `--on-end` when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, TypeVar

import typer
from typer.core import TyperCommand

from .. import clock
from ..bulk.outcomes import STATES
from ..bulk.report import BulkReport, Progress
from ..errors import ConfigurationError
from ..nightly.money import MoneyTotals
from .metrics import MetricsFile, RunNumbers
from .on_end import MOST, HeldSignals, run_on_end
from .output import json_line, plain, warn
from .settings import RUN_VARIABLES, current_client, current_file, resolve
from .systemd import SystemdNotifier
from .wording import in_options, usage_in_words

__all__ = ["ARGUMENTS", "MonitoredCommand", "RunMonitor", "current_run", "monitored"]

_TICK: Final = 5.0
"""Seconds between two lines of status, at least."""

_BETWEEN_METRICS: Final = 15.0

_TO_REPORT: Final = 60.0
"""Seconds after the work for the reports, and for what --on-end needs to be stopped."""

ARGUMENTS: Final = "amili_arm.arguments"
"""Where the context of a command keeps its arguments as they were given."""

_SIGNALLED: Final = 128
"""An exit code above this is that of a signal."""

T = TypeVar("T")


@dataclass
class _Run:
    """One run of the command: most have one, a night of several client numbers has one for each."""

    client_no: int | None
    reports: Callable[[], Mapping[str, BulkReport]] = dict
    money: Callable[[], MoneyTotals | None] = lambda: None
    started: float = field(default_factory=clock.unix_time)
    ended: float | None = None
    exit_code: int | None = None
    open_batches: int = 0
    waited: float = 0.0
    waiting_since: float | None = None

    def note(self, progress: Progress) -> None:
        now = clock.monotonic()
        if self.waiting_since is not None:
            self.waited += now - self.waiting_since
        self.waiting_since = now if progress.trouble is not None else None
        self.open_batches = progress.open_batches

    def end(self, exit_code: int) -> None:
        self.exit_code, self.ended, self.open_batches = exit_code, clock.unix_time(), 0

    def numbers(self) -> RunNumbers:
        waited = self.waited + (clock.monotonic() - self.waiting_since if self.waiting_since is not None and self.ended is None else 0.0)
        return RunNumbers(self.client_no, self.started, self.ended, self.exit_code, waited, self.open_batches, self.reports(), self.money())


class RunMonitor:
    """The run of a command, for those who watch it. Nothing that goes wrong here changes what is sent, or the exit code.

    Args:
        command: name of the command.
        on_end: the command that is run at the end, or None.
        metrics: path of the file of metrics, or None.
        notifier: tells systemd.

    Attributes:
        client_no: the client number, once it is known.
        error: what ended the run early, as a sentence, or None.
        cause: the exception that is about, or None.
        report: the report for programs; None where the run ended before there was one.
    """

    def __init__(self, command: str, on_end: str | None, metrics: str | None, notifier: SystemdNotifier) -> None:
        self.client_no: int | None = None
        self.error: str | None = None
        self.cause: BaseException | None = None
        self.report: Mapping[str, Any] | None = None
        self._command = command
        self._on_end = on_end
        self._metrics = MetricsFile(metrics, command) if metrics is not None else None
        self._notifier = notifier
        self._started = clock.unix_time()
        self._runs: list[_Run] = []
        self._progress: Progress | None = None
        self._has_warned = False
        self._is_ready = False

    @property
    def has_on_end(self) -> bool:
        """Whether a command wants the report at the end."""
        return self._on_end is not None

    @property
    def metrics_path(self) -> str | None:
        """Path of the file of metrics, or None."""
        return self._metrics.path if self._metrics is not None else None

    def no_metrics(self) -> None:
        """Writes no metrics: their file is needed for something else."""
        self._metrics = None

    # --- while it is going on ---------------------------------------------------------------------------------------------

    def begin(
        self, client_no: int, reports: Callable[[], Mapping[str, BulkReport]], money: Callable[[], MoneyTotals | None] = lambda: None
    ) -> None:
        """Learns that a job begins.

        Args:
            client_no: the client number.
            reports: returns the reports of its bulk runs so far, by the kind of their records.
            money: returns the sums of its documents, or None.
        """
        self._progress = None
        self._runs.append(_Run(client_no, reports, money))

    def end_client(self, client_no: int, exit_code: int) -> None:
        """Learns that one client number of several is done.

        Args:
            client_no: the client number.
            exit_code: of its run.
        """
        if not self._runs or self._runs[-1].client_no != client_no:
            # It ended before its work began.
            self._runs.append(_Run(client_no))
        self._runs[-1].end(exit_code)

    def on_progress(self, progress: Progress) -> None:
        """Learns how far the job is.

        Args:
            progress: of its bulk run.
        """
        self._progress = progress
        if self._runs:
            self._runs[-1].note(progress)

    def stopping(self, grace: float) -> None:
        """Learns that a signal stops the run gracefully.

        Args:
            grace: seconds that the batches in flight get.
        """
        self._notifier.stopping(grace + _TO_REPORT + (MOST if self._on_end is not None else 0.0))

    async def watch(self, work: Coroutine[Any, Any, T], status: str | None = None) -> T:
        """Does some work, and publishes how it goes.

        Args:
            work: what is done.
            status: what systemd is told of it; None: the records so far.

        Returns:
            What the work returns.
        """
        if not self._notifier.is_active and self._metrics is None:
            return await work
        self._is_ready = True
        self._notifier.ready()
        publishing = asyncio.create_task(self._publish(status))
        try:
            return await work
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            # The reports have as long as the work between two signs of life.
            self._notifier.alive()

    async def _publish(self, status: str | None) -> None:
        watchdog = self._notifier.watchdog
        tick = _TICK if watchdog is None else min(_TICK, watchdog / 2)
        status_at = metrics_at = clock.monotonic()
        while True:
            now = clock.monotonic()
            # From the loop of the work: where that hangs, nothing is sent.
            self._notifier.alive()
            if now >= status_at:
                status_at = now + _TICK
                self._notifier.status(status if status is not None else self._in_words())
            if now >= metrics_at:
                metrics_at = now + _BETWEEN_METRICS
                self._write_metrics()
            await clock.sleep(tick)

    def _in_words(self) -> str:
        client = f"client {self._runs[-1].client_no}, " if len(self._runs) > 1 else ""
        if (progress := self._progress) is None:
            return f"{client}{self._command}: begins"
        words = [f"{self._command}: {progress.settled:,} records settled"]
        words += [f"waiting for the server ({progress.trouble})"] if progress.trouble else []
        words += [f"{state} {progress.counts[state]:,}" for state in STATES if progress.counts[state]]
        words += [f"open batches: {progress.open_batches}"] if progress.open_batches else []
        return client + ", ".join(words)

    def _write_metrics(self) -> None:
        if self._metrics is None:
            return
        try:
            self._metrics.write(self._metrics.text(run.numbers() for run in self._runs))
        except Exception as exc:
            if not self._has_warned:
                self._has_warned = True
                reason = getattr(exc, "strerror", None) or type(exc).__name__
                warn(f"--metrics: {plain(self._metrics.path)} can't be written: {reason}")

    # --- at the end -------------------------------------------------------------------------------------------------------

    def close(self, exit_code: int) -> None:
        """Publishes how it ended, and runs the command of `--on-end`.

        Args:
            exit_code: of the command.
        """
        self._runs = self._runs or [_Run(self.client_no, started=self._started)]
        for run in self._runs:
            if run.exit_code is None:
                run.end(exit_code)
        self._write_metrics()
        if self._is_ready:
            self._notifier.status(self._summary(exit_code))
            self._notifier.stopping(_TO_REPORT)
        if self._on_end is not None:
            run_on_end(self._on_end, self._as_json(exit_code), self._variables(exit_code))

    def _summary(self, exit_code: int) -> str:
        counts = dict.fromkeys(STATES, 0)
        for run in self._runs:
            for report in run.reports().values():
                for state, number in report.counts.items():
                    counts[state] += number
        client_nos = ", ".join(str(run.client_no) for run in self._runs if run.client_no is not None)
        words = [", ".join(found)] if (found := [f"{number:,} {state}" for state, number in counts.items() if number]) else []
        error = self.error or (self.report or {}).get("error")
        words += [str(error)] if error else []
        of_client = f" (client {client_nos})" if client_nos else ""
        return f"amili-arm {self._command}{of_client}: {_outcome(exit_code)}, exit code {exit_code}{''.join(f'; {word}' for word in words)}"

    def _as_json(self, exit_code: int) -> bytes:
        head = {"command": self._command, "outcome": _outcome(exit_code), "exit_code": exit_code, "summary": self._summary(exit_code)}
        report = {"ok": False, "error": None} | dict(self.report or {})
        report["error"] = report["error"] or self.error
        # What ended the command after its report was made, such as a signal while it was printed, is not in that report.
        report["ok"] = report["ok"] and not exit_code
        return json_line(head | report) + b"\n"

    def _variables(self, exit_code: int) -> dict[str, str]:
        return dict(zip(RUN_VARIABLES, (self._command, _outcome(exit_code), str(exit_code), self._summary(exit_code)), strict=True))


def _outcome(exit_code: int) -> str:
    if exit_code > _SIGNALLED:
        return "interrupted"
    return ("ok", "failed", "usage_error")[exit_code] if 0 <= exit_code < 3 else "failed"


# --- the run of the current command ---------------------------------------------------------------------------------------------------

_CURRENT: ContextVar[RunMonitor] = ContextVar("_CURRENT")


def current_run() -> RunMonitor:
    """Returns the run of the current command.

    Returns:
        Its monitor; outside a command, one that publishes nothing.
    """
    found = _CURRENT.get(None)
    return found if found is not None else RunMonitor("", None, None, SystemdNotifier({}))


@contextlib.contextmanager
def monitored(command: str, given: Mapping[str, Any]) -> Iterator[RunMonitor]:
    """Watches a command while it runs, whatever ends it.

    Args:
        command: its name.
        given: the values of its options.

    Yields:
        The monitor, which `current_run` returns meanwhile.
    """
    if current_client() is not None:
        # The run of one client belongs to that of all.
        yield current_run()
        return
    # A blank one on the command line turns off what the settings say.
    on_end, metrics = given.get("on_end") or None, given.get("metrics") or None
    if given.get("dry_run") and (on_end is not None or metrics is not None):
        warn("a dry run neither runs the command of --on-end nor writes --metrics")
        on_end = metrics = None
    monitor = RunMonitor(command, on_end, metrics, SystemdNotifier(os.environ))
    token = _CURRENT.set(monitor)
    code = 1
    try:
        with _terminable() if on_end is not None or metrics is not None else contextlib.nullcontext():
            try:
                yield monitor
                code = 0
            except (typer.Exit, SystemExit) as exc:
                found = exc.exit_code if isinstance(exc, typer.Exit) else exc.code
                code = found if isinstance(found, int) else 1
                monitor.error = monitor.error or in_options("; ".join(getattr(exc, "__notes__", ()))) or None
                raise
            except KeyboardInterrupt:
                code = 130
                raise
            finally:
                # A signal that comes now would keep the command of --on-end from being run.
                with HeldSignals():
                    monitor.close(code)
    finally:
        _CURRENT.reset(token)


DRY_RUN: Final = "--dry-run"


class MonitoredCommand(TyperCommand):
    """A command that also tells of a wrong option or a wrong settings file, which end it before it begins."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """See `TyperCommand`."""
        before = list(args)
        try:
            context = super().make_context(info_name, args, parent, **extra)
            context.meta[ARGUMENTS] = before
            return context
        except Exception as exc:
            if isinstance(exc, typer.BadParameter):
                exc.message = usage_in_words(exc.message, getattr(exc.param, "name", None))
            code = getattr(exc, "exit_code", 1)
            if (
                code
                and not extra.get("resilient_parsing")
                and current_client() is None
                and DRY_RUN not in before
                and any(parameter.name == "on_end" for parameter in self.params)
            ):
                in_words = getattr(exc, "format_message", None)
                notes = getattr(exc, "__notes__", None) or [" ".join((in_words() if in_words is not None else str(exc)).split())]
                _end_before_beginning(info_name or "", before, code, notes[0])
            raise


def _end_before_beginning(command: str, args: list[str], exit_code: int, error: str) -> None:
    monitor = RunMonitor(command, _given(command, args, "on_end"), _given(command, args, "metrics"), SystemdNotifier({}))
    monitor.error = error
    monitor.close(exit_code)


def _given(command: str, args: list[str], name: str) -> str | None:
    """Returns the value of an option whose command line can't be parsed: as it stands there, or else in the settings."""
    option = "--" + name.replace("_", "-")
    for place, argument in enumerate(args):
        if argument == option and place + 1 < len(args):
            return args[place + 1] or None
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2] or None
    with contextlib.suppress(ConfigurationError, KeyError):
        value: str | None = resolve({}, current_file()).value(f"{command}.{name}")
        return value
    return None


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM an exit with 143 meanwhile, also before and after the work, which handles it by itself."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before: Any = None
    # Only the main thread may set handlers.
    with contextlib.suppress(ValueError):
        if signal.getsignal(signal.SIGTERM) not in {signal.SIG_IGN, None}:
            before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)

"""`--on-end`: a command of the user's that is run when a run has ended, for a message to a person or a program that watches."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any, Final

from .output import warn
from .signals import set_handlers

__all__ = ["MOST", "HeldSignals", "run_on_end"]

MOST: Final = 30.0
"""Seconds that the command may take."""

_AFTER_TERMINATE: Final = 3.0
"""Seconds from SIGTERM to SIGKILL."""

_OF_SYSTEMD: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class _Stopped(Exception):  # noqa: N818 - no error: somebody pressed Ctrl-C
    """A signal came while the command was running."""


class HeldSignals:
    """Holds SIGINT and SIGTERM back while it is entered, except `waiting`; a signal that the process ignores stays ignored."""

    def __init__(self) -> None:
        self._has_come = False
        self._is_waiting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> HeldSignals:
        set_handlers(self._take, self._before)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Raises `_Stopped` for a signal that comes meanwhile, or has come: never while the process is being started."""
        self._is_waiting = True
        try:
            if self._has_come:
                raise _Stopped
            yield
        finally:
            self._is_waiting = False

    def _take(self, _: int, __: FrameType | None) -> None:
        self._has_come = True
        if self._is_waiting:
            raise _Stopped


def run_on_end(command: str, report: bytes, variables: Mapping[str, str], *, most: float = MOST) -> None:
    """Runs the command in a shell. Whatever goes wrong is said in one line on standard error, and nothing is raised.

    Args:
        command: as a shell takes it.
        report: JSON, for its standard input.
        variables: are added to its environment.
        most: seconds that it may take; then it is ended, with all that it has started.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_SYSTEMD} | dict(variables)
    output = _standard_error()
    try:
        with HeldSignals() as signals:
            # In a shell, as cron runs its lines: it is the user's own, from the command line or the settings.
            process = subprocess.Popen(  # noqa: S602
                command,
                shell=True,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                # A group of its own: what the command has started is ended with it.
                start_new_session=True,
            )
            trouble = _finish(process, report, most, signals)
    except (OSError, ValueError) as exc:
        trouble = f"can't be run: {getattr(exc, 'strerror', None) or 'it holds a NUL'}"
    if trouble is not None:
        warn(f"--on-end: the command {trouble}")


def _finish(process: subprocess.Popen[bytes], report: bytes, most: float, signals: HeldSignals) -> str | None:
    """Waits for the process, and returns what went wrong."""
    try:
        with signals.waiting():
            process.communicate(report, timeout=most)
    except _Stopped:
        return "was stopped by a signal"
    except subprocess.TimeoutExpired:
        return f"was stopped: it did not end within {most:g} s"
    finally:
        if process.returncode is None:
            _end(process)
    code = process.wait()
    if code < 0:
        return f"was killed by signal {-code}"
    return f"failed with exit code {code}" if code else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all that it has started: first by SIGTERM, then by SIGKILL."""
    for force in (False, True):
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
            elif force:  # pragma: no cover - Windows
                process.kill()
            else:  # pragma: no cover - Windows
                process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_AFTER_TERMINATE)
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _standard_error() -> int:
    """Returns where the output of the command goes: the standard output is for the report alone."""
    try:
        number = sys.stderr.fileno()
        os.fstat(number)
    except (AttributeError, OSError, ValueError):
        # There is none, or a program that calls the commands has replaced it.
        return subprocess.DEVNULL
    return subprocess.DEVNULL if _is_dead(number) else number


def _is_dead(number: int) -> bool:
    """Tells whether nothing can be written to it: the first line of output would end the command before it has done its work."""
    if not hasattr(select, "poll"):  # pragma: no cover - Windows
        return False
    import fcntl  # noqa: PLC0415 - not on every system

    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        # It stands for one that was closed.
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))

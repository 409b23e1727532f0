"""SIGINT and SIGTERM while a command works: the first stops it gracefully, the next at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType, TracebackType
from typing import Any, Final, Literal

from ..errors import InterruptedRunError

__all__ = ["SignalHandler", "set_handlers"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR: Final = b"\x1b[?25h\n"


class SignalHandler:
    """Handles the signals while it is entered. A signal that the process ignores (as a background job of a script does) stays ignored.

    Before the work begins and after it has ended, a signal goes to the handler that was there before. The first signal meanwhile cancels
    the work, which may take some time to end gracefully. The second one ends the process at once: with a
    journal, everything that matters is on disk. Without one, what is in flight would be lost, so the second signal cuts it off, the
    outcome of each record is still reported, and only the third signal ends the process.

    Args:
        durable: whether a journal records what the command does.

    Attributes:
        code: exit code for the last signal, 130 or 143; 0 where there was none.
        is_durable: whether a journal records what the command does.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.code = 0
        self.is_durable = durable
        self._left = 1 if durable else 2
        self._stage: Literal["outside", "starting", "begun"] = "outside"
        self._is_cancelled = False
        self._cancel: Callable[[], object] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> SignalHandler:
        set_handlers(self._take, self._before)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the work in an event loop of its own.

        Args:
            work: what is done.

        Raises:
            InterruptedRunError: a signal ended it.
        """

        async def main() -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            # The handler may interrupt any code, so the loop cancels the task between two steps.
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            self._stage = "begun"
            if self._is_cancelled:
                task.cancel()
            try:
                await work
            finally:
                self._cancel = None

        self._stage = "starting"
        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            raise InterruptedRunError from None
        finally:
            self._stage = "outside"

    def _take(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number)
        if self._stage == "outside" and self._left and callable(before):
            before(number, frame)
            return
        if self._stage == "begun" and self._left and self._cancel is None:
            # The work has ended, and the event loop is being closed.
            self._left -= 1
            return
        self.code = 128 + number
        if not self._left or self._stage == "outside":
            _end_at_once(self.code)
        self._left -= 1
        if self._cancel is not None:
            self._cancel()
        else:
            # The event loop is being made: the work is cancelled as soon as it begins.
            self._is_cancelled = True


def set_handlers(take: Callable[[int, FrameType | None], None], before: dict[int, Any]) -> None:
    """Makes a function the handler of SIGINT and SIGTERM; a signal that the process ignores stays ignored.

    Args:
        take: the handler.
        before: gets the handlers that were there before, by the number of the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        # No other thread may set handlers.
        return
    for number in _SIGNALS:
        if (handler := signal.getsignal(number)) not in {signal.SIG_IGN, None}:
            # Kept first: a signal may come as soon as the handler is set.
            before[number] = handler
            signal.signal(number, take)


def _end_at_once(code: int) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            # The bar hides it.
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(code)

"""One thread that does all work on a journal. Work that is waiting at the same time is committed together.

There are two queues. Urgent work, which a batch waits for while it occupies a slot, runs first and is on the disk when it is done. Other
work runs in between, in order; it is on the disk with the next urgent commit, or at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Any, Final, NamedTuple, TypeVar

from ..errors import ArmError
from .file import broken
from .guard import FileGuard

__all__ = ["SqliteWorker"]

ResultT = TypeVar("ResultT")

_TOGETHER: Final = 1_000_000
"""Most bytes in one commit of work that is not urgent: urgent work waits for no more than that."""


class _Work(NamedTuple):
    """One piece of work: the function, the future that waits for it, the bytes it writes, and whether it runs outside a transaction."""

    do: Callable[[sqlite3.Connection], Any]
    waiting: asyncio.Future[Any] | None
    size: int = 0
    alone: bool = False


class SqliteWorker:
    """Does work on a connection that no other thread uses.

    A failure of the disk or of SQLite is final, and so is a file that was removed or replaced: the current transaction is rolled back, and
    all later work is refused.

    Args:
        path: of the file, for error messages.
        open: opens the connection; called with the `FileGuard` to use as `guard`.
        closed: called in the thread once the connection is closed, for whatever reason.
        word: what error messages call the file.
        committed: called in the thread after each commit, before the callers learn of it.

    Attributes:
        failure: what made the file unusable, or None: a `JournalError`, or the error that the work raised.
    """

    def __init__(
        self,
        path: str,
        open: Callable[..., sqlite3.Connection],
        closed: Callable[[], None],
        word: str,
        *,
        committed: Callable[[sqlite3.Connection, FileGuard], None] | None = None,
    ) -> None:
        self.failure: ArmError | None = None
        self._word = word
        self._path = path
        self._open = open
        self._guard = FileGuard(path, word)
        self._closed = closed
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._urgent: deque[_Work] = deque()
        self._rest: deque[_Work] = deque()
        self._finishing = False
        # Each statement costs a turn at the GIL, for which a busy event loop can make it wait for some milliseconds.
        self._is_durable: bool | None = None
        self._changed = Condition()
        self._started = self._loop.create_future()
        # A caller that is cancelled during the opening never retrieves the result: mark it as retrieved.
        self._started.add_done_callback(lambda started: started.cancelled() or started.exception())
        self._ended = self._loop.create_future()
        # A daemon thread: a process must not hang on it after its event loop is gone. What counts is committed by then.
        self._thread = Thread(target=self._run, name="amili-arm-journal", daemon=True)

    async def start(self) -> None:
        """Starts the thread and opens the file.

        Raises:
            JournalError: it can't be used.
        """
        self._thread.start()
        await asyncio.shield(self._started)

    @property
    def backlog(self) -> int:
        """The number of pieces of work that wait."""
        return len(self._urgent) + len(self._rest)

    def put(self, do: Callable[[sqlite3.Connection], Any], *, size: int = 0) -> None:
        """Queues work after all earlier work, without waiting for it.

        Args:
            do: called in the thread with the connection, within a transaction.
            size: bytes that it writes, about.
        """
        self._add(self._rest, _Work(do, None, size))

    def put_urgent(self, do: Callable[[sqlite3.Connection], Any]) -> None:
        """Queues work before all work that is not urgent, without waiting for it.

        Args:
            do: called in the thread with the connection, within a transaction.
        """
        self._add(self._urgent, _Work(do, None))

    async def call(self, do: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Does work after all earlier work and waits for it. Cancelling the wait does not undo the work.

        Args:
            do: called in the thread with the connection, within a transaction.

        Returns:
            What `do` returned.

        Raises:
            JournalError: the file can't be used any more.
            ArmError: `do` raised it.
        """
        return await self._ask(self._rest, do)

    async def call_alone(self, do: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Works like `call`, but outside a transaction, so that other processes can write meanwhile.

        Args:
            do: called in the thread with the connection.

        Returns:
            What `do` returned.

        Raises:
            JournalError: the file can't be used any more.
            ArmError: `do` raised it.
        """
        return await self._ask(self._rest, do, alone=True)

    async def call_urgent(self, do: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Does work before all work that is not urgent, and waits until it is on the disk.

        Args:
            do: called in the thread with the connection, within a transaction.

        Returns:
            What `do` returned.

        Raises:
            JournalError: the file can't be used any more.
            ArmError: `do` raised it.
        """
        return await self._ask(self._urgent, do)

    async def _ask(self, line: deque[_Work], do: Callable[[sqlite3.Connection], ResultT], *, alone: bool = False) -> ResultT:
        if self.failure is not None:
            raise self.failure
        waiting: asyncio.Future[ResultT] = self._loop.create_future()
        self._add(line, _Work(do, waiting, alone=alone))
        return await waiting

    def _add(self, line: deque[_Work], work: _Work) -> None:
        with self._changed:
            line.append(work)
            self._changed.notify()

    def finish(self) -> None:
        """Makes the thread do the remaining work, close the file and end. Does not wait for that."""
        with self._changed:
            self._finishing = True
            self._changed.notify()

    async def wait_closed(self) -> None:
        """Waits until the file is closed."""
        await asyncio.shield(self._ended)

    # --- in the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            connection = self._open(guard=self._guard)
        except Exception as exc:  # whatever it is, the caller must get it
            error = exc if isinstance(exc, ArmError) else broken(self._path, exc, self._word)
            self.failure = error
            self._notify(self._started.set_exception, error)
            self._notify(self._ended.set_result, None)
            return
        self._notify(self._started.set_result, None)
        while (chosen := self._next()) is not None:
            self._do(*chosen, connection)
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        self._closed()
        self._notify(self._ended.set_result, None)

    def _next(self) -> tuple[bool, list[_Work]] | None:
        """Returns the work to do next in one transaction, and whether it must be durable afterwards; None at the end."""
        with self._changed:
            while not self._urgent and not self._rest and not self._finishing:
                self._changed.wait()
            if self._urgent:
                works = list(self._urgent)
                self._urgent.clear()
                return True, works
            works, size = [], 0
            while self._rest and size < _TOGETHER and not (works and (works[-1].alone or self._rest[0].alone)):
                works.append(self._rest.popleft())
                size += works[-1].size
            return (self._finishing, works) if works else None

    def _do(self, durable: bool, works: list[_Work], connection: sqlite3.Connection) -> None:
        results: list[Any] = []
        try:
            if self.failure is not None:
                raise self.failure
            if durable is not self._is_durable:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._is_durable = durable
            if not works[0].alone:
                connection.execute("BEGIN IMMEDIATE")
            results = [work.do(connection) for work in works]
            if not works[0].alone:
                connection.execute("COMMIT")
            # A commit to a file that was removed or replaced is lost.
            self._guard.check()
            if self._committed is not None:
                self._committed(connection, self._guard)
        except Exception as exc:  # whatever it is, the thread must go on: callers are waiting
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self.failure = exc if isinstance(exc, ArmError) else broken(self._path, exc, self._word)
        if any(work.waiting is not None for work in works):
            self._notify(self._answer, works, results, self.failure)

    def _notify(self, what: Callable[..., object], *arguments: Any) -> None:
        # A closed loop has no callers left.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *arguments)

    @staticmethod
    def _answer(works: list[_Work], results: list[Any], failure: ArmError | None) -> None:
        for place, work in enumerate(works):
            if work.waiting is None or work.waiting.done():
                continue
            if failure is not None:
                work.waiting.set_exception(failure)
            else:
                work.waiting.set_result(results[place])

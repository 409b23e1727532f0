"""One thread that does all work on a journal, in the order in which it was asked for; what waits together is committed together."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
from collections.abc import Callable
from threading import Thread
from typing import Any, Final, NamedTuple, TypeVar

from ...errors import ArmError, JournalError
from .files import broken

__all__ = ["JournalThread"]

ResultT = TypeVar("ResultT")

_MOST_TOGETHER: Final = 64


class _Work(NamedTuple):
    """What is to be done, and who waits for it."""

    do: Callable[[sqlite3.Connection], Any]
    waiting: asyncio.Future[Any] | None


class JournalThread:
    """Does work on a connection that only it uses.

    A failure of the disk or of SQLite is final: what was under way is rolled back, and from then on all work is refused.

    Args:
        path: of the journal, for errors.
        open: makes the connection.
        closed: called in the thread when the connection is closed, however that came.

    Attributes:
        failure: what made the journal unusable, or None; a `JournalError`, or what the work itself refused.
    """

    def __init__(self, path: str, open: Callable[[], sqlite3.Connection], closed: Callable[[], None]) -> None:
        self.failure: ArmError | None = None
        self._path = path
        self._open = open
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._started = self._loop.create_future()
        self._ended = self._loop.create_future()
        # A daemon: a process whose loop was torn down must not hang on it. Nothing is lost by that, what counts is committed.
        self._thread = Thread(target=self._run, name="amili-arm-journal", daemon=True)

    async def start(self) -> None:
        """Opens the journal.

        Raises:
            JournalError: it can't be used.
        """
        self._thread.start()
        await asyncio.shield(self._started)

    @property
    def backlog(self) -> int:
        """How much is still to be done."""
        return self._queue.qsize()

    def put(self, do: Callable[[sqlite3.Connection], Any]) -> None:
        """Does something soon; nobody waits for it."""
        self._queue.put(_Work(do, None))

    async def call(self, do: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Does something, and gives what it gave when it is committed. Cancelling takes nothing back.

        Raises:
            JournalError: the journal can't be used any more, or `do` says so.
        """
        if self.failure is not None:
            raise self.failure
        waiting: asyncio.Future[ResultT] = self._loop.create_future()
        self._queue.put(_Work(do, waiting))
        return await waiting

    def finish(self) -> None:
        """Does what is left, and closes the journal, whether anybody waits for it or not."""
        self._queue.put(None)

    async def wait_closed(self) -> None:
        """Waits until it is closed."""
        await asyncio.shield(self._ended)

    # --- in the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            connection = self._open()
        except JournalError as failure:
            self.failure = failure
            self._tell(self._started.set_exception, failure)
            self._tell(self._ended.set_result, None)
            return
        self._tell(self._started.set_result, None)
        going = True
        while going:
            works = self._next()
            going = works[-1] is not None
            self._do([work for work in works if work is not None], connection)
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        self._closed()
        self._tell(self._ended.set_result, None)

    def _next(self) -> list[_Work | None]:
        """What waits: one thing at least, and all that is there with it; None is the end."""
        works = [self._queue.get()]
        while works[-1] is not None and len(works) < _MOST_TOGETHER:
            try:
                works.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return works

    def _do(self, works: list[_Work], connection: sqlite3.Connection) -> None:
        if not works:
            return
        results: list[Any] = []
        try:
            if self.failure is not None:
                raise self.failure
            connection.execute("BEGIN IMMEDIATE")
            results = [work.do(connection) for work in works]
            connection.execute("COMMIT")
        except Exception as failure:  # whatever it is, the thread must go on to tell those who wait
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self.failure = failure if isinstance(failure, ArmError) else broken(self._path, failure)
        self._tell(self._answer, works, results, self.failure)

    def _tell(self, what: Callable[..., object], *arguments: Any) -> None:
        # A loop that is closed has nobody left to be told.
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

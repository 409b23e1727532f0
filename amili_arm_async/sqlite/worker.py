"""One thread that does all work on a journal; what waits together is committed together.

There are two lines. What is urgent, because a batch waits for it with its place on the wire, is done first and is on the disk when it is
done. The rest is done in between, in its own order, and is on the disk with the next urgent commit, or at the end.
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
"""Bytes that are written in one commit at the most: what is urgent waits for no more than that."""


class _Work(NamedTuple):
    """What is to be done, who waits for it, how many bytes it writes, and whether it is done outside of a transaction."""

    do: Callable[[sqlite3.Connection], Any]
    waiting: asyncio.Future[Any] | None
    size: int = 0
    alone: bool = False


class SqliteWorker:
    """Does work on a connection that only it uses.

    A failure of the disk or of SQLite is final, and so is a file that is not at its path any more: what was under way is rolled back, and
    from then on all work is refused.

    Args:
        path: of the journal, for errors.
        open: makes the connection, and tells the guard that it is given of the files.
        closed: called in the thread when the connection is closed, however that came.
        word: what the file is called, for errors.
        committed: called in the thread after each commit, before anybody is told of it.

    Attributes:
        failure: what made the journal unusable, or None; a `JournalError`, or what the work itself refused.
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
        self._changed = Condition()
        self._started = self._loop.create_future()
        # Whoever is cancelled while it opens does not ask any more how that ended.
        self._started.add_done_callback(lambda started: started.cancelled() or started.exception())
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
        return len(self._urgent) + len(self._rest)

    def put(self, do: Callable[[sqlite3.Connection], Any], *, size: int = 0) -> None:
        """Does something soon, after what was put before it; nobody waits for it."""
        self._add(self._rest, _Work(do, None, size))

    def put_urgent(self, do: Callable[[sqlite3.Connection], Any]) -> None:
        """Does something before all that is not urgent; nobody waits for it."""
        self._add(self._urgent, _Work(do, None))

    async def call(self, do: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Does something after what was put before it, and gives what it gave. Cancelling takes nothing back.

        Raises:
            JournalError: the journal can't be used any more, or `do` says so.
        """
        return await self._ask(self._rest, do)

    async def call_alone(self, do: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """As `call`, but outside of a transaction: nobody else is kept from writing while it lasts.

        Raises:
            JournalError: the journal can't be used any more, or `do` says so.
        """
        return await self._ask(self._rest, do, alone=True)

    async def call_urgent(self, do: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Does something before all that is not urgent; on the disk when it returns.

        Raises:
            JournalError: the journal can't be used any more.
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
        """Does what is left, and closes the journal, whether anybody waits for it or not."""
        with self._changed:
            self._finishing = True
            self._changed.notify()

    async def wait_closed(self) -> None:
        """Waits until it is closed."""
        await asyncio.shield(self._ended)

    # --- in the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            connection = self._open(guard=self._guard)
        except Exception as exc:  # whatever it is, the one who waits must be told
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
        """What is done next, together, and whether it must be on the disk then; None at the end."""
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
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            if not works[0].alone:
                connection.execute("BEGIN IMMEDIATE")
            results = [work.do(connection) for work in works]
            if not works[0].alone:
                connection.execute("COMMIT")
            # What was written to a file that nobody will find again is not written.
            self._guard.check()
            if self._committed is not None:
                self._committed(connection, self._guard)
        except Exception as exc:  # whatever it is, the thread must go on to tell those who wait
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self.failure = exc if isinstance(exc, ArmError) else broken(self._path, exc, self._word)
        if any(work.waiting is not None for work in works):
            self._notify(self._answer, works, results, self.failure)

    def _notify(self, what: Callable[..., object], *arguments: Any) -> None:
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

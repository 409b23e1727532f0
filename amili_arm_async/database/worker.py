"""One thread that does all work on a database or a file of one. Work that is waiting at the same time is committed together.

There are two queues. Urgent work, which a batch waits for while it occupies a slot, runs first and is on the disk when it is done. Other
work runs in between, in order; it is on the disk with the next urgent commit, or at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Any, Final, NamedTuple, TypeVar

from ..errors import ArmError

__all__ = ["DatabaseWorker", "Work"]

ResultT = TypeVar("ResultT")

_TOGETHER: Final = 1_000_000
"""Most bytes in one commit of work that is not urgent: urgent work waits for no more than that."""


class Work(NamedTuple):
    """One piece of work: the function, the future that waits for it, the bytes it writes, and whether it runs outside a transaction."""

    do: Callable[[Any], Any]
    waiting: asyncio.Future[Any] | None
    size: int = 0
    alone: bool = False


class DatabaseWorker:
    """Does work on a connection that no other thread uses.

    A failure of the database is final: the current transaction is rolled back, and all later work is refused.

    Args:
        closed: called in the thread once the connection is closed, for whatever reason.

    Attributes:
        failure: what made the database unusable, or None: a `JournalError`, or the error that the work raised.
    """

    idle: float | None = None
    """Seconds without work after which `_beat` is called; None: never."""

    may_be_lost: bool = False
    """Whether another process may own by now what this one writes: it must be asked before anything is sent."""

    along: int = 0
    """Most bytes of other work that is committed together with urgent work, where a commit costs more than that."""

    def __init__(self, closed: Callable[[], None]) -> None:
        self.failure: ArmError | None = None
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._urgent: deque[Work] = deque()
        self._rest: deque[Work] = deque()
        self._finishing = False
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

    def put(self, do: Callable[[Any], Any], *, size: int = 0) -> None:
        """Queues work after all earlier work, without waiting for it.

        Args:
            do: called in the thread with the connection, within a transaction.
            size: bytes that it writes, about.
        """
        self._add(self._rest, Work(do, None, size))

    def put_urgent(self, do: Callable[[Any], Any]) -> None:
        """Queues work before all work that is not urgent, without waiting for it.

        Args:
            do: called in the thread with the connection, within a transaction.
        """
        self._add(self._urgent, Work(do, None))

    async def call(self, do: Callable[[Any], ResultT]) -> ResultT:
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

    async def call_alone(self, do: Callable[[Any], ResultT]) -> ResultT:
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

    async def call_urgent(self, do: Callable[[Any], ResultT]) -> ResultT:
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

    async def _ask(self, line: deque[Work], do: Callable[[Any], ResultT], *, alone: bool = False) -> ResultT:
        if self.failure is not None:
            raise self.failure
        waiting: asyncio.Future[ResultT] = self._loop.create_future()
        self._add(line, Work(do, waiting, alone=alone))
        return await waiting

    def _add(self, line: deque[Work], work: Work) -> None:
        with self._changed:
            line.append(work)
            self._changed.notify()

    def finish(self) -> None:
        """Makes the thread do the remaining work, close the file and end. Does not wait for that."""
        with self._changed:
            self._finishing = True
            self._changed.notify()

    async def close(self) -> None:
        """Does the remaining work, and waits until the file is closed. Cancelling the wait does not keep it open."""
        self.finish()
        await asyncio.shield(self._ended)

    # --- in the thread ----------------------------------------------------------------------------------------------------

    def _connect(self) -> Any:
        """Opens the connection."""
        raise NotImplementedError

    def _disconnect(self, connection: Any) -> None:
        """Closes the connection; never raises."""
        raise NotImplementedError

    def _error(self, failure: Exception) -> ArmError:
        """Returns the error that callers get for whatever was raised."""
        raise NotImplementedError

    def _transact(self, durable: bool, works: list[Work], connection: Any) -> list[Any]:
        """Does work in one transaction, or outside of one; returns what it returned.

        Args:
            durable: whether it must be on the disk afterwards.
            works: the work.
            connection: the connection.

        Returns:
            By work, what it returned.
        """
        raise NotImplementedError

    def _beat(self, connection: Any) -> None:
        """Called where there was no work for `idle` seconds."""

    def _run(self) -> None:
        try:
            connection = self._connect()
        except Exception as exc:  # whatever it is, the caller must get it
            error = self._error(exc)
            self.failure = error
            self._notify(self._started.set_exception, error)
            self._notify(self._ended.set_result, None)
            return
        self._notify(self._started.set_result, None)
        while (chosen := self._next()) is not None:
            self._do(*chosen, connection)
        self._disconnect(connection)
        self._closed()
        self._notify(self._ended.set_result, None)

    def _next(self) -> tuple[bool, list[Work]] | None:
        """Returns the work to do next in one transaction, and whether it must be durable afterwards; None at the end."""
        with self._changed:
            while not self._urgent and not self._rest and not self._finishing:
                if not self._changed.wait(self.idle):
                    return False, []
            if self._urgent:
                works = list(self._urgent)
                self._urgent.clear()
                return True, works + self._some_of_the_rest(self.along, is_first=False)
            works = self._some_of_the_rest(_TOGETHER, is_first=True)
            return (self._finishing, works) if works else None

    def _some_of_the_rest(self, most: int, *, is_first: bool) -> list[Work]:
        """Returns work that is not urgent, of so many bytes; where it is the first of a transaction, one piece in any case."""
        works: list[Work] = []
        size = 0
        while self._rest and size < most:
            work, is_alone = self._rest[0], is_first and not works
            if (work.alone or size + work.size > most) and not is_alone:
                break
            works.append(self._rest.popleft())
            size += work.size
            if work.alone:
                break
        return works

    def _do(self, durable: bool, works: list[Work], connection: Any) -> None:
        results: list[Any] = []
        try:
            if self.failure is not None:
                raise self.failure
            if works:
                results = self._transact(durable, works, connection)
            else:
                self._beat(connection)
        except Exception as exc:  # whatever it is, the thread must go on: callers are waiting
            self.failure = self._error(exc)
        if any(work.waiting is not None for work in works):
            self._notify(self._answer, works, results, self.failure)

    def _notify(self, what: Callable[..., object], *arguments: Any) -> None:
        # A closed loop has no callers left.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *arguments)

    @staticmethod
    def _answer(works: list[Work], results: list[Any], failure: ArmError | None) -> None:
        for place, work in enumerate(works):
            if work.waiting is None or work.waiting.done():
                continue
            if failure is not None:
                work.waiting.set_exception(failure)
            else:
                work.waiting.set_result(results[place])

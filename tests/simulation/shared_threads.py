"""Threads of simulated processes: real ones, of which one runs at a time, until it waits; an event of the world wakes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from .world import Process, World

__all__ = ["SimThread", "Threads"]

_SOON = 0.0005
"""Seconds until a thread goes on that was woken, at the most."""


class _OverError(BaseException):
    """The world is over: a thread that waits ends."""


class Threads:
    """All threads of one world.

    Attributes:
        current: the one that runs now, or None.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.current: SimThread | None = None
        self.alive: list[SimThread] = []
        self._rng = world.stream("threads")
        self._returned = threading.Lock()
        self._returned.acquire()
        self._failure: BaseException | None = None

    def soon(self) -> float:
        """How long it takes until a thread goes on."""
        return self._rng.random() * _SOON

    def of(self, process: Process) -> int:
        """How many threads of a process have not ended."""
        return sum(thread.process is process for thread in self.alive)

    def go_on(self, thread: SimThread) -> None:
        """Lets a thread run until it waits, or has ended."""
        self.current = thread
        thread.wakes.release()
        self._returned.acquire()
        self.current = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def returned(self, failure: BaseException | None = None) -> None:
        """The thread that runs waits now, or has ended."""
        self._failure = failure
        self._returned.release()

    def end(self) -> None:
        """Ends all of them, also those of dead processes: nothing of them reaches the world any more."""
        for thread in list(self.alive):
            thread.is_over = True
            self.go_on(thread)

    # --- what the library finds in place of `threading` and `anyio.to_thread` ---------------------------------------------------

    def thread(self, target: Callable[[], object], name: str = "", daemon: bool = True) -> SimThread:
        """In place of `threading.Thread`."""
        assert self.world.current is not None
        return SimThread(self, target, self.world.current)

    def condition(self) -> _Condition:
        """In place of `threading.Condition`."""
        return _Condition(self)

    def event(self) -> _Event:
        """In place of `threading.Event`."""
        return _Event(self)

    def lock(self) -> _Lock:
        """In place of `threading.Lock`."""
        return _Lock(self)

    async def run_sync(self, function: Callable[..., Any], *arguments: Any, abandon_on_cancel: bool = False, **_: Any) -> Any:
        """In place of `anyio.to_thread.run_sync`."""
        process = self.world.current
        assert process is not None
        loop = process.loop
        answer = loop.create_future()

        def do() -> None:
            try:
                result = function(*arguments)
            except Exception as exc:  # it is for whoever waits
                loop.call_soon_threadsafe(_answer, answer, partial(answer.set_exception, exc))
            else:
                loop.call_soon_threadsafe(_answer, answer, partial(answer.set_result, result))

        SimThread(self, do, process).start()
        with anyio.CancelScope(shield=not abandon_on_cancel):
            return await answer


def _answer(future: Any, answer: Callable[[], None]) -> None:
    if not future.cancelled():
        answer()


class SimThread:
    """One thread of a process: it dies with the process, and is frozen with it.

    Attributes:
        process: whose it is.
        wakes: what it waits for while it does not run.
        is_over: whether its world is.
    """

    def __init__(self, threads: Threads, target: Callable[[], object], process: Process) -> None:
        self.process = process
        self.wakes = threading.Lock()
        self.wakes.acquire()
        self.is_over = False
        self._threads = threads
        self._target = target
        self._waits = 0
        self._is_waiting = self._is_woken = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Starts it."""
        self._threads.alive.append(self)
        self._thread.start()
        self._is_waiting = True
        self.wake()

    def _run(self) -> None:
        self.wakes.acquire()
        failure = None
        try:
            if not self.is_over:
                self._target()
        except _OverError:
            pass
        except BaseException as exc:
            failure = None if self.is_over else exc
        self._threads.alive.remove(self)
        self._threads.returned(failure)

    def wait(self, seconds: float | None) -> bool:
        """Waits; called in the thread.

        Args:
            seconds: how long at the most; None: until it is woken.

        Returns:
            Whether it was woken.
        """
        if self.is_over:
            raise _OverError
        self._waits += 1
        self._is_waiting, self._is_woken = True, False
        if seconds is not None:
            self._threads.world.after(seconds, partial(self._go_on, self._waits, is_woken=False), self.process)
        self._threads.returned()
        self.wakes.acquire()
        if self.is_over:
            raise _OverError
        return self._is_woken

    def wake(self, seconds: float | None = None) -> None:
        """Wakes it in some time; nothing happens if it does not wait any more by then."""
        delay = self._threads.soon() if seconds is None else seconds
        self._threads.world.after(delay, partial(self._go_on, self._waits, is_woken=True), self.process)

    def _go_on(self, wait: int, *, is_woken: bool) -> None:
        if self._is_waiting and wait == self._waits:
            self._is_waiting, self._is_woken = False, is_woken
            self._threads.go_on(self)


class _Waiters:
    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._waiting: list[SimThread] = []

    def _wait(self, seconds: float | None) -> bool:
        thread = self._threads.current
        assert thread is not None
        self._waiting.append(thread)
        try:
            return thread.wait(seconds)
        finally:
            self._waiting.remove(thread)

    def _wake(self) -> None:
        for thread in self._waiting:
            thread.wake()


class _Condition(_Waiters):
    def __enter__(self) -> None:
        # Of all threads one runs, and it waits nowhere else.
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, seconds: float | None = None) -> bool:
        return self._wait(seconds)

    def notify(self) -> None:
        self._wake()


class _Event(_Waiters):
    def __init__(self, threads: Threads) -> None:
        super().__init__(threads)
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        self._wake()

    def wait(self, seconds: float | None = None) -> bool:
        if not self._is_set:
            self._wait(seconds)
        return self._is_set


class _Lock(_Waiters):
    def __init__(self, threads: Threads) -> None:
        super().__init__(threads)
        self._is_held = False

    def acquire(self, blocking: bool = True) -> bool:
        while self._is_held:
            if not blocking:
                return False
            self._wait(None)
        self._is_held = True
        return True

    def release(self) -> None:
        self._is_held = False
        self._wake()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

"""The event loop that serves a sandbox, in this thread or in one of its own, and the way into it from other threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

__all__ = ["LoopThread", "ServingLoop", "on_server"]

P = ParamSpec("P")
T = TypeVar("T")

_ALIVE: Final = 1.0
"""Seconds after which a thread that waits for the loop looks whether it is still there."""


class ServingLoop:
    """A loop that serves sandboxes, and the thread in which it runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ident: int | None = threading.get_ident()
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether the caller is in the thread of the loop."""
        return threading.get_ident() == self._ident and not self.is_foreign

    @property
    def is_foreign(self) -> bool:
        """Whether this process was forked from the one whose loop it is."""
        return os.getpid() != self._pid

    def call(self, function: Callable[[], T]) -> T:
        """Returns what a function returns that runs between two steps of the loop."""
        if self.is_here:
            return function()
        return self.wait(self.submit(_coroutine(function)))

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Runs a coroutine in the loop, from another thread."""
        if self.is_foreign or self._loop.is_closed():
            coroutine.close()
            raise RuntimeError(
                "the sandbox runs in the process that this one was forked from: its addresses work here, but look at it there"
                if self.is_foreign
                else "the sandbox is not running: its event loop is closed"
            )
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def wait(self, future: concurrent.futures.Future[T]) -> T:
        """Returns the result of what was submitted, or raises if the loop ends before it."""
        while not concurrent.futures.wait([future], timeout=_ALIVE).done:
            if self._loop.is_closed():
                future.cancel()
                raise RuntimeError("the sandbox was closed while it was asked")
        return future.result()

    def finish(self, make: Callable[[], Coroutine[Any, Any, None]]) -> Awaitable[None]:
        """Does what takes its time: where a loop runs, the result is to be awaited; elsewhere it is done when this returns."""
        if self.is_here:
            return make()
        future = self.submit(make())
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.wait(future)
            return _Done()
        return asyncio.wrap_future(future)


class LoopThread(ServingLoop):
    """A loop in a thread of its own. It stands still while the process forks, so that a child inherits no lock that it holds."""

    def __init__(self) -> None:
        # Not the loop of the policy: what serves does not depend on what is tested.
        super().__init__(asyncio.SelectorEventLoop())
        self._thread: threading.Thread | None = None
        self.resume()
        _THREADS.add(self)

    def resume(self) -> None:
        """Lets the loop run."""
        if self._thread is None and not self.is_foreign and not self._loop.is_closed():
            started = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(started,), name="amili-arm-sandbox", daemon=True)
            self._thread.start()
            started.wait()

    def pause(self) -> None:
        """Lets the loop stand still, and ends the thread."""
        thread = self._thread
        if thread is not None and not self.is_here:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._thread = self._ident = None

    def close(self) -> None:
        """Ends every task, the loop and the thread."""
        if self.is_foreign or self._loop.is_closed():
            return
        self.wait(self.submit(self._end_tasks()))
        self.pause()
        self._loop.close()
        _THREADS.discard(self)

    def _run(self, started: threading.Event) -> None:
        self._ident = threading.get_ident()
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(started.set)
        self._loop.run_forever()

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


_THREADS: Final[weakref.WeakSet[LoopThread]] = weakref.WeakSet()


def _pause_all() -> None:
    for thread in list(_THREADS):
        thread.pause()


def _resume_all() -> None:
    for thread in list(_THREADS):
        thread.resume()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_pause_all, after_in_parent=_resume_all)


class _Done:
    """What is done already, and may be awaited all the same."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


async def _coroutine(function: Callable[[], T]) -> T:
    return function()


class _Served(Protocol):
    """What belongs to a sandbox."""

    def _call(self, function: Callable[[], T], /) -> T: ...


S = TypeVar("S", bound=_Served)


def on_server(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Makes a method run in the thread that serves, whichever thread calls it: nothing else touches what a sandbox holds."""

    @functools.wraps(method)
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._call(functools.partial(method, self, *args, **kwargs))

    return run

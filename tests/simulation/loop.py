"""The event loop of a simulated process: asyncio's own, with the clock, the network and the threads of the world."""

from __future__ import annotations

import asyncio
import heapq
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .world import Process, World

__all__ = ["SimLoop", "SimTask"]

_SECOND = 1_000_000_000


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number: anyio cancels the tasks of a set in the order of the set."""

    def __init__(self, *arguments: Any, number: int, **settings: Any) -> None:
        self._number = number
        super().__init__(*arguments, **settings)
        # Not in the set of all tasks of the program, where those of other loops have the same numbers.
        asyncio._unregister_task(self)

    def __hash__(self) -> int:
        return self._number


class SimLoop(asyncio.BaseEventLoop):
    """An event loop that is stepped by the world, and never waits."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._world = world
        self._process = process
        self._clock_resolution = 0.0
        self.made: list[SimTask] = []
        # Of a killed process nobody hears anything any more.
        self.set_exception_handler(lambda *_: None)
        self.set_task_factory(self._make_task)

    def _make_task(self, loop: Any, coro: Any, **settings: Any) -> SimTask:
        task = SimTask(coro, loop=loop, number=len(self.made) + 1, **settings)
        self.made.append(task)
        return task

    def time(self) -> float:
        """The seconds since the beginning of the world."""
        return self._world.now / _SECOND

    # --- stepping -----------------------------------------------------------------------------------------------------------

    def next_timer(self) -> int | None:
        """The time of the next timer in nanoseconds, or None."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        return round(scheduled[0]._when * _SECOND) if scheduled else None

    def call_at(self, when: float, callback: Callable[..., object], *arguments: Any, context: Any = None) -> asyncio.TimerHandle:
        """Sets a timer, in whole nanoseconds and always after now: else who sleeps the rest of a second would sleep for ever."""
        nanoseconds = max(-int(-when * _SECOND // 1), self._world.now + 1)
        return super().call_at(nanoseconds / _SECOND, callback, *arguments, context=context)

    def _run_once(self) -> None:
        """Runs what is due and what is ready: in the order in which it came, as asyncio promises."""
        now, scheduled, ready = self._world.now, self._scheduled, self._ready  # type: ignore[attr-defined]
        while (at := self.next_timer()) is not None and at <= now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _process_events(self, event_list: Any) -> None:
        raise AssertionError("a simulated loop has no selector")

    def _write_to_self(self) -> None:
        pass

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: Any, context: Any = None) -> asyncio.Handle:
        """Everything is in one thread."""
        return self.call_soon(callback, *arguments, context=context)

    # --- what leaves the loop -------------------------------------------------------------------------------------------------

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Calls a function later, in a moment of its own."""
        future = self.create_future()

        def do() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as exc:  # it is for whoever waits
                future.set_exception(exc)
            else:
                future.set_result(result)

        self._world.after(self._world.stream("threads").random() * 0.002, do, self._process)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Every name is this machine."""
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def create_connection(self, protocol_factory: Any, *_: Any, sock: Any = None, **__: Any) -> Any:
        """Makes the transport of a connection that `network.start_connection` opened."""
        protocol = protocol_factory()
        transport = sock.attach(self, protocol)
        protocol.connection_made(transport)
        return transport, protocol

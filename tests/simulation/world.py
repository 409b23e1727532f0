"""The simulated world: one clock, one queue of events, and the processes whose event loops are stepped one at a time."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import random
import sys
import threading
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from .loop import SimLoop

__all__ = ["DeadlockError", "EndlessError", "Process", "World"]

_MOST_STEPS = 200_000
"""Steps of a story at the most: one that takes more does not end."""

SECOND = 1_000_000_000

_MOMENT = ("now", "steps", "wall", "boot", "service", "boot_id", "next_pid")


class DeadlockError(Exception):
    """A process waits, and nothing is left that could wake it."""


class EndlessError(Exception):
    """A story took too many steps."""


class World:
    """Time, chance and the queue of events of one story.

    Args:
        seed: decides everything.
        keep_log: keep a line for each event, for a person to read.

    Attributes:
        now: the time in nanoseconds since the beginning. Integers: with floats, a far time has no next one.
        trace: a hash of all that happened.
        log: the lines, if they are kept.
        wall: seconds that the wall clock of the machine is ahead; it jumps.
        boot: seconds that its boot clock is ahead.
        service: seconds that the clock of the service is ahead.
        processes: those that live.
    """

    def __init__(self, seed: int, *, keep_log: bool = False) -> None:
        self.seed = seed
        self.now = 0
        self.steps = 0
        self.wall = self.boot = self.service = 0.0
        self.boot_id = "boot-1"
        self.trace = hashlib.blake2b(digest_size=8)
        self.log: list[str] | None = [] if keep_log else None
        self.processes: list[Process] = []
        self.graveyard: list[Process] = []
        self._streams: dict[str, random.Random] = {}
        self._events: list[tuple[int, int, Callable[[], object], Process | None]] = []
        self._serial = count()
        self.next_pid = 1001
        self.current: Process | None = None

    def stream(self, name: str) -> random.Random:
        """Returns the chance of one part of the world, so that a new part does not change what others get."""
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = random.Random(f"{self.seed}/{name}")
        return found

    def note(self, what: str) -> None:
        """Takes note of what happened."""
        self.trace.update(b"%d %s\n" % (self.now, what.encode()))
        if self.log is not None:
            self.log.append(f"{self.now / SECOND:12.6f}  {what}")

    @property
    def seconds(self) -> float:
        """The time in seconds since the beginning."""
        return self.now / SECOND

    def after(self, seconds: float, do: Callable[[], object], process: Process | None = None) -> None:
        """Makes something happen later, unless the process that it belongs to is dead by then."""
        heapq.heappush(self._events, (self.now + int(seconds * SECOND), next(self._serial), do, process))

    # --- processes ----------------------------------------------------------------------------------------------------------

    def start(self, main: Callable[[], Coroutine[Any, Any, Any]], name: str) -> Process:
        """Starts a process, which runs a coroutine to its end."""
        process = Process(self, self.next_pid, name)
        self.next_pid += 1
        self.processes.append(process)
        self.enter(process)
        process.task = process.loop.create_task(main(), name=name)
        self.enter(None)
        self.note(f"{process} starts")
        return process

    def run(self, until: Callable[[], bool]) -> None:
        """Lets time pass until something is so."""
        try:
            while not until():
                self.step()
        finally:
            self.enter(None)

    def enter(self, process: Process | None) -> None:
        """Makes a process the one whose code runs from here on; None: none does. It stays until another one has a turn."""
        if process is self.current:
            return
        if self.current is not None:
            self.current.leave()
        self.current = process
        if process is not None:
            process.come()

    def step(self) -> None:
        """Lets the next thing happen: a turn of a loop that has something to do, else the next event or timer."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise EndlessError
        now = self.now
        timer = None
        for process in self.processes:
            at = process.next_turn()
            if at is not None and at <= now:
                process.turn()
                return
            if at is not None and (timer is None or at < timer):
                timer = at
        events = self._events
        while events and (owner := events[0][3]) is not None and not (owner.is_alive and owner.frozen_until <= events[0][0]):
            at, serial, do, _ = heapq.heappop(events)
            if owner.is_alive:
                # Of what happens meanwhile it learns when it goes on.
                heapq.heappush(events, (owner.frozen_until, serial, do, owner))
        if events and (timer is None or events[0][0] <= timer):
            at, _, do, owner = heapq.heappop(events)
            self.now = max(self.now, at)
            self.enter(owner)
            do()
        elif timer is not None:
            self.now = timer
        else:
            raise DeadlockError

    def kept(self) -> dict[str, Any]:
        """Returns what makes this moment, for `back_to`."""
        kept = {name: getattr(self, name) for name in _MOMENT}
        log = list(self.log) if self.log is not None else None
        streams = {name: stream.getstate() for name, stream in self._streams.items()}
        return {**kept, "trace": self.trace.copy(), "log": log, "streams": streams}

    def back_to(self, kept: dict[str, Any]) -> None:
        """Makes it that moment again, in which all processes were killed and what was under way was lost."""
        for process in list(self.processes):
            process.is_alive = False
            self.bury(process)
        self._events.clear()
        for name in _MOMENT:
            setattr(self, name, kept[name])
        self.trace, self.log = kept["trace"].copy(), list(kept["log"]) if kept["log"] is not None else None
        for name, stream in self._streams.items():
            # A stream that was not there yet begins anew.
            stream.setstate(kept["streams"].get(name) or random.Random(f"{self.seed}/{name}").getstate())

    def bury(self, process: Process) -> None:
        """Removes a process: it is never closed nor cancelled, since a killed one does nothing any more."""
        if process in self.processes:
            self.processes.remove(process)
        self.graveyard.append(process)


class Process:
    """A process of the machine: an event loop and what belongs to it.

    Attributes:
        pid: its number.
        loop: its event loop.
        task: its main task.
        is_alive: whether it was not killed and has not ended.
        steps: turns of its loop.
        kill_at: the turn before which it is killed, or None.
        cancel_at: the turn before which its main task is cancelled, or None.
        cancel_again: after how many more turns it is cancelled once more, or None.
        freeze_at: the turn before which it is stopped (SIGSTOP), or None.
        freeze_for: for how many seconds.
        frozen_until: until when it gets no turn.
        disk_fails_at: the commit from which on the disk fails, or None.
        disk_fails: how: `full`, or an error `before` or `after` it is done.
        commits: how many there were, where the disk may fail.
        keeps_images: whether `images` are kept.
        images: of each of its files, from the last commit on that is on the disk for sure: what a power cut may leave. Each file is flushed
            by itself.
        on_death: called when it dies.
        host: the machine that it runs on.
        is_silent: whether nobody hears of its death: its machine is off.
    """

    def __init__(self, world: World, pid: int, name: str) -> None:
        self.world = world
        self.pid = pid
        self.name = name
        self.loop = SimLoop(world, self)
        self.task: asyncio.Task[Any] | None = None
        self.is_alive = True
        self.was_killed = False
        self.steps = 0
        self.kill_at: int | None = None
        self.cancel_at: int | None = None
        self.cancel_again: int | None = None
        self.freeze_at: int | None = None
        self.freeze_for = 0.0
        self.frozen_until = 0
        self.disk_fails_at: int | None = None
        self.disk_fails: str = ""
        self.commits = 0
        self.keeps_images = False
        self.images: dict[str, list[dict[str, bytes]]] = {}
        self.on_death: list[Callable[[], object]] = []
        self.host = 0
        self.is_silent = False
        self._hooks: Any = None

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"

    def come(self) -> None:
        """Its code runs from here on."""
        self.loop._thread_id = threading.get_ident()  # type: ignore[attr-defined]
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self.loop._asyncgen_firstiter_hook, finalizer=self.loop._asyncgen_finalizer_hook)  # type: ignore[attr-defined]
        asyncio._set_running_loop(self.loop)

    def leave(self) -> None:
        """Its code runs no longer."""
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(*self._hooks)
        self.loop._thread_id = None  # type: ignore[attr-defined]

    def turn(self) -> None:
        """Runs one turn of its loop; it may be its last."""
        self.steps += 1
        # Each turn takes time: who waits for the rest of a moment would else wait for ever.
        self.world.now += 1000
        if self.kill_at is not None and self.steps >= self.kill_at:
            self.kill()
            return
        if self.freeze_at is not None and self.steps >= self.freeze_at:
            self.freeze_at = None
            self.frozen_until = self.world.now + int(self.freeze_for * SECOND)
            self.world.note(f"{self} is stopped for {self.freeze_for:g} s")
            return
        self.world.enter(self)
        if self.cancel_at is not None and self.steps >= self.cancel_at:
            self.cancel_at = self.steps + self.cancel_again if self.cancel_again is not None else None
            self.cancel_again = None
            self.world.note(f"{self} is cancelled")
            assert self.task is not None
            self.task.cancel()
        self.loop._run_once()  # type: ignore[attr-defined]

    def next_turn(self) -> int | None:
        """The time at which its loop has something to do, in nanoseconds, or None."""
        loop = self.loop
        at = self.world.now if loop._ready else loop.next_timer()  # type: ignore[attr-defined]
        return at if at is None or at >= self.frozen_until else self.frozen_until

    @property
    def is_done(self) -> bool:
        """Whether it is dead, or its main task has ended."""
        return not self.is_alive or (self.task is not None and self.task.done())

    def kill(self) -> None:
        """Kills it."""
        self.was_killed = True
        self._end("is killed")

    def after_power_cut(self) -> dict[str, bytes]:
        """Draws what a power cut leaves of its files, by path."""
        left: dict[str, bytes] = {}
        for images in self.images.values():
            left |= self.world.stream("disk").choice(images)
        return left

    def end(self) -> None:
        """Ends it, as the interpreter does after the main task: what threads still had to do is cut off."""
        if self.is_alive:
            self._end("ends")

    def _end(self, how: str) -> None:
        self.world.note(f"{self} {how}")
        self.is_alive = False
        for do in self.on_death:
            do()
        self.world.bury(self)

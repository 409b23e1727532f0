"""Puts the world under the library: its clock, chance, threads, locks and connections, as long as a world lasts."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import anyio
import anyio.to_thread
from aiohttp import connector
from anyio._backends import _asyncio as anyio_backend

from amili_arm_async import clock, connections, files, retry
from amili_arm_async.bulk.journal.sqlite import find_run, inspect, journal, other_runs, replay, schema, store
from amili_arm_async.errors import ArmError
from amili_arm_async.nightly import customer_numbers
from amili_arm_async.sqlite import guard, worker
from amili_arm_async.sync import state

if TYPE_CHECKING:
    from .network import Network
    from .world import Process, World

__all__ = ["Machine", "read", "write"]

EPOCH = 1_700_000_000.0


class Machine:
    """What the processes of one world share.

    Attributes:
        world: the world.
        network: its network.
        locks: the owner of each run that is locked, by the path and id of the run.
        connections: the connections to files that are open, with the process that opened them.
        scopes_made: how many cancel scopes there were.
        commits: how many commits there were.
        on_commit: called after each of them.
        on_work: called when one is about to begin.
        keeps_flushed: whether `flushed` is kept.
        flushed: the files, as they were when they were last flushed to the disk: what a power cut leaves.
        slowness: how many times longer a transaction takes than usual.
    """

    def __init__(self, world: World, network: Network) -> None:
        self.world = world
        self.network = network
        self.locks: dict[tuple[str, int], Process] = {}
        self.connections: list[tuple[Process, sqlite3.Connection]] = []
        self._rng = world.stream("disk")
        self._scopes: dict[int, int] = {}
        self.scopes_made = 0
        self.commits = 0
        self.on_commit: Callable[[], object] = lambda: None
        self.on_work: Callable[[], object] = lambda: None
        self.keeps_flushed = True
        self.flushed: dict[str, bytes] = {}
        self.slowness = 1.0

    @contextlib.contextmanager
    def under(self) -> Iterator[None]:
        """Patches the names through which the library reaches the outside."""
        world = self.world
        token = world.stream("tokens")
        numbers = self._scopes
        worker_of = partial(_SimWorker, self)
        patches: list[tuple[Any, str, Any]] = [
            (clock, "monotonic", lambda: world.seconds),
            (clock, "unix_time", lambda: EPOCH + world.seconds + world.wall),
            (clock, "boot_time", lambda: 1000.0 + world.seconds + world.boot),
            (clock, "boot_id", lambda: world.boot_id),
            (connector, "monotonic", lambda: world.seconds),
            # Not the chance of the program: a module that is imported in the middle of a story may draw from it.
            (connector, "random", world.stream("connector")),
            (retry, "random", world.stream("retry")),
            (connector.aiohappyeyeballs, "start_connection", self.network.start_connection),
            (connections, "_has_bytes", self.network.has_bytes),
            (connections, "_unacknowledged", lambda transport: transport._connection.unacknowledged if transport is not None else 0),
            (journal, "SqliteWorker", worker_of),
            # What is written and read is the same in small pages, and takes less time.
            (schema, "JOURNAL", replace(schema.JOURNAL, page=4096)),
            # So that a few customers are as a hundred thousand: some are kept in a file.
            (customer_numbers, "_MOST_IN_MEMORY", 2),
            # Nothing is mounted meanwhile; what the machine says of that takes long to read.
            (guard, "is_mounted", lambda _: False),
            (files, "is_mounted", lambda _: False),
            (store, "lock", self._lock),
            (find_run, "is_locked", self._is_locked),
            (inspect, "is_locked", self._is_locked),
            (journal, "is_locked", self._is_locked),
            (other_runs, "is_locked", self._is_locked),
            (replay, "is_locked", self._is_locked),
            (state, "SqliteWorker", worker_of),
            (state, "lock", self._lock),
            (state, "is_locked", self._is_locked),
            (inspect, "lock", self._lock),
            (anyio.to_thread, "run_sync", self._run_sync),
            (anyio_backend.CancelScope, "__init__", self._scope_init()),
            (anyio_backend.CancelScope, "__hash__", lambda scope: numbers[id(scope)]),
            ("secrets", "token_hex", lambda size=32: f"{token.getrandbits(8 * size):0{2 * size}x}"),
            ("os", "getpid", lambda: world.current.pid if world.current is not None else 1),
        ]
        with contextlib.ExitStack() as stack:
            for owner, name, value in patches:
                if isinstance(owner, str):
                    stack.enter_context(mock.patch(f"{owner}.{name}", value))
                else:
                    stack.enter_context(mock.patch.object(owner, name, value, create=not hasattr(owner, name)))
            try:
                yield
            finally:
                for _, connection in self.connections:
                    connection.close()

    def close_dead(self) -> None:
        """Closes the files of processes that are dead, before they are replaced."""
        for process, connection in list(self.connections):
            if not process.is_alive:
                connection.close()
                self.connections.remove((process, connection))

    def held_by(self, process: Process) -> dict[str, int]:
        """What a process that has ended still holds."""
        return {
            "files": sum(owner is process for owner, _ in self.connections),
            "locks": sum(owner is process for owner in self.locks.values()),
            "connections": sum(one.process is process and not one.is_closed for one in self.network.by_descriptor.values()),
        }

    def _scope_init(self) -> Callable[..., None]:
        """Numbers each scope: anyio cancels the scopes of a set in the order of their hashes."""
        real, numbers = anyio_backend.CancelScope.__init__, self._scopes

        def init(scope: Any, *arguments: Any, **settings: Any) -> None:
            self.scopes_made += 1
            numbers[id(scope)] = self.scopes_made
            real(scope, *arguments, **settings)

        return init

    def _lock(self, path: str, run: int) -> Any:
        owner = self.locks.get((path, run))
        if owner is not None and owner.is_alive:
            return None
        assert self.world.current is not None
        self.locks[path, run] = self.world.current
        return _Lock(self, (path, run))

    def _is_locked(self, path: str, run: int) -> bool:
        owner = self.locks.get((path, run))
        return owner is not None and owner.is_alive

    async def _run_sync(self, function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        process = self.world.current
        assert process is not None
        return await process.loop.run_in_executor(None, function, *arguments)


class _Lock:
    def __init__(self, machine: Machine, name: tuple[str, int]) -> None:
        self._machine = machine
        self._name = name

    def release(self) -> None:
        """Releases it."""
        self._machine.locks.pop(self._name, None)


class _SimWorker(worker.SqliteWorker):
    """The thread of a file without the thread: each transaction is an event, so that none is open when a process is killed."""

    def __init__(self, machine: Machine, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._machine = machine
        process = machine.world.current
        assert process is not None
        self._process = process
        self._connection: Any = None
        self._is_busy = False
        self._thread = self  # type: ignore[assignment]

    def start(self) -> Any:  # type: ignore[override]
        """Starts; called by the library, and in place of the thread."""
        self._is_busy = True
        self._soon(self._open_file)
        return _shielded(self._started)

    def _soon(self, do: Callable[[], None]) -> None:
        self._machine.world.after(self._machine._rng.random() ** 2 * 0.01 * self._machine.slowness, do, self._process)

    def _open_file(self) -> None:
        try:
            opened = self._open(guard=self._guard)
            self._connection = _Disk(opened, self._process)
        except Exception as exc:  # whatever it is, the caller must get it
            error = exc if isinstance(exc, ArmError) else worker.broken(self._path, exc, self._word)
            self.failure = error
            self._started.set_exception(error)
            self._ended.set_result(None)
            return
        self._machine.connections.append((self._process, opened))
        self._started.set_result(None)
        self._is_busy = False
        self._go_on()

    def _add(self, line: Any, work: Any) -> None:
        line.append(work)
        self._go_on()

    def finish(self) -> None:
        """Does the rest and ends."""
        self._finishing = True
        self._go_on()

    def _go_on(self) -> None:
        if not self._is_busy and self._connection is not None and (self._urgent or self._rest or self._finishing):
            self._is_busy = True
            self._soon(self._one)
            self._machine.on_work()

    def _one(self) -> None:
        assert self._connection is not None
        chosen = self._next()
        if chosen is None:
            self._machine.connections.remove((self._process, self._connection.real))
            self._connection.close()
            self._connection = None
            self._flush()
            self._closed()
            self._ended.set_result(None)
            return
        durable, works = chosen
        self._do(durable, works, self._connection)
        if durable:
            self._flush()
        if self._process.keeps_images:
            images = self._process.images.setdefault(self._path, [])
            if durable:
                images.clear()
            images.append(self._image())
        self._is_busy = False
        self._go_on()
        self._machine.commits += 1
        self._machine.on_commit()

    def _flush(self) -> None:
        if not self._machine.keeps_flushed:
            return
        flushed = self._machine.flushed
        flushed.pop(self._path, None)
        flushed.pop(f"{self._path}-wal", None)
        flushed.update(self._image())

    def _image(self) -> dict[str, bytes]:
        """The files that a power cut may take back; the `-shm` is made anew."""
        image = {}
        for path in (self._path, f"{self._path}-wal"):
            with contextlib.suppress(FileNotFoundError):
                image[path] = read(path)
        return image


def write(path: Path, content: bytes) -> None:
    """Writes a file in place: the same file, as a power cut leaves it, and as `cp` puts it back."""
    # Not emptied before: what is the same need not be made anew.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb", buffering=0) as file:
        file.write(content)
        file.truncate()


def read(path: str) -> bytes:
    """Reads a file."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()


class _Disk:
    """A connection whose commits may fail, before or after they are done."""

    def __init__(self, real: sqlite3.Connection, process: Process) -> None:
        self.real = real
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        process = self._process
        if sql == "COMMIT" and process.disk_fails_at is not None:
            process.commits += 1
            if process.commits >= process.disk_fails_at:
                process.world.note(f"{process}: the disk fails, {process.disk_fails}")
                if process.disk_fails == "after":
                    self.real.execute(sql)
                text = "database or disk is full" if process.disk_fails == "full" else "disk I/O error"
                raise sqlite3.OperationalError(text)
        return self.real.execute(sql, *parameters)


async def _shielded(future: Any) -> None:
    import asyncio

    await asyncio.shield(future)

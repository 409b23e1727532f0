"""What all tests share: default signals, hypothesis' settings, the API pages' own samples, and a clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import gc
import inspect
import logging
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from typer.main import get_command

from amili_arm_async import BulkOptions, clock

from .support.postgres import Server, running

settings.register_profile("arm", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("arm")

SAMPLES = Path(__file__).parent / "samples"


def pytest_configure() -> None:
    """Undoes what the process that started the tests did to its signals.

    A shell ignores SIGINT for a background job, nohup ignores SIGHUP, and every child of ours would inherit that.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGCHLD", "SIGALRM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The processes that tests start share compiled modules, also where Python is told to write none: to compile them takes a third of
    the time of a command."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) is not None:
        own = tmp_path_factory.getbasetemp()
        shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
        os.environ["PYTHONPYCACHEPREFIX"] = str(shared / "compiled")


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """`CliRunner` makes all commands anew for each call, which takes longer than most calls; a program makes them once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", functools.cache(get_command))
        yield


@pytest.fixture(scope="session")
def sample() -> Callable[[str], bytes]:
    """Gives a sample of the public pages by its name, for example `customers_list.response`."""
    return lambda name: (SAMPLES / f"{name}.json").read_bytes()


def pytest_xdist_auto_num_workers() -> int | None:
    """One more than there are processors: many tests wait for a time-out."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Hardly anything that is made while tests are collected is garbage: to look for it takes a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What was collected stays: garbage collection does not look through it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Nor through what the tests of a file have left behind, such as modules that they were the first to import."""
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


class Clock:
    """Time that stands still until somebody sleeps; `slept` tells how long each time."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += max(0.0, seconds)
        await asyncio.sleep(0)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        if seconds is None:
            await event.wait()
        elif not event.is_set():
            await self.sleep(seconds)
        return event.is_set()


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Takes the place of the one clock; nobody sleeps for real."""
    fake = Clock()
    monkeypatch.setattr(clock, "monotonic", fake.time)
    monkeypatch.setattr(clock, "unix_time", fake.time)
    monkeypatch.setattr(clock, "sleep", fake.sleep)
    monkeypatch.setattr(clock, "wait", fake.wait)
    return fake


@pytest.fixture
def prompt_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that don't say otherwise ask for results at once: the sandbox has them then."""
    names = [field.name for field in dataclasses.fields(BulkOptions)]
    defaults = list(BulkOptions.__init__.__defaults__ or ())
    defaults[names.index("poll_first") - len(names)] = 0.01
    monkeypatch.setattr(BulkOptions.__init__, "__defaults__", tuple(defaults))


@pytest.fixture
def log_records() -> Iterator[list[logging.LogRecord]]:
    """What the library logs at any level, as a host that configures `logging` gets it."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger, handler = logging.getLogger("amili_arm_async"), Keep()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@pytest.fixture(scope="session")
def aioresponses_works() -> Iterator[None]:
    """aioresponses 0.7.9 does not know that `ClientResponse` of aiohttp 3.14 wants a `stream_writer`; this ends when it does."""
    import aioresponses.core as core

    parameters: Any = inspect.signature(core.ClientResponse.__init__).parameters
    if "stream_writer" not in parameters or "stream_writer" in inspect.getsource(core):
        yield
        return

    class ShimmedResponse(core.ClientResponse):  # type: ignore[misc, name-defined]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "ClientResponse", ShimmedResponse)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL for all tests of this process; skips the test where it is not installed."""
    with running() as server:
        yield server


@pytest.fixture
def database(postgres: Server) -> str:
    """The URL of a database that nothing was kept in yet."""
    # What a test that failed left behind would wait for the tables, and keep locks on them.
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'arm' AND pid <> pg_backend_pid()")
    postgres.execute("DROP SCHEMA IF EXISTS amili_arm CASCADE")
    return postgres.url()

"""A sandbox in a thread of its own, so that a command that runs an event loop can be called against it, and the commands."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from amili_arm_async.cli.app import app
from amili_arm_async.sandbox import Sandbox

ResultT = TypeVar("ResultT")
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "amili_arm_async.cli"]
WAIT = 30


class Served:
    """A sandbox that runs in a thread. Only its own thread may look into it: `ask` does."""

    def __init__(self, **settings: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.sandbox = Sandbox(process_delay=0.0, **settings)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._do(self.sandbox.start())
        self.env = {
            "AMILI_ARM_BASE_URL": self.ask(lambda sandbox: sandbox.base_url),
            "AMILI_ARM_CLIENT_NO": "2218",
            "AMILI_ARM_IDENTITY_URL": self.ask(lambda sandbox: sandbox.identity_url),
            "AMILI_ARM_CLIENT_ID": self.sandbox.client_id,
            "AMILI_ARM_CLIENT_SECRET": self.sandbox.client_secret,
        }

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def ask(self, question: Callable[[Sandbox], ResultT]) -> ResultT:
        async def answer() -> ResultT:
            return question(self.sandbox)

        result: ResultT = self._do(answer())
        return result

    def close(self) -> None:
        self._do(self.sandbox.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, prompt_results: None) -> None:
    """No settings of the person who runs the tests, and no colours."""
    for name in os.environ:
        if name.startswith("AMILI_ARM_"):
            monkeypatch.delenv(name)
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-settings"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")


@pytest.fixture
def served() -> Iterator[Served]:
    """A sandbox, empty."""
    running = Served()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts a sandbox with settings of its own."""
    started: list[Served] = []

    def begin(**settings: Any) -> Served:
        started.append(Served(**settings))
        return started[-1]

    yield begin
    for running in started:
        running.close()


@pytest.fixture
def call() -> Callable[..., Any]:
    """Calls a command in this process."""

    def run(*arguments: object, env: dict[str, str] | None = None) -> Any:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=env, catch_exceptions=False)
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def push(served: Served, call: Callable[..., Any]) -> Callable[..., Any]:
    """Calls `push` against the sandbox, without a journal, and without waiting for results."""
    return lambda *arguments: call("push", *arguments, "--results", "accepted", "--no-journal", env=served.env)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a command as a process; what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: object, env: dict[str, str] | None = None, **streams: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env={**os.environ, **(env or {})},
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def wait_until(served: Served, true: Callable[[Sandbox], object]) -> None:
    """Asks the sandbox until it says yes."""
    wait_for(lambda: served.ask(true))


def wait_for(true: Callable[[], ResultT]) -> ResultT:
    """Asks until the answer is yes, and returns it."""
    deadline = threading.Event()
    timer = threading.Timer(WAIT, deadline.set)
    timer.start()
    try:
        while not (answer := true()):
            assert not deadline.wait(0.01)
        return answer
    finally:
        timer.cancel()

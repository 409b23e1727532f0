"""A sandbox in a thread of its own, so that a command that runs an event loop can be called against it, and the commands."""

from __future__ import annotations

import asyncio
import os
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


class Served:
    """A sandbox that runs in a thread. Only its own thread may look into it: `ask` does."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.sandbox = Sandbox(process_delay=0.0)
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
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the person who runs the tests, and no colours."""
    for name in os.environ:
        if name.startswith("AMILI_ARM_"):
            monkeypatch.delenv(name)
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
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
def call() -> Callable[..., Any]:
    """Calls a command in this process."""

    def run(*arguments: object, env: dict[str, str] | None = None) -> Any:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=env, catch_exceptions=False)
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def push(served: Served, call: Callable[..., Any]) -> Callable[..., Any]:
    """Calls `push` against the sandbox, without waiting for results."""
    return lambda *arguments: call("push", *arguments, "--results", "accepted", env=served.env)

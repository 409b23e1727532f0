"""Starts children quickly: one process that has imported everything forks a real process for each run.

`ForkServer` is the parent's side. The children are processes of their own, with their own loop, threads and files; only the importing is
shared. Python's hash seed is that of the fork_server.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

__all__ = ["Child", "ForkServer", "fork_server"]

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 60.0


@dataclass(frozen=True)
class Child:
    """A process that runs one of the programs of `child`.

    Attributes:
        pid: its number; it stays its own until `wait` was called.
        result_path: where it writes what came of it.
        errors: what it wrote to standard error.
    """

    fork_server: ForkServer
    pid: int
    result_path: Path
    errors: Path

    def kill(self) -> None:
        """Ends it at once, wherever it is; one that has ended stays as it is."""
        os.kill(self.pid, signal.SIGKILL)

    def wait_stopped(self) -> None:
        """Waits until it stands still, which it must be about to do by itself."""
        status = self.fork_server.reap(self.pid, stopped=True)
        assert os.WIFSTOPPED(status), f"the child ended with status {status}: {self.errors.read_text()}"

    def stops(self) -> bool:
        """Waits until it stands still, or has ended; returns whether it stands still."""
        while True:
            # Its process stays there until `wait` was called.
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state in {"T", "Z"}:
                return state == "T"
            time.sleep(0.01)

    def wake_up(self) -> None:
        """Lets it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> dict[str, Any] | None:
        """What it told, or None where it was killed before that."""
        self._wait_for_end()
        status = self.fork_server.reap(self.pid)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and self.result_path.exists() and self.result_path.stat().st_size:
            found: dict[str, Any] = json.loads(self.result_path.read_text())
            self.result_path.unlink()
            return found
        assert killed, f"the child ended with status {status} and told nothing: {self.errors.read_text()}"
        return None

    def _wait_for_end(self) -> None:
        """One that hangs is ended, so that its test fails and does not hang too."""
        process = os.pidfd_open(self.pid)
        try:
            if not select.select([process], [], [], MOST_SECONDS)[0]:
                os.kill(self.pid, signal.SIGABRT)
        finally:
            os.close(process)


class ForkServer:
    """The process that forks."""

    def __init__(self, folder: Path, *, hash_seed: int = 0) -> None:
        self._folder = folder
        self._number = 0
        self._lock = Lock()
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proof.fork_server"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, **instructions: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(instructions) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, instructions: dict[str, Any]) -> Child:
        """Starts a child."""
        with self._lock:
            self._number += 1
            result, errors = self._folder / f"result-{self._number}.json", self._folder / f"errors-{self._number}.txt"
        pid = self._ask(start={**instructions, "result": str(result)}, errors=str(errors))["pid"]
        return Child(self, pid, result, errors)

    def reap(self, pid: int, *, stopped: bool = False) -> int:
        """The status with which a child ended; it must have. Or it was `stopped`, and will go on."""
        return int(self._ask(wait=pid, stopped=stopped)["status"])

    def stop(self) -> None:
        """Ends it, and its children with it."""
        self._process.communicate()


@contextmanager
def fork_server(folder: Path, *, hash_seed: int = 0) -> Iterator[ForkServer]:
    """A server that forks and keeps its files in `folder`."""
    made = ForkServer(folder, hash_seed=hash_seed)
    try:
        yield made
    finally:
        made.stop()


# --- in the fork_server --------------------------------------------------------------------------------------------------------


def _fork(instructions: dict[str, Any], errors: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        out = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(null, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        from .child import run, run_command

        (run_command if "command" in instructions else run)(instructions)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def _import_everything() -> None:
    """The children have it all then, also one that becomes a user who may not read the files of this Python."""
    import amili_arm_async

    from ..proof import child  # noqa: F401

    for module in pkgutil.walk_packages(amili_arm_async.__path__, "amili_arm_async."):
        if not module.name.startswith("amili_arm_async.sandbox") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("anyio._backends._asyncio")
    # So that the children share what is there, and don't look through it for what could be let go.
    gc.freeze()


def main() -> None:
    """Forks on request until standard input ends; then ends those that still run."""
    _import_everything()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    going: set[int] = set()
    for line in sys.stdin:
        instructions = json.loads(line)
        if "start" in instructions:
            pid = _fork(instructions["start"], instructions["errors"])
            going.add(pid)
            answer = {"pid": pid}
        else:
            status = os.waitpid(instructions["wait"], os.WUNTRACED if instructions["stopped"] else 0)[1]
            if not os.WIFSTOPPED(status):
                going.discard(instructions["wait"])
            answer = {"status": status}
        print(json.dumps(answer), flush=True)
    for pid in going:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()

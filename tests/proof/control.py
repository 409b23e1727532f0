"""The calls to the server of the proof, from another process; they wait for its answer."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..support.ledger import Line

__all__ = ["Tenant", "TenantServer", "Truth", "serving"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Truth:
    """What a client number did, as the server saw it.

    Attributes:
        lines: every record that was taken.
        writes: every write: `fault`, `method`, `what`, the number of its `records`, their `keys`, `user`, and whether its body
            came in `whole`.
        reads: what was read.
        batches: how often each batch was asked for.
    """

    lines: list[Line]
    writes: list[dict[str, Any]]
    reads: list[str]
    batches: dict[str, int]


class TenantServer:
    """A server process; it can be killed and started again on the same port and ledger."""

    def __init__(self, ledger: Path) -> None:
        self.ledger = ledger
        self.port = 0
        self._clients = itertools.count(1001)
        self.start()

    def start(self) -> None:
        """Starts it."""
        command = [sys.executable, "-m", "tests.proof.server", str(self.ledger), "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self.stop()

    def stop(self) -> None:
        """Ends it."""
        self._process.communicate()

    @property
    def origin(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def tenant(self) -> Tenant:
        """A client number that nobody has used."""
        return Tenant(self, next(self._clients))

    def call(self, path: str, *, unless: int | None = None, **instructions: Any) -> Any:
        """One call to it; None where the process `unless` ended before it was answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", f"/proof/{path}", json.dumps(instructions))
            if unless is not None and not _answered(connection, unless):
                return None
            answer = connection.getresponse()
            said = json.loads(answer.read())
            assert answer.status == 200, (path, said)
            return said
        finally:
            connection.close()


@dataclass(frozen=True)
class Tenant:
    """One client number on a server."""

    server: TenantServer
    client: int

    @property
    def base_url(self) -> str:
        """The API's address."""
        return f"{self.server.origin}/arm/v1"

    @property
    def identity_url(self) -> str:
        """The identity service's address."""
        return f"{self.server.origin}/identity/{self.client}"

    def plan(self, **instructions: Any) -> None:
        """Tells it what to do: see `server.Tenant`."""
        self.server.call(f"{self.client}/plan", **instructions)

    def wait(self, *, unless: int | None = None, **until: int) -> dict[str, int] | None:
        """Waits for so many `writes`, `whole` bodies, `taken` batches, `answered` writes or `reads`, or for the end of the process
        `unless`; gives how many there were."""
        found: dict[str, int] | None = self.server.call(f"{self.client}/wait", unless=unless, **until)
        return found

    def release(self) -> None:
        """Lets go what is held or stalls."""
        self.server.call(f"{self.client}/release")

    def truth(self, *, peek: bool = False) -> Truth:
        """What it took. Without `peek` this waits until every connection to it is closed."""
        found = self.server.call(f"{self.client}/truth", peek=peek)
        return Truth([Line(**line) for line in found["lines"]], found["writes"], found["reads"], found["batches"])

    def bad_port(self, mode: str, times: int = 1) -> int:
        """A port on which connections are refused, stall, or are reset or closed the first `times`."""
        port: int = self.server.call("ports", mode=mode, times=times)["port"]
        return port

    def open_port(self, port: int) -> None:
        """From now on connections to it are taken."""
        self.server.call(f"ports/{port}")


def _answered(connection: http.client.HTTPConnection, pid: int) -> bool:
    """Waits until there is an answer, or the process has ended."""
    process = os.pidfd_open(pid)
    try:
        return connection.sock in select.select([connection.sock, process], [], [])[0]
    finally:
        os.close(process)


@contextmanager
def serving(folder: Path) -> Iterator[TenantServer]:
    """A server whose ledger is in `folder`."""
    server = TenantServer(folder / "ledger.jsonl")
    try:
        yield server
    finally:
        server.stop()

"""The faulty API in a process of its own: it runs alone (`python -m tests.proof.server LEDGER`), prints its port, and can be killed and
started again on the same ledger. Each client number is a tenant for itself, so that many tests can use one server; `control.py` has the
calls to it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..support.faulty_api import Batch, RandomFaults, Tenant
from ..support.http_server import Answer, Request, abort, serve_connection
from ..support.ledger import Ledger

IDLE_WAIT = 20.0


class Server:
    """The service; `ledger` is where the truth is kept."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = Ledger(ledger)
        self._tenants: dict[int, Tenant] = {}
        # The client that each open connection was last used for; 0 before its first request.
        self._connections: dict[asyncio.StreamWriter, int] = {}
        self._connections_changed = asyncio.Event()
        self._ports: dict[int, Port] = {}
        for line in self._ledger.lines:
            tenant = self._tenant(line.client)
            tenant.lines.append(line)
            if line.batch:
                tenant.batches.setdefault(line.batch, Batch(line.batch, line.kind, [])).lines.append(line)

    def _tenant(self, client: int) -> Tenant:
        if client not in self._tenants:
            self._tenants[client] = Tenant(client, self._ledger)
        return self._tenants[client]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        self._connections[writer] = 0
        try:
            await serve_connection(reader, writer, self._one)
        finally:
            writer.close()
            del self._connections[writer]
            self._connections_changed.set()
            self._connections_changed = asyncio.Event()
            for tenant in self._tenants.values():
                tenant.tell()

    async def _one(self, request: Request) -> bool:
        room, _, rest = request.path.strip("/").partition("/")
        if room == "proof":
            self._connections[request.writer] = -1
            return await self._control(request, rest)
        # /identity/{clientno}/token, or /arm/v1/clients/{clientno}/{section}/{name}
        client = int(rest.removeprefix("v1/clients/").partition("/")[0])
        self._connections[request.writer] = client
        tenant = self._tenant(client)
        return await (tenant.handle_token(request) if room == "identity" else tenant.handle_api(request))

    # --- control ----------------------------------------------------------------------------------------------------------

    async def _control(self, request: Request, rest: str) -> bool:
        body = await request.reader.readexactly(request.size)
        value = json.loads(body) if body else {}
        first, _, action = rest.partition("/")
        if first == "ports":
            answer = await self._port(action, value)
        else:
            calls: dict[str, Callable[[Tenant, dict[str, Any]], Awaitable[Any]]] = {
                "plan": self._plan,
                "wait": self._wait,
                "release": self._release,
                "truth": self._truth,
            }
            value["client"] = int(first)
            try:
                answer = await calls[action](self._tenant(int(first)), value)
            except TimeoutError:
                return await request.answer(Answer(504, {"message": f"{action} {value}: nothing happened for {IDLE_WAIT:g} s"}))
        return await request.answer(Answer(200, answer))

    async def _plan(self, tenant: Tenant, instructions: dict[str, Any]) -> dict[str, Any]:
        tenant.faults.extend(instructions.get("faults", []))
        tenant.token_statuses.extend(instructions.get("tokens", []))
        tenant.look_ups.extend(instructions.get("look_ups", []))
        if "random_faults" in instructions:
            tenant.random_faults = RandomFaults(**instructions["random_faults"]) if instructions["random_faults"] is not None else None
        tenant.delay = instructions.get("delay", tenant.delay)
        tenant.lag = instructions.get("lag", tenant.lag)
        tenant.hidden = set(instructions.get("hidden", tenant.hidden))
        if "hides" in instructions:
            tenant.hides = lambda path: any(part in path for part in instructions["hides"])
        tenant.changed = instructions.get("changed", tenant.changed)
        if instructions.get("well"):
            tenant.faults.clear()
            tenant.token_statuses.clear()
            tenant.look_ups.clear()
            tenant.random_faults = None
            for batch in tenant.batches.values():
                batch.polls = deque(["ok"])
        return {}

    async def _wait(self, tenant: Tenant, instructions: dict[str, Any]) -> dict[str, Any]:
        """Waits for so many writes, writes whose body is whole, takings, answers to writes, or reads."""
        async with asyncio.timeout(IDLE_WAIT):
            while True:
                so_far = {"writes": len(tenant.writes), "reads": len(tenant.reads)}
                so_far |= {event: sum(getattr(write, event) for write in tenant.writes) for event in ("whole", "taken", "answered")}
                if all(number >= instructions.get(event, 0) for event, number in so_far.items()):
                    return so_far
                await tenant.news.wait()

    async def _release(self, tenant: Tenant, _: dict[str, Any]) -> dict[str, Any]:
        tenant.release()
        return {}

    async def _truth(self, tenant: Tenant, instructions: dict[str, Any]) -> dict[str, Any]:
        """What was taken; when nobody has a connection open any more, unless it is only peeked at."""
        if not instructions.get("peek"):
            async with asyncio.timeout(IDLE_WAIT):
                while {0, instructions["client"]} & set(self._connections.values()):
                    await self._connections_changed.wait()
        batches = {uuid: batch.asked for uuid, batch in tenant.batches.items()}
        writes, reads = [write.summary() for write in tenant.writes], [read.what for read in tenant.reads]
        return {"lines": [asdict(line) for line in tenant.lines], "writes": writes, "reads": reads, "batches": batches}

    async def _port(self, action: str, instructions: dict[str, Any]) -> dict[str, Any]:
        if not action:
            port = Port(self, instructions["mode"], instructions.get("times", 1))
            self._ports[port.number] = port
            await port.begin()
            return {"port": port.number}
        await self._ports[int(action)].open()
        return {}


class Port:
    """A further port of the server, on which connections go wrong at first."""

    def __init__(self, server: Server, mode: str, times: int) -> None:
        self._server = server
        self._mode = mode
        self._times = times
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._fillers: list[socket.socket] = []
        self.number = self._socket.getsockname()[1]

    async def begin(self) -> None:
        """Goes wrong from here on."""
        if self._mode == "stall":
            # Nobody accepts, and the queue of those who wait is full: whoever comes next hears nothing.
            self._socket.listen(0)
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", self.number))
                self._fillers.append(filler)
        elif self._mode in {"reset", "close"}:
            await self.open()

    async def open(self) -> None:
        """Takes connections."""
        for filler in self._fillers:
            filler.close()
        self._socket.setblocking(False)
        await asyncio.start_server(self._connected, sock=self._socket, limit=65_536)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode in {"reset", "close"} and self._times > 0:
            self._times -= 1
            if self._mode == "reset":
                abort(writer)
            writer.close()
            return
        await self._server.serve(reader, writer)


async def _main(ledger: Path, port: int) -> None:
    server = Server(ledger)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port, limit=65_536)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    # At once: what counts is in the ledger.
    os._exit(0)


def main() -> None:
    """Serves until standard input ends: so it never outlives the one who started it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_main(arguments.ledger, arguments.port))


if __name__ == "__main__":
    main()

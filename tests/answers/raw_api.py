"""A small API on a raw socket, of which a test decides every byte, and which keeps what it took."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

TOKEN = "a-token-of-a-test-1234567890"


def reply(status: int, body: Any = None, *headers: str) -> bytes:
    """A whole answer."""
    text = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(text)}", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text


@dataclass
class Asked:
    """One request whose headers are there.

    Attributes:
        connection: the number of its connection, from 0.
        place: its number on this connection, from 0.
    """

    method: str
    path: str
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int
    place: int

    async def body(self) -> bytes:
        """The whole body."""
        return await self.reader.readexactly(int(self.headers.get("content-length", "0")))

    def say(self, data: bytes) -> None:
        """Writes to the socket, at once."""
        self.writer.write(data)


@dataclass
class RawApi:
    """The server. `answer` deals with each request; it gives False where the connection is to be closed."""

    answer: Callable[[Asked], Awaitable[bool]]
    port: int = 0
    scheme: str = "http"
    asked: list[tuple[str, str]] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/arm/v1"

    def take(self, body: bytes) -> list[str]:
        """Takes the documents or customers of a body, a single one or a batch, and gives their numbers."""
        value = json.loads(body)
        records = value.get("documents") or value.get("customers") or [value]
        numbers = [str(record.get("documentNo") or record.get("customerNo")) for record in records]
        self.taken.update(numbers)
        return numbers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number, self.connections = self.connections, self.connections + 1
        place = 0
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                    method, path, _ = head[0].split(" ")
                    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
                    self.asked.append((method, path))
                    if not await self.answer(Asked(method, path, headers, reader, writer, number, place)):
                        break
                    place += 1
        finally:
            self.closed.set()
            writer.close()
            self._tasks.discard(task)

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(
    answer: Callable[[Asked], Awaitable[bool]], context: ssl.SSLContext | None = None, buffer: int | None = None
) -> AsyncIterator[RawApi]:
    """A server on this machine; its sockets take in `buffer` bytes that nobody has read."""
    api = RawApi(answer, scheme="https" if context is not None else "http")
    listening = socket.create_server(("127.0.0.1", 0))
    if buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    # Of what nobody has asked for, little is read ahead.
    server = await asyncio.start_server(api.serve, sock=listening, ssl=context, limit=buffer or 65_536)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()
        await api.end()

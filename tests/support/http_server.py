"""A small HTTP server on raw streams, of which a test decides every byte. It shares no code with the library or its sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

__all__ = ["Answer", "HttpServer", "Request", "abort", "closed_port", "in_thread", "reply"]


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        status: the HTTP status.
        body: bytes as they are, None for no body, anything else as JSON.
        headers: beside the content length and type; a name may stand in them twice.
        missing: bytes that Content-Length promises and that never come; the connection is closed then.
        raw: sent as it stands, in place of everything above; the connection is closed then.
        reason: the words after the status.
        content_type: None for none.
    """

    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    missing: int = 0
    raw: bytes | None = None
    reason: str = "Whatever"
    content_type: str | None = "application/json"

    @property
    def is_whole(self) -> bool:
        """Whether another answer may follow it on the same connection."""
        return not self.missing and self.raw is None

    def data(self) -> bytes:
        """What goes over the wire."""
        if self.raw is not None:
            return self.raw
        body = self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        if self.status in {204, 304}:
            body = b""
        else:
            lines.append(f"Content-Length: {len(body) + self.missing}")
        if self.content_type is not None:
            lines.append(f"Content-Type: {self.content_type}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def reply(status: int, body: Any = None, *headers: str) -> bytes:
    """A whole answer as bytes; each header as one line."""
    pairs = [line.partition(": ")[::2] for line in headers]
    return Answer(status, body, tuple(pairs)).data()


@dataclass
class Request:
    """A request whose headers are there.

    Attributes:
        method, path, query: as usual, the path without its percent-encoding.
        target: path and query as they stand on the wire.
        headers: their names in lower case.
        connection: the number of its connection, from 0.
        place: its number on this connection, from 0.
    """

    method: str
    target: str
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int = 0
    place: int = 0

    @property
    def raw_path(self) -> str:
        """The path as it stands on the wire."""
        return self.target.partition("?")[0]

    @property
    def path(self) -> str:
        """The path without its percent-encoding."""
        return unquote(self.raw_path)

    @property
    def query(self) -> dict[str, str]:
        """The query parameters."""
        return dict(parse_qsl(self.target.partition("?")[2]))

    @property
    def what(self) -> str:
        """The path below the client number."""
        return self.path.partition("/clients/")[2].partition("/")[2]

    @property
    def size(self) -> int:
        """Bytes of its body, where it says so."""
        return int(self.headers.get("content-length", "0"))

    async def body(self) -> bytes:
        """Reads the whole body, also one in chunks."""
        if self.headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(self.size)
        whole = b""
        while size := int(await self.reader.readline(), 16):
            whole += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return whole

    def send(self, data: bytes) -> None:
        """Writes to the socket, at once."""
        self.writer.write(data)

    async def answer(self, answer: Answer) -> bool:
        """Answers it; gives whether the connection can be used again."""
        self.writer.write(answer.data())
        await self.writer.drain()
        return answer.is_whole

    async def gone(self) -> None:
        """Waits until the other side has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass


def abort(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST: what was not read is lost on both sides."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@dataclass
class HttpServer:
    """`async with HttpServer(handle) as server: ...`.

    Attributes:
        handle: deals with each request; it gives False where the connection is to be closed.
        context: speaks TLS with it.
        buffer: bytes that its sockets take in of what nobody has read.
        refuse_connections: so many are reset before a byte is read.
        asked: method and path of each request.
        taken: how often each number was taken, for handlers that call `take`.
        connections: how many there were.
        closed: set once a connection has ended.
    """

    handle: Callable[[Request], Awaitable[bool]]
    context: ssl.SSLContext | None = None
    buffer: int | None = None
    refuse_connections: int = 0
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: dict[int, asyncio.StreamWriter] = field(default_factory=dict)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _none_open: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self.context is not None else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The API's address."""
        return f"{self.origin}/arm/v1"

    async def __aenter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0))
        if self.buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        # Of what nobody has asked for, little is read ahead.
        self._server = await asyncio.start_server(self._connected, sock=listening, ssl=self.context, limit=self.buffer or 65_536)
        self.port = listening.getsockname()[1]
        self._none_open.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in list(self._writers.values()):
            writer.transport.abort()
        await self._server.wait_closed()

    async def all_closed(self) -> None:
        """Waits until no connection is open: whoever called has left nothing behind."""
        async with asyncio.timeout(5):
            await self._none_open.wait()

    def take(self, body: bytes) -> list[str]:
        """Takes the documents or customers of a body, a single one or a batch, and gives their numbers."""
        value = json.loads(body)
        records = value.get("documents") or value.get("customers") or [value]
        numbers = [str(record.get("documentNo") or record.get("customerNo")) for record in records]
        self.taken.update(numbers)
        return numbers

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        self._writers[number] = writer
        self._none_open.clear()
        try:
            if self.refuse_connections > 0:
                self.refuse_connections -= 1
                abort(writer)
                return
            await serve_connection(reader, writer, self._count, number)
        finally:
            self.closed.set()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            del self._writers[number]
            if not self._writers:
                self._none_open.set()

    async def _count(self, request: Request) -> bool:
        self.asked.append((request.method, request.target))
        return await self.handle(request)


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Callable[[Request], Awaitable[bool]], number: int = 0
) -> None:
    """Reads one request after the other until `handle` gives False or the other side has gone."""
    place = 0
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            if first.count(" ") != 2:
                # No HTTP: the begin of a TLS handshake, for example.
                return
            method, target, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            if not await handle(Request(method, target, headers, reader, writer, number, place)):
                return
            place += 1


@contextmanager
def in_thread(handle: Callable[[Request], Awaitable[bool]]) -> Iterator[HttpServer]:
    """A server with a thread and a loop of its own: it goes on while the loop of the test stands still."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    async def made() -> HttpServer:
        return await HttpServer(handle).__aenter__()

    try:
        server = run(made())
        try:
            yield server
        finally:
            run(server.__aexit__())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

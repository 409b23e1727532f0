"""A server that answers whatever it is told, on raw streams, and counts the requests that came in whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Reply", "ReplyServer"]


@dataclass(frozen=True)
class Reply:
    """An answer, byte by byte.

    Attributes:
        status: the HTTP status.
        body: the bytes of the body.
        headers: beside the content length; names may stand in it twice.
        missing: bytes that the length promises and that never come; the connection is closed.
        raw: where it is given, all that is sent, before the connection is closed.
        unreadable: True where the body is certainly neither empty nor JSON, or not whole.
        label: what was done to it, for messages of tests.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ((b"Content-Type", b"application/json"),)
    missing: int = 0
    raw: bytes | None = None
    unreadable: bool = False
    label: str = ""

    @property
    def closes(self) -> bool:
        return bool(self.missing) or self.raw is not None

    def bytes(self, reason: bytes) -> bytes:
        if self.raw is not None:
            return self.raw
        lines = [b"HTTP/1.1 %d %s" % (self.status, reason)]
        lines += [name + b": " + value for name, value in self.headers]
        if self.status not in {204, 304}:
            lines.append(b"Content-Length: %d" % (len(self.body) + self.missing))
        body = b"" if self.status in {204, 304} else self.body
        return b"\r\n".join(lines) + b"\r\n\r\n" + body


class ReplyServer:
    """`async with ReplyServer() as server: server.answer = lambda method, target: Reply(...)`."""

    def __init__(self, reason: bytes = b"Whatever") -> None:
        self.answer: Callable[[str, str], Reply] = lambda _method, _target: Reply()
        self.delivered: Counter[str] = Counter()
        self._reason = reason
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ReplyServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = first.split(" ")
        self.delivered[method] += 1
        reply = self.answer(method, target)
        writer.write(reply.bytes(self._reason))
        await writer.drain()
        return not reply.closes

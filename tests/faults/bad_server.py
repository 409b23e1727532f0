"""An ARM API that misbehaves on purpose, on raw streams: it shares no code with the library, and counts what it was sent and what it took.

A write is judged when its headers are there: `server.faults` (a queue) or `server.decide` (a function) names the fault, a key of `FAULTS`.
`server.delivered` counts how often the whole of a record came in, `server.taken` how often it was stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import struct
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["FAULTS", "Answer", "BadServer", "Batch", "Fault", "Seen", "by_record"]


@dataclass(frozen=True)
class Answer:
    """An answer; `cut` bytes less are sent than Content-Length says."""

    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0
    raw: bytes | None = None

    def bytes(self) -> bytes:
        if self.raw is not None:
            return self.raw
        body = self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"HTTP/1.1 {self.status} Whatever", f"Content-Length: {len(body) + self.cut}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Fault:
    """What is done with one write.

    Attributes:
        reads: how much of the body is read: "none", "half", "all".
        takes: whether its records are stored.
        ends: "answer", "slow" (answer in pieces), "reset", "close", "hang".
        answer: what is answered; None: the 202 that is due.
        after: what becomes of the connection after the answer: "keep", "close" or "reset", without a word.
        lingers: reads the body after the answer (which was given before it came).
    """

    reads: str = "all"
    takes: bool = False
    ends: str = "answer"
    answer: Answer | None = None
    after: str = "keep"
    lingers: bool = False


def _chunked(*lines: bytes) -> Answer:
    return Answer(raw=b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n" + b"\r\n".join(lines), cut=1)


def _status(status: int, **more: Any) -> Fault:
    return Fault(answer=Answer(status, {"message": f"status {status}"}), **more)


def _gzip(status: int) -> Answer:
    return Answer(status, b"this is no gzip at all", (("Content-Encoding", "gzip"),))


FAULTS: dict[str, Fault] = {
    "ok": Fault(takes=True),
    "slow": Fault(takes=True, ends="slow"),
    "ok_then_close": Fault(takes=True, after="close"),
    "ok_then_reset": Fault(takes=True, after="reset"),
    "reset_after_headers": Fault(reads="none", ends="reset"),
    "reset_in_body": Fault(reads="half", ends="reset"),
    "reset_after_body": Fault(ends="reset"),
    "close_after_body": Fault(ends="close"),
    "taken_reset": Fault(ends="reset", takes=True),
    "taken_close": Fault(ends="close", takes=True),
    "taken_hang": Fault(ends="hang", takes=True),
    "hang": Fault(ends="hang"),
    "hang_unread": Fault(ends="hang", reads="none"),
    **{
        str(status): _status(status)
        for status in (400, 403, 404, 405, 406, 408, 409, 411, 414, 415, 422, 425, 431, 499, 500, 502, 503, 504)
    },
    **{f"{status}_taken": _status(status, takes=True) for status in (408, 409, 425, 499, 500, 502, 503, 504)},
    "429": Fault(answer=Answer(429, {}, (("Retry-After", "0.02"),))),
    "429_hold": Fault(answer=Answer(429, {}, (("Retry-After", "0.2"),))),
    "429_bare": _status(429),
    "503_wait": Fault(answer=Answer(503, {}, (("Retry-After", "0.02"),))),
    "413": _status(413),
    "413_early": _status(413, reads="none", lingers=True),
    **{
        str(status): Fault(answer=Answer(status, {}, (("Location", "{elsewhere}/arm/v1/clients/2218/documents/batches"),)))
        for status in (301, 302, 303, 307, 308)
    },
    "303_taken": Fault(takes=True, answer=Answer(303, {}, (("Location", "{elsewhere}/arm/v1/x"),))),
    "cut": Fault(takes=True, ends="close", answer=Answer(202, {"batchUuid": "cut", "status": "NOT-PROCESSED"}, cut=50)),
    "cut_in_headers": Fault(takes=True, ends="close", answer=Answer(raw=b"HTTP/1.1 202 Accepted\r\nContent-Le")),
    "garbage_202": Fault(takes=True, answer=Answer(202, b"\xff\xfe<html>{")),
    "garbage_200": Fault(takes=True, answer=Answer(200, b"<html>it works</html>")),
    "empty_202": Fault(takes=True, answer=Answer(202)),
    "no_uuid": Fault(takes=True, answer=Answer(202, {"status": "NOT-PROCESSED", "batchUuid": None})),
    "list_202": Fault(takes=True, answer=Answer(202, [1, 2])),
    "204": Fault(takes=True, answer=Answer(204)),
    "bad_chunk": Fault(takes=True, ends="close", answer=_chunked(b"5", b'{"bat', b"zz", b"x")),
    "bad_gzip": Fault(takes=True, answer=_gzip(202)),
    "no_http": Fault(takes=True, ends="close", answer=Answer(raw=b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
}

NOT_TAKEN_BY_STATUS = {"400", "403", "404", "405", "406", "411", "413", "414", "415", "422", "431"}


@dataclass
class Seen:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    number: int
    connection: int
    body: bytes = b""
    records: list[dict[str, Any]] = field(default_factory=list)
    fault: str = ""

    @property
    def what(self) -> str:
        """The path below the client number."""
        return self.path.partition("/clients/")[2].partition("/")[2]


@dataclass
class Batch:
    """A batch that was taken."""

    uuid: str
    kind: str
    records: list[dict[str, Any]]
    asked: int = 0


def by_record(server: BadServer, batch: Batch, *, status: int = 200, fail: Callable[[str], bool] = lambda _: False) -> Answer:
    """An entry for each record."""
    entries = []
    for record in batch.records:
        key = server.key(record)
        bad = fail(key)
        (server.said_failed if bad else server.said_succeeded).add(key)
        entries.append({server.key_name(record): key, "status": "PROCESSED", "result": "FAILED" if bad else "SUCCESS"})
    words = "PARTIAL" if any(entry["result"] == "FAILED" for entry in entries) else "SUCCESS"
    return Answer(status, {"status": "PROCESSED", "result": words, "batchUuid": batch.uuid, batch.kind: entries})


class BadServer:
    """`async with BadServer() as server: ArmClient(2218, auth=server.token, base_url=server.url)`."""

    def __init__(self) -> None:
        self.token = "tok-0"
        self.tokens: set[str] | None = None  # None: any token is taken
        self.faults: deque[str] = deque()
        self.decide: Callable[[Seen], str] | None = None
        self.reads: Callable[[Seen], Answer | str | None] = lambda _: None
        self.result: Callable[[Batch], Answer] = lambda batch: by_record(self, batch)
        self.most_records = 10**9
        self.most_bytes = 10**9
        self.bad: set[str] = set()
        self.refuse_connections = 0
        self.elsewhere = "http://127.0.0.1:9"
        self.seen: list[Seen] = []
        self.delivered: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.versions: defaultdict[str, list[Any]] = defaultdict(list)
        self.said_failed: set[str] = set()
        self.said_succeeded: set[str] = set()
        self.batches: dict[str, Batch] = {}
        self.tokens_given = 0
        self.token_answer: Callable[[], Answer] = self._new_token
        self.on_write: Callable[[Seen], object] = lambda _: None
        self._connections: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._hold = asyncio.Event()

    # --- lifetime ---------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> BadServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=65_536)
        port = self._server.sockets[0].getsockname()[1]
        self.origin = f"http://127.0.0.1:{port}"
        self.url = self.origin + "/arm/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in list(self._connections.values()):
            writer.transport.abort()
        await self._server.wait_closed()

    async def all_closed(self) -> None:
        """Waits until no connection is open: whoever called has left nothing behind."""
        async with asyncio.timeout(5):
            await self._none_open.wait()

    def let_go(self) -> None:
        """Ends all that hangs."""
        self._hold.set()
        self._hold = asyncio.Event()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        number = self._count
        self._connections[number] = writer
        self._none_open.clear()
        try:
            if self.refuse_connections > 0:
                self.refuse_connections -= 1
                _reset(writer)
                return
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer, number):
                    pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            del self._connections[number]
            if not self._connections:
                self._none_open.set()

    # --- one request ------------------------------------------------------------------------------------------------------

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        parts = urlsplit(target)
        seen = Seen(method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, len(self.seen), connection)
        self.seen.append(seen)
        size = int(headers.get("content-length", "0"))
        if parts.path == "/token":
            seen.body = await reader.readexactly(size)
            return await self._answer(writer, self.token_answer())
        if self.tokens is not None and headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            await reader.readexactly(size)
            return await self._answer(writer, Answer(401, {"message": "token"}))
        if method == "GET":
            return await self._read(seen, writer)
        return await self._write(seen, size, reader, writer)

    async def _read(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        answer = self.reads(seen)
        if isinstance(answer, str):
            seen.fault = answer
            if answer == "reset":
                _reset(writer)
            elif answer == "hang":
                await self._hold.wait()
            return False
        if answer is None:
            section, _, name = seen.what.partition("/")
            if section == "batches":
                batch = self.batches.get(name)
                if batch is None:
                    answer = Answer(404, {"message": "no such batch"})
                else:
                    batch.asked += 1
                    answer = self.result(batch)
            elif name:
                answer = Answer(200, {"customerNo": name, "documentNo": name, "name": "Somebody"})
            else:
                answer = Answer(200, {"summary": {"pageNo": 1, "totalPages": 1, "totalCount": 0, "maximumCount": 10000}, section: []})
        return await self._answer(writer, answer)

    async def _write(self, seen: Seen, size: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        fault = self._fault(seen)
        wanted = {"none": 0, "half": size // 2, "all": size}[fault.reads]
        seen.body = await reader.readexactly(wanted)
        if fault.reads == "all":
            self._deliver(seen)
            refusal = self._refusal(seen, size)
            if refusal is not None and seen.fault == "ok":
                seen.fault = str(refusal.status)
                self.on_write(seen)
                return await self._answer(writer, refusal)
        answer = fault.answer
        if fault.takes:
            taken = self._take(seen)
            answer = answer or taken
        self.on_write(seen)
        if fault.ends == "hang":
            await self._hold.wait()
            return False
        if fault.ends == "reset":
            _reset(writer)
            return False
        if answer is not None and (fault.ends != "close" or fault.answer is not None):
            if fault.ends == "slow":
                data = answer.bytes()
                for start in range(0, len(data), 40):
                    writer.write(data[start : start + 40])
                    await writer.drain()
                    await asyncio.sleep(0)
            else:
                await self._answer(writer, answer)
        if fault.lingers:
            await reader.readexactly(size - wanted)
        if fault.after == "reset":
            _reset(writer)
        return fault.ends in {"answer", "slow"} and fault.after == "keep"

    def _fault(self, seen: Seen) -> Fault:
        if self.decide is not None:
            seen.fault = self.decide(seen)
        else:
            seen.fault = self.faults.popleft() if self.faults else "ok"
        return FAULTS[seen.fault]

    def _deliver(self, seen: Seen) -> None:
        body = gzip.decompress(seen.body) if seen.headers.get("content-encoding") == "gzip" else seen.body
        value = json.loads(body) if body else {"customerNo": seen.what.rpartition("/")[2]}
        section = seen.what.partition("/")[0]
        seen.records = value.get(section, [value])
        self.delivered.update(self.key(record) for record in seen.records)

    def _refusal(self, seen: Seen, size: int) -> Answer | None:
        if len(seen.records) > self.most_records or size > self.most_bytes:
            return Answer(413, {"message": "too much"})
        if any(self.key(record) in self.bad for record in seen.records):
            return Answer(400, {"message": "a record is bad"})
        return None

    def _take(self, seen: Seen) -> Answer:
        for record in seen.records:
            self.taken[self.key(record)] += 1
            self.versions[self.key(record)].append(record.get("name") or record.get("customerMessage"))
        if not seen.what.endswith("/batches"):
            return Answer(200, {"status": "PROCESSED", "result": "SUCCESS"})
        uuid = f"batch_{len(self.batches)}-{'x' * 10}"
        self.batches[uuid] = Batch(uuid, seen.what.partition("/")[0], seen.records)
        link = f"{self.url}/clients/2218/batches/{uuid}"
        return Answer(202, {"status": "NOT-PROCESSED", "result": "PENDING", "batchUuid": uuid, "getResult": link})

    async def _answer(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        writer.write(answer.bytes().replace(b"{elsewhere}", self.elsewhere.encode()))
        await writer.drain()
        return not answer.cut

    def _new_token(self) -> Answer:
        self.tokens_given += 1
        token = f"tok-{self.tokens_given}"
        self.tokens = {token}
        return Answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    # --- what was seen ----------------------------------------------------------------------------------------------------

    @staticmethod
    def key_name(record: dict[str, Any]) -> str:
        return "documentNo" if "documentType" in record or "documentNo" in record else "customerNo"

    def key(self, record: dict[str, Any]) -> str:
        return str(record.get(self.key_name(record)))

    @property
    def writes(self) -> list[Seen]:
        """The writes, in the order of their arrival."""
        return [seen for seen in self.seen if seen.method != "GET" and seen.path != "/token"]


def http_date(seconds: float) -> str:
    """A date for `Retry-After`."""
    return formatdate(seconds, usegmt=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST: what was not read is lost on both sides."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

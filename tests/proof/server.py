"""An ARM API in a process of its own that commits any fault on request and keeps a truth of its own about what it took.

It runs alone (`python -m tests.proof.server LEDGER`), prints its port, and can be killed and started again on the same ledger. It shares
no code with the library or its sandbox. Each client number is a world for itself, so that many tests can use one server; `control.py`
has the calls to it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from .ledger import KEY_NAMES, Ledger, Line, key_of, parse, split_records
from .wire_faults import WIRE_FAULTS, Answer, WireFault

IDLE_WAIT = 20.0


@dataclass
class Batch:
    """A batch that was taken, and how the next questions for it are answered."""

    kind: str
    lines: list[Line]
    ready_at: float
    polls: deque[str]
    asked: int = 0


@dataclass
class World:
    """What one client number was told, did and took.

    Attributes:
        faults: for the next writes, in order.
        tokens: statuses for the next questions for a token.
        lookups: how the next look-ups of single records are answered: a status, `reset`, `cut` or `broken`.
        dice: decides on further faults, or None.
        delay: seconds until a batch is processed and its documents can be looked up.
        lag: seconds between a caller's leaving and the late taking of its batch.
        hidden: numbers of documents that can't be looked up, though they were taken.
        blind: parts of a path, as it stands on the wire, for which a gateway answers 404 to every read.
        released: set when held writes may go on.
    """

    faults: deque[str] = field(default_factory=deque)
    tokens: deque[int] = field(default_factory=deque)
    lookups: deque[str] = field(default_factory=deque)
    dice: Dice | None = None
    delay: float = 0.0
    lag: float = 0.0
    hidden: set[str] = field(default_factory=set)
    blind: list[str] = field(default_factory=list)
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: list[dict[str, Any]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    batches: dict[str, Batch] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wakes those who wait for something to happen."""
        self.news.set()
        self.news = asyncio.Event()


class Dice:
    """Faults at random, by a seed, and not for ever."""

    def __init__(self, seed: str, rate: float, most: int, faults: list[str], polls: list[str]) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._left = most
        self._faults = faults
        self._polls = polls

    def _hits(self, choices: list[str]) -> bool:
        hit = bool(choices) and self._left > 0 and self._random.random() < self._rate
        self._left -= hit
        return hit

    def fault(self) -> str:
        """The fault for a write."""
        return self._random.choice(self._faults) if self._hits(self._faults) else "ok"

    def polls(self) -> deque[str]:
        """The words for the questions for a batch."""
        return deque([self._random.choice(self._polls), "ok"] if self._hits(self._polls) else ["ok"])


@dataclass
class Incoming:
    """A request whose headers are there."""

    method: str
    path: str
    raw_path: str
    headers: dict[str, str]
    query: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def size(self) -> int:
        """Bytes of its body."""
        return int(self.headers.get("content-length", "0"))

    async def gone(self) -> None:
        """Waits until the other side has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass


class Server:
    """The service; `ledger` is where the truth is kept."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = Ledger(ledger)
        self._worlds: dict[int, World] = {}
        # The world that each open connection was last used for; 0 before its first request.
        self._connections: dict[asyncio.StreamWriter, int] = {}
        self._connections_changed = asyncio.Event()
        self._ports: dict[int, Port] = {}
        for line in self._ledger.lines:
            world = self._world(line.client)
            world.lines.append(line)
            if line.batch:
                world.batches.setdefault(line.batch, Batch(line.kind, [], 0.0, deque(["ok"]))).lines.append(line)

    def _world(self, client: int) -> World:
        return self._worlds.setdefault(client, World())

    # --- connections ------------------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        self._connections[writer] = 0
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.close()
            del self._connections[writer]
            self._connections_changed.set()
            self._connections_changed = asyncio.Event()
            for world in self._worlds.values():
                world.tell()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        parts = urlsplit(target)
        query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
        request = Incoming(method, unquote(parts.path), parts.path, headers, query, reader, writer)
        room, _, rest = request.path.strip("/").partition("/")
        if room == "proof":
            self._connections[writer] = -1
            return await self._control(request, rest)
        if room == "identity":
            return await self._token(request, int(rest.partition("/")[0]))
        # /arm/v1/clients/{clientno}/{section}/{name}
        client, _, what = rest.removeprefix("v1/clients/").partition("/")
        self._connections[writer] = int(client)
        world = self._world(int(client))
        if method == "GET":
            return await self._read(request, world, what)
        return await self._write(request, int(client), world, what)

    async def _token(self, request: Incoming, client: int) -> bool:
        await request.reader.readexactly(request.size)
        world = self._world(client)
        self._connections[request.writer] = client
        status = world.tokens.popleft() if world.tokens else 200
        token = {"access_token": f"token-{secrets.token_hex(4)}", "token_type": "Bearer", "expires_in": 3600}
        return await self._answer(request, Answer(status, token if status == 200 else {"error": "no"}))

    async def _answer(self, request: Incoming, answer: Answer) -> bool:
        request.writer.write(answer.data())
        await request.writer.drain()
        return not answer.missing

    # --- writes -----------------------------------------------------------------------------------------------------------

    async def _write(self, request: Incoming, client: int, world: World, what: str) -> bool:
        name = world.faults.popleft() if world.faults else world.dice.fault() if world.dice is not None else "ok"
        # "hold": it goes well when it is let go; "hold 406": this fault then.
        holds = name.startswith("hold")
        fault = WIRE_FAULTS[name.removeprefix("hold").strip() or "ok"]
        seen: dict[str, Any] = {"fault": name, "method": request.method, "what": what, "records": 0, "keys": [], "user": "", "whole": False}
        world.writes.append(seen)
        world.tell()
        wanted = {"nothing": 0, "byte": min(1, request.size), "half": request.size // 2, "all": request.size}[fault.reads]
        body = await request.reader.readexactly(wanted)
        kind = what.partition("/")[0]
        texts: list[str] = []
        user = ""
        if fault.reads == "all":
            texts = split_records(kind, body)
            metadata = parse(body).get("metadata") or {}
            user = str(metadata.get("userId", ""))
            keys = [key_of(kind, parse(text)) for text in texts]
            seen.update(records=len(texts), keys=keys, user=user, whole=True)
            world.tell()
            refusal = _bad_record(texts)
            if refusal is not None and name == "ok":
                seen["fault"] = str(refusal.status)
                return await self._answer(request, refusal)
        if holds:
            await world.released.wait()
        due = Answer(202)
        if fault.late:
            await request.gone()
            await asyncio.sleep(world.lag)
        if fault.takes:
            due = self._take(client, world, kind, user, texts, what, fault.polls)
            seen["taken"] = True
            world.tell()
        goes_on = await self._end(request, fault, due, request.size - wanted, world)
        seen["answered"] = True
        world.tell()
        return goes_on

    def _take(self, client: int, world: World, kind: str, user: str, texts: list[str], what: str, polls: tuple[str, ...]) -> Answer:
        uuid = secrets.token_urlsafe(16) if what.endswith("/batches") else ""
        lines = self._ledger.take(client, uuid, kind, user, texts)
        world.lines += lines
        if not uuid:
            return Answer(200, {"status": "PROCESSED", "result": "SUCCESS"})
        words = deque(polls) if polls else world.dice.polls() if world.dice is not None else deque(["ok"])
        world.batches[uuid] = Batch(kind, lines, time.monotonic() + world.delay, words)
        link = f"http://127.0.0.1/arm/v1/clients/{client}/batches/{uuid}"
        return Answer(202, {"status": "NOT-PROCESSED", "result": "PENDING", "batchUuid": uuid, "getResult": link})

    async def _end(self, request: Incoming, fault: WireFault, due: Answer, rest: int, world: World) -> bool:
        answer = fault.answer or due
        if fault.ends in {"answer", "drops"} or fault.answer is not None:
            if fault.ends == "drops":
                for start in range(0, len(answer.data()), 30):
                    request.writer.write(answer.data()[start : start + 30])
                    await request.writer.drain()
                    await asyncio.sleep(0.001)
            else:
                await self._answer(request, answer)
        if fault.lingers:
            await request.reader.readexactly(rest)
        if fault.ends == "stall":
            await _first_of(request.gone(), world.released.wait())
        if fault.after == "another":
            # What comes over this connection from now on is not read as a request, and so never taken.
            await self._answer(request, Answer(202, {"status": "NOT-PROCESSED", "result": "PENDING", "batchUuid": "nobody-asked"}))
            await request.gone()
        if fault.ends == "reset" or fault.after == "reset":
            _reset(request.writer)
        return fault.ends in {"answer", "drops"} and fault.after == "keep"

    # --- reads ------------------------------------------------------------------------------------------------------------

    async def _read(self, request: Incoming, world: World, what: str) -> bool:
        world.reads.append(what)
        world.tell()
        section, _, name = what.partition("/")
        if section == "batches":
            return await self._result(request, world, name)
        if section in KEY_NAMES and name:
            if any(part in request.raw_path for part in world.blind):
                return await self._answer(request, Answer(404, {"message": "the gateway knows no such path"}))
            return await self._single(request, world, section, name)
        summary = {"pageNo": 1, "currentPageSize": 0, "pageSizeLimit": 5, "totalPages": 1, "totalCount": 0, "maximumCount": 10000}
        return await self._answer(request, Answer(200, {"summary": summary, section: []}))

    async def _single(self, request: Incoming, world: World, section: str, name: str) -> bool:
        word = world.lookups.popleft() if world.lookups else "ok"
        if word == "reset":
            _reset(request.writer)
            return False
        spoilt = {"cut": Answer(200, {}, missing=20), "broken": Answer(200, b'{"documentNo": ')}
        if word.isdigit():
            return await self._answer(request, Answer(int(word), {"message": f"said {word}"}))
        return await self._answer(request, spoilt.get(word) or self._look_up(world, section, name))

    def _look_up(self, world: World, kind: str, key: str) -> Answer:
        found = [line for line in world.lines if line.kind == kind and line.key == key and line.success_states]
        if not found or key in world.hidden or world.batches[found[-1].batch].ready_at > time.monotonic():
            return Answer(404, {"message": "there is none"})
        text = found[-1].record
        if key in world.changed:
            text = json.dumps({**json.loads(text), **world.changed[key]})
        # As it came, with what a service adds of its own.
        return Answer(200, b'{"clientNo":%d,' % found[-1].client + text.strip().encode().removeprefix(b"{"))

    async def _result(self, request: Incoming, world: World, uuid: str) -> bool:
        batch = world.batches.get(uuid)
        if batch is None:
            return await self._answer(request, Answer(404, {"message": "no such batch"}))
        batch.asked += 1
        words = batch.polls if time.monotonic() >= batch.ready_at else deque(["202"])
        word = words.popleft() if len(words) > 1 else words[0]
        if word == "reset":
            _reset(request.writer)
            return False
        if word == "stall":
            await _first_of(request.gone(), world.released.wait())
            return False
        if word == "drops":
            request.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while not request.writer.is_closing():
                    request.writer.write(b" ")
                    await request.writer.drain()
                    await asyncio.sleep(0.01)
            return False
        return await self._answer(request, _result_answer(batch, uuid, word))

    # --- control ----------------------------------------------------------------------------------------------------------

    async def _control(self, request: Incoming, rest: str) -> bool:
        body = await request.reader.readexactly(request.size)
        value = json.loads(body) if body else {}
        first, _, action = rest.partition("/")
        if first == "ports":
            answer = await self._port(action, value)
        else:
            calls: dict[str, Callable[[World, dict[str, Any]], Awaitable[Any]]] = {
                "plan": self._plan,
                "wait": self._wait,
                "release": self._release,
                "truth": self._truth,
            }
            value["client"] = int(first)
            try:
                answer = await calls[action](self._world(int(first)), value)
            except TimeoutError:
                return await self._answer(request, Answer(504, {"message": f"{action} {value}: nothing happened for {IDLE_WAIT:g} s"}))
        return await self._answer(request, Answer(200, answer))

    async def _plan(self, world: World, told: dict[str, Any]) -> dict[str, Any]:
        world.faults.extend(told.get("faults", []))
        world.tokens.extend(told.get("tokens", []))
        world.lookups.extend(told.get("lookups", []))
        if "dice" in told:
            world.dice = Dice(**told["dice"]) if told["dice"] is not None else None
        world.delay = told.get("delay", world.delay)
        world.lag = told.get("lag", world.lag)
        world.hidden = set(told.get("hidden", world.hidden))
        world.blind = told.get("blind", world.blind)
        world.changed = told.get("changed", world.changed)
        if told.get("mend"):
            world.faults.clear()
            world.tokens.clear()
            world.lookups.clear()
            world.dice = None
            for batch in world.batches.values():
                batch.polls = deque(["ok"])
        return {}

    async def _wait(self, world: World, told: dict[str, Any]) -> dict[str, Any]:
        """Waits for so many writes, writes whose body is whole, takings, answers to writes, or reads."""
        async with asyncio.timeout(IDLE_WAIT):
            while True:
                so_far = {"writes": len(world.writes), "reads": len(world.reads)}
                so_far |= {event: sum(bool(write.get(event)) for write in world.writes) for event in ("whole", "taken", "answered")}
                if all(number >= told.get(event, 0) for event, number in so_far.items()):
                    return so_far
                await world.news.wait()

    async def _release(self, world: World, _: dict[str, Any]) -> dict[str, Any]:
        world.released.set()
        world.released = asyncio.Event()
        return {}

    async def _truth(self, world: World, told: dict[str, Any]) -> dict[str, Any]:
        """What was taken; when nobody has a connection open any more, unless it is only peeked at."""
        if not told.get("peek"):
            async with asyncio.timeout(IDLE_WAIT):
                while {0, told["client"]} & set(self._connections.values()):
                    await self._connections_changed.wait()
        batches = {uuid: batch.asked for uuid, batch in world.batches.items()}
        return {"lines": [asdict(line) for line in world.lines], "writes": world.writes, "reads": world.reads, "batches": batches}

    async def _port(self, action: str, told: dict[str, Any]) -> dict[str, Any]:
        if not action:
            port = Port(self, told["mode"], told.get("times", 1))
            self._ports[port.number] = port
            await port.begin()
            return {"port": port.number}
        await self._ports[int(action)].open()
        return {}


def _bad_record(texts: list[str]) -> Answer | None:
    """A record may ask to be refused: `"buyerReference": "bad-400"`."""
    for text in texts:
        mark = str(json.loads(text).get("buyerReference", ""))
        if mark.startswith("bad-"):
            return Answer(int(mark.removeprefix("bad-")), {"message": "a record is bad"})
    return None


def _result_answer(batch: Batch, uuid: str, word: str) -> Answer:
    """What GET batch says, by the word that the plan has for it."""
    fixed = {
        "202": Answer(202, {"batchUuid": uuid, "status": "NOT-PROCESSED", "result": "PENDING"}),
        "404": Answer(404, {"message": "no such batch"}),
        "406": Answer(406, {"message": "not acceptable"}),
        "429": Answer(429, {}, (("Retry-After", "0.05"),)),
        "500": Answer(500, {"message": "said 500"}),
        "broken": Answer(200, b'{"status": "PROC'),
        "cut": Answer(200, {"status": "PROCESSED"}, missing=30),
        "word": Answer(200, {"batchUuid": uuid, "status": "FROBNICATED", "result": "MAYBE"}),
        "empty": Answer(200, {}),
        "done": Answer(200, {"batchUuid": uuid, "status": "PROCESSED", "result": None}),
        "count": Answer(200, {"batchUuid": uuid, "status": "PROCESSED", "result": "SUCCESS", "numberRecordsFailed": 1}),
        "206": Answer(206, {"batchUuid": uuid, "status": "PROCESSED", "result": "SUCCESS"}),
    }
    if word in fixed:
        return fixed[word]
    if word == "huge":
        return Answer(200, {"status": "PROCESSED", "result": "SUCCESS", "padding": "x" * (1_000_000 + 16_001 * len(batch.lines))})
    entries = []
    for line in batch.lines:
        entry = {"status": "PROCESSED", "result": "SUCCESS" if line.success_states else "FAILED"}
        entries.append({KEY_NAMES[batch.kind]: line.key, **entry} if line.key is not None else entry)
    success_states = {line.success_states for line in batch.lines}
    result = "PARTIAL" if len(success_states) > 1 else "SUCCESS" if True in success_states else "FAILED"
    if word == "left_out":
        del entries[len(entries) // 2]
    return Answer(200, {"batchUuid": uuid, "status": "PROCESSED", "result": result, batch.kind: entries})


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
                _reset(writer)
            writer.close()
            return
        await self._server.serve(reader, writer)


async def _first_of(*waits: Awaitable[Any]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST: what was not read is lost on both sides."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


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

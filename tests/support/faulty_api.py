"""An ARM API that commits any fault on request and keeps a truth of its own about what it took.

It shares no code with the library or its sandbox. `FaultyServer` is one in the process of the test; `tests.proof.server` has many in a
process of its own, one for each client number.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

from .http_server import Answer, HttpServer, Request, abort
from .ledger import Ledger, Line, key_name, key_of, parse, split_records
from .wire_faults import WIRE_FAULTS, WireFault

__all__ = ["Batch", "FaultyServer", "RandomFaults", "Seen", "Tenant", "by_record"]


@dataclass
class Seen:
    """A request that came in.

    Attributes:
        request: method, path, headers and so on.
        fault: the name of the fault that it met.
        body: what was read of its body.
        texts: the records in it, byte for byte.
        user: `metadata.userId`: which attempt sent it.
        polls: how the questions for its batch will be answered.
        whole, taken, answered: whether its body came in whole, its records were taken, and it was answered.
    """

    request: Request
    fault: str = ""
    body: bytes = b""
    texts: list[str] = field(default_factory=list)
    user: str = ""
    polls: tuple[str, ...] = ()
    whole: bool = False
    taken: bool = False
    answered: bool = False

    @property
    def method(self) -> str:
        """Of the request."""
        return self.request.method

    @property
    def what(self) -> str:
        """The path below the client number."""
        return self.request.what

    @property
    def headers(self) -> dict[str, str]:
        """Of the request, their names in lower case."""
        return self.request.headers

    @property
    def query(self) -> dict[str, str]:
        """Of the request."""
        return self.request.query

    @property
    def kind(self) -> str:
        """The section of the API: `documents` and so on."""
        return self.what.partition("/")[0]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records in its body."""
        return [json.loads(text) for text in self.texts]

    @property
    def keys(self) -> list[str | None]:
        """The numbers of its records."""
        return [key_of(self.kind, parse(text)) for text in self.texts]

    def summary(self) -> dict[str, Any]:
        """What another process is told of it."""
        names = ("fault", "method", "what", "keys", "user", "whole", "taken", "answered")
        return {"records": len(self.texts), **{name: getattr(self, name) for name in names}}


@dataclass
class Batch:
    """A batch that was taken.

    Attributes:
        uuid, kind: its batchUuid, and `documents` or `customers`.
        lines: its records.
        ready_at: when it is processed.
        polls: how the next questions for it are answered, one word a question; the last one stays.
        asked: how often it was asked for.
    """

    uuid: str
    kind: str
    lines: list[Line]
    ready_at: float = 0.0
    polls: deque[str] = field(default_factory=lambda: deque(["ok"]))
    asked: int = 0

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its records."""
        return [json.loads(line.record) for line in self.lines]


class RandomFaults:
    """Faults at random, by a seed, and not for ever: at most `most` of them."""

    def __init__(self, seed: str | int, faults: list[str], polls: list[str] | None = None, *, rate: float = 0.4, most: int = 30) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._left = most
        self._faults = faults
        self._polls = polls or []

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


class Tenant:
    """The API of one client number: what it is told, does and takes.

    Attributes:
        faults: for the next writes, in order: keys of `WIRE_FAULTS`, or faults; `hold` waits until it is released, `hold 406` meets that
            fault then.
        decide: gives the fault for a write, where `faults` is empty.
        random_faults: decides where neither does.
        token_statuses: for the next questions for a token.
        checks_tokens: whether only the last token that it gave is good.
        valid_tokens: the tokens that are good; None: any.
        look_ups: how the next look-ups of single records are answered: a status, `reset`, `cut` or `broken`.
        finds_all: whether every single record that is asked for is there, whether it was taken or not.
        hidden: numbers that can't be looked up, though they were taken.
        hides: whether a gateway answers 404 to a read, by its path as it stands on the wire.
        page: the body of that 404 and its content type.
        changed: what a look-up says otherwise than was sent, by number.
        delay: seconds until a batch is processed and its documents can be looked up.
        lag: seconds between a caller's leaving and the late taking of its batch.
        most_records, most_bytes: what is larger is answered 413.
        bad: numbers of records for which a write is answered 400.
        elsewhere: where redirects lead.
        date: gives the `Date` of an answer in Unix time, or None for none.
        answer_read: answers a read, where it gives an answer; `reset` and `stall` end it otherwise.
        answer_result: answers a question for a batch.
        on_event: called with what just happened, before it is answered: `read`, `taken` or `looked up`.
        on_write: called with each write before it is answered.
        seen, writes, reads: what came in.
        delivered: how often the whole of each record came in, by number.
        taken: how often each record was taken and succeeded, by number.
        versions: what the records that were taken said, by number.
        said_succeeded, said_failed: of which numbers it said so.
    """

    def __init__(self, client_no: int, ledger: Ledger) -> None:
        self.client_no = client_no
        self.ledger = ledger
        self.faults: deque[str | WireFault] = deque()
        self.decide: Callable[[Seen], str | WireFault] | None = None
        self.random_faults: RandomFaults | None = None
        self.token_statuses: deque[int] = deque()
        self.checks_tokens = False
        self.valid_tokens: set[str] | None = None
        self.tokens_given = 0
        self.look_ups: deque[str] = deque()
        self.finds_all = False
        self.hidden: set[str] = set()
        self.hides: Callable[[str], bool] = lambda _: False
        self.page = (b'{"message": "the gateway knows no such path"}', "application/json")
        self.changed: dict[str, dict[str, Any]] = {}
        self.delay = 0.0
        self.lag = 0.0
        self.most_records = 10**9
        self.most_bytes = 10**9
        self.bad: set[str] = set()
        self.elsewhere = "http://127.0.0.1:9"
        self.date: Callable[[], float | None] = lambda: None
        self.answer_read: Callable[[Seen], Answer | str | None] = lambda _: None
        self.answer_result: Callable[[Batch], Answer] | None = None
        self.on_event: Callable[[str], object] = lambda _: None
        self.on_write: Callable[[Seen], object] = lambda _: None
        self.seen: list[Seen] = []
        self.writes: list[Seen] = []
        self.reads: list[Seen] = []
        self.batches: dict[str, Batch] = {}
        self.lines: list[Line] = []
        self.delivered: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.versions: defaultdict[str, list[Any]] = defaultdict(list)
        self.said_succeeded: set[str] = set()
        self.said_failed: set[str] = set()
        self.released = asyncio.Event()
        self.news = asyncio.Event()
        self._stalled: set[asyncio.StreamWriter] = set()

    def tell(self) -> None:
        """Wakes those who wait for something to happen."""
        self.news.set()
        self.news = asyncio.Event()

    def release(self) -> None:
        """Lets go what is held or stalls."""
        self.released.set()
        self.released = asyncio.Event()
        for writer in self._stalled:
            writer.transport.abort()

    async def handle_api(self, request: Request) -> bool:
        """Any request but one for a token."""
        seen = Seen(request)
        self.seen.append(seen)
        (self.reads if request.method == "GET" else self.writes).append(seen)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.valid_tokens is not None and token not in self.valid_tokens:
            await request.body()
            seen.fault = "401"
            return await self._answer(request, Answer(401, {"message": "token"}))
        self.tell()
        return await (self._read(seen) if request.method == "GET" else self._write(seen))

    async def _answer(self, request: Request, answer: Answer) -> bool:
        seconds = self.date()
        if seconds is not None:
            answer = replace(answer, headers=(*answer.headers, ("Date", formatdate(seconds, usegmt=True))))
        request.send(answer.data().replace(b"{elsewhere}", self.elsewhere.encode()))
        await request.writer.drain()
        return not answer.missing

    # --- tokens -----------------------------------------------------------------------------------------------------------

    async def handle_token(self, request: Request) -> bool:
        """A question for a token."""
        await request.body()
        return await self._answer(request, self.answer_token())

    def answer_token(self) -> Answer:
        """Gives a token that was not given before, or the error that is due."""
        status = self.token_statuses.popleft() if self.token_statuses else 200
        if status != 200:
            return Answer(status, {"error": "no"})
        self.tokens_given += 1
        token = f"token-{self.client_no}-{self.tokens_given}"
        if self.checks_tokens:
            self.valid_tokens = {token}
        return Answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    # --- writes -----------------------------------------------------------------------------------------------------------

    async def _write(self, seen: Seen) -> bool:
        request = seen.request
        due = self._next_fault(seen)
        seen.fault = name = due if isinstance(due, str) else due.says
        holds = name.startswith("hold")
        fault = WIRE_FAULTS[name.removeprefix("hold").strip() or "ok"] if isinstance(due, str) else due
        wanted = {"nothing": 0, "byte": min(1, request.size), "half": request.size // 2, "all": request.size}[fault.reads]
        seen.body = await request.reader.readexactly(wanted)
        if fault.reads == "all":
            self._deliver(seen)
            refusal = self._refusal(seen)
            if refusal is not None and name == "ok":
                seen.fault = str(refusal.status)
                self.on_write(seen)
                return await self._answer(request, refusal)
        if holds:
            await self.released.wait()
        answer = Answer(202)
        if fault.late:
            await request.gone()
            await asyncio.sleep(self.lag)
        if fault.takes:
            seen.polls = fault.polls
            answer = self.accept(seen)
            seen.taken = True
            self.on_event("taken")
            self.tell()
        self.on_write(seen)
        goes_on = await self._end(request, fault, answer, request.size - wanted)
        seen.answered = True
        self.tell()
        return goes_on

    def _next_fault(self, seen: Seen) -> str | WireFault:
        if self.faults:
            return self.faults.popleft()
        if self.decide is not None:
            return self.decide(seen)
        return self.random_faults.fault() if self.random_faults is not None else "ok"

    def _deliver(self, seen: Seen) -> None:
        body = gzip.decompress(seen.body) if seen.headers.get("content-encoding") == "gzip" else seen.body
        if body:
            seen.texts = split_records(seen.kind, body)
            value = parse(body)
            seen.user = str(((value.get("metadata") if isinstance(value, dict) else None) or {}).get("userId", ""))
        else:
            seen.texts = [json.dumps({key_name(seen.kind, {}): seen.what.rpartition("/")[2]})]
        seen.whole = True
        self.delivered.update(map(str, seen.keys))
        self.on_event("read")
        self.tell()

    def _refusal(self, seen: Seen) -> Answer | None:
        if len(seen.texts) > self.most_records or seen.request.size > self.most_bytes:
            return Answer(413, {"message": "too much"})
        if self.bad and not self.bad.isdisjoint(map(str, seen.keys)):
            return Answer(400, {"message": "a record is bad"})
        for text in seen.texts:
            # A record may ask to be refused.
            mark = str(json.loads(text).get("buyerReference", "")) if "bad-" in text else ""
            if mark.startswith("bad-"):
                return Answer(int(mark.removeprefix("bad-")), {"message": "a record is bad"})
        return None

    def accept(self, seen: Seen) -> Answer:
        """Takes the records of a write, and gives the answer that is due."""
        is_batch = seen.what.endswith("/batches")
        uuid = f"batch_{self.client_no}_{len(self.batches)}-{'x' * 10}" if is_batch else ""
        lines = self.ledger.take(self.client_no, uuid, seen.kind, seen.user, seen.texts)
        self.lines += lines
        for line in lines:
            self.taken[str(line.key)] += line.is_success
            record = json.loads(line.record)
            self.versions[str(line.key)].append(record.get("name") or record.get("customerMessage"))
        if not is_batch:
            return Answer(200, {"status": "PROCESSED", "result": "SUCCESS"})
        words = deque(seen.polls) if seen.polls else self.random_faults.polls() if self.random_faults is not None else deque(["ok"])
        self.batches[uuid] = Batch(uuid, seen.kind, lines, time.monotonic() + self.delay, words)
        link = f"http://127.0.0.1/arm/v1/clients/{self.client_no}/batches/{uuid}"
        return Answer(202, {"status": "NOT-PROCESSED", "result": "PENDING", "batchUuid": uuid, "getResult": link})

    async def _end(self, request: Request, fault: WireFault, due: Answer, rest: int) -> bool:
        answer = fault.answer or due
        if fault.ends == "drops":
            data = answer.data()
            for start in range(0, len(data), 30):
                request.send(data[start : start + 30])
                await request.writer.drain()
                await asyncio.sleep(0.001)
        elif fault.after == "another":
            # In one piece: what comes later may be taken for the answer to the next request, and nobody could tell.
            due = Answer(202, {"status": "NOT-PROCESSED", "result": "PENDING", "batchUuid": "nobody-asked"})
            request.send(answer.data() + due.data())
            # What comes over this connection from now on is not read as a request, and so never taken.
            await request.gone()
        elif fault.ends == "answer" or fault.answer is not None:
            await self._answer(request, answer)
        if fault.lingers:
            await request.reader.readexactly(rest)
        if fault.ends == "stall":
            await self._stall(request)
        if fault.ends == "reset" or fault.after == "reset":
            abort(request.writer)
        return fault.ends in {"answer", "drops"} and fault.after == "keep"

    async def _stall(self, request: Request) -> None:
        """Says nothing until the other side has gone, or it is released."""
        self._stalled.add(request.writer)
        try:
            await request.gone()
        finally:
            self._stalled.discard(request.writer)

    # --- reads ------------------------------------------------------------------------------------------------------------

    async def _read(self, seen: Seen) -> bool:
        request = seen.request
        answer = self.answer_read(seen)
        if isinstance(answer, str):
            return await self._fail(request, answer)
        if answer is not None:
            return await self._answer(request, answer)
        section, _, name = seen.what.partition("/")
        if section == "batches":
            return await self._result(request, name)
        if name:
            return await self._single(seen, section, name)
        summary = {"pageNo": 1, "currentPageSize": 0, "pageSizeLimit": 5, "totalPages": 1, "totalCount": 0, "maximumCount": 10000}
        return await self._answer(request, Answer(200, {"summary": summary, section: []}))

    async def _fail(self, request: Request, word: str) -> bool:
        """Ends a read without a whole answer."""
        if word == "reset":
            abort(request.writer)
        elif word == "stall":
            await self._stall(request)
        else:
            request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            with suppress(ConnectionError):
                while not request.writer.is_closing():
                    request.send(b" ")
                    await request.writer.drain()
                    await asyncio.sleep(0.01)
        return False

    async def _single(self, seen: Seen, section: str, name: str) -> bool:
        request = seen.request
        self.on_event("looked up")
        if self.hides(request.raw_path):
            body, content_type = self.page
            return await self._answer(request, Answer(404, body, content_type=content_type))
        word = self.look_ups.popleft() if self.look_ups else "ok"
        if word == "reset":
            return await self._fail(request, word)
        spoilt = {"cut": Answer(200, {}, missing=20), "broken": Answer(200, b'{"documentNo": ')}
        if word.isdigit():
            return await self._answer(request, Answer(int(word), {"message": f"said {word}"}))
        return await self._answer(request, spoilt.get(word) or self._look_up(section, name))

    def _look_up(self, kind: str, key: str) -> Answer:
        if self.finds_all:
            return Answer(200, {"customerNo": key, "documentNo": key, "name": "Somebody"})
        found = [line for line in self.lines if line.kind == kind and line.key == key and line.is_success]
        batch = self.batches.get(found[-1].batch) if found else None
        if not found or key in self.hidden or (batch is not None and batch.ready_at > time.monotonic()):
            return Answer(404, {"message": "there is none"})
        text = found[-1].record
        if key in self.changed:
            text = json.dumps({**json.loads(text), **self.changed[key]})
        # As it came, with what a service adds of its own.
        return Answer(200, b'{"clientNo":%d,' % self.client_no + text.strip().encode().removeprefix(b"{"))

    async def _result(self, request: Request, uuid: str) -> bool:
        batch = self.batches.get(uuid)
        if batch is None:
            return await self._answer(request, Answer(404, {"message": "no such batch"}))
        batch.asked += 1
        if self.answer_result is not None:
            return await self._answer(request, self.answer_result(batch))
        words = batch.polls if time.monotonic() >= batch.ready_at else deque(["202"])
        word = words.popleft() if len(words) > 1 else words[0]
        if word in {"reset", "stall", "drops"}:
            return await self._fail(request, word)
        return await self._answer(request, self._result_answer(batch, word))

    def _result_answer(self, batch: Batch, word: str) -> Answer:
        """What GET batch says, by the word that the plan has for it."""
        uuid = batch.uuid
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
            padding = "x" * (1_000_000 + 16_001 * len(batch.lines))
            return Answer(200, {"status": "PROCESSED", "result": "SUCCESS", "padding": padding})
        answer = by_record(self, batch)
        if word == "left_out":
            del answer.body[batch.kind][len(batch.lines) // 2]
        return answer


def by_record(tenant: Tenant, batch: Batch, *, status: int = 200, fail: Callable[[str], bool] = lambda _: False) -> Answer:
    """A result with an entry for each record of a batch."""
    entries, words = [], set()
    for line in batch.lines:
        result = "SUCCESS" if line.is_success and not fail(str(line.key)) else "FAILED"
        (tenant.said_succeeded if result == "SUCCESS" else tenant.said_failed).add(str(line.key))
        words.add(result)
        entry = {"status": "PROCESSED", "result": result}
        entries.append({key_name(batch.kind, {}): line.key, **entry} if line.key is not None else entry)
    word = "PARTIAL" if len(words) > 1 else "FAILED" if words == {"FAILED"} else "SUCCESS"
    return Answer(status, {"batchUuid": batch.uuid, "status": "PROCESSED", "result": word, batch.kind: entries})


class FaultyServer(HttpServer, Tenant):
    """One tenant on a port of its own, in this process: `async with FaultyServer(faults=["429"]) as server`.

    It finds every record that is looked up, and once it gave a token it takes no other; settings say otherwise.
    """

    def __init__(self, **settings: Any) -> None:
        Tenant.__init__(self, 2218, Ledger(None))
        HttpServer.__init__(self, self._route)
        self.token = "token-of-a-test"
        self.checks_tokens = self.finds_all = True
        for name, value in settings.items():
            if not hasattr(self, name):
                raise TypeError(f"no setting {name}")
            setattr(self, name, deque(value) if name == "faults" else value)

    @staticmethod
    def key(record: dict[str, Any]) -> str:
        """The number of a record."""
        return str(record.get(FaultyServer.key_name(record)))

    @staticmethod
    def key_name(record: dict[str, Any]) -> str:
        """What the number of a record is called."""
        return "documentNo" if "documentType" in record or "documentNo" in record else "customerNo"

    async def _route(self, request: Request) -> bool:
        return await (self.handle_token(request) if request.raw_path == "/token" else self.handle_api(request))

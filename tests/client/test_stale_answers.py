"""An answer counts only if it answers: bytes that nobody asked for end a connection, and prove nothing about what is sent next."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import aiohttp
import pytest

from amili_arm_async import ArmClient, BulkOptions, BulkReport, Document, NotSentError, OutcomeUnknownError, RetryPolicy, Timeout

from ..support.http_server import HttpServer, Request, reply

TOKEN = "a-token-of-a-test-1234567890"

STALE = {
    "202": reply(202, {"batchUuid": "stale", "status": "NOT-PROCESSED"}),
    "200": reply(200, {"batchUuid": "stale", "status": "PROCESSED", "result": "SUCCESS"}),
    "413": reply(413, {"message": "too large"}),
    "400": reply(400, {"message": "bad"}),
    "401": reply(401),
    "404": reply(404),
}
QUICK = RetryPolicy(attempts=3, base_delay=0.001, max_delay=0.01)


def documents(count: int, size: int = 10) -> list[dict[str, Any]]:
    return [{"documentNo": f"d{number}", "documentType": "IN", "customerNo": "1", "ledgerNote": "x" * size} for number in range(count)]


def client(api: HttpServer, **settings: Any) -> ArmClient:
    return ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=QUICK, **settings)


class Service:
    """Takes batches, and after each answer says something that nobody asked for; what follows on that connection is never taken."""

    def __init__(self, stale: bytes, when: str) -> None:
        self.stale = stale
        self.when = when
        self.api: HttpServer | None = None
        self.tainted: set[int] = set()
        self.last: Request | None = None

    async def __call__(self, request: Request) -> bool:
        assert self.api is not None
        body = await request.body()
        if request.connection in self.tainted:
            # It was sent on a connection on which there was an answer already: it is not taken.
            if self.when == "in two pieces":
                request.send(self.stale[20:])
                await request.writer.drain()
            return False
        if request.method == "POST":
            self.api.take(body)
            answer = reply(202, {"batchUuid": f"u{len(self.api.asked)}", "status": "NOT-PROCESSED"})
        else:
            answer = reply(200, {"status": "PROCESSED", "result": "SUCCESS"})
        self.tainted.add(request.connection)
        self.last = request
        if self.when == "in one piece with the answer":
            request.send(answer + self.stale)
            return True
        request.send(answer)
        await request.writer.drain()
        if self.when == "right after it":
            request.send(self.stale)
        elif self.when == "in two pieces":
            request.send(self.stale[:20])
        elif self.when == "one byte":
            request.send(b"H")
        return True


MOMENTS = ["in one piece with the answer", "right after it", "in two pieces", "one byte"]


@pytest.mark.parametrize("when", MOMENTS)
@pytest.mark.parametrize("status", STALE)
async def test_a_bulk_run_tells_exactly_what_was_taken(status: str, when: str) -> None:
    service = Service(STALE[status], when)
    async with HttpServer(service) as api, client(api) as arm:
        service.api = api
        options = BulkOptions(max_records=3, concurrency=2, poll_first=0.0, poll_max=0.01)
        report = await arm.documents.create_many(documents(60), options=options)
        assert report.counts["succeeded"] == 60
        assert api.taken == {f"d{number}": 1 for number in range(60)}


@pytest.mark.parametrize("status", STALE)
async def test_bytes_that_the_loop_has_not_seen_yet_end_the_connection_too(status: str) -> None:
    service = Service(STALE[status], "never")
    async with HttpServer(service) as api, client(api) as arm:
        service.api = api
        await arm.documents.create_batch(documents(1))
        assert service.last is not None
        # Both in one turn of the loop: they are in the socket, and nobody has read them.
        service.last.send(STALE[status])
        receipt = await arm.documents.create_batch([Document(document_no="later")])
    assert receipt.batch_uuid == "u2"
    assert api.taken == {"d0": 1, "later": 1}
    assert api.connections == 2


@pytest.mark.parametrize("data", [b"\r\n", STALE["202"][:30], STALE["202"], STALE["413"]], ids=["blank line", "half", "202", "413"])
async def test_bytes_on_an_idle_connection_end_it(data: bytes) -> None:
    gone = asyncio.Event()

    async def answer(request: Request) -> bool:
        api.take(await request.body())
        request.send(reply(202, {"batchUuid": f"u{len(api.asked)}"}))
        last.append(request)
        if len(last) == 1:
            # Until the client has read its answer.
            await seen.wait()
            request.send(data)
            assert await request.reader.read(1) == b"", "the client has closed it"
            gone.set()
            return False
        return True

    last: list[Request] = []
    seen = asyncio.Event()
    async with HttpServer(answer) as api, client(api) as arm:
        await arm.documents.create_batch(documents(1))
        seen.set()
        async with asyncio.timeout(50):
            await gone.wait()
        assert (await arm.documents.create_batch([Document(document_no="later")])).batch_uuid == "u2"
    assert (api.connections, api.taken) == (2, {"d0": 1, "later": 1})


@pytest.mark.parametrize("status", ["200", "404"])
async def test_a_read_does_not_take_the_answer_of_another_read(status: str) -> None:
    async def answer(request: Request) -> bool:
        request.send(reply(200, {"customerNo": request.path.rpartition("/")[2]}))
        await request.writer.drain()
        request.send(STALE[status])
        return True

    async with HttpServer(answer) as api, client(api) as arm:
        for number in range(10):
            assert (await arm.customers.get(str(number))).customer_no == str(number)


async def test_a_new_connection_that_says_something_at_once_is_not_written_to() -> None:
    """Some balancers answer 503 and close before they have read anything."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STALE["202"])
        await writer.drain()
        got.append(await reader.read(1))
        writer.close()

    got: list[bytes] = []
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with ArmClient(2218, auth=TOKEN, base_url=address, retry=RetryPolicy(attempts=1)) as arm:
        for _ in range(20):
            with pytest.raises(NotSentError):
                await arm.documents.create(Document(document_no="9"))
    server.close()
    await server.wait_closed()
    assert set(got) <= {b""}


# --- answers while the body leaves --------------------------------------------------------------------------------------------


class Early:
    """Answers the second request of a connection as soon as its first bytes are there, then reads on, and takes what comes whole."""

    def __init__(self, status: str, *, first: bool, times: int = 99) -> None:
        self.times = times
        self.status = status
        self.first = first
        self.early = 0
        self.api: HttpServer | None = None

    async def __call__(self, request: Request) -> bool:
        assert self.api is not None
        if request.method == "POST" and self.early < self.times and request.place == (0 if self.first else 1):
            self.early += 1
            request.send(STALE[self.status])
            await request.writer.drain()
            # Only what comes whole is taken.
            self.api.take(await request.body())
            return True
        body = await request.body()
        if request.method == "POST":
            self.api.take(body)
            request.send(reply(202, {"batchUuid": f"u{len(self.api.asked)}"}))
        else:
            request.send(reply(200, {"status": "PROCESSED", "result": "SUCCESS"}))
        return True


LARGE = 12_000_000
"""More than the buffers of the sockets hold."""


async def run_early(service: Early) -> tuple[BulkReport, HttpServer]:
    numbers = count()

    async def fetch() -> str:
        return f"{TOKEN}-{next(numbers)}"

    async with HttpServer(service) as api, ArmClient(2218, auth=fetch, base_url=api.base_url, retry=QUICK) as arm:
        service.api = api
        options = BulkOptions(max_records=1, max_bytes=2 * LARGE, concurrency=1, results="accepted")
        report = await arm.documents.create_many([*documents(1), *documents(3, LARGE)[1:]], options=options)
    assert service.early
    return report, api


@pytest.mark.parametrize("first", [True, False], ids=["first request", "reused"])
async def test_a_success_counts_only_when_the_body_had_left(first: bool) -> None:
    service = Early("202", first=first)
    if first:
        async with HttpServer(service) as api, client(api) as arm:
            service.api = api
            with pytest.raises(OutcomeUnknownError):
                await arm.documents.create_batch(documents(1, LARGE))
        return
    report, api = await run_early(service)
    assert report.counts["unknown"] == 1
    assert report.counts["accepted"] == 2
    assert max(api.taken.values()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells what the other side has acknowledged")
@pytest.mark.parametrize("status", ["202", "413"])
async def test_an_answer_that_came_before_the_request_had_arrived_proves_nothing(status: str) -> None:
    """All of it was written to the socket, and fits there; the other side has not acknowledged it yet when it answers."""
    size = 100_000
    done = asyncio.Event()

    async def answer(request: Request) -> bool:
        if request.place == 0:
            await request.body()
            request.send(reply(202, {"batchUuid": "u"}))
            return True
        request.send(STALE[status])
        await done.wait()
        return False

    async with HttpServer(answer, buffer=4096) as api, client(api) as arm:
        await arm.documents.create_batch(documents(1))
        with pytest.raises(OutcomeUnknownError):
            await arm.documents.create_batch(documents(1, size))
        done.set()
    assert api.connections == 1


@pytest.mark.parametrize("status", ["413", "400", "401"])
async def test_an_early_refusal_on_a_used_connection_counts_because_the_rest_never_leaves(status: str) -> None:
    report, api = await run_early(Early(status, first=False))
    assert max(api.taken.values()) == 1, "what was refused had not arrived, and never did"
    assert report.counts["accepted"] == sum(api.taken.values())
    assert report.counts["rejected"] == 3 - report.counts["accepted"]


async def test_a_safe_write_is_repeated_after_an_answer_that_came_too_early() -> None:
    service = Early("202", first=True, times=1)
    async with HttpServer(service) as api, client(api) as arm:
        service.api = api
        await arm.customers.create_batch([{"customerNo": "7", "name": "x" * LARGE}])
    assert api.taken["7"] >= 1


# --- a session that was brought -----------------------------------------------------------------------------------------------


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.mark.parametrize("when", MOMENTS)
async def test_on_a_session_that_was_brought_what_decides_never_reuses_a_connection(session: aiohttp.ClientSession, when: str) -> None:
    service = Service(STALE["200"], when)
    async with HttpServer(service) as api, client(api, session=session) as arm:
        service.api = api
        options = BulkOptions(max_records=3, concurrency=2, poll_first=0.0, poll_max=0.01)
        report = await arm.documents.create_many(documents(30), options=options)
        assert report.counts["succeeded"] == 30
        assert api.connections == len(api.asked)
        assert api.taken == {f"d{number}": 1 for number in range(30)}


async def test_the_middlewares_of_a_session_are_kept_and_reads_still_share_connections() -> None:
    seen: list[str] = []

    async def mine(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request.method)
        return await send(request)

    async def answer(request: Request) -> bool:
        await request.body()
        request.send(reply(200, {"customerNo": "7"}))
        return True

    async with aiohttp.ClientSession(middlewares=(mine,)) as session, HttpServer(answer) as api, client(api, session=session) as arm:
        for _ in range(3):
            await arm.customers.get("7")
            await arm.documents.create(Document(document_no="9"))
    assert seen == ["GET", "POST"] * 3
    assert api.connections == 4


# --- what never ends ------------------------------------------------------------------------------------------------------------


async def test_the_bound_on_an_exchange_is_ten_times_read() -> None:
    assert Timeout(read=3).exchange_seconds == 30
    assert Timeout(read=3, exchange=5).exchange_seconds == 5
    assert Timeout(read=3).within(7).exchange_seconds == 7
    assert Timeout(read=3).within(-1).exchange_seconds == 3
    assert Timeout(read=3, exchange=2).within(100).exchange_seconds == 2

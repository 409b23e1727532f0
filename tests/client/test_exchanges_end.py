"""Every exchange ends: an answer that comes in drops, or only in parts that say nothing, outlives neither its bound nor what is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amili_arm_async import (
    ArmClient,
    AuthenticationError,
    BulkOptions,
    ClientCredentials,
    ConfigurationError,
    Document,
    OutcomeUnknownError,
    ResponseError,
    RetryPolicy,
    Timeout,
)

from ..support.http_server import HttpServer, Request, reply

TOKEN = "a-token-of-a-test-1234567890"

ONCE = RetryPolicy(attempts=1)
DROPS = reply(200, {"status": "PROCESSED", "result": "SUCCESS", "message": "x" * 5000})


class Endless:
    """Answers whatever `where` names without an end, until it is let go, and the rest at once."""

    def __init__(self, where: str, how: str) -> None:
        self.where = where
        self.how = how
        self.api: HttpServer | None = None
        self.hits = 0

    async def __call__(self, request: Request) -> bool:
        body = await request.body()
        if self.where in request.path and (request.method == "GET" or self.where != "batches"):
            self.hits += 1
            await self.drip(request)
            return False
        if "token" in request.path:
            request.send(reply(200, {"access_token": TOKEN}))
        elif request.method == "POST":
            assert self.api is not None
            self.api.take(body)
            request.send(reply(202, {"batchUuid": "u"}))
        else:
            request.send(reply(200, {"status": "PROCESSED", "result": "SUCCESS"}))
        return True

    async def drip(self, request: Request) -> None:
        if self.how == "103 for ever":
            while True:
                request.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                await request.writer.drain()
                await asyncio.sleep(0.01)
        for number in range(len(DROPS)):
            request.send(DROPS[number : number + 1])
            await request.writer.drain()
            await asyncio.sleep(0.01)


HOW = ["103 for ever", "in drops"]


def client(api: HttpServer, timeout: Timeout, **settings: Any) -> ArmClient:
    return ArmClient(2218, **{"auth": TOKEN, "base_url": api.base_url, "timeout": timeout, "retry": ONCE, **settings})


@pytest.mark.parametrize("how", HOW)
async def test_a_single_call_ends_with_the_bound_on_its_exchange(how: str) -> None:
    service = Endless("/", how)
    async with HttpServer(service) as api, client(api, Timeout(read=5, exchange=0.1)) as arm:
        async with asyncio.timeout(20):
            with pytest.raises(ResponseError):
                await arm.customers.get("7")
            with pytest.raises(OutcomeUnknownError):
                await arm.documents.create(Document(document_no="9"))


@pytest.mark.parametrize("how", HOW)
async def test_without_a_bound_of_its_own_it_is_ten_times_read(how: str) -> None:
    service = Endless("/", how)
    async with HttpServer(service) as api, client(api, Timeout(read=0.05)) as arm:
        async with asyncio.timeout(20):
            with pytest.raises(ResponseError):
                await arm.customers.get("7")


@pytest.mark.parametrize("how", HOW)
async def test_a_poll_ends_with_the_deadline_of_its_batch(how: str) -> None:
    service = Endless("batches", how)
    async with HttpServer(service) as api, client(api, Timeout(read=0.05, exchange=1000)) as arm:
        service.api = api
        options = BulkOptions(poll_first=0, deadline=0.2)
        async with asyncio.timeout(20):
            report = await arm.documents.create_many([{"documentNo": "1"}], options=options)
    assert report.counts["accepted"] == 1


@pytest.mark.parametrize("how", HOW)
async def test_waiting_for_a_batch_ends_with_its_deadline(how: str) -> None:
    service = Endless("batches", how)
    async with HttpServer(service) as api, client(api, Timeout(read=0.05, exchange=1000)) as arm:
        async with asyncio.timeout(20):
            with pytest.raises(ResponseError):
                await arm.batches.wait("u", deadline=0.2)


@pytest.mark.parametrize("how", HOW)
async def test_a_batch_that_is_sent_ends_with_the_patience_of_its_run(how: str) -> None:
    service = Endless("documents", how)
    async with HttpServer(service) as api, client(api, Timeout(read=0.05, exchange=1000)) as arm:
        service.api = api
        async with asyncio.timeout(20):
            report = await arm.documents.create_many([{"documentNo": "1"}], options=BulkOptions(patience=0.2))
    assert report.counts["unknown"] == 1


@pytest.mark.parametrize("how", HOW)
async def test_a_token_is_not_waited_for_longer_than_that(how: str) -> None:
    service = Endless("token", how)
    async with HttpServer(service) as api:
        auth = ClientCredentials(client_id="id", client_secret="secret", identity_url=api.origin)
        async with client(api, Timeout(read=5, exchange=0.1), auth=auth) as arm, asyncio.timeout(20):
            with pytest.raises(AuthenticationError, match="time-out"):
                await arm.customers.get("7")


async def test_a_slow_upload_that_moves_is_not_cut_off() -> None:
    """The bound begins anew with each piece that is taken."""

    async def slowly(request: Request) -> bool:
        left = int(request.headers["content-length"])
        while left:
            left -= len(await request.reader.read(400_000))
            await asyncio.sleep(0.01)
        request.send(reply(202, {"batchUuid": "u"}))
        return True

    async with HttpServer(slowly) as api, client(api, Timeout(read=10, exchange=0.4)) as arm, asyncio.timeout(60):
        began = asyncio.get_running_loop().time()
        await arm.customers.create_batch([{"customerNo": "7", "name": "x" * 30_000_000}])
        assert asyncio.get_running_loop().time() - began > 0.4, "else it proves nothing"


async def test_a_status_counts_although_its_body_never_ends() -> None:
    async def answer(request: Request) -> bool:
        await request.body()
        request.send(b"HTTP/1.1 400 Bad\r\nContent-Length: 9999\r\n\r\n")
        while True:
            request.send(b" ")
            await request.writer.drain()
            await asyncio.sleep(0.01)

    async with HttpServer(answer) as api, client(api, Timeout(exchange=0.1)) as arm, asyncio.timeout(20):
        with pytest.raises(Exception, match="was answered 400"):
            await arm.documents.create(Document(document_no="9"))


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "1"])
def test_a_bound_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="exchange"):
        Timeout(exchange=wrong)

"""How long a single call may take: 30 seconds by default (here a fraction of one), and a write that is not safe until its first byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from amili_arm_async import (
    DEFAULT,
    ArmClient,
    AuthenticationError,
    BulkOptions,
    ClientCredentials,
    Limits,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    ServerError,
    Timeout,
)
from amili_arm_async import config as settings

from ..support.http_server import HttpServer, Request, reply

SECONDS = 0.15
"""In place of 30."""

Call = Callable[[ArmClient], Awaitable[Any]]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "SINGLE_CALL_SECONDS", SECONDS)


class Service:
    """Answers as it is told, one request after the other: with these bytes, `"hang"`, `"drip"`, or `"late"`, which is after the total."""

    def __init__(self, *how: str | bytes, token: str | bytes = "token") -> None:
        self.how = list(how)
        self.token = token
        self.asked = 0

    async def __call__(self, request: Request) -> bool:
        await request.body()
        how: str | bytes = reply(200, {"access_token": "a-token"})
        if "token" not in request.path:
            self.asked += 1
            how = self.how.pop(0) if self.how else reply(200, {"status": "PROCESSED", "result": "SUCCESS", "customers": []})
        elif self.token != "token":
            how = self.token
        if how == "hang":
            await request.gone()
            return False
        if how == "drip":
            for mark in reply(200, {"customers": [{"customerNo": "1"}], "message": "x" * 5000}):
                request.send(bytes([mark]))
                await request.writer.drain()
                await asyncio.sleep(SECONDS / 20)
            return False
        if how == "late":
            await asyncio.sleep(SECONDS * 2)
            how = reply(202, {"batchUuid": "0f3c0000-0000-4000-8000-000000000001"})
        assert isinstance(how, bytes)
        request.send(how)
        return True


def client(api: HttpServer, **more: Any) -> ArmClient:
    return ArmClient(2218, **{"auth": "token", "base_url": api.base_url, "retry": RetryPolicy(base_delay=0.001), **more})


async def ends(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(20):
        return await work


def read(arm: ArmClient) -> Awaitable[Any]:
    return arm.customers.get("1")


def page(arm: ArmClient) -> Awaitable[Any]:
    return arm.customers.list().collect()


def safe_write(arm: ArmClient) -> Awaitable[Any]:
    return arm.customers.create({"customerNo": "1"})


def write(arm: ArmClient) -> Awaitable[Any]:
    return arm.documents.create({"documentNo": "1", "documentType": "IN", "customerNo": "1"})


@pytest.mark.parametrize("how", ["hang", "drip"])
@pytest.mark.parametrize(("call", "error"), [(read, ResponseError), (page, ResponseError), (safe_write, OutcomeUnknownError)])
async def test_a_server_that_hangs_holds_a_call_no_longer_than_its_total(call: Call, error: type[Exception], how: str) -> None:
    service = Service(*[how] * 9)
    async with HttpServer(service) as api, client(api) as arm:
        with pytest.raises(error, match=r"timed out after 0\.15 s"):
            await ends(call(arm))
        assert service.asked == 1


@pytest.mark.parametrize("call", [read, safe_write, write])
async def test_a_token_that_does_not_come_is_named(call: Call) -> None:
    service = Service(token="hang")
    async with HttpServer(service) as api:
        auth = ClientCredentials(client_id="id", client_secret="hidden", identity_url=api.origin)
        async with client(api, auth=auth) as arm:
            with pytest.raises(AuthenticationError, match=r"127\.0\.0\.1:\d+/token gave none within 0\.15 s"):
                await ends(call(arm))
            with pytest.raises(AuthenticationError, match=r"gave none within 0\.15 s"):
                await ends(arm.identity.token())
        assert service.asked == 0


async def test_a_token_function_that_hangs_is_named() -> None:
    async def hangs() -> str:
        await asyncio.sleep(60)
        return ""

    async with HttpServer(Service()) as api, client(api, auth=hangs) as arm:
        with pytest.raises(AuthenticationError, match="the function given as auth= gave none"):
            await ends(read(arm))


async def test_an_unsafe_write_waits_for_its_answer_as_long_as_read_says() -> None:
    async with HttpServer(Service("late")) as api, client(api) as arm:
        assert (await ends(write(arm))) is not None


@pytest.mark.parametrize("how", ["hang", "drip"])
async def test_an_unsafe_write_without_an_answer_ends_after_read(how: str) -> None:
    service = Service(*[how] * 9)
    async with HttpServer(service) as api, client(api, timeout=Timeout(read=SECONDS * 2)) as arm:
        with pytest.raises(OutcomeUnknownError, match="look the record up"):
            await ends(arm.documents.create_batch([{"documentNo": "1", "documentType": "IN", "customerNo": "1"}]))
        assert service.asked == 1


async def test_an_unsafe_write_that_was_refused_late_is_not_sent_again() -> None:
    """Its total was over when the refusal came, so what the server said is what is told."""

    class Late(Service):
        async def __call__(self, request: Request) -> bool:
            await asyncio.sleep(SECONDS * 2)
            return await super().__call__(request)

    service = Late(*[reply(429)] * 9)
    async with HttpServer(service) as api, client(api) as arm:
        with pytest.raises(RateLimitedError):
            await ends(write(arm))
        assert service.asked == 1


async def test_a_new_token_for_an_unsafe_write_is_waited_for_within_the_total() -> None:
    """Its first byte had left, and the 401 proves that nothing was done: what comes before the next first byte is bounded again."""

    async def token() -> str:
        tokens.append(len(tokens))
        if len(tokens) > 1:
            await asyncio.sleep(60)
        return "first"

    tokens: list[int] = []
    async with HttpServer(Service(reply(401))) as api, client(api, auth=token) as arm:
        with pytest.raises(AuthenticationError, match="gave none within"):
            await ends(write(arm))


async def test_no_wait_goes_beyond_the_total() -> None:
    """What the last attempt got says more than that the time is over."""
    service = Service(*[reply(503)] * 9)
    async with HttpServer(service) as api, client(api, retry=RetryPolicy(base_delay=60, max_delay=60)) as arm:
        with pytest.raises(ServerError):
            await ends(read(arm))
        assert service.asked == 1


async def test_a_call_that_waits_for_its_turn_says_so() -> None:
    async with HttpServer(Service("hang", "hang")) as api, client(api, limits=Limits(connections=1)) as arm:
        first = asyncio.ensure_future(arm.customers.get("1", timeout=Timeout(total=None)))
        await asyncio.sleep(0)
        with pytest.raises(NotSentError, match="waited for its turn"):
            await ends(read(arm))
        first.cancel()


async def test_a_total_of_a_call_overrides() -> None:
    async with HttpServer(Service("late", "late", "hang")) as api, client(api) as arm:
        await ends(arm.request("GET", "codes", timeout=Timeout(total=None)))
        await ends(arm.request("GET", "codes", timeout=Timeout(total=20)))
        with pytest.raises(OutcomeUnknownError, match=r"timed out after 0\.05 s"):
            await ends(arm.documents.create({"documentNo": "1"}, timeout=Timeout(total=0.05)))


async def test_a_client_without_a_total_waits() -> None:
    async with HttpServer(Service("late")) as api, client(api, timeout=Timeout(total=None)) as arm:
        await ends(arm.request("GET", "codes"))


async def test_jobs_and_files_have_no_total() -> None:
    """A poll, a download and an upload may take longer than a person waits."""
    async with HttpServer(Service("late", "late", "late", "late")) as api, client(api) as arm:
        await ends(arm.files.get("1"))
        await ends(arm.files.upload({"files": []}))
        report = await ends(arm.customers.create_many([{"customerNo": "1"}], options=BulkOptions(results="accepted")))
        assert report.counts["accepted"] == 1

    done = reply(200, {"status": "PROCESSED", "result": "SUCCESS"})

    class Slow(Service):
        async def __call__(self, request: Request) -> bool:
            await asyncio.sleep(SECONDS * 2)
            return await super().__call__(request)

    async with HttpServer(Slow(done)) as api, client(api) as arm:
        assert (await ends(arm.batches.wait("0f3c0000-0000-4000-8000-000000000001"))).is_final


def test_the_default_is_no_number_and_no_none() -> None:
    assert Timeout().total is DEFAULT
    assert repr(Timeout()) == "Timeout(connect=10.0, read=60.0, total=DEFAULT, exchange=None)"
    assert Timeout(total=DEFAULT) == Timeout()
    assert Timeout(total=None) != Timeout()

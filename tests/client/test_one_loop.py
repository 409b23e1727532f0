"""A client belongs to the event loop and the process in which it is entered; a mistake in a program is no trouble of the network."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest

from amili_arm_async import ArmClient, BulkError, ClientCredentials, ConfigurationError, Document, OutcomeUnknownError, RetryPolicy

from ..support.http_server import HttpServer, Request, reply

pytestmark = pytest.mark.quick

TOKEN = "a-token-of-a-test-1234567890"

PATIENT = RetryPolicy(attempts=1000, base_delay=0.001, max_delay=0.001)
DOCUMENT = {"documentNo": "1"}


async def answer(request: Request) -> bool:
    await request.body()
    if request.path == "/token":
        request.send(reply(200, {"access_token": TOKEN, "expires_in": 3600}))
    elif request.method == "POST":
        request.send(reply(202, {"batchUuid": f"u{request.connection}-{request.place}"}))
    else:
        request.send(reply(200, {"status": "PROCESSED", "result": "SUCCESS", "customerNo": "7", "summary": {}, "customers": []}))
    return True


@pytest.fixture
def api() -> Iterator[HttpServer]:
    """A server in an event loop of its own, so that it is there for all others."""
    ready, stop = threading.Event(), threading.Event()
    found: list[HttpServer] = []

    async def serve() -> None:
        async with HttpServer(answer) as made:
            found.append(made)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    yield found[0]
    stop.set()
    thread.join()


async def listed(arm: ArmClient) -> object:
    return [record async for record in arm.customers.list()]


async def streamed(arm: ArmClient) -> object:
    async with arm.documents.create_many([DOCUMENT]) as run:
        return [outcome async for outcome in run]


async def many(arm: ArmClient) -> object:
    async with arm.customers.get_many(["7"]) as found:
        return [one async for one in found]


CALLS: dict[str, Callable[[ArmClient], Awaitable[object]]] = {
    "get": lambda arm: arm.customers.get("7"),
    "create": lambda arm: arm.documents.create(Document(document_no="1")),
    "create_batch": lambda arm: arm.documents.create_batch([DOCUMENT]),
    "list": listed,
    "get_many": many,
    "bulk": lambda arm: _awaited(arm.documents.create_many([DOCUMENT])),
    "bulk, streamed": streamed,
    "wait": lambda arm: arm.batches.wait("u"),
    "nightly": lambda arm: _awaited(arm.nightly(customers=[{"customerNo": "1"}], documents=[DOCUMENT])),
    "request": lambda arm: arm.request("GET", "codes"),
    "view": lambda arm: arm.for_client(7).customers.get("7"),
}


async def _awaited(run: Any) -> object:
    return await run


async def made(call: str, arm: ArmClient) -> object:
    return await CALLS[call](arm)


async def first_use(arm: ArmClient) -> None:
    await arm.customers.get("7")


@pytest.mark.parametrize("call", CALLS)
def test_a_second_event_loop_is_refused_at_once(api: HttpServer, call: str) -> None:
    arm = ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=PATIENT)
    with asyncio.Runner() as first:
        first.run(first_use(arm))
        asked = len(api.asked)
        with asyncio.Runner() as second, pytest.raises((ConfigurationError, BulkError), match="belongs to the event loop") as raised:
            second.run(made(call, arm))
        assert isinstance(raised.value, ConfigurationError)
        assert len(api.asked) == asked
        first.run(first_use(arm))
        first.run(arm.aclose())


def test_the_loop_in_which_it_was_entered_counts_also_when_it_has_ended(api: HttpServer) -> None:
    arm = ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=PATIENT)

    async def enter() -> None:
        await arm.__aenter__()

    asyncio.run(enter())
    with pytest.raises(ConfigurationError, match="async with"):
        asyncio.run(first_use(arm))
    with pytest.raises(ConfigurationError, match="belongs to the event loop"):
        asyncio.run(arm.aclose())


def test_a_client_that_was_made_outside_belongs_to_the_loop_that_enters_it(api: HttpServer) -> None:
    async def whole(arm: ArmClient) -> None:
        async with arm:
            await first_use(arm)
            await arm.documents.create_many([DOCUMENT])

    for _ in range(2):
        asyncio.run(whole(ArmClient(2218, auth=TOKEN, base_url=api.base_url)))


def test_one_client_for_the_life_of_a_program(api: HttpServer) -> None:
    """Entered once, used by many tasks, closed as often as anybody likes, and then no more."""

    async def main() -> None:
        arm = ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=PATIENT)
        async with arm:
            await asyncio.gather(*(first_use(one) for one in (arm, arm.for_client(7)) for _ in range(20)))
            with pytest.raises(ConfigurationError, match="open already: enter it once"):
                await arm.__aenter__()
            async with arm.for_client(7) as view:
                await first_use(view)
            await first_use(arm)
            await arm.aclose()
            await arm.aclose()
        for use in (first_use(arm), first_use(arm.for_client(7)), arm.__aenter__()):
            with pytest.raises(ConfigurationError, match="the client is closed: make another one"):
                await use
        await arm.aclose()

    asyncio.run(main())


def test_a_request_that_waits_for_its_token_while_the_client_is_closed_is_not_sent(api: HttpServer) -> None:
    async def main() -> None:
        asked, has_token = asyncio.Event(), asyncio.Event()

        async def token() -> str:
            asked.set()
            await has_token.wait()
            return TOKEN

        arm = ArmClient(2218, auth=token, base_url=api.base_url, retry=PATIENT)
        request = asyncio.create_task(first_use(arm))
        await asked.wait()
        closing = asyncio.create_task(arm.aclose())
        await asyncio.sleep(0)
        has_token.set()
        with pytest.raises(ConfigurationError, match="the client is closed"):
            await request
        await closing

    before = len(api.asked)
    asyncio.run(main())
    assert len(api.asked) == before


def test_a_thread_with_a_loop_of_its_own_is_refused(api: HttpServer) -> None:
    async def main() -> None:
        async with ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=PATIENT) as arm:
            await first_use(arm)
            with pytest.raises(ConfigurationError, match="belongs to the event loop"):
                await asyncio.to_thread(lambda: asyncio.run(first_use(arm)))
            await first_use(arm)

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_is_refused(monkeypatch: pytest.MonkeyPatch, api: HttpServer) -> None:
    """The loop is the same object there; the process is another one."""

    async def main() -> None:
        async with ArmClient(2218, auth=TOKEN, base_url=api.base_url, retry=PATIENT) as arm:
            await first_use(arm)
            here = os.getpid()
            monkeypatch.setattr(os, "getpid", lambda: here + 1)
            with pytest.raises(ConfigurationError, match="belongs to the process"):
                await first_use(arm)
            monkeypatch.undo()
            await first_use(arm)

    asyncio.run(main())


def test_credentials_are_shared_by_clients_in_several_loops(api: HttpServer) -> None:
    auth = ClientCredentials(client_id="i", client_secret="s" * 20, identity_url=api.origin)

    async def use() -> None:
        async with ArmClient(2218, auth=auth, base_url=api.base_url) as arm:
            await asyncio.gather(*(first_use(arm) for _ in range(10)))

    def in_threads() -> None:
        threads = [threading.Thread(target=lambda: asyncio.run(_noting(use(), failures))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    failures: list[BaseException] = []
    for _ in range(2):
        asyncio.run(use())
    auth.invalidate(TOKEN)
    in_threads()
    assert failures == []


async def _noting(work: Awaitable[None], failures: list[BaseException]) -> None:
    try:
        await work
    except Exception as exc:
        failures.append(exc)


def test_credentials_that_no_client_of_the_loop_uses_say_so(api: HttpServer) -> None:
    auth = ClientCredentials(client_id="i", client_secret="s" * 20, identity_url=api.origin)

    async def other() -> str:
        return await auth.acquire()

    async def main() -> None:
        async with ArmClient(2218, auth=auth, base_url=api.base_url) as arm:
            await first_use(arm)
            auth.invalidate(TOKEN)
            with pytest.raises(ConfigurationError, match="of the same event loop"):
                await asyncio.to_thread(lambda: asyncio.run(other()))

    asyncio.run(main())


def test_a_session_of_another_loop_is_refused_at_once(api: HttpServer) -> None:
    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use(session: aiohttp.ClientSession, call: str) -> None:
        async with ArmClient(2218, auth=TOKEN, base_url=api.base_url, session=session, retry=PATIENT) as arm:
            await CALLS[call](arm)

    with asyncio.Runner() as first:
        session = first.run(make())
        for call in ("get", "create", "list", "wait"):
            with asyncio.Runner() as second, pytest.raises(ConfigurationError, match="belongs to another event loop"):
                second.run(use(session, call))
        with asyncio.Runner() as second, pytest.raises(BulkError, match="belongs to another event loop") as raised:
            second.run(use(session, "bulk"))
        assert isinstance(raised.value.__cause__, ConfigurationError)
        first.run(session.close())


# --- other mistakes -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def here() -> AsyncIterator[HttpServer]:
    async with HttpServer(answer) as made:
        yield made


async def test_a_closed_session_is_refused_at_once(here: HttpServer) -> None:
    async with aiohttp.ClientSession() as session:
        pass
    async with ArmClient(2218, auth=TOKEN, base_url=here.base_url, session=session, retry=PATIENT) as arm, asyncio.timeout(20):
        with pytest.raises(ConfigurationError, match="closed"):
            await arm.documents.create(DOCUMENT)
        with pytest.raises(BulkError, match="closed") as raised:
            await arm.documents.create_many([DOCUMENT])
    assert raised.value.report.counts["not_sent"] == 1


@pytest.mark.parametrize("kind", [TypeError, ValueError, AttributeError, RuntimeError, KeyError])
async def test_what_a_mistake_raises_before_anything_left_ends_the_run(here: HttpServer, kind: type[Exception]) -> None:
    class Session:
        """Only what is used of a session."""

        closed = False

        def request(self, *_: Any, **__: Any) -> Any:
            raise kind("a mistake")

    session: Any = Session()
    async with ArmClient(2218, auth=TOKEN, base_url=here.base_url, session=session, retry=PATIENT) as arm, asyncio.timeout(20):
        for call in ("get", "create", "list"):
            with pytest.raises(ConfigurationError, match=kind.__name__) as raised:
                await CALLS[call](arm)
            assert isinstance(raised.value.__cause__, kind)
        with pytest.raises(BulkError, match=kind.__name__) as ended:
            await arm.documents.create_many([DOCUMENT])
    assert ended.value.report.counts["not_sent"] == 1


async def test_what_a_mistake_raises_after_a_byte_may_have_left_is_unknown(here: HttpServer) -> None:
    async def broken(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        await send(request)
        raise TypeError("after the answer")

    async with aiohttp.ClientSession(middlewares=(broken,)) as session, asyncio.timeout(20):
        arm = ArmClient(2218, auth=TOKEN, base_url=here.base_url, session=session, retry=PATIENT)
        with pytest.raises(OutcomeUnknownError):
            await arm.documents.create(DOCUMENT)
        with pytest.raises(BulkError) as raised:
            await arm.documents.create_many([DOCUMENT])
    assert raised.value.report.counts["unknown"] == 1
    assert [method for method, _ in here.asked] == ["POST", "POST"]


async def test_a_header_that_can_not_be_is_refused_at_once(here: HttpServer) -> None:
    async with ArmClient(2218, auth=TOKEN, base_url=here.base_url, retry=PATIENT) as arm, asyncio.timeout(20):
        with pytest.raises(ConfigurationError):
            await arm.request("GET", "codes", language="no\r\nX-Evil: 1")
        with pytest.raises(ConfigurationError):
            await arm.request("POST", "actions", json={}, language="no\r\nX-Evil: 1")
    assert here.asked == []


async def test_a_host_name_that_can_not_be_is_refused_at_once() -> None:
    address = f"https://{'x' * 70}.example"
    async with ArmClient(2218, auth=TOKEN, base_url=address, retry=PATIENT) as arm, asyncio.timeout(20):
        with pytest.raises(BulkError):
            await arm.documents.create_many([DOCUMENT])

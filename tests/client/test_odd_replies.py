"""Answers that once made a call raise what is no error of the tree, or a message that can't be written."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from amili_arm_async import ArmClient, ClientCredentials, ResponseError, RetryPolicy, ServerError

from ..support.http_server import Answer, HttpServer, Request

pytestmark = pytest.mark.quick


class AnsweringServer(HttpServer):
    """Answers whatever it is told, and counts the requests that came in whole."""

    def __init__(self) -> None:
        super().__init__(self.handle_any)
        self.answer: Callable[[Request], Answer] = lambda _: Answer()
        self.delivered: Counter[str] = Counter()

    async def handle_any(self, request: Request) -> bool:
        await request.body()
        self.delivered[request.method] += 1
        return await request.answer(self.answer(request))


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AnsweringServer]:
    async with AnsweringServer() as running:
        yield running


@pytest_asyncio.fixture
async def arm(server: AnsweringServer) -> AsyncIterator[ArmClient]:
    async with ArmClient(2218, auth="t", base_url=server.origin, retry=RetryPolicy(attempts=1)) as client:
        yield client


async def test_a_number_that_nobody_can_hold_is_an_answer_that_can_not_be_read(server: AnsweringServer, arm: ArmClient) -> None:
    server.answer = lambda _: Answer(200, b'{"customerNo":%s}' % (b"1" * 6000))
    with pytest.raises(ResponseError):
        await arm.documents.get("7")
    with pytest.raises(ResponseError):
        await arm.customers.get("7")
    with pytest.raises(ResponseError):
        async with arm.customers.get_many(["7"]) as found:
            await anext(found)


async def test_an_item_that_is_nested_deep_is_given_as_it_came(server: AnsweringServer, arm: ArmClient) -> None:
    server.answer = lambda _: Answer(200, b'{"a":' * 900 + b"1" + b"}" * 900)
    assert [list(await call) for call in (arm.ar_items.get(1), arm.gl_items.get(1))] == [["a"], ["a"]]
    with pytest.raises(ResponseError):
        await arm.ar_items.list().collect()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"plain 7", "plain 7"),
        (b"0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("bl\u00e5".encode(), None),
        (b"a\x1b[31mb", None),
        (b"\xff\xfe", None),
        ("\u202e".encode(), None),
        (b"a\tb", None),
        (b"x" * 200, None),
        (b"id of 01019921717", None),
    ],
)
async def test_a_request_id_is_quoted_where_it_is_short_and_plain(
    server: AnsweringServer, arm: ArmClient, log_records: list[logging.LogRecord], sent: bytes, shown: str | None
) -> None:
    server.answer = lambda _: Answer(500, headers=(("X-Request-Id", sent.decode("utf-8", "surrogateescape")),))
    with pytest.raises(ServerError) as raised:
        await arm.codes.get()
    assert raised.value.request_id == shown
    assert (f"(request id {shown})" in str(raised.value)) == (shown is not None)
    assert {vars(record)["request_id"] for record in log_records if record.getMessage() == "request"} == {shown}
    str(raised.value).encode()


async def test_an_answer_with_a_token_that_is_cut_off_is_asked_for_again(server: AnsweringServer) -> None:
    token = b'{"access_token":"fresh","expires_in":3600}'
    answers = [Answer(200, token[:20], missing=22), Answer(200, token)]
    server.answer = lambda _: answers.pop(0)
    auth = ClientCredentials(client_id="a", client_secret="b", identity_url=server.origin)
    async with ArmClient(2218, auth=auth, base_url=server.origin, retry=RetryPolicy(base_delay=0.001)) as arm:
        assert (await arm.identity.token()).access_token == "fresh"
    assert server.delivered["POST"] == 2

"""Whatever a server replies, to any operation: a value, or an error of the tree; and no success that nobody can read."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from amili_arm_async import (
    ArmClient,
    ArmError,
    BatchResult,
    BulkOptions,
    ClientCredentials,
    JsonRecord,
    OutcomeUnknownError,
    Page,
    ResponseError,
    RetryPolicy,
)
from amili_arm_async.endpoints import IDENTITY, OPERATIONS
from amili_arm_async.models.base import Record

from ..support.examples import HAS_ALL
from ..support.operation_calls import CALLS, CUSTOMER, DOCUMENT, IDENTITY_CALLS, Call

IMPATIENT = BulkOptions(poll_first=0.001, poll_max=0.002, patience=0.02, deadline=0.02)
PERSONAL = "Åse Ødegård 010190"
"""Stands in every reply, and must not get into anything that is shown."""

EVERY: dict[str, Call] = {
    **CALLS,
    **IDENTITY_CALLS,
    "prefetch": lambda arm: _prefetched(arm),  # noqa: PLW0108 - it is defined below
    "pages": lambda arm: _pages(arm),  # noqa: PLW0108
    "first": lambda arm: arm.gl_items.list().first(),
    "get_many": lambda arm: _everything(arm.customers.get_many(["1", "2"])),
    "wait": lambda arm: arm.batches.wait("8NlwdOIM1YLVFP9-WOwkYQ", deadline=0.01, poll_first=0.001, poll_max=0.001),
    "wait_many": lambda arm: _everything(arm.batches.wait_many(["a", "b"], deadline=0.01, poll_first=0.001, poll_max=0.001)),
    "request": lambda arm: arm.request("POST", "nothing/known", json={"a": 1}),
}


async def _prefetched(arm: ArmClient) -> list[Any]:
    async with arm.customers.list().prefetch(3) as records:
        return [record async for record in records]


async def _pages(arm: ArmClient) -> list[Any]:
    return [page async for page in arm.ar_items.list().pages()]


async def _everything(results: Any) -> list[Any]:
    async with results as entered:
        return [result async for result in entered]


# --- what is replied --------------------------------------------------------------------------------------------------------------

PLAUSIBLE: dict[str, Any] = {
    "status": "NOT-PROCESSED",
    "result": "PENDING",
    "message": PERSONAL,
    "batchUuid": "8NlwdOIM1YLVFP9-WOwkYQ",
    "customerNo": "1",
    "documentNo": "77",
    "name": PERSONAL,
    "access_token": "abc",
    "summary": {"pageNo": 1, "totalPages": 1, "totalCount": 1, "maximumCount": 10000, "nextPage": None, "queryId": "x"},
    "customers": [{"customerNo": "1", "name": PERSONAL, "balanceTotal": 1.5, "postalAddress": {"cityName": PERSONAL}, "status": "FAILED"}],
    "documents": [{"documentNo": "77", "documentDate": "2026-01-31", "documentLines": [{"lineNo": 1, "price": 2}]}],
    "autoPostings": [{"resultType": "BATCH-REJECTED", "text": PERSONAL}],
}
SHOWN = frozenset({"batchUuid", "customerNo", "documentNo", "status", "result"})
"""Words and keys are shown: they are what a person needs to find a record."""

ODD: list[Any] = [
    None,
    "",
    " ",
    PERSONAL,
    0,
    -1,
    10**30,
    1.5,
    1e308,
    True,
    [],
    {},
    [None],
    [[]],
    [PERSONAL],
    [{"a": PERSONAL}],
    {"a": PERSONAL},
    {"status": {"x": 1}, "result": [PERSONAL], "customerNo": {"a": 1}, "resultType": 7},
]
RAW: list[bytes] = [
    b"",
    b" \r\n",
    b"null",
    b"true",
    b"7",
    b'"x"',
    b"[]",
    b"{}",
    b"[[[]]]",
    b"[1,2]",
    b"{",
    b'{"a":1',
    b'{"a":1}}',
    b'{"a":NaN}',
    b'{"a":1e999999}',
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"summary":{"nextPage":"\\ud800"},"customers":[{"customerNo":"\\ud800"}]}',
    b'{"customers":[{"customerNo":"\xff"}]}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"customers":' + b"[" * 600 + b"]" * 600 + b"}",
    b"[" * 100_000,
    b'{"a":1,"a":2,"summary":1,"summary":2}',
    b"<html><body>gateway</body></html>",
    b"\x00\x01\x02",
]
STATUSES = (200, 201, 202, 204, 206, 207, 299, 300, 304, 307, 400, 401, 404, 406, 409, 418, 422, 429, 500, 503, 599)


@dataclass
class Reply:
    """One reply to every request."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def replies(chance: random.Random) -> Iterator[Reply]:
    """The replies that each operation gets."""
    whole = json.dumps(PLAUSIBLE).encode()
    for body in RAW:
        yield Reply(chance.choice((200, 202, 206, 207)), body)
    for status in STATUSES:
        yield Reply(status, b"" if status in {204, 304} else whole, {"Retry-After": "0", "Content-Type": "application/json"})
    for value in ODD:
        yield Reply(200, json.dumps(value).encode())
        for name in chance.sample(sorted(PLAUSIBLE), 5):
            if name in SHOWN and PERSONAL in json.dumps(value, ensure_ascii=False):
                continue
            yield Reply(chance.choice((200, 200, 202, 206)), json.dumps({**PLAUSIBLE, name: value}).encode())
    for name in PLAUSIBLE:
        yield Reply(200, json.dumps({key: value for key, value in PLAUSIBLE.items() if key != name}).encode())
    for inner in PLAUSIBLE["summary"]:
        yield Reply(200, json.dumps({**PLAUSIBLE, "summary": {**PLAUSIBLE["summary"], inner: chance.choice(ODD)}}).encode())
    for inner in ("name", "balanceTotal", "postalAddress", "emailAddressDocument", "distribution", "vatLiable", "arRules"):
        record = {**PLAUSIBLE["customers"][0], inner: chance.choice(ODD)}
        yield Reply(200, json.dumps({**PLAUSIBLE, **record, "customers": [record, PLAUSIBLE["customers"][0], chance.choice(ODD)]}).encode())
    for _ in range(20):
        yield Reply(200, whole[: chance.randrange(len(whole))] + chance.randbytes(chance.randrange(20)))
    for odd in ({}, {"Content-Type": "text/html; charset=nothing"}, {"Retry-After": "soon", "X-Request-Id": "å\t"}, {"Content-Type": ";;"}):
        yield Reply(chance.choice((200, 429)), whole, odd)


# --- the server -------------------------------------------------------------------------------------------------------------------


class Server:
    """Gives one reply to all that it is asked."""

    def __init__(self) -> None:
        self.reply = Reply(200, b"")
        self.asked = 0
        self.address = ""

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        if request.path.startswith("/arm/") or not request.path.endswith("/token") or self.asked_for_token:
            self.asked += 1
            return web.Response(status=self.reply.status, body=self.reply.body or None, headers=self.reply.headers)
        return web.json_response({"access_token": "the-token", "expires_in": 3600})

    asked_for_token = False


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", server.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.address = f"http://127.0.0.1:{site.port}"
    try:
        yield server
    finally:
        await runner.cleanup()


def look_at(value: Any) -> str:
    """Everything that can be asked of a value; gives what it shows of itself."""
    shown = repr(value) + str(value)
    if isinstance(value, JsonRecord):
        dict(value)
        for name in ("postings", "files", "batch_rejected", "is_rejected", "is_multi_status", "validate_only"):
            getattr(value, name, None)
        for name in value:
            for method in ("decimal", "side", "state"):
                if hasattr(value, method):
                    with suppress(ValueError):
                        getattr(value, method)(name)
    elif isinstance(value, BatchResult):
        shown += repr(value.entries) + str(value.is_final)
    elif isinstance(value, Page):
        shown += "".join(map(look_at, value.items)) + repr(value.summary)
    elif isinstance(value, Record) and type(value).__name__ in {"CustomerRecord", "DocumentRecord"}:
        shown += repr(value.to_input())
    elif isinstance(value, (list, tuple)):
        shown = "".join(map(look_at, value)) if not isinstance(value, tuple) else look_at(value[1])
    return shown


def test_every_operation_is_here() -> None:
    assert set(EVERY) >= set(OPERATIONS) | set(IDENTITY)


@pytest.mark.many_examples
@pytest.mark.parametrize("name", sorted(EVERY))
async def test_whatever_is_replied(name, caplog) -> None:
    chance = random.Random(name)
    given = list(replies(chance))
    if not HAS_ALL:
        # All bodies that are no JSON, all statuses; of the odd values each operation has others.
        always = len(RAW) + len(STATUSES)
        given = [*given[:always], *chance.sample(given[always:], 40)]
    caplog.set_level(logging.DEBUG, "amili_arm_async")
    row = {**OPERATIONS, **IDENTITY}.get(name)
    unsafe = name == "request" or (row is not None and not row.safe)
    values = errors = 0
    async with serving() as server:
        auth = ClientCredentials(client_id="id", client_secret="the-secret", identity_url=server.address)
        retry = RetryPolicy(attempts=2, base_delay=0.0001, max_delay=0.0001)
        async with ArmClient(2218, auth=auth, base_url=f"{server.address}/arm", retry=retry) as arm:
            await arm.request("GET", "health")
            server.asked_for_token = name == "identity.token"
            for reply in given:
                server.reply, server.asked = reply, 0
                failure: ArmError | None = None
                try:
                    async with asyncio.timeout(20):
                        shown = look_at(await EVERY[name](arm))
                    values += 1
                except ArmError as raised:
                    failure, shown = raised, repr(raised) + str(raised)
                    errors += 1
                assert not (unsafe and isinstance(failure, ResponseError)), reply
                if failure is not None and unsafe and 200 <= reply.status < 300:
                    assert isinstance(failure, OutcomeUnknownError), reply
                assert PERSONAL not in shown, reply
                assert "the-secret" not in shown
                if unsafe and reply.status not in {401, 429}:
                    assert server.asked == 1, reply
    assert values
    assert errors
    assert PERSONAL not in caplog.text
    assert "the-token" not in caplog.text


@pytest.mark.parametrize("kind", ["customers.create_many", "customers.update_many", "documents.create_many"])
async def test_whatever_is_replied_to_a_run(kind) -> None:
    section, _, method = kind.partition(".")
    record = CUSTOMER if section == "customers" else DOCUMENT
    async with serving() as server, ArmClient(2218, auth="the-token", base_url=f"{server.address}/arm") as arm:
        chance = random.Random(kind)
        for reply in chance.sample(list(replies(chance)), 60):
            if reply.status in {429, 503}:
                continue
            server.reply = reply
            run = getattr(getattr(arm, section), method)([record, record], options=IMPATIENT)
            with suppress(ArmError):
                async with asyncio.timeout(20):
                    await run
            assert sum(run.report.counts.values()) == 2, reply
            assert PERSONAL not in repr(run.report)

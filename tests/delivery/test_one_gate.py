"""One gate: every unsafe write leaves through one place, which decides whether it may leave, and may leave again.

A new way to send something is not in these tables: then a test here fails until it is.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gzip
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

import amili_arm_async
from amili_arm_async import ArmClient, BulkOptions, ConfigurationError, OutcomeUnknownError, Reconcile, RetryPolicy, Timeout
from amili_arm_async.cli.app import app
from amili_arm_async.endpoints import IDENTITY, OPERATIONS
from amili_arm_async.wire import Request

from ..support.http_server import HttpServer, reply
from ..support.http_server import Request as Received
from ..support.operation_calls import CALLS, IDENTITY_CALLS

TOKEN = "a-token-of-a-test-1234567890"

PACKAGE = Path(amili_arm_async.__file__).parent
SAFE_WRITES = {"customers.create", "customers.update", "customers.create_batch", "customers.update_batch", "identity.token"}
"""The only operations but reads that may be sent again when the outcome is unknown."""

# --- the house ----------------------------------------------------------------------------------------------------------------


@cache
def all_calls() -> list[tuple[str, str, str]]:
    """Module, function and callee of each call in the package, the sandbox apart."""
    found: list[tuple[str, str, str]] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module.startswith("sandbox"):
            continue
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                called = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
                found += [
                    (module, function.name, ast.unparse(callee)) for callee in called if isinstance(callee, (ast.Name, ast.Attribute))
                ]
    return found


def calls_in(*names: str) -> list[tuple[str, str, str]]:
    """The calls of what has one of these names."""
    return [call for call in all_calls() if call[2].rpartition(".")[2] in names]


def test_there_is_one_place_where_a_request_leaves() -> None:
    """Only `connections` imports aiohttp's client (see house/test_structure.py); it sends in one place, which is asked in one place."""
    sends = [call for call in calls_in("request", "get", "post", "put", "delete", "patch", "ws_connect") if call[2].startswith("session.")]
    assert sends == [("connections", "send", "session.request")]
    asked = {(module, function) for module, function, callee in calls_in("send") if "_connections" in callee}
    assert asked == {("transport", "_once")}
    assert {(module, function) for module, function, _ in calls_in("_conclude")} == asked
    assert {(module, function) for module, function, _ in calls_in("_attempt")} == {("transport", "attempt"), ("transport", "_send")}


def test_there_is_one_place_for_each_way_to_repeat() -> None:
    """A single call, and a batch: both ask `may_repeat`, a batch through the table of what is done with one that was not accepted."""
    asked = {(module, function) for module, function, callee in calls_in("may_repeat") if callee == "may_repeat"}
    assert asked == {("transport", "_is_worth_a_retry"), ("retry", "after_batch")}
    assert {(module, function) for module, function, callee in calls_in("after_batch")} == {("bulk.delivery", "_action_after")}
    tried = {(module, function) for module, function, callee in calls_in("attempt") if "transport" in callee or callee == "self.attempt"}
    assert tried == {("transport", "ask"), ("bulk.delivery", "_try"), ("cli.probe.probe", "_ask")}


async def test_what_asks_and_does_not_write_takes_nothing_else() -> None:
    """`Transport.ask` repeats nothing, and is for reads alone."""
    async with ArmClient(2218, auth=TOKEN, base_url="http://127.0.0.1:9") as arm:
        transport = arm._context.transport
        with pytest.raises(ConfigurationError, match="reads"):
            await transport.ask(Request(OPERATIONS["documents.create"], "clients/2218/documents"), timeout=Timeout())


def test_what_is_safe_is_said_in_one_table() -> None:
    assert {name for name, row in {**OPERATIONS, **IDENTITY}.items() if row.safe and row.method != "GET"} == SAFE_WRITES
    assert all(row.safe for row in {**OPERATIONS, **IDENTITY}.values() if row.method == "GET")
    made = {(module, function) for module, function, callee in calls_in("Endpoint") if callee == "Endpoint"}
    assert made == {("endpoints", "_row"), ("endpoints", "unlisted")}


# --- what leaves --------------------------------------------------------------------------------------------------------------


class Ambiguous:
    """Takes the whole of each write and then proves nothing; before that it gives the answers of `first`, which take nothing."""

    def __init__(self, how: str, *first: int) -> None:
        self.how = how
        self.first = list(first)
        self.whole: list[tuple[str, str, bytes]] = []
        self.documents: Counter[str] = Counter()
        self.on = True

    async def __call__(self, request: Received) -> bool:
        body = await request.body()
        if request.path == "/token":
            request.send(reply(200, {"access_token": TOKEN}))
            return True
        if request.method == "GET":
            request.send(reply(200, {"status": "PROCESSED", "result": "SUCCESS", "summary": {}, "documents": []}))
            return True
        if self.first:
            request.send(reply(self.first.pop(0), None, "Retry-After: 0"))
            return True
        self.whole.append((request.method, request.path, body))
        with contextlib.suppress(ValueError, AttributeError):
            value = json.loads(gzip.decompress(body) if "content-encoding" in request.headers else body)
            self.documents.update(record["documentNo"] for record in value.get("documents") or [value] if "documentNo" in record)
        if not self.on:
            request.send(reply(202, {"batchUuid": f"u{len(self.whole)}"}))
            return True
        return await self._prove_nothing(request)

    async def _prove_nothing(self, request: Received) -> bool:
        if self.how == "reset":
            request.writer.transport.abort()
        elif self.how == "closed in the headers":
            request.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif self.how == "cut in the body":
            request.send(b'HTTP/1.1 202 OK\r\nContent-Length: 99\r\n\r\n{"a"')
        elif self.how == "HTML":
            request.send(reply(200, b"<html>"))
        elif self.how == "silence":
            await request.reader.read(1)
        else:
            request.send(reply(int(self.how)))
            return True
        return False


AMBIGUOUS = ["reset", "closed in the headers", "cut in the body", "HTML", "silence", "408", "409", "425", "499", "500", "502", "503", "504"]
DOCUMENTS = [{"documentNo": f"d{number}", "documentType": "IN", "customerNo": "1"} for number in range(4)]

Path_ = Callable[[ArmClient, Path], Awaitable[object]]

UNSAFE: dict[str, Path_] = {
    name: lambda arm, _, call=call: call(arm)  # type: ignore[misc]
    for name, call in {**CALLS, **IDENTITY_CALLS}.items()
    if not {**OPERATIONS, **IDENTITY}[name].safe
}
"""Each unsafe operation of the table by its own method."""


def requested(method: str, path: str) -> Path_:
    return lambda arm, _: arm.request(method, path, json={"documentNo": "d0"})


UNSAFE |= {
    "request, known": requested("POST", "documents"),
    "request, known batch": requested("POST", "documents/batches"),
    "request, unknown POST": requested("POST", "whatever/else"),
    "request, unknown PUT": requested("PUT", "whatever/else"),
    "request, unknown PATCH": requested("PATCH", "whatever/else"),
    "request, unknown DELETE": requested("DELETE", "whatever/else"),
    "request, another method of a safe path": requested("PATCH", "customers"),
    "request, from the base": requested("POST", "/whatever"),
    "request, by another case": requested("post", "documents"),
}

QUICK = {"poll_first": 0.0, "poll_max": 0.01, "patience": 5.0}


def bulk(**options: Any) -> Path_:
    return lambda arm, _: _whole(arm.documents.create_many(DOCUMENTS, options=BulkOptions(**{**QUICK, **options})))


async def _whole(run: Any) -> Any:
    report = await run
    assert report.counts["unknown"] == 4
    raise OutcomeUnknownError("the documents are unknown")


async def streamed(arm: ArmClient, _: Path) -> object:
    async with arm.documents.create_many(DOCUMENTS, options=BulkOptions(**QUICK)) as run:
        async for _outcome in run:
            pass
    raise OutcomeUnknownError(str(run.report.counts["unknown"]))


async def night(arm: ArmClient, _: Path) -> object:
    report = await arm.nightly(documents=DOCUMENTS, document_options=BulkOptions(**QUICK))
    assert report.documents is not None
    assert report.documents.counts["unknown"] == 4
    raise OutcomeUnknownError("the documents are unknown")


async def resumed(arm: ArmClient, folder: Path) -> object:
    options = BulkOptions(**QUICK, journal=folder / "j.sqlite", run_id="r")
    for _ in range(3):
        report = await arm.documents.create_many(DOCUMENTS, options=options)
        assert report.counts["unknown"] == 4
    raise OutcomeUnknownError("the documents are unknown")


async def reconciled(arm: ArmClient, folder: Path) -> object:
    options = BulkOptions(**QUICK, journal=folder / "j.sqlite", run_id="r", reconcile=Reconcile(settle=0.0))
    for _ in range(2):
        report = await arm.documents.create_many(DOCUMENTS, options=options)
        assert report.counts["unknown"] == 4
    raise OutcomeUnknownError("the documents are unknown")


BULK: dict[str, Path_] = {
    "create_many": bulk(),
    "create_many, streamed": streamed,
    "create_many, compressed": bulk(compression="gzip"),
    "create_many, accepted is enough": bulk(results="accepted"),
    "create_many, side by side": bulk(max_records=4, concurrency=4),
    "nightly": night,
    "resumed": resumed,
    "resumed and reconciled": reconciled,
}


def client(api: HttpServer, **settings: Any) -> ArmClient:
    retry = RetryPolicy(attempts=5, base_delay=0.001, max_delay=0.01)
    return ArmClient(
        2218,
        **{"auth": TOKEN, "base_url": api.base_url, "identity_url": api.origin, "retry": retry, "timeout": Timeout(read=0.2), **settings},
    )


def test_each_unsafe_operation_is_sent_in_these_tests() -> None:
    unsafe = {name for name, row in {**OPERATIONS, **IDENTITY}.items() if not row.safe}
    assert unsafe <= set(UNSAFE)
    assert len(unsafe) >= 9


@pytest.mark.parametrize("brought", [False, True], ids=["own session", "brought session"])
@pytest.mark.parametrize("how", AMBIGUOUS)
async def test_each_unsafe_call_is_delivered_once(how: str, brought: bool, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession()) if brought else None
        for name, send in UNSAFE.items():
            service = Ambiguous(how)
            async with HttpServer(service) as api, client(api, session=session) as arm:
                if how == "HTML" and name.startswith("request"):
                    await send(arm, tmp_path)
                else:
                    with pytest.raises(OutcomeUnknownError):
                        await send(arm, tmp_path)
            assert len(service.whole) == 1, name


@pytest.mark.parametrize("how", AMBIGUOUS)
@pytest.mark.parametrize("path", BULK)
async def test_each_bulk_way_delivers_a_document_once(path: str, how: str, tmp_path: Path) -> None:
    service = Ambiguous(how)
    async with HttpServer(service) as api, client(api) as arm, asyncio.timeout(60):
        with pytest.raises(OutcomeUnknownError):
            await BULK[path](arm, tmp_path)
    assert service.documents == {f"d{number}": 1 for number in range(4)}


@pytest.mark.parametrize("how", AMBIGUOUS)
@pytest.mark.parametrize("first", [(429,), (413,), (401,), (413, 413), (400,), (422, 400)], ids=str)
async def test_what_was_refused_first_is_delivered_once_more_and_never_again(first: tuple[int, ...], how: str) -> None:
    """In halves, looked for the bad record in, with another token, after a wait: each part once."""
    numbers = iter(range(99))

    async def fetch() -> str:
        return f"{TOKEN}-{next(numbers)}"

    service = Ambiguous(how, *first)
    async with HttpServer(service) as api, client(api, auth=fetch) as arm, asyncio.timeout(60):
        report = await arm.documents.create_many(DOCUMENTS, options=BulkOptions(**QUICK, bisect="all"))
    assert report.counts["unknown"] == 4
    assert service.documents == {f"d{number}": 1 for number in range(4)}


@pytest.mark.parametrize("how", ["reset", "HTML", "500"])
def test_a_replay_delivers_once(how: str, tmp_path: Path) -> None:
    """What was refused is in the dead letter; its replay gets no answer that proves anything, and neither does the one after it."""
    letter, source = tmp_path / "failed.jsonl", tmp_path / "documents.jsonl"
    source.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    service = Ambiguous(how, 406)

    def call(*arguments: object) -> int:
        return CliRunner().invoke(app, [str(one) for one in arguments], env=env).exit_code

    async def main() -> None:
        async with HttpServer(service) as api:
            env.update(AMILI_ARM_CLIENT_NO="2218", AMILI_ARM_BASE_URL=api.base_url, AMILI_ARM_TOKEN=TOKEN)
            await asyncio.to_thread(call, "push", "documents", source, "--no-journal", "--dead-letter", letter)
            assert len(letter.read_text().splitlines()) == 4
            for _ in range(2):
                await asyncio.to_thread(call, "replay", letter)

    env: dict[str, str] = {}
    asyncio.run(main())
    assert service.documents == {f"d{number}": 1 for number in range(4)}


@pytest.mark.parametrize("how", ["reset", "HTML", "500", "silence"])
async def test_what_is_sent_again_because_it_is_absent_is_delivered_once_more(how: str, tmp_path: Path) -> None:
    """Each reconcile that is asked to sends what is absent once, and never twice when that is unknown."""

    class Store(Ambiguous):
        known: set[str] = set()  # noqa: RUF012 - set for the one service of the test

        async def __call__(self, request: Received) -> bool:
            number = request.path.rpartition("/")[2].partition("?")[0]
            if request.method == "GET" and "/documents/" in request.path:
                found = {"documentNo": number, "documentType": "IN", "customerNo": "1"} if number in self.known else None
                request.send(reply(200, found, f"Date: {_date()}") if found else reply(404, {"message": "none"}, f"Date: {_date()}"))
                return True
            return await super().__call__(request)

    service = Store(how)
    options = BulkOptions(**{**QUICK, "deadline": 0.05}, journal=tmp_path / "j.sqlite", run_id="r", max_records=1, concurrency=1)
    async with HttpServer(service) as api, client(api) as arm, asyncio.timeout(60):
        service.on = False
        await arm.documents.create_many(DOCUMENTS[:1], options=options)
        service.known.add("d0")
        service.on = True
        report = await arm.documents.create_many(DOCUMENTS[:2], options=options)
        assert report.counts["unknown"] == 1
        assert service.documents == {"d0": 1, "d1": 1}
        # It was delivered, and is not there: as if it had been lost behind the gateway.
        report = await arm.documents.reconcile(tmp_path / "j.sqlite", run_id="r", settle=0.1, resend_absent=True, options=options)
    assert service.documents["d0"] == 1
    assert service.documents["d1"] <= 2
    assert report.counts["unknown"] == 1


def _date() -> str:
    from email.utils import formatdate

    return formatdate(usegmt=True)

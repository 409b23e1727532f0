"""A customer that may be processed late is sent again by the next sync: `unchanged` is never said of what the server has otherwise."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from amili_arm_async import ArmClient, BulkError, RetryPolicy, Timeout
from amili_arm_async.sqlite.worker import SqliteWorker
from amili_arm_async.sync.state import SyncState

from .conftest import numbers

AMBIGUOUS = ["reset", "silent", "502", "503", "408", "no batchUuid"]
PROVED = ["429", "429 at once", "refused", "413"]


class Server:
    """Takes batches of customers. `plan` has the faults of those that come next; `process_late` processes what they left. A batch with the
    name `failing` fails, unless it is processed late."""

    def __init__(self) -> None:
        self.plan: list[str] = []
        self.names: dict[str, str] = {}
        self.late: list[list[dict[str, Any]]] = []
        self.failing = ""
        self.sent = 0
        self.polls = 0
        self.url = ""
        self.over = asyncio.Event()
        self.on_refused: Callable[[], Awaitable[None]] | None = None
        self._uuids = itertools.count(1)
        self._batches: dict[str, list[dict[str, Any]]] = {}

    async def take(self, request: web.Request) -> web.StreamResponse:
        records = (await request.json())["customers"]
        fault = self.plan.pop(0) if self.plan else ""
        if fault in {"429", "429 at once", "413"}:
            if self.on_refused is not None:
                await self.on_refused()
            return web.json_response({}, status=int(fault[:3]), headers={"Retry-After": "0"})
        self.sent += len(records)
        if fault in AMBIGUOUS:
            self.late.append(records)
            if fault == "reset":
                assert request.transport is not None
                request.transport.abort()
            if fault == "silent":
                await self.over.wait()
            return web.json_response({}, status=int(fault) if fault.isdecimal() else 202, headers={"Retry-After": "0"})
        uuid = f"b{next(self._uuids)}"
        self._batches[uuid] = records
        if records[0]["name"] != self.failing:
            self.store(records)
        return web.json_response({"batchUuid": uuid, "status": "NOT-PROCESSED"}, status=202)

    async def result(self, request: web.Request) -> web.Response:
        self.polls += 1
        records = self._batches[request.match_info["uuid"]]
        result = "FAIL" if records[0]["name"] == self.failing else "SUCCESS"
        entries = [{"customerNo": record["customerNo"], "result": result} for record in records]
        return web.json_response({"status": "PROCESSED", "result": result, "customers": entries})

    def store(self, records: list[dict[str, Any]]) -> None:
        self.names |= {record["customerNo"]: record["name"] for record in records}

    def process_late(self) -> None:
        while self.late:
            self.store(self.late.pop(0))


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    application = web.Application()
    application.router.add_post("/arm/v1/clients/2218/customers/batches", found.take)
    application.router.add_get("/arm/v1/clients/2218/batches/{uuid}", found.result)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/arm/v1"  # type: ignore[union-attr]
    try:
        yield found
    finally:
        found.over.set()
        await runner.cleanup()


@pytest_asyncio.fixture
async def arm(server: Server) -> AsyncIterator[ArmClient]:
    retry = RetryPolicy(base_delay=0.001, max_delay=0.01)
    async with ArmClient(2218, auth="t", base_url=server.url, timeout=Timeout(read=0.3), retry=retry) as client:
        yield client


def named(name: str, *numbers: int) -> list[dict[str, str]]:
    return [{"customerNo": str(number), "name": name} for number in numbers or (1, 2)]


@pytest.mark.parametrize("fault", AMBIGUOUS)
async def test_a_newer_version_that_was_overtaken_is_sent_again(fault, sync, server) -> None:
    server.plan = [fault]
    assert numbers(await sync(named("old"))) == (2, 0, 0, 0, 0)
    assert numbers(await sync(named("new"))) == (0, 2, 0, 0, 0)
    server.process_late()
    assert set(server.names.values()) == {"old"}
    await sync(named("new"))
    assert set(server.names.values()) == {"new"}
    # It costs no more than that.
    assert numbers(await sync(named("new"))) == (0, 0, 2, 0, 0)


@pytest.mark.parametrize("fault", AMBIGUOUS)
async def test_what_did_not_change_is_sent_once_more_and_then_never_again(fault, sync, server) -> None:
    server.plan = [fault]
    assert numbers(await sync(named("old"))) == (2, 0, 0, 0, 0)
    assert numbers(await sync(named("old"))) == (0, 2, 0, 0, 0)
    assert numbers(await sync(named("old"))) == (0, 0, 2, 0, 0)


@pytest.mark.parametrize("max_records", [1, 2])
@pytest.mark.parametrize("fault", AMBIGUOUS)
async def test_two_versions_in_one_source(fault, max_records, sync, server) -> None:
    server.plan = [fault]
    await sync([*named("old", 1), *named("new", 1)], max_records=max_records)
    server.process_late()
    assert numbers(await sync(named("new", 1)))[1:3] == (1, 0)
    assert server.names == {"1": "new"}
    assert numbers(await sync(named("new", 1))) == (0, 0, 1, 0, 0)


async def test_two_versions_far_apart_in_one_source(sync, server) -> None:
    server.plan = ["reset"]
    others = named("x", *range(10, 4000))
    await sync([*named("old", 1), *others, *named("new", 1), *others, *named("new", 1)], max_records=500)
    server.process_late()
    assert server.names["1"] == "old"
    await sync([*named("new", 1), *others])
    assert server.names["1"] == "new"


async def test_what_follows_in_the_source_that_settles_is_sent_again(sync, server) -> None:
    """What is sent after it in the same sync may be overtaken still."""

    async def source() -> AsyncIterator[dict[str, str]]:
        yield named("old", 1)[0]
        polls = server.polls
        while server.polls == polls:
            await asyncio.sleep(0.01)
        # Until the result is in the state.
        await asyncio.sleep(0.3)
        yield named("new", 1)[0]

    server.plan = ["reset"]
    await sync(named("old", 1))
    await sync(source(), max_records=1)
    assert server.names == {"1": "new"}
    server.process_late()
    assert server.names == {"1": "old"}
    await sync(named("new", 1))
    assert server.names == {"1": "new"}
    assert numbers(await sync(named("new", 1))) == (0, 0, 1, 0, 0)


@pytest.mark.parametrize("fault", PROVED)
async def test_what_was_proved_not_to_be_taken_leaves_nothing_unknown(fault, sync, server, monkeypatch) -> None:
    if fault == "refused":
        refuse_once(monkeypatch)
    else:
        server.plan = [fault]
    assert numbers(await sync(named("old"))) == (2, 0, 0, 0, 0)
    assert numbers(await sync(named("old"))) == (0, 0, 2, 0, 0)


def refuse_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first connection is refused."""
    import aiohttp

    connect: Callable[..., Any] = aiohttp.TCPConnector._create_connection
    left = [1]

    async def refusing(self: Any, *arguments: Any) -> Any:
        if left:
            left.pop()
            raise aiohttp.ClientConnectorError(arguments[0].connection_key, ConnectionRefusedError(111, "refused"))
        return await connect(self, *arguments)

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", refusing)


async def test_only_those_of_the_unknown_batch_are_sent_again(sync, server) -> None:
    server.plan = ["", "reset"]
    await sync(named("old", *range(10)), max_records=5, concurrency=1)
    assert numbers(await sync(named("old", *range(10)))) == (0, 5, 5, 0, 0)


async def test_what_stays_unknown_is_settled_by_the_next_sync_that_sends_the_same(sync, server) -> None:
    server.plan = ["reset"] * 50
    with pytest.raises(BulkError):
        await sync(named("old"), patience=0.05)
    server.plan = []
    assert numbers(await sync(named("old")))[4] == 0
    assert numbers(await sync(named("old"))) == (0, 0, 2, 0, 0)


@pytest.mark.parametrize("was_taken", [False, True])
async def test_what_stays_unknown_is_not_newer_than_what_was_unknown_before(was_taken, sync, server) -> None:
    """It may never have come, so that the older content is processed after what the next sync sends."""
    for name in ("old", "new"):
        server.plan = ["reset"] * 50
        with pytest.raises(BulkError):
            await sync(named(name), patience=0.05)
    server.plan = []
    server.late = [records for records in server.late if was_taken or records[0]["name"] == "old"]
    await sync(named("new"))
    server.late.sort(key=lambda records: records[0]["name"])
    server.process_late()
    assert set(server.names.values()) == {"old"}
    await sync(named("new"))
    assert set(server.names.values()) == {"new"}
    assert numbers(await sync(named("new"))) == (0, 0, 2, 0, 0)


async def test_what_failed_last_may_be_processed_late(sync, server) -> None:
    """What succeeded before it in the source does not say what comes late."""
    server.plan, server.failing = ["", "reset"], "new"
    assert numbers(await sync([*named("old", 1), *named("new", 1)], max_records=1))[4] == 1
    await sync(named("old", 1))
    server.process_late()
    assert server.names == {"1": "new"}
    await sync(named("old", 1))
    assert server.names == {"1": "old"}
    assert numbers(await sync(named("old", 1))) == (0, 0, 1, 0, 0)


async def test_a_half_of_a_batch_is_unknown_too(sync, server) -> None:
    server.plan = ["reset", "413"]
    await sync(named("old", 1, 2))
    assert numbers(await sync(named("old", 1, 2))) == (0, 2, 0, 0, 0)


async def test_an_unknown_outcome_outlives_a_sync_that_does_not_reach_the_customer(sync, server) -> None:
    server.plan = ["reset"]
    await sync(named("old"))
    await sync(named("other", 7))
    server.plan = ["400"]
    assert numbers(await sync(named("old"))) == (0, 2, 0, 0, 0)


async def test_full_settles_as_well(sync, server) -> None:
    server.plan = ["reset"]
    await sync(named("old"))
    assert numbers(await sync(named("old"), full=True)) == (0, 2, 0, 0, 0)
    assert numbers(await sync(named("old"))) == (0, 0, 2, 0, 0)


async def test_what_was_done_before_settles_nothing(sync, server, tmp_path) -> None:
    """Another attempt of a run that is in a journal too sends nothing of it."""
    kept = {"journal": tmp_path / "journal.sqlite", "run_id": "night"}
    server.plan = ["reset"]
    await sync(named("old"), **kept)
    sent = server.sent
    await sync(named("old"), **kept)
    assert server.sent == sent
    server.process_late()
    await sync(named("old"))
    assert server.sent == sent + 2
    assert numbers(await sync(named("old"))) == (0, 0, 2, 0, 0)


async def test_what_was_sent_for_who_is_forgotten_may_be_processed_after_they_came_back(sync, server) -> None:
    server.plan = ["reset"]
    report = await sync(named("old"))
    assert await report.forget(["1", "2"]) == 2
    assert numbers(await sync(named("new"))) == (2, 0, 0, 0, 0)
    server.process_late()
    assert server.names == {"1": "old", "2": "old"}
    await sync(named("new"))
    assert server.names == {"1": "new", "2": "new"}
    assert numbers(await sync(named("new"))) == (0, 0, 2, 0, 0)


async def test_what_was_sent_first_is_not_done_where_the_same_may_not_have_come_again(sync, server, tmp_path) -> None:
    """Between the two something else was sent."""
    kept = {"journal": tmp_path / "journal.sqlite", "run_id": "night", "max_records": 1}

    async def source() -> AsyncIterator[dict[str, str]]:
        for polls, name in enumerate("AB", start=1):
            yield named(name, 1)[0]
            while server.polls < polls:
                await asyncio.sleep(0.01)
        server.plan = ["reset"] * 50
        yield named("A", 1)[0]

    with pytest.raises(BulkError):
        await sync(source(), patience=0.05, **kept)
    # The last one never came.
    server.plan, server.late = [], []
    assert server.names == {"1": "B"}
    report = await sync(named("A", 1), **kept)
    assert report.bulk.counts["succeeded"] == 1
    assert server.names == {"1": "A"}


@pytest.mark.needs_file
async def test_a_sync_that_is_cancelled_in_a_look_up_knows_what_may_be_processed_late(sync, server, monkeypatch) -> None:
    looked_up = 0
    is_looking_up = asyncio.Event()
    find = SyncState.find

    async def slow_find(self: SyncState, names: Any) -> Any:
        nonlocal looked_up
        looked_up += 1
        if looked_up == 2:
            is_looking_up.set()
            await asyncio.sleep(3600)
        return await find(self, names)

    async def source() -> AsyncIterator[dict[str, str]]:
        yield named("old", 1)[0]
        # It is sent a second time.
        while server.sent < 2:
            await asyncio.sleep(0.01)
        yield named("older", 1)[0]

    server.plan = ["reset"]
    with monkeypatch.context() as patched:
        patched.setattr(SyncState, "find", slow_find)
        run = sync(source(), max_records=1)
        task = asyncio.ensure_future(run.bulk._whole())
        await is_looking_up.wait()
        while not run.report.bulk.counts["succeeded"]:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    await sync(named("new", 1))
    server.process_late()
    assert server.names == {"1": "old"}
    await sync(named("new", 1))
    assert server.names == {"1": "new"}
    assert numbers(await sync(named("new", 1))) == (0, 0, 1, 0, 0)


@pytest.mark.needs_file
async def test_what_was_refused_and_is_sent_again_may_be_there_after_a_kill(sync, server, monkeypatch, tmp_path, state) -> None:
    """Also where the disk is busy, so that the refusal and the next attempt are written together."""
    journal = tmp_path / "journal.sqlite"
    kept = {"journal": journal, "run_id": "night", "max_records": 1}
    is_busy, is_refused = threading.Event(), asyncio.Event()
    transact = SqliteWorker._transact

    def slowly(self: SqliteWorker, durable: bool, works: Any, connection: Any) -> Any:
        if is_busy.is_set() and "journal" in self._path:
            is_busy.clear()
            time.sleep(0.3)
        return transact(self, durable, works, connection)

    async def source() -> AsyncIterator[dict[str, str]]:
        yield named("A", 1)[0]
        while not server.polls:
            await asyncio.sleep(0.01)
        # Until the result is in the state.
        await asyncio.sleep(0.2)
        server.plan = ["429 at once", *["silent"] * 9]
        yield named("B", 1)[0]
        await is_refused.wait()
        is_busy.set()
        # Keeps the disk busy.
        yield named("x", 7)[0]

    async def on_refused() -> None:
        is_refused.set()
        await asyncio.sleep(0.1)

    monkeypatch.setattr(SqliteWorker, "_transact", slowly)
    server.on_refused = on_refused
    task = asyncio.ensure_future(sync(source(), **kept).bulk._whole())
    while named("B", 1) not in server.late:
        await asyncio.sleep(0.01)
    # Until all is written.
    await asyncio.sleep(0.2)
    left = files_of(journal, state)
    task.cancel()
    await asyncio.wait([task])
    put_back(left, journal, state)
    server.plan = []
    server.process_late()
    assert server.names["1"] == "B"
    report = await sync(named("A", 1), **kept)
    assert report.bulk.counts["done_before"] == 0
    assert server.names["1"] == "A"


def files_of(*paths: Path) -> dict[Path, bytes]:
    """What a kill leaves now."""
    return {one: one.read_bytes() for path in paths for end in ("", "-wal") if (one := path.with_name(path.name + end)).exists()}


def put_back(files: dict[Path, bytes], *paths: Path) -> None:
    for path in paths:
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    for path, content in files.items():
        path.write_bytes(content)

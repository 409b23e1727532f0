"""A slow source neither stops the event loop for long nor keeps back what it has given already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from amili_arm_async import BulkOptions
from amili_arm_async.bulk import reader
from amili_arm_async.sandbox import Fault
from amili_arm_async.sandbox import app as sandbox_app

from ..support.sandbox_fixtures import quick


def customer(number: int) -> dict[str, Any]:
    return {"customerNo": f"c{number}", "name": "Somebody"}


def document(number: int) -> dict[str, Any]:
    return {"documentNo": f"d{number}", "documentType": "IN", "customerNo": "1"}


async def until(holds: Any) -> None:
    """Waits until something holds; the run that is waited for must not hang."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)


async def test_the_loop_gets_turns_while_a_slow_generator_is_read(arm, sandbox) -> None:
    turns: list[int] = []
    read = 0

    def slow() -> Iterator[dict[str, Any]]:
        nonlocal read
        for number in range(60):
            time.sleep(0.005)
            read += 1
            yield customer(number)

    async def turn() -> None:
        while read < 60:
            turns.append(read)
            await asyncio.sleep(0)

    others = asyncio.create_task(turn())
    report = await arm.customers.create_many(slow(), options=quick())
    await others
    assert report.counts["succeeded"] == 60
    # Ten records take 50 ms: between two turns there were never many more.
    assert max(after - before for before, after in zip(turns, [*turns[1:], 60], strict=True)) <= 10


async def test_the_loop_gets_turns_while_nothing_that_is_read_makes_a_batch(arm, sandbox) -> None:
    ended = asyncio.Event()

    def invalid() -> Iterator[dict[str, Any]]:
        while not ended.is_set():
            yield {"customerNo": float("nan")}

    async def end() -> None:
        ended.set()

    asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(end()))
    report = await asyncio.wait_for(arm.customers.create_many(invalid(), options=quick()), 20)
    assert report.counts["invalid"] == report.totals.records_read


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("what", ["customers", "documents", "journal", "sync"])
async def test_what_a_waiting_source_has_given_is_sent_and_settled(arm, sandbox, tmp_path, what, concurrency) -> None:
    never = asyncio.Event()

    async def waiting() -> AsyncIterator[dict[str, Any]]:
        for number in range(3):
            yield (
                customer(number) if what in {"customers", "sync"} else {"documentNo": f"d{number}", "documentType": "IN", "customerNo": "1"}
            )
        await never.wait()
        yield customer(3)

    options = quick(concurrency=concurrency, **({"journal": tmp_path / "j.sqlite", "run_id": "one"} if what == "journal" else {}))
    if what == "sync":
        sync = arm.customers.sync(waiting(), state=tmp_path / "s.sqlite", options=options)
        run, awaited = sync.bulk, sync
    else:
        run = awaited = (arm.customers if what == "customers" else arm.documents).create_many(waiting(), options=options)

    async def whole() -> None:
        await awaited

    task = asyncio.create_task(whole())
    await until(lambda: run.report.counts["succeeded"] == 3 or task.done())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.report.counts["succeeded"] == run.report.totals.records_read == 3
    assert not run.report.source_exhausted
    assert not run.report.ok


async def test_one_record_at_a_time_is_sent_as_it_comes(arm, sandbox) -> None:
    given = asyncio.Queue[dict[str, Any] | None]()

    async def queue() -> AsyncIterator[dict[str, Any]]:
        while (record := await given.get()) is not None:
            yield record

    run = arm.customers.create_many(queue(), options=quick())

    async def whole() -> None:
        await run

    task = asyncio.create_task(whole())
    for number in range(3):
        given.put_nowait(customer(number))
        await until(lambda: run.report.counts["succeeded"] == number + 1)  # noqa: B023 - awaited at once
    given.put_nowait(None)
    await task
    assert run.report.source_exhausted
    assert len(run.report.batches) == 3


async def test_a_partial_batch_waits_while_another_is_on_the_wire(arm, sandbox, monkeypatch) -> None:
    all_read = asyncio.Event()

    async def source() -> AsyncIterator[dict[str, Any]]:
        yield customer(0)
        await until(lambda: sandbox.in_flight)
        for number in range(1, 60):
            await asyncio.sleep(0)
            yield customer(number)
        all_read.set()

    async def until_all_is_read(app: Any, seconds: float) -> None:
        await all_read.wait()

    # No record waits for others to share its batch, so that the answer to the first one is all that any of them waits for.
    monkeypatch.setattr(reader, "_LINGER", 0.0)
    monkeypatch.setattr(sandbox_app.App, "_pause", until_all_is_read)
    sandbox.inject(Fault.latency(3.0), method="POST", times=1)
    report = await arm.customers.create_many(source(), options=quick(results="accepted"))
    assert report.counts["accepted"] == 60
    assert sorted(batch.records for batch in report.batches) == [1, 59]


@pytest.mark.parametrize("form", ["generator", "async", "async with pauses"])
async def test_a_quick_source_fills_its_batches(arm, sandbox, form, monkeypatch) -> None:
    # However busy the machine is, the source counts as quick.
    monkeypatch.setattr(reader, "_LINGER", 1000.0)

    async def waiting() -> AsyncIterator[dict[str, Any]]:
        for number in range(3500):
            if form == "async with pauses" and number % 100 == 0:
                await asyncio.sleep(0)
            yield customer(number)

    source = (customer(number) for number in range(3500)) if form == "generator" else waiting()
    report = await arm.customers.create_many(source, options=quick(max_records=1000))
    assert sorted(batch.records for batch in report.batches) == [500, 1000, 1000, 1000]


@pytest.mark.parametrize("how", ["break", "cancel"])
async def test_a_source_that_waits_is_closed_when_the_run_is_left(arm, sandbox, how) -> None:
    closed = asyncio.Event()

    async def waiting() -> AsyncIterator[dict[str, Any]]:
        try:
            yield customer(0)
            await asyncio.Event().wait()
        finally:
            closed.set()

    run = arm.customers.create_many(waiting(), options=quick())

    async def program() -> None:
        async with run:
            async for _ in run:
                if how == "break":
                    break
                asyncio.current_task().cancel()  # type: ignore[union-attr]
                await asyncio.sleep(0)

    task = asyncio.create_task(program())
    await asyncio.wait([task], timeout=20)
    assert task.done()
    assert closed.is_set()
    assert run.report.counts["succeeded"] == run.report.totals.records_read == 1
    assert task.cancelled() is (how == "cancel")
    assert not run.report.source_exhausted


async def test_a_long_source_is_read_by_one_task(arm, sandbox) -> None:
    """Where a source waits, it is always the same task that does: what it opened belongs to it."""
    tasks: set[Any] = set()

    async def source() -> AsyncIterator[dict[str, Any]]:
        for number in range(2500):
            tasks.add(asyncio.current_task())
            if number % 50 == 0:
                await asyncio.sleep(0)
            yield customer(number)

    report = await arm.customers.create_many(source(), options=BulkOptions(max_records=100, poll_first=0.01))
    assert report.counts["succeeded"] == 2500
    assert len(tasks) == 1


async def test_what_cant_be_sent_is_told_while_its_source_has_nothing_more_to_give(arm) -> None:
    told = asyncio.Event()

    async def source() -> AsyncIterator[dict[str, str]]:
        yield {"documentNo": "D1", "additionalReference": "x" * 300}
        await asyncio.wait_for(told.wait(), 5)
        yield {"documentNo": "D2"}

    run = arm.documents.create_many(source(), options=BulkOptions(max_bytes=256, poll_first=0.01))
    async with run:
        states = []
        async for outcome in run:
            states.append(outcome.common.state)
            told.set()

    assert states[0] == "invalid"
    assert len(states) == 2

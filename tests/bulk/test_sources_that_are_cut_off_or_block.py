"""A source in which something was cancelled has failed, and is no cancelled run; one that blocks the loop lets through what it gave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from amili_arm_async import BulkError, SourceError

from ..support.sandbox_fixtures import quick

pytestmark = pytest.mark.quick

NUMBER = 100


def document(number: int) -> dict[str, Any]:
    return {"documentNo": f"d{number}", "documentType": "IN", "customerNo": "1"}


async def waits_for_what_is_cancelled() -> AsyncIterator[dict[str, Any]]:
    for number in range(NUMBER):
        yield document(number)
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    await cancelled


def raises_what_was_cancelled() -> Iterator[dict[str, Any]]:
    yield from map(document, range(NUMBER))
    raise asyncio.CancelledError


@pytest.mark.parametrize("source", [waits_for_what_is_cancelled, raises_what_was_cancelled])
async def test_what_was_cancelled_in_a_source_is_its_failure(source: Callable[[], Any], arm, sandbox) -> None:
    run = arm.documents.create_many(source(), options=quick(max_records=30))
    with pytest.raises(BulkError, match="the source raised CancelledError") as raised:
        await run
    assert isinstance(raised.value.__cause__, SourceError)
    assert isinstance(raised.value.__cause__.__cause__, asyncio.CancelledError)
    report = run.report
    # The batches on the wire came to their end.
    assert (report.counts["succeeded"], report.counts["not_sent"], report.counts["unknown"]) == (90, 10, 0)
    assert not report.source_exhausted
    assert report.error is not None


async def test_a_run_that_is_cancelled_while_its_source_waits_is_still_cancelled(arm, sandbox) -> None:
    waits = asyncio.Event()

    async def source() -> AsyncIterator[dict[str, Any]]:
        yield document(1)
        waits.set()
        await asyncio.Event().wait()

    run = arm.documents.create_many(source(), options=quick())

    async def whole() -> None:
        await run

    running = asyncio.create_task(whole())
    await waits.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert run.report.error is None


async def test_what_was_read_leaves_before_a_blocking_source_is_asked_again(arm, sandbox) -> None:
    taken: list[int] = []

    def blocking() -> Iterator[dict[str, Any]]:
        for number in range(4):
            # As a database does that gives a few rows at a time; longer than a record waits for others.
            time.sleep(0.25)
            taken.append(sandbox.documents.total_taken)
            yield document(number)

    report = await arm.documents.create_many(blocking(), options=quick())
    assert report.counts["succeeded"] == 4
    assert taken[-1] >= 1

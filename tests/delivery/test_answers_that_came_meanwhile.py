"""An answer that came while nobody could read it counts, also where the time-out is over: the loop was blocked, or the process stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from amili_arm_async import ArmClient, BulkOptions, Timeout

from ..support.faulty_runs import run_to_end
from ..support.http_server import Request, in_thread, reply

pytestmark = pytest.mark.usefixtures("nothing_left")

LIMIT = 0.5

PROGRAM = """
import asyncio, sys
from amili_arm_async import ArmClient, BulkOptions, Timeout

async def main():
    document = {"documentType": "IN", "customerNo": "1", "documentNo": "d0"}
    async with ArmClient(2218, auth="token", base_url=sys.argv[1], timeout=Timeout(**{sys.argv[2]: float(sys.argv[3])})) as arm:
        options = BulkOptions(results="accepted", patience=0.1)
        report = await arm.documents.create_many([document], options=options)
        print(report.summary())

asyncio.run(main())
"""


class Service:
    """Takes what comes, in a thread of its own, and answers when it may."""

    def __init__(self) -> None:
        self.taken, self.may_answer, self.answered = threading.Event(), threading.Event(), threading.Event()
        self.bodies: list[bytes] = []

    async def __call__(self, request: Request) -> bool:
        self.bodies.append(await request.body())
        self.taken.set()
        await asyncio.to_thread(self.may_answer.wait, 10)
        request.send(reply(202, {"batchUuid": "0f3c0000-0000-4000-8000-000000000001", "status": "NOT-PROCESSED"}))
        await request.writer.drain()
        self.answered.set()
        return True


@pytest.fixture
def service() -> Iterator[Service]:
    """What the service did."""
    made = Service()
    yield made
    made.may_answer.set()


@pytest.fixture
def base_url(service: Service) -> Iterator[str]:
    """Its address."""
    with in_thread(service) as server:
        yield server.origin
        service.may_answer.set()


# --- the loop was blocked by the caller's own code --------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [Timeout(total=0.2), Timeout(read=0.2), Timeout(read=0.2, total=0.2)])
async def test_an_answer_that_came_while_the_loop_was_blocked_counts(service: Service, base_url: str, limit: Timeout) -> None:
    async def source() -> AsyncIterator[dict[str, str]]:
        yield {"documentType": "IN", "customerNo": "1", "documentNo": "d0"}
        while not service.taken.is_set():
            await asyncio.sleep(0.001)
        service.may_answer.set()
        service.answered.wait(5)
        # Nothing moves for longer than any time-out.
        time.sleep(0.5)

    made = BulkOptions(max_records=1, concurrency=2, results="accepted", patience=0.1)
    async with ArmClient(2218, auth="token", base_url=base_url, timeout=limit) as arm:
        report, _ = await run_to_end(arm.documents.create_many(source(), options=made))
    assert report.counts["unknown"] == 0
    assert report.counts["accepted"] == len(service.bodies) == 1


async def test_a_server_that_does_not_answer_still_ends_in_the_time_out(base_url: str) -> None:
    async with ArmClient(2218, auth="token", base_url=base_url, timeout=Timeout(total=0.2)) as arm:
        run = arm.documents.create_many([{"documentNo": "d1"}], options=BulkOptions(results="accepted", patience=0.2))
        report, _ = await run_to_end(run)
    assert report.counts["unknown"] == 1


# --- the process was stopped ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing stops a process here")
@pytest.mark.parametrize("limit", ["read", "total", "exchange"])
@pytest.mark.parametrize("when", ["while it was stopped", "after it"])
async def test_an_answer_to_a_process_that_was_stopped_counts(service: Service, base_url: str, limit: str, when: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, base_url, limit, str(LIMIT), stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    assert await asyncio.to_thread(service.taken.wait, 30)
    process.send_signal(signal.SIGSTOP)
    try:
        if when == "while it was stopped":
            service.may_answer.set()
            assert await asyncio.to_thread(service.answered.wait, 30)
        # Nothing tells when a time-out of a process that does not run is over.
        await asyncio.sleep(3 * LIMIT)
    finally:
        process.send_signal(signal.SIGCONT)
    # Long enough for a process that goes on to give up.
    await asyncio.sleep(LIMIT / 4)
    service.may_answer.set()
    said, _ = await process.communicate()
    assert said.decode().strip() == "1 accepted"

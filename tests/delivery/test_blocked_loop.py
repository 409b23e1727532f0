"""A loop that was blocked by the caller's own code: an answer that came meanwhile counts, also where the time-out is over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkOptions, Timeout

from ..support.faulty_runs import run_to_end

BLOCKED = threading.Event()
ANSWERED = threading.Event()
TAKEN: list[bytes] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        TAKEN.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or self._pieces())
        BLOCKED.wait(5)
        body = b'{"batchUuid": "0f3c0000-0000-4000-8000-000000000001", "status": "NOT-PROCESSED"}'
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        ANSWERED.set()

    def _pieces(self) -> bytes:
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    """A server in a thread of its own: it answers while the loop stands still."""
    BLOCKED.clear()
    ANSWERED.clear()
    TAKEN.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("limit", [Timeout(total=0.2), Timeout(read=0.2), Timeout(read=0.2, total=0.2)])
async def test_an_answer_that_came_while_the_loop_was_blocked_counts(address: str, limit: Timeout) -> None:
    async def source() -> AsyncIterator[dict[str, str]]:
        yield {"documentType": "IN", "customerNo": "1", "documentNo": "d0"}
        while not TAKEN:
            await asyncio.sleep(0.001)
        BLOCKED.set()
        ANSWERED.wait(5)
        # Nothing moves for longer than any time-out.
        time.sleep(0.5)

    made = BulkOptions(max_records=1, concurrency=2, results="accepted", patience=0.1)
    async with ArmClient(2218, auth="token", base_url=address, timeout=limit) as arm:
        report, _ = await run_to_end(arm.documents.create_many(source(), options=made))
    assert report.counts["unknown"] == 0
    assert report.counts["accepted"] == len(TAKEN) == 1


async def test_a_server_that_does_not_answer_still_ends_in_the_time_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(_Handler, "do_POST", lambda self: (self._pieces(), held.wait(5)))
    try:
        async with ArmClient(2218, auth="token", base_url=address, timeout=Timeout(total=0.2)) as arm:
            run = arm.documents.create_many([{"documentNo": "d1"}], options=BulkOptions(results="accepted", patience=0.2))
            report, _ = await run_to_end(run)
    finally:
        held.set()
    assert report.counts["unknown"] == 1

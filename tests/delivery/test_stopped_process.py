"""A process that was stopped for longer than its time-outs takes the answers that came meanwhile, and gives the others their time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

TAKEN = threading.Event()
MAY_ANSWER = threading.Event()
ANSWERED = threading.Event()

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        TAKEN.set()
        MAY_ANSWER.wait(10)
        body = b'{"batchUuid": "0f3c0000-0000-4000-8000-000000000001", "status": "NOT-PROCESSED"}'
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        ANSWERED.set()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    """A server in a thread of its own."""
    for event in (TAKEN, MAY_ANSWER, ANSWERED):
        event.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            MAY_ANSWER.set()
            server.shutdown()
            thread.join()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing stops a process here")
@pytest.mark.parametrize("limit", ["read", "total", "exchange"])
@pytest.mark.parametrize("when", ["while it was stopped", "after it"])
async def test_an_answer_to_a_process_that_was_stopped_counts(address: str, limit: str, when: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, address, limit, str(LIMIT), stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    assert await asyncio.to_thread(TAKEN.wait, 30)
    process.send_signal(signal.SIGSTOP)
    try:
        if when == "while it was stopped":
            MAY_ANSWER.set()
            assert await asyncio.to_thread(ANSWERED.wait, 30)
        # Nothing tells when a time-out of a process that does not run is over.
        await asyncio.sleep(3 * LIMIT)
    finally:
        process.send_signal(signal.SIGCONT)
    # Long enough for a process that goes on to give up.
    await asyncio.sleep(LIMIT / 4)
    MAY_ANSWER.set()
    said, _ = await process.communicate()
    assert said.decode().strip() == "1 accepted"

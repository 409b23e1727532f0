"""A server that answers a batch twice: the second answer is never taken for that to the next batch."""

from __future__ import annotations

import asyncio

import pytest

from amili_arm_async import ArmClient, Timeout

from ..support.faulty_runs import document, options

QUICK = Timeout(connect=1, read=0.25)


@pytest.mark.parametrize("first", ['202 Accepted|{"message": "stale"}', "202 Accepted|", "503 Busy|{}", "500 Odd|{}"])
async def test_a_second_answer_is_not_that_to_the_next_batch(first: str) -> None:
    batches = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal batches
        earlier: bytes | None = None
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method = head.split(b" ")[0]
                size = next((int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")), 0)
                body = await reader.readexactly(size)
                if method == b"POST" and b"D1" in body:
                    status, _, text = first.partition("|")
                    writer.write(answer(status, text))
                    earlier = answer("202 Accepted", '{"batchUuid": "of-the-first"}')
                elif method == b"POST":
                    # It comes when the next batch is on its way.
                    writer.write(earlier or b"")
                    batches += 1
                else:
                    writer.write(answer("200 OK", '{"customers": [], "status": "SUCCEEDED"}'))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(status: str, text: str) -> bytes:
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, ArmClient(2218, auth="token", base_url=f"http://127.0.0.1:{port}/arm") as arm:
        report = await arm.documents.create_many(
            [document("D1"), document("D2")], options=options(max_records=1, concurrency=1), timeout=QUICK
        )

    assert batches == 1
    assert report.counts["unknown"] == 2

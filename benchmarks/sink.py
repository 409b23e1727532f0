"""A server that costs little: it reads every body to its end, in a process of its own, and answers 202 with a batchUuid.

A GET is answered as a batch that is processed. `python -m benchmarks.sink` prints the port it listens on, and serves until its
standard input ends; a number of seconds as its argument is waited before each answer.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = (
    b'{"status":"NOT-PROCESSED","result":"PENDING","message":"Batch accepted for processing","batchUuid":"8NlwdOIM1YLVFP9-WOwkYQ",'
    b'"getResult":"https://localhost/arm/v1/clients/2218/batches/8NlwdOIM1YLVFP9-WOwkYQ"}'
)
RESULT = b'{"status":"PROCESSED","result":"SUCCESS"}'


LATENCY = float(sys.argv[1]) if __name__ == "__main__" and sys.argv[1:] else 0.0


def _reply(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


ACCEPTED = _reply(b"202 Accepted", ANSWER)
PROCESSED = _reply(b"200 OK", RESULT)


class Sink(asyncio.BufferedProtocol):
    """One connection: headers are looked at for the method and the length, bodies are read and counted."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(1 << 20))
        self._head = b""
        self._missing = 0
        self._reply = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._missing:
            self._head += self._buffer[:nbytes]
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._reply = PROCESSED if head.startswith(b"GET ") else ACCEPTED
            _, _, length = head.lower().partition(b"content-length:")
            self._missing = int(length.split(b"\r\n", 1)[0] or 0)
            self._head, nbytes = b"", len(body)
        self._missing -= nbytes
        if not self._missing and LATENCY:
            asyncio.get_running_loop().call_later(LATENCY, self._transport.write, self._reply)
        elif not self._missing:
            self._transport.write(self._reply)


@contextmanager
def sink(latency: float = 0.0) -> Iterator[str]:
    """The address of a sink that runs in a process of its own, and waits so many seconds before each answer."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink", str(latency)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/arm/v1"
        process.stdin.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())

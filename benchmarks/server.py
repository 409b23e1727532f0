"""The bundled server, for where there is no nginx, and for what nginx can't do: latency, and batch results with an entry for each record.

It costs little: it reads every body to its end, counts it, and answers 202 with a batchUuid. It runs in a process of its own:
`python -m benchmarks.server --pages folder` prints the port it listens on, serves until its standard input ends, and prints the
number of bytes of all requests.
"""

import argparse
import asyncio
import re
import ssl
import sys
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

ACCEPTED = (
    '{{"status":"NOT-PROCESSED","result":"PENDING","message":"Batch accepted for processing","batchUuid":"{0}",'
    '"getResult":"https://localhost/arm/v1/clients/2218/batches/{0}"}}'
)
PROCESSED = '{"status":"PROCESSED","result":"SUCCESS"}'
_NUMBERS = count()

# Documents name a customer too, so theirs comes first.
_KEYS = (re.compile(rb'"(documentNo)":"(\d+)"'), re.compile(rb'"(customerNo)":"(\d+)"'))
_ENTRIES = 1000


def _reply(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class Settings(NamedTuple):
    """What the server is asked to do."""

    latency: float
    entries: bool
    pages: dict[bytes, bytes]


class Server(asyncio.BufferedProtocol):
    """One connection: of the head it looks at the first line and the length; the body is read and counted."""

    received = 0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buffer = memoryview(bytearray(1 << 20))
        self._head = b""
        self._line = b""
        self._begin = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        Server.received += nbytes
        if not self._line:
            self._head += self._buffer[:nbytes]
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._line = head.split(b"\r\n", 1)[0]
            _, _, length = head.lower().partition(b"content-length:")
            self._missing = int(length.split(b"\r\n", 1)[0] or 0)
            self._head, self._begin, nbytes = b"", body[:8192], len(body)
        elif self._settings.entries and len(self._begin) < 8192:
            self._begin += self._buffer[: min(nbytes, 8192)]
        self._missing -= nbytes
        if self._missing:
            return
        reply, self._line = self._answer(self._line, self._begin), b""
        if self._settings.latency:
            asyncio.get_running_loop().call_later(self._settings.latency, self._transport.write, reply)
        else:
            self._transport.write(reply)

    def _answer(self, line: bytes, begin: bytes) -> bytes:
        method, target, _ = line.split(b" ", 2)
        path, _, query = target.partition(b"?")
        if method != b"GET":
            # Each batch has a batchUuid of its own: the library takes one that comes twice for a stale answer.
            uuid = _uuid(begin) if self._settings.entries else f"{next(_NUMBERS):022}"
            return _reply(b"202 Accepted", ACCEPTED.format(uuid).encode())
        if b"/batches/" in path:
            return _reply(b"200 OK", _result(path) if self._settings.entries else PROCESSED.encode())
        number = re.search(rb"pageno=(\d+)", query)
        name = b"customer" if not path.endswith(b"/customers") else b"page-%b" % (number[1] if number else b"1")
        return _reply(b"200 OK", self._settings.pages[name])


def _uuid(begin: bytes) -> str:
    """A batchUuid that says which records are in the batch: it is the kind and number of the first one, so that nothing has to be kept."""
    found = next(filter(None, (key.search(begin) for key in _KEYS)), None)
    assert found is not None, "the body names no record"
    return f"{found[1].decode()}-{int(found[2]):011}"


def _result(path: bytes) -> bytes:
    """A result with an entry for each of the 1000 records that a batch has, when the source gives them in order."""
    kind, _, number = path.rpartition(b"/")[2].partition(b"-")
    entry = b'{"%b":"%%d","status":"PROCESSED","result":"SUCCESS"}' % kind
    first = int(number)
    entries = b",".join([entry % place for place in range(first, first + _ENTRIES)])
    return b'{"status":"PROCESSED","result":"SUCCESS","results":[%b]}' % entries


async def _serve(settings: Settings, certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Server, settings), "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(Server.received, flush=True)


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that are waited before each answer")
    parser.add_argument("--entries", action="store_true", help="batch results have an entry for each record")
    parser.add_argument("--pages", type=Path, required=True, help="folder with page-1.json, page-2.json, ... and customer.json")
    parser.add_argument("--certificate", help="serve https with this key and certificate")
    given = parser.parse_args()
    pages = {path.stem.encode(): path.read_bytes() for path in given.pages.glob("*.json")}
    asyncio.run(_serve(Settings(given.latency, given.entries, pages), given.certificate))


if __name__ == "__main__":
    main()

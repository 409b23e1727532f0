"""The best loop by hand, which keeps nothing and checks nothing: what the library is measured against.

aiohttp and msgspec; c workers that pull the next records, encode them all at once, keep only the bytes, and post them. For ready bytes it
checks the syntax of each line and takes its key on the way.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain, islice
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter

CONCURRENCY = 8
PIECE = 256_000

ENCODER = msgspec.json.Encoder(decimal_format="number")
HEADERS = {"Authorization": "Bearer token", "Content-Type": "application/json"}


class _Named(msgspec.Struct):
    customerNo: str | None = None  # noqa: N815 - the name on the wire
    documentNo: str | None = None  # noqa: N815


_NAMED = msgspec.json.Decoder(_Named)


def _encode(items: str, records: list[Any]) -> bytes:
    return ENCODER.encode({"metadata": {"userId": "benchmark"}, items: records})


def _join(items: str, texts: list[bytes]) -> bytes:
    keys = [_NAMED.decode(text) for text in texts]
    assert len(keys) == len(texts)
    return b'{"metadata":{"userId":"benchmark"},"%b":[%b]}' % (items.encode(), b",".join(texts))


class Pieces(aiohttp.Payload):
    """A body that is written in pieces: the TLS layer is slow with large ones."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise NotImplementedError

    async def write(self, writer: AbstractStreamWriter) -> None:
        with memoryview(self._value) as body:
            for start in range(0, len(body), PIECE):
                await writer.write(body[start : start + PIECE])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)


async def by_hand(
    address: str,
    items: str,
    records: Iterable[Any],
    at_once: int,
    *,
    concurrency: int = CONCURRENCY,
    trust: ssl.SSLContext | None = None,
    payload: Callable[[bytes], Any] = bytes,
) -> None:
    """The loop that a good programmer writes when nothing may go wrong."""
    url = f"{address}/clients/2218/{items}/batch"
    source = iter(records)
    first = next(source)
    source = chain([first], source)
    encode = partial(_join if isinstance(first, bytes) else _encode, items)
    del first

    async def work(session: aiohttp.ClientSession) -> None:
        while batch := list(islice(source, at_once)):
            body = encode(batch)
            del batch
            async with session.post(url, data=payload(body), headers=HEADERS) as answer:
                answer.raise_for_status()
                await answer.read()

    connector = aiohttp.TCPConnector(ssl=trust if trust is not None else True)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*[work(session) for _ in range(concurrency)])

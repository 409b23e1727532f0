"""Compressed bodies: taken where they can be read, and refused in the right words where they can't."""

from __future__ import annotations

import gzip
import sys
import zlib

import aiohttp
import pytest

from amili_arm_async.compression import compress, has_zstd
from amili_arm_async.sandbox import Sandbox
from amili_arm_async.sandbox.encodings import plain

pytestmark = pytest.mark.quick

needs_zstd = pytest.mark.skipif(not has_zstd(), reason="no zstd: before Python 3.14 it needs the extra zstd")
GOOD = b'{"customers":[{"customerNo":"1","name":"a"}]}'


def _bomb() -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(compressor.compress(bytes(1_000_000)) for _ in range(50)), compressor.flush()])


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(GOOD, mtime=0), "br", 415),
        (gzip.compress(GOOD, mtime=0), "deflate", 415),
        (b"{}", "gzip", 400),
        (gzip.compress(GOOD, mtime=0)[:-4], "gzip", 400),
        (gzip.compress(GOOD, mtime=0) + b"more", "gzip", 400),
        (gzip.compress(GOOD, mtime=0).ljust(5000), "gzip", 400),
        (gzip.compress(b" " * 6_000_000, mtime=0), "gzip", 413),
        (_bomb(), "gzip", 413),
        (gzip.compress(GOOD, mtime=0), "gzip", 202),
        (gzip.compress(GOOD, mtime=0), "GZIP", 202),
        pytest.param(b"{}", "zstd", 400, marks=needs_zstd),
    ],
)
async def test_what_the_sandbox_says_to_encodings(sandbox, body, encoding, status):
    async with aiohttp.ClientSession() as session:
        answer = await session.post(
            f"{sandbox.base_url}/clients/2218/customers/batches",
            data=body,
            headers={"Authorization": f"Bearer {sandbox.token}", "Content-Encoding": encoding},
        )
        async with answer:
            assert answer.status == status


async def test_what_is_refused_is_seen_and_not_taken() -> None:
    async with Sandbox(content_encodings=["gzip"]) as narrow, aiohttp.ClientSession() as session:
        answer = await session.post(
            f"{narrow.base_url}/clients/2218/customers/batches",
            data=b"anything",
            headers={"Authorization": f"Bearer {narrow.token}", "Content-Encoding": "zstd"},
        )
        async with answer:
            assert answer.status == 415
        assert [(seen.status, seen.body_bytes) for seen in narrow.recent] == [(415, 8)]
        assert narrow.customers.total_delivered == 0


@needs_zstd
@pytest.mark.parametrize("size", [-1, 1, 5000])
def test_zstd_that_is_cut_or_followed_by_something_is_damaged(size: int) -> None:
    body = compress((GOOD,), "zstd")
    wrong = body[:size] if size < 0 else body + b"x" * size
    assert plain(body, "zstd", 1000) == GOOD
    with pytest.raises(ValueError, match="compressed body"):
        plain(wrong, "zstd", 1000)


def test_without_zstd_it_can_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("zstandard", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LookupError):
        plain(b"", "zstd", 1)

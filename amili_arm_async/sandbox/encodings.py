"""Decompresses request bodies."""

from __future__ import annotations

import contextlib
import importlib
import zlib
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

ENCODINGS: Final = ("gzip", "zstd")
"""The values of `Content-Encoding` that can be read."""
_SLICE: Final = 1024
"""Bytes that are made plain at a time: a small body that would become a huge one is found out early."""


class _Decompressor(Protocol):
    """What zlib and both sources of zstd have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def plain(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Returns a body as it was before it was compressed, or None if that is larger than `limit` bytes.

    A `LookupError`: nothing here can read this encoding. A `ValueError`: the body is damaged.
    """
    decompressor, failure = _decompressor(encoding)
    made = bytearray()
    for start in range(0, len(body), _SLICE):
        if decompressor.eof:
            raise ValueError("something follows the compressed body")
        try:
            made += decompressor.decompress(body[start : start + _SLICE])
        except failure as error:
            raise ValueError("the compressed body can't be read") from error
        if len(made) > limit:
            return None
    if not decompressor.eof or decompressor.unused_data:
        raise ValueError("the compressed body is not whole, or something follows it")
    return bytes(made)


def _decompressor(encoding: str) -> tuple[_Decompressor, type[Exception]]:
    """Returns what reads an encoding, and what it raises."""
    if encoding == "gzip":
        return zlib.decompressobj(31), zlib.error
    if encoding == "zstd":
        # Of the standard library from Python 3.14 on, else of the package.
        for name, make in _ZSTD:
            with contextlib.suppress(ImportError):
                module = importlib.import_module(name)
                return make(module), module.ZstdError
    raise LookupError(encoding)


_ZSTD: Final[tuple[tuple[str, Callable[[Any], _Decompressor]], ...]] = (
    ("compression.zstd", lambda module: module.ZstdDecompressor()),
    ("zstandard", lambda module: module.ZstdDecompressor().decompressobj()),
)

"""Pure: compresses the pieces of a body, for bulk runs with `compression`."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Final, Literal, Protocol, TypeAlias

__all__ = ["INSTALL_ZSTD", "Compression", "compress", "has_zstd"]

Compression: TypeAlias = Literal["gzip", "zstd"]
"""The ways a body may be compressed, as `Content-Encoding` names them."""

INSTALL_ZSTD: Final = "pip install 'amili-arm-async[zstd]'" if sys.version_info < (3, 14) else "pip install zstandard"
"""The remedy where nothing can make or read zstd: a Python 3.14 that was built without it gets nothing by the extra."""

_LEVEL: Final = 1
"""The quickest of both: JSON of records that look alike is small then, and more levels cost more time than they save bytes."""

_GZIP: Final = 31
"""Tells zlib to write the frame of gzip around what it makes (16), with its largest window (15)."""


class _Compressor(Protocol):
    """What zlib and both sources of zstd have in common; one is made for each body, since none may be used by two threads."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def has_zstd() -> bool:
    """Tells whether zstd compression is available."""
    return _zstd() is not None


def compress(pieces: Iterable[bytes], encoding: Compression) -> bytes:
    """Compresses a body. It takes the pieces one after the other, so that they are never joined in memory."""
    if encoding == "gzip":
        compressor: _Compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    else:
        make = _zstd()
        assert make is not None  # who asks for zstd where there is none is refused when the options are made
        compressor = make()
    parts = [compressor.compress(piece) for piece in pieces]
    return b"".join([*parts, compressor.flush()])


@cache
def _zstd() -> Callable[[], _Compressor] | None:
    """Makes a zstd compressor: from the standard library, or from the package zstandard; None without both."""
    # By name, and not before it is asked for: neither is there for everybody, and importing takes time.
    with suppress(ImportError):
        module = import_module("compression.zstd")
        return lambda: module.ZstdCompressor(level=_LEVEL)
    with suppress(ImportError):
        package = import_module("zstandard")
        return lambda: package.ZstdCompressor(level=_LEVEL).compressobj()
    return None

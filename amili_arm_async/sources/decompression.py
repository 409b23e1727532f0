"""Pure: gzip and zstd decompressed piece by piece, so that no input, however small, becomes much memory at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

from ..compression import INSTALL_ZSTD
from ..errors import SourceError

__all__ = ["Compression", "DamagedError", "GzipStream", "ZstdStream", "compression_of"]

Compression: TypeAlias = Literal["gzip", "zstd"]

_PIECE: Final = 262_144
"""Bytes that are given at once at the most."""

_GZIP: Final = 31
"""Tells zlib to expect the frame of gzip (16) and its largest window (15)."""

_STEP: Final = 16_384
_ZSTD_STEP: Final = 128
"""Bytes that are decompressed together. Four bytes of zstd may be 128 kB, and its object can't be stopped: so few at a time."""

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED: Final = b"\x2a\x4d\x18"
"""The last three bytes of the magic number of a frame that holds no data."""


_TOO_LARGE: Final = "too much memory"
"""What zstd says of a window of more than 128 MB, its own limit where nothing else is said: memory stays bounded."""

_LONG_WINDOW: Final = (
    "it is compressed with zstd and a window of more than 128 MB (zstd --long=28 to 31), which would take as much memory: "
    "decompress it before (zstd -d --long=31), or compress it without --long"
)


class DamagedError(Exception):
    """Compressed data that can't be decompressed further."""


def compression_of(head: bytes) -> Compression | None:
    """Returns how a file is compressed, by its first four bytes."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(_ZSTD_MAGIC) or (head[1:4] == _ZSTD_SKIPPED and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    return None


class GzipStream:
    """Decompresses gzip, members one after the other, zeros at the end passed over."""

    def __init__(self) -> None:
        self._member: Any = None
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the data holds, in pieces. Raises DamagedError after what could be decompressed."""
        for start in range(0, len(data), _STEP):
            yield from self._step(data[start : start + _STEP])

    def _step(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member is None:
                data = data.lstrip(b"\0") if self._started else data
                if not data:
                    return
                self._member, self._started = zlib.decompressobj(_GZIP), True
            member, before = self._member, self._member.copy()
            try:
                piece = member.decompress(data, _PIECE)
            except zlib.error as exc:
                yield _as_far_as_it_goes(before, data)
                raise DamagedError(f"its gzip data is damaged ({exc})") from None
            if piece:
                yield piece
            if member.eof:
                data, self._member = member.unused_data, None
            else:
                data = member.unconsumed_tail
                if not data and len(piece) == _PIECE:
                    # The rest of it may be in the window of zlib still.
                    yield from self._drain(member)

    def _drain(self, member: Any) -> Iterator[bytes]:
        while piece := member.decompress(b"", _PIECE):
            yield piece
        if member.eof:
            self._member = None

    def end(self) -> None:
        """Raises DamagedError where the data ends in the middle of a member."""
        if self._member is not None:
            raise DamagedError("its gzip data ends in the middle: it was cut off")


def _as_far_as_it_goes(member: Any, data: bytes) -> bytes:
    """What can be decompressed of data that is damaged somewhere: zlib keeps back what it decompressed before it saw the damage."""
    pieces = []
    with suppress(zlib.error):
        for place in range(len(data)):
            pieces.append(member.decompress(data[place : place + 1], _PIECE))  # noqa: PERF401 - what came before a failure is kept
    return b"".join(pieces)


class ZstdStream:
    """Decompresses zstd, frames one after the other.

    Raises:
        SourceError: no module for this compression is installed.
    """

    def __init__(self) -> None:
        self._make, self._error = _zstd()
        self._frame: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the data holds, in pieces. Raises DamagedError after what could be decompressed."""
        for start in range(0, len(data), _ZSTD_STEP):
            step = data[start : start + _ZSTD_STEP]
            while step:
                if self._frame is None:
                    self._frame = self._make()
                try:
                    piece = self._frame.decompress(step)
                except self._error as exc:
                    if _TOO_LARGE in str(exc):
                        raise DamagedError(_LONG_WINDOW) from None
                    raise DamagedError(f"its zstd data is damaged ({exc})") from None
                for begin in range(0, len(piece), _PIECE):
                    yield piece[begin : begin + _PIECE]
                step = b""
                if self._frame.eof:
                    step, self._frame = self._frame.unused_data, None

    def end(self) -> None:
        """Raises DamagedError where the data ends in the middle of a frame."""
        if self._frame is not None:
            raise DamagedError("its zstd data ends in the middle: it was cut off")


def _zstd() -> tuple[Callable[[], Any], type[Exception]]:
    """Makes the decompressor of a frame, and the error that it raises: of the standard library from Python 3.14 on, else of zstandard."""
    with suppress(ImportError):
        module = import_module("compression.zstd")
        return module.ZstdDecompressor, module.ZstdError
    with suppress(ImportError):
        package = import_module("zstandard")
        return lambda: package.ZstdDecompressor().decompressobj(), package.ZstdError
    raise SourceError(f"it is compressed with zstd, and no module for it is installed: {INSTALL_ZSTD}")

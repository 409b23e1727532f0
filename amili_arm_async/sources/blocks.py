"""The bytes of a file in blocks, decompressed, without keeping the loop waiting and without a thread that waits for a pipe."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from os import fstat
from typing import Any, BinaryIO, Final, TypeVar

from .decompression import GzipStream, ZstdStream, compression_of

__all__ = ["blocks", "next_in_thread", "plain_blocks", "run_in_thread"]

ResultT = TypeVar("ResultT")

_BLOCK: Final = 524_288
_MAGIC: Final = 4


async def run_in_thread(function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """Calls a function in a worker thread."""
    from anyio import to_thread  # noqa: PLC0415 - only who reads files needs it

    return await to_thread.run_sync(function, *arguments)


async def next_in_thread(items: Iterator[ResultT]) -> ResultT | None:
    """The next item, made in a worker thread; None at the end."""

    def take() -> ResultT | None:
        return next(items, None)

    return await run_in_thread(take)


async def blocks(file: BinaryIO) -> AsyncGenerator[bytes]:
    """The bytes of a file, decompressed where the file is compressed.

    Raises:
        DamagedError: they can't be decompressed further; what could be was given before.
        SourceError: no module for this compression is installed.
        OSError: the file can't be read.
    """
    first = await _magic(file)
    compression = compression_of(first)
    if compression is None:
        while first:
            yield first
            first = await _read(file)
        return
    unpacker = GzipStream() if compression == "gzip" else ZstdStream()
    while first:
        pieces = unpacker.feed(first)
        while (piece := await next_in_thread(pieces)) is not None:
            if piece:
                yield piece
        first = await _read(file)
    unpacker.end()


def plain_blocks(file: BinaryIO) -> Iterator[bytes]:
    """The bytes of a file, decompressed where the file is compressed; it reads the file: call it in a thread.

    Raises:
        DamagedError, SourceError, OSError: as `blocks`.
    """
    first = file.read(_BLOCK)
    compression = compression_of(first)
    if compression is None:
        while first:
            yield first
            first = file.read(_BLOCK)
        return
    unpacker = GzipStream() if compression == "gzip" else ZstdStream()
    while first:
        yield from filter(None, unpacker.feed(first))
        first = file.read(_BLOCK)
    unpacker.end()


async def _magic(file: BinaryIO) -> bytes:
    """The first bytes: enough to show how it is compressed, and what else comes with them."""
    first = await _read(file)
    while 0 < len(first) < _MAGIC and first[:1] in b"\x1f\x28\x50\x51\x52\x53\x54\x55\x56\x57\x58\x59\x5a\x5b\x5c\x5d\x5e\x5f":
        more = await _read(file)
        if not more:
            break
        first += more
    return first


async def _read(file: BinaryIO) -> bytes:
    """The next bytes of the file, and none at its end, without keeping the loop waiting for them."""
    # Of a buffered file, what is there: it would wait for a whole block.
    read = getattr(file, "read1", file.read)
    descriptor = _descriptor(file)
    if descriptor is not None and not stat.S_ISREG(fstat(descriptor).st_mode) and await _until_readable(descriptor):
        return read(_BLOCK) or b""
    return await run_in_thread(read, _BLOCK) or b""


def _descriptor(file: BinaryIO) -> int | None:
    try:
        return file.fileno()
    except (AttributeError, OSError):
        return None


async def _until_readable(fd: int) -> bool:
    """Waits for a pipe or a terminal; False where the loop can't. A thread that waits for one could not be ended by Ctrl-C."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except (NotImplementedError, OSError):
        return False
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
    return True

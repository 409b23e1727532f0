"""Standard output, which may be a pipe."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from typing import Final

__all__ = ["StandardOutput"]

_AT_ONCE: Final[int] = getattr(select, "PIPE_BUF", 512)
"""Bytes that a writable pipe takes without blocking."""


class StandardOutput:
    """Standard output, unbuffered. A slow reader blocks neither the event loop nor Ctrl-C."""

    def __init__(self) -> None:
        self._stream = sys.stdout.buffer
        self._fd: int | None
        try:
            self._fd = self._stream.fileno()
        except OSError:
            # A program that calls the commands may have replaced it.
            self._fd = None

    async def write(self, data: bytes | bytearray) -> None:
        """Writes all bytes.

        Args:
            data: the bytes.

        Raises:
            BrokenPipeError: the reader is gone.
        """
        if self._fd is None:
            self._stream.write(data)
            return
        rest = memoryview(data)
        while rest:
            most = _AT_ONCE if await _until_writable(self._fd) else len(rest)
            rest = rest[os.write(self._fd, rest[:most]) :]


async def _until_writable(fd: int) -> bool:
    """Waits until a pipe or terminal is writable; returns False where the loop can't wait for it, as for a file on disk."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_writer(fd, ready.set)
    except (NotImplementedError, OSError):
        return False
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
    return True

"""What the commands write: a file that gets its name when it is whole, and standard output that may be a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

__all__ = ["Draft", "StandardOutput", "alone"]

_AT_ONCE: Final[int] = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe takes without blocking when it says that it can be written."""


class Draft:
    """A file that is written under another name beside its own, with mode 0600, and gets its name in one step: `keep`.

    Leaving without `keep` leaves what was there before, if anything was.

    Args:
        path: its name; where that is a link, the file that it leads to.

    Raises:
        OSError: the file can't be made.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(os.path.realpath(path))
        if self.path.exists() and not self.path.is_file():
            raise OSError(errno.EINVAL, "it is no regular file")
        self._draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.new")
        self._file: BinaryIO = os.fdopen(os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            # What could not be written to a full disk can't be written now either.
            self._file.close()
        self._draft.unlink(missing_ok=True)

    async def write(self, data: bytes | bytearray) -> None:
        """Writes all of it."""
        self.put(data)

    def put(self, data: bytes | bytearray) -> None:
        """Writes all of it, for those who can't wait."""
        self._file.write(data)

    def keep(self) -> None:
        """Gives it its name. It is on the disk before that, so that a power loss leaves the old one or the new one."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._draft.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keeps others from putting a file in the place of `path` meanwhile: bulk runs that write a dead letter lock its directory too."""
    import fcntl  # noqa: PLC0415 - not on every system

    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


class StandardOutput:
    """Standard output, unbuffered. A reader who does not read keeps neither the event loop nor Ctrl-C waiting."""

    def __init__(self) -> None:
        self._stream = sys.stdout.buffer
        self._fd: int | None
        try:
            self._fd = self._stream.fileno()
        except OSError:
            # Whoever calls the commands in his own process may have put something else in its place.
            self._fd = None

    async def write(self, data: bytes | bytearray) -> None:
        """Writes all of it.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        if self._fd is None:
            self._stream.write(data)
            return
        rest = memoryview(data)
        while rest:
            most = _AT_ONCE if await _until_writable(self._fd) else len(rest)
            rest = rest[os.write(self._fd, rest[:most]) :]


async def _until_writable(fd: int) -> bool:
    """Waits for a pipe or a terminal; False where the loop can't wait for it, as for a file on a disk."""
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

"""Standard output and error, which may be a slow or a dead pipe, on a full disk, or closed: that changes nothing of what a command does."""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO, cast

__all__ = ["StandardOutput", "SteadyStream", "code_at_end", "decide_exit_code", "steady_streams"]

_AT_ONCE: Final[int] = getattr(select, "PIPE_BUF", 512)
"""Bytes that a writable pipe takes without blocking."""

_DEAD_PIPE: Final = 141
"""Exit code of a program that SIGPIPE ended."""


# --- text -----------------------------------------------------------------------------------------------------------------


class SteadyStream:
    """A text stream whose write never fails: what can't be written is lost, and the reason is kept.

    Args:
        stream: standard output or standard error.

    Attributes:
        failure: why the last write that failed did; None where none did.
        code: exit code where something could not be written; None: that of the command.
        code_of_dead_pipe: as `code`, where the reader is gone.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: Exception | None = None
        self.code: int | None = 1
        self.code_of_dead_pipe: int | None = _DEAD_PIPE

    def write(self, text: str) -> int:
        """Writes a text.

        Args:
            text: what to write.

        Returns:
            The number of characters.
        """
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as exc:
            # ValueError: the stream is closed.
            self.failure = exc
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Writes texts.

        Args:
            lines: what to write.
        """
        self.write("".join(lines))

    def flush(self) -> None:
        """Writes what is still in memory."""
        self.write("")

    def end(self) -> None:
        """Makes the interpreter's own flush at the end of the process succeed."""
        self.flush()
        if self.failure is not None:
            try:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
            except (OSError, ValueError):
                pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def steady_streams() -> Iterator[None]:
    """Makes writing to standard output and standard error never fail while entered.

    Descriptors that are closed are opened, since otherwise the next file that is opened, such as a journal, would be standard error.
    """
    _open_what_is_closed()
    before = sys.stdout, sys.stderr
    streams = [SteadyStream(_text_stream(stream, number)) for number, stream in enumerate(before, 1)]
    sys.stdout, sys.stderr = cast("list[TextIO]", streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            stream.end()


def decide_exit_code(code: int | None, code_of_dead_pipe: int | None) -> None:
    """Says what the exit code is where standard output can't be written. Without this: 1, and 141 where the reader is gone.

    Args:
        code: the exit code; None: that of the command, whose work does not depend on what it prints.
        code_of_dead_pipe: as `code`, where the reader is gone.
    """
    if isinstance(sys.stdout, SteadyStream):
        sys.stdout.code, sys.stdout.code_of_dead_pipe = code, code_of_dead_pipe


def code_at_end(code: int) -> int:
    """Says on standard error that something could not be written to standard output, and returns the exit code of the process.

    Args:
        code: exit code of the command.

    Returns:
        The exit code.
    """
    stream = sys.stdout
    stream.flush()
    if not isinstance(stream, SteadyStream) or stream.failure is None:
        return code
    is_dead_pipe = isinstance(stream.failure, BrokenPipeError)
    other = stream.code_of_dead_pipe if is_dead_pipe else stream.code
    if other != _DEAD_PIPE:
        sys.stderr.write(f"amili-arm: standard output can't be written: {getattr(stream.failure, 'strerror', None) or 'it is closed'}\n")
    return code if other is None else code or other


def _open_what_is_closed() -> None:
    """Opens closed standard descriptors so that using one fails, as it would for a closed one."""
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free descriptor is this one. A program that a command starts gets it too.
            os.set_inheritable(os.open(os.devnull, mode), True)


def _text_stream(stream: TextIO | None, number: int) -> TextIO:
    """Returns the stream, or a new one where the process was started without it; no text is refused for its characters."""
    if stream is None:
        # The number of the descriptor is its place; the stream outlives the interpreter's own objects.
        stream = io.TextIOWrapper(io.FileIO(number, "w", closefd=False), encoding="utf-8", write_through=True)
    if isinstance(stream, io.TextIOWrapper):
        is_ascii = codecs.lookup(stream.encoding).name == "ascii"
        stream.reconfigure(encoding="utf-8" if is_ascii else None, errors="backslashreplace")
    return stream


# --- bytes ----------------------------------------------------------------------------------------------------------------


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

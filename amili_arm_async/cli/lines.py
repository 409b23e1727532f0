"""A file of JSON lines as records: read in blocks, never held whole, and every record's line number found again."""

from __future__ import annotations

import asyncio
import io
import stat
from array import array
from bisect import bisect_right
from collections.abc import AsyncIterator
from os import fstat
from typing import Final

from anyio import to_thread

__all__ = ["LineNumbers", "Lines"]

_BLOCK: Final = 262_144
_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\r"
_NOT_JSON: Final = b"?"
"""Stands for a line that is too long to be kept; it is refused as every line is that holds no JSON object."""


class LineNumbers:
    """The line of each record, kept as runs of records with the same distance from line to line.

    A file without blank lines is one run, and so is one with a blank line after each record.
    """

    def __init__(self) -> None:
        self._indexes = array("q")
        self._lines = array("q")
        self._steps = array("q")
        self._count = 0
        self._last = 0

    def add(self, line: int) -> None:
        """The next record is on `line`."""
        if self._count and line - self._last != self._steps[-1]:
            if self._indexes[-1] == self._count - 1:
                # The second record of a run tells its step.
                self._steps[-1] = line - self._last
            else:
                self._begin(line)
        elif not self._count:
            self._begin(line)
        self._count += 1
        self._last = line

    def _begin(self, line: int) -> None:
        self._indexes.append(self._count)
        self._lines.append(line)
        self._steps.append(1)

    def __getitem__(self, index: int) -> int:
        """The line of the record at `index`, from 0; lines count from 1."""
        run = bisect_right(self._indexes, index) - 1
        return self._lines[run] + (index - self._indexes[run]) * self._steps[run]


class Lines:
    """The records of a file of JSON lines, as bytes, for `create_many`. Blank lines are none; a BOM and CRLF are no part of them.

    Args:
        file: open for reading, unbuffered.
        longest: bytes of a line at the most. Of a longer one nothing is kept: a stand-in that is refused is given in its place.

    Attributes:
        numbers: the line number of each record that was given.
        too_long: the line numbers of those that were too long.
    """

    def __init__(self, file: io.RawIOBase, longest: int) -> None:
        self.numbers = LineNumbers()
        self.too_long: set[int] = set()
        self._file = file
        self._longest = longest
        self._read = 0
        self._size: int | None = None

    def far(self) -> float | None:
        """How much of the file is read, from 0 to 1; None where nobody knows how long it is."""
        return min(1.0, self._read / self._size) if self._size else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        number = 0
        async for lines in self._split():
            for number, line in enumerate(lines, number + 1):  # noqa: B020 - it goes on counting
                text = (line.removeprefix(_BOM) if number == 1 else line).strip(_BLANKS)
                if not text:
                    continue
                if len(line) > self._longest:
                    self.too_long.add(number)
                    text = _NOT_JSON
                self.numbers.add(number)
                yield text

    async def _split(self) -> AsyncIterator[list[bytes]]:
        """The lines of each block; of one that is too long, so much that this can be seen."""
        rest = b""
        self._size = _rest_of(self._file)
        while block := await _read(self._file):
            self._read += len(block)
            lines = block.split(b"\n")
            lines[0] = rest + lines[0]
            rest = lines.pop()[: self._longest + 1]
            yield lines
        yield [rest]


def _rest_of(file: io.RawIOBase) -> int | None:
    """Bytes that are left of a file; None for what is none, such as a pipe."""
    status = fstat(file.fileno())
    return max(0, status.st_size - file.tell()) if stat.S_ISREG(status.st_mode) else None


async def _read(file: io.RawIOBase) -> bytes:
    """The next bytes of the file, and none at its end, without keeping the loop waiting for them."""
    if not stat.S_ISREG(fstat(file.fileno()).st_mode) and await _until_readable(file.fileno()):
        return file.read(_BLOCK) or b""
    return await to_thread.run_sync(file.read, _BLOCK) or b""


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

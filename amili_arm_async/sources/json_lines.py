"""Pure: JSON lines as records, in bytes as they stand. Blank lines are none; a BOM and CRLF are no part of them."""

from __future__ import annotations

from typing import Any, Final

from ..unreadable import UnreadableRecord
from .text import LineSplitter

__all__ = ["JsonLines"]

_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\r"


class JsonLines:
    """Gives the records of blocks with their line numbers.

    Attributes:
        too_long: the numbers of lines that were longer than a line may be; nothing of them is kept.
    """

    def __init__(self, longest: int) -> None:
        self.too_long: set[int] = set()
        self._longest = longest
        self._splitter = LineSplitter(longest)
        self._number = 0

    def feed(self, block: bytes) -> list[tuple[int, Any]]:
        """The records that end in this block."""
        return self._records(self._splitter.feed(block))

    def end(self) -> list[tuple[int, Any]]:
        """The record behind the last line end, if there is one."""
        return self._records([self._splitter.end()])

    def _records(self, lines: list[bytes]) -> list[tuple[int, Any]]:
        found: list[tuple[int, Any]] = []
        for number, line in enumerate(lines, self._number + 1):
            text = (line.removeprefix(_BOM) if number == 1 else line).strip(_BLANKS)
            if len(line) > self._longest:
                self.too_long.add(number)
                fault = f"more than {self._longest} bytes"
                found.append((number, UnreadableRecord(f"line {number}: {fault}", faults=[("too_large", "$", fault)])))
            elif text:
                found.append((number, text))
        self._number += len(lines)
        return found

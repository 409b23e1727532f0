"""Pure: CSV as rows: the delimiter found in the header, fields in quotation marks over many lines, ragged rows named one by one."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from ..errors import SourceError
from .columns import Column, SourceKind, known_names, map_columns
from .rows import RowBuilder, TableRow
from .text import LineSplitter, TextDecoder
from .values import CellError

__all__ = ["DELIMITERS", "CsvReader"]

DELIMITERS: Final = ";,\t|"
_TOLD: Final = re.compile(r"sep=(.)")
_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_CELL: Final = 131_072
"""Characters of a cell at the most, as in the csv module of Python. Where a quotation mark is one too many, no more is read twice."""


class CsvReader:
    """Gives the records of blocks of CSV with their line numbers.

    Args:
        kind: what is read.
        longest: bytes of a record at the most.
        delimiter: between the cells; None looks for it in the header.
        utf8: whether the text is known to be UTF-8; else it is found.
        clear: a cell with this text clears its field.
        extra: whether columns that are no field are passed over.
    """

    def __init__(self, kind: SourceKind, longest: int, *, delimiter: str | None, utf8: bool, clear: str | None, extra: bool) -> None:
        self._kind: SourceKind = kind
        self._longest = longest
        self._delimiter = delimiter
        self._clear = clear
        self._extra = extra
        self._splitter = LineSplitter(longest)
        self._texts = TextDecoder("utf-8" if utf8 else None)
        self._lines: deque[tuple[int, bytes]] = deque()
        self._count = 0
        self._names: list[str] = []
        self._columns: Sequence[Column | None] = ()
        self._builder: RowBuilder | None = None
        # The lines of a row that has a field whose quotation mark is open.
        self._open: list[tuple[int, bytes]] = []
        self._open_size = 0
        # Characters of the field that is open.
        self._cell_size = 0

    def feed(self, block: bytes) -> list[tuple[int, Any]]:
        """The records that end in this block."""
        return self._take(self._splitter.feed(block))

    def end(self) -> list[tuple[int, Any]]:
        """The records that end with the file."""
        found = self._take([self._splitter.end()])
        while self._open:
            found += self._never_closed()
            found += self._work()
        return found + (self._builder.end() if self._builder is not None else [])

    def _take(self, lines: list[bytes]) -> list[tuple[int, Any]]:
        if not self._count and lines:
            lines[0] = lines[0].removeprefix(_BOM)
        self._texts.decide(lines)
        self._lines.extend(enumerate(lines, self._count + 1))
        self._count += len(lines)
        return self._work()

    def _work(self) -> list[tuple[int, Any]]:
        found: list[tuple[int, Any]] = []
        while self._lines:
            number, line = self._lines.popleft()
            text = self._texts.decode(line) if len(line) <= self._longest else None
            if self._builder is None:
                self._begin(number, text)
            elif self._open:
                found += self._further(number, line, text)
            elif text is None:
                found += self._broken(number, self._wrong(line), line[:1000].decode("utf-8", "backslashreplace"))
            elif '"' in text and (open_for := _open_for(text, self._delimiter or "", inside=False)):
                self._open, self._open_size, self._cell_size = [(number, line)], len(line), open_for
            elif text.strip():
                found += self._row(number, text)
        return found

    # --- the header -------------------------------------------------------------------------------------------------------

    def _begin(self, number: int, text: str | None) -> None:
        """Reads the header, the first line that is not blank."""
        if text is None:
            raise SourceError(f"line {number}: the header is too long, or not {self._texts.name}: say which encoding it has")
        text = text.rstrip("\r")
        if (told := _TOLD.fullmatch(text)) and number == 1:
            self._delimiter = self._delimiter or told[1]
        elif text.strip():
            if "\r" in text:
                raise SourceError(f"line {number}: CR alone as line end (classic Mac OS): save it with LF or CRLF")
            known = known_names(self._kind)
            every = [self._delimiter] if self._delimiter is not None else DELIMITERS
            ranked = [
                (len(known.intersection(names)), len(names), delimiter, names) for delimiter in every if (names := _names(text, delimiter))
            ]
            if not ranked:
                raise SourceError(f"line {number}: the quotation marks of the header do not match")
            # The first of those that are as good.
            _, _, self._delimiter, self._names = max(ranked, key=lambda found: found[:2])
            try:
                self._columns = map_columns(self._names, self._kind, extra=self._extra)
            except SourceError as exc:
                raise SourceError(f"line {number}: {exc}") from None
            self._builder = RowBuilder(self._kind, self._columns, "line", self._longest)

    # --- rows -------------------------------------------------------------------------------------------------------------

    def _further(self, number: int, line: bytes, text: str | None) -> list[tuple[int, Any]]:
        """Reads a line after one with an open field."""
        self._open.append((number, line))
        self._open_size += len(line)
        if text is None or self._open_size > self._longest:
            return self._never_closed()
        if open_for := _open_for(text, self._delimiter or "", inside=True):
            # The field continues through the whole line, or ended in it, and another one began.
            self._cell_size = self._cell_size + open_for if open_for > len(text) else open_for
            return self._never_closed() if self._cell_size > _LONGEST_CELL else []
        first = self._open[0][0]
        whole = "\n".join([self._texts.decode(part) or "" for _, part in self._open])
        if self._cells(whole) is None:
            return self._never_closed()
        self._open = []
        return self._row(first, whole)

    def _never_closed(self) -> list[tuple[int, Any]]:
        """A quotation mark is one too many: its line is named, and each line after it is read on its own."""
        (number, line), *rest = self._open
        self._open = []
        self._lines.extendleft(reversed(rest))
        text = self._texts.decode(line)
        return self._broken(number, "a quotation mark opens a field that does not end, or ends before other text", text)

    def _wrong(self, line: bytes) -> str:
        if len(line) > self._longest:
            return f"more than {self._longest} bytes"
        return self._texts.fault(line)

    def _broken(self, number: int, fault: str, as_read: Any) -> list[tuple[int, Any]]:
        assert self._builder is not None
        return self._builder.add(TableRow(number, {}, [fault], as_read, len(as_read or ""), broken=True))

    def _cells(self, text: str) -> list[str] | None:
        assert self._delimiter is not None
        if '"' not in text and "\r" not in text:
            return text.split(self._delimiter)
        try:
            rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        return rows[0] if len(rows) == 1 else None

    def _row(self, number: int, text: str) -> list[tuple[int, Any]]:
        assert self._builder is not None
        cells = self._cells(text.removesuffix("\r"))
        if cells is None:
            return self._broken(
                number,
                f"quotation marks that do not match, a line end of CR alone, or a cell of more than {_LONGEST_CELL} characters",
                text,
            )
        if not any(map(str.strip, cells)):
            return []
        as_read = dict(zip(self._names, cells, strict=False))
        if len(cells) != len(self._columns):
            return self._broken(number, f"{len(cells)} cells{_down(number, text)}, and the header has {len(self._columns)}", text)
        row = TableRow(number, {}, as_read=as_read, size=len(text))
        for column, cell in zip(self._columns, cells, strict=True):
            if column is not None and (plain := cell.strip()):
                try:
                    row.values[column.name] = column.read(plain, self._clear)
                except CellError as exc:
                    row.faults.append(f"column {column.name}: {exc}")
        return self._builder.add(row)


def _names(header: str, delimiter: str) -> list[str] | None:
    try:
        return [name.strip() for name in next(csv.reader([header], delimiter=delimiter, strict=True))]
    except csv.Error:
        return None


def _down(number: int, text: str) -> str:
    """The last line of a row, where it is another than its first."""
    further = text.count("\n")
    return f" (down to line {number + further})" if further else ""


def _open_for(text: str, delimiter: str, *, inside: bool) -> int:
    """Characters of the field in quotation marks that goes on behind this line, the line end too where all of the line is of it; 0 where
    none goes on.

    Args:
        text: the line.
        delimiter: between the fields.
        inside: whether the line begins inside of one.
    """
    place = 0
    while True:
        if not inside and not text.startswith('"', place):
            place = text.find(delimiter, place) + 1
            if not place:
                return 0
            continue
        begin = -1 if inside else place
        place = text.find('"', place if inside else place + 1)
        while place >= 0 and text.startswith('"', place + 1):
            place = text.find('"', place + 2)
        if place < 0:
            return len(text) - begin
        inside = False
        place = text.find(delimiter, place + 1) + 1
        if not place:
            return 0

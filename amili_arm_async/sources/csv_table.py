"""Pure: CSV as blocks of columns. A block with nothing odd is cut by columns; any other line by line, and what is broken is named."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Collection, Sequence
from itertools import islice, repeat
from typing import Any, Final

from ..errors import SourceError, counted
from ..values.judge import Origin
from .table import BrokenRow, TableBlock
from .text import BOM, LineBlocks, TextDecoder

__all__ = ["DELIMITERS", "CsvTable"]

DELIMITERS: Final = ";,\t|"

_BLOCK: Final = 65_536
"""Bytes that are cut together: their cells stay in the cache of the processor."""

_LONGEST_CELL: Final = 131_072
"""Characters of a cell at the most, as in the csv module of Python. Where a quotation mark is one too many, no more is read twice."""

_FEW_COLUMNS: Final = 2
"""With so many columns, a line of a text may have as many cells as a row by chance."""

_MOST_HEADER_LINES: Final = 20
_MOST_ENDS: Final = 100
_MOST_GUESSED: Final = 1000
"""Characters of a broken row in which its cells are guessed."""
_TOLD: Final = re.compile(r'"?sep=([^"\r\n])"?[ ;,\t|]*', re.IGNORECASE)
_CTRL_Z: Final = "\x1a"
_MARK: Final = "\ufeff"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NOT_CLOSED: Final = "a quotation mark opens a field that does not end, or ends before other text"
_NOT_MATCHED: Final = f"quotation marks that do not match, a line end of CR alone, or a cell of more than {_LONGEST_CELL} characters"
_NO_HEADER: Final = "the quotation marks of the header do not match"
_NO_NAME: Final = "a value in column {}, which has no name in the header: name it there, or let extra columns be passed over"
_LINE_END_IN_NAME: Final = re.compile(r"\s*[\r\n]+\s*")


class CsvTable:
    """Gives the rows of CSV by columns; a `TextTable`.

    Each line of the file is a line of the header, of a row, of a broken row, or one of `blank_count`.

    Attributes:
        names: of the columns, as the header has them; `""` where it has none. Empty before the header.
        origins: all are texts.
        line_paths: none.
        line_origins: none.
        lists: none.
        unit: `line`.
        line_count: the lines that were read.
        blank_count: of these, those that are blank or have blank cells only, and a Ctrl-Z at the end.
        header_count: of these, those of the header, and of `sep=` before it.

    Args:
        known: the names of columns that have a meaning: with the delimiter, most names of the header are such.
        longest: bytes of a record at the most.
        delimiter: between the cells; None looks for it in the header.
        encoding: that the file is known to have, so that its bytes come as UTF-8; None finds it.
        extra: whether cells without a name in the header are passed over, instead of being faults where they are not blank.
        wanted: the positions of the columns that are wanted: the others may be given without cells. None: all are.
    """

    line_paths: Sequence[str] = ()
    line_origins: Sequence[Origin] = ()
    lists: Collection[str] = ()
    unit = "line"

    def __init__(
        self,
        known: Collection[str],
        *,
        longest: int,
        delimiter: str | None = None,
        encoding: str | None = None,
        extra: bool = False,
        wanted: Collection[int] | None = None,
    ) -> None:
        self.names: list[str] = []
        self.origins: list[Origin] = []
        self.line_count = 0
        self.blank_count = 0
        self.header_count = 0
        self._known = frozenset(known)
        self._longest = longest
        self._delimiter = delimiter or ""
        self._extra = extra
        self._wanted = wanted
        self._blocks = LineBlocks(longest, _BLOCK)
        self._texts = TextDecoder(encoding)
        # The columns that have a name end here; behind it, cells may be missing.
        self._needed = 0
        self._nameless: list[int] = []
        self._header: list[str] = []
        self._lines: deque[tuple[int, bytes]] = deque()
        # The lines of a row that has a field whose quotation mark is open, their bytes, and the characters of that field.
        self._open: list[tuple[int, bytes]] = []
        self._open_size = 0
        self._cell_size = 0
        # Lines that hold only Ctrl-Z, which may be the last ones.
        self._ends: list[tuple[int, str]] = []
        self._rows: list[list[str]] = []
        self._numbers: list[int] = []
        self._broken: list[BrokenRow] = []

    def feed(self, data: bytes) -> list[TableBlock]:
        """Takes in the next bytes, and returns the blocks that are whole. Raises SourceError."""
        return self._cut(self._blocks.feed(data))

    def end(self) -> list[TableBlock]:
        """Returns the rows that are left at the end of the file. Raises SourceError."""
        rest = self._blocks.end()
        found = self._cut([rest.rstrip(b"\x1a") + b"\n"]) if rest else []
        if self._header:
            raise SourceError(f"line {self.line_count}: {_NO_HEADER}")
        while self._open:
            self._never_closed()
            self._work()
        self.blank_count += len(self._ends)
        return found + self._gathered()

    def _cut(self, blocks: list[bytes]) -> list[TableBlock]:
        if blocks and not self.line_count and blocks[0].startswith(BOM):
            blocks[0] = blocks[0].removeprefix(BOM)
            if not self._texts.is_decided:
                self._texts = TextDecoder("utf-8")
        if not self._texts.is_decided:
            self._texts.decide([line for block in blocks if not block.isascii() for line in block.split(b"\n")])
        found = []
        for block in blocks:
            if (quick := self._quick(block)) is not None:
                found.append(quick)
            else:
                found += self._careful(block)
        return found

    # --- a whole block ----------------------------------------------------------------------------------------------------

    def _quick(self, block: bytes) -> TableBlock | None:
        """The rows of a block with nothing odd, None of any other."""
        if not self._needed or self._open or self._ends or len(block) > self._longest:
            return None
        text = self._texts.decode_block(block)
        if text is None:
            return None
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        if "\r" in text or _CTRL_Z in text or _MARK in text:
            return None
        count = text.count("\n")
        columns = None
        if self._wanted is not None and '"' not in text:
            columns = self._only_wanted(text, self._wanted)
        if columns is None:
            columns = self._quoted(text, count) if '"' in text else self._plain(text, count)
            if columns is None or (columns := self._fitted(columns, count)) is None or _has_blank_row(columns):
                return None
        first = self.line_count + 1
        self.line_count += count
        return TableBlock(columns, range(first, first + count))

    def _only_wanted(self, text: str, wanted: Collection[int]) -> list[Sequence[Any]] | None:
        """The columns of lines without a quotation mark, the others empty, where all lines have a cell for each name and none is blank."""
        lines = text.split("\n")
        del lines[-1]
        if not wanted or self._nameless or {*map(str.count, lines, repeat(self._delimiter))} != {len(self.names) - 1}:
            return None
        last = max(wanted) + 1
        cells = [line.split(self._delimiter, last) for line in lines]
        columns: list[Sequence[Any]] = [()] * len(self.names)
        for place in wanted:
            columns[place] = [row[place] for row in cells]
        return columns if any(all(map(str.strip, columns[place])) for place in wanted) else None

    def _plain(self, text: str, count: int) -> list[Sequence[Any]] | None:
        """The columns of lines without a quotation mark, where all have as many cells."""
        delimiter = self._delimiter
        stride = text.count(delimiter, 0, text.index("\n")) + 2
        # Each line end becomes a cell of its own: all lines have as many cells where these stand in one column.
        cells = text.replace("\n", f"{delimiter}\n{delimiter}").split(delimiter)
        if len(cells) != count * stride + 1 or cells[stride - 1 :: stride].count("\n") != count:
            return None
        del cells[-1]
        return [cells[place::stride] for place in range(stride - 1)]

    def _quoted(self, text: str, count: int) -> list[Sequence[Any]] | None:
        """The columns of lines with quotation marks, where each line is a row, and all have as many cells."""
        lines = text.split("\n")
        del lines[-1]
        try:
            rows = list(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        if len(rows) != count or len(set(map(len, rows))) != 1:
            return None
        return list(zip(*rows, strict=True))

    def _fitted(self, columns: list[Sequence[Any]], count: int) -> list[Sequence[Any]] | None:
        """The columns of the header, where the cells that have no name there are blank or passed over."""
        width = len(self.names)
        if len(columns) < self._needed:
            return None
        if not self._extra and not all(map(_are_blank, columns[width:])):
            return None
        del columns[width:]
        columns += [[""] * count for _ in range(width - len(columns))]
        if not self._extra and not all(_are_blank(columns[place]) for place in self._nameless):
            return None
        return columns

    # --- line by line -----------------------------------------------------------------------------------------------------

    def _careful(self, block: bytes) -> list[TableBlock]:
        lines = block.split(b"\n")
        del lines[-1]
        self._lines.extend(enumerate(lines, self.line_count + 1))
        self.line_count += len(lines)
        self._work()
        return self._gathered()

    def _gathered(self) -> list[TableBlock]:
        rows, numbers, broken = self._rows, self._numbers, self._broken
        if not rows and not broken:
            return []
        self._rows, self._numbers, self._broken = [], [], []
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [[] for _ in self.names]
        return [TableBlock(columns, numbers, broken)]

    def _work(self) -> None:
        while self._lines:
            number, line = self._lines.popleft()
            plain = line.removeprefix(BOM)
            text = self._texts.decode(plain) if len(plain) <= self._longest else None
            if not self._needed:
                self._begin(number, plain, text)
            elif self._open:
                self._further(number, line, text)
            elif text is None:
                self._unreadable(number, plain)
            elif _CTRL_Z in text and not text.strip(" \t\r\x1a"):
                self._ends.append((number, text))
                if len(self._ends) > _MOST_ENDS:
                    self._put_back_ends()
            else:
                if self._ends and text.strip():
                    self._put_back_ends()
                self._line(number, line, text)

    def _put_back_ends(self) -> None:
        """Ctrl-Z was not at the end: it is a character as others are."""
        for number, text in self._ends:
            self._row(number, text, self._cells(text.removesuffix("\r")))
        self._ends = []

    def _line(self, number: int, line: bytes, text: str) -> None:
        cells = self._cells(text.removesuffix("\r"))
        if cells is None and '"' in text and (open_for := _open_for(text, self._delimiter, inside=False)):
            self._open, self._open_size, self._cell_size = [(number, line)], len(line), open_for
        else:
            self._row(number, text, cells)

    def _further(self, number: int, line: bytes, text: str | None) -> None:
        """Reads a line after one with an open field."""
        self._open.append((number, line))
        self._open_size += len(line)
        if text is None or self._open_size > self._longest:
            self._never_closed()
        elif open_for := _open_for(text, self._delimiter, inside=True):
            # The field continues through the whole line, or ended in it, and another one began.
            self._cell_size = self._cell_size + open_for if open_for > len(text) else open_for
            if self._cell_size > _LONGEST_CELL:
                self._never_closed()
        else:
            first, count = self._open[0][0], len(self._open)
            whole = "\n".join([self._text(part) for _, part in self._open])
            cells = self._cells(whole.removesuffix("\r"))
            if cells is None or self._holds_a_row():
                self._never_closed()
            else:
                self._open = []
                self._row(first, whole, cells, count)

    def _holds_a_row(self) -> bool:
        """Whether a line within quotation marks is a row of its own, whose first cell has the form of the one before: then a mark is one
        too many, and another one closed it."""
        width = len(self.names)
        if width <= _FEW_COLUMNS:
            return False
        first, *within = [self._text(line).rstrip("\r") for _, line in self._open]
        form = _form_of(first.split(self._delimiter)[0])
        if _open_for(first, self._delimiter, inside=False) == len(first):
            # Behind a text in the first column, all other columns are on its last line.
            del within[-1]
        for line in within:
            cells = self._cells(line) or []
            # In a sentence, there is a blank behind a comma.
            if len(cells) == width and cells[0].strip() and _form_of(cells[0]) == form and not any(cell[:1].isspace() for cell in cells):
                return True
        return False

    def _never_closed(self) -> None:
        """A quotation mark is one too many: its line is named, and each line after it is read on its own."""
        (number, line), *rest = self._open
        self._open = []
        self._lines.extendleft(reversed(rest))
        self._refuse(number, _NOT_CLOSED, self._text(line))

    def _text(self, line: bytes) -> str:
        return self._texts.decode(line.removeprefix(BOM)) or ""

    def _unreadable(self, number: int, line: bytes) -> None:
        fault = f"more than {self._longest} bytes" if len(line) > self._longest else self._texts.fault(line)
        self._refuse(number, fault, line[:1000].decode("utf-8", "backslashreplace"))

    def _refuse(self, number: int, fault: str, as_read: str) -> None:
        cells = [cell.strip(' \t"') for cell in as_read[:_MOST_GUESSED].split(self._delimiter)[: len(self.names)]]
        self._broken.append(BrokenRow(len(self._rows), number, fault, as_read, cells=cells))

    def _cells(self, text: str) -> list[str] | None:
        if '"' not in text and "\r" not in text:
            return text.split(self._delimiter)
        try:
            rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        return rows[0] if len(rows) == 1 else None

    def _row(self, number: int, text: str, cells: list[str] | None, count: int = 1) -> None:
        """Takes in a row on `count` lines."""
        if cells is None:
            self._refuse(number, _NOT_MATCHED, text)
        elif _are_blank(cells):
            self.blank_count += count
        elif (fault := self._fault_of(cells, number, count)) is not None:
            self._refuse(number, fault, text)
        else:
            width = len(self.names)
            del cells[width:]
            cells += [""] * (width - len(cells))
            self._rows.append(cells)
            self._numbers.append(number)

    def _fault_of(self, cells: list[str], number: int, count: int) -> str | None:
        width = len(self.names)
        if len(cells) < self._needed or (len(cells) > width and not self._extra and not _are_blank(cells[width:])):
            down = f" (down to line {number + count - 1})" if count > 1 else ""
            return f"{counted(len(cells), 'cell')}{down}, and the header has {self._needed}"
        if not self._extra:
            for place in self._nameless:
                if place < len(cells) and not _are_blank([cells[place]]):
                    return _NO_NAME.format(place + 1)
        return None

    # --- the header -------------------------------------------------------------------------------------------------------

    def _begin(self, number: int, line: bytes, text: str | None) -> None:
        """Reads a line of the header, which begins with the first line that is not blank."""
        if text is None:
            why = f"more than {self._longest} bytes" if len(line) > self._longest else self._texts.fault(line)
            raise SourceError(f"line {number}: the header is {why}")
        text = text.removesuffix("\r")
        if number == 1 and (told := _TOLD.fullmatch(text)):
            self._delimiter = self._delimiter or told[1]
            self.header_count += 1
        elif text.strip() or self._header:
            self.header_count += 1
            self._header.append(text)
            self._try_header(number)
        else:
            self.blank_count += 1

    def _try_header(self, number: int) -> None:
        text = "\n".join(self._header)
        if "\r" in text:
            raise SourceError(f"line {number}: CR alone as line end (classic Mac OS): save it with LF or CRLF")
        every = [self._delimiter] if self._delimiter else DELIMITERS
        following = next((line.decode("utf-8", "replace") for _, line in self._lines if line.strip()), "")
        # The first of those that are as good.
        best = max((_Header(text, delimiter, self._known, following) for delimiter in every), key=lambda header: header.score)
        if (names := best.names) is None:
            if best.is_open and len(self._header) < _MOST_HEADER_LINES:
                return
            raise SourceError(f"line {number}: {_NO_HEADER}")
        self._delimiter = best.delimiter
        if not any(names):
            raise SourceError(f"line {number}: no column has a name")
        if not self._known.intersection(names) and (below := self._header_below()) is not None:
            raise SourceError(f"line {number} is no header, and line {below} looks like one: remove what stands above it")
        self._header = []
        self.names = names
        self.origins = ["text"] * len(names)
        self._nameless = [place for place, name in enumerate(names) if not name]
        self._needed = max(place for place, name in enumerate(names) if name) + 1

    def _header_below(self) -> int | None:
        """The line that looks like a header, of those that follow."""
        for number, line in islice(self._lines, _MOST_HEADER_LINES):
            text = line.decode("utf-8", "replace").rstrip("\r")
            if max(len(self._known.intersection(_names(text, delimiter) or ())) for delimiter in DELIMITERS) > 1:
                return number
        return None


class _Header:
    """A header as a delimiter cuts it.

    Attributes:
        delimiter: between the names.
        names: None where the quotation marks do not match.
        is_open: whether one is open at the end.
        score: how many names are known, whether the next line is cut into as many cells, and how many there are.
    """

    def __init__(self, text: str, delimiter: str, known: frozenset[str], following: str) -> None:
        self.delimiter = delimiter
        self.is_open = '"' in text and _open_for(text, delimiter, inside=False) > 0
        self.names = None if self.is_open else _names(text, delimiter)
        names = self.names or [name.strip(' "') for name in text.split(delimiter)]
        self.score = len(known.intersection(names)), 0 < len(names) - 1 == following.count(delimiter), len(names)


def _names(text: str, delimiter: str) -> list[str] | None:
    try:
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    # A name on two lines that has a delimiter in it may be a quotation mark too many, and a row behind the header.
    if len(rows) != 1 or any("\n" in name and delimiter in name for name in rows[0]):
        return None
    return [_LINE_END_IN_NAME.sub(" ", name.strip()) for name in rows[0]]


def _are_blank(cells: Sequence[str]) -> bool:
    text = "".join(cells)
    return not text or (text.isspace() and not _CONTROL.search(text))


def _has_blank_row(columns: list[Sequence[Any]]) -> bool:
    first = columns[0]
    if all(map(str.strip, first)):
        return False
    blank = [place for place, cell in enumerate(first) if not cell.strip()]
    return any(_are_blank([column[place] for column in columns]) for place in blank)


def _form_of(cell: str) -> str:
    """The form of a cell: `a0` of `F-1001`, `fv 2`, and so on."""
    return re.sub("[0-9]+", "0", re.sub(r"[^\W\d_]+", "a", re.sub(r"[^\w]|_", "", cell)))


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

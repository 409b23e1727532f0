"""`ArrowTable`: frames, streams, batches and Parquet files as columns of texts, in blocks of some hundred rows. Only with pyarrow."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain
from typing import Any, Final

from ..errors import SourceError
from ..values.judge import Origin
from .arrow_columns import ArrowColumn, BatchCells, aligned, check_type, columns_of, shown
from .arrow_inputs import ArrowInput, Batch
from .table import BrokenRow, NestedLines, TableBlock

__all__ = ["ArrowTable"]

_ROWS: Final = 500
"""Of a block, at the most."""

_LINES: Final = 2000
"""Of the rows of a block, about."""


class ArrowTable:
    """A table of Arrow; a `ColumnTable`.

    Args:
        name: of the whole, for messages.
        find_inputs: finds what gives its batches, one after the other; called by `begin`.
    """

    unit = "row"

    def __init__(self, name: str, find_inputs: Callable[[], Sequence[ArrowInput]]) -> None:
        self.name = name
        self.names: Sequence[str] = ()
        self.origins: Sequence[Origin] = ()
        self.line_paths: Sequence[str] = ()
        self.line_origins: Sequence[Origin] = ()
        self.lists: Collection[str] = ()
        self.row_count: int | None = None
        self._find_inputs = find_inputs
        self._inputs: Sequence[ArrowInput] = ()
        self._header: list[ArrowColumn] = []
        self._columns: list[list[ArrowColumn]] = []
        self._wanted: list[int] | None = None
        self._row = 0

    def begin(self) -> None:
        """Reads the header, and that of every file, so that one with other columns is named before anything is sent. Raises SourceError."""
        self._inputs = self._find_inputs()
        for source in self._inputs:
            with self._explained(source):
                source.open()
                columns = columns_of(source.schema, source.refused, source.constants)
                self._header = self._header or columns
                self._columns.append(aligned(self._header, columns))
                pairs = zip(self._header, self._columns[-1], strict=True)
                # A column that holds nothing in one file has the type that it has in another.
                self._header = [other if known.is_null and other.path else known for known, other in pairs]
        plain = [column for column in self._header if column.list_at is None]
        lines = [column for column in self._header if column.list_at is not None]
        self.names, self.origins = [column.name for column in plain], [column.origin for column in plain]
        self.line_paths, self.line_origins = [column.name for column in lines], [column.origin for column in lines]
        self.lists = {column.name for column in self._header if column.is_list}
        counts = [source.row_count for source in self._inputs]
        self.row_count = None if None in counts else sum(filter(None, counts))

    def select(self, wanted: Collection[str]) -> None:
        """Says which columns are wanted. Raises SourceError where one can't be text, or has several types."""
        self._wanted = [place for place, column in enumerate(self._header) if column.name in wanted]
        for source, columns in zip(self._inputs, self._columns, strict=True):
            with self._explained(source):
                self._check(columns)
        lists = {
            column.path[: column.list_at]: column.name for place in self._wanted if (column := self._header[place]).list_at is not None
        }
        if len(lists) > 1:
            one, other, *_ = lists.values()
            raise SourceError(f"columns {shown(one)} and {shown(other)} are in two lists of lines: a record has one")

    def _check(self, columns: Sequence[ArrowColumn]) -> None:
        for place in self._wanted or ():
            check_type(self._header[place], columns[place])

    def blocks(self) -> Iterator[TableBlock]:
        """Gives the blocks; once. Raises SourceError, after what stood before it was given."""
        if self._wanted is None:
            self.select({*self.names, *self.line_paths})
        assert self._wanted is not None
        try:
            for source, columns in zip(self._inputs, self._columns, strict=True):
                with self._explained(source):
                    schema, known = source.schema, columns
                    for batch in source.batches({columns[place].path[0] for place in self._wanted if columns[place].path}):
                        if batch.schema is not schema and not batch.schema.equals(schema):
                            schema, known = batch.schema, aligned(self._header, columns_of(batch.schema, {}, {}))
                            self._check(known)
                        yield from self._blocks_of(batch, {place: known[place] for place in self._wanted})
        finally:
            self.close()

    def _blocks_of(self, batch: Batch, columns: dict[int, ArrowColumn]) -> Iterator[TableBlock]:
        cells = BatchCells(batch.arrays, list(columns.values()))
        counts = cells.line_counts(batch.row_count) if any(column.list_at is not None for column in columns.values()) else None
        for start, length in _cuts(batch.row_count, counts):
            lines = counts[start : start + length] if counts is not None else None
            yield _Cut(self._header, columns, cells, start, self._row + 1).block(length, lines)
            self._row += length

    @contextmanager
    def _explained(self, source: ArrowInput) -> Iterator[None]:
        """Makes every error a SourceError, with the place."""
        name = f"{source.name}: " if len(self._inputs) > 1 else ""
        try:
            yield
        except SourceError as exc:
            raise SourceError(f"{name}{exc}") from None
        except Exception as exc:  # a damaged file makes pyarrow raise errors of many kinds, and a query what its engine has
            place = f"after row {self._row}" if self._row else "before its first row"
            reason = getattr(exc, "strerror", None) or type(exc).__name__
            raise SourceError(f"{name}{source.failure(exc).format(place=place, reason=reason)}") from exc

    def close(self) -> None:
        """Closes what `begin` opened."""
        for source in self._inputs:
            source.close()


def _cuts(row_count: int, line_counts: Sequence[int] | None) -> Iterator[tuple[int, int]]:
    """Where blocks begin, and how many rows they have: few where the rows have many lines."""
    if line_counts is None:
        yield from ((start, min(_ROWS, row_count - start)) for start in range(0, row_count, _ROWS))
        return
    start = lines = 0
    for row, count in enumerate(line_counts):
        if row - start == _ROWS or (row > start and lines + count > _LINES):
            yield start, row - start
            start, lines = row, 0
        lines += count
    if row_count > start:
        yield start, row_count - start


class _Cut:
    """Makes a block of some rows of a batch.

    Args:
        header: all columns of the table.
        columns: the wanted ones, by their positions in the header, as the batch has them.
        cells: of the batch.
        start: the first row, in the batch.
        number: of that row, in the table.
    """

    def __init__(
        self, header: Sequence[ArrowColumn], columns: Mapping[int, ArrowColumn], cells: BatchCells, start: int, number: int
    ) -> None:
        self._header = header
        self._columns = columns
        self._cells = cells
        self._start = start
        self._number = number

    def block(self, length: int, line_counts: Sequence[int] | None) -> TableBlock:
        """The block; its rows with cells that are no text of their type are apart, and named."""
        try:
            return self._quick(0, length, line_counts)
        except (ValueError, OverflowError):  # of pyarrow too: ArrowInvalid is a ValueError
            return self._careful(length, line_counts)

    def _quick(self, start: int, length: int, line_counts: Sequence[int] | None) -> TableBlock:
        plain: list[Sequence[Any]] = []
        lines: list[Sequence[Any]] = []
        for place, column in enumerate(self._header):
            found = self._columns.get(place)
            into = plain if column.list_at is None else lines
            into.append(() if found is None else self._cells.read(found, self._start + start, length))
        first = self._number + start
        nested = None if line_counts is None else NestedLines(lines, [0, *accumulate(line_counts[start : start + length])])
        return TableBlock(plain, range(first, first + length), (), nested)

    def _careful(self, length: int, line_counts: Sequence[int] | None) -> TableBlock:
        bad: dict[int, list[str]] = {}
        for column in self._columns.values():
            if self._fault(column, 0, length) is not None:
                for row in range(length):
                    if (fault := self._fault(column, row, 1)) is not None:
                        bad.setdefault(row, []).append(fault)
        good = [row for row in range(length) if row not in bad]
        parts = [self._quick(row, 1, line_counts) for row in good]
        plain: list[Sequence[Any]] = [list(chain.from_iterable(cells)) for cells in zip(*(part.columns for part in parts), strict=True)]
        broken = [
            BrokenRow(bisect_left(good, row), self._number + row, "; ".join(faults), self._as_read(row)) for row, faults in bad.items()
        ]
        nested = None
        if line_counts is not None:
            lines: list[Sequence[Any]] = [
                list(chain.from_iterable(cells)) for cells in zip(*(part.lines.columns for part in parts if part.lines), strict=True)
            ]
            nested = NestedLines(lines or self._no_cells(in_lines=True), [0, *accumulate(line_counts[row] for row in good)])
        numbers = [self._number + row for row in good]
        return TableBlock(plain or self._no_cells(in_lines=False), numbers, sorted(broken), nested)

    def _no_cells(self, *, in_lines: bool) -> list[Sequence[Any]]:
        return [() for column in self._header if (column.list_at is not None) == in_lines]

    def _as_read(self, row: int) -> dict[str, Any]:
        """What a row holds, as far as it can be read."""
        found: dict[str, Any] = {}
        for column in self._columns.values():
            if self._fault(column, row, 1) is None:
                cells = self._cells.read(column, self._start + row, 1)
                found[column.name] = cells[0] if column.list_at is None else cells
        return {name: cells for name, cells in found.items() if cells is not None}

    def _fault(self, column: ArrowColumn, start: int, length: int) -> str | None:
        """What is wrong with the cells of a column in some rows."""
        try:
            self._cells.read(column, self._start + start, length)
        except UnicodeDecodeError:
            return f"column {shown(column.name)}: not UTF-8"
        except (ValueError, OverflowError):
            return f"column {shown(column.name)}: no value of its type {column.type} that can be read"
        return None

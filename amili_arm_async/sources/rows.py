"""Pure: rows of a table as records: nested by the dots of their columns; rows of one document put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..unreadable import UnreadableRecord
from .columns import KEYS, LINES, Column, SourceKind

__all__ = ["RowBuilder", "TableRow"]

_MOST_BROKEN: Final = 1000
_MOST_ROWS: Final = 100_000
"""Rows of a document: each is an object here, however short its text."""
_MOST_FAULTS: Final = 10
_MOST_KEPT: Final = 100
_NOTHING: Final = object()


@dataclass(slots=True)
class TableRow:
    """One row of a table.

    Attributes:
        number: its line or row.
        values: by the name of the column; what is not given is not there.
        faults: what is wrong with it.
        as_read: its cells as they stood, for a dead letter.
        size: about its bytes.
        broken: whether it could not be cut into cells, so that its document is unknown.
    """

    number: int
    values: dict[str, Any]
    faults: list[str] = field(default_factory=list)
    as_read: Any = None
    size: int = 0
    broken: bool = False


class RowBuilder:
    """Makes records of rows.

    A table with columns of `documentLines` has a document in each run of rows with the same documentNo. A row of such a table that could
    not be cut into cells may be a line of the document before it or after it: those are not sent without it.

    Args:
        kind: what is read.
        columns: of the table.
        unit: what a place is called: line or row.
        longest: bytes of a record at the most.
    """

    def __init__(self, kind: SourceKind, columns: Sequence[Column | None], unit: str, longest: int) -> None:
        self._columns = {column.name: column for column in columns if column is not None}
        self._key = KEYS[kind]
        self._unit = unit
        self._longest = longest
        self._grouped = any(column.in_lines for column in self._columns.values())
        self._group: list[TableRow] = []
        self._size = 0
        self._is_too_large = False
        self._faults: list[str] = []
        self._broken: list[TableRow] = []
        self._broken_size = 0
        self._broken_before = 0

    def add(self, row: TableRow) -> list[tuple[int, Any]]:
        """The records that are whole with this row."""
        if not self._grouped:
            return [self._single(row)]
        if row.broken:
            # Before they are too many to be kept, they are given.
            found = self.end() if len(self._broken) >= _MOST_BROKEN or self._broken_size > self._longest else []
            self._broken.append(row)
            self._broken_size += row.size
            return found
        key = row.values.get(self._key)
        if self._group and key is not None and key == self._group[0].values.get(self._key):
            self._add_line(row)
            return []
        found = self.end()
        if self._broken_before:
            self._faults.append(f"{self._unit} {self._broken_before} before it can't be read, and may be a line of it")
            self._broken_before = 0
        self._group, self._size, self._is_too_large = [row], row.size, False
        self._faults += self._faults_of(row)
        return found

    def end(self) -> list[tuple[int, Any]]:
        """The records that are whole when nothing follows."""
        found: list[tuple[int, Any]] = []
        if self._group:
            if self._broken:
                self._faults.append(f"{self._unit} {self._broken[0].number} after it can't be read, and may be a line of it")
            found.append(self._document())
            self._group, self._faults = [], []
        found += [self._single(row) for row in self._broken]
        if self._broken:
            self._broken_before = self._broken[-1].number
        self._broken, self._broken_size = [], 0
        return found

    def _faults_of(self, row: TableRow) -> list[str]:
        return [f"{self._unit} {row.number}: {fault}" for fault in row.faults]

    def _single(self, row: TableRow) -> tuple[int, Any]:
        if row.faults:
            return row.number, self._faulty(self._faults_of(row), row, row.as_read)
        return row.number, self._nested(row.values, in_lines=False)

    def _faulty(self, faults: list[str], row: TableRow, as_read: Any) -> UnreadableRecord:
        more = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
        key = row.values.get(self._key)
        return UnreadableRecord("; ".join(faults[:_MOST_FAULTS] + more), {self._key: key} if key else None, as_read)

    def _add_line(self, row: TableRow) -> None:
        """A further row of the document under way."""
        first = self._group[0]
        self._faults += [fault for broken in self._broken for fault in self._faults_of(broken)]
        self._broken, self._broken_size = [], 0
        self._faults += self._faults_of(row)
        for name, value in row.values.items():
            if not self._columns[name].in_lines and first.values.get(name, _NOTHING) != value:
                self._faults.append(f"{self._unit} {row.number}: column {name}: not as on {self._unit} {first.number}")
        self._size += row.size
        if self._size <= self._longest and len(self._group) < _MOST_ROWS:
            self._group.append(row)
        elif not self._is_too_large:
            self._is_too_large = True
            most = f"{self._longest} bytes" if self._size > self._longest else f"{_MOST_ROWS} rows"
            self._faults.insert(0, f"{self._unit} {row.number}: the document has more than {most}")
        del self._faults[_MOST_KEPT:]

    def _document(self) -> tuple[int, Any]:
        first = self._group[0]
        if self._faults:
            return first.number, self._faulty(self._faults, first, [row.as_read for row in self._group])
        record = self._nested(first.values, in_lines=False)
        lines = [line for row in self._group if (line := self._nested(row.values, in_lines=True))]
        if lines:
            record[LINES] = lines
        return first.number, record

    def _nested(self, values: dict[str, Any], *, in_lines: bool) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for name, value in values.items():
            column = self._columns[name]
            if column.in_lines is in_lines:
                group = record
                for part in column.path[:-1]:
                    group = group.setdefault(part, {})
                group[column.path[-1]] = value
        return record

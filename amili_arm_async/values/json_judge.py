"""Pure: what is wrong with the values of records that are JSON, by the rules that hold for tables too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .fields import LINES, Field, RecordKind
from .findings import CellFault
from .json_columns import JsonColumns, RecordColumns
from .judge import Judge, JudgedRows

__all__ = ["JsonJudge", "JudgedRecords", "with_line"]

_MOST_JUDGES: Final = 16
"""For blocks of records with different fields."""


class JudgedRecords(NamedTuple):
    """What is wrong with some records; the paths have the places in lists: `documentLines[2].price`.

    Attributes:
        refused: by row, why it can't be sent.
        warned: by row, what is odd about it; it is sent.
    """

    refused: dict[int, list[CellFault]]
    warned: dict[int, list[CellFault]]


class JsonJudge:
    """Judges records by their columns, as `JsonColumns` gives them.

    Args:
        kind: what the records are.
        columns: gives the columns.
    """

    def __init__(self, kind: RecordKind, columns: JsonColumns) -> None:
        self._header = _ColumnsJudge(kind, columns.fields)
        self._lines = _ColumnsJudge(kind, columns.line_fields)
        self._kind: RecordKind = kind
        self._items: dict[str, _ColumnsJudge] = {}

    def read(self, columns: RecordColumns) -> JudgedRecords:
        """Returns what is wrong with some records."""
        rows = self._header.read(columns.header)
        refused, warned = rows.refused, rows.warned
        for column in columns.items:
            judge = self._items.get(column.field.path)
            if judge is None:
                judge = self._items[column.field.path] = _ColumnsJudge(self._kind, [column.field])
            items = column.items
            found = judge.read([items if {*map(type, items)} <= {str} else [item if isinstance(item, str) else None for item in items]])
            for of_items, of_records in ((found.refused, refused), (found.warned, warned)):
                for item, faults in of_items.items():
                    row, path = column.place(item)
                    _add(of_records, row, [fault._replace(path=path) for fault in faults])
        if columns.lines:
            found = self._lines.read(columns.lines)
            for of_lines, of_records in ((found.refused, refused), (found.warned, warned)):
                for line, faults in of_lines.items():
                    row = columns.row_of(line)
                    _add(of_records, row, [with_line(fault, line - columns.offsets[row]) for fault in faults])
        return JudgedRecords(refused, warned)


class _ColumnsJudge:
    """Judges columns of which most are empty: only the others are looked at."""

    def __init__(self, kind: RecordKind, fields: Sequence[Field]) -> None:
        self._kind: RecordKind = kind
        self._fields = fields
        # A zero and a False are values.
        self._always = [field.type in {"integer", "decimal", "boolean"} for field in fields]
        self._judges: dict[tuple[bool, ...], Judge] = {}

    def read(self, columns: Sequence[Sequence[object]]) -> JudgedRows:
        given = tuple([always or any(column) for always, column in zip(self._always, columns, strict=True)])
        judge = self._judges.get(given)
        if judge is None:
            if len(self._judges) == _MOST_JUDGES:
                self._judges.clear()
            fields = [field for field, is_given in zip(self._fields, given, strict=True) if is_given]
            judge = self._judges[given] = Judge(self._kind, fields, origins=["json" for _ in fields])
        return judge.read([column for column, is_given in zip(columns, given, strict=True) if is_given])


def _add(found: dict[int, list[CellFault]], row: int, faults: list[CellFault]) -> None:
    found[row] = [*found.get(row, ()), *faults]


def with_line(fault: CellFault, place: int) -> CellFault:
    """Returns a fault of a line with the place of the line in its document, from 0, in its path."""
    return fault._replace(path=fault.path.replace(LINES, f"{LINES}[{place}]", 1))

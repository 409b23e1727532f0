"""Pure: what is wrong with the values of records that are JSON, by the rules that hold for tables too."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from .fields import LINES, Field, RecordKind
from .json_columns import JsonColumns, RecordColumns
from .judge import CellFault, Judge, Origin

__all__ = ["JsonJudge", "JudgedRecords", "with_line"]


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
        self._kind: RecordKind = kind
        self._header = self._judge(columns.fields)
        self._lines = self._judge(columns.line_fields)
        self._items: dict[str, Judge] = {}

    def _judge(self, fields: Sequence[Field]) -> Judge:
        origins: list[Origin] = ["json"] * len(fields)
        return Judge(self._kind, fields, origins=origins)

    def read(self, columns: RecordColumns) -> JudgedRecords:
        """Returns what is wrong with some records."""
        rows = self._header.read(columns.header)
        refused, warned = rows.refused, rows.warned
        for column in columns.items:
            judge = self._items.get(column.field.path)
            if judge is None:
                judge = self._items[column.field.path] = self._judge([column.field])
            found = judge.read([[item if isinstance(item, str) else None for item in column.items]])
            for of_items, of_records in ((found.refused, refused), (found.warned, warned)):
                for item, faults in of_items.items():
                    row, path = column.place(item)
                    _add(of_records, row, [fault._replace(path=path) for fault in faults])
        if columns.lines:
            found = self._lines.read(columns.lines)
            for of_lines, of_records in ((found.refused, refused), (found.warned, warned)):
                for line, faults in of_lines.items():
                    row = bisect_right(columns.offsets, line) - 1
                    _add(of_records, row, [with_line(fault, line - columns.offsets[row]) for fault in faults])
        return JudgedRecords(refused, warned)


def _add(found: dict[int, list[CellFault]], row: int, faults: list[CellFault]) -> None:
    found[row] = [*found.get(row, ()), *faults]


def with_line(fault: CellFault, place: int) -> CellFault:
    """Returns a fault of a line with the place of the line in its document, from 0, in its path."""
    return fault._replace(path=fault.path.replace(LINES, f"{LINES}[{place}]", 1))

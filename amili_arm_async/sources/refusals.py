"""Pure: what is said of a record that can't be sent: its place, the column as its owner calls it, the fault and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..bulk.canonical import as_key
from ..unreadable import UnreadableRecord
from ..values.findings import WHOLE, CellFault
from .mapping import MappedColumn

__all__ = ["Refusals", "Said"]

Said: TypeAlias = tuple[str, CellFault]
"""What is wrong, with its place in words."""


_MOST_FAULTS: Final = 10
_MOST_KEPT: Final = 100


class Refusals:
    """Makes `UnreadableRecord`s of the rows of one table.

    Args:
        unit: what a place is called: line or row.
        key: the path of the field that identifies a record.
        columns: of the table, by whose names its owner knows the fields.
        source: the name of the table, where a place does not say it.
    """

    def __init__(self, unit: str, key: str, columns: Iterable[MappedColumn], source: str = "") -> None:
        self.unit = unit
        self._key = key
        self._source = f"{source}, " if source else ""
        self._names: Mapping[str, str] = {column.field.path: column.name for column in columns}

    def place(self, number: int) -> str:
        """Returns where a row is."""
        return f"{self._source}{self.unit} {number}"

    def words(self, number: int, fault: CellFault) -> str:
        """Returns what is wrong with a cell, for a person."""
        return f"{self.place(number)}{self.column(fault.path)}: {fault.message}"

    def column(self, path: str) -> str:
        """Returns the column of a field, by the name that its owner gave it and the field that it is."""
        if path in {WHOLE, ""}:
            return ""
        name = self._names.get(path, path)
        return f", column {name}" if name == path else f", column {name} ({path})"

    def key_of(self, record: UnreadableRecord) -> str | None:
        """Returns the number of a record, where it is known."""
        return as_key(record.get(self._key))

    def said(self, number: int, fault: CellFault) -> Said:
        """Returns what is wrong with a cell, in words and for a program."""
        return self.words(number, fault), fault

    def refused(self, faults: Sequence[Said], key: str | None, as_read: Any) -> UnreadableRecord:
        """Returns what stands for a record that can't be sent.

        Args:
            faults: what is wrong with it; at least one.
            key: the number of the record, where it is known.
            as_read: what stood in the rows.
        """
        words = list(dict.fromkeys([each for each, _ in faults[:_MOST_KEPT]]))
        more = [f"and {len(words) - _MOST_FAULTS} more"] if len(words) > _MOST_FAULTS else []
        known = {self._key: key} if key else None
        return UnreadableRecord("; ".join(words[:_MOST_FAULTS] + more), known, as_read, [fault for _, fault in faults[:_MOST_KEPT]])

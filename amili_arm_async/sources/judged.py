"""Pure: records of a table that were judged, still in columns: for who needs their values and not their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..unreadable import UnreadableRecord
from ..values.fields import Field
from ..values.findings import CellFault

__all__ = ["JudgedBlock", "JudgedLines", "RefusedRecord"]


class JudgedLines(NamedTuple):
    """The lines of documents.

    Attributes:
        fields: one for each column, all `in_lines`.
        columns: the values of all lines, as `JudgedRows.columns` has them.
        offsets: where the lines of each document begin, and the end of the last: one more than there are documents.
    """

    fields: Sequence[Field]
    columns: Sequence[list[Any]]
    offsets: Sequence[int]


class RefusedRecord(NamedTuple):
    """A record that can't be sent.

    Attributes:
        before: the position in the columns before which it stands.
        number: of its line or row.
        record: what is known of it; `record.faults` has the code and the path of each fault.
    """

    before: int
    number: int
    record: UnreadableRecord


@dataclass(slots=True)
class JudgedBlock:
    """Records that follow each other.

    Attributes:
        fields: one for each column.
        columns: the values of the records that can be sent, as `JudgedRows.columns` has them.
        keys: of these records, as `as_key` gives them; None where a record has none.
        numbers: the line or row of each of these records; of several rows, the first.
        warned: by position in the columns, what is odd about a record.
        refused: the records that can't be sent, in order.
        lines: of documents, where the table has them.
    """

    fields: Sequence[Field]
    columns: Sequence[list[Any]]
    keys: Sequence[str | None]
    numbers: Sequence[int]
    warned: Mapping[int, list[CellFault]]
    refused: Sequence[RefusedRecord] = ()
    lines: JudgedLines | None = None

    def __len__(self) -> int:
        """Returns how many records there are, those that are refused among them."""
        return len(self.keys) + len(self.refused)

    def all_numbers(self) -> list[int]:
        """Returns the places of all records, those that are refused among them.

        Returns:
            The line or row of each, in their order.
        """
        numbers: list[int] = []
        begin = 0
        for refused in self.refused:
            numbers += self.numbers[begin : refused.before]
            numbers.append(refused.number)
            begin = refused.before
        return numbers + list(self.numbers[begin:])

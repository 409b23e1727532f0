"""Pure: columns of values as the JSON texts of records, with the fields in the order of their names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ..values.fields import LINES, Field

__all__ = ["RecordEncoder"]

_ENCODER: Final = msgspec.json.Encoder()


class RecordEncoder:
    """Writes the records of one table.

    Args:
        fields: one for each column of the records.
        line_fields: one for each column of the lines of documents.

    Attributes:
        has_decimals: whether a field is a decimal number.
    """

    def __init__(self, fields: Sequence[Field], line_fields: Sequence[Field] = ()) -> None:
        self.has_decimals = any(field.type == "decimal" for field in (*fields, *line_fields))
        members = [(field.names, position) for position, field in enumerate(fields)]
        self._of_texts = [position for position, field in enumerate(fields) if field.type == "texts"]
        lines = [(field.names, position) for position, field in enumerate(line_fields)]
        self._lines = _Group(lines) if lines else None
        # The lists of lines are one more column.
        self._records = _Group([*members, ((LINES,), len(fields))] if lines else members)

    def texts(self, columns: Sequence[list[Any]], line_columns: Sequence[list[Any]] = (), offsets: Sequence[int] = ()) -> list[bytes]:
        """Returns the text of each record.

        Args:
            columns: the values, one list for each field of the records.
            line_columns: the values of all lines, one list for each field of the lines.
            offsets: where the lines of each record begin, and the end of the last.

        Raises:
            ValueError: a text can't be encoded.
        """
        if self._lines is not None:
            lines = self._lines.objects(line_columns, always=True)
            columns = [*columns, [lines[begin:end] or UNSET for begin, end in pairwise(offsets)]]
        if not columns or not columns[0]:
            return []
        if self._of_texts:
            columns = list(columns)
            for position in self._of_texts:
                columns[position] = _as_lists(columns[position])
        return _ENCODER.encode_lines(self._records.objects(columns, always=True))[:-1].split(b"\n")


class _OneText(msgspec.Struct, array_like=True, gc=False):
    """A list of one text. Lists of Python would keep the garbage collector busy."""

    text: str


def _as_lists(column: list[Any]) -> list[Any]:
    """A column of lists of texts as it is encoded."""
    if set(map(type, column)) == {str}:
        return list(map(_OneText, column))
    return [_OneText(items) if isinstance(items, str) else items for items in column]


class _Group:
    """Objects with some of the fields, and objects in them.

    Args:
        members: the names of each field below this object, and the position of its column.
    """

    def __init__(self, members: Sequence[tuple[Sequence[str], int]]) -> None:
        inner: dict[str, list[tuple[Sequence[str], int]]] = {}
        self._members: list[tuple[str, int | _Group]] = []
        for (name, *rest), position in members:
            if rest:
                inner.setdefault(name, []).append((rest, position))
            else:
                self._members.append((name, position))
        self._members += [(name, _Group(group)) for name, group in inner.items()]
        self._members.sort(key=lambda member: member[0])
        fields = [(f"f{number}", Any, msgspec.field(name=name)) for number, (name, _) in enumerate(self._members)]
        # A class for each header: it has the fields that there are, and no others to look at.
        self._class: Any = msgspec.defstruct("Columns", fields, gc=False)

    def objects(self, columns: Sequence[list[Any]], *, always: bool = False) -> list[Any]:
        """Returns one object for each row; UNSET for one without values, unless it is to be there always."""
        mine = [columns[member] if isinstance(member, int) else member.objects(columns) for _, member in self._members]
        if always or any(UNSET not in column for column in mine):
            return list(map(self._class, *mine))
        nothing, make = (UNSET,) * len(mine), self._class
        return [make(*row) if row != nothing else UNSET for row in zip(*mine, strict=True)]

"""Pure: the cells of a block of rows as values of their fields, whole columns at a time, with what is wrong about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from .fields import Field, RecordKind

__all__ = ["VERSION", "CellFault", "Judge", "JudgedRows", "Origin", "ReadingOptions"]

VERSION = 1
"""Of the rules. A sync judges all its records again where they were judged by another version."""

Origin: TypeAlias = Literal["text", "integer", "decimal", "float", "date", "instant", "boolean", "json"]
"""What a column was before its cells became texts. Only numbers of `text` can have two meanings. `json`: the cells are values of JSON
(str, int, Decimal, bool, list), None where absent."""


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How cells are read.

    Attributes:
        decimal_sign: `","` or `"."` in all columns of numbers. None: only numbers with one meaning are read, unless
            `proved` has the column.
        proved: the decimal sign of single fields, by path, where cells of the column prove it; `""` where they contradict each other.
        clear: a cell with this text clears its field. None: no such text.
    """

    decimal_sign: Literal[",", "."] | None = None
    proved: Mapping[str, str] | None = None
    clear: str | None = None


class CellFault(NamedTuple):
    """What is wrong with a cell.

    Attributes:
        code: what kind of fault, for a program; one of `findings.SEVERITIES`.
        path: of the field, `postalAddress.postalCode`.
        message: what is wrong and what to do, for a person; without the value.
    """

    code: str
    path: str
    message: str


class JudgedRows(NamedTuple):
    """The values of a block of rows.

    Attributes:
        columns: in the order of the fields, one value for each row, as it is encoded: str (dates in ISO form too), int, bool,
            msgspec.Raw (a decimal number, in its JSON form), list of str; `UNSET` where the cell is blank or refused.
        refused: by row, why it can't be sent.
        warned: by row, what is odd about it; it is sent.
        needs_number_sign: whether a cell was refused only because its number has two meanings.
    """

    columns: list[list[Any]]
    refused: dict[int, list[CellFault]]
    warned: dict[int, list[CellFault]]
    needs_number_sign: bool


class Judge:
    """Reads blocks of rows of one table.

    What was once judged is not judged again: texts that come again and again are kept, in bounded memory.

    Args:
        kind: what the records are.
        fields: one for each column.
        origins: what each column was; None: all were texts.
        options: how cells are read.
    """

    def __init__(
        self,
        kind: RecordKind,
        fields: Sequence[Field],
        *,
        origins: Sequence[Origin] | None = None,
        options: ReadingOptions = ReadingOptions(),
    ) -> None:
        raise NotImplementedError

    def read(self, columns: Sequence[Sequence[Any]]) -> JudgedRows:
        """Returns the values of some rows.

        Args:
            columns: in the order of the fields, the cells of the rows: texts as they stand (blanks around them are not part of the
                value), None
                where there is none.
        """
        raise NotImplementedError

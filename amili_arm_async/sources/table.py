"""Pure: a table as its readers give it: blocks of columns of texts, whatever the format."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from ..values.judge import Origin

__all__ = ["BrokenRow", "ColumnTable", "NestedLines", "Table", "TableBlock", "TextTable"]


class BrokenRow(NamedTuple):
    """A row that could not be split into cells.

    Attributes:
        before: the position in the columns before which it stands.
        number: of its line or row.
        fault: why, for a person.
        as_read: its text, for a dead letter.
        code: of the fault, for a program.
        cells: what its cells may be, as far as they can be told apart.
    """

    before: int
    number: int
    fault: str
    as_read: Any
    code: str = "not_readable"
    cells: Sequence[str] = ()


class NestedLines(NamedTuple):
    """The lines of documents, where a column holds them as a list.

    Attributes:
        columns: one for each path of `Table.line_paths`, with the cells of all lines of the block.
        offsets: where the lines of each row begin, and the end of the last: one more than there are rows.
    """

    columns: list[Sequence[Any]]
    offsets: Sequence[int]


class TableBlock(NamedTuple):
    """Some rows that follow each other, by column. At most some hundred rows, so that the cells stay in the cache of the processor.

    Attributes:
        columns: one for each name of the header; the cells as texts, None or `""` where they are blank. (A list of texts is a list.)
        numbers: the line or row of each row, from 1.
        broken: rows that are in no column.
        lines: of documents, where a column holds their lines.
    """

    columns: list[Sequence[Any]]
    numbers: Sequence[int]
    broken: Sequence[BrokenRow] = ()
    lines: NestedLines | None = None


class Table(Protocol):
    """What is known of a table once its header was read.

    Attributes:
        names: of the columns, as the header has them. Groups of Arrow are flattened: `postalAddress.postalCode`.
        origins: what each column is.
        line_paths: the fields of the lines, where a column holds them as a list: `documentLines.price`; else empty.
        line_origins: what each of them is.
        lists: the names of those columns, of both kinds, whose cells are lists of texts.
        unit: `line` or `row`.
    """

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def origins(self) -> Sequence[Origin]: ...

    @property
    def line_paths(self) -> Sequence[str]: ...

    @property
    def line_origins(self) -> Sequence[Origin]: ...

    @property
    def lists(self) -> Collection[str]: ...

    @property
    def unit(self) -> str: ...


class TextTable(Table, Protocol):
    """A table that is given the bytes of its file."""

    def feed(self, data: bytes) -> list[TableBlock]:
        """Takes in the next bytes, and returns the blocks that are whole; `names` is empty before the header. Raises SourceError."""
        ...

    def end(self) -> list[TableBlock]:
        """Returns the rows that are left at the end of the file. Raises SourceError."""
        ...


class ColumnTable(Table, Protocol):
    """A table that reads for itself: call it in a thread, in this order.

    Attributes:
        row_count: how many rows it has, where that is known once the header was read.
    """

    row_count: int | None

    def begin(self) -> None:
        """Reads the header. Raises SourceError."""

    def select(self, wanted: Collection[str]) -> None:
        """Says which columns are wanted, by their names in `names` and `line_paths`; without it, all are.

        A column that is not wanted is not converted: it is an empty sequence in each block. Raises SourceError where a wanted one holds
        what can't be text.
        """

    def blocks(self) -> Iterator[TableBlock]:
        """Gives the blocks; once. Raises SourceError, after what stood before it was given."""
        ...

    def close(self) -> None:
        """Closes what `begin` opened. It may be called at any time, and again."""

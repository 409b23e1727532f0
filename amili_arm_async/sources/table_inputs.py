"""Where the blocks of a table come from: the bytes of a CSV file, or a table that reads for itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from functools import partial
from itertools import islice
from typing import Final, Protocol, TypeAlias

from .table import ColumnTable, Table, TableBlock, TextTable
from .text import Transcoder

__all__ = ["ColumnInput", "Step", "TableInput", "TextInput"]

Step: TypeAlias = Callable[[], list[TableBlock]]
"""Reads the next blocks; to be called in a thread."""

_AT_ONCE: Final = 4
"""Blocks of some hundred rows that are read of a table of columns before the loop has its turn."""


class TableInput(Protocol):
    """Gives the blocks of a table."""

    @property
    def table(self) -> Table:
        """What is known of the table: all, once the first step that gives blocks was done."""
        ...

    def select(self, wanted: Collection[str]) -> None:
        """Says which columns are wanted, once the header was read."""

    def steps(self) -> AsyncGenerator[Step]:
        """Gives the steps by which the table is read."""
        ...

    def again(self, wanted: Collection[int]) -> Iterator[TableBlock] | None:
        """Reads the table once more from its beginning; None where it can't be.

        Args:
            wanted: the positions of the columns that are looked at: the others may be given without cells.
        """
        ...

    def close(self) -> None:
        """Closes what was opened for the table."""


class TextInput:
    """A table that is text.

    Args:
        make: makes a table that was given nothing yet, which gives all columns (None) or those at some positions.
        blocks: the bytes of the file.
        again: reads them once more; None where they can't be.
        encoding: from which they are translated; None: they are UTF-8, or the table finds it out.
    """

    def __init__(
        self,
        make: Callable[[Collection[int] | None], TextTable],
        blocks: AsyncIterator[bytes],
        again: Callable[[], Iterator[bytes]] | None,
        encoding: str | None,
    ) -> None:
        self.table = make(None)
        self._make = make
        self._blocks = blocks
        self._again = again
        self._encoding = encoding

    def select(self, wanted: Collection[str]) -> None:
        """All columns are cut."""

    async def steps(self) -> AsyncGenerator[Step]:
        """Gives the steps by which the table is read."""
        transcoder = self._transcoder()
        async for data in self._blocks:
            yield partial(_feed, self.table, transcoder, data)
        yield partial(_end, self.table, transcoder)

    def again(self, wanted: Collection[int]) -> Iterator[TableBlock] | None:
        """Reads the table once more from its beginning; None where it can't be."""
        return self._whole(self._again(), wanted) if self._again is not None else None

    def _whole(self, blocks: Iterator[bytes], wanted: Collection[int]) -> Iterator[TableBlock]:
        table, transcoder = self._make(wanted), self._transcoder()
        for data in blocks:
            yield from _feed(table, transcoder, data)
        yield from _end(table, transcoder)

    def _transcoder(self) -> Transcoder | None:
        return Transcoder(self._encoding) if self._encoding is not None else None

    def close(self) -> None:
        """There is nothing to close."""


def _feed(table: TextTable, transcoder: Transcoder | None, data: bytes) -> list[TableBlock]:
    return table.feed(transcoder.feed(data) if transcoder is not None else data)


def _end(table: TextTable, transcoder: Transcoder | None) -> list[TableBlock]:
    rest = transcoder.feed(b"", final=True) if transcoder is not None else b""
    return (table.feed(rest) if rest else []) + table.end()


class ColumnInput:
    """A table that reads for itself.

    Args:
        table: the table.
        make: makes the same table once more; None where it can be read only once.
    """

    def __init__(self, table: ColumnTable, make: Callable[[], ColumnTable] | None) -> None:
        self.table = table
        self._make = make
        self._wanted: Collection[str] = ()

    def select(self, wanted: Collection[str]) -> None:
        """Says which columns are wanted, once the header was read."""
        self._wanted = wanted
        self.table.select(wanted)

    async def steps(self) -> AsyncGenerator[Step]:
        """Gives the steps by which the table is read."""
        yield partial(_begin, self.table)
        blocks = _Blocks(self.table)
        while not blocks.ended:
            yield blocks.take

    def again(self, wanted: Collection[int]) -> Iterator[TableBlock] | None:
        """Reads the table once more from its beginning; None where it can't be."""
        return self._whole(self._make()) if self._make is not None else None

    def _whole(self, table: ColumnTable) -> Iterator[TableBlock]:
        try:
            table.begin()
            table.select(self._wanted)
            yield from table.blocks()
        finally:
            table.close()

    def close(self) -> None:
        """Closes the table."""
        self.table.close()


class _Blocks:
    """The blocks of a table, a few at a time; those before a failure are given before it is raised."""

    def __init__(self, table: ColumnTable) -> None:
        self.ended = False
        self._table = table
        self._blocks: Iterator[TableBlock] | None = None
        self._failure: Exception | None = None

    def take(self) -> list[TableBlock]:
        if self._failure is not None:
            raise self._failure
        if self._blocks is None:
            self._blocks = self._table.blocks()
        found: list[TableBlock] = []
        try:
            for block in islice(self._blocks, _AT_ONCE):
                found.append(block)  # noqa: PERF402 - what came before a failure is kept
            self.ended = len(found) < _AT_ONCE
        except Exception as exc:
            if not found:
                raise
            self._failure = exc
        return found


def _begin(table: ColumnTable) -> list[TableBlock]:
    table.begin()
    return []

"""Reads a table without keeping the loop waiting, with the passes over the whole of it that its rules need."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from msgspec import Struct

from ..bulk.spool import Spool
from .blocks import next_in_thread, run_in_thread
from .documents import TornDocuments
from .judged import JudgedBlock
from .table import BrokenRow, NestedLines, TableBlock
from .table_inputs import Step, TableInput
from .table_records import TableRecords

__all__ = ["TableReader"]

MadeT = TypeVar("MadeT")

_AT_ONCE: Final = 16
"""Blocks that are looked at in a pass over the whole table before the loop has its turn."""


class _SpooledBlock(Struct, array_like=True, gc=False):
    """A block of a table that can be read only once."""

    columns: list[list[Any]]
    numbers: list[int]
    broken: list[BrokenRow]
    lines: NestedLines | None


class TableReader:
    """Reads a table once.

    Args:
        source: where its blocks come from.
        records: makes records of them.
    """

    def __init__(self, source: TableInput, records: TableRecords) -> None:
        self._source = source
        self.records = records
        self._begun = False
        self._held: list[TableBlock] | None = None

    async def read(self, make: Callable[[Iterable[JudgedBlock]], Iterable[MadeT]]) -> AsyncGenerator[list[MadeT]]:
        """Gives what is made of the records, some at a time.

        Args:
            make: makes it, in a thread.

        Raises:
            SourceError: the table can't be read, or not further.
        """
        async with aclosing(self._source.steps()) as steps:
            async for step in steps:
                yield await run_in_thread(self._work, step, make)
                if self._held is not None:
                    async with aclosing(self._in_whole_documents(steps, make)) as every:
                        async for found in every:
                            yield found
                while self.records.waits_for_proofs:
                    await self._prove()
                    yield await run_in_thread(self._work, list, make)
        if self._begun:
            left = iter(make(self.records.end()))
            some: list[MadeT]
            while some := await run_in_thread(list, islice(left, 1)):
                yield some

    def _work(self, step: Step, make: Callable[[Iterable[JudgedBlock]], Iterable[MadeT]]) -> list[MadeT]:
        blocks = step()
        if not self._begun:
            if not self._source.table.names:
                return []
            self.records.begin()
            self._source.select(self.records.wanted)
            self._begun = True
            if self.records.has_torn_documents:
                self._held = blocks
                return []
        return list(make(self.records.add(blocks)))

    # --- passes over the whole table ------------------------------------------------------------------------------------

    async def _in_whole_documents(
        self, steps: AsyncGenerator[Step], make: Callable[[Iterable[JudgedBlock]], Iterable[MadeT]]
    ) -> AsyncGenerator[list[MadeT]]:
        """Looks which documents' rows do not stand together. What can be read only once is put on the disk meanwhile."""
        held, self._held = self._held or [], None
        torn = TornDocuments(rows_are_whole=not self.records.is_grouped)
        try:
            again = self._source.again(self.records.compared_columns)
            if again is not None:
                await _run(self._look_for_torn(again, torn))
                self.records.torn = torn
                yield await run_in_thread(self._work, partial(list, held), make)
                return
            spool: Spool[_SpooledBlock] = Spool(_SpooledBlock)
            await run_in_thread(self._put, partial(list, held), spool, torn)
            async for step in steps:
                await run_in_thread(self._put, step, spool, torn)
            await _run(torn.find())
            self.records.torn = torn
            stored = map(_block, spool)
            found: list[TableBlock]
            while found := await run_in_thread(list, islice(stored, _AT_ONCE)):
                yield await run_in_thread(self._work, partial(list, found), make)
        finally:
            torn.close()

    def _look_for_torn(self, again: Iterator[TableBlock], torn: TornDocuments) -> Iterator[None]:
        for count, block in enumerate(again, 1):
            torn.add(self.records.compared(block))
            torn.add_broken(self.records.compared_in_broken(block))
            if count % _AT_ONCE == 0:
                yield
        yield from torn.find()

    def _put(self, step: Step, spool: Spool[_SpooledBlock], torn: TornDocuments) -> None:
        for block in step():
            torn.add(self.records.compared(block))
            torn.add_broken(self.records.compared_in_broken(block))
            columns = [list(column) for column in block.columns]
            lines = NestedLines([list(column) for column in block.lines.columns], list(block.lines.offsets)) if block.lines else None
            spool.append(_SpooledBlock(columns, list(block.numbers), list(block.broken), lines))

    async def _prove(self) -> None:
        """Looks which decimal sign each column of numbers has."""
        proofs = self.records.sign_proofs()
        again = self._source.again(proofs.positions)
        assert again is not None

        def look() -> Iterator[None]:
            for count, block in enumerate(again, 1):
                proofs.add(block.columns)
                if count % _AT_ONCE == 0:
                    yield

        await _run(look())
        self.records.prove(proofs.proved())


def _block(spooled: _SpooledBlock) -> TableBlock:
    return TableBlock(spooled.columns, spooled.numbers, spooled.broken, spooled.lines)  # type: ignore[arg-type]


async def _run(steps: Iterator[None]) -> None:
    """Takes all steps in threads, so that the loop has its turn after each."""
    stepped = (True for _ in steps)
    try:
        while await next_in_thread(stepped):
            pass
    finally:
        stepped.close()

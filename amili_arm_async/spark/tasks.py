"""What the tasks of Spark do: one kind tells the part of each row, the other sends whole parts. Pickled, and run on the executors."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, groupby, islice
from operator import itemgetter
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from ..bulk.fingerprints import folded
from ..bulk.parts import PartHash
from ..client import ArmClient
from ..config import BulkOptions
from ..errors import ArmError, ConfigurationError, JournalError, SourceError, counted
from ..resources.bulk import CUSTOMERS, BulkWrites
from ..resources.shared_night import night_of_customers
from ..sources.arrow import arrow_table_of
from ..sources.documents import keys_of
from ..sources.mapping import MappedColumn
from ..sources.records import Records
from ..sources.table_records import compared_keys
from ..values.judge import Judge, Origin
from .job import LINES, FrameJob, Reading, TableOfFrame

__all__ = ["ADDED", "CustomerSender", "FrameRows", "PartSender", "RowLabeller", "SendTask", "Sender", "check_address", "slots_of"]

ADDED: Final = {
    "_amili_slot": pa.int32(),
    "_amili_table": pa.int32(),
    "_amili_number": pa.string(),
    "_amili_place": pa.int64(),
}
"""Columns that are added to each row: which part it is in, which frame it is of, the number of its document as it is compared, and its
place in the frame. In this order they sort the rows of a part: its lines come before its documents."""

_MOST_FAILURES: Final = 10_000
"""Customers that did not succeed which the driver gets."""

_PLACE: Final = 2**33
"""More rows than a partition has."""


class FrameRows:
    """Batches of rows, for a reader.

    Args:
        name: of the frame, for messages.
        batches: its rows; the first batch has the columns, and may have no rows.
    """

    def __init__(self, name: str, batches: Iterator[pa.RecordBatch]) -> None:
        self.name = name
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        return next(self._batches)


# --- which part a row is in -----------------------------------------------------------------------------------------------


class RowLabeller:
    """Adds the columns of `ADDED` to the batches of a partition.

    Args:
        reading: how the rows are read.
        which: which frame they are of.
        names: the names of the columns: Spark can't call a function with columns whose names have dots in them.
        slots: for each part, what stands for it, so that Spark puts each part into a partition of its own.
    """

    def __init__(self, reading: Reading, which: TableOfFrame, names: list[str], slots: list[int]) -> None:
        self._reading = reading
        self._which: TableOfFrame = which
        self._names = names
        self._slots = slots

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Labels the rows of a partition.

        Args:
            batches: its rows.

        Yields:
            The same rows, with further columns.
        """
        from pyspark import TaskContext  # pyright: ignore[reportMissingImports]  # noqa: PLC0415 - the user's

        context = TaskContext.get()
        place = (context.partitionId() if context is not None else 0) * _PLACE
        parts_of = PartHash(len(self._slots)).of_keys
        for batch in batches:
            numbers = self._numbers(renamed(batch, self._names))
            every = (
                [self._slots[part] for part in parts_of(numbers)],
                [self._which] * batch.num_rows,
                numbers,
                range(place, place + batch.num_rows),
            )
            place += batch.num_rows
            added = [pa.array(values, kind) for values, kind in zip(every, ADDED.values(), strict=True)]
            yield pa.RecordBatch.from_arrays([*batch.columns, *added], names=[*batch.schema.names, *ADDED])

    def _numbers(self, batch: pa.RecordBatch) -> list[str | None]:
        """The number of the document that each row is of, as it is compared; None where it has none."""
        table = arrow_table_of(batch)
        assert table is not None
        try:
            table.begin()
            column = self._reading.number_column(table, self._which)
            assert column is not None
            table.select({column.name})
            found: list[str | None] = [None] * batch.num_rows
            for block in table.blocks():
                cells = block.columns[column.position]
                numbers = compared_keys(cells) if self._which == LINES else self._numbers_of(column, table.origins[column.position], cells)
                for place, number in zip(block.numbers, numbers, strict=True):
                    found[place - 1] = number
        finally:
            table.close()
        return found

    def _numbers_of(self, column: MappedColumn, origin: Origin, cells: Sequence[Any]) -> list[str | None]:
        """The numbers of records. That of a row which is refused for its number is as rows are brought together: a document that has such
        a row is refused as a whole."""
        kind = self._reading.kind
        values = Judge(kind, [column.field], origins=[origin]).read([cells]).columns[0]
        own = [folded(key) if key is not None and value is not UNSET else None for value, key in zip(values, keys_of(values), strict=True)]
        compared = compared_keys(cells)
        marked = sum(key is not None and key != other for key, other in zip(own, compared, strict=True))
        if marked and kind == "documents":
            # It may be a row of the document without the mark, which would be in another part, and sent without it.
            raise SourceError(
                f"nothing was sent: {counted(marked, 'number')} of the column {column.name}, or more, begin with the ' of a spreadsheet: "
                """remove it, for example with regexp_replace(number, "^'+", "")"""
            )
        return [key if key is not None else other for key, other in zip(own, compared, strict=True)]


# --- sending --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendTask:
    """What a task that sends needs to know.

    Attributes:
        job: what is sent, and how.
        address: the client number and the address that the driver has: those of the executor must be the same.
        names: the names of the columns of the frame.
        line_names: the names of the columns of the frame of lines.
        part_of_slot: which part each slot stands for.
        used: how often the customers of the run had been sent when this sending of them was begun.
    """

    job: FrameJob
    address: tuple[int, str]
    names: list[str]
    line_names: list[str]
    part_of_slot: Mapping[int, int]
    used: int = 0

    def client(self) -> ArmClient:
        """Makes the client.

        Raises:
            ConfigurationError: it is another one than the driver's.
        """
        arm = self.job.connect()
        check_address(arm, self.address)
        return arm

    def parts_of(self, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, Records]]:
        """Gives the parts that are in a partition, with their records. Rows that are left of one are passed over by the next.

        Args:
            batches: the rows of the partition, sorted by the columns of `ADDED`.
        """
        first = next(batches, None)
        if first is None:
            return
        rows = _by_table(chain([first], batches), len(self.names))
        for slot, group in groupby(rows, key=itemgetter(0)):
            yield self.part_of_slot[slot], self._records(((which, batch) for _, which, batch in group), first.slice(0, 0))

    def _records(self, rows: Iterator[tuple[int, pa.RecordBatch]], empty: pa.RecordBatch) -> Records:
        """The records of a part, of which the lines stand before the documents.

        Each reader begins with a batch that has the columns and no rows, so that both can open their frame before one reads it.
        """
        held: list[pa.RecordBatch] = []
        behind_lines = len(self.names) + len(ADDED)
        are_lines_read = not self.job.reading.has_lines

        def lines() -> Iterator[pa.RecordBatch]:
            nonlocal are_lines_read
            yield renamed(empty, self.line_names, behind_lines)
            for which, batch in rows:
                if which != LINES:
                    held.append(batch)
                    break
                yield renamed(batch, self.line_names, behind_lines)
            are_lines_read = True

        def heads() -> Iterator[pa.RecordBatch]:
            yield renamed(empty, self.names)
            assert are_lines_read, "the lines are read first"
            for batch in chain(held, (batch for _, batch in rows)):
                yield renamed(batch, self.names)

        return self.job.reading.of(FrameRows("the frame", heads()), FrameRows("the frame of lines", lines()))


class Sender(ABC):
    """Sends the rows of a partition.

    What the library says of something that could not be sent is a row of the result: so it comes to the driver as it is, and Spark does not
    repeat what would fail again. Whatever else is raised makes the task fail, and Spark repeats it.

    Args:
        task: what to send, and how.

    Attributes:
        schema: the columns of the result.
    """

    schema: ClassVar[pa.Schema]

    def __init__(self, task: SendTask) -> None:
        self._task = task

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Sends the rows of a partition.

        Args:
            batches: its rows.

        Yields:
            The result.
        """
        rows = asyncio.run(self._send(batches))
        if rows:
            yield pa.RecordBatch.from_pylist(rows, self.schema)

    @abstractmethod
    async def _send(self, batches: Iterator[pa.RecordBatch]) -> list[dict[str, Any]]:
        """Sends the rows, and returns those of the result."""


class PartSender(Sender):
    """Sends the parts whose rows are in a partition, one after the other. Its result has a row for each part."""

    schema = pa.schema([("part", pa.int32()), ("host", pa.string()), ("error", pa.string())])

    async def _send(self, batches: Iterator[pa.RecordBatch]) -> list[dict[str, Any]]:
        task, results = self._task, []
        parts = task.parts_of(batches)
        part = next(parts, None)
        if part is None:
            return []
        try:
            async with task.client() as arm, task.job.shared(arm) as run:
                while part is not None:
                    number, records = part
                    try:
                        await run.send_part(number, records)
                        results.append(_result(number))
                    except ArmError as exc:
                        if _is_taken_over(exc):
                            raise _TakenOverError(str(exc)) from exc
                        results.append(_result(number, exc))
                    part = next(parts, None)
        except ArmError as exc:
            # It meets all parts alike.
            results.extend(_result(number, exc) for number, _ in chain([part] if part is not None else [], parts))
        return results


class _TakenOverError(Exception):
    """Another attempt at the task has a part. Spark repeats this one, which waits for the other to end, and says the same of the part."""


def _is_taken_over(error: ArmError) -> bool:
    return any(isinstance(one, JournalError) and one.taken_over for one in (error, error.__cause__))


def _result(part: int, error: ArmError | None = None) -> dict[str, Any]:
    return {"part": part, "host": socket.gethostname(), "error": str(error) if error is not None else None}


class CustomerSender(Sender):
    """Sends the customers that are in a partition; the others are empty. Its result has those that did not succeed, or the error."""

    schema = pa.schema(
        [("error", pa.string()), ("index", pa.int64()), *((name, pa.string()) for name in ("key", "state", "reason", "message"))]
    )

    async def _send(self, batches: Iterator[pa.RecordBatch]) -> list[dict[str, Any]]:
        task, job = self._task, self._task.job
        try:
            async with task.client() as arm:
                _, records = next(task.parts_of(batches), (0, []))
                night = night_of_customers(
                    # Its methods have no name for what only Spark needs.
                    BulkWrites(arm._context, arm._pressure, CUSTOMERS),  # noqa: SLF001
                    records,
                    job.url,
                    job.run_id,
                    used=task.used,
                    options=job.options or BulkOptions(),
                    user_id=job.user_id,
                    lease=job.lease,
                    state=job.state,
                )
                report = (await night).customers
        except ArmError as exc:
            return [{"error": f"{exc} (on {socket.gethostname()})"}]
        failures = islice(report.failures(), _MOST_FAILURES) if report is not None else ()
        return [{name: getattr(one, name) for name in self.schema.names[1:]} for one in failures]


def check_address(arm: ArmClient, address: tuple[int, str]) -> None:
    """Refuses a client that is another one than the driver's: an executor may have another environment.

    Args:
        arm: the client.
        address: the client number and the address that the driver has.

    Raises:
        ConfigurationError: it has others.
    """
    if (arm.client_no, arm.base_url) != address:
        raise ConfigurationError(
            f"on the executor {socket.gethostname()} the client number is {arm.client_no} and base_url is {arm.base_url}, and on the "
            f"driver they are {address[0]} and {address[1]}: set the same environment everywhere, or give client="
        )


def _by_table(batches: Iterator[pa.RecordBatch], width: int) -> Iterator[tuple[int, int, pa.RecordBatch]]:
    """Gives the rows of each slot and frame, with both.

    Args:
        batches: the rows of a partition.
        width: how many columns stand before those of `ADDED`.
    """
    for batch in batches:
        slots, tables = batch.column(width), batch.column(width + 1)
        keys = pc.add(pc.multiply(pc.cast(slots, pa.int64()), 2), tables)  # pyright: ignore[reportAttributeAccessIssue] - made at run time
        runs = pc.run_end_encode(keys)  # pyright: ignore[reportAttributeAccessIssue]
        begin = 0
        for key, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            slot, which = divmod(key, 2)
            yield slot, which, batch.slice(begin, end - begin)
            begin = end


def renamed(batch: pa.RecordBatch, names: list[str], begin: int = 0) -> pa.RecordBatch:
    """Returns some columns of a batch, with these names.

    Args:
        batch: the batch.
        names: the names of the columns; further ones are left out.
        begin: the position of the first of them.
    """
    end = begin + len(names)
    fields = [batch.schema.field(place).with_name(name) for place, name in enumerate(names, begin)]
    return pa.RecordBatch.from_arrays(batch.columns[begin:end], schema=pa.schema(fields))


def slots_of(parts: int) -> list[int]:
    """Returns for each part an integer that Spark's hash puts into a partition of its own, of as many as there are parts.

    Args:
        parts: the number of parts.
    """
    found: dict[int, int] = {}
    for candidate in count():
        found.setdefault(_murmur3(candidate) % parts, candidate)
        if len(found) == parts:
            return [found[part] for part in range(parts)]
    raise AssertionError


def _murmur3(value: int) -> int:
    """Spark's hash of an integer: Murmur3 of 32 bits, with 42 as seed. Were it another one, parts would share partitions, and no more."""
    mask = 0xFFFFFFFF
    mixed = value * 0xCC9E2D51 & mask
    mixed = (mixed << 15 | mixed >> 17) * 0x1B873593 & mask
    mixed ^= 42
    mixed = ((mixed << 13 | mixed >> 19) & mask) * 5 + 0xE6546B64 & mask
    mixed ^= 4
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & mask
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & mask
    mixed ^= mixed >> 16
    return mixed - 2**32 if mixed >= 2**31 else mixed

"""What the tasks of Spark do: one kind tells the part of each row, the other sends whole parts. Pickled, and run on the executors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, groupby, islice
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from ..bulk.chunking import RecordType
from ..bulk.fingerprints import folded
from ..bulk.parts import PartHash
from ..client import ArmClient
from ..config import BulkOptions
from ..database.url import DatabaseUrl
from ..errors import ArmError, ConfigurationError
from ..resources.bulk import CUSTOMERS, DOCUMENTS, BulkWrites
from ..resources.shared_night import GatedRun, night_of_customers
from ..sources.arrow import arrow_table_of
from ..sources.documents import keys_of
from ..sources.mapping import FieldMap
from ..sources.records import open_records
from ..sources.table_records import compared_keys
from ..values.fields import KEYS, RecordKind
from ..values.judge import Judge, ReadingOptions

__all__ = [
    "ADDED",
    "CUSTOMER_RESULT",
    "RESULT",
    "Connect",
    "CustomerSender",
    "PartResult",
    "PartSender",
    "Reading",
    "RowLabeller",
    "SendTask",
    "renamed",
    "slots_of",
]

Connect = Callable[[], ArmClient]
"""Makes a client, in each process that sends."""

ADDED: Final = ("_amili_slot", "_amili_number", "_amili_place")
"""The columns that tell which part a row is in, the number of its document as it is compared, and its place in the frame."""

RESULT: Final = "part int, host string, error string"
"""The columns of `PartResult`, as Spark writes a schema."""

CUSTOMER_RESULT: Final = "error string, index long, key string, state string, reason string, message string"
"""The columns of what becomes of customers: why they were not sent to their end, or those that did not succeed."""

_MOST_FAILURES: Final = 10_000
"""Customers that did not succeed which the driver gets."""

_PLACE: Final = 2**33
"""More rows than a partition has."""


class PartResult(NamedTuple):
    """What became of an attempt to send a part.

    Attributes:
        part: the part.
        host: the machine that sent it.
        error: why it was not sent to its end, in words; None where it was.
    """

    part: int
    host: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of a frame are read: as `open_records` does it.

    Attributes:
        kind, columns, constants, clear, decimal_sign, extra_columns: its arguments.
    """

    kind: RecordKind = "documents"
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    clear: str | None = None
    decimal_sign: Any = None
    extra_columns: bool = False

    def of(self, table: Any) -> Any:
        """Returns the records of a table, or of batches.

        Args:
            table: the table, or an iterator of batches.
        """
        return open_records(
            table,
            self.kind,
            columns=self.columns,
            constants=self.constants,
            clear=self.clear,
            decimal_sign=self.decimal_sign,
            extra_columns=self.extra_columns,
        )

    def fields(self) -> FieldMap:
        """Returns what the columns are."""
        return FieldMap(
            self.kind,
            self.columns,
            self.constants,
            extra=self.extra_columns,
            options=ReadingOptions(decimal_sign=self.decimal_sign, clear=self.clear),
        )


# --- which part a row is in -----------------------------------------------------------------------------------------------


class RowLabeller:
    """Adds the columns of `ADDED` to the batches of a partition.

    Args:
        reading: how the rows are read.
        names: the names of the columns: Spark can't call a function with columns whose names have dots in them.
        slots: for each part, what stands for it, so that Spark puts each part into a partition of its own.
    """

    def __init__(self, reading: Reading, names: list[str], slots: list[int]) -> None:
        self._reading = reading
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
            parts = parts_of(numbers)
            added = (
                pa.array([self._slots[part] for part in parts], pa.int32()),
                pa.array(numbers, pa.string()),
                pa.array(range(place, place + batch.num_rows), pa.int64()),
            )
            place += batch.num_rows
            yield pa.RecordBatch.from_arrays([*batch.columns, *added], names=[*batch.schema.names, *ADDED])

    def _numbers(self, batch: pa.RecordBatch) -> list[str | None]:
        """The number of the document that each row is of, as it is compared; None where it has none.

        That of a row which is refused for its number is as rows are brought together: a document that has such a row is refused as a whole.
        """
        table = arrow_table_of(batch)
        assert table is not None
        found: list[str | None] = [None] * batch.num_rows
        try:
            table.begin()
            found_columns = self._reading.fields().of(table.names, table.line_paths).columns
            key = KEYS[self._reading.kind]
            column = next((one for one in found_columns if one.field.path == key), None)
            if column is None:
                return found
            table.select({column.name})
            judge = Judge(self._reading.kind, [column.field], origins=[table.origins[column.position]])
            for block in table.blocks():
                cells = block.columns[column.position]
                values = judge.read([cells]).columns[0]
                for number, value, own, other in zip(block.numbers, values, keys_of(values), compared_keys(cells), strict=True):
                    found[number - 1] = folded(own) if own is not None and value is not UNSET else other
        finally:
            table.close()
        return found


# --- sending --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendTask:
    """What a task that sends needs to know.

    Attributes:
        connect: makes the client.
        address: the client number and the address that the driver has: those of the executor must be the same.
        journal: the URL of the database.
        run_id, parts, lease, options, user_id: of the shared run.
        used: how often the customers of the run had been sent when this sending of them was begun.
        reading: how the rows are read.
        names: the names of the columns.
        part_of_slot: which part each slot stands for.
    """

    connect: Connect = field(repr=False)
    address: tuple[int, str]
    journal: DatabaseUrl = field(repr=False)
    run_id: str
    parts: int
    lease: float
    options: BulkOptions | None
    user_id: str | None
    reading: Reading
    names: list[str]
    part_of_slot: Mapping[int, int]
    used: int = 0

    def shared(self, arm: ArmClient) -> GatedRun:
        """Returns the shared run of the documents.

        Args:
            arm: the client.
        """
        return GatedRun(
            writes(arm, DOCUMENTS),
            self.journal,
            run_id=self.run_id,
            parts=self.parts,
            lease=self.lease,
            options=self.options,
            user_id=self.user_id,
            timeout=None,
            retry=None,
        )


class PartSender:
    """Sends the parts whose rows are in a partition, one after the other.

    What the library says of a part that could not be sent is a row of the result: so it comes to the driver as it is, and Spark does not
    repeat what would fail again. Whatever else is raised makes the task fail, and Spark repeats it.

    Args:
        task: what to send, and how.
    """

    def __init__(self, task: SendTask) -> None:
        self._task = task

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Sends the rows of a partition, which are sorted by part.

        Args:
            batches: its rows.

        Yields:
            A row for each part.
        """
        results = asyncio.run(self._send(batches))
        if results:
            yield pa.RecordBatch.from_pylist([one._asdict() for one in results], _RESULT)

    async def _send(self, batches: Iterator[pa.RecordBatch]) -> list[PartResult]:
        task, host = self._task, socket.gethostname()
        results: list[PartResult] = []
        # Rows that are left of one part are passed over by the next one.
        parts = (
            (task.part_of_slot[slot], (batch for _, batch in group)) for slot, group in groupby(_by_slot(batches, task.names), key=_slot)
        )
        part = next(parts, None)
        if part is None:
            return []
        try:
            arm = task.connect()
            check_address(arm, task.address)
            async with arm, task.shared(arm) as run:
                while part is not None:
                    number, rows = part
                    try:
                        await run.send_own(number, task.reading.of(rows))
                        results.append(PartResult(number, host, None))
                    except ArmError as exc:
                        results.append(_failed(number, host, exc))
                    part = next(parts, None)
        except ArmError as exc:
            # It meets all parts alike.
            results.extend(_failed(number, host, exc) for number in _rest(part, parts))
        return results


_RESULT: Final = pa.schema([("part", pa.int32()), ("host", pa.string()), ("error", pa.string())])


class CustomerSender:
    """Sends the customers that are in a partition; the others are empty.

    Args:
        task: what to send, and how.
    """

    def __init__(self, task: SendTask) -> None:
        self._task = task

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Sends the rows of a partition.

        Args:
            batches: its rows.

        Yields:
            Rows as `CUSTOMER_RESULT` says.
        """
        rows = asyncio.run(self._send(batches))
        if rows:
            yield pa.RecordBatch.from_pylist(rows, _CUSTOMER_RESULT)

    async def _send(self, batches: Iterator[pa.RecordBatch]) -> list[dict[str, Any]]:
        task = self._task
        try:
            arm = task.connect()
            check_address(arm, task.address)
            async with arm:
                records = task.reading.of(renamed(batch, task.names) for batch in batches)
                night = night_of_customers(
                    writes(arm, CUSTOMERS),
                    records,
                    task.journal,
                    task.run_id,
                    used=task.used,
                    options=task.options or BulkOptions(),
                    user_id=task.user_id,
                    lease=task.lease,
                )
                report = (await night).customers
        except ArmError as exc:
            return [{"error": f"{exc} (on {socket.gethostname()})"}]
        failures = islice(report.failures(), _MOST_FAILURES) if report is not None else ()
        return [{name: getattr(one, name) for name in _CUSTOMER_RESULT.names[1:]} for one in failures]


_CUSTOMER_RESULT: Final = pa.schema(
    [("error", pa.string()), ("index", pa.int64()), *((name, pa.string()) for name in ("key", "state", "reason", "message"))]
)


def writes(arm: ArmClient, kind: RecordType) -> BulkWrites[Any]:
    """Returns what writes many records with a client.

    Args:
        arm: the client.
        kind: what the records are.
    """
    return BulkWrites(arm._context, arm._pressure, kind)  # noqa: SLF001 - its methods have no name for what only Spark needs


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


def _failed(part: int, host: str, error: ArmError) -> PartResult:
    return PartResult(part, host, str(error))


def _rest(part: Any, parts: Iterator[Any]) -> Iterator[int]:
    while part is not None:
        yield part[0]
        part = next(parts, None)


def _slot(pair: tuple[int, Any]) -> int:
    return pair[0]


def _by_slot(batches: Iterator[pa.RecordBatch], names: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Gives the rows of each slot, without the columns that were added."""
    for batch in batches:
        own = renamed(batch, names)
        runs = pc.run_end_encode(batch.column(len(names)))  # pyright: ignore[reportAttributeAccessIssue] - made at run time
        begin = 0
        for slot, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            yield slot, own.slice(begin, end - begin)
            begin = end


def renamed(batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    """Returns the first columns of a batch, with these names.

    Args:
        batch: the batch.
        names: the names of its first columns; further ones are left out.
    """
    fields = [batch.schema.field(place).with_name(name) for place, name in enumerate(names)]
    return pa.RecordBatch.from_arrays(batch.columns[: len(names)], schema=pa.schema(fields))


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

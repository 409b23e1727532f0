"""What gives batches of Arrow: streams and frames, batches that an engine hands over, Parquet files. Only with pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SourceError
from .arrow_texts import UnsupportedTypeError

__all__ = ["ArrowInput", "Batch", "BatchInput", "ParquetInput", "StreamInput"]

_BATCH_BYTES: Final = 4_000_000
"""Of the rows of a Parquet file that are read together, about."""

_BATCH_ROWS: Final = 4000

_BUFFER: Final = 262_144
"""Bytes that are read of a column of Parquet at once: without it, the whole column of a row group is."""


class Batch(NamedTuple):
    """Some rows of an input.

    Attributes:
        schema: of all columns that the input has.
        arrays: the wanted columns at least, by their positions in the schema.
        row_count: how many rows there are.
    """

    schema: Any
    arrays: Mapping[int, Any]
    row_count: int


class ArrowInput(Protocol):
    """Batches with the same columns.

    Attributes:
        name: for messages.
        schema: of the first batch, once it was opened.
        refused: columns, by position, that could not be made Arrow, with the remedy.
        row_count: how many rows it has, if known.
        constants: further columns, with the one value that all rows have.
    """

    name: str
    schema: Any
    refused: dict[int, str]
    row_count: int | None
    constants: dict[str, str | None]

    def open(self) -> None:
        """Reads the schema. Raises SourceError, and what pyarrow raises."""

    def batches(self, wanted: Collection[int]) -> Iterator[Batch]:
        """Gives the batches, with the columns at these positions of the schema at least."""
        ...

    def failure(self, error: Exception) -> str:
        """Says what an error means, with `{place}` and `{reason}`."""
        ...

    def close(self) -> None:
        """Closes what was opened."""


_UNSAFE: Final = frozenset({"Object", "Int128", "UInt128"})
"""Types of polars that Arrow does not have."""

_UNREADABLE: Final = "it can't be read {place} ({reason})"


class StreamInput:
    """A frame, a table or a reader: whatever has `__arrow_c_stream__`.

    Args:
        given: the object.
    """

    def __init__(self, given: Any) -> None:
        self.name = f"the {_library(given)} {type(given).__name__}"
        self.schema: Any = None
        self.refused: dict[int, str] = {}
        self.constants: dict[str, str | None] = {}
        self.row_count = _row_count(given)
        self._given = given
        self._reader: Any = None

    def open(self) -> None:
        """Reads the schema. Raises SourceError, and what pyarrow raises."""
        try:
            if _is_unsafe(self._given):
                raise UnsupportedTypeError
            self._reader = _streamed(self._given)
        except Exception:
            # One column of another type than Arrow has must not keep the others back.
            by_column = {"pandas": _pandas_by_column, "polars": _polars_by_column}.get(_library(self._given))
            if by_column is None:
                raise
            table, self.refused = by_column(self._given)
            self._reader = table.to_reader()
        self.schema = self._reader.schema

    def batches(self, wanted: Collection[int]) -> Iterator[Batch]:
        """Gives the batches; all have all columns."""
        return map(_whole, self._reader)

    def failure(self, error: Exception) -> str:
        """Says what an error means."""
        return _UNREADABLE

    def close(self) -> None:
        """Ends the query that the stream may be."""
        if self._reader is not None:
            self._reader.close()


class BatchInput:
    """Batches that are handed over one after the other.

    Args:
        given: the batches, or tables; an iterator may have a `name` for messages.
    """

    def __init__(self, given: Iterable[Any]) -> None:
        self.name = str(getattr(given, "name", "the batches"))
        self.schema: Any = None
        self.refused: dict[int, str] = {}
        self.constants: dict[str, str | None] = {}
        self.row_count: int | None = None
        self._given = iter(given)
        self._first: Any = None

    def open(self) -> None:
        """Reads the first batch. Raises SourceError, and what pyarrow raises."""
        first = next(self._given, None)
        if first is None:
            self.schema = pa.schema([])
            return
        self._first = _reader_of(first)
        self.schema = self._first.schema

    def batches(self, wanted: Collection[int]) -> Iterator[Batch]:
        """Gives the batches; all have all columns, and each may have a schema of its own."""
        if self._first is None:
            return
        yield from map(_whole, self._first)
        for given in self._given:
            yield from map(_whole, _reader_of(given))

    def failure(self, error: Exception) -> str:
        """Says what an error means."""
        return _UNREADABLE

    def close(self) -> None:
        """Ends the iterator, where it is a generator that can be ended."""
        close = getattr(self._given, "close", None)
        if close is not None:
            close()


class ParquetInput:
    """A Parquet file.

    Args:
        name: for messages.
        open_file: opens it, so that it can be read from anywhere.
        open_footer: opens it to read its end alone. None: as `open_file`.
        constants: columns that are no part of the file, with the one value that all rows have.
    """

    def __init__(
        self,
        name: str,
        open_file: Callable[[], BinaryIO],
        open_footer: Callable[[], BinaryIO] | None = None,
        constants: dict[str, str | None] | None = None,
    ) -> None:
        self.name = name
        self.schema: Any = None
        self.refused: dict[int, str] = {}
        self.constants = constants or {}
        self.row_count: int | None = None
        self._open_file = open_file
        self._open_footer = open_footer or open_file
        self._stack = ExitStack()

    def open(self) -> None:
        """Reads the schema, and closes the file again: a folder may hold more files than may be open. Raises what pyarrow raises."""
        with ExitStack() as stack:
            parquet = self._opened(stack, self._open_footer)
            self.schema, self.row_count = parquet.schema_arrow, parquet.metadata.num_rows

    @staticmethod
    def _opened(stack: ExitStack, open_file: Callable[[], BinaryIO]) -> Any:
        return pq.ParquetFile(stack.enter_context(open_file()), buffer_size=_BUFFER, pre_buffer=False)

    def batches(self, wanted: Collection[int]) -> Iterator[Batch]:
        """Gives the batches, with the wanted columns at least."""
        parquet = self._opened(self._stack, self._open_file)
        if parquet.schema_arrow != self.schema:
            raise SourceError("it was changed while it was read")
        metadata = parquet.metadata
        size = sum(metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * metadata.num_rows // max(size, 1)))
        # One column at the least: without any, there would be no rows.
        names = dict.fromkeys([self.schema.names[place] for place in sorted(wanted)] or self.schema.names[:1])
        places: list[int] = []
        # One row group after the other: damage in one must not keep back rows of those before it.
        for group in range(metadata.num_row_groups):
            for batch in parquet.iter_batches(rows, row_groups=[group], columns=list(names), use_threads=False):
                places = places or self._places(batch.schema.names)
                yield Batch(self.schema, dict(zip(places, batch.columns, strict=True)), batch.num_rows)
        self.close()

    def _places(self, names: list[str]) -> list[int]:
        """Where the columns of a batch stand in the schema: a name may be there twice, and brings those that begin with it and a dot."""
        left = {name: [place for place, other in enumerate(self.schema.names) if other == name] for name in set(names)}
        return [left[name].pop(0) for name in names]

    def failure(self, error: Exception) -> str:
        """Says what an error means: errors of pyarrow have no number, or are of its classes."""
        is_damaged = isinstance(error, pa.ArrowException) or (isinstance(error, OSError) and error.errno is None)
        return "it is not a valid Parquet file {place} ({reason}): make it again" if is_damaged else _UNREADABLE

    def close(self) -> None:
        """Closes the file."""
        self._stack.close()


def _whole(batch: Any) -> Batch:
    return Batch(batch.schema, dict(enumerate(batch.columns)), batch.num_rows)


def _library(given: Any) -> str:
    return type(given).__module__.partition(".")[0].lstrip("_")


def _row_count(given: Any) -> int | None:
    if isinstance(given, (pa.Table, pa.RecordBatch)):
        return int(given.num_rows)
    # Not of any object: a query would be run for its length.
    return len(given) if _library(given) in {"pandas", "polars"} else None


def _reader_of(given: Any) -> Any:
    if hasattr(given, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(given)
    if hasattr(given, "__arrow_c_array__"):
        batch = pa.record_batch(given)
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    raise SourceError(f"a {type(given).__name__} is no batch of Arrow")


# --- frames with columns that are not all Arrow -----------------------------------------------------------------------------


def _pandas_by_column(frame: Any) -> tuple[Any, dict[int, str]]:
    """Makes a table of a frame of pandas column by column, with nulls for those that can't be made, which come with the remedy."""
    # An index with a name is a column, as pandas itself has it.
    indexes = [frame.index.get_level_values(place) for place, name in enumerate(frame.index.names) if name is not None]
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])] + indexes
    names = [*map(str, frame.columns), *(str(index.name) for index in indexes)]
    arrays, refused = [], {}
    for place, column in enumerate(columns):
        try:
            arrays.append(pa.array(column, from_pandas=True))
        except Exception:  # what a column of mixed values raises depends on the values
            arrays.append(pa.nulls(len(frame)))
            refused[place] = (
                f'its values are of several types, or of one that Arrow does not have: make it .astype("string") ({column.dtype})'
            )
    return pa.Table.from_arrays(arrays, names=names), refused


def _streamed(given: Any) -> Any:
    """A reader of an object. As a stream, a relation of DuckDB comes in batches of 131,072 rows, and of DuckDB 1 in a single one."""
    if type(given).__name__ != "DuckDBPyRelation":
        return pa.RecordBatchReader.from_stream(given)
    read = given.to_arrow_reader if hasattr(given, "to_arrow_reader") else given.fetch_arrow_reader
    return read(_BATCH_ROWS)


def _is_unsafe(given: Any) -> bool:
    """Whether it is a frame of polars with columns whose export ends the whole process in some versions, or gives addresses of memory."""
    return _library(given) == "polars" and not {str(kind) for kind in given.dtypes}.isdisjoint(_UNSAFE)


def _polars_by_column(frame: Any) -> tuple[Any, dict[int, str]]:
    """Makes a table of a frame of polars, with nulls for columns that pyarrow does not know, which come with the remedy."""
    arrays, refused = [], {}
    for place, name in enumerate(frame.columns):
        try:
            if _is_unsafe(frame.select(name)):
                raise UnsupportedTypeError
            arrays.append(pa.table(frame.select(name)).column(0))
        except Exception:  # what is raised depends on the version of pyarrow
            arrays.append(pa.nulls(len(frame)))
            refused[place] = f"pyarrow does not know the type {frame.schema[name]}: cast it to Int64, to a Decimal or to a String"
    return pa.Table.from_arrays(arrays, names=list(frame.columns)), refused

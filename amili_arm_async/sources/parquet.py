"""Parquet as rows, one row group after the other; only with pyarrow, from the extra `arrow`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from ..errors import SourceError
from .columns import SourceKind, convert, map_columns
from .rows import RowBuilder, TableRow

__all__ = ["parquet_records"]

_ROWS: Final = 1000
"""Rows that are made Python values together."""


def parquet_records(file: BinaryIO, kind: SourceKind, longest: int, *, extra: bool) -> Iterator[list[tuple[int, Any]]]:
    """The records of a Parquet file with their row numbers, some at a time. It reads the file: call it in a thread.

    Raises:
        SourceError: pyarrow is not here, it is no Parquet, its columns are no fields, or it can't be read further.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to import
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise SourceError("it is Parquet, and pyarrow is not installed: pip install 'amili-arm-async[arrow]'") from None
    number = 0
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        columns = map_columns(names, kind, nested=True, extra=extra)
        wanted = [name for name, column in zip(names, columns, strict=True) if column is not None]
        builder = RowBuilder(kind, columns, "row", longest)
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(_ROWS, row_groups=[group], columns=wanted, use_threads=False):
                found: list[tuple[int, Any]] = []
                for values in _plain(pa, batch).to_pylist():
                    number += 1
                    found += builder.add(_row(number, values, {column.name: column for column in columns if column is not None}, extra))
                yield found
        yield builder.end()
    except SourceError:
        raise
    except Exception as exc:  # a damaged file makes pyarrow raise errors of many kinds
        place = f"after row {number}" if number else "before its first row"
        raise SourceError(f"it is not a valid Parquet file {place} ({type(exc).__name__}): make it again") from exc


def _row(number: int, values: dict[str, Any], columns: dict[str, Any], extra: bool) -> TableRow:
    row = TableRow(number, {}, as_read=values)
    for name, column in columns.items():
        value = convert(column.shape, values.get(name), name, row.faults, extra)
        if value is not None:
            row.values[name] = value
    row.size = 32 * len(row.values)
    return row


def _plain(pa: Any, batch: Any) -> Any:
    """Timestamps in microseconds: Python's have no finer ones, and those of nanoseconds would raise."""
    for place, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            fine = batch.column(place).cast(pa.timestamp("us", tz=field.type.tz), safe=False)
            batch = batch.set_column(place, field.name, fine)
    return batch

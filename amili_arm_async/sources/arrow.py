"""Tables of Arrow by what is given: frames, streams, batches, Parquet files. pyarrow is imported only where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, Protocol

from ..bulk.source import FreshRecords
from ..errors import ConfigurationError, SourceError

if TYPE_CHECKING:
    from ..values.fields import RecordKind
    from .arrow_table import ArrowTable

__all__ = ["INSTALL", "ArrowStream", "Part", "arrow_table_of", "as_source", "parquet_folder", "parquet_table"]

INSTALL: Final = "pip install 'amili-arm-async[arrow]'"

_REMEDIES: Final[Mapping[tuple[str, str], str]] = {
    ("adbc_driver_manager", "Cursor"): "give what its fetch_record_batch() returns",
    ("duckdb", "DuckDBPyConnection"): "give a relation, as connection.sql(query) returns it",
    ("pandas", "DataFrame"): "it needs pandas 2.2 or later",
    ("pandas", "Series"): "it is one column: give series.to_frame()",
    ("polars", "LazyFrame"): "it is a plan of a query: give frame.collect()",
    ("polars", "Series"): "it is one column: give series.to_frame()",
    ("pyarrow", "Array"): "it is one column: give a table",
    ("pyarrow", "ChunkedArray"): "it is one column: give a table",
    ("pyarrow", "Dataset"): "give dataset.scanner().to_reader()",
    ("pyarrow", "Scanner"): "give scanner.to_reader()",
    ("pyspark", "DataFrame"): "give frame.toArrow()",
    ("sqlalchemy", "Result"): "give result.mappings(), with the fields of the API as names",
}
"""What to do with an object that is no table but near one, by its library and its class."""


class ArrowStream(Protocol):
    """A table that speaks the Arrow C stream protocol: a frame of polars or pandas, a relation of DuckDB, a table of pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Gives the table as a stream of Arrow."""
        ...


class Part(NamedTuple):
    """A Parquet file.

    Attributes:
        path: below the folder that it is a part of.
        open: opens it; it must be seekable, and is closed.
        open_footer: opens it to read its end alone, where that is another thing to do.
    """

    path: str
    open: Callable[[], BinaryIO]
    open_footer: Callable[[], BinaryIO] | None = None


def arrow_table_of(given: Any, *, batches: bool = False) -> ArrowTable | None:
    """Returns what is given as a table, or None where it is none.

    Args:
        given: a frame, a table, a reader or a query's result with `__arrow_c_stream__` or `__arrow_c_array__`, or a list of such.
        batches: whether an iterator is taken for one of such, too.

    Raises:
        ConfigurationError: it is no table but near one, and the message has the remedy; or pyarrow is not installed.
    """
    for cls in type(given).__mro__:
        library = cls.__module__.partition(".")[0].lstrip("_")
        remedy = _REMEDIES.get((library, cls.__name__))
        if remedy is not None and not (cls.__name__ == "DataFrame" and _is_arrow(given)):
            raise ConfigurationError(f"a {library} {cls.__name__} can't be read as it is: {remedy}")
    if isinstance(given, (str, bytes, bytearray)) or hasattr(given, "read"):
        return None
    is_batches = batches and isinstance(given, Iterator)
    if not _is_arrow(given) and not is_batches and not (isinstance(given, (list, tuple)) and given and _is_arrow(given[0])):
        return None
    if not _has_pyarrow():
        raise ConfigurationError(f"tables of Arrow need pyarrow, which is not installed: {INSTALL}")
    from .arrow_inputs import BatchInput, StreamInput  # noqa: PLC0415
    from .arrow_table import ArrowTable  # noqa: PLC0415

    single = hasattr(given, "__arrow_c_stream__")
    source = StreamInput(given) if single else BatchInput([given] if _is_arrow(given) else given)
    return ArrowTable(source.name, lambda: [source])


def as_source(records: Any, kind: RecordKind) -> Any:
    """Returns a table as records; whatever else is given, as it is.

    Args:
        records: what was given as a source.
        kind: what its records are.

    Raises:
        ConfigurationError: it is no table but near one, and the message has the remedy; or pyarrow is not installed.
    """
    if isinstance(records, FreshRecords) or arrow_table_of(records) is None:
        return records
    from .records import open_records  # noqa: PLC0415 - only for a table

    return open_records(records, kind)


def _has_pyarrow() -> bool:
    try:
        import pyarrow as pa  # noqa: F401, PLC0415 - an extra, and slow to import
    except ImportError:
        return False
    return True


def _is_arrow(given: Any) -> bool:
    return hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__")


def parquet_table(files: Sequence[tuple[str, Callable[[], BinaryIO]]]) -> ArrowTable:
    """Returns the table that is in a Parquet file, or in several that are read one after the other.

    Args:
        files: the name of each, for messages, and what opens it; it must be seekable, and is closed.

    Raises:
        SourceError: pyarrow is not installed.
    """
    return parquet_folder(files[0][0], lambda: [Part(*file) for file in files])


def parquet_folder(name: str, find_parts: Callable[[], Sequence[Part]]) -> ArrowTable:
    """Returns the table that is in the Parquet files of a folder, one after the other.

    A folder `name=value` in the path of a part is a column of its rows.

    Args:
        name: of the folder, for messages.
        find_parts: finds the parts; called when the table begins. Raises SourceError.

    Raises:
        SourceError: pyarrow is not installed.
    """
    if not _has_pyarrow():
        raise SourceError(f"it is Parquet, and pyarrow is not installed: {INSTALL}")
    from .arrow_inputs import ParquetInput  # noqa: PLC0415
    from .arrow_table import ArrowTable  # noqa: PLC0415

    return ArrowTable(name, lambda: [ParquetInput(part.path, part.open, part.open_footer, _partition(part.path)) for part in find_parts()])


def _partition(path: str) -> dict[str, str | None]:
    """The columns that the folders of a file name, as Hive writes them."""
    from urllib.parse import unquote  # noqa: PLC0415 - only for who has such folders

    pairs = [folder.partition("=") for folder in path.split("/")[:-1] if "=" in folder]
    return {unquote(key): None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for key, _, value in pairs}

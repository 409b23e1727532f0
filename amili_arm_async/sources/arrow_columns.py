"""The columns of a schema of Arrow as columns of a table: structs are flattened, and a list of structs holds lines. Only with pyarrow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError
from ..values.judge import Origin
from .arrow_texts import TextReader, UnsupportedTypeError, is_list, text_reader

__all__ = ["ArrowColumn", "BatchCells", "aligned", "check_type", "columns_of", "shown"]

_INDEX: Final = re.compile(r"__index_level_\d+__")
"""What pandas names an index without a name."""

_ALIKE: Final = "give all parts the same columns, of the same types"


class ArrowColumn(NamedTuple):
    """A column of a table.

    Attributes:
        name: with dots below a struct or a list of structs.
        path: the position of the column of the batch, and of the field in each struct below it.
        list_at: in a list of structs: how many positions of the path lead to the list. None: one value for each row.
        type: for messages.
        is_null: whether the type has no values, so that it stands for any.
        is_list: whether a cell is a list of texts.
        reader: makes texts of it. None: nothing can.
        remedy: where nothing can.
        constant: the value of all rows, where the path is empty; there are no lines then.
    """

    name: str
    path: tuple[int, ...]
    list_at: int | None
    type: str
    is_null: bool
    is_list: bool
    reader: TextReader | None
    remedy: str = ""
    constant: str | None = None

    @property
    def origin(self) -> Origin:
        """What the column is."""
        return self.reader.origin if self.reader is not None else "text"

    def refusal(self) -> str:
        """Says why nothing makes texts of it, and what to do."""
        return f"column {shown(self.name)} is of type {self.type}, which is no text, number, date or boolean: {self.remedy}"


def columns_of(schema: Any, refused: Mapping[int, str], constants: Mapping[str, str | None]) -> list[ArrowColumn]:
    """Returns the columns of a schema, without what pandas keeps its index in.

    Args:
        schema: of Arrow.
        refused: columns, by position, that could not be made Arrow, with the remedy.
        constants: further columns, with the one value that all rows have.
    """
    columns: list[ArrowColumn] = []
    for place, field in enumerate(schema):
        name = field.name.strip()
        if place in refused:
            columns.append(ArrowColumn(name, (place,), None, "another kind", False, False, None, refused[place]))
        elif not _INDEX.fullmatch(field.name):
            columns += _columns(name, field.type, (place,), None, is_extension=_is_unknown_extension(field))
    names = {column.name for column in columns}
    plain = text_reader(pa.string())
    for name, value in constants.items():
        if name not in names:
            columns.append(ArrowColumn(name, (), None, "string", False, False, plain, constant=value))
    return columns


def _is_unknown_extension(field: Any) -> bool:
    """Whether it is of a type that pyarrow does not know, which comes as the type in which it is stored."""
    return b"ARROW:extension:name" in (field.metadata or {}) and not isinstance(field.type, pa.BaseExtensionType)


def _columns(name: str, kind: Any, path: tuple[int, ...], list_at: int | None, *, is_extension: bool = False) -> Iterator[ArrowColumn]:
    if pa.types.is_struct(kind) and not is_extension:
        for place, field in enumerate(kind):
            yield from _columns(
                f"{name}.{field.name.strip()}", field.type, (*path, place), list_at, is_extension=_is_unknown_extension(field)
            )
        return
    if is_list(kind) and pa.types.is_struct(kind.value_type) and list_at is None and not is_extension:
        yield from _columns(name, kind.value_type, path, len(path))
        return
    is_null = pa.types.is_null(kind) or (is_list(kind) and pa.types.is_null(kind.value_type))
    try:
        if is_extension:
            raise UnsupportedTypeError("make it a text or a number")
        yield ArrowColumn(name, path, list_at, str(kind), is_null, is_list(kind), text_reader(kind))
    except UnsupportedTypeError as exc:
        yield ArrowColumn(name, path, list_at, str(kind), is_null, is_list(kind), None, str(exc))


def aligned(header: Sequence[ArrowColumn], columns: Sequence[ArrowColumn]) -> list[ArrowColumn]:
    """Returns the columns of a further batch or file in the order of a header. Raises SourceError where it has others."""
    if [column.name for column in header] == [column.name for column in columns]:
        return list(columns)
    there = {column.name: column for column in columns}
    found: list[ArrowColumn] = []
    used: set[str] = set()
    for column in header:
        # A struct or a list of structs without any value may have lost its type.
        parts = column.name.split(".")
        above = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
        name = next((name for name in above if name in there and (name == column.name or there[name].is_null)), None)
        if name is None:
            raise SourceError(f"column {shown(column.name)} is missing, which was there before: {_ALIKE}")
        used.add(name)
        found.append(there[name] if name == column.name else there[name]._replace(list_at=column.list_at, path=(), constant=None))
    if further := next((name for name in there if name not in used), None):
        raise SourceError(f"column {shown(further)} was not there before: {_ALIKE}")
    if len(there) < len(columns):
        raise SourceError(f"a column is there twice, and the columns stand in another order than before: {_ALIKE}")
    return found


def check_type(known: ArrowColumn, column: ArrowColumn) -> None:
    """Raises SourceError where nothing makes texts of a column, or where it is of another kind than the same column before."""
    if column.reader is None:
        raise SourceError(column.refusal())
    if column.is_null and column.is_list:
        is_other = not known.is_list and known.list_at is None
    else:
        is_other = not column.is_null and _kind(known) != _kind(column)
    if is_other:
        raise SourceError(f"column {shown(known.name)} is of type {column.type}, and was {known.type} before: {_ALIKE}")


def _kind(column: ArrowColumn) -> tuple[Origin, bool, bool]:
    return column.origin, column.is_list, column.list_at is None


def shown(name: str) -> str:
    """Returns a name of a column for a message."""
    plain = "".join([letter if letter.isprintable() else "?" for letter in name])
    return f'"{plain[:60]}{"..." if len(plain) > 60 else ""}"'


class BatchCells:
    """The cells of a batch.

    Args:
        arrays: the columns of the batch, by their positions in its schema.
        columns: the wanted ones, all with readers.
    """

    def __init__(self, arrays: Mapping[int, Any], columns: Sequence[ArrowColumn]) -> None:
        self._arrays: dict[tuple[int, ...], Any] = {(place,): array for place, array in arrays.items()}
        self._lists: Any = None
        for column in columns:
            if column.list_at is not None and column.path:
                self._lists = self._array(column.path[: column.list_at])

    def _array(self, path: tuple[int, ...]) -> Any:
        if path not in self._arrays:
            for place, child in enumerate(self._array(path[:-1]).flatten()):
                self._arrays[(*path[:-1], place)] = child
        return self._arrays[path]

    def read(self, column: ArrowColumn, start: int, length: int) -> list[Any]:
        """Returns the texts of a column in some rows: one for each row, or one for each line of the rows. Raises ValueError."""
        if not column.path:
            return [column.constant] * length if column.list_at is None else []
        assert column.reader is not None
        if column.list_at is None:
            return column.reader.read(self._array(column.path).slice(start, length))
        # Unlike `.values`, this respects slices and leaves out what is below a null.
        lines = self._array(column.path[: column.list_at]).slice(start, length).flatten()
        for place in column.path[column.list_at :]:
            lines = lines.flatten()[place]
        return column.reader.read(lines)

    def line_counts(self, row_count: int) -> list[int]:
        """Returns how many lines each row has."""
        return (
            [0] * row_count
            if self._lists is None
            else [count or 0 for count in pc.call_function("list_value_length", [self._lists]).to_pylist()]
        )

"""The header and the first rows of a file, whatever its columns are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final, NamedTuple

import msgspec

from ..errors import SourceError
from ..values.judge import Origin
from .decompression import DamagedError
from .mapping import NO_HEADER, FieldMap
from .source_file import FileOptions, SourceFile
from .table import TableBlock
from .table_inputs import TableInput

__all__ = ["Sample", "read_sample"]

_ROWS: Final = 1000

_LONGEST: Final = 1_000_000
"""Bytes of a line, and of the JSON that is looked at."""


class Sample(NamedTuple):
    """The header and the first rows of a file.

    Attributes:
        names: of the columns.
        cells: some of each column, of the same rows.
        origins: what each column was.
        rows: how many rows there are.
        is_json: whether it is no table, but JSON; the names are those of its fields, with dots for groups.
    """

    names: list[str]
    cells: list[list[Any]]
    origins: list[Origin]
    rows: int
    is_json: bool = False


async def read_sample(path: str, *, delimiter: str | None = None, encoding: str | None = None) -> Sample:
    """Reads the header and the first rows of a file.

    Args:
        path: of the file.
        delimiter: of CSV; None: the header shows it.
        encoding: of its text; None: it shows that.

    Returns:
        What was read.

    Raises:
        ConfigurationError: an argument is wrong.
        SourceError: it can't be read, or no row can.
    """
    file = SourceFile(path, FileOptions("auto", delimiter, encoding, _LONGEST))
    try:
        async with AsyncExitStack() as stack:
            stack.callback(file.close)
            # With names of both kinds, the delimiter is found where some have the names of the API.
            table = await file.table_input(stack, lambda: FieldMap("documents", extra=True))
            return await _of_table(table) if table is not None else await _of_json(file)
    except (DamagedError, SourceError) as exc:
        raise SourceError(f"{file.name}: {exc}") from None
    except OSError as exc:
        raise SourceError(f"{file.name} can't be read: {exc.strerror or type(exc).__name__}") from exc


async def _of_table(source: TableInput) -> Sample:
    blocks: list[TableBlock] = []
    rows = 0
    async with aclosing(source.steps()) as steps:
        async for step in steps:
            found = step()
            blocks += found
            rows += sum(len(block.numbers) for block in found)
            if rows >= _ROWS:
                break
    table = source.table
    if not table.names:
        raise SourceError("it holds no header")
    if FieldMap("documents").hold_values(table.names):
        raise SourceError(NO_HEADER)
    columns = [[cell for block in blocks for cell in block.columns[place]] for place in range(len(table.names))]
    return Sample(list(table.names), columns, list(table.origins), rows)


async def _of_json(file: SourceFile) -> Sample:
    text = b""
    async with aclosing(file.json_text()) as every:
        async for block in every:
            text += block
            if len(text) > _LONGEST:
                break
    records = list(_objects(text[:_LONGEST].splitlines()))
    if not records:
        raise SourceError("no line of it is one JSON object")
    flat = [dict(_flat(record, "")) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))
    return Sample(names, [[record.get(name) for record in flat] for name in names], ["json"] * len(names), len(flat), is_json=True)


def _objects(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeError):
            continue
        if isinstance(record, dict):
            yield record


def _flat(record: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        path = f"{above}{name}"
        if isinstance(value, dict):
            yield from _flat(value, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from _flat(value[0], f"{path}.")
        else:
            yield path, value

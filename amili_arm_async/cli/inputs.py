"""The arguments that say what an input is, for every command that reads records."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ..sources.records import Records, open_records

if TYPE_CHECKING:
    from ..sources.columns import SourceKind

__all__ = ["Clear", "Delimiter", "ExtraColumns", "Format", "SourceEncoding", "SourceFormat", "open_input"]


class Format(StrEnum):
    """What a file is."""

    auto = "auto"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


SourceFormat: TypeAlias = Annotated[Format, typer.Option("--format", help="What the file is; auto finds it by its first bytes.")]
Delimiter: TypeAlias = Annotated[str | None, typer.Option(help="Between the cells of CSV: ; or , or tab; found where it is not given.")]
SourceEncoding: TypeAlias = Annotated[
    str | None, typer.Option("--encoding", help="Of the text: utf-8, windows-1252, utf-16, ...; found where it is not given.")
]
Clear: TypeAlias = Annotated[
    str | None, typer.Option(help="A cell of CSV with this text clears its field; a blank cell leaves the field out.")
]
ExtraColumns: TypeAlias = Annotated[bool, typer.Option("--extra-columns", help="Pass over columns that are no field.")]


def open_input(
    file: str,
    kind: SourceKind,
    format: Format,
    delimiter: str | None,
    encoding: str | None,
    clear: str | None,
    extra_columns: bool,
    longest: int,
) -> Records:
    """Opens what was given on the command line.

    Raises:
        ConfigurationError, SourceError: as `open_records`.
    """
    return open_records(
        file,
        kind,
        format=format.value,
        delimiter="\t" if delimiter in {"tab", "\\t"} else delimiter,
        encoding=encoding,
        clear=clear,
        extra_columns=extra_columns,
        longest=longest,
    )

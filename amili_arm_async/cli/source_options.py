"""The options that say how a file of records is read, and which columns of a table are which fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ..errors import ConfigurationError
from ..sources.records import Records, open_records
from . import output
from .command import SOURCE
from .settings import current_file, resolve

if TYPE_CHECKING:
    from ..values.fields import RecordKind as SourceKind

__all__ = [
    "ColumnOptions",
    "KindArgument",
    "LineOptions",
    "RecordFile",
    "RecordKind",
    "SourceOptions",
    "TableColumns",
    "table_columns",
]


class RecordKind(StrEnum):
    """What the records of a file are."""

    customers = "customers"
    documents = "documents"


class Format(StrEnum):
    """The format of a file."""

    auto = "auto"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


RecordFile: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="CSV, Parquet or JSON; it may be compressed (gzip, zstd). A path, a URL, a folder of Parquet files, or - for standard input.",
    ),
]
KindArgument: TypeAlias = Annotated[RecordKind, typer.Argument(metavar="KIND", help="What the records are: customers or documents.")]


class Decimal(StrEnum):
    """The decimal sign of numbers."""

    comma = ","
    point = "."


@dataclass(frozen=True)
class TableColumns:
    """Which columns of a table are which fields.

    Attributes:
        columns: for names of the header, the field that each is.
        constants: for fields, the value that each has in every record.
        lines: path of the file that has the lines of the documents, or None.
        line_columns: for names of its header, the field that each is.
        lines_optional: whether documents may have no lines in that file.
    """

    columns: Mapping[str, str] | None = None
    constants: Mapping[str, str] | None = None
    lines: str | None = None
    line_columns: Mapping[str, str] | None = None
    lines_optional: bool = False


ColumnOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="COLUMN=FIELD",
        rich_help_panel=SOURCE,
        help="Read a column of the table as this field: Kundenr=customerNo. Repeatable.\n\n"
        "Settings: [columns.customers], [columns.documents]",
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        rich_help_panel=SOURCE,
        help="Give a field the same value in all records: documentType=IN. Repeatable.\n\n"
        "Settings: [constants.customers], [constants.documents]",
    ),
]


@dataclass(frozen=True)
class ColumnOptions:
    """Which columns are which fields, for a command with records of one kind."""

    column: ColumnOption = None
    set_: SetOption = None

    def of(self, kind: SourceKind) -> TableColumns:
        """Returns what these options and the settings file say of a kind of record.

        Args:
            kind: what the records are.

        Returns:
            The columns.

        Raises:
            ConfigurationError: an option has no `=`, or names a column or field twice.
        """
        return table_columns(kind, self.column, self.set_)


@dataclass(frozen=True)
class LineOptions:
    """Where the lines of documents are."""

    lines: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=SOURCE,
            help="File with the lines of the documents, joined by documentNo: CSV or Parquet, in any order.",
        ),
    ] = None
    line_column: Annotated[
        list[str] | None,
        typer.Option(
            "--line-column",
            metavar="COLUMN=FIELD",
            rich_help_panel=SOURCE,
            help="As --column, for the file of --lines.\n\nSettings: [columns.lines]",
        ),
    ] = None
    lines_optional: Annotated[
        bool,
        typer.Option(
            "--lines-optional",
            rich_help_panel=SOURCE,
            help="Also send documents without lines in the file of --lines, and ignore lines without a document.",
        ),
    ] = False

    def add_to(self, columns: TableColumns, kind: SourceKind) -> TableColumns:
        """Returns the columns with these options.

        Args:
            columns: of the records.
            kind: what the records are.

        Returns:
            The columns of documents and lines.

        Raises:
            ConfigurationError: an option needs --lines or documents, has no `=`, or names a column twice.
        """
        if self.lines is None:
            if self.line_column or self.lines_optional:
                raise ConfigurationError("--line-column and --lines-optional need --lines: give that too")
            return columns
        if kind != "documents":
            raise ConfigurationError("--lines is for documents: customers have no lines")
        mapping = _pairs("--line-column", self.line_column) or _setting("columns.lines")
        return replace(columns, lines=self.lines, line_columns=mapping, lines_optional=self.lines_optional)


def table_columns(kind: SourceKind, columns: Sequence[str] | None, constants: Sequence[str] | None, ending: str = "") -> TableColumns:
    """Returns what options and the settings file say of the columns of a table. Options replace the table of the file.

    Args:
        kind: what the records are.
        columns: the values of --column.
        constants: the values of --set.
        ending: of the names of the options, for messages: `-customers`.

    Returns:
        The columns.

    Raises:
        ConfigurationError: an option has no `=`, or names a column or field twice.
    """
    return TableColumns(
        _pairs(f"--column{ending}", columns) or _setting(f"columns.{kind}"),
        _pairs(f"--set{ending}", constants, is_first=True) or _setting(f"constants.{kind}"),
    )


def _setting(key: str) -> Mapping[str, str] | None:
    found: Mapping[str, str] | None = resolve({}, current_file()).value(key)
    return found


def _pairs(option: str, given: Sequence[str] | None, *, is_first: bool = False) -> dict[str, str]:
    """Returns the two sides of options such as Kundenr=customerNo. Only the name of a column, and a value, may hold a further `=`."""
    pairs: dict[str, str] = {}
    for text in given or ():
        left, sign, right = text.partition("=") if is_first else text.rpartition("=")
        if not (sign and left.strip() and right.strip()):
            example = "FIELD=VALUE, such as documentType=IN" if is_first else "COLUMN=FIELD, such as Kundenr=customerNo"
            raise ConfigurationError(f"{option} {output.plain(text)!r} is not {example}")
        if left in pairs:
            raise ConfigurationError(f"{option} {output.plain(left)} is given twice")
        pairs[left] = right
    return pairs


@dataclass(frozen=True)
class SourceOptions:
    """How files of records are read."""

    format: Annotated[Format, typer.Option(rich_help_panel=SOURCE, help="File format; auto detects it from the first bytes.")] = Format.auto
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="SIGN", rich_help_panel=SOURCE, help="CSV delimiter: ; or , or tab. Default: detected."),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=SOURCE,
            help="Text encoding: utf-8, windows-1252, cp865 or any other that Python knows. Default: detected.",
        ),
    ] = None
    decimal: Annotated[
        Decimal | None,
        typer.Option(
            rich_help_panel=SOURCE,
            help="Decimal sign of the numbers in tables. Without it, 12.000 is refused unless other cells prove what it means.",
        ),
    ] = None
    clear: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=SOURCE,
            help="A CSV cell with this text clears its field. An empty cell leaves the field as it is.",
        ),
    ] = None
    extra_columns: Annotated[
        bool, typer.Option("--extra-columns", rich_help_panel=SOURCE, help="Ignore columns that are not fields of the API.")
    ] = False

    def open(self, file: str, kind: SourceKind, longest: int, columns: TableColumns) -> Records:
        """Opens a file of records.

        Args:
            file: path, or `-` for standard input.
            kind: what its records are.
            longest: maximum bytes of a record.
            columns: which columns of a table are which fields.

        Returns:
            The records; whoever opens them closes them.

        Raises:
            ConfigurationError: an option does not fit the file.
            SourceError: the file can't be read.
        """
        if file == columns.lines == "-":
            raise ConfigurationError("standard input can't be both the documents and their lines")
        return open_records(
            file,
            kind,
            format=self.format.value,
            delimiter="\t" if self.delimiter in {"tab", "\\t"} else self.delimiter,
            encoding=self.encoding,
            decimal_sign=self.decimal.value if self.decimal is not None else None,
            clear=self.clear,
            extra_columns=self.extra_columns,
            longest=longest,
            columns=columns.columns,
            constants=columns.constants,
            lines=columns.lines,
            line_columns=columns.line_columns,
            lines_optional=columns.lines_optional,
        )

"""`open_records`: a file, standard input or a table as records for `create_many`, each with its place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from .. import codec
from ..bulk.blocks import RecordBlock
from ..bulk.source import FreshRecords
from ..errors import ConfigurationError, SourceError, counted
from ..values.fields import RecordKind
from ..values.judge import VERSION, ReadingOptions
from .blocks import run_in_thread
from .decompression import DamagedError
from .numbers import LineNumbers
from .record_blocks import PlacedBlock, RecordWarnings
from .source_file import FileOptions, Format, SourceFile
from .text import check_encoding

if TYPE_CHECKING:
    from .judged import JudgedBlock
    from .lines_table import LinesTable
    from .mapping import FieldMap
    from .record_blocks import TextMaker
    from .table import Table
    from .table_inputs import TableInput
    from .table_records import TableRecords

__all__ = ["LONGEST", "Format", "Records", "open_records"]

MadeT = TypeVar("MadeT")

LONGEST: Final = 16_000_000
"""Bytes of a record at the most, where nothing else is said."""


def open_records(
    source: Any,
    kind: RecordKind = "customers",
    *,
    format: Format = "auto",
    delimiter: str | None = None,
    encoding: str | None = None,
    clear: str | None = None,
    extra_columns: bool = False,
    longest: int = LONGEST,
    columns: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    decimal_sign: Literal[",", "."] | None = None,
    lines: Any = None,
    line_columns: Mapping[str, str] | None = None,
    lines_optional: bool = False,
) -> Records:
    """Opens a file or a table as records to send or check.

    A file may be JSON lines, CSV or Parquet, compressed with gzip or zstd. A table is any object that supports the Arrow C stream protocol,
    such as a frame of polars or pandas, a relation of DuckDB or a table of pyarrow. docs/sources.md has the rules.

    Args:
        source: the path of a file or of a folder of Parquet files, a URL (with the extra `remote`), `-` for standard input, a file open
            for reading bytes, which stays open, a table, or an iterator of record batches of Arrow.
        kind: what the records are. Default `"customers"`.
        format: `"jsonl"`, `"csv"` or `"parquet"`. Default `"auto"`: detected from the first bytes.
        delimiter: CSV delimiter; detected in the header if omitted.
        encoding: of the text. Default None: detects UTF-8, UTF-16 with a byte order mark, and in CSV Windows-1252.
        clear: a cell with this text clears its field; a blank cell leaves it out. Default None: none.
        extra_columns: ignore columns that are not fields, instead of refusing the file. Default False.
        longest: the maximum size of a record and of a line in bytes; a longer one is named and not kept.
        columns: the field of each column, by its name in the header: `{"Kundenr": "customerNo"}`. Other columns have the names of the API.
        constants: the value of each field that is the same in every record, as it would stand in a cell: `{"documentType": "IN"}`.
        decimal_sign: `","` or `"."`: the sign before decimals in all numbers. Default None: where a number has two meanings (`12.000`), the
            other numbers of its column in the file tell which is right; where they do not, it is refused.
        lines: a second file or table, with the lines of the documents, found by their `documentNo`.
        line_columns: as `columns`, for `lines`.
        lines_optional: also send documents without lines there, and ignore lines there without a document. Default False.

    Returns:
        The records: an iterable that can be read once.

    Raises:
        ConfigurationError: an argument is wrong.
        SourceError: the file can't be opened.
    """
    if kind not in {"customers", "documents"}:
        raise ConfigurationError('kind is "customers" or "documents"')
    if format not in get_args(Format):
        raise ConfigurationError(f"format is one of {', '.join(get_args(Format))}")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ConfigurationError("delimiter is one character, such as ; or , or a tab")
    if longest < 1:
        raise ConfigurationError("longest is a number of bytes, 1 or more")
    if decimal_sign not in {None, ",", "."}:
        raise ConfigurationError('decimal_sign is "," or "."')
    if lines is None and (line_columns or lines_optional):
        raise ConfigurationError("line_columns and lines_optional need lines, which was not given")
    if lines is not None and kind != "documents":
        raise ConfigurationError("lines are for documents")
    file_options = FileOptions(format, delimiter, check_encoding(encoding), longest)
    options = ReadingOptions(decimal_sign=decimal_sign, clear=clear)
    asked = _Asked(kind, options, longest, extra_columns, dict(columns or {}), dict(constants or {}))
    if lines is None:
        return Records(source, file_options, asked)
    # A file may be named for what it is, and these are two.
    of_lines = SourceFile(lines, replace(file_options, format="auto", delimiter=None))
    try:
        return Records(source, file_options, asked, _Lines(of_lines, dict(line_columns or {}), lines_optional))
    except BaseException:
        of_lines.close()
        raise


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for of the records."""

    kind: RecordKind
    options: ReadingOptions
    longest: int
    extra: bool
    columns: Mapping[str, str]
    constants: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Lines:
    """A second table, with the lines of documents."""

    file: SourceFile
    columns: Mapping[str, str]
    optional: bool


class Records(FreshRecords):
    """The records of a file or a table, read once from its beginning to its end; made by `open_records`.

    A run reads them in blocks. Iterated, JSON lines come as bytes, rows of a table as mappings. One that can't be read or is refused comes
    as an `UnreadableRecord`, which a run names as invalid; the others go on. `async with` closes the file at the end; so does reading to
    its end.

    Attributes:
        name: the file, for messages.
        ends: whether it certainly has an end: a file does, and a pipe or a terminal may not. A run that can't continue reads a source
            that has an end to its end, and names every record of it.
        rules: names the version of the rules and the options by which the records are judged.
        warnings: what is odd about records that are sent, so far.

    Raises:
        SourceError: on iterating: the file can't be read, or not further; what stood before it was given.
    """

    def __init__(self, source: Any, options: FileOptions, asked: _Asked, lines: _Lines | None = None) -> None:
        self.warnings = RecordWarnings()
        self.rules = f"{VERSION} {asked.options.decimal_sign or '-'} {asked.options.clear!r}"
        self._asked = asked
        # What is wrong with the mapping is said before anything is opened.
        self._fields = self._field_map() if asked.columns or asked.constants else None
        self._line_fields = self._field_map_of(lines) if lines is not None and lines.columns else None
        self._file = SourceFile(source, options)
        self._lines = lines
        self._maker: TextMaker | None = None
        self._numbers = LineNumbers()
        self._too_long: set[int] = set()
        self._table: Table | None = None
        self._begun = False
        self.name = self._file.name
        self.ends = self._file.ends

    def __repr__(self) -> str:
        return f"<Records of {self.name}: {len(self._numbers)} read>"

    @property
    def format(self) -> Format:
        """What the file is; `"auto"` until its first bytes were read. A table of Arrow is `"parquet"` too."""
        return self._file.format

    def place(self, index: int) -> str:
        """Says where a record is in the file.

        Args:
            index: the index of the record, from 0.

        Returns:
            `line 17`, or `row 17` of Parquet; of a record on several lines, the first.
        """
        number = self._numbers[index]
        if number < 0 and self._lines is not None:
            return f"{self._lines.file.name}, {self._lines.file.unit} {-number}"
        return f"{self._file.unit} {number}"

    def line(self, index: int) -> int:
        """Returns the number in `place`.

        Args:
            index: the index of the record, from 0.

        Returns:
            The number of the line or row, from 1.
        """
        return abs(self._numbers[index])

    def fraction_read(self) -> float | None:
        """Says how much of the file has been read.

        Returns:
            A share from 0 to 1; None where the length of the file is not known.
        """
        return self._file.fraction_read()

    def is_too_long(self, index: int) -> bool:
        """Returns whether a record was a line of more than `longest` bytes.

        Args:
            index: the index of the record, from 0.

        Returns:
            True if it was too long to be kept.
        """
        return self._numbers[index] in self._too_long

    @property
    def blank_lines(self) -> int:
        """The number of lines of CSV read so far that are blank or have blank cells only; they are no records, and are skipped."""
        return getattr(self._table, "blank_count", 0)

    def close(self) -> None:
        """Closes the files that it opened. It may be called again."""
        self._file.close()
        if self._lines is not None:
            self._lines.file.close()

    def __enter__(self) -> Records:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Records:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- what is read -----------------------------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[Any]:
        async with aclosing(self.blocks()) as every:
            async for block in every:
                await run_in_thread(block.apply_rules)
                for record in block:
                    yield codec.json_value(record) if block.is_canonical and isinstance(record, bytes) else record

    async def blocks(self) -> AsyncGenerator[RecordBlock]:
        """Gives the records in blocks; once.

        Yields:
            Up to a thousand records.

        Raises:
            SourceError: the file can't be read, or not further; what stood before it was given.
            ConfigurationError: they were read before.
        """
        async with aclosing(self._every(self._texts)) as every:
            async for found in every:
                if isinstance(found, PlacedBlock):
                    self._numbers.extend(found.numbers)
                    yield found.records

    async def judged_blocks(self) -> AsyncGenerator[JudgedBlock | RecordBlock]:
        """Gives the records in columns; once. JSON comes in blocks of texts, to which no rule was applied.

        Yields:
            Some records; from then on `place` knows them, those that are refused among them, in their order.

        Raises:
            SourceError: the file can't be read, or not further; what stood before it was given.
            ConfigurationError: they were read before.
        """
        async with aclosing(self._every(_as_judged)) as every:
            async for found in every:
                if isinstance(found, PlacedBlock):
                    self._numbers.extend(found.numbers)
                    yield found.records
                else:
                    self._numbers.extend(found.all_numbers())
                    yield found

    async def _every(self, make: Callable[[TableRecords, Iterable[JudgedBlock]], Iterable[MadeT]]) -> AsyncGenerator[MadeT | PlacedBlock]:
        """What is read, made by `make` where it is a table; errors say how far it was read."""
        if self._begun:
            raise ConfigurationError("records are read once: call open_records() again")
        self._begun = True
        try:
            async with aclosing(self._read(make)) as every:
                async for found in every:
                    for one in found:
                        yield one
        except DamagedError as exc:
            raise SourceError(f"{self.name}: {exc}; {self._reached()}") from None
        except OSError as exc:
            raise SourceError(f"{self.name} can't be read: {exc.strerror or type(exc).__name__}; {self._reached()}") from exc
        except SourceError as exc:
            raise SourceError(f"{self.name}: {exc}" + (f"; {self._reached()}" if self._numbers else "")) from exc
        finally:
            self.close()

    def _reached(self) -> str:
        count = len(self._numbers)
        was = "was" if count == 1 else "were"
        return (
            f"{counted(count, 'record')} {was} read before it, up to {self.place(count - 1)}" if count else "no record was read before it"
        )

    async def _read(
        self, make: Callable[[TableRecords, Iterable[JudgedBlock]], Iterable[MadeT]]
    ) -> AsyncGenerator[list[MadeT] | list[PlacedBlock]]:
        async with AsyncExitStack() as stack:
            table = await self._file.table_input(stack, self._map)
            if table is not None:
                self._table = table.table
                lines = await self._lines_table(stack)
                async with aclosing(self._rows(table, lines, make)) as every:
                    async for made in every:
                        yield made
            else:
                async with aclosing(self._json()) as texts:
                    async for found in texts:
                        yield found

    # --- JSON -------------------------------------------------------------------------------------------------------------

    async def _json(self) -> AsyncGenerator[list[PlacedBlock]]:
        from .json_records import JsonRecords  # noqa: PLC0415 - only for who has such a file
        from .json_texts import JsonTexts  # noqa: PLC0415

        if self._asked.columns or self._asked.constants or self._lines is not None:
            raise SourceError("it is JSON, whose fields have the names of the API: columns, constants and lines are for tables")
        parser, records = JsonTexts(self._asked.longest), JsonRecords(self._asked.kind, self.warnings)
        self._too_long = parser.too_long
        async with aclosing(self._file.json_text()) as every:
            async for text in every:
                yield records.blocks(parser.feed(text))
        yield records.blocks(parser.end())

    # --- tables -----------------------------------------------------------------------------------------------------------

    def _map(self) -> FieldMap:
        self._fields = self._fields or self._field_map()
        return self._fields

    def _field_map(self) -> FieldMap:
        from .mapping import FieldMap  # noqa: PLC0415 - only for tables

        asked = self._asked
        return FieldMap(asked.kind, asked.columns, asked.constants, extra=asked.extra, options=asked.options)

    def _field_map_of(self, lines: _Lines) -> FieldMap:
        from .mapping import FieldMap  # noqa: PLC0415 - only for tables

        return FieldMap("documents", lines.columns, extra=self._asked.extra, part="lines")

    async def _rows(
        self, table: TableInput, lines: LinesTable | None, make: Callable[[TableRecords, Iterable[JudgedBlock]], Iterable[MadeT]]
    ) -> AsyncGenerator[list[MadeT]]:
        from .table_reader import TableReader  # noqa: PLC0415 - only for tables
        from .table_records import TableRecords  # noqa: PLC0415

        asked = self._asked
        records = TableRecords(
            table.table,
            self._map(),
            options=asked.options,
            longest=asked.longest,
            can_prove=self._file.can_be_read_again,
            elsewhere=lines,
        )
        reader = TableReader(table, records)
        try:
            async with aclosing(reader.read(lambda judged: make(records, judged))) as every:
                async for found in every:
                    yield found
        finally:
            table.close()

    async def _lines_table(self, stack: AsyncExitStack) -> LinesTable | None:
        """The lines of the documents, read to their end."""
        if self._lines is None:
            return None
        from .lines_table import LinesTable  # noqa: PLC0415 - SQLite is only loaded where there are such lines

        lines, file = self._lines, self._lines.file
        fields = self._line_fields or self._field_map_of(lines)
        source = await file.table_input(stack, lambda: fields)
        if source is None:
            what = "there is nothing in the file of lines," if file.is_empty else "the lines are JSON, in"
            raise SourceError(f"{what} {file.name}: give them as CSV, Parquet or a table")
        found = LinesTable(
            source, fields, options=self._asked.options, can_prove=file.can_be_read_again, name=file.name, optional=lines.optional
        )
        stack.callback(found.close)
        stack.callback(source.close)
        try:
            async with aclosing(source.steps()) as steps:
                async for step in steps:
                    await run_in_thread(found.take, step)
            await run_in_thread(found.end)
        except SourceError as exc:
            raise SourceError(f"the lines in {file.name}: {exc}") from exc
        return found

    def _texts(self, records: TableRecords, judged: Iterable[JudgedBlock]) -> Iterator[PlacedBlock]:
        from .encode import RecordEncoder  # noqa: PLC0415
        from .record_blocks import TextMaker  # noqa: PLC0415

        if self._maker is None:
            encoder = RecordEncoder(records.fields, records.line_fields)
            self._maker = TextMaker(encoder, records.refusals, self.warnings, self._asked.longest)
        return self._maker.blocks(judged)


def _as_judged(_: TableRecords, judged: Iterable[JudgedBlock]) -> Iterable[JudgedBlock]:
    return judged

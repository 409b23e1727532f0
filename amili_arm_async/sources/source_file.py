"""A file, standard input or a table that was given: what it is, and what gives its bytes or its rows, once or again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import dataclass
from os import SEEK_CUR, PathLike, fspath, fstat, lseek
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, cast

from ..errors import ConfigurationError, SourceError
from .blocks import blocks, plain_blocks, run_in_thread
from .formats import format_of, is_enough, refuse_other_formats
from .text import Transcoder, detect_encoding

if TYPE_CHECKING:
    from .mapping import FieldMap
    from .table import ColumnTable
    from .table_inputs import TableInput

__all__ = ["FileOptions", "Format", "SourceFile"]

Format: TypeAlias = Literal["auto", "jsonl", "csv", "parquet"]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a file is read.

    Attributes:
        format: what it is; `"auto"`: it shows that.
        delimiter: of CSV; None: the header shows it.
        encoding: of its text; None: it shows that.
        longest: bytes of a record and of a line at the most.
    """

    format: Format
    delimiter: str | None
    encoding: str | None
    longest: int


class SourceFile:
    """What was given as a source.

    Args:
        given: the path of a file or of a folder of Parquet files, a URL, `-`, an open file, or a table.
        options: how it is read.

    Attributes:
        name: for messages.
        format: what it is; `"auto"` until its first bytes were read.
        ends: whether it surely has an end.

    Raises:
        ConfigurationError: it is none of these.
        SourceError: it can't be opened.
    """

    def __init__(self, given: Any, options: FileOptions) -> None:
        self.format: Format = options.format
        self._options = options
        self._open = ExitStack()
        self._file: BinaryIO | None = None
        self._path: str | None = None
        self._table: ColumnTable | None = None
        self._make_table: Callable[[], ColumnTable] | None = None
        self._first = b""
        self._rest: AsyncIterator[bytes]
        if isinstance(given, (str, PathLike)):
            self._open_path(fspath(given))
        elif hasattr(given, "read"):
            self.name = str(getattr(given, "name", "the file"))
            self._file = given
        else:
            self._take_table(given)
        self.ends = self._file is None or _is_regular(self._file)
        self._version: tuple[int, ...] | None = None
        self._was_read_twice = False
        self._start = self._file.tell() if self._file is not None and self.can_be_read_again else 0

    def _open_path(self, path: str) -> None:
        if path != "-":
            from .locations import locate  # noqa: PLC0415 - arrow.py with it, and that is not for standard input

            found = locate(path)
            self.name = found.name
            if found.table is not None:
                self._take_folder(path, found.table)
                return
            if found.file is not None:
                self._file = self._open.enter_context(found.file)
                return
            path = found.path
        self.name = "standard input" if path == "-" else path
        try:
            opened = open(0 if path == "-" else path, "rb", buffering=0, closefd=path != "-")  # noqa: SIM115
        except (OSError, ValueError) as exc:
            raise SourceError(f"{self.name} can't be read: {getattr(exc, 'strerror', None) or exc}") from None
        self._file = cast("BinaryIO", self._open.enter_context(opened))
        self._path = path if path != "-" else None

    def _take_folder(self, path: str, table: ColumnTable) -> None:
        from .locations import locate  # noqa: PLC0415

        self.format, self._table = "parquet", table
        self._make_table = lambda: cast("ColumnTable", locate(path).table)
        self._open.callback(table.close)

    def _take_table(self, given: Any) -> None:
        from .arrow import arrow_table_of  # noqa: PLC0415 - only where there is one

        table = arrow_table_of(given, batches=True)
        if table is None:
            raise ConfigurationError(f"a {type(given).__name__} is no path, no open file and no table")
        self.name, self.format, self._table = table.name, "parquet", table
        self._open.callback(table.close)

    def close(self) -> None:
        """Closes the files that it opened. It may be called again."""
        self._open.close()

    @property
    def unit(self) -> str:
        """What a place in it is called."""
        return "row" if self.format == "parquet" else "line"

    @property
    def can_be_read_again(self) -> bool:
        """Whether it can be read from its beginning as often as wanted: a file can, and standard input or a table can't."""
        if self._make_table is not None:
            return True
        if self._path is not None:
            return self.ends
        try:
            return self._file is not None and self._file.seekable() and not _is_standard_input(self._file)
        except (AttributeError, OSError, ValueError):
            return False

    def fraction_read(self) -> float | None:
        """Returns how much of it has been read, from 0 to 1; None where its length is not known."""
        try:
            assert self._file is not None
            descriptor = self._file.fileno()
            size = fstat(descriptor).st_size
            return min(1.0, lseek(descriptor, 0, SEEK_CUR) / size) if size else None
        except (AssertionError, AttributeError, OSError, ValueError):
            return None

    # --- what it holds ----------------------------------------------------------------------------------------------------

    async def table_input(self, stack: AsyncExitStack, fields: Callable[[], FieldMap]) -> TableInput | None:
        """Returns what gives the blocks of the table; None where it is JSON, whose text `json_text` gives.

        Args:
            stack: closes what is opened for it.
            fields: what the caller says of its columns.

        Raises:
            SourceError: it can't be read, or is of no kind that is known.
        """
        if self._table is not None:
            from .table_inputs import ColumnInput  # noqa: PLC0415 - only for tables

            return ColumnInput(self._table, self._make_table)
        assert self._file is not None
        source = self._rest = await stack.enter_async_context(aclosing(blocks(self._file)))
        self._first = await self._sniff(source)
        # What is far away was fetched by now.
        self._version = _version_of(self._file)
        if self.format == "jsonl":
            return None
        return await self._parquet(stack) if self.format == "parquet" else self._csv(fields())

    @property
    def is_empty(self) -> bool:
        """Whether nothing stood in it; known once its table was asked for."""
        return not self._first.strip()

    async def json_text(self) -> AsyncGenerator[bytes]:
        """Gives its bytes as UTF-8."""
        encoding = self._options.encoding or detect_encoding(self._first)
        if encoding is None or encoding == "utf-8":
            async for block in self._all():
                yield block
            return
        transcoder = Transcoder(encoding)
        async for block in self._all():
            yield transcoder.feed(block)
        yield transcoder.feed(b"", final=True)

    async def _all(self) -> AsyncGenerator[bytes]:
        if self._first:
            yield self._first
        async for block in self._rest:
            yield block
        if self._was_read_twice:
            self._check_unchanged(self._file)

    def _csv(self, fields: FieldMap) -> TableInput:
        from .csv_table import CsvTable  # noqa: PLC0415 - csv, for who has such a file
        from .table_inputs import TextInput  # noqa: PLC0415

        asked = self._options
        encoding = asked.encoding or detect_encoding(self._first)

        def make(wanted: Collection[int] | None) -> CsvTable:
            return CsvTable(
                fields.known_names, longest=asked.longest, delimiter=asked.delimiter, encoding=encoding, extra=fields.extra, wanted=wanted
            )

        again = self._again if self.can_be_read_again else None
        return TextInput(make, self._all(), again, None if encoding in {None, "utf-8"} else encoding)

    def _again(self) -> Iterator[bytes]:
        """Its bytes once more, decompressed. Raises SourceError where they are others by now."""
        self._was_read_twice = True
        if self._path is not None:
            with Path(self._path).open("rb", buffering=0) as file:
                self._check_unchanged(cast("BinaryIO", file))
                yield from plain_blocks(cast("BinaryIO", file))
                self._check_unchanged(cast("BinaryIO", file))
            return
        assert self._file is not None
        here = self._file.tell()
        try:
            self._file.seek(self._start)
            yield from plain_blocks(self._file)
        finally:
            self._file.seek(here)

    def _check_unchanged(self, file: BinaryIO | None) -> None:
        if _version_of(file) != self._version:
            raise SourceError("it was changed while it was read: give a copy of it that stays as it is")

    async def _parquet(self, stack: AsyncExitStack) -> TableInput:
        from .arrow import parquet_table  # noqa: PLC0415 - an extra
        from .table_inputs import ColumnInput  # noqa: PLC0415

        if self._options.encoding is not None or self._options.delimiter is not None:
            raise SourceError("it is Parquet, which has no encoding and no delimiter")
        # It is read from its end: what comes through a pipe or is compressed is put on disk first, block by block.
        if self._path is not None and self._first.startswith(b"PAR1") and self.ends:
            path = Path(self._path)
            files: list[tuple[str, Callable[[], BinaryIO]]] = [(self.name, lambda: path.open("rb"))]
        else:
            copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
            async for block in self._all():
                await run_in_thread(copy.write, block)
            copy.flush()
            # Without a buffer: they share the place in the file, and each reads from where it has gone to.
            files = [(self.name, lambda: cast("BinaryIO", os.fdopen(os.dup(copy.fileno()), "rb", buffering=0)))]
        return ColumnInput(parquet_table(files), lambda: parquet_table(files))

    # --- what the file is -------------------------------------------------------------------------------------------------

    async def _sniff(self, source: AsyncIterator[bytes]) -> bytes:
        """The first bytes; from then on `format` is known."""
        asked = self._options
        first = await anext(source, b"")
        # Of blanks without end, the last ones do: only the count of their lines is wanted, and that is in the block still.
        while asked.format != "parquet" and not is_enough(first, asked.encoding) and len(first) <= asked.longest:
            more = await anext(source, b"")
            if not more:
                break
            first += more
        if first:
            refuse_other_formats(first, asked.encoding)
        if self.format == "auto":
            self.format = format_of(first, self.name, asked.encoding)
        return first


def _is_standard_input(file: BinaryIO) -> bool:
    try:
        return file.fileno() == 0
    except (AttributeError, OSError, ValueError):
        return False


def _version_of(file: BinaryIO | None) -> tuple[int, ...] | None:
    """What changes when a file is changed or replaced; None of what is no file on a disk."""
    try:
        status = fstat(file.fileno()) if file is not None else None
    except (AttributeError, OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) if status is not None and S_ISREG(status.st_mode) else None


def _is_regular(file: BinaryIO) -> bool:
    """Whether it is a file on a disk, or in memory."""
    try:
        return S_ISREG(fstat(file.fileno()).st_mode)
    except (AttributeError, OSError):
        return True

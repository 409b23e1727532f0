"""`open_records`: a file, or standard input, as records for `create_many`, each with its place."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing
from os import SEEK_CUR, PathLike, fspath, fstat, lseek
from stat import S_ISREG
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, Protocol, TypeAlias, cast, get_args

from ..bulk.source import FreshRecords
from ..errors import ConfigurationError, SourceError
from .blocks import blocks, next_in_thread, run_in_thread, skip_blanks
from .decompression import DamagedError
from .json_lines import JsonLines
from .numbers import LineNumbers
from .text import Transcoder, check_encoding, detect_encoding

if TYPE_CHECKING:
    from .columns import SourceKind

__all__ = ["LONGEST", "Format", "Records", "open_records"]

Format: TypeAlias = Literal["auto", "jsonl", "csv", "parquet"]

LONGEST: Final = 16_000_000
"""Bytes of a record at the most, where nothing else is said."""

_ENOUGH: Final = 8
"""Bytes that tell what a file is."""

_EXPORT: Final = "it is a {}: save it as CSV UTF-8 there, and give that"


class _Parser(Protocol):
    """Gives the records of blocks with their line numbers."""

    def feed(self, block: bytes) -> list[tuple[int, Any]]: ...

    def end(self) -> list[tuple[int, Any]]: ...


def open_records(
    file: str | PathLike[str] | BinaryIO,
    kind: SourceKind = "customers",
    *,
    format: Format = "auto",
    delimiter: str | None = None,
    encoding: str | None = None,
    clear: str | None = None,
    extra_columns: bool = False,
    longest: int = LONGEST,
) -> Records:
    """Opens a file of JSON lines, CSV or Parquet as records to send or check.

    It may be compressed with gzip or zstd. docs/sources.md has the rules.

    Args:
        file: its path, `-` for standard input, or a file open for reading bytes, which stays open.
        kind: what the records are. Default `"customers"`.
        format: `"jsonl"`, `"csv"` or `"parquet"`. Default `"auto"`: detected by the first bytes.
        delimiter: CSV delimiter; detected in the header if omitted.
        encoding: of the text. Default None: detects UTF-8, UTF-16 with a byte order mark, and in CSV Windows-1252.
        clear: a CSV cell with this text clears its field; a blank cell leaves it out. Default None: no such text.
        extra_columns: True: ignore columns that are no field, instead of refusing the file. Default False.
        longest: the most bytes of a record and of a line; a longer one is named and not kept.

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
    if not isinstance(file, (str, PathLike)) and not hasattr(file, "read"):
        raise ConfigurationError(f"a {type(file).__name__} is no path and no open file")
    settings = _Options(kind, format, delimiter, check_encoding(encoding), clear, extra_columns, longest)
    return Records(file, settings)


class _Options:
    """What was asked for."""

    def __init__(
        self, kind: SourceKind, format: Format, delimiter: str | None, encoding: str | None, clear: str | None, extra: bool, longest: int
    ) -> None:
        self.kind: SourceKind = kind
        self.format: Format = format
        self.delimiter = delimiter
        self.encoding = encoding
        self.clear = clear
        self.extra = extra
        self.longest = longest


class Records(FreshRecords):
    """The records of a file, read once from its beginning to its end; made by `open_records`.

    JSON lines come as bytes, rows of a table as mappings. One that can't be read comes as a `UnreadableRecord`, which a run names as
    invalid; the others go on. `async with` closes the file at the end; so does reading to its end.

    Attributes:
        name: the file, for messages.
        ends: whether it surely has an end: a file does, and a pipe or a terminal may not. A run that can't go on reads what has an end to
            its end, and names every record of it.
        format: what the file is; `"auto"` until its first bytes were read.

    Raises:
        SourceError: on iterating: the file can't be read, or not further; what stood before it was given.
    """

    def __init__(self, file: str | PathLike[str] | BinaryIO, settings: _Options) -> None:
        self.format: Format = settings.format
        self._settings = settings
        self._numbers = LineNumbers()
        self._json: JsonLines | None = None
        self._begun = False
        self._open = ExitStack()
        if isinstance(file, (str, PathLike)):
            path = fspath(file)
            self.name = "standard input" if path == "-" else path
            try:
                opened = open(0 if path == "-" else path, "rb", buffering=0, closefd=path != "-")  # noqa: SIM115
            except (OSError, ValueError) as exc:
                raise SourceError(f"{self.name} can't be read: {getattr(exc, 'strerror', None) or exc}") from None
            self._file = cast("BinaryIO", self._open.enter_context(opened))
        else:
            self.name = str(getattr(file, "name", "the file"))
            self._file = file
        self.ends = _is_regular(self._file)

    def __repr__(self) -> str:
        return f"<Records of {self.name}: {len(self._numbers)} read>"

    def place(self, index: int) -> str:
        """Says where a record is in the file.

        Args:
            index: the index of the record, from 0.

        Returns:
            `line 17`, or `row 17` of Parquet; of a record on several lines, the first.
        """
        return f"{self._unit} {self._numbers[index]}"

    def line(self, index: int) -> int:
        """Returns the number in `place`.

        Args:
            index: the index of the record, from 0.

        Returns:
            The number of the line or row, from 1.
        """
        return self._numbers[index]

    def fraction_read(self) -> float | None:
        """Says how much of the file has been read.

        Returns:
            A share from 0 to 1; None where the length of the file is not known.
        """
        try:
            descriptor = self._file.fileno()
            size = fstat(descriptor).st_size
            return min(1.0, lseek(descriptor, 0, SEEK_CUR) / size) if size else None
        except (AttributeError, OSError, ValueError):
            return None

    def is_too_long(self, index: int) -> bool:
        """Tells whether a record was a line of more than `longest` bytes.

        Args:
            index: the index of the record, from 0.

        Returns:
            True if it was too long to be kept.
        """
        return self._json is not None and self._numbers[index] in self._json.too_long

    @property
    def _unit(self) -> str:
        return "row" if self.format == "parquet" else "line"

    def close(self) -> None:
        """Closes the file, where it was opened here. It may be called again."""
        self._open.close()

    def __enter__(self) -> Records:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Records:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        if self._begun:
            raise ConfigurationError("records are read once: call open_records() again")
        self._begun = True
        try:
            async with aclosing(self._read_blocks()) as every:
                async for found in every:
                    for number, record in found:
                        self._numbers.add(number)
                        yield record
        except DamagedError as exc:
            raise SourceError(f"{self.name}: {exc}; {self._reached()}") from None
        except OSError as exc:
            raise SourceError(f"{self.name} can't be read: {exc.strerror or type(exc).__name__}; {self._reached()}") from exc
        except SourceError as exc:
            raise SourceError(f"{self.name}: {exc}; {self._reached()}") from exc
        finally:
            self.close()

    def _reached(self) -> str:
        count = len(self._numbers)
        return f"{count} records were read before it, up to {self.place(count - 1)}" if count else "no record was read before it"

    # --- reading ----------------------------------------------------------------------------------------------------------

    async def _read_blocks(self) -> AsyncGenerator[list[tuple[int, Any]]]:
        """The records with their numbers, some at a time."""
        async with aclosing(blocks(self._file)) as source:
            first = await self._sniff(source)
            if self.format == "parquet":
                async with aclosing(self._parquet(first, source)) as every:
                    async for found in every:
                        yield found
                return
            encoding = self._settings.encoding or detect_encoding(first)
            transcoder = None if encoding in {None, "utf-8"} else Transcoder(encoding or "")
            parser = self._parser(known=encoding is not None)
            block = first
            while block:
                text = transcoder.feed(block) if transcoder is not None else block
                yield parser.feed(text) if self._json is not None else await run_in_thread(parser.feed, text)
                block = await anext(source, b"")
            rest = transcoder.feed(b"", final=True) if transcoder is not None else b""
            yield (parser.feed(rest) if rest else []) + parser.end()

    def _parser(self, *, known: bool) -> _Parser:
        asked = self._settings
        if self.format == "jsonl":
            self._json = JsonLines(asked.longest)
            return self._json
        from .tables import CsvReader  # noqa: PLC0415 - csv, for who has such a file

        return CsvReader(asked.kind, asked.longest, delimiter=asked.delimiter, utf8=known, clear=asked.clear, extra=asked.extra)

    async def _sniff(self, source: AsyncIterator[bytes]) -> bytes:
        """The first bytes; from then on `format` is known."""
        first = await anext(source, b"")
        encoding = self._settings.encoding
        while self._settings.format != "parquet":
            plain = skip_blanks(_as_text(first, encoding))
            if plain[:1] in {b"{", b"["} or len(plain) >= _ENOUGH or (self.format == "jsonl" and first[:1] not in {b"\xff", b"\xfe", b""}):
                break
            more = await anext(source, b"")
            if not more:
                break
            # Of blanks without end, the last ones do: only the count of their lines is wanted, and that is in the block still.
            first += more
            if len(first) > self._settings.longest:
                break
        if first and self._settings.encoding is None:
            _refuse_other_formats(first)
        if self.format == "auto":
            self.format = self._guess(first, skip_blanks(_as_text(first, encoding)))
        return first

    def _guess(self, first: bytes, plain: bytes) -> Format:
        if first.startswith(b"PAR1"):
            return "parquet"
        if plain.startswith(b"["):
            raise SourceError("it is one JSON list: give one record on each line (jq -c '.[]' does that)")
        if plain.startswith(b"{") or self._is_named_json():
            return "jsonl"
        return "csv" if plain else "jsonl"

    def _is_named_json(self) -> bool:
        plain = self.name.casefold()
        for ending in (".gz", ".zst"):
            plain = plain.removesuffix(ending)
        return plain.endswith((".jsonl", ".ndjson", ".json"))

    async def _parquet(self, first: bytes, source: AsyncIterator[bytes]) -> AsyncGenerator[list[tuple[int, Any]]]:
        from .parquet import parquet_records  # noqa: PLC0415 - an extra

        if self._settings.encoding is not None or self._settings.delimiter is not None:
            raise SourceError("it is Parquet, which has no encoding and no delimiter")
        # It is read from its end: what comes through a pipe or is compressed is put on disk first, block by block.
        with tempfile.TemporaryFile() as copy:
            file = self._file
            if not first.startswith(b"PAR1") or not _is_at(file, first):
                block = first
                while block:
                    await run_in_thread(copy.write, block)
                    block = await anext(source, b"")
                file = cast("BinaryIO", copy)
            file.seek(0)
            every = parquet_records(file, self._settings.kind, self._settings.longest, extra=self._settings.extra)
            while (found := await next_in_thread(every)) is not None:
                yield found


def _is_regular(file: BinaryIO) -> bool:
    """Whether it is a file on a disk, or in memory."""
    try:
        return S_ISREG(fstat(file.fileno()).st_mode)
    except (AttributeError, OSError):
        return True


def _is_at(file: BinaryIO, first: bytes) -> bool:
    """Whether the file holds these bytes as they are, and can be read from anywhere."""
    try:
        if not file.seekable():
            return False
        file.seek(0)
        return file.read(len(first)) == first
    except (AttributeError, OSError, ValueError):
        return False


def _as_text(first: bytes, encoding: str | None) -> bytes:
    """First bytes as UTF-8, as far as they tell what a file is."""
    found = encoding or detect_encoding(first)
    return Transcoder(found).feed(first[:1000]).replace("\ufeff".encode(), b"") if found not in {None, "utf-8"} and found else first


def _refuse_other_formats(first: bytes) -> None:
    """Raises SourceError for files of other kinds, with the remedy."""
    if first.startswith(b"PK\x03\x04"):
        raise SourceError(_EXPORT.format("spreadsheet (xlsx) or another zip archive"))
    if first.startswith(b"\xd0\xcf\x11\xe0"):
        raise SourceError(_EXPORT.format("spreadsheet of an old kind (xls)"))
    if first.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise SourceError("it is UTF-32: save it as UTF-8")
    if first.startswith(b"PAR1") or detect_encoding(first):
        return
    if first.startswith((b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf")):
        raise SourceError("it is compressed in an unknown format: decompress it, or use gzip or zstd")
    head = first[:200]
    if b"\0" in head:
        for zeros, others, name in ((head[1::2], head[::2], "utf-16-le"), (head[::2], head[1::2], "utf-16-be")):
            if zeros.count(0) * 2 > len(zeros) and 0 not in others:
                raise SourceError(f"it looks like UTF-16 without a byte order mark: save it as UTF-8, or say encoding {name}")
        raise SourceError("it is a binary file of a kind that is not known here: give JSON lines, CSV or Parquet")

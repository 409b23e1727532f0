"""Pure: what a file is, by its first bytes; what is none of the formats that are read is refused by its name, with the remedy."""

from __future__ import annotations

import codecs
import re
from typing import Final, Literal, TypeAlias

from ..errors import SourceError
from .text import BOM, Transcoder, detect_encoding

__all__ = ["FileFormat", "format_of", "is_enough", "refuse_other_formats", "text_of"]

FileFormat: TypeAlias = Literal["jsonl", "csv", "parquet"]

_ENOUGH: Final = 64
"""Bytes of text that tell what a file is."""

_LOOKED_AT: Final = 4000
_PARQUET: Final = b"PAR1"
_UTF_32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_BLANKS: Final = b" \t\r\n\x0b\x0c"

_SPREADSHEET: Final = "save it as CSV UTF-8 there, and give that"
_UNPACK: Final = "decompress it, or compress it with gzip or zstd"
_CONVERT: Final = "save it as Parquet, CSV or JSON lines"
_NAMES: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of an old kind (xls), or one with a password", _SPREADSHEET),
    (b"%PDF-", "a PDF", "give the data that it was made of, as CSV, JSON lines or Parquet"),
    (b"{\\rtf", "a text document (RTF)", "save it as plain text in UTF-8"),
    (b"\x1f\x8b", "compressed twice", "decompress it once"),
    (b"\x28\xb5\x2f\xfd", "compressed twice", "decompress it once"),
    (b"BZh", "compressed with bzip2, an unknown format here", _UNPACK),
    (b"\xfd7zXZ\0", "compressed with xz, an unknown format here", _UNPACK),
    (b"\x04\x22\x4d\x18", "compressed with LZ4, an unknown format here", _UNPACK),
    (b"\x1f\x9d", "compressed with compress (.Z), an unknown format here", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and give the file that is in it"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it, and give the file that is in it"),
    (b"SQLite format 3\0", "a database of SQLite", "export the table as CSV"),
    (b"ARROW1", "an Arrow file (Feather)", _CONVERT),
    (b"Obj\x01", "an Avro file", _CONVERT),
    (b"ORC", "an ORC file", _CONVERT),
)
_TAR: Final = b"ustar", 257
_PAGE: Final = re.compile(rb"<!doctype\s+html|<html|<head|<body|<table|<script", re.IGNORECASE)
_OFFICE: Final = re.compile(
    rb"urn:schemas-microsoft-com:office:spreadsheet|progid=.Excel\.Sheet|xmlns:x=.urn:schemas-microsoft-com:office:excel"
)
_BEGINS_JSON: Final = re.compile(rb"\{\s*[\"}]|\[\s*\S")
_LIST: Final = re.compile(rb"\[\s*(?:[\[\]{]|$)")


def text_of(first: bytes, encoding: str | None) -> bytes:
    """Returns the first bytes of a file as UTF-8, as far as they tell what it is, without a byte order mark and blanks before the text.

    Args:
        first: the first bytes.
        encoding: that was asked for; None: detected by a byte order mark.
    """
    found = encoding or detect_encoding(first)
    if found not in {None, "utf-8"}:
        first = Transcoder(found or "").feed(first[:_LOOKED_AT])
    # Blanks without end are no text yet.
    return first.removeprefix(BOM).lstrip(_BLANKS)


def is_enough(first: bytes, encoding: str | None) -> bool:
    """Tells whether the first bytes of a file tell what it is: a source that is slow is not asked for more than that."""
    text = text_of(first, encoding)
    return b"\n" in text or len(text) >= _ENOUGH or _BEGINS_JSON.match(text) is not None


def format_of(first: bytes, name: str, encoding: str | None) -> FileFormat:
    """Returns the format of a file.

    Args:
        first: its first bytes.
        name: of the file.
        encoding: that was asked for.
    """
    text = text_of(first, encoding)
    if first.startswith(_PARQUET):
        return "parquet"
    # A list of JSON holds objects; `[name];[city]` is a header.
    return "jsonl" if not text or text.startswith(b"{") or _LIST.match(text) or _is_named_json(name) else "csv"


def _is_named_json(name: str) -> bool:
    plain = name.casefold()
    for ending in (".gz", ".zst"):
        plain = plain.removesuffix(ending)
    return plain.endswith((".jsonl", ".ndjson", ".json"))


def refuse_other_formats(first: bytes, encoding: str | None) -> None:
    """Refuses files of other formats.

    Args:
        first: the first bytes of the file.
        encoding: that was asked for.

    Raises:
        SourceError: it is one; the message has its name and the remedy.
    """
    if first.startswith(_PARQUET):
        return
    if first.startswith(b"PK\x03\x04"):
        raise SourceError(_archive(first[:_LOOKED_AT]))
    for begin, name, remedy in _NAMES:
        if first.startswith(begin):
            raise SourceError(f"it is {name}: {remedy}")
    if first.startswith(_TAR[0], _TAR[1]):
        raise SourceError("it is a tar archive: unpack it, and give the file that is in it")
    if encoding is None and first.startswith(_UTF_32):
        raise SourceError("it is UTF-32: save it as UTF-8, or say so (encoding=utf-32, --encoding utf-32)")
    text = text_of(first, encoding)
    if text.startswith(b"<"):
        raise SourceError(_marked_up(text[:_LOOKED_AT]))
    if encoding is None and detect_encoding(first) is None:
        _refuse_binary(text)


def _archive(head: bytes) -> str:
    if b"opendocument.spreadsheet" in head:
        return f"it is a spreadsheet (ods): {_SPREADSHEET}"
    if b"[Content_Types].xml" in head or b"xl/" in head or b"_rels/" in head:
        return f"it is a spreadsheet (xlsx), or another document of Office: {_SPREADSHEET}"
    return "it is a zip archive: unpack it, and give the file that is in it"


def _marked_up(head: bytes) -> str:
    if _OFFICE.search(head):
        return f"it is a spreadsheet that was saved as XML or HTML: open it in a spreadsheet program, {_SPREADSHEET}"
    if _PAGE.search(head):
        return (
            "it is an HTML page, such as a login page or a message of the system that it was fetched from: "
            "look at it in a browser, and give the export itself"
        )
    return "it is XML: export it as CSV, JSON lines or Parquet"


def _refuse_binary(text: bytes) -> None:
    """NUL in the first line is a sign of UTF-16 or of a binary file; behind it, it is a character of a cell."""
    head = text[: min(1000, text.find(b"\n") + 1 or len(text))]
    if b"\0" not in head:
        return
    for zeros, others, name in ((head[1::2], head[::2], "utf-16-le"), (head[::2], head[1::2], "utf-16-be")):
        if zeros.count(0) * 2 > len(zeros) and 0 not in others:
            raise SourceError(f"it looks like UTF-16 without a byte order mark: save it as UTF-8, or say encoding {name}")
    raise SourceError("it is a binary file of a kind that is not known here, or has NUL in its first line: give JSON lines, CSV or Parquet")

"""Pure: bytes of text: their lines, their encoding given or detected."""

from __future__ import annotations

import codecs
from typing import Final

from ..errors import ConfigurationError

__all__ = ["LineSplitter", "TextDecoder", "Transcoder", "check_encoding", "detect_encoding"]

_ENCODINGS: Final = {
    "utf-8": "utf-8",
    "utf-8-sig": "utf-8",
    "cp1252": "cp1252",
    "iso8859-1": "iso8859-1",
    "iso8859-15": "iso8859-15",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
}


def check_encoding(name: str | None) -> str | None:
    """An encoding that was asked for, as Python names it.

    Raises:
        ConfigurationError: it is none that is read here.
    """
    if name is None:
        return None
    try:
        return _ENCODINGS[codecs.lookup(name).name]
    except (LookupError, ValueError):
        known = "utf-8, windows-1252, latin-1, iso-8859-15, utf-16, utf-16-le, utf-16-be"
        raise ConfigurationError(f"encoding is one of {known}; or leave it out, so that it is found") from None


def detect_encoding(head: bytes) -> str | None:
    """What a byte order mark says of UTF-16."""
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else None


class Transcoder:
    """Bytes of an encoding as UTF-8; what is none of that encoding becomes bytes that are no UTF-8, so that its line is refused."""

    def __init__(self, encoding: str) -> None:
        errors = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)

    def feed(self, block: bytes, final: bool = False) -> bytes:
        """The next bytes."""
        try:
            return self._decoder.decode(block, final).encode("utf-8", "surrogatepass")
        except UnicodeError:
            # The last character was cut off, or a file that was called UTF-16 has no BOM and no such text.
            return b"\xff"


class LineSplitter:
    """The lines of blocks of bytes; of one that is too long, so much that this can be seen."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = bytearray()

    def feed(self, block: bytes) -> list[bytes]:
        """The lines that end in this block, without their ends."""
        lines = block.split(b"\n")
        if self._rest:
            # Of a line that is too long already, nothing more is kept.
            self._rest += lines[0][: max(0, self._longest + 1 - len(self._rest))]
            if len(lines) == 1:
                return []
            lines[0] = bytes(self._rest)
        self._rest = bytearray(lines.pop()[: self._longest + 1])
        return lines

    def end(self) -> bytes:
        """What stands behind the last line end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return rest


class TextDecoder:
    """Lines as text. If no encoding is given, the first lines that are not plain ASCII decide between UTF-8 and Windows-1252; a
    line that contradicts it is refused, never guessed at."""

    def __init__(self, *, known: bool) -> None:
        self._encoding: str | None = "utf-8" if known else None

    def decide(self, lines: list[bytes]) -> None:
        """Looks at lines that follow, where nothing is decided yet."""
        if self._encoding is None and (odd := [line for line in lines if not line.isascii()]):
            good = sum(map(_is_utf8, odd))
            self._encoding = "utf-8" if good * 2 > len(odd) else "found cp1252"

    def decode(self, line: bytes) -> str | None:
        """The text of a line; None where it is none of the encoding."""
        if line.isascii():
            return line.decode("ascii")
        try:
            if self._encoding != "found cp1252":
                return line.decode("utf-8")
            # Two bytes of UTF-8 are two odd characters in Windows-1252: such pairs do not occur in one file on purpose.
            return None if _is_utf8(line) else line.decode("cp1252")
        except UnicodeError:
            return None

    @property
    def name(self) -> str:
        """The encoding, for a person."""
        return "Windows-1252" if self._encoding == "found cp1252" else "UTF-8"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeError:
        return False
    return True

"""Pure: bytes of text: their lines, their encoding given or detected."""

from __future__ import annotations

import codecs
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from ..errors import ConfigurationError
from .windows_1252 import evidence_of, is_plain, likely_encoding

__all__ = ["BOM", "LineBlocks", "LineSplitter", "TextDecoder", "Transcoder", "check_encoding", "detect_encoding", "is_utf8"]

BOM: Final = codecs.BOM_UTF8
"""The byte order mark, in UTF-8."""

_NO_ENCODINGS_OF_FILES: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})

_REFUSED: Final = "amili-arm-refused"
"""The name of what is done with bytes that are none of an encoding: half a surrogate pair stands for them, which is no UTF-8."""

_Found: TypeAlias = Literal["utf-8", "windows-1252", "unknown"]


def _refuse(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error(_REFUSED, _refuse)


def check_encoding(name: str | None) -> str | None:
    """An encoding that was asked for, as Python names it.

    Raises:
        ConfigurationError: Python knows no such encoding of texts.
    """
    if name is None:
        return None
    try:
        # Other codecs of Python are no encodings of texts (base64), or need a whole text at once.
        found = codecs.lookup(name)
        if not found._is_text_encoding or found.name in _NO_ENCODINGS_OF_FILES:  # noqa: SLF001 - nothing else tells it
            raise LookupError
        found.incrementaldecoder(_REFUSED).decode(b"")
    except (LookupError, TypeError, ValueError):
        raise ConfigurationError(
            "encoding: Python knows no text encoding of this name; give one such as utf-8, windows-1252, iso-8859-15, cp865, mac-roman "
            "or utf-16, or omit it, so that it is detected"
        ) from None
    return "utf-8" if found.name == "utf-8-sig" else found.name


def detect_encoding(head: bytes) -> str | None:
    """What a byte order mark says of UTF-16."""
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else None


class Transcoder:
    """Bytes of an encoding as UTF-8; what is none of that encoding becomes bytes that are no UTF-8, so that its line is refused."""

    def __init__(self, encoding: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(_REFUSED)

    def feed(self, block: bytes, final: bool = False) -> bytes:
        """The next bytes."""
        try:
            return self._decoder.decode(block, final).encode("utf-8", "surrogatepass")
        except UnicodeError:
            # A file that was called UTF-16 has no BOM.
            return b"\xff"


class LineBlocks:
    """Cuts bytes into blocks of whole lines; of a line that is too long, so much is kept that this can be seen.

    Args:
        longest: bytes of a line at the most.
        size: bytes of a block; it ends with the line in which it has so many.
    """

    def __init__(self, longest: int, size: int) -> None:
        self._longest = longest
        self._size = size
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The blocks of the lines that end in these bytes, with their line ends."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep(data)
            return []
        first = data.find(b"\n")
        begin = 0
        if self._rest:
            self._keep(data[:first])
            begin = first
        ends = range(max(first, self._size), end, self._size)
        cuts = [data.find(b"\n", place) + 1 for place in ends]
        # A line may be longer than a block.
        cuts = [begin, *sorted({cut for cut in cuts if begin < cut < end}), end]
        blocks = [data[start:stop] for start, stop in pairwise(cuts)]
        if self._rest:
            blocks[0] = bytes(self._rest) + blocks[0]
        self._rest = bytearray(data[end : end + self._longest + 1])
        return blocks

    def _keep(self, data: bytes) -> None:
        self._rest += data[: max(0, self._longest + 1 - len(self._rest))]

    def end(self) -> bytes:
        """What stands behind the last line end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return rest


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
    """Lines as text. If no encoding is given, the lines that are not plain ASCII decide between UTF-8 and Windows-1252, on the first
    evidence; a line that contradicts it is refused, never guessed at.

    Args:
        known: the encoding that the file is known to have; the lines come as UTF-8. None: it is to be found.
    """

    def __init__(self, known: str | None) -> None:
        self._known = known
        self._found: _Found | None = "utf-8" if known else None

    def decide(self, lines: list[bytes]) -> None:
        """Looks at lines that follow, where nothing is decided yet."""
        if self._found is None and (odd := [line for line in lines if not line.isascii()]):
            others = [line for line in odd if not is_utf8(line, "surrogatepass")]
            if len(others) * 2 < len(odd):
                self._found = "utf-8"
                return
            evidence = list(map(evidence_of, others))
            if evidence.count("for") > evidence.count("against"):
                self._found = "windows-1252"
            elif "against" in evidence:
                self._found = "unknown"

    @property
    def is_decided(self) -> bool:
        """Whether the encoding is known or found."""
        return self._found is not None

    def decode(self, line: bytes) -> str | None:
        """The text of a line; None where it is none of the encoding."""
        if line.isascii():
            return line.decode("ascii")
        try:
            if self._found == "utf-8":
                return line.decode("utf-8")
            # Two bytes of UTF-8 are two odd characters in Windows-1252: such pairs do not occur in one file on purpose.
            if self._found == "windows-1252" and (is_plain(line) or not (is_utf8(line) or evidence_of(line) == "against")):
                return line.decode("cp1252")
        except UnicodeError:
            pass
        return None

    def decode_block(self, block: bytes) -> str | None:
        """The text of some lines; None where one of them is none of the encoding."""
        if self._found != "windows-1252":
            return self.decode(block)
        if is_plain(block):
            return block.decode("cp1252")
        texts = list(map(self.decode, block.split(b"\n")))
        return None if None in texts else "\n".join(texts)  # type: ignore[arg-type] # None is in none of them

    @property
    def name(self) -> str:
        """The encoding, for a person."""
        if self._known is not None and self._known != "utf-8":
            return self._known
        return "UTF-8" if self._found == "utf-8" else "Windows-1252"

    def fault(self, line: bytes) -> str:
        """Says why a line is none of the encoding, and what to do."""
        if self._found == "utf-8" and _is_cut(line):
            return f"not {self.name}: a part of a character, such as half an emoji, which a tool has cut: correct the text"
        if self._found in {"utf-8", "windows-1252"}:
            so_far = "it is read as" if self._known else "the file is so far"
            return f"not {self.name}, which {so_far}: save it in one encoding, or say which it has (encoding=, --encoding)"
        likely = likely_encoding(line)
        such = f", perhaps {likely}" if likely else ""
        return f"neither UTF-8 nor surely Windows-1252: say which encoding the file has{such} (encoding=, --encoding), or save it as UTF-8"


def is_utf8(line: bytes, errors: str = "strict") -> bool:
    """Returns whether bytes are UTF-8."""
    if line.isascii():
        return True
    try:
        line.decode("utf-8", errors)
    except UnicodeError:
        return False
    return True


def _is_cut(line: bytes) -> bool:
    """Whether nothing else is wrong with it than halves of surrogate pairs, as they were encoded."""
    try:
        return "\udcff" not in line.decode("utf-8", "surrogatepass")
    except UnicodeError:
        return False

"""Bodies in pieces, with files in them: read and encoded while they are sent, so that no file is ever whole in memory."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from binascii import b2a_base64
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from msgspec import Struct

from . import codec
from .errors import ConfigurationError, RecordError

__all__ = ["Encoded", "FileContent", "body_of", "pieces"]

WRITTEN: Final = 262_144
"""Bytes that are handed to the connection at a time: over TLS one huge write costs twice the CPU of pieces."""

_PIECE: Final = 196_608
"""Bytes of a file that are read at a time: a multiple of three, so that the pieces of base64 can follow each other."""


class FileContent:
    """The content of a file, for a field of a body: `{"content": FileContent("invoice.pdf")}`. It is sent as base64 text.

    Args:
        source: the path of a file, which is read while it is sent, and again where it is sent again; or its bytes.

    Raises:
        ConfigurationError: it is neither.
    """

    __slots__ = ("_source",)

    def __init__(self, source: str | os.PathLike[str] | bytes) -> None:
        if not isinstance(source, (str, os.PathLike, bytes)):
            raise ConfigurationError(f"FileContent takes a path or bytes, not {type(source).__name__}")
        self._source: Path | bytes = source if isinstance(source, bytes) else Path(source)

    def __repr__(self) -> str:
        return "FileContent(...)"

    def prepare(self) -> Encoded:
        """Opens the source once, to learn its size.

        Returns:
            What is sent: base64 text, made in pieces.

        Raises:
            OSError: the file can't be read, or is not a regular file.
        """
        if isinstance(self._source, bytes):
            return Encoded(self._source, len(self._source))
        if self._source.exists() and not self._source.is_file() and not self._source.is_dir():
            # To open a pipe could wait for ever.
            raise OSError(errno.EINVAL, "Not a regular file")
        with self._source.open("rb") as file:
            state = _state(file)
            return Encoded(self._source, state.st_size, state)


class ContentChangedError(OSError):
    """A file was changed while it was sent."""


class _State(NamedTuple):
    """What identifies the state of a file."""

    st_ino: int
    st_size: int
    st_mtime_ns: int


def _state(file: BinaryIO) -> _State:
    found = os.fstat(file.fileno())
    return _State(found.st_ino, found.st_size, found.st_mtime_ns)


class Encoded(Struct, frozen=True):
    """A piece of a body that is made while it is sent: base64 of bytes, or of a file.

    Attributes:
        source: the bytes, or the path.
        size: their number before they are encoded.
        state: what the file was like when its size was taken.
    """

    source: Path | bytes
    size: int
    state: _State | None = None

    def __len__(self) -> int:
        return -(-self.size // 3) * 4

    @property
    def held(self) -> int:
        """The bytes of memory that it takes while it is sent."""
        return min(2 * _PIECE, len(self))

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Encodes the source piece by piece.

        Yields:
            A piece of the base64 text.

        Raises:
            OSError: the file can no longer be read, or was changed.
        """
        for start in range(0, self.size, _PIECE):
            count = min(_PIECE, self.size - start)
            if isinstance(self.source, bytes):
                part = self.source[start : start + count]
            else:
                # In a thread: a file may be far away. It is reopened for each piece, so that nothing stays open behind a cancellation.
                part = await asyncio.to_thread(_read, self.source, start, count, self.state)
            yield b2a_base64(part, newline=False)


def _read(source: Path, start: int, count: int, state: _State | None) -> bytes:
    with source.open("rb") as file:
        file.seek(start)
        part = file.read(count)
        if _state(file) != state or len(part) != count:
            raise ContentChangedError("the file was changed while it was sent")
        return part


async def pieces(body: Iterable[bytes | Encoded]) -> AsyncGenerator[bytes | memoryview, None]:
    """Gives what is sent, one piece after the other.

    Raises:
        OSError: a file in it can't be read.
    """
    for piece in body:
        if isinstance(piece, Encoded):
            async with aclosing(piece.parts()) as parts:
                async for part in parts:
                    yield part
        elif len(piece) <= WRITTEN:
            yield piece
        else:
            view = memoryview(piece)
            for start in range(0, len(piece), WRITTEN):
                yield view[start : start + WRITTEN]


def body_of(value: object, what: str) -> tuple[bytes | Encoded, ...]:
    """A body in pieces: a JSON value with `FileContent` in it, or bytes that are JSON.

    Raises:
        RecordError: it can't be sent; the message names the path of each fault, never a value.
        ConfigurationError: there is nothing in it, or it is of a wrong type.
    """
    if isinstance(value, (bytes, bytearray)):
        text = bytes(value)
        if codec.json_value(text) is None:
            raise RecordError("$: not JSON")
        return (text,)
    if isinstance(value, str) or not isinstance(value, (Mapping, Sequence)):
        raise ConfigurationError(f"{what} must be a mapping with the API's own names, a list of such, or bytes of JSON")
    if not value:
        raise ConfigurationError(f"{what} is empty: there is nothing to send")
    contents: dict[str, FileContent] = {}
    text = codec.encode_value(_without_contents(value, contents, 0))
    made: list[bytes | Encoded] = []
    for mark, content in contents.items():
        before, _, text = text.partition(mark.encode())
        try:
            made += [before, content.prepare()]
        except OSError as exc:
            raise RecordError(f"$: a file can't be read: {exc.strerror}") from exc
    return (*made, text)


_DEEPEST: Final = 200


def _without_contents(value: Any, contents: dict[str, FileContent], depth: int) -> Any:
    """Returns the value with a mark in place of each content; `contents` collects the contents in order."""
    if isinstance(value, FileContent):
        # Nobody can guess it, so no text of the caller's can meet it.
        mark = secrets.token_hex(24)
        contents[mark] = value
        return mark
    if depth > _DEEPEST:
        raise RecordError("$: nested too deep, or holds itself")
    if isinstance(value, Mapping):
        return {name: _without_contents(item, contents, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_contents(item, contents, depth + 1) for item in value]
    return value

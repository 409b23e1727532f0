"""A dead letter file as a replay reads it: its lines in one pass and again by their place, and the whole file rewritten in one step."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from .... import codec
from ....errors import ArmError, ConfigurationError
from ....files import AtomicFile, alone, followed
from ...outcomes import STATES

__all__ = ["DOCUMENTS", "DeadLetterFile", "Letter", "LinesNow", "Piece", "changed", "read_letter", "unmarked"]

DOCUMENTS: Final = "documents.create_batch"
_OPERATIONS: Final = ("customers.create_batch", "customers.update_batch", DOCUMENTS)
"""What can be replayed."""

_LONGEST: Final = 256_000_000
_MARK: Final = b',"overtaken":true}'
_DECODER_FAILURE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class Letter(msgspec.Struct):
    """One line of the file, as the run wrote it.

    Attributes:
        operation: what was done with the record.
        client_no: for which client number.
        base_url: at which address.
        state: the final state of the record.
        payload: the record as it was or would have been sent; null where it could not be read, then `as_read` has what was read.
        run_id: the run, or None.
        journal: the path of its journal, or None.
        index: its index in the source, where this run read it from one.
        key: its `customerNo` or `documentNo`, or None.
        reason: why it has that state.
        message: words to it.
        attempts: how often it was sent.
        batch_uuid: its batchUuid, where it was accepted.
        overtaken: whether a later record of this customer is known to have been taken; of a document without a journal, whether another run
            has sent one with its number, or may have.
    """

    operation: str
    client_no: int
    base_url: str
    state: str
    payload: msgspec.Raw = msgspec.Raw(b"null")
    run_id: str | None = None
    journal: str | None = None
    index: int | None = None
    key: str | None = None
    reason: str | None = None
    message: str | None = None
    attempts: int = 0
    batch_uuid: str | None = None
    overtaken: bool = False

    @property
    def is_document(self) -> bool:
        """Whether it is a document, which is never sent again where the server may have it."""
        return self.operation == DOCUMENTS


_LETTERS: Final = msgspec.json.Decoder(Letter)
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_letter(line: bytes) -> Letter:
    """Reads one line.

    Args:
        line: without its line end.

    Returns:
        What it says.

    Raises:
        ValueError: it is no line of a dead letter; the message says why, without the data.
    """
    try:
        # msgspec does not check texts that it does not have to build.
        line.decode()
        letter = _LETTERS.decode(line)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except _DECODER_FAILURE as exc:
        raise ValueError(str(exc).partition("\n")[0][:200]) from None
    if letter.operation not in _OPERATIONS:
        raise ValueError("its operation can't be replayed")
    if letter.state not in STATES:
        raise ValueError("it has no known state")
    return letter


def changed(line: bytes, changes: Mapping[str, Any]) -> bytes:
    """Changes some fields of a line; the order of the fields stays.

    Args:
        line: without its line end.
        changes: the new values by field.

    Returns:
        The new line.
    """
    return codec.ENCODER.encode({**_FIELDS.decode(line), **changes})


def unmarked(line: bytes) -> bytes | None:
    """Returns a line as it was before a run marked it as overtaken.

    Args:
        line: without its line end.

    Returns:
        What it was; None where it is not marked.
    """
    return line.removesuffix(_MARK) + b"}" if line.endswith(_MARK) else None


class Piece(NamedTuple):
    """The place of a line in the file.

    Attributes:
        number: of the line, from 1.
        start: the byte at which it begins.
        size: its bytes, without the line end.
        digest: shows, in this process, whether it is still the same line.
    """

    number: int
    start: int
    size: int
    digest: int


class LinesNow(NamedTuple):
    """What the file holds now.

    Attributes:
        digests: of all lines that are not marked as overtaken, and of marked ones.
        unmarked: of the marked ones, as they were before that.
    """

    digests: array[int]
    unmarked: array[int]


class DeadLetterFile:
    """A dead letter file, open for reading.

    Runs that end, and other replays, may replace the file at any time. What was opened stays readable, and a rewrite goes through the lines
    that are there then.

    Args:
        path: of the file.

    Raises:
        OSError: it can't be read.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(followed(path))
        self._file: BinaryIO = self.path.open("rb")
        self._version = _version_of(self._file)

    def close(self) -> None:
        """Closes it."""
        self._file.close()

    def lines(self) -> Iterator[tuple[Piece, bytes]]:
        """Reads all lines but blank ones.

        Returns:
            The place and the text of each.
        """
        self._file.seek(0)
        return _lines(self._file)

    def read(self, pieces: Sequence[Piece]) -> list[bytes]:
        """Reads some lines again.

        Args:
            pieces: their places.

        Returns:
            Their texts.

        Raises:
            ArmError: somebody writes into the file.
        """
        texts = []
        for piece in pieces:
            self._file.seek(piece.start)
            text = self._file.read(piece.size)
            if hash(text) != piece.digest:
                raise ArmError(f"{self.path} was changed while it was read: start the replay again")
            texts.append(text)
        return texts

    def now(self) -> LinesNow | None:
        """Reads the file as it is now, once a run that is replacing it has done so.

        Returns:
            Its lines; None where nobody has written it since it was read.

        Raises:
            OSError: it can't be read.
        """
        with alone(self.path), self.path.open("rb") as file:
            version = _version_of(file)
            if version == self._version:
                return None
            now = LinesNow(array("q"), array("q"))
            for _, line in _lines(file):
                now.digests.append(hash(line))
                if (was := unmarked(line)) is not None:
                    now.unmarked.append(hash(was))
        self._version = version
        return now

    def rewrite(self, change: Callable[[bytes], bytes | None]) -> None:
        """Replaces the file in one step.

        Args:
            change: makes the new text of a line; None leaves it out.

        Raises:
            OSError: it can't be written; it is as it was.
        """
        with alone(self.path), self.path.open("rb") as now, AtomicFile(str(self.path)) as draft:
            for _, line in _lines(now):
                new = change(line)
                if new is not None:
                    draft.put(new + b"\n")
            draft.keep()


def _version_of(file: BinaryIO) -> tuple[int, ...]:
    """Returns what differs once somebody has replaced a file, or has written into it."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _lines(file: BinaryIO) -> Iterator[tuple[Piece, bytes]]:
    number = start = 0
    while line := file.readline(_LONGEST):
        number += 1
        if len(line) == _LONGEST:
            raise ConfigurationError(f"line {number} is longer than {_LONGEST:,} bytes: this is no dead letter file")
        text = line.removesuffix(b"\n")
        if text.strip():
            yield Piece(number, start, len(text), hash(text)), text
        start += len(line)

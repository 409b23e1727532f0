"""A dead letter file: its lines read in one pass and found again by their place, and the whole file rewritten in one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from .. import codec
from ..bulk.outcomes import STATES
from ..errors import ArmError, ConfigurationError
from ..files import AtomicFile, alone, followed

__all__ = ["DOCUMENTS", "OPERATIONS", "DeadLetterFile", "Letter", "Piece", "changed", "read_letter"]

DOCUMENTS: Final = "documents.create_batch"
OPERATIONS: Final = ("customers.create_batch", "customers.update_batch", DOCUMENTS)
"""What can be replayed, in the order in which it is: a document needs its customer."""

_LONGEST: Final = 256_000_000
_DECODER_FAILURE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class Letter(msgspec.Struct):
    """A line of the file, as the run wrote it that it comes from.

    Attributes:
        operation, client_no, base_url: what was done with the record, and where.
        run_id, journal: the run, and the path of its journal or None.
        index: its place in the source, where it had one in this run.
        key: its `customerNo` or `documentNo`, or None.
        state, reason, message: what became of it.
        attempts: how often it was sent.
        batch_uuid: its batch, where it was accepted.
        payload: the record as it was sent or would have been; null where it could not be read, then `as_read` has what stood there.
        taken_before: written by a replay into documents without number, see `plan`; else None.
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
    taken_before: int | None = None

    @property
    def is_document(self) -> bool:
        """Whether it is a document: what may have been taken is never sent again then."""
        return self.operation == DOCUMENTS


_LETTERS: Final = msgspec.json.Decoder(Letter)
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_letter(line: bytes) -> Letter:
    """What a line says.

    Raises:
        ValueError: it is no line of a dead letter; why is in the message, without the data.
    """
    try:
        # msgspec passes over texts that it does not have to build.
        line.decode()
        letter = _LETTERS.decode(line)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except _DECODER_FAILURE as exc:
        raise ValueError(str(exc).partition("\n")[0][:200]) from None
    if letter.operation not in OPERATIONS:
        raise ValueError("its operation is none that can be replayed")
    if letter.state not in STATES:
        raise ValueError("its state is none")
    return letter


def changed(line: bytes, changes: dict[str, Any]) -> bytes:
    """A line with other values in some of its fields, or without those that are None here and were not there; the order stays."""
    fields: dict[str, Any] = dict(_FIELDS.decode(line))
    for name, value in changes.items():
        if name == "taken_before" and value is None:
            fields.pop(name, None)
        else:
            fields[name] = value
    return codec.ENCODER.encode(fields)


class Piece(NamedTuple):
    """Where a line is in the file.

    Attributes:
        number: of the line, from 1.
        start, size: of its text, without the line end.
        print: tells in this process whether it is still the same.
    """

    number: int
    start: int
    size: int
    print: int


class DeadLetterFile:
    """A dead letter file, open for reading.

    Runs that end, and other replays, may put another file in its place at any time. What was opened stays readable; and before the
    file is rewritten, what is there then is gone through.

    Args:
        path: of the file.

    Raises:
        OSError: it can't be read.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(followed(path))
        self._file: BinaryIO = self.path.open("rb")

    def close(self) -> None:
        """Closes it."""
        self._file.close()

    def lines(self) -> Iterator[tuple[Piece, bytes]]:
        """Its lines; blank ones are none."""
        self._file.seek(0)
        return _lines(self._file)

    def read(self, pieces: Sequence[Piece]) -> list[bytes]:
        """The texts of some lines.

        Raises:
            ArmError: somebody writes into the file.
        """
        texts = []
        for piece in pieces:
            self._file.seek(piece.start)
            text = self._file.read(piece.size)
            if hash(text) != piece.print:
                raise ArmError(f"{self.path} was changed while it was read: begin again")
            texts.append(text)
        return texts

    def rewrite(self, change: Callable[[bytes], bytes | None]) -> None:
        """Puts another file in its place, in one step, with what `change` makes of each line; None leaves it out.

        Raises:
            OSError: it can't be written; it is as it was.
        """
        with alone(self.path), self.path.open("rb") as now, AtomicFile(str(self.path)) as draft:
            for _, line in _lines(now):
                made = change(line)
                if made is not None:
                    draft.put(made + b"\n")
            draft.keep()


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

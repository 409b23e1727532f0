"""The dead letter file: one line of JSON, with the payload, for each record of a run that did not succeed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ... import codec
from ...errors import JournalError
from ...files import AtomicFile, alone, followed
from ..chunking import as_key, split_json_objects
from ..fingerprints import keyed_name
from ..outcomes import Outcome
from .newer_records import NewerRecords
from .run_key import RunKey

__all__ = ["DeadLetter", "UnsuccessfulBatch", "number_in"]


class UnsuccessfulBatch(NamedTuple):
    """A batch with records that did not succeed.

    Attributes:
        keys: the keys of all its records.
        indexes: by position, the indexes of its records in the source, as far as they are known.
        replaced: the positions of records that were sent again in a later batch, which has their outcome.
        attempts: how often it was sent.
        batch_uuid: its batchUuid, where that leads to its result; else None.
        outcome: the outcome of all its records but the exceptions.
        exceptions: by position, the outcomes that differ.
        body: the JSON of all its records, or None if it was not kept.
        overtaken: the positions of customers of whom the run sent a later record that was taken, where no journal is left that knows it.
    """

    keys: Sequence[str | None]
    indexes: Mapping[int, int]
    replaced: Set[int]
    attempts: int
    batch_uuid: str | None
    outcome: Outcome
    exceptions: Mapping[int, Outcome]
    body: bytes | None
    overtaken: Set[int]


class _Line(msgspec.Struct):
    """Which record a line is about, and whether the line is marked."""

    operation: str
    client_no: int
    base_url: str
    journal: str | None = None
    key: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    overtaken: bool = False


class _Head(msgspec.Struct, rename="camel"):
    """The fields that identify a record."""

    document_no: Any = None
    customer_no: Any = None


_HEADS: Final = msgspec.json.Decoder(_Head, float_hook=Decimal)
_LINES: Final = msgspec.json.Decoder(_Line)
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


class DeadLetter:
    """The dead letter file of a run.

    It is written when the run ends, atomically, so that readers see either the old file or the complete new one. Lines of other runs stay.

    Args:
        path: of the file. It is created at once, so that an unwritable place is reported before anything is sent.
        key: which run.
        journal: path of its journal, or empty.

    Raises:
        JournalError: the file can't be written.
    """

    def __init__(self, path: str, key: RunKey, journal: str) -> None:
        self._path = path
        self._key = key
        self._journal = journal or None
        head = {
            "operation": key.operation,
            "client_no": key.client_no,
            "base_url": key.base_url,
            "run_id": key.run_id,
            "journal": journal or None,
        }
        # Each line of this run begins with this prefix.
        try:
            self._head = codec.ENCODER.encode(head)[:-1] + b","
        except UnicodeEncodeError:
            raise JournalError("a dead letter file names its journal, so its path must be UTF-8: give another path") from None
        try:
            self._path = followed(path)
            self._try_out()
        except OSError as exc:
            raise self._broken(exc) from exc

    def _try_out(self) -> None:
        """Creates the file if it is missing, and checks that it can be replaced."""
        if os.path.lexists(self._path) and not Path(self._path).is_file():
            raise JournalError(f"the dead letter file {self._path} is not a regular file: give another path")
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        with AtomicFile(self._path):
            pass

    def _broken(self, failure: OSError) -> JournalError:
        return JournalError(f"the dead letter file {self._path} can't be written: {failure.strerror}")

    def write(
        self,
        find_newer: Callable[[Iterator[str]], NewerRecords],
        find_batches: Callable[[NewerRecords], Iterable[UnsuccessfulBatch]],
        success: frozenset[str],
    ) -> None:
        """Replaces the lines of this run with those of its records that did not succeed, and marks what it overtook.

        No other run writes the file from when its lines are first read until they are replaced: each of them is marked if it must be.

        Args:
            find_newer: given the identities of the records that other runs have left here, finds what this run has sent of them, and that
                was taken.
            find_batches: given that, finds the batches of the run that hold records that did not succeed.
            success: the states that count as success.

        Raises:
            JournalError: the file can't be read or written; it is left as it was.
        """
        try:
            with alone(self._path), contextlib.closing(find_newer(self._names())) as newer, AtomicFile(self._path) as draft:
                for line in self._others():
                    name = self._name_of(line)
                    draft.put(_overtaken(line) if name is not None and newer.last(name) >= 0 else line)
                for batch in find_batches(newer):
                    for line in self._lines_of(batch, success):
                        draft.put(line)
                draft.keep()
        except OSError as exc:
            raise self._broken(exc) from exc

    def _names(self) -> Iterator[str]:
        """Yields the identities of the records that other runs have left here and that this run may have sent since."""
        for line in self._others():
            if (name := self._name_of(line)) is not None:
                yield name

    def _others(self) -> Iterator[bytes]:
        """Yields the lines of other runs."""
        with contextlib.suppress(FileNotFoundError), Path(self._path).open("rb") as old:
            for line in old:
                if not line.startswith(self._head):
                    yield line if line.endswith(b"\n") else line + b"\n"

    def _name_of(self, line: bytes) -> str | None:
        """Returns the identity of the record of a line of another run; None where it does not matter what this run has sent.

        A document whose run has the journal of this one goes through that, which knows what was sent.
        """
        try:
            # msgspec does not check texts that it does not have to build.
            line.decode()
            found = _LINES.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        is_here = (found.client_no, found.base_url) == (self._key.client_no, self._key.base_url)
        is_document = not found.operation.startswith("customers.")
        is_known = is_document and found.journal is not None and found.journal == self._journal
        if not is_here or is_document is self._key.safe or is_known or found.overtaken:
            return None
        key = found.key
        with contextlib.suppress(*codec.DecodeFailure):
            key = number_in(found.payload, is_document=is_document)
        return keyed_name(key) if key is not None else None

    def _lines_of(self, batch: UnsuccessfulBatch, success: frozenset[str]) -> Iterator[bytes]:
        texts = split_json_objects(batch.body) if batch.body is not None else None
        for position, key in enumerate(batch.keys):
            state, reason, message = batch.exceptions.get(position, batch.outcome)
            if state in success or position in batch.replaced:
                continue
            text = texts[position] if texts is not None else None
            as_read = codec.what_was_read(text) if text is not None else None
            line: dict[str, Any] = {
                "index": batch.indexes.get(position),
                "key": key,
                "state": state,
                "reason": reason,
                "message": message,
                "attempts": batch.attempts,
                "batch_uuid": batch.batch_uuid,
                "payload": msgspec.Raw(text) if text is not None and as_read is None else None,
            }
            if position in batch.overtaken:
                line["overtaken"] = True
            if as_read is not None:
                # Not as `payload`: a source row is not what the API expects, and must not be sent by mistake.
                line["as_read"] = msgspec.Raw(as_read)
            yield self._head + codec.ENCODER.encode(line)[1:].translate(_ONE_LINE) + b"\n"


def number_in(payload: bytes, *, is_document: bool) -> str | None:
    """Returns the number of the record in a payload, which somebody may have corrected; None where it has none.

    Args:
        payload: of a line.
        is_document: whether it is a document; else it is a customer.

    Raises:
        msgspec.DecodeError: it can't be read; so do the other failures in `codec.DecodeFailure`.
    """
    head = _HEADS.decode(payload)
    return as_key(head.document_no if is_document else head.customer_no)


def _overtaken(line: bytes) -> bytes:
    """Marks a line: a later record of its customer was taken, or a document with its number was sent."""
    return codec.ENCODER.encode({**_FIELDS.decode(line), "overtaken": True}) + b"\n"

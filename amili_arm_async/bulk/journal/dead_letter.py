"""The dead letter file: a line of JSON for each record of a run that did not make it, with its payload. Called in the journal's thread."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ... import codec
from ...errors import JournalError
from ...files import AtomicFile, alone, followed
from ..chunking import split_json_objects
from ..outcomes import Outcome, success_states
from .sqlite.queries import NOT_AWAITED, body_of, ids, keys_of, places_of, read_row, superseded
from .sqlite.run_key import RunKey
from .sqlite.store import RunStore

__all__ = ["DeadLetter"]


_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


class DeadLetter:
    """The dead letter file of a run.

    Written when the run ends, in one step: whoever reads it sees all of it. What other runs left in it stays.

    Args:
        path: of the file; it is made at once, so that a place that can't be written shows before anything is sent.
        name: which run.
        journal: path of its journal, or an empty text.

    Raises:
        JournalError: the file can't be written.
    """

    def __init__(self, path: str, name: RunKey, journal: str) -> None:
        self._path = path
        head = {
            "operation": name.operation,
            "client_no": name.client_no,
            "base_url": name.base_url,
            "run_id": name.run_id,
            "journal": journal or None,
        }
        # Every line of this run begins with it.
        self._head = codec.ENCODER.encode(head)[:-1] + b","
        try:
            self._path = followed(path)
            self._try_out()
        except OSError as exc:
            raise self._broken(exc) from exc

    def _try_out(self) -> None:
        """Makes the file where there is none, and sees whether another one can take its place."""
        if os.path.lexists(self._path) and not Path(self._path).is_file():
            raise JournalError(f"the dead letter file {self._path} is no file: give another path")
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        with AtomicFile(self._path):
            pass

    def _broken(self, failure: OSError) -> JournalError:
        return JournalError(f"the dead letter file {self._path} can't be written: {failure.strerror}")

    def write(self, connection: sqlite3.Connection, rows: RunStore, *, accepted_is_enough: bool) -> None:
        """Writes what did not make it in the place of what the file holds of this run.

        Raises:
            JournalError: the file can't be written; it is as it was.
        """
        well = success_states(accepted_is_enough=accepted_is_enough)
        try:
            with alone(self._path), AtomicFile(self._path) as draft:
                for line in self._others():
                    draft.put(line)
                for line in self._lines(connection, rows, well):
                    draft.put(line)
                draft.keep()
        except OSError as exc:
            raise self._broken(exc) from exc

    def _others(self) -> Iterator[bytes]:
        """What other runs left in the file."""
        with contextlib.suppress(FileNotFoundError), Path(self._path).open("rb") as old:
            for line in old:
                if not line.startswith(self._head):
                    yield line if line.endswith(b"\n") else line + b"\n"

    def _lines(self, connection: sqlite3.Connection, rows: RunStore, well: frozenset[str]) -> Iterator[bytes]:
        for batch in ids(connection, rows.id, "state <> 'queued'"):
            # A batchUuid that several batches were given leads to no result of this one.
            read = "SELECT attempt, tries, iif(shared, NULL, uuid) FROM batches WHERE id = ?"
            attempt, tries, uuid = connection.execute(read, (batch,)).fetchone()
            _, verdict, others = read_row(connection, batch)
            verdict = verdict or NOT_AWAITED
            if {verdict.state, *(other.state for other in others.values())} <= well:
                continue
            indexes = places_of(connection, batch, rows.index, current=rows.has_source and attempt == rows.attempt)
            yield from self._lines_of(connection, batch, (tries, uuid), (verdict, others), indexes, well)

    def _lines_of(
        self,
        connection: sqlite3.Connection,
        batch: int,
        sent: tuple[int, str | None],
        said: tuple[Outcome, Mapping[int, Outcome]],
        indexes: Mapping[int, int],
        well: frozenset[str],
    ) -> Iterator[bytes]:
        keys, gone, body = keys_of(connection, batch), superseded(connection, batch), body_of(connection, batch)
        texts = split_json_objects(body) if body is not None else None
        verdict, others = said
        for position, key in enumerate(keys):
            state, reason, message = others.get(position, verdict)
            if state in well or position in gone:
                continue
            text = texts[position] if texts is not None else None
            as_read = codec.what_was_read(text) if text is not None else None
            line: dict[str, Any] = {
                "index": indexes.get(position),
                "key": key,
                "state": state,
                "reason": reason,
                "message": message,
                "attempts": sent[0],
                "batch_uuid": sent[1],
                "payload": msgspec.Raw(text) if text is not None and as_read is None else None,
            }
            if as_read is not None:
                # Whoever sends payloads, this library or a script, finds none here.
                line["as_read"] = msgspec.Raw(as_read)
            yield self._head + codec.ENCODER.encode(line)[1:].translate(_ONE_LINE) + b"\n"

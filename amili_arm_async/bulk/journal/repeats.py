"""Which documents of a run without a journal have a number that was there before: exactly, and in bounded memory.

A source in the order of its numbers has batches that can't hold the same one: their least and greatest numbers show that. All numbers
are noted in a temporary file all the same; where two batches may meet, an index is made of it, in a file without a name.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from anyio import to_thread

from ... import codec
from ...errors import JournalError
from ..fingerprints import keyed_names
from ..keys import KeyRanges, without_case

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Repeats"]

ResultT = TypeVar("ResultT")

_IN_MEMORY: Final = 1_000_000
"""Bytes of noted numbers that are kept in memory; more are on the disk."""


class Repeats:
    """The documentNos of the batches of a run."""

    def __init__(self) -> None:
        self._spans = KeyRanges()
        # A JSON list of numbers for each batch.
        self._noted = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the run
        self._index: sqlite3.Connection | None = None

    async def find(self, keys: Sequence[str | None]) -> list[int]:
        """Takes in the numbers of a batch, and gives the places of those that were there before, in it or in an earlier batch.

        Raises:
            JournalError: the temporary file can't be written.
        """
        if self._index is None and self._spans.add(without_case(keys)):
            self._guarded(lambda: self._noted.write(codec.ENCODER.encode(keys) + b"\n"))
            return []
        # To make the index takes a second for each million of numbers.
        again = await to_thread.run_sync(self._guarded, lambda: self._find(keys))
        places = [place for place, key in enumerate(keys) if key is not None]
        return [places[number] for number in again]

    def _find(self, keys: Sequence[str | None]) -> list[int]:
        if self._index is None:
            self._index = self._make_index()
        names = keyed_names(keys)
        text = codec.ENCODER.encode(names).decode()
        known = {name for (name,) in self._index.execute("SELECT value FROM json_each(?) CROSS JOIN names ON name = value", (text,))}
        again: list[int] = []
        for place, name in enumerate(names):
            if name in known:
                again.append(place)
            known.add(name)
        self._insert(self._index, names)
        return again

    def _make_index(self) -> sqlite3.Connection:
        from ...sqlite.file import temporary_database  # noqa: PLC0415 - only few runs need it

        connection = temporary_database("CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID")
        self._noted.seek(0)
        for line in self._noted:
            self._insert(connection, keyed_names(codec.json_value(line)))
        self._noted.close()
        return connection

    @staticmethod
    def _insert(connection: sqlite3.Connection, names: list[str]) -> None:
        text = codec.ENCODER.encode(names).decode()
        # In their order: neighbours are on the same pages.
        connection.execute("INSERT OR IGNORE INTO names SELECT value FROM json_each(?) ORDER BY value", (text,))

    def _guarded(self, do: Callable[[], ResultT]) -> ResultT:
        try:
            return do()
        except Exception as exc:
            # SQLite is only loaded where there is an index: its errors have no name here.
            if not isinstance(exc, OSError) and type(exc).__module__ != "sqlite3":
                raise
            raise JournalError(
                f"the temporary file of the documentNos of this run can't be written: {exc}. Make room in {tempfile.gettempdir()}, "
                "or set TMPDIR to a folder that has it"
            ) from exc

    def close(self) -> None:
        """Nothing more is asked."""
        self._noted.close()
        if self._index is not None:
            with contextlib.suppress(Exception):
                self._index.close()

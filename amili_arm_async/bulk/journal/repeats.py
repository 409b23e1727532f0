"""Finds repeated documentNos in a run without a journal: exactly, and in bounded memory.

If the source is sorted by number, the smallest and largest number of each batch prove that batches share none. All numbers are still
written to a temporary file; once two batches may overlap, an index is built from it in an unnamed file.
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
"""Most bytes of numbers to keep in memory; beyond that, they are on the disk."""


class Repeats:
    """The documentNos of the batches of a run."""

    def __init__(self) -> None:
        self._spans = KeyRanges()
        # A JSON list of numbers for each batch.
        self._noted = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the run
        self._index: sqlite3.Connection | None = None

    async def find(self, keys: Sequence[str | None]) -> list[int]:
        """Adds the numbers of a batch, and finds those that the run had before.

        Args:
            keys: the keys of the batch.

        Returns:
            The places of repeated numbers, whether first seen in this batch or an earlier one.

        Raises:
            JournalError: the temporary file can't be written.
        """
        if self._index is None and self._spans.add(without_case(keys)):
            self._guarded(lambda: self._noted.write(codec.ENCODER.encode(keys) + b"\n"))
            return []
        # In a thread: building the index takes a second for each million numbers.
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
        # Sorted, because neighbours are on the same pages.
        connection.execute("INSERT OR IGNORE INTO names SELECT value FROM json_each(?) ORDER BY value", (text,))

    def _guarded(self, do: Callable[[], ResultT]) -> ResultT:
        try:
            return do()
        except Exception as exc:
            # SQLite is loaded only if there is an index, so its error class can't be named here.
            if not isinstance(exc, OSError) and type(exc).__module__ != "sqlite3":
                raise
            raise JournalError(
                f"the temporary file of the documentNos of this run can't be written: {exc}. Free space in {tempfile.gettempdir()}, "
                "or set TMPDIR to a folder with enough space"
            ) from exc

    def close(self) -> None:
        """Deletes the temporary files."""
        self._noted.close()
        if self._index is not None:
            with contextlib.suppress(Exception):
                self._index.close()

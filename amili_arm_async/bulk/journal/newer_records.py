"""The last record of each customer that was taken, for those with a line in a dead letter: what is older must not be sent any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...sqlite.file import temporary_database

__all__ = ["NewerRecords"]

_SCHEMA: Final = "CREATE TABLE letters (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID"


class NewerRecords:
    """By identity, the place of the last record that a run has sent and that was taken.

    They are in a temporary SQLite file, so that a million of them take no memory.

    Args:
        names: the identities of the records with a line in the dead letter; others are left out.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._sql = temporary_database(_SCHEMA)
        try:
            self._sql.execute("BEGIN")
            self._sql.executemany("INSERT OR IGNORE INTO letters VALUES (?, -1)", ((name,) for name in names))
        except BaseException:
            self._sql.close()
            raise

    def __bool__(self) -> bool:
        return self._sql.execute("SELECT 1 FROM letters LIMIT 1").fetchone() is not None

    def close(self) -> None:
        """Forgets all of them."""
        self._sql.close()

    def add(self, places: Iterable[tuple[int, str]]) -> None:
        """Adds records that were taken.

        Args:
            places: their places and identities, in the order in which they were sent.
        """
        self._sql.executemany("UPDATE letters SET last = ? WHERE name = ?", places)

    def last(self, name: str) -> int:
        """Finds the last record that was taken.

        Args:
            name: the identity of a record.

        Returns:
            Its place; -1 where there is none.
        """
        row = self._sql.execute("SELECT last FROM letters WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row is not None else -1

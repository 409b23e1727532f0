"""Numbers of customers, each with the index of its last record: many in memory, further ones in a temporary file."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..errors import ArmError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["CustomerNumbers"]

_MOST_IN_MEMORY: Final = 100_000
_PER_STATEMENT: Final = 500


class CustomerNumbers:
    """By number, without case, the index of the last record in the source.

    A hundred thousand numbers are kept in memory, further ones in a temporary file without a name, which is gone when the process is.
    """

    def __init__(self) -> None:
        self._most_in_memory = _MOST_IN_MEMORY
        self._memory: dict[str, int] = {}
        self._overflow: _Overflow | None = None

    def __len__(self) -> int:
        return len(self._memory) + (len(self._overflow) if self._overflow is not None else 0)

    def add(self, numbers: Mapping[str, int]) -> None:
        """Adds customers; of one that is here already, the larger index stays.

        Args:
            numbers: their indexes by number.
        """
        overflow: dict[str, int] = {}
        for name, index in numbers.items():
            if name in self._memory:
                self._memory[name] = max(self._memory[name], index)
            elif len(self._memory) < self._most_in_memory and self._overflow is None:
                self._memory[name] = index
            else:
                overflow[name] = index
        if overflow:
            self._overflow = self._overflow or _Overflow()
            self._overflow.add(overflow)

    def remove(self, older_than: Mapping[str, int]) -> None:
        """Removes customers whose index is smaller than this.

        Args:
            older_than: the indexes by number.
        """
        for name in self._memory.keys() & older_than.keys():
            if self._memory[name] < older_than[name]:
                del self._memory[name]
        if self._overflow is not None and older_than:
            self._overflow.remove(older_than)

    def names(self) -> Iterator[str]:
        """Gives all numbers.

        Raises:
            ArmError: the temporary file can't be read.
        """
        yield from self._memory
        if self._overflow is not None:
            yield from self._overflow.names()

    def places(self, names: Iterable[str]) -> dict[str, int]:
        """Finds those of the given customers that are here.

        Args:
            names: their numbers.

        Returns:
            Their indexes by number.

        Raises:
            ArmError: the temporary file can't be read.
        """
        wanted = set(names)
        found = {name: self._memory[name] for name in wanted & self._memory.keys()}
        return found | self._overflow.places(wanted) if self._overflow is not None else found


class _Overflow:
    """Numbers in a temporary database without a name. A full disk loses nothing: what can't be written stays in memory."""

    def __init__(self) -> None:
        import sqlite3  # noqa: PLC0415 - only where there are very many

        self._sqlite_error = sqlite3.Error
        self._memory: dict[str, int] = {}
        self._length = 0
        self._database: sqlite3.Connection | None = None
        try:
            self._database = _temporary()
        except sqlite3.Error:
            return
        weakref.finalize(self, self._database.close)

    def __len__(self) -> int:
        return self._length + len(self._memory)

    def add(self, numbers: Mapping[str, int]) -> None:
        rows = [(_bytes(name), index) for name, index in numbers.items()]
        if self._database is not None:
            try:
                with self._database as database:
                    before = database.total_changes
                    database.executemany("INSERT OR IGNORE INTO numbers VALUES (?, ?)", rows)
                    self._length += database.total_changes - before
                    database.executemany("UPDATE numbers SET place = max(place, ?2) WHERE name = ?1", rows)
            except self._sqlite_error:
                self._length = self._counted()
            else:
                return
        self._memory.update({name: max(index, self._memory.get(name, -1)) for name, index in numbers.items()})

    def _counted(self) -> int:
        try:
            return int(self._database.execute("SELECT count(*) FROM numbers").fetchone()[0]) if self._database is not None else 0
        except self._sqlite_error:
            return self._length

    def remove(self, older_than: Mapping[str, int]) -> None:
        for name in self._memory.keys() & older_than.keys():
            if self._memory[name] < older_than[name]:
                del self._memory[name]
        if self._database is not None:
            rows = [(_bytes(name), index) for name, index in older_than.items()]
            try:
                with self._database as database:
                    before = database.total_changes
                    database.executemany("DELETE FROM numbers WHERE name = ? AND place < ?", rows)
                    self._length -= database.total_changes - before
            except self._sqlite_error:
                # What is too much blocks a document, which waits for the next night: better than one that is billed.
                return

    def names(self) -> Iterator[str]:
        yield from self._memory
        if self._database is None:
            return
        last = b""
        try:
            while rows := self._database.execute(
                "SELECT name FROM numbers WHERE name > ? ORDER BY name LIMIT ?", (last, _PER_STATEMENT)
            ).fetchall():
                yield from (name.decode("utf-8", "surrogatepass") for (name,) in rows)
                last = rows[-1][0]
        except self._sqlite_error as exc:
            raise _unreadable(exc) from None

    def places(self, names: set[str]) -> dict[str, int]:
        found = {name: self._memory[name] for name in names & self._memory.keys()}
        if self._database is None:
            return found
        left = iter(names)
        try:
            while some := {_bytes(name): name for name in islice(left, _PER_STATEMENT)}:
                marks = ",".join("?" * len(some))
                query = f"SELECT name, place FROM numbers WHERE name IN ({marks})"  # noqa: S608 - marks only
                for name, place in self._database.execute(query, list(some)):
                    found[some[name]] = max(place, found.get(some[name], -1))
        except self._sqlite_error as exc:
            raise _unreadable(exc) from None
        return found


def _unreadable(error: Exception) -> ArmError:
    return ArmError(f"the temporary list of customers that did not succeed can't be read: {error}")


def _temporary() -> sqlite3.Connection:
    import sqlite3  # noqa: PLC0415

    # A database without a name is a file that SQLite deletes as soon as it has created it; only some of its pages are in memory.
    database = sqlite3.connect("", check_same_thread=False)
    database.execute("PRAGMA cache_size = -4000")
    database.execute("PRAGMA journal_mode = MEMORY")
    database.execute("CREATE TABLE numbers (name BLOB PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID")
    return database


def _bytes(name: str) -> bytes:
    # A key may hold half a surrogate pair.
    return name.encode("utf-8", "surrogatepass")

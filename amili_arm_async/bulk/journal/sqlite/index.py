"""Finds the records of a run by identity, in a temporary table that is built only when needed."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

from .... import codec
from ...fingerprints import keyed_name
from ..matching import ResumeEntry

__all__ = ["SELECT_RECORDS", "Index", "Records", "names_of", "parse_records", "read_keyed", "read_records"]

SELECT_RECORDS: Final = "SELECT keys, prints, names, first, places FROM records WHERE batch = ?"

Records: TypeAlias = tuple[list[str], Sequence[int], Sequence[int]]
"""The identities of records, their fingerprints, and their places in the source."""

_COLUMNS: Final = "name, state, content, batch, position, claimed, overtaken"


def names_of(keys: Sequence[str | None], others: dict[int, str]) -> list[str]:
    """Returns the identities of records.

    Args:
        keys: the keys of the records.
        others: by position, the identities of records without a key, as far as they are known.

    Returns:
        For each record an identity; one that starts with `?` if it is not known.
    """
    return [keyed_name(key) if key is not None else others.get(position, f"?{position}") for position, key in enumerate(keys)]


class Index:
    """An index of the records of a run.

    Args:
        connection: of the journal.
        table: the connection that the temporary table belongs to.
        read: reads the identities, fingerprints and places of the records of a batch.
    """

    def __init__(self, connection: sqlite3.Connection, table: sqlite3.Connection, read: Callable[[int], Records]) -> None:
        self._connection = connection
        self._read = read
        self._table = table
        table.execute("DROP TABLE IF EXISTS temp.entries")
        table.execute(
            "CREATE TEMP TABLE entries (id INTEGER PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, content INTEGER NOT NULL,"
            " batch INTEGER NOT NULL, position INTEGER NOT NULL, claimed INTEGER, overtaken INTEGER NOT NULL)"
        )

    def fill(self, batches: Iterable[tuple[int, Iterable[str]]], claimed: Mapping[int, Sequence[range]] | None = None) -> None:
        """Adds the records of batches, except superseded ones. Call it once.

        Args:
            batches: the ids of the batches, each with the states of its records.
            claimed: by batch, the places in the source of its first records, if they were claimed before.
        """
        for batch, states in batches:
            self._insert(self._entries_of(batch, states, chain.from_iterable((claimed or {}).get(batch, ()))))
        self._table.execute("CREATE INDEX temp.entries_name ON entries (name)")

    def _entries_of(self, batch: int, states: Iterable[str], earlier: Iterator[int]) -> Iterator[tuple[str, ResumeEntry]]:
        names, prints, places = self._read(batch)
        gone, overtaken = (
            {row[0] for row in self._connection.execute(f"SELECT position FROM {table} WHERE batch = ?", (batch,))}  # noqa: S608
            for table in ("superseded", "overtaken")
        )
        for position, (name, state) in enumerate(zip(names, states, strict=True)):
            if position not in gone:
                content = prints[position] if prints else -1
                claimed = places[position] if state == "current" else next(earlier, None)
                yield name, ResumeEntry(None, state, content, batch, position, claimed, position in overtaken)

    def find(self, names: Sequence[str]) -> dict[str, list[ResumeEntry]]:
        """Finds records by identity.

        Args:
            names: the identities.

        Returns:
            By identity, the records, the oldest first; an empty list if there are none.
        """
        found: dict[str, list[ResumeEntry]] = {name: [] for name in names}
        wanted = codec.ENCODER.encode(list(found)).decode()
        for row, name, *rest, overtaken in self._table.execute(
            f"SELECT entries.id, {_COLUMNS} FROM json_each(?) CROSS JOIN entries ON name = value ORDER BY entries.id",  # noqa: S608 - our own words
            (wanted,),
        ):
            state, content, batch, position, claimed = rest
            found[name].append(ResumeEntry(row, state, content, batch, position, claimed, bool(overtaken)))
        return found

    def save(self, found: dict[str, list[ResumeEntry]]) -> None:
        """Writes back which records were claimed or overtaken, and adds the new ones.

        Args:
            found: what `find` returned, with the changes.
        """
        entries = [(name, entry) for name, group in found.items() for entry in group]
        changed = [(entry.claimed, entry.overtaken, entry.row) for _, entry in entries if entry.row is not None]
        self._table.executemany("UPDATE entries SET claimed = ?, overtaken = ? WHERE id = ?", changed)
        self._insert((name, entry) for name, entry in entries if entry.row is None)

    def _insert(self, entries: Iterable[tuple[str, ResumeEntry]]) -> None:
        self._table.executemany(
            f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own words
            ((name, entry.state, entry.content, entry.batch, entry.position, entry.claimed, entry.overtaken) for name, entry in entries),
        )

    def overtake(self, batch: int) -> None:
        """Marks the records with a key in all batches before one as overtaken."""
        self._table.execute("UPDATE entries SET overtaken = 1 WHERE batch < ? AND name NOT LIKE '#%'", (batch,))

    def claimed_of(self, batch: int) -> dict[int, int]:
        """Returns the places in the source of the claimed records of a batch, by position in the batch."""
        self._table.execute("CREATE INDEX IF NOT EXISTS temp.entries_batch ON entries (batch)")
        return dict(self._table.execute("SELECT position, claimed FROM entries WHERE batch = ? AND claimed IS NOT NULL", (batch,)))

    def unclaimed(self) -> Iterator[list[tuple[int, int]]]:
        """Yields the unclaimed records that may be with the server, as lists of (batch, position)."""
        last = -1
        while rows := self._table.execute(
            "SELECT id, batch, position FROM entries WHERE id > ? AND claimed IS NULL AND state IN ('open', 'accepted', 'unknown')"
            " ORDER BY id LIMIT 1000",
            (last,),
        ).fetchall():
            yield [(batch, position) for _, batch, position in rows]
            last = rows[-1][0]


def read_records(connection: sqlite3.Connection, batch: int) -> Records:
    """Reads the records of a batch.

    Args:
        connection: of the journal.
        batch: its id.

    Returns:
        Their identities, fingerprints and places in the source.
    """
    return parse_records(connection.execute(SELECT_RECORDS, (batch,)).fetchone())


def parse_records(row: Sequence[Any]) -> Records:
    """Returns what `read_records` does.

    Args:
        row: what `SELECT_RECORDS` selects.
    """
    keys: list[str | None] = codec.json_value(row[0])
    others = {int(position): name for position, name in (codec.json_value(row[2]) if row[2] is not None else {}).items()}
    return names_of(keys, others), _integers("I", row[1]), _places(len(keys), row[3], row[4])


def read_keyed(connection: sqlite3.Connection, batch: int) -> tuple[list[str | None], array[int]]:
    """Reads the records of a batch, where their keys are all that identifies them.

    Args:
        connection: of the journal.
        batch: its id.

    Returns:
        Their keys and their fingerprints.
    """
    keys, prints = connection.execute("SELECT keys, prints FROM records WHERE batch = ?", (batch,)).fetchone() or (b"[]", b"")
    return codec.json_value(keys), _integers("I", prints)


def _places(count: int, first: int, places: bytes | None) -> Sequence[int]:
    return range(first, first + count) if places is None else _integers("q", places)


def _integers(kind: Any, data: bytes) -> array[int]:
    integers: array[int] = array(kind)
    integers.frombytes(data)
    return integers

"""The records of a run by their identity: a temporary table, built only where something has to be found in it."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from .... import codec
from ...fingerprints import keyed_name
from ..matching import ResumeEntry

__all__ = ["Index", "names_of"]

_COLUMNS: Final = "name, state, content, batch, position, claimed, overtaken"


def names_of(keys: Sequence[str | None], others: dict[int, str]) -> list[str]:
    """The identity of each record: of its key, or what `others` says of its position."""
    return [keyed_name(key) if key is not None else others.get(position, f"?{position}") for position, key in enumerate(keys)]


class Index:
    """Finds the records of a run.

    Args:
        connection: of the journal.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("DROP TABLE IF EXISTS temp.entries")
        connection.execute(
            "CREATE TEMP TABLE entries (id INTEGER PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, content INTEGER NOT NULL,"
            " batch INTEGER NOT NULL, position INTEGER NOT NULL, claimed INTEGER, overtaken INTEGER NOT NULL)"
        )

    def fill(self, batches: Iterable[tuple[int, Iterable[str]]]) -> None:
        """Takes in the records of batches, given as their ids with the state of each record; `superseded` ones are left out."""
        for batch, states in batches:
            self._insert(self._entries_of(batch, states))
        self._connection.execute("CREATE INDEX temp.entries_name ON entries (name)")

    def _entries_of(self, batch: int, states: Iterable[str]) -> Iterator[tuple[str, ResumeEntry]]:
        names, prints, places = read_records(self._connection, batch)
        gone, overtaken = (
            {row[0] for row in self._connection.execute(f"SELECT position FROM {table} WHERE batch = ?", (batch,))}  # noqa: S608
            for table in ("superseded", "overtaken")
        )
        for position, (name, state) in enumerate(zip(names, states, strict=True)):
            if position not in gone:
                content = prints[position] if prints else -1
                claimed = places[position] if state == "current" else None
                yield name, ResumeEntry(None, state, content, batch, position, claimed, position in overtaken)

    def find(self, names: Sequence[str]) -> dict[str, list[ResumeEntry]]:
        """The records with these identities, the oldest first; an empty list for what is not there."""
        found: dict[str, list[ResumeEntry]] = {name: [] for name in names}
        wanted = codec.ENCODER.encode(list(found)).decode()
        for row, name, *rest, overtaken in self._connection.execute(
            f"SELECT entries.id, {_COLUMNS} FROM json_each(?) CROSS JOIN entries ON name = value ORDER BY entries.id",  # noqa: S608 - our own words
            (wanted,),
        ):
            state, content, batch, position, claimed = rest
            found[name].append(ResumeEntry(row, state, content, batch, position, claimed, bool(overtaken)))
        return found

    def save(self, found: dict[str, list[ResumeEntry]]) -> None:
        """Writes back what was decided: claims, and records that are new."""
        entries = [(name, entry) for name, group in found.items() for entry in group]
        changed = [(entry.claimed, entry.overtaken, entry.row) for _, entry in entries if entry.row is not None]
        self._connection.executemany("UPDATE entries SET claimed = ?, overtaken = ? WHERE id = ?", changed)
        self._insert((name, entry) for name, entry in entries if entry.row is None)

    def _insert(self, entries: Iterable[tuple[str, ResumeEntry]]) -> None:
        self._connection.executemany(
            f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own words
            ((name, entry.state, entry.content, entry.batch, entry.position, entry.claimed, entry.overtaken) for name, entry in entries),
        )

    def claimed_of(self, batch: int) -> dict[int, int]:
        """The places in the source of the records of a batch that were claimed, by their position in it."""
        self._connection.execute("CREATE INDEX IF NOT EXISTS temp.entries_batch ON entries (batch)")
        return dict(self._connection.execute("SELECT position, claimed FROM entries WHERE batch = ? AND claimed IS NOT NULL", (batch,)))

    def unclaimed(self) -> Iterator[list[tuple[int, int]]]:
        """The records that may be with the server and that nobody claimed, as (batch, position), a few at a time."""
        last = -1
        while rows := self._connection.execute(
            "SELECT id, batch, position FROM entries WHERE id > ? AND claimed IS NULL AND state IN ('open', 'accepted', 'unknown')"
            " ORDER BY id LIMIT 1000",
            (last,),
        ).fetchall():
            yield [(batch, position) for _, batch, position in rows]
            last = rows[-1][0]


def read_records(connection: sqlite3.Connection, batch: int) -> tuple[list[str], Sequence[int], Sequence[int]]:
    """Identities, prints and places in the source of the records of a batch."""
    row = connection.execute("SELECT keys, prints, names, first, places FROM records WHERE batch = ?", (batch,)).fetchone()
    keys: list[str | None] = codec.json_value(row[0])
    others = {int(position): name for position, name in (codec.json_value(row[2]) if row[2] is not None else {}).items()}
    return names_of(keys, others), _integers("I", row[1]), _places(len(keys), row[3], row[4])


def _places(count: int, first: int, places: bytes | None) -> Sequence[int]:
    return range(first, first + count) if places is None else _integers("q", places)


def _integers(kind: Any, data: bytes) -> array[int]:
    integers: array[int] = array(kind)
    integers.frombytes(data)
    return integers

"""Recognises the records of earlier attempts that succeeded, where the source yields them in the order of the journal: without an index of
all records, which costs ten times as much."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator, Mapping, Sequence

from ...chunking import Batch
from ...fingerprints import keyed_names
from .index import read_keyed
from .queries import ids

__all__ = ["DoneInOrder"]

_MOST_RANGES = 100


class DoneInOrder:
    """Goes through the batches of a run, and claims their records for those of the source.

    Args:
        connection: of the journal.
        run: the id of the run.
        last: the id of its last batch.

    Attributes:
        last: the id of its last batch.
    """

    def __init__(self, connection: sqlite3.Connection, run: int, last: int) -> None:
        self.last = last
        self._connection = connection
        self._batches: Iterator[int] = ids(connection, run, f"id <= {last:d}")
        # The batch that is gone through, and what of it is not claimed yet.
        self._batch = 0
        self._names: list[str] = []
        self._prints = array("I")
        self._at = 0
        self._claimed: dict[int, list[range]] = {}

    @property
    def claimed(self) -> Mapping[int, Sequence[range]]:
        """By batch, the places in the source of its first records: of those that were claimed."""
        return self._claimed

    @property
    def is_complete(self) -> bool:
        """Whether every record was claimed. Asked once, at the end."""
        return self._at == len(self._names) and next(self._batches, None) is None

    def claim(self, batch: Batch) -> bool:
        """Claims the next records, if they are those of a batch of the source: with the same keys and the same content, and all succeeded.

        Args:
            batch: the batch.

        Returns:
            Whether they are. If not, nothing can be claimed any more.
        """
        if None in batch.keys or not batch.fingerprints:
            return False
        names, prints = keyed_names(batch.keys), array("I", batch.fingerprints)
        claims: list[tuple[int, range]] = []
        done = 0
        while done < len(names):
            if self._at == len(self._names) and not self._load():
                return False
            count = min(len(names) - done, len(self._names) - self._at)
            there = slice(self._at, self._at + count)
            if names[done : done + count] != self._names[there] or prints[done : done + count] != self._prints[there]:
                return False
            claims += [(self._batch, places) for places in _ranges(batch.indexes[done : done + count])]
            self._at += count
            done += count
        if len(claims) > _MOST_RANGES:
            # They would need more memory than an index, which is on the disk.
            return False
        for number, places in claims:
            self._claimed.setdefault(number, []).append(places)
        return True

    def _load(self) -> bool:
        """Reads the next batch; False if there is none, or if one of its records did not succeed."""
        number = next(self._batches, None)
        if number is None:
            return False
        row = self._connection.execute(
            "SELECT 1 FROM batches WHERE id = ? AND state = 'settled' AND final = 'succeeded' AND exceptions IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM superseded WHERE batch = batches.id)"
            " AND NOT EXISTS (SELECT 1 FROM overtaken WHERE batch = batches.id)",
            (number,),
        ).fetchone()
        keys, prints = read_keyed(self._connection, number) if row is not None else ([], array("I"))
        if not keys or None in keys or len(prints) != len(keys):
            return False
        self._batch, self._names, self._prints, self._at = number, keyed_names(keys), prints, 0
        return True


def _ranges(places: Sequence[int]) -> list[range]:
    if isinstance(places, range) and places.step == 1:
        return [places]
    found: list[range] = []
    for place in places:
        if found and found[-1].stop == place:
            found[-1] = range(found[-1].start, place + 1)
        else:
            found.append(range(place, place + 1))
    return found

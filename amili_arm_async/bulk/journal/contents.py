"""What the journal says of records that are not going to be claimed, and of those that are written otherwise."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..chunking import Batch
from ..identity import content_name
from ..states import Verdict
from ..texts import split_texts
from .claims import MAY_BE_THERE, Entry, first
from .index import Index, names_of, read_records
from .reads import body_of, ids, read_verdicts

__all__ = ["Contents", "hide_unsent", "standing"]


def standing(
    connection: sqlite3.Connection,
    index: Index,
    indexes: Sequence[int],
    keys: Sequence[str | None],
    texts: Sequence[bytes],
    prints: Sequence[int],
) -> dict[int, Verdict]:
    """By place, what an earlier attempt did with records that this one does not come to any more, where that may be with the server.

    Without `prints` their contents are not known: then the number is enough.
    """
    names = names_of(keys, {place: content_name(texts[place]) for place, key in enumerate(keys) if key is None} if texts else {})
    found = index.find(names)
    chosen: dict[int, Entry] = {}
    for place, name in enumerate(names):
        there = [entry for entry in found[name] if entry.state in MAY_BE_THERE and entry.claimed in {None, indexes[place]}]
        same = [entry for entry in there if not prints or entry.content == prints[place]]
        if same:
            chosen[place] = first(same)
            chosen[place].claimed = indexes[place]
    index.save(found)
    verdicts = read_verdicts(connection, [(entry.batch, entry.position) for entry in chosen.values()])
    return {place: verdict for place, (verdict, _) in zip(chosen, verdicts, strict=True)}


def hide_unsent(connection: sqlite3.Connection, index: Index, run: int, attempt: int) -> None:
    """Of a document that was not sent in this attempt, and that the journal knows from an earlier one, only one is told: what may be with
    the server, else the one that is newer."""
    unsent = f"attempt = {attempt:d} AND tries = 0 AND state = 'settled' AND (final IN ('not_sent', 'blocked') OR reason = 'stale_journal')"
    for batch in ids(connection, run, unsent):
        names, _, _ = read_records(connection, batch)
        found = index.find(names)
        hidden: list[tuple[int, int]] = []
        for position, name in enumerate(names):
            earlier = [entry for entry in found[name] if entry.state != "current"]
            if any(entry.state in MAY_BE_THERE for entry in earlier):
                hidden.append((batch, position))
            elif earlier:
                hidden.append((earlier[0].batch, earlier[0].position))
        connection.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", hidden)


class Contents:
    """Whether a document that stands in the way has the content of one in a batch, only written otherwise; as far as its text is kept."""

    def __init__(self, connection: sqlite3.Connection, batch: Batch) -> None:
        self._connection = connection
        self._batch = batch
        self._ours: list[bytes] | None = None
        self._theirs: tuple[int, list[bytes]] = (0, [])

    def is_same(self, entries: list[Entry], position: int) -> bool:
        """Looks at those that nobody claimed; the one that is the same has the print of ours from then on."""
        for entry in entries:
            if entry.claimed is None and (texts := self._texts_of(entry.batch)):
                self._ours = self._ours or self._batch.texts()
                if content_name(texts[entry.position]) == content_name(self._ours[position]):
                    entry.content = self._batch.prints[position]
                    return True
        return False

    def _texts_of(self, batch: int) -> list[bytes]:
        # Records of one batch mostly come together.
        if self._theirs[0] != batch:
            body = body_of(self._connection, batch)
            self._theirs = (batch, split_texts(body) if body is not None else [])
        return self._theirs[1]

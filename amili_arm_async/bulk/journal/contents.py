"""What the journal says of records that are not going to be claimed, and of those that are written otherwise."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ... import codec
from ..chunking import Batch
from ..identity import content_name
from ..states import Verdict
from .claims import MAY_BE_THERE, Entry, first
from .index import Index, names_of, read_records
from .reads import body_of, ids, read_verdicts

__all__ = ["Contents", "hide_unsent", "standing"]


def standing(
    connection: sqlite3.Connection, index: Index, indexes: Sequence[int], keys: Sequence[str | None], batch: Batch | None, *, safe: bool
) -> dict[int, Verdict]:
    """By place, what an earlier attempt did with records that this one does not come to any more, where that may be with the server.

    Without a `batch` their contents are not known: then a number is enough for a document, and nothing is said of a customer.
    """
    if batch is None and safe:
        return {}
    bare = [place for place, key in enumerate(keys) if key is None]
    texts = batch.texts() if batch is not None and bare else []
    names = names_of(keys, {place: content_name(texts[place]) for place in bare} if texts else {})
    found = index.find(names)
    chosen: dict[int, Entry] = {}
    for place, name in enumerate(names):
        at = indexes[place]
        there = [entry for entry in found[name] if entry.state in MAY_BE_THERE and entry.claimed in {None, at}]
        same = [entry for entry in there if batch is None or entry.content == batch.prints[place]]
        if same:
            chosen[place] = first(same)
            chosen[place].claimed = at
    index.save(found)
    verdicts = read_verdicts(connection, [(entry.batch, entry.position) for entry in chosen.values()])
    return {place: verdict for place, (verdict, _) in zip(chosen, verdicts, strict=True)}


def hide_unsent(connection: sqlite3.Connection, index: Index, run: int, attempt: int) -> None:
    """Of a document that was not sent in this attempt, and that the journal knows from an earlier one, only that one is told."""
    unsent = f"attempt = {attempt:d} AND tries = 0 AND state = 'settled' AND final = 'not_sent'"
    for batch in ids(connection, run, unsent):
        names, _, _ = read_records(connection, batch)
        found = index.find(names)
        known = [position for position, name in enumerate(names) if any(entry.state != "current" for entry in found[name])]
        connection.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", [(batch, position) for position in known])


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
            self._theirs = (batch, codec.split_texts(b"[" + body + b"]") if body is not None else [])
        return self._theirs[1]

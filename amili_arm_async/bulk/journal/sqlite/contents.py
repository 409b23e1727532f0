"""Looks up records that are not claimed in the index, and compares documents by content where they are formatted differently."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from ...chunking import split_json_objects
from ...fingerprints import content_digest, content_name
from ...outcomes import REPEATED
from ..matching import ENTRY_MAY_BE_ON_SERVER, OTHER_CONTENT, ResumeDecisions, ResumeEntry, furthest, overtake_older
from .index import Index, names_of, read_records
from .queries import NEVER_SENT, body_of, ids, superseded

__all__ = ["Contents", "decide_unsent", "hide_left", "hide_unsent"]


def decide_unsent(
    index: Index,
    indexes: Sequence[int],
    keys: Sequence[str | None],
    texts: Sequence[bytes],
    prints: Sequence[int],
    contents: Contents | None,
    only_latest: bool,
) -> ResumeDecisions:
    """Finds the records of earlier attempts that have the outcomes of records that this attempt will not send, if the server may have them.

    Args:
        index: the records of earlier attempts.
        indexes: the indexes of the records in the source.
        keys: their keys.
        texts: their JSON; may be empty if all have keys.
        prints: their fingerprints; empty if their content is not known, then the key is enough.
        contents: compares documents; None for customers.
        only_latest: whether, of customers, only the latest that was sent counts.

    Returns:
        Where they are; a conflict for a document whose number is that of another one, which the server may have.
    """
    bare = [place for place, key in enumerate(keys) if key is None] if texts else []
    # A lone surrogate, in a record that can't be sent, is no text that can be looked for.
    plain = [key and key.encode("utf-8", "backslashreplace").decode() for key in keys]
    names = names_of(plain, {place: content_name(texts[place], document=contents is not None) for place in bare})
    found = index.find(names)
    decisions = ResumeDecisions()
    for entries in found.values() if only_latest else ():
        overtake_older(entries)
    for place, name in enumerate(names):
        is_compared = contents is not None and keys[place] is not None and bool(prints)
        if is_compared and any(entry.claimed not in {None, indexes[place]} for entry in found[name]):
            decisions.conflicts[place] = REPEATED
            continue
        free = [entry for entry in found[name] if entry.claimed in {None, indexes[place]} and not entry.overtaken]
        there = [entry for entry in free if entry.state in ENTRY_MAY_BE_ON_SERVER]
        # What has no number is identified by its content, however that is written; and what was claimed was compared then.
        is_known = not prints or keys[place] is None
        same = [entry for entry in there if is_known or entry.claimed is not None or entry.content == prints[place]]
        if not same and prints and texts and contents is not None and contents.is_same(there, texts[place], prints[place]):
            same = [entry for entry in there if entry.content == prints[place]]
        if same:
            decisions.taken[place] = furthest(same)
            decisions.taken[place].claimed = indexes[place]
        elif there and is_compared:
            decisions.conflicts[place] = OTHER_CONTENT
    index.save(found)
    return decisions


def hide_unsent(connection: sqlite3.Connection, index: Callable[[], Index], run: int, attempt: int) -> None:
    """Hides duplicate rows of documents that were not sent in this attempt and are known from an earlier one.

    Of the two rows of a document the one stays that may be with the server, else the newer one. The other one becomes `superseded`. Equal
    documents without a number have rows of their own: a row that another place of the source claimed, or that an earlier one here
    replaced, is not the other row of this document, nor is one that nothing was compared with.

    Args:
        connection: of the journal.
        index: returns the records of earlier attempts; called if there are such rows.
        run: the id of the run.
        attempt: the number of this attempt.
    """
    unsent = f"attempt = {attempt:d} AND tries = 0 AND state = 'settled'"
    reasons = "(final IN ('not_sent', 'blocked') OR reason IN ('journal', 'stale_journal', 'too_large'))"
    # What is too large now is named beside what was sent before.
    too_large = frozenset(ids(connection, run, f"{unsent} AND reason = 'too_large'"))
    replaced: set[tuple[int, int]] = set()
    gone = lru_cache(maxsize=1000)(partial(superseded, connection))
    for batch in ids(connection, run, f"{unsent} AND {reasons}"):
        names, _, places = read_records(connection, batch)
        found = index().find(names)
        for position, (name, place) in enumerate(zip(names, places, strict=True)):
            earlier = [entry for entry in found[name] if entry.state != "current" and entry.claimed in {None, place}]
            # What this row has replaced itself does not hide it: it was absent, and was to be sent again.
            earlier = [entry for entry in earlier if entry.position not in gone(entry.batch)]
            is_one = not name.startswith("#")
            if batch not in too_large and any(
                (is_one or entry.claimed is not None) and entry.state in ENTRY_MAY_BE_ON_SERVER for entry in earlier
            ):
                replaced.add((batch, position))
                continue
            rows = ((entry.batch, entry.position) for entry in earlier if entry.state not in ENTRY_MAY_BE_ON_SERVER)
            if (row := next((row for row in rows if row not in replaced), None)) is not None:
                replaced.add(row)
    connection.executemany("INSERT INTO superseded VALUES (?, ?) ON CONFLICT DO NOTHING", replaced)


def hide_left(connection: sqlite3.Connection, index: Callable[[], Index], run: int, attempt: int, *, is_document: bool) -> None:
    """Hides the rows of records that a replay did not send, beside those of earlier attempts, which stand. Of documents only those that
    have no identity, because they were refused before they had one: see `hide_unsent`.

    Args:
        connection: of the journal.
        index: returns the records of earlier attempts; called if there are such rows.
        run: the id of the run.
        attempt: the number of this attempt.
        is_document: whether they are documents.
    """
    hidden: list[tuple[int, int]] = []
    gone = lru_cache(maxsize=1000)(partial(superseded, connection))
    for batch in ids(connection, run, f"attempt = {attempt:d} AND {NEVER_SENT}"):
        names = read_records(connection, batch)[0]
        found = index().find(names) if not is_document else {}
        for position, name in enumerate(names):
            earlier = (entry for entry in found.get(name, ()) if entry.state != "current" and entry.position not in gone(entry.batch))
            if name.startswith("?") or any(earlier):
                hidden.append((batch, position))
    connection.executemany("INSERT INTO superseded VALUES (?, ?) ON CONFLICT DO NOTHING", hidden)


class Contents:
    """Finds out whether documents have the same content though they are formatted differently, as far as their text is kept.

    Args:
        connection: of the journal.
    """

    _MOST: Final = 1000

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # By batch, the digests of its documents: a source in another order comes back to the same batches again and again.
        self._digests: dict[int, list[bytes]] = {}

    def is_same(self, entries: list[ResumeEntry], text: bytes, content: int) -> bool:
        """Looks for an unclaimed document with the same content. If there is one, its fingerprint becomes `content`.

        Args:
            entries: the records with the same identity.
            text: the JSON of the document.
            content: its fingerprint.

        Returns:
            Whether there is one.
        """
        ours: bytes | None = None
        for entry in entries:
            if entry.claimed is None and entry.state in ENTRY_MAY_BE_ON_SERVER and (digests := self._digests_of(entry.batch)):
                ours = ours or content_digest(text)
                if digests[entry.position] == ours:
                    entry.content = content
                    return True
        return False

    def _digests_of(self, batch: int) -> list[bytes]:
        found = self._digests.get(batch)
        if found is None:
            body = body_of(self._connection, batch)
            found = list(map(content_digest, split_json_objects(body))) if body is not None else []
            if len(self._digests) >= self._MOST:
                del self._digests[next(iter(self._digests))]
            self._digests[batch] = found
        return found

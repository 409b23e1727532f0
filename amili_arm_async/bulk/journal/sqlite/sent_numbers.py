"""The documentNos that a run has sent, and those that are kept of a pruned run: compressed blocks of about 1000."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from ....sqlite.file import temporary_database
from ...fingerprints import keyed_names
from ...outcomes import MAY_BE_ON_SERVER
from .index import read_records
from .queries import SELECT_ROW, SELECT_SUPERSEDED, ids, parse_row

__all__ = ["Reach", "Span", "add_spans", "forget_numbers", "keep_numbers", "may_hold", "names_in", "sent_in", "spans_of_keys"]

Span: TypeAlias = tuple[str, str]
"""The smallest and the largest of some names of one length."""

Reach: TypeAlias = dict[tuple[int, str], Span]
"""Spans by the length and the prefix of the names; the prefix is empty if a span has several."""

_BLOCK: Final = 1000
_BEGINNING: Final = 4
_MOST: Final = 32


# --- spans --------------------------------------------------------------------------------------------------------------------


def spans_of_keys(keys: Sequence[str | None]) -> list[Span]:
    """Returns the spans of the numbers of a batch: one for each length and prefix, or for each length if there are many."""
    names = sorted(keyed_names(keys))
    if not names:
        return []
    length = len(names[0])
    if names[0][:_BEGINNING] == names[-1][:_BEGINNING] and set(map(len, names)) == {length}:
        return [(names[0], names[-1])]
    reach: Reach = {}
    for name in names:
        add_spans(reach, [(name, name)])
    return list(reach.values())


def add_spans(reach: Reach, spans: Iterable[Span], most: int = _MOST) -> None:
    """Adds spans to a reach. If it gets too many prefixes, those of one length are merged.

    Args:
        reach: the reach; changed in place.
        spans: the spans.
        most: the most entries before prefixes are merged.
    """
    for least, greatest in spans:
        beginning = least[:_BEGINNING]
        key = (len(least), beginning if greatest.startswith(beginning) and (len(least), "") not in reach else "")
        old = reach.get(key, (least, greatest))
        reach[key] = min(least, old[0]), max(greatest, old[1])
        if len(reach) > most:
            _merge(reach, len(least))


def _merge(reach: Reach, length: int) -> None:
    some = [key for key in reach if key[0] == length]
    spans = [reach.pop(key) for key in some]
    reach[length, ""] = min(span[0] for span in spans), max(span[1] for span in spans)


def may_hold(reach: Reach, spans: Iterable[Span]) -> bool:
    """Returns whether a name in these spans may be in the reach."""
    for least, greatest in spans:
        length, beginning = len(least), least[:_BEGINNING]
        if greatest.startswith(beginning):
            near = [reach[key] for key in ((length, beginning), (length, "")) if key in reach]
        else:
            near = [span for key, span in reach.items() if key[0] == length]
        if any(least <= other[1] and other[0] <= greatest for other in near):
            return True
    return False


# --- what a run has sent --------------------------------------------------------------------------------------------------------


def sent_in(connection: sqlite3.Connection, batch: int) -> Callable[[Callable[[], bool]], dict[int, str]]:
    """Asks which records of a batch may be with the server, or are about to be sent.

    Ask for several batches before the first answer is read: a database then answers all at once.

    Args:
        connection: of the journal.
        batch: its id.

    Returns:
        A function that reads the answer: by position, the states of these records; `queued` for those that are about to be sent. It takes
            a function that says whether the run of the batch is in progress: only then queued records count.
    """
    asked = connection.execute(SELECT_ROW, (batch,))
    gone_asked = connection.execute(SELECT_SUPERSEDED, (batch,))

    def read(going_on: Callable[[], bool]) -> dict[int, str]:
        row, gone = asked.fetchone(), {position for (position,) in gone_asked}
        if row is None or (row[1] == "queued" and not going_on()):
            return {}
        records, outcome, exceptions = parse_row(row)
        whole = outcome.state if outcome is not None else {"sending": "unknown", "open": "accepted"}.get(row[1], row[1])
        states = {position: exceptions[position].state if position in exceptions else whole for position in range(records)}
        return {position: state for position, state in states.items() if state in MAY_BE_ON_SERVER | {"queued"} and position not in gone}

    return read


# --- what is kept of it -----------------------------------------------------------------------------------------------------------


def keep_numbers(connection: sqlite3.Connection, run: int) -> None:
    """Keeps the numbers of the documents of a run that may be with the server, before the run is pruned."""
    with contextlib.closing(temporary_database("CREATE TABLE kept (name TEXT NOT NULL)")) as kept:
        kept.execute("BEGIN")
        for batch in ids(connection, run, "spans IS NOT NULL"):
            sent = sent_in(connection, batch)(lambda: False)
            if sent:
                names, _, _ = read_records(connection, batch)
                kept.executemany("INSERT INTO kept VALUES (?)", [(names[place],) for place in sent if names[place][0] in "=0"])
        rows = kept.execute("SELECT DISTINCT name FROM kept ORDER BY length(name), name")
        connection.executemany(
            "INSERT INTO numbers (run, least, greatest, packed) VALUES (?, ?, ?, ?)",
            [(run, block[0], block[-1], _pack(block)) for block in _blocks(name for (name,) in rows)],
        )


def _blocks(names: Iterable[str]) -> Iterator[list[str]]:
    """Cuts names into blocks of one length, and of one prefix unless that makes the blocks small."""
    block: list[str] = []
    for (length, _), group in groupby(names, lambda name: (len(name), name[:_BEGINNING])):
        if block and (len(block[0]) != length or len(block) > _BLOCK // 4):
            yield block
            block = []
        for name in group:
            if len(block) == _BLOCK:
                yield block
                block = []
            block.append(name)
    if block:
        yield block


def forget_numbers(connection: sqlite3.Connection, before: float) -> None:
    """Deletes the numbers of runs that were pruned at or before a Unix time."""
    connection.execute("DELETE FROM numbers WHERE run IN (SELECT id FROM runs WHERE pruned <= ?)", (before,))


def _pack(names: Sequence[str]) -> bytes:
    """Compresses sorted names of one length, transposed: all first characters, then all second ones. That way they compress best."""
    text = "".join(names)
    length = len(names[0])
    return zlib.compress("".join([text[place::length] for place in range(length)]).encode(), 9)


def names_in(packed: bytes, length: int) -> list[str]:
    """Decompresses a block.

    Args:
        packed: the block.
        length: the length of its names.

    Returns:
        The names, in order.
    """
    text = zlib.decompress(packed).decode()
    count = len(text) // length
    return [text[number::count] for number in range(count)]

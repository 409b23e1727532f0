"""Finds the documents of a batch that another run of the journal has sent: exactly, by number, and mostly without reading the disk.

Of each run only the reach of its numbers is in memory. Where that of a batch overlaps it, the blocks that may hold one of its numbers are
read: a batch of the journal, or the numbers kept of a pruned run. Where most ranges overlap, as with unordered numbers, an index of all
numbers is built once.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Final

from .... import codec
from ....sqlite.file import temporary_database
from ....sqlite.lock import is_locked
from ...fingerprints import keyed_names
from ...outcomes import Outcome
from ..run_key import RunKey
from .index import SELECT_RECORDS, parse_records
from .queries import ids, span_of
from .sent_numbers import Reach, Span, add_spans, may_hold, names_in, sent_in

__all__ = ["OtherRuns"]

_BLOCKS_IN_MEMORY: Final = 32
_AT_ONCE: Final = 16
"""Blocks that are asked for together: a database then answers all at once."""

_SPANS_IN_MEMORY: Final = 50_000
_AT_LEAST: Final = 64
"""Number of blocks read before an index is considered."""

_MOST_BEGINNINGS: Final = 1000

_NEWEST: Final = 4096
"""Ids of so many batches before the last one may still come: more than a run has in memory."""

_IN_WORDS: Final = {
    "succeeded": "was sent by the run {!r} of this journal, and succeeded",
    "accepted": "was sent by the run {!r} of this journal, and accepted",
    "unknown": "may have been sent by the run {!r} of this journal",
    "queued": "is about to be sent by the run {!r} of this journal, which is in progress",
    "pruned": "was sent by the run {!r} of this journal, which has been pruned",
}


@dataclass(slots=True)
class _Run:
    """Another run, as it was when it was last read.

    Attributes:
        run_id: its name.
        attempts: how many attempts it had; a new attempt may have changed its older batches.
        pruned: whether only its numbers are left.
        last: the id of its last batch, or 0.
        reach: of its numbers.
        indexed: the id of its last batch in the index.
        missing: ids up to `last` that were not there when they were read. Batches are not written in the order of their ids: what is about
            to be sent overtakes what is not.
        late: those of them that came later: the index has not all of them.
    """

    run_id: str
    attempts: int
    pruned: bool
    last: int = 0
    reach: Reach = field(default_factory=dict)
    indexed: int = 0
    missing: set[int] = field(default_factory=set)
    late: set[int] = field(default_factory=set)


class OtherRuns:
    """The other runs of a journal with the same operation, client number and address.

    Args:
        path: of the journal.
        key: the current run.
        run: its id.
        index_wanted: set when an index is worth its cost; see `make_index`.
    """

    def __init__(self, path: str, key: RunKey, run: int, index_wanted: Event) -> None:
        self._index_wanted = index_wanted
        self._path = path
        self._key = (key.operation, key.client_no, key.base_url, run)
        self._version = -1
        self._runs: dict[int, _Run] = {}
        self._reach: Reach = {}
        # By run, its blocks with their spans; an id below zero is that of a block of a run that was removed.
        self._spans: dict[int, list[tuple[int, list[Span]]]] = {}
        self._blocks: dict[int, dict[str, int]] = {}
        self._reads = 0
        self._all: int | None = None
        self._index: sqlite3.Connection | None = None

    def find(self, connection: sqlite3.Connection, keys: Sequence[str | None], spans: list[Span]) -> dict[int, Outcome]:
        """Finds the documents of a batch that another run has sent, or is about to send.

        Call it in the transaction that enters the batch: then of two concurrent runs, the second one sees the first.

        Args:
            connection: of the journal.
            keys: the keys of the batch.
            spans: the spans of the keys.

        Returns:
            By position, the outcomes of these documents, which must not be sent.
        """
        self._refresh(connection)
        if not spans or not may_hold(self._reach, spans):
            return {}
        wanted = sorted(keyed_names(keys))
        found: dict[str, Outcome] = {}
        near = list(self._near(connection, wanted, spans))
        for start in range(0, len(near), _AT_ONCE):
            found.update(self._found_in(connection, near[start : start + _AT_ONCE], wanted))
        if not found:
            return {}
        names = iter(keyed_names(keys))
        named = {position: next(names) for position, key in enumerate(keys) if key is not None}
        return {position: found[name] for position, name in named.items() if name in found}

    # --- what there is --------------------------------------------------------------------------------------------------------

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Reads what other runs have written since the last time."""
        if not self._has_changed(connection):
            return
        rows = connection.execute(
            "SELECT id, run_id, attempts, pruned IS NOT NULL,"
            " (SELECT max(id) FROM batches WHERE batches.id BETWEEN runs.id << 32 AND ((runs.id + 1) << 32) - 1)"
            " FROM runs WHERE operation = ? AND client_no = ? AND base_url = ? AND id <> ?",
            self._key,
        ).fetchall()
        for run, run_id, attempts, pruned, last in rows:
            if self._is_sibling(run_id):
                continue
            known = self._runs.get(run)
            if known is None or (known.attempts, known.pruned) != (attempts, bool(pruned)):
                known = self._runs[run] = _Run(run_id, attempts, bool(pruned))
                self._forget(run)
                if pruned:
                    self._add(known, connection.execute("SELECT least, greatest FROM numbers WHERE run = ?", (run,)))
            if self._read_new(connection, run, known, last or 0):
                self._spans.pop(run, None)

    def _read_new(self, connection: sqlite3.Connection, run: int, known: _Run, last: int) -> bool:
        """Reads the spans of the batches of a run that came since the last time; returns whether there are any."""
        # Asked first: what a run has written that has ended is there.
        is_running = self._is_running(connection, run) if known.missing or last > known.last else False
        came = known.missing.intersection(_ids_between(connection, min(known.missing), max(known.missing)) if known.missing else ())
        first = min([known.last + 1, *came])
        if first > last:
            return False
        spans = ((batch, theirs) for batch, theirs in self._read_spans(connection, run, first) if batch > known.last or batch in came)
        self._add(known, (span for _, theirs in spans for span in theirs))
        begin = max(known.last, last - _NEWEST, span_of(run)[0]) + 1
        missing = (known.missing - came).union(range(begin, last)).difference(_ids_between(connection, begin, last))
        known.missing = {batch for batch in missing if is_running and batch > last - _NEWEST}
        known.late |= came
        known.last = max(known.last, last)
        return True

    def _has_changed(self, connection: sqlite3.Connection) -> bool:
        """Returns whether another connection has written since the last time."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        has_changed = bool(version != self._version)
        self._version = version
        return has_changed

    def _is_sibling(self, run_id: str) -> bool:
        """Returns whether a run can't have a number of this one, because it is another part of the same shared run."""
        return False

    def _is_running(self, connection: sqlite3.Connection, run: int) -> bool:
        return is_locked(self._path, run)

    def _add(self, run: _Run, spans: Iterable[Span]) -> None:
        add_spans(run.reach, spans)
        add_spans(self._reach, run.reach.values(), _MOST_BEGINNINGS)

    def _forget(self, run: int) -> None:
        self._spans.pop(run, None)
        low, high = span_of(run)
        self._blocks = {block: names for block, names in self._blocks.items() if not low <= block <= high}

    @staticmethod
    def _read_spans(connection: sqlite3.Connection, run: int, first: int = 0) -> Iterator[tuple[int, list[Span]]]:
        """Yields the batches of a run, from an id on, with the spans of their numbers."""
        low, high = span_of(run)
        rows = connection.execute("SELECT id, spans FROM batches WHERE id BETWEEN ? AND ? AND spans IS NOT NULL", (max(low, first), high))
        for batch, text in rows:
            yield batch, [(least, greatest) for least, greatest in codec.json_value(text.encode())]

    # --- where a number may be --------------------------------------------------------------------------------------------------

    def _near(self, connection: sqlite3.Connection, wanted: list[str], spans: list[Span]) -> Iterator[tuple[int, int]]:
        """Yields the blocks that may hold one of these names, in order, as (run, block)."""
        indexed = self._look_up(wanted)
        for run, known in self._runs.items():
            yield from ((run, block) for block in indexed.get(run, ()))
            if (known.late or known.indexed < max(known.last, 1)) and may_hold(known.reach, spans):
                for block, theirs in self._spans_of(connection, run, known):
                    is_apart = known.pruned or block > known.indexed or block in known.late
                    if is_apart and any(_is_between(wanted, *span) for span in theirs):
                        yield run, block

    def _spans_of(self, connection: sqlite3.Connection, run: int, known: _Run) -> list[tuple[int, list[Span]]]:
        if run not in self._spans:
            if sum(map(len, self._spans.values())) > _SPANS_IN_MEMORY:
                self._spans.clear()
            if known.pruned:
                rows = connection.execute("SELECT id, least, greatest FROM numbers WHERE run = ?", (run,))
                self._spans[run] = [(-block, [(least, greatest)]) for block, least, greatest in rows]
            else:
                self._spans[run] = list(self._read_spans(connection, run))
        return self._spans[run]

    # --- whether it is there ------------------------------------------------------------------------------------------------------

    def _found_in(self, connection: sqlite3.Connection, near: list[tuple[int, int]], wanted: list[str]) -> Iterator[tuple[str, Outcome]]:
        blocks = self._names_in(connection, [block for _, block in near])
        both = {block: [name for name in wanted if name in names] for block, names in blocks.items()}
        asked = {block: sent_in(connection, block) for block, some in both.items() if some and block > 0}
        for run, block in near:
            sent = asked[block](partial(self._is_running, connection, run)) if block in asked else {}
            for name in both[block]:
                state = sent.get(blocks[block][name]) if block > 0 else "pruned"
                if state is not None:
                    said = _IN_WORDS[state].format(self._runs[run].run_id)
                    text = f"this documentNo {said}: it is not sent again. Use resend_known (--resend-known) to send it anyway"
                    yield name, Outcome("invalid", "sent_in_run", text)

    def _names_in(self, connection: sqlite3.Connection, blocks: list[int]) -> dict[int, dict[str, int]]:
        """Returns the names in blocks, with their positions."""
        asked = {block: _ask_names(connection, block) for block in blocks if block not in self._blocks}
        found: dict[int, dict[str, int]] = {}
        for block in dict.fromkeys(blocks):
            if block in asked:
                self._reads += 1
                if self._index is None and self._reads > _AT_LEAST and self._reads > self._count(connection):
                    self._index_wanted.set()
                found[block] = {name: position for position, name in enumerate(asked[block]())}
            else:
                found[block] = self._blocks.pop(block)
        # The least recently used blocks are evicted first.
        self._blocks.update(found)
        for block in list(self._blocks)[:-_BLOCKS_IN_MEMORY]:
            del self._blocks[block]
        return found

    def _count(self, connection: sqlite3.Connection) -> int:
        """Returns the approximate number of blocks: the number when first asked."""
        if self._all is None:
            self._all = sum(1 for run in self._runs for _ in _blocks_of(connection, run))
        return self._all

    # --- the index ----------------------------------------------------------------------------------------------------------------

    def make_index(self, connection: sqlite3.Connection) -> None:
        """Builds an index of all numbers in an unnamed temporary file. Takes a while, so call it outside a transaction.

        Args:
            connection: of the journal.
        """
        self._index_wanted.clear()
        if self._index is not None:
            return
        self._index = temporary_database("CREATE TABLE names (hash INTEGER NOT NULL, run INTEGER NOT NULL, block INTEGER NOT NULL)")
        self._index.execute("BEGIN")
        for run, known in self._runs.items():
            for block in _blocks_of(connection, run):
                # A batch that was added since is searched without the index.
                if block <= known.last:
                    rows = [(hash(name), run, block) for name in _ask_names(connection, block)()]
                    self._index.executemany("INSERT INTO names VALUES (?, ?, ?)", rows)
            known.indexed = max(known.last, 1)
        self._index.execute("CREATE INDEX by_hash ON names (hash, run, block)")
        self._index.execute("COMMIT")

    def _look_up(self, wanted: list[str]) -> dict[int, list[int]]:
        """Returns by run the blocks that hold a name with the same hash as one of these."""
        found: dict[int, list[int]] = {}
        if self._index is not None:
            hashes = codec.ENCODER.encode([hash(name) for name in wanted]).decode()
            rows = self._index.execute(
                "SELECT DISTINCT run, block FROM json_each(?) CROSS JOIN names ON hash = value ORDER BY run, block", (hashes,)
            )
            for run, block in rows:
                found.setdefault(run, []).append(block)
        return found

    def close(self) -> None:
        """Deletes the index."""
        if self._index is not None:
            self._index.close()


def _ids_between(connection: sqlite3.Connection, first: int, last: int) -> Iterator[int]:
    return (batch for (batch,) in connection.execute("SELECT id FROM batches WHERE id BETWEEN ? AND ?", (first, last)).fetchall())


def _is_between(names: list[str], least: str, greatest: str) -> bool:
    """Returns whether one of some sorted names is within a span."""
    place = bisect_left(names, least)
    return place < len(names) and names[place] <= greatest


def _blocks_of(connection: sqlite3.Connection, run: int) -> Iterator[int]:
    """Yields the blocks of a run: its batches, or what is kept of it."""
    yield from ids(connection, run, "spans IS NOT NULL")
    yield from (-block for (block,) in connection.execute("SELECT id FROM numbers WHERE run = ?", (run,)))


def _ask_names(connection: sqlite3.Connection, block: int) -> Callable[[], list[str]]:
    """Asks for the names in a block; returns a function that reads the answer: none if the block does not exist any more."""
    if block > 0:
        records = connection.execute(SELECT_RECORDS, (block,))
        return lambda: parse_records(row)[0] if (row := records.fetchone()) is not None else []
    packed = connection.execute("SELECT packed, least FROM numbers WHERE id = ?", (-block,))
    return lambda: names_in(row[0], len(row[1])) if (row := packed.fetchone()) is not None else []

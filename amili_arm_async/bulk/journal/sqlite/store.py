"""What a run writes into its journal and reads from it: SQL, called in the journal's thread, each call within a transaction."""

from __future__ import annotations

import secrets
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, Final, NamedTuple

from .... import codec
from ....clock import Stamp
from ....errors import JournalError
from ....sqlite.guard import FileGuard
from ....sqlite.lock import RunLock, is_locked, lock
from ...chunking import Batch, split_json_objects
from ...fingerprints import content_name, keyed_name
from ...outcomes import WITHOUT_ANSWER, Outcome, State
from ...record_amounts import RecordAmounts
from ..dead_letter import UnsuccessfulBatch
from ..matching import ENTRY_MAY_BE_ON_SERVER, Decision, ResumeDecisions, ResumeEntry, decide_customer, decide_document, overtake_older
from ..newer_records import NewerRecords
from ..protocol import StaleSince
from ..run_key import RunKey, running_error
from .contents import Contents, decide_unsent, hide_left, hide_unsent
from .find_run import find_run
from .in_order import DoneInOrder
from .index import Index, Records, names_of
from .mark import JournalMark, Mark
from .newer_records import newer_records, place_of
from .other_runs import OtherRuns
from .queries import (
    NEVER_SENT,
    NOT_AWAITED,
    body_of,
    entry_states_of,
    ids,
    ids_in_order,
    keys_of,
    left_behind,
    places_of,
    read_identified,
    read_row,
    read_unknown,
    span_of,
    superseded,
)
from .sent_numbers import spans_of_keys

__all__ = ["OpenedRun", "RunStore", "row_of_records"]

_NEVER_LEFT: Final = "state = 'queued' AND tries = 0"
"""Which batches an attempt entered, and neither sent nor gave an outcome."""

KEPT_BYTES: Final = 64_000_000
"""Most bytes of text to keep of documents of a run that succeeded."""

CRASHED: Final = Outcome("unknown", "crashed", "the process ended while it was being sent: the server may or may not have accepted it")

IN_PROGRESS: Final = Outcome("unknown", "in_progress", "the run is in progress: its process is sending it now")


class OpenedRun(NamedTuple):
    """A run as `RunStore.begin` found it: what the event loop needs to know.

    Attributes:
        id: of the run.
        attempt: the number of this attempt, from 1.
        token: of this attempt.
        previous: the token of the attempt before it, or None.
        next_batch: the id of the first batch of this attempt.
        open_batches: ids of batches of earlier attempts that were accepted and may still get a result.
        is_resumed: whether the journal holds batches of an earlier attempt.
        has_index: whether records must be compared with those of earlier attempts.
        stale_since: of a stale journal, when documents that it does not know may have been sent; else empty.
        stale_reason: why it is stale, or None.
    """

    id: int
    attempt: int
    token: str
    previous: str | None
    next_batch: int
    open_batches: list[int]
    is_resumed: bool
    has_index: bool
    stale_since: list[StaleSince]
    stale_reason: str | None


@dataclass(slots=True)
class RunStore:
    """A run in its journal, from when it is opened.

    The journal's thread owns it: the event loop creates it, but touches none of its fields afterwards; it has methods called in the thread
    and gets what they return. Three fields are exceptions, safe in any thread: `key` and `path` never change, and `index_wanted` is an
    event.

    Attributes:
        key: which run.
        path: of the journal; empty for a temporary one.
        keeps_bodies: whether the text of each batch is kept while it may be needed.
        original: path of the journal that it is a copy of, in a dry run; None: it is no copy.
        resend_known: whether to send documents whose number another run of the journal has sent.
        has_source: whether this attempt reads a source; else its records have no place in one.
        reads_all: whether that has all records of the run; else, as in a replay, what it does not have stays as it is.
        index_wanted: set when an index of what other runs have sent is worth its cost; see `make_index`.
        id: of the run.
        attempt: the number of this attempt.
        is_resumed: whether the journal holds batches of an earlier attempt.
        lock: the lock of this process on the run.
        token: of this attempt; if the journal holds another one, another process has taken the run over.
        previous: the token of the attempt before it, or None.
        index: finds records by identity; None while nothing has to be found.
        in_order: claims records of earlier attempts in their order, as long as the source yields them so; then the index is built.
        entered: ids of the batches of this attempt that are in the journal and not settled.
        replaces: by batch, the earlier records that its records supersede when it is sent, as (position, batch, position there).
        overtakes: by batch, the records that stop being the newest of their key when it is sent.
        other_runs: the other runs of the journal, if documents that they have sent must not be sent.
        sent_elsewhere: by batch, the outcomes of its documents that another run has sent: it is not sent with them.
        resends: ids of batches of documents that were looked up and are sent a second time.
        mark: the mark beside the journal, for documents.
        contents: compares documents whose text is kept.
        kept_bytes: bytes of text kept of documents that succeeded.
        only_latest: whether a customer is done only if what succeeded is the latest that the run sent for it.
        new_since: the first attempt whose records may be newer than what other runs left in the dead letter.
    """

    key: RunKey
    path: str
    keeps_bodies: bool
    original: str | None = None
    resend_known: bool = False
    has_source: bool = True
    reads_all: bool = True
    index_wanted: Event = field(default_factory=Event)
    id: int = 0
    attempt: int = 0
    is_resumed: bool = False
    lock: RunLock | None = None
    token: str = ""
    previous: str | None = None
    index: Index | None = None
    in_order: DoneInOrder | None = None
    entered: set[int] = field(default_factory=set)
    replaces: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    overtakes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    other_runs: OtherRuns | None = None
    sent_elsewhere: dict[int, dict[int, Outcome]] = field(default_factory=dict)
    resends: set[int] = field(default_factory=set)
    mark: Mark | None = None
    contents: Contents | None = None
    kept_bytes: int = 0
    only_latest: bool = False
    new_since: int = 1

    # --- begin and end ----------------------------------------------------------------------------------------------------

    def begin(self, connection: sqlite3.Connection, *, deadline: float, now: Stamp, process: int) -> OpenedRun:
        """Opens the run, new or not, and settles what an earlier attempt left in flight.

        Args:
            connection: of the journal.
            deadline: of this attempt, in seconds.
            now: the current time.
            process: the id of this process.

        Returns:
            The run.

        Raises:
            JournalError: the run is in progress elsewhere, or was pruned.
            ConfigurationError: the run was begun against another address.
        """
        self.id, earlier = self._find(connection, deadline, now.wall, process)
        if self.path:
            self._take(earlier)
        if self.path and not self.key.safe:
            self.other_runs = self._make_other_runs() if not self.resend_known else None
            self.mark = self._make_mark()
            self.mark.begin(connection, now=now, deadline=deadline)
        low, high = self.span
        self.token = secrets.token_hex(8)
        read = "SELECT token, written, ended FROM runs WHERE id = ?"
        self.previous, written, ended = connection.execute(read, (self.id,)).fetchone()
        connection.execute(
            "UPDATE runs SET attempts = attempts + 1, process = ?, token = ?, deadline = CASE WHEN deadline < ? THEN ? ELSE deadline END"
            " WHERE id = ?",
            (process, self.token, deadline, deadline, self.id),
        )
        if self.ends_run:
            # Else it stays as it was: a reconcile or a replay does not complete a run that was cut off, nor cuts off one that was not.
            connection.execute("UPDATE runs SET ended = NULL WHERE id = ?", (self.id,))
        self.attempt = connection.execute("SELECT attempts FROM runs WHERE id = ?", (self.id,)).fetchone()[0]
        # Whether the run has ended does not matter: the dead letter is written after that, and may not have been.
        self.new_since = written + 1
        connection.execute(
            "UPDATE batches SET state = 'settled', final = ?, reason = ?, message = ?, sent = ?, boot = ?, boot_id = ?, service = ?"
            " WHERE state = 'sending' AND id BETWEEN ? AND ?",
            # When it was sent is not known, but not later than now.
            (*(IN_PROGRESS if self._is_in_progress() else CRASHED), *now, low, high),
        )
        connection.execute(
            "UPDATE batches SET state = 'settled', final = 'not_sent', reason = 'crashed' WHERE state = 'queued' AND id BETWEEN ? AND ?",
            (low, high),
        )
        self._forget_unsent(connection, was_ended=ended is not None)
        rows = connection.execute("SELECT max(id), count(*) FROM batches WHERE id BETWEEN ? AND ?", (low, high)).fetchone()
        self.is_resumed = rows[1] > 0
        awaited = "uuid IS NOT NULL AND (state = 'open' OR final = 'accepted' OR exceptions LIKE '%\"accepted\"%')"
        open_batches = list(ids(connection, self.id, awaited))
        if self.is_resumed and self.has_source:
            self.in_order = DoneInOrder(connection, self.id, rows[0])
            if open_batches:
                # Their states change while they are polled.
                self._index_earlier(connection)
        if self.is_resumed and not self.key.safe:
            bodies = "SELECT coalesce(sum(length(body)), 0) FROM bodies JOIN batches ON batch = id WHERE batch BETWEEN ? AND ?"
            self.kept_bytes = connection.execute(f"{bodies} AND final = 'succeeded'", (low, high)).fetchone()[0]
        return self._opened((rows[0] or low) + 1, open_batches)

    # What differs where the journal is not a file: see `journal.postgres.store`.

    @property
    def ends_run(self) -> bool:
        """Whether this attempt ends the run when its source is read to the end: not where that has only some records of an earlier
        attempt."""
        return self.has_source and (self.reads_all or self.previous is None)

    def _take(self, earlier: int) -> None:
        """Locks the run for this process; `earlier` is the process that began it last."""
        self.lock = lock(self.path, self.id)
        if self.lock is None:
            raise running_error(self.path, self.key, earlier)

    def _is_in_progress(self) -> bool:
        """Returns whether another process goes on with the run, of which this is a copy."""
        return self.original is not None and is_locked(self.original, self.id)

    def _make_other_runs(self) -> OtherRuns:
        return OtherRuns(self.path, self.key, self.id, self.index_wanted)

    def _make_mark(self) -> Mark:
        return JournalMark(self.path, self.original)

    def _reader(self, connection: sqlite3.Connection) -> Callable[[int], Records]:
        return partial(read_identified, connection, is_document=not self.key.safe)

    def _new_index(self, connection: sqlite3.Connection) -> Index:
        return Index(connection, connection, self._reader(connection))

    def sender_of(self, connection: sqlite3.Connection, batch: int) -> str | None:
        """Returns who may still be about to send a batch of an earlier attempt; None: nobody, as the lock on a file proves.

        Args:
            connection: of the journal.
            batch: its id.
        """
        return None

    def _amounts_in(self, connection: sqlite3.Connection, batch: int) -> RecordAmounts | None:
        """Returns the money of the records of a batch, where the journal keeps it."""
        return None

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        """Raises a `JournalError` if another process has taken the run over."""
        if connection.execute("SELECT token FROM runs WHERE id = ?", (self.id,)).fetchone() != (self.token,):
            raise JournalError(f"the run {self.key.run_id!r} was taken over by another process: was {self.path}-lock deleted?")

    def _write_body(self, connection: sqlite3.Connection, id: int, batch: Batch) -> None:
        """Writes the text of a batch piece by piece.

        As a single value it would be copied three times, twice while it blocks the event loop.
        """
        connection.execute("INSERT INTO bodies VALUES (?, zeroblob(?))", (id, batch.size))
        try:
            opened = connection.blobopen("bodies", "body", id)
        except OverflowError:
            # Before Python 3.11.4 it takes no id of more than 32 bits (https://github.com/python/cpython/issues/100370).
            connection.execute("UPDATE bodies SET body = ? WHERE batch = ?", (b",".join(batch.pieces), id))
            return
        with opened as blob:
            for number, piece in enumerate(batch.pieces):
                if number:
                    blob.write(b",")
                blob.write(piece)

    # --- what all journals share ------------------------------------------------------------------------------------------

    def _opened(self, next_batch: int, open_batches: list[int]) -> OpenedRun:
        stale_since, reason = (self.mark.stale, self.mark.reason) if self.mark is not None else ([], None)
        has_index = self.index is not None or self.in_order is not None
        attempt = (self.id, self.attempt, self.token, self.previous)
        return OpenedRun(*attempt, next_batch, open_batches, self.is_resumed, has_index, stale_since, reason)

    @property
    def span(self) -> tuple[int, int]:
        """The smallest and the largest id that a batch of the run can have."""
        return span_of(self.id)

    def _find(self, connection: sqlite3.Connection, deadline: float, now: float, process: int) -> tuple[int, int]:
        name = self.key
        found = find_run(connection, self.path, name)
        if found is not None:
            return found
        connection.execute(
            "INSERT INTO runs (run_id, operation, client_no, base_url, attempts, deadline, started, process)"
            " VALUES (?, ?, ?, ?, 0, ?, ?, ?)",
            (name.run_id, name.operation, name.client_no, name.base_url, deadline, now, process),
        )
        found = find_run(connection, self.path, name)
        assert found is not None
        return found

    def _forget_unsent(self, connection: sqlite3.Connection, *, was_ended: bool) -> None:
        """Removes what was never sent, where it comes again."""
        if self.has_source and self.reads_all:
            # It will be read from the source again.
            self._remove(connection, NEVER_SENT)
        elif self.has_source and was_ended:
            # Its source was read to the end, so a replay that was killed was about to send these: what they were to replace stands.
            self._remove(connection, f"{NEVER_SENT} AND reason = 'crashed'")

    def _remove(self, connection: sqlite3.Connection, which: str) -> None:
        """Removes the batches of the run that satisfy a condition in SQL."""
        low, high = self.span
        found = f"SELECT id FROM batches WHERE id BETWEEN ? AND ? AND {which}"  # noqa: S608 - our own words
        for table in ("records", "bodies", "superseded", "overtaken"):
            connection.execute(f"DELETE FROM {table} WHERE batch IN ({found})", (low, high))  # noqa: S608 - our own words
        connection.execute(f"DELETE FROM batches WHERE id IN ({found})", (low, high))  # noqa: S608 - our own words

    def end(self, connection: sqlite3.Connection, *, now: float) -> None:
        """Records that the source was read to its end and nothing stopped the run.

        Args:
            connection: of the journal.
            now: Unix time.
        """
        connection.execute("UPDATE runs SET ended = ? WHERE id = ?", (now, self.id))

    def tidy(self, connection: sqlite3.Connection) -> None:
        """Deletes what this attempt entered and never sent: its outcomes are recorded elsewhere.

        Args:
            connection: of the journal.
        """
        self._remove(connection, _NEVER_LEFT)
        if self.is_resumed and self.has_source:
            index = partial(self._index_of, connection)
            if not self.reads_all:
                hide_left(connection, index, self.id, self.attempt, is_document=not self.key.safe)
            if not self.key.safe:
                hide_unsent(connection, index, self.id, self.attempt)

    def committed(self, connection: sqlite3.Connection, guard: FileGuard) -> None:
        """Writes the mark if it is due. Call it after each commit: before a document is sent, the mark must say so, too.

        Args:
            connection: of the journal.
            guard: watches the mark.

        Raises:
            OSError: the mark can't be written.
        """
        if self.mark is not None:
            self.mark.committed(connection, guard)

    def release(self) -> None:
        """Releases the lock on the run, and all files."""
        if self.other_runs is not None:
            self.other_runs.close()
        if self.mark is not None:
            self.mark.close()
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def left_behind(self, connection: sqlite3.Connection) -> dict[State, int]:
        """Counts the records that the server has or may have, and that the source did not yield this time.

        Args:
            connection: of the journal.

        Returns:
            The numbers by state.
        """
        if self.in_order is not None and self.in_order.is_complete:
            return {}
        self._index_earlier(connection)
        return left_behind(connection, self.index) if self.index is not None else {}

    def newer_records(self, connection: sqlite3.Connection, names: Iterable[str], success: frozenset[str]) -> NewerRecords:
        """Finds what was sent after the records that have a line in the dead letter.

        Args:
            connection: of the journal.
            names: the identities of those that other runs have left there.
            success: the states that count as success.

        Returns:
            The last record of each that was taken.
        """
        # Of the run itself, the journal tells a replay, if it is kept.
        own = success if self.key.safe and not self.path else None
        # Documents have no order: whichever attempt sent one, it must not be sent again.
        since = self.new_since if self.key.safe else 1
        return newer_records(connection, self.id, names, is_safe=self.key.safe, attempt=since, success=own)

    def note_written(self, connection: sqlite3.Connection) -> None:
        """Records that this attempt has written the dead letter."""
        connection.execute("UPDATE runs SET written = ? WHERE id = ?", (self.attempt, self.id))

    def unsuccessful(self, connection: sqlite3.Connection, success: frozenset[str], newer: NewerRecords) -> Iterator[UnsuccessfulBatch]:
        """Reads the batches with records that did not succeed.

        Args:
            connection: of the journal.
            success: the states that count as success.
            newer: the last records that were taken.

        Yields:
            The batches, in order.
        """
        for number, batch in enumerate(ids_in_order(connection, self.id, "state <> 'queued'")):
            # A batchUuid that several batches share does not lead to the result of this one.
            read = "SELECT attempt, tries, CASE WHEN shared = 0 THEN uuid END FROM batches WHERE id = ?"
            attempt, tries, uuid = connection.execute(read, (batch,)).fetchone()
            _, outcome, exceptions = read_row(connection, batch)
            outcome = outcome or NOT_AWAITED
            if {outcome.state, *(other.state for other in exceptions.values())} <= success:
                continue
            current = self.has_source and attempt == self.attempt
            if not current:
                self._index_earlier(connection)
            indexes = places_of(connection, batch, self.index, current=current)
            keys, gone, body = keys_of(connection, batch), superseded(connection, batch), body_of(connection, batch)
            named = enumerate(keys) if self.key.safe and not self.path else ()
            overtaken = {at for at, key in named if key is not None and newer.last(keyed_name(key)) > place_of(number, at)}
            yield UnsuccessfulBatch(keys, indexes, gone, tries, uuid, outcome, exceptions, body, overtaken)

    # --- the index --------------------------------------------------------------------------------------------------------

    def make_index(self, connection: sqlite3.Connection) -> None:
        """Builds an index of what other runs have sent. Takes a while, so call it outside a transaction.

        Args:
            connection: of the journal.
        """
        if self.other_runs is not None:
            self.other_runs.make_index(connection)

    def _index_earlier(self, connection: sqlite3.Connection) -> None:
        """Builds the index of earlier attempts, if there are any, with what was claimed in order."""
        if self.in_order is not None:
            self.index = self._new_index(connection)
            earlier = ids_in_order(connection, self.id, f"id <= {self.in_order.last:d}")
            self.index.fill(((batch, entry_states_of(connection, batch)) for batch in earlier), self.in_order.claimed)
            self.in_order = None

    def count_latest(self, connection: sqlite3.Connection, batch: int) -> None:
        """Makes only the latest count of what was sent for each customer, and nothing with a number that was sent in an earlier batch.

        Args:
            connection: of the journal.
            batch: the id of the first batch that counts.
        """
        self.only_latest = True
        if self.is_resumed:
            self._index_of(connection).overtake(batch)

    def _index_of(self, connection: sqlite3.Connection) -> Index:
        """Returns the index, which is built if there is none."""
        self._index_earlier(connection)
        if self.index is None:
            self._index_current(connection)
        assert self.index is not None
        return self.index

    def _index_current(self, connection: sqlite3.Connection) -> None:
        self.index = self._new_index(connection)
        low, high = self.span
        # What was never sent can't be repeated.
        cut = (
            "SELECT id, records FROM batches WHERE id BETWEEN ? AND ? AND (state <> 'settled' OR tries > 0 OR sent IS NOT NULL) ORDER BY id"
        )
        rows = connection.execute(cut, (low, high)).fetchall()
        self.index.fill((row[0], ["current"] * row[1]) for row in rows)

    # --- batches ----------------------------------------------------------------------------------------------------------

    def decide(self, connection: sqlite3.Connection, id: int, batch: Batch) -> ResumeDecisions:
        """Decides which records of a batch are sent, and enters those.

        Args:
            connection: of the journal.
            id: the id of the new batch.
            batch: the batch as the chunker cut it.

        Returns:
            The decisions.
        """
        if self.in_order is not None and self.in_order.claim(batch):
            return ResumeDecisions(all_done=True)
        index = self._index_of(connection)
        texts = batch.texts() if None in batch.keys else []
        contents = self._contents_of(connection)
        others = {place: content_name(texts[place], document=not self.key.safe) for place, key in enumerate(batch.keys) if key is None}
        names = names_of(batch.keys, others)
        found = index.find(names)
        if self.only_latest:
            for entries in found.values():
                overtake_older(entries)
        refused = self._refused_before(index, batch, found, names) if not self.reads_all and not self.key.safe else {}
        decisions = ResumeDecisions()
        superseded: list[tuple[int, int, int]] = []
        overtaken: list[ResumeEntry] = []
        for position, name in enumerate(names):
            decision = self._decide(found[name], batch, position)
            if decision.conflict is not None and contents is not None:
                texts = texts or batch.texts()
                if contents.is_same(found[name], texts[position], batch.fingerprints[position]):
                    decision = self._decide(found[name], batch, position)
            if decision.send:
                replaced = [*decision.supersedes, refused[position]] if position in refused else decision.supersedes
                superseded += [(len(decisions.send), entry.batch, entry.position) for entry in replaced]
                overtaken += decision.overtakes
                decisions.after.update(decision.after)
                if not self.key.safe and batch.keys[position] is not None:
                    entry = ResumeEntry(None, "current", batch.fingerprints[position], id, len(decisions.send), batch.indexes[position])
                    found[name].append(entry)
                decisions.send.append(position)
            elif decision.taken is not None:
                decisions.taken[position] = decision.taken
            else:
                assert decision.conflict is not None
                decisions.conflicts[position] = decision.conflict
        index.save(found)
        if decisions.send:
            decisions.part = batch.only(decisions.send)
            self.enter(connection, id, decisions.part, [others[place] for place in decisions.send if place in others])
            decisions.elsewhere = dict(self.sent_elsewhere.get(id, {}))
            self.replaces[id] = superseded
            self.overtakes[id] = [(entry.batch, entry.position) for entry in overtaken]
            decisions.overtakes = any(entry.state in ENTRY_MAY_BE_ON_SERVER for entry in overtaken)
        return decisions

    @staticmethod
    def _refused_before(
        index: Index, batch: Batch, found: Mapping[str, Sequence[ResumeEntry]], names: Sequence[str]
    ) -> dict[int, ResumeEntry]:
        """Finds the rows of documents that were refused without a number, and have got one by hand.

        Args:
            index: the records of earlier attempts.
            batch: a batch of a replay.
            found: by identity, what the index has of its records.
            names: the identities of its records.

        Returns:
            By position, the row that the document replaces besides those with its number.
        """
        keyed = (place for place, key in enumerate(batch.keys) if key is not None)
        new = [place for place in keyed if all(entry.state in WITHOUT_ANSWER for entry in found[names[place]])]
        texts = batch.texts() if new else ()
        bare = {place: content_name(texts[place], document=True) for place in new}
        rows, refused = index.find(list(bare.values())), dict[int, ResumeEntry]()
        for place, name in bare.items():
            free = (entry for entry in rows[name] if entry.claimed is None and entry.state == "invalid")
            if (entry := next(free, None)) is not None:
                entry.claimed = batch.indexes[place]
                refused[place] = entry
        index.save(rows)
        return refused

    def decide_unsent(
        self,
        connection: sqlite3.Connection,
        indexes: Sequence[int],
        keys: Sequence[str | None],
        texts: Sequence[bytes],
        prints: Sequence[int],
    ) -> ResumeDecisions:
        """Finds the records of earlier attempts that have the outcomes of records that this attempt will not send. See `decide_unsent`.

        Args:
            connection: of the journal.
            indexes: the indexes of the records in the source.
            keys: their keys.
            texts: their JSON; may be empty if all have keys.
            prints: their fingerprints; may be empty, then a documentNo is enough.

        Returns:
            Where they are, and conflicts.
        """
        # Customers are identified by content: without it, they can't be found.
        self._index_earlier(connection)
        if self.index is None or (self.key.safe and not prints):
            return ResumeDecisions()
        return decide_unsent(self.index, indexes, keys, texts, prints, self._contents_of(connection), self.only_latest)

    def _contents_of(self, connection: sqlite3.Connection) -> Contents | None:
        """Returns what compares documents by content; None for customers, which are equal only if their JSON is."""
        if self.contents is None and not self.key.safe:
            self.contents = Contents(connection)
        return self.contents

    def _decide(self, entries: list[ResumeEntry], batch: Batch, position: int) -> Decision:
        content, place = batch.fingerprints[position], batch.indexes[position]
        if self.key.safe:
            return decide_customer(entries, content, place)
        return decide_document(entries, content, place, numbered=batch.keys[position] is not None)

    def enter(self, connection: sqlite3.Connection, id: int, batch: Batch, contents: Sequence[str] | None = None) -> None:
        """Enters a batch that is going to be sent, unless it is there already.

        The text is written here too, long before it must be durable, so that hardly anything is left to write then.

        Args:
            connection: of the journal.
            id: the id of the batch.
            batch: the batch.
            contents: the identities of its records without key, in order, if they are known.
        """
        if id in self.entered:
            return
        self.entered.add(id)
        if contents is None:
            names = self._names_without_key(batch.keys, batch.texts)
        else:
            bare = (str(position) for position, key in enumerate(batch.keys) if key is None)
            names = dict(zip(bare, contents, strict=True))
        spans = spans_of_keys(batch.keys) if self.path and not self.key.safe else []
        connection.execute(
            "INSERT INTO batches (id, attempt, records, state, spans) VALUES (?, ?, ?, 'queued', ?)",
            (id, self.attempt, len(batch), codec.ENCODER.encode(spans).decode() if spans else None),
        )
        self._enter_records(connection, id, batch.keys, batch.fingerprints, names, batch.indexes, batch.amounts)
        if self.keeps_bodies:
            self._write_body(connection, id, batch)
        # After it is entered, and in the same transaction: of two concurrent runs, one sees the other.
        if self.other_runs is not None and (sent := self.other_runs.find(connection, batch.keys, spans)):
            self.sent_elsewhere[id] = sent
            # The other run must not believe that it is about to be sent here: then neither run would send it.
            connection.executemany("INSERT INTO superseded VALUES (?, ?) ON CONFLICT DO NOTHING", [(id, position) for position in sent])

    def _names_without_key(self, keys: Sequence[str | None], texts: Callable[[], Sequence[bytes]]) -> dict[str, str]:
        """Returns the identities of the records that have no key, by position as text.

        Args:
            keys: the keys of some records.
            texts: returns their JSON; called if one has no key.
        """
        if None not in keys:
            return {}
        found, is_document = texts(), not self.key.safe
        return {str(place): content_name(found[place], document=is_document) for place, key in enumerate(keys) if key is None}

    def _enter_records(
        self,
        connection: sqlite3.Connection,
        id: int,
        keys: Sequence[str | None],
        prints: Sequence[int],
        names: Mapping[str, str],
        indexes: Sequence[int],
        amounts: RecordAmounts | None,
    ) -> None:
        connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row_of_records(id, keys, prints, names, indexes))

    def before_send(
        self, connection: sqlite3.Connection, id: int, batch: Batch, tries: int, now: Stamp, *, was_ambiguous: bool
    ) -> Mapping[int, Outcome]:
        """Records that a batch is about to be sent, unless it holds documents that another run has sent.

        Args:
            connection: of the journal.
            id: the id of the batch.
            batch: the batch.
            tries: the number of this try, from 1.
            now: the current time.
            was_ambiguous: whether an earlier attempt may have been accepted.

        Returns:
            By position, the outcomes of documents that another run has sent: nothing was recorded, and they must be removed first. Else
                empty.

        Raises:
            JournalError: another process has taken the run over, because its lock was removed.
        """
        self._check_owner(connection)
        self.enter(connection, id, batch)
        if (sent := self.sent_elsewhere.get(id)) is not None:
            return {position: outcome._replace(state="unknown") for position, outcome in sent.items()} if id in self.resends else sent
        connection.execute(
            "UPDATE batches SET state = 'sending', tries = ?, was_ambiguous = ?, sent = ?, boot = ?, boot_id = ?, service = ? WHERE id = ?",
            (tries, int(was_ambiguous), *now, id),
        )
        # Only now: until this batch is sent, the earlier outcomes of its records hold.
        self._supersede(connection, self.replaces.pop(id, ()))
        if overtaken := self.overtakes.pop(id, ()):
            connection.executemany("INSERT INTO overtaken VALUES (?, ?) ON CONFLICT DO NOTHING", overtaken)
        if self.mark is not None:
            self.mark.intent(connection, now)
        return {}

    def enter_again(self, connection: sqlite3.Connection, *, old: int, new: int, records: list[tuple[int, int]]) -> Batch:
        """Makes a new batch of records that are absent from the server. It is entered, and replaces them, when it is about to be sent.

        Args:
            connection: of the journal.
            old: the id of their batch.
            new: the id of the new batch.
            records: their indexes in the source, and their positions in the old batch.

        Returns:
            The new batch.
        """
        found = read_unknown(connection, old)
        prints = array("I", bytes(connection.execute("SELECT prints FROM records WHERE batch = ?", (old,)).fetchone()[0]))
        assert found.body is not None
        whole = Batch(0, range(len(found.keys)), found.keys, (found.body,), len(found.body), prints)
        part = whole.only([position for _, position in records])
        indexes, amounts = array("q", [index for index, _ in records]), self._amounts_in(connection, old)
        amounts = amounts.only([position for _, position in records]) if amounts is not None else None
        batch = Batch(0, indexes, part.keys, part.pieces, part.size, part.fingerprints, amounts)
        self.resends.add(new)
        self.replaces[new] = [(place, old, position) for place, (_, position) in enumerate(records)]
        return batch

    @staticmethod
    def _supersede(connection: sqlite3.Connection, replaced: Iterable[tuple[int, int, int]]) -> None:
        if places := [(batch, position) for _, batch, position in replaced]:
            connection.executemany("INSERT INTO superseded VALUES (?, ?) ON CONFLICT DO NOTHING", places)

    def remove_records(self, connection: sqlite3.Connection, id: int, rest: Sequence[int], part: tuple[int, Batch] | None) -> None:
        """Removes the documents that another run has sent from a batch; what is left becomes a batch of its own.

        Args:
            connection: of the journal.
            id: the id of the batch.
            rest: the positions of the records that are left.
            part: the id and the batch of those; None if none is left.
        """
        kept = {position: number for number, position in enumerate(rest)}
        replaced = self.replaces.pop(id, [])
        if id not in self.resends:
            # The outcomes of these belong to this attempt. Of records that were looked up, an earlier attempt has them.
            self._supersede(connection, [entry for entry in replaced if entry[0] not in kept])
        self.sent_elsewhere.pop(id, None)
        self._leave_out(connection, id)
        if part is not None:
            number, batch = part
            self.replaces[number] = [(kept[entry[0]], *entry[1:]) for entry in replaced if entry[0] in kept]
            if id in self.resends:
                self.resends.add(number)
            self.enter(connection, number, batch)

    def withhold(
        self,
        connection: sqlite3.Connection,
        id: int,
        batch: Batch,
        outcomes: Mapping[int, Outcome],
        numbers: tuple[int, int, int],
        now: Stamp,
        keep_bodies: bool,
    ) -> Batch | None:
        """Splits a batch on a stale journal: records with an outcome are not sent, because they were found or can't be looked up.

        Args:
            connection: of the journal.
            id: the id of the batch.
            batch: the batch.
            outcomes: by position. What the look-up found is final; the next attempt looks up again what it did not find. What another run
                has sent gets no row here.
            numbers: ids of the batches that replace it: of what was found, of what is not known, and of what is sent.
            now: the current time.
            keep_bodies: whether to keep the text of what is not sent.

        Returns:
            The batch that is sent, or None.
        """
        found = [place for place, outcome in outcomes.items() if outcome.reason not in {"stale_journal", "sent_in_run"}]
        uncertain = [place for place, outcome in outcomes.items() if outcome.reason == "stale_journal"]
        rest = [place for place in range(len(batch)) if place not in outcomes]
        replaced = self.replaces.pop(id, [])
        final = set(outcomes).difference(uncertain)
        self._supersede(connection, [entry for entry in replaced if entry[0] in final])
        for number, places in zip(numbers, (found, uncertain), strict=False):
            if places:
                said = {position: outcomes[place] for position, place in enumerate(places)}
                part = batch.only(places)
                looked_up = now if number == numbers[0] else None
                keep = keep_bodies or any(outcome.reason == "key_conflict" for outcome in said.values())
                self._enter_withheld(connection, number, part, said, looked_up, keep_body=keep)
        left = batch.only(rest) if rest else None
        if left is not None:
            positions = {place: number for number, place in enumerate(rest)}
            self.replaces[numbers[2]] = [(positions[entry[0]], *entry[1:]) for entry in replaced if entry[0] in positions]
            self.enter(connection, numbers[2], left)
        self.sent_elsewhere.pop(id, None)
        self._leave_out(connection, id)
        return left

    def _enter_withheld(
        self,
        connection: sqlite3.Connection,
        id: int,
        batch: Batch,
        said: Mapping[int, Outcome],
        looked_up: Stamp | None,
        *,
        keep_body: bool,
    ) -> None:
        standard = said[0]
        exceptions = {position: outcome for position, outcome in said.items() if outcome != standard}
        # Spans make documents visible to other runs: those that were found, not those that were never sent.
        spans = codec.ENCODER.encode(spans_of_keys(batch.keys)).decode() if looked_up is not None else None
        connection.execute(
            "INSERT INTO batches (id, attempt, records, state, final, reason, message, exceptions, spans, sent, boot, boot_id, service)"
            " VALUES (?, ?, ?, 'settled', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (id, self.attempt, len(batch), *_plain(standard), _write(exceptions), spans, *(looked_up or (None,) * 4)),
        )
        # Without an identity, the row of an earlier attempt would stay beside this one.
        names = self._names_without_key(batch.keys, batch.texts)
        self._enter_records(connection, id, batch.keys, batch.fingerprints, names, batch.indexes, batch.amounts)
        if keep_body:
            self._write_body(connection, id, batch)

    @staticmethod
    def requeue(connection: sqlite3.Connection, id: int) -> None:
        """Records that the server provably did not accept a try, and that the batch waits for its next one.

        Args:
            connection: of the journal.
            id: the id of the batch.
        """
        connection.execute("UPDATE batches SET state = 'queued' WHERE id = ?", (id,))

    def accepted(self, connection: sqlite3.Connection, id: int, batch_uuid: str, now: Stamp, *, is_first: bool) -> bool:
        """Records that the server accepted a batch, if its batchUuid is unique; else marks the batches that have it as sharing it.

        Args:
            connection: of the journal.
            id: the id of the batch.
            batch_uuid: its batchUuid.
            now: the current time.
            is_first: False if this client got the same batchUuid before.

        Returns:
            Whether the batchUuid is unique.
        """
        others = [
            row[0]
            for row in connection.execute(
                "SELECT batches.id FROM batches JOIN runs ON runs.id = batches.id >> 32"
                " WHERE uuid IS NOT NULL AND lower(trim(uuid)) = lower(trim(?)) AND batches.id <> ? AND client_no = ? AND base_url = ?",
                (batch_uuid, id, self.key.client_no, self.key.base_url),
            )
        ]
        if others or not is_first:
            connection.executemany("UPDATE batches SET shared = 1 WHERE id = ?", [(other,) for other in others])
            return False
        connection.execute(
            "UPDATE batches SET state = 'open', uuid = ?, accepted = ?, accepted_boot = ?, accepted_service = ? WHERE id = ?",
            (batch_uuid, now.wall, now.boot, now.service, id),
        )
        return True

    def split(self, connection: sqlite3.Connection, id: int, parts: Sequence[tuple[int, Batch]], *, may_be_sent: bool) -> None:
        """Replaces a batch by its parts.

        Args:
            connection: of the journal.
            id: the id of the batch.
            parts: the ids and the parts.
            may_be_sent: whether an attempt with the whole batch may have been accepted: then the parts count as being sent, too.
        """
        for number, part in parts:
            self.enter(connection, number, part)
            if may_be_sent:
                connection.execute(
                    "UPDATE batches SET (state, tries, sent, boot, boot_id, service) ="
                    " (SELECT state, tries, sent, boot, boot_id, service FROM batches WHERE id = ?) WHERE id = ?",
                    (id, number),
                )
        self._leave_out(connection, id)

    @staticmethod
    def _leave_out(connection: sqlite3.Connection, id: int) -> None:
        for table in ("records", "bodies", "superseded"):
            connection.execute(f"DELETE FROM {table} WHERE batch = ?", (id,))  # noqa: S608 - our own words
        # It stays in `entered`: work that would enter it again may still wait in the other queue.
        connection.execute("DELETE FROM batches WHERE id = ?", (id,))

    def settle(
        self,
        connection: sqlite3.Connection,
        id: int,
        outcome: Outcome,
        exceptions: Mapping[int, Outcome],
        *,
        tries: int | None,
        status: int | None,
        now: Stamp,
        keep_body: bool,
    ) -> None:
        """Records the outcome of a batch, and deletes its text if it is not needed any more.

        Args:
            connection: of the journal.
            id: the id of the batch.
            outcome: the outcome of all its records but the exceptions.
            exceptions: by position, the outcomes that differ.
            tries: how often it was sent; None leaves what is recorded.
            status: the HTTP status of the last try, or None.
            now: the current time.
            keep_body: whether the text is still needed.
        """
        if id in self.resends and self.replaces.pop(id, None) is not None:
            # It was never about to be sent: the rows that it would have replaced stand.
            if self.sent_elsewhere.pop(id, None) is not None:
                self._leave_out(connection, id)
            return
        # A batch whose outcome is unknown may have been in flight until now.
        later = "UPDATE batches SET sent = ?, boot = ?, boot_id = ?, service = ? WHERE id = ? AND state = 'sending'"
        connection.execute(later, (*now, id))
        connection.execute(
            "UPDATE batches SET state = 'settled', final = ?, reason = ?, message = ?, exceptions = ?, status = ?,"
            " took = CASE WHEN attempt = ? THEN coalesce(? - accepted_boot, ? - accepted) END, tries = coalesce(?, tries) WHERE id = ?",
            (*_plain(outcome), _write(exceptions), status, self.attempt, now.boot, now.wall, tries, id),
        )
        if (elsewhere := self.sent_elsewhere.pop(id, None)) is not None and id not in self.resends:
            # The batch ends before these were removed from it: their outcome is its own, so they are no longer hidden.
            hidden = [(id, position) for position in elsewhere]
            connection.executemany("DELETE FROM superseded WHERE batch = ? AND position = ?", hidden)
        if not keep_body and not self._may_keep(connection, id, outcome):
            connection.execute("DELETE FROM bodies WHERE batch = ?", (id,))
        self.entered.discard(id)

    def _may_keep(self, connection: sqlite3.Connection, id: int, outcome: Outcome) -> bool:
        """Returns whether to keep the text of documents that succeeded: it identifies them if a source formats them differently."""
        if self.key.safe or not self.path or outcome.state != "succeeded" or self.kept_bytes >= KEPT_BYTES:
            return False
        row = connection.execute("SELECT length(body) FROM bodies WHERE batch = ?", (id,)).fetchone()
        self.kept_bytes += row[0] if row is not None else 0
        return True

    def enter_unsent(
        self,
        connection: sqlite3.Connection,
        id: int,
        indexes: Sequence[int],
        keys: Sequence[str | None],
        outcome: Outcome,
        body: bytes | None,
        text: bytes | None,
        amounts: RecordAmounts | None,
    ) -> None:
        """Enters records that were never sent.

        Args:
            connection: of the journal.
            id: the id of the new batch.
            indexes: the indexes of the records in the source.
            keys: their keys.
            outcome: the outcome of all of them.
            body: their JSON, to be kept, or None.
            text: their JSON, from which records without key get an identity, or None.
            amounts: their money, where the journal keeps it.
        """
        connection.execute(
            "INSERT INTO batches (id, attempt, records, state, final, reason, message) VALUES (?, ?, ?, 'settled', ?, ?, ?)",
            (id, self.attempt, len(keys), *_plain(outcome)),
        )
        names = self._names_without_key(keys, partial(split_json_objects, text)) if text is not None else {}
        self._enter_records(connection, id, keys, (), names, indexes, amounts)
        if body is not None:
            connection.execute("INSERT INTO bodies VALUES (?, ?)", (id, body))


def row_of_records(
    id: int, keys: Sequence[str | None], prints: Sequence[int], names: Mapping[str, str], indexes: Sequence[int]
) -> tuple[Any, ...]:
    """Makes the row of `records` of a batch.

    Args:
        id: of the batch.
        keys: the keys of its records.
        prints: their fingerprints.
        names: by position as text, the identities of those without a key.
        indexes: their places in the source.

    Returns:
        The values, in the order of the columns.
    """
    together = isinstance(indexes, range) or list(indexes) == list(range(indexes[0], indexes[0] + len(indexes)))
    places = None if together else array("q", indexes).tobytes()
    return id, _keys_text(keys), array("I", prints).tobytes(), codec.ENCODER.encode(names) if names else None, indexes[0], places


def _keys_text(keys: Sequence[str | None]) -> bytes:
    try:
        return codec.ENCODER.encode(keys)
    except UnicodeEncodeError:
        # A lone surrogate, in a record that is invalid anyway.
        return codec.ENCODER.encode([key and key.encode("utf-8", "backslashreplace").decode() for key in keys])


def _write(exceptions: Mapping[int, Outcome]) -> str | None:
    if not exceptions:
        return None
    return codec.ENCODER.encode({str(position): list(_plain(outcome)) for position, outcome in exceptions.items()}).decode()


def _plain(outcome: Outcome) -> Outcome:
    """Returns an outcome without lone surrogates, which invalid records may contain."""
    reason, message = ((text or "").encode("utf-8", "backslashreplace").decode() for text in (outcome.reason, outcome.message))
    return Outcome(outcome.state, reason, message if outcome.message is not None else None)

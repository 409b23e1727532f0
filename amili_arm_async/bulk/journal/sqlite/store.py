"""What a run writes into its journal and reads from it: SQL, called in the journal's thread, each call within a transaction."""

from __future__ import annotations

import secrets
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Final, NamedTuple

from .... import codec
from ....clock import Stamp
from ....errors import JournalError
from ....sqlite.guard import FileGuard
from ....sqlite.lock import RunLock, lock
from ...chunking import Batch, split_json_objects
from ...fingerprints import content_name
from ...outcomes import Outcome, State
from ..dead_letter import UnsuccessfulBatch
from ..matching import Decision, ResumeDecisions, ResumeEntry, decide_customer, decide_document
from ..protocol import StaleSince
from ..run_key import RunKey, running_error
from .contents import Contents, earlier_outcomes, hide_unsent
from .find_run import find_run
from .index import Index, names_of
from .mark import JournalMark
from .other_runs import OtherRuns
from .queries import (
    NOT_AWAITED,
    body_of,
    ids,
    keys_of,
    left_behind,
    places_of,
    read_row,
    read_unknown,
    span_of,
    states_of,
    superseded,
)
from .sent_numbers import spans_of_keys

__all__ = ["OpenedRun", "RunStore"]

KEPT_BYTES: Final = 64_000_000
"""Of the text of documents of a run that succeeded."""

CRASHED: Final = Outcome("unknown", "crashed", "the process ended while it was on the wire: it may or may not have been taken")


class OpenedRun(NamedTuple):
    """A run as `RunStore.begin` found it: all that the event loop is told of it.

    Attributes:
        id: of the run.
        attempt: the number of this attempt, from 1.
        next_batch: the id of the first batch of this attempt.
        open_batches: ids of batches of earlier attempts that were accepted and may still get a result.
        is_resumed: whether an earlier attempt left anything.
        has_index: whether records of earlier attempts must be searched for.
        stale_since: what a stale journal may be missing; empty where it is not stale.
        stale_reason: why it is stale, or None.
    """

    id: int
    attempt: int
    next_batch: int
    open_batches: list[int]
    is_resumed: bool
    has_index: bool
    stale_since: list[StaleSince]
    stale_reason: str | None


@dataclass(slots=True)
class RunStore:
    """A run in its journal, from when it is opened.

    The journal's thread owns it: the event loop makes it, and from then on touches none of its fields; it has methods called in the thread
    and gets what they return. Two exceptions, both safe in any thread: `key` and `path` never change, and `index_wanted` is an event.

    Attributes:
        key: which run.
        path: of the journal.
        keeps_bodies: whether the text of each batch is kept while it may be needed.
        resend_known: whether a document is sent though another run of the journal has sent its number.
        has_source: whether this attempt reads a source; else its records have no place in one.
        index_wanted: set when an index of what other runs have sent would be worth its price; see `make_index`.
        id: of the run.
        attempt: the number of this attempt.
        is_resumed: whether an earlier attempt left anything.
        lock: the right of this process to run it.
        token: of this attempt: where the journal has another one, another process has taken the run over.
        index: finds records by their identity, where there is something to find.
        entered: batches of this attempt that are in the journal and not settled.
        replaces: by batch, the records that its records take the place of when it is sent, as (position, batch, position there).
        overtakes: by batch, the records that are not the newest any more when it is sent.
        other_runs: the other runs of the journal, where what they have sent may not be sent.
        sent_elsewhere: by batch, its documents that another run has sent: it does not leave with them.
        resends: batches of documents that were looked up and are sent a second time.
        mark: the mark beside the journal, for documents.
        contents: compares documents whose text is kept.
        kept_bytes: bytes of documents that succeeded and whose text is kept all the same.
    """

    key: RunKey
    path: str
    keeps_bodies: bool
    resend_known: bool = False
    has_source: bool = True
    index_wanted: Event = field(default_factory=Event)
    id: int = 0
    attempt: int = 0
    is_resumed: bool = False
    lock: RunLock | None = None
    token: str = ""
    index: Index | None = None
    entered: set[int] = field(default_factory=set)
    replaces: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    overtakes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    other_runs: OtherRuns | None = None
    sent_elsewhere: dict[int, dict[int, Outcome]] = field(default_factory=dict)
    resends: set[int] = field(default_factory=set)
    mark: JournalMark | None = None
    contents: Contents | None = None
    kept_bytes: int = 0

    # --- begin and end ----------------------------------------------------------------------------------------------------

    def begin(self, connection: sqlite3.Connection, *, deadline: float, now: Stamp, process: int) -> OpenedRun:
        """Opens the run, new or not, and settles what an earlier attempt left on the wire.

        Raises:
            JournalError: somebody is running it, or it was removed.
            ConfigurationError: it sends to another address.
        """
        self.id, earlier = self._find(connection, deadline, now.wall, process)
        self.lock = lock(self.path, self.id) if self.path else None
        if self.path and self.lock is None:
            raise running_error(self.path, self.key, earlier)
        if self.path and not self.key.safe and not self.resend_known:
            self.other_runs = OtherRuns(self.path, self.key, self.id, self.index_wanted)
        if self.path and not self.key.safe:
            self.mark = JournalMark(self.path)
            self.mark.begin(connection, now=now, deadline=deadline)
        low, high = self.span
        self.token = secrets.token_hex(8)
        connection.execute(
            "UPDATE runs SET attempts = attempts + 1, process = ?, token = ?, deadline = max(deadline, ?) WHERE id = ?",
            (process, self.token, deadline, self.id),
        )
        if self.has_source:
            # Without one, it stays as it was: a run that was cut off is not done because somebody looked after what it left.
            connection.execute("UPDATE runs SET ended = NULL WHERE id = ?", (self.id,))
        self.attempt = connection.execute("SELECT attempts FROM runs WHERE id = ?", (self.id,)).fetchone()[0]
        connection.execute(
            "UPDATE batches SET state = 'settled', final = ?, reason = ?, message = ?, sent = ?, boot = ?, boot_id = ?, service = ?"
            " WHERE state = 'sending' AND id BETWEEN ? AND ?",
            # When it was on the wire nobody knows: not later than now.
            (*CRASHED, *now, low, high),
        )
        connection.execute(
            "UPDATE batches SET state = 'settled', final = 'not_sent', reason = 'crashed' WHERE state = 'queued' AND id BETWEEN ? AND ?",
            (low, high),
        )
        if self.has_source:
            self._forget_unsent(connection)
        rows = connection.execute("SELECT max(id), count(*) FROM batches WHERE id BETWEEN ? AND ?", (low, high)).fetchone()
        self.is_resumed = rows[1] > 0
        awaited = "uuid IS NOT NULL AND (state = 'open' OR final = 'accepted' OR exceptions LIKE '%\"accepted\"%')"
        open_batches = list(ids(connection, self.id, awaited))
        if self.is_resumed and self.has_source:
            self._index_earlier(connection)
        if self.is_resumed and not self.key.safe:
            bodies = "SELECT coalesce(sum(length(body)), 0) FROM bodies JOIN batches ON batch = id WHERE batch BETWEEN ? AND ?"
            self.kept_bytes = connection.execute(f"{bodies} AND final = 'succeeded'", (low, high)).fetchone()[0]
        return self._opened((rows[0] or low) + 1, open_batches)

    def _opened(self, next_batch: int, open_batches: list[int]) -> OpenedRun:
        stale_since, reason = (self.mark.stale, self.mark.reason) if self.mark is not None else ([], None)
        return OpenedRun(self.id, self.attempt, next_batch, open_batches, self.is_resumed, self.index is not None, stale_since, reason)

    @property
    def span(self) -> tuple[int, int]:
        """The least and the greatest id that a batch of the run can have."""
        return span_of(self.id)

    def _find(self, connection: sqlite3.Connection, deadline: float, now: float, process: int) -> tuple[int, int]:
        name = self.key
        found = find_run(connection, self.path, name)
        if found is not None:
            return found
        made = connection.execute(
            "INSERT INTO runs (run_id, operation, client_no, base_url, attempts, deadline, started, process)"
            " VALUES (?, ?, ?, ?, 0, ?, ?, ?)",
            (name.run_id, name.operation, name.client_no, name.base_url, deadline, now, process),
        )
        return int(made.lastrowid or 0), process

    def _forget_unsent(self, connection: sqlite3.Connection) -> None:
        """What never left will be read from the source again."""
        low, high = self.span
        unsent = "SELECT id FROM batches WHERE id BETWEEN ? AND ? AND tries = 0 AND sent IS NULL AND state = 'settled'"
        for table in ("records", "bodies", "superseded", "overtaken"):
            connection.execute(f"DELETE FROM {table} WHERE batch IN ({unsent})", (low, high))  # noqa: S608 - our own words
        connection.execute(f"DELETE FROM batches WHERE id IN ({unsent})", (low, high))  # noqa: S608 - our own words

    def end(self, connection: sqlite3.Connection, *, now: float) -> None:
        """The source of the run was read to its end, and nothing stopped it."""
        connection.execute("UPDATE runs SET ended = ? WHERE id = ?", (now, self.id))

    def tidy(self, connection: sqlite3.Connection) -> None:
        """What was entered in this attempt and never had its turn is told of elsewhere."""
        low, high = self.span
        cut = "SELECT id FROM batches WHERE id BETWEEN ? AND ? AND state = 'queued' AND tries = 0"
        for table in ("records", "bodies", "superseded"):
            connection.execute(f"DELETE FROM {table} WHERE batch IN ({cut})", (low, high))  # noqa: S608 - our own words
        connection.execute(f"DELETE FROM batches WHERE id IN ({cut})", (low, high))  # noqa: S608 - our own words
        if self.index is not None and self.is_resumed and not self.key.safe:
            hide_unsent(connection, self.index, self.id, self.attempt)

    def committed(self, connection: sqlite3.Connection, guard: FileGuard) -> None:
        """To be called after each commit: before a document leaves, it must be in the mark, too."""
        if self.mark is not None:
            self.mark.committed(connection, guard)

    def release(self) -> None:
        """Another process may run it."""
        if self.other_runs is not None:
            self.other_runs.close()
        if self.mark is not None:
            self.mark.close()
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def left_behind(self, connection: sqlite3.Connection) -> dict[State, int]:
        """Counts the records that the server has or may have, and that the source did not yield this time, by state."""
        return left_behind(connection, self.index) if self.index is not None else {}

    def unsuccessful(self, connection: sqlite3.Connection, success: frozenset[str]) -> Iterator[UnsuccessfulBatch]:
        """Reads the batches of the run with records in other states than these."""
        for batch in ids(connection, self.id, "state <> 'queued'"):
            # A batchUuid that several batches were given leads to no result of this one.
            read = "SELECT attempt, tries, iif(shared, NULL, uuid) FROM batches WHERE id = ?"
            attempt, tries, uuid = connection.execute(read, (batch,)).fetchone()
            _, outcome, exceptions = read_row(connection, batch)
            outcome = outcome or NOT_AWAITED
            if {outcome.state, *(other.state for other in exceptions.values())} <= success:
                continue
            indexes = places_of(connection, batch, self.index, current=self.has_source and attempt == self.attempt)
            keys, gone, body = keys_of(connection, batch), superseded(connection, batch), body_of(connection, batch)
            yield UnsuccessfulBatch(keys, indexes, gone, tries, uuid, outcome, exceptions, body)

    # --- the index --------------------------------------------------------------------------------------------------------

    def make_index(self, connection: sqlite3.Connection) -> None:
        """Makes an index of what other runs have sent; outside of a transaction, for it takes a while."""
        if self.other_runs is not None:
            self.other_runs.make_index(connection)

    def _index_earlier(self, connection: sqlite3.Connection) -> None:
        self.index = Index(connection)
        self.index.fill((batch, states_of(connection, batch)) for batch in ids(connection, self.id))

    def _index_current(self, connection: sqlite3.Connection) -> None:
        self.index = Index(connection)
        low, high = self.span
        # What was never sent stands in nobody's way.
        cut = (
            "SELECT id, records FROM batches WHERE id BETWEEN ? AND ? AND (state <> 'settled' OR tries > 0 OR sent IS NOT NULL) ORDER BY id"
        )
        rows = connection.execute(cut, (low, high)).fetchall()
        self.index.fill((row[0], ["current"] * row[1]) for row in rows)

    # --- batches ----------------------------------------------------------------------------------------------------------

    def decide(self, connection: sqlite3.Connection, id: int, batch: Batch) -> ResumeDecisions:
        """Decides what of a batch is sent, and enters that as the batch `id`."""
        if self.index is None:
            self._index_current(connection)
        assert self.index is not None
        texts = batch.texts() if None in batch.keys else []
        contents = self._contents_of(connection)
        others = {place: content_name(texts[place], document=not self.key.safe) for place, key in enumerate(batch.keys) if key is None}
        names = names_of(batch.keys, others)
        found = self.index.find(names)
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
                superseded += [(len(decisions.send), entry.batch, entry.position) for entry in decision.supersedes]
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
        self.index.save(found)
        if decisions.send:
            decisions.part = batch.only(decisions.send)
            self.enter(connection, id, decisions.part, [others[place] for place in decisions.send if place in others])
            decisions.elsewhere = frozenset(self.sent_elsewhere.get(id, ()))
            self.replaces[id] = superseded
            self.overtakes[id] = [(entry.batch, entry.position) for entry in overtaken]
        return decisions

    def earlier_outcomes(
        self,
        connection: sqlite3.Connection,
        indexes: Sequence[int],
        keys: Sequence[str | None],
        texts: Sequence[bytes],
        prints: Sequence[int],
    ) -> dict[int, Outcome]:
        """By place, what an earlier attempt did with records that this one does not come to any more."""
        # Of a customer whose content is not known nothing can be said.
        if self.index is None or (self.key.safe and not prints):
            return {}
        return earlier_outcomes(connection, self.index, indexes, keys, texts, prints, self._contents_of(connection))

    def _contents_of(self, connection: sqlite3.Connection) -> Contents | None:
        """What tells documents that say the same; customers are the same only where they are written alike."""
        if self.contents is None and not self.key.safe:
            self.contents = Contents(connection)
        return self.contents

    def _decide(self, entries: list[ResumeEntry], batch: Batch, position: int) -> Decision:
        content, place = batch.fingerprints[position], batch.indexes[position]
        if self.key.safe:
            return decide_customer(entries, content, place)
        return decide_document(entries, content, place, numbered=batch.keys[position] is not None)

    def enter(self, connection: sqlite3.Connection, id: int, batch: Batch, contents: Sequence[str] | None = None) -> None:
        """Enters a batch that is going to be sent; `contents` are the identities of its records without key, where they are known.

        Its text is written here too, long before it has to be on the disk: so that hardly anything is left to write then. Where its
        turn to leave came first, it is there already.
        """
        if id in self.entered:
            return
        self.entered.add(id)
        bare = [position for position, key in enumerate(batch.keys) if key is None] if None in batch.keys else []
        if bare and contents is None:
            texts = batch.texts()
            contents = [content_name(texts[position], document=not self.key.safe) for position in bare]
        names = {str(position): name for position, name in zip(bare, contents or (), strict=True)}
        spans = spans_of_keys(batch.keys) if self.path and not self.key.safe else []
        connection.execute(
            "INSERT INTO batches (id, attempt, records, state, spans) VALUES (?, ?, ?, 'queued', ?)",
            (id, self.attempt, len(batch), codec.ENCODER.encode(spans).decode() if spans else None),
        )
        self._enter_records(connection, id, batch.keys, batch.fingerprints, names, batch.indexes)
        if self.keeps_bodies:
            _write_body(connection, id, batch)
        # Now that it is entered, and in one transaction: of two runs that go on at once, one sees the other.
        if self.other_runs is not None and (sent := self.other_runs.find(connection, batch.keys, spans)):
            self.sent_elsewhere[id] = sent
            # The other run must not take it for something that is about to be sent here: then none of the two would send it.
            connection.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", [(id, position) for position in sent])

    @staticmethod
    def _enter_records(
        connection: sqlite3.Connection,
        id: int,
        keys: Sequence[str | None],
        prints: Sequence[int],
        names: Mapping[str, str],
        indexes: Sequence[int],
    ) -> None:
        together = isinstance(indexes, range) or list(indexes) == list(range(indexes[0], indexes[0] + len(indexes)))
        connection.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)",
            (
                id,
                _keys_text(keys),
                array("I", prints).tobytes(),
                codec.ENCODER.encode(names) if names else None,
                indexes[0],
                None if together else array("q", indexes).tobytes(),
            ),
        )

    def before_send(self, connection: sqlite3.Connection, id: int, batch: Batch, tries: int, now: Stamp) -> Mapping[int, Outcome]:
        """A batch is about to leave; but not with documents that another run has sent, given by their positions: they are to be taken
        out of it first.

        Raises:
            JournalError: another process has taken the run over: its lock was taken away.
        """
        if connection.execute("SELECT token FROM runs WHERE id = ?", (self.id,)).fetchone() != (self.token,):
            raise JournalError(f"the run {self.key.run_id!r} was taken over by another process: is somebody removing {self.path}-lock?")
        self.enter(connection, id, batch)
        if (sent := self.sent_elsewhere.get(id)) is not None:
            return {position: outcome._replace(state="unknown") for position, outcome in sent.items()} if id in self.resends else sent
        connection.execute(
            "UPDATE batches SET state = 'sending', tries = ?, sent = ?, boot = ?, boot_id = ?, service = ? WHERE id = ?", (tries, *now, id)
        )
        # Not before: until this batch leaves, what is known of its records stands where it stood.
        self._supersede(connection, self.replaces.pop(id, ()))
        connection.executemany("INSERT OR IGNORE INTO overtaken VALUES (?, ?)", self.overtakes.pop(id, ()))
        if self.mark is not None:
            self.mark.intent(connection, now)
        return {}

    def enter_again(self, connection: sqlite3.Connection, *, old: int, new: int, records: list[tuple[int, int]]) -> Batch:
        """Enters records of a batch that are absent from the server as a new batch; it takes their place when it is sent.

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
        batch = Batch(0, array("q", [index for index, _ in records]), part.keys, part.pieces, part.size, part.fingerprints)
        self.resends.add(new)
        self.enter(connection, new, batch)
        self.replaces[new] = [(place, old, position) for place, (_, position) in enumerate(records)]
        return batch

    @staticmethod
    def _supersede(connection: sqlite3.Connection, replaced: Iterable[tuple[int, int, int]]) -> None:
        places = [(batch, position) for _, batch, position in replaced]
        connection.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", places)

    def remove_records(self, connection: sqlite3.Connection, id: int, rest: Sequence[int], part: tuple[int, Batch] | None) -> None:
        """A batch has lost those of its documents that another run has sent: what is left, the records at the positions `rest`, is a
        batch of its own."""
        kept = {position: number for number, position in enumerate(rest)}
        replaced = self.replaces.pop(id, [])
        if id not in self.resends:
            # What becomes of these is told of this attempt. Of those that were looked up it is known from an earlier one.
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
        """Of a batch that was entered on a stale journal, the records with a verdict are not sent: they were looked up, or can't be.

        Args:
            outcomes: by position. What the look-up found is kept; the others are asked for again by the next attempt.
            numbers: ids of the batches in its place: of what was found, of what is not known, and of what is sent.

        Returns:
            what is sent, or None.
        """
        found = [place for place, outcome in outcomes.items() if outcome.reason != "stale_journal"]
        uncertain = [place for place, outcome in outcomes.items() if outcome.reason == "stale_journal"]
        rest = [place for place in range(len(batch)) if place not in outcomes]
        replaced = self.replaces.pop(id, [])
        self._supersede(connection, [entry for entry in replaced if entry[0] in set(found)])
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
        # Other runs are told of what is there, and not of what never left.
        spans = codec.ENCODER.encode(spans_of_keys(batch.keys)).decode() if looked_up is not None else None
        connection.execute(
            "INSERT INTO batches (id, attempt, records, state, final, reason, message, exceptions, spans, sent, boot, boot_id, service)"
            " VALUES (?, ?, ?, 'settled', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (id, self.attempt, len(batch), *_plain(standard), _write(exceptions), spans, *(looked_up or (None,) * 4)),
        )
        self._enter_records(connection, id, batch.keys, batch.fingerprints, {}, batch.indexes)
        if keep_body:
            _write_body(connection, id, batch)

    @staticmethod
    def requeue(connection: sqlite3.Connection, id: int) -> None:
        """A batch was provably not taken, and waits for its next try."""
        connection.execute("UPDATE batches SET state = 'queued' WHERE id = ?", (id,))

    def accepted(self, connection: sqlite3.Connection, id: int, batch_uuid: str, now: Stamp, *, is_first: bool) -> bool:
        """A batch was taken, by the process that sent it; False where another batch has its batchUuid, which is marked as shared then."""
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

    def split(self, connection: sqlite3.Connection, id: int, parts: Sequence[tuple[int, Batch]]) -> None:
        """Two parts take the place of a batch that was not taken as a whole."""
        for number, part in parts:
            self.enter(connection, number, part)
        self._leave_out(connection, id)

    @staticmethod
    def _leave_out(connection: sqlite3.Connection, id: int) -> None:
        for table in ("records", "bodies", "superseded"):
            connection.execute(f"DELETE FROM {table} WHERE batch = ?", (id,))  # noqa: S608 - our own words
        # It stays among those that were entered: what would enter it may still wait in the other line.
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
        """What became of a batch is known, and whether its text is still needed."""
        # What is unknown now may have been on the wire until now.
        later = "UPDATE batches SET sent = ?, boot = ?, boot_id = ?, service = ? WHERE id = ? AND state = 'sending'"
        connection.execute(later, (*now, id))
        connection.execute(
            "UPDATE batches SET state = 'settled', final = ?, reason = ?, message = ?, exceptions = ?, status = ?,"
            " took = CASE WHEN attempt = ? THEN coalesce(? - accepted_boot, ? - accepted) END, tries = coalesce(?, tries) WHERE id = ?",
            (*_plain(outcome), _write(exceptions), status, self.attempt, now.boot, now.wall, tries, id),
        )
        if not keep_body and not self._may_keep(connection, id, outcome):
            connection.execute("DELETE FROM bodies WHERE batch = ?", (id,))
        self.entered.discard(id)

    def _may_keep(self, connection: sqlite3.Connection, id: int, outcome: Outcome) -> bool:
        """Whether there is room for the text of documents that succeeded: with it, the same document is known again when a source writes
        it otherwise."""
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
    ) -> None:
        """Records that were never sent; of those without key, the identity is kept where their `text` is given."""
        connection.execute(
            "INSERT INTO batches (id, attempt, records, state, final, reason, message) VALUES (?, ?, ?, 'settled', ?, ?, ?)",
            (id, self.attempt, len(keys), *_plain(outcome)),
        )
        texts = split_json_objects(text) if text is not None and None in keys else []
        names = (
            {str(place): content_name(texts[place], document=not self.key.safe) for place, key in enumerate(keys) if key is None}
            if texts
            else {}
        )
        self._enter_records(connection, id, keys, (), names, indexes)
        if body is not None:
            connection.execute("INSERT INTO bodies VALUES (?, ?)", (id, body))


def _write_body(connection: sqlite3.Connection, id: int, batch: Batch) -> None:
    """Writes the text of a batch piece by piece: as one value it would be copied three times, twice while the event loop stands still."""
    connection.execute("INSERT INTO bodies VALUES (?, zeroblob(?))", (id, batch.size))
    with connection.blobopen("bodies", "body", id) as blob:
        for number, piece in enumerate(batch.pieces):
            if number:
                blob.write(b",")
            blob.write(piece)


def _keys_text(keys: Sequence[str | None]) -> bytes:
    try:
        return codec.ENCODER.encode(keys)
    except UnicodeEncodeError:
        # Half a surrogate pair, in what is broken anyway.
        return codec.ENCODER.encode([key and key.encode("utf-8", "backslashreplace").decode() for key in keys])


def _write(exceptions: Mapping[int, Outcome]) -> str | None:
    if not exceptions:
        return None
    return codec.ENCODER.encode({str(position): list(_plain(outcome)) for position, outcome in exceptions.items()}).decode()


def _plain(outcome: Outcome) -> Outcome:
    """A verdict without halves of surrogate pairs, which may be in what is broken anyway."""
    reason, message = ((text or "").encode("utf-8", "backslashreplace").decode() for text in (outcome.reason, outcome.message))
    return Outcome(outcome.state, reason, message if outcome.message is not None else None)

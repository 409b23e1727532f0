"""The journal of a run as the sender uses it: each call is carried out in the journal's thread."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import anyio
from anyio import to_thread

from .... import clock, log
from ....clock import ServiceClock, Stamp
from ....config import BulkOptions
from ....database.worker import DatabaseWorker
from ....errors import ArmError, JournalError
from ....sqlite.file import path_of
from ....sqlite.snapshot import Snapshot
from ....sqlite.worker import SqliteWorker
from ...chunking import Batch, Invalid
from ...in_flight import InFlightBatch
from ...keys import CompactKeys, KeyRanges, without_case
from ...outcomes import STATE_RULES, SUCCESS, UNCERTAIN, BatchOutcome, Outcome, State, can_be_looked_up, success_states
from ...record_amounts import RecordAmounts
from ..dead_letter import DeadLetter
from ..deferred import DONE_BEFORE, DeferredOutcomes, DeferredRecords, common, outcome_of
from ..matching import ResumeDecisions
from ..protocol import AcceptedBatch, Attempt, LookUpFirst, StaleSince
from ..recorder import SendDecision
from ..run_key import RunKey
from .find_run import refuse_running
from .queries import read_open, read_outcomes
from .reconcile_store import SqliteReconcileStore, adopted
from .schema import JOURNAL, open_journal
from .store import OpenedRun, RunStore

__all__ = ["SqliteRunJournal"]

_MOST_BACKLOG: Final = 64
_MOST_WAITING: Final = 100_000


class SqliteRunJournal:
    """The journal of one run. See `RunJournal` and `Recorder` for the methods.

    Args:
        key: which run.
        options: of the run.
        service: the clock of the service.
        reads_source: False if there is no source: then the records whose outcome is open take its place.
        reads_all: False if the source has only some records of an earlier attempt.

    Attributes:
        defers: whether outcomes that can be looked up are deferred until the look-ups at the end of the run.
        keeps_payloads: whether the text of records that did not succeed is kept.
        look_up_first: on a stale journal, looks up the documents of a batch before they are sent, and returns by position the outcomes of
            those that must not be; None if the run stops.
        batches_ahead: how many batches more than may be in flight are prepared and recorded meanwhile.
    """

    def __init__(
        self, key: RunKey, options: BulkOptions, service: ServiceClock, *, reads_source: bool = True, reads_all: bool = True
    ) -> None:
        self.defers = bool(options.reconcile)
        self.keeps_payloads = options.dead_letter is not None
        self.batches_ahead = 4
        self.look_up_first: LookUpFirst | None = None
        self._path = self._place_of(options)
        # What a dry run reads and writes in place of the journal.
        self._snapshot: Snapshot | None = None
        self._options = options
        self._service = service
        self._key = key
        self._reads_source = reads_source
        self._reads_all = reads_all
        self._accepted_is_enough = options.results == "accepted"
        self._use_store(self._path)
        self._run: OpenedRun | None = None
        self._next_batch = 0
        self._spans = KeyRanges()
        self._indexed = False
        self._thread: DatabaseWorker | None = None
        self._open: dict[int, asyncio.Event] = {}
        self._is_stopping = False
        self._deferred = DeferredOutcomes()
        self._settled = asyncio.Event()
        self._adopted: set[int] = set()
        # Batches with customers of whom an earlier attempt sent something else.
        self._overtaking: set[int] = set()
        self._only_latest = False
        self._dead_letter: DeadLetter | None = None

    # What differs where the journal is not a file: see `journal.postgres.journal`.

    _kind: type[RunStore] = RunStore

    def _place_of(self, options: BulkOptions) -> str:
        return path_of(options.journal) if options.journal is not None else ""

    def _take_snapshot(self) -> Snapshot:
        return Snapshot(self._path, JOURNAL.word)

    def _make_thread(self) -> DatabaseWorker:
        path = self._snapshot.path if self._snapshot is not None else self._path
        look = partial(refuse_running, path=path, name=self._key)
        opening = partial(open_journal, path, look=look)
        return SqliteWorker(path, opening, self._store.release, JOURNAL.word, committed=self._store.committed)

    def _amounts_of(self, indexes: Sequence[int]) -> RecordAmounts | None:
        """Returns the money of records, where the journal keeps it."""
        return None

    def _use_store(self, path: str, original: str | None = None) -> None:
        self._store = self._kind(
            self._key,
            path,
            not self._key.safe or self.keeps_payloads,
            original=original,
            resend_known=self._options.resend_known,
            has_source=self._reads_source,
            reads_all=self._reads_all,
        )
        self._index_wanted = self._store.index_wanted

    # --- begin and end ----------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Opens the journal and the run.

        Raises:
            JournalError: the journal or the dead letter file can't be used, or the run is in progress elsewhere.
            ConfigurationError: the run was begun against another address.
        """
        if self._options.dead_letter is not None:
            self._dead_letter = DeadLetter(os.fsdecode(self._options.dead_letter), self._key, self._path)
        if self._options.dry_run and self._path:
            self._snapshot = await to_thread.run_sync(self._take_snapshot)
            self._use_store(self._snapshot.path, original=self._path)
        thread = self._make_thread()
        beginning = partial(
            self._store.begin,
            deadline=self._options.deadline,
            now=self._stamp(),
            process=os.getpid(),
        )
        try:
            await thread.start()
            run = await thread.call(beginning)
        except BaseException as exc:
            # A cancelled caller does not wait for it: it may cancel that wait, too.
            thread.finish()
            if isinstance(exc, ArmError):
                await thread.close()
            if self._snapshot is not None:
                self._snapshot.close()
                if isinstance(exc, JournalError):
                    raise self._snapshot.named(exc) from exc.__cause__
            raise
        if self._snapshot is not None and self._snapshot.is_running(run.id):
            log.warning("this run is in progress: the dry run shows what it had done when it was looked at", path=self._path)
        self._thread, self._run, self._next_batch = thread, run, run.next_batch
        # On a stale journal each record is checked individually.
        self._indexed = run.has_index or bool(run.stale_since)
        if run.stale_since:
            log.warning(
                f"the journal is stale, {run.stale_reason}: each document is looked up before it is sent, and documents that can't be "
                "looked up are not sent. If the file was moved on purpose, run `amili-arm adopt` with its path",
                path=self._path,
            )
        if not self._accepted_is_enough:
            self._open = {row: asyncio.Event() for row in run.open_batches}
        if run.is_resumed:
            log.info("the run is resumed", attempt=run.attempt, batches=len(self._open))

    async def end(self, *, complete: bool) -> dict[State, int]:
        """Writes the dead letter file and closes the journal.

        Args:
            complete: whether the source was read to its end and nothing stopped the run.

        Returns:
            By state, how many records of earlier attempts the source did not yield; empty if it was not read to its end.

        Raises:
            JournalError: something could not be written.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return {}
        left: dict[State, int] = {}
        try:
            await thread.call(self._store.tidy)
            if complete and self._store.ends_run:
                await thread.call(partial(self._store.end, now=clock.unix_time()))
            if complete:
                left = await thread.call(self._store.left_behind)
            if self._dead_letter is not None:
                await thread.call_alone(partial(self._write_dead_letter, self._dead_letter))
                await thread.call(self._store.note_written)
        except ArmError:
            # The lock on the run must be released also where the journal failed: the caller may run again at once.
            await thread.close()
            raise
        finally:
            thread.finish()
            if self._snapshot is not None:
                # What is open may be removed, and nothing in it counts any more.
                self._snapshot.close()
        await thread.close()
        return left

    def _write_dead_letter(self, dead_letter: DeadLetter, connection: sqlite3.Connection) -> None:
        """Writes the dead letter file; called in the thread."""
        success = success_states(accepted_is_enough=self._accepted_is_enough)
        find_newer = partial(self._store.newer_records, connection, success=success)
        dead_letter.write(find_newer, partial(self._store.unsuccessful, connection, success), success)

    @property
    def failure(self) -> ArmError | None:
        """What made the journal unusable, or None."""
        return self._thread.failure if self._thread is not None else None

    async def wait_for_backlog(self) -> None:
        """Waits while too much is still to be written, which is in memory until then."""
        if self._thread is not None and self._thread.backlog > _MOST_BACKLOG:
            await self._call(lambda _: None)

    @property
    def is_resumed(self) -> bool:
        """Whether the journal holds records of earlier attempts of the run."""
        return self._run is not None and self._run.is_resumed

    @property
    def is_stale(self) -> bool:
        """Whether documents may have been sent that the journal does not know of."""
        return bool(self.stale_since)

    @property
    def attempt(self) -> Attempt:
        """See `RunJournal`."""
        assert self._run is not None
        return Attempt(self._run.token, self._run.previous, self._run.next_batch)

    async def count_latest(self, batch: int) -> None:
        """Makes only the latest of each customer count. See `RunJournal`."""
        self._only_latest = True
        await self._call(partial(self._store.count_latest, batch=batch))

    def _stamp(self) -> Stamp:
        return clock.stamp(self._service.latest())

    def _put(self, do: Any, *, size: int = 0) -> None:
        if self._thread is not None:
            self._thread.put(do, size=size)

    def _put_urgent(self, do: Any) -> None:
        if self._thread is not None:
            self._thread.put_urgent(do)

    async def _call(self, do: Any) -> Any:
        assert self._thread is not None
        return await self._thread.call(do)

    def _next_row(self) -> int:
        self._next_batch += 1
        return self._next_batch - 1

    # --- cutting ----------------------------------------------------------------------------------------------------------

    @property
    def stale_since(self) -> Sequence[StaleSince]:
        """See `RunJournal`."""
        return self._run.stale_since if self._run is not None else ()

    async def decide(self, batch: Batch) -> SendDecision | None:
        """Decides which records of a batch are sent. See `Recorder`."""
        await self._wait_for_results()
        await self._make_index()
        row = self._next_row()
        if not self._needs_index(batch):
            self._put(partial(self._store.enter, id=row, batch=batch), size=batch.size)
            await self.wait_for_backlog()
            return SendDecision(batch, row, (), ())
        decisions: ResumeDecisions = await self._call(partial(self._store.decide, id=row, batch=batch))
        self._indexed = True
        if decisions.all_done:
            done = BatchOutcome(batch.number, None, 0, None, batch.indexes, batch.keys, DONE_BEFORE)
            return SendDecision(None, row, [done], ())
        looked_up: Mapping[int, Outcome] | None = {}
        if self.look_up_first is not None and decisions.part is not None:
            looked_up = await self.look_up_first(decisions.part, frozenset(decisions.elsewhere))
            # Not looked up, they must not stay in the batch: the other run may give them up before it is sent.
            looked_up = {**looked_up, **decisions.elsewhere} if looked_up is not None else None
        if looked_up is None:
            return None
        part, withheld, earlier = decisions.part, list[BatchOutcome](), dict[int, tuple[Outcome, str | None]]()
        if looked_up and part is not None:
            withheld = list(_withheld(part, looked_up))
        # What the journal records must be reported, too.
        with anyio.CancelScope(shield=bool(withheld)):
            if part is not None and withheld:
                row, part = await self._keep_back(row, part, looked_up)
            # As the last: a result that arrives later finds what waits for it.
            earlier = await self._outcomes(decisions)
        outcomes = [*self._conflicts(batch, decisions), *self._taken(batch, decisions, earlier), *withheld]
        after = [self._open[other] for other in decisions.after if other in self._open]
        if decisions.overtakes:
            self._overtaking.add(row)
        return SendDecision(part, row, outcomes, after)

    async def _keep_back(self, row: int, batch: Batch, outcomes: Mapping[int, Outcome]) -> tuple[int, Batch | None]:
        numbers = (self._next_row(), self._next_row(), self._next_row())
        withhold = partial(self._store.withhold, id=row, batch=batch, outcomes=outcomes, numbers=numbers)
        left = await self._call(partial(withhold, now=self._stamp(), keep_bodies=self.keeps_payloads))
        elsewhere = {place: outcome for place, outcome in outcomes.items() if outcome.reason == "sent_in_run"}
        texts = batch.texts() if elsewhere and self.keeps_payloads else None
        for place, outcome in elsewhere.items():
            self.not_sent([batch.indexes[place]], [batch.keys[place]], outcome, texts[place] if texts is not None else None)
        return numbers[2], left

    async def _make_index(self) -> None:
        """Builds an index of what other runs have sent, if it is worth its cost."""
        if self._index_wanted.is_set():
            assert self._thread is not None
            await self._thread.call_alone(self._store.make_index)

    async def _wait_for_results(self) -> None:
        """Waits while too many records, which are in memory, wait for batches that are still open."""
        while self._open and not self._is_stopping and self._deferred.waiting > _MOST_WAITING:
            self._settled.clear()
            await self._settled.wait()

    def _needs_index(self, batch: Batch) -> bool:
        if self._indexed:
            return True
        if self._key.safe:
            return False
        # In a source sorted by key, batches can't share a key: nothing has to be looked up.
        return not self._spans.add(without_case(batch.keys))

    async def _outcomes(self, decisions: ResumeDecisions) -> dict[int, tuple[Outcome, str | None]]:
        """Returns what the journal knows now of the records that are not sent, by place in the batch."""
        found: dict[int, tuple[Outcome, str | None]] = {}
        wanted, read_open = list(decisions.taken), set[int]()
        while wanted:
            read_open = (read_open - set(wanted)) | {place for place in wanted if decisions.taken[place].batch in self._open}
            places = [(decisions.taken[place].batch, decisions.taken[place].position) for place in wanted]
            found.update(zip(wanted, await self._call(partial(read_outcomes, places=places)), strict=True))
            # A result may have arrived after the record was read: then read it again.
            wanted = [place for place in read_open if decisions.taken[place].batch not in self._open]
        return found

    def _taken(self, batch: Batch, decisions: ResumeDecisions, found: Mapping[int, tuple[Outcome, str | None]]) -> Iterator[BatchOutcome]:
        """Yields the outcomes of the records that an earlier attempt sent; those that are still open follow later."""
        settled: dict[str | None, list[int]] = {}
        for place in self._defer(batch.indexes, batch.keys, decisions, found, may_be_sent=True):
            outcome, uuid = found[place]
            settled.setdefault(None if outcome.state == "succeeded" else uuid, []).append(place)
        for uuid, places in settled.items():
            outcomes = [DONE_BEFORE if found[place][0].state == "succeeded" else found[place][0] for place in places]
            yield outcome_of(
                batch.number, [batch.indexes[place] for place in places], [batch.keys[place] for place in places], outcomes, uuid
            )

    def _defer(
        self,
        indexes: Sequence[int],
        keys: Sequence[str | None],
        decisions: ResumeDecisions,
        found: Mapping[int, tuple[Outcome, str | None]],
        *,
        may_be_sent: bool,
    ) -> list[int]:
        """Defers the outcomes of records that an earlier attempt sent where more may be known later. Returns the places of the others."""
        following: dict[int, list[int]] = {}
        rest: list[int] = []
        for place, entry in decisions.taken.items():
            if entry.batch in self._open or (self.defers and can_be_looked_up(found[place][0])):
                following.setdefault(entry.batch, []).append(place)
            else:
                rest.append(place)
        for number, places in following.items():
            compact = CompactKeys([keys[place] for place in places])
            positions, outcomes = [decisions.taken[place].position for place in places], [found[place][0] for place in places]
            waiting = [indexes[place] for place in places]
            self._deferred.add(number, DeferredRecords(positions, waiting, compact, outcomes, before=True, may_be_sent=may_be_sent))
        return rest

    def _conflicts(self, batch: Batch, decisions: ResumeDecisions) -> Iterator[BatchOutcome]:
        texts = batch.texts() if decisions.conflicts and self.keeps_payloads else None
        for place, outcome in decisions.conflicts.items():
            indexes, keys = [batch.indexes[place]], [batch.keys[place]]
            self.not_sent(indexes, keys, outcome, texts[place] if texts is not None else None)
            yield outcome_of(batch.number, indexes, keys, [outcome], None)

    # --- sending ----------------------------------------------------------------------------------------------------------

    async def before_send(self, in_flight: InFlightBatch) -> Mapping[int, Outcome]:
        """Records that a batch is about to be sent. That is durable when it returns for documents, for customers of whom an earlier
        attempt sent something else, and where only the latest counts, so that what was sent before never counts again; and where another
        process may have taken over the run. See `Recorder`.

        Args:
            in_flight: the batch.

        Returns:
            By position, the outcomes of documents that must not be sent, because another run has sent them. Then nothing is recorded until
                they are removed.

        Raises:
            ArmError: it can't be recorded: the batch must not be sent.
        """
        assert self._thread is not None
        do = partial(self._store.before_send, id=in_flight.row, batch=in_flight.batch, tries=in_flight.attempts + 1, now=self._stamp())
        do = partial(do, was_ambiguous=in_flight.was_ambiguous)
        if not self._key.safe or self._only_latest or in_flight.row in self._overtaking or self._thread.may_be_lost:
            self._overtaking.discard(in_flight.row)
            return await self._thread.call_urgent(do)
        if self.failure is not None:
            raise self.failure
        self._put(do)
        return {}

    def remove_records(self, in_flight: InFlightBatch, rest: Sequence[int], part: Batch | None, outcome: BatchOutcome) -> None:
        """Records that a batch lost documents that another run has sent. See `Recorder`."""
        row = self._next_row()
        self._put_urgent(partial(self._store.remove_records, id=in_flight.row, rest=rest, part=(row, part) if part is not None else None))
        in_flight.row = row
        if outcome.common.state == "invalid":
            kept = frozenset(rest)
            texts = in_flight.batch.texts() if self.keeps_payloads else None
            same: dict[Outcome, list[tuple[int, int]]] = {}
            for number, place in enumerate(place for place in range(len(in_flight.batch)) if place not in kept):
                same.setdefault(outcome.exceptions.get(number, outcome.common), []).append((number, place))
            for one, some in same.items():
                body = b",".join([texts[place] for _, place in some]) if texts is not None else None
                self.not_sent([outcome.indexes[number] for number, _ in some], [outcome.keys[number] for number, _ in some], one, body)

    def requeue(self, in_flight: InFlightBatch) -> None:
        """Records that the server provably did not accept a try. See `Recorder`."""
        if in_flight.delivery.was_ambiguous:
            return
        # As urgent as the intent of the next try, which must not come before it.
        put = self._put if self._key.safe and not self._only_latest else self._put_urgent
        put(partial(self._store.requeue, id=in_flight.row))

    def split(self, in_flight: InFlightBatch, parts: Sequence[InFlightBatch]) -> None:
        """Replaces a batch by its parts. See `Recorder`."""
        for part in parts:
            part.row = self._next_row()
        put = self._put if self._key.safe else self._put_urgent
        do = partial(self._store.split, id=in_flight.row, parts=[(part.row, part.batch) for part in parts])
        put(partial(do, may_be_sent=in_flight.delivery.was_ambiguous))

    async def accepted(self, in_flight: InFlightBatch, batch_uuid: str, *, is_first: bool) -> bool:
        """Records that the server accepted a batch. For documents, that is durable when it returns. See `Recorder`.

        Args:
            in_flight: the batch.
            batch_uuid: its batchUuid.
            is_first: False if this client got the same batchUuid before.

        Returns:
            Whether the batchUuid is unique, as far as this client and the journal know. If not, only that is recorded.

        Raises:
            JournalError: it can't be recorded. The batch was accepted all the same.
        """
        assert self._thread is not None
        call = self._thread.call if self._key.safe else self._thread.call_urgent
        first: bool = await call(
            partial(self._store.accepted, id=in_flight.row, batch_uuid=batch_uuid, now=self._stamp(), is_first=is_first)
        )
        return first

    def settled(self, in_flight: InFlightBatch, outcome: Outcome, exceptions: Mapping[int, Outcome]) -> None:
        """Records the outcome of a batch. See `Recorder`."""
        self._settle(in_flight.row, outcome, exceptions, in_flight.status, tries=in_flight.attempts)

    def _settle(
        self,
        row: int,
        outcome: Outcome,
        exceptions: Mapping[int, Outcome],
        status: int | None = None,
        *,
        tries: int | None = None,
    ) -> None:
        states = {outcome.state, *(other.state for other in exceptions.values())}
        keep = (not self._key.safe and bool(states & UNCERTAIN)) or (self.keeps_payloads and not states <= SUCCESS)
        self._put(
            partial(
                self._store.settle,
                id=row,
                outcome=outcome,
                exceptions=dict(exceptions),
                tries=tries,
                status=status,
                now=self._stamp(),
                keep_body=keep,
            )
        )

    def not_sent(self, indexes: Sequence[int], keys: Sequence[str | None], outcome: Outcome, body: bytes | None) -> None:
        """Records the outcome of records that were never sent. See `Recorder`."""
        kept = body if self.keeps_payloads else None
        text = body if self.is_resumed and (STATE_RULES[outcome.state].is_open or outcome.state == "blocked") else None
        entering = partial(self._store.enter_unsent, id=self._next_row(), indexes=indexes, keys=keys, outcome=outcome)
        self._put(partial(entering, body=kept, text=text, amounts=self._amounts_of(indexes)))

    async def earlier_outcomes(
        self, indexes: Sequence[int], keys: Sequence[str | None], texts: Sequence[bytes], prints: Sequence[int]
    ) -> Mapping[int, Outcome | None]:
        """Finds what earlier attempts did with records that this attempt will not send. See `Recorder`."""
        if not self.is_resumed or self._thread is None:
            return {}
        await self._wait_for_results()
        decisions: ResumeDecisions = await self._call(
            partial(self._store.decide_unsent, indexes=indexes, keys=keys, texts=texts, prints=prints)
        )
        found = await self._outcomes(decisions)
        # From here on without an await: a result that arrives later finds what waits for it.
        outcomes: dict[int, Outcome | None] = {**decisions.conflicts, **dict.fromkeys(decisions.taken)}
        for place in self._defer(indexes, keys, decisions, found, may_be_sent=False):
            outcomes[place] = DONE_BEFORE if found[place][0].state == "succeeded" else found[place][0]
        return outcomes

    def invalid(self, refused: Invalid) -> None:
        """Records the outcome of a record that can't be sent. See `Recorder`."""
        outcome = refused.outcome
        self.not_sent(outcome.indexes, outcome.keys, outcome.common, refused.payload)

    # --- what is still open -----------------------------------------------------------------------------------------------

    @property
    def open_batches(self) -> list[int]:
        """The ids of batches of earlier attempts whose results are still to come."""
        return list(self._open)

    async def read_open_batch(self, row: int) -> AcceptedBatch:
        """Reads one of these batches.

        Args:
            row: the id of the batch.

        Returns:
            The batch.

        Raises:
            JournalError: the journal can't be used any more.
        """
        found: AcceptedBatch = await self._call(partial(read_open, batch=row))
        return found

    async def adopt_batch(self, row: int, first: int) -> int:
        """Makes the records of a batch whose outcome is open take the place of a source. Does nothing if there is a source.

        Args:
            row: the id of the batch.
            first: the place in the source of the first record.

        Returns:
            The number of these records.

        Raises:
            JournalError: the journal can't be used any more.
        """
        if self._reads_source or row in self._adopted:
            return 0
        self._adopted.add(row)
        deferred: DeferredRecords = await self._call(partial(adopted, batch=row, first=first))
        if deferred.positions:
            self._deferred.add(row, deferred)
        return len(deferred.positions)

    def settle_open_batch(self, opened: AcceptedBatch, outcome: Outcome, exceptions: Mapping[int, Outcome]) -> Iterator[BatchOutcome]:
        """Records the outcome of a batch of an earlier attempt.

        Args:
            opened: the batch.
            outcome: the outcome of all its records but the exceptions.
            exceptions: by position, the outcomes that differ.

        Yields:
            The outcomes of the records of the source that waited for it.
        """
        if opened.outcome is not None:
            outcome, exceptions = _narrowed(opened, opened.outcome, outcome, exceptions)
        self._settle(opened.id, outcome, exceptions)
        if (settled := self._open.pop(opened.id, None)) is not None:
            settled.set()
        self._settled.set()
        held: frozenset[int] = frozenset()
        if self.defers and any(map(can_be_looked_up, (outcome, *exceptions.values()))):
            held = frozenset(place for place in range(len(opened.keys)) if can_be_looked_up(exceptions.get(place, outcome)))
        yield from self._deferred.settle(opened.id, outcome, exceptions, held)

    def defer(self, in_flight: InFlightBatch, outcome: BatchOutcome) -> bool:
        """Defers an outcome until the look-ups at the end of the run, if they may improve it. See `Recorder`."""
        if not self.defers or not any(map(can_be_looked_up, (outcome.common, *outcome.exceptions.values()))):
            return False
        outcomes = [outcome.exceptions.get(position, outcome.common) for position in range(len(outcome))]
        sent = (outcome.number, outcome.attempts, outcome.batch_uuid)
        self._deferred.add(
            in_flight.row, DeferredRecords(range(len(outcome)), outcome.indexes, CompactKeys(outcome.keys), outcomes, False, *sent)
        )
        return True

    def stop_waiting(self) -> None:
        """Stops waiting for open batches, because the run stops."""
        # Their results may still come: until then the records that wait for them stay deferred.
        self._is_stopping = True
        for settled in self._open.values():
            settled.set()
        self._settled.set()

    def release_deferred(self) -> Iterator[BatchOutcome]:
        """Returns the outcomes that are still deferred, as far as they are known. From now on none is deferred."""
        self.defers = False
        self._open.clear()
        return self._deferred.release()

    @property
    def reconcile_store(self) -> SqliteReconcileStore:
        """The part of the journal that a reconcile reads and writes."""
        assert self._thread is not None
        assert self._run is not None
        return SqliteReconcileStore(self._store, self._run.id, self._thread, self._deferred, self._next_row, self._settle)


def _withheld(batch: Batch, outcomes: Mapping[int, Outcome]) -> Iterator[BatchOutcome]:
    """Yields the outcomes of records that were looked up and must not be sent."""
    reported = [DONE_BEFORE if outcome.state == "succeeded" else outcome for outcome in outcomes.values()]
    yield outcome_of(batch.number, [batch.indexes[place] for place in outcomes], [batch.keys[place] for place in outcomes], reported, None)


def _narrowed(
    opened: AcceptedBatch, before: Outcome, outcome: Outcome, exceptions: Mapping[int, Outcome]
) -> tuple[Outcome, dict[int, Outcome]]:
    """Merges a new outcome into a batch that has one already: only records that were `accepted` get the new one."""
    found: dict[int, Outcome] = {}
    for position in range(len(opened.keys)):
        known = opened.exceptions.get(position, before)
        found[position] = exceptions.get(position, outcome) if known.state == "accepted" else known
    return common(found)

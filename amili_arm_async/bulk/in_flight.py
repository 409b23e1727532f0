"""The batches in flight, with the evidence of what became of them, and the final state that each record gets exactly once."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .. import codec, log
from ..attempts import DeliveryEvidence
from ..config import BulkOptions
from ..errors import ArmError, counted
from ..models.batches import BatchReceipt, BatchResult
from ..telemetry.base import NO_BATCH, BatchSpan, RunInstrumentation
from .blocks import RecordBlock
from .chunking import Batch, Invalid, RecordType
from .control import RunControl
from .fingerprints import fingerprints_of_sorted
from .journal.matching import OTHER_CONTENT
from .journal.recorder import Recorder
from .keys import CompactKeys, KeySerializer, KeyTicket
from .outcomes import FAILURES, REPEATED, BatchOutcome, Outcome
from .plain_records import encode_record
from .polling import Poller
from .report import BulkReport, Progress, SettleWait

__all__ = ["STOPPED", "BatchTracker", "InFlightBatch", "OutcomeQueue"]

STOPPED = Outcome("not_sent", "stopped", "the run was ended before its turn")
_NOT_COMPARED = Outcome("unknown", "journal", "it was not compared with the journal, so it is not known whether an earlier attempt sent it")
_STALE = Outcome("unknown", "stale_journal", "the journal is out of date, or a copy; the run ended before the document was looked up")


@dataclass(eq=False, slots=True)
class InFlightBatch:
    """A batch, or a part of one, that has no final state yet, and the evidence of what became of it.

    Attributes:
        batch: the records; once it is accepted only their keys.
        key_ticket: its right to be in flight with these keys; the parts of a split batch share it.
        delivery: the evidence of whether the server may have accepted it.
        attempts: how often it was sent.
        receipt: the 202, or None.
        failures: the number of attempts that failed and were repeated.
        trouble_since: when the first of them failed, by the monotonic clock.
        done: set when it has its final state, and when the run stops.
        parts: its halves, where it was split; then they have the final states.
        row: its row in the journal.
        status: the status of an ambiguous answer, or None.
        was_ambiguous: whether an attempt was ambiguous, also where a later one was not.
        repeated: how often it was given a batchUuid that another batch has.
        began: when it was last sent, by the monotonic clock.
        span: its span.
        before: what is known of its records while none of it left, where an earlier batch with them may have been accepted; else None.
    """

    batch: Batch
    key_ticket: KeyTicket
    delivery: DeliveryEvidence = field(default_factory=DeliveryEvidence)
    attempts: int = 0
    receipt: BatchReceipt | None = None
    failures: int = 0
    trouble_since: float | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    parts: tuple[InFlightBatch, ...] = ()
    row: int = 0
    status: int | None = None
    was_ambiguous: bool = False
    repeated: int = 0
    began: float = 0.0
    span: BatchSpan = NO_BATCH
    before: Outcome | None = None

    async def wait_done(self, stopping: asyncio.Event) -> None:
        """Waits until all its records have their final state, or the run stops.

        Args:
            stopping: is set when the run stops.
        """
        for part in self.parts:
            await part.wait_done(stopping)
        if not self.parts and not stopping.is_set():
            await self.done.wait()

    def keep_only_keys(self) -> Callable[[], list[str | None]]:
        """Drops the bodies, and keeps the keys in one piece of memory.

        Returns:
            A function that returns the keys.
        """
        keys = CompactKeys(self.batch.keys)
        self.batch = Batch(self.batch.number, self.batch.indexes, keys, (), 0)
        return keys.all


_ENOUGH: Final = 100
"""Settled records from which on a share of failures means something."""

WAITING: Final = 16
"""Outcomes that wait to be taken; while there are as many, no further batch begins."""


class OutcomeQueue:
    """The outcomes that wait for the program to take them; it drops them if the run is not iterated over."""

    def __init__(self) -> None:
        self._outcomes: deque[BatchOutcome] = deque()
        self._changed = asyncio.Event()
        self._is_open = False

    def open(self) -> None:
        """Keeps outcomes from now on."""
        self._is_open = True

    def close(self) -> None:
        """Drops all outcomes, now and from now on."""
        self._is_open = False
        self._outcomes.clear()
        self._changed.set()

    def put(self, outcome: BatchOutcome) -> None:
        """Takes in an outcome.

        Args:
            outcome: what became of some records.
        """
        if self._is_open:
            self._outcomes.append(outcome)
            self._changed.set()

    def take(self) -> BatchOutcome | None:
        """Takes the oldest outcome.

        Returns:
            The outcome, or None where none waits.
        """
        if not self._outcomes:
            return None
        self._changed.set()
        return self._outcomes.popleft()

    def wake(self) -> None:
        """Wakes those who wait for a change."""
        self._changed.set()

    async def wait(self) -> None:
        """Waits until an outcome comes or goes, or `wake` is called."""
        self._changed.clear()
        await self._changed.wait()

    async def wait_for_room(self) -> None:
        """Waits until there is room for more outcomes: what is in flight is never kept from ending."""
        while self._is_open and len(self._outcomes) >= WAITING:
            await self.wait()


class BatchTracker:
    """The settling part of a run: the batches in flight, and the final state that each record gets exactly once.

    Every record that was read is in the chunker, in flight, or in the report.

    Args:
        report: takes in what becomes of each record.
        outcomes: takes in each outcome, for the program.
        options: the options of the run.
        recorder: keeps what becomes of each record, and may keep an outcome back until more is known.
        control: is stopped where the run goes wrong as a whole.
        poller: knows the open batches.
        instrumentation: is told of each batch.

    Attributes:
        adopted: records that came from the journal and not from the source, where there is none.
    """

    def __init__(
        self,
        report: BulkReport,
        outcomes: OutcomeQueue,
        options: BulkOptions,
        recorder: Recorder,
        control: RunControl,
        poller: Poller,
        instrumentation: RunInstrumentation,
    ) -> None:
        self.report = report
        self.adopted = 0
        self._outcomes = outcomes
        self._on_progress: Callable[[Progress], object] | None = options.on_progress
        self._stop_after_failures = options.stop_after_failures
        self._recorder = recorder
        self._control = control
        self._poller = poller
        self._instrumentation = instrumentation
        self._keys = KeySerializer()
        self._in_flight: dict[InFlightBatch, None] = {}
        self._journal_failed = False
        self._failures_elsewhere = 0, 0

    def enter(self, batch: Batch, row: int) -> tuple[InFlightBatch, list[KeyTicket]]:
        """Takes in a batch; to be called in the order of the source.

        Args:
            batch: the batch.
            row: its row in the journal.

        Returns:
            The batch in flight, and the tickets of the earlier batches with the same keys, for which it has to wait.
        """
        key_ticket, before = self._keys.enter(batch.keys)
        return self._add(batch, key_ticket, row), before

    def split(self, in_flight: InFlightBatch) -> tuple[InFlightBatch, InFlightBatch]:
        """Replaces a batch by its two halves.

        Args:
            in_flight: the batch.

        Returns:
            Both halves, in order.
        """
        first, second = (self._add(part, in_flight.key_ticket, 0) for part in in_flight.batch.halves())
        for part in (first, second):
            part.delivery.was_ambiguous = in_flight.delivery.was_ambiguous
            part.was_ambiguous = in_flight.was_ambiguous
        self._recorder.split(in_flight, (first, second))
        del self._in_flight[in_flight]
        in_flight.span.split()
        in_flight.parts = (first, second)
        return first, second

    def remove(self, in_flight: InFlightBatch, outcomes: Mapping[int, Outcome]) -> None:
        """Settles records of a batch before it is sent; the batch may be empty then.

        Args:
            in_flight: the batch.
            outcomes: the outcomes of the records, by position.
        """
        batch = in_flight.batch
        removed = sorted(outcomes)
        rest = [position for position in range(len(batch)) if position not in outcomes]
        (common, _), *_ = Counter(outcomes.values()).most_common(1)
        exceptions = {number: outcomes[position] for number, position in enumerate(removed) if outcomes[position] != common}
        indexes, keys = [batch.indexes[position] for position in removed], [batch.keys[position] for position in removed]
        outcome = BatchOutcome(batch.number, None, 0, None, indexes, keys, common, exceptions)
        self._recorder.remove_records(in_flight, rest, batch.only(rest) if rest else None, outcome)
        self._keys.settle(in_flight.key_ticket, len(removed))
        if rest:
            in_flight.batch = batch.only(rest)
        else:
            in_flight.batch = Batch(batch.number, (), (), (), 0)
            del self._in_flight[in_flight]
            in_flight.done.set()
            in_flight.span.end(common, exceptions, len(removed))
        self.publish(outcome)

    def _add(self, batch: Batch, key_ticket: KeyTicket, row: int) -> InFlightBatch:
        in_flight = InFlightBatch(batch, key_ticket, row=row, span=self._instrumentation.batch(batch.number, len(batch)))
        self._in_flight[in_flight] = None
        return in_flight

    def settle(
        self,
        in_flight: InFlightBatch,
        common: Outcome,
        exceptions: dict[int, Outcome] | None = None,
        result: BatchResult | None = None,
    ) -> None:
        """Gives a batch its final state. Without an await: whatever is cancelled, a record is in one place.

        Args:
            in_flight: the batch.
            common: the outcome of all records but the exceptions.
            exceptions: the outcomes that differ, by position.
            result: the last result of the batch, or None.
        """
        del self._in_flight[in_flight]
        self._keys.settle(in_flight.key_ticket, len(in_flight.batch))
        in_flight.done.set()
        uuid = in_flight.receipt.batch_uuid if in_flight.receipt is not None else None
        batch = in_flight.batch
        keys = list(batch.keys)
        outcome = BatchOutcome(
            batch.number, uuid, in_flight.attempts, result, batch.indexes, keys, common, exceptions or {}, in_flight.was_ambiguous
        )
        in_flight.span.end(common, outcome.exceptions, len(batch), in_flight.attempts)
        self._recorder.settled(in_flight, common, outcome.exceptions)
        if self._recorder.defer(in_flight, outcome):
            self._instrumentation.deferred(outcome)
        else:
            self.publish(outcome)

    def publish(self, outcome: BatchOutcome) -> None:
        """Publishes the final state of records: to the report, the observers and the program.

        Args:
            outcome: what became of the records.
        """
        self.report.add(outcome)
        self._instrumentation.settled(len(outcome))
        self.report_progress(None)
        self._outcomes.put(outcome)
        self._check_failures()

    async def with_earlier(
        self, records: Sequence[Any], first: int, outcomes: Mapping[int, Outcome], record_type: RecordType
    ) -> dict[int, Outcome | None]:
        """Replaces the outcomes of blocked records that an earlier attempt sent by what became of them there.

        Args:
            records: the records.
            first: the index of the first of them in the source.
            outcomes: the outcomes, by position in `records`.
            record_type: the type of the records.

        Returns:
            The outcomes, by position; None where it follows later.
        """
        only, positions = _only(outcomes), list[int]()
        if outcomes and (only is None or only.state == "blocked"):
            positions = [position for position, outcome in outcomes.items() if outcome.state == "blocked"]
        if not positions:
            return dict(outcomes)
        if isinstance(records, RecordBlock) and (self._recorder.is_resumed or self._recorder.keeps_payloads):
            # What is sent, or was, is what the rules make of a record: it may be written otherwise.
            records.apply_rules(sorted(positions))
        chosen = [records[position] for position in positions]
        keys = keys_at(record_type, records, positions)
        texts, prints = list[bytes](), list[int]()
        if self._recorder.is_resumed:
            texts = [_payload(record_type, record) for record in chosen]
            prints = [_fingerprint(record_type, record, text) for record, text in zip(chosen, texts, strict=True)]
        standing = await self._recorder.earlier_outcomes([first + position for position in positions], keys, texts, prints)
        blocked = dict.fromkeys(positions, _STALE) if self._recorder.is_stale else {}
        return {**outcomes, **blocked, **{positions[number]: outcome for number, outcome in standing.items()}}

    def settle_unsent(self, records: Sequence[Any], first: int, decided: Mapping[int, Outcome | None], record_type: RecordType) -> None:
        """Settles records that are not sent.

        Args:
            records: the records.
            first: the index of the first of them in the source.
            decided: the outcomes of those that are not sent, by position in `records`; None where it follows later.
            record_type: the type of the records.
        """
        outcomes = {position: outcome for position, outcome in decided.items() if outcome is not None}
        if outcomes:
            indexes: Sequence[int] = range(first, first + len(records))
            if list(outcomes) != list(range(len(records))):
                indexes = array("q", [first + position for position in outcomes])
            keys = keys_at(record_type, records, list(outcomes))
            only = _only(outcomes)
            if only is not None and not _is_new(only):
                self.publish(BatchOutcome(0, None, 0, None, indexes, keys, only))
                return
            for (position, outcome), key in zip(outcomes.items(), keys, strict=True):
                if _is_new(outcome):
                    # Without a number, its text tells which document it is.
                    is_wanted = self._recorder.keeps_payloads or (key is None and self._recorder.is_resumed)
                    payload = _payload(record_type, records[position]) if is_wanted else None
                    self._recorder.not_sent([first + position], [key], outcome, payload)
            common, _ = Counter(outcomes.values()).most_common(1)[0]
            exceptions = {number: outcome for number, outcome in enumerate(outcomes.values()) if outcome != common}
            self.publish(BatchOutcome(0, None, 0, None, indexes, keys, common, exceptions))

    def refuse(self, refused: Iterable[Invalid]) -> None:
        """Settles records that can't be sent.

        Args:
            refused: the records.
        """
        for invalid in refused:
            self._recorder.invalid(invalid)
            self.report.add(invalid.outcome)
            self._outcomes.put(invalid.outcome)
            self._check_failures()

    def report_progress(self, trouble: str | None, settling: SettleWait | None = None) -> None:
        """Calls `BulkOptions.on_progress`.

        Args:
            trouble: what the run waits for when the server accepts nothing, or None.
            settling: what a reconcile waits for, or None.
        """
        if self._on_progress is None:
            return
        try:
            self._on_progress(self.report.progress(self._poller.open, trouble, settling))
        except Exception as exc:
            # A broken progress bar must not end the run.
            self._on_progress = None
            log.warning("on_progress raised and is not called again", error=type(exc).__name__)

    @property
    def failures(self) -> tuple[int, int]:
        """The number of records that failed, and of all that have a final state, without those of other parts of a shared run."""
        counts = self.report.counts
        return sum(counts[state] for state in FAILURES), sum(counts.values()) - counts["other_part"]

    def add_failures_elsewhere(self, failures: int, settled: int) -> None:
        """Takes note of what other processes count in other parts of the same run, in all.

        Args:
            failures: records that failed.
            settled: records that have a final state.
        """
        self._failures_elsewhere = failures, settled
        self._check_failures()

    def _check_failures(self) -> None:
        """Ends a run that goes wrong as a whole."""
        limit = self._stop_after_failures
        if limit is None:
            return
        failures, settled = (own + others for own, others in zip(self.failures, self._failures_elsewhere, strict=True))
        if failures < limit if isinstance(limit, int) else settled < _ENOUGH or failures < limit * settled:
            return
        of_run = " of all parts of the run" if self._failures_elsewhere[1] else ""
        error = ArmError(
            f"{failures:,} of {counted(settled, 'settled record')}{of_run} did not succeed, and stop_after_failures is {limit}"
        )
        self._control.stop(Outcome("not_sent", "too_many_failures", str(error)), error)

    def release_waiters(self) -> None:
        """Releases those who wait for an earlier batch: the run stops, and nothing is sent after it."""
        self._keys.abandon()
        for in_flight in self._in_flight:
            in_flight.done.set()

    # --- the end ----------------------------------------------------------------------------------------------------------

    def read(self, records: int) -> None:
        """Takes note of the number of records that were read.

        Args:
            records: the number of records that were read from the source.
        """
        self.report.tally.records_read = self.adopted + records

    def close(self, reason: Outcome) -> None:
        """Gives all records in flight their final state, from what is known of them. Never waits.

        Args:
            reason: the outcome of what was not sent.
        """
        # An error of the caller's function must not keep a record from its state.
        self._on_progress = None
        for in_flight in list(self._in_flight):
            if in_flight.receipt is not None:
                self.settle(in_flight, Outcome("accepted", "not_awaited", "the run ended before the result came"))
            else:
                self.settle(in_flight, self.stopped(in_flight, reason))
        for outcome in self._recorder.release_deferred():
            self.publish(outcome)

    def name_invalid(self, refused: Iterable[Invalid], reason: Outcome | None) -> None:
        """Settles records that can't be sent, at the end of a run, where the program gets no outcomes any more.

        Args:
            refused: the records.
            reason: the outcome of those that would not have been sent anyway, unless their source could not read them; None: they stay
                invalid. So do those of a resumed run: an earlier attempt may have sent something with the same number.
        """
        for invalid in refused:
            outcome = invalid.outcome
            if reason is None or invalid.is_unreadable or self._recorder.is_resumed:
                self._recorder.invalid(invalid)
            else:
                outcome = replace(outcome, common=reason)
                self._recorder.not_sent(outcome.indexes, outcome.keys, reason, invalid.payload)
            self.report.add(outcome)

    async def name(self, batch: Batch, reason: Outcome) -> None:
        """Names a batch that had no turn: as what an earlier attempt did with it, or as not sent.

        Args:
            batch: the batch.
            reason: the outcome of what was not sent.
        """
        standing: Mapping[int, Outcome | None] = {}
        is_compared = not self._journal_failed
        if is_compared:
            try:
                await self._recorder.wait_for_backlog()
                standing = await self._recorder.earlier_outcomes(batch.indexes, batch.keys, batch.texts(), batch.fingerprints)
            except ArmError:
                self._journal_failed, is_compared = True, False
        for position, outcome in standing.items():
            if outcome is None:
                continue
            if outcome.state == "invalid":
                # It must not be sent because of another record, which has a row of its own.
                self._not_sent(batch.only([position]), outcome)
            else:
                self.report.add(BatchOutcome(0, None, 0, None, [batch.indexes[position]], [batch.keys[position]], outcome))
        rest = [position for position in range(len(batch)) if position not in standing]
        if rest:
            self.not_sent(batch.only(rest), reason, is_compared=is_compared)

    def not_sent(self, batch: Batch, reason: Outcome, *, is_compared: bool) -> None:
        """Settles a batch that this attempt does not send. Where an earlier attempt may have sent it all the same, it is `unknown`.

        Args:
            batch: the batch.
            reason: the outcome of its records where nothing was sent.
            is_compared: whether the journal, if there is one, knows nothing of these records.
        """
        if self._recorder.is_stale:
            reason = _STALE
        elif self._recorder.is_resumed and not is_compared:
            reason = _NOT_COMPARED
        self._not_sent(batch, reason)

    def _not_sent(self, batch: Batch, outcome: Outcome) -> None:
        self._recorder.not_sent(batch.indexes, batch.keys, outcome, b",".join(batch.pieces))
        self.report.add(BatchOutcome(0, None, 0, None, batch.indexes, batch.keys, outcome))

    @staticmethod
    def stopped(in_flight: InFlightBatch, reason: Outcome) -> Outcome:
        """Returns the outcome of a batch that is no longer sent.

        Args:
            in_flight: the batch.
            reason: the outcome where it was proved that the server did not accept it.

        Returns:
            The reason, or an unknown outcome where an attempt may have been accepted.
        """
        if in_flight.delivery.started:
            return Outcome("unknown", "cut_off", "the run was cut off while it was being sent")
        if in_flight.delivery.was_ambiguous:
            why = str(in_flight.status) if in_flight.status is not None else "not_repeated"
            return Outcome("unknown", why, "an earlier attempt may have been accepted, and it was not repeated")
        return in_flight.before if in_flight.before is not None and not in_flight.attempts else reason


def _is_new(outcome: Outcome) -> bool:
    """Whether a record that an observer took out gets a row in the journal: others have one of an earlier attempt, or need none."""
    return outcome.state == "blocked" or outcome in (_STALE, REPEATED, OTHER_CONTENT)


def _only(outcomes: Mapping[int, Outcome]) -> Outcome | None:
    """Returns the outcome of all records where it is one and the same object; else None."""
    return next(iter(outcomes.values())) if len(set(map(id, outcomes.values()))) == 1 else None


def keys_at(record_type: RecordType, records: Sequence[Any], positions: Sequence[int]) -> list[str | None]:
    """Returns the keys of the records at some positions; None also where a record is unusable. Never raises.

    Args:
        record_type: the type of the records.
        records: as their source gave them.
        positions: of the records, in ascending order.
    """
    if isinstance(records, RecordBlock) and records.keys is not None:
        return [records.keys[position] for position in positions] if len(positions) < len(records) else list(records.keys)
    return _keys_of(record_type, [records[position] for position in positions])


def _keys_of(record_type: RecordType, records: list[Any]) -> list[str | None]:
    kinds = set(map(type, records))
    if len(kinds) == 1 and kinds <= {bytes, dict, record_type.cls}:
        with contextlib.suppress(Exception):
            if (keys := record_type.keys_of(records, kinds.pop())) is not None:
                return keys
    return [_key_of(record_type, record) for record in records]


def _key_of(record_type: RecordType, record: Any) -> str | None:
    try:
        return record_type.key_of(record)
    except Exception:  # it is only named: what is wrong with it does not matter any more
        return None


def _payload(record_type: RecordType, record: Any) -> bytes:
    """Returns the text that would have been sent; of what can't be sent, as much as can be written."""
    try:
        return encode_record(record, record_type.cls, sort=True)
    except Exception:  # a mapping of the caller's may raise anything
        return codec.as_far_as_possible(record)


def _fingerprint(record_type: RecordType, record: Any, text: bytes) -> int:
    """Returns the fingerprint that the chunker gives a record; one that no record has where its text is unusable."""
    if not isinstance(record, (bytes, bytearray)):
        # A text that was written here has sorted keys. Read and written again, it may have other numbers: 1E+22 for 1e22.
        return fingerprints_of_sorted([text])[0]
    try:
        return record_type.fingerprinter.of(text)
    except Exception:  # it is only compared: what is wrong with it does not matter
        return -2

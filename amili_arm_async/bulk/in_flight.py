"""The account of a run: what is under way, with the evidence of what became of it, and the final state that each record gets once."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import codec, log
from ..attempts import DeliveryEvidence
from ..models.batches import BatchReceipt, BatchResult
from .chunking import Batch, Invalid, RecordType
from .journal.recorder import Recorder
from .keys import CompactKeys, KeySerializer, KeyTicket
from .outcomes import BatchOutcome, Outcome
from .report import BulkReport, Progress

__all__ = ["STOPPED", "BatchTracker", "InFlightBatch"]

STOPPED = Outcome("not_sent", "stopped", "the run was ended before its turn")


@dataclass(eq=False, slots=True)
class InFlightBatch:
    """A batch, or a part of one, that has no final state yet, and the evidence of what became of it.

    Attributes:
        batch: the records; once it is accepted only their keys.
        key_pass: its right to be under way with these keys; the parts of a split batch share it.
        delivery: whether bytes of it may have been taken.
        attempts: how often it was sent.
        receipt: the 202, or None.
        failures: tries that failed and were repeated.
        trouble_since: when the first of them was, by the monotonic clock.
        done: set when it has its final state, and when the run stops.
        parts: its halves, where it was split; then they have the final states.
        row: its place in the journal.
        status: of an answer that left it in doubt, or None.
        was_ambiguous: whether a try of it ended in doubt, also where a later one did not.
        repeated: how often it was given a batchUuid that another batch has.
        has_place: whether it holds a place among the open batches.
        began: when it last began to leave, by the monotonic clock.
    """

    batch: Batch
    key_pass: KeyTicket
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
    has_place: bool = False
    began: float = 0.0

    async def wait_done(self, stopping: asyncio.Event) -> None:
        """Waits until all its records have their final state, or the run stops."""
        for part in self.parts:
            await part.wait_done(stopping)
        if not self.parts and not stopping.is_set():
            await self.done.wait()

    def keep_only_keys(self) -> Callable[[], list[str | None]]:
        """Lets the bodies go, and keeps the keys in one piece of memory; gives a function that gives them."""
        keys = CompactKeys(self.batch.keys)
        self.batch = Batch(self.batch.number, self.batch.indexes, keys, (), 0)
        return keys.all


class BatchTracker:
    """Every record that was read is in the cutter, under way, or in the report; and it gets into the report once.

    Args:
        report: takes in what becomes of each record.
        emit: told of each outcome.
        on_progress: told where the run is after each batch, and when it has to wait for the server.
        open_batches: gives the number of batches whose result is still to come.
        keeper: keeps what becomes of each record, and may keep an outcome back until more is known.
        told: called after each outcome.

    Attributes:
        adopted: records that came from the journal and not from the source, where there is none.
    """

    def __init__(
        self,
        report: BulkReport,
        emit: Callable[[BatchOutcome], None],
        on_progress: Callable[[Progress], object] | None,
        open_batches: Callable[[], int],
        recorder: Recorder,
        told: Callable[[], None],
    ) -> None:
        self.report = report
        self.adopted = 0
        self._recorder = recorder
        self._told = told
        self._emit = emit
        self._on_progress = on_progress
        self._open_batches = open_batches
        self._gate = KeySerializer()
        self._live: dict[InFlightBatch, None] = {}

    def enter(self, batch: Batch, row: int) -> tuple[InFlightBatch, list[KeyTicket]]:
        """Takes in a batch, and tells which earlier ones with the same keys it has to wait for. In the order of the source."""
        key_pass, before = self._gate.enter(batch.keys)
        return self._add(batch, key_pass, row), before

    def split(self, live: InFlightBatch) -> tuple[InFlightBatch, InFlightBatch]:
        """Takes in the two halves of a batch in its place."""
        first, second = (self._add(part, live.key_pass, 0) for part in live.batch.halves())
        for part in (first, second):
            part.delivery.was_ambiguous = live.delivery.was_ambiguous
            part.was_ambiguous = live.was_ambiguous
        self._recorder.split(live, (first, second))
        del self._live[live]
        live.parts = (first, second)
        return first, second

    def take_out(self, live: InFlightBatch, verdicts: Mapping[int, Outcome]) -> None:
        """Takes records out of a batch before it leaves, by their positions, with their final states; it may be empty then."""
        batch = live.batch
        gone = sorted(verdicts)
        rest = [position for position in range(len(batch)) if position not in verdicts]
        said = {number: verdicts[position] for number, position in enumerate(gone)}
        (common, _), *_ = Counter(said.values()).most_common(1)
        others = {number: verdict for number, verdict in said.items() if verdict != common}
        indexes, keys = [batch.indexes[position] for position in gone], [batch.keys[position] for position in gone]
        outcome = BatchOutcome(batch.number, None, 0, None, indexes, keys, common, others)
        self._recorder.take_out(live, rest, batch.only(rest) if rest else None, outcome)
        self._gate.settle(live.key_pass, len(gone))
        if rest:
            live.batch = batch.only(rest)
        else:
            live.batch = Batch(batch.number, (), (), (), 0)
            del self._live[live]
            live.done.set()
        self.tell(outcome)

    def _add(self, batch: Batch, key_pass: KeyTicket, row: int) -> InFlightBatch:
        live = InFlightBatch(batch, key_pass, row=row)
        self._live[live] = None
        return live

    def settle(
        self,
        live: InFlightBatch,
        verdict: Outcome,
        exceptions: dict[int, Outcome] | None = None,
        result: BatchResult | None = None,
    ) -> None:
        """Gives a batch its final state, and tells of it. Without an await: whatever is cancelled, a record is in one place."""
        del self._live[live]
        self._gate.settle(live.key_pass, len(live.batch))
        live.done.set()
        uuid = live.receipt.batch_uuid if live.receipt is not None else None
        batch = live.batch
        keys = list(batch.keys)
        outcome = BatchOutcome(
            batch.number, uuid, live.attempts, result, batch.indexes, keys, verdict, exceptions or {}, live.was_ambiguous
        )
        self._recorder.settled(live, verdict, outcome.exceptions)
        if not self._recorder.hold(live, outcome):
            self.tell(outcome)

    def tell(self, outcome: BatchOutcome) -> None:
        """The final state of records that are not under way here."""
        self.report.add(outcome)
        self.tell_progress(None)
        self._emit(outcome)
        self._told()

    async def with_earlier(
        self, records: Sequence[Any], first: int, verdicts: Mapping[int, Outcome], kind: RecordType
    ) -> dict[int, Outcome]:
        """The same verdicts, by place; but of a blocked record that an earlier attempt sent, what became of it there."""
        places = [place for place, verdict in verdicts.items() if verdict.state == "blocked"]
        if not places:
            return dict(verdicts)
        chosen = [records[place] for place in places]
        keys = _keys_of(kind, chosen)
        texts = [_payload(kind, record) for record in chosen] if None in keys else []
        standing = await self._recorder.standing([first + place for place in places], keys, texts, ())
        return {**verdicts, **{places[number]: verdict for number, verdict in standing.items()}}

    def pass_over(self, records: Sequence[Any], first: int, verdicts: Mapping[int, Outcome], kind: RecordType) -> None:
        """Takes in records that are not sent, by their place among `records`; the first of these is at index `first` of the source."""
        if verdicts:
            indexes = array("q", [first + place for place in verdicts])
            keys = _keys_of(kind, [records[place] for place in verdicts])
            for (place, verdict), key in zip(verdicts.items(), keys, strict=True):
                if verdict.state == "blocked":
                    payload = _payload(kind, records[place]) if self._recorder.wants_payloads else None
                    self._recorder.unsent([first + place], [key], verdict, payload)
            common, _ = Counter(verdicts.values()).most_common(1)[0]
            others = {position: verdict for position, verdict in enumerate(verdicts.values()) if verdict != common}
            self.tell(BatchOutcome(0, None, 0, None, indexes, keys, common, others))

    def refuse(self, refused: Iterable[Invalid]) -> None:
        """Takes in records that can't be sent."""
        for invalid in refused:
            self._recorder.invalid(invalid)
            self.report.add(invalid.outcome)
            self._emit(invalid.outcome)
            self._told()

    def tell_progress(self, trouble: str | None) -> None:
        """Tells where the run is; `trouble` is what it waits for when the server takes nothing."""
        if self._on_progress is None:
            return
        try:
            self._on_progress(self.report.progress(self._open_batches(), trouble))
        except Exception as exc:
            # A broken progress bar must not cost the night.
            self._on_progress = None
            log.warning("on_progress raised and is not called again", error=type(exc).__name__)

    def release_waiters(self) -> None:
        """The run stops: nobody needs to wait for an earlier batch any more, since nothing is sent after it."""
        self._gate.abandon()
        for live in self._live:
            live.done.set()

    # --- the end ----------------------------------------------------------------------------------------------------------

    def read(self, records: int) -> None:
        """So many records were read from the source."""
        self.report.tally.records_read = self.adopted + records

    def close(self, reason: Outcome) -> int:
        """Gives their final state to all records that are under way, from what is known of them. Never waits.

        Returns:
            how many places among the open batches they held.
        """
        # What the caller's function raises must not keep a record from its state.
        self._on_progress = None
        places = 0
        for live in list(self._live):
            if live.receipt is not None:
                places += live.has_place
                self.settle(live, Outcome("accepted", "not_awaited", "the run ended before the result came"))
            else:
                self.settle(live, self.stopped(live, reason))
        for outcome in self._recorder.release():
            self.tell(outcome)
        return places

    def name_invalid(self, refused: Iterable[Invalid], reason: Outcome | None) -> None:
        """Takes in records that can't be sent, when nobody is told any more; with a `reason`, those that would not have been sent anyway
        get it, unless their source could not read them."""
        for invalid in refused:
            outcome = invalid.outcome
            if reason is None or invalid.is_unreadable:
                self._recorder.invalid(invalid)
            else:
                outcome = replace(outcome, common=reason)
                self._recorder.unsent(outcome.indexes, outcome.keys, reason, invalid.payload)
            self.report.add(outcome)

    async def name(self, batch: Batch, reason: Outcome) -> None:
        """Names a batch that had no turn: as what an earlier attempt did with it, or as not sent."""
        texts = batch.texts()
        standing = await self._recorder.standing(batch.indexes, batch.keys, texts, batch.prints)
        self._name_standing(batch.indexes, batch.keys, standing)
        rest = [place for place in range(len(batch)) if place not in standing]
        if rest:
            self.not_sent(batch.only(rest), reason)

    def _name_standing(self, indexes: Sequence[int], keys: Sequence[str | None], standing: Mapping[int, Outcome]) -> None:
        for place, verdict in standing.items():
            self.report.add(BatchOutcome(0, None, 0, None, [indexes[place]], [keys[place]], verdict))

    def not_sent(self, batch: Batch, reason: Outcome) -> None:
        """A batch that was cut, and that nothing more is done with."""
        self._recorder.unsent(batch.indexes, batch.keys, reason, b",".join(batch.pieces))
        self.report.add(BatchOutcome(0, None, 0, None, batch.indexes, batch.keys, reason))

    @staticmethod
    def stopped(live: InFlightBatch, reason: Outcome) -> Outcome:
        """The verdict for a batch that is not sent any more."""
        if live.delivery.started:
            return Outcome("unknown", "cut_off", "the run was cut off while it was on the wire")
        if live.delivery.was_ambiguous:
            said = str(live.status) if live.status is not None else "not_repeated"
            return Outcome("unknown", said, "an earlier try may have been taken, and it was not tried again")
        return reason


def _keys_of(kind: RecordType, records: list[Any]) -> list[str | None]:
    kinds = set(map(type, records))
    if len(kinds) == 1 and kinds <= {bytes, dict, kind.cls}:
        with contextlib.suppress(Exception):
            if (keys := kind.keys_of(records, kinds.pop())) is not None:
                return keys
    return [_key_of(kind, record) for record in records]


def _key_of(kind: RecordType, record: Any) -> str | None:
    try:
        return kind.key_of(record)
    except Exception:  # it is only named; what is wrong with it, nobody asks any more
        return None


def _payload(kind: RecordType, record: Any) -> bytes:
    """The text that would have been sent; of what can't be, as much as can be written."""
    try:
        return codec.encode_one(record, kind.cls, sort=True)
    except Exception:  # also what a mapping of the caller's raises while it is read
        return codec.as_far_as_possible(record)

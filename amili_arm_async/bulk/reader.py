"""The reading part of a run: it reads the source, lets the observers filter the records, and gives batches; and it reads the rest of the
source where a run ended early."""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import anyio

from .. import clock
from ..errors import ArmError
from .blocks import RecordBlock
from .chunking import Batch, Chunker, RecordType
from .control import RunControl
from .copies import all_as_plain, snapshot
from .in_flight import BatchTracker
from .outcomes import Outcome
from .source import STRETCH, Source
from .spec import RunSpec

__all__ = ["Reader"]

_FILTERED_AT_ONCE: Final = 1000
"""Records that are read at a time where an observer may take most of them out, and where they are only named."""

_LINGER: Final = 0.2
"""Seconds that a record waits for others to share its batch while nothing of the run is being sent."""


class Reader:
    """The reading part of a run: reads the source, a few records at a time, and gives the batches.

    A batch leaves when it is full. One that is not full leaves when the source has ended, and when nothing of the run is being sent and
    its oldest record has waited for a fifth of a second: to wait for more would leave the connections idle.

    An async source is read in a task of its own, `run`, ahead of whoever asks for the next batch, and not further than that.

    Args:
        spec: what is sent.
        source: the records.
        tracker: takes in those that are not sent.
        control: whether the run continues.
        fingerprints: whether each record gets a fingerprint, which a journal needs.
        keep_invalid: whether the text of what is invalid is kept, for a dead letter.
    """

    def __init__(
        self, spec: RunSpec, source: Source, tracker: BatchTracker, control: RunControl, *, fingerprints: bool, keep_invalid: bool
    ) -> None:
        self._source = source
        self._record_type = spec.record_type
        self._observers = tracker.report.observers
        self._tracker = tracker
        self._control = control
        self._chunker = Chunker(
            spec.record_type,
            overhead=spec.envelope.size,
            max_records=spec.options.max_records,
            max_bytes=spec.options.max_bytes,
            fingerprints=fingerprints,
            reads_texts=any(observer.reads_texts for observer in self._observers),
            require_key=spec.options.require_document_no,
            keep_invalid=keep_invalid,
        )
        self._unread = _Unread(spec.record_type)
        self._into = self._unread if self._observers else self._chunker
        # Since when the oldest record waits that is in no batch yet.
        self._waits_since: float | None = None
        self._gives_way = False
        self._wanted = 0
        self._sending = 0
        self._asked = asyncio.Event()
        self._moved = asyncio.Event()
        self._reading = anyio.CancelScope()
        self._reads_on = False

    @property
    def read(self) -> int:
        """The number of records that the chunker took in."""
        return self._chunker.read

    def lower_max_bytes(self, max_bytes: int) -> None:
        """Makes the batches smaller from now on: the server refused larger ones.

        Args:
            max_bytes: the size of a whole body, at the most.
        """
        self._chunker.lower(max_bytes)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Counts a batch as being sent; while none is, a batch that is not full may leave."""
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1
            if not self._sending:
                self._moved.set()

    # --- the next batch ---------------------------------------------------------------------------------------------------

    async def next_batch(self) -> Batch | None:
        """Returns the next batch. To be called by one task at a time.

        Returns:
            The batch; None where there is none, or the run stops.
        """
        if self._gives_way:
            # A partial batch was given because nothing was being sent: it is sent before the source may block the loop again.
            self._gives_way = False
            await clock.turns()
        since = clock.monotonic()
        while self._control.reason is None:
            if clock.monotonic() - since > STRETCH:
                # Other tasks get their turn, also where hardly a record goes into a batch.
                await clock.turns()
                since = clock.monotonic()
                # The run may have stopped meanwhile: nothing wakes who waits for more of the source then.
                continue
            batch = self._chunker.take()
            if batch is None and (self._source.ended or self._lingered()):
                if self._unread:
                    await self._filter()
                    continue
                batch = self._chunker.finish()
                if batch is None:
                    # What was left can't be sent: nothing waits any more, and whoever takes the outcomes learns of it.
                    self._after_read()
                if batch is None and self._source.ended:
                    break
                self._gives_way = not self._source.ended
            if batch is not None:
                self._waits_since = None if self._chunker.is_empty and not self._unread else clock.monotonic()
                return batch
            if len(self._unread) >= _FILTERED_AT_ONCE:
                await self._filter()
            else:
                await self._read_on()
        return None

    def _lingered(self) -> bool:
        return self._waits_since is not None and self._left_to_linger() <= 0 and not self._sending

    def _left_to_linger(self) -> float:
        assert self._waits_since is not None
        return self._waits_since + _LINGER - clock.monotonic()

    async def _read_on(self) -> None:
        """Reads the records that are wanted next, or some of them."""
        wanted = _FILTERED_AT_ONCE - len(self._unread) if self._observers else self._chunker.wanted
        if not self._source.is_async:
            await self._source.read(wanted, self._into)
            self._after_read()
        else:
            # It must be known when the first record came.
            self._source.hurried = self._waits_since is None
            self._wanted = wanted
            self._moved.clear()
            self._asked.set()
            lingers = self._waits_since is not None and not self._sending
            await clock.wait(self._moved, max(0.0, self._left_to_linger()) if lingers else None)

    def _after_read(self) -> None:
        """Takes note of what was read."""
        if self._chunker.is_empty and not self._unread:
            # An observer may have taken all of them out.
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = clock.monotonic()
        self._tracker.read(self._chunker.read)
        self._tracker.refuse(self._chunker.take_invalid())
        if self._source.failure is not None:
            self._control.stop(Outcome("not_sent", "source_raised", "the source raised before it was sent"), self._source.failure)

    async def run(self) -> None:
        """Reads an async source, as far as records are wanted, until it ends or the run stops."""
        with self._reading:
            while self._source.is_async and not self._source.ended and self._control.reason is None:
                await self._asked.wait()
                self._asked.clear()
                if self._control.reason is None:
                    await self._source.read(self._wanted, self._into)
                    self._after_read()
                    self._moved.set()
        self._moved.set()

    async def check(self, batch: Batch) -> None:
        """Checks right before a batch leaves whether it may still be sent. See `Source.check`.

        Args:
            batch: the batch.

        Raises:
            ArmError: a record of it must not be sent any more.
        """
        await self._source.check(batch.indexes)

    def stop(self, *, reads_on: bool) -> None:
        """Stops reading. A source that has nothing to give for an hour must not keep the run; one that is read on must not be cancelled.

        Args:
            reads_on: whether the rest of the source is read, to be named, where it has an end for sure.
        """
        self._reads_on = reads_on and self._source.ends
        if not self._reads_on:
            self._reading.cancel()
        self._asked.set()
        self._moved.set()

    # --- observers --------------------------------------------------------------------------------------------------------

    async def _filter(self) -> None:
        """Feeds the chunker with what was read, without what the observers take out."""
        first, found = self._chunker.read, dict[int, Outcome]()
        outcomes: dict[int, Outcome | None] = {}
        # While an observer filters, more may be read.
        records = self._unread.first(_FILTERED_AT_ONCE)
        try:
            for observer in self._observers:
                filtered = await observer.filter(records, first)
                if found:
                    filtered = {position: outcome for position, outcome in filtered.items() if position not in found}
                found.update(filtered)
            outcomes = await self._tracker.with_earlier(records, first, found, self._record_type)
        except ArmError as exc:
            self._control.stop(Outcome("not_sent", "stopped", str(exc)), exc)
        # From here on without an await: what was filtered gets its final state.
        rest: Sequence[int] = range(len(records))
        if outcomes:
            rest = [position for position in rest if position not in outcomes] if len(outcomes) < len(records) else ()
        if isinstance(records, RecordBlock):
            records.apply_rules(rest)
        self._unread.drop(len(records))
        self._tracker.report.on_read(records, first)
        self._tracker.settle_unsent(records, first, outcomes, self._record_type)
        self._feed(records, first, rest)
        self._chunker.skip_to(first + len(records))
        self._after_read()

    def _feed(self, records: Sequence[Any], first: int, rest: Sequence[int]) -> None:
        """Feeds the chunker with some of the records that were read."""
        indexes: Sequence[int] = range(first, first + len(records))
        if len(rest) < len(records):
            indexes = array("q", [first + position for position in rest])
        if isinstance(records, RecordBlock):
            self._chunker.feed_block(records.only(rest), indexes)
            return
        done = 0
        while done < len(rest):
            stop = done + self._chunker.wanted
            self._chunker.feed([records[position] for position in rest[done:stop]], indexes[done:stop])
            done = stop

    # --- the end of a run that ended early --------------------------------------------------------------------------------

    def give_up(self, *, all_of_it: bool, reason: Outcome | None = None) -> list[Batch]:
        """Gives what was read and had no turn. Without an await.

        Args:
            all_of_it: whether to give the last batch too, though it is not full.
            reason: the outcome of records that were only read to be named.

        Returns:
            The batches.
        """
        while self._unread:
            records = self._unread.first(len(self._unread))
            if isinstance(records, RecordBlock):
                records.apply_rules()
            self._unread.drop(len(records))
            self._tracker.report.on_read(records, self._chunker.read)
            if isinstance(records, RecordBlock):
                self._chunker.feed_block(records)
            else:
                self._chunker.feed(records)
        left: list[Batch] = []
        while (batch := self._chunker.finish() if all_of_it else self._chunker.take()) is not None:
            left.append(batch)
        self._tracker.name_invalid(self._chunker.take_invalid(), reason)
        self._tracker.read(self._chunker.read)
        return left

    @property
    def has_rest(self) -> bool:
        """Whether the run was stopped and the rest of its source is to be read: it has an end for sure."""
        return self._reads_on and not self._source.ended

    async def read_rest(self) -> None:
        """Reads more of a source that has an end for sure: its records are named, and not sent."""
        await self._source.read(_FILTERED_AT_ONCE, self._into)
        await clock.turn()


class _Unread:
    """Records that the observers have not filtered yet."""

    def __init__(self, record_type: RecordType) -> None:
        # Blocks, and lists of records that came singly.
        self._parts: deque[list[Any]] = deque()
        self._count = 0
        self._record_type = record_type

    def __len__(self) -> int:
        return self._count

    def hold(self, record: Any) -> None:
        """Takes in a record that can't change."""
        self._keep([record])

    def feed(self, records: list[Any]) -> None:
        """Takes in records of a list, which its owner may change while the observers filter them."""
        self._keep([snapshot(record, self._record_type) for record in records])

    def _keep(self, records: list[Any]) -> None:
        if not self._parts or isinstance(self._parts[-1], RecordBlock):
            self._parts.append([])
        self._parts[-1] += all_as_plain(records, self._record_type)
        self._count += len(records)

    def feed_block(self, block: RecordBlock) -> None:
        """Takes in a block."""
        if block:
            if block.keys is not None:
                block.keys = self._record_type.plain_keys(block.keys)
            self._parts.append(block)
            self._count += len(block)

    def append(self, record: Any) -> None:
        """Takes in a record that may change as soon as the next one is read."""
        self.feed([record])

    def first(self, number: int) -> list[Any]:
        """Returns the oldest records, which stay here until they are dropped: as many as are wanted, or fewer. A block is the one that is
        here: what is done to it is not done again."""
        part = self._parts[0]
        if not isinstance(part, RecordBlock):
            return part[:number]
        self._parts.popleft()
        others, size = list[RecordBlock](), len(part)
        while size < number and self._parts and isinstance(other := self._parts[0], RecordBlock) and part.is_like(other):
            self._parts.popleft()
            others.append(other)
            size += len(other)
        whole = part.joined_with(others)
        if size > number:
            self._parts.appendleft(whole.part(number, size))
            whole = whole.part(0, number)
        self._parts.appendleft(whole)
        return whole

    def drop(self, number: int) -> None:
        """Drops the oldest records."""
        self._count -= number
        if number == len(self._parts[0]):
            self._parts.popleft()
        else:
            del self._parts[0][:number]

"""One poller for all open batches of a run: polls each result when it is due, a few at a time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Final

import anyio
import msgspec
from anyio.abc import TaskGroup

from .. import clock, log
from ..attempts import Attempt
from ..endpoints import OPERATIONS
from ..models.batches import BatchResult
from ..retry import Proof
from ..telemetry.base import NO_BATCH, BatchSpan, RunInstrumentation
from ..transport import Transport
from .control import RunControl
from .limits import OpenBatchSlot, RetryAfterGate
from .outcomes import Outcome
from .report import Tally
from .results import Outcomes, Reading, most_bytes, read_all, with_deadline
from .spec import RunSpec

__all__ = ["OpenBatch", "Poller"]

AT_ONCE: Final = 4
"""Polls at once, at the most: a result is never urgent enough to crowd out what is sent."""

GROWTH: Final = 1.6
"""The factor from one wait for the same batch to the next."""

_NOT_AWAITED: Final = Outcome("accepted", "not_awaited")


class OpenBatch(msgspec.Struct, eq=False):
    """An accepted batch whose result is still to come.

    Attributes:
        batch_uuid: its batchUuid.
        accepted_at: when the 202 came, by the monotonic clock.
        records: number of its records.
        keys: gives the keys of its records.
        slot: its slot among the open batches of the client: the batch owns it until it is settled.
        settled: called once, with the common outcome, the exceptions by position, and the last result.
        is_shared: returns whether another batch was given the same batchUuid: then only what names its records counts.
        span: the span of the batch.
    """

    batch_uuid: str
    accepted_at: float
    records: int
    keys: Callable[[], Sequence[str | None]]
    slot: OpenBatchSlot
    settled: Callable[[Outcome, dict[int, Outcome], BatchResult | None], None]
    is_shared: Callable[[], bool]
    span: BatchSpan = NO_BATCH
    delay: float = 0.0
    last: BatchResult | None = None
    reading: Reading | None = None
    gone: int = 0
    last_words: tuple[object, ...] | None = None
    late: Outcomes | None = None


class Poller:
    """Polls the results of the open batches of a run until it is finished and none is open.

    Args:
        spec: what is sent, where to and how.
        transport: the connections.
        gate: the `Retry-After` that all requests obey.
        control: stops the run where no result can be had any more.
        tally: counts the polls.
        instrumentation: is told of each result.
    """

    def __init__(
        self,
        spec: RunSpec,
        transport: Transport,
        gate: RetryAfterGate,
        control: RunControl,
        tally: Tally,
        instrumentation: RunInstrumentation,
    ) -> None:
        self._spec = spec
        self._transport = transport
        self._options = spec.options
        self._rules = spec.rules
        self._gate = gate
        self._control = control
        self._tally = tally
        self._instrumentation = instrumentation
        self._batches: dict[OpenBatch, None] = {}
        self._due: list[tuple[float, int, OpenBatch]] = []
        self._sequence = 0
        self._asking = 0
        self._changed = asyncio.Event()
        self._finished = False
        self._stopped = False
        self._typical = 0.0

    @property
    def open(self) -> int:
        """The number of open batches."""
        return len(self._due) + self._asking

    @property
    def stopped(self) -> bool:
        """Whether results are no longer awaited."""
        return self._stopped

    def add(self, batch: OpenBatch) -> None:
        """Takes in a batch that was just accepted.

        Args:
            batch: the batch, with the slot that it owns.
        """
        self._batches[batch] = None
        # The first poll comes when a batch is usually done.
        batch.delay = min(max(self._options.poll_first, 0.8 * self._typical), self._options.poll_max)
        self._later(batch, batch.accepted_at)

    def begin(self) -> None:
        """Prepares for batches to come; to be called before `run`."""
        self._finished = False

    def finish(self) -> None:
        """Takes note that no more batches will come: `run` ends when the last one is settled."""
        self._finished = True
        self._changed.set()

    def stop(self) -> None:
        """Stops polling; what is open stays open."""
        self._stopped = True
        self._changed.set()

    def close(self) -> None:
        """Closes the slots of the batches that were not settled."""
        for batch in self._batches:
            batch.slot.close()
            batch.span.end(_NOT_AWAITED, {}, batch.records)
        self._batches.clear()

    def _settle(self, batch: OpenBatch, outcome: Outcome, exceptions: dict[int, Outcome]) -> None:
        del self._batches[batch]
        batch.slot.close()
        batch.settled(outcome, exceptions, batch.last)

    async def run(self) -> None:
        """Polls until all batches are settled, or until it is stopped."""
        async with anyio.create_task_group() as asking:
            while not self._stopped and not (self._finished and not self.open):
                self._changed.clear()
                wait = self._next_wait()
                if wait is not None and wait <= 0:
                    self._turn(heapq.heappop(self._due)[2], asking)
                    continue
                await clock.wait(self._changed, wait)
            if self._stopped:
                asking.cancel_scope.cancel()

    def _next_wait(self) -> float | None:
        """Returns the seconds until the next poll, or None: not before something changes."""
        if not self._due or self._asking >= AT_ONCE:
            return None
        return self._due[0][0] - clock.monotonic()

    def _turn(self, batch: OpenBatch, asking: TaskGroup) -> None:
        """Polls a batch, unless all requests are held; its deadline counts then too."""
        now, held = clock.monotonic(), self._gate.remaining
        if not held:
            self._asking += 1
            asking.start_soon(self._poll, batch)
        elif now >= batch.accepted_at + self._options.deadline:
            self._settle(batch, self._deadline(), {})
        else:
            self._put_back(batch, now + held)

    def _deadline(self) -> Outcome:
        return Outcome("accepted", "deadline", f"no result within {self._options.deadline:g} s")

    def _at_deadline(self, batch: OpenBatch) -> Outcomes:
        """Returns what the last answer says, where there is no time for another poll."""
        if batch.gone:
            return Outcome("accepted", "result_gone", "GET batch was answered that there is none"), {}
        if batch.late is not None:
            return batch.late
        if batch.last is not None and batch.last.outcome == "unrecognised":
            return self._by_record(batch, _unrecognised(batch.last))
        return self._by_record(batch, self._deadline())

    def _later(self, batch: OpenBatch, now: float) -> None:
        self._put_back(batch, now + batch.delay)
        batch.delay = min(max(batch.delay, 0.001) * GROWTH, self._options.poll_max)

    def _put_back(self, batch: OpenBatch, due: float) -> None:
        # The last poll is at the deadline, not before and not after.
        self._sequence += 1
        heapq.heappush(self._due, (min(due, batch.accepted_at + self._options.deadline), self._sequence, batch))
        self._changed.set()

    async def _ask(self, batch: OpenBatch, seconds: float) -> Attempt:
        self._tally.polls += 1
        request = msgspec.structs.replace(self._spec.poll(batch.batch_uuid), most=most_bytes(batch.records))
        return await self._transport.ask(request, timeout=self._spec.timeout.within(seconds))

    async def _poll(self, batch: OpenBatch) -> None:
        try:
            left = batch.accepted_at + self._options.deadline - clock.monotonic()
            with batch.span.polling():
                attempt = await self._ask(batch, left)
            now = clock.monotonic()
            outcomes = self._evaluate(batch, attempt)
            if outcomes is None and now - batch.accepted_at >= self._options.deadline:
                outcomes = self._at_deadline(batch)
            if outcomes is None:
                if not self._stopped:
                    self._later(batch, now)
                return
            if batch.last is not None and batch.last.is_final:
                took = now - batch.accepted_at
                self._typical = took if not self._typical else 0.8 * self._typical + 0.2 * took
                self._instrumentation.result(took)
            self._settle(batch, *outcomes)
        finally:
            # Until the next poll, the body is enough.
            batch.reading = None
            self._asking -= 1
            self._changed.set()

    def _by_record(self, batch: OpenBatch, default: Outcome) -> Outcomes:
        """Returns what the last answer says about each record; `default` where it says nothing about any."""
        if batch.last is None:
            return default, {}
        reading = batch.reading or self._reading(batch, batch.last.http_status, batch.last.body)
        if not (reading.result.is_final or reading.names_records):
            return default, {}
        return reading.outcomes(batch.keys(), shared=batch.is_shared())

    def _reading(self, batch: OpenBatch, status: int, body: bytes) -> Reading:
        return read_all(batch.batch_uuid, status, body, self._rules.words, (self._spec.record_type.wire_key,), batch.records)

    def _evaluate(self, batch: OpenBatch, attempt: Attempt) -> Outcomes | None:
        """Returns the outcomes where the answer ends the waiting, else None."""
        action = attempt.rule.poll if attempt.rule is not None else "wait"
        if self._control.is_hopeless(attempt) or action == "stop":
            # Without a token neither a poll nor a batch gets through.
            self._control.stop_for(attempt, OPERATIONS["batches.get"])
            self.stop()
            return None
        status, response = attempt.status, attempt.response
        if attempt.retry_after is not None and attempt.is_overload:
            self._gate.extend(attempt.retry_after)
        if action == "gone":
            # Polled twice: a batch that was accepted this moment may not be there yet.
            batch.gone += 1
            return (Outcome("accepted", "result_gone", f"GET batch was answered {status}"), {}) if batch.gone > 1 else None
        batch.gone = 0
        if response is not None and response.is_too_large:
            # Another poll would bring the same result.
            log.warning("batch result too large", batch=batch.batch_uuid, records=batch.records)
            return Outcome("accepted", "unrecognised", f"the batch result is larger than {most_bytes(batch.records):,} bytes"), {}
        if attempt.proof is not Proof.DONE or response is None:
            return None
        return self._read(batch, response.status, response.body)

    def _read(self, batch: OpenBatch, status: int, body: bytes) -> Outcomes | None:
        reading = self._reading(batch, status, body)
        batch.last, batch.reading = reading.result, reading
        log.debug("batch result", batch=batch.batch_uuid, status=status, outcome=batch.last.outcome)
        if reading.is_too_large:
            return reading.outcomes(())
        # The result of a shared batchUuid may be that of the other batch: only the rules see which records it names.
        outcomes = self._rules.ask_reader(status, body, batch.keys) if not batch.is_shared() else None
        batch.late = with_deadline(outcomes) if outcomes is not None else None
        if outcomes is not None:
            # What the reader calls pending is polled again.
            return outcomes if batch.late is None else None
        if batch.last.is_final:
            return reading.outcomes(batch.keys(), shared=batch.is_shared())
        if batch.last.outcome == "unrecognised":
            words = (status, batch.last.status, batch.last.result)
            if batch.last_words == words:
                return self._by_record(batch, _unrecognised(batch.last))
            batch.last_words = words
        return None


def _unrecognised(result: BatchResult) -> Outcome:
    words = "/".join(word for word in (result.status, result.result) if word)
    return Outcome("accepted", "unrecognised", words or None)

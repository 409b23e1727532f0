"""One poller for all open batches of a run: asks for each result when its time has come, a few at a time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
import msgspec
from anyio.abc import TaskGroup

from .. import clock, log
from ..attempts import Attempt
from ..config import BulkOptions
from ..models.batches import BatchResult
from ..retry import Proof
from .limits import RetryAfterGate
from .outcomes import Outcome
from .results import KEY_NAMES, BatchRules, Reading, Verdicts, most_bytes, read_all, with_deadline

__all__ = ["OpenBatch", "Poller"]

AT_ONCE: Final = 4
"""Questions under way at the most: a result is never urgent enough to crowd out what is sent."""

GROWTH: Final = 1.6
"""How much longer each wait for the same batch is than the one before."""


class OpenBatch(msgspec.Struct, eq=False):
    """An accepted batch whose result is still to come.

    Attributes:
        batch_uuid: its name on the server.
        accepted_at: when the 202 came, by the monotonic clock.
        records: how many it has.
        keys: gives the keys of its records.
        settled: called once, with the verdict for all, the exceptions, and the last answer.
        is_shared: tells whether another batch was given the same batchUuid: then only what names its records counts.
    """

    batch_uuid: str
    accepted_at: float
    records: int
    keys: Callable[[], Sequence[str | None]]
    settled: Callable[[Outcome, dict[int, Outcome], BatchResult | None], None]
    is_shared: Callable[[], bool]
    delay: float = 0.0
    last: BatchResult | None = None
    reading: Reading | None = None
    gone: int = 0
    said: tuple[object, ...] | None = None
    late: Verdicts | None = None


class Poller:
    """Asks for results until it is finished and no batch is open.

    Args:
        ask: GET batch, once, for so many seconds at the most; no more than so many bytes of the answer are read.
        options: when to ask.
        rules: how results are read.
        hold: a `Retry-After` that all obey.
        key_names: the fields that may name a record in a result.
        is_hopeless: whether no further try can better what happened.
        failed: called with such a try.
    """

    def __init__(
        self,
        ask: Callable[[str, float, int], Awaitable[Attempt]],
        *,
        options: BulkOptions,
        rules: BatchRules,
        hold: RetryAfterGate,
        key_names: Sequence[str] = KEY_NAMES,
        is_hopeless: Callable[[Attempt], bool],
        failed: Callable[[Attempt], None],
    ) -> None:
        self._ask = ask
        self._options = options
        self._rules = rules
        self._hold = hold
        self._key_names = key_names
        self._is_hopeless = is_hopeless
        self._failed = failed
        self._due: list[tuple[float, int, OpenBatch]] = []
        self._sequence = 0
        self._asking = 0
        self._changed = asyncio.Event()
        self._finished = False
        self._stopped = False
        self._typical = 0.0

    @property
    def open(self) -> int:
        """Number of open batches."""
        return len(self._due) + self._asking

    @property
    def stopped(self) -> bool:
        """True when no result is waited for any more."""
        return self._stopped

    def add(self, batch: OpenBatch) -> None:
        """Takes in a batch that was just accepted."""
        # When the server is known to take its time, it is not asked before that.
        batch.delay = min(max(self._options.poll_first, 0.8 * self._typical), self._options.poll_max)
        self._later(batch, batch.accepted_at)

    def begin(self) -> None:
        """Batches will come: to be called before `run`."""
        self._finished = False

    def finish(self) -> None:
        """No more batches will come: end when the last one is settled."""
        self._finished = True
        self._changed.set()

    def stop(self) -> None:
        """Ask no more; what is open stays open."""
        self._stopped = True
        self._changed.set()

    async def run(self) -> None:
        """Asks until all is settled, or it is stopped."""
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
        """Seconds until the next question may be asked, or None: not before something changes."""
        if not self._due or self._asking >= AT_ONCE:
            return None
        return self._due[0][0] - clock.monotonic()

    def _turn(self, batch: OpenBatch, asking: TaskGroup) -> None:
        """It is the turn of a batch: it is asked for, unless all are held; then its deadline still counts."""
        now, held = clock.monotonic(), self._hold.remaining
        if not held:
            self._asking += 1
            asking.start_soon(self._question, batch)
        elif now >= batch.accepted_at + self._options.deadline:
            batch.settled(self._deadline(), {}, batch.last)
        else:
            self._put_back(batch, now + held)

    def _deadline(self) -> Outcome:
        return Outcome("accepted", "deadline", f"no result within {self._options.deadline:g} s")

    def _at_deadline(self, batch: OpenBatch) -> Verdicts:
        """What the last answer says, where there is no time to ask a second time."""
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
        # The last question is asked when the deadline has come, not before and not after.
        self._sequence += 1
        heapq.heappush(self._due, (min(due, batch.accepted_at + self._options.deadline), self._sequence, batch))
        self._changed.set()

    async def _question(self, batch: OpenBatch) -> None:
        try:
            left = batch.accepted_at + self._options.deadline - clock.monotonic()
            tried = await self._ask(batch.batch_uuid, left, most_bytes(batch.records))
            now = clock.monotonic()
            verdicts = self._judge(batch, tried)
            if verdicts is None and now - batch.accepted_at >= self._options.deadline:
                verdicts = self._at_deadline(batch)
            if verdicts is None and not self._stopped:
                self._later(batch, now)
                return
            if verdicts is None:
                return
            if batch.last is not None and batch.last.is_final:
                took = now - batch.accepted_at
                self._typical = took if not self._typical else 0.8 * self._typical + 0.2 * took
            batch.settled(*verdicts, batch.last)
        finally:
            # Until it is asked for again, the body is enough.
            batch.reading = None
            self._asking -= 1
            self._changed.set()

    def _by_record(self, batch: OpenBatch, otherwise: Outcome) -> Verdicts:
        """What the last answer says of each record; `otherwise` where it says nothing of any."""
        if batch.last is None:
            return otherwise, {}
        reading = batch.reading or self._reading(batch, batch.last.http_status, batch.last.body)
        if not (reading.result.is_final or reading.names_records):
            return otherwise, {}
        return reading.judge(batch.keys(), shared=batch.is_shared())

    def _reading(self, batch: OpenBatch, status: int, body: bytes) -> Reading:
        return read_all(batch.batch_uuid, status, body, self._rules.words, self._key_names, batch.records)

    def _judge(self, batch: OpenBatch, tried: Attempt) -> Verdicts | None:
        """The verdicts where the answer ends the waiting, else None."""
        if self._is_hopeless(tried) or tried.status == 401:
            self._failed(tried)
            return None
        status, response = tried.status, tried.response
        if tried.retry_after is not None and status in {429, 503}:
            self._hold.extend(tried.retry_after)
        if status in {404, 406} or (status is not None and 400 <= status < 500 and tried.proof is Proof.NOT_TAKEN and status != 429):
            # Asked twice: a batch that was accepted this moment may not be there yet.
            batch.gone += 1
            return (Outcome("accepted", "result_gone", f"GET batch was answered {status}"), {}) if batch.gone > 1 else None
        batch.gone = 0
        if response is not None and response.is_too_large:
            # To ask again would only bring it again.
            log.warning("batch result too large", batch=batch.batch_uuid, records=batch.records)
            return Outcome("accepted", "unrecognised", f"the batch result is larger than {most_bytes(batch.records):,} bytes"), {}
        if tried.proof is not Proof.DONE or response is None:
            return None
        return self._read(batch, response.status, response.body)

    def _read(self, batch: OpenBatch, status: int, body: bytes) -> Verdicts | None:
        reading = self._reading(batch, status, body)
        batch.last, batch.reading = reading.result, reading
        log.debug("batch result", batch=batch.batch_uuid, status=status, outcome=batch.last.outcome)
        if reading.is_too_large:
            return reading.judge(())
        # What another batch has the name of too may be about that one: only the rules see whom it names.
        said = self._rules.ask_reader(status, body, batch.keys) if status != 202 and not batch.is_shared() else None
        batch.late = with_deadline(said) if said is not None else None
        if said is not None:
            # What the reader calls pending is asked for again.
            return said if batch.late is None else None
        if batch.last.is_final:
            return reading.judge(batch.keys(), shared=batch.is_shared())
        if batch.last.outcome == "unrecognised":
            words = (status, batch.last.status, batch.last.result)
            if batch.said == words:
                return self._by_record(batch, _unrecognised(batch.last))
            batch.said = words
        return None


def _unrecognised(result: BatchResult) -> Outcome:
    words = "/".join(word for word in (result.status, result.result) if word)
    return Outcome("accepted", "unrecognised", words or None)

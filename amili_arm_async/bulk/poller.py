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
from ..config import BatchWords, BulkOptions
from ..models.batches import BatchResult
from ..retry import Fate
from ..tries import Try
from .entries import Entries
from .pressure import Hold
from .results import KEY_NAMES, judge_records, read_all
from .states import Verdict

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
        keys: gives the keys of its records.
        settled: called once, with the verdict for all, the exceptions, and the last answer.
    """

    batch_uuid: str
    accepted_at: float
    keys: Callable[[], Sequence[str | None]]
    settled: Callable[[Verdict, dict[int, Verdict], BatchResult | None], None]
    delay: float = 0.0
    last: BatchResult | None = None
    entries: Entries | None = None
    gone: int = 0
    said: tuple[object, ...] | None = None


class Poller:
    """Asks for results until it is finished and no batch is open.

    Args:
        ask: GET batch, once, for so many seconds at the most.
        options: when to ask.
        words: what the words mean.
        hold: a `Retry-After` that all obey.
        key_names: the fields that may name a record in a result.
        is_hopeless: whether no further try can better what happened.
        failed: called with such a try.
    """

    def __init__(
        self,
        ask: Callable[[str, float], Awaitable[Try]],
        *,
        options: BulkOptions,
        words: BatchWords,
        hold: Hold,
        key_names: Sequence[str] = KEY_NAMES,
        is_hopeless: Callable[[Try], bool],
        failed: Callable[[Try], None],
    ) -> None:
        self._ask = ask
        self._options = options
        self._words = words
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

    def _deadline(self) -> Verdict:
        return Verdict("accepted", "deadline", f"no result within {self._options.deadline:g} s")

    def _at_deadline(self, batch: OpenBatch) -> Verdict:
        """What the last answer says, where there is no time to ask a second time."""
        if batch.gone:
            return Verdict("accepted", "result_gone", "GET batch was answered that there is none")
        if batch.last is not None and batch.last.outcome == "unrecognised":
            return self._unrecognised(batch)
        return self._deadline()

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
            tried = await self._ask(batch.batch_uuid, batch.accepted_at + self._options.deadline - clock.monotonic())
            now = clock.monotonic()
            verdict = self._judge(batch, tried)
            if verdict is None and now - batch.accepted_at >= self._options.deadline:
                verdict = self._at_deadline(batch)
            if verdict is None and not self._stopped:
                self._later(batch, now)
                return
            if verdict is None:
                return
            if batch.last is not None and batch.last.is_final:
                took = now - batch.accepted_at
                self._typical = took if not self._typical else 0.8 * self._typical + 0.2 * took
            exceptions: dict[int, Verdict] = {}
            if verdict.state == "succeeded" or verdict.reason == "deadline":
                verdict, exceptions = self._by_record(batch, verdict)
            batch.settled(verdict, exceptions, batch.last)
        finally:
            # Until it is asked for again, the body is enough.
            batch.entries = None
            self._asking -= 1
            self._changed.set()

    def _by_record(self, batch: OpenBatch, otherwise: Verdict) -> tuple[Verdict, dict[int, Verdict]]:
        if batch.last is None or (not batch.last.is_final and not batch.last.entries):
            return otherwise, {}
        return judge_records(batch.last, batch.keys(), batch.entries)

    def _judge(self, batch: OpenBatch, tried: Try) -> Verdict | None:
        """The verdict where the answer ends the waiting, else None. `succeeded` stands for "see what the result says"."""
        if self._is_hopeless(tried) or tried.status == 401:
            self._failed(tried)
            return None
        status, response = tried.status, tried.response
        if tried.retry_after is not None and status in {429, 503}:
            self._hold.extend(tried.retry_after)
        if status in {404, 406} or (status is not None and 400 <= status < 500 and tried.fate is Fate.NOT_TAKEN and status != 429):
            # Asked twice: a batch that was accepted this moment may not be there yet.
            batch.gone += 1
            return Verdict("accepted", "result_gone", f"GET batch was answered {status}") if batch.gone > 1 else None
        batch.gone = 0
        if tried.fate is not Fate.DONE or response is None:
            return None
        batch.last, batch.entries = read_all(batch.batch_uuid, response.status, response.body, self._words, self._key_names)
        log.debug("batch result", batch=batch.batch_uuid, status=status, outcome=batch.last.outcome)
        if batch.last.is_final:
            return Verdict("succeeded")
        if batch.last.outcome == "unrecognised":
            said = (status, batch.last.status, batch.last.result)
            if batch.said == said:
                return self._unrecognised(batch)
            batch.said = said
        return None

    def _unrecognised(self, batch: OpenBatch) -> Verdict:
        last = batch.last
        words = "/".join(word for word in (last.status, last.result) if word) if last is not None else ""
        return Verdict("succeeded") if last is not None and last.entries else Verdict("accepted", "unrecognised", words or None)

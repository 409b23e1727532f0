"""The bulk sender: workers pull a batch, send it until its fate is known, and settle each of its records once.

The rule it exists for: a batch of an unsafe endpoint is sent again only where it is proved that it was not taken. Everything that is
under way is in `_live`, with the evidence of what became of it, so that whatever ends the run (the end of the source, an error,
cancellation at any await), `_settle_rest` can say of each record what is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal

import anyio

from .. import clock, codec, log
from ..config import BatchWords, BulkOptions, RetryPolicy, Timeout
from ..endpoints import OPERATIONS, Endpoint
from ..errors import ArmError, BulkError, NotSentError
from ..models.batches import BatchReceipt, BatchResult
from ..retry import MOVED, Fate, back_off, may_repeat
from ..transport import Delivery, Transport, Try
from ..wire import Envelope, Request, batch_receipt, to_error
from .chunking import Batch, Cutter, Kind
from .keys import KeyGate, Pass
from .poller import OpenBatch, Poller
from .pressure import Lanes, Pressure
from .report import BulkReport
from .source import Source
from .states import BatchOutcome, Verdict

__all__ = ["Job", "Sender"]

_ABOUT_THE_CALL: Final = frozenset({401, 403, 404, 405, 415})
"""Refusals that no change of the data can better: the run ends."""

_ABOUT_THE_DATA: Final = frozenset({400, 422})
"""Refusals that one bad record in the batch can be the cause of."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a run sends, where to and how.

    Attributes:
        kind: the records.
        request: the request without its body.
        envelope: what stands around the records.
        poll: the request for a batch's result.
        probe: the request for a cheap read, which shows that the server answers again.
        options: the run's options.
        words: what the words of a batch result mean.
        timeout, retry: for each request.
    """

    kind: Kind
    request: Request
    envelope: Envelope
    poll: Callable[[str], Request]
    probe: Request
    options: BulkOptions
    words: BatchWords
    timeout: Timeout
    retry: RetryPolicy

    @property
    def endpoint(self) -> Endpoint:
        """The operation."""
        return self.request.endpoint


@dataclass(eq=False, slots=True)
class _Live:
    """A batch, or a part of one, that has no final state yet, and the evidence of what became of it."""

    batch: Batch
    key_pass: Pass
    delivery: Delivery = field(default_factory=Delivery)
    attempts: int = 0
    receipt: BatchReceipt | None = None
    failures: int = 0
    trouble_since: float | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Bisection:
    """How a batch that was refused for its data is going: records in it, and those that proved bad."""

    records: int
    bad: int = 0


class Sender:
    """One run.

    Args:
        job: what is sent, where to and how.
        source: the records.
        transport: the connections.
        pressure: what all runs of the client share.
        report: takes in what becomes of each record.
        emit: told of each outcome; it may wait, when nobody takes outcomes off it.
    """

    def __init__(
        self,
        job: Job,
        source: Source,
        transport: Transport,
        pressure: Pressure,
        report: BulkReport,
        emit: Callable[[BatchOutcome], Awaitable[None]],
    ) -> None:
        self._job = job
        self._options = job.options
        self._source = source
        self._transport = transport
        self._pressure = pressure
        self._report = report
        self._emit = emit
        self._cutter = Cutter(
            job.kind,
            overhead=job.envelope.size,
            max_records=job.options.max_records,
            max_bytes=job.options.max_bytes,
        )
        self._waits = job.options.results == "wait"
        self._unread: list[Any] = []
        self._named = 0
        self._pulling = asyncio.Lock()
        self._gate = KeyGate()
        self._lanes = Lanes(job.options.concurrency)
        self._live: dict[_Live, None] = {}
        self._stop_reason: Verdict | None = None
        self._stopping = asyncio.Event()
        self._cause: Exception | None = None
        self._trouble_since: float | None = None
        self._answers = asyncio.Event()
        self._answers.set()
        self._bisects = job.options.bisect == "all" or (job.options.bisect == "safe" and job.endpoint.safe)
        self._on_progress = job.options.on_progress
        self._poller = Poller(
            self._ask,
            options=job.options,
            words=job.words,
            hold=pressure.hold,
            key_names=(job.kind.wire_key,),
            failed=lambda tried: self._end_for(tried, OPERATIONS["batches.get"]),
        )

    # --- the run ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sends everything.

        Raises:
            BulkError: the run could not go on; the cause is chained.
        """
        log.info("bulk run begins", operation=self._job.endpoint.operation, concurrency=self._options.concurrency)
        try:
            async with anyio.create_task_group() as polling:
                polling.start_soon(self._poller.run)
                async with anyio.create_task_group() as working:
                    for _ in range(self._options.concurrency):
                        working.start_soon(self._work)
                self._poller.finish()
        except BaseExceptionGroup as group:
            # What raises here is a mistake of ours or cancellation, never a failed request. One of them is enough to tell.
            raise _first(group) from None
        finally:
            self._settle_rest()
            self._report.end()
            log.info("bulk run ended", counts=self._report.summary(), elapsed=round(self._report.elapsed, 3), batches=len(self._report.batches))
        if self._cause is not None:
            raise BulkError(f"the run could not go on: {self._cause} ({self._report.summary()})", self._report) from self._cause

    def leave(self) -> None:
        """The caller goes away: start no new batch, let those on the wire end, wait for no result."""
        self._stop(Verdict("not_sent", "stopped", "the run was left before its turn"))
        self._poller.stop()

    async def _work(self) -> None:
        while (entry := await self._pull()) is not None:
            live, before = entry
            for other in before:
                await other.left.wait()
            await self._deliver(live, None)

    async def _pull(self) -> tuple[_Live, list[Pass]] | None:
        """The next batch, registered in the order of the source; None when there is none, or the run stops."""
        async with self._pulling:
            batch = await self._next_batch()
            if batch is None:
                return None
            key_pass, before = self._gate.enter(batch.keys)
            return self._register(batch, key_pass), before

    async def _next_batch(self) -> Batch | None:
        while self._stop_reason is None:
            batch = self._cutter.take()
            if batch is None and self._source.ended:
                batch = self._cutter.finish()
                if batch is None:
                    return None
            if batch is not None:
                return batch
            await self._source.read(self._cutter.wanted, self._unread)
            records, self._unread = self._unread, []
            self._cutter.feed(records)
            self._report.tally.records_read = self._cutter.read
            for outcome in self._cutter.take_invalid():
                await self._tell(outcome)
            if self._source.failure is not None:
                self._stop(Verdict("not_sent", "source_raised", "the source raised before it was sent"), self._source.failure)
        return None

    def _register(self, batch: Batch, key_pass: Pass) -> _Live:
        live = _Live(batch, key_pass)
        self._live[live] = None
        return live

    # --- one batch --------------------------------------------------------------------------------------------------------

    async def _deliver(self, live: _Live, bisection: _Bisection | None) -> None:
        """Sends a batch until its fate is known."""
        while not await self._could_not_start(live):
            async with self._open_place() as place:
                async with self._lanes.lane():
                    if place is None or not self._may_start:
                        continue
                    tried = await self._try(live)
                receipt = batch_receipt(tried.response) if tried.response is not None and tried.fate is Fate.DONE else None
                if receipt is not None:
                    place.keep = self._waits and not self._poller.stopped
                    await self._accepted(live, receipt, awaited=place.keep)
                    return
            if await self._refused(live, tried, bisection):
                return

    async def _try(self, live: _Live) -> Try:
        batch, envelope = live.batch, self._job.envelope
        pieces = [envelope.head]
        for number, piece in enumerate(batch.pieces):
            pieces += [b",", piece] if number else [piece]
        template = self._job.request
        request = Request(template.endpoint, template.path, template.query, template.language, (*pieces, envelope.tail))
        tally = self._report.tally
        tally.batches_sent += live.attempts == 0
        tally.requests += 1
        tally.bytes_sent += request.size
        live.attempts += 1
        return await self._transport.exchange_within(request, timeout=self._job.timeout, delivery=live.delivery)

    async def _accepted(self, live: _Live, receipt: BatchReceipt, *, awaited: bool) -> None:
        live.receipt = receipt
        self._went_well()
        log.info("batch accepted", batch=receipt.batch_uuid, records=len(live.batch), attempt=live.attempts, request_id=receipt.request_id)
        if not awaited:
            await self._settle(live, Verdict("accepted", "not_awaited"))
            return
        # From here on only the keys are needed: the bodies go, and the keys are kept in one piece.
        keys = _Keys(live.batch.keys)
        live.batch = Batch(live.batch.number, live.batch.indexes, keys, (), 0)  # type: ignore[arg-type]

        async def settled(verdict: Verdict, exceptions: dict[int, Verdict], result: BatchResult | None) -> None:
            self._pressure.open_batches.release()
            await self._settle(live, verdict, exceptions, result)

        self._poller.add(OpenBatch(receipt.batch_uuid, clock.monotonic(), keys.all, settled))

    async def _refused(self, live: _Live, tried: Try, bisection: _Bisection | None) -> bool:
        """Deals with a try that was not accepted; True when the batch needs no further try."""
        status = tried.status
        if tried.fate is Fate.DONE:
            # A 2xx without a batchUuid, or one that can't be read: taken or not, nobody can say.
            live.delivery.doubtful = True
            tried = Try(Fate.DOUBTFUL, "no batchUuid in the answer", tried.response, tried.retry_after)
        log.info("batch not accepted", records=len(live.batch), attempt=live.attempts, reason=tried.reason, outcome=tried.fate.value)
        if tried.fatal is not None or status in MOVED or (status in _ABOUT_THE_CALL and tried.fate is Fate.NOT_TAKEN):
            self._end_for(tried, self._job.endpoint)
            return False
        if status == 413 and len(live.batch) > 1:
            # Half of it is what the server may take; kept for the run.
            self._cutter.lower(live.batch.size // 2 + self._job.envelope.size)
            await self._split(live, bisection)
            return True
        if status in _ABOUT_THE_DATA and tried.fate is Fate.NOT_TAKEN:
            await self._refused_for_its_data(live, tried, bisection)
            return True
        return await self._wait_or_settle(live, tried)

    async def _wait_or_settle(self, live: _Live, tried: Try) -> bool:
        status, safe = tried.status, self._job.endpoint.safe
        if status in {429, 503}:
            self._lanes.slower()
        if tried.retry_after is not None:
            self._pressure.hold.extend(tried.retry_after)
        again = may_repeat(tried.fate, safe=safe, status=status) or (tried.fate is Fate.DOUBTFUL and safe and _odd_2xx(status))
        if again and tried.fate is Fate.DOUBTFUL and self._job.retry.attempts == 1:
            again = False
        if again:
            live.failures += 1
            if await self._pause(live, tried):
                return False
            await self._settle(live, self._stopped(live))
            return True
        if tried.fate is Fate.NOT_TAKEN:
            await self._settle(live, _rejected(live, tried))
            return True
        await self._settle(live, Verdict("unknown", _reason(tried), "it may or may not have been taken: look it up before you send it again"))
        if not safe:
            await self._wait_for_an_answer()
        return True

    # --- parts ------------------------------------------------------------------------------------------------------------

    async def _split(self, live: _Live, bisection: _Bisection | None) -> None:
        """Sends a batch in two halves, one after the other."""
        left, right = (self._register(part, live.key_pass) for part in live.batch.halves())
        for part in (left, right):
            part.delivery.doubtful = live.delivery.doubtful
        del self._live[live]
        await self._deliver(left, bisection)
        if live.key_pass.repeats and self._stop_reason is None:
            # The same key may be in both: the newer half must not overtake the older one.
            await left.done.wait()
        await self._deliver(right, bisection)

    async def _refused_for_its_data(self, live: _Live, tried: Try, bisection: _Bisection | None) -> None:
        """Looks for the bad record by halves, so that it does not cost its neighbours; a single one is it."""
        bisection = bisection or _Bisection(len(live.batch))
        if len(live.batch) > 1 and self._bisects:
            await self._split(live, bisection)
            return
        bisection.bad += len(live.batch)
        if bisection.bad == bisection.records and bisection.records > 1:
            # Every record of a whole batch is bad: it is not the data. The rest is not taken apart.
            self._bisects = False
        await self._settle(live, _rejected(live, tried))

    # --- waiting ------------------------------------------------------------------------------------------------------------

    @property
    def _may_start(self) -> bool:
        return self._stop_reason is None and not self._pressure.hold.remaining and self._answers.is_set()

    async def _could_not_start(self, live: _Live) -> bool:
        """Waits until the batch may be sent; True when it is settled instead, because the run stops."""
        while self._stop_reason is None and not self._may_start:
            if self._pressure.hold.remaining:
                await self._sleep(self._pressure.hold.remaining)
            else:
                await self._answers.wait()
        if self._stop_reason is None:
            return False
        await self._settle(live, self._stopped(live))
        return True

    def _stopped(self, live: _Live) -> Verdict:
        """The verdict for a batch whose turn does not come any more."""
        if live.delivery.may_be_taken:
            return Verdict("unknown", "not_repeated", "an earlier try may have been taken, and the run stopped")
        return self._stop_reason or Verdict("not_sent", "stopped", "the run was ended before its turn")

    async def _pause(self, live: _Live, tried: Try) -> bool:
        """Waits before the next try of a batch, and holds no place meanwhile; False where patience with this batch has ended."""
        now = clock.monotonic()
        live.trouble_since = now if live.trouble_since is None else live.trouble_since
        delay = tried.retry_after if tried.retry_after is not None else back_off(self._job.retry, live.failures)
        if now - live.trouble_since + delay <= self._options.patience:
            await self._sleep(delay, tried)
            return True
        if self._trouble_since is None or now - self._trouble_since + delay > self._options.patience:
            self._out_of_patience(tried)
        return False

    async def _sleep(self, seconds: float, tried: Try | None = None) -> None:
        """Sleeps while the run goes on, and ends the run where its patience does not reach that far."""
        now = clock.monotonic()
        self._trouble_since = now if self._trouble_since is None else self._trouble_since
        if now - self._trouble_since + seconds > self._options.patience:
            self._out_of_patience(tried or Try(Fate.NOT_SENT, "it asks for a longer wait"))
        else:
            await clock.wait(self._stopping, seconds)

    async def _wait_for_an_answer(self) -> None:
        """After an unknown outcome no new batch starts until the server has answered a cheap read."""
        if not self._answers.is_set():
            return
        self._answers.clear()
        failures = 0
        while self._stop_reason is None:
            tried = await self._transport.exchange_within(self._job.probe, timeout=self._job.timeout)
            if tried.fatal is not None:
                self._end_for(tried, self._job.probe.endpoint)
            elif tried.status is not None and tried.status < 500 and tried.status != 429:
                break
            else:
                failures += 1
                delay = tried.retry_after if tried.retry_after is not None else back_off(self._job.retry, failures)
                await self._sleep(delay, tried)
        self._answers.set()

    @asynccontextmanager
    async def _open_place(self) -> AsyncIterator[_Place | None]:
        """A place among the open batches, where results are waited for, given back unless it is kept; None when the run stops."""
        place = _Place()
        if not self._waits:
            yield place
        elif not await self._acquire_open_place():
            yield None
        else:
            try:
                yield place
            finally:
                if not place.keep:
                    self._pressure.open_batches.release()

    async def _acquire_open_place(self) -> bool:
        places = self._pressure.open_batches
        if not places.locked():
            return await places.acquire()
        acquired, stopped = asyncio.create_task(places.acquire()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((acquired, stopped), return_when=asyncio.FIRST_COMPLETED)
            if self._stop_reason is None:
                return True
        except asyncio.CancelledError:
            self._give_back(acquired)
            raise
        finally:
            stopped.cancel()
        self._give_back(acquired)
        return False

    def _give_back(self, acquired: asyncio.Task[Literal[True]]) -> None:
        if not acquired.cancel() and not acquired.cancelled():
            self._pressure.open_batches.release()

    # --- ends -------------------------------------------------------------------------------------------------------------

    def _went_well(self) -> None:
        self._trouble_since = None
        self._lanes.went_well()

    def _out_of_patience(self, tried: Try) -> None:
        text = f"the server did not take anything for {self._options.patience:g} s (last: {tried.reason})"
        error: ArmError = NotSentError(text + ": run it again later, or allow more patience")
        if tried.response is not None:
            error = to_error(tried.response, self._job.endpoint, tried.retry_after)
        self._stop(Verdict("not_sent", "patience", text), error)
        self._poller.stop()

    def _end_for(self, tried: Try, endpoint: Endpoint) -> None:
        """Ends the run for a failure that is about the call and not about the data."""
        error: Exception = tried.fatal or NotSentError(tried.reason)
        if tried.fatal is None and tried.response is not None:
            error = to_error(tried.response, endpoint, tried.retry_after)
        self._stop(Verdict("not_sent", _reason(tried), str(error)), error)
        if tried.fatal is not None or tried.status == 401:
            self._poller.stop()

    def _stop(self, reason: Verdict, cause: Exception | None = None) -> None:
        if self._stop_reason is None:
            self._stop_reason = reason
            self._cause = cause
            self._stopping.set()
            # Whoever waits for something that only the run would bring, waits no longer.
            self._answers.set()
            self._gate.abandon()
            for live in self._live:
                live.done.set()

    async def _ask(self, batch_uuid: str) -> Try:
        self._report.tally.polls += 1
        return await self._transport.exchange_within(self._job.poll(batch_uuid), timeout=self._job.timeout)

    # --- settling ---------------------------------------------------------------------------------------------------------

    async def _settle(
        self,
        live: _Live,
        verdict: Verdict,
        exceptions: dict[int, Verdict] | None = None,
        result: BatchResult | None = None,
    ) -> None:
        await self._tell(self._close(live, verdict, exceptions, result))

    def _close(
        self, live: _Live, verdict: Verdict, exceptions: dict[int, Verdict] | None = None, result: BatchResult | None = None
    ) -> BatchOutcome:
        """Gives a batch its final state; it happens once, and without an await between the parts of it."""
        del self._live[live]
        self._gate.settle(live.key_pass, len(live.batch))
        live.done.set()
        uuid = live.receipt.batch_uuid if live.receipt is not None else None
        outcome = BatchOutcome(
            live.batch.number, uuid, live.attempts, result, live.batch.indexes, list(live.batch.keys), verdict, exceptions or {}
        )
        self._report.add(outcome)
        self._tell_progress()
        return outcome

    async def _tell(self, outcome: BatchOutcome) -> None:
        if not outcome.number:
            self._report.add(outcome)
        await self._emit(outcome)

    def _tell_progress(self) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(self._report.progress(self._poller.open))
        except Exception as failure:
            # A broken progress bar must not cost the night.
            self._on_progress = None
            log.warning("on_progress raised and is not called again", error=type(failure).__name__)

    def _settle_rest(self) -> None:
        """Gives their final state to all records that were read and have none, from what is known of them. Never waits."""
        for live in list(self._live):
            if live.receipt is not None:
                self._pressure.open_batches.release()
                self._close(live, Verdict("accepted", "not_awaited", "the run ended before the result came"))
            elif live.delivery.started:
                self._close(live, Verdict("unknown", "cut_off", "the run was cut off while it was on the wire"))
            else:
                self._close(live, self._stopped(live))
        self._cutter.feed(self._unread)
        self._unread = []
        reason = self._stop_reason or Verdict("not_sent", "stopped", "the run was ended before its turn")
        while (batch := self._cutter.finish()) is not None:
            self._report.add(BatchOutcome(batch.number, None, 0, None, batch.indexes, batch.keys, reason))
        for outcome in self._cutter.take_invalid():
            self._report.add(outcome)
        self._report.tally.records_read = self._cutter.read
        if self._cause is not None:
            self._name_the_rest(reason)

    def _name_the_rest(self, reason: Verdict) -> None:
        """A source with a length is named to its end, so that nothing in it is lost in silence when a run can't go on."""
        rest = self._source.rest()
        while records := list(islice(rest, 1000)):
            read = self._cutter.read + self._named
            self._named += len(records)
            keys = [self._key_of(record) for record in records]
            self._report.add(BatchOutcome(0, None, 0, None, range(read, read + len(records)), keys, reason))
        self._report.tally.records_read = self._cutter.read + self._named

    def _key_of(self, record: Any) -> str | None:
        try:
            return self._job.kind.key_of(record)
        except Exception:  # it is only named; what is wrong with it, nobody asks any more
            return None


class _Place:
    """Whether a place among the open batches is kept."""

    keep = False


class _Keys:
    """The keys of an open batch, in one piece of memory."""

    __slots__ = ("_text", "_length")

    def __init__(self, keys: Sequence[str | None]) -> None:
        self._text = codec.ENCODER.encode(keys)
        self._length = len(keys)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Any:
        return iter(self.all())

    def all(self) -> list[str | None]:
        """The keys."""
        keys: list[str | None] = codec.json_value(self._text)
        return keys


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    for failure in group.exceptions:
        return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
    return group


def _odd_2xx(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _reason(tried: Try) -> str:
    return str(tried.status) if tried.status is not None else tried.reason.replace(" ", "_").replace("-", "")


def _rejected(live: _Live, tried: Try) -> Verdict:
    """The verdict for a refusal: where an earlier try of the batch may have been taken, it proves nothing."""
    if live.delivery.doubtful:
        return Verdict("unknown", _reason(tried), "refused, and an earlier try may have been taken")
    body = codec.json_object(tried.response.body) if tried.response is not None else None
    message = body.get("message") if body is not None else None
    return Verdict("rejected", _reason(tried), message if isinstance(message, str) else None)

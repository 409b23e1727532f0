"""The bulk sender: workers pull a batch, send it until its fate is known, and settle each of its records once.

The rule it exists for: a batch of an unsafe endpoint is sent again only where it is proved that it was not taken. Everything that is
under way stands in the account with the evidence of what became of it, so that whatever ends the run (the end of the source, an error,
cancellation at any await), each record gets the state that is proved.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import anyio

from .. import clock, codec, log
from ..endpoints import OPERATIONS
from ..errors import ArmError, BulkError
from ..models.batches import BatchReceipt, BatchResult
from ..retry import MOVED, Fate, may_repeat
from ..transport import Transport
from ..tries import Try
from ..wire import Request, batch_receipt
from .account import STOPPED, Account, Live
from .chunking import Batch, Cutter
from .course import Course, reason_of
from .job import Job
from .keys import Pass
from .poller import OpenBatch, Poller
from .pressure import Lanes, Pressure, acquire_place
from .report import BulkReport
from .source import Source
from .states import BatchOutcome, Verdict

__all__ = ["Sender"]

_ABOUT_THE_CALL: Final = frozenset({401, 403, 404, 405, 415})
"""Refusals that no change of the data can better: the run ends."""

_ABOUT_THE_DATA: Final = frozenset({400, 422})
"""Refusals that one bad record in the batch can be the cause of."""


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
        emit: told of each outcome.
        room: waits until there is room for more outcomes, before a batch is pulled: what is under way is never kept from ending.
    """

    def __init__(
        self,
        job: Job,
        source: Source,
        transport: Transport,
        pressure: Pressure,
        report: BulkReport,
        emit: Callable[[BatchOutcome], None],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        self._job = job
        self._options = job.options
        self._source = source
        self._transport = transport
        self._pressure = pressure
        self._report = report
        self._room = room
        self._account = Account(report, emit, job.options.on_progress, lambda: self._poller.open)
        self._cutter = Cutter(
            job.kind,
            overhead=job.envelope.size,
            max_records=job.options.max_records,
            max_bytes=job.options.max_bytes,
        )
        self._waits = job.options.results == "wait"
        self._unread: list[Any] = []
        self._pulling = asyncio.Lock()
        self._lanes = Lanes(job.options.concurrency)
        self._course = Course(
            hold=pressure.hold,
            patience=job.options.patience,
            retry=job.retry,
            endpoint=job.endpoint,
            stopped=self._stopped,
        )
        self._reading = anyio.CancelScope()
        self._bisects = job.options.bisect == "all" or (job.options.bisect == "safe" and job.endpoint.safe)
        self._poller = Poller(
            self._ask,
            options=job.options,
            words=job.words,
            hold=pressure.hold,
            key_names=(job.kind.wire_key,),
            failed=self._cannot_poll,
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
            self._end()
            log.info(
                "bulk run ended", counts=self._report.summary(), elapsed=round(self._report.elapsed, 3), batches=len(self._report.batches)
            )
        if (cause := self._course.cause) is not None:
            # What the caller's source says may hold anything: only what this library says is quoted.
            text = str(cause) if isinstance(cause, ArmError) else f"the source raised {type(cause).__name__}"
            raise BulkError(f"the run could not go on: {text} ({self._report.summary()})", self._report) from cause

    def _end(self) -> None:
        """Accounts for what has no final state yet; without an await, so that no cancellation comes between."""
        reason = self._course.reason or STOPPED
        for _ in range(self._account.close_rest(self._cutter, self._unread, reason)):
            self._pressure.open_batches.release()
        self._unread = []
        if self._course.cause is not None:
            self._account.name_rest(self._source.rest(), self._job.kind, reason)
        self._report.end()

    def _stopped(self) -> None:
        # A source that has nothing to give for an hour must not keep a run that has stopped.
        self._reading.cancel()
        self._account.release_waiters()

    def leave(self) -> None:
        """The caller goes away: start no new batch, let those on the wire end, wait for no result."""
        self._course.stop(Verdict("not_sent", "stopped", "the run was left before its turn"))
        self._poller.stop()

    def _cannot_poll(self, tried: Try) -> None:
        """No result can be had any more: without a token neither a question nor a batch gets through."""
        self._course.stop_for(tried, OPERATIONS["batches.get"])
        self._poller.stop()

    async def _work(self) -> None:
        while (entry := await self._pull()) is not None:
            live, before = entry
            for other in before:
                await other.left.wait()
            await self._deliver(live, None)

    async def _pull(self) -> tuple[Live, list[Pass]] | None:
        """The next batch, registered in the order of the source; None when there is none, or the run stops."""
        async with self._pulling:
            await self._room()
            batch = await self._next_batch()
            if batch is None:
                return None
            return self._account.enter(batch)

    async def _next_batch(self) -> Batch | None:
        while self._course.reason is None:
            batch = self._cutter.take()
            if batch is None and self._source.ended:
                batch = self._cutter.finish()
                if batch is None:
                    return None
            if batch is not None:
                return batch
            with anyio.CancelScope() as self._reading:
                await self._source.read(self._cutter.wanted, self._unread)
            records, self._unread = self._unread, []
            self._cutter.feed(records)
            self._report.tally.records_read = self._cutter.read
            self._account.refuse(self._cutter.take_invalid())
            if self._source.failure is not None:
                self._course.stop(Verdict("not_sent", "source_raised", "the source raised before it was sent"), self._source.failure)
        return None

    # --- one batch --------------------------------------------------------------------------------------------------------

    async def _deliver(self, live: Live, bisection: _Bisection | None) -> None:
        """Sends a batch until its fate is known."""
        while await self._course.wait_to_send():
            async with self._open_place() as place:
                async with self._lanes.lane():
                    # While it waited for a place, the run may have stopped, or been held.
                    if place is None or not self._course.may_send:
                        continue
                    tried = await self._try(live)
                if tried is None:
                    continue
                receipt = batch_receipt(tried.response) if tried.response is not None and tried.fate is Fate.DONE else None
                if receipt is not None:
                    place.keep = self._waits and not self._poller.stopped
                    self._accepted(live, receipt, awaited=place.keep)
                    return
            if await self._refused(live, tried, bisection):
                return
        self._give_up(live)

    def _give_up(self, live: Live) -> None:
        """Settles a batch that is not tried any more."""
        reason = self._course.reason or Verdict("not_sent", "patience", "the server did not take it within the patience of the run")
        self._account.settle(live, self._account.stopped(live, reason))

    async def _try(self, live: Live) -> Try | None:
        """Sends a batch once; None where the run was held or stopped before it was its turn at the limits of the client."""
        batch, envelope = live.batch, self._job.envelope
        pieces = [envelope.head]
        for number, piece in enumerate(batch.pieces):
            pieces += [b",", piece] if number else [piece]
        template = self._job.request
        request = Request(template.endpoint, template.path, template.query, template.language, (*pieces, envelope.tail))

        def starts() -> bool:
            if not self._course.may_send:
                return False
            tally = self._report.tally
            tally.batches_sent += live.attempts == 0
            tally.requests += 1
            tally.bytes_sent += request.size
            live.attempts += 1
            return True

        return await self._transport.attempt(request, timeout=self._job.timeout, delivery=live.delivery, starts=starts)

    def _accepted(self, live: Live, receipt: BatchReceipt, *, awaited: bool) -> None:
        live.receipt = receipt
        self._course.is_answered()
        self._lanes.went_well()
        log.info("batch accepted", batch=receipt.batch_uuid, records=len(live.batch), attempt=live.attempts, request_id=receipt.request_id)
        if not awaited:
            self._account.settle(live, Verdict("accepted", "not_awaited"))
            return
        # From here on only the keys are needed.
        keys = live.keep_only_keys()

        def settled(verdict: Verdict, exceptions: dict[int, Verdict], result: BatchResult | None) -> None:
            self._pressure.open_batches.release()
            self._account.settle(live, verdict, exceptions, result)

        self._poller.add(OpenBatch(receipt.batch_uuid, clock.monotonic(), keys, settled))

    async def _refused(self, live: Live, tried: Try, bisection: _Bisection | None) -> bool:
        """Deals with a try that was not accepted; True when the batch needs no further try."""
        status = tried.status
        if tried.fate is Fate.DONE:
            # A 2xx without a batchUuid, or one that can't be read: taken or not, nobody can say.
            tried = Try(Fate.DOUBTFUL, "no batchUuid in the answer", tried.response, tried.retry_after)
        log.info("batch not accepted", records=len(live.batch), attempt=live.attempts, reason=tried.reason, outcome=tried.fate.value)
        if tried.fatal is not None or status in MOVED or (status in _ABOUT_THE_CALL and tried.fate is Fate.NOT_TAKEN):
            self._course.stop_for(tried, self._job.endpoint)
            return False
        if tried.fate is Fate.NOT_TAKEN and status != 429:
            self._course.is_answered()
        if status == 413 and len(live.batch) > 1:
            # Half of it is what the server may take; kept for the run.
            self._cutter.lower(live.batch.size // 2 + self._job.envelope.size)
            await self._split(live, bisection)
        elif status in _ABOUT_THE_DATA:
            await self._refused_for_its_data(live, tried, bisection)
        elif not self._may_repeat(tried):
            await self._ends(live, tried)
        elif await self._wait_to_repeat(live, tried):
            return False
        return True

    def _may_repeat(self, tried: Try) -> bool:
        endpoint = self._job.endpoint
        if tried.fate is Fate.DOUBTFUL and self._job.retry.attempts == 1:
            return False
        return may_repeat(tried.fate, safe=endpoint.safe, status=tried.status)

    async def _wait_to_repeat(self, live: Live, tried: Try) -> bool:
        """Waits, and makes the others wait, as the server asks; False where the batch is settled instead."""
        self._relieve(tried)
        # Waiting in silence for half an hour, say for a host that is misspelt, helps nobody.
        self._account.tell_progress(reason_of(tried))
        if await self._course.pause(live, tried):
            return True
        self._give_up(live)
        return False

    async def _ends(self, live: Live, tried: Try) -> None:
        """Settles a batch that may not be sent again: refused for good, or unknown."""
        if tried.fate is Fate.NOT_TAKEN:
            self._account.settle(live, _rejected(live, tried))
            return
        self._relieve(tried)
        # Before anything is waited for: from here on no new unsafe batch may start.
        asks = not self._job.endpoint.safe and self._course.doubt()
        text = "it may or may not have been taken: look it up before you send it again"
        self._account.settle(live, Verdict("unknown", reason_of(tried), text))
        if asks:
            probe = self._job.probe
            await self._course.find_out(lambda: self._transport.ask(probe, timeout=self._job.timeout), probe.endpoint)

    def _relieve(self, tried: Try) -> None:
        if tried.status in {429, 503}:
            self._lanes.slower()
        if tried.retry_after is not None:
            self._pressure.hold.extend(tried.retry_after)

    # --- parts ------------------------------------------------------------------------------------------------------------

    async def _split(self, live: Live, bisection: _Bisection | None) -> None:
        """Sends a batch in two halves, one after the other."""
        left, right = self._account.split(live)
        await self._deliver(left, bisection)
        if live.key_pass.repeats:
            # The same key may be in both: the newer half must not overtake the older one.
            await left.wait_done(self._course.stopping)
        await self._deliver(right, bisection)

    async def _refused_for_its_data(self, live: Live, tried: Try, bisection: _Bisection | None) -> None:
        """Looks for the bad record by halves, so that it does not cost its neighbours; a single one is it."""
        bisection = bisection or _Bisection(len(live.batch))
        if len(live.batch) > 1 and self._bisects:
            await self._split(live, bisection)
            return
        bisection.bad += len(live.batch)
        if bisection.bad == bisection.records and bisection.records > 1:
            # Every record of a whole batch is bad: it is not the data. The rest is not taken apart.
            self._bisects = False
        self._account.settle(live, _rejected(live, tried))

    # --- waiting ------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _open_place(self) -> AsyncIterator[_Place | None]:
        """A place among the open batches, where results are waited for, given back unless it is kept; None when the run stops."""
        place = _Place()
        if not self._waits:
            yield place
        elif not await acquire_place(self._pressure.open_batches, self._course.stopping):
            yield None
        else:
            try:
                yield place
            finally:
                if not place.keep:
                    self._pressure.open_batches.release()

    async def _ask(self, batch_uuid: str) -> Try:
        self._report.tally.polls += 1
        return await self._transport.ask(self._job.poll(batch_uuid), timeout=self._job.timeout)


class _Place:
    """Whether a place among the open batches is kept."""

    keep = False


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    for failure in group.exceptions:
        return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
    return group


def _rejected(live: Live, tried: Try) -> Verdict:
    """The verdict for a refusal: where an earlier try of the batch may have been taken, it proves nothing."""
    if live.delivery.doubtful:
        return Verdict("unknown", reason_of(tried), "refused, and an earlier try may have been taken")
    body = codec.json_object(tried.response.body) if tried.response is not None else None
    message = body.get("message") if body is not None else None
    return Verdict("rejected", reason_of(tried), message if isinstance(message, str) else None)

"""How a batch is delivered: sent until its fate is known, split where it is too large or holds a bad record, and settled.

The rule it exists for: a batch of an unsafe endpoint is sent again only where it is proved that it was not taken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from anyio import to_thread
from msgspec import Struct
from msgspec.structs import replace

from .. import clock, codec, log
from ..attempts import Attempt
from ..compression import Compression, compress
from ..errors import ArmError, StatusError
from ..models.batches import BatchReceipt, BatchResult
from ..retry import MOVED, Proof, may_repeat
from ..transport import Transport
from ..wire import Request, batch_receipt
from .control import RunControl, reason_of
from .in_flight import BatchTracker, InFlightBatch
from .journal.recorder import Recorder
from .limits import AdaptiveConcurrency, ResizableSemaphore, SharedLimits, acquire_place
from .outcomes import Outcome
from .polling import OpenBatch, Poller
from .spec import RunSpec

__all__ = ["BatchSender", "Bisection", "compressed", "with_advice"]

_UNSUPPORTED: Final = 415


async def compressed(request: Request, encoding: Compression) -> Request:
    """The request with its body compressed. Nothing of it has left meanwhile, so to be cancelled here leaves no doubt.

    In a worker thread, since zlib and zstd let the others run while they work: the loop goes on, and the next batch is encoded.
    """
    plain = [piece for piece in request.body if isinstance(piece, bytes)]
    # What is cancelled does not wait: the thread has nothing to lose but its result.
    body = await to_thread.run_sync(compress, plain, encoding, abandon_on_cancel=True)
    return replace(request, body=(body,), encoding=encoding)


def with_advice(tried: Attempt, spec: RunSpec) -> Attempt:
    """The try, with an error that says what to change where the server does not take what is compressed."""
    said = tried.status_error(spec.endpoint)
    if said is None or said.status != _UNSUPPORTED or spec.options.compression is None:
        return tried
    hint = f"the server does not take bodies that are compressed with {spec.options.compression}: remove compression="
    error = StatusError(said.status, operation=said.operation, body=said.body, request_id=said.request_id, hint=hint)
    return replace(tried, fatal=error)


_ABOUT_THE_CALL: Final = frozenset({401, 403, 404, 405, 415})
"""Refusals that no change of the data can better: the run ends."""

_ABOUT_THE_DATA: Final = frozenset({400, 422})
"""Refusals that one bad record in the batch can be the cause of."""


class Bisection(Struct):
    """How a batch that was refused for its data is going: records in it, and those that proved bad."""

    records: int
    bad: int = 0


class BatchSender:
    """Delivers the batches of a run.

    Args:
        job: where they go and how.
        transport: the connections.
        pressure: what all runs of the client share.
        account: takes in what becomes of each record.
        course: whether the run goes on.
        poller: waits for results.
        keeper: keeps each step.
        lower: told of a size that is too large for the server.
        pace: how many may be on the wire.
    """

    def __init__(
        self,
        spec: RunSpec,
        transport: Transport,
        shared_limits: SharedLimits,
        tracker: BatchTracker,
        control: RunControl,
        poller: Poller,
        recorder: Recorder,
        lower: Callable[[int], None],
        concurrency: AdaptiveConcurrency,
    ) -> None:
        self._spec = spec
        self._transport = transport
        self._shared_limits = shared_limits
        self._tracker = tracker
        self._control = control
        self._poller = poller
        self._recorder = recorder
        self._lower = lower
        self._concurrency = concurrency
        # One batch more is being written down meanwhile, so that the wire need not wait for the disk.
        self._semaphore = ResizableSemaphore(lambda: concurrency.limit + min(recorder.ahead, 1))
        self._wire = ResizableSemaphore(lambda: concurrency.limit)
        self._waits = spec.options.results == "wait"
        self._bisects = spec.options.bisect == "all" or (spec.options.bisect == "safe" and spec.endpoint.safe)

    def more_lanes(self) -> None:
        """To be called when the pace has changed."""
        self._semaphore.wake()
        self._wire.wake()

    async def deliver(self, live: InFlightBatch, bisection: Bisection | None = None) -> None:
        """Sends a batch until its fate is known."""
        while await self._control.wait_to_send():
            async with self._open_place() as place, self._semaphore.lane(), self._turn_on_the_wire() as turn:
                # While it waited for a place, the run may have stopped, or been held.
                if place is None or not self._control.may_send:
                    continue
                tried = await self._try(live, turn)
                if tried is None:
                    if not live.batch:
                        # Another run has sent all of it.
                        return
                    continue
                receipt = batch_receipt(tried.response) if tried.response is not None and tried.proof is Proof.DONE else None
                if receipt is not None:
                    place.keep = self._waits and not self._poller.stopped
                    live.has_place = place.keep
                    if await self._accepted(live, receipt):
                        return
                    # The place goes to others, since nothing is polled.
                    place.keep = live.has_place = False
            if receipt is not None:
                if await self._named_twice(live, tried):
                    return
            elif await self._refused(live, tried, bisection):
                return
        self._give_up(live)

    def _give_up(self, live: InFlightBatch) -> None:
        """Settles a batch that is not tried any more."""
        reason = self._control.reason or Outcome("not_sent", "patience", "the server did not take it within the patience of the run")
        self._tracker.settle(live, self._tracker.stopped(live, reason))

    async def _try(self, live: InFlightBatch, turn: Callable[[], Awaitable[None]]) -> Attempt | None:
        """Sends a batch once; None where the run was held or stopped before it was its turn at the limits of the client."""
        batch, envelope = live.batch, self._spec.envelope
        pieces = [envelope.head]
        for number, piece in enumerate(batch.pieces):
            pieces += [b",", piece] if number else [piece]
        template = self._spec.request
        request = Request(template.endpoint, template.path, template.query, template.language, (*pieces, envelope.tail))
        if self._spec.options.compression is not None:
            request = await compressed(request, self._spec.options.compression)

        async def starts() -> bool:
            # As late as this: what was not written down did not leave, and what was written down is hardly ever kept from leaving.
            if not await self._keep_sending(live):
                return False
            await turn()
            if not self._control.may_send:
                self._recorder.put_back(live)
                return False
            tally = self._tracker.report.tally
            tally.batches_sent += live.attempts == 0
            tally.requests += 1
            tally.bytes_sent += request.size
            live.attempts += 1
            live.began = clock.monotonic()
            return True

        timeout = self._spec.timeout.within(self._control.patience_left(live))
        tried = await self._transport.attempt(request, timeout=timeout, delivery=live.delivery, starts=starts)
        if tried is not None:
            self._control.note(tried)
        return tried

    async def _keep_sending(self, live: InFlightBatch) -> bool:
        """Writes down that a batch is about to leave; False where it may not, or that can't be done."""
        if not self._control.may_send:
            return False
        try:
            taken_out = await self._recorder.sending(live)
        except ArmError as exc:
            self._control.stop_for_journal(exc)
            return False
        if taken_out:
            self._tracker.take_out(live, taken_out)
        return not taken_out

    async def _accepted(self, live: InFlightBatch, receipt: BatchReceipt) -> bool:
        """Takes note that a batch was accepted; False where its batchUuid is that of another batch."""
        self._control.is_answered()
        seconds = clock.monotonic() - live.began
        names, client_no = self._shared_limits.names, self._spec.client_no
        is_first = names.give(client_no, receipt.batch_uuid)
        if is_first:
            live.receipt = receipt
        try:
            # The journal knows the batches of other attempts and runs, and keeps that one of them is not alone.
            if not await self._recorder.accepted(live, receipt.batch_uuid, is_first=is_first) and is_first:
                names.share(client_no, receipt.batch_uuid)
                is_first = False
        except ArmError as exc:
            self._control.stop_for_journal(exc)
        if not is_first:
            live.receipt = None
            log.warning("batchUuid given twice", batch=receipt.batch_uuid, records=len(live.batch), request_id=receipt.request_id)
            return False
        self._concurrency.taken(seconds)
        self._tracker.report.accepted(len(live.batch), seconds)
        log.info("batch accepted", batch=receipt.batch_uuid, records=len(live.batch), attempt=live.attempts, request_id=receipt.request_id)
        if not live.has_place:
            self._tracker.settle(live, Outcome("accepted", "not_awaited"))
            return True
        # From here on only the keys are needed.
        keys = live.keep_only_keys()

        def settled(verdict: Outcome, exceptions: dict[int, Outcome], result: BatchResult | None) -> None:
            self._shared_limits.open_batches.release()
            self._tracker.settle(live, verdict, exceptions, result)

        is_shared = partial(names.is_shared, client_no, receipt.batch_uuid)
        self._poller.add(OpenBatch(receipt.batch_uuid, clock.monotonic(), len(live.batch), keys, settled, is_shared))
        return True

    async def _named_twice(self, live: InFlightBatch, tried: Attempt) -> bool:
        """Deals with a batch that was given the batchUuid of another one; True when it needs no further try.

        A cache that answers in the place of the service has most likely let nothing through. What may be sent again is: a few times.
        """
        live.status, live.was_ambiguous = tried.status, True
        live.repeated += 1
        doubtful = Attempt(Proof.AMBIGUOUS, "batch_uuid_repeated", tried.response)
        if self._may_repeat(doubtful) and live.repeated < self._spec.retry.attempts and await self._control.pause(live, doubtful):
            return False
        text = (
            "the answer names a batch that was accepted before, so nobody can say whether this one was: look it up before you send it again"
        )
        await self._doubt(live, Outcome("unknown", doubtful.reason, text))
        return True

    async def _refused(self, live: InFlightBatch, tried: Attempt, bisection: Bisection | None) -> bool:
        """Deals with a try that was not accepted; True when the batch needs no further try."""
        status = tried.status
        if tried.proof is Proof.DONE:
            # A 2xx without a batchUuid, or one that can't be read: taken or not, nobody can say.
            tried = Attempt(Proof.AMBIGUOUS, "no batchUuid in the answer", tried.response, tried.retry_after)
        if tried.proof is Proof.AMBIGUOUS:
            live.status, live.was_ambiguous = status, True
        log.info("batch not accepted", records=len(live.batch), attempt=live.attempts, reason=tried.reason, outcome=tried.proof.value)
        if self._control.is_hopeless(tried) or status in MOVED or (status in _ABOUT_THE_CALL and tried.proof is Proof.NOT_TAKEN):
            self._control.stop_for(with_advice(tried, self._spec), self._spec.endpoint)
            return False
        if tried.proof is Proof.NOT_TAKEN and status != 429:
            self._control.is_answered()
        if status == 413 and tried.proof is Proof.NOT_TAKEN and len(live.batch) > 1:
            # Half of it is what the server may take; kept for the run.
            self._lower(live.batch.size // 2 + self._spec.envelope.size)
            await self._split(live, bisection)
        elif status in _ABOUT_THE_DATA and tried.proof is Proof.NOT_TAKEN:
            await self._refused_for_its_data(live, tried, bisection)
        elif not self._may_repeat(tried):
            await self._ends(live, tried)
        elif await self._wait_to_repeat(live, tried):
            return False
        return True

    def _may_repeat(self, tried: Attempt) -> bool:
        endpoint = self._spec.endpoint
        if tried.proof is Proof.AMBIGUOUS and self._spec.retry.attempts == 1:
            return False
        return may_repeat(tried.proof, safe=endpoint.safe, status=tried.status)

    async def _wait_to_repeat(self, live: InFlightBatch, tried: Attempt) -> bool:
        """Waits, and makes the others wait, as the server asks; False where the batch is settled instead."""
        if not live.delivery.is_ambiguous:
            self._recorder.put_back(live)
        self._relieve(tried)
        # Waiting in silence for half an hour, say for a host that is misspelt, helps nobody.
        self._tracker.tell_progress(reason_of(tried))
        if await self._control.pause(live, tried):
            return True
        self._give_up(live)
        return False

    async def _ends(self, live: InFlightBatch, tried: Attempt) -> None:
        """Settles a batch that may not be sent again: refused for good, or unknown."""
        if tried.proof is Proof.NOT_TAKEN:
            self._tracker.settle(live, _rejected(live, tried))
            return
        self._relieve(tried)
        text = "it may or may not have been taken: look it up before you send it again"
        await self._doubt(live, Outcome("unknown", reason_of(tried), text))

    async def _doubt(self, live: InFlightBatch, verdict: Outcome) -> None:
        """Settles a batch as unknown, and sees to it that no new unsafe one starts before the server answers a read."""
        # Before anything is waited for: from here on no new unsafe batch may start.
        asks = not self._spec.endpoint.safe and self._control.doubt()
        self._tracker.settle(live, verdict)
        if asks:
            probe = self._spec.probe

            async def ask() -> Attempt:
                return await self._transport.ask(probe, timeout=self._spec.timeout.within(self._control.patience_left()))

            await self._control.find_out(ask, probe.endpoint)

    def _relieve(self, tried: Attempt) -> None:
        if tried.status in {429, 503}:
            self._concurrency.slower()
        if tried.retry_after is not None:
            self._shared_limits.hold.extend(tried.retry_after)

    # --- parts ------------------------------------------------------------------------------------------------------------

    async def _split(self, live: InFlightBatch, bisection: Bisection | None) -> None:
        """Sends a batch in two halves, one after the other."""
        left, right = self._tracker.split(live)
        await self.deliver(left, bisection)
        if live.key_pass.repeats:
            # The same key may be in both: the newer half must not overtake the older one.
            await left.wait_done(self._control.stopping)
        await self.deliver(right, bisection)

    async def _refused_for_its_data(self, live: InFlightBatch, tried: Attempt, bisection: Bisection | None) -> None:
        """Looks for the bad record by halves, so that it does not cost its neighbours; a single one is it."""
        bisection = bisection or Bisection(len(live.batch))
        if len(live.batch) > 1 and self._bisects:
            await self._split(live, bisection)
            return
        bisection.bad += len(live.batch)
        if bisection.bad == bisection.records and bisection.records > 1:
            # Every record of a whole batch is bad: it is not the data. The rest is not taken apart.
            self._bisects = False
        self._tracker.settle(live, _rejected(live, tried))

    # --- waiting ------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _open_place(self) -> AsyncIterator[_Place | None]:
        """A place among the open batches, where results are waited for, given back unless it is kept; None when the run stops."""
        place = _Place()
        if not self._waits:
            yield place
        elif not await acquire_place(self._shared_limits.open_batches, self._control.stopping):
            yield None
        else:
            try:
                yield place
            finally:
                if not place.keep:
                    self._shared_limits.open_batches.release()

    @asynccontextmanager
    async def _turn_on_the_wire(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Gives a function that waits until the batch may be on the wire; it is there until its batchUuid is kept."""
        has_turn = False

        async def take() -> None:
            nonlocal has_turn
            if not has_turn:
                await self._wire.enter()
                has_turn = True

        try:
            yield take
        finally:
            if has_turn:
                self._wire.leave()


class _Place:
    """Whether a place among the open batches is kept."""

    keep = False


def _rejected(live: InFlightBatch, tried: Attempt) -> Outcome:
    """The verdict for a refusal: where an earlier try of the batch may have been taken, it proves nothing."""
    if live.delivery.was_ambiguous:
        return Outcome("unknown", reason_of(tried), "refused, and an earlier try may have been taken")
    body = codec.json_object(tried.response.body) if tried.response is not None else None
    message = body.get("message") if body is not None else None
    return Outcome("rejected", reason_of(tried), message if isinstance(message, str) else None)

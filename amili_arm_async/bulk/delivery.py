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
from .limits import AdaptiveConcurrency, OpenBatchSlot, ResizableSemaphore, SharedLimits
from .outcomes import Outcome
from .polling import OpenBatch, Poller
from .reader import Reader
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


def with_advice(attempt: Attempt, spec: RunSpec) -> Attempt:
    """The try, with an error that says what to change where the server does not take what is compressed."""
    said = attempt.status_error(spec.endpoint)
    if said is None or said.status != _UNSUPPORTED or spec.options.compression is None:
        return attempt
    hint = f"the server does not take bodies that are compressed with {spec.options.compression}: remove compression="
    error = StatusError(said.status, operation=said.operation, body=said.body, request_id=said.request_id, hint=hint)
    return replace(attempt, fatal=error)


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
        spec: what is sent, where to and how.
        transport: the connections.
        shared_limits: what all runs of the client share.
        tracker: takes in what becomes of each record.
        control: whether the run goes on.
        poller: waits for results.
        recorder: keeps each step.
        reader: makes smaller batches where they are too large for the server.
        concurrency: the number of batches that may be sent at once.
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
        reader: Reader,
        concurrency: AdaptiveConcurrency,
    ) -> None:
        self._spec = spec
        self._transport = transport
        self._shared_limits = shared_limits
        self._tracker = tracker
        self._control = control
        self._poller = poller
        self._recorder = recorder
        self._reader = reader
        self._concurrency = concurrency
        # One batch more is being written down meanwhile, so that the connections need not wait for the disk.
        self._deliveries = ResizableSemaphore(lambda: concurrency.limit + min(recorder.ahead, 1))
        self._requests = ResizableSemaphore(lambda: concurrency.limit)
        self._waits = spec.options.results == "wait"
        self._bisects = spec.options.bisect == "all" or (spec.options.bisect == "safe" and spec.endpoint.safe)

    def resize(self) -> None:
        """Lets in more batches; to be called when the concurrency has changed."""
        self._deliveries.wake()
        self._requests.wake()

    async def deliver(self, in_flight: InFlightBatch, bisection: Bisection | None = None) -> None:
        """Sends a batch until it is known what became of it.

        Args:
            in_flight: the batch.
            bisection: how the batch that it is a part of is going, where that was refused for its data.
        """
        while await self._control.wait_to_send():
            slot = await self._shared_limits.open_slot(self._control.stopping) if self._waits else OpenBatchSlot()
            if slot is None:
                continue
            with slot:
                async with self._deliveries, self._request_turn() as take_turn:
                    # While it waited for a slot, the run may have stopped, or been held.
                    if not self._control.may_send:
                        continue
                    attempt = await self._try(in_flight, take_turn)
                    if attempt is None:
                        if not in_flight.batch:
                            # Another run has sent all of it.
                            return
                        continue
                    response = attempt.response
                    receipt = batch_receipt(response) if response is not None and attempt.proof is Proof.DONE else None
                    if receipt is not None and await self._accepted(in_flight, receipt, slot):
                        return
            if receipt is not None:
                if await self._named_twice(in_flight, attempt):
                    return
            elif await self._refused(in_flight, attempt, bisection):
                return
        self._give_up(in_flight)

    def _give_up(self, in_flight: InFlightBatch) -> None:
        """Settles a batch that is not attempt any more."""
        reason = self._control.reason or Outcome("not_sent", "patience", "the server did not take it within the patience of the run")
        self._tracker.settle(in_flight, self._tracker.stopped(in_flight, reason))

    async def _try(self, in_flight: InFlightBatch, take_turn: Callable[[], Awaitable[None]]) -> Attempt | None:
        """Sends a batch once; None where the run was held or stopped before its turn at the limits of the client."""
        batch, envelope = in_flight.batch, self._spec.envelope
        pieces = [envelope.head]
        for number, piece in enumerate(batch.pieces):
            pieces += [b",", piece] if number else [piece]
        template = self._spec.request
        request = Request(template.endpoint, template.path, template.query, template.language, (*pieces, envelope.tail))
        if self._spec.options.compression is not None:
            request = await compressed(request, self._spec.options.compression)

        async def starts() -> bool:
            # As late as this: what was not written down did not leave, and what was written down is hardly ever kept from leaving.
            if not await self._keep_sending(in_flight):
                return False
            await take_turn()
            if not self._control.may_send:
                self._recorder.put_back(in_flight)
                return False
            tally = self._tracker.report.tally
            tally.batches_sent += in_flight.attempts == 0
            tally.requests += 1
            tally.bytes_sent += request.size
            in_flight.attempts += 1
            in_flight.began = clock.monotonic()
            return True

        timeout = self._spec.timeout.within(self._control.patience_left(in_flight))
        attempt = await self._transport.attempt(request, timeout=timeout, delivery=in_flight.delivery, starts=starts)
        if attempt is not None:
            self._control.record_attempt(attempt)
        return attempt

    async def _keep_sending(self, in_flight: InFlightBatch) -> bool:
        """Writes down that a batch is about to leave; False where it may not, or that can't be done."""
        if not self._control.may_send:
            return False
        try:
            taken_out = await self._recorder.sending(in_flight)
        except ArmError as exc:
            self._control.stop_for_journal(exc)
            return False
        if taken_out:
            self._tracker.remove(in_flight, taken_out)
        return not taken_out

    async def _accepted(self, in_flight: InFlightBatch, receipt: BatchReceipt, slot: OpenBatchSlot) -> bool:
        """Takes note that a batch was accepted; False where its batchUuid is that of another batch."""
        self._control.is_answered()
        seconds = clock.monotonic() - in_flight.began
        is_polled = self._waits and not self._poller.stopped
        uuids, client_no = self._shared_limits.batch_uuids, self._spec.client_no
        is_first = uuids.register(client_no, receipt.batch_uuid)
        if is_first:
            in_flight.receipt = receipt
        try:
            # The journal knows the batches of other attempts and runs, and keeps that one of them is not alone.
            if not await self._recorder.accepted(in_flight, receipt.batch_uuid, is_first=is_first) and is_first:
                uuids.share(client_no, receipt.batch_uuid)
                is_first = False
        except ArmError as exc:
            self._control.stop_for_journal(exc)
        if not is_first:
            in_flight.receipt = None
            log.warning("batchUuid given twice", batch=receipt.batch_uuid, records=len(in_flight.batch), request_id=receipt.request_id)
            return False
        self._concurrency.taken(seconds)
        self._tracker.report.accepted(len(in_flight.batch), seconds)
        log.info(
            "batch accepted",
            batch=receipt.batch_uuid,
            records=len(in_flight.batch),
            attempt=in_flight.attempts,
            request_id=receipt.request_id,
        )
        if not is_polled:
            self._tracker.settle(in_flight, Outcome("accepted", "not_awaited"))
            return True
        # From here on only the keys are needed.
        keys = in_flight.keep_only_keys()

        def settled(common: Outcome, exceptions: dict[int, Outcome], result: BatchResult | None) -> None:
            self._tracker.settle(in_flight, common, exceptions, result)

        is_shared = partial(uuids.is_shared, client_no, receipt.batch_uuid)
        now = clock.monotonic()
        self._poller.add(OpenBatch(receipt.batch_uuid, now, len(in_flight.batch), keys, slot.hand_over(), settled, is_shared))
        return True

    async def _named_twice(self, in_flight: InFlightBatch, attempt: Attempt) -> bool:
        """Deals with a batch that was given the batchUuid of another one; True when it needs no further try.

        A cache that answers in the place of the service has most likely let nothing through. What may be sent again is: a few times.
        """
        in_flight.status, in_flight.was_ambiguous = attempt.status, True
        in_flight.repeated += 1
        ambiguous = Attempt(Proof.AMBIGUOUS, "batch_uuid_repeated", attempt.response)
        if (
            self._may_repeat(ambiguous)
            and in_flight.repeated < self._spec.retry.attempts
            and await self._control.pause(in_flight, ambiguous)
        ):
            return False
        text = (
            "the answer names a batch that was accepted before, so nobody can say whether this one was: look it up before you send it again"
        )
        await self._unknown(in_flight, Outcome("unknown", ambiguous.reason, text))
        return True

    async def _refused(self, in_flight: InFlightBatch, attempt: Attempt, bisection: Bisection | None) -> bool:
        """Deals with a try that was not accepted; True when the batch needs no further try."""
        status = attempt.status
        if attempt.proof is Proof.DONE:
            # A 2xx without a batchUuid, or one that can't be read: taken or not, nobody can say.
            attempt = Attempt(Proof.AMBIGUOUS, "no batchUuid in the answer", attempt.response, attempt.retry_after)
        if attempt.proof is Proof.AMBIGUOUS:
            in_flight.status, in_flight.was_ambiguous = status, True
        log.info(
            "batch not accepted",
            records=len(in_flight.batch),
            attempt=in_flight.attempts,
            reason=attempt.reason,
            outcome=attempt.proof.value,
        )
        if self._control.is_hopeless(attempt) or status in MOVED or (status in _ABOUT_THE_CALL and attempt.proof is Proof.NOT_TAKEN):
            self._control.stop_for(with_advice(attempt, self._spec), self._spec.endpoint)
            return False
        if attempt.proof is Proof.NOT_TAKEN and status != 429:
            self._control.is_answered()
        if status == 413 and attempt.proof is Proof.NOT_TAKEN and len(in_flight.batch) > 1:
            # Half of it is what the server may take; kept for the run.
            self._reader.lower_max_bytes(in_flight.batch.size // 2 + self._spec.envelope.size)
            await self._split(in_flight, bisection)
        elif status in _ABOUT_THE_DATA and attempt.proof is Proof.NOT_TAKEN:
            await self._refused_for_its_data(in_flight, attempt, bisection)
        elif not self._may_repeat(attempt):
            await self._ends(in_flight, attempt)
        elif await self._wait_to_repeat(in_flight, attempt):
            return False
        return True

    def _may_repeat(self, attempt: Attempt) -> bool:
        endpoint = self._spec.endpoint
        if attempt.proof is Proof.AMBIGUOUS and self._spec.retry.attempts == 1:
            return False
        return may_repeat(attempt.proof, safe=endpoint.safe, status=attempt.status)

    async def _wait_to_repeat(self, in_flight: InFlightBatch, attempt: Attempt) -> bool:
        """Waits, and makes the others wait, as the server asks; False where the batch is settled instead."""
        if not in_flight.delivery.is_ambiguous:
            self._recorder.put_back(in_flight)
        self._relieve(attempt)
        # Waiting in silence for half an hour, say for a host that is misspelt, helps nobody.
        self._tracker.report_progress(reason_of(attempt))
        if await self._control.pause(in_flight, attempt):
            return True
        self._give_up(in_flight)
        return False

    async def _ends(self, in_flight: InFlightBatch, attempt: Attempt) -> None:
        """Settles a batch that may not be sent again: refused for good, or unknown."""
        if attempt.proof is Proof.NOT_TAKEN:
            self._tracker.settle(in_flight, _rejected(in_flight, attempt))
            return
        self._relieve(attempt)
        text = "it may or may not have been taken: look it up before you send it again"
        await self._unknown(in_flight, Outcome("unknown", reason_of(attempt), text))

    async def _unknown(self, in_flight: InFlightBatch, verdict: Outcome) -> None:
        """Settles a batch as unknown, and sees to it that no new unsafe one starts before the server answers a read."""
        # Before anything is waited for: from here on no new unsafe batch may start.
        asks = not self._spec.endpoint.safe and self._control.begin_check()
        self._tracker.settle(in_flight, verdict)
        if asks:
            probe = self._spec.probe

            async def ask() -> Attempt:
                return await self._transport.ask(probe, timeout=self._spec.timeout.within(self._control.patience_left()))

            await self._control.wait_for_answer(ask, probe.endpoint)

    def _relieve(self, attempt: Attempt) -> None:
        if attempt.status in {429, 503}:
            self._concurrency.slower()
        if attempt.retry_after is not None:
            self._shared_limits.gate.extend(attempt.retry_after)

    # --- parts ------------------------------------------------------------------------------------------------------------

    async def _split(self, in_flight: InFlightBatch, bisection: Bisection | None) -> None:
        """Sends a batch in two halves, one after the other."""
        left, right = self._tracker.split(in_flight)
        await self.deliver(left, bisection)
        if in_flight.key_ticket.repeats:
            # The same key may be in both: the newer half must not overtake the older one.
            await left.wait_done(self._control.stopping)
        await self.deliver(right, bisection)

    async def _refused_for_its_data(self, in_flight: InFlightBatch, attempt: Attempt, bisection: Bisection | None) -> None:
        """Looks for the bad record by halves, so that it does not cost its neighbours; a single one is it."""
        bisection = bisection or Bisection(len(in_flight.batch))
        if len(in_flight.batch) > 1 and self._bisects:
            await self._split(in_flight, bisection)
            return
        bisection.bad += len(in_flight.batch)
        if bisection.bad == bisection.records and bisection.records > 1:
            # Every record of a whole batch is bad: it is not the data. The rest is not taken apart.
            self._bisects = False
        self._tracker.settle(in_flight, _rejected(in_flight, attempt))

    # --- waiting ------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _request_turn(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Gives a function that waits until the batch may be on the wire; it is there until its batchUuid is kept."""
        has_turn = False

        async def take() -> None:
            nonlocal has_turn
            if not has_turn:
                await self._requests.acquire()
                has_turn = True

        try:
            yield take
        finally:
            if has_turn:
                self._requests.release()


def _rejected(in_flight: InFlightBatch, attempt: Attempt) -> Outcome:
    """The verdict for a refusal: where an earlier try of the batch may have been taken, it proves nothing."""
    if in_flight.delivery.was_ambiguous:
        return Outcome("unknown", reason_of(attempt), "refused, and an earlier try may have been taken")
    body = codec.json_object(attempt.response.body) if attempt.response is not None else None
    message = body.get("message") if body is not None else None
    return Outcome("rejected", reason_of(attempt), message if isinstance(message, str) else None)

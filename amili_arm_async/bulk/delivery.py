"""Delivers a batch: sends it until it is known what became of it, splits it where it is too large or holds an invalid record, settles it.

Its main rule: a batch of an unsafe endpoint is sent again only where it is proved that it was not accepted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread
from msgspec import Struct
from msgspec.structs import replace

from .. import clock, codec, log
from ..attempts import Attempt
from ..compression import Compression, compress
from ..errors import ArmError, StatusError
from ..models.batches import BatchReceipt, BatchResult
from ..retry import BatchAction, Proof, after_batch, rule_of
from ..transport import Transport
from ..wire import Request, batch_receipt
from .chunking import Batch
from .control import RunControl, reason_of
from .in_flight import BatchTracker, InFlightBatch
from .journal.recorder import Recorder
from .limits import AdaptiveConcurrency, OpenBatchSlot, ResizableSemaphore, SharedLimits
from .outcomes import Outcome
from .polling import OpenBatch, Poller
from .reader import Reader
from .spec import RunSpec

if TYPE_CHECKING:
    from .pressure import SharedPressure

__all__ = ["BatchSender", "Bisection", "compressed", "request_of", "with_advice"]

_LATE: Final = 30.0
"""Seconds from which on a batch that was about to be sent does not begin to leave: it is checked again first, and that of documents is
recorded again. A process that was suspended may have lost its run to another one, and then it must not be sent."""

_NOT_RECORDED: Final = (
    "the answer names batch {}, and the journal failed, so it is not known whether that is an earlier batch: look it up before you send it"
    " again"
)


def request_of(batch: Batch, spec: RunSpec) -> Request:
    """Makes the request that sends a batch.

    Args:
        batch: the batch.
        spec: the run.

    Returns:
        The request, not compressed.
    """
    pieces = [spec.envelope.head]
    for number, piece in enumerate(batch.pieces):
        pieces += [b",", piece] if number else [piece]
    template = spec.request
    return Request(template.endpoint, template.path, template.query, template.language, (*pieces, spec.envelope.tail))


async def compressed(request: Request, encoding: Compression) -> Request:
    """Compresses the body of a request, in a worker thread: the event loop continues meanwhile, and the next batch is encoded.

    Args:
        request: the request; nothing of it has left yet, so a cancellation is unambiguous.
        encoding: the compression.

    Returns:
        The request with the compressed body.
    """
    plain = [piece for piece in request.body if isinstance(piece, bytes)]
    # A cancelled run does not wait for the thread.
    body = await to_thread.run_sync(compress, plain, encoding, abandon_on_cancel=True)
    return replace(request, body=(body,), encoding=encoding)


def with_advice(attempt: Attempt, spec: RunSpec) -> Attempt:
    """Adds advice to the error of an attempt where the server does not accept compressed bodies.

    Args:
        attempt: the attempt.
        spec: the run.

    Returns:
        The attempt, with an error that says what to change where it was answered 415.
    """
    refused = attempt.status_error(spec.endpoint)
    if refused is None or not rule_of(refused.status).is_unsupported_body or spec.options.compression is None:
        return attempt
    hint = f"the server does not accept bodies that are compressed with {spec.options.compression}: remove compression="
    error = StatusError(refused.status, operation=refused.operation, body=refused.body, request_id=refused.request_id, hint=hint)
    return replace(attempt, fatal=error)


def _is_late(intended: clock.Stamp) -> bool:
    """Whether records may not begin to leave any more that were about to be sent then."""
    return intended.at_most(clock.stamp()) > _LATE


class Bisection(Struct):
    """The state of a batch that was refused for its data.

    Attributes:
        records: the number of its records.
        bad: the number of records that proved invalid so far.
    """

    records: int
    bad: int = 0


class BatchSender:
    """Delivers the batches of a run.

    Args:
        spec: what is sent, where to and how.
        transport: the connections.
        shared_limits: what all runs of the client share.
        tracker: takes in what becomes of each record.
        control: whether the run continues.
        poller: waits for results.
        recorder: keeps each step.
        reader: makes smaller batches where they are too large for the server.
        concurrency: the number of batches that may be sent at once.

    Attributes:
        pressure: what other processes know of the server, or None.
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
        self._deliveries = ResizableSemaphore(lambda: concurrency.limit + min(recorder.batches_ahead, concurrency.limit, 1))
        self._requests = ResizableSemaphore(lambda: concurrency.limit)
        self._waits = spec.options.results == "wait"
        self._bisects = spec.options.bisect == "all" or (spec.options.bisect == "safe" and spec.endpoint.safe)

        self.pressure: SharedPressure | None = None

    @property
    def wanted(self) -> int:
        """The number of batches that would be sent at once if this run was alone."""
        is_all_used = self._deliveries.is_waited_for or self._requests.is_waited_for or self._requests.most >= self._concurrency.limit
        return self._concurrency.wanted if is_all_used else self._requests.most

    @property
    def most_at_once(self) -> int:
        """The number of batches that were sent at once since `begin_count`, at the most."""
        return self._requests.most

    def begin_count(self) -> None:
        """Begins to count how many batches are sent at once."""
        self._requests.begin_count()

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
                    # Until the batchUuid of documents is on the disk, their batch counts as one on the wire: after a crash it is unknown.
                    if receipt is not None and not self._spec.endpoint.safe and await self._accepted(in_flight, receipt, slot):
                        return
                if receipt is not None and self._spec.endpoint.safe and await self._accepted(in_flight, receipt, slot):
                    return
            if receipt is not None:
                if await self._uuid_repeated(in_flight, attempt):
                    return
            elif await self._refused(in_flight, attempt, bisection):
                return
        self._give_up(in_flight)

    def _give_up(self, in_flight: InFlightBatch) -> None:
        """Settles a batch that is no longer sent."""
        reason = self._control.reason or Outcome("not_sent", "patience", "the server did not accept it within the patience of the run")
        self._tracker.settle(in_flight, self._tracker.stopped(in_flight, reason))

    async def _try(self, in_flight: InFlightBatch, take_turn: Callable[[], Awaitable[None]]) -> Attempt | None:
        """Sends a batch once; None where the run was held or stopped before its turn at the limits of the client."""
        request = request_of(in_flight.batch, self._spec)
        if self._spec.options.compression is not None:
            request = await compressed(request, self._spec.options.compression)

        async def starts() -> bool:
            # As late as possible: what was not recorded did not leave, and hardly anything that was recorded is kept from leaving.
            intended = clock.stamp()
            if not await self._record_intent(in_flight):
                return False
            await take_turn()
            while not self._spec.endpoint.safe and _is_late(intended):
                self._recorder.requeue(in_flight)
                intended = clock.stamp()
                if not await self._record_intent(in_flight):
                    return False
            if self._spec.endpoint.safe:
                intended = clock.stamp()
            await self._check_before_leaving(in_flight)
            if not self._control.may_send:
                self._recorder.requeue(in_flight)
                return False
            # To connect takes time, too.
            in_flight.delivery.is_late = partial(_is_late, intended)
            tally = self._tracker.report.tally
            tally.batches_sent += in_flight.attempts == 0
            tally.requests += 1
            tally.bytes_sent += request.size
            in_flight.attempts += 1
            in_flight.began = clock.monotonic()
            return True

        timeout = self._spec.timeout.within(self._control.patience_left(in_flight))
        with in_flight.span:
            attempt = await self._transport.attempt(request, timeout=timeout, delivery=in_flight.delivery, starts=starts)
        if attempt is not None:
            self._control.record_attempt(attempt)
        return attempt

    async def _check_before_leaving(self, in_flight: InFlightBatch) -> None:
        """Stops the run where its source says that a batch must not be sent any more, or an observer of customers that nothing may be."""
        try:
            await self._reader.check(in_flight.batch)
            for observer in self._tracker.report.observers if self._spec.endpoint.safe else ():
                await observer.before_send()
        except ArmError as exc:
            self._control.stop(Outcome("not_sent", "stopped", str(exc)), exc)

    async def _record_intent(self, in_flight: InFlightBatch) -> bool:
        """Records that a batch is about to leave; returns False where it may not leave, or where that can't be recorded."""
        if not self._control.may_send:
            return False
        try:
            removed = await self._recorder.before_send(in_flight)
        except ArmError as exc:
            self._control.stop_for_journal(exc)
            return False
        if removed:
            self._tracker.remove(in_flight, removed)
        return not removed

    async def _accepted(self, in_flight: InFlightBatch, receipt: BatchReceipt, slot: OpenBatchSlot) -> bool:
        """Takes note that a batch was accepted; returns False where its batchUuid is that of another batch."""
        self._control.is_answered()
        seconds = clock.monotonic() - in_flight.began
        is_polled = self._waits and not self._poller.stopped
        uuids, client_no = self._shared_limits.batch_uuids, self._spec.client_no
        try:
            is_first = await self._is_first(in_flight, receipt)
        except ArmError as exc:
            self._control.stop_for_journal(exc)
            self._tracker.settle(in_flight, Outcome("unknown", "journal", _NOT_RECORDED.format(receipt.batch_uuid)))
            return True
        if not is_first:
            log.warning("batchUuid given twice", batch=receipt.batch_uuid, records=len(in_flight.batch), request_id=receipt.request_id)
            return False
        in_flight.receipt = receipt
        self._concurrency.on_accepted(seconds)
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
        in_flight.span.accepted(receipt.batch_uuid)
        opened = OpenBatch(receipt.batch_uuid, now, len(in_flight.batch), keys, slot.hand_over(), settled, is_shared, in_flight.span)
        self._poller.add(opened)
        return True

    async def _is_first(self, in_flight: InFlightBatch, receipt: BatchReceipt) -> bool:
        """Records that a batch was accepted; returns False where another batch is known that was given the same batchUuid."""
        uuids, client_no = self._shared_limits.batch_uuids, self._spec.client_no
        is_first = uuids.register(client_no, receipt.batch_uuid)
        # A run that is cancelled meanwhile waits for the journal: it knows the batches of other attempts and runs, and keeps that the
        # batchUuid is shared.
        with anyio.CancelScope(shield=True):
            if not await self._recorder.accepted(in_flight, receipt.batch_uuid, is_first=is_first) and is_first:
                uuids.share(client_no, receipt.batch_uuid)
                is_first = False
        return is_first

    async def _uuid_repeated(self, in_flight: InFlightBatch, attempt: Attempt) -> bool:
        """Handles a batch that was given the batchUuid of another one; returns True when it needs no further attempt.

        The answer most likely came from a cache, which let nothing through. What may be sent again is sent again, a few times.
        """
        in_flight.status, in_flight.was_ambiguous = attempt.status, True
        in_flight.repeated += 1
        ambiguous = Attempt(Proof.AMBIGUOUS, "batch_uuid_repeated", attempt.response)
        may_repeat = self._action_after(ambiguous) == "repeat" and in_flight.repeated < self._spec.retry.attempts
        if may_repeat and await self._control.pause(in_flight, ambiguous):
            return False
        text = "the answer names an earlier batch, so it is not known whether this one was accepted: look it up before you send it again"
        await self._settle_unknown(in_flight, Outcome("unknown", ambiguous.reason, text))
        return True

    async def _refused(self, in_flight: InFlightBatch, attempt: Attempt, bisection: Bisection | None) -> bool:
        """Handles an attempt that was not accepted; returns True when the batch needs no further attempt."""
        status = attempt.status
        if attempt.proof is Proof.DONE:
            # A 2xx without a batchUuid, or one that can't be read: whether the batch was accepted is not known.
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
        action = self._action_after(attempt)
        if action == "stop" or self._control.is_hopeless(attempt):
            self._control.stop_for(with_advice(attempt, self._spec), self._spec.endpoint)
            return False
        if attempt.proof is Proof.NOT_TAKEN and action != "repeat":
            self._control.is_answered()
        if action == "split" and len(in_flight.batch) > 1:
            # The server may accept half of it; the run keeps to that.
            self._reader.lower_max_bytes(in_flight.batch.size // 2 + self._spec.envelope.size)
            await self._split(in_flight, bisection)
        elif action == "bisect":
            await self._refused_for_its_data(in_flight, attempt, bisection)
        elif action != "repeat":
            await self._settle_final(in_flight, attempt)
        elif await self._wait_to_retry(in_flight, attempt):
            return False
        return True

    def _action_after(self, attempt: Attempt) -> BatchAction:
        # With one attempt, what the server may have processed is never sent again.
        return after_batch(attempt.proof, safe=self._spec.endpoint.safe and self._spec.retry.attempts > 1, status=attempt.status)

    async def _wait_to_retry(self, in_flight: InFlightBatch, attempt: Attempt) -> bool:
        """Waits, and makes the others wait, as the server asks; returns False where the batch is settled instead."""
        self._recorder.requeue(in_flight)
        self._slow_down(attempt)
        # Otherwise a misspelt host name, for example, would show up after half an hour of silence.
        self._tracker.report_progress(reason_of(attempt))
        if await self._control.pause(in_flight, attempt):
            return True
        self._give_up(in_flight)
        return False

    async def _settle_final(self, in_flight: InFlightBatch, attempt: Attempt) -> None:
        """Settles a batch that may not be sent again: rejected, or unknown."""
        if attempt.proof is Proof.NOT_TAKEN:
            self._tracker.settle(in_flight, _rejected(in_flight, attempt))
            return
        self._slow_down(attempt)
        text = "it may or may not have been accepted: look it up before you send it again"
        await self._settle_unknown(in_flight, Outcome("unknown", reason_of(attempt), text))

    async def _settle_unknown(self, in_flight: InFlightBatch, outcome: Outcome) -> None:
        """Settles a batch as unknown; no new unsafe batch starts before the server answers a read."""
        # Before the first await: from here on no new unsafe batch may start.
        asks = not self._spec.endpoint.safe and self._control.begin_check()
        if self.pressure is not None and not self._spec.endpoint.safe:
            self.pressure.found_unknown()
        self._tracker.settle(in_flight, outcome)
        if asks:
            await self.wait_for_answer()

    async def wait_for_answer(self) -> None:
        """Waits until the server has answered a cheap read."""
        probe = self._spec.probe

        async def ask() -> Attempt:
            return await self._transport.ask(probe, timeout=self._spec.timeout.within(self._control.patience_left()))

        await self._control.wait_for_answer(ask, probe.endpoint, self.pressure)

    def _slow_down(self, attempt: Attempt) -> None:
        if attempt.is_overload:
            if self.pressure is not None:
                self.pressure.overloaded(is_paced=attempt.retry_after is not None)
            self._concurrency.back_off()
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
        """Finds the invalid record by bisection, so that its neighbours are sent; rejects a single record."""
        bisection = bisection or Bisection(len(in_flight.batch))
        if len(in_flight.batch) > 1 and self._bisects:
            await self._split(in_flight, bisection)
            return
        bisection.bad += len(in_flight.batch)
        if bisection.bad == bisection.records and bisection.records > 1:
            # Every record of a whole batch was refused: it is not the data. The rest is not split.
            self._bisects = False
        self._tracker.settle(in_flight, _rejected(in_flight, attempt))

    # --- waiting ------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _request_turn(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Gives a function that waits for the turn of the batch to be sent; the turn ends when its batchUuid is recorded."""
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
    """Returns the outcome of a refused batch: where an earlier attempt may have been accepted, the refusal proves nothing."""
    if in_flight.delivery.was_ambiguous:
        return Outcome("unknown", reason_of(attempt), "refused, and an earlier attempt may have been accepted")
    body = codec.json_object(attempt.response.body) if attempt.response is not None else None
    message = body.get("message") if body is not None else None
    return Outcome("rejected", reason_of(attempt), message if isinstance(message, str) else None)

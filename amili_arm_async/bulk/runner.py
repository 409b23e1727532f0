"""One bulk run: the reader gives batches, the workers deliver them, and the tracker settles each of their records once.

Everything in flight is in the tracker, with the evidence of what became of it, so that whatever ends the run (the end of the source, an
error, cancellation at any await), each record gets the state that is proved.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio

from .. import clock, log
from ..database.url import database_url
from ..errors import ArmError, BulkError
from ..models.batches import BatchResult
from ..telemetry.base import NO_RUN, RunInstrumentation
from ..transport import Transport
from .chunking import Batch
from .control import RunControl
from .dry_run import DryRunSender
from .in_flight import STOPPED, BatchTracker, OutcomeQueue
from .journal.recorder import NullRecorder, Recorder
from .limits import OpenBatchSlot, SharedLimits
from .outcomes import Outcome, success_states
from .polling import OpenBatch, Poller
from .reader import Reader
from .report import BulkReport
from .source import Source
from .spec import RunSpec
from .workers import Workers

if TYPE_CHECKING:
    from .journal.protocol import AcceptedBatch, RunJournal
    from .pressure import SharedPressure

__all__ = ["BulkRunner"]


class BulkRunner:
    """One run.

    Args:
        spec: what is sent, where to and how.
        source: the records.
        transport: the connections.
        shared_limits: what all runs of the client share.
        report: takes in what becomes of each record.
        journal: keeps each step, or None.

    Attributes:
        outcomes: the outcomes that wait for the program.
    """

    def __init__(
        self,
        spec: RunSpec,
        source: Source,
        transport: Transport,
        shared_limits: SharedLimits,
        report: BulkReport,
        journal: RunJournal | None,
    ) -> None:
        self.outcomes = OutcomeQueue()
        self._spec = spec
        self._source = source
        self._transport = transport
        self._shared_limits = shared_limits
        self._report = report
        self._journal = journal
        self._recorder: Recorder = journal if journal is not None else NullRecorder(safe=spec.endpoint.safe)
        self._control = RunControl(
            gate=shared_limits.gate, patience=spec.options.patience, retry=spec.retry, endpoint=spec.endpoint, stopped=self._stopped
        )
        self._instrumentation = self._instrument()
        self._poller = Poller(spec, transport, shared_limits.gate, self._control, report.tally, self._instrumentation)
        self._tracker = BatchTracker(
            report, self.outcomes, spec.options, self._recorder, self._control, self._poller, self._instrumentation
        )
        self._reader = Reader(
            spec, source, self._tracker, self._control, fingerprints=journal is not None, keep_invalid=self._recorder.keeps_payloads
        )
        self._workers = Workers(
            spec,
            transport,
            shared_limits,
            reader=self._reader,
            tracker=self._tracker,
            poller=self._poller,
            control=self._control,
            recorder=self._recorder,
            outcomes=self.outcomes,
        )
        self._pressure: SharedPressure | None = None
        self._left: list[Batch] = []
        self._is_whole = False

    def _instrument(self) -> RunInstrumentation:
        spec, control = self._spec, self._control
        if spec.options.dry_run:
            # Its counts say what would be: in a metric nobody could tell.
            return NO_RUN
        has_name = spec.options.journal is not None and spec.options.run_id is not None
        return self._transport.instrumentation.run(
            spec.endpoint,
            self._report,
            name=(self._transport.base_url, spec.client_no, spec.endpoint.name, spec.options.run_id) if has_name else None,
            open_batches=lambda: self._poller.open,
            concurrency=lambda: self._workers.concurrency.limit,
            stopped=lambda: control.reason.reason if control.reason is not None and control.cause is not None else None,
            successes=success_states(accepted_is_enough=spec.options.results == "accepted"),
        )

    # --- the run ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sends everything.

        Raises:
            BulkError: the run could not continue; the cause is chained.
            JournalError, ConfigurationError: the journal can't be used for this run, or the client belongs to another event loop:
                nothing was sent.
        """
        with self._instrumentation:
            await self._run()

    async def _run(self) -> None:
        """As `run`, within the span of the run."""
        try:
            self._transport.settle()
            for observer in self._report.observers:
                await observer.begin()
            await self._recorder.begin()
            await self._begin_journal()
        except BaseException:
            await self._end_observers(complete=False)
            self._report.end()
            raise
        if self._journal is not None and self._journal.stale_since:
            self._look_up_first(self._journal)
        if self._journal is not None and self._spec.options.dry_run:
            # What is open stays open: no result is asked for.
            self._journal.stop_waiting()
        # A reconcile of several runs counts on from the run before.
        self._tracker.adopted = self._report.tally.records_read
        log.info("bulk run begins", operation=self._spec.endpoint.operation, concurrency=self._workers.concurrency.limit)
        try:
            await self._send()
            self._is_whole = True
        except BaseExceptionGroup as group:
            # What raises here is a bug or a cancellation, never a failed request. The first one is enough.
            raise _first(group) from None
        finally:
            self._end()
            # A cancelled run still records what is known.
            with anyio.CancelScope(shield=True):
                await self._close()
            self._report.end()
            log.info(
                "bulk run ended", counts=self._report.summary(), elapsed=round(self._report.elapsed, 3), batches=len(self._report.batches)
            )
        if (cause := self._control.cause) is not None:
            # The message of an error of the caller's source may hold personal data: only errors of this library are quoted.
            text = str(cause) if isinstance(cause, ArmError) else f"the source raised {type(cause).__name__}"
            self._report.error = text
            raise BulkError(f"the run could not continue: {text} ({self._report.summary()})", self._report) from cause

    async def _begin_journal(self) -> None:
        """Tells the observers that the journal is open."""
        if self._journal is None:
            return
        try:
            for observer in self._report.observers:
                await observer.begin_journal(self._journal)
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(ArmError):
                await self._recorder.end(complete=False)
            raise

    def _share_pressure(self) -> SharedPressure | None:
        """Makes what knows of other processes, where the journal is in a database."""
        url, sender = database_url(self._spec.options.journal), self._workers.sender
        if url is None or isinstance(sender, DryRunSender):
            return None
        from . import pressure  # noqa: PLC0415 - only few runs need it

        shared = pressure.SharedPressure(
            url,
            self._spec,
            self._transport.base_url,
            gate=self._shared_limits.gate,
            control=self._control,
            tracker=self._tracker,
            concurrency=self._workers.concurrency,
            sender=sender,
            beat=pressure.BEAT,
        )
        sender.pressure = shared
        return shared

    async def _send(self) -> None:
        self._pressure = self._share_pressure()
        if self._pressure is None:
            await self._send_and_reconcile()
            return
        try:
            await self._pressure.begin()
            async with anyio.create_task_group() as group:
                group.start_soon(self._pressure.run, group.start_soon)
                await self._send_and_reconcile()
                group.cancel_scope.cancel()
        finally:
            self._report.held_by_others = self._pressure.held

    async def _send_and_reconcile(self) -> None:
        await self._with_results(self._send_all)
        # Only when all results are known, it is known which documents they do not explain.
        await self._with_results(self._reconcile)

    async def _with_results(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs a part of the run, and waits for the results of the batches that it sent."""
        self._poller.begin()
        async with anyio.create_task_group() as polling:
            polling.start_soon(self._poller.run)
            await work()
            self._poller.finish()

    async def _send_all(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._reopen)
                group.start_soon(self._reader.run)
                self._workers.start(group)
        finally:
            self._left = self._workers.end()

    def _end(self) -> None:
        """Settles what has no final state yet. Without an await, so that no cancellation comes between."""
        reason = self._control.reason or STOPPED
        self._tracker.close(reason)
        self._poller.close()
        self._left += self._reader.give_up(all_of_it=True)

    async def _close(self) -> None:
        """Names what had no turn, and the rest of a source that was not read to its end; then closes the journal."""
        try:
            await self._name_rest()
        except ArmError as exc:
            self._control.stop_for_journal(exc)
        finally:
            # Whatever interrupted that, each record that was read is named.
            reason = self._control.reason or STOPPED
            for batch in [*self._left, *self._reader.give_up(all_of_it=True, reason=reason)]:
                self._tracker.not_sent(batch, reason, is_compared=False)
            self._report.source_exhausted = self._source.exhausted
            if self._source.is_limited:
                self._report.limited_to = self._spec.options.limit
            try:
                is_complete = self._is_whole and self._control.reason is None
                if is_complete:
                    self._report.source_ended()
                # What is beyond the limit is for a later attempt: the run has not ended.
                self._report.left_behind = await self._recorder.end(complete=is_complete and not self._source.is_limited)
            except ArmError as exc:
                log.warning("the journal or the dead letter could not be written", error=str(exc))
                self._control.stop_for_journal(exc)
            finally:
                # A cancellation gets through the shield where the caller's code is plain asyncio.
                try:
                    await self._end_observers(complete=self._is_whole and self._control.reason is None)
                finally:
                    if self._pressure is not None:
                        await self._pressure.end()
                    await self._source.close()

    async def _end_observers(self, *, complete: bool) -> None:
        """Tells the observers that the run is over."""
        for observer in self._report.observers:
            try:
                await observer.end(complete=complete)
            except ArmError as exc:
                self._control.stop(Outcome("not_sent", "stopped", str(exc)), exc)

    async def _name_rest(self) -> None:
        reason = self._control.reason or STOPPED
        while self._left or self._reader.has_rest:
            if not self._left:
                try:
                    await self._reader.read_rest()
                finally:
                    self._left += self._reader.give_up(all_of_it=not self._reader.has_rest, reason=reason)
            while self._left:
                await self._tracker.name(self._left[0], reason)
                del self._left[0]

    def _stopped(self) -> None:
        self._reader.stop(reads_on=self._control.cause is not None)
        self._tracker.release_waiters()
        if self._journal is not None:
            self._journal.stop_waiting()

    def leave(self) -> None:
        """Ends the run because the caller left: starts no new batch, lets those in flight end, awaits no result, reads nothing more."""
        self._control.stop(Outcome("not_sent", "stopped", "the run was left before its turn"))
        self._reader.stop(reads_on=False)
        self._poller.stop()

    # --- results ----------------------------------------------------------------------------------------------------------

    async def _reopen(self) -> None:
        """Polls the results of the batches that an earlier attempt left open."""
        journal = self._journal
        for row in journal.open_batches if journal is not None and not self._spec.options.dry_run else ():
            assert journal is not None
            slot = await self._shared_limits.open_slot(self._control.stopping)
            if slot is None:
                return
            with slot:
                try:
                    await self._adopt(row)
                    self._poll_again(await journal.read_open_batch(row), journal, slot)
                except ArmError as exc:
                    self._control.stop_for_journal(exc)

    async def _adopt(self, row: int) -> None:
        """Takes the records of a batch of the journal for those of a source, where there is none."""
        assert self._journal is not None
        self._tracker.adopted += await self._journal.adopt_batch(row, self._tracker.adopted)
        self._tracker.read(self._reader.read)

    def _poll_again(self, opened: AcceptedBatch, journal: RunJournal, slot: OpenBatchSlot) -> None:
        def settled(common: Outcome, exceptions: dict[int, Outcome], _: BatchResult | None) -> None:
            span.end(common, exceptions, len(keys))
            for outcome in journal.settle_open_batch(opened, common, exceptions):
                self._tracker.publish(outcome)

        # Where a single clock is left, the deadline starts again.
        since = opened.accepted.passed(clock.stamp(self._transport.service_clock.earliest())) or 0.0
        uuids, client_no, uuid = self._shared_limits.batch_uuids, self._spec.client_no, opened.batch_uuid
        uuids.reopen(client_no, uuid)
        if opened.is_shared:
            uuids.share(client_no, uuid)
        is_shared = partial(uuids.is_shared, client_no, uuid)
        keys = opened.keys
        span = self._instrumentation.batch(0, len(keys))
        span.accepted(uuid)
        self._poller.add(OpenBatch(uuid, clock.monotonic() - since, len(keys), lambda: keys, slot.hand_over(), settled, is_shared, span))

    def _look_up_first(self, journal: RunJournal) -> None:
        """Lets nothing leave that was not looked up: the journal does not know all that was sent."""
        from .reconcile import StaleJournalCheck  # noqa: PLC0415 - only few runs need it

        self._report.stale_journal = True
        if self._spec.options.dry_run:
            return
        journal.look_up_first = StaleJournalCheck(self._spec, self._transport, journal, self._control).outcomes

    async def _reconcile(self) -> None:
        """Looks up the documents whose outcome is not known, where that was asked for."""
        sender = self._workers.sender
        if self._journal is None or not self._journal.defers or self._control.reason is not None or isinstance(sender, DryRunSender):
            return
        from .reconcile import Reconciler  # noqa: PLC0415 - only few runs need it

        self._instrumentation.look_ups_begin()
        observers = self._report.observers
        reconciler = Reconciler(self._spec, self._transport, self._journal, self._tracker, self._control, sender, self._adopt, observers)
        # In a task of its own: a cancellation of the task of the program gets through the shields in that one.
        async with anyio.create_task_group() as group:
            group.start_soon(reconciler.run)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    for failure in group.exceptions:
        return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
    return group

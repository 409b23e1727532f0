"""The bulk sender: workers pull a batch, have it delivered, and each of its records is settled once.

Everything that is under way stands in the account with the evidence of what became of it, so that whatever ends the run (the end of the
source, an error, cancellation at any await), each record gets the state that is proved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import TaskGroup
from msgspec import structs

from .. import clock, log
from ..attempts import Attempt
from ..endpoints import OPERATIONS
from ..errors import ArmError, BulkError
from ..models.batches import BatchResult
from ..transport import Transport
from .chunking import Batch, Chunker
from .control import RunControl
from .delivery import BatchSender
from .in_flight import STOPPED, BatchTracker, InFlightBatch
from .journal.recorder import NullRecorder, Recorder
from .keys import KeyTicket
from .limits import AdaptiveConcurrency, SharedLimits, acquire_place
from .observers import RunObserver
from .outcomes import FAILURES, BatchOutcome, Outcome
from .polling import OpenBatch, Poller
from .reader import Reader
from .report import BulkReport
from .source import Source
from .spec import RunSpec

if TYPE_CHECKING:
    from .journal.sqlite.journal import RunJournal
    from .journal.sqlite.queries import OpenRow

__all__ = ["BulkRunner"]

_ENOUGH: Final = 100
"""Settled records from which on a share means something."""


class BulkRunner:
    """One run.

    Args:
        job: what is sent, where to and how.
        source: the records.
        transport: the connections.
        pressure: what all runs of the client share.
        report: takes in what becomes of each record.
        emit: told of each outcome.
        room: waits until there is room for more outcomes, before a batch is pulled: what is under way is never kept from ending.
        journal: keeps each step, or None.
    """

    def __init__(
        self,
        spec: RunSpec,
        source: Source,
        transport: Transport,
        shared_limits: SharedLimits,
        report: BulkReport,
        emit: Callable[[BatchOutcome], None],
        room: Callable[[], Awaitable[None]],
        journal: RunJournal | None,
    ) -> None:
        self._spec = spec
        self._options = spec.options
        self._source = source
        self._transport = transport
        self._shared_limits = shared_limits
        self._report = report
        self._room = room
        self._journal = journal
        self._recorder: Recorder = journal if journal is not None else NullRecorder(safe=spec.endpoint.safe)
        progress = spec.options.on_progress
        self._tracker = BatchTracker(report, emit, progress, lambda: self._poller.open, self._recorder, self._check_failures)
        self._chunker = _chunker(spec, report.observers, prints=journal is not None, keep_invalid=self._recorder.wants_payloads)
        # By number: a worker that is cut off in the middle lets the next one in.
        self._claiming: dict[int, Batch] = {}
        self._left: list[Batch] = []
        self._reopened = 0
        self._whole = False
        self._pulling = asyncio.Lock()
        self._control = RunControl(
            hold=shared_limits.hold, patience=spec.options.patience, retry=spec.retry, endpoint=spec.endpoint, stopped=self._stopped
        )
        self._delivering = 0
        self._reader = Reader(
            source, spec.kind, self._chunker, report.observers, self._tracker, self._control, is_idle=lambda: not self._delivering
        )
        self._journal_failed = False
        self._poller = Poller(
            self._ask,
            options=spec.options,
            rules=spec.rules,
            hold=shared_limits.hold,
            key_names=(spec.kind.wire_key,),
            is_hopeless=self._control.is_hopeless,
            failed=self._cannot_poll,
        )
        self._concurrency = AdaptiveConcurrency(spec.options.concurrency, clock.monotonic, self._pace_changed)
        self._working: TaskGroup | None = None
        self._workers = 0
        self._deliverer = BatchSender(
            spec,
            transport,
            shared_limits,
            self._tracker,
            self._control,
            self._poller,
            self._recorder,
            self._chunker.lower,
            self._concurrency,
        )

    # --- the run ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sends everything.

        Raises:
            BulkError: the run could not go on; the cause is chained.
            JournalError, ConfigurationError: the journal can't be used for this run, or the client belongs to another event loop:
                nothing was sent.
        """
        try:
            self._transport.settle()
            for observer in self._report.observers:
                await observer.begin()
            await self._recorder.begin()
        except BaseException:
            await self._dismiss(complete=False)
            self._report.end()
            raise
        if self._journal is not None and self._journal.is_stale:
            self._look_up_first(self._journal)
        # Where there is no source, it counts on from the run before.
        self._tracker.adopted = self._report.tally.records_read
        log.info("bulk run begins", operation=self._spec.endpoint.operation, concurrency=self._concurrency.limit)
        try:
            await self._work_side_by_side()
            self._whole = True
        except BaseExceptionGroup as group:
            # What raises here is a mistake of ours or cancellation, never a failed request. One of them is enough to tell.
            raise _first(group) from None
        finally:
            self._end()
            # Whoever cancels the run waits until what is known is written down.
            with anyio.CancelScope(shield=True):
                await self._close()
            self._report.end()
            log.info(
                "bulk run ended", counts=self._report.summary(), elapsed=round(self._report.elapsed, 3), batches=len(self._report.batches)
            )
        if (cause := self._control.cause) is not None:
            # What the caller's source says may hold anything: only what this library says is quoted.
            text = str(cause) if isinstance(cause, ArmError) else f"the source raised {type(cause).__name__}"
            self._report.error = text
            raise BulkError(f"the run could not go on: {text} ({self._report.summary()})", self._report) from cause

    async def _work_side_by_side(self) -> None:
        await self._with_results(self._send_all)
        # Only when all results are known it is known what they do not explain.
        await self._with_results(self._reconcile)

    async def _with_results(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does some work, and waits for the results of the batches that it sent."""
        self._poller.begin()
        async with anyio.create_task_group() as polling:
            polling.start_soon(self._poller.run)
            await work()
            self._poller.finish()

    async def _send_all(self) -> None:
        try:
            async with anyio.create_task_group() as self._working:
                self._working.start_soon(self._reopen)
                self._working.start_soon(self._reader.run)
                self._pace_changed()
        finally:
            self._working = None

    def _end(self) -> None:
        """Accounts for what has no final state yet; without an await, so that no cancellation comes between."""
        reason = self._control.reason or STOPPED
        places = self._tracker.close(reason)
        self._left = [*self._claiming.values(), *self._reader.give_up(all_of_it=True)]
        for _ in range(places + self._reopened):
            self._shared_limits.open_batches.release()

    async def _close(self) -> None:
        """Names what had no turn, and what a source that is not read to its end still has; then closes the journal."""
        try:
            await self._name_rest()
        except ArmError as exc:
            self._control.stop_for_journal(exc)
        finally:
            # Whatever cut that off, each record that was read is named.
            reason = self._control.reason or STOPPED
            for batch in [*self._left, *self._reader.give_up(all_of_it=True, reason=reason)]:
                self._tracker.not_sent(batch, reason)
            self._report.source_exhausted = self._source.exhausted
            try:
                if self._whole and self._control.reason is None:
                    self._report.source_ended()
                self._report.left_behind = await self._recorder.end(complete=self._whole and self._control.reason is None)
            except ArmError as exc:
                log.warning("the journal or the dead letter could not be written", error=str(exc))
                self._control.stop_for_journal(exc)
            await self._dismiss(complete=self._whole and self._control.reason is None)

    async def _dismiss(self, *, complete: bool) -> None:
        """Tells those who watch the run that it is over."""
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
                await self._name(self._left[0], reason)
                del self._left[0]

    async def _name(self, batch: Batch, reason: Outcome) -> None:
        """Names a batch that had no turn; without the journal, where that can't be asked any more."""
        if self._journal_failed:
            self._tracker.not_sent(batch, reason)
            return
        try:
            await self._recorder.catch_up()
            await self._tracker.name(batch, reason)
        except ArmError:
            self._journal_failed = True
            self._tracker.not_sent(batch, reason)

    def _stopped(self) -> None:
        self._reader.stop(reads_on=self._control.cause is not None)
        self._tracker.release_waiters()
        if self._journal is not None:
            self._journal.abandon()

    def leave(self) -> None:
        """The caller goes away: start no new batch, let those on the wire end, wait for no result, read nothing more."""
        self._control.stop(Outcome("not_sent", "stopped", "the run was left before its turn"))
        self._reader.stop(reads_on=False)
        self._poller.stop()

    def _cannot_poll(self, tried: Attempt) -> None:
        """No result can be had any more: without a token neither a question nor a batch gets through."""
        self._control.stop_for(tried, OPERATIONS["batches.get"])
        self._poller.stop()

    def _check_failures(self) -> None:
        """Ends a run that goes wrong wholesale."""
        most = self._options.stop_after_failures
        if most is None:
            return
        counts = self._report.counts
        failures, settled = sum(counts[state] for state in FAILURES), sum(counts.values())
        if failures < most if isinstance(most, int) else settled < _ENOUGH or failures < most * settled:
            return
        error = ArmError(f"{failures} of {settled} settled records did not make it, and stop_after_failures is {most}")
        self._control.stop(Outcome("not_sent", "too_many_failures", str(error)), error)

    # --- the records ------------------------------------------------------------------------------------------------------

    def _pace_changed(self) -> None:
        """Sees to it that there are as many workers as the pace asks for; those that are too many end by themselves."""
        self._deliverer.more_lanes()
        while self._working is not None and self._workers < self._wanted_workers:
            self._workers += 1
            self._working.start_soon(self._work)

    @property
    def _wanted_workers(self) -> int:
        return self._concurrency.limit + self._recorder.ahead

    async def _work(self) -> None:
        try:
            await self._send_batches()
        finally:
            self._workers -= 1

    async def _send_batches(self) -> None:
        while self._workers <= self._wanted_workers and (entry := await self._pull()) is not None:
            await self._deliver(*entry)

    async def _deliver(self, live: InFlightBatch, before: Sequence[KeyTicket], after: Sequence[asyncio.Event]) -> None:
        self._delivering += 1
        try:
            for other in before:
                await other.left.wait()
            for settled in after:
                await settled.wait()
            await self._deliverer.deliver(live)
        finally:
            self._delivering -= 1
            if not self._delivering:
                self._reader.wake()

    async def _pull(self) -> tuple[InFlightBatch, list[KeyTicket], Sequence[asyncio.Event]] | None:
        """The next batch, registered in the order of the source; None when there is none, or the run stops."""
        async with self._pulling:
            while True:
                await self._room()
                batch = await self._reader.next_batch()
                if batch is None:
                    return None
                self._claiming[batch.number] = batch
                try:
                    claimed = await self._recorder.claim(batch)
                except ArmError as exc:
                    self._control.stop_for_journal(exc)
                    return None
                if claimed is None:
                    return None
                del self._claiming[batch.number]
                for outcome in claimed.outcomes:
                    self._tracker.tell(outcome)
                if claimed.batch is not None:
                    return *self._tracker.enter(claimed.batch, claimed.row), claimed.after

    # --- results ----------------------------------------------------------------------------------------------------------

    async def _ask(self, batch_uuid: str, seconds: float, most: int) -> Attempt:
        self._report.tally.polls += 1
        request = structs.replace(self._spec.poll(batch_uuid), most=most)
        return await self._transport.ask(request, timeout=self._spec.timeout.within(seconds))

    async def _reopen(self) -> None:
        """Asks for the results of the batches that an earlier attempt left open."""
        journal = self._journal
        for row in journal.open if journal is not None else ():
            assert journal is not None
            if not await acquire_place(self._shared_limits.open_batches, self._control.stopping):
                return
            self._reopened += 1
            try:
                await self._adopt(row)
                self._poll_again(await journal.read_open(row), journal)
            except ArmError as exc:
                self._control.stop_for_journal(exc)

    async def _adopt(self, row: int) -> None:
        """Where there is no source, the records of a batch of the journal stand for one."""
        assert self._journal is not None
        self._tracker.adopted += await self._journal.adopt(row, self._tracker.adopted)
        self._tracker.read(self._chunker.read)

    def _poll_again(self, opened: OpenRow, journal: RunJournal) -> None:
        def settled(verdict: Outcome, exceptions: dict[int, Outcome], _: BatchResult | None) -> None:
            self._reopened -= 1
            self._shared_limits.open_batches.release()
            for outcome in journal.settle_open(opened, verdict, exceptions):
                self._tracker.tell(outcome)

        # Where only one clock tells, its deadline begins anew.
        since = opened.accepted.passed(clock.stamp(self._transport.service_clock.earliest())) or 0.0
        names, client_no, uuid = self._shared_limits.names, self._spec.client_no, opened.batch_uuid
        names.reopen(client_no, uuid)
        if opened.is_shared:
            names.share(client_no, uuid)
        is_shared = partial(names.is_shared, client_no, uuid)
        keys = opened.keys
        self._poller.add(OpenBatch(uuid, clock.monotonic() - since, len(keys), lambda: keys, settled, is_shared))

    def _look_up_first(self, journal: RunJournal) -> None:
        """Sees to it that nothing leaves that was not looked up: the journal does not know all that was sent."""
        from .reconcile import LookUpFirst  # noqa: PLC0415 - only few runs need it

        self._report.stale_journal = True
        journal.look_up_first = LookUpFirst(self._spec, self._transport, journal, self._control).verdicts

    async def _reconcile(self) -> None:
        """Looks up what became of documents whose fate nobody knows, where that was asked for."""
        if self._journal is None or not self._journal.holds or self._control.reason is not None:
            return
        from .reconcile import Reconciler  # noqa: PLC0415 - only few runs need it

        await Reconciler(self._spec, self._transport, self._journal, self._tracker, self._control, self._deliverer, self._adopt).run()


def _chunker(spec: RunSpec, observers: Sequence[RunObserver], *, prints: bool, keep_invalid: bool) -> Chunker:
    options = spec.options
    return Chunker(
        spec.kind,
        overhead=spec.envelope.size,
        max_records=options.max_records,
        max_bytes=options.max_bytes,
        prints=prints,
        reads_texts=any(observer.reads_texts for observer in observers),
        require_key=options.require_document_no,
        keep_invalid=keep_invalid,
    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    for failure in group.exceptions:
        return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
    return group

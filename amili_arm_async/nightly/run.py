"""`NightlyRun` and `NightlyReport`: the nightly job as its caller sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

from .. import clock
from ..bulk.observers import RunObserver
from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..errors import ArmError, ConfigurationError, InterruptedRunError
from ..sync.run import SyncReport, SyncRun
from ..telemetry.base import Span
from .blocked import BlockedDocuments, FailedCustomers
from .money import MoneyObserver, MoneyTotals
from .report import FORMAT, LineOf, Part, PartName, ReportSchema, first_failures, money_at_risk, part_of
from .timeline import TimelineObserver

if TYPE_CHECKING:
    from .shared_customers import SharedCustomers

__all__ = ["NightInParts", "NightlyPart", "NightlyProgress", "NightlyReport", "NightlyRun", "PartName", "StartRun"]

StartRun: TypeAlias = Callable[[Sequence[RunObserver]], BulkRun | SyncRun]
"""Makes the run of a part, with these observers."""

_INTERRUPTIONS: Final = (InterruptedRunError, asyncio.CancelledError, KeyboardInterrupt, SystemExit)


@dataclass(frozen=True, slots=True)
class NightlyPart:
    """One bulk run of the night, and its observers.

    Attributes:
        name: `"customers"` or `"documents"`.
        operation: what was sent, for example `"documents.create_batch"`.
        report: the report of the run.
        money: has the totals of the documents; None for customers.
        timeline: has throughput and latency.
        sync: the report of the sync where only changed customers were sent, else None.
    """

    name: PartName
    operation: str
    report: BulkReport
    money: MoneyObserver | None
    timeline: TimelineObserver
    sync: SyncReport | None = None


@dataclass(slots=True)
class NightlyProgress:
    """What a night has done so far: the run writes it, its report reads it.

    Attributes:
        client_no: the client number.
        base_url: the address of the API.
        run_id: name of the run in the journal, or None.
        planned: the parts that are to be run.
        parts: the parts that were started, in their order.
        started: Unix time in seconds; None before the night begins.
        ended: Unix time in seconds; None before the night ends.
        error: why the night ended early, or None.
        interrupted: whether a signal or a cancellation ended it.
    """

    client_no: int
    base_url: str
    run_id: str | None
    planned: tuple[PartName, ...] = ()
    parts: dict[PartName, NightlyPart] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    interrupted: bool = False

    def part(self, name: PartName) -> Part:
        """Returns the report of a part that was started.

        Args:
            name: which.
        """
        part = self.parts[name]
        return part_of(name, part.operation, part.report, timeline=part.timeline.timeline(), sync=part.sync)


class NightInParts(Protocol):
    """The shared run of the documents, of which this process sends one part; it is entered for the whole night."""

    @property
    def customers(self) -> SharedCustomers | None:
        """Says whose turn it is to send the customers; None where the night has none."""
        ...

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class NightlyReport:
    """The report of a night. It is correct at any time, whatever ended the night."""

    def __init__(self, progress: NightlyProgress) -> None:
        self._progress = progress

    @property
    def error(self) -> str | None:
        """Why the night ended early; None where it did not."""
        return self._progress.error

    @property
    def interrupted(self) -> bool:
        """Whether a signal or a cancellation ended the night early: nothing has to be fixed for that."""
        return self._progress.interrupted

    @property
    def customers(self) -> BulkReport | None:
        """The report of the customers; None where none were planned, or they were not started yet."""
        return self._report_of("customers")

    @property
    def documents(self) -> BulkReport | None:
        """The report of the documents; None where none were planned, or they were not started."""
        return self._report_of("documents")

    def _report_of(self, name: PartName) -> BulkReport | None:
        part = self._progress.parts.get(name)
        return part.report if part is not None else None

    @property
    def parts(self) -> tuple[NightlyPart, ...]:
        """The bulk runs that were started, in their order."""
        return tuple(self._progress.parts.values())

    @property
    def money(self) -> MoneyTotals | None:
        """Counts and sums of the documents per currency and final state; None where no documents were started."""
        part = self._progress.parts.get("documents")
        return part.money.totals(part.report) if part is not None and part.money is not None else None

    @property
    def sync(self) -> SyncReport | None:
        """The report of the customers' sync; None where all customers are sent, or they were not started."""
        part = self._progress.parts.get("customers")
        return part.sync if part is not None else None

    @property
    def failed_records(self) -> int:
        """Number of records that failed, in all parts."""
        return sum(part.report.failed_records for part in self.parts)

    @property
    def dry_run(self) -> bool:
        """Whether this was a dry run: nothing was sent."""
        return any(part.report.dry_run for part in self.parts)

    @property
    def not_begun(self) -> tuple[PartName, ...]:
        """The parts that were planned and not started: none of their records was read, and they are in no count."""
        return tuple(name for name in self._progress.planned if name not in self._progress.parts)

    @property
    def source_exhausted(self) -> bool:
        """Whether every source of the night was read to its end; see `BulkReport.source_exhausted`."""
        return not self.not_begun and all(part.report.source_exhausted for part in self.parts)

    @property
    def ok(self) -> bool:
        """Whether every planned part was run, every source was read to its end (or as far as the run was limited to) and held the expected
        records, every record succeeded, and the money adds up."""
        money = self.money
        read = not self.not_begun and all(part.report.source_exhausted or part.report.limited_to is not None for part in self.parts)
        complete = self.error is None and self._progress.ended is not None and read
        return complete and not self.failed_records and not self.shortfalls and (money is None or money.adds_up)

    @property
    def shortfalls(self) -> dict[PartName, str]:
        """The parts whose source holds fewer records than expected (`at_least`), each with the reason in words. What was read was sent."""
        return {part.name: part.report.shortfall for part in self.parts if part.report.shortfall is not None}

    def raise_for_failures(self) -> None:
        """Raises where a record failed, a source was not read to its end, or holds fewer records than expected.

        Raises:
            BulkError: with the report of the first part that failed.
        """
        for part in self.parts:
            part.report.raise_for_failures()

    def summary(self) -> str:
        """Sums the night up for a person.

        Returns:
            The counts of each part on one line.
        """
        begun = [f"{part.name}: {part.report.summary()}" for part in self.parts]
        not_begun = [f"{name}: not started, none of its records was read" for name in self.not_begun if self._progress.ended is not None]
        return "; ".join(begun + not_begun) or "nothing was started"

    def __repr__(self) -> str:
        return f"<NightlyReport: {self.summary()}>"

    def to_dict(
        self,
        *,
        lines: Mapping[PartName, LineOf] | None = None,
        failures_files: Mapping[PartName, str] | None = None,
    ) -> dict[str, Any]:
        """Returns the report as a JSON object. It holds no personal data except customer and document numbers.

        Args:
            lines: by part, a function that gives the line of a record in its file, from 1, by its index in the source; None where there
                are no lines.
            failures_files: by part, the name of the file that lists its failures; None where there is none.

        Returns:
            The report as dicts, lists, texts and numbers; times in ISO 8601, money as text.
        """
        report: dict[str, Any] = msgspec.to_builtins(self.to_schema(lines=lines, failures_files=failures_files))
        return report

    def to_schema(
        self,
        *,
        lines: Mapping[PartName, LineOf] | None = None,
        failures_files: Mapping[PartName, str] | None = None,
    ) -> ReportSchema:
        """Returns the report as typed objects, from which JSON, HTML and CSV are made.

        Args:
            lines: by part, a function that gives the line of a record in its file, from 1, by its index in the source; None where there
                are no lines.
            failures_files: by part, the name of the file that lists its failures; None where there is none.

        Returns:
            The report as it is now.
        """
        progress, now = self._progress, clock.unix_time()
        started = progress.started if progress.started is not None else now
        parts = [
            part_of(
                part.name,
                part.operation,
                part.report,
                money=part.money.totals(part.report) if part.money is not None else None,
                timeline=part.timeline.timeline(),
                sync=part.sync,
                failures_file=(failures_files or {}).get(part.name),
                line_of=(lines or {}).get(part.name),
            )
            for part in self.parts
        ]
        return ReportSchema(
            format=FORMAT,
            started=_local_time(started),
            ended=_local_time(progress.ended) if progress.ended is not None else None,
            elapsed=round(max(0.0, (progress.ended if progress.ended is not None else now) - started), 3),
            client_no=progress.client_no,
            base_url=progress.base_url,
            run_id=progress.run_id,
            ok=self.ok,
            error=self.error,
            interrupted=progress.interrupted,
            source_exhausted=self.source_exhausted,
            not_begun=list(self.not_begun),
            dry_run=self.dry_run,
            parts=parts,
            money_at_risk=money_at_risk(parts),
            first_failures=first_failures(parts, {}),
        )


def _local_time(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds, 3), UTC).astimezone()


class NightlyRun:
    """The nightly job. Nothing is sent before it is awaited; it can be run once.

    * `report = await run` runs all of it and returns the `NightlyReport`.
    * `await run.run_with(send)` does the same, but the async function `send` runs the `BulkRun` of each part to its end: it awaits the
      run, or enters it and reads each outcome.
    * `run.report` is correct at any time, whatever ended the run.

    Args:
        progress: of the night; nothing is done yet.
        customers: starts the run of the customers; None where there are none.
        documents: starts the run of the documents; None where there are none.
        operations: what is sent, by part.
        span: begins the span of the night.
        shared: where this process sends one part of the documents, what it shares with the others; None: it sends all.

    Attributes:
        report: the report of the night.

    Raises:
        BulkError: a part could not continue; the parts after it are not started.
    """

    def __init__(
        self,
        progress: NightlyProgress,
        *,
        customers: StartRun | None,
        documents: StartRun | None,
        operations: Mapping[PartName, str],
        span: Callable[[], Span] = Span,
        shared: NightInParts | None = None,
    ) -> None:
        self.report = NightlyReport(progress)
        self._shared = shared
        self._progress = progress
        self._customers = customers
        self._documents = documents
        self._operations = operations
        self._span = span
        self._begun = False

    def __await__(self) -> Generator[Any, None, NightlyReport]:
        return self.run_with(_await).__await__()

    async def run_with(self, send: Callable[[BulkRun], Awaitable[object]]) -> NightlyReport:
        """Runs all parts, each with `send`.

        Args:
            send: runs the `BulkRun` of a part to its end. Where it does not, the night ends there.

        Returns:
            The report of the night.

        Raises:
            BulkError: a part could not continue; the parts after it are not started.
            ArmError: `send` did not run the customers to their end, so that the documents were not started.
            ConfigurationError: this run was started before.
        """
        if self._begun:
            raise ConfigurationError("a NightlyRun can be done once: call nightly() again for another night")
        self._begun = True
        planned: dict[PartName, bool] = {"customers": self._customers is not None, "documents": self._documents is not None}
        self._progress.planned = tuple(name for name, is_planned in planned.items() if is_planned)
        self._progress.started = clock.unix_time()
        try:
            with self._span():
                await self._run_parts(send)
        except BaseException as exc:
            self._progress.interrupted = isinstance(exc, _INTERRUPTIONS)
            self._progress.error = self._in_words(exc)
            raise
        finally:
            self._progress.ended = clock.unix_time()
        return self.report

    def _in_words(self, exc: BaseException) -> str:
        """Says what ended the night early."""
        if isinstance(exc, ArmError):
            return str(exc)
        if self._progress.interrupted:
            goes_on = ": the same run id goes on where it stopped" if self._progress.run_id is not None else ""
            return f"it was interrupted{goes_on}"
        # The message of another exception may hold anything; this library's messages hold no personal data.
        return f"an error of the program that runs it ({type(exc).__name__})"

    async def _run_parts(self, send: Callable[[BulkRun], Awaitable[object]]) -> None:
        if self._shared is None:
            await self._send_documents(send, await self._send_customers(send))
            return
        async with self._shared:
            customers = self._shared.customers
            await self._send_documents(send, await self._share_customers(send, customers) if customers is not None else FailedCustomers())

    async def _share_customers(self, send: Callable[[BulkRun], Awaitable[object]], customers: SharedCustomers) -> FailedCustomers:
        """Sends the customers, or waits until another process has."""
        async with customers:
            if customers.failed is not None:
                self._progress.planned = tuple(name for name in self._progress.planned if name != "customers")
                return customers.failed
            failed = await self._send_customers(send)
            await customers.sent(failed, self._progress.part("customers"))
            return failed

    async def _send_customers(self, send: Callable[[BulkRun], Awaitable[object]]) -> FailedCustomers:
        failed = FailedCustomers()
        if self._customers is not None:
            await send(self._start("customers", self._customers, None, [failed]))
            if not failed.complete and self._documents is not None:
                raise ArmError("the customers were not brought to their end, so their documents were not sent")
        return failed

    async def _send_documents(self, send: Callable[[BulkRun], Awaitable[object]], failed: FailedCustomers) -> None:
        if self._documents is not None:
            money = MoneyObserver()
            await send(self._start("documents", self._documents, money, [money, BlockedDocuments(failed)]))

    def _start(self, name: PartName, start: StartRun, money: MoneyObserver | None, observers: list[RunObserver]) -> BulkRun:
        timeline = TimelineObserver(clock.monotonic)
        run = start([timeline, *observers])
        bulk, sync = (run.bulk, run.report) if isinstance(run, SyncRun) else (run, None)
        self._progress.parts[name] = NightlyPart(name, self._operations[name], bulk.report, money, timeline, sync)
        return bulk


async def _await(run: BulkRun) -> None:
    await run

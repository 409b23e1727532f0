"""The nightly job: customers first, then their documents, and one report over all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from .. import clock
from ..bulk.observers import RunObserver
from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..errors import ArmError, ConfigurationError
from ..sync.run import SyncReport, SyncRun
from .blocked import Blocked, Failed
from .money import Money
from .money_totals import MoneyTotals
from .report_parts import FORMAT, report_part
from .timeline import Timeline

__all__ = ["NightlyPart", "NightlyReport", "NightlyRun", "PartName"]

PartName: TypeAlias = Literal["customers", "documents"]
Begin: TypeAlias = Callable[[Sequence[RunObserver]], BulkRun | SyncRun]


@dataclass(frozen=True, slots=True)
class NightlyPart:
    """One bulk run of the night, and who watched it.

    Attributes:
        name: `"customers"` or `"documents"`.
        operation: what was sent, for example `"documents.create_batch"`.
        report: the report of the run.
        money: watched the documents, or None.
        timeline: watched the run.
        sync: the report of the sync, where only what changed was sent, or None.
    """

    name: PartName
    operation: str
    report: BulkReport
    money: Money | None
    timeline: Timeline
    sync: SyncReport | None = None


class NightlyReport:
    """What became of a night: right at any time, whatever ended it.

    Attributes:
        error: what ended the night before its end, in words, or None.
    """

    def __init__(self, client_no: int, base_url: str, run_id: str | None) -> None:
        self.error: str | None = None
        self._where = {"client_no": client_no, "base_url": base_url, "run_id": run_id}
        self._parts: dict[PartName, NightlyPart] = {}
        self._planned: tuple[PartName, ...] = ()
        self._started: float | None = None
        self._ended: float | None = None

    @property
    def customers(self) -> BulkReport | None:
        """The report of the customers; None where none were planned, or they had no turn yet."""
        return self._report_of("customers")

    @property
    def documents(self) -> BulkReport | None:
        """The report of the documents; None where none were planned, or they had no turn."""
        return self._report_of("documents")

    def _report_of(self, name: PartName) -> BulkReport | None:
        return self._parts[name].report if name in self._parts else None

    @property
    def parts(self) -> tuple[NightlyPart, ...]:
        """The bulk runs that were begun, in their order."""
        return tuple(self._parts.values())

    @property
    def money(self) -> MoneyTotals | None:
        """Counts and sums of the documents per currency and final state; None where they had no turn."""
        part = self._parts.get("documents")
        return part.money.totals(part.report) if part is not None and part.money is not None else None

    @property
    def sync(self) -> SyncReport | None:
        """What a sync of the customers found; None where all were sent, or they had no turn."""
        return self._parts["customers"].sync if "customers" in self._parts else None

    @property
    def failed_records(self) -> int:
        """Number of records that did not make it."""
        return sum(part.report.failed_records for part in self._parts.values())

    @property
    def not_begun(self) -> tuple[PartName, ...]:
        """The parts that were planned and not begun: none of their records was read, and they are in no count."""
        return tuple(name for name in self._planned if name not in self._parts)

    @property
    def source_exhausted(self) -> bool:
        """Whether every source of the night was read to its end; see `BulkReport.source_exhausted`."""
        return not self.not_begun and all(part.report.source_exhausted for part in self._parts.values())

    @property
    def ok(self) -> bool:
        """Whether all that was planned was done, every source was read to its end and held what was expected, every record made it, and the
        money adds up."""
        money = self.money
        whole = self.error is None and self._ended is not None and self.source_exhausted
        return whole and not self.failed_records and not self.shortfalls and (money is None or money.adds_up)

    @property
    def shortfalls(self) -> dict[PartName, str]:
        """The parts whose source holds less than was expected (`at_least`), in words. What was read was sent."""
        return {name: part.report.shortfall for name, part in self._parts.items() if part.report.shortfall is not None}

    def raise_for_failures(self) -> None:
        """Raises an error unless every part is `ok`.

        Raises:
            BulkError: a record did not succeed, a source was not read to its end, or it holds less than was expected; with the report of
                the first such part.
        """
        for part in self._parts.values():
            part.report.raise_for_failures()

    def summary(self) -> str:
        """Says the counts in one line, for a person.

        Returns:
            For each part its counts, or that it was not begun.
        """
        begun = [f"{part.name}: {part.report.summary()}" for part in self._parts.values()]
        not_begun = [f"{name}: not begun, none of its records was read" for name in self.not_begun if self._ended is not None]
        return "; ".join(begun + not_begun) or "nothing was begun"

    def __repr__(self) -> str:
        return f"<NightlyReport: {self.summary()}>"

    def to_dict(
        self,
        *,
        lines: Mapping[PartName, Callable[[int], int | None]] | None = None,
        failures_files: Mapping[PartName, str] | None = None,
    ) -> dict[str, Any]:
        """Returns the report for JSON: programs read it, and the HTML page is made from it. It has no personal data but keys.

        Args:
            lines: by the name of a part, a function that gives the line of its source by the index of a record.
            failures_files: by the name of a part, the name of the file that lists its failures.

        Returns:
            A mapping of plain values; money and times are text.
        """
        parts = [
            report_part(
                part.name,
                part.operation,
                part.report,
                money=part.money,
                timeline=part.timeline,
                sync=_numbers(part.sync) if part.sync is not None else None,
                failures_file=(failures_files or {}).get(part.name),
                line_of=(lines or {}).get(part.name),
            )
            for part in self._parts.values()
        ]
        now = clock.unix_time()
        started = self._started if self._started is not None else now
        return {
            "format": FORMAT,
            "started": _instant(started),
            "ended": _instant(self._ended) if self._ended is not None else None,
            "elapsed": round(max(0.0, (self._ended if self._ended is not None else now) - started), 3),
            **self._where,
            "ok": self.ok,
            "error": self.error,
            "source_exhausted": self.source_exhausted,
            "not_begun": list(self.not_begun),
            "parts": parts,
        }

    # --- for the run itself -----------------------------------------------------------------------------------------------

    def begin(self, planned: tuple[PartName, ...]) -> None:
        """Starts the clock.

        Args:
            planned: the parts that are to run.
        """
        self._planned = planned
        self._started = clock.unix_time()

    def add(self, part: NightlyPart) -> None:
        """Adds a part whose run begins.

        Args:
            part: its report and its money; both are filled while it runs.
        """
        self._parts[part.name] = part

    def end(self, error: BaseException | None) -> None:
        """Stops the clock.

        Args:
            error: what ended the night early; None where nothing did.
        """
        self._ended = clock.unix_time()
        if error is not None:
            # What a source raises may hold anything; what this library says does not.
            self.error = str(error) if isinstance(error, ArmError) else f"ended by {type(error).__name__}"


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(timespec="milliseconds")


class NightlyRun:
    """The nightly job. Nothing is sent before it is awaited; it can be done once.

    * `report = await run`: does it all and gives the `NightlyReport`.
    * `await run.run_with(send)`: the same, but the async function `send` runs the `BulkRun` of each part to its end: it awaits the run, or
      enters it and reads each outcome.
    * `run.report`: right at any time, whatever ended the run.

    Raises:
        BulkError: a part could not go on; what comes after it is not begun.
    """

    def __init__(
        self,
        report: NightlyReport,
        *,
        customers: Begin | None,
        documents: Begin | None,
        operations: Mapping[PartName, str],
    ) -> None:
        self.report = report
        self._customers = customers
        self._documents = documents
        self._operations = operations
        self._begun = False

    def __await__(self) -> Generator[Any, None, NightlyReport]:
        return self.run_with(_await).__await__()

    async def run_with(self, send: Callable[[BulkRun], Awaitable[object]]) -> NightlyReport:
        """Runs the whole night, each part by a function of yours.

        Args:
            send: awaits the `BulkRun` of a part, or enters it and reads each outcome. Customers that are not brought to their end end the
                night.

        Returns:
            The report, also in `report` whatever ended the run.

        Raises:
            ConfigurationError: it has been run already.
            BulkError: a part could not go on; what comes after it is not begun.
        """
        if self._begun:
            raise ConfigurationError("a NightlyRun can be done once: call nightly() again for another night")
        self._begun = True
        planned: dict[PartName, bool] = {"customers": self._customers is not None, "documents": self._documents is not None}
        self.report.begin(tuple(name for name, wanted in planned.items() if wanted))
        try:
            await self._do(send)
        except BaseException as exc:
            self.report.end(exc)
            raise
        self.report.end(None)
        return self.report

    async def _do(self, send: Callable[[BulkRun], Awaitable[object]]) -> None:
        failed = Failed()
        if self._customers is not None:
            await send(self._begin("customers", self._customers, None, [failed]))
        if self._documents is None:
            return
        if self._customers is not None and not failed.complete:
            raise ArmError("the customers were not brought to their end, so their documents were not sent")
        money = Money()
        await send(self._begin("documents", self._documents, money, [money, Blocked(failed)]))

    def _begin(
        self,
        name: PartName,
        begin: Begin,
        money: Money | None,
        observers: list[RunObserver],
    ) -> BulkRun:
        timeline = Timeline(clock.monotonic)
        run = begin([timeline, *observers])
        bulk, sync = (run.bulk, run.report) if isinstance(run, SyncRun) else (run, None)
        self.report.add(NightlyPart(name, self._operations[name], bulk.report, money, timeline, sync))
        return bulk


def _numbers(sync: SyncReport) -> dict[str, int]:
    found = {"new": sync.new, "changed": sync.changed, "unchanged": sync.unchanged, "failed": sync.failed, "gone": sync.gone or 0}
    return {**found, "new": found["new"] + sync.without_key}


async def _await(run: BulkRun) -> None:
    await run

"""`amili-arm push`: a file of JSON lines, sent as it stands."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import typer

from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..bulk.states import RecordOutcome
from ..client import ArmClient
from ..config import BulkOptions
from . import output
from .lines import Lines
from .progress import bar
from .sending import on_progress, send

__all__ = ["Push", "Task"]

_NAMED: Final = 50
"""Records that are named at the most; the counts tell of the rest."""

_SERVER_SPEAKS: Final = frozenset({"failed", "rejected"})
"""States whose message is the server's, which may hold personal data; that of the others is the library's."""

Task: TypeAlias = Literal["create customers", "update customers", "create documents"]


@dataclass
class Push:
    """One push: what it sends, and what happened so far, right at any time.

    Attributes:
        arm: the client; it is closed at the end.
        task: what is done with the records.
        options: of the bulk run.
        server_messages: whether the server's words are shown, which may hold personal data.
        report: of the bulk run, from when it begins.
    """

    arm: ArmClient
    task: Task
    options: BulkOptions
    server_messages: bool = False
    report: BulkReport | None = None
    _lines: Lines | None = None

    async def run(self, file: io.RawIOBase) -> None:
        """Sends the records of `file`.

        Raises:
            BulkError: the run could not go on.
            InterruptedRunError: Ctrl-C.
        """
        self._lines = Lines(file, self.options.max_bytes)
        with bar(self.task) as show:
            async with self.arm:
                run = self._begin(self._lines, replace(self.options, on_progress=on_progress(show)))
                self.report = run.report
                await send(run)

    def _begin(self, lines: Lines, options: BulkOptions) -> BulkRun:
        if self.task == "create documents":
            return self.arm.documents.create_many(lines, options=options)
        if self.task == "update customers":
            return self.arm.customers.update_many(lines, options=options)
        return self.arm.customers.create_many(lines, options=options)

    # --- what happened ----------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether every record that was read made it."""
        return self.report is not None and not self.report.failed_records

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        report = self.report
        if report is None:
            return {"ok": False}
        totals = report.totals
        return {
            "counts": dict(report.counts),
            "records": totals.records_read,
            "failed_records": report.failed_records,
            "batches": totals.batches_sent,
            "requests": totals.requests,
            "megabytes": output.megabytes(totals.bytes_sent),
            "elapsed": round(report.elapsed, 3),
            "records_per_second": output.per_second(totals.records_read, report.elapsed),
        }

    def print_table(self) -> None:
        """For a person, on standard error."""
        if self.report is None:
            return
        totals, elapsed = self.report.totals, self.report.elapsed
        rows: list[tuple[str, ...]] = [
            *output.state_rows(self.report),
            (),
            ("batches", f"{totals.batches_sent:,}"),
            ("requests", f"{totals.requests:,}"),
            ("MB sent", f"{output.megabytes(totals.bytes_sent):,.1f}"),
            ("seconds", f"{elapsed:,.2f}"),
            ("records/s", f"{output.per_second(totals.records_read, elapsed):,}"),
        ]
        output.table(self.task, ("", "records"), rows, stderr=True)

    def name_failures(self) -> None:
        """Names on standard error the first lines that did not make it, in the order of the file."""
        for line in self._failures():
            typer.echo(line, err=True)

    def _failures(self) -> Iterator[str]:
        report, lines = self.report, self._lines
        if report is None or lines is None or not report.failed_records:
            return
        first = heapq.nsmallest(_NAMED, report.failures(), key=lambda outcome: outcome.index)
        for outcome in first:
            yield self._describe(outcome, lines)
        if report.failed_records > len(first):
            yield f"... and {report.failed_records - len(first):,} more"
        if not self.server_messages and any(outcome.state in _SERVER_SPEAKS and outcome.message for outcome in first):
            yield "(--server-messages shows what the server wrote to these; it may hold personal data)"

    def _describe(self, outcome: RecordOutcome, lines: Lines) -> str:
        number = lines.numbers[outcome.index]
        reason, message = outcome.reason, outcome.message
        if number in lines.too_long:
            reason, message = "too_large", f"more than {self.options.max_bytes} bytes"
        elif outcome.state == "not_sent" or (outcome.state in _SERVER_SPEAKS and not self.server_messages):
            # Why nothing more was sent is said once, for the whole run.
            message = None
        key = f", key {output.plain(outcome.key)}" if outcome.key is not None else ""
        why = f" ({output.plain(reason)})" if reason else ""
        return f"line {number}{key}: {outcome.state}{why}" + (f" {output.plain(message)}" if message else "")

"""`amili-arm sync`: sends the customers of a file that changed since they were last sent successfully."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from ..bulk.outcomes import RecordOutcome
from ..bulk.report import BulkReport
from ..client import ArmClient
from ..config import BulkOptions
from ..database.url import database_url
from ..errors import ConfigurationError
from ..sources.records import Records
from ..sync.run import SyncReport
from . import output
from .command import RUN, SOURCE, acting_command
from .options import (
    Bisect,
    BisectOption,
    ConnectionOptions,
    MonitoringOptions,
    OutputOptions,
    RehearsalOptions,
    RunOptions,
    StopAfterFailures,
    check_files,
    parse_at_least,
    parse_stop_after_failures,
)
from .progress import bar
from .runner import GRACE, BatchLines, on_progress, run_job, send
from .source_options import ColumnOptions, RecordFile, SourceOptions

__all__ = ["SyncJob", "sync"]


@acting_command
def sync(
    file: RecordFile,
    state: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            rich_help_panel=RUN,
            help="State: it records what was sent successfully, and is created if it is missing. A file, or a PostgreSQL database:"
            " postgresql://host/database#name.",
        ),
    ],
    connection: ConnectionOptions,
    run: RunOptions,
    rehearsal: RehearsalOptions,
    source: SourceOptions,
    columns: ColumnOptions,
    shown: OutputOptions,
    monitoring: MonitoringOptions,
    full: Annotated[bool, typer.Option("--full", rich_help_panel=RUN, help="Also send unchanged customers.")] = False,
    forget_gone: Annotated[
        bool,
        typer.Option(
            "--forget-gone", rich_help_panel=RUN, help="Remove customers that are not in FILE from the state. Nothing is sent for them."
        ),
    ] = False,
    bisect: BisectOption = Bisect.safe,
    at_least: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=SOURCE,
            help="Minimum content of FILE: a share of the customers in the state, such as 90%, or a number of records. With less,"
            " everything is still sent, no customer is forgotten, and the exit code is 1. Default: 50%.",
        ),
    ] = None,
    stop_after_failures: StopAfterFailures = None,
) -> None:
    """Sends the customers of FILE that changed since they were last sent successfully, and names on standard error the lines that failed.

    FILE holds all customers. Customers that are no longer in it are counted; nothing else is done about them.
    """
    if forget_gone and rehearsal.limit is not None:
        raise ConfigurationError("--forget-gone needs all customers, and --limit reads only the first: leave one of them out")
    options = rehearsal.of(run.bulk(bisect=bisect.value, stop_after_failures=parse_stop_after_failures(stop_after_failures)))
    least = parse_at_least(at_least, "--at-least", has_state=True)
    arm = rehearsal.client(connection)
    check_files([("FILE", file if file != "-" else None, "source"), ("--state", state, "state")], writable=not rehearsal.dry_run)
    with source.open(file, "customers", run.max_bytes, columns.of("customers")) as records:
        job = SyncJob(arm, database_url(state) or state, options, full, forget_gone, shown.server_messages, run.grace, shown.quiet, least)
        # Whatever is known is in the state on disk: a second signal needs no more care.
        raise typer.Exit(run_job(job, job.run(records), is_durable=True, as_json=shown.as_json))


@dataclass
class SyncJob:
    """One sync, and what happened so far; correct at any time.

    Attributes:
        arm: the client; it is closed at the end.
        state: the path of the state.
        options: of the bulk run.
        full: whether unchanged customers are sent too.
        forget_gone: whether customers that are not in the file are removed from the state.
        server_messages: whether the server's messages are shown, which may contain personal data.
        grace: seconds that batches in flight get to finish after a signal.
        quiet: whether no progress is shown.
        at_least: number of records, or share of the customers in the state, that the file is expected to hold at least; None: half of them.
        report: of the sync; None before it starts.
        forgotten: number of customers removed from the state.
    """

    arm: ArmClient
    state: str
    options: BulkOptions
    full: bool = False
    forget_gone: bool = False
    server_messages: bool = False
    grace: float = GRACE
    quiet: bool = False
    at_least: int | float | None = None
    report: SyncReport | None = None
    forgotten: int = 0
    _records: Records | None = None

    async def run(self, records: Records) -> None:
        """Sends the changed customers.

        Args:
            records: the open file; it is closed at the end.

        Raises:
            BulkError: the run could not continue.
            JournalError: the state can't be used, so nothing was sent.
            ConfigurationError: the state is of another client, so nothing was sent.
            InterruptedRunError: a signal ended the run.
        """
        self._records = records
        lines = BatchLines("sync customers", quiet=self.quiet)
        with bar("sync customers", quiet=self.quiet) as update:
            async with self.arm, records:
                options = replace(self.options, on_progress=on_progress(update, share_read=records.fraction_read, lines=lines))
                run = self.arm.customers.sync(records, state=self.state, full=self.full, at_least=self.at_least, options=options)
                self.report = run.report
                await send(run.bulk, self.grace, lines.on_settled)
        if self.forget_gone and self.report.shortfall is None and not self.options.dry_run:
            self.forgotten = await self.report.forget(self.report.gone_keys())

    @property
    def ok(self) -> bool:
        """Whether all records were read and succeeded, and they are as many as expected."""
        return self.report is not None and self.report.ok

    def bulk_reports(self) -> dict[str, BulkReport]:
        """Returns the report of the bulk run, by the kind of its records.

        Returns:
            Nothing before it starts.
        """
        return {"customers": self.report.bulk} if self.report is not None else {}

    def as_json(self) -> dict[str, Any]:
        """Returns the report for programs.

        Returns:
            A JSON object.
        """
        report = self.report
        if report is None:
            return {"ok": False}
        numbers = {name: getattr(report, name) for name in ("new", "changed", "unchanged", "failed", "gone", "without_key")}
        warnings = dict(self._records.warnings.counts) if self._records is not None else {}
        return {**output.as_json(report.bulk, self._line, "customers"), "warnings": warnings, "sync": numbers, "forgotten": self.forgotten}

    def print_table(self) -> None:
        """Prints the report for people, on standard error."""
        report = self.report
        if report is None:
            return
        numbers = [("new", report.new), ("changed", report.changed), ("unchanged", report.unchanged), ("failed", report.failed)]
        rows = [(word, f"{number:,}") for word, number in numbers]
        rows += [("without number", f"{report.without_key:,}")] if report.without_key else []
        gone = f"{report.gone:,}" if report.gone is not None else "not known"
        rows.append(("gone from the source" if report.shortfall is None else "missing: too few records", gone))
        if self.forget_gone:
            rows.append(("would be forgotten", gone) if report.bulk.dry_run else ("forgotten", f"{self.forgotten:,}"))
        output.table("customers since they were last sent", ("", "records"), rows, stderr=True)
        output.print_table("sync customers", report.bulk)

    def name_failures(self) -> None:
        """Names on standard error the first lines that failed or are odd, in the order of the file."""
        if self.report is not None:
            output.name_failures([self.report.bulk], [self._locate], server_messages=self.server_messages)
            output.name_shortfall(self.report.bulk)
            if (unknown := self.report.gone_unknown) is not None:
                nobody = ", so nobody is forgotten" if self.forget_gone else ""
                output.warn(f"{unknown}{nobody}: correct the record in the file, and give the same command again")
            output.name_next_step(self.report.bulk, self.options, is_repeatable=True)
        if self._records is not None:
            output.name_warnings(self._records)

    def _line(self, index: int) -> int:
        assert self._records is not None
        return self._records.line(index)

    def _locate(self, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
        assert self._records is not None
        return output.locate(self._records, outcome)

"""`amili-arm push`: sends the records of a file as they stand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

import typer

from ..bulk.outcomes import RecordOutcome
from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..client import ArmClient
from ..config import BulkOptions, Reconcile
from ..errors import ConfigurationError
from ..nightly.report import PartName
from ..sources.records import Records
from ..validation.run import CheckRun
from . import output
from .check import CheckJob, require_rereadable
from .command import OUTPUT, RUN, SOURCE, acting_command
from .options import (
    Bisect,
    BisectOption,
    ConnectionOptions,
    JournalOptions,
    MonitoringOptions,
    OutputOptions,
    PartOptions,
    RehearsalOptions,
    RunOptions,
    StopAfterFailures,
    check_files,
    parse_at_least,
    parse_stop_after_failures,
)
from .progress import bar
from .runner import GRACE, BatchLines, on_progress, run_job, send
from .source_options import ColumnOptions, KindArgument, LineOptions, RecordFile, RecordKind, SourceOptions

__all__ = ["PushJob", "Task", "push"]

_LONGEST_DEAD_LETTER: Final = 16_000_000

Task: TypeAlias = Literal["create customers", "update customers", "create documents"]


class Results(StrEnum):
    """How far a record is followed."""

    wait = "wait"
    accepted = "accepted"


class Compression(StrEnum):
    """How the bodies of batches are compressed."""

    gzip = "gzip"
    zstd = "zstd"


@acting_command
def push(
    kind: KindArgument,
    file: RecordFile,
    connection: ConnectionOptions,
    run: RunOptions,
    rehearsal: RehearsalOptions,
    journal: JournalOptions,
    parts: PartOptions,
    source: SourceOptions,
    columns: ColumnOptions,
    lines: LineOptions,
    shown: OutputOptions,
    monitoring: MonitoringOptions,
    update: Annotated[bool, typer.Option("--update", rich_help_panel=RUN, help="Update customers (PUT) instead of creating them.")] = False,
    results: Annotated[
        Results, typer.Option(rich_help_panel=RUN, help="Wait for the result of each batch, or only until it is accepted.")
    ] = Results.wait,
    bisect: BisectOption = Bisect.safe,
    dead_letter: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="File for the records that failed, for `amili-arm replay`. Only its owner can read it.",
        ),
    ] = None,
    at_least: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=SOURCE,
            help="Minimum number of records expected in FILE. With fewer, all are still sent, and the exit code is 1.",
        ),
    ] = None,
    stop_after_failures: StopAfterFailures = None,
    compression: Annotated[
        Compression | None,
        typer.Option(
            rich_help_panel=RUN,
            help="Compress requests, for a slow uplink. Use it only if Amili has confirmed that the service accepts it.",
        ),
    ] = None,
    check_first: Annotated[
        bool,
        typer.Option(
            "--check-first", rich_help_panel=RUN, help="Check the whole file before anything is sent. If it has errors, nothing is sent."
        ),
    ] = False,
) -> None:
    """Sends the records of FILE, and names on standard error the lines that failed.

    The client secret comes from AMILI_ARM_CLIENT_SECRET, a token from AMILI_ARM_TOKEN, or either from the settings file: every user of
    the machine could see an argument. Options override the environment, which overrides the file.
    """
    options = run.bulk(
        results=results.value,
        bisect=bisect.value,
        journal=journal.journal,
        run_id=journal.run_id,
        dead_letter=dead_letter,
        reconcile=_reconcile(journal),
        resend_known=journal.resend_known,
        require_document_no=journal.require_document_no,
        stop_after_failures=parse_stop_after_failures(stop_after_failures),
        compression=compression.value if compression is not None else None,
    )
    options = rehearsal.of(options)
    task = _task(kind, update=update)
    journal.check(documents=kind is RecordKind.documents)
    excluded = {"--limit": rehearsal.limit, "--dry-run": rehearsal.dry_run, "--at-least": at_least}
    parts.check(journal, documents=kind is RecordKind.documents, excluded=excluded)
    job = PushJob(rehearsal.client(connection), task, options, shown.server_messages, run.grace, shown.quiet)
    job.parts = parts
    job.at_least = cast("int | None", parse_at_least(at_least, "--at-least", has_state=False))

    mapping = lines.add_to(columns.of(kind.value), kind.value)

    def open_file() -> Records:
        return source.open(file, kind.value, _longest(options), mapping)

    if check_first:
        job.check_first(file, open_file)
    check_files(
        [
            ("FILE", file if file != "-" else None, "source"),
            ("--lines", lines.lines, "source"),
            ("--journal", journal.journal, "journal"),
            ("--dead-letter", dead_letter, "dead letter"),
        ],
        writable=not rehearsal.dry_run,
    )
    with open_file() as records:
        raise typer.Exit(run_job(job, job.run(records), is_durable=journal.journal is not None, as_json=shown.as_json))


def _task(kind: RecordKind, *, update: bool) -> Task:
    if kind is RecordKind.customers:
        return "update customers" if update else "create customers"
    if update:
        raise ConfigurationError("--update is for customers: the API has no update of documents")
    return "create documents"


def _reconcile(journal: JournalOptions) -> Reconcile | bool:
    if not journal.reconcile and (journal.settle is not None or journal.resend_absent):
        raise ConfigurationError("--settle and --resend-absent need --reconcile: give that too")
    return Reconcile(settle=journal.settle, resend_absent=journal.resend_absent) if journal.reconcile else False


def _longest(options: BulkOptions) -> int:
    """Maximum bytes of a record. One that is too large to be sent is only read where a dead letter file keeps it."""
    return options.max_bytes if options.dead_letter is None else max(options.max_bytes, _LONGEST_DEAD_LETTER)


@dataclass
class PushJob:
    """One push, and what happened so far; correct at any time.

    Attributes:
        arm: the client; it is closed at the end.
        task: what is done with the records.
        options: of the bulk run.
        server_messages: whether the server's messages are shown, which may contain personal data.
        grace: seconds that batches in flight get to finish after a signal.
        quiet: whether no progress is shown.
        at_least: number of records that the file is expected to hold at least, or None.
        parts: which part of a shared run is sent.
        check: the check of the whole file, where --check-first was given.
        report: of the bulk run; None before it starts.
    """

    arm: ArmClient
    task: Task
    options: BulkOptions
    server_messages: bool = False
    grace: float = GRACE
    quiet: bool = False
    at_least: int | None = None
    parts: PartOptions = field(default_factory=PartOptions)
    check: CheckJob = field(default_factory=CheckJob)
    report: BulkReport | None = None
    _to_check: tuple[CheckRun, Records, str] | None = None
    _records: Records | None = None

    async def run(self, records: Records) -> None:
        """Sends the records, and closes their file.

        Args:
            records: the open file.

        Raises:
            BulkError: the run could not continue.
            CheckError: the check found errors, so nothing was sent.
            JournalError: the journal can't be used for this run, so nothing was sent.
            ConfigurationError: the options and the journal contradict each other, so nothing was sent.
            InterruptedRunError: a signal ended the run.
        """
        async with self.arm, records:
            if self._to_check is not None:
                await self.check.run_first(*self._to_check)
            self._records = records
            lines = BatchLines(self.task, quiet=self.quiet)
            with bar(self.task, quiet=self.quiet) as update:
                report_progress = on_progress(update, share_read=records.fraction_read, lines=lines)
                async with self._started(records, replace(self.options, on_progress=report_progress)) as run:
                    self.report = run.report
                    await send(run, self.grace, lines.on_settled)

    def check_first(self, path: str, open_file: Callable[[], Records]) -> None:
        """Makes the run check the whole file before anything is sent.

        Args:
            path: of the file.
            open_file: opens the file once more.

        Raises:
            ConfigurationError: the file can't be read twice.
        """
        require_rereadable(path)
        records = open_file()
        section = self.arm.documents if self.task == "create documents" else self.arm.customers
        self._to_check = (section.check(records, max_bytes=self.options.max_bytes), records, path)

    @contextlib.asynccontextmanager
    async def _started(self, records: Records, options: BulkOptions) -> AsyncIterator[BulkRun]:
        if self.parts.parts is None or self.parts.part is None:
            yield self._start(records, options)
            return
        assert isinstance(options.journal, str)
        assert options.run_id is not None
        made = self.arm.documents.shared_run(options.journal, run_id=options.run_id, parts=self.parts.parts, options=options)
        async with made as shared:
            yield shared.send_part(self.parts.part, records, pass_over=True)

    def _start(self, records: Records, options: BulkOptions) -> BulkRun:
        if self.task == "create documents":
            return self.arm.documents.create_many(records, options=options, at_least=self.at_least)
        if self.task == "update customers":
            return self.arm.customers.update_many(records, options=options, at_least=self.at_least)
        return self.arm.customers.create_many(records, options=options, at_least=self.at_least)

    # --- the result -------------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether all records were read and succeeded, and they are as many as expected."""
        return self.report is not None and self.report.ok

    def bulk_reports(self) -> dict[str, BulkReport]:
        """Returns the report of the bulk run, by the kind of its records.

        Returns:
            Nothing before it starts.
        """
        kind = "documents" if self.task == "create documents" else "customers"
        return {kind: self.report} if self.report is not None else {}

    def as_json(self) -> dict[str, Any]:
        """Returns the report for programs; with --check-first, that of the check is in `check`.

        Returns:
            A JSON object.
        """
        kind: PartName = "documents" if self.task == "create documents" else "customers"
        report: dict[str, Any] = output.as_json(self.report, self._line, kind) if self.report is not None else {"ok": False}
        report["warnings"] = dict(self._records.warnings.counts) if self._records is not None else {}
        return report if self._to_check is None else {**report, "check": self.check.as_json()}

    def print_table(self) -> None:
        """Prints the report for people, on standard error."""
        if self._to_check is not None:
            self.check.print_findings_before_push()
        if self.report is not None:
            output.print_table(self.task, self.report)

    def name_failures(self) -> None:
        """Names on standard error the first lines that failed or are odd, in the order of the file."""
        if self.report is not None:
            output.name_failures([self.report], [self._locate], server_messages=self.server_messages)
            output.name_shortfall(self.report)
            is_repeatable = self.task != "create documents" or self.options.journal is not None
            output.name_next_step(self.report, self.options, is_repeatable=is_repeatable)
        if self._records is not None:
            output.name_warnings(self._records)

    def _line(self, index: int) -> int:
        assert self._records is not None
        return self._records.line(index)

    def _locate(self, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
        assert self._records is not None
        return output.locate(self._records, outcome)

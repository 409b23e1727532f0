"""`amili-arm nightly`: sends customers, then their documents, and writes the reports of the night."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from anyio import to_thread
from msgspec.structs import replace as replace_fields

from ..bulk.lookups import settle_time
from ..bulk.outcomes import RecordOutcome
from ..bulk.reasons import cause_of
from ..bulk.report import BulkReport, Progress
from ..bulk.run import BulkRun
from ..client import ArmClient
from ..config import BulkOptions, Reconcile
from ..database.url import DatabaseUrl, database_url
from ..errors import CheckError, ConfigurationError
from ..files import FileKind
from ..nightly.money import MoneyTotals
from ..nightly.report import ReportSchema, first_failures
from ..nightly.run import NightlyReport, PartName
from ..sources.records import Records
from ..sync.state import has_state
from . import output
from .check import CheckJob, customer_numbers, require_rereadable
from .clients import clients_of_the_night, run_client, run_clients
from .clients_night import current_night
from .command import OUTPUT, RUN, SOURCE, acting_command
from .html_report.markup import spaced
from .html_report.summary import next_steps, summed_at_risk
from .html_report.writers import Failure, write_failures, write_json, write_page
from .monitoring import current_run
from .options import (
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
from .report_commands import Invocation
from .report_wording import report_in_options
from .runner import GRACE, BatchLines, on_progress, run_to_end, send
from .signals import SignalHandler
from .source_options import LineOptions, SourceOptions, TableColumns, table_columns

__all__ = ["NightlyJob", "ReportOptions", "nightly"]


@dataclass(frozen=True)
class ReportOptions:
    """Which reports are written."""

    report: Annotated[str | None, typer.Option(metavar="FILE", rich_help_panel=OUTPUT, help="Write the report as JSON to this file.")] = (
        None
    )
    html: Annotated[
        str | None, typer.Option(metavar="FILE", rich_help_panel=OUTPUT, help="Write the report as an HTML page to this file.")
    ] = None
    failures: Annotated[
        str | None, typer.Option(metavar="FILE", rich_help_panel=OUTPUT, help="Write all failed records as CSV to this file.")
    ] = None


def _column_option(part: PartName) -> Any:
    return typer.Option(
        f"--column-{part}",
        metavar="COLUMN=FIELD",
        rich_help_panel=SOURCE,
        help=f"Read a column of the {part} as this field. Repeatable.\n\nSettings: [columns.{part}]",
    )


def _set_option(part: PartName) -> Any:
    return typer.Option(
        f"--set-{part}",
        metavar="FIELD=VALUE",
        rich_help_panel=SOURCE,
        help=f"Give a field the same value in all {part}. Repeatable.\n\nSettings: [constants.{part}]",
    )


@dataclass(frozen=True)
class PartColumnOptions:
    """Which columns of the two files are which fields."""

    column_customers: Annotated[list[str] | None, _column_option("customers")] = None
    set_customers: Annotated[list[str] | None, _set_option("customers")] = None
    column_documents: Annotated[list[str] | None, _column_option("documents")] = None
    set_documents: Annotated[list[str] | None, _set_option("documents")] = None

    def of(self, part: PartName) -> TableColumns:
        """Returns what these options and the settings file say of one part.

        Args:
            part: `customers` or `documents`.

        Returns:
            The columns.

        Raises:
            ConfigurationError: an option has no `=`, or names a column or field twice.
        """
        if part == "customers":
            return table_columns(part, self.column_customers, self.set_customers, "-customers")
        return table_columns(part, self.column_documents, self.set_documents, "-documents")


@acting_command
def nightly(
    context: typer.Context,
    connection: ConnectionOptions,
    run: RunOptions,
    rehearsal: RehearsalOptions,
    journal: JournalOptions,
    parts: PartOptions,
    reports: ReportOptions,
    source: SourceOptions,
    columns: PartColumnOptions,
    lines: LineOptions,
    shown: OutputOptions,
    monitoring: MonitoringOptions,
    customers: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=SOURCE,
            help="File of all customers: CSV, Parquet or JSON; it may be compressed. A path, a URL, a folder, or - for standard input.",
        ),
    ] = None,
    documents: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=SOURCE,
            help="File of the documents: CSV, Parquet or JSON; it may be compressed. A path, a URL, a folder, or - for standard input.",
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=RUN,
            help="State: it records what was sent successfully, so that only changed customers are sent. A file, or a PostgreSQL"
            " database: postgresql://host/database#name.",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", rich_help_panel=RUN, help="Also send unchanged customers.")] = False,
    dead_letter_customers: Annotated[
        str | None, typer.Option(metavar="FILE", rich_help_panel=OUTPUT, help="File for the customers that failed.")
    ] = None,
    dead_letter_documents: Annotated[
        str | None, typer.Option(metavar="FILE", rich_help_panel=OUTPUT, help="File for the documents that failed.")
    ] = None,
    at_least_customers: Annotated[
        str | None,
        typer.Option(
            "--at-least-customers",
            "--at-least",
            metavar="N",
            rich_help_panel=SOURCE,
            help="Minimum content of the file of customers: a number of records, or with --state a share of the customers in it, such"
            " as 90%. With less, everything is still sent, and the exit code is 1. Default: 50% with --state.",
        ),
    ] = None,
    at_least_documents: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=SOURCE,
            min=0,
            help="Minimum number of records in the file of documents. With fewer, all are still sent, and the exit code is 1.",
        ),
    ] = None,
    stop_after_failures: StopAfterFailures = None,
    check_first: Annotated[
        bool,
        typer.Option(
            "--check-first",
            rich_help_panel=RUN,
            help="Check both files completely before anything is sent. If they have errors, nothing is sent.",
        ),
    ] = False,
) -> None:
    """Sends the customers, then the documents of the customers that succeeded, and writes the reports.

    Exit code 0: every record succeeded and the money adds up; 1: some failed, or the job could not continue; 2: usage error.
    """
    if (numbers := clients_of_the_night(connection.client_no)) is not None:
        if connection.client_no is not None:
            raise typer.Exit(run_client(context, connection.client_no))
        raise typer.Exit(run_clients(context, numbers, as_json=shown.as_json, messages=shown.server_messages))
    excluded = {"--limit": rehearsal.limit, "--dry-run": rehearsal.dry_run, "--at-least-documents": at_least_documents}
    parts.check(journal, documents=documents is not None, excluded=excluded)
    options = rehearsal.of(run.bulk(stop_after_failures=parse_stop_after_failures(stop_after_failures)))
    job = NightlyJob(
        rehearsal.client(connection),
        state=database_url(state) or state,
        full=full,
        customer_options=_customer_options(options, journal, state, dead_letter_customers),
        document_options=_document_options(options, journal, dead_letter_documents),
        at_least=(parse_at_least(at_least_customers, "--at-least-customers", has_state=state is not None), at_least_documents),
        grace=run.grace,
        quiet=shown.quiet,
        parts=parts,
    )
    job.invocation = Invocation.of(
        context,
        journal=journal.journal,
        run_id=journal.run_id if journal.journal is not None else None,
        dead_letters=tuple((part, path) for part, path in _parts(dead_letter_customers, dead_letter_documents) if path is not None),
    )
    given = dict(_parts(customers, documents))
    job.paths = {part: path for part, path in given.items() if path is not None}
    mappings = {part: lines.add_to(columns.of(part), part) if part == "documents" else columns.of(part) for part in job.paths}
    if check_first:
        # Before the files are opened: opening a pipe waits for its writer.
        for path in job.paths.values():
            require_rereadable(path)
        job.open_again = lambda part: source.open(job.paths[part], part, run.max_bytes, mappings[part])
    with ExitStack() as opened:
        for part, path in job.paths.items():
            job.records[part] = opened.enter_context(source.open(path, part, run.max_bytes, mappings[part]))
        job.check_arguments(run_id=journal.run_id)
        journal.check(documents=documents is not None)
        job.check_files(reports)
        raise typer.Exit(_run(job, reports, messages=shown.server_messages, as_json=shown.as_json))


def _parts(customers: str | None, documents: str | None) -> tuple[tuple[PartName, str | None], ...]:
    return ("customers", customers), ("documents", documents)


def _customer_options(options: BulkOptions, journal: JournalOptions, state: str | None, dead_letter: str | None) -> BulkOptions:
    """The state is enough to resume; without one, the journal knows which customers were sent."""
    path = journal.journal if state is None else None
    return replace(options, journal=path, run_id=journal.run_id if path is not None else None, dead_letter=dead_letter)


def _document_options(options: BulkOptions, journal: JournalOptions, dead_letter: str | None) -> BulkOptions:
    return replace(
        options,
        journal=journal.journal,
        run_id=journal.run_id if journal.journal is not None else None,
        dead_letter=dead_letter,
        reconcile=Reconcile(settle=journal.settle, resend_absent=journal.resend_absent) if journal.reconcile else False,
        resend_known=journal.resend_known,
        require_document_no=journal.require_document_no,
    )


def _run(job: NightlyJob, reports: ReportOptions, *, messages: bool, as_json: bool) -> int:
    """Runs the night, and returns the exit code."""
    monitor = current_run()
    with SignalHandler(durable=True) as signals:
        monitor.begin(job.arm.client_no, job.bulk_reports, job.money)
        code = run_to_end(job.run(), signals)
        all_written = job.write_reports(reports, messages=messages)
        if monitor.has_on_end:
            monitor.report = job.as_json(reports, ended=not code)
        if (night := current_night()) is not None:
            schema = job.schema(reports) if job.report is not None else None
            night.add(job.arm.client_no, schema, job.failures, job.as_json(reports, ended=not code))
        job.print_report(reports, as_json=as_json, ended=not code, messages=messages)
    return code or (0 if job.report is not None and job.report.ok and all_written else 1)


@dataclass
class NightlyJob:
    """One night, and what happened so far; correct at any time.

    Attributes:
        arm: the client; it is closed at the end.
        state: path of the state of the customers, or None.
        full: whether unchanged customers are sent too.
        customer_options: of the run of the customers.
        document_options: of the run of the documents.
        grace: seconds that batches in flight get to finish after a signal.
        quiet: whether no progress is shown.
        parts: which part of the documents is sent.
        paths: of the files, by part.
        records: the open files, by part.
        open_again: opens the file of a part once more, where the files are checked first; else None.
        at_least: what the files of the customers and of the documents are expected to hold at least, or None.
        report: of the night; None before it starts.
        checks: the checks of the files, where --check-first was given.
        invocation: how the command was called; the reports name the commands that settle what is left.
        written: the paths of the reports that were written.
    """

    arm: ArmClient
    state: str | None
    full: bool
    customer_options: BulkOptions
    document_options: BulkOptions
    grace: float = GRACE
    quiet: bool = False
    parts: PartOptions = field(default_factory=PartOptions)
    paths: dict[PartName, str] = field(default_factory=dict)
    records: dict[PartName, Records] = field(default_factory=dict)
    open_again: Callable[[PartName], Records] | None = None
    at_least: tuple[int | float | None, int | None] = (None, None)
    report: NightlyReport | None = None
    checks: list[CheckJob] = field(default_factory=list)
    invocation: Invocation | None = None
    written: list[str] = field(default_factory=list)
    _on_progress: Callable[[Progress], object] | None = None

    def check_arguments(self, *, run_id: str | None) -> None:
        """Refuses arguments that contradict each other, before anything is written or sent.

        Args:
            run_id: as given on the command line.

        Raises:
            ConfigurationError: there is nothing to send, or the arguments contradict each other.
        """
        if not self.records:
            raise ConfigurationError("give --customers, --documents or both")
        if run_id is not None and self.document_options.journal is None:
            raise ConfigurationError("--run-id names the run in a journal: give --journal too")
        if sum(records.name == "standard input" for records in self.records.values()) > 1:
            raise ConfigurationError("standard input can't be both the customers and the documents")

    def check_files(self, reports: ReportOptions) -> None:
        """Refuses files that are the same, or can't be written.

        Args:
            reports: which reports are written.

        Raises:
            ConfigurationError: the message names the options.
        """
        journal = self.document_options.journal or self.customer_options.journal
        dry_run = self.document_options.dry_run
        files: list[tuple[str, Any, FileKind]] = [
            *((f"--{part}", path, "source") for part, path in self.paths.items() if path != "-"),
            ("--state", self.state, "state"),
            ("--journal", journal, "journal"),
            ("--dead-letter-customers", self.customer_options.dead_letter, "dead letter"),
            ("--dead-letter-documents", self.document_options.dead_letter, "dead letter"),
        ]
        written: list[tuple[str, Any, FileKind]] = [
            ("--report", reports.report, "report"),
            ("--html", reports.html, "report"),
            ("--failures", reports.failures, "report"),
        ]
        check_files([*files, *written], writable=not dry_run)
        check_files(written)

    async def run(self) -> None:
        """Runs the night.

        Raises:
            BulkError: a part could not continue.
            InterruptedRunError: a signal ended it.
        """
        async with self.arm:
            if self.open_again is not None:
                await self._check_first(self.open_again)
            night = self.arm.nightly(
                customers=self.records.get("customers"),
                documents=self.records.get("documents"),
                state=self.state,
                full=self.full,
                customer_options=replace(self.customer_options, on_progress=self._progress),
                document_options=replace(self.document_options, on_progress=self._progress),
                at_least_customers=self.at_least[0],
                at_least_documents=self.at_least[1],
                parts=self.parts.parts,
                part=self.parts.part,
            )
            self.report = night.report
            await night.run_with(self._send)

    async def _check_first(self, open_again: Callable[[PartName], Records]) -> None:
        """Checks both files completely.

        Raises:
            CheckError: there are errors: nothing was sent.
        """
        most = self.document_options.max_bytes
        failed: CheckError | None = None
        for part, path in self.paths.items():
            with open_again(part) as records, ExitStack() as others:
                if part == "customers":
                    run = self.arm.customers.check(records, max_bytes=most)
                else:
                    known = others.enter_context(open_again("customers")) if "customers" in self.paths else None
                    # On the first night there is no state yet.
                    state = self.state if self.state is not None and await to_thread.run_sync(has_state, self.state) else None
                    run = self.arm.documents.check(
                        records, customers=customer_numbers(known, state, leaves_no_file=self.document_options.dry_run), max_bytes=most
                    )
                self.checks.append(CheckJob())
                try:
                    await self.checks[-1].run_first(run, records, path)
                except CheckError as exc:
                    failed = exc
        if failed is not None:
            raise failed

    def _progress(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)

    async def _send(self, run: BulkRun) -> None:
        """Runs one part, with a progress bar of its own."""
        assert self.report is not None
        part = self.report.parts[-1]
        lines = BatchLines(part.name, quiet=self.quiet)
        with bar(part.name, quiet=self.quiet) as update:
            self._on_progress = on_progress(update, share_read=self.records[part.name].fraction_read, lines=lines)
            await send(run, self.grace, lines.on_settled)

    # --- the result ------------------------------------------------------------------------------------------------------

    def schema(self, reports: ReportOptions) -> ReportSchema:
        """Returns the report, with the files of the night and the commands that settle what is left.

        Args:
            reports: which reports are written.

        Returns:
            The report as it is now.
        """
        assert self.report is not None
        files = self._files(reports)
        names = dict.fromkeys(self.records, Path(files["failures"]).name) if reports.failures is not None else None
        schema = self.report.to_schema(lines={name: records.line for name, records in self.records.items()}, failures_files=names)
        schema = replace_fields(schema, files=files, first_failures=first_failures(schema.parts, files), settle=self._settle())
        return report_in_options(self.invocation.add_to(schema) if self.invocation is not None else schema)

    def _files(self, reports: ReportOptions) -> dict[str, str]:
        """Returns the paths of the night: absolute ones, except for URLs and standard input."""
        given: dict[str, Any] = {
            **{part: records.name for part, records in self.records.items()},
            "state": self.state,
            "journal": self.document_options.journal or self.customer_options.journal,
            "dead_letter_customers": self.customer_options.dead_letter,
            "dead_letter_documents": self.document_options.dead_letter,
            "report": reports.report,
            "html": reports.html,
            "failures": reports.failures,
        }

        def is_address(name: str, path: Any) -> bool:
            return isinstance(path, DatabaseUrl) or (name in self.paths and not Path(path).exists())

        absolute = {
            name: str(path) if is_address(name, path) else str(Path(path).absolute()) for name, path in given.items() if path is not None
        }
        # The name of a file need not be UTF-8, and JSON is.
        return {name: path.encode("utf-8", "backslashreplace").decode() for name, path in absolute.items()}

    def _settle(self) -> float | None:
        """Returns the seconds from sending after which a reconcile looks documents up."""
        options = self.document_options
        return settle_time(None, options.deadline, 0.0) if options.journal is not None and "documents" in self.records else None

    def write_reports(self, reports: ReportOptions, *, messages: bool) -> bool:
        """Writes the reports that were asked for; a file that can't be written is named on standard error.

        Args:
            reports: which reports are written.
            messages: whether the CSV has the server's messages, which may contain personal data.

        Returns:
            Whether all of them were written.
        """
        if self.report is None or reports == ReportOptions():
            return True
        schema = self.schema(reports)
        all_written = True
        for path, write in (
            (reports.report, partial(write_json, schema)),
            (reports.html, partial(write_page, schema)),
            (reports.failures, lambda path: write_failures(path, self.failures(), messages=messages)),
        ):
            try:
                if path is not None:
                    write(path)
                    self.written.append(path)
            except OSError as exc:
                output.warn(f"{path} can't be written: {exc.strerror}")
                all_written = False
        return all_written

    def failures(self) -> Iterator[Failure]:
        """Yields the records that failed.

        Yields:
            Each with its place.
        """
        for part in self.report.parts if self.report is not None else ():
            for outcome in part.report.failures():
                cause = cause_of(outcome.state, outcome.reason, outcome.message)
                yield Failure(part.name, outcome, self.records[part.name].line(outcome.index), cause)

    def bulk_reports(self) -> dict[str, BulkReport]:
        """Returns the reports of the bulk runs so far, by the kind of their records.

        Returns:
            One for each part that was started.
        """
        return {part.name: part.report for part in self.report.parts} if self.report is not None else {}

    def money(self) -> MoneyTotals | None:
        """Returns the sums of the documents.

        Returns:
            None where no documents were started.
        """
        return self.report.money if self.report is not None else None

    def as_json(self, reports: ReportOptions, *, ended: bool) -> dict[str, Any]:
        """Returns the report for programs.

        Args:
            reports: which reports are written.
            ended: False where the command ended early.

        Returns:
            A JSON object.
        """
        if self.report is None:
            return {"ok": False, "checks": [check.as_json() for check in self.checks]}
        warnings = {part: dict(records.warnings.counts) for part, records in self.records.items()}
        return {**msgspec.to_builtins(self.schema(reports)), "warnings": warnings, "ok": self.report.ok and ended}

    def print_report(self, reports: ReportOptions, *, as_json: bool, ended: bool, messages: bool) -> None:
        """Prints the report, and on standard error the findings of the checks, and what failed or is odd.

        Args:
            reports: which reports were written.
            as_json: one line of JSON on standard output, instead of tables on standard error.
            ended: False where the command ended early.
            messages: whether the server's messages are shown, which may contain personal data.
        """
        for check in self.checks:
            check.print_findings_before_push()
        if as_json and current_night() is None:
            output.print_json(self.as_json(reports, ended=ended))
        if self.report is None:
            return
        for name, shortfall in self.report.shortfalls.items():
            output.warn(f"{name}: {shortfall}")
        if not as_json:
            self._print_tables()
        parts = self.report.parts
        output.name_failures(
            [part.report for part in parts], [partial(self._locate, part.name) for part in parts], server_messages=messages
        )
        for part in parts:
            output.name_warnings(self.records[part.name], part.name)
        self._print_end(self.schema(reports))

    def _print_end(self, schema: ReportSchema) -> None:
        """Prints the money at risk, what to do now with the commands that do it, and the paths of the reports."""
        for currency, count, total in summed_at_risk(schema.money_at_risk):
            output.warn(f"money at risk: {output.money_in_words((currency, count, total))}")
        for place, step in enumerate(next_steps(schema), 1):
            output.warn(f"{place}. {spaced(step.text)}")
            for text in step.commands:
                output.say_command(text)
        if self.written:
            output.warn(f"reports: {', '.join(self.written)}")

    def _locate(self, part: PartName, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
        where, shown = output.locate(self.records[part], outcome)
        return f"{part}, {where}", shown

    def _print_tables(self) -> None:
        assert self.report is not None
        for part in self.report.parts:
            output.print_table(part.name, part.report, is_part=True)
        for part in self.report.parts[:1]:
            output.name_rehearsal(part.report)
        for name in self.report.not_begun:
            output.warn(f"{name}: not started, none of its records was read")
        if self.parts.parts is not None and "customers" in self.paths and self.report.documents and self.report.customers is None:
            output.warn("customers: sent by another process; `amili-arm report` has the report of the whole night")
        if self.report.sync is not None:
            output.warn(f"customers since they were last sent: {self.report.sync.summary().partition('; ')[0]}")
        money = self.report.money
        if money is not None:
            rows = [
                (f"{one.currency or 'no currency'}: {word}", f"{sums.count:,}", f"{sums.total:,f}" if sums.total is not None else "")
                for one in money.currencies
                for word, sums in (("read", one.read), *one.states.items())
            ]
            if rows:
                output.table("money" if money.adds_up else "money: DOES NOT ADD UP", ("", "documents", "total"), rows, stderr=True)

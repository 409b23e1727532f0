"""`amili-arm nightly`: customers first, then their documents, and the reports of the night."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer
from anyio import to_thread

from ..bulk.outcomes import RecordOutcome
from ..bulk.report import Progress
from ..bulk.run import BulkRun
from ..client import ArmClient
from ..config import BulkOptions, Reconcile
from ..errors import CheckError, ConfigurationError, SourceError
from ..files import FileKind
from ..nightly.report import ReportSchema
from ..nightly.run import NightlyReport, PartName
from ..sources.records import Records
from . import output
from .check import Checking, CheckInput, numbers_in, refuse_what_is_read_once
from .html_report.failures import write_failures
from .html_report.writers import write_json, write_page
from .options import (
    BaseUrl,
    Clear,
    ClientId,
    ClientNo,
    Concurrency,
    Config,
    Deadline,
    Delimiter,
    ExtraColumns,
    Format,
    Grace,
    IdentityUrl,
    MaxBytes,
    MaxRecords,
    NoJournal,
    Patience,
    Quiet,
    ResendAbsent,
    ResendKnown,
    ServerMessages,
    Settle,
    SourceEncoding,
    SourceFormat,
    UserId,
    check_files,
    check_journal,
    open_input,
    parse_at_least,
    settings,
)
from .progress import bar
from .runner import GRACE, BatchLines, on_progress, run_to_end, send
from .settings_schema import parse_share
from .signals import SignalHandler

__all__ = ["Night", "nightly"]

_DEFAULTS: Final = BulkOptions()


def nightly(
    config: Config = None,
    customers: Annotated[str | None, typer.Option(help="All customers: JSON lines, CSV or Parquet, packed or not.")] = None,
    documents: Annotated[str | None, typer.Option(help="The documents: JSON lines, CSV or Parquet, packed or not.")] = None,
    state: Annotated[str | None, typer.Option(help="Keeps what was sent with success: only customers that changed are sent.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Send the customers too that did not change.")] = False,
    journal: Annotated[
        str | None, typer.Option(help="Keeps the run, so that the same command goes on after a crash. Documents need it, and a --run-id.")
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(help="Names what is sent, in the journal: for example the export. The same one goes on; another is a new run."),
    ] = None,
    no_journal: NoJournal = False,
    resend_known: ResendKnown = False,
    dead_letter_customers: Annotated[str | None, typer.Option(help="A file for the customers that did not make it.")] = None,
    dead_letter_documents: Annotated[str | None, typer.Option(help="A file for the documents that did not make it.")] = None,
    report: Annotated[str | None, typer.Option(help="Write the report as JSON.")] = None,
    html: Annotated[str | None, typer.Option(help="Write the report as a page to look at.")] = None,
    failures: Annotated[str | None, typer.Option(help="Write the failures as CSV.")] = None,
    base_url: BaseUrl = None,
    client_no: ClientNo = None,
    user_id: UserId = None,
    identity_url: IdentityUrl = None,
    client_id: ClientId = None,
    max_records: MaxRecords = _DEFAULTS.max_records,
    max_bytes: MaxBytes = _DEFAULTS.max_bytes,
    concurrency: Concurrency = None,
    patience: Patience = _DEFAULTS.patience,
    deadline: Deadline = _DEFAULTS.deadline,
    at_least_customers: Annotated[
        str | None,
        typer.Option(
            "--at-least-customers",
            "--at-least",
            help="How much the file of the customers holds at the least, where it is whole: a number of records, or with --state a share"
            " of the customers in it, such as 90%. With less, what is there is sent, and the exit code is 1. [default: 50% with --state]",
        ),
    ] = None,
    at_least_documents: Annotated[
        int | None,
        typer.Option(
            min=0, help="Records that the file of the documents holds at the least, where it is whole; with fewer, the exit code is 1."
        ),
    ] = None,
    stop_after_failures: Annotated[
        str | None, typer.Option(help="End a part after so many failed records: a number, or a share such as 5% or 0.05.")
    ] = None,
    require_document_no: Annotated[
        bool, typer.Option("--require-document-no/--no-require-document-no", help="Send no document without documentNo.")
    ] = False,
    reconcile: Annotated[bool, typer.Option("--reconcile", help="At the end, look up the documents whose fate is open.")] = False,
    settle: Settle = None,
    resend_absent: ResendAbsent = False,
    check_first: Annotated[
        bool, typer.Option("--check-first", help="Check both files whole before anything is sent; with errors nothing is sent.")
    ] = False,
    format: SourceFormat = Format.auto,
    delimiter: Delimiter = None,
    encoding: SourceEncoding = None,
    clear: Clear = None,
    extra_columns: ExtraColumns = False,
    grace: Grace = GRACE,
    server_messages: ServerMessages = False,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one line of JSON on standard output.")] = False,
) -> None:
    """Sends the customers, then the documents of those that made it, and writes the reports that were asked for.

    Exit code 0: every record made it and the money adds up; 1: some did not, or the night could not go on; 2: wrong use.
    """
    made: Night | None = None
    try:
        shared = BulkOptions(
            max_records=max_records,
            max_bytes=max_bytes,
            concurrency=concurrency,
            patience=patience,
            deadline=deadline,
            stop_after_failures=parse_share(stop_after_failures, "--stop-after-failures") if stop_after_failures is not None else None,
        )
        named = run_id if journal is not None else None
        # A state goes on by itself; without one, the journal knows which customers were done.
        kept = journal if state is None else None
        made = Night(
            settings(base_url, client_no, user_id, identity_url, client_id).client(),
            state=state,
            full=full,
            customer_options=replace(shared, journal=kept, run_id=named if kept is not None else None, dead_letter=dead_letter_customers),
            document_options=replace(
                shared,
                journal=journal,
                run_id=named,
                dead_letter=dead_letter_documents,
                reconcile=Reconcile(settle=settle, resend_absent=resend_absent) if reconcile else False,
                resend_known=resend_known,
                require_document_no=require_document_no,
            ),
            grace=grace,
            quiet=quiet,
        )
        form = (format, delimiter, encoding, clear, extra_columns, max_bytes)
        made.at_least = parse_at_least(at_least_customers, "--at-least-customers", has_state=state is not None), at_least_documents
        given: dict[PartName, str | None] = {"customers": customers, "documents": documents}
        made.paths = {part: path for part, path in given.items() if path is not None}
        if check_first:
            # Before they are opened: to open a pipe waits for whoever writes to it.
            for path in made.paths.values():
                refuse_what_is_read_once(path)
        made.records = {part: open_input(path, part, *form) for part, path in made.paths.items()}
        made.check(run_id=run_id)
        check_journal(journal, no_journal=no_journal, documents=documents is not None)
        if check_first:
            made.opener = lambda part: open_input(made.paths[part], part, *form)
        made.check_files({"--report": report, "--html": html, "--failures": failures})
    except (ConfigurationError, SourceError) as exc:
        for records in made.records.values() if made is not None else ():
            records.close()
        output.fail(str(exc))
    raise typer.Exit(_do(made, Files(report, html, failures, server_messages), as_json=as_json))


class Files(NamedTuple):
    """Which reports are written.

    Attributes:
        report: path of the JSON, or None.
        html: path of the page, or None.
        failures: path of the CSV, or None.
        messages: whether the server's words are in the CSV, which may hold personal data.
    """

    report: str | None
    html: str | None
    failures: str | None
    messages: bool


def _do(made: Night, files: Files, *, as_json: bool) -> int:
    """Does the night, and gives the exit code."""
    with ExitStack() as opened, SignalHandler(durable=True) as interrupts:
        for records in made.records.values():
            opened.enter_context(records)
        code = run_to_end(made.run(), interrupts)
        failed = made.write(files)
        made.tell(as_json=as_json, ended=not code)
    return code or (0 if made.report is not None and made.report.ok and not failed else 1)


@dataclass
class Night:
    """One night: what it sends, and what happened so far, right at any time.

    Attributes:
        arm: the client; it is closed at the end.
        state: the path of the state of the customers, or None.
        full: whether customers that did not change are sent too.
        customer_options: of the run of the customers.
        document_options: of the run of the documents.
        grace: seconds that the batches on the wire have to end after a signal.
        quiet: whether nothing is shown or told while it goes on.
        paths: of the files, by the name of their part.
        records: the open files.
        opener: opens a file once more, where the files are checked first.
        at_least: how much the files of the customers and of the documents hold at the least, or None.
        report: from when the night begins.
        checks: what was found by the checks.
    """

    arm: ArmClient
    state: str | None
    full: bool
    customer_options: BulkOptions
    document_options: BulkOptions
    grace: float = GRACE
    quiet: bool = False
    paths: dict[PartName, str] = field(default_factory=dict)
    records: dict[PartName, Records] = field(default_factory=dict)
    opener: Callable[[PartName], Records] | None = None
    at_least: tuple[int | float | None, int | None] = (None, None)
    report: NightlyReport | None = None
    checks: list[Checking] = field(default_factory=list)
    _moves: Callable[[Progress], object] | None = None

    def check(self, *, run_id: str | None) -> None:
        """Refuses what makes no sense, before anything is opened for writing or sent.

        Raises:
            ConfigurationError: the reason is in the message.
        """
        if not self.records:
            raise ConfigurationError("give --customers, --documents or both")
        if run_id is not None and self.document_options.journal is None:
            raise ConfigurationError("--run-id names the night in a journal: give --journal too")
        if sum(records.name == "standard input" for records in self.records.values()) > 1:
            raise ConfigurationError("standard input can't be both the customers and the documents")

    def check_files(self, reports: Mapping[str, str | None]) -> None:
        """Refuses files that are the same, or can't be written; `reports` are the paths of the reports by their options.

        Raises:
            ConfigurationError: the options are in the message.
        """
        kept = self.document_options.journal or self.customer_options.journal
        found: list[tuple[str, Any, FileKind]] = [
            *((f"--{part}", path, "source") for part, path in self.paths.items() if path != "-"),
            ("--state", self.state, "state"),
            ("--journal", kept, "journal"),
            ("--dead-letter-customers", self.customer_options.dead_letter, "dead letter"),
            ("--dead-letter-documents", self.document_options.dead_letter, "dead letter"),
            *((option, path, "report") for option, path in reports.items()),
        ]
        check_files(found)

    async def run(self) -> None:
        """Does it all.

        Raises:
            BulkError: a part could not go on.
            InterruptedRunError: a signal ended it.
        """
        async with self.arm:
            if self.opener is not None:
                await self._check_first(self.opener)
            night = self.arm.nightly(
                customers=self.records.get("customers"),
                documents=self.records.get("documents"),
                state=self.state,
                full=self.full,
                customer_options=replace(self.customer_options, on_progress=self._move),
                document_options=replace(self.document_options, on_progress=self._move),
                at_least_customers=self.at_least[0],
                at_least_documents=self.at_least[1],
            )
            self.report = night.report
            await night.run_with(self._send)

    async def _check_first(self, opened: Callable[[PartName], Records]) -> None:
        """Checks both files whole.

        Raises:
            CheckError: there are errors: nothing was sent.
        """
        most = self.document_options.max_bytes
        failed: CheckError | None = None
        for part, path in self.paths.items():
            with opened(part) as records, ExitStack() as others:
                checked = CheckInput(records, most)
                if part == "customers":
                    run = self.arm.customers.check(checked, max_bytes=most)
                else:
                    known = CheckInput(others.enter_context(opened("customers")), most) if "customers" in self.paths else None
                    # On the first night there is no state yet.
                    state = self.state if self.state is not None and await to_thread.run_sync(Path(self.state).exists) else None
                    run = self.arm.documents.check(checked, customers=numbers_in(known, state), max_bytes=most)
                self.checks.append(Checking())
                try:
                    await self.checks[-1].do_first(run, checked, path)
                except CheckError as exc:
                    failed = exc
        if failed is not None:
            raise failed

    def _move(self, progress: Progress) -> None:
        if self._moves is not None:
            self._moves(progress)

    async def _send(self, run: BulkRun) -> None:
        """One part, with a bar of its own."""
        assert self.report is not None
        part = self.report.parts[-1]
        told = BatchLines(part.name, quiet=self.quiet)
        with bar(part.name, quiet=self.quiet) as show:
            self._moves = on_progress(show, far=self.records[part.name].fraction_read, lines=told)
            await send(run, self.grace, told.on_settled)

    # --- what happened ----------------------------------------------------------------------------------------------------

    def schema(self, failures: str | None = None) -> ReportSchema:
        """The report; `failures` is the path of the file that lists the failures."""
        assert self.report is not None
        named = dict.fromkeys(self.records, Path(failures).name) if failures is not None else None
        return self.report.to_schema(lines={name: records.line for name, records in self.records.items()}, failures_files=named)

    def write(self, files: Files) -> bool:
        """Writes the reports that were asked for; whether one could not be written."""
        if self.report is None or (files.report, files.html, files.failures) == (None, None, None):
            return False
        document = self.schema(files.failures)
        failed = False
        for path, write in (
            (files.report, partial(write_json, document)),
            (files.html, partial(write_page, document)),
            (files.failures, lambda path: write_failures(path, self._failures(), messages=files.messages)),
        ):
            try:
                if path is not None:
                    write(path)
            except OSError as exc:
                output.warn(f"{path} can't be written: {exc.strerror}")
                failed = True
        return failed

    def _failures(self) -> Iterator[tuple[str, RecordOutcome, int | None]]:
        assert self.report is not None
        for part in self.report.parts:
            for outcome in part.report.failures():
                yield part.name, outcome, self.records[part.name].line(outcome.index)

    def tell(self, *, as_json: bool, ended: bool) -> None:
        """Prints the report: a line of JSON on standard output, or tables on standard error; and what the checks found."""
        for check in self.checks:
            check.print_told()
        if self.report is None:
            if as_json:
                output.print_json({"ok": False, "checks": [check.as_json() for check in self.checks]})
            return
        for name, words in self.report.shortfalls.items():
            output.warn(f"{name}: {words}")
        if as_json:
            output.print_json({**msgspec.to_builtins(self.schema()), "ok": self.report.ok and ended})
            return
        for part in self.report.parts:
            output.print_table(part.name, part.report)
        for name in self.report.not_begun:
            output.warn(f"{name}: not started, none of its records was read")
        if self.report.sync is not None:
            output.warn(f"customers since they were last sent: {self.report.sync.summary()}")
        money = self.report.money
        if money is not None:
            rows = [
                (f"{one.currency or 'no currency'}: {word}", f"{sums.count:,}", f"{sums.total:,f}" if sums.total is not None else "")
                for one in money.currencies
                for word, sums in (("read", one.read), *one.states.items())
            ]
            output.table("money" if money.adds_up else "money: DOES NOT ADD UP", ("", "documents", "total"), rows, stderr=True)

"""`amili-arm sync`: a file of customers, of which only those are sent that changed since they were last sent with success."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import typer

from ..bulk.outcomes import RecordOutcome
from ..client import ArmClient
from ..config import BulkOptions
from ..errors import ConfigurationError, SourceError
from ..sources.records import Records
from ..sync.run import SyncReport
from . import output
from .options import (
    BaseUrl,
    Bisect,
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
    Patience,
    Quiet,
    ServerMessages,
    SourceEncoding,
    SourceFormat,
    UserId,
    check_files,
    open_input,
    parse_at_least,
    settings,
)
from .progress import bar
from .runner import GRACE, BatchLines, on_progress, run_to_end, send
from .settings_schema import parse_share
from .signals import SignalHandler

__all__ = ["Sync", "sync"]

_DEFAULTS: Final = BulkOptions()


def sync(
    file: Annotated[str, typer.Argument(help="All customers: JSON lines, CSV or Parquet, packed or not; - for standard input.")],
    state: Annotated[str, typer.Option(help="A file that keeps what was sent with success; made where there is none.")],
    full: Annotated[bool, typer.Option("--full", help="Send those too that did not change.")] = False,
    forget_gone: Annotated[
        bool, typer.Option("--forget-gone", help="Take those out of the state that FILE does not have; nothing is sent for that.")
    ] = False,
    config: Config = None,
    base_url: BaseUrl = None,
    client_no: ClientNo = None,
    user_id: UserId = None,
    identity_url: IdentityUrl = None,
    client_id: ClientId = None,
    max_records: MaxRecords = _DEFAULTS.max_records,
    max_bytes: MaxBytes = _DEFAULTS.max_bytes,
    concurrency: Concurrency = None,
    bisect: Annotated[Bisect, typer.Option(help="Look for the bad record of a refused batch: in safe writes, all, or none.")] = Bisect.safe,
    patience: Patience = _DEFAULTS.patience,
    deadline: Deadline = _DEFAULTS.deadline,
    at_least: Annotated[
        str | None,
        typer.Option(
            help="How much FILE holds at the least, where it is whole: a share of the customers in the state, such as 90%, or a number of "
            "records. With less, what is there is sent, nobody is forgotten, and the exit code is 1. [default: 50%]"
        ),
    ] = None,
    stop_after_failures: Annotated[
        str | None, typer.Option(help="End the run after so many failed records: a number, or a share such as 5% or 0.05.")
    ] = None,
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
    """Sends the customers of FILE that changed since they were last sent with success, and names on standard error the lines that did not
    make it.

    FILE holds all customers. Those that are gone from it are counted, and nothing else is done about them.
    """
    try:
        options = BulkOptions(
            max_records=max_records,
            max_bytes=max_bytes,
            concurrency=concurrency,
            bisect=bisect.value,
            patience=patience,
            deadline=deadline,
            stop_after_failures=parse_share(stop_after_failures, "--stop-after-failures") if stop_after_failures is not None else None,
        )
        least = parse_at_least(at_least, "--at-least", has_state=True)
        arm = settings(base_url, client_no, user_id, identity_url, client_id).client()
        check_files([("FILE", file if file != "-" else None, "source"), ("--state", state, "state")])
        records = open_input(file, "customers", format, delimiter, encoding, clear, extra_columns, max_bytes)
    except (ConfigurationError, SourceError) as exc:
        output.fail(str(exc))
    made = Sync(arm, state, options, full, forget_gone, server_messages, grace, quiet, least)
    # The state is on the disk whenever something is known: a second signal needs no more care.
    with records, SignalHandler(durable=True) as interrupts:
        code = run_to_end(made.run(records), interrupts)
        if as_json:
            output.print_json({**made.as_json(), "ok": made.ok and not code})
        else:
            made.print_table()
        made.name_failures()
    raise typer.Exit(code or (0 if made.ok else 1))


@dataclass
class Sync:
    """One sync: what it sends, and what happened so far, right at any time.

    Attributes:
        arm: the client; it is closed at the end.
        state: the path of the state.
        options: of the bulk run.
        full: whether what did not change is sent too.
        forget_gone: whether those that are gone are taken out of the state.
        server_messages: whether the server's words are shown, which may hold personal data.
        grace: seconds that the batches on the wire have to end after a signal.
        quiet: whether nothing is shown or told while it goes on.
        at_least: how much the file holds at the least; None is half of the customers in the state.
        report: from when the run begins.
        forgotten: customers taken out of the state.
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
        """Sends what changed.

        Raises:
            BulkError: the run could not go on.
            JournalError, ConfigurationError: the state can't be used: nothing was sent.
            InterruptedRunError: a signal ended it.
        """
        self._records = records
        told = BatchLines("sync customers", quiet=self.quiet)
        with bar("sync customers", quiet=self.quiet) as show:
            async with self.arm, records:
                options = replace(self.options, on_progress=on_progress(show, far=records.fraction_read, lines=told))
                run = self.arm.customers.sync(records, state=self.state, full=self.full, at_least=self.at_least, options=options)
                self.report = run.report
                await send(run.bulk, self.grace, told.on_settled)
        if self.forget_gone and self.report.shortfall is None:
            self.forgotten = await self.report.forget(self.report.gone_keys())

    @property
    def ok(self) -> bool:
        """Whether all records were read and made it, and they are as many as expected."""
        return self.report is not None and self.report.ok

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        report = self.report
        if report is None:
            return {"ok": False}
        found = {name: getattr(report, name) for name in ("new", "changed", "unchanged", "failed", "gone", "without_key")}
        return {**output.as_json(report.bulk, self._line), "sync": found, "forgotten": self.forgotten}

    def print_table(self) -> None:
        """For a person, on standard error."""
        report = self.report
        if report is None:
            return
        numbers = [("new", report.new), ("changed", report.changed), ("unchanged", report.unchanged), ("failed", report.failed)]
        rows = [(word, f"{number:,}") for word, number in numbers]
        rows += [("without number", f"{report.without_key:,}")] if report.without_key else []
        gone = f"{report.gone:,}" if report.gone is not None else "not known"
        rows.append(("gone from the source" if report.shortfall is None else "missing: too few are there", gone))
        rows += [("forgotten", f"{self.forgotten:,}")] if self.forget_gone else []
        output.table("customers since they were last sent", ("", "records"), rows, stderr=True)
        output.print_table("sync customers", report.bulk)

    def name_failures(self) -> None:
        """Names on standard error the first lines that did not make it, in the order of the file."""
        if self.report is not None:
            output.name_failures(self.report.bulk, self._place, server_messages=self.server_messages)

    def _line(self, index: int) -> int:
        assert self._records is not None
        return self._records.line(index)

    def _place(self, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
        assert self._records is not None
        return output.placed(self._records, outcome)

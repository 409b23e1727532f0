"""`amili-arm reconcile`: finds out what became of the documents of a journal whose outcome is unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from ..bulk.outcomes import RecordOutcome
from ..bulk.report import BulkReport, Progress
from ..client import ArmClient
from ..config import BulkOptions
from ..database.url import shown
from ..errors import BulkError
from ..nightly.report import reasons_of
from . import output
from .command import JOURNAL, RUN, acting_command
from .options import ConnectionOptions, JournalArgument, JsonOption, MonitoringOptions, ResendAbsent, RunOptions, Settle, check_files
from .progress import bar
from .report_commands import Invocation
from .runner import on_progress, run_job
from .settling import waiting_line

__all__ = ["ReconcileJob", "reconcile"]


@acting_command
def reconcile(
    context: typer.Context,
    journal: JournalArgument,
    connection: ConnectionOptions,
    monitoring: MonitoringOptions,
    run_id: Annotated[str | None, typer.Option(metavar="NAME", rich_help_panel=JOURNAL, help="Only this run.")] = None,
    settle: Settle = None,
    resend_absent: ResendAbsent = False,
    # Named otherwise than the option, since [bulk] concurrency is about batches.
    lookup_concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="N", rich_help_panel=RUN, help="Documents looked up at the same time.")
    ] = 4,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", rich_help_panel=RUN, help="How long to keep trying while the server does not respond.")
    ] = RunOptions.patience,
    as_json: JsonOption = False,
) -> None:
    """Finds out what became of the documents of a journal whose outcome is unknown.

    It asks for batch results, then looks up the documents that are unknown, and the accepted ones that no batch result explains.
    What it finds is recorded in the journal. A document is looked up when it can no longer appear (--settle); until then the command
    waits, and says until when. It can be interrupted and started again at any time: it continues the wait.
    """
    output.require_file(journal)
    check_files([("JOURNAL", journal, "journal")], writable=False)
    options = BulkOptions(patience=patience)
    job = ReconcileJob(connection.client(), journal, run_id, settle, resend_absent, lookup_concurrency, options)
    job.invocation = Invocation.of(context, journal=shown(journal), run_id=run_id)
    raise typer.Exit(run_job(job, job.run(), is_durable=True, as_json=as_json))


@dataclass
class ReconcileJob:
    """One reconcile, and its report.

    Attributes:
        arm: the client; it is closed at the end.
        journal: path of the journal.
        run_id: the run, or None for all runs of documents.
        settle: seconds after sending from which a document that is not found is taken to be absent, or None.
        resend_absent: whether documents that are proved absent are sent again.
        concurrency: documents looked up at the same time.
        options: for what is sent.
        report: of the reconcile; None before it has ended.
        invocation: how the command was called, for the commands that settle the rest.
    """

    arm: ArmClient
    journal: str
    run_id: str | None
    settle: float | None
    resend_absent: bool
    concurrency: int
    options: BulkOptions
    report: BulkReport | None = None
    invocation: Invocation | None = None
    _said: tuple[str | None, int] | None = None

    async def run(self) -> None:
        """Runs it.

        Raises:
            JournalError: the journal can't be used for this.
            ConfigurationError: `settle` is too short to send again.
            BulkError: it could not continue.
        """
        with bar("reconcile") as update:
            show = on_progress(update)

            def on_wait(progress: Progress) -> None:
                show(progress)
                if update is None:
                    self._say_wait(progress)

            async with self.arm:
                try:
                    self.report = await self.arm.documents.reconcile(
                        self.journal,
                        run_id=self.run_id,
                        settle=self.settle,
                        resend_absent=self.resend_absent,
                        concurrency=self.concurrency,
                        options=replace(self.options, on_progress=on_wait),
                    )
                except BulkError as exc:
                    self.report = exc.report
                    raise

    def _say_wait(self, progress: Progress) -> None:
        """Says once where no bar shows it until when the reconcile waits."""
        wait = progress.settling
        if wait is not None and (wait.run_id, round(wait.until / 10)) != self._said:
            self._said = (wait.run_id, round(wait.until / 10))
            output.warn(waiting_line(wait))

    # --- the result ------------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether every document is known to have succeeded."""
        return self.report is not None and self.report.ok

    def bulk_reports(self) -> dict[str, BulkReport]:
        """Returns the report, by the kind of its records.

        Returns:
            Nothing before it has ended.
        """
        return {"documents": self.report} if self.report is not None else {}

    def as_json(self) -> dict[str, Any]:
        """Returns the report for programs.

        Returns:
            A JSON object.
        """
        return output.as_json(self.report) if self.report is not None else {}

    def print_table(self) -> None:
        """Prints the report for people, on standard error."""
        if self.report is not None:
            output.print_table("reconcile", self.report)

    def name_failures(self) -> None:
        """Names on standard error the first documents that are not known to have succeeded, and says what to do about them."""
        if self.report is not None:
            output.name_failures([self.report], [_locate], server_messages=False)
            for reason in reasons_of(self.report):
                why = f" ({output.plain(reason.reason)})" if reason.reason else ""
                output.warn(f"{reason.count:,} {reason.state}{why}: {reason.remedy}")
                if self.invocation is not None and (command := self.invocation.settles(reason)) is not None:
                    output.say_command(command)


def _locate(outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
    return "documents", outcome

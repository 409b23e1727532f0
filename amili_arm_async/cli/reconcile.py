"""`amili-arm reconcile`: what became of the documents of a journal whose fate is open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..bulk.outcomes import RecordOutcome
from ..bulk.report import BulkReport
from ..client import ArmClient
from ..config import BulkOptions
from ..errors import BulkError
from . import output
from .progress import bar
from .runner import on_progress

__all__ = ["Reconciling"]


@dataclass
class Reconciling:
    """One reconcile.

    Attributes:
        arm: the client; it is closed at the end.
        journal: path of the journal.
        run_id: the run, or None for all runs of documents.
        settle: seconds that must have passed since a document was sent, or None.
        resend_absent: whether what is provably not there is sent again.
        concurrency: documents looked up side by side.
        options: for what is sent.
        report: when it has ended.
    """

    arm: ArmClient
    journal: str
    run_id: str | None
    settle: float | None
    resend_absent: bool
    concurrency: int
    options: BulkOptions
    report: BulkReport | None = None

    async def run(self) -> None:
        """Does it.

        Raises:
            JournalError, ConfigurationError: the journal can't be used for this, or `settle` is too short to send again.
            BulkError: it could not go on.
        """
        with bar("reconcile") as show:
            async with self.arm:
                try:
                    self.report = await self.arm.documents.reconcile(
                        self.journal,
                        run_id=self.run_id,
                        settle=self.settle,
                        resend_absent=self.resend_absent,
                        concurrency=self.concurrency,
                        options=replace(self.options, on_progress=on_progress(show)),
                    )
                except BulkError as exc:
                    self.report = exc.report
                    raise

    # --- what happened ----------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether it is known of every document that it made it."""
        return self.report is not None and self.report.ok

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return output.as_json(self.report) if self.report is not None else {}

    def print_table(self) -> None:
        """For a person, on standard error."""
        if self.report is not None:
            output.print_table("reconcile", self.report)

    def name_failures(self) -> None:
        """Names on standard error the first documents that are not known to have made it."""
        if self.report is not None:
            output.name_failures(self.report, _place, server_messages=False)


def _place(outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
    return "document", outcome

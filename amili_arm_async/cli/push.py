"""`amili-arm push`: a file of records, sent as they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from ..bulk.outcomes import RecordOutcome
from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..client import ArmClient
from ..config import BulkOptions
from ..sources.records import Records
from ..validation.run import CheckRun
from . import output
from .check import Checking, CheckInput, refuse_what_is_read_once
from .progress import bar
from .runner import GRACE, BatchLines, on_progress, send

__all__ = ["Push", "Task", "longest"]

_KEPT: Final = 16_000_000

Task: TypeAlias = Literal["create customers", "update customers", "create documents"]


def longest(options: BulkOptions) -> int:
    """Bytes of a record at the most. One that is too large to be sent is only read where a dead letter keeps it."""
    return options.max_bytes if options.dead_letter is None else max(options.max_bytes, _KEPT)


@dataclass
class Push:
    """One push: what it sends, and what happened so far, right at any time.

    Attributes:
        arm: the client; it is closed at the end.
        task: what is done with the records.
        options: of the bulk run.
        server_messages: whether the server's words are shown, which may hold personal data.
        grace: seconds that the batches on the wire have to end after a signal.
        quiet: whether nothing is shown or told while it goes on.
        at_least: records that the file holds at the least, or None.
        checking: what was found by a check of the whole file, where that was asked for.
        report: of the bulk run, from when it begins.
    """

    arm: ArmClient
    task: Task
    options: BulkOptions
    server_messages: bool = False
    grace: float = GRACE
    quiet: bool = False
    at_least: int | None = None
    checking: Checking = field(default_factory=Checking)
    report: BulkReport | None = None
    _to_check: tuple[CheckRun, CheckInput, str] | None = None
    _records: Records | None = None

    async def run(self, records: Records) -> None:
        """Sends the records, and closes their file.

        Raises:
            BulkError: the run could not go on.
            CheckError: the check that comes first found errors: nothing was sent.
            JournalError, ConfigurationError: the journal can't be used for this run: nothing was sent.
            InterruptedRunError: a signal ended it.
        """
        async with self.arm, records:
            if self._to_check is not None:
                await self.checking.do_first(*self._to_check)
            self._records = records
            told = BatchLines(self.task, quiet=self.quiet)
            with bar(self.task, quiet=self.quiet) as show:
                moves = on_progress(show, far=records.fraction_read, lines=told)
                run = self._begin(records, replace(self.options, on_progress=moves))
                self.report = run.report
                await send(run, self.grace, told.on_settled)

    def check_first(self, path: str, opened: Callable[[], Records]) -> None:
        """Has the whole file checked before anything is sent.

        Raises:
            ConfigurationError: it can't be read twice.
        """
        refuse_what_is_read_once(path)
        checked = CheckInput(opened(), self.options.max_bytes)
        section = self.arm.documents if self.task == "create documents" else self.arm.customers
        self._to_check = (section.check(checked, max_bytes=self.options.max_bytes), checked, path)

    def _begin(self, records: Records, options: BulkOptions) -> BulkRun:
        if self.task == "create documents":
            return self.arm.documents.create_many(records, options=options, at_least=self.at_least)
        if self.task == "update customers":
            return self.arm.customers.update_many(records, options=options, at_least=self.at_least)
        return self.arm.customers.create_many(records, options=options, at_least=self.at_least)

    # --- what happened ----------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether all records were read and made it, and they are as many as expected."""
        return self.report is not None and self.report.ok

    def as_json(self) -> dict[str, Any]:
        """For a program; where a check came first, its report is in `check`."""
        told = output.as_json(self.report, self._line) if self.report is not None else {"ok": False}
        return told if self._to_check is None else {**told, "check": self.checking.as_json()}

    def print_table(self) -> None:
        """For a person, on standard error."""
        if self._to_check is not None:
            self.checking.print_told()
        if self.report is not None:
            output.print_table(self.task, self.report)

    def name_failures(self) -> None:
        """Names on standard error the first lines that did not make it, in the order of the file."""
        if self.report is not None:
            output.name_failures(self.report, self._place, server_messages=self.server_messages)

    def _line(self, index: int) -> int:
        assert self._records is not None
        return self._records.line(index)

    def _place(self, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
        assert self._records is not None
        return output.placed(self._records, outcome)

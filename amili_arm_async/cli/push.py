"""`amili-arm push`: a file of JSON lines, sent as it stands."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from ..bulk.report import BulkReport
from ..bulk.run import BulkRun
from ..bulk.states import RecordOutcome
from ..client import ArmClient
from ..config import BulkOptions
from . import telling
from .batch_lines import BatchLines
from .checking import Checked, Checking, refuse_what_is_read_once
from .lines import Lines
from .progress import bar
from .sending import GRACE, on_progress, send

__all__ = ["Push", "Task"]

_KEPT: Final = 16_000_000

Task: TypeAlias = Literal["create customers", "update customers", "create documents"]


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
        checking: checks the whole file before anything is sent; None where that was not asked for.
        report: of the bulk run, from when it begins.
    """

    arm: ArmClient
    task: Task
    options: BulkOptions
    server_messages: bool = False
    grace: float = GRACE
    quiet: bool = False
    checking: Checking | None = None
    report: BulkReport | None = None
    _lines: Lines | None = None

    async def run(self, file: io.FileIO) -> None:
        """Sends the records of `file`.

        Raises:
            BulkError: the run could not go on.
            CheckError: the check that comes first found errors: nothing was sent.
            JournalError, ConfigurationError: the journal can't be used for this run: nothing was sent.
            InterruptedRunError: a signal ended it.
        """
        async with self.arm:
            if self.checking is not None:
                await self._check_first(self.checking, file)
            self._lines = Lines(file, self._longest)
            told = BatchLines(self.task, quiet=self.quiet)
            with bar(self.task, quiet=self.quiet) as show:
                moves = on_progress(show, far=self._lines.far, lines=told)
                run = self._begin(self._lines, replace(self.options, on_progress=moves))
                self.report = run.report
                await send(run, self.grace, told.told)

    async def _check_first(self, checking: Checking, file: io.FileIO) -> None:
        refuse_what_is_read_once(file)
        records = Checked(file, self.options.max_bytes)
        section = self.arm.documents if self.task == "create documents" else self.arm.customers
        await checking.do_first(section.check(records, max_bytes=self.options.max_bytes), records, file)

    @property
    def _longest(self) -> int:
        """Bytes of a line at the most. One that is too large to be sent is only read where a dead letter keeps it."""
        most = self.options.max_bytes
        return most if self.options.dead_letter is None else max(most, _KEPT)

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
        """For a program; where a check came first, its report is in `check`."""
        told = telling.as_json(self.report) if self.report is not None else {"ok": False}
        return told if self.checking is None else {**told, "check": self.checking.as_json()}

    def print_table(self) -> None:
        """For a person, on standard error."""
        if self.checking is not None:
            self.checking.print_told()
        if self.report is not None:
            telling.print_table(self.task, self.report)

    def name_failures(self) -> None:
        """Names on standard error the first lines that did not make it, in the order of the file."""
        if self.report is not None:
            telling.name_failures(self.report, self._place, server_messages=self.server_messages)

    def _place(self, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
        assert self._lines is not None
        number = self._lines.numbers[outcome.index]
        if number in self._lines.too_long:
            outcome = replace(outcome, reason="too_large", message=f"more than {self._longest} bytes")
        return f"line {number}", outcome

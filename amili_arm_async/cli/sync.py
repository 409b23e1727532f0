"""`amili-arm sync`: a file of customers, of which only those are sent that changed since they were last sent with success."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import typer

from ..bulk.states import RecordOutcome
from ..bulk.syncing import SyncReport
from ..client import ArmClient
from ..config import BulkOptions
from ..errors import ConfigurationError
from . import output, telling
from .commands import open_file, share_of_failures
from .connection import BaseUrl, Bisect, ClientId, ClientNo, Grace, IdentityUrl, ServerMessages, UserId, settings
from .interrupts import Interrupts
from .lines import Lines
from .progress import bar
from .sending import GRACE, on_progress, run_to_end, send

__all__ = ["Sync", "records_of", "sync"]

_DEFAULTS: Final = BulkOptions()


def sync(
    file: Annotated[str, typer.Argument(help="All customers as JSON lines: one record on each line; - for standard input.")],
    state: Annotated[str, typer.Option(help="A file that keeps what was sent with success; made where there is none.")],
    full: Annotated[bool, typer.Option("--full", help="Send those too that did not change.")] = False,
    forget_gone: Annotated[
        bool, typer.Option("--forget-gone", help="Take those out of the state that FILE does not have; nothing is sent for that.")
    ] = False,
    base_url: BaseUrl = None,
    client_no: ClientNo = None,
    user_id: UserId = None,
    identity_url: IdentityUrl = None,
    client_id: ClientId = None,
    max_records: Annotated[int, typer.Option(help="Records in a batch at the most.")] = _DEFAULTS.max_records,
    max_bytes: Annotated[int, typer.Option(help="Bytes of a request at the most.")] = _DEFAULTS.max_bytes,
    concurrency: Annotated[int | None, typer.Option(help="Batches sent side by side; found by itself where it is not given.")] = None,
    bisect: Annotated[Bisect, typer.Option(help="Look for the bad record of a refused batch: in safe writes, all, or none.")] = Bisect.safe,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a server that does not answer.")] = _DEFAULTS.patience,
    deadline: Annotated[float, typer.Option(help="Seconds to wait for the result of a batch.")] = _DEFAULTS.deadline,
    stop_after_failures: Annotated[
        str | None, typer.Option(help="End the run after so many failed records: a number, or a share such as 5% or 0.05.")
    ] = None,
    grace: Grace = GRACE,
    server_messages: ServerMessages = False,
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
            stop_after_failures=share_of_failures(stop_after_failures),
        )
        arm = ArmClient.from_env(settings(base_url, client_no, user_id, identity_url, client_id))
    except ConfigurationError as failure:
        output.fail(str(failure))
    made = Sync(arm, state, options, full, forget_gone, server_messages, grace)
    # The state is on the disk whenever something is known: a second signal needs no more care.
    with open_file(file) as opened, Interrupts(durable=True) as interrupts:
        code = run_to_end(made.run(records_of(opened, options.max_bytes)), interrupts)
        if as_json:
            output.print_json({**made.as_json(), "ok": made.ok and not code})
        else:
            made.print_table()
        made.name_failures()
    raise typer.Exit(code or (0 if made.ok else 1))


def records_of(opened: Any, longest: int) -> Lines:
    """The records of an open file."""
    return Lines(opened, longest)


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
    report: SyncReport | None = None
    forgotten: int = 0
    _lines: Lines | None = None

    async def run(self, lines: Lines) -> None:
        """Sends what changed.

        Raises:
            BulkError: the run could not go on.
            JournalError, ConfigurationError: the state can't be used: nothing was sent.
            InterruptedRunError: a signal ended it.
        """
        self._lines = lines
        with bar("sync customers") as show:
            async with self.arm:
                options = replace(self.options, on_progress=on_progress(show))
                run = self.arm.customers.sync(lines, state=self.state, full=self.full, options=options)
                self.report = run.report
                await send(run.bulk, self.grace)
        if self.forget_gone:
            self.forgotten = await self.report.forget(self.report.gone_keys())

    @property
    def ok(self) -> bool:
        """Whether every record that was read made it."""
        return self.report is not None and not self.report.failed

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        report = self.report
        if report is None:
            return {"ok": False}
        found = {name: getattr(report, name) for name in ("new", "changed", "unchanged", "failed", "gone", "without_key")}
        return {**telling.as_json(report.bulk), "sync": found, "forgotten": self.forgotten}

    def print_table(self) -> None:
        """For a person, on standard error."""
        report = self.report
        if report is None:
            return
        numbers = [("new", report.new), ("changed", report.changed), ("unchanged", report.unchanged), ("failed", report.failed)]
        rows = [(word, f"{number:,}") for word, number in numbers]
        rows += [("without number", f"{report.without_key:,}")] if report.without_key else []
        gone = f"{report.gone:,}" if report.gone is not None else "not known"
        rows.append(("gone from the source", gone))
        rows += [("forgotten", f"{self.forgotten:,}")] if self.forget_gone else []
        output.table("customers since they were last sent", ("", "records"), rows, stderr=True)
        telling.print_table("sync customers", report.bulk)

    def name_failures(self) -> None:
        """Names on standard error the first lines that did not make it, in the order of the file."""
        if self.report is not None:
            telling.name_failures(self.report.bulk, self._place, server_messages=self.server_messages)

    def _place(self, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
        assert self._lines is not None
        number = self._lines.numbers[outcome.index]
        if number in self._lines.too_long:
            outcome = replace(outcome, reason="too_large", message=f"more than {self.options.max_bytes} bytes")
        return f"line {number}", outcome

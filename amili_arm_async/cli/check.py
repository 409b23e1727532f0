"""`amili-arm check`, and the check of `--check-first`: lists every error in a file, and sends nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ..bulk.blocks import RecordBlock
from ..codec import json_object
from ..errors import CheckError, ConfigurationError, SourceError, counted
from ..sources.judged import JudgedBlock
from ..sources.records import Records
from ..sync.state import known_keys
from ..unreadable import UnreadableRecord
from ..validation.report import CheckReport, Finding
from ..validation.run import CheckRun
from ..wire import Envelope
from . import output
from .command import OUTPUT, SOURCE, Config, SettingsOf, command
from .options import JsonOption, RunOptions
from .progress import bar
from .runner import run_to_end
from .signals import SignalHandler
from .source_options import ColumnOptions, KindArgument, LineOptions, RecordFile, RecordKind, SourceOptions, TableColumns, table_columns
from .stdout import decide_exit_code
from .wording import PlacedTexts, in_options

__all__ = ["CheckJob", "check", "customer_numbers", "require_rereadable"]

_MAX_FINDINGS: Final = 1000
_LINE_OF_DOCUMENT: Final = re.compile(r"\[\d+\]")

_SHOWN: Final = 100
"""Maximum number of lines about findings printed before a push; `amili-arm check` prints all that are named."""
_LONGEST: Final = 2000
"""Maximum number of characters of a message, which ends with the remedy."""


@command
def check(
    kind: KindArgument,
    file: RecordFile,
    source: SourceOptions,
    columns: ColumnOptions,
    lines: LineOptions,
    config: Config = None,
    client_no: SettingsOf = None,
    customers: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=SOURCE,
            help="For documents: file of all customers that will exist. A document of any other customer is an error.",
        ),
    ] = None,
    column_customers: Annotated[
        list[str] | None,
        typer.Option(
            "--column-customers", metavar="COLUMN=FIELD", rich_help_panel=SOURCE, help="As --column, for the file of --customers."
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(metavar="FILE", rich_help_panel=SOURCE, help="For documents: state of `amili-arm sync`. Its customers exist too."),
    ] = None,
    max_findings: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", rich_help_panel=OUTPUT, help="Maximum number of errors and warnings that are listed. More are only counted."
        ),
    ] = _MAX_FINDINGS,
    max_bytes: Annotated[
        int, typer.Option(min=1, metavar="BYTES", rich_help_panel=SOURCE, help="Maximum size of a request: a larger record is an error.")
    ] = RunOptions.max_bytes,
    as_json: JsonOption = False,
) -> None:
    """Lists every error and warning in the records of FILE, on standard output. Nothing is sent, and no network is used.

    Exit code 0: no errors (there may be warnings); 1: errors; 2: usage error.
    """
    decide_exit_code(1, 1)
    if (customers is not None or state is not None) and kind is not RecordKind.documents:
        output.fail("--customers and --state are for documents: their customers are looked up in them")
    if customers == file == "-":
        output.fail("standard input can't be both the documents and the customers")
    job = CheckJob(max_findings)
    with ExitStack() as files, SignalHandler() as signals:

        def open_file(path: str, kind: RecordKind, columns: TableColumns) -> Records:
            return files.enter_context(source.open(path, kind.value, max_bytes, columns))

        records = open_file(file, kind, lines.add_to(columns.of(kind.value), kind.value))
        of_customers = table_columns("customers", column_customers, None, "-customers")
        known = open_file(customers, RecordKind.customers, of_customers) if customers is not None else None
        run = _run(kind, records, max_findings, max_bytes, customer_numbers(known, state))
        code = run_to_end(_told_once(job.run(run, records, f"check {kind.value}"), as_json=as_json), signals)
    if as_json:
        output.print_json(job.as_json(ended=not code))
    else:
        job.print_findings(partial(output.say, err=False))
        job.print_summary()
    raise typer.Exit(code or (0 if job.report.ok else 1))


async def _told_once(work: Coroutine[Any, Any, None], *, as_json: bool) -> None:
    """Does the work; why a file can't be read is not said again below the findings, of which it is one."""
    try:
        await work
    except CheckError as exc:
        if as_json or not isinstance(exc.__cause__, SourceError):
            raise
        raise CheckError("a file can't be read: source_error says why", exc.report) from None


def _run(kind: RecordKind, records: Records, max_findings: int, max_bytes: int, known: AsyncIterator[str] | None) -> CheckRun:
    most = max_bytes - Envelope.of(kind.value, None).size
    return CheckRun(kind.value, records, max_findings=max_findings, max_bytes=most, customers=known)


def customer_numbers(customers: Records | None, state: str | None, *, leaves_no_file: bool = False) -> AsyncIterator[str] | None:
    """Returns the customer numbers in a file of customers and in a state.

    Args:
        customers: the file, or None.
        state: path of the state, or None.
        leaves_no_file: whether reading the state must leave no file beside it.

    Returns:
        The numbers; None where there is neither a file nor a state.
    """
    return _numbers(customers, state, leaves_no_file) if customers is not None or state is not None else None


async def _numbers(customers: Records | None, state: str | None, leaves_no_file: bool) -> AsyncIterator[str]:
    if customers is not None:
        async for block in customers.judged_blocks():
            for number in _numbers_in(block):
                if isinstance(number, str):
                    yield number
    if state is not None:
        for number in known_keys(state, leaves_no_file=leaves_no_file):
            yield number


def _numbers_in(block: JudgedBlock | RecordBlock) -> list[object]:
    if isinstance(block, JudgedBlock):
        return [*block.keys, *(_number_in(one.record) for one in block.refused)]
    return list(map(_number_in, block))


def _number_in(record: bytes | UnreadableRecord) -> object:
    return ((json_object(record) or {}) if isinstance(record, bytes) else record).get("customerNo")


def require_rereadable(path: str) -> None:
    """Refuses a source that can't be read again after the check, such as a pipe.

    Args:
        path: as given on the command line; `-` is standard input.

    Raises:
        ConfigurationError: it is not a regular file.
    """
    # A missing file is reported when it is opened.
    if path == "-" or (Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir()):
        raise ConfigurationError(
            "--check-first reads everything before anything is sent, and then again: that needs a file, not standard input or a pipe"
        )


def _version(path: str) -> list[tuple[str, int, int, int]]:
    """Returns what changes when the file, or a file in the folder, is changed or replaced; nothing where it is a URL."""
    place = Path(path)
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [(str(file), status.st_ino, status.st_size, status.st_mtime_ns) for file in files if file.exists() for status in [file.stat()]]


class CheckJob:
    """A check of a file, and its report so far; correct at any time.

    Args:
        max_findings: maximum number of findings that are named.

    Attributes:
        report: what was found.
    """

    def __init__(self, max_findings: int = _MAX_FINDINGS) -> None:
        self.report = CheckReport(max_findings)
        self._records: Records | None = None
        self._told: set[str] = set()

    async def run(self, run: CheckRun, records: Records, label: str) -> None:
        """Runs the check.

        Args:
            run: the check.
            records: the file that it reads.
            label: of the progress bar.

        Raises:
            CheckError: the file could not be read to its end.
            InterruptedRunError: a signal ended it.
        """
        self.report, self._records = run.report, records
        with bar(label) as update:
            if update is not None:
                run.on_progress = lambda read: update(read, "")
            await run

    async def run_first(self, run: CheckRun, records: Records, path: str) -> None:
        """Runs the check before a push.

        Args:
            run: the check.
            records: the file that it reads.
            path: of the file.

        Raises:
            CheckError: there are errors, or the file was changed in the meantime.
            InterruptedRunError: a signal ended it.
        """
        before = _version(path)
        try:
            await self.run(run, records, "check")
        except CheckError as exc:
            raise CheckError(f"nothing was sent: {exc}", exc.report) from exc.__cause__
        after = _version(path)
        if not self.report.ok:
            raise CheckError("nothing was sent: the check found errors", self.report)
        if before != after:
            raise CheckError("nothing was sent: the file was changed while it was checked", self.report)

    def line(self, index: int | None) -> int | None:
        """Returns the line of a record in its file.

        Args:
            index: of the record in the source, from 0, or None.

        Returns:
            The line, from 1; None where there is none.
        """
        return self._records.line(index) if index is not None and self._records is not None else None

    def _place(self, index: int) -> str:
        """Returns where a record stands in its file: a line, or a row of Parquet."""
        assert self._records is not None
        return self._records.place(index)

    def as_json(self, *, ended: bool = True) -> dict[str, Any]:
        """Returns the report for programs.

        Args:
            ended: False where the command ended early.

        Returns:
            A JSON object.
        """
        report = self.report
        return {
            "ok": report.ok and ended,
            "complete": report.complete,
            "records": report.records_read,
            "errors": report.errors,
            "warnings": report.warnings,
            "counts": report.counts,
            "more": report.more,
            "not_checked": report.not_checked,
            "faults": [self._fault(fault) for fault in report.faults],
        }

    def _fault(self, fault: Finding) -> dict[str, Any]:
        # An error of the source itself belongs to no record: its message has the place.
        line = self.line(fault.index) if fault.code != "source_error" else None
        fields: dict[str, Any] = {"index": fault.index, "line": line, "key": fault.key, "severity": fault.severity}
        fields |= {"code": fault.code, "path": fault.path, "message": in_options(fault.message)}
        return fields | ({"earlier": fault.earlier, "earlier_line": self.line(fault.earlier)} if fault.earlier is not None else {})

    def print_findings(self, write: Callable[[str], object], most: int | None = None) -> None:
        """Prints the findings, in the order of the file: many that are alike in one line.

        Args:
            write: prints a line.
            most: maximum number of lines; None: all.
        """
        found = PlacedTexts(sys.maxsize)
        of_code: dict[str, set[str]] = {}
        for fault in self.report.faults:
            message = in_options(output.plain(fault.message, most=_LONGEST))
            if fault.code == "source_error":
                text, place = f"{fault.severity} {fault.code}: {message}", ""
            else:
                named = f", key {output.plain(fault.key)}" if fault.key is not None else ""
                path = _LINE_OF_DOCUMENT.sub("[*]", output.plain(fault.path))
                text, place = f"{fault.severity} {fault.code}: {path}: {message}", f"{self._place(fault.index)}{named}"
            of_code.setdefault(fault.code, set()).add(text)
            found.add(text, fault.index, place, f" ({self._place(fault.earlier)})" if fault.earlier is not None else "")
        more = self.report.more
        self._told = {code for code, texts in of_code.items() if code in more and len(texts) == 1}
        for code in self._told:
            # Those that are not kept say the same.
            found.count_more(min(of_code[code]), more[code])
        for line in found.lines(most if most is not None else sys.maxsize):
            write(line)
        if found.others:
            write(f"and {found.others:,} more; `amili-arm check` names them")

    def print_summary(self) -> None:
        """Prints the number of records, errors and warnings on standard error."""
        report = self.report
        for code, number in report.more.items():
            if code not in self._told:
                output.warn(f"{number:,} more of {code}")
        for words in report.not_checked:
            output.warn(f"not checked: {words}")
        if self._records is not None and self._records.blank_lines:
            output.warn(f"skipped {counted(self._records.blank_lines, 'blank line')}")
        incomplete = "" if report.complete else ", and not all were read"
        found = f"{counted(report.errors, 'error')}, {counted(report.warnings, 'warning')}"
        output.warn(f"checked {counted(report.records_read, 'record')}: {found}{incomplete}")

    def print_findings_before_push(self) -> None:
        """Prints the findings on standard error, where the check began."""
        if self._records is not None:
            self.print_findings(output.warn, _SHOWN)
            self.print_summary()

"""`amili-arm check`, and what `amili-arm push --check-first` does first: every fault of a file, and nothing sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ..bulk.source import FreshRecords
from ..codec import json_object
from ..config import BulkOptions
from ..errors import CheckError, ConfigurationError, SourceError
from ..models.base import Input
from ..models.customers import Customer
from ..models.documents import Document
from ..sources.records import Records
from ..sync.state import kept
from ..validation.report import CheckReport, Finding
from ..validation.run import CheckRun
from ..wire import Envelope
from . import output
from .options import Clear, Delimiter, ExtraColumns, Format, RecordKind, SourceEncoding, SourceFormat, open_input
from .progress import bar
from .runner import run_to_end
from .signals import SignalHandler

__all__ = ["CheckInput", "Checking", "check", "numbers_in", "refuse_what_is_read_once"]

_DEFAULTS: Final = BulkOptions()
_LIMIT: Final = 1000
_SHOWN: Final = 100
"""Faults that are printed before a push; `amili-arm check` prints all that were kept."""
_LONGEST: Final = 2000
"""Signs of the words to a source that can't be read: a path and a remedy may be long."""


def check(
    kind: Annotated[RecordKind, typer.Argument(help="What the records are.")],
    file: Annotated[str, typer.Argument(help="JSON lines, CSV or Parquet, packed with gzip or zstd or not; - for standard input.")],
    customers: Annotated[
        str | None,
        typer.Option(help="A file of all customers that there will be: a document for another customer is an error. For documents."),
    ] = None,
    state: Annotated[str | None, typer.Option(help="The state of `amili-arm sync`, whose customers are known too. For documents.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Faults that are named; more are counted.")] = _LIMIT,
    max_bytes: Annotated[int, typer.Option(min=1, help="Bytes of a request at the most.")] = _DEFAULTS.max_bytes,
    format: SourceFormat = Format.auto,
    delimiter: Delimiter = None,
    encoding: SourceEncoding = None,
    clear: Clear = None,
    extra_columns: ExtraColumns = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one line of JSON on standard output.")] = False,
) -> None:
    """Names every fault of every record of FILE, on standard output. Nothing is sent, and no network is used.

    Exit code 0: no errors (there may be warnings); 1: errors; 2: wrong use.
    """
    if (customers is not None or state is not None) and kind is not RecordKind.documents:
        output.fail("--customers and --state are for documents: their customers are looked for in them")
    if customers == file == "-":
        output.fail("standard input can't be both the documents and the customers")
    made = Checking(limit)
    with ExitStack() as files, SignalHandler() as interrupts:

        def opened(path: str, kind: RecordKind) -> CheckInput:
            found = open_input(path, kind.value, format, delimiter, encoding, clear, extra_columns, max_bytes)
            return CheckInput(files.enter_context(found), max_bytes)

        try:
            records = opened(file, kind)
            known = opened(customers, RecordKind.customers) if customers is not None else None
            run = _run(kind, records, limit, max_bytes, numbers_in(known, state))
        except (ConfigurationError, SourceError) as exc:
            output.fail(str(exc))
        code = run_to_end(made.do(run, records, f"check {kind.value}"), interrupts)
    if as_json:
        output.print_json(made.as_json(ended=not code))
    else:
        made.print_faults(typer.echo)
        made.print_summary()
    raise typer.Exit(code or (0 if made.report.ok else 1))


def _run(kind: RecordKind, records: CheckInput, limit: int, max_bytes: int, known: AsyncIterator[str] | None) -> CheckRun:
    classes: dict[RecordKind, tuple[type[Input], str]] = {
        RecordKind.customers: (Customer, "customerNo"),
        RecordKind.documents: (Document, "documentNo"),
    }
    cls, key = classes[kind]
    most = max_bytes - Envelope.of(kind.value, None).size
    return CheckRun(cls, key, records, limit=limit, max_bytes=most, customers=known)


def numbers_in(customers: CheckInput | None, state: str | None) -> AsyncIterator[str] | None:
    """The customer numbers in a file of customers and in a state; None where there is neither."""
    return _numbers(customers, state) if customers is not None or state is not None else None


async def _numbers(customers: CheckInput | None, state: str | None) -> AsyncIterator[str]:
    if customers is not None:
        async for record in customers:
            # A record without a number names none.
            found = (json_object(record) or {}) if isinstance(record, bytes) else record
            number = found.get("customerNo")
            if isinstance(number, str):
                yield number
    if state is not None:
        for number in kept(state):
            yield number


def refuse_what_is_read_once(path: str) -> None:
    """Refuses what can't be read a second time, to be sent after it was checked.

    Raises:
        ConfigurationError: it is no file, or there is none.
    """
    # Of a path that leads nowhere, whoever opens it tells what is wrong.
    if path == "-" or (Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir()):
        raise ConfigurationError(
            "--check-first reads everything before anything is sent, and then again: that needs a file, not standard input and no pipe"
        )


def _state(path: str) -> tuple[int, int, int]:
    """What tells whether a file is still the one that it was."""
    found = Path(path).stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


class CheckInput(FreshRecords):
    """The records of a file as a check takes them; a line over the limit is there too, as bytes that are as long."""

    def __init__(self, records: Records, max_bytes: int) -> None:
        self.records = records
        self._read = 0
        self._too_long = bytes(max_bytes + 1)

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for record in self.records:
            self._read += 1
            yield self._too_long if self.records.is_too_long(self._read - 1) else record


class Checking:
    """A check of a file, and what it found so far, right at any time.

    Attributes:
        report: what was found.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self.report = CheckReport(limit)
        self._records: CheckInput | None = None

    async def do(self, run: CheckRun, records: CheckInput, label: str) -> None:
        """Does the check.

        Raises:
            CheckError: the file could not be read to its end.
            InterruptedRunError: a signal ended it.
        """
        self.report, self._records = run.report, records
        with bar(label) as show:
            if show is not None:
                run.on_progress = lambda read: show(read, "")
            await run

    async def do_first(self, run: CheckRun, records: CheckInput, path: str) -> None:
        """Does the check before a push.

        Raises:
            CheckError: there are errors, or the file was changed meanwhile.
            InterruptedRunError: a signal ended it.
        """
        before = _state(path)
        try:
            await self.do(run, records, "check")
        except CheckError as exc:
            raise CheckError(f"nothing was sent: {exc}", exc.report) from exc.__cause__
        after = _state(path)
        if not self.report.ok:
            raise CheckError("nothing was sent: the check found errors", self.report)
        if before != after:
            raise CheckError("nothing was sent: the file was changed while it was checked", self.report)

    def line(self, index: int | None) -> int | None:
        """The line of a record."""
        return self._records.records.line(index) if index is not None and self._records is not None else None

    def as_json(self, *, ended: bool = True) -> dict[str, Any]:
        """For a program; `ended` is false where the command ended early."""
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
        # An error of the source itself is of no record: its message has the place.
        line = self.line(fault.index) if fault.code != "source_error" else None
        told: dict[str, Any] = {"index": fault.index, "line": line, "key": fault.key, "severity": fault.severity}
        told |= {"code": fault.code, "path": fault.path, "message": fault.message}
        return told | ({"earlier": fault.earlier, "earlier_line": self.line(fault.earlier)} if fault.earlier is not None else {})

    def print_faults(self, say: Callable[[str], object], most: int | None = None) -> None:
        """Says each fault that was kept, `most` of them, in the order of the file."""
        faults = self.report.faults
        for fault in faults[:most]:
            named = f", key {output.plain(fault.key)}" if fault.key is not None else ""
            where = f" (line {self.line(fault.earlier)})" if fault.earlier is not None else ""
            if fault.code == "source_error":
                say(f"{fault.severity} {fault.code}: {output.plain(fault.message, most=_LONGEST)}")
                continue
            path = output.plain(fault.path)
            say(f"line {self.line(fault.index)}{named}: {fault.severity} {fault.code}: {path}: {output.plain(fault.message)}{where}")
        if most is not None and len(faults) > most:
            say(f"and {len(faults) - most:,} more, which `amili-arm check` names")

    def print_summary(self) -> None:
        """Says on standard error how many records and faults there are."""
        report = self.report
        for words in report.lines():
            output.warn(words)
        whole = "" if report.complete else ", and not all were read"
        output.warn(f"checked {report.records_read:,} records: {report.errors:,} errors, {report.warnings:,} warnings{whole}")

    def print_told(self) -> None:
        """Says on standard error what was found before a push, or why nothing was sent."""
        if self._records is not None:
            self.print_faults(output.warn, _SHOWN)
            self.print_summary()

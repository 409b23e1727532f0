"""`amili-arm report`: makes the page and the table of failures again from a report document."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..bulk.outcomes import RecordOutcome
from ..errors import ConfigurationError
from ..nightly.report import ReportSchema, read_report
from . import output
from .html_report.failures import write_failures
from .html_report.writers import write_page
from .options import check_files

__all__ = ["report"]


def report(
    file: Annotated[str, typer.Argument(help="A report in JSON, as a nightly run writes it; - for standard input.")],
    html: Annotated[str | None, typer.Option("--html", help="Write one page of HTML here.")] = None,
    csv: Annotated[
        str | None,
        typer.Option("--csv", help="Write the failures that the report names here; ; between cells, as a Norwegian Excel opens it."),
    ] = None,
    comma: Annotated[bool, typer.Option("--comma", help="A comma between cells, and no byte order mark: for programs.")] = False,
) -> None:
    """Makes a page to look at, or a table of failures, from a report in JSON. Nothing is sent.

    The report names at most ten failures of each reason; the failures file of the run itself has all of them.
    """
    if html is None and csv is None:
        output.fail("say what to make: --html out.html, --csv failures.csv, or both")
    try:
        check_files(
            [("FILE", file if file != "-" else None, "source"), ("--html", html, "report"), ("--csv", csv, "report")], writable=False
        )
    except ConfigurationError as exc:
        output.fail(str(exc))
    document = _read(file)
    try:
        if html is not None:
            write_page(document, html)
        if csv is not None:
            written = write_failures(csv, _named(document), delimiter="," if comma else ";")
            _tell_what_is_left_out(document, written)
    except OSError as exc:
        output.fail(f"{exc.filename or html or csv} can't be written: {exc.strerror}", code=1)


def _read(file: str) -> ReportSchema:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as exc:
        output.fail(f"{file} can't be read: {exc.strerror}")
    try:
        return read_report(data)
    except ConfigurationError as exc:
        output.fail(f"{file}: {exc}")


def _named(document: ReportSchema) -> Iterator[tuple[str, RecordOutcome, int | None]]:
    for part in document.parts:
        for reason in part.reasons:
            # Of all further reasons no record is named.
            if reason.state == "other":
                continue
            for example in reason.examples:
                yield part.name, RecordOutcome(example.index, example.key, reason.state, reason.reason, example.message), example.line


def _tell_what_is_left_out(document: ReportSchema, written: int) -> None:
    failed = sum(reason.count for part in document.parts for reason in part.reasons)
    if written < failed:
        files = sorted({part.failures_file for part in document.parts if part.failures_file is not None})
        where = f"; all are in {', '.join(map(output.plain, files))}" if files else ""
        output.warn(f"the report names {written:,} of {failed:,} failures{where}")

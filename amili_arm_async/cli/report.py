"""`amili-arm report`: makes the HTML page and the CSV of failures again from a report in JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..bulk.outcomes import RecordOutcome
from ..errors import ConfigurationError, counted
from ..nightly.clients_report import ClientsReport, read_any_report
from ..nightly.report import ReportSchema
from . import output
from .html_report.writers import Failure, write_failures, write_page
from .options import check_files, command

__all__ = ["report"]


@command
def report(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A report in JSON, as `amili-arm nightly --report` writes it, or - for standard input.")
    ],
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write an HTML page to this file.")] = None,
    csv: Annotated[
        str | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Write the failures named in the report to this file, separated by ; as a Norwegian Excel expects.",
        ),
    ] = None,
    comma: Annotated[bool, typer.Option("--comma", help="Separate by comma, without a byte order mark: for programs.")] = False,
) -> None:
    """Makes an HTML page, or a CSV of failures, from a report in JSON. Nothing is sent.

    The report names at most ten failures for each reason; the failures file of the run itself has all of them.
    """
    if html is None and csv is None:
        output.fail("give --html FILE, --csv FILE, or both")
    check_files([("FILE", file if file != "-" else None, "source"), ("--html", html, "report"), ("--csv", csv, "report")], writable=False)
    schema = _read(file)
    try:
        if html is not None:
            write_page(schema, html)
        if csv is not None:
            written = write_failures(
                csv, _all_failures(schema), delimiter="," if comma else ";", of_clients=isinstance(schema, ClientsReport)
            )
            _warn_of_omitted(_reports(schema), written)
    except OSError as exc:
        output.fail(f"{exc.filename or html or csv} can't be written: {exc.strerror}", code=1)


def _read(file: str) -> ReportSchema | ClientsReport:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as exc:
        output.fail(f"{file} can't be read: {exc.strerror}")
    try:
        return read_any_report(data)
    except ConfigurationError as exc:
        output.fail(f"{file}: {exc}")


def _reports(schema: ReportSchema | ClientsReport) -> list[ReportSchema]:
    if isinstance(schema, ReportSchema):
        return [schema]
    return [client.report for client in schema.clients if client.report is not None]


def _all_failures(schema: ReportSchema | ClientsReport) -> Iterator[Failure]:
    for report in _reports(schema):
        yield from _failures(report)


def _failures(schema: ReportSchema) -> Iterator[Failure]:
    for part in schema.parts:
        for reason in part.reasons:
            # No record of these is named.
            if reason.state == "other":
                continue
            for example in reason.examples:
                outcome = RecordOutcome(example.index, example.key, reason.state, reason.reason, example.message)
                yield Failure(part.name, outcome, example.line, reason.cause, schema.client_no)


def _warn_of_omitted(reports: list[ReportSchema], written: int) -> None:
    parts = [part for report in reports for part in report.parts]
    failed = sum(reason.count for part in parts for reason in part.reasons)
    if written < failed:
        files = sorted({part.failures_file for part in parts if part.failures_file is not None})
        where = f"; all are in {', '.join(map(output.plain, files))}" if files else ""
        output.warn(f"the report names {written:,} of {counted(failed, 'failure')}{where}")

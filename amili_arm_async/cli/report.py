"""`amili-arm report`: makes the HTML page and the CSV of failures again from a report in JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ..bulk.outcomes import RecordOutcome
from ..database.url import DatabaseUrl, database_url
from ..errors import ArmError, ConfigurationError, counted
from ..nightly.clients_report import ClientsReport, read_any_report
from ..nightly.report import ReportSchema
from . import output
from .command import command
from .html_report.writers import Failure, write_failures, write_page
from .options import check_files

__all__ = ["report"]


@command
def report(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A report in JSON, as `amili-arm nightly --report` writes it, or - for standard input; or the URL of a PostgreSQL journal,"
            " with the --run-id of a run in parts.",
        ),
    ],
    run_id: Annotated[str | None, typer.Option("--run-id", metavar="NAME", help="The run in parts, in a PostgreSQL journal.")] = None,
    client_no: Annotated[
        int | None, typer.Option("--client-no", metavar="N", help="Its client number, if several have such a run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one line of JSON on standard output.")] = False,
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
    """Makes an HTML page, or a CSV of failures, from a report in JSON, or from the journal of a run in parts. Nothing is sent.

    The report names at most ten failures for each reason; the failures file of the run itself has all of them.
    """
    if html is None and csv is None and not as_json:
        output.fail("give --html FILE, --csv FILE, or --json")
    check_files([("FILE", file if file != "-" else None, "source"), ("--html", html, "report"), ("--csv", csv, "report")], writable=False)
    url = database_url(file)
    if url is None and (run_id is not None or client_no is not None):
        output.fail("--run-id and --client-no are for a run in parts in a PostgreSQL journal")
    schema = _read(file) if url is None else _read_journal(url, run_id, client_no)
    if as_json:
        output.print_json(msgspec.to_builtins(schema))
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


def _read_journal(url: DatabaseUrl, run_id: str | None, client_no: int | None) -> ReportSchema:
    """Reads the report of a run in parts from its journal."""
    # psycopg is only loaded where there is a database.
    from ..bulk.journal.postgres.shared_reading import keys_of_run  # noqa: PLC0415
    from ..resources.shared_run import read_shared_report  # noqa: PLC0415

    if run_id is None:
        output.fail("give the --run-id of the run in parts")
    try:
        found = keys_of_run(url, run_id, client_no)
        if not found:
            output.fail(f"the journal {url} has no run {run_id!r} in parts: `amili-arm status` shows its runs", code=1)
        if len(found) > 1:
            output.fail(
                f"{len(found)} client numbers have such a run: give --client-no, one of {', '.join(str(key.client_no) for key, _ in found)}"
            )
        ((key, parts),) = found
        return read_shared_report(url, key, parts).to_schema()
    except ArmError as exc:
        output.fail(str(exc), code=1)


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

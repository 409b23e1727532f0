"""What the commands tell of a report: a table, one line of JSON, and the first records that did not make it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import typer

from ..bulk.parts import reasons_of
from ..bulk.report import BulkReport
from ..bulk.states import RecordOutcome, is_from_server
from ..sources.records import Records
from . import output

__all__ = ["NAMED", "STALE", "as_json", "describe", "name_failures", "placed", "print_table"]

NAMED: Final = 50
"""Records that are named at the most; the counts tell of the rest."""

STALE: Final = (
    "It does not know all that was sent with it, so a run looks each document up before it may leave, and sends none that can't be looked "
    "up. Where the file was moved on purpose, and no other copy is used, say `amili-arm adopt` and its path"
)
"""What follows from a stale journal."""


def as_json(report: BulkReport, line_of: Callable[[int], int | None] | None = None) -> dict[str, Any]:
    """For a program; `line_of` gives the line of a record by its index, where it has one."""
    totals = report.totals
    return {
        "counts": dict(report.counts),
        "records": totals.records_read,
        "failed_records": report.failed_records,
        "reasons": reasons_of(report, line_of),
        "error": report.error,
        "source_exhausted": report.source_exhausted,
        "not_read": report.not_read,
        "expectation": report.expectation.as_json() if report.expectation is not None else None,
        "shortfall": report.shortfall,
        "left_behind": dict(report.left_behind),
        "stale_journal": report.stale_journal,
        "batches": totals.batches_sent,
        "requests": totals.requests,
        "megabytes": output.megabytes(totals.bytes_sent),
        "elapsed": round(report.elapsed, 3),
        "records_per_second": output.per_second(totals.records_read, report.elapsed),
    }


def print_table(title: str, report: BulkReport) -> None:
    """For a person, on standard error."""
    totals, elapsed = report.totals, report.elapsed
    rows: list[tuple[str, ...]] = [
        *output.state_rows(report),
        *[(f"left behind: {state}", f"{number:,}") for state, number in report.left_behind.items()],
        *[("not read", f"{report.not_read:,}" if report.not_read is not None else "not known") for _ in range(not report.source_exhausted)],
        (),
        ("batches", f"{totals.batches_sent:,}"),
        ("requests", f"{totals.requests:,}"),
        ("MB sent", f"{output.megabytes(totals.bytes_sent):,.1f}"),
        ("seconds", f"{elapsed:,.2f}"),
        ("records/s", f"{output.per_second(totals.records_read, elapsed):,}"),
    ]
    output.table(title, ("", "records"), rows, stderr=True)
    if report.stale_journal:
        output.warn(f"the journal is stale. {STALE}")


def placed(records: Records, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
    """Where a record stands, and its outcome without what that says already."""
    where = records.place(outcome.index)
    if outcome.message is not None:
        # A record that could not be read says itself where it is.
        outcome = replace(outcome, message=outcome.message.removeprefix(f"{where}: "))
    if records.is_too_long(outcome.index):
        outcome = replace(outcome, reason="too_large")
    return where, outcome


def name_failures(report: BulkReport, place: Callable[[RecordOutcome], tuple[str, RecordOutcome]], *, server_messages: bool) -> None:
    """Names on standard error the first records that did not make it, in the order of the source, and a source that holds too little.

    Args:
        report: of the run.
        place: gives the words for where a record is, and what is to be said of it.
        server_messages: whether the server's words are shown.
    """
    for line in _failures(report, place, server_messages):
        typer.echo(line, err=True)
    if report.shortfall is not None:
        output.warn(report.shortfall)


def _failures(report: BulkReport, place: Callable[[RecordOutcome], tuple[str, RecordOutcome]], server_messages: bool) -> Iterator[str]:
    if not report.failed_records:
        return
    first = heapq.nsmallest(NAMED, report.failures(), key=lambda outcome: outcome.index)
    for outcome in first:
        where, shown = place(outcome)
        yield describe(where, shown.key, shown.state, shown.reason, shown.message, server_messages=server_messages)
    if report.failed_records > len(first):
        yield f"... and {report.failed_records - len(first):,} more"
    if not server_messages and any(is_from_server(outcome.state, outcome.reason) and outcome.message for outcome in first):
        yield "(--server-messages shows what the server wrote to these; it may hold personal data)"


def describe(where: str, key: str | None, state: str, reason: str | None, message: str | None, *, server_messages: bool) -> str:
    """A record that did not make it, in one line."""
    if state == "not_sent" or (is_from_server(state, reason) and not server_messages):
        # Why nothing more was sent is said once, for the whole run.
        message = None
    named = f", key {output.plain(key)}" if key is not None else ""
    why = f" ({output.plain(reason)})" if reason else ""
    return f"{where}{named}: {state}{why}" + (f" {output.plain(message)}" if message else "")

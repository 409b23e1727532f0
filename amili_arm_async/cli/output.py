"""What the commands print: tables for a person, one line of JSON for a program, and nothing of a record but its key."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ..bulk.outcomes import STATES, RecordOutcome, is_from_server
from ..bulk.report import BulkReport
from ..nightly.report import reasons_of
from ..sources.records import Records

__all__ = [
    "NAMED",
    "STALE",
    "as_json",
    "describe",
    "fail",
    "megabytes",
    "name_failures",
    "peak_memory_mb",
    "per_second",
    "placed",
    "plain",
    "print_json",
    "print_table",
    "state_rows",
    "table",
    "warn",
]

_LONGEST: Final = 200


def warn(message: str) -> None:
    """A line on standard error."""
    typer.echo(f"amili-arm: {message}", err=True)


def fail(message: str, code: int = 2) -> NoReturn:
    """Says on standard error what is wrong, and ends the program; code 2 is wrong use."""
    warn(message)
    raise typer.Exit(code)


def print_json(value: Mapping[str, Any]) -> None:
    """One line on standard output."""
    typer.echo(msgspec.json.encode(value).decode())


def plain(text: str, most: int = _LONGEST) -> str:
    """A text that came from outside, without what a terminal would obey, and of at most so many signs."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text[:most])
    return shown + ("..." if len(text) > most else "")


def table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]], *, stderr: bool = False) -> None:
    """A table: the first column is words, the others are numbers. A row without cells draws a line."""
    made = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if number else "left")
    for row in rows:
        if row:
            made.add_row(*row)
        else:
            made.add_section()
    Console(stderr=stderr, highlight=False, markup=False).print(made)


def state_rows(*reports: BulkReport | None) -> list[tuple[str, ...]]:
    """A row for each state that occurs, with a number for each report."""
    counts = [report.counts if report is not None else {} for report in reports]
    rows = [(state, [count.get(state, 0) for count in counts]) for state in STATES]
    return [(state, *(f"{number:,}" for number in numbers)) for state, numbers in rows if any(numbers)]


def megabytes(size: int) -> float:
    """Bytes as MB, to one digit."""
    return round(size / 1e6, 1)


def per_second(records: int, seconds: float) -> int:
    """Records a second, whole."""
    return round(records / seconds) if seconds > 0 else 0


def peak_memory_mb() -> float | None:
    """The most memory that this process ever held, in MB; None where the system does not tell."""
    try:
        # Unlike getrusage, this forgets what the process was before it became this program.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


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
        "reasons": msgspec.to_builtins(reasons_of(report, line_of)),
        "error": report.error,
        "source_exhausted": report.source_exhausted,
        "not_read": report.not_read,
        "expectation": report.expectation.as_json() if report.expectation is not None else None,
        "shortfall": report.shortfall,
        "left_behind": dict(report.left_behind),
        "stale_journal": report.stale_journal,
        "batches": totals.batches_sent,
        "requests": totals.requests,
        "megabytes": megabytes(totals.bytes_sent),
        "elapsed": round(report.elapsed, 3),
        "records_per_second": per_second(totals.records_read, report.elapsed),
    }


def print_table(title: str, report: BulkReport) -> None:
    """For a person, on standard error."""
    totals, elapsed = report.totals, report.elapsed
    rows: list[tuple[str, ...]] = [
        *state_rows(report),
        *[(f"left behind: {state}", f"{number:,}") for state, number in report.left_behind.items()],
        *[("not read", f"{report.not_read:,}" if report.not_read is not None else "not known") for _ in range(not report.source_exhausted)],
        (),
        ("batches", f"{totals.batches_sent:,}"),
        ("requests", f"{totals.requests:,}"),
        ("MB sent", f"{megabytes(totals.bytes_sent):,.1f}"),
        ("seconds", f"{elapsed:,.2f}"),
        ("records/s", f"{per_second(totals.records_read, elapsed):,}"),
    ]
    table(title, ("", "records"), rows, stderr=True)
    if report.stale_journal:
        warn(f"the journal is stale. {STALE}")


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
        warn(report.shortfall)


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
    named = f", key {plain(key)}" if key is not None else ""
    why = f" ({plain(reason)})" if reason else ""
    return f"{where}{named}: {state}{why}" + (f" {plain(message)}" if message else "")

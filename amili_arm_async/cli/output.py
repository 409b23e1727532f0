"""What the commands print: tables for people, one line of JSON for programs, and nothing of a record but its key."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO, cast

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ..bulk.outcomes import FAILURES, NOT_ON_SERVER, STATE_RULES, STATES, RecordOutcome, State, is_from_server
from ..bulk.reasons import cause_of, explain, says_more
from ..bulk.report import BulkReport
from ..config import BulkOptions
from ..database.url import database_url
from ..errors import counted
from ..nightly.report import PartName, reasons_of
from ..sources.records import Records
from .report_wording import reasons_in_options
from .wording import PlacedTexts, continued, in_options, wrapped

__all__ = [
    "MAX_NAMED",
    "MAX_WARNED",
    "STALE",
    "as_json",
    "fail",
    "json_line",
    "locate",
    "megabytes",
    "money_in_words",
    "name_failures",
    "name_next_step",
    "name_rehearsal",
    "name_shortfall",
    "name_warnings",
    "named",
    "peak_memory_mb",
    "per_second",
    "plain",
    "print_json",
    "print_last",
    "print_table",
    "require_file",
    "say",
    "say_command",
    "say_rows",
    "state_rows",
    "table",
    "warn",
    "warn_at_end",
    "why",
    "without_place",
]

_LONGEST: Final = 200

_LONGEST_OF_OURS: Final = 2000
"""Characters of a message of this library, which ends with the remedy."""


_AT_END: Final[list[tuple[bool, str]]] = []


def warn(message: str) -> None:
    """Prints a line on standard error.

    Args:
        message: what to print after the name of the program, in the terms of the library or of the command line.
    """
    say(f"amili-arm: {in_options(message)}")


def say(text: str, *, err: bool = True, indent: str = "  ") -> None:
    """Prints a text; on a terminal, its lines end between words.

    Args:
        text: what to print.
        err: on standard error, else on standard output.
        indent: what the further lines of a long line begin with.
    """
    typer.echo(wrapped(text, _columns(sys.stderr if err else sys.stdout), indent), err=err)


def say_rows(rows: Sequence[tuple[str, ...]], narrow: Callable[[tuple[str, ...]], Iterable[str]], *, widest: int | None = None) -> None:
    """Prints rows of texts on standard output: in columns, or on a terminal that is too narrow for them on lines of their own.

    Args:
        rows: the texts. Lines of columns are not wrapped, so that they can be searched.
        narrow: returns the lines of a row for a narrow terminal.
        widest: longer texts are not counted for the width of a column; None: all are.
    """
    widths = [max(len(row[place]) for row in rows if widest is None or len(row[place]) <= widest) for place in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(f"{text:{width}}" for text, width in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    columns = _columns(sys.stdout)
    if columns is None or max(map(len, lines)) <= columns:
        typer.echo("\n".join(lines))
        return
    for row in rows:
        for line in narrow(row):
            say(line, err=False, indent="      ")


def say_command(command: str) -> None:
    """Prints a command to be copied on standard error.

    Args:
        command: for a POSIX shell.
    """
    typer.echo(continued(command, _columns(sys.stderr)), err=True)


def _columns(stream: TextIO) -> int | None:
    """Returns the columns of a terminal; None where the stream is none."""
    try:
        return (os.get_terminal_size(stream.fileno()).columns or None) if stream.isatty() else None
    except (OSError, ValueError):
        return None


def warn_at_end(message: str, *, is_cause: bool = False) -> None:
    """Prints a line on standard error when the command ends, below tables, failures and warnings.

    Args:
        message: what to print after the name of the program.
        is_cause: whether it is what ended the command: it stands last.
    """
    _AT_END.append((is_cause, message))


def print_last() -> None:
    """Prints what `warn_at_end` kept."""
    lines = sorted(_AT_END, key=lambda line: line[0])
    _AT_END.clear()
    for _, message in lines:
        warn(message)


def fail(message: str, code: int = 2) -> NoReturn:
    """Prints an error on standard error, and ends the program.

    Args:
        message: the error.
        code: exit code; 2 is wrong use.
    """
    warn(message)
    end = typer.Exit(code)
    # For the command of --on-end.
    end.add_note(message)
    raise end


def require_file(path: str) -> None:
    """Ends the program with exit code 2 unless there is such a file, or it is the URL of a database.

    Args:
        path: of the file.
    """
    if database_url(path) is None and not Path(path).is_file():
        fail(f"there is no file {path}")


def print_json(value: Mapping[str, Any]) -> None:
    """Prints one line of JSON on standard output.

    Args:
        value: what to print.
    """
    typer.echo(json_line(value).decode())


def json_line(value: Mapping[str, Any]) -> bytes:
    """Returns one line of JSON, whatever texts it holds: the name of a file need not be UTF-8, and JSON is.

    Args:
        value: what becomes JSON.

    Returns:
        The line, without a line break.
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_storable(msgspec.to_builtins(value)))


def _storable(value: Any) -> Any:
    """Returns a value of JSON with each half of a character in its texts written with a backslash."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value


def plain(text: str, most: int = _LONGEST) -> str:
    """Returns a text from outside with control characters replaced, for a terminal.

    Args:
        text: the text.
        most: maximum number of characters.

    Returns:
        The printable text.
    """
    shown = "".join(sign if sign.isprintable() else "?" for sign in text[:most])
    return shown + ("..." if len(text) > most else "")


def table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]], *, stderr: bool = False) -> None:
    """Prints a table.

    Args:
        title: above the table.
        columns: headings; the first column is text, the others are numbers.
        rows: the cells; an empty row draws a line.
        stderr: print on standard error instead of standard output.
    """
    # A title of the table would be as narrow as the table.
    say(title, err=stderr)
    grid = Table(show_header=any(columns))
    for number, name in enumerate(columns):
        grid.add_column(name, justify="right" if number else "left")
    for row in rows:
        if row:
            grid.add_row(*row)
        else:
            grid.add_section()
    Console(stderr=stderr, highlight=False, markup=False).print(grid)


def money_in_words(of: tuple[str, int, str | None]) -> str:
    """Returns a sum of documents.

    Args:
        of: its currency ("none": without one), the number of documents, and their sum or None.

    Returns:
        Such as `2 documents, 100.00 NOK`.
    """
    currency, count, total = of
    documents = counted(count, "document")
    if total is None:
        return f"{documents}, without totals"
    return f"{documents}, {Decimal(total):,f} {currency if currency != 'none' else 'without currency'}"


def state_rows(*reports: BulkReport | None) -> list[tuple[str, ...]]:
    """Returns a table row for each state that occurs.

    Args:
        *reports: each becomes a column.

    Returns:
        The state, and the number of records in each report.
    """
    counts = [report.counts if report is not None else {} for report in reports]
    rows = [(state, [count.get(state, 0) for count in counts]) for state in STATES]
    return [(state, *(f"{number:,}" for number in numbers)) for state, numbers in rows if any(numbers)]


def megabytes(size: int) -> float:
    """Returns bytes as MB, to one decimal.

    Args:
        size: in bytes.

    Returns:
        Megabytes (10**6 bytes).
    """
    return round(size / 1e6, 1)


def per_second(records: int, seconds: float) -> int:
    """Returns records per second.

    Args:
        records: number of records.
        seconds: in which they were handled.

    Returns:
        The rate, rounded; 0 if no time has passed.
    """
    return round(records / seconds) if seconds > 0 else 0


def peak_memory_mb() -> float | None:
    """Returns the peak memory of this process.

    Returns:
        Megabytes; None where the system does not report it.
    """
    try:
        # Unlike getrusage, this does not include what the process was before exec.
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


MAX_WARNED: Final = 10
"""Maximum number of lines about warnings; the counts include all."""

MAX_NAMED: Final = 50
"""Maximum number of lines about failures; the counts include all."""

STALE: Final = (
    "It does not record everything that was sent with it, so a run looks each document up before sending it, and sends none that can't be "
    "looked up. If the file was moved on purpose, and no other copy is in use, run `amili-arm adopt` with its path"
)
"""What a stale journal means for the user."""


def as_json(report: BulkReport, line_of: Callable[[int], int | None] | None = None, kind: PartName = "documents") -> dict[str, Any]:
    """Returns the report of a bulk run for programs.

    Args:
        report: of the run.
        line_of: gives the line of a record by its index, where it has one.
        kind: what the records are.

    Returns:
        A JSON object.
    """
    totals = report.totals
    return {
        "counts": dict(report.counts),
        "records": totals.records_read,
        "failed_records": report.failed_records,
        "reasons": msgspec.to_builtins(reasons_in_options(reasons_of(report, line_of, kind))),
        "error": in_options(report.error) if report.error is not None else None,
        "source_exhausted": report.source_exhausted,
        "not_read": report.not_read,
        "limited_to": report.limited_to,
        "dry_run": report.dry_run,
        "expectation": report.expectation.as_json() if report.expectation is not None else None,
        "shortfall": in_options(report.shortfall) if report.shortfall is not None else None,
        "left_behind": dict(report.left_behind),
        "stale_journal": report.stale_journal,
        "held_by_others": round(report.held_by_others, 3),
        "batches": totals.batches_sent,
        "requests": totals.requests,
        "megabytes": megabytes(totals.bytes_sent),
        "elapsed": round(report.elapsed, 3),
        "records_per_second": per_second(totals.records_read, report.elapsed),
    }


def print_table(title: str, report: BulkReport, *, is_part: bool = False) -> None:
    """Prints the report of a bulk run for people, on standard error.

    Args:
        title: above the table.
        report: of the run.
        is_part: whether the run is a part of a night, which says by itself that it was a dry run, or limited.
    """
    totals, elapsed = report.totals, report.elapsed
    if not totals.records_read and report.source_exhausted:
        say(f"{title}: no records")
        return
    sending = [("batches", f"{totals.batches_sent:,}"), ("requests", f"{totals.requests:,}")]
    sending += [("MB sent", f"{megabytes(totals.bytes_sent):,.1f}")]
    if report.dry_run:
        sending = [("batches to send", f"{totals.batches_sent:,}"), ("MB to send", f"{megabytes(totals.bytes_sent):,.1f}")]
    if not totals.batches_sent:
        sending = []
    rows: list[tuple[str, ...]] = [
        *state_rows(report),
        *[(f"left behind: {state}", f"{number:,}") for state, number in report.left_behind.items()],
        *_not_read_rows(report),
        (),
        *sending,
        ("seconds", f"{elapsed:,.2f}"),
        ("records/s", f"{per_second(totals.records_read, elapsed):,}"),
    ]
    table(f"{title} (dry run)" if report.dry_run else title, ("", "records"), rows, stderr=True)
    if not is_part:
        name_rehearsal(report)
    if report.held_by_others:
        say(f"held for {report.held_by_others:,.1f} s: the service told another process to wait")
    if report.stale_journal:
        warn(f"the journal is stale. {STALE}")


def name_rehearsal(report: BulkReport) -> None:
    """Says on standard error that a run sent nothing, or was limited.

    Args:
        report: of the run.
    """
    if report.dry_run:
        warn("dry run: nothing was sent, and no journal, state or dead letter was written")
    if report.limited_to is not None:
        warn(report.limit_in_words())


def _not_read_rows(report: BulkReport) -> list[tuple[str, ...]]:
    if report.source_exhausted or report.limited_to is not None:
        return []
    return [("not read", f"{report.not_read:,}" if report.not_read is not None else "not known")]


def locate(records: Records, outcome: RecordOutcome) -> tuple[str, RecordOutcome]:
    """Returns where a record stands in its file, and its outcome without that location.

    Args:
        records: the file.
        outcome: of the record.

    Returns:
        The location, such as `line 7`, and the outcome.
    """
    where = records.place(outcome.index)
    if outcome.message is not None:
        outcome = replace(outcome, message=without_place(outcome.message, where))
    if records.is_too_long(outcome.index):
        outcome = replace(outcome, reason="too_large")
    return where, outcome


def without_place(message: str, where: str) -> str:
    """Returns the message of an unreadable record, which has its location before each fault, without it.

    Args:
        message: of the record.
        where: the location.

    Returns:
        The message.
    """
    return "; ".join(part.removeprefix(f"{where}: ").removeprefix(f"{where}, ") for part in message.split("; "))


def name_failures(
    reports: Sequence[BulkReport], locate: Sequence[Callable[[RecordOutcome], tuple[str, RecordOutcome]]], *, server_messages: bool
) -> None:
    """Names on standard error the records that failed, in the order of the sources: many that failed alike in one line.

    Args:
        reports: of the runs.
        locate: of each run: returns where a record stands, and what to print of its outcome.
        server_messages: whether the server's messages are shown.
    """
    is_silent = False
    for report, locate_in in zip(reports, locate, strict=True):
        is_silent = _name_failures(report, locate_in, server_messages) or is_silent
    if is_silent:
        say("(--server-messages shows the server's messages for these; they may contain personal data)")


def name_next_step(report: BulkReport, options: BulkOptions, *, is_repeatable: bool) -> None:
    """Says at the end of the command what to do about the records that did not succeed.

    Args:
        report: of the run.
        options: of the run.
        is_repeatable: whether the same command sends nothing twice, or only what can be sent twice.
    """
    journal, dead_letter = options.journal, options.dead_letter
    counts = report.counts
    steps = []
    if counts["unknown"] and journal is not None:
        steps.append(f"`amili-arm reconcile {shlex.quote(str(journal))}` finds out about those that are unknown")
    elif counts["unknown"] and not is_repeatable:
        steps.append("`amili-arm verify documents` shows which of the unknown ones the service has: never send one before that")
    to_fix = [state for state in STATES if state in FAILURES & NOT_ON_SERVER and counts[state]]
    again = "give the same command again" if is_repeatable else "send only those records again"
    if to_fix:
        steps.append(f"correct what is {' or '.join(to_fix)} in the file, and {again}")
    elif counts["not_sent"]:
        steps.append(f"{again}, once the cause below is fixed" if report.error is not None else again)
    if dead_letter is not None and report.failed_records > counts["invalid"]:
        steps.append(f"`amili-arm replay {shlex.quote(str(dead_letter))}` sends again what can be sent")
    if report.failed_records:
        of_all = f"{report.failed_records:,} of {counted(report.totals.records_read, 'record')} did not succeed"
        warn_at_end(": ".join([of_all, *(["; ".join(steps)] if steps else [])]))


def name_shortfall(report: BulkReport) -> None:
    """Names on standard error a source that holds too few records.

    Args:
        report: of the run.
    """
    if report.shortfall is not None:
        warn(report.shortfall)


def name_warnings(records: Records, part: str = "") -> None:
    """Names on standard error the records of a source that are odd, with the reason: many that are odd alike in one line.

    Args:
        records: the file.
        part: name of the file in a command with several.
    """
    warnings = records.warnings
    if not warnings:
        return
    where = f"{part}, " if part else ""
    for line in _warnings(records):
        say(where + line)
    counts = ", ".join(f"{code} {count:,}" for code, count in sorted(warnings.counts.items()))
    warn(f"{where}warnings, which keep no record back: {counts}")


def _warnings(records: Records) -> Iterator[str]:
    warnings = records.warnings
    found = PlacedTexts()
    texts: dict[str, set[str]] = {}
    for index, one in enumerate(warnings.first):
        text = f"warning {one.code}: {in_options(plain(one.message))}"
        texts.setdefault(one.code, set()).add(text)
        found.add(text, index, one.place)
    for code, alike in texts.items():
        if len(alike) == 1:
            # Only the first are kept, and all of them say the same.
            found.count_more(min(alike), warnings.counts[code] - sum(one.code == code for one in warnings.first))
    yield from found.lines(MAX_WARNED)


_REMEMBERED: Final = 1000


def _name_failures(report: BulkReport, locate: Callable[[RecordOutcome], tuple[str, RecordOutcome]], server_messages: bool) -> bool:
    """Names the records of a run that failed; returns whether messages of the server were left out."""
    if not report.failed_records:
        return False
    found = PlacedTexts()
    texts: dict[tuple[str, str | None, str | None], str] = {}
    is_silent = False
    for outcome in report.failures():
        where, shown = locate(outcome)
        said = shown.state, shown.reason, shown.message
        if said not in texts:
            if len(texts) >= _REMEMBERED:
                texts.clear()
            texts[said] = why(*said, server_messages=server_messages)
        is_silent = is_silent or (not server_messages and is_from_server(outcome.state, outcome.reason) and bool(outcome.message))
        found.add(texts[said], outcome.index, f"{where}{named(shown.key)}")
    for line in found.lines(MAX_NAMED):
        say(line)
    if found.others:
        say(f"... and {found.others:,} more")
    return is_silent


def named(key: str | None) -> str:
    """Returns the number of a record as it stands behind its place.

    Args:
        key: the number, or None.

    Returns:
        Such as `, key 17`; empty where there is none.
    """
    return f", key {plain(key)}" if key is not None else ""


def why(state: str, reason: str | None, message: str | None, *, server_messages: bool) -> str:
    """Returns what became of a record: the state, the reason as a code, and in plain words.

    Args:
        state: its final state.
        reason: why, or None.
        message: explains the reason, or None.
        server_messages: whether a message of the server is shown.

    Returns:
        The text.
    """
    cause = cause_of(state, reason or "", message)
    if state == "not_sent" or (is_from_server(state, reason) and not server_messages):
        # Why nothing more was sent is printed once, for the whole run.
        message = None
    if not says_more(state, reason):
        message = None
    if message is None and state in STATE_RULES:
        message = explain(cast("State", state), reason or "", cause=cause).meaning
    code = f" ({plain(reason)})" if reason else ""
    if not message:
        return f"{state}{code}"
    if is_from_server(state, reason):
        return f"{state}{code} {plain(message, _LONGEST)}"
    return f"{state}{code} {in_options(plain(message, _LONGEST_OF_OURS))}"

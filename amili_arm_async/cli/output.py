"""What the commands print: tables for a person, one line of JSON for a program, and nothing of a record but its key."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ..bulk.report import BulkReport
from ..bulk.states import STATES

__all__ = ["fail", "megabytes", "peak_memory_mb", "per_second", "plain", "print_json", "state_rows", "table", "warn"]

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

"""The progress bar: on standard error where that is a terminal, nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich import progress as bars
from rich.console import Console
from rich.text import Text

__all__ = ["Show", "bar"]

Show: TypeAlias = Callable[[int, str], None]
"""Takes how many records are done, and a few words."""

_PER_SECOND = 10


class _Rate(bars.ProgressColumn):
    """Records per second since the beginning."""

    def render(self, task: bars.Task) -> Text:
        seconds = task.elapsed or 0.0
        return Text(f"{task.completed / seconds:,.0f}/s" if seconds > 0 else "")


@contextmanager
def bar(label: str, total: int | None = None) -> Iterator[Show | None]:
    """A bar while it is entered, or a spinner with the number where no total is known; None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    console = Console(stderr=True)
    known: tuple[bars.ProgressColumn, ...] = (bars.BarColumn(), bars.MofNCompleteColumn())
    unknown: tuple[bars.ProgressColumn, ...] = (bars.SpinnerColumn(), bars.TextColumn("{task.completed:,.0f} records"))
    shown = bars.Progress(
        bars.TextColumn("{task.description}"),
        *(unknown if total is None else known),
        _Rate(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.fields[words]}"),
        console=console,
        # The screen is drawn this often, however often the numbers change.
        refresh_per_second=_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with shown:
        task = shown.add_task(label, total=total, words="")
        try:
            yield lambda done, words: shown.update(task, completed=done, words=words)
        finally:
            # What stays on the screen is the number, not what was under way before the last record.
            shown.update(task, words="")

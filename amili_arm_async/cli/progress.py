"""The progress bar: on standard error where that is a terminal, nowhere else."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich import progress as bars
from rich.console import Console, RenderableType
from rich.text import Text

from .. import clock
from ..errors import counted

__all__ = ["Rate", "UpdateBar", "bar"]

_PER_SECOND: Final = 10
_WINDOW: Final = 30.0


class UpdateBar(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: int, text: str, /, estimate: float | None = None, until: float | None = None) -> None:
        """Shows how many records are done, and a short text.

        Args:
            done: number of records that are done.
            text: shown below the bar.
            estimate: estimated total number of records, where it is not known.
            until: the time, by the monotonic clock, to which a countdown before the text runs; None: no countdown.
        """


class Rate:
    """Records per second in the last half minute, and the time left at that rate.

    Args:
        now: start, in seconds of the monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self._seen: deque[tuple[float, int]] = deque([(now, 0)])

    def add(self, now: float, done: int) -> None:
        """Notes the number of records that are done.

        Args:
            now: in seconds of the monotonic clock.
            done: number of records.
        """
        if len(self._seen) > 1 and now - self._seen[-2][0] < 1.0:
            # One sample per second is enough.
            self._seen.pop()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW:
            self._seen.popleft()

    def rate(self, now: float) -> float:
        """Returns the rate; it falls while no record is done.

        Args:
            now: in seconds of the monotonic clock.

        Returns:
            Records per second.
        """
        (since, before), (_, done) = self._seen[0], self._seen[-1]
        return (done - before) / (now - since) if now > since else 0.0

    def left(self, now: float, total: float) -> float | None:
        """Returns the time left.

        Args:
            now: in seconds of the monotonic clock.
            total: number of records in all.

        Returns:
            Seconds until `total` records are done; None where the rate is 0.
        """
        rate = self.rate(now)
        return max(0.0, total - self._seen[-1][1]) / rate if rate > 0 else None


class _Bar(bars.Progress):
    """One bar with a line of text below it; without a known total it only moves back and forth."""

    def __init__(self, label: str, total: float | None) -> None:
        self._began = clock.monotonic()
        self._rate = Rate(self._began)
        self._done = 0
        self._total = total
        self._is_known = total is not None
        self._text = ""
        self._until: float | None = None
        self._has_ended = False
        super().__init__(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(20),
            bars.TextColumn("{task.fields[numbers]}"),
            console=Console(stderr=True),
            # The screen is drawn this often, however often the numbers change.
            refresh_per_second=_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        # The bar shows a share, since a change of the total would reset it.
        self.add_task(label, total=None, numbers="")

    def show(self, done: int, text: str, /, estimate: float | None = None, until: float | None = None) -> None:
        self._rate.add(clock.monotonic(), done)
        self._done, self._text, self._until = done, text, until
        if not self._is_known and estimate is not None:
            self._total = max(estimate, float(done))

    def get_renderables(self) -> Iterable[RenderableType]:
        # Called for each refresh: time passes while no record is done.
        numbers = self._numbers(clock.monotonic())
        for task in self.task_ids:
            if self._total is None:
                self.update(task, numbers=numbers)
            else:
                self.update(task, total=1.0, completed=self._done / self._total if self._total else 1.0, numbers=numbers)
        yield from super().get_renderables()
        if self._text:
            left = f"{_clock(math.ceil(max(0.0, self._until - clock.monotonic())))} left: " if self._until is not None else ""
            for line in f"{left}{self._text}".splitlines():
                yield Text(f"  {line}", no_wrap=True, overflow="ellipsis")

    def _numbers(self, now: float) -> str:
        seconds = now - self._began
        shown = [counted(self._done, "record")]
        if self._is_known:
            shown = [f"{self._done}/{self._total:.0f}"]
        elif self._total is not None and not self._has_ended:
            shown = [f"{self._done:,} of about {self._total:,.0f}"]
        rate = self._rate.rate(now) if not self._has_ended else self._done / seconds if seconds > 0 else 0.0
        shown += [f"{rate:,.0f}/s", _clock(seconds)]
        left = self._rate.left(now, self._total) if self._total is not None and not self._has_ended else None
        return "  ".join([*shown, f"{_clock(left)} left"] if left is not None else shown)

    def end(self) -> None:
        """Leaves the final numbers on the screen."""
        self._has_ended = True
        self._text = ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


@contextmanager
def bar(label: str, total: int | None = None, *, quiet: bool = False) -> Iterator[UpdateBar | None]:
    """Shows a progress bar while entered.

    Args:
        label: what is done.
        total: number of records; None where it is not known.
        quiet: show nothing.

    Yields:
        Moves the bar; None where standard error is no terminal, or `quiet` is set.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with _Bar(label, total) as shown:
        try:
            yield shown.show
        finally:
            shown.end()

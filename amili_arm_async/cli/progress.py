"""The progress bar: on standard error where that is a terminal, nowhere else."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich import progress as bars
from rich.console import Console, RenderableType
from rich.text import Text

from .. import clock

__all__ = ["Rate", "Show", "bar"]

_PER_SECOND: Final = 10
_WINDOW: Final = 30.0


class Show(Protocol):
    """Moves a bar."""

    def __call__(self, done: int, words: str, /, about: float | None = None) -> None:
        """Shows how many records are done, and a few words.

        Args:
            done: records.
            words: shown below the bar.
            about: how many records there are by an estimate, where nobody knows it.
        """


class Rate:
    """Records a second in the last half minute, and what they say of the time left.

    Args:
        now: when it begins, by the monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self._seen: deque[tuple[float, int]] = deque([(now, 0)])

    def add(self, now: float, done: int) -> None:
        """So many records are done now."""
        if len(self._seen) > 1 and now - self._seen[-2][0] < 1.0:
            # One a second is enough.
            self._seen.pop()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW:
            self._seen.popleft()

    def rate(self, now: float) -> float:
        """Records a second; it falls while none comes."""
        (since, before), (_, done) = self._seen[0], self._seen[-1]
        return (done - before) / (now - since) if now > since else 0.0

    def left(self, now: float, total: float) -> float | None:
        """Seconds until `total` records are done; None where nobody can say."""
        rate = self.rate(now)
        return max(0.0, total - self._seen[-1][1]) / rate if rate > 0 else None


class _Bar(bars.Progress):
    """One bar, that only moves to and fro where nobody knows how many records there are, and a line of words below it."""

    def __init__(self, label: str, total: float | None) -> None:
        self._began = clock.monotonic()
        self._pace = Rate(self._began)
        self._done = 0
        self._total = total
        self._is_known = total is not None
        self._words = ""
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
        # The bar shows a share: a total that is estimated anew each time would make it begin anew each time.
        self.add_task(label, total=None, numbers="")

    def show(self, done: int, words: str, /, about: float | None = None) -> None:
        self._pace.add(clock.monotonic(), done)
        self._done, self._words = done, words
        if not self._is_known and about is not None:
            self._total = max(about, float(done))

    def get_renderables(self) -> Iterable[RenderableType]:
        # Called for each drawing: the seconds go on while no record comes.
        numbers = self._numbers(clock.monotonic())
        for task in self.task_ids:
            if self._total is None:
                self.update(task, numbers=numbers)
            else:
                self.update(task, total=1.0, completed=self._done / self._total if self._total else 1.0, numbers=numbers)
        yield from super().get_renderables()
        if self._words:
            yield Text(f"  {self._words}", no_wrap=True, overflow="ellipsis")

    def _numbers(self, now: float) -> str:
        seconds = now - self._began
        shown = [f"{self._done:,} records"]
        if self._is_known:
            shown = [f"{self._done}/{self._total:.0f}"]
        elif self._total is not None and not self._has_ended:
            shown = [f"{self._done:,} of about {self._total:,.0f}"]
        rate = self._pace.rate(now) if not self._has_ended else self._done / seconds if seconds > 0 else 0.0
        shown += [f"{rate:,.0f}/s", _clock(seconds)]
        left = self._pace.left(now, self._total) if self._total is not None and not self._has_ended else None
        return "  ".join([*shown, f"{_clock(left)} left"] if left is not None else shown)

    def end(self) -> None:
        """What stays on the screen is the number, not what was under way before the last record."""
        self._has_ended = True
        self._words = ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


@contextmanager
def bar(label: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Show | None]:
    """A bar while it is entered, that only tells the number where no total is known; None where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with _Bar(label, total) as shown:
        try:
            yield shown.show
        finally:
            shown.end()

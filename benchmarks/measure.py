"""How things are measured here: processor time of this process alone, in turns, medians; the time on the wall only where there is latency.

So neither the server, in a process of its own, nor other work on the machine is counted in, as far as that is possible.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

ROUNDS = 15


class Row(NamedTuple):
    """One line of the table: a figure of the library, the one beside it, their unit, how they compare, and what was aimed at.

    Attributes:
        compared: how they compare, as text.
        value: the same as a number, where there is a budget.
        budget: the most that `value` may be; None where there is none.
        least: the budget is the least that `value` may be.
    """

    question: str
    ours: float
    beside: float
    unit: str
    compared: str
    value: float | None = None
    budget: float | None = None
    least: bool = False

    @property
    def aim(self) -> str:
        """The budget as text."""
        return "" if self.budget is None else f"{'>=' if self.least else '<='} {self.budget:g}"

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None where there is none."""
        if self.value is None or self.budget is None:
            return None
        return self.value >= self.budget if self.least else self.value <= self.budget


def in_turns(
    runs: Mapping[str, Callable[[], object]], rounds: int = ROUNDS, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """CPU seconds of each run, as medians; the runs take turns, in an order that changes, after one round that does not count."""

    def clocked(run: Callable[[], object]) -> Callable[[], float]:
        def once() -> float:
            gc.collect()
            begin = clock()
            run()
            return clock() - begin

        return once

    gc.collect()
    # What is alive now stays alive: the garbage collector need not look at it in the middle of a run.
    gc.freeze()
    taken = medians({name: clocked(run) for name, run in runs.items()}, rounds)
    gc.unfreeze()
    return taken


def medians(runs: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median of what each run gives, by the same rules; for runs that clock themselves, in processes of their own."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds + 1):
        for name in names if turn % 2 else reversed(names):
            figure = runs[name]()
            if turn:
                taken[name].append(figure)
    return {name: statistics.median(figures) for name, figures in taken.items()}


def ratio(question: str, ours: float, beside: float, unit: str, budget: float | None = None, *, least: bool = False) -> Row:
    """A row that compares by the ratio."""
    return Row(question, ours, beside, unit, f"{ours / beside:.2f} x", ours / beside, budget, least)

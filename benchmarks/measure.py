"""How things are measured here: processor time of this process alone, in turns, medians; the time on the wall only where there is latency.

So neither the server, in a process of its own, nor other work on the machine is counted in, as far as that is possible.
"""

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import NamedTuple

import amili_arm_async

ROUNDS = 15


class Row(NamedTuple):
    """One line of the table: a figure of the library, the one beside it, their unit, and how they compare."""

    question: str
    ours: float
    beside: float
    unit: str
    compared: str


def in_turns(
    runs: Mapping[str, Callable[[], object]], rounds: int = ROUNDS, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """CPU seconds of each run, as medians; the runs take turns, in an order that changes, after one round that does not count."""
    gc.collect()
    # What is alive now stays alive: the garbage collector need not look at it in the middle of a run.
    gc.freeze()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds + 1):
        for name in names if turn % 2 else reversed(names):
            gc.collect()
            begin = clock()
            runs[name]()
            if turn:
                taken[name].append(clock() - begin)
    gc.unfreeze()
    return {name: statistics.median(times) for name, times in taken.items()}


def ratio(question: str, ours: float, beside: float, unit: str) -> Row:
    """A row that compares by the ratio."""
    return Row(question, ours, beside, unit, f"{ours / beside:.2f} x")


def show(rows: list[Row]) -> None:
    """Prints the table, and what it was measured on."""
    width = max(len(row.question) for row in rows)
    print(f"{'':{width}}  {'library':>8}  {'beside':>8}")
    for row in rows:
        print(f"{row.question:{width}}  {row.ours:8.2f}  {row.beside:8.2f} {row.unit:11}  {row.compared:>8}")
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "msgspec", "anyio"))
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    print(f"\n{machine}; Python {platform.python_version()}; amili-arm-async {amili_arm_async.__version__}, {packages}")

"""How many records a second go through when each answer takes 50 ms? At fixed concurrency, beside the loop by hand with as many workers;
and at default settings, beside the best fixed concurrency of the library. The time is that on the wall.

The records are Structs that are sent over and over, so that a run is long enough for its start not to decide.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice

from amili_arm_async import ArmClient, BulkOptions, Customer, Limits

from .by_hand import by_hand
from .measure import Row, in_turns, ratio
from .records import customers
from .sink import sink
from .table import show

LATENCY = 0.05
DIFFERENT = 64_000
"""More than are ever under way together: the same customer is never sent side by side."""

CONCURRENCIES = {1: 20_000, 2: 40_000, 4: 80_000, 8: 200_000, 16: 800_000, 32: 800_000}
"""Records for each, so that no run takes longer than a few seconds."""

DEFAULT = 800_000


async def _library(address: str, records: Iterator[Customer], concurrency: int | None) -> None:
    limits = Limits() if concurrency is None else Limits(connections=32)
    options = BulkOptions(results="accepted") if concurrency is None else BulkOptions(results="accepted", concurrency=concurrency)
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark", limits=limits) as arm:
        report = await arm.customers.create_many(records, options=options)
    report.raise_for_failures()


def measure(*, quick: bool = False) -> list[Row]:
    """A row for each concurrency, and one for the default settings."""
    counts = {4: 40_000, 32: 200_000} if quick else CONCURRENCIES
    default = 200_000 if quick else DEFAULT
    some = list(customers(DIFFERENT))

    def records(count: int) -> Iterator[Customer]:
        return islice(cycle(some), count)

    with sink(LATENCY) as address:

        def library(count: int, concurrency: int | None) -> Callable[[], None]:
            return lambda: asyncio.run(_library(address, records(count), concurrency))

        def hand(count: int, concurrency: int) -> Callable[[], None]:
            return lambda: asyncio.run(by_hand(address, "customers", records(count), 1000, concurrency=concurrency))

        runs = {"default": library(default, None)}
        for concurrency, count in counts.items():
            runs[f"library {concurrency}"] = library(count, concurrency)
            runs[f"by hand {concurrency}"] = hand(count, concurrency)
        taken = in_turns(runs, 1 if quick else 5, time.perf_counter)

    rows: list[Row] = []
    best = 0.0
    for concurrency, count in counts.items():
        ours, theirs = (count / taken[f"{how} {concurrency}"] / 1000 for how in ("library", "by hand"))
        best = max(best, ours)
        question = f"records on the wall at {LATENCY * 1000:.0f} ms, concurrency {concurrency}, beside a loop by hand"
        rows.append(ratio(question, ours, theirs, "k/s"))
    question = f"records on the wall at {LATENCY * 1000:.0f} ms, default settings, beside the best fixed concurrency"
    return [*rows, ratio(question, default / taken["default"] / 1000, best, "k/s", 0.9, least=True)]


if __name__ == "__main__":
    show(measure())

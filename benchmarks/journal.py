"""What does the journal cost? The same bulk run with a journal beside one without: processor time, and at a latency of 50 ms the time on
the wall; and how large the file is in the end. What it holds of open documents is used again for later ones, so the growth that is told
for documents is an upper bound.

Records are made before the clock starts, and the journal is a new file each time. With `results="accepted"` the text of every document
stays in it, since nobody knows yet what becomes of it; with `results="wait"` only until its result is there.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from amili_arm_async import ArmClient, BulkOptions

from .measure import Row, in_turns, ratio
from .records import customer, customers, document, documents, lines
from .sink import sink
from .table import show

CUSTOMERS = 50_000
DOCUMENTS = 20_000
ROUNDS = 7
LATENCY = 0.05

Results = Literal["wait", "accepted"]


async def send(address: str, items: str, records: Iterable[Any], results: Results, journal: str | None) -> None:
    """One bulk run."""
    run_id = "benchmark" if journal is not None else None
    options = BulkOptions(results=results, poll_first=0.05, poll_max=0.05, journal=journal, run_id=run_id)
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        report = await getattr(arm, items).create_many(records, options=options)
    report.raise_for_failures()


def _run(address: str, items: str, records: list[Any], results: Results, *, journal: bool) -> int:
    """One run; gives the bytes of its journal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.sqlite")
        asyncio.run(send(address, items, records, results, str(path) if journal else None))
        return path.stat().st_size if journal else 0


def _question(
    address: str, text: str, items: str, records: list[Any], results: Results, rounds: int, clock: Callable[[], float] = time.process_time
) -> Row:
    taken = in_turns(
        {
            "on": lambda: _run(address, items, records, results, journal=True),
            "off": lambda: _run(address, items, records, results, journal=False),
        },
        rounds,
        clock,
    )
    unit = 1e6 / len(records)
    budget = 2.0 if clock is time.process_time else 1.1
    return ratio(text, taken["on"] * unit, taken["off"] * unit, "us a record", budget)


def _growth(address: str, items: str, records: list[Any]) -> Row:
    count = len(records)
    some, all_of_them = (_run(address, items, records[:part], "wait", journal=True) for part in (count // 2, count))
    growth = (all_of_them - some) / (count - count // 2)
    question = f"{items}: size of the journal in the end, {count:,} beside half of them"
    return Row(question, all_of_them / 1e6, some / 1e6, "MB", f"{growth:.0f} MB/M")


def measure(*, quick: bool = False) -> list[Row]:
    """A row for each kind of record and of waiting, for growth, and for the wall."""
    rounds, part = (2, 5) if quick else (ROUNDS, 1)
    rows: list[Row] = []
    kinds = (("customers", customer, customers, CUSTOMERS // part), ("documents", document, documents, DOCUMENTS // part))
    with sink() as address:
        for items, one, structs, count in kinds:
            mappings = [one(number) for number in range(count)]
            made: dict[str, list[Any]] = {"Structs": list(structs(count)), "mappings": mappings, "ready bytes": lines(mappings)}
            for kind, records in made.items():
                text = f"{items}, {kind}, accepted: journal on beside off"
                rows.append(_question(address, text, items, records, "accepted", rounds))
            text = f"{items}, Structs, waited for: journal on beside off"
            rows.append(_question(address, text, items, made["Structs"], "wait", rounds))
            rows.append(_growth(address, items, made["Structs"]))
    with sink(LATENCY) as address:
        for items, _, structs, count in kinds:
            text = f"{items}, {LATENCY * 1000:.0f} ms, time on the wall: journal on beside off"
            # Longer runs: to make the file and to close it takes some tens of milliseconds, once.
            records = list(structs(3 * count))
            rows.append(_question(address, text, items, records, "accepted", rounds, time.perf_counter))
    return rows


if __name__ == "__main__":
    show(measure())

"""What does a journal in PostgreSQL cost? The same bulk run of documents with it, with a journal in a file of SQLite, and with none:
processor time of this process, and at a latency of 50 ms the time on the wall, with 16 batches at once.

The database is on this machine and flushes each commit; its own processor time is not counted. Both journals are new each time.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amili_arm_async import ArmClient, BulkOptions
from tests.support.postgres import Server, running

from .measure import Row, in_turns, ratio
from .records import documents
from .sink import sink
from .table import show

DOCUMENTS = 60_000
ROUNDS = 5
LATENCY = 0.05

_RUNS = itertools.count()


async def _send(address: str, records: list[Any], journal: str | None) -> None:
    run_id = f"benchmark {next(_RUNS)}" if journal is not None else None
    options = BulkOptions(results="accepted", concurrency=16, journal=journal, run_id=run_id, resend_known=True)
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        report = await arm.documents.create_many(records, options=options)
    report.raise_for_failures()


def _run(address: str, records: list[Any], kept: str, server: Server) -> None:
    with tempfile.TemporaryDirectory() as folder:
        places = {"none": None, "sqlite": str(Path(folder, "journal.sqlite")), "postgresql": server.url()}
        asyncio.run(_send(address, records, places[kept]))


def _question(
    address: str, text: str, records: list[Any], rounds: int, server: Server, clock: Callable[[], float], budget: float | None
) -> list[Row]:
    def run(kept: str) -> Callable[[], None]:
        return lambda: _run(address, records, kept, server)

    taken = in_turns({kept: run(kept) for kept in ("none", "sqlite", "postgresql")}, rounds, clock)
    unit = 1e6 / len(records)
    ours = taken["postgresql"] * unit
    return [
        ratio(f"documents, {text}: PostgreSQL beside SQLite", ours, taken["sqlite"] * unit, "us a record", budget),
        ratio(f"documents, {text}: PostgreSQL beside no journal", ours, taken["none"] * unit, "us a record", None),
    ]


def measure(*, quick: bool = False) -> list[Row]:
    """Rows for processor time and for the wall."""
    rounds, part = (2, 5) if quick else (ROUNDS, 1)
    records = list(documents(DOCUMENTS // part))
    with running(flushes=True) as server:
        with sink() as address:
            rows = _question(address, "no latency, processor time", records, rounds, server, time.process_time, None)
            rows += _question(address, "no latency, time on the wall", records, rounds, server, time.perf_counter, None)
        with sink(LATENCY) as address:
            rows += _question(address, "50 ms, time on the wall", records, rounds, server, time.perf_counter, 1.15)
    return rows


if __name__ == "__main__":
    show(measure())

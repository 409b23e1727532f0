"""How long does a shared run take, and how much memory does each worker need? `python -m benchmarks.shared_run --documents 5000000`.

Documents are made while they are sent, in parts; a few processes send one part after the other. PostgreSQL flushes each commit. The memory
of a worker at its end stands beside that at an eighth of its way: a worker that kept what it sent would need several times as much.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from amili_arm_async import ArmClient, BulkOptions, part_of
from tests.support.postgres import running

from .records import document
from .sink import sink

RUN_ID = "benchmark"


def _own(part: int, parts: int, count: int) -> Iterator[dict[str, Any]]:
    """The documents of a part."""
    for number in range(count):
        if part_of(str(88_000_000 + number), parts) == part:
            yield document(number)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _watched(records: Iterator[Any], after: int, seen: list[float]) -> Iterator[Any]:
    for place, record in enumerate(records):
        if place == after:
            seen.append(_memory())
        yield record


async def _send(address: str, database: str, mine: list[int], parts: int, count: int) -> list[float]:
    seen: list[float] = []
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        options = BulkOptions(concurrency=16)
        async with arm.documents.shared_run(database, run_id=RUN_ID, parts=parts, options=options) as run:
            for part in mine:
                report = await run.send_part(part, _watched(_own(part, parts, count), count // parts // 8, seen))
                report.raise_for_failures()
    return [seen[0], _memory()]


async def _counts(address: str, database: str, parts: int) -> dict[str, int]:
    arm = ArmClient(2218, auth="token", base_url=address, user_id="benchmark")
    async with arm, arm.documents.shared_run(database, run_id=RUN_ID, parts=parts) as run:
        return {state: number for state, number in (await run.report()).counts.items() if number}


def _worker(address: str, database: str, mine: list[int], parts: int, count: int) -> list[float]:
    words = [address, database, ",".join(map(str, mine)), str(parts), str(count)]
    command = [sys.executable, "-m", "benchmarks.shared_run", "--worker", *words]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in said.split()]


def main() -> None:
    """Sends them all, and prints what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_run", description=__doc__)
    parser.add_argument("--documents", type=int, default=500_000, help="how many (default 500000)")
    parser.add_argument("--parts", type=int, default=8, help="how many (default 8)")
    parser.add_argument("--workers", type=int, default=2, help="processes at once (default 2)")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        address, database, mine, parts, count = given.worker
        print(*asyncio.run(_send(address, database, [int(part) for part in mine.split(",")], int(parts), int(count))))
        return
    count, parts, workers = given.documents, given.parts, given.workers
    with running(flushes=True) as server, sink() as address:
        begun = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            split = [list(range(number, parts, workers)) for number in range(workers)]
            memory = list(pool.map(lambda mine: _worker(address, server.url(), mine, parts, count), split))
        took = time.perf_counter() - begun
        counts = asyncio.run(_counts(address, server.url(), parts))
    print(f"{count} documents in {parts} parts by {workers} workers: {took:.0f} s, {count / took:.0f} a second; {counts}")
    for number, (early, late) in enumerate(memory):
        print(f"worker {number}: {early:.0f} MB at an eighth of its first part, {late:.0f} MB at its end, {late / early:.2f} x")


if __name__ == "__main__":
    main()

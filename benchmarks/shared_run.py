"""How long does a shared run take, and how much memory does each worker need? `python -m benchmarks.shared_run --documents 5000000`.

Documents are made while they are sent, in parts; a few processes send one part after the other. PostgreSQL flushes each commit. The memory
that each worker has at each eighth of its way is printed when it gets there: one that kept what it sent would need several times as much.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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


class _Way:
    """The way of a worker: how many documents it has sent, and the memory that it had at each eighth.

    Args:
        mine: its parts.
        length: how many documents it has to send, about.
    """

    def __init__(self, mine: list[int], length: int) -> None:
        self.seen: list[float] = []
        self._mine = mine
        self._step = length // 8
        self._sent = 0
        self._begun = time.perf_counter()

    def watch(self, records: Iterator[Any]) -> Iterator[Any]:
        """Yields records, and looks at the memory at each eighth of the way."""
        for record in records:
            self._sent += 1
            if self._sent % self._step == 0:
                self.look()
            yield record

    def look(self) -> None:
        """Looks at the memory now, and says so."""
        self.seen.append(int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / (1 << 20))
        took = time.perf_counter() - self._begun
        print(f"parts {self._mine}: {self._sent} documents in {took:.0f} s, {self.seen[-1]:.0f} MB", file=sys.stderr, flush=True)


async def _send(address: str, database: str, mine: list[int], parts: int, count: int, results: Any) -> list[float]:
    way = _Way(mine, count // parts * len(mine))
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        options = BulkOptions(concurrency=16, results=results)
        async with arm.documents.shared_run(database, run_id=RUN_ID, parts=parts, options=options) as run:
            for part in mine:
                report = await run.send_part(part, way.watch(_own(part, parts, count)))
                report.raise_for_failures()
    way.look()
    return [way.seen[0], way.seen[-1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]


async def _counts(address: str, database: str, parts: int) -> dict[str, int]:
    arm = ArmClient(2218, auth="token", base_url=address, user_id="benchmark")
    async with arm, arm.documents.shared_run(database, run_id=RUN_ID, parts=parts) as run:
        return {state: number for state, number in (await run.report()).counts.items() if number}


def _worker(address: str, database: str, mine: list[int], parts: int, count: int, results: str) -> list[float]:
    words = [address, database, ",".join(map(str, mine)), str(parts), str(count), results]
    command = [sys.executable, "-m", "benchmarks.shared_run", "--worker", *words]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [float(word) for word in said.split()]


def main() -> None:
    """Sends them all, and prints what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_run", description=__doc__)
    parser.add_argument("--documents", type=int, default=500_000, help="how many (default 500000)")
    parser.add_argument("--parts", type=int, default=8, help="how many (default 8)")
    parser.add_argument("--workers", type=int, default=2, help="processes at once (default 2)")
    parser.add_argument("--results", default="wait", help="as in BulkOptions (default wait)")
    parser.add_argument("--worker", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        address, database, mine, parts, count, results = given.worker
        print(*asyncio.run(_send(address, database, [int(part) for part in mine.split(",")], int(parts), int(count), results)))
        return
    count, parts, workers = given.documents, given.parts, given.workers
    with running(flushes=True) as server, sink() as address:
        begun = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            split = [list(range(number, parts, workers)) for number in range(workers)]
            memory = list(pool.map(lambda mine: _worker(address, server.url(), mine, parts, count, given.results), split))
        took = time.perf_counter() - begun
        counts = asyncio.run(_counts(address, server.url(), parts))
    print(f"{count} documents in {parts} parts by {workers} workers: {took:.0f} s, {count / took:.0f} a second; {counts}")
    for number, (early, late, most) in enumerate(memory):
        print(f"worker {number}: {early:.0f} MB at an eighth of its way, {late:.0f} at its end, {late / early:.2f} x; {most:.0f} at most")


if __name__ == "__main__":
    main()

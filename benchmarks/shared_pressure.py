"""What is lost where several processes send one run to an account for which the server takes only so much? Batches a second, as the
server counts them, of 2 and 4 processes beside one; and how many were answered 429.

The journal is in PostgreSQL, one part for each process. One server takes 40 batches a second, and says `Retry-After`; the other one takes
16 at once, each for 0.4 s, and says 429 only. This machine is not the limit: batches have 20 documents.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amili_arm_async import ArmClient, BulkOptions, part_of
from tests.support.postgres import Server, running

from .measure import Row
from .records import document
from .table import show

PROCESSES = (1, 2, 4)
SECONDS = 40
RATE = 40
IN_BATCH = 20
SERVERS = {
    "40 batches a second, Retry-After": ("--rate", str(RATE)),
    "16 batches at once, 429": ("--at-once", "16", "--takes", str(16 / RATE)),
}
LOSS = 5.0


class _Limited:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._process = process
        self.address = f"http://127.0.0.1:{int(process.stdout.readline())}/arm/v1"

    def end(self) -> dict[str, Any]:
        """What it took and refused."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@contextmanager
def _limited(arguments: tuple[str, ...]) -> Iterator[_Limited]:
    command = [sys.executable, "-m", "benchmarks.limited_server", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield _Limited(process)
        finally:
            process.kill()


def _workers(address: str, journal: str, run_id: str, parts: int, count: int) -> None:
    """Sends documents with so many processes, which begin at once."""
    command = [sys.executable, "-m", "benchmarks.shared_pressure", address, journal, run_id, str(parts), str(count)]
    workers = [subprocess.Popen([*command, str(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for part in range(parts)]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
    for worker in workers:
        assert worker.wait() == 0


async def _work(address: str, journal: str, run_id: str, parts: int, count: int, part: int) -> None:
    records = [one for one in map(document, range(count)) if part_of(one["documentNo"], parts) == part]
    options = BulkOptions(results="accepted", max_records=IN_BATCH)
    async with (
        ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm,
        arm.documents.shared_run(journal, run_id=run_id, parts=parts, options=options) as run,
    ):
        print("ready", flush=True)
        sys.stdin.readline()
        (await run.send_part(part, records)).raise_for_failures()


def _batches_a_second(arguments: tuple[str, ...], parts: int, seconds: float, server: Server) -> tuple[float, int]:
    with _limited(arguments) as limited:
        run_id = f"{time.time_ns()} {parts}"
        _workers(limited.address, server.url(), run_id, parts, int(seconds * RATE * IN_BATCH))
        found = limited.end()
    return found["taken"] / found["seconds"], found["refused"]


def measure(*, quick: bool = False) -> list[Row]:
    """Rows for each server and number of processes."""
    rows: list[Row] = []
    with running() as server:
        for words, arguments in SERVERS.items():
            alone = 0.0
            for parts in PROCESSES:
                rate, refused = _batches_a_second(arguments, parts, SECONDS / 4 if quick else SECONDS, server)
                alone = alone or rate
                lost = 100 * (1 - rate / alone)
                question = f"{words}: {parts} process{'es' if parts > 1 else ''} beside one; {refused} times 429"
                rows.append(Row(question, rate, alone, "batches/s", f"{lost:.1f} % lost", lost, LOSS if parts > 1 else None))
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        to, at, name, *numbers = sys.argv[1:]
        asyncio.run(_work(to, at, name, *map(int, numbers)))
    else:
        show(measure())

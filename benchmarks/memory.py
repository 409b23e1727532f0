"""Does the memory of a bulk run grow with the number of records, or with the concurrency? Peak resident memory over generators of
customers of different lengths, results waited for with an entry for each record, each run in a process of its own; the same for documents
with a journal, once in the order of their numbers and once shuffled, where each has to be looked up.
"""

import asyncio
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from amili_arm_async import ArmClient, BulkOptions, Document, Limits

from .measure import Row
from .records import customers
from .sink import sink
from .table import show

COUNTS = (10_000, 100_000, 1_000_000)
QUICK = (10_000, 20_000, 50_000)
CEILINGS = {8: 64, 32: 90}
GROWTH = 10


async def _send(address: str, what: str, count: int, concurrency: int) -> None:
    limits = Limits(connections=max(Limits().connections, concurrency))
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark", limits=limits) as arm:
        if what == "customers":
            options = BulkOptions(concurrency=concurrency)
            report = await arm.customers.create_many(customers(count), options=options)
        else:
            with tempfile.TemporaryDirectory() as folder:
                options = BulkOptions(journal=f"{folder}/journal.sqlite", run_id="memory", concurrency=concurrency)
                report = await arm.documents.create_many(_invoices(count, shuffled=what == "shuffled"), options=options)
    report.raise_for_failures()


def _invoices(count: int, *, shuffled: bool) -> Iterator[Document]:
    """Small documents: what a journal keeps of each is what matters here. The factor is prime to the counts."""
    return (Document(document_no=str(10_000_000 + (number * 7919 % count if shuffled else number))) for number in range(count))


def peak_memory() -> float:
    """Peak resident memory of this process in MiB."""
    # Linux counts the memory of the process that this one was forked from into ru_maxrss; VmHWM is its own.
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1024)


def _in_a_process(address: str, what: str, count: int, concurrency: int = 8) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", address, what, str(count), str(concurrency)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _grown(text: str, many: int, peak: float, few: int, beside: float, budget: float | None = None) -> Row:
    return Row(f"{text}: {many:,} beside {few:,}", peak, beside, "MiB", f"{peak - beside:+.1f} MiB", peak - beside, budget)


def measure(*, quick: bool = False) -> list[Row]:
    """Rows for each kind of run: the longest one beside the shorter ones, and beside what it may need at the most."""
    least, few, many = QUICK if quick else COUNTS
    rows: list[Row] = []
    with sink(entries=True) as address:
        for concurrency, ceiling in CEILINGS.items():
            text = f"peak memory, customers, concurrency {concurrency}"
            peaks = {count: _in_a_process(address, "customers", count, concurrency) for count in (least, few, many)}
            rows.append(_grown(text, many, peaks[many], few, peaks[few], GROWTH))
            highest = max(peaks.values())
            rows.append(Row(f"{text}: the highest, beside {least:,}", highest, peaks[least], "MiB", f"{highest:.1f} MiB", highest, ceiling))
    with sink() as address:
        for what, text in (("documents", "documents, journal"), ("shuffled", "shuffled documents, journal")):
            smaller, larger = (_in_a_process(address, what, count) for count in (few, many))
            rows.append(_grown(f"peak memory, {text}", many, larger, few, smaller, GROWTH))
    return rows


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(_send(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
        print(peak_memory())
    else:
        show(measure())

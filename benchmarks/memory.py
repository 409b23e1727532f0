"""Does the memory of a bulk run grow with the number of records? Peak resident memory over a generator of 100,000 customers and of
1,000,000, sent with default options (results are waited for), each in a process of its own; the same for documents with a journal, once
in the order of their numbers and once shuffled, where each has to be looked up.
"""

import asyncio
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from amili_arm_async import ArmClient, BulkOptions, Document

from .measure import Row, show
from .records import customers
from .sink import sink

FEW, MANY = 100_000, 1_000_000


async def _send(address: str, what: str, count: int) -> None:
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        if what == "customers":
            report = await arm.customers.create_many(customers(count))
        else:
            with tempfile.TemporaryDirectory() as folder:
                options = BulkOptions(journal=f"{folder}/journal.sqlite", run_id="memory")
                report = await arm.documents.create_many(_invoices(count, shuffled=what == "shuffled"), options=options)
    report.raise_for_failures()


def _invoices(count: int, *, shuffled: bool) -> Iterator[Document]:
    """Small documents: what a journal keeps of each is what matters here. The factor is prime to the counts."""
    return (Document(document_no=str(10_000_000 + (number * 7919 % count if shuffled else number))) for number in range(count))


def _peak() -> float:
    """Peak resident memory of this process in MB."""
    # Linux counts the memory of the process that this one was forked from into ru_maxrss; VmHWM is its own.
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1024)


def _in_a_process(address: str, what: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", address, what, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure() -> list[Row]:
    """A row for each kind of run: the large one beside the small one."""
    rows: list[Row] = []
    with sink() as address:
        for what, text in (("customers", "customers"), ("documents", "documents, journal"), ("shuffled", "shuffled documents, journal")):
            few, many = (_in_a_process(address, what, count) for count in (FEW, MANY))
            rows.append(Row(f"peak memory, {MANY:,} {text}, beside {FEW:,}", many, few, "MB", f"{many - few:+.1f} MB"))
    return rows


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(_send(sys.argv[1], sys.argv[2], int(sys.argv[3])))
        print(_peak())
    else:
        show(measure())

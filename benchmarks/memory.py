"""Does the memory of a bulk run grow with the number of records? Peak resident memory over a generator of 100,000 customers and of
1,000,000, sent with default options (results are waited for), each in a process of its own.
"""

import asyncio
import re
import resource
import subprocess
import sys
from pathlib import Path

from amili_arm_async import ArmClient

from .measure import Row, show
from .records import customers
from .sink import sink

FEW, MANY = 100_000, 1_000_000


async def _send(address: str, count: int) -> None:
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        report = await arm.customers.create_many(customers(count))
    report.raise_for_failures()


def _peak() -> float:
    """Peak resident memory of this process in MB."""
    # Linux counts the memory of the process that this one was forked from into ru_maxrss; VmHWM is its own.
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1024)


def _in_a_process(address: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", address, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure() -> list[Row]:
    """One row: the large run beside the small one."""
    with sink() as address:
        few, many = (_in_a_process(address, count) for count in (FEW, MANY))
    return [Row(f"peak memory, {MANY:,} customers beside {FEW:,}", many, few, "MB", f"{many - few:+.1f} MB")]


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(_send(sys.argv[1], int(sys.argv[2])))
        print(_peak())
    else:
        show(measure())

"""How much more processor time does a whole process take, from its start to its end, that makes its customers while it sends them?

A process with the library, one with the loop by hand, and one that only makes the same records: taken off on both sides, that one gives
the costs net of what the user's own code pays.
"""

import asyncio
import subprocess
import sys
import time
from collections import deque
from functools import partial

from .bulk_send import with_library
from .by_hand import by_hand
from .measure import Row, medians, ratio
from .records import customers
from .sink import sink
from .table import show

CUSTOMERS = 200_000
BUDGET = 1.10


def _run(how: str, address: str, count: int) -> None:
    if how == "making":
        deque(customers(count), maxlen=0)
    else:
        send = with_library if how == "library" else by_hand
        asyncio.run(send(address, "customers", customers(count), 1000))


def _in_a_process(how: str, address: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.whole_process", how, address, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(*, quick: bool = False) -> list[Row]:
    """Two rows: with the making of the records, and net of it."""
    count, rounds = (CUSTOMERS // 4, 2) if quick else (CUSTOMERS, 7)
    with sink() as address:
        runs = {how: partial(_in_a_process, how, address, count) for how in ("library", "by hand", "making")}
        taken = medians(runs, rounds)
    unit = 1e6 / count
    ours, theirs, making = (taken[how] * unit for how in ("library", "by hand", "making"))
    text = "a whole process that makes and sends customers, beside one by hand"
    return [
        ratio(text, ours, theirs, "us a record", BUDGET),
        ratio(f"{text}, net of making them ({making:.1f})", ours - making, theirs - making, "us a record"),
    ]


if __name__ == "__main__":
    if sys.argv[1:]:
        _run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
        print(time.process_time())
    else:
        show(measure())

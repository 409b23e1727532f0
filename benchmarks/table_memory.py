"""Does the memory of a run grow with the rows of its table? Peak resident memory over 100,000 and 3,000,000 customers from CSV, JSON lines,
Parquet and a stream of Arrow batches, sent, synced with nothing changed, and checked; each run in a process of its own.

What is sent has a fixed concurrency: a longer run has the time to raise it, and memory grows with it (`benchmarks.memory` measures that).
The stream is that of the Parquet file, since a whole frame is in memory before the run begins.
"""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from amili_arm_async import open_records

from .files import write_file
from .measure import Row
from .memory import peak_memory
from .sink import sink
from .table import show
from .tables import work

COUNTS = (100_000, 3_000_000)
QUICK = (10_000, 50_000)
GROWTH = 10
CONCURRENCY = 8
FORMS = ("csv", "jsonl", "parquet", "stream")
JOBS = ("send", "sync", "check")
NAMES = {"csv": "CSV", "jsonl": "JSON lines", "parquet": "Parquet", "stream": "a stream of Arrow batches"}
WORDS = {"send": "{} {} sent", "sync": "{} {} synced", "check": "{} {} checked"}


def _source(path: str, form: str) -> Any:
    if form != "stream":
        return open_records(path)
    import pyarrow as pa  # noqa: PLC0415 - only these jobs need it
    import pyarrow.parquet as pq  # noqa: PLC0415

    # A buffer of a whole row group would be memory of this stream, not of the run.
    file = pq.ParquetFile(path, pre_buffer=False)
    return open_records(pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(10_000)))


def _in_a_process(*arguments: str) -> float:
    command = [sys.executable, "-m", "benchmarks.table_memory", *arguments]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(*, quick: bool = False) -> list[Row]:
    """A row for each job and format."""
    few, many = QUICK if quick else COUNTS
    peaks: dict[tuple[str, str, int], float] = {}
    with sink() as address, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (few, many):
            for form in FORMS:
                path = write_file(folder, "customers", "parquet" if form == "stream" else form, count)
                # The first sync fills the state.
                for job in ("sync", *JOBS):
                    state = folder / f"{form}-{count}.state"
                    with suppress(subprocess.CalledProcessError):
                        peaks[job, form, count] = _in_a_process(job, address, str(path), form, str(state))
                path.unlink()
    return [_grown(job, form, peaks.get((job, form, many)), peaks.get((job, form, few)), few, many) for form in FORMS for job in JOBS]


def _grown(job: str, form: str, peak: float | None, beside: float | None, few: int, many: int) -> Row:
    text = f"peak memory, {WORDS[job].format('customers', f'from {NAMES[form]}')}: {many:,} beside {few:,}"
    if peak is None or beside is None:
        return Row(text, float("nan"), float("nan"), "MiB", "left out: it ended with an error", float("inf"), GROWTH)
    return Row(text, peak, beside, "MiB", f"{peak - beside:+.1f} MiB", peak - beside, GROWTH)


if __name__ == "__main__":
    if sys.argv[1:]:
        job, address, path, form, state = sys.argv[1:]
        asyncio.run(work(job, address, "customers", _source(path, form), state, CONCURRENCY))
        print(peak_memory())
    else:
        show(measure())

"""How much processor time do files and frames cost on their way to the wire, through a sync with nothing changed, and through a check,
beside the script that people write (`peers/script.py`)?

Each run is a process of its own, and its processor time is that of the whole process, from its start to its end. CSV, Parquet and frames
stand beside the script for CSV, JSON lines beside that for JSON lines. A check stands beside the same script, which checks nothing: what
it takes to send the file. The second night stands beside the scripts that send both files.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from amili_arm_async import ArmClient, BulkOptions, open_records

from .files import write_file
from .measure import Row, medians, ratio

CUSTOMERS = 300_000
DOCUMENTS = 100_000
QUICK = 15
"""By how much `--quick` divides the number of records."""
ROUNDS = 3

SECOND_NIGHT = 0.67
"""A third of what the second night took beside both scripts before tables were read by columns."""


class Job(NamedTuple):
    """One run of the library beside a script.

    Attributes:
        job: what is done: `send`, `sync` or `check`.
        form: of the file; `frame` is a polars DataFrame of the Parquet file.
        budget: the most that it may take beside the script.
        faulty: whether a third of the records is worth a warning.
    """

    job: str
    form: str
    budget: float
    faulty: bool = False


JOBS: dict[tuple[str, str], tuple[Job, ...]] = {
    ("customers", "csv"): (
        Job("send", "csv", 0.5),
        Job("send", "parquet", 0.5),
        Job("send", "frame", 0.5),
        Job("sync", "csv", 0.5),
        Job("sync", "parquet", 0.55),
        Job("check", "csv", 0.5),
        Job("check", "parquet", 0.5),
        Job("check", "csv", 1.0, faulty=True),
        Job("check", "parquet", 1.0, faulty=True),
    ),
    ("customers", "jsonl"): (
        Job("send", "jsonl", 0.5),
        Job("sync", "jsonl", 0.55),
        Job("check", "jsonl", 0.5),
        Job("check", "jsonl", 1.0, faulty=True),
    ),
    ("documents", "csv"): (Job("send", "csv", 0.5), Job("check", "csv", 0.5), Job("check", "csv", 1.0, faulty=True)),
    ("documents", "jsonl"): (Job("send", "jsonl", 0.5), Job("check", "jsonl", 0.5), Job("check", "jsonl", 1.0, faulty=True)),
}
"""By the kind of record and the format of the script that they stand beside."""

NAMES = {"csv": "CSV", "jsonl": "JSON lines", "parquet": "Parquet", "frame": "a polars frame"}
WORDS = {"send": "{} {} to the wire", "sync": "sync of {} {}, nothing changed", "check": "check of {} {}"}


def _source(kind: Any, path: str, form: str) -> Any:
    if form != "frame":
        return open_records(path, kind)
    import polars as pl  # noqa: PLC0415 - only this job needs it

    return open_records(pl.read_parquet(path), kind)


async def work(job: str, address: str, kind: str, source: Any, state: str, concurrency: int | None = None) -> None:
    """One job of the library, through its public methods."""
    waited = BulkOptions(poll_first=0.05, poll_max=0.05)
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        records = getattr(arm, kind)
        if job == "send":
            (await records.create_many(source, options=BulkOptions(results="accepted", concurrency=concurrency))).raise_for_failures()
        elif job == "sync":
            (await records.sync(source, state=state, options=waited)).raise_for_failures()
        else:
            assert (await records.check(source)).ok


async def _night(address: str, folder: Path, state: Path) -> None:
    waited = BulkOptions(poll_first=0.05, poll_max=0.05)
    kept = BulkOptions(journal=folder / "journal.sqlite", run_id="night", poll_first=0.05, poll_max=0.05)
    async with ArmClient(2218, auth="token", base_url=address, user_id="benchmark") as arm:
        night = await arm.nightly(
            customers=open_records(folder / "customers.csv"),
            documents=open_records(folder / "documents.csv", "documents"),
            state=state,
            customer_options=waited,
            document_options=kept,
        )
    night.raise_for_failures()


@cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _seconds(*arguments: str) -> float:
    """Processor time of a process, from its start to its end."""
    # All modules are compiled, as they are where they are installed; the first time does it.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": _compiled().name, "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.Popen([sys.executable, "-m", *arguments], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return used.ru_utime + used.ru_stime


def _library(job: str, address: str, kind: str, path: Path, form: str, state: Path) -> float:
    return _seconds("benchmarks.tables", "--job", job, address, kind, str(path), form, str(state))


def _compare(address: str, folder: Path, kind: str, script: str, count: int, rounds: int) -> list[Row]:
    """The rows of all jobs beside one script."""
    jobs = JOBS[kind, script]
    files = {
        (form, faulty): write_file(folder, kind, form, count, faulty=faulty)
        for form, faulty in {(_file_of(job.form), job.faulty) for job in jobs} | {(script, False)}
    }
    runs: dict[Any, Callable[[], float]] = {
        "script": partial(_seconds, "benchmarks.peers.script", address, kind, str(files[script, False]))
    }
    left_out: dict[Job, str] = {}
    for job in jobs:
        run = partial(_library, job.job, address, kind, files[_file_of(job.form), job.faulty], job.form, folder / f"{job.form}.state")
        try:
            # The first time fills the state, and shows whether it can be done at all.
            run()
        except subprocess.CalledProcessError as error:
            left_out[job] = f"left out: it ended with {error.returncode}"
        else:
            runs[job] = run
    taken = medians(runs, rounds)
    for path in files.values():
        path.unlink()
    unit = 1e6 / count
    beside = taken["script"] * unit
    rows: list[Row] = []
    for job in jobs:
        text = WORDS[job.job].format(f"{count:,} {kind} from", NAMES[job.form]) + ", a third warned" * job.faulty
        text += f", beside the script for {NAMES[script]}"
        if job in left_out:
            rows.append(Row(text, float("nan"), beside, "us a record", left_out[job], float("inf"), job.budget))
        else:
            rows.append(ratio(text, taken[job] * unit, beside, "us a record", job.budget))
    return rows


def _file_of(form: str) -> str:
    return "parquet" if form == "frame" else form


def _second_night(address: str, folder: Path, customers: int, documents: int, rounds: int) -> Row:
    sizes = {"customers": customers, "documents": documents}
    paths = {kind: write_file(folder, kind, "csv", count) for kind, count in sizes.items()}

    def scripts() -> float:
        return sum(_seconds("benchmarks.peers.script", address, kind, str(path)) for kind, path in paths.items())

    night = partial(_library, "night", address, "customers", folder, "csv", folder / "night.state")
    night()
    taken = medians({"night": night, "scripts": scripts}, rounds)
    text = f"second night, CSV, {customers:,} customers unchanged, {documents:,} documents done before, beside the scripts that send both"
    return ratio(text, taken["night"], taken["scripts"], "s", SECOND_NIGHT)


def measure(*, quick: bool = False, customers: int = CUSTOMERS, documents: int = DOCUMENTS) -> list[Row]:
    """A row for each job, format and kind of record, and one for the second night."""
    # What a job does not need is not among what it costs.
    from .sink import sink  # noqa: PLC0415

    rounds = 1 if quick else ROUNDS
    counts = (
        {"customers": customers // QUICK, "documents": documents // QUICK} if quick else {"customers": customers, "documents": documents}
    )
    rows: list[Row] = []
    with sink() as address, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, script in JOBS:
            rows += _compare(address, folder, kind, script, counts[kind], rounds)
        rows.append(_second_night(address, folder, counts["customers"], counts["documents"], rounds))
    return rows


def main(arguments: Iterable[str]) -> None:
    """Asks the question, with numbers of records of one's own; with `--job`, is one of its processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--job", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args(list(arguments))
    if given.job:
        job, address, kind, path, form, state = given.job
        asyncio.run(
            _night(address, Path(path), Path(state)) if job == "night" else work(job, address, kind, _source(kind, path, form), state)
        )
    else:
        from .table import show  # noqa: PLC0415

        show(measure(customers=given.customers, documents=given.documents))


if __name__ == "__main__":
    main(sys.argv[1:])

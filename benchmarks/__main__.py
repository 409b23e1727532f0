"""All questions, one table: `python -m benchmarks`. It takes ten minutes and more; `--quick` takes two, and its figures are rough.

`python -m benchmarks name ...` asks some questions, `--write` keeps the table in RESULTS.md.
"""

import argparse
import datetime as dt
import importlib
import importlib.util
import sys
import time

from .measure import Row
from .table import show, write

QUESTIONS = (
    "bulk_send",
    "bulk_send_tls",
    "whole_process",
    "latency",
    "steps",
    "waiting",
    "reading",
    "memory",
    "journal",
    "shared_pressure",
    "sync",
    "tables",
    "table_memory",
    "logging_on",
    "compression",
    "import_time",
    "start",
)
PEERS = "beside_others"
LONG = ("table_memory", "shared_pressure")
"""Not asked by `--quick`, unless by name."""


def ask(name: str, *, quick: bool) -> list[Row]:
    """The rows of one question."""
    begin = time.perf_counter()
    measure = importlib.import_module(f"benchmarks.{name}").measure
    rows: list[Row] = measure() if name == PEERS else measure(quick=quick)
    print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Asks, prints, and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*QUESTIONS, PEERS, []], metavar="name", help=f"of {', '.join((*QUESTIONS, PEERS))}")
    parser.add_argument("--quick", action="store_true", help="few rounds over few records, without the peers")
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    parser.add_argument("--date", default=dt.datetime.now(dt.UTC).date().isoformat(), help="the date that it says")
    given = parser.parse_args()
    all_of_them = [name for name in QUESTIONS if not given.quick or name not in LONG]
    names = given.names or [*all_of_them, *[PEERS] * (not given.quick and importlib.util.find_spec(f"benchmarks.{PEERS}") is not None)]
    rows: list[Row] = []
    try:
        for name in names:
            rows += ask(name, quick=given.quick)
    finally:
        # What was measured before a question failed is told too.
        show(rows)
    if given.write:
        write(rows, given.date, " ".join(["python -m benchmarks", *sys.argv[1:]]))


if __name__ == "__main__":
    main()

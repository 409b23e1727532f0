"""Is this commit slower than an earlier one? `python -m benchmarks.between_commits COMMIT NAME ...` asks in both, in turns.

Each commit runs its own benchmarks and its own library, in a process of its own, `--rounds` times. For each row that both have, the table
shows the median of the library's figure in both and their ratio, and that of the figure beside it, which is the same code in both: where
that one differs too, the machine was busy.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
ASK = """
import importlib, json, sys
rows = importlib.import_module("benchmarks." + sys.argv[1]).measure(quick=sys.argv[2] == "quick")
print(json.dumps([[row.question, row.ours, row.beside] for row in rows]))
"""

Figures = dict[str, list[tuple[float, float]]]


def ask(folder: Path, name: str, *, quick: bool) -> list[tuple[str, float, float]]:
    """The rows of one question, asked of the library in a folder."""
    command = [sys.executable, "-c", ASK, name, "quick" if quick else "whole"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, stdout=subprocess.PIPE, check=True)
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


def compare(then: Path, names: list[str], rounds: int, *, quick: bool) -> None:
    """Asks both in turns, and prints the medians."""
    found: dict[str, Figures] = {"then": defaultdict(list), "now": defaultdict(list)}
    for number in range(rounds):
        for name in names:
            for which, folder in (("then", then), ("now", ROOT)) if number % 2 else (("now", ROOT), ("then", then)):
                for question, ours, beside in ask(folder, name, quick=quick):
                    found[which][question].append((ours, beside))
    print(f"{'then':>10} {'now':>10} {'ratio':>6} {'beside':>6}  row (medians of {rounds})")
    for question, figures in found["now"].items():
        if question in found["then"]:
            ours, beside = zip(*figures, strict=True)
            ours_then, beside_then = zip(*found["then"][question], strict=True)
            before, after = statistics.median(ours_then), statistics.median(ours)
            other = statistics.median(beside) / statistics.median(beside_then) if all(beside_then) else 1.0
            print(f"{before:10.3g} {after:10.3g} {after / before if before else 1:6.3f} {other:6.3f}  {question}", flush=True)


def main() -> None:
    """Makes a folder with the earlier commit, and compares."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.between_commits", description=__doc__)
    parser.add_argument("commit", help="the earlier commit")
    parser.add_argument("names", nargs="+", help="questions of `python -m benchmarks`")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", given.commit], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
        compare(Path(folder), given.names, given.rounds, quick=given.quick)


if __name__ == "__main__":
    main()

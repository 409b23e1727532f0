"""Runs many stories: `python -m tests.simulation --seeds 100000 [--from N]`. One: `python -m tests.simulation --seed N`."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .graveyard import stories
from .scenario import Scenario, draw, run_scenario, shrink

_AT_ONCE = 25


def _some(seeds: range) -> tuple[int, list[int], Counter[str], Counter[tuple[str, str | None]]]:
    """Runs some seeds, and returns how many, those that failed, the faults that struck, and the states that were seen."""
    failed, faults, states = [], Counter[str](), Counter[tuple[str, str | None]]()
    with stories():
        for seed in seeds:
            result = run_scenario(draw(seed))
            if result.violations:
                failed.append(seed)
            faults.update(result.service.struck)
            states.update(result.states)
    return len(seeds), failed, faults, states


def _slices(first: int, number: int, until: float | None) -> Iterator[range]:
    done = 0
    while done < number and (until is None or time.monotonic() < until):
        some = min(_AT_ONCE, number - done)
        yield range(first + done, first + done + some)
        done += some


def _tell(scenario: Scenario, *, shrunk: bool) -> None:
    """Prints the story of a scenario."""
    if shrunk:
        rules = {violation.partition(":")[0] for violation in run_scenario(scenario).violations}
        scenario = shrink(scenario, lambda one: bool(rules & {text.partition(":")[0] for text in run_scenario(one).violations}))
    result = run_scenario(scenario, keep_log=True)
    print(*result.log, sep="\n")
    print(json.dumps(scenario.to_dict()))
    print(f"trace {result.trace}", *result.violations or ["nothing is wrong"], sep="\n")


def _many(arguments: argparse.Namespace) -> int:
    begin = time.monotonic()
    until = begin + arguments.minutes * 60 if arguments.minutes is not None else None
    done, failed, faults, states = 0, list[int](), Counter[str](), Counter[tuple[str, str | None]]()
    with multiprocessing.get_context("fork").Pool(arguments.workers) as pool:
        for number, bad, struck, seen in pool.imap_unordered(_some, _slices(arguments.first, arguments.seeds, until)):
            done += number
            failed += bad
            faults.update(struck)
            states.update(seen)
    passed = time.monotonic() - begin
    print(f"{done} stories from seed {arguments.first} in {passed:.0f} s, {done / passed:.0f} a second; {len(failed)} failed")
    print("faults:", ", ".join(f"{name} {number}" for name, number in sorted(faults.items())))
    print("states:", ", ".join(f"{state}/{reason} {number}" for (state, reason), number in sorted(states.items(), key=str)))
    for seed in sorted(failed)[:3]:
        print(f"\n--- seed {seed}, shrunk ---")
        _tell(draw(seed), shrunk=True)
    return 1 if failed else 0


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first")
    parser.add_argument("--minutes", type=float, help="begin no more stories after so many minutes")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, help="tell the story of this seed")
    parser.add_argument("--shrink", action="store_true", help="with --seed or --case: as small as it can be and still fail")
    parser.add_argument("--case", type=Path, help="tell the story of a file")
    arguments = parser.parse_args()
    if arguments.seed is not None or arguments.case is not None:
        scenario = draw(arguments.seed) if arguments.case is None else Scenario.from_dict(json.loads(arguments.case.read_text("utf-8")))
        _tell(scenario, shrunk=arguments.shrink)
        return 0
    return _many(arguments)


if __name__ == "__main__":
    sys.exit(main())

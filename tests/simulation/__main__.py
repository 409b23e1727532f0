"""Runs many stories: `python -m tests.simulation --seeds 100000 [--from N]`. One: `python -m tests.simulation --seed N`."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import secrets
import sys
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from .graveyard import stories
from .mutants import MUTANTS, mutated
from .scenario import Scenario, draw, read_case, run_scenario, shrink

_AT_ONCE = 25
_MOST_OF_A_MUTANT = 3000
"""Seeds in which a mutant must be found."""


class _Part(NamedTuple):
    """What some stories showed: how many there were, the seeds that failed, and what struck and was seen, by its name."""

    done: int
    failed: list[int]
    faults: Counter[str]
    pairs: Counter[tuple[str, ...]]
    states: Counter[tuple[str, str | None]]


def _some(work: tuple[range, float | None]) -> _Part:
    """Runs some seeds, as long as there is time."""
    seeds, until = work
    found = _Part(0, [], Counter(), Counter(), Counter())
    if until is not None and time.monotonic() >= until:
        return found
    with stories():
        for done, seed in enumerate(seeds):
            if until is not None and time.monotonic() >= until:
                return found._replace(done=done)
            result = run_scenario(draw(seed))
            if result.violations:
                found.failed.append(seed)
            struck = result.service.struck
            found.faults.update(struck)
            found.pairs.update(combinations(sorted(struck), 2))
            found.states.update(result.states)
    return found._replace(done=len(seeds))


def _tell(scenario: Scenario, *, shrunk: bool) -> None:
    """Prints the story of a scenario."""
    if shrunk:
        rules = {violation.partition(":")[0] for violation in run_scenario(scenario).violations}
        with stories():
            scenario = shrink(scenario, lambda one: bool(rules & {text.partition(":")[0] for text in run_scenario(one).violations}))
    result = run_scenario(scenario, keep_log=True)
    print(*result.log, sep="\n")
    print(json.dumps(scenario.to_dict()))
    print(f"trace {result.trace}", *result.violations or ["nothing is wrong"], sep="\n")


def _many(arguments: argparse.Namespace) -> int:
    begin = time.monotonic()
    until = begin + arguments.minutes * 60 if arguments.minutes is not None else None
    number = arguments.seeds if arguments.seeds is not None else 1000 if until is None else 1_000_000
    first, end = arguments.first, arguments.first + number
    work = [(range(at, min(at + _AT_ONCE, end)), until) for at in range(first, end, _AT_ONCE)]
    all_of_it = _Part(0, [], Counter(), Counter(), Counter())
    with multiprocessing.get_context("fork").Pool(arguments.workers) as pool:
        for part in pool.imap_unordered(_some, work):
            if part.done:
                all_of_it = _Part(*(mine + theirs for mine, theirs in zip(all_of_it, part, strict=True)))  # type: ignore[operator]
    done, failed, faults, pairs, states = all_of_it
    passed = time.monotonic() - begin
    print(f"{done} stories from seed {first} in {passed:.0f} s, {done / passed:.0f} a second; {len(failed)} failed")
    print("faults:", ", ".join(f"{name} {times}" for name, times in sorted(faults.items())))
    print(f"pairs of faults in one story: {len(pairs)} of {len(faults) * (len(faults) - 1) // 2}")
    print("states:", ", ".join(f"{state}/{reason} {times}" for (state, reason), times in sorted(states.items(), key=str)))
    if failed:
        print("seeds that failed:", *sorted(failed))
    for seed in sorted(failed)[:3]:
        print(f"\n--- seed {seed}, shrunk ---")
        _tell(draw(seed), shrunk=True)
    return 1 if failed else 0


def _seeds_until_found(work: tuple[str, int]) -> tuple[str, int | None, str]:
    """Returns the name of a mutant, how many seeds it took to find it (None: it was not), and what was found."""
    name, first = work
    with stories():
        for number in range(_MOST_OF_A_MUTANT):
            scenario = draw(first + number)
            with mutated(name):
                violations = run_scenario(scenario).violations
            # A seed that fails in any case shows nothing of the mutant.
            if violations and not run_scenario(scenario).violations:
                return name, number + 1, violations[0]
    return name, None, ""


def _mutants(arguments: argparse.Namespace) -> int:
    """Looks for each mutant, and says how many seeds it took."""
    missed = 0
    names = [name for name in MUTANTS if arguments.mutant in (None, name)]
    with multiprocessing.get_context("fork").Pool(arguments.workers) as pool:
        for name, number, what in pool.imap_unordered(_seeds_until_found, [(name, arguments.first) for name in names]):
            missed += number is None
            print(f"{name}: {number if number is not None else 'NOT FOUND'}  {what}", flush=True)
    print(f"{len(names) - missed} of {len(names)} found within {_MOST_OF_A_MUTANT} seeds from {arguments.first}")
    return 1 if missed else 0


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many (default: 1000, or as many as there is time for)")
    parser.add_argument("--from", dest="first", default="0", help="the first; `new`: one that is drawn, and printed")
    parser.add_argument("--minutes", type=float, help="begin no more stories after so many minutes")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, help="tell the story of this seed")
    parser.add_argument("--shrink", action="store_true", help="with --seed or --case: as small as it can be and still fail")
    parser.add_argument("--case", type=Path, help="tell the story of a file")
    parser.add_argument("--mutants", action="store_true", help="how many seeds it takes to find each known fault")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), metavar="NAME", help="with --mutants only this one; else the product has it")
    arguments = parser.parse_args()
    arguments.first = secrets.randbelow(10**9) if arguments.first == "new" else int(arguments.first)
    if arguments.mutants:
        return _mutants(arguments)
    if arguments.mutant is not None:
        with mutated(arguments.mutant):
            return _run(arguments)
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.seed is None and arguments.case is None:
        return _many(arguments)
    scenario = draw(arguments.seed) if arguments.case is None else read_case(arguments.case)[0]
    _tell(scenario, shrunk=arguments.shrink)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs many stories: `python -m tests.simulation --seeds 100000 [--from N]`. One: `python -m tests.simulation --seed N`. See
docs/simulation.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import secrets
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .explore import Seen, explore
from .graveyard import stories
from .kinds import KINDS, SHARED, draw, read_case, run, shrink
from .mutant_search import Search, kind_of, search, update_table
from .mutants import MUTANTS, mutated
from .shared_server import with_database

_MOST_OF_A_MUTANT = 100_000
"""Seeds that are looked at for a mutant; many are passed over."""

_MINUTES_OF_A_MUTANT = 5.0
"""In which it must be found."""

_NO_DATABASE = "stories of shared runs need PostgreSQL and psycopg, which are not installed"

_TOLD = 3
"""Of so many seeds that failed the story is told."""

_MOST_SECONDS_TO_SHRINK = 60.0


def _rules(violations: list[str]) -> set[str]:
    return {violation.partition(":")[0] for violation in violations}


def _tell(scenario: Any, *, shrunk: bool) -> list[str]:
    """Prints the story of a scenario, and returns what is wrong with it."""
    with stories():
        found = run(scenario)
        if found.branch is not None and found.violations:
            scenario = replace(scenario, branch=found.branch)
        if shrunk and (rules := _rules(found.violations)):
            until = time.monotonic() + _MOST_SECONDS_TO_SHRINK
            fails = lambda one: bool(rules & _rules(run(one, branches=False).violations))  # noqa: E731
            scenario = shrink(scenario, lambda one: time.monotonic() < until and fails(one))
        result = run(scenario, keep_log=True, branches=False)
        print(*result.log, sep="\n")
        print(json.dumps(scenario.to_dict()))
        print(f"trace {result.trace}", *result.violations or ["nothing is wrong"], sep="\n", flush=True)
        return result.violations


def _many(arguments: argparse.Namespace) -> int:
    begin = time.monotonic()
    until = begin + arguments.minutes * 60 if arguments.minutes is not None else None
    has_end = until is not None or arguments.cases is not None
    number = arguments.seeds if arguments.seeds is not None else 10**9 if has_end else 1000
    print(f"stories from seed {arguments.first}", flush=True)

    def on_failed(seed: int, branch: int | None, violations: list[str]) -> None:
        more = f" --branch {branch}" if branch is not None else ""
        more += f" --kind {arguments.kind}" if arguments.kind is not None else ""
        print(f"FAILED: python -m tests.simulation --seed {seed}{more} --shrink  # {violations[0]}", flush=True)

    told = partial(draw, kind=arguments.kind)
    explore_some = partial(explore, number=number, until=until, cases=arguments.cases, workers=arguments.workers)
    seen = explore_some(told, run, first=arguments.first, on_failed=on_failed)
    passed = time.monotonic() - begin
    speed = f"{seen.done / passed:.0f} stories and {seen.cases / passed:.0f} cases a second"
    print(f"{seen.done} stories with {seen.cases} cases in {passed:.0f} s, {speed}; {len(seen.failed)} failed")
    _tell_coverage(seen)
    for seed, (branch, _) in sorted(seen.failed.items())[:_TOLD]:
        print(f"\n--- seed {seed}, shrunk ---", flush=True)
        _tell(_drawn(seed, branch, arguments.kind), shrunk=True)
    return 1 if seen.failed else 0


def _tell_coverage(seen: Seen) -> None:
    print("faults and acts, in how many stories:", ", ".join(f"{name} {times}" for name, times in sorted(seen.features.items())))
    possible = len(seen.features) * (len(seen.features) - 1) // 2
    rarest = ", ".join(f"{' + '.join(pair)} {times}" for pair, times in sorted(seen.pairs.items(), key=lambda one: (one[1], one[0]))[:8])
    print(f"pairs of them in one story: {len(seen.pairs)} of {possible}; the rarest: {rarest}")
    print("states:", ", ".join(f"{state}/{reason} {times}" for (state, reason), times in sorted(seen.states.items(), key=str)))


def _drawn(seed: int, branch: int | None, kind: str | None) -> Any:
    told = draw(seed, kind)
    return told if branch is None else replace(told, branch=branch)


def _mutants(arguments: argparse.Namespace) -> int:
    """Looks for each mutant, and says how many stories it took."""
    names, missed = _names(arguments), 0
    if not arguments.has_database and (left := [name for name in names if kind_of(name) == SHARED]):
        print(f"{_NO_DATABASE}: {len(left)} mutants are left out")
        names = [name for name in names if name not in left]
    most, seconds = arguments.seeds or _MOST_OF_A_MUTANT, 60 * (arguments.minutes or _MINUTES_OF_A_MUTANT)
    with multiprocessing.get_context("fork").Pool(arguments.workers) as pool:
        for sought in pool.imap_unordered(search, [Search(name, arguments.first, most, seconds) for name in names]):
            missed += not sought.violation
            print(sought, flush=True)
            if arguments.write:
                update_table(sought)
    print(f"{len(names) - missed} of {len(names)} found from seed {arguments.first}, each within {most} seeds and {seconds:.0f} s")
    return 1 if missed else 0


def _names(arguments: argparse.Namespace) -> list[str]:
    """The mutants that are looked for."""
    of_kind = [name for name in MUTANTS if arguments.kind in (None, kind_of(name))]
    return [name for name in of_kind if arguments.mutant in (None, name)]


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many stories (default: 1000, or as many as there is time for), or for a mutant")
    parser.add_argument("--cases", type=int, help="begin no more stories after so many cases, each of which is a story or a branch")
    parser.add_argument("--from", dest="first", default="0", help="the first seed; `new`: one that is drawn, and printed")
    parser.add_argument("--minutes", type=float, help="begin no more stories after so many minutes, of each mutant with --mutants")
    parser.add_argument("--kind", choices=(*KINDS, SHARED), help="only stories of this kind (default: all but shared, in turns)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, help="tell the story of this seed")
    parser.add_argument("--branch", type=int, help="with --seed: the machine stops after this commit")
    parser.add_argument("--shrink", action="store_true", help="with --seed or --case: as small as it can be and still fail")
    parser.add_argument("--case", type=Path, help="tell the story of a file")
    parser.add_argument("--mutants", action="store_true", help="how many stories it takes to find each known fault")
    parser.add_argument("--write", action="store_true", help="with --mutants: write that into docs/simulation_mutants.md")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), metavar="NAME", help="with --mutants only this one; else the product has it")
    arguments = parser.parse_args()
    arguments.first = secrets.randbelow(10**9) if arguments.first == "new" else int(arguments.first)
    tells_shared = arguments.kind == SHARED or (arguments.case is not None and f'"{SHARED}"' in arguments.case.read_text("utf-8"))
    with with_database() if tells_shared or arguments.mutants else contextlib.nullcontext(False) as arguments.has_database:
        if tells_shared and not arguments.has_database:
            print(f"{_NO_DATABASE}: skipped")
            return 0
        return _choose(arguments)


def _choose(arguments: argparse.Namespace) -> int:
    if arguments.mutants:
        return _mutants(arguments)
    if arguments.mutant is not None:
        with mutated(arguments.mutant):
            return _run(arguments)
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.seed is None and arguments.case is None:
        return _many(arguments)
    scenario = _drawn(arguments.seed, arguments.branch, arguments.kind) if arguments.case is None else read_case(arguments.case)[0]
    return 1 if _tell(scenario, shrunk=arguments.shrink) else 0


if __name__ == "__main__":
    sys.exit(main())

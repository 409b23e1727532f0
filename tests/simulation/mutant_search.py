"""Looks for mutants, and keeps in docs/simulation_mutants.md how many stories it took to find each."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import document_mutants, run_mutants  # noqa: F401 - they register their own
from .graveyard import stories
from .kinds import KINDS, SHARED, draw, read_case, run
from .mutants import MUTANTS, NEEDS, mutated
from .shared_mutants import KIND_OF

__all__ = ["TABLE", "Search", "Sought", "kind_of", "search", "update_table", "written"]

TABLE = Path(__file__).parents[2] / "docs" / "simulation_mutants.md"
_CASES = Path(__file__).parent / "cases"

_HEAD = """\
# Mutants of the simulation

Faults that the library once had, or might have. Each is a patch in `tests/simulation`, and [the simulation](simulation.md) must find it.
`python -m tests.simulation --mutants --write` looks for them, and writes this page.

*Stories* is how many stories were told, from seed 0, until one violated a rule that it keeps without the fault. Only those count that have
what the fault needs at the least. *Case* means that none did in the time, and that a case in the suite finds the fault. *Not in N*
means that none of N stories found it, and no case does.
"""

_ROW = re.compile(r"\| `(\w+)` \| .* \| ([^|]+) \| ([^|]*) \|")


@dataclass(frozen=True)
class Search:
    """What to look for.

    Attributes:
        mutant: its name.
        first: the first seed.
        most: so many seeds are looked at, at the most.
        seconds: so long, at the most.
    """

    mutant: str
    first: int
    most: int
    seconds: float


@dataclass(frozen=True)
class Sought:
    """What came of it.

    Attributes:
        mutant: its name.
        stories: how many were told.
        violation: what the last one violated; blank where no story found the mutant.
    """

    mutant: str
    stories: int
    violation: str

    def __str__(self) -> str:
        if not self.violation:
            return f"{self.mutant}: NOT FOUND in {self.stories} stories"
        return f"{self.mutant}: {self.stories}  {self.violation}"


def kind_of(mutant: str) -> str:
    """The kind of the stories that must find a mutant."""
    return KIND_OF.get(mutant, "documents")


def search(work: Search) -> Sought:
    """Tells stories until one finds a mutant."""
    told, until = 0, time.monotonic() + work.seconds
    with stories():
        for seed in range(work.first, work.first + work.most):
            if time.monotonic() > until:
                break
            scenario = draw(seed, kind_of(work.mutant))
            if not NEEDS.get(work.mutant, frozenset()) <= scenario.features:
                continue
            told += 1
            with mutated(work.mutant):
                violations = run(scenario).violations
            # A seed that fails in any case shows nothing of the mutant.
            if violations and not run(scenario).violations:
                return Sought(work.mutant, told, violations[0])
    return Sought(work.mutant, told, "")


def written() -> dict[str, tuple[str, str]]:
    """What the table says of each mutant: the stories, and the rule."""
    rows = map(_ROW.fullmatch, TABLE.read_text("utf-8").splitlines()) if TABLE.exists() else ()
    return {row[1]: (row[2], row[3]) for row in rows if row is not None}


def update_table(sought: Sought) -> None:
    """Writes into the table what came of a search."""
    TABLE.write_text("\n".join(_lines(written() | {sought.mutant: _cells(sought)})) + "\n", "utf-8")


def _cells(sought: Sought) -> tuple[str, str]:
    if sought.violation:
        return str(sought.stories), sought.violation.partition(":")[0]
    has_case = any(read_case(case)[1] == sought.mutant for case in _CASES.rglob("*.json"))
    return ("case" if has_case else f"not in {sought.stories}"), ""


def _lines(rows: dict[str, tuple[str, str]]) -> Iterator[str]:
    yield _HEAD.rstrip()
    there = [rows[name][0] for name in MUTANTS if name in rows]
    found, cases = sum(stories.isdecimal() for stories in there), there.count("case")
    yield from ("", f"Of {len(there)} mutants, stories found {found}, and cases {cases} more.")
    for kind in (*KINDS, SHARED):
        yield from ("", f"## {kind.capitalize()}", "", "| mutant | what is wrong with it | stories | rule |", "|---|---|---|---|")
        for name in sorted(name for name in MUTANTS if name in rows and kind_of(name) == kind):
            what = " ".join((MUTANTS[name].__doc__ or "").split()).replace("|", "\\|")
            yield f"| `{name}` | {what} | {' | '.join(rows[name])} |"

"""The kinds of stories, and which seed tells which: about half of them are of documents. Shared runs need PostgreSQL: they have no turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import customers_story, drawing, nightly_story, pager_story, plan, scenario, shared_plan, shrinking, sync_story
from .drawing import Scenario
from .plan import Plan
from .scenario import Result
from .shared_plan import SharedPlan
from .story import Story, run_story

__all__ = ["KINDS", "SHARED", "Told", "draw", "read", "read_case", "run", "shrink"]

SHARED = "shared"
"""The kind of stories that have no turn: run them within `shared_database.served`."""

Told = Scenario | Plan | SharedPlan
"""What happens in a story, as data."""

_DRAW: dict[str, Callable[[int], Scenario | Plan]] = {
    "documents": drawing.draw,
    "sync": sync_story.draw,
    "customers": customers_story.draw,
    "nightly": nightly_story.draw,
    "pager": pager_story.draw,
}
_STORIES: dict[str, type[Story]] = {
    "sync": sync_story.SyncStory,
    "customers": customers_story.CustomersStory,
    "nightly": nightly_story.NightlyStory,
    "pager": pager_story.PagerStory,
}

KINDS = tuple(_DRAW)
"""The kinds of stories."""

_TURNS = ("documents", "sync", "documents", "nightly", "documents", "customers", "documents", "pager")
"""The kinds that follow each other."""

_IN_TURN = 3
"""Seeds of a kind that follow each other: of these `explore` chooses one."""


def _run_shared(told: SharedPlan, *, keep_log: bool = False) -> Result:
    # Only where such a story is told: it needs psycopg.
    from .shared_story import run_shared

    return run_shared(told, keep_log=keep_log)


def draw(seed: int, kind: str | None = None) -> Told:
    """Draws the story of a seed, of the kind whose turn it is or of another one."""
    if kind == SHARED:
        return shared_plan.draw(seed)
    return _DRAW[kind or _TURNS[seed // _IN_TURN % len(_TURNS)]](seed)


def read(value: dict[str, Any]) -> Told:
    """Reads a story from what JSON has of it."""
    if value.get("kind") == SHARED:
        return SharedPlan.from_dict(value)
    return Plan.from_dict(value) if "kind" in value else Scenario.from_dict(value)


def read_case(path: Path) -> tuple[Told, str]:
    """Reads a story that once failed from a file: with the name of the mutant with which it fails again."""
    case = json.loads(path.read_text("utf-8"))
    return read(case["scenario"]), case["mutant"]


def run(told: Told, *, keep_log: bool = False, branches: bool = True) -> Result:
    """Runs a story in a world of its own."""
    if isinstance(told, Plan):
        return run_story(_STORIES[told.kind], told, keep_log=keep_log, branches=branches)
    if isinstance(told, SharedPlan):
        return _run_shared(told, keep_log=keep_log)
    return scenario.run_scenario(told, keep_log=keep_log, branches=branches)


def shrink(told: Told, fails: Callable[[Any], bool]) -> Told:
    """Returns a smaller story that still fails."""
    module = plan if isinstance(told, Plan) else shared_plan if isinstance(told, SharedPlan) else scenario
    return shrinking.shrink(told, fails, module.smaller, lambda one: run(one, branches=False).struck_at)

"""Collects what is left of worlds that are over: the coroutines of killed processes, which must run no line in the world of others."""

from __future__ import annotations

import contextlib
import gc
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from anyio import lowlevel
from anyio._backends import _asyncio as anyio_backend

from .loop import SimLoop

__all__ = ["bury", "collect", "collect_nothing", "stories"]

_AT_ONCE = 25
"""Worlds that are collected together: a collection looks at all objects of the program."""

_dead: list[Any] = []
_depth = 0
_collects = True


def bury(*remains: object) -> None:
    """Keeps what is left of a world until it is collected."""
    _dead.append(remains)
    # The tasks of all worlds have the same hashes: anyio would look through those of the dead.
    _forget()
    if _collects and len(_dead) >= _AT_ONCE:
        collect()


def collect_nothing() -> None:
    """From here on this process collects nothing: it ends before it has too much."""
    global _depth, _collects
    gc.disable()
    _depth, _collects = 1, False


@contextlib.contextmanager
def stories() -> Iterator[None]:
    """Within it the garbage collector runs only between two stories: else it would run the `finally` of a killed task in the next one."""
    global _depth  # noqa: PLW0603 - as the collector itself, there is one in a program
    was_enabled = gc.isenabled()
    gc.disable()
    if not _depth:
        # What the program has by now is not looked at in any later collection, also not by those of other tests.
        collect()
        gc.freeze()
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            collect()
        if was_enabled:
            gc.enable()


def collect() -> None:
    """Collects, without a word about what killed tasks do when they are thrown away."""
    _forget()
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _dead.clear()
            gc.collect()
    finally:
        sys.unraisablehook = hook


def _forget() -> None:
    """Takes the tasks and loops of the dead out of what anyio knows: a function of its own, so that no name of it holds one any longer."""
    for tasks_or_loops in (anyio_backend._task_states, lowlevel._run_vars):
        for one in list(tasks_or_loops):
            loop = one if isinstance(one, SimLoop) else getattr(one, "_loop", None)
            if isinstance(loop, SimLoop):
                del tasks_or_loops[one]

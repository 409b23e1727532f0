"""Makes a story of any kind smaller, as long as it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

__all__ = ["fewer_acts_and_faults", "shrink"]

_Told = TypeVar("_Told", bound=Any)
"""A `Scenario`, a `Plan` or a `SharedPlan`."""


def shrink(
    told: _Told,
    fails: Callable[[_Told], bool],
    smaller: Callable[[_Told], Iterator[_Told]],
    struck_at: Callable[[_Told], tuple[int, ...]],
) -> _Told:
    """Returns a smaller story that still fails: with less of all that its kind has, and each fault as rarely as can be.

    Args:
        told: the story.
        fails: whether another one still fails.
        smaller: gives stories that are a little smaller, the most promising first.
        struck_at: returns the moments of a story in which a fault strikes.
    """
    told = _as_small_as_can_be(told, fails, smaller)
    if told.faults:
        struck = replace(told, only=struck_at(told))
        if fails(struck):
            told = _as_small_as_can_be(struck, fails, _rarer)
    return _as_small_as_can_be(told, fails, smaller)


def fewer_acts_and_faults(told: _Told) -> Iterator[_Told]:
    """Gives the same story without an act, or without some of its faults."""
    for place in range(len(told.acts)):
        yield replace(told, acts=told.acts[:place] + told.acts[place + 1 :])
    half = len(told.faults) // 2
    if half > 1:
        yield replace(told, faults=told.faults[:half])
        yield replace(told, faults=told.faults[half:])
    for fault in told.faults:
        yield replace(told, faults=tuple(other for other in told.faults if other != fault))


def _as_small_as_can_be(told: _Told, fails: Callable[[_Told], bool], smaller: Callable[[_Told], Iterator[_Told]]) -> _Told:
    while (found := next((one for one in smaller(told) if fails(one)), None)) is not None:
        told = found
    return told


def _rarer(told: _Told) -> Iterator[_Told]:
    """The same story, in which some faults do not strike."""
    only = told.only or ()
    size = len(only) // 2 or len(only)
    while size:
        yield from (replace(told, only=(*only[:at], *only[at + size :])) for at in range(0, len(only), size))
        size //= 2

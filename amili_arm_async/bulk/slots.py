"""Pure: shares what a server bears among the runs that send to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["TURN", "share_of"]

TURN: Final = 15
"""Beats after which others have their turn, where there is less than one batch for each run."""


def share_of(me: str, wants: Mapping[str, int], total: float, turn: int) -> int:
    """Returns how many batches a run may send at once.

    No run gets less than another one, unless it wants less; what nobody wants is distributed too, since a run may want more soon. Where
    there are fewer batches than runs, they take turns. All runs compute the same from the same: the shares add up to the total.

    Args:
        me: the name of the run.
        wants: by name, how many batches each run would send at once.
        total: how many all may send at once.
        turn: a number that grows with time.

    Returns:
        The number; 0 where the run has to wait for its turn.
    """
    left = max(1, int(total))
    names = sorted(wants)
    if left < len(names):
        # Those that want nothing now can wait.
        names = [name for name in names if wants[name]] or names
        first = turn * left % len(names)
        names = [*names[first:], *names[:first]][:left]
    shares: dict[str, int] = {}
    for number, name in enumerate(sorted(names, key=lambda name: wants[name])):
        shares[name] = max(1, min(wants[name], left // (len(names) - number)))
        left -= shares[name]
    for number, name in enumerate(sorted(names)):
        shares[name] += (left + number) // len(names)
    return shares.get(me, 0)

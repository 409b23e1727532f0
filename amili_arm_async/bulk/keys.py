"""Sees to it that two batches with the same key are not under way together: an older upsert must not overtake a newer one."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Sequence

__all__ = ["KeyGate", "Pass"]


class Pass:
    """The right of a batch to be under way with its keys, from when it is cut until all its records are settled.

    Attributes:
        repeats: True where a key is in the batch more than once: then its parts must not be under way together either.
    """

    def __init__(self, hashes: array[int], records: int, *, repeats: bool) -> None:
        self.hashes = hashes
        self.repeats = repeats
        self.left = asyncio.Event()
        self._records = records

    def settle(self, records: int) -> bool:
        """So many records more are settled; True when all are."""
        self._records -= records
        return self._records == 0


class KeyGate:
    """The keys of all batches under way. Only hashes are kept: two keys with one hash wait for each other, which harms nobody.

    Keys are compared without case: "Data values are not case-sensitive" (https://docs.amili.dev/about-355476m0).
    """

    def __init__(self) -> None:
        self._under_way: set[int] = set()
        self._passes: dict[Pass, None] = {}
        # How many passes more than one hold a hash.
        self._more: Counter[int] = Counter()

    def enter(self, keys: Sequence[str | None]) -> tuple[Pass, list[Pass]]:
        """A pass for a batch with these keys, and those that were there before it and that it has to wait for.

        To be called in the order of the source: then waiting for what came before is enough to keep that order.
        """
        own = _hashes(keys)
        distinct = set(own)
        before: list[Pass] = []
        if not self._under_way.isdisjoint(distinct):
            common = self._under_way & distinct
            before = [other for other in self._passes if not common.isdisjoint(other.hashes)]
            self._more.update(common)
        self._under_way |= distinct
        made = Pass(array("q", distinct), len(keys), repeats=len(distinct) < len(own))
        self._passes[made] = None
        return made, before

    def settle(self, made: Pass, records: int) -> None:
        """So many records of a batch are settled; when all are, its keys are free."""
        if not made.settle(records):
            return
        del self._passes[made]
        if self._more:
            for key in made.hashes:
                if self._more[key] > 0:
                    self._more[key] -= 1
                    continue
                self._under_way.discard(key)
            self._more = +self._more
        else:
            self._under_way.difference_update(made.hashes)
        made.left.set()

    def abandon(self) -> None:
        """Nobody needs to wait any more: nothing that is not sent yet will be."""
        for made in self._passes:
            made.left.set()


def _hashes(keys: Sequence[str | None]) -> list[int]:
    given = [key for key in keys if key is not None] if None in keys else list(keys)
    # One text at a time would cost more than the whole batch at once.
    text = "\0".join(given)  # type: ignore[arg-type]
    folded = text.casefold()
    return [hash(key) for key in (given if folded == text else folded.split("\0"))]

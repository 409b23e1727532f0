"""Sees to it that two batches with the same key are not under way together: an older upsert must not overtake a newer one."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .. import codec

__all__ = ["CompactKeys", "KeyRanges", "KeySerializer", "KeyTicket", "may_overlap", "spans_of", "without_case"]

_SEPARATOR: Final = "\0"


class KeyTicket:
    """The right of a batch to be under way with its keys, from when it is cut until all its records are settled.

    Attributes:
        left: set when it is over, or when nobody needs to wait any more.
        repeats: True where a key is in the batch more than once: then its parts must not be under way together either.
        spans: the least and the greatest key of each length.
        indexed: whether its keys are in the gate's index.
    """

    __slots__ = ("_records", "_text", "indexed", "left", "repeats", "spans")

    def __init__(self, keys: Sequence[str | None]) -> None:
        folded = without_case(keys)
        self.left = asyncio.Event()
        self.spans = spans_of(folded)
        self.repeats = len(set(folded)) < len(folded)
        self.indexed = False
        # In one piece: while a batch waits for its result, its keys are all that is kept of it.
        self._text = _SEPARATOR.join(folded)
        self._records = len(keys)

    @property
    def keys(self) -> set[str]:
        """Its keys, without case."""
        return set(self._text.split(_SEPARATOR)) if self.spans else set()

    def settle(self, records: int) -> bool:
        """So many records more are settled; True when all are."""
        self._records -= records
        return self._records == 0


class KeySerializer:
    """The keys of all batches under way.

    A source in the order of its keys has batches whose keys lie in spans of their own: they can't meet, and nothing more is kept of
    them. Only the keys of batches whose spans overlap go into an index.

    Keys are compared without case: "Data values are not case-sensitive" (https://docs.amili.dev/about-355476m0).
    """

    def __init__(self) -> None:
        self._passes: dict[KeyTicket, None] = {}
        # The least and the greatest key of all of them, and of some before.
        self._reach: dict[int, tuple[str, str]] = {}
        self._index: set[str] = set()
        # How many passes more than one hold a key of the index.
        self._more: Counter[str] = Counter()

    def enter(self, keys: Sequence[str | None]) -> tuple[KeyTicket, list[KeyTicket]]:
        """A pass for a batch with these keys, and those that were there before it and that it has to wait for.

        To be called in the order of the source: then waiting for what came before is enough to keep that order.
        """
        made = KeyTicket(keys)
        near = [other for other in self._passes if may_overlap(made.spans, other.spans)] if may_overlap(made.spans, self._reach) else []
        for length, (least, greatest) in made.spans.items():
            reach = self._reach.get(length, (least, greatest))
            self._reach[length] = min(least, reach[0]), max(greatest, reach[1])
        for other in near:
            self._add(other)
        before: list[KeyTicket] = []
        if near:
            common = self._index & made.keys
            before = [other for other in near if not common.isdisjoint(other.keys)] if common else []
            self._add(made)
        self._passes[made] = None
        return made, before

    def _add(self, made: KeyTicket) -> None:
        if made.indexed:
            return
        made.indexed = True
        keys = made.keys
        for key in self._index & keys:
            self._more[key] += 1
        self._index |= keys

    def settle(self, made: KeyTicket, records: int) -> None:
        """So many records of a batch are settled; when all are, its keys are free."""
        if not made.settle(records):
            return
        del self._passes[made]
        if not self._passes:
            self._reach = {}
        if made.indexed:
            held = {key for key in made.keys if self._more[key]} if self._more else set()
            self._index -= made.keys - held
            self._more.subtract(held)
            self._more = +self._more
        made.left.set()

    def abandon(self) -> None:
        """Nobody needs to wait any more: nothing that is not sent yet will be."""
        for made in self._passes:
            made.left.set()


class KeyRanges:
    """Whether a batch can hold a key that was there before, from the least and the greatest keys alone."""

    _MOST: Final = 64

    def __init__(self) -> None:
        # By length of the keys: spans that do not touch, in order.
        self._spans: dict[int, list[tuple[str, str]]] = {}

    def add(self, keys: list[str]) -> bool:
        """Takes in the keys of a batch; False where one of them may have been there before, or is there twice."""
        if len(set(keys)) < len(keys):
            return False
        fresh = [self._add(length, span) for length, span in spans_of(keys).items()]
        return all(fresh)

    def _add(self, length: int, span: tuple[str, str]) -> bool:
        spans = self._spans.setdefault(length, [])
        place = bisect_right(spans, span)
        if place and spans[place - 1][1] >= span[0]:
            return False
        if place < len(spans) and spans[place][0] <= span[1]:
            return False
        spans.insert(place, span)
        if len(spans) > self._MOST:
            # Two neighbours as one, with the gap between them.
            at = min(place, len(spans) - 2)
            spans[at : at + 2] = [(spans[at][0], spans[at + 1][1])]
        return True


class CompactKeys(Sequence["str | None"]):
    """Keys in one piece of memory."""

    __slots__ = ("_length", "_text")

    def __init__(self, keys: Sequence[str | None]) -> None:
        self._text = codec.ENCODER.encode(list(keys))
        self._length = len(keys)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        return self.all()[index]

    def __iter__(self) -> Iterator[str | None]:
        return iter(self.all())

    def all(self) -> list[str | None]:
        """The keys."""
        keys: list[str | None] = codec.json_value(self._text)
        return keys


def without_case(keys: Sequence[str | None]) -> list[str]:
    """The keys that there are, as they are compared."""
    # One text at a time would cost more than all at once.
    try:
        given: list[Any] = list(keys)
        text = _SEPARATOR.join(given)
    except TypeError:
        given = [key for key in keys if key is not None]
        text = _SEPARATOR.join(given)
    folded: str = text.casefold()
    if folded != text or text.count(_SEPARATOR) >= len(given) > 0:
        # A key that holds the separator is cut in two, everywhere in the same way: then it waits for more than it must, not for less.
        return list(folded.split(_SEPARATOR))
    return given


def may_overlap(spans: dict[int, tuple[str, str]], others: dict[int, tuple[str, str]]) -> bool:
    """Whether a key of the one can be a key of the other."""
    for length, (least, greatest) in spans.items():
        theirs = others.get(length)
        if theirs is not None and least <= theirs[1] and theirs[0] <= greatest:
            return True
    return False


def spans_of(keys: list[str]) -> dict[int, tuple[str, str]]:
    """The least and the greatest key of each length; no key holds the separator."""
    if not keys:
        return {}
    ordered, length = sorted(keys), len(keys[0])
    if _SEPARATOR.join(keys)[length :: length + 1] == _SEPARATOR * (len(keys) - 1) and len(keys[-1]) == length:
        # Every separator is where it is when all keys have that length.
        return {length: (ordered[0], ordered[-1])}
    spans: dict[int, tuple[str, str]] = {}
    for length in set(map(len, keys)):
        some = [key for key in ordered if len(key) == length]
        spans[length] = (some[0], some[-1])
    return spans

"""Keeps two batches with the same key from being in flight together: an older upsert must not overtake a newer one."""

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
    """The right of a batch to be in flight with its keys, until all its records are settled.

    Args:
        keys: the keys of the records, or None.

    Attributes:
        left: set when the right has ended, or when there is nothing left to wait for.
        repeats: whether a key is in the batch more than once: then its parts must not be in flight together either.
        spans: the lowest and the highest key of each length.
        indexed: whether its keys are in the index of the serializer.
    """

    __slots__ = ("_records", "_text", "indexed", "left", "repeats", "spans")

    def __init__(self, keys: Sequence[str | None]) -> None:
        folded = without_case(keys)
        self.left = asyncio.Event()
        self.spans = spans_of(folded)
        self.repeats = len(set(folded)) < len(folded)
        self.indexed = False
        # In one piece of memory: while a batch waits for its result, only its keys are kept.
        self._text = _SEPARATOR.join(folded)
        self._records = len(keys)

    @property
    def keys(self) -> set[str]:
        """The keys, without case."""
        return set(self._text.split(_SEPARATOR)) if self.spans else set()

    def settle(self, records: int) -> bool:
        """Takes note of settled records.

        Args:
            records: the number of records that were settled.

        Returns:
            Whether all records are settled.
        """
        self._records -= records
        return self._records == 0


class KeySerializer:
    """The keys of all batches in flight.

    A source in the order of its keys has batches whose spans of keys do not overlap: nothing more is kept of them. Only the keys of batches
    whose spans overlap go into an index.

    Keys are compared without case: "Data values are not case-sensitive" (https://docs.amili.dev/about-355476m0).
    """

    def __init__(self) -> None:
        self._tickets: dict[KeyTicket, None] = {}
        # The lowest and the highest key of all of them, and of some before.
        self._reach: dict[int, tuple[str, str]] = {}
        self._index: set[str] = set()
        # How many tickets more than one hold a key of the index.
        self._more: Counter[str] = Counter()

    def enter(self, keys: Sequence[str | None]) -> tuple[KeyTicket, list[KeyTicket]]:
        """Makes the ticket of a batch. To be called in the order of the source: then it is enough to wait for earlier batches.

        Args:
            keys: the keys of the batch, or None.

        Returns:
            The ticket, and the tickets of earlier batches for which the batch has to wait.
        """
        ticket = KeyTicket(keys)
        near = (
            [other for other in self._tickets if may_overlap(ticket.spans, other.spans)] if may_overlap(ticket.spans, self._reach) else []
        )
        for length, (lowest, highest) in ticket.spans.items():
            reach = self._reach.get(length, (lowest, highest))
            self._reach[length] = min(lowest, reach[0]), max(highest, reach[1])
        for other in near:
            self._add(other)
        before: list[KeyTicket] = []
        if near:
            common = self._index & ticket.keys
            before = [other for other in near if not common.isdisjoint(other.keys)] if common else []
            self._add(ticket)
        self._tickets[ticket] = None
        return ticket, before

    def _add(self, ticket: KeyTicket) -> None:
        if ticket.indexed:
            return
        ticket.indexed = True
        keys = ticket.keys
        for key in self._index & keys:
            self._more[key] += 1
        self._index |= keys

    def settle(self, ticket: KeyTicket, records: int) -> None:
        """Takes note of settled records of a batch; when all are settled, its keys are free.

        Args:
            ticket: the ticket of the batch.
            records: the number of records that were settled.
        """
        if not ticket.settle(records):
            return
        del self._tickets[ticket]
        if not self._tickets:
            self._reach = {}
        if ticket.indexed:
            held = {key for key in ticket.keys if self._more[key]} if self._more else set()
            self._index -= ticket.keys - held
            self._more.subtract(held)
            self._more = +self._more
        ticket.left.set()

    def abandon(self) -> None:
        """Releases all who wait: nothing more is sent."""
        for ticket in self._tickets:
            ticket.left.set()


class KeyRanges:
    """Tells, from the lowest and the highest keys alone, whether a batch can hold a key that occurred before."""

    _MOST: Final = 64

    def __init__(self) -> None:
        # By length of the keys: spans that do not touch, in order.
        self._spans: dict[int, list[tuple[str, str]]] = {}

    def add(self, keys: list[str]) -> bool:
        """Takes in the keys of a batch.

        Args:
            keys: the keys, as they are compared.

        Returns:
            False where one of them may have occurred before, or occurs twice.
        """
        if len(set(keys)) < len(keys):
            return False
        fresh = [self._add(length, span) for length, span in spans_of(keys).items()]
        return all(fresh)

    def _add(self, length: int, span: tuple[str, str]) -> bool:
        spans = self._spans.setdefault(length, [])
        at = bisect_right(spans, span)
        if at and spans[at - 1][1] >= span[0]:
            return False
        if at < len(spans) and spans[at][0] <= span[1]:
            return False
        spans.insert(at, span)
        if len(spans) > self._MOST:
            # Two neighbours become one, with the gap between them.
            at = min(at, len(spans) - 2)
            spans[at : at + 2] = [(spans[at][0], spans[at + 1][1])]
        return True


class CompactKeys(Sequence["str | None"]):
    """Keys in one piece of memory.

    Args:
        keys: the keys, or None.
    """

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
        """Returns the keys."""
        keys: list[str | None] = codec.json_value(self._text)
        return keys


def without_case(keys: Sequence[str | None]) -> list[str]:
    """Returns keys as they are compared.

    Args:
        keys: the keys, or None.

    Returns:
        The keys that are not None, without case.
    """
    # All at once costs less than one at a time.
    try:
        given: list[Any] = list(keys)
        text = _SEPARATOR.join(given)
    except TypeError:
        given = [key for key in keys if key is not None]
        text = _SEPARATOR.join(given)
    folded: str = text.casefold()
    if folded != text or text.count(_SEPARATOR) >= len(given) > 0:
        # A key with the separator is split in two, everywhere in the same way: its batch may wait for more than it must, never for less.
        return list(folded.split(_SEPARATOR))
    return given


def may_overlap(spans: dict[int, tuple[str, str]], others: dict[int, tuple[str, str]]) -> bool:
    """Returns whether a key of the one can be a key of the other.

    Args:
        spans: the spans of some keys.
        others: the spans of other keys.

    Returns:
        False where they can't have a key in common.
    """
    for length, (lowest, highest) in spans.items():
        theirs = others.get(length)
        if theirs is not None and lowest <= theirs[1] and theirs[0] <= highest:
            return True
    return False


def spans_of(keys: list[str]) -> dict[int, tuple[str, str]]:
    """Returns the lowest and the highest key of each length.

    Args:
        keys: the keys; none holds the separator.

    Returns:
        The two keys, by their length.
    """
    if not keys:
        return {}
    ordered, length = sorted(keys), len(keys[0])
    if _SEPARATOR.join(keys)[length :: length + 1] == _SEPARATOR * (len(keys) - 1) and len(keys[-1]) == length:
        # The separators are where they are when all keys have that length.
        return {length: (ordered[0], ordered[-1])}
    spans: dict[int, tuple[str, str]] = {}
    for length in set(map(len, keys)):
        some = [key for key in ordered if len(key) == length]
        spans[length] = (some[0], some[-1])
    return spans

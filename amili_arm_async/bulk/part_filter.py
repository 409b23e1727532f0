"""Passes over the records of a source that belong to other parts of a shared run, or refuses them before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from .. import clock
from .chunking import RecordType
from .in_flight import keys_at
from .observers import RunObserver
from .outcomes import BatchOutcome, Outcome
from .parts import PartHash, refuse_foreign

__all__ = ["PartCheck", "PartFilter"]

_OTHER_PART: Final = Outcome("other_part")

_AT_ONCE: Final = 1000


class PartCheck(RunObserver):
    """Refuses a source that holds a record of another part, before anything is sent.

    Args:
        record_type: the type of the records.
        hash: tells the part of each record.
        part: the part that is sent.
        records: all records.
    """

    def __init__(self, record_type: RecordType, hash: PartHash, part: int, records: Sequence[Any]) -> None:
        self._record_type = record_type
        self._hash = hash
        self._part = part
        self._records = records

    async def begin(self) -> None:
        """Checks all records; raises a `RecordError` that names the first of another part."""
        for first in range(0, len(self._records), _AT_ONCE):
            some = self._records[first : first + _AT_ONCE]
            refuse_foreign(self._hash, self._part, keys_at(self._record_type, some, range(len(some))), range(first, first + len(some)))
            await clock.turn()


class PartFilter(RunObserver):
    """Passes over records that belong to other parts: a worker that reads the whole source sends its own part of it.

    A record without a number belongs to part 0, which names it as invalid: so exactly one worker does.

    Args:
        record_type: the type of the records.
        hash: tells the part of each record.
        part: the part that is sent.
        observers: observe the records of that part alone.
    """

    def __init__(self, record_type: RecordType, hash: PartHash, part: int, observers: Sequence[RunObserver]) -> None:
        self._record_type = record_type
        self._hash = hash
        self._part = part
        self._observers = observers

    async def begin(self) -> None:
        """Begins the other observers."""
        for observer in self._observers:
            await observer.begin()

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        """Returns an outcome for each record of another part, by its position in `records`."""
        return {position: _OTHER_PART for position, part in enumerate(self._parts_of(records)) if part != self._part}

    def on_read(self, records: Sequence[Any], first: int) -> None:
        """Shows the records of this part to the other observers, as many at a time as follow each other."""
        for is_own, positions in groupby(enumerate(self._parts_of(records)), lambda place: place[1] == self._part):
            if is_own:
                places = [position for position, _ in positions]
                for observer in self._observers:
                    observer.on_read(records[places[0] : places[-1] + 1], first + places[0])

    def on_accepted(self, records: int, seconds: float) -> None:
        """Tells the other observers that the server accepted a batch."""
        for observer in self._observers:
            observer.on_accepted(records, seconds)

    def on_settled(self, outcome: BatchOutcome) -> None:
        """Tells the other observers what became of records of this part."""
        if outcome.exceptions:
            outcome = _without_others(outcome)
        if outcome.common != _OTHER_PART:
            for observer in self._observers:
                observer.on_settled(outcome)

    async def end(self, *, complete: bool) -> None:
        """Ends the other observers."""
        for observer in self._observers:
            await observer.end(complete=complete)

    def _parts_of(self, records: Sequence[Any]) -> list[int]:
        return self._hash.of_keys(keys_at(self._record_type, records, range(len(records))))


def _without_others(outcome: BatchOutcome) -> BatchOutcome:
    """Leaves out the records of other parts."""
    each = [outcome.exceptions.get(position, outcome.common) for position in range(len(outcome))]
    own = [position for position, one in enumerate(each) if one != _OTHER_PART]
    if not own or len(own) == len(each):
        return outcome
    common = each[own[0]]
    return replace(
        outcome,
        indexes=[outcome.indexes[position] for position in own],
        keys=[outcome.keys[position] for position in own],
        common=common,
        exceptions={place: each[position] for place, position in enumerate(own) if each[position] != common},
    )

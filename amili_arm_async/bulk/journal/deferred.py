"""Records of the source whose outcome depends on a batch in the journal: one that is still open, or one that will be looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..keys import CompactKeys
from ..outcomes import BatchOutcome, Outcome

__all__ = ["DONE_BEFORE", "DeferredOutcomes", "DeferredRecords", "common", "outcome_of"]

DONE_BEFORE: Final = Outcome("done_before", "", "an earlier attempt of this run sent it successfully")


@dataclass(slots=True)
class DeferredRecords:
    """Records of the source that wait for records of one batch.

    Attributes:
        positions: positions of the records in their batch.
        indexes: indexes of the records in the source.
        keys: keys of the records.
        outcomes: in the same order, what is known of them so far.
        before: whether an earlier attempt sent them: `succeeded` is then reported as `done_before`.
        number, attempts, uuid: of their batch, if this attempt sent it.
        may_be_sent: whether they are sent again where that is asked for and they are absent.
    """

    positions: Sequence[int]
    indexes: Sequence[int]
    keys: CompactKeys
    outcomes: Sequence[Outcome]
    before: bool
    number: int = 0
    attempts: int = 0
    uuid: str | None = None
    may_be_sent: bool = True

    def outcome(self) -> BatchOutcome:
        """Returns what is known of the records so far."""
        outcomes = [DONE_BEFORE if self.before and one.state == "succeeded" else one for one in self.outcomes]
        standard, others = common(dict(enumerate(outcomes)))
        return BatchOutcome(self.number, self.uuid, self.attempts, None, self.indexes, self.keys.all(), standard, others)

    def only(self, places: Sequence[int]) -> DeferredRecords:
        """Returns some of the records.

        Args:
            places: their places in this object, not in the batch.

        Returns:
            These records.
        """
        keys = self.keys.all()
        return DeferredRecords(
            [self.positions[place] for place in places],
            [self.indexes[place] for place in places],
            CompactKeys([keys[place] for place in places]),
            [self.outcomes[place] for place in places],
            self.before,
            self.number,
            self.attempts,
            self.uuid,
            self.may_be_sent,
        )


class DeferredOutcomes:
    """All records that wait, by the batch that they wait for.

    Attributes:
        waiting: the number of these records.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[DeferredRecords]] = {}
        self.waiting = 0

    def add(self, batch: int, records: DeferredRecords) -> None:
        """Makes records wait for a batch."""
        self._waiting.setdefault(batch, []).append(records)
        self.waiting += len(records.positions)

    def settle(
        self, batch: int, outcome: Outcome, exceptions: Mapping[int, Outcome], held: frozenset[int], *, are_sent: bool = False
    ) -> Iterator[BatchOutcome]:
        """Yields the outcomes of the records that waited for a batch.

        Args:
            batch: the id of the batch.
            outcome: the outcome of all its records but the exceptions.
            exceptions: by position, the outcomes that differ.
            held: positions whose records keep waiting.
            are_sent: whether these will be sent again: then those that may not be don't keep waiting.

        Yields:
            The outcomes.
        """
        for records in self.take(batch):
            records.outcomes = [exceptions.get(position, outcome) for position in records.positions]
            kept = held if records.may_be_sent or not are_sent else frozenset()
            stay = [place for place, position in enumerate(records.positions) if position in kept]
            if stay:
                self.add(batch, records.only(stay))
            go = [place for place, position in enumerate(records.positions) if position not in kept]
            if go:
                yield (records.only(go) if stay else records).outcome()

    def of(self, batch: int) -> list[DeferredRecords]:
        """Returns the records that wait for a batch."""
        return self._waiting.get(batch, [])

    def take(self, batch: int) -> list[DeferredRecords]:
        """Removes the records that wait for a batch, and returns them."""
        found = self._waiting.pop(batch, [])
        self.waiting -= sum(len(records.positions) for records in found)
        return found

    def release(self) -> Iterator[BatchOutcome]:
        """Yields what is known of all records; none waits any more."""
        waiting, self._waiting, self.waiting = self._waiting, {}, 0
        for group in waiting.values():
            for records in group:
                yield records.outcome()


def common(outcomes: Mapping[int, Outcome]) -> tuple[Outcome, dict[int, Outcome]]:
    """Splits outcomes into a common one and exceptions.

    Args:
        outcomes: at least one outcome, by place.

    Returns:
        The first outcome, and by place those that differ from it.
    """
    first = next(iter(outcomes.values()))
    return first, {place: outcome for place, outcome in outcomes.items() if outcome != first}


def outcome_of(
    number: int, indexes: Sequence[int], keys: Sequence[str | None], outcomes: Sequence[Outcome], uuid: str | None
) -> BatchOutcome:
    """Returns the outcome of records that were not sent in this attempt.

    Args:
        number: of their batch in this attempt.
        indexes: their indexes in the source.
        keys: their keys.
        outcomes: their outcomes, at least one.
        uuid: the batchUuid with which they were accepted, or None.

    Returns:
        The outcome.
    """
    standard, others = common(dict(enumerate(outcomes)))
    return BatchOutcome(number, uuid, 0, None, indexes, keys, standard, others)

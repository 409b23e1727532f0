"""Records of the source that wait for what becomes of records of the journal: of a batch still open, or of one that is looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..keys import CompactKeys
from ..outcomes import BatchOutcome, Outcome

__all__ = ["DONE_BEFORE", "DeferredOutcomes", "DeferredRecords", "common", "outcome_of"]

DONE_BEFORE: Final = Outcome("done_before", "", "an earlier attempt of this run did it")


@dataclass(slots=True)
class DeferredRecords:
    """Some records of the source that wait for some of a batch.

    Attributes:
        positions: of the records in their batch.
        indexes: of the records in the source.
        keys: of the records.
        outcomes: in the same order, what is known of them so far.
        before: whether an earlier attempt sent them: what it did with success is `done_before`.
        number, attempts, uuid: of their batch, where it was sent in this attempt.
    """

    positions: Sequence[int]
    indexes: Sequence[int]
    keys: CompactKeys
    outcomes: Sequence[Outcome]
    before: bool
    number: int = 0
    attempts: int = 0
    uuid: str | None = None

    def outcome(self) -> BatchOutcome:
        """What is known of them."""
        said = [DONE_BEFORE if self.before and one.state == "succeeded" else one for one in self.outcomes]
        standard, others = common(dict(enumerate(said)))
        return BatchOutcome(self.number, self.uuid, self.attempts, None, self.indexes, self.keys.all(), standard, others)

    def only(self, places: Sequence[int]) -> DeferredRecords:
        """Some of them, by their place here."""
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
        )


class DeferredOutcomes:
    """All that wait, by the batch that they wait for.

    Attributes:
        waiting: number of their records.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[DeferredRecords]] = {}
        self.waiting = 0

    def add(self, batch: int, records: DeferredRecords) -> None:
        """Some more wait for a batch."""
        self._waiting.setdefault(batch, []).append(records)
        self.waiting += len(records.positions)

    def settle(self, batch: int, outcome: Outcome, exceptions: Mapping[int, Outcome], held: frozenset[int]) -> Iterator[BatchOutcome]:
        """What became of a batch is known: the outcomes of those who waited, but for the `held` positions, which wait on."""
        for records in self.take(batch):
            records.outcomes = [exceptions.get(position, outcome) for position in records.positions]
            stay = [place for place, position in enumerate(records.positions) if position in held]
            if stay:
                self.add(batch, records.only(stay))
            go = [place for place, position in enumerate(records.positions) if position not in held]
            if go:
                yield (records.only(go) if stay else records).outcome()

    def of(self, batch: int) -> list[DeferredRecords]:
        """Those that wait for a batch."""
        return self._waiting.get(batch, [])

    def take(self, batch: int) -> list[DeferredRecords]:
        """Those that wait for a batch; they don't any more."""
        found = self._waiting.pop(batch, [])
        self.waiting -= sum(len(records.positions) for records in found)
        return found

    def release(self) -> Iterator[BatchOutcome]:
        """Nothing more becomes known: the outcomes of all."""
        waiting, self._waiting, self.waiting = self._waiting, {}, 0
        for group in waiting.values():
            for records in group:
                yield records.outcome()


def common(outcomes: Mapping[int, Outcome]) -> tuple[Outcome, dict[int, Outcome]]:
    """One verdict for all, and those that differ."""
    first = next(iter(outcomes.values()))
    return first, {place: outcome for place, outcome in outcomes.items() if outcome != first}


def outcome_of(
    number: int, indexes: Sequence[int], keys: Sequence[str | None], outcomes: Sequence[Outcome], uuid: str | None
) -> BatchOutcome:
    """The outcome of records that were not sent in this attempt."""
    standard, others = common(dict(enumerate(outcomes)))
    return BatchOutcome(number, uuid, 0, None, indexes, keys, standard, others)

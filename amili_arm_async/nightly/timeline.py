"""Throughput and latency over a run, in so few buckets that a run of any length fits. It uses only the clock that it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..bulk.observers import RunObserver
from ..bulk.outcomes import FAILURES, BatchOutcome
from .report import Bucket, Timeline

__all__ = ["MOST_INTERVALS", "Interval", "TimelineObserver"]

MOST_INTERVALS: Final = 200
_STEP: Final = math.log(1.1)


@dataclass(slots=True)
class Interval:
    """One interval of a run, which intervals of other runs can be added to.

    Attributes:
        settled: number of records that got their final state in it.
        failed: those of them that are failed, rejected, invalid or unknown.
        accepted: number of records that were accepted.
        latencies: number of batches by the logarithm of the time until they were accepted; about two hundred steps reach from a
            microsecond to a day.
    """

    settled: int = 0
    failed: int = 0
    accepted: int = 0
    latencies: dict[int, int] = field(default_factory=dict)

    def merge(self, other: Interval) -> None:
        """Adds another interval.

        Args:
            other: the interval.
        """
        self.settled += other.settled
        self.failed += other.failed
        self.accepted += other.accepted
        for step, number in other.latencies.items():
            self.latencies[step] = self.latencies.get(step, 0) + number

    def latency(self, share: float) -> float:
        """Returns the latency in milliseconds that a share of the batches did not exceed, accurate to five per cent.

        Args:
            share: from 0 to 1.
        """
        wanted = math.ceil(share * sum(self.latencies.values()))
        for step in sorted(self.latencies):
            wanted -= self.latencies[step]
            if wanted <= 0:
                return float(f"{math.exp(step * _STEP):.3g}")
        raise ValueError("no batch was accepted")

    def to_report(self) -> Bucket:
        """Returns the interval as the report holds it."""
        latency = (self.latency(0.5), self.latency(0.95)) if self.latencies else None
        return Bucket(self.settled, self.failed, self.accepted, latency)


class TimelineObserver(RunObserver):
    """Observes how a run goes: in buckets of one second, which double in length whenever there would be more than two hundred.

    Args:
        now: gives seconds, for example `clock.monotonic`.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began: float | None = None
        self._width = 1.0
        self._buckets: list[Interval] = []

    async def begin(self) -> None:
        """Starts the clock."""
        self._began = self._now()

    def on_settled(self, outcome: BatchOutcome) -> None:
        """Counts the final state of records."""
        bucket = self._bucket()
        bucket.settled += len(outcome)
        bucket.failed += sum(number for state, number in outcome.counts.items() if state in FAILURES)

    def on_accepted(self, records: int, seconds: float) -> None:
        """Counts a batch that was accepted, and its latency."""
        bucket = self._bucket()
        bucket.accepted += records
        step = round(math.log(min(max(seconds * 1000, 0.001), 1e8)) / _STEP)
        bucket.latencies[step] = bucket.latencies.get(step, 0) + 1

    def _bucket(self) -> Interval:
        now = self._now()
        self._began = now if self._began is None else self._began
        elapsed = max(0.0, now - self._began)
        while elapsed >= self._width * MOST_INTERVALS:
            self._halve()
        place = int(elapsed / self._width)
        self._buckets.extend(Interval() for _ in range(place + 1 - len(self._buckets)))
        return self._buckets[place]

    def _halve(self) -> None:
        """Merges each two neighbouring buckets."""
        self._width *= 2
        for bucket, neighbour in zip(self._buckets[::2], self._buckets[1::2], strict=False):
            bucket.merge(neighbour)
        del self._buckets[1::2]

    @property
    def width(self) -> float:
        """The seconds of an interval."""
        return self._width

    @property
    def intervals(self) -> list[Interval]:
        """The intervals so far."""
        return self._buckets

    def timeline(self) -> Timeline:
        """Returns the timeline so far, as the report holds it."""
        return Timeline(self._width, [bucket.to_report() for bucket in self._buckets])

"""The instruments of one meter provider: made once, for all clients and runs that use it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakSet

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from .table import METRICS, Attributes

__all__ = ["Instruments"]

_MOST_NAMES: Final = 1000
"""Ended runs with unknown records that are remembered by name."""


class _Client(Protocol):
    requests: int
    bytes: int


class _Run(Protocol):
    kind: str
    name: object
    open_batches: Callable[[], int]
    concurrency: Callable[[], int]

    @property
    def unknown(self) -> int: ...


class Instruments:
    """All instruments, and what the observed ones look at. It keeps neither a client nor a run alive.

    The callbacks run in a thread of the SDK.

    Args:
        meter: makes the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._lock = threading.Lock()
        self._clients: WeakSet[Any] = WeakSet()
        self._runs: WeakSet[Any] = WeakSet()
        self._kinds: set[str] = set()
        # Unknown records of runs that have ended: a run that goes on with one of them takes them over.
        self._left: dict[tuple[str, object], int] = {}
        self._left_without_name: Counter[str] = Counter()
        self._made: dict[str, Any] = {name: self._make(meter, name) for name in METRICS}

    def _make(self, meter: Meter, name: str) -> Any:
        metric = METRICS[name]
        if metric.instrument == "counter":
            return meter.create_counter(name, metric.unit, metric.meaning)
        if metric.instrument == "histogram":
            try:
                return meter.create_histogram(name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=metric.buckets)
            except TypeError:  # an API before 1.30
                return meter.create_histogram(name, metric.unit, metric.meaning)
        observe = partial(self._observe, name)
        return meter.create_observable_up_down_counter(name, [observe], metric.unit, metric.meaning)

    # --- what happens -----------------------------------------------------------------------------------------------------

    def count(self, name: str, number: float, attributes: Attributes) -> None:
        """Adds to a counter."""
        self._made[name].add(number, attributes)

    def histogram(self, name: str, value: float, attributes: Attributes, context: Context | None = None) -> None:
        """Records a value; the context leads from it to its trace."""
        self._made[name].record(value, attributes, context)

    def add_client(self, client: _Client) -> None:
        """Observes a client as long as it lives."""
        with self._lock:
            self._clients.add(client)

    def begin(self, run: _Run) -> int:
        """Observes a run. Returns the number of records that an earlier attempt of it left unknown."""
        with self._lock:
            self._runs.add(run)
            self._kinds.add(run.kind)
            return self._left.pop((run.kind, run.name), 0) if run.name is not None else 0

    def end(self, run: _Run) -> None:
        """Observes a run no more, but for what it left unknown."""
        with self._lock:
            self._runs.discard(run)
            if not (unknown := run.unknown):
                return
            if run.name is None or len(self._left) >= _MOST_NAMES:
                self._left_without_name[run.kind] += unknown
            else:
                self._left[run.kind, run.name] = unknown

    # --- what is observed -------------------------------------------------------------------------------------------------

    def _observe(self, name: str, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            clients, runs, kinds = list(self._clients), list(self._runs), sorted(self._kinds)
            left = Counter(self._left_without_name)
            for (kind, _name), number in self._left.items():
                left[kind] += number
        if name == "amili_arm.requests.in_flight":
            return [Observation(sum(client.requests for client in clients))]
        if name == "amili_arm.bytes.in_flight":
            return [Observation(sum(client.bytes for client in clients))]
        if name == "amili_arm.records.unknown":
            return _by_kind(kinds, left, ((run.kind, run.unknown) for run in runs))
        if name == "amili_arm.batches.open":
            return _by_kind(kinds, Counter(), ((run.kind, run.open_batches()) for run in runs))
        return _by_kind(kinds, Counter(), ((run.kind, run.concurrency()) for run in runs))


def _by_kind(kinds: list[str], start: Counter[str], numbers: Iterator[tuple[str, int]]) -> list[Observation]:
    sums = Counter(start)
    for kind, number in numbers:
        sums[kind] += number
    return [Observation(sums[kind], {"amili_arm.record.kind": kind}) for kind in kinds]

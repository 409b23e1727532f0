"""Runs many stories side by side. What was seen so far steers which come next, and each of them is told by its seed alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from .graveyard import collect_nothing, stories

__all__ = ["Seen", "explore"]

_AT_ONCE = 20
"""Stories that a worker is given together."""

_CALLS = 10
"""So often a worker is given some; then it ends, and all that its worlds left with it: collecting that would take 7 % of its time."""

_CANDIDATES = 3
"""Of so many seeds that follow each other, the one is run whose story promises most that is new."""

_LONGEST = 60
"""Seconds of the processor that a story may take: it usually takes a fifth of one."""

_LONGEST_WAIT = 600
"""Seconds that it may take on a machine that has much else to do."""

Draw = Callable[[int], Any]
Run = Callable[[Any], Any]


@dataclass
class Seen:
    """What some stories showed.

    Attributes:
        done: how many there were.
        cases: with those that branched off.
        failed: by seed, what was violated; with the branch, if it was in one.
        features: how often each fault struck, and each kind of act was done.
        pairs: how often two of them were in one story.
        states: how often a record ended in a state with a reason.
        beside: how often a state was in one story with a feature.
    """

    done: int = 0
    cases: int = 0
    failed: dict[int, tuple[int | None, list[str]]] = field(default_factory=dict)
    features: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, ...]] = field(default_factory=Counter)
    states: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    beside: Counter[tuple[str, tuple[str, str | None]]] = field(default_factory=Counter)

    def add(self, other: Seen) -> None:
        """Adds what other stories showed."""
        self.done += other.done
        self.cases += other.cases
        self.failed.update(other.failed)
        for name in ("features", "pairs", "states", "beside"):
            getattr(self, name).update(getattr(other, name))

    def add_story(self, told: Any, result: Any) -> None:
        """Adds what one story showed."""
        # A fault that could have struck and did not was not there.
        features = sorted((_features(told) - set(told.faults)) | set(result.struck))
        self.features.update(features)
        self.pairs.update(combinations(features, 2))
        self.states.update(result.states)
        self.beside.update((feature, state) for feature in features for state in result.states)
        self.done += 1
        self.cases += result.cases

    def promise(self, told: Any) -> float:
        """How much of a story was hardly seen: pairs of what is in it, and states that were seen with something in it."""
        features = sorted(_features(told))
        pairs = sum(1 / (1 + self.pairs[pair]) for pair in combinations(features, 2))
        rare = [(feature, state) for state, number in self.states.items() if number < self.done / 100 for feature in features]
        return pairs + sum(self.beside[one] / (1 + self.states[one[1]]) ** 2 for one in rare)


def _features(told: Any) -> frozenset[str]:
    """What is in a story: at least the faults that may strike."""
    return getattr(told, "features", frozenset(told.faults))


class _TooLongError(SystemExit):
    """A story takes too long. No Exception, which the story might catch, nor anything else that asyncio would keep in a task."""


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _TooLongError

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, _LONGEST), (signal.SIGALRM, signal.ITIMER_REAL, _LONGEST_WAIT))
    before = [signal.signal(number, ring) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)
        for (number, _, _), handler in zip(timers, before, strict=True):
            signal.signal(number, handler)


def _some(draw: Draw, run: Run, seeds: list[int], until: float | None) -> Seen:
    """Runs the stories of some seeds, as long as there is time."""
    seen = Seen()
    with stories():
        for seed in seeds:
            if until is not None and time.monotonic() >= until:
                break
            told = draw(seed)
            try:
                with _alarm():
                    result = run(told)
            except _TooLongError:
                seen.failed[seed] = None, [f"ends: it takes more than {_LONGEST} seconds of the processor, or {_LONGEST_WAIT} in all"]
                break
            except Exception as exc:  # whatever it is, the seed must be named
                seen.failed[seed] = None, [f"simulation: {type(exc).__name__}: {exc}"]
                continue
            if result.violations:
                seen.failed[seed] = result.branch, result.violations
            seen.add_story(told, result)
    return seen


def explore(
    draw: Draw,
    run: Run,
    *,
    first: int,
    number: int,
    workers: int,
    until: float | None,
    cases: int | None = None,
    on_failed: Callable[[int, int | None, list[str]], object] = lambda *_: None,
) -> Seen:
    """Runs stories.

    The choice of seeds depends on what was seen, and on nothing else but the number of workers: it is the same each time.

    Args:
        draw: makes the story of a seed.
        run: runs it.
        first: the seed to begin with.
        number: of stories.
        workers: processes.
        until: no story begins after this time of `time.monotonic`; None: all are run.
        cases: no story begins after so many cases; None: all are run.
        on_failed: called with each seed that fails, its branch or None, and what was violated.

    Returns:
        What they showed.
    """
    seen = Seen()
    pending: deque[Any] = deque()
    begun = 0
    with multiprocessing.get_context("fork").Pool(workers, collect_nothing, maxtasksperchild=_CALLS) as pool:
        while True:
            is_enough = cases is not None and seen.cases >= cases
            while len(pending) < 2 * workers and begun < number and not is_enough and (until is None or time.monotonic() < until):
                seeds = []
                for place in range(begun, min(begun + _AT_ONCE, number)):
                    candidates = range(first + place * _CANDIDATES, first + (place + 1) * _CANDIDATES)
                    seeds.append(max(candidates, key=lambda seed: seen.promise(draw(seed))))
                begun += len(seeds)
                pending.append((seeds, pool.apply_async(_some, (draw, run, seeds, until))))
            if not pending:
                return seen
            # In their order, so that it makes no difference which one is faster.
            seeds, answer = pending.popleft()
            wait = _LONGEST_WAIT * _AT_ONCE if until is None else max(0.0, until - time.monotonic()) + 2 * _LONGEST_WAIT
            try:
                some = answer.get(wait)
            except multiprocessing.TimeoutError:
                seen.failed[seeds[0]] = None, [f"ends: the worker with the seeds {seeds} gives no answer"]
                on_failed(seeds[0], *seen.failed[seeds[0]])
                return seen
            seen.add(some)
            for seed, found in sorted(some.failed.items()):
                on_failed(seed, *found)

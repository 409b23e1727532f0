"""How many batches are on the wire at once: the search for the knee, against servers that are only reckoned."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from amili_arm_async.bulk.limits import MOST, START, AdaptiveConcurrency, HillClimber

pytestmark = pytest.mark.quick


def through(capacity: int, seconds: float, at_once: int, way: float = 0.0) -> float:
    """Batches a second that a server takes which works on `capacity` at once, each for so many seconds, at a distance."""
    return min(at_once / (seconds + way), capacity / seconds)


def run(
    climb: HillClimber, capacity: Callable[[int], int], *, seconds: float = 0.05, way: float = 0.0, batches: int = 3000, noise: float = 0.0
) -> tuple[list[int], float]:
    """The limit after each batch, and the seconds that all took."""
    rng = Random(7)
    flying: list[tuple[float, float]] = []
    free: list[float] = []
    limits: list[int] = []
    now = 0.0
    sent = 0
    while len(limits) < batches:
        while sent < batches and len(flying) < climb.limit:
            free = sorted(free)[-capacity(sent) :] if len(free) >= capacity(sent) else free
            begin = now + way / 2
            if len(free) >= capacity(sent):
                begin = max(begin, heapq.heappop(free))
            end = begin + seconds * (1 + noise * (2 * rng.random() - 1))
            heapq.heappush(free, end)
            heapq.heappush(flying, (end + way / 2, now))
            sent += 1
        now, began = heapq.heappop(flying)
        climb.on_accepted(now - began, now)
        limits.append(climb.limit)
    return limits, now


def usual(limits: list[int]) -> int:
    """Where it stood most of the time."""
    return Counter(limits).most_common(1)[0][0]


def changes(limits: list[int]) -> int:
    return sum(one != other for one, other in pairwise(limits))


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 8, 12, 20, 32, 100])
def test_it_ends_at_the_knee_and_stays_there(capacity: int, noise: float) -> None:
    limits, _ = run(HillClimber(START, MOST), lambda _: capacity, noise=noise)
    settled = usual(limits[1500:])
    best = through(capacity, 0.05, MOST)
    assert through(capacity, 0.05, settled) >= 0.9 * best
    assert settled <= min(MOST, 1.75 * capacity + 1)
    assert changes(limits[1000:]) <= 12
    assert set(limits) <= set(range(1, MOST + 1))


def test_the_distance_counts_too() -> None:
    # It works on two at once, but most of the time a batch is on its way.
    limits, _ = run(HillClimber(START, MOST), lambda _: 2, seconds=0.01, way=0.09)
    assert through(2, 0.01, usual(limits[1500:]), 0.09) >= 0.9 * through(2, 0.01, MOST, 0.09)
    assert usual(limits[1500:]) <= 30


def test_where_more_always_brings_more_it_is_soon_there() -> None:
    limits, seconds = run(HillClimber(START, MOST), lambda _: 1000, batches=1000)
    assert limits.index(MOST) <= 100
    assert limits[-1] == MOST
    assert 1000 / seconds >= 0.9 * through(1000, 0.05, MOST)


def test_a_server_that_grows_is_found_out() -> None:
    limits, _ = run(HillClimber(START, MOST), lambda sent: 4 if sent < 1500 else 24, batches=6000)
    assert usual(limits[500:1500]) <= 7
    assert usual(limits[4500:]) >= 20


def test_a_server_that_shrinks_is_found_out() -> None:
    limits, _ = run(HillClimber(START, MOST), lambda sent: 24 if sent < 1500 else 4, batches=6000)
    assert usual(limits[500:1500]) >= 20
    assert usual(limits[4500:]) <= 7


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_number_that_was_given_is_only_left_when_the_server_says_too_much() -> None:
    clock, heard = Clock(), []
    pace = AdaptiveConcurrency(6, clock, lambda: heard.append(pace.limit))
    for _ in range(500):
        clock.now += 0.01
        pace.on_accepted(0.05)
    assert (pace.limit, heard) == (6, [])
    pace.back_off()
    pace.back_off()
    assert (pace.limit, heard) == (3, [3])
    clock.now += 1.0
    pace.back_off()
    assert pace.limit == 1
    for _ in range(100):
        pace.on_accepted(0.05)
    assert pace.limit == 6
    assert heard == [3, 1, 2, 3, 4, 5, 6]


def test_it_does_not_come_back_to_what_was_too_much() -> None:
    clock = Clock()
    pace = AdaptiveConcurrency(None, clock, lambda: None)
    assert pace.limit == START
    pace.back_off()
    assert pace.limit == START // 2
    seen = set()
    for _ in range(1000):
        clock.now += 0.05
        pace.on_accepted(0.05)
        seen.add(pace.limit)
    assert max(seen) == 6, "three quarters of what was too much, for a minute"
    for _ in range(3000):
        clock.now += 0.05 / pace.limit
        pace.on_accepted(0.05)
    assert pace.limit > 6, "then it is looked for again"


def test_a_single_batch_at_a_time_is_never_too_few_to_go_on() -> None:
    clock = Clock()
    pace = AdaptiveConcurrency(None, clock, lambda: None)
    for _ in range(20):
        clock.now += 2.0
        pace.back_off()
    assert pace.limit == 1
    clock.now += 100.0
    pace.on_accepted(0.05)
    assert pace.limit == 1

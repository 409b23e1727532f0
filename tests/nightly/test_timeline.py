"""The timeline: every record is in one bucket, there are never more than two hundred, and the latencies are right to five per cent."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import BatchOutcome
from amili_arm_async.bulk.outcomes import STATES, Outcome
from amili_arm_async.nightly.timeline import TimelineObserver

from ..support.sandbox_fixtures import customers, quick

pytestmark = pytest.mark.quick


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def outcome(number: int, state: str = "succeeded") -> BatchOutcome:
    return BatchOutcome(1, None, 1, None, range(number), [None] * number, Outcome(state))


async def timeline() -> tuple[TimelineObserver, Clock]:
    clock = Clock()
    made = TimelineObserver(clock)
    await made.begin()
    return made, clock


async def test_each_second_has_its_bucket() -> None:
    made, clock = await timeline()
    made.on_accepted(10, 0.1)
    clock.time += 2.5
    made.on_settled(outcome(7))
    for state in STATES:
        made.on_settled(outcome(1, state))
    assert msgspec.to_builtins(made.timeline()) == {
        "seconds": 1.0,
        "buckets": [
            {"settled": 0, "failed": 0, "accepted": 10, "latency_ms": (pytest.approx(100, rel=0.05),) * 2},
            {"settled": 0, "failed": 0, "accepted": 0, "latency_ms": None},
            {"settled": 19, "failed": 4, "accepted": 0, "latency_ms": None},
        ],
    }


async def test_nothing_happened() -> None:
    assert msgspec.to_builtins((await timeline())[0].timeline()) == {"seconds": 1.0, "buckets": []}


EVENTS = st.lists(st.tuples(st.floats(0, 5000), st.integers(1, 9), st.sampled_from(STATES)), max_size=60)


@given(EVENTS)
async def test_a_run_of_any_length_fits_and_nothing_is_lost(events) -> None:
    made, clock = await timeline()
    for wait, number, state in events:
        clock.time += wait
        made.on_settled(outcome(number, state))
        made.on_accepted(number, wait)
        assert len(msgspec.to_builtins(made.timeline())["buckets"]) <= 200
    told = msgspec.to_builtins(made.timeline())
    assert sum(bucket["settled"] for bucket in told["buckets"]) == sum(number for _, number, _ in events)
    assert sum(bucket["accepted"] for bucket in told["buckets"]) == sum(number for _, number, _ in events)
    failed = {"failed", "rejected", "invalid", "unknown"}
    assert sum(bucket["failed"] for bucket in told["buckets"]) == sum(number for _, number, state in events if state in failed)
    assert math.log2(told["seconds"]).is_integer()
    assert told["seconds"] == 1.0 or (clock.time - 1000.0) >= told["seconds"] / 2 * 200


async def test_a_bucket_that_took_in_its_neighbour_is_where_the_time_says() -> None:
    made, clock = await timeline()
    for number in range(200):
        clock.time = 1000.5 + number
        made.on_settled(outcome(number + 1))
    assert [bucket["settled"] for bucket in msgspec.to_builtins(made.timeline())["buckets"]] == list(range(1, 201))
    clock.time = 1200.0
    made.on_settled(outcome(1000))
    assert msgspec.to_builtins(made.timeline())["seconds"] == 2.0
    assert [bucket["settled"] for bucket in msgspec.to_builtins(made.timeline())["buckets"]] == [*range(3, 401, 4), 1000]


@given(st.lists(st.floats(1e-5, 5000), min_size=1, max_size=100))
async def test_latencies_are_right_to_five_per_cent(seconds) -> None:
    made, _ = await timeline()
    for one in seconds:
        made.on_accepted(1, one)
    ordered = sorted(seconds)
    exact = [ordered[math.ceil(share * len(ordered)) - 1] * 1000 for share in (0.5, 0.95)]
    assert msgspec.to_builtins(made.timeline())["buckets"][0]["latency_ms"] == pytest.approx(tuple(exact), rel=0.06)


async def test_memory_is_bounded() -> None:
    made, clock = await timeline()
    for number in range(20_000):
        clock.time += 3.7
        made.on_accepted(1, number**3 / 1e6)
    steps = [len(bucket.latencies) for bucket in made._buckets]
    assert len(steps) <= 200
    assert max(steps) <= 300


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf])
async def test_odd_seconds_do_not_raise(seconds) -> None:
    made, clock = await timeline()
    clock.time -= 5
    made.on_accepted(1, seconds)
    assert len(msgspec.to_builtins(made.timeline())["buckets"]) == 1


async def test_a_run_has_its_timeline(arm) -> None:
    made = TimelineObserver(Clock())
    await arm.customers._bulk.run(
        "customers.create_batch", customers(250), options=quick(max_records=100), user_id=None, timeout=None, retry=None, observers=(made,)
    )
    (bucket,) = msgspec.to_builtins(made.timeline())["buckets"]
    assert (bucket["settled"], bucket["failed"], bucket["accepted"]) == (250, 0, 250)
    assert bucket["latency_ms"] is not None

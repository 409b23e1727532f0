"""Those who watch a run: whatever ends it, they see each record once and its final state once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from amili_arm_async import ArmError, BulkError, BulkOptions, clock
from amili_arm_async.bulk.observers import RunObserver
from amili_arm_async.bulk.outcomes import BatchOutcome, Outcome
from amili_arm_async.sandbox import Fault

from ..support.sandbox_fixtures import customers, quick

UNCHANGED = Outcome("unchanged")


class Sieve(RunObserver):
    """Takes out every record whose number `drops` says, and remembers what it saw."""

    def __init__(self, drops: Any = lambda number: number % 3, turns: int = 0, fails_at: int | None = None) -> None:
        self.drops = drops
        self.turns = turns
        self.fails_at = fails_at
        self.seen: dict[int, str | None] = {}
        self.states: Counter[str] = Counter()
        self.ends: dict[int, str] = {}
        self.complete: bool | None = None
        self.begun = 0

    async def begin(self) -> None:
        self.begun += 1

    async def filter(self, records: Sequence[Any], first: int) -> Mapping[int, Outcome]:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.fails_at is not None and first + len(records) > self.fails_at:
            raise ArmError("the state can't be read")
        return {place: UNCHANGED for place, record in enumerate(records) if self.drops(int(record["customerNo"]))}

    def on_read(self, records: Sequence[Any], first: int) -> None:
        for index, record in enumerate(records, first):
            assert index not in self.seen
            self.seen[index] = record.get("customerNo")

    def on_settled(self, outcome: BatchOutcome) -> None:
        for record in outcome:
            assert record.index in self.seen
            assert record.index not in self.ends
            assert record.key == self.seen[record.index]
            self.ends[record.index] = record.state
            self.states[record.state] += 1

    async def end(self, *, complete: bool) -> None:
        self.complete = complete


def run_of(arm, source: Any, sieve: Sieve, options: BulkOptions | None = None):
    return arm.customers._bulk.run(
        "customers.create_batch", source, options=options or quick(), user_id=None, timeout=None, retry=None, observers=(sieve,)
    )


def agrees(report: Any, sieve: Sieve) -> bool:
    """Whether the report and the watcher tell the same, of every record that was read."""
    assert sorted(sieve.seen) == sorted(sieve.ends) == list(range(report.totals.records_read))
    assert {state: number for state, number in report.counts.items() if number} == dict(sieve.states)
    return True


@pytest.mark.parametrize("number", [0, 1, 2, 999, 1000, 1001, 5000])
@pytest.mark.parametrize("turns", [0, 3])
async def test_what_is_taken_out_is_not_sent_and_has_its_state(number, turns, arm, sandbox) -> None:
    sieve = Sieve(turns=turns)
    report = await run_of(arm, customers(number), sieve, quick(max_records=100))
    assert agrees(report, sieve)
    assert report.counts["succeeded"] == len(sandbox.customers) == len(range(0, number, 3))
    assert report.counts["unchanged"] == number - len(range(0, number, 3))
    assert (sieve.begun, sieve.complete) == (1, True)
    assert all(summary.records >= 100 or summary.number == len(report.batches) for summary in report.batches)


async def test_failures_are_named_by_their_place_in_the_source(arm, sandbox) -> None:
    source = list(customers(3000))
    for number in (0, 600, 2700):
        source[number] = {**source[number], "name": float("nan")}
    sandbox.reject_record("1500", kind="customers")
    report = await run_of(arm, source, Sieve())
    assert sorted((failure.index, failure.key, failure.state) for failure in report.failures()) == [
        (0, "0", "invalid"),
        (600, "600", "invalid"),
        (1500, "1500", "failed"),
        (2700, "2700", "invalid"),
    ]


async def test_everything_may_be_taken_out(arm, sandbox) -> None:
    sieve = Sieve(drops=lambda number: True)
    report = await run_of(arm, customers(2500), sieve)
    assert agrees(report, sieve)
    assert report.counts["unchanged"] == 2500
    assert sandbox.customers.total_delivered == 0


async def test_where_all_was_taken_out_no_record_waits_for_others_to_share_its_batch(arm, monkeypatch) -> None:
    limits: list[float | None] = []
    wait = clock.wait

    async def noted(event: asyncio.Event, seconds: float | None) -> bool:
        limits.append(seconds)
        return await wait(event, seconds)

    async def source():
        for record in customers(1000):
            yield record
        # The last thing that was asked for is what follows.
        at_the_end.append(limits[-1])

    at_the_end: list[float | None] = []
    monkeypatch.setattr(clock, "wait", noted)
    await run_of(arm, source(), Sieve(drops=lambda number: True))
    assert at_the_end == [None]


async def test_a_source_that_raises(arm) -> None:
    async def source():
        for record in customers(1234):
            yield record
        raise OSError("gone")

    sieve = Sieve()
    with pytest.raises(BulkError) as caught:
        await run_of(arm, source(), sieve)
    assert agrees(caught.value.report, sieve)
    assert sieve.complete is False


@pytest.mark.parametrize("fails_at", [0, 1500])
async def test_a_watcher_that_can_not_go_on_ends_the_run_and_every_record_is_named(fails_at, arm) -> None:
    sieve = Sieve(fails_at=fails_at)
    with pytest.raises(BulkError, match="the state can't be read") as caught:
        await run_of(arm, list(customers(4000)), sieve)
    assert caught.value.report.totals.records_read == 4000
    assert agrees(caught.value.report, sieve)


async def test_a_refused_run_names_the_rest_of_a_source_with_a_length(arm, sandbox) -> None:
    sandbox.inject(Fault.status(403), times=None)
    sieve = Sieve()
    with pytest.raises(BulkError) as caught:
        await run_of(arm, list(customers(4000)), sieve)
    assert agrees(caught.value.report, sieve)
    assert len(sieve.seen) == 4000


@pytest.mark.parametrize("turns", [*range(1, 60, 4), 100, 200, 400])
async def test_cancellation_at_any_moment(turns, arm) -> None:
    sieve = Sieve(turns=2)
    run = run_of(arm, customers(3000), sieve, quick(max_records=50))
    task = asyncio.ensure_future(run._whole())
    for _ in range(turns):
        await asyncio.sleep(0)
    # On a slow machine it may be over by then; then it is looked at all the same.
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    if sieve.begun:
        assert agrees(run.report, sieve)


async def test_a_watcher_that_does_not_begin_ends_the_run_before_it_begins(arm, sandbox) -> None:
    class Refusing(Sieve):
        async def begin(self) -> None:
            raise ArmError("in use")

    sieve = Refusing()
    with pytest.raises(ArmError, match="in use"):
        await run_of(arm, customers(10), sieve)
    assert sandbox.customers.total_delivered == 0
    assert sieve.complete is False

"""The slots of open batches: each has one owner, who closes it; whatever happens while one waits, none is lost."""

from __future__ import annotations

import asyncio

import pytest

from amili_arm_async.bulk.limits import OpenBatchSlot, SharedLimits


async def free_slots(limits: SharedLimits) -> int:
    """How many slots can be had without waiting; they are given back."""
    stopped = asyncio.Event()
    stopped.set()
    taken = []
    while (slot := await limits.open_slot(stopped)) is not None:
        taken.append(slot)
    for slot in taken:
        slot.close()
    return len(taken)


async def test_a_slot_is_given_back_once() -> None:
    limits, stopping = SharedLimits(2), asyncio.Event()
    slot = await limits.open_slot(stopping)
    assert slot is not None
    assert await free_slots(limits) == 1
    slot.close()
    slot.close()
    assert await free_slots(limits) == 2


async def test_a_slot_that_was_handed_over_is_closed_by_its_new_owner_alone() -> None:
    limits, stopping = SharedLimits(1), asyncio.Event()
    slot = await limits.open_slot(stopping)
    assert slot is not None
    with slot:
        owned = slot.hand_over()
    assert await free_slots(limits) == 0
    owned.close()
    assert await free_slots(limits) == 1


async def test_a_slot_that_was_not_handed_over_is_closed_whatever_ends_the_block() -> None:
    limits, stopping = SharedLimits(1), asyncio.Event()
    slot = await limits.open_slot(stopping)
    assert slot is not None
    with pytest.raises(RuntimeError), slot:
        raise RuntimeError
    assert await free_slots(limits) == 1


async def test_who_waits_for_a_slot_gets_none_when_the_run_stops_and_none_is_lost() -> None:
    limits, stopping = SharedLimits(1), asyncio.Event()
    slot = await limits.open_slot(stopping)
    assert slot is not None
    waiting = asyncio.create_task(limits.open_slot(stopping))
    await asyncio.sleep(0)
    stopping.set()
    assert await waiting is None
    slot.close()
    assert await free_slots(limits) == 1


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("freed", [False, True])
async def test_who_is_cancelled_while_it_waits_keeps_no_slot(turns: int, freed: bool) -> None:
    limits, stopping = SharedLimits(1), asyncio.Event()
    slot = await limits.open_slot(stopping)
    assert slot is not None
    waiting = asyncio.create_task(limits.open_slot(stopping))
    await asyncio.sleep(0)
    if freed:
        slot.close()
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    (got,) = await asyncio.gather(waiting, return_exceptions=True)
    if isinstance(got, OpenBatchSlot):
        got.close()
    slot.close()
    await asyncio.sleep(0)
    assert await free_slots(limits) == 1


async def test_where_open_batches_are_not_counted_a_slot_costs_nothing() -> None:
    slot = OpenBatchSlot()
    slot.hand_over().close()
    slot.close()

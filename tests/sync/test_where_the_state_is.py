"""A state in a file and in PostgreSQL: night after night the same."""

from __future__ import annotations

import random

import pytest

from amili_arm_async import ConfigurationError, JournalError
from amili_arm_async.sandbox import Fault
from amili_arm_async.sync.state import has_state, known_keys

from ..support.sandbox_fixtures import customers
from .conftest import numbers


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request, tmp_path):
    """Where the state is."""
    return tmp_path / "customers.sqlite" if request.param == "sqlite" else request.getfixturevalue("database")


async def test_only_what_changed_is_sent_whatever_the_order(sync, sandbox) -> None:
    first, second = list(customers(3000)), list(customers(3000))
    for place in range(0, 3000, 100):
        second[place]["name"] = "Another"
    random.Random(1).shuffle(first)
    await sync(first)
    assert numbers(await sync([*second, *customers(7, 3000)])) == (7, 30, 2970, 0, 0)
    random.Random(2).shuffle(second)
    assert numbers(await sync(second)) == (0, 0, 3000, 0, 0)
    assert sandbox.customers.total_delivered == 3037


async def test_what_failed_or_may_come_late_is_sent_again(sync, sandbox) -> None:
    sandbox.reject_record("5", kind="customers")
    assert numbers(await sync(customers(20))) == (19, 0, 0, 0, 1)
    sandbox.inject(Fault.reset_after(), method="POST", path="customers")
    assert numbers(await sync(customers(20), full=True))[4] == 1
    assert numbers(await sync(customers(20)))[2:] == (0, 0, 1)


async def test_who_is_gone_is_named_and_forgotten(sync, state) -> None:
    odd = [{"customerNo": number, "name": "Kari"} for number in ("Åse", "AB1", "aB2", "%s?", "o'hara")]
    await sync([*customers(10), *odd])
    assert len(list(known_keys(state))) == 15
    report = await sync(customers(10))
    assert report.gone == 5
    assert sorted(report.gone_keys()) == sorted(one["customerNo"] for one in odd)
    assert await report.forget(report.gone_keys()) == 5
    assert numbers(await sync([*customers(10), *odd])) == (5, 0, 10, 0, 0)


async def test_a_dry_run_changes_nothing(sync, sandbox, state) -> None:
    report = await sync(customers(10), dry_run=True)
    assert report.bulk.counts["would_be_sent"] == 10
    assert not has_state(state) if isinstance(state, str) else not state.exists()
    await sync(customers(10))
    assert (await sync(customers(12), dry_run=True)).bulk.counts["would_be_sent"] == 2
    assert numbers(await sync(customers(12))) == (2, 0, 10, 0, 0)


async def test_a_second_sync_at_once_is_refused(sync, state) -> None:
    async def source():
        yield next(iter(customers(1)))
        with pytest.raises(JournalError, match="in use by another sync"):
            await sync(customers(1))

    assert numbers(await sync(source())) == (1, 0, 0, 0, 0)


async def test_a_state_belongs_to_one_client(sync, arm) -> None:
    await sync(customers(10), arm=arm.for_client(2219))
    with pytest.raises(ConfigurationError, match="give each its own state"):
        await sync(customers(10))
    # Whoever was refused has it no longer.
    assert numbers(await sync(customers(10), arm=arm.for_client(2219))) == (0, 0, 10, 0, 0)

"""A sync that is killed, has no room, meets a bad state or another sync: nothing is taken for sent that was not."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing

import pytest

from amili_arm_async import ArmClient, BulkError, ConfigurationError, JournalError

from ..support.sandbox_fixtures import customers
from .conftest import numbers


@pytest.fixture
def night(sandbox, state):
    """Syncs customers in a process of its own; gives how it ended and what it said."""

    async def run(first, end, name, *, size=0, kill=0):
        arguments = (sandbox.base_url, sandbox.token, state, first, end, name, size, kill)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.sync.killed_sync", *map(str, arguments), stdout=asyncio.subprocess.PIPE, env=os.environ
        )
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, said.decode().strip()

    return run


@pytest.mark.proof
@pytest.mark.parametrize("kill", [1, 2, 3, 4, 5, 7, 10, 15, 20])
async def test_killed_anywhere_nothing_is_missed(kill, night, sync, sandbox) -> None:
    await sync({"customerNo": str(number), "name": "old"} for number in range(2000))
    code, said = await night(1000, 4000, "new", kill=kill)
    assert code in {-signal.SIGKILL, 0}, said
    # The source goes back to what was there before the night that was killed: the hardest case.
    report = await sync({"customerNo": str(number), "name": "old"} for number in range(4000))
    assert numbers(report)[4] == 0
    wrong = [number for number in range(4000) if sandbox.customers.get(str(number))["name"] != "old"]
    assert wrong == []
    assert numbers(await sync({"customerNo": str(number), "name": "old"} for number in range(4000))) == (0, 0, 4000, 0, 0)


async def test_what_was_kept_before_a_kill_is_not_sent_again(night, sync, sandbox) -> None:
    code, _ = await night(0, 20_000, "x", kill="kept")
    assert code == -signal.SIGKILL
    before = sandbox.customers.total_delivered
    report = await sync({"customerNo": str(number), "name": "x"} for number in range(20_000))
    assert report.unchanged > 0
    assert report.new == sandbox.customers.total_delivered - before == 20_000 - report.unchanged


@pytest.mark.needs_file
@pytest.mark.parametrize("size", [30_000, 100_000, 400_000])
async def test_a_full_disk_ends_the_run_and_keeps_nothing_that_was_not_sent(size, night, sync, sandbox) -> None:
    code, said = await night(0, 20_000, "x", size=size)
    assert code == 1
    assert "sync state" in said
    report = await sync({"customerNo": str(number), "name": "x"} for number in range(20_000))
    assert numbers(report)[4] == 0
    assert sum(1 for _ in sandbox.customers) == 20_000


# --- states that can't be used ------------------------------------------------------------------------------------------


def spoil(state, how):
    if how == "directory":
        state.mkdir()
    elif how == "foreign":
        state.write_text("something else")
    elif how == "another database":
        with closing(sqlite3.connect(state)) as connection:
            connection.execute("CREATE TABLE mine (id INTEGER)")
    elif how == "newer":
        with closing(sqlite3.connect(state)) as connection:
            connection.execute("PRAGMA user_version = 99")
    elif how == "cut off":
        state.write_bytes(state.read_bytes()[:-1000])
    elif how == "damaged":
        content = bytearray(state.read_bytes())
        content[8192:12_288] = b"\xff" * 4096
        state.write_bytes(content)


SPOILT = {
    "directory": "not a regular file",
    "foreign": "is not a sync state",
    "another database": "is not a sync state",
    "newer": "newer version",
    "cut off": "damaged|malformed",
    "damaged": "damaged|malformed",
}


@pytest.mark.needs_file
@pytest.mark.parametrize("how", SPOILT)
async def test_a_state_that_is_none_is_refused_before_anything_is_sent(how, sync, sandbox, state) -> None:
    if how in {"newer", "cut off", "damaged"}:
        await sync(customers(1000))
    spoil(state, how)
    before, delivered = state.read_bytes() if state.is_file() else b"", sandbox.customers.total_delivered
    with pytest.raises(JournalError, match=SPOILT[how]):
        await sync(customers(10))
    assert (state.read_bytes() if state.is_file() else b"") == before
    assert sandbox.customers.total_delivered == delivered


async def test_a_journal_is_no_state(sync, tmp_path) -> None:
    journal = tmp_path / "journal.sqlite"
    await sync(customers(1), journal=journal, run_id="x")
    with pytest.raises(JournalError, match="is not a sync state"):
        await sync(customers(1), state=journal)


async def test_a_second_sync_on_the_same_state_is_refused_before_anything_is_sent(sync, sandbox) -> None:
    going, finish = asyncio.Event(), asyncio.Event()

    async def slow():
        for record in customers(10):
            yield record
        going.set()
        await finish.wait()

    first = asyncio.ensure_future(sync(slow()).bulk._whole())
    await going.wait()
    with pytest.raises(JournalError, match="in use by another sync"):
        await sync(customers(10))
    finish.set()
    assert (await first).counts["succeeded"] == 10
    assert sandbox.customers.total_delivered == 10, "those of the first sync"


async def test_forgetting_is_refused_while_a_sync_goes_on(sync) -> None:
    report = await sync(customers(10))
    going, finish = asyncio.Event(), asyncio.Event()

    async def slow():
        for customer in customers(10):
            yield customer
        going.set()
        await finish.wait()

    run = asyncio.ensure_future(sync(slow()).bulk._whole())
    await going.wait()
    with pytest.raises(JournalError, match="in use"):
        await report.forget(["1"])
    finish.set()
    await run


async def test_a_state_belongs_to_one_client_and_address(sync, sandbox, arm) -> None:
    # An empty one belongs to nobody.
    await sync([])
    await sync(customers(10), arm=arm.for_client(2219))
    delivered = sandbox.customers.total_delivered
    with pytest.raises(ConfigurationError, match="of client 2219"):
        await sync(customers(10))
    async with ArmClient(2219, auth=sandbox.token, base_url=sandbox.base_url.replace("127.0.0.1", "localhost")) as other:
        with pytest.raises(ConfigurationError, match="give each its own state"):
            await sync(customers(10), arm=other)
    assert sandbox.customers.total_delivered == delivered


@pytest.mark.needs_file
async def test_a_state_that_can_not_be_read_while_it_is_used_ends_the_run(sync, state, sandbox) -> None:
    async def source():
        for record in customers(1000):
            yield record
        with closing(sqlite3.connect(state)) as connection:
            connection.execute("DROP TABLE customers")
        for record in customers(1000, 1000):
            yield record

    run = sync(source())
    with pytest.raises(BulkError, match="sync state"):
        await run
    assert sum(numbers(run.report)) == 2000

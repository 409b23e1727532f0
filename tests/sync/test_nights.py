"""Night after night: only what changed is sent, only what succeeded is kept, and who is gone is told."""

from __future__ import annotations

import asyncio
import io
import random
import sqlite3
from contextlib import closing

import pytest

from amili_arm_async import BulkError, BulkOptions, ConfigurationError, Customer, open_records
from amili_arm_async.sandbox import Fault

from ..support.postgres import DatabasePlace
from ..support.sandbox_fixtures import customers
from .conftest import numbers


def named(number: int, name: str) -> dict[str, str]:
    return {"customerNo": str(number), "name": name}


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 5000])
async def test_the_second_night_sends_nothing(count, sync, sandbox, state) -> None:
    assert numbers(await sync(customers(count))) == (count, 0, 0, 0, 0)
    delivered = sandbox.customers.total_delivered
    assert delivered == count
    report = await sync(customers(count))
    assert numbers(report) == (0, 0, count, 0, 0)
    assert report.gone == 0
    assert sandbox.customers.total_delivered == delivered
    assert isinstance(state, DatabasePlace) or state.stat().st_mode & 0o777 == 0o600


async def test_only_what_changed_is_sent_whatever_the_order(sync, sandbox) -> None:
    first, second = list(customers(10_000)), list(customers(10_000))
    for place in range(0, 10_000, 100):
        second[place]["name"] = "Another"
    rng = random.Random(1)
    rng.shuffle(first)
    rng.shuffle(second)
    await sync(first)
    assert numbers(await sync([*second, *customers(7, 10_000)])) == (7, 100, 9900, 0, 0)
    assert sandbox.customers.total_delivered == 10_107
    assert numbers(await sync(second)) == (0, 0, 10_000, 0, 0)


async def test_what_failed_is_sent_again(sync, sandbox) -> None:
    sandbox.reject_record("5", kind="customers")
    report = await sync(customers(20))
    assert numbers(report) == (19, 0, 0, 0, 1)
    with pytest.raises(BulkError):
        report.raise_for_failures()
    assert numbers(await sync(customers(20))) == (0, 0, 19, 0, 1)


async def test_a_changed_one_that_failed_is_changed_again(sync, sandbox) -> None:
    await sync([named(5, "old")])
    sandbox.reject_record("5", kind="customers")
    assert numbers(await sync([named(5, "new")])) == (0, 0, 0, 0, 1)
    # What the server has is unknown: also what was sent before that is sent.
    assert numbers(await sync([named(5, "old")])) == (0, 0, 0, 0, 1)


async def test_a_batch_whose_result_never_speaks_is_not_kept_and_its_customers_are_unknown(sync, sandbox) -> None:
    await sync([named(1, "old"), named(2, "same")])
    sandbox.inject(Fault.status(404), method="GET", path="/batches", times=None)
    report = await sync([named(1, "new"), named(2, "same"), named(3, "new")], deadline=0.2)
    assert report.bulk.counts["accepted"] == 2
    assert numbers(report) == (0, 0, 1, 0, 2)
    sandbox.clear_faults()
    # The server has "new" of the first: it must not be taken for what was sent with success before.
    assert numbers(await sync([named(1, "old"), named(2, "same"), named(3, "new")])) == (1, 1, 1, 0, 0)
    assert sandbox.customers.get("1")["name"] == "old"


async def test_full_sends_all_and_keeps_all(sync, sandbox) -> None:
    await sync(customers(1500))
    report = await sync(customers(1500), full=True)
    assert numbers(report) == (0, 0, 1500, 0, 0)
    assert report.bulk.counts["succeeded"] == 1500
    assert sandbox.customers.total_delivered == 3000
    assert numbers(await sync(customers(1500))) == (0, 0, 1500, 0, 0)


async def test_how_a_record_is_written_is_no_change(sync) -> None:
    await sync([Customer(customer_no="A1", name="Åse", due_days=14)])
    same = [
        {"name": "Åse", "dueDays": 14, "customerNo": "A1"},
        {"customerNo": "A1", "name": "Åse", "dueDays": 14.0},
        b'{ "dueDays": 1.4e1, "customerNo": "A1", "name": "\\u00c5se" }',
    ]
    for record in same:
        assert numbers(await sync([record])) == (0, 0, 1, 0, 0)
    assert numbers(await sync([{**same[0], "name": "Ase"}])) == (0, 1, 0, 0, 0)


async def test_numbers_are_compared_without_case(sync) -> None:
    await sync([{"customerNo": "Kunde-Æ", "name": "x"}, {"customerNo": "KUNDE-1", "name": "y"}, {"customerNo": "kunde-2", "name": "z"}])
    report = await sync([{"customerNo": "KUNDE-æ", "name": "x"}])
    # Another spelling is another content, of the same customer.
    assert numbers(report) == (0, 1, 0, 0, 0)
    assert report.gone == 2
    assert list(report.gone_keys()) == ["KUNDE-1", "kunde-2"]


async def test_a_record_without_number_is_always_sent(sync, sandbox) -> None:
    for delivered in (2, 3):
        # The sandbox takes none without a number.
        assert numbers(await sync([{"name": "nobody"}, named(1, "x")]))[3:] == (0, 1)
        assert sandbox.customers.total_delivered == delivered


@pytest.mark.parametrize("max_records", [1, 2, 1000])
async def test_of_a_number_that_comes_twice_the_last_one_counts(max_records, sync, sandbox) -> None:
    source = [named(1, "a"), named(2, "z"), named(1, "b"), named(3, "z"), named(1, "a"), named(1, "c")]
    for _ in range(3):
        await sync(source, max_records=max_records)
        assert sandbox.customers.get("1")["name"] == "c"
    assert numbers(await sync([named(1, "c")])) == (0, 0, 1, 0, 0)


async def test_repeats_far_apart(sync, sandbox) -> None:
    source = [*customers(2500), named(1, "b"), *customers(2500, 3000), named(1, "Customer 1"), named(2, "b")]
    for _ in range(3):
        await sync(source, max_records=100)
        assert sandbox.customers.get("1")["name"] == "Customer 1"
        assert sandbox.customers.get("2")["name"] == "b"


async def test_gone_is_told_and_forgotten_only_when_asked(sync, sandbox) -> None:
    await sync(customers(3000))
    for _ in range(2):
        report = await sync(customers(2500))
        assert report.gone == 500
        assert sorted(map(int, report.gone_keys())) == list(range(2500, 3000))
    assert await report.forget(report.gone_keys()) == 500
    assert (await sync(customers(2500))).gone == 0
    assert len(sandbox.customers) == 3000
    # What comes again is new.
    assert numbers(await sync(customers(3000))) == (500, 0, 2500, 0, 0)
    assert list(report.gone_keys()) == []


async def test_who_is_gone_is_not_known_where_the_source_was_not_read_to_its_end(sync) -> None:
    await sync(customers(3000))

    def source():
        yield from customers(1500)
        raise OSError

    run = sync(source())
    with pytest.raises(BulkError):
        await run
    assert run.report.gone is None
    assert numbers(run.report) == (0, 0, 1000, 0, 500) or numbers(run.report) == (0, 0, 1500, 0, 0)
    assert list(run.report.gone_keys()) == []


@pytest.mark.parametrize("run_id", ["", "customers"])
async def test_who_is_forgotten_and_deleted_comes_back_as_new(run_id, arm, sync, sandbox, tmp_path) -> None:
    kept = {"journal": tmp_path / "journal.sqlite", "run_id": run_id} if run_id else {}
    await sync(customers(3), **kept)
    report = await sync(customers(2), **kept)
    assert await report.forget(report.gone_keys()) == 1
    await arm.customers.delete("2")
    assert numbers(await sync(customers(3), **kept)) == (1, 0, 2, 0, 0)
    assert sandbox.customers.get("2")["name"] == "Customer 2"
    # Nobody else is sent.
    assert sandbox.customers.total_delivered == 4


UNREADABLE = {
    "csv": b"customerNo,name,limitAmount\n1,a,5\n2,b,6,9\n3,c,7\n",
    "jsonl": b'{"customerNo":"1","name":"a"}\n{"customerNo":"2","name":\n{"customerNo":"3","name":"c"}\n',
    "jsonl, two numbers": b'{"customerNo":"1","name":"a"}\n{"customerNo":"2","name":"b","customerNo":"9"}\n{"customerNo":"3","name":"c"}\n',
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_nobody_is_gone_where_a_record_has_no_number_that_can_be_read(case, sync) -> None:
    await sync(named(number, "x") for number in range(1, 5))
    report = await sync(open_records(io.BytesIO(UNREADABLE[case]), "customers", format=case.partition(",")[0]))
    assert (report.bulk.counts["invalid"], report.source_exhausted) == (1, True)
    assert report.gone is None
    assert "no number that can be read" in report.gone_unknown
    assert report.gone_unknown in report.summary()
    assert list(report.gone_keys()) == []
    assert await report.forget(report.gone_keys()) == 0
    # All four are in the state.
    assert (await sync([named(4, "x")])).gone == 3


async def test_a_record_that_is_refused_and_has_a_number_hides_nobody(sync) -> None:
    await sync(named(number, "x") for number in range(4))
    report = await sync([named(0, "x"), {**named(1, "x"), "limitAmount": float("nan")}, named(2, "x")])
    assert (report.bulk.counts["invalid"], report.gone, list(report.gone_keys())) == (1, 1, ["3"])
    assert report.gone_unknown is None


async def test_results_accepted_is_refused(arm, state) -> None:
    with pytest.raises(ConfigurationError, match="accepted"):
        arm.customers.sync([], state=state, options=BulkOptions(results="accepted"))
    assert not state.exists()


async def test_outcomes_can_be_followed(sync) -> None:
    seen = 0
    async with sync(customers(2500), max_records=500) as run:
        async for outcome in run:
            seen += len(outcome)
    assert seen == 2500
    assert numbers(run.report) == (2500, 0, 0, 0, 0)


@pytest.mark.parametrize("turns", [*range(1, 80, 6), 120, 200, 400, 800])
async def test_cancelled_at_any_moment_nothing_is_missed(turns, sync, sandbox) -> None:
    await sync([named(number, "old") for number in range(500)])
    source = [named(number, "new") for number in range(1000)]
    task = asyncio.ensure_future(sync(source, max_records=50).bulk._whole())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    back = [named(number, "old") for number in range(1000)]
    assert numbers(await sync(back))[4] == 0
    assert {record["name"] for record in (sandbox.customers.get(str(number)) for number in range(1000))} == {"old"}


@pytest.mark.needs_file
async def test_the_state_grows_by_rows_only_for_customers(sync, state) -> None:
    for _ in range(3):
        await sync(customers(100), full=True)
    with closing(sqlite3.connect(state)) as connection:
        assert connection.execute("SELECT count(*), max(number) FROM customers").fetchone() == (100, 100)

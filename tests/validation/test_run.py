"""A check of a whole source: what it reads, what it keeps, and what is known when it does not come to its end."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from amili_arm_async import CheckError, CheckRun, ConfigurationError

GOOD = {"customerNo": "1", "name": "Kari"}


def bad(number):
    return {"customerNo": str(number), "currency": "kr"}


async def each(records):
    for record in records:
        yield record


async def test_nothing_at_all(check):
    report = await check("customers")
    assert (report.records_read, report.faults, report.ok, report.complete) == (0, [], True, True)
    report.raise_for_faults()


async def test_an_async_iterable(arm):
    report = await arm.customers.check(each([GOOD, bad(2)]))
    assert (report.records_read, report.counts) == (2, {"currency": 1})


async def test_the_customers_may_come_in_any_way(arm):
    document = {"documentType": "IN", "customerNo": "Å", "documentNo": "1"}
    for customers in (["å"], each(["å"]), iter(["1", "å"]), {"å"}):
        assert (await arm.documents.check([document], customers=customers)).counts == {}


@pytest.mark.parametrize("source", ["customers.sqlite", b"{}", GOOD, 5])
async def test_what_is_no_source_is_refused(arm, source):
    with pytest.raises(ConfigurationError):
        arm.customers.check(source)
    with pytest.raises(ConfigurationError):
        arm.documents.check([], customers=source)


@pytest.mark.parametrize("settings", [{"max_findings": -1}, {"max_bytes": 5}])
async def test_settings_that_make_no_sense_are_refused(arm, settings):
    with pytest.raises(ConfigurationError):
        arm.customers.check([], **settings)


async def test_a_source_that_raises(arm):
    def source():
        yield bad(1)
        yield bad(1)
        raise KeyError("secret")

    with pytest.raises(CheckError) as caught:
        await arm.customers.check(source())
    report = caught.value.report
    assert isinstance(caught.value.__cause__, KeyError)
    assert "secret" not in str(caught.value)
    assert (report.records_read, report.counts) == (2, {"currency": 2, "duplicate": 1})
    assert not report.complete
    assert not report.ok


async def test_half_a_source_is_not_ok_without_a_fault(arm):
    def source():
        yield GOOD
        raise OSError

    with pytest.raises(CheckError) as caught:
        await arm.customers.check(source())
    assert (caught.value.report.counts, caught.value.report.ok) == ({}, False)


async def test_customers_that_raise(arm):
    def numbers():
        yield "1"
        raise OSError

    with pytest.raises(CheckError, match="customers raised OSError"):
        await arm.documents.check([], customers=numbers())


async def test_a_cancelled_check_has_what_it_found(arm):
    waits = asyncio.Event()

    async def source():
        yield bad(1)
        yield GOOD
        waits.set()
        await asyncio.Event().wait()

    run = arm.customers.check(source())
    task = asyncio.ensure_future(whole(run))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (run.report.records_read, run.report.counts, run.report.complete) == (2, {"currency": 1}, False)


async def whole(run: CheckRun):
    return await run


async def test_others_have_their_turn_meanwhile(arm):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.ensure_future(count())
    run = arm.customers.check({"customerNo": str(number)} for number in range(5000))
    told = []
    run.on_progress = told.append
    await run
    other.cancel()
    assert turns > 20
    assert told[-1] == 5000
    assert told == sorted(told)


async def test_a_check_is_awaited_once(arm):
    run = arm.customers.check([])
    await run
    with pytest.raises(ConfigurationError):
        await run


async def test_faults_beyond_the_limit_are_counted(arm):
    report = await arm.customers.check((bad(number) for number in range(50)), max_findings=20)
    assert [fault.index for fault in report.faults] == list(range(20))
    assert (report.errors, report.more) == (50, {"currency": 30})
    with pytest.raises(CheckError, match="50 errors in 50 records") as caught:
        report.raise_for_faults()
    assert caught.value.report is report


async def test_many_of_one_kind_do_not_hide_the_one_of_another(arm):
    records = [*map(bad, range(50)), {"customerNo": "7", "dateOfBirth": "x"}]
    report = await arm.customers.check(records, max_findings=20)
    kept = [fault.code for fault in report.faults]
    assert len(kept) == 20
    assert {"date", "duplicate"} <= set(kept)
    assert report.more == {"currency": 32}


async def test_no_room_at_all(arm):
    report = await arm.customers.check(map(bad, range(5)), max_findings=0)
    assert (report.faults, report.counts, report.more) == ([], {"currency": 5}, {"currency": 5})
    assert not report.ok


async def test_warnings_are_no_errors(check):
    report = await check("customers", {**GOOD, "language": "nor"})
    assert (report.errors, report.warnings, report.ok) == (0, 1, True)
    report.raise_for_faults()


async def test_the_report_of_many_faulty_records_stays_small(arm):
    async def peak(number):
        tracemalloc.start()
        report = await arm.customers.check(bad(place // 2) for place in range(number))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert report.counts == {"currency": number, "duplicate": number // 2}
        assert len(report.faults) == 1000
        return size

    await peak(1200)
    assert await peak(5000) < await peak(1500) + 1_000_000


@pytest.mark.parametrize("size", [999, 1000, 1001])
async def test_the_limit_of_bytes_is_that_of_a_run(arm, size):
    from amili_arm_async.bulk.chunking import Chunker
    from amili_arm_async.resources.bulk import CUSTOMERS
    from amili_arm_async.wire import Envelope

    envelope = Envelope.of("customers", None)
    record = {"customerNo": "1", "name": "x" * (size - envelope.size - 28)}
    cutter = Chunker(CUSTOMERS, overhead=envelope.size, max_records=10, max_bytes=1000)
    cutter.feed([record])
    report = await arm.customers.check([record], max_bytes=1000)
    assert (report.counts == {"too_large": 1}) == bool(cutter.take_invalid()) == (size > 1000)

"""A run as a whole: its source, its ways to be used, its ends."""

import asyncio
import gc

import pytest

from amili_arm_async import (
    ArmClient,
    BulkError,
    BulkReport,
    ConfigurationError,
    Customer,
    Document,
    ForbiddenError,
    Limits,
    NotSentError,
    Progress,
)
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_fixtures import QUICK, customers, documents, quick


def our_tasks() -> list[str]:
    """The tasks that the library has left, by name; those of the sandbox don't count."""
    files = [(task, task.get_coro().cr_code.co_filename) for task in asyncio.all_tasks() if hasattr(task.get_coro(), "cr_code")]
    return [repr(task) for task, file in files if "amili_arm_async" in file and "sandbox" not in file]


def total(report: BulkReport) -> int:
    return sum(report.counts.values())


async def test_nothing_to_send(arm, sandbox):
    report = await arm.customers.create_many([])

    assert total(report) == 0
    assert list(report.failures()) == []
    assert sandbox.customers.total_delivered == 0


async def test_one_record(arm, sandbox):
    report = await arm.customers.create_many([Customer(customer_no="1", name="Åse Ødegård")], options=quick())

    assert report.counts["succeeded"] == 1
    assert sandbox.customers.get("1")["name"] == "Åse Ødegård"


async def test_every_kind_of_record_in_one_source(arm, sandbox):
    class Row(dict):
        """A mapping that is no dict for msgspec."""

    source = [
        Customer(customer_no="1", name="a"),
        {"customerNo": "2", "name": "b"},
        b'{"customerNo": "3", "name": "c"}',
        Row(customerNo="4", name="d"),
    ]
    report = await arm.customers.create_many(source, options=quick())

    assert report.counts["succeeded"] == 4
    assert [sandbox.customers.get(key)["name"] for key in "1234"] == ["a", "b", "c", "d"]


async def test_an_async_generator_is_read_to_its_end(arm, sandbox):
    async def source():
        for record in customers(2500):
            yield record

    report = await arm.customers.create_many(source(), options=quick())

    assert report.counts["succeeded"] == 2500
    assert report.totals.records_read == 2500
    assert len(sandbox.customers) == 2500


async def test_batches_keep_to_records_and_bytes(arm, sandbox):
    await arm.customers.create_many(customers(1000), options=quick(max_records=70, max_bytes=2000))

    sizes = [seen.body_bytes for seen in sandbox.recent if seen.method == "POST" and seen.path.endswith("customers/batches")]
    assert sum(sizes) > 0
    assert max(sizes) <= 2000


async def test_bad_records_are_named_and_cost_no_other(arm):
    source = [
        {"customerNo": "1", "name": "a"},
        {"customerNo": "2", "name": "b", "limitAmount": float("nan")},
        b"{broken",
        Document(document_no="1"),
        {"customerNo": "5", "name": "x" * 3000},
        {"customerNo": "6", "name": "f"},
    ]
    report = await arm.customers.create_many(source, options=quick(max_bytes=1000))

    assert report.counts["succeeded"] == 2
    assert {(failure.index, failure.key, failure.state, failure.reason) for failure in report.failures()} == {
        (1, "2", "invalid", "not_encodable"),
        (2, None, "invalid", "not_encodable"),
        (3, None, "invalid", "not_encodable"),
        (4, "5", "invalid", "too_large"),
    }
    assert "$.limitAmount" in next(failure.message for failure in report.failures() if failure.index == 1)


@pytest.mark.parametrize("wrong", [b"{}", "text", {"customerNo": "1"}, Customer(customer_no="1"), 5, None])
async def test_what_is_no_source_is_refused_at_once(arm, wrong):
    with pytest.raises(ConfigurationError):
        arm.customers.create_many(wrong)


async def test_a_source_that_raises_half_way(arm, sandbox):
    def source():
        yield from customers(2500)
        raise LookupError("Kari Nordmann")

    with pytest.raises(BulkError) as caught:
        await arm.customers.create_many(source(), options=quick(concurrency=2))

    report = caught.value.report
    assert isinstance(caught.value.__cause__, LookupError)
    assert "Kari" not in str(caught.value)
    assert total(report) == report.totals.records_read == 2500
    assert report.counts["succeeded"] == len(sandbox.customers) == 2000
    assert {failure.reason for failure in report.failures()} == {"source_raised"}


async def test_a_run_is_there_once(arm):
    run = arm.customers.create_many(customers(1), options=quick())
    await run
    with pytest.raises(ConfigurationError):
        await run


async def test_a_run_that_nobody_starts_warns(arm):
    run = arm.customers.create_many(customers(1))
    with pytest.warns(RuntimeWarning, match="nothing was sent"):
        del run
        gc.collect()


async def test_entered_it_gives_each_batch(arm):
    run = arm.customers.create_many(customers(1050), options=quick(max_records=100))
    seen = []
    async with run:
        async for outcome in run:
            seen += [(record.index, record.key, record.state) for record in outcome]

    assert sorted(seen) == [(index, str(index), "succeeded") for index in range(1050)]
    assert run.report.counts["succeeded"] == 1050
    assert len(run.report.batches) == 11


async def test_entered_and_never_iterated_it_runs_to_its_end(arm):
    async with arm.customers.create_many(customers(500), options=quick(max_records=10)) as run:
        pass

    assert run.report.counts["succeeded"] == 500


async def test_left_early_it_starts_no_new_batch(arm, sandbox):
    run = arm.customers.create_many(customers(100_000), options=quick(max_records=10))
    async with run:
        async for _ in run:
            break

    report = run.report
    assert total(report) == report.totals.records_read < 100_000
    assert report.counts["unknown"] == 0
    assert sandbox.customers.total_taken == report.counts["succeeded"] + report.counts["accepted"]


async def test_left_early_it_does_not_wait_for_results(arm, sandbox):
    sandbox.inject(Fault.reset_before(), times=1, skip=2, method="POST")
    sandbox.hold_processing()
    run = arm.customers.create_many([*customers(50), {"customerNo": "x", "limitAmount": float("inf")}], options=quick(max_records=5))
    async with run:
        async for outcome in run:
            assert outcome.counts == {"invalid": 1}
            break

    assert run.report.counts["invalid"] == 1
    assert total(run.report) == 51


async def test_an_error_in_the_loop_comes_out_and_the_report_is_right(arm):
    run = arm.customers.create_many(customers(1000), options=quick(max_records=10))
    with pytest.raises(ZeroDivisionError):
        async with run:
            async for _ in run:
                raise ZeroDivisionError

    assert total(run.report) == run.report.totals.records_read


@pytest.mark.parametrize("entered", [False, True])
async def test_cancelled_it_says_what_is_known(arm, sandbox, entered):
    sandbox.inject(Fault.hang_after(), method="POST", skip=2, times=None)
    run = arm.documents.create_many(documents(1000), options=quick(max_records=10, concurrency=3))

    async def go():
        if not entered:
            await run
            return
        async with run:
            async for _ in run:
                pass

    task = asyncio.create_task(go())
    while sandbox.documents.total_taken < 50:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    report = run.report
    assert total(report) == report.totals.records_read
    assert report.counts["unknown"] == 30
    taken = {record.key for record in sandbox.documents if record.taken}
    untaken = {failure.key for failure in report.failures() if failure.state == "not_sent"}
    assert not taken & untaken
    assert not our_tasks()


async def _await(run):
    return await run


async def test_a_refused_call_ends_the_run_and_names_the_rest_of_a_list(arm, sandbox):
    sandbox.inject(Fault.status(403), method="POST", times=None)
    source = list(customers(5000))
    with pytest.raises(BulkError) as caught:
        await arm.customers.create_many(source, options=quick(max_records=100))

    assert isinstance(caught.value.__cause__, ForbiddenError)
    assert caught.value.report.counts["not_sent"] == 5000
    assert sorted(failure.index for failure in caught.value.report.failures()) == list(range(5000))


async def test_patience_ends_with_a_server_that_is_not_there(sandbox):
    async with ArmClient(1, auth="t", base_url="http://127.0.0.1:9", retry=QUICK) as arm:
        with pytest.raises(BulkError) as caught:
            await arm.documents.create_many(documents(100), options=quick(patience=0.2))

    assert isinstance(caught.value.__cause__, NotSentError)
    assert caught.value.report.counts["not_sent"] == 100


async def test_progress_adds_up_and_may_fail(arm):
    seen: list[Progress] = []

    def watch(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 5:
            raise ValueError("broken bar")

    report = await arm.customers.create_many(list(customers(1000)), options=quick(max_records=100, on_progress=watch))

    assert report.counts["succeeded"] == 1000
    assert len(seen) == 5
    assert all(progress.settled == sum(progress.counts.values()) for progress in seen)
    assert all(progress.totals.records_known == 1000 for progress in seen)


async def test_two_runs_at_once_share_the_limits(sandbox):
    limits = Limits(connections=3, open_batches=2)
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, limits=limits) as arm:
        reports = await asyncio.gather(
            _await(arm.customers.create_many(customers(500), options=quick(max_records=10))),
            _await(arm.documents.create_many(documents(500), options=quick(max_records=10))),
        )

    assert [report.counts["succeeded"] for report in reports] == [500, 500]
    assert sandbox.peak_in_flight <= 3


async def test_results_accepted_does_not_ask(arm, sandbox):
    sandbox.hold_processing()
    report = await arm.customers.create_many(customers(300), options=quick(results="accepted", max_records=100))
    sandbox.release_processing()

    assert report.counts["accepted"] == 300
    assert list(report.failures()) == []
    report.raise_for_failures()
    uuids = [batch.batch_uuid for batch in report.batches]
    async with arm.batches.wait_many(uuids, poll_first=0.01) as results:
        assert [result.outcome async for result in results] == ["succeeded"] * 3


async def test_the_user_is_named_in_each_batch(sandbox):
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, user_id="Nattjobb Ø") as arm:
        report = await arm.customers.create_many(customers(3), options=quick())
    assert report.counts["succeeded"] == 3


async def test_put_updates(arm, sandbox: Sandbox):
    sandbox.customers.seed(customers(20))
    report = await arm.customers.update_many(({"customerNo": str(n), "phoneNo": "1"} for n in range(30)), options=quick())

    assert report.counts["succeeded"] == 20
    assert report.counts["failed"] == 10
    assert {failure.key for failure in report.failures()} == {str(n) for n in range(20, 30)}

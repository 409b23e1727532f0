"""Bulk runs: spans of run, batch and wait with the right parents, and metrics that add up over runs."""

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from amili_arm_async import ArmClient, BulkError, BulkOptions, Progress, Reconcile
from amili_arm_async.sandbox import Fault, Sandbox
from tests.support.sandbox_fixtures import QUICK, customers, documents, quick

from .conftest import Told

POST = "POST /clients/{clientno}/customers/batches"
GET = "GET /clients/{clientno}/batches/{batchuuid}"
BULK, BATCH, POLL = (f"{word} customers.create_batch" for word in ("bulk", "batch", "poll"))


def attributes(span: Any) -> dict[str, Any]:
    """The attributes of this library."""
    return {name: value for name, value in span.attributes.items() if name.startswith(("amili_arm", "error"))}


async def test_a_run_has_its_batches_below_it_and_these_their_requests(arm: ArmClient, told: Told) -> None:
    with told.tracers.get_tracer("host").start_as_current_span("job"):
        await arm.customers.create_many(customers(40), options=quick(max_records=10))
    (job,) = told.tree["job"]
    (run,) = job[BULK]
    assert len(run[BATCH]) == 4
    for batch in run[BATCH]:
        assert set(batch) == {POST, POLL}
        (poll,) = batch[POLL]
        assert set(poll) == {GET}
    found = attributes(told.one(BULK))
    assert found.pop("amili_arm.bytes") > 0
    assert found.pop("amili_arm.polls") >= 4
    assert found == {
        "amili_arm.operation": "customers.create_batch",
        "amili_arm.record.kind": "customers",
        "amili_arm.records": 40,
        "amili_arm.batches": 4,
        "amili_arm.requests": 4,
        "amili_arm.records.succeeded": 40,
    }
    batch = attributes(told.named(BATCH)[0])
    assert batch.pop("amili_arm.batch.uuid")
    assert batch.pop("amili_arm.batch.number") in {1, 2, 3, 4}
    assert batch == {
        "amili_arm.operation": "customers.create_batch",
        "amili_arm.record.kind": "customers",
        "amili_arm.records": 10,
        "amili_arm.attempts": 1,
        "amili_arm.records.succeeded": 10,
    }
    assert told.value("amili_arm.records", kind="customers", state="succeeded") == 40
    assert told.value("amili_arm.batch.result.duration", kind="customers") == 4


async def test_batches_are_below_their_run_whichever_task_sends_them(arm: ArmClient, told: Told) -> None:
    # While the number of workers adapts, batches themselves start further workers.
    with told.tracers.get_tracer("host").start_as_current_span("job"):
        await arm.customers.create_many(customers(150), options=quick(max_records=1, concurrency=None))
    (run,) = told.tree["job"][0][BULK]
    assert len(run[BATCH]) == 150
    assert set(run) == {BATCH}


async def test_a_run_with_failures_repeats_and_waits(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.inject(Fault.status(503, retry_after=0.05), method="POST", path="batches")
    sandbox.reject_record("3")
    report = await arm.customers.create_many(customers(10), options=quick(max_records=5, concurrency=1))
    assert report.counts["failed"] == 1
    assert len(told.named(POST)) == 3
    failed, fine = sorted(told.named(BATCH), key=lambda span: span.status.status_code.value, reverse=True)
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes(failed)["error.type"] == "failed"
    assert (attributes(failed)["amili_arm.records.failed"], attributes(failed)["amili_arm.records.succeeded"]) == (1, 4)
    assert fine.status.status_code is StatusCode.UNSET
    assert attributes(told.one(BULK))["amili_arm.records.failed"] == 1
    assert told.one(BULK).status.status_code is StatusCode.UNSET
    assert told.value("amili_arm.records", state="failed") == 1
    assert told.value("amili_arm.retry_after.held") == pytest.approx(0.05, abs=0.01)


async def test_a_run_that_can_not_go_on_says_why(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.inject(Fault.status(403), method="POST", path="batches", times=None)
    with pytest.raises(BulkError):
        await arm.customers.create_many(customers(10), options=quick(max_records=5))
    run = told.one(BULK)
    assert (attributes(run)["error.type"], run.status.status_code) == ("403", StatusCode.ERROR)
    (event,) = run.events
    assert dict(event.attributes or {}) == {"exception.type": "BulkError"}
    assert told.value("amili_arm.records", state="not_sent") == 10


async def test_a_source_that_raises_is_named_by_its_class_alone(arm: ArmClient, told: Told) -> None:
    def source() -> Any:
        yield {"customerNo": "1", "name": "Kari Nordmann"}
        raise ValueError("Kari Nordmann, 01019012345")

    with pytest.raises(BulkError):
        await arm.customers.create_many(source(), options=quick())
    assert told.one(BULK).status.status_code is StatusCode.ERROR
    assert "Nordmann" not in told.everything()


async def test_a_split_batch_has_its_halves_beside_it(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.inject(Fault.status(413), method="POST", path="batches")
    report = await arm.customers.create_many(customers(8), options=quick(max_records=8))
    assert report.ok
    assert [attributes(span).get("amili_arm.records") for span in told.named(BATCH)] == [8, 4, 4]
    (run,) = told.tree[BULK]
    assert len(run[BATCH]) == 3


async def test_a_cancelled_run_ends_all_of_its_spans(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.hold_processing()
    sandbox.inject(Fault.hang_before(), method="POST", path="batches", skip=2)

    async def work() -> None:
        await arm.customers.create_many(customers(40), options=quick(max_records=10, concurrency=3))

    task = asyncio.create_task(work())
    while told.value("amili_arm.batches.open") < 3:
        await asyncio.sleep(0.005)
    assert told.value("amili_arm.concurrency", kind="customers") == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attributes(told.one(BULK))["error.type"] == "CancelledError"
    assert len(told.named(BATCH)) == 4
    assert len(told.named(POLL)) == 3
    assert told.value("amili_arm.batches.open") == 0
    assert told.value("amili_arm.concurrency") == 0
    assert told.value("amili_arm.bytes.in_flight") == 0
    assert told.value("amili_arm.records", state="accepted") == 30


async def test_two_runs_at_once_add_up_and_keep_their_own_traces(sandbox: Sandbox, arm: ArmClient, told: Told) -> None:
    sandbox.hold_processing()
    tracer = told.tracers.get_tracer("host")

    async def work(name: str, records: Any) -> None:
        with tracer.start_as_current_span(name):
            await arm.customers.create_many(records, options=quick(max_records=10, concurrency=2))

    tasks = [asyncio.create_task(work("a", customers(30))), asyncio.create_task(work("b", customers(20, start=100)))]
    while told.value("amili_arm.batches.open", kind="customers") < 5:
        await asyncio.sleep(0.005)
    assert told.value("amili_arm.concurrency") == 4
    sandbox.release_processing()
    await asyncio.gather(*tasks)
    assert len(told.tree["a"][0][BULK][0][BATCH]) == 3
    assert len(told.tree["b"][0][BULK][0][BATCH]) == 2
    assert told.value("amili_arm.batches.open") == 0
    assert told.value("amili_arm.records", state="succeeded") == 50
    traces = {span.context.trace_id for span in told.spans if span.context is not None}
    assert len(traces) == 2


async def test_a_run_that_is_entered_is_below_the_span_in_which_it_was_entered(arm: ArmClient, told: Told) -> None:
    tracer = told.tracers.get_tracer("host")
    with tracer.start_as_current_span("job"):
        async with arm.customers.create_many(customers(20), options=quick(max_records=10)) as run:
            async for _ in run:
                with tracer.start_as_current_span("outcome"):
                    pass
    (job,) = told.tree["job"]
    assert len(job["outcome"]) == 2
    assert len(job[BULK]) == 1


async def test_unknown_records_are_told_until_they_are_reconciled(sandbox: Sandbox, arm: ArmClient, told: Told, tmp_path: Path) -> None:
    journal = tmp_path / "night.journal"
    sandbox.inject(Fault.reset_after(), method="POST", path="documents/batches")
    report = await arm.documents.create_many(documents(4), options=quick(journal=journal, run_id="1"))
    assert report.counts["unknown"] == 4
    assert told.value("amili_arm.records.unknown", kind="documents") == 4
    del report
    gc.collect()
    assert told.value("amili_arm.records.unknown", kind="documents") == 4
    await arm.documents.reconcile(journal, settle=0.0, options=quick())
    assert told.value("amili_arm.records.unknown", kind="documents") == 0
    assert told.value("amili_arm.records", kind="documents", state="unknown") == 4
    assert told.value("amili_arm.records", kind="documents", state="succeeded") == 4
    (work,) = told.tree["reconcile"]
    (run,) = work["bulk documents.create_batch"]
    assert len(run["documents.get"]) >= 4


async def test_a_dry_run_tells_nothing_of_itself(sandbox: Sandbox, arm: ArmClient, told: Told, tmp_path: Path) -> None:
    journal = tmp_path / "night.journal"
    sandbox.inject(Fault.reset_after(), method="POST", path="documents/batches")
    await arm.documents.create_many(documents(4), options=quick(journal=journal, run_id="1"))
    before = len(told.spans)
    await arm.documents.create_many(documents(8), options=quick(journal=journal, run_id="1", dry_run=True))
    assert len(told.spans) == before
    assert told.value("amili_arm.records") == 4
    assert told.value("amili_arm.records.unknown") == 4


async def test_a_run_that_looks_up_what_is_unknown_tells_it_meanwhile(sandbox: Sandbox, arm: ArmClient, told: Told, tmp_path: Path) -> None:
    sandbox.inject(Fault.reset_after(), method="POST", path="documents/batches")
    hang = sandbox.inject(Fault.latency(0.1), method="GET", path="documents", times=None)
    options = quick(journal=tmp_path / "j", run_id="1", reconcile=Reconcile(settle=0.0))
    task = asyncio.ensure_future(_report(arm.documents.create_many(documents(4), options=options)))
    most = 0
    while not task.done():
        most = max(most, told.value("amili_arm.records.unknown"))
        await asyncio.sleep(0.005)
    await task
    assert hang.fired
    assert most == 4
    assert told.value("amili_arm.records.unknown") == 0


async def _report(run: Any) -> Any:
    return await run


async def test_batches_that_an_earlier_attempt_left_open_are_waited_for_in_spans_of_this_one(
    sandbox: Sandbox, arm: ArmClient, told: Told, tmp_path: Path
) -> None:
    sandbox.hold_processing()
    options = quick(journal=tmp_path / "j", run_id="1", max_records=2, deadline=0.05)
    report = await arm.documents.create_many(documents(4), options=options)
    assert report.counts["accepted"] == 4
    sandbox.release_processing()
    report = await arm.documents.create_many(documents(4), options=quick(journal=tmp_path / "j", run_id="1", max_records=2))
    assert report.ok
    _, second = told.tree["bulk documents.create_batch"]
    assert set(second) == {"batch documents.create_batch"}
    assert [set(batch) for batch in second["batch documents.create_batch"]] == [{"poll documents.create_batch"}] * 2


async def test_a_night_is_one_trace(arm: ArmClient, told: Told, tmp_path: Path) -> None:
    report = await arm.nightly(
        customers=list(customers(3)),
        documents=list(documents(3)),
        state=tmp_path / "state",
        customer_options=quick(),
        document_options=quick(journal=tmp_path / "journal", run_id="1"),
    )
    assert report.ok
    (night,) = told.tree["nightly"]
    assert set(night) == {BULK, "bulk documents.create_batch"}
    assert set(told.tree) == {"nightly"}


async def test_metrics_keep_neither_clients_nor_runs_alive(sandbox: Sandbox, told: Told) -> None:
    async def work() -> list[Any]:
        async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, telemetry=told.telemetry(), retry=QUICK) as arm:
            run = arm.customers.create_many(customers(3), options=quick())
            report = await run
            return [weakref.ref(one) for one in (arm, run, report, arm._context.transport, arm._context.transport.instrumentation)]

    references = await work()
    gc.collect()
    assert [reference() for reference in references] == [None] * 5
    assert told.value("amili_arm.batches.open") == 0


async def test_the_instruments_are_made_once_for_all_clients(sandbox: Sandbox, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, telemetry=told.telemetry(), retry=QUICK) as arm:
            await arm.customers.create_many(customers(3), options=quick())
    assert [record for record in caplog.records if record.levelname not in {"DEBUG", "INFO"}] == []
    assert told.value("amili_arm.records") == 6


async def test_a_long_run_keeps_no_span_of_a_batch_that_has_ended(arm: ArmClient, told: Told) -> None:
    from amili_arm_async.telemetry.opentelemetry import _LiveBatchSpan

    ended: list[int] = []

    def on_progress(progress: Progress) -> None:
        if progress.settled % 20 == 0:
            gc.collect()
            ended.append(sum(type(one) is _LiveBatchSpan for one in gc.get_objects()) - progress.open_batches)

    options: BulkOptions = quick(max_records=1, concurrency=2, on_progress=on_progress)
    await arm.customers.create_many(customers(200), options=options)
    assert len(ended) == 10
    assert max(ended) < 12

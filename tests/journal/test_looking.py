"""A journal as people look at it, while a run goes on and after it; and how old runs are removed."""

from __future__ import annotations

import asyncio
import time

import pytest

from amili_arm_async import BulkError, JournalError, prune_journal
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import (
    awaited,
    bare_invoices,
    customers,
    ends_after,
    invoices,
    plan,
    quick,
    read_journal,
    send,
    the_run,
    until,
)

RUN = {"run_id": "2026-11-20"}


async def test_a_run_that_is_done(arm, sandbox, journal):
    began = time.time()
    await send(arm, invoices(5), journal=journal, deadline=7.0, **RUN)

    run = await the_run(journal)
    assert (run.run_id, run.operation, run.client_no) == ("2026-11-20", "documents.create_batch", 2218)
    assert run.base_url == sandbox.base_url
    assert run.attempts == 1
    assert began - 1 <= run.started <= run.ended <= time.time() + 1
    assert run.deadline == 7.0
    assert not run.running
    assert run.is_finished
    assert run.counts == {"succeeded": 5}
    assert (list(run.open_batches), list(run.unknown_batches)) == ([], [])


async def test_while_it_goes_on(arm, sandbox, journal):
    sandbox.hold_processing()
    sandbox.inject(Fault.hang_before(), method="POST", skip=2)
    source = [*invoices(5), *bare_invoices(1)]
    task = asyncio.create_task(
        awaited(arm.documents.create_many(source, options=quick(journal=journal, max_records=2, concurrency=1, **RUN)))
    )
    await until(lambda: sandbox.open_batches == 2 and sandbox.in_flight)

    run = await the_run(journal)
    assert run.running
    assert run.ended is None
    assert not run.is_finished
    # What is being sent may have been accepted, whatever becomes of the process.
    assert run.counts == {"accepted": 4, "unknown": 2}
    (sending,) = run.unknown_batches
    assert (sending.reason, sending.records, sending.batch_uuid, len(sending.keys)) == ("in_progress", 2, None, 2)
    assert [batch.state for batch in run.open_batches] == ["open", "open"]
    assert sum(len(batch.keys) for batch in run.open_batches) == 4
    assert all(batch.batch_uuid and batch.records == 2 and batch.sent <= time.time() for batch in run.open_batches)
    assert all(not batch.keys for batch in (await read_journal(journal))[0].open_batches), (
        "keys are personal: only where they are asked for"
    )
    assert "D00" not in repr(run)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    run = await the_run(journal)
    assert not run.running
    assert run.counts == {"accepted": 4, "unknown": 2}
    (unknown,) = run.unknown_batches
    assert (unknown.state, unknown.reason, unknown.records, unknown.batch_uuid) == ("unknown", "cut_off", 2, None)
    everything = [key for batch in (*run.open_batches, *run.unknown_batches) for key in batch.keys]
    assert sorted(key or "" for key in everything) == sorted(record.get("documentNo", "") for record in source)


async def test_a_batch_of_which_some_are_unknown(arm, sandbox, journal):
    plan(sandbox, [Fault.reset_after()])
    sandbox.documents.seed(invoices(1, start=9))
    await send(arm, [*invoices(2), *bare_invoices(1), *invoices(1, start=8)], journal=journal, **RUN)
    await sandbox.settled()
    await arm.documents.reconcile(journal, settle=0)
    (batch,) = (await the_run(journal)).unknown_batches
    assert (batch.records, list(batch.keys)) == (1, [None])


async def test_the_counts_of_a_run_are_those_of_its_records_not_of_its_attempts(arm, sandbox, journal):
    sandbox.reject_record("D001")
    for _ in range(3):
        plan(sandbox, [Fault.status(400)])
        outcome = await send(arm, invoices(6), journal=journal, max_records=2, **RUN)
        run = await the_run(journal)
        expected = dict(outcome.counts)
        expected["succeeded"] = expected.get("succeeded", 0) + expected.pop("done_before", 0)
        assert run.counts == expected
        assert sum(run.counts.values()) == 6
    assert run.attempts == 3


async def test_looking_changes_nothing(arm, sandbox, journal):
    plan(sandbox, [Fault.reset_after()])
    await send(arm, invoices(4), journal=journal, max_records=2, **RUN)
    before = journal.read_bytes()
    for _ in range(3):
        await read_journal(journal, keys=True)
    assert journal.read_bytes() == before
    assert sorted(path.name for path in journal.parent.iterdir()) == ["nightly.sqlite", "nightly.sqlite-lock", "nightly.sqlite-mark"]


async def test_a_journal_that_is_not_there(journal):
    with pytest.raises(JournalError, match="no journal"):
        await read_journal(journal)
    with pytest.raises(JournalError, match="no journal"):
        await prune_journal(journal)
    assert not list(journal.parent.iterdir())


# --- removing ---------------------------------------------------------------------------------------------------------------


async def nights(arm, sandbox, journal):
    """Runs that are done, of which something is open or unknown, or that were cut off."""
    await send(arm, invoices(30), journal=journal, run_id="done")
    plan(sandbox, [Fault.reset_before()])
    await send(arm, invoices(3, start=100), journal=journal, run_id="unknown")
    await send(arm, invoices(3, start=200), journal=journal, run_id="open", results="accepted")
    await send(arm, ends_after(invoices(3, start=300)), journal=journal, run_id="cut off", raises=BulkError)
    await send(arm, customers(3), kind="customers", journal=journal, run_id="done")


async def left(journal):
    return [(run.run_id, run.operation[:1]) for run in await read_journal(journal)]


async def test_only_what_is_finished_is_removed(arm, sandbox, journal):
    await nights(arm, sandbox, journal)
    assert await prune_journal(journal) == 0, "nothing is 30 days old"
    assert await prune_journal(journal, older_than=3600) == 0
    assert await prune_journal(journal, older_than=0) == 2
    assert await left(journal) == [("unknown", "d"), ("open", "d"), ("cut off", "d")]
    assert await prune_journal(journal, older_than=0) == 0

    outcome = await send(arm, invoices(3, start=100), journal=journal, run_id="unknown")
    assert outcome.counts == {"unknown": 3}, "what is left is whole"
    outcome = await send(arm, invoices(3, start=200), journal=journal, run_id="open")
    assert outcome.counts == {"done_before": 3}
    assert await prune_journal(journal, older_than=0) == 1


async def test_one_that_is_named(arm, sandbox, journal):
    await nights(arm, sandbox, journal)
    assert await prune_journal(journal, run_id="unknown", older_than=0) == 0
    assert await prune_journal(journal, run_id="no such run", older_than=0) == 0
    assert await prune_journal(journal, run_id="done", older_than=0) == 2
    assert await prune_journal(journal, run_id="unknown", older_than=0, unfinished=True) == 1
    assert await left(journal) == [("open", "d"), ("cut off", "d")]


async def test_all_of_them(arm, sandbox, journal):
    await nights(arm, sandbox, journal)
    assert await prune_journal(journal, unfinished=True, older_than=3600) == 0
    assert await prune_journal(journal, unfinished=True, older_than=0) == 5
    assert await left(journal) == []
    outcome = await send(arm, invoices(3, start=50), journal=journal, run_id="new")
    assert outcome.counts == {"succeeded": 3}


async def test_the_space_comes_back(arm, sandbox, journal):
    for night in range(3):
        await send(arm, invoices(3000, start=night * 3000), journal=journal, run_id=str(night), results="accepted")
    await send(arm, invoices(1, start=90_000), journal=journal, run_id="small")
    before = journal.stat().st_size
    assert await prune_journal(journal, unfinished=True, older_than=0) == 4
    assert journal.stat().st_size < before / 2


async def test_one_that_goes_on_is_never_removed(arm, sandbox, journal):
    await send(arm, invoices(2), journal=journal, run_id="done")
    sandbox.hold_processing()
    task = asyncio.create_task(
        awaited(arm.documents.create_many(invoices(4, start=50), options=quick(journal=journal, max_records=2, **RUN)))
    )
    await until(lambda: sandbox.open_batches == 2)
    assert await prune_journal(journal, unfinished=True, older_than=0) == 1
    assert await left(journal) == [(RUN["run_id"], "d")]
    sandbox.release_processing()
    assert (await task).counts["succeeded"] == 4
    assert (await send(arm, invoices(4, start=50), journal=journal, **RUN)).counts == {"done_before": 4}


async def test_a_run_that_is_removed_leaves_nothing_that_a_later_one_could_take_for_its_own(arm, sandbox, journal):
    plan(sandbox, [Fault.reset_before()])
    await send(arm, invoices(4), journal=journal, max_records=2, concurrency=1, **RUN)
    assert await prune_journal(journal, unfinished=True, older_than=0, keep_numbers=0) == 1
    outcome = await send(arm, invoices(4), journal=journal, run_id="another")
    assert outcome.counts == {"succeeded": 4}
    assert (await the_run(journal)).attempts == 1

"""Batches that an earlier attempt left open: asked for again, and never sent again."""

from __future__ import annotations

import asyncio

import pytest

from amili_arm_async import ArmClient, BatchWords, BulkError, Limits
from amili_arm_async.bulk.journal.sqlite.journal import SqliteRunJournal
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_runs import (
    awaited,
    bare_invoices,
    client_of,
    customers,
    invoice,
    invoices,
    outcome_of,
    plan,
    questions,
    quick,
    send,
    the_run,
    until,
    writes,
)

pytestmark = pytest.mark.quick

RUN = {"run_id": "2026-11-20"}


def records_of(kind, count):
    return [*invoices(count - 4), *bare_invoices(4)] if kind == "documents" else customers(count)


@pytest.mark.parametrize("kind", ["documents", "customers"])
async def test_accepted_first_then_waited_for(arm, sandbox, journal, kind):
    records = records_of(kind, 20)
    first = await send(arm, records, kind=kind, journal=journal, results="accepted", max_records=3, **RUN)
    assert first.counts == {"accepted": 20}
    assert not first.failures
    run = await the_run(journal)
    assert run.counts == {"accepted": 20}
    assert sum(batch.records for batch in run.open_batches) == 20
    assert not run.is_finished
    sent = writes(sandbox)

    outcome = await send(arm, records, kind=kind, journal=journal, **RUN)

    assert outcome.counts == {"done_before": 20}
    assert questions(sandbox) >= 7
    assert writes(sandbox) == sent
    run = await the_run(journal)
    assert run.counts == {"succeeded": 20}
    assert run.is_finished


async def test_accepted_twice_asks_for_nothing(arm, sandbox, journal):
    for _ in range(2):
        outcome = await send(arm, invoices(6), journal=journal, results="accepted", max_records=2, **RUN)
        assert outcome.counts == {"accepted": 6}
    assert questions(sandbox) == 0
    assert writes(sandbox) == 3


async def test_each_that_is_done_is_called_so_however_the_results_come(arm, sandbox, journal):
    """Results that come while the records are being looked up: none of them may be left as accepted."""
    records = invoices(120)
    await send(arm, records, journal=journal, results="accepted", max_records=3, **RUN)
    await sandbox.settled()
    for _ in range(3):
        outcome = await send(arm, records[::-1], journal=journal, max_records=5, poll_first=0.0, **RUN)
        assert outcome.counts == {"done_before": 120}


@pytest.mark.parametrize("results", ["wait", "accepted"])
async def test_open_when_it_was_cancelled(arm, sandbox, journal, results):
    sandbox.hold_processing()
    run = arm.documents.create_many(invoices(8), options=quick(journal=journal, max_records=2, **RUN))
    task = asyncio.create_task(awaited(run))
    await until(lambda: questions(sandbox) >= 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcome_of(run.report).reasons == {"accepted/not_awaited": 8}
    assert (await the_run(journal)).ended is None
    sandbox.release_processing()
    await sandbox.settled()

    outcome = await send(arm, invoices(8), journal=journal, results=results, **RUN)

    assert outcome.counts == ({"done_before": 8} if results == "wait" else {"accepted": 8})
    assert writes(sandbox) == 4


async def test_open_when_its_deadline_had_come(arm, sandbox, journal):
    sandbox.hold_processing()
    for _ in range(2):
        outcome = await send(arm, invoices(4), journal=journal, max_records=2, deadline=0.03, **RUN)
        assert outcome.reasons == {"accepted/deadline": 4}
    sandbox.release_processing()
    await sandbox.settled()

    outcome = await send(arm, invoices(4), journal=journal, deadline=0.03, **RUN)

    assert outcome.counts == {"done_before": 4}, "it is asked for once at least"
    assert writes(sandbox) == 2


async def test_a_result_that_was_gone_is_asked_for_again(arm, sandbox, journal):
    sandbox.inject(Fault.status(404), method="GET", path="/batches/", times=2)
    outcome = await send(arm, invoices(2), journal=journal, **RUN)
    assert outcome.reasons == {"accepted/result_gone": 2}

    assert (await send(arm, invoices(2), journal=journal, **RUN)).counts == {"done_before": 2}
    assert writes(sandbox) == 1


async def test_the_words_of_results_may_be_learnt_later(sandbox, journal):
    words = {"processed": "FERDIG", "succeeded": "BOKFØRT", "failed": "AVVIST"}
    async with Sandbox(process_delay=0.0, require_customers=False, words=words) as sandbox:
        sandbox.reject_record("D001")
        async with client_of(sandbox) as arm:
            for _ in range(2):
                outcome = await send(arm, invoices(4), journal=journal, max_records=2, **RUN)
                assert outcome.reasons == {"accepted/unrecognised": 4}
        async with client_of(sandbox, words=BatchWords(succeeded={"FERDIG", "BOKFØRT"}, failed={"AVVIST"}, partial={"PARTIAL"})) as arm:
            outcome = await send(arm, invoices(4), journal=journal, **RUN)
            assert outcome.report.counts["done_before"] == 3
            assert outcome.failures[1].state == "failed"
            assert writes(sandbox) == 2


async def test_the_words_of_results_may_be_unlearnt_too(sandbox, journal):
    """What was called a success stays one: it is in the journal, and is not asked for again."""
    async with client_of(sandbox) as arm:
        await send(arm, invoices(2), journal=journal, **RUN)
        asked = questions(sandbox)
    async with client_of(sandbox, words=BatchWords(succeeded={"else"})) as arm:
        outcome = await send(arm, invoices(2), journal=journal, **RUN)
    assert outcome.counts == {"done_before": 2}
    assert questions(sandbox) == asked


@pytest.mark.parametrize("kind", ["documents", "customers"])
async def test_a_record_that_the_result_leaves_out_is_never_sent_again(arm, sandbox, journal, kind):
    records = invoices(6) if kind == "documents" else customers(6)
    sandbox.omit_result(records[1]["documentNo" if kind == "documents" else "customerNo"])
    for number in range(3):
        outcome = await send(arm, records, kind=kind, journal=journal, **RUN)
        assert outcome.reasons == {"accepted/unmapped": 1}
        assert outcome.state(1) == "accepted"
        assert outcome.report.counts["done_before"] == (5 if number else 0)
    assert writes(sandbox) == 1
    assert (await the_run(journal)).counts == {"succeeded": 5, "accepted": 1}


async def test_a_failure_that_comes_late_is_told_once_and_sent_again_then(arm, sandbox, journal):
    sandbox.reject_record("D001", "no such district")
    await send(arm, invoices(3), journal=journal, results="accepted", **RUN)

    outcome = await send(arm, invoices(3), journal=journal, **RUN)
    assert outcome.counts == {"done_before": 2, "failed": 1}
    assert outcome.failures[1].message == "no such district"
    assert writes(sandbox) == 1, "what the source yields now is what the result speaks of"

    outcome = await send(arm, invoices(3), journal=journal, **RUN)
    assert outcome.counts == {"done_before": 2, "failed": 1}
    assert [sandbox.documents.taken(f"D00{n}") for n in range(3)] == [1, 2, 1]


async def test_more_open_batches_than_there_are_places(sandbox, journal):
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, limits=Limits(open_batches=2)) as arm:
        await send(arm, invoices(20), journal=journal, results="accepted", max_records=2, **RUN)
        sandbox.hold_processing()
        task = asyncio.create_task(awaited(arm.documents.create_many(invoices(30), options=quick(journal=journal, **RUN))))
        await until(lambda: questions(sandbox) >= 2)
        sandbox.release_processing()
        report = await task
    assert report.counts["done_before"] == 20
    assert report.counts["succeeded"] == 10


async def test_left_while_earlier_batches_are_open(arm, sandbox, journal):
    await send(arm, invoices(6), journal=journal, results="accepted", max_records=2, **RUN)
    sandbox.inject(Fault.garbage(b"{}"), method="GET", path="/batches/", times=None)
    source = [invoice("D050", float("nan")), *invoices(6), *invoices(200, start=60)]
    run = arm.documents.create_many(source, options=quick(journal=journal, max_records=1, **RUN))
    async with run:
        async for _ in run:
            break
    assert outcome_of(run.report).report.counts["unknown"] == 0
    sandbox.clear_faults()

    outcome = await send(arm, source[1:], journal=journal, **RUN)

    assert set(outcome.counts) <= {"done_before", "succeeded"}
    assert sum(outcome.counts.values()) == 206
    assert not list(sandbox.documents.doubles())


async def test_a_poll_that_is_refused_ends_the_run_and_leaves_them_open(arm, sandbox, journal):
    await send(arm, invoices(6), journal=journal, results="accepted", max_records=2, **RUN)
    plan(sandbox, [Fault.status(401)] * 8, method="GET", path="/batches/")
    outcome = await send(arm, invoices(8), journal=journal, raises=BulkError, **RUN)
    assert sum(outcome.counts.values()) == outcome.report.totals.records_read
    assert outcome.report.counts["unknown"] == 0
    sandbox.clear_faults()

    again = await send(arm, invoices(8), journal=journal, **RUN)
    assert again.report.counts["done_before"] + again.report.counts["succeeded"] == 8
    assert not list(sandbox.documents.doubles())


async def test_a_reconcile_asks_for_results_whatever_it_is_told(arm, sandbox, journal):
    await send(arm, invoices(4), journal=journal, results="accepted", max_records=2, **RUN)
    report = await arm.documents.reconcile(journal, settle=0, options=quick(results="accepted"))
    assert outcome_of(report).counts == {"succeeded": 4}


@pytest.mark.parametrize(("kind", "at_once"), [("customers", 2), ("documents", 1)])
async def test_what_is_on_the_wire_while_the_journal_takes_note_of_an_answer(arm, sandbox, journal, monkeypatch, kind, at_once):
    """Customers leave meanwhile; of documents the batchUuid is on the disk before more of them leave than may be under way at once."""
    noted = SqliteRunJournal.accepted
    seen = []

    async def accepted(self, *args, **named):
        await until(lambda: writes(sandbox) >= len(seen) + at_once or len(seen) > 2)
        first = await noted(self, *args, **named)
        seen.append(writes(sandbox))
        return first

    monkeypatch.setattr(SqliteRunJournal, "accepted", accepted)
    outcome = await send(arm, records_of(kind, 8), kind=kind, journal=journal, results="accepted", max_records=2, concurrency=1, **RUN)
    assert outcome.counts == {"accepted": 8}
    assert len(seen) == 4
    if kind == "documents":
        assert seen == [1, 2, 3, 4]
    else:
        assert seen[0] >= 2

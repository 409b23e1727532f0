"""Runs that are cut off in this process, at any moment: what they told is right, the journal is right, and the next attempt goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random

import anyio
import pytest

from amili_arm_async import BulkError, Reconcile
from amili_arm_async.sandbox import Fault

from ..support.postgres import DatabasePlace
from ..support.sandbox_runs import (
    SUCCESS,
    awaited,
    bare_invoices,
    customers,
    ends_after,
    invoice,
    invoices,
    journal_threads,
    lines_of,
    new_client_no,
    outcome_of,
    plan,
    quick,
    read_journal,
    send,
    the_run,
    until,
)

RUN = {"run_id": "2026-11-20"}
SOURCE = random.Random(5).sample([*invoices(14), *bare_invoices(3), *bare_invoices(3)], 20)
"""In no order, so that each batch is looked up in the journal."""


async def goes_on(arm, sandbox, journal, source, report, client_no):
    """The journal says what the report says; a further attempt settles all that can be; nothing was taken twice."""
    outcome = outcome_of(report)
    runs = await read_journal(journal) if isinstance(journal, DatabasePlace) or journal.exists() else []
    assert (dict(runs[0].counts) if runs else {}) == outcome.counts
    await sandbox.settled()

    again = await send(arm, source, journal=journal, **RUN)

    assert set(again.counts) <= {*SUCCESS, "unknown"}
    assert again.report.counts["unknown"] == outcome.report.counts["unknown"]
    assert again.report.counts["done_before"] >= outcome.report.counts["succeeded"]
    over = [one for one in sandbox.documents.doubles() if one.client_no == client_no]
    assert all(one.key.startswith("content:") and one.taken == 2 for one in over), "each number once, each content as often as it is there"


async def test_what_can_not_be_sent_is_not_called_not_sent_where_its_number_was(arm, sandbox, journal):
    """The rest of a list is only named once the run has ended. What an earlier attempt sent under that number was another document."""
    await send(arm, invoices(2), journal=journal, **RUN)
    sandbox.inject(Fault.status(403), method="POST", path="documents/batches", times=None)
    source = [invoice("new"), *invoices(1), invoice("D001", yourReference="x" * 2000)]

    again = await send(arm, source, journal=journal, max_bytes=1000, max_records=1, concurrency=1, raises=BulkError, **RUN)

    assert {(failure.key, failure.state, failure.reason) for failure in again.report.failures()} == {
        ("new", "not_sent", "403"),
        ("D001", "invalid", "too_large"),
    }


async def test_cancelled_at_every_answer_of_the_journal(arm, sandbox, folder):
    """The journal's thread answers to the loop: the run is cancelled just before the n-th answer, for every n."""
    loop = asyncio.get_running_loop()
    plain = loop.call_soon_threadsafe
    for moment in range(1, 500):
        client_no = new_client_no()
        own, journal = arm.for_client(client_no), folder / f"{client_no}.sqlite"
        run = own.documents.create_many(SOURCE, options=quick(journal=journal, max_records=4, concurrency=2, **RUN))
        task = asyncio.create_task(awaited(run))
        answers = 0

        def answer(callback, *arguments, task=task, moment=moment, **more):
            nonlocal answers
            answers += 1
            if answers == moment:
                plain(task.cancel)
            return plain(callback, *arguments, **more)

        loop.call_soon_threadsafe = answer
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        finally:
            del loop.call_soon_threadsafe
        if answers < moment:
            break
        await until(lambda: not journal_threads())
        await goes_on(own, sandbox, journal, SOURCE, run.report, client_no)
    assert moment > 15
    assert run.report.counts["succeeded"] == 20


@pytest.mark.parametrize("what", ["resumed", "looked up", "sent again", "dead letter"])
async def test_a_later_attempt_cancelled_at_every_answer_of_the_journal(arm, sandbox, folder, what):
    loop = asyncio.get_running_loop()
    plain = loop.call_soon_threadsafe
    settle = {"looked up": Reconcile(settle=0), "sent again": Reconcile(settle=0.06, resend_absent=True)}.get(what, False)
    letter = {"dead_letter": folder / "failed.jsonl"} if what == "dead letter" else {}
    source = [*invoices(8), *bare_invoices(2)]
    for moment in range(1, 200):
        client_no = new_client_no()
        own, journal = arm.for_client(client_no), folder / f"{client_no}.sqlite"
        plan(sandbox, [None, Fault.reset_before(), Fault.reset_after(), Fault.status(400)])
        before = "accepted" if what == "resumed" else "wait"
        await send(own, source[:9], journal=journal, max_records=2, concurrency=1, results=before, deadline=0.05, **RUN)
        await sandbox.settled()
        run = own.documents.create_many(
            source[::-1], options=quick(journal=journal, max_records=3, deadline=0.001, reconcile=settle, **letter, **RUN)
        )
        task = asyncio.create_task(awaited(run))
        answers = 0

        def answer(callback, *arguments, task=task, moment=moment, **more):
            nonlocal answers
            answers += 1
            if answers == moment:
                plain(task.cancel)
            return plain(callback, *arguments, **more)

        loop.call_soon_threadsafe = answer
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        finally:
            del loop.call_soon_threadsafe
        outcome = outcome_of(run.report)
        await until(lambda: not journal_threads())
        assert sum((await the_run(journal)).counts.values()) <= len(source)
        if answers < moment:
            break
        await sandbox.settled()
        again = await send(own, source, journal=journal, **RUN)
        assert set(again.counts) <= {*SUCCESS, "unknown"}
        assert again.report.counts["done_before"] >= outcome.report.counts["done_before"]
        assert not [one for one in sandbox.documents.doubles() if one.client_no == client_no]
    assert moment > 5


@pytest.mark.parametrize("kind", ["awaited", "entered"])
@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 30, 60, 90, 120, 150, 200, 250, 300, 400, 500, 700])
async def test_cancelled_after_some_turns_of_the_loop(arm, sandbox, journal, turns, kind):
    run = arm.documents.create_many(SOURCE, options=quick(journal=journal, max_records=2, concurrency=3, **RUN))
    task = asyncio.create_task(awaited(run) if kind == "awaited" else iterated(run))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await until(lambda: not journal_threads())
    await goes_on(arm, sandbox, journal, SOURCE, run.report, 2218)


async def iterated(run):
    async with run:
        async for _ in run:
            pass


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 30, 60, 100, 160, 300])
async def test_in_a_scope_that_is_cancelled(arm, sandbox, journal, turns):
    """anyio raises at every await then, not once: the run must let go of its lock and its thread all the same."""
    run = arm.documents.create_many(SOURCE, options=quick(journal=journal, max_records=2, **RUN))

    async def cancel(scope):
        for _ in range(turns):
            await asyncio.sleep(0)
        scope.cancel()

    with anyio.CancelScope() as scope:
        watching = asyncio.create_task(cancel(scope))
        await run
    await watching
    await until(lambda: not journal_threads())
    await goes_on(arm, sandbox, journal, SOURCE, run.report, 2218)


@pytest.mark.parametrize("times", [2, 3, 4])
async def test_cancelled_several_times(arm, sandbox, journal, times):
    sandbox.hold_processing()
    run = arm.documents.create_many(SOURCE, options=quick(journal=journal, max_records=2, **RUN))
    task = asyncio.create_task(awaited(run))
    await until(lambda: sandbox.documents.total_taken >= 6)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    sandbox.release_processing()
    await until(lambda: not journal_threads())
    await goes_on(arm, sandbox, journal, SOURCE, run.report, 2218)


@pytest.mark.parametrize("place", [0, 1, 5, 12, 19])
async def test_cancelled_by_its_own_source(arm, sandbox, journal, place):
    def source():
        for index, record in enumerate(SOURCE):
            if index == place:
                task.cancel()
            yield record

    run = arm.documents.create_many(source(), options=quick(journal=journal, max_records=2, **RUN))
    task = asyncio.create_task(awaited(run))
    with pytest.raises(asyncio.CancelledError):
        await task
    await goes_on(arm, sandbox, journal, SOURCE, run.report, 2218)


@pytest.mark.parametrize("fault", ["hang_before", "hang_after"])
async def test_what_was_on_the_wire_is_unknown_from_then_on(arm, sandbox, journal, fault):
    sandbox.inject(getattr(Fault, fault)(), method="POST", skip=1, times=None)
    run = arm.documents.create_many(invoices(10), options=quick(journal=journal, max_records=2, concurrency=2, **RUN))
    task = asyncio.create_task(awaited(run))
    await until(lambda: sandbox.in_flight == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sandbox.clear_faults()

    outcome = outcome_of(run.report)
    assert outcome.reasons["unknown/cut_off"] == 4
    again = await send(arm, invoices(10), journal=journal, **RUN)
    assert again.counts == {"unknown": 4, "done_before": 2, "succeeded": 4}
    assert again.reasons == {"unknown/cut_off": 4}
    assert not list(sandbox.documents.doubles())


@pytest.mark.parametrize("loud", [False, True])
async def test_left_early(arm, sandbox, journal, loud):
    source = [*invoices(300), *bare_invoices(100)]
    run = arm.documents.create_many(source, options=quick(journal=journal, max_records=4, **RUN))
    with pytest.raises(ZeroDivisionError) if loud else contextlib.nullcontext():
        async with run:
            async for _ in run:
                if loud:
                    raise ZeroDivisionError
                break
    outcome = outcome_of(run.report)
    assert outcome.report.counts["unknown"] == 0
    assert outcome.report.totals.records_read < 400
    assert (await the_run(journal)).ended is None

    again = await send(arm, source, journal=journal, max_records=50, **RUN)
    assert set(again.counts) == SUCCESS
    assert again.report.counts["done_before"] == outcome.report.counts["succeeded"] + outcome.report.counts["accepted"]
    assert not list(sandbox.documents.doubles())


async def test_a_night_of_many_cuts(arm, sandbox, journal):
    """Again and again cut off after the next few batches, until all is done."""
    source = [*invoices(42), *bare_invoices(3) * 6]
    chance = random.Random(8)
    for _ in range(100):
        run = arm.documents.create_many(
            chance.sample(source, len(source)), options=quick(journal=journal, max_records=3, concurrency=2, **RUN)
        )
        task = asyncio.create_task(awaited(run))
        goal = sandbox.documents.total_taken + chance.randrange(1, 9)
        await until(lambda goal=goal, task=task: sandbox.documents.total_taken >= goal or task.done())
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
            break
        outcome_of(run.report)
    outcome = outcome_of(run.report)
    assert set(outcome.counts) <= {*SUCCESS, "unknown"}
    for record in source:
        assert sandbox.documents.taken(record) <= (1 if "documentNo" in record else 6)


async def test_customers_that_were_cut_off_are_simply_sent_again(arm, sandbox, journal):
    sandbox.inject(Fault.hang_after(), method="POST", skip=1, times=None)
    run = arm.customers.create_many(customers(10), options=quick(journal=journal, max_records=2, concurrency=2, **RUN))
    task = asyncio.create_task(awaited(run))
    await until(lambda: sandbox.in_flight == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcome_of(run.report).report.counts["unknown"] == 4
    sandbox.clear_faults()

    again = await send(arm, customers(10), kind="customers", journal=journal, **RUN)
    assert set(again.counts) <= SUCCESS
    assert len(sandbox.customers) == 10
    assert (await the_run(journal)).counts == {"succeeded": 10}


@pytest.mark.parametrize("way", ["refused", "source raised", "left", "cancelled"])
async def test_what_the_journal_knows_is_never_called_not_sent(arm, sandbox, journal, folder, way):
    """A later attempt that ends before its turn: whoever reads "not sent" may send it by hand."""
    letter = folder / "failed.jsonl"
    records = invoices(20)
    options = {"journal": journal, "max_records": 2, "concurrency": 1, "dead_letter": letter, **RUN}
    plan(sandbox, [None, Fault.reset_after()])
    first = await send(arm, records[:16], **options)
    assert first.counts == {"succeeded": 14, "unknown": 2}
    await sandbox.settled()

    source = [invoice("NEW", 1), *records]
    plan(sandbox, [Fault.status(403)] * 9)
    run = arm.documents.create_many(ends_after(source) if way == "source raised" else source, options=quick(**options))
    if way == "left":
        sandbox.clear_faults()
        async with run:
            async for _ in run:
                break
    elif way == "cancelled":
        task = asyncio.create_task(awaited(run))
        await until(lambda: run.report.totals.records_read > 3)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    else:
        with pytest.raises(BulkError):
            await run
    outcome = outcome_of(run.report)
    there = {record["documentNo"] for record in records[:16]}
    assert not there & {one.key for one in outcome.failures.values() if one.state == "not_sent"}
    assert not there & {line["key"] for line in lines_of(letter) if line["state"] == "not_sent"}
    known = await the_run(journal)
    assert sum(known.counts.values()) <= 21


async def test_what_ends_a_run_leaves_it_unfinished(arm, sandbox, journal):
    plan(sandbox, [None, Fault.status(403)])
    await send(arm, invoices(10), journal=journal, max_records=2, concurrency=1, raises=BulkError, **RUN)
    assert (await the_run(journal)).ended is None
    await send(arm, ends_after(invoices(2)), journal=journal, raises=BulkError, **RUN)
    assert (await the_run(journal)).ended is None

    await send(arm, invoices(10), journal=journal, **RUN)
    run = await the_run(journal)
    assert run.is_finished
    assert run.attempts == 3
    assert run.started <= run.ended

    await send(arm, ends_after([invoice("D000", 0)]), journal=journal, raises=BulkError, **RUN)
    assert (await the_run(journal)).ended is None, "it was begun again, and not ended"

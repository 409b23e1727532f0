"""What became of documents whose outcome is unknown: looked up at the end of the run, or later and alone."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal

import pytest

from amili_arm_async import BulkError, Reconcile, clock
from amili_arm_async.bulk import lookups as lookups_module
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import (
    awaited,
    bare_invoices,
    customers,
    ends_after,
    invoice,
    invoices,
    outcome_of,
    plan,
    questions,
    quick,
    read_journal,
    send,
    the_run,
    until,
    writes,
)

RUN = {"run_id": "2026-11-20"}
LOOK = {"method": "GET", "path": "/documents/"}
AT_ONCE = Reconcile(settle=0)
WAYS = pytest.mark.parametrize("way", ["in the run", "in the next run", "alone"])


def lookups(sandbox):
    return sandbox.requests["GET /clients/{clientno}/documents/{documentno}"]


async def looked_up(arm, sandbox, journal, source, faults, way, *, settings=AT_ONCE, **options):
    """A run of batches of two with these faults, and a reconcile in one of three ways."""
    options = {"max_records": 2, "concurrency": 1, "journal": journal, **RUN, **options}
    plan(sandbox, faults)
    if way == "in the run":
        return await send(arm, source, reconcile=settings, **options)
    run_outcome = await send(arm, source, **options)
    assert run_outcome.report.counts["unknown"] == 2 * sum(fault is not None for fault in faults)
    await sandbox.settled()
    if way == "in the next run":
        return await send(arm, source, reconcile=settings, **options)
    report = await arm.documents.reconcile(
        journal,
        settle=settings.settle,
        resend_absent=settings.resend_absent,
        concurrency=settings.concurrency,
        options=quick(deadline=options.get("deadline", 10.0)),
    )
    run_outcome = outcome_of(report)
    assert report.totals.records_read == 2 * sum(fault is not None for fault in faults), "those whose fate was open, and no others"
    return run_outcome


@WAYS
@pytest.mark.parametrize(
    "fault", [Fault.reset_after(), Fault.status(500, taken=True), Fault.cut(), Fault.no_uuid()], ids=lambda fault: fault.kind
)
async def test_found_with_the_same_content_is_done(arm, sandbox, journal, fault, way):
    run_outcome = await looked_up(arm, sandbox, journal, invoices(6), [None, fault], way)

    assert run_outcome.counts == {"in the run": {"succeeded": 6}, "in the next run": {"done_before": 6}, "alone": {"succeeded": 2}}[way]
    assert lookups(sandbox) == 2
    assert (await the_run(journal)).counts == {"succeeded": 6}
    assert (await send(arm, invoices(6), journal=journal, **RUN)).counts == {"done_before": 6}
    assert not list(sandbox.documents.doubles())


@WAYS
async def test_found_with_other_content(arm, sandbox, journal, way):
    sandbox.documents.seed(invoice(f"D{n:03}", 999) for n in range(6))

    run_outcome = await looked_up(arm, sandbox, journal, invoices(6), [None, Fault.reset_before()], way)

    assert run_outcome.reasons == {"unknown/key_conflict": 2}
    again = await send(arm, invoices(6), journal=journal, reconcile=AT_ONCE, **RUN)
    assert again.reasons == {"unknown/key_conflict": 2}
    assert sandbox.documents.total_taken == 4


@WAYS
async def test_not_found(arm, sandbox, journal, way):
    run_outcome = await looked_up(arm, sandbox, journal, invoices(6), [Fault.reset_before(), None, Fault.status(500)], way)

    assert run_outcome.reasons == {"unknown/absent": 4}
    assert (await the_run(journal)).counts == {"succeeded": 2, "unknown": 4}
    assert (await send(arm, invoices(6), journal=journal, **RUN)).reasons == {"unknown/absent": 4}
    assert writes(sandbox) == 3, "nobody asked to send them again"


@WAYS
@pytest.mark.parametrize("resend", [False, True], ids=["look", "send again"])
async def test_a_sibling_that_is_there_speaks_for_the_batch(arm, sandbox, journal, way, resend):
    settings = Reconcile(settle=0.06, resend_absent=True) if resend else AT_ONCE
    sandbox.documents.seed([invoice("D001", 1)])

    run_outcome = await looked_up(arm, sandbox, journal, invoices(2), [Fault.reset_before()], way, settings=settings, deadline=0.05)

    assert run_outcome.reasons == {"unknown/batch_taken": 1}
    assert run_outcome.report.counts["succeeded"] + run_outcome.report.counts["done_before"] == 1
    assert writes(sandbox) == 1


@WAYS
async def test_without_a_number_nothing_can_be_looked_up(arm, sandbox, journal, way):
    run_outcome = await looked_up(arm, sandbox, journal, bare_invoices(4), [Fault.status(502), None], way)

    assert run_outcome.reasons == {"unknown/502": 2}
    assert lookups(sandbox) == 0


@WAYS
async def test_a_sibling_without_a_number(arm, sandbox, journal, way):
    source = [*invoices(1), *bare_invoices(1, start=7)]
    run_outcome = await looked_up(arm, sandbox, journal, source, [Fault.reset_after()], way)
    assert run_outcome.report.counts["unknown"] == 1
    assert run_outcome.failures[1].key is None


@WAYS
async def test_a_look_up_that_is_not_answered(arm, sandbox, journal, way):
    sandbox.inject(Fault.status(500), times=5, **LOOK)

    run_outcome = await looked_up(
        arm, sandbox, journal, invoices(4), [Fault.reset_after()], way, settings=Reconcile(settle=0, concurrency=1)
    )

    assert run_outcome.reasons == {"unknown/not_looked_up": 1}
    sandbox.clear_faults()
    again = await send(arm, invoices(4), journal=journal, reconcile=AT_ONCE, **RUN)
    assert again.report.counts["unknown"] == 0
    assert not list(sandbox.documents.doubles())


@WAYS
@pytest.mark.parametrize("answer", [b"{}", b"[]", b"null", b"<html>", b'{"documents": []}', b""], ids=repr)
async def test_a_look_up_whose_answer_is_odd_is_no_proof(arm, sandbox, journal, way, answer):
    sandbox.inject(Fault.garbage(answer), times=None, **LOOK)
    run_outcome = await looked_up(arm, sandbox, journal, invoices(2), [Fault.reset_after()], way)
    assert run_outcome.counts == {"unknown": 2}
    assert set(run_outcome.reasons) <= {"unknown/not_looked_up", "unknown/key_conflict"}


async def test_a_look_up_that_is_forbidden_ends_the_run(arm, sandbox, journal):
    plan(sandbox, [None, Fault.reset_after()])
    sandbox.inject(Fault.status(403), times=None, **LOOK)
    run_outcome = await send(arm, invoices(6), journal=journal, max_records=2, concurrency=1, reconcile=AT_ONCE, raises=BulkError, **RUN)
    assert run_outcome.counts == {"succeeded": 4, "unknown": 2}
    with pytest.raises(BulkError) as caught:
        await arm.documents.reconcile(journal, settle=0)
    assert outcome_of(caught.value.report).counts == {"unknown": 2}

    sandbox.clear_faults()
    report = await arm.documents.reconcile(journal, settle=0)
    assert outcome_of(report).counts == {"succeeded": 2}


@WAYS
async def test_send_again_what_is_not_there(arm, sandbox, journal, way):
    source = [{**invoice(f"D{n:03}", Decimal("12.50")), "ledgerNote": f"Ærlig {n}", "documentLines": [{"lineNo": n}]} for n in range(8)]
    faults = [Fault.reset_before(), Fault.reset_after(), None, Fault.status(500)]
    run_outcome = await looked_up(
        arm, sandbox, journal, source, faults, way, settings=Reconcile(settle=0.06, resend_absent=True), deadline=0.05
    )

    assert set(run_outcome.counts) <= {"succeeded", "done_before"}
    assert sandbox.documents.total_taken == 8
    assert not list(sandbox.documents.doubles())
    for record in source:
        stored = sandbox.documents.get(record["documentNo"])
        assert {name: stored[name] for name in record} == record, "it is sent as it was"
    run = await the_run(journal)
    assert run.counts == {"succeeded": 8}
    assert not run.unknown_batches
    sent = writes(sandbox)
    assert (await send(arm, source[::-1], journal=journal, **RUN)).counts == {"done_before": 8}
    assert writes(sandbox) == sent


@pytest.fixture
def meanwhile(monkeypatch):
    """Does something, and lets seconds pass, after what is absent was looked up and before it is sent again."""

    def do(action, seconds):
        missing, now = lookups_module.LookUpProofs.missing, clock.steady_time

        async def act_first(*arguments):
            monkeypatch.undo()
            await action()
            monkeypatch.setattr(clock, "steady_time", lambda: now() + seconds)
            return await missing(*arguments)

        monkeypatch.setattr(lookups_module.LookUpProofs, "missing", act_first)

    return do


@WAYS
@pytest.mark.parametrize("content", [1, 999])
async def test_what_somebody_else_has_sent_since_it_was_looked_up_is_not_sent_again(arm, sandbox, journal, meanwhile, way, content):
    async def somebody_else():
        sandbox.documents.seed([invoice("D001", content)])

    meanwhile(somebody_else, 2.0)
    faults, settings = [None, Fault.reset_before()], Reconcile(settle=0.06, resend_absent=True)
    source = [invoice("D900", 900), invoice("D901", 901), *invoices(2)]
    run_outcome = await looked_up(arm, sandbox, journal, source, faults, way, settings=settings, deadline=0.05)
    assert sandbox.documents.total_taken == 2, "those of the other batch"
    reasons = {"unknown/batch_taken": 1, **({"unknown/key_conflict": 1} if content == 999 else {})}
    assert run_outcome.reasons == reasons
    assert (await the_run(journal)).counts == {"succeeded": 4 - len(reasons), "unknown": len(reasons)}


@WAYS
async def test_what_can_no_longer_be_looked_up_is_not_sent_again(arm, sandbox, journal, meanwhile, way):
    async def nothing_answers():
        sandbox.inject(Fault.status(500), method="GET", path="/documents/D001", times=None)

    meanwhile(nothing_answers, 2.0)
    faults, settings = [None, Fault.reset_before()], Reconcile(settle=0.06, resend_absent=True)
    source = [invoice("D900", 900), invoice("D901", 901), *invoices(2)]
    run_outcome = await looked_up(arm, sandbox, journal, source, faults, way, settings=settings, deadline=0.05)
    assert run_outcome.reasons == {"unknown/absent": 1, "unknown/not_looked_up": 1}
    assert sandbox.documents.total_taken == 2


@pytest.mark.parametrize(("seconds", "again"), [(0.0, 0), (2.0, 4)])
async def test_what_was_just_looked_up_is_sent_again_at_once(arm, sandbox, journal, meanwhile, seconds, again):
    async def nothing():
        pass

    meanwhile(nothing, seconds)
    faults, settings = [None, Fault.reset_before(), Fault.reset_before()], Reconcile(settle=0.06, resend_absent=True)
    run_outcome = await looked_up(arm, sandbox, journal, invoices(6), faults, "in the run", settings=settings, deadline=0.05)
    assert run_outcome.counts == {"succeeded": 6}
    assert lookups(sandbox) == 4 + again + 1, "one is the proof"
    assert not list(sandbox.documents.doubles())


@WAYS
@pytest.mark.parametrize("fault", [Fault.no_uuid(), Fault.cut(), Fault.garbage()], ids=lambda fault: fault.kind)
async def test_what_was_answered_with_a_2xx_is_never_sent_again(arm, sandbox, journal, way, fault):
    sandbox.hold_processing()
    settings = Reconcile(settle=0.06, resend_absent=True)
    plan(sandbox, [fault])
    options = {"max_records": 2, "journal": journal, "deadline": 0.05, **RUN}
    if way == "in the run":
        run_outcome = await send(arm, invoices(2), reconcile=settings, **options)
    else:
        await send(arm, invoices(2), **options)
        if way == "alone":
            run_outcome = outcome_of(await arm.documents.reconcile(journal, settle=0.06, resend_absent=True))
        else:
            run_outcome = await send(arm, invoices(2), reconcile=settings, **options)

    assert run_outcome.reasons == {"unknown/absent": 2}
    assert writes(sandbox) == 1
    assert [sandbox.documents.taken(f"D00{n}") for n in range(2)] == [1, 1]


async def reconciled(arm, journal, way, settings, count=2, **options):
    if way == "alone":
        return outcome_of(await arm.documents.reconcile(journal, settle=settings.settle, resend_absent=True, options=quick(**options)))
    return await send(arm, invoices(count), journal=journal, reconcile=settings, **RUN, **options)


LATER = pytest.mark.parametrize("way", ["in the next run", "alone"])
SENDS_AGAIN = Reconcile(settle=0.06, resend_absent=True)


@LATER
@pytest.mark.parametrize("fault", [Fault.status(500), Fault.garbage()], ids=lambda fault: fault.kind)
async def test_a_sibling_whose_look_up_is_not_answered_is_no_proof(arm, sandbox, journal, way, fault):
    sandbox.reject_record("D001")
    plan(sandbox, [Fault.reset_after()])
    await send(arm, invoices(2), journal=journal, deadline=0.05, **RUN)
    await sandbox.settled()
    sandbox.inject(fault, method="GET", path="/documents/D000", times=None)

    run_outcome = await reconciled(arm, journal, way, SENDS_AGAIN, deadline=0.05)

    assert run_outcome.report.counts["unknown"] == 2
    assert writes(sandbox) == 1, "the batch was taken: its other document must not go out again"


@LATER
async def test_what_an_earlier_reconcile_found_is_not_forgotten(arm, sandbox, journal, way):
    sandbox.documents.seed([invoice("D000", 999)])
    plan(sandbox, [Fault.reset_before()])
    run_outcome = await send(arm, invoices(2), journal=journal, deadline=0.05, reconcile=AT_ONCE, **RUN)
    assert run_outcome.reasons == {"unknown/key_conflict": 1, "unknown/batch_taken": 1}
    sandbox.inject(Fault.status(500), method="GET", path="/documents/D000", times=None)

    await reconciled(arm, journal, way, SENDS_AGAIN, deadline=0.05)

    assert writes(sandbox) == 1


@LATER
async def test_look_ups_that_all_say_404_prove_nothing(arm, sandbox, journal, way):
    """A gateway without that route, say: even documents that succeeded are not found."""
    plan(sandbox, [None, Fault.reset_after()])
    await send(arm, invoices(4), journal=journal, max_records=2, concurrency=1, deadline=0.05, **RUN)
    await sandbox.settled()
    sandbox.inject(Fault.status(404), method="GET", path="/documents/", times=None)

    run_outcome = await reconciled(arm, journal, way, SENDS_AGAIN, count=4, deadline=0.05)

    assert run_outcome.report.counts["unknown"] == 2
    assert writes(sandbox) == 2
    assert not list(sandbox.documents.doubles())


@WAYS
@pytest.mark.parametrize("number", [".", "..", "a/b", "%2e", "?", "#", "Å «ø» 1"])
async def test_a_number_that_is_hard_to_ask_for(arm, sandbox, journal, way, number):
    source = [invoice(number, 1), invoice("D1", 2)]
    run_outcome = await looked_up(arm, sandbox, journal, source, [Fault.reset_after()], way)
    assert run_outcome.state(1) == "succeeded", "the others are looked up all the same"
    assert not list(sandbox.documents.doubles())


async def one_that_succeeded(arm, journal):
    """A document in the run that is there: it shows that look-ups work."""
    assert (await send(arm, invoices(1, start=900), journal=journal, deadline=0.05, **RUN)).counts == {"succeeded": 1}


@WAYS
@pytest.mark.parametrize("there", [False, True], ids=["a gateway without that route", "it is true"])
async def test_where_nothing_is_known_to_be_there_nothing_is_sent_again(arm, sandbox, journal, caplog, way, there):
    """404 to everything, and no document that must be found: nobody can tell whether look-ups work."""
    if not there:
        sandbox.inject(Fault.status(404), times=None, **LOOK)
    fault = Fault.reset_before() if there else Fault.reset_after()

    run_outcome = await looked_up(arm, sandbox, journal, invoices(2), [fault], way, settings=SENDS_AGAIN, deadline=0.05)

    assert run_outcome.reasons == {"unknown/absent": 2}
    assert writes(sandbox) == 1
    assert "a batch is not sent again" in caplog.text
    sandbox.clear_faults()
    run_outcome = await reconciled(arm, journal, "in the next run", SENDS_AGAIN, deadline=0.05)
    assert set(run_outcome.counts) == {"unknown"} if there else {"succeeded"}
    assert not list(sandbox.documents.doubles())


async def test_a_document_that_was_found_shows_that_look_ups_work(arm, sandbox, journal):
    """Found in this reconcile, with the same content or another."""
    sandbox.documents.seed([invoice("D001", 999)])
    plan(sandbox, [Fault.reset_before(), Fault.reset_before()])
    run_outcome = await send(arm, invoices(4), journal=journal, max_records=2, concurrency=1, deadline=0.05, reconcile=SENDS_AGAIN, **RUN)
    assert run_outcome.reasons == {"unknown/key_conflict": 1, "unknown/batch_taken": 1}
    assert run_outcome.counts == {"succeeded": 2, "unknown": 2}
    assert writes(sandbox) == 3


@pytest.mark.parametrize("answer", [b'{"documentNo": "D777"}', b'{"documentType": "IN"}', b"{}"], ids=repr)
async def test_a_document_of_another_number_shows_nothing(arm, sandbox, journal, answer):
    sandbox.documents.seed([invoice("D001", 999)])
    sandbox.inject(Fault.garbage(answer), method="GET", path="/documents/D001", times=None)
    plan(sandbox, [Fault.reset_before(), Fault.reset_before()])
    run_outcome = await send(arm, invoices(4), journal=journal, max_records=2, concurrency=1, deadline=0.05, reconcile=SENDS_AGAIN, **RUN)
    assert run_outcome.counts == {"unknown": 4}
    assert writes(sandbox) == 2


@pytest.mark.parametrize("works", [True, False], ids=["it is found", "404 to everything"])
async def test_an_accepted_document_shows_whether_look_ups_work(arm, sandbox, journal, works):
    """With results="accepted" no document of a run is ever known to have succeeded."""
    if not works:
        sandbox.inject(Fault.status(404), times=None, **LOOK)
    plan(sandbox, [None, None, Fault.reset_before() if works else Fault.reset_after()])
    run_outcome = await send(
        arm,
        invoices(6),
        journal=journal,
        max_records=2,
        concurrency=1,
        results="accepted",
        deadline=0.05,
        reconcile=SENDS_AGAIN,
        **RUN,
    )
    assert run_outcome.counts == {"accepted": 6} if works else {"accepted": 4, "unknown": 2}
    assert writes(sandbox) == (4 if works else 3)
    assert not list(sandbox.documents.doubles())


async def test_an_accepted_document_that_failed_since_is_not_the_only_one_asked_for(arm, sandbox, journal):
    sandbox.reject_record("D000")
    sandbox.reject_record("D001")
    plan(sandbox, [None, None, Fault.reset_before()])
    options = {"max_records": 2, "concurrency": 1, "results": "accepted", "deadline": 0.05}
    run_outcome = await send(arm, invoices(6), journal=journal, reconcile=SENDS_AGAIN, **options, **RUN)
    assert run_outcome.counts == {"accepted": 6}
    assert writes(sandbox) == 4


async def test_an_accepted_document_that_is_younger_than_the_time_to_settle_shows_nothing(arm, sandbox, journal, leaps):
    """It is not even asked for; later it is."""
    plan(sandbox, [Fault.reset_before(), Fault.latency(0.02)])
    options = {"max_records": 2, "concurrency": 1, "results": "accepted", "deadline": 1000.0, **RUN}
    settings = Reconcile(resend_absent=True)
    task = asyncio.create_task(send(arm, invoices(4), journal=journal, reconcile=settings, **options))
    await until(lambda: writes(sandbox) == 2 or task.done())
    leaps.ahead += 100
    assert (await task).counts == {"accepted": 2, "unknown": 2}
    assert lookups(sandbox) == 2

    leaps.ahead += 200
    assert (await send(arm, invoices(4), journal=journal, reconcile=settings, **options)).counts == {"accepted": 4}
    assert writes(sandbox) == 3


async def test_what_is_sent_again_and_lost_again_stays_unknown(arm, sandbox, journal):
    await one_that_succeeded(arm, journal)
    plan(sandbox, [Fault.reset_before(), Fault.reset_before()])
    run_outcome = await send(arm, invoices(2), journal=journal, deadline=0.05, reconcile=SENDS_AGAIN, **RUN)
    assert run_outcome.counts == {"unknown": 2}
    assert writes(sandbox) == 3, "once, not until it works"
    run = await the_run(journal)
    assert run.counts == {"succeeded": 1, "unknown": 2}
    assert len(run.unknown_batches) == 1

    run_outcome = await send(arm, invoices(2), journal=journal, deadline=0.05, reconcile=SENDS_AGAIN, **RUN)
    assert run_outcome.counts == {"succeeded": 2}


@pytest.mark.parametrize("fault", [Fault.status(400), Fault.status(422)])
async def test_what_is_sent_again_and_refused(arm, sandbox, journal, fault):
    await one_that_succeeded(arm, journal)
    plan(sandbox, [Fault.reset_before(), fault])
    run_outcome = await send(arm, invoices(2), journal=journal, deadline=0.05, reconcile=SENDS_AGAIN, **RUN)
    assert run_outcome.counts == {"rejected": 2}
    assert (await the_run(journal)).counts == {"succeeded": 1, "rejected": 2}
    assert (await send(arm, invoices(2), journal=journal, **RUN)).counts == {"succeeded": 2}


async def test_send_again_in_another_size(arm, sandbox, journal):
    """Halved with 413 on the way: each part is known."""
    await one_that_succeeded(arm, journal)
    plan(sandbox, [Fault.reset_before(), Fault.status(413)])
    run_outcome = await send(arm, invoices(8), journal=journal, deadline=0.05, reconcile=SENDS_AGAIN, **RUN)
    assert run_outcome.counts == {"succeeded": 8}
    assert (await the_run(journal)).counts == {"succeeded": 9}
    assert not list(sandbox.documents.doubles())


async def test_what_the_source_left_behind_is_looked_up_too(arm, sandbox, journal):
    plan(sandbox, [Fault.reset_after(), Fault.reset_before()])
    await send(arm, invoices(4), journal=journal, max_records=2, concurrency=1, **RUN)
    await sandbox.settled()

    run_outcome = await send(arm, invoices(2, start=50), journal=journal, reconcile=AT_ONCE, **RUN)

    assert run_outcome.counts == {"succeeded": 2}
    assert run_outcome.report.left_behind == {"unknown": 2}
    assert (await the_run(journal)).counts == {"succeeded": 4, "unknown": 2}


async def test_alone_it_asks_for_open_batches_too(arm, sandbox, journal):
    plan(sandbox, [None, Fault.reset_after()])
    await send(arm, invoices(6), journal=journal, results="accepted", max_records=2, concurrency=1, **RUN)
    await sandbox.settled()

    run_outcome = outcome_of(await arm.documents.reconcile(journal, settle=0, options=quick()))

    assert run_outcome.counts == {"succeeded": 6}
    assert questions(sandbox) == 2
    assert not (await the_run(journal)).open_batches


async def test_alone_over_all_runs_of_a_journal(arm, sandbox, journal):
    for night in range(3):
        plan(sandbox, [Fault.reset_after(), None, Fault.reset_before()])
        run_outcome = await send(arm, invoices(6, start=10 * night), journal=journal, run_id=str(night), max_records=2, concurrency=1)
        assert run_outcome.report.counts["unknown"] == 4
    await send(arm, customers(3), kind="customers", journal=journal, run_id="0")
    await sandbox.settled()

    one = outcome_of(await arm.documents.reconcile(journal, run_id="1", settle=0))
    assert one.counts == {"succeeded": 2, "unknown": 2}
    assert {failure.key[:3] for failure in one.failures.values()} == {"D01"}
    every = outcome_of(await arm.documents.reconcile(journal, settle=0))
    assert every.counts == {"succeeded": 4, "unknown": 6}
    assert set(every.failures) <= set(range(10))
    assert [run.counts for run in await read_journal(journal)] == [{"succeeded": 4, "unknown": 2}] * 3 + [{"succeeded": 3}]


async def test_nothing_to_look_up(arm, sandbox, journal):
    await send(arm, invoices(3), journal=journal, **RUN)
    ended = (await the_run(journal)).ended
    sandbox.recent.clear()
    report = await arm.documents.reconcile(journal)
    assert outcome_of(report).counts == {}
    assert report.totals.records_read == 0
    assert not sandbox.recent
    assert (await the_run(journal)).ended == ended


async def test_a_run_that_was_cut_off_is_not_finished_by_a_reconcile(arm, sandbox, journal):
    plan(sandbox, [Fault.reset_after(), Fault.status(403)])
    await send(arm, invoices(4), journal=journal, max_records=2, concurrency=1, raises=BulkError, **RUN)
    await sandbox.settled()
    assert outcome_of(await arm.documents.reconcile(journal, settle=0)).counts == {"succeeded": 2}

    run = await the_run(journal)
    assert run.ended is None
    assert not run.is_finished, "its source was never sent to the end"
    assert (await send(arm, invoices(4), journal=journal, **RUN)).counts == {"done_before": 2, "succeeded": 2}


async def test_no_more_look_ups_at_once_than_asked_for(arm, sandbox, journal):
    plan(sandbox, [Fault.reset_after()])
    await send(arm, invoices(30), journal=journal, **RUN)
    sandbox.inject(Fault.latency(0.005), times=None, **LOOK)
    seen = 0

    async def watch():
        nonlocal seen
        while True:
            seen = max(seen, sandbox.in_flight)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    report = await arm.documents.reconcile(journal, settle=0, concurrency=3)
    watching.cancel()
    assert report.counts["succeeded"] == 30
    assert 2 <= seen <= 3


async def test_in_the_loop_each_outcome_comes_once(arm, sandbox, journal):
    plan(sandbox, [None, Fault.reset_after(), Fault.reset_before()])
    run = arm.documents.create_many(invoices(8), options=quick(journal=journal, max_records=2, concurrency=1, reconcile=AT_ONCE, **RUN))
    seen: list[tuple[int, str, str]] = []
    async with run:
        async for outcome in run:
            seen += [(record.index, record.state, record.reason) for record in outcome]
    assert sorted(index for index, *_ in seen) == list(range(8))
    assert sorted(state for _, state, _ in seen) == ["succeeded"] * 6 + ["unknown"] * 2
    assert {reason for _, _, reason in seen} == {"", "absent"}
    assert outcome_of(run.report).counts == {"succeeded": 6, "unknown": 2}


async def test_a_run_that_is_cut_off_before_it_looks_up_names_what_it_knows(arm, sandbox, journal):
    plan(sandbox, [Fault.status(500), Fault.status(403)])
    run_outcome = await send(arm, invoices(6), journal=journal, max_records=2, concurrency=1, reconcile=AT_ONCE, raises=BulkError, **RUN)
    assert run_outcome.reasons == {"unknown/500": 2, "not_sent/403": 4}
    assert lookups(sandbox) == 0

    run_outcome = await send(arm, ends_after(invoices(2)), journal=journal, reconcile=AT_ONCE, raises=BulkError, **RUN)
    assert run_outcome.report.counts["unknown"] + run_outcome.report.counts["not_sent"] == 2


# --- cancelled, and begun again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["in the next run", "alone"])
@pytest.mark.parametrize("place", [0, 3, 7])
async def test_cancelled_at_a_look_up_and_begun_again(arm, sandbox, journal, place, way):
    plan(sandbox, [Fault.reset_after()] * 4)
    await send(arm, invoices(8), journal=journal, max_records=2, concurrency=1, **RUN)
    await sandbox.settled()
    sandbox.inject(Fault.hang_before(), skip=place, **LOOK)

    settings = Reconcile(settle=0, concurrency=1)
    if way == "alone":
        coroutine = arm.documents.reconcile(journal, settle=0, concurrency=1)
    else:
        coroutine = awaited(arm.documents.create_many(invoices(8), options=quick(journal=journal, reconcile=settings, **RUN)))
    task = asyncio.create_task(coroutine)
    await until(lambda: lookups(sandbox) == place + 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    done = place - place % 2
    assert (await the_run(journal)).counts == {state: n for state, n in {"succeeded": done, "unknown": 8 - done}.items() if n}
    before = lookups(sandbox)
    report = await arm.documents.reconcile(journal, settle=0)
    assert outcome_of(report).counts == {"succeeded": 8 - done}
    assert lookups(sandbox) == before + 8 - done, "what was found is not looked up again"
    assert writes(sandbox) == 4


@pytest.mark.parametrize("turns", [1, 2, 4, 8, 20, 40, 60, 80, 110, 150, 200, 250, 300, 400])
async def test_cancelled_while_it_sends_again(arm, sandbox, journal, turns):
    plan(sandbox, [Fault.reset_before(), Fault.reset_after(), Fault.reset_before()])
    await send(arm, invoices(6), journal=journal, max_records=2, concurrency=1, deadline=0.02, **RUN)
    await sandbox.settled()
    await asyncio.sleep(0.03)

    async def reconciled():
        return await arm.documents.reconcile(journal, settle=0.03, resend_absent=True, options=quick(deadline=0.02))

    task = asyncio.create_task(reconciled())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await sandbox.settled()
    assert not list(sandbox.documents.doubles())
    await asyncio.sleep(0.03)

    report = await arm.documents.reconcile(journal, settle=0.03, resend_absent=True, options=quick(deadline=0.02))
    assert set(outcome_of(report).counts) <= {"succeeded"}
    assert (await the_run(journal)).counts.get("succeeded") == 6
    assert sandbox.documents.total_taken == 6
    assert (await send(arm, invoices(6), journal=journal, **RUN)).counts == {"done_before": 6}


# --- the time to settle ----------------------------------------------------------------------------------------------------


class Leaps:
    """Clocks that leap over long waits, before a service that tells no date; `waits` tells how long they were."""

    def __init__(self, monkeypatch) -> None:
        self.ahead = 0.0
        self.waits: list[float] = []
        now, boot, wait = clock.unix_time, clock.boot_time, clock.wait

        async def leap(event, seconds):
            if seconds is None or seconds < 30:
                return await wait(event, seconds)
            self.waits.append(seconds)
            self.ahead += seconds
            await asyncio.sleep(0)
            return event.is_set()

        monkeypatch.setattr(clock, "unix_time", lambda: now() + self.ahead)
        monkeypatch.setattr(clock, "boot_time", lambda: boot() + self.ahead)
        monkeypatch.setattr(clock.ServiceClock, "note", lambda *_: None)
        monkeypatch.setattr(clock, "wait", leap)


@pytest.fixture
def leaps(monkeypatch):
    return Leaps(monkeypatch)


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        (True, 1100),
        (Reconcile(), 1100),
        (Reconcile(settle=70), 70),
        (Reconcile(settle=1500), 1500),
        (Reconcile(resend_absent=True), 1100),
        (Reconcile(settle=1500, resend_absent=True), 1500),
    ],
)
async def test_it_waits_longer_than_the_deadline(arm, sandbox, journal, leaps, settings, seconds):
    plan(sandbox, [Fault.reset_before()])
    await send(arm, invoices(1), journal=journal, reconcile=settings, deadline=1000.0, **RUN)
    assert leaps.waits == [pytest.approx(seconds, abs=2)]


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [({}, 2200), ({"settle": 50}, 50), ({"settle": 1500, "resend_absent": True}, 2200), ({"resend_absent": True}, 2200)],
)
async def test_it_waits_longer_than_the_slowest_batch(arm, sandbox, journal, leaps, settings, seconds):
    plan(sandbox, [Fault.reset_before()])
    sandbox.hold_processing()
    task = asyncio.create_task(
        awaited(
            arm.documents.create_many(invoices(2), options=quick(journal=journal, max_records=1, concurrency=1, deadline=1000.0, **RUN))
        )
    )
    await until(lambda: questions(sandbox))
    leaps.ahead += 2000
    sandbox.release_processing()
    assert (await task).counts["succeeded"] == 1

    leaps.ahead -= 2000
    await arm.documents.reconcile(journal, options=quick(), **settings)
    assert sum(leaps.waits) == pytest.approx(seconds, abs=5)


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        (Reconcile(settle=20, resend_absent=True), 1100),
        (Reconcile(settle=1001, resend_absent=True), 1001),
        (Reconcile(resend_absent=True), 1100),
        (Reconcile(), 1100),
        (Reconcile(settle=40), 40),
    ],
)
async def test_an_earlier_attempt_may_have_had_a_longer_deadline(arm, sandbox, journal, leaps, settings, seconds):
    plan(sandbox, [Fault.reset_before()])
    await send(arm, invoices(1), journal=journal, deadline=1000.0, **RUN)
    await send(arm, invoices(1), journal=journal, deadline=10.0, reconcile=settings, **RUN)
    assert leaps.waits == [pytest.approx(seconds, abs=2)]


async def test_alone_it_knows_the_deadline_of_the_run(arm, sandbox, journal, leaps):
    plan(sandbox, [Fault.reset_before()])
    await send(arm, invoices(1), journal=journal, deadline=1000.0, **RUN)
    leaps.ahead += 600

    await arm.documents.reconcile(journal)

    assert leaps.waits == [pytest.approx(500, abs=2)], "what has passed counts"
    await arm.documents.reconcile(journal)
    assert len(leaps.waits) == 1


async def test_a_wait_ends_with_the_run(arm, sandbox, journal):
    plan(sandbox, [Fault.reset_before()])
    run = arm.documents.create_many(invoices(1), options=quick(journal=journal, reconcile=True, **RUN))
    task = asyncio.create_task(awaited(run))
    await until(lambda: (run.report.totals.requests == 1 and sandbox.requests["GET /clients/{clientno}/customers"] == 1) or task.done())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcome_of(run.report).counts == {"unknown": 1}

"""What was accepted, and what the result of its batch does not explain, is looked up by a reconcile; it is never sent again."""

from __future__ import annotations

import pytest

from amili_arm_async import Reconcile
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import bare_invoices, invoices, lines_of, outcome_of, plan, questions, quick, send, the_run, writes

RUN = {"run_id": "2026-11-20"}
SENDS_AGAIN = Reconcile(settle=0.06, resend_absent=True)
WAYS = pytest.mark.parametrize("way", ["in the run", "in the next run", "alone"])
REASONS = pytest.mark.parametrize("reason", ["unmapped", "unrecognised", "result_gone"])
RESULT = {"method": "GET", "path": "/batches/"}


def unexplained(sandbox, reason, *numbers):
    """Lets the results of all batches say nothing of these documents, or of all."""
    if reason == "unmapped" and numbers:
        for number in numbers:
            sandbox.omit_result(number)
    elif reason == "unmapped":
        sandbox.inject(Fault.garbage(b'{"status": "PROCESSED", "result": "PARTIAL"}'), times=None, **RESULT)
    elif reason == "unrecognised":
        sandbox.inject(Fault.garbage(b'{"status": "HMM"}'), times=None, **RESULT)
    else:
        sandbox.inject(Fault.status(404), times=None, **RESULT)


async def looked_up(arm, sandbox, journal, source, way, reason, *, settings=SENDS_AGAIN, **options):
    """A run whose results don't explain its documents, and a reconcile in one of three ways."""
    options = {"journal": journal, "deadline": 0.05, **RUN, **options}
    if way == "in the run":
        return await send(arm, source, reconcile=settings, **options)
    ended = await send(arm, source, **options)
    assert ended.reasons == {f"accepted/{reason}": len(ended.failures)}
    if way == "in the next run":
        return await send(arm, source, reconcile=settings, **options)
    report = await arm.documents.reconcile(
        journal, settle=settings.settle, resend_absent=settings.resend_absent, options=quick(deadline=0.05)
    )
    return outcome_of(report)


@WAYS
@REASONS
async def test_found_with_the_same_content_it_succeeded(arm, sandbox, journal, way, reason):
    unexplained(sandbox, reason)

    ended = await looked_up(arm, sandbox, journal, invoices(4), way, reason)

    assert ended.counts == {"in the run": {"succeeded": 4}, "in the next run": {"done_before": 4}, "alone": {"succeeded": 4}}[way]
    assert not ended.report.failed_records
    run = await the_run(journal)
    assert run.counts == {"succeeded": 4}
    assert not run.open_batches
    assert (await send(arm, invoices(4), journal=journal, **RUN)).counts == {"done_before": 4}
    assert writes(sandbox) == 1


@WAYS
async def test_some_of_a_batch(arm, sandbox, journal, way):
    unexplained(sandbox, "unmapped", "D001", "D003")

    ended = await looked_up(arm, sandbox, journal, invoices(4), way, "unmapped")

    assert not ended.failures
    assert (await the_run(journal)).counts == {"succeeded": 4}
    assert writes(sandbox) == 1


@WAYS
@REASONS
async def test_not_found_it_stays_accepted_and_is_never_sent_again(arm, sandbox, journal, way, reason):
    """Others of its form are found, the time to settle has passed, and to send again was asked for: it was taken all the same."""
    unexplained(sandbox, reason)
    sandbox.inject(Fault.status(404), method="GET", path="/documents/D001", times=None)

    ended = await looked_up(arm, sandbox, journal, invoices(2), way, reason)

    assert ended.reasons == {f"accepted/{reason}": 1}
    assert ended.failures[1].message.endswith("a look-up did not find it")
    assert writes(sandbox) == 1
    again = outcome_of(await arm.documents.reconcile(journal, settle=0.06, resend_absent=True, options=quick(deadline=0.05)))
    assert again.reasons == {f"accepted/{reason}": 1}
    assert writes(sandbox) == 1
    sandbox.clear_faults()
    unexplained(sandbox, reason)
    again = outcome_of(await arm.documents.reconcile(journal, settle=0.06, resend_absent=True, options=quick(deadline=0.05)))
    assert again.counts == {"succeeded": 1}


@WAYS
async def test_found_with_other_content_is_no_success(arm, sandbox, journal, way):
    unexplained(sandbox, "unmapped", "D000")
    sandbox.inject(Fault.garbage(b'{"documentNo": "D000", "documentType": "CN"}'), method="GET", path="/documents/D000", times=None)

    ended = await looked_up(arm, sandbox, journal, invoices(2), way, "unmapped")

    assert ended.reasons == {"accepted/key_conflict": 1}
    assert (await the_run(journal)).counts == {"succeeded": 1, "accepted": 1}
    assert writes(sandbox) == 1


@WAYS
@pytest.mark.parametrize("fault", [Fault.status(500), Fault.garbage(b"{}"), Fault.status(404, body=b"<html>404</html>")], ids=repr)
async def test_a_look_up_that_says_nothing_changes_nothing(arm, sandbox, journal, way, fault):
    unexplained(sandbox, "unmapped", "D000")
    sandbox.inject(fault, method="GET", path="/documents/", times=None)

    ended = await looked_up(arm, sandbox, journal, invoices(2), way, "unmapped")

    assert ended.reasons == {"accepted/unmapped": 1}
    sandbox.clear_faults()
    report = await arm.documents.reconcile(journal, settle=0, options=quick(deadline=0.05))
    assert outcome_of(report).counts == {"succeeded": 1}


@WAYS
async def test_without_a_number_it_stays(arm, sandbox, journal, way):
    unexplained(sandbox, "result_gone")
    ended = await looked_up(arm, sandbox, journal, [*invoices(1), *bare_invoices(2)], way, "result_gone")
    assert ended.reasons == {"accepted/result_gone": 2}
    assert writes(sandbox) == 1


async def test_what_was_not_awaited_gets_its_result_first_and_is_looked_up_in_the_same_reconcile(arm, sandbox, journal):
    await send(arm, invoices(3), journal=journal, results="accepted", **RUN)
    await sandbox.settled()
    unexplained(sandbox, "result_gone")

    report = await arm.documents.reconcile(journal, settle=0, options=quick(deadline=0.05))

    assert outcome_of(report).counts == {"succeeded": 3}
    assert (await the_run(journal)).counts == {"succeeded": 3}


@pytest.mark.parametrize("reason", ["unrecognised", "result_gone"])
async def test_a_result_that_is_asked_for_after_its_deadline_is_asked_for_once(arm, sandbox, journal, reason):
    """It is not called late: that would be asked for again for ever, and never looked up."""
    await send(arm, invoices(3), journal=journal, results="accepted", deadline=0.001, **RUN)
    await sandbox.settled()
    unexplained(sandbox, reason)
    sandbox.inject(Fault.status(404), method="GET", path="/documents/D001", times=None)

    report = await arm.documents.reconcile(journal, settle=0, options=quick())

    assert questions(sandbox) == 1
    assert outcome_of(report).counts == {"succeeded": 2, "accepted": 1}
    assert outcome_of(report).reasons == {f"accepted/{reason}": 1}


async def test_what_does_not_wait_for_results_is_not_looked_up(arm, sandbox, journal):
    ended = await send(arm, invoices(3), journal=journal, results="accepted", reconcile=Reconcile(settle=0), **RUN)
    assert ended.counts == {"accepted": 3}
    assert sandbox.requests["GET /clients/{clientno}/documents/{documentno}"] == 0


async def test_nothing_is_left_behind_nor_in_the_dead_letter(arm, sandbox, journal, folder):
    unexplained(sandbox, "unmapped")
    letter = folder / "failed.jsonl"
    await send(arm, invoices(4), journal=journal, dead_letter=letter, deadline=0.05, **RUN)
    assert [line["reason"] for line in lines_of(letter)] == ["unmapped"] * 4
    assert all(line["payload"] for line in lines_of(letter)), "their text is still there to compare with"

    ended = await send(arm, invoices(2), journal=journal, dead_letter=letter, deadline=0.05, reconcile=Reconcile(settle=0), **RUN)

    assert ended.counts == {"done_before": 2}
    assert not ended.report.left_behind
    assert not lines_of(letter)


async def test_one_that_is_found_shows_that_look_ups_work(arm, sandbox, journal):
    unexplained(sandbox, "unmapped", "D000")
    plan(sandbox, [None, Fault.reset_before()])
    ended = await send(arm, invoices(4), journal=journal, max_records=2, concurrency=1, deadline=0.05, reconcile=SENDS_AGAIN, **RUN)
    assert ended.counts == {"succeeded": 4}
    assert writes(sandbox) == 3
    assert not list(sandbox.documents.doubles())


async def test_in_the_loop_each_outcome_comes_once(arm, sandbox, journal):
    unexplained(sandbox, "unmapped", "D001", "D004")
    run = arm.documents.create_many(
        invoices(6), options=quick(journal=journal, max_records=2, concurrency=2, deadline=0.05, reconcile=Reconcile(settle=0), **RUN)
    )
    seen: list[tuple[int, str]] = []
    async with run:
        async for outcome in run:
            seen += [(record.index, record.state) for record in outcome]
    assert sorted(seen) == [(index, "succeeded") for index in range(6)]

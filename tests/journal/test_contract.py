"""What holds wherever a run is recorded: in a file of SQLite, in PostgreSQL, and as far as that goes without a journal."""

import asyncio
import json
import random

import pytest

from amili_arm_async import BulkError, JournalError, prune_journal, read_journal
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import bare_invoices, customers, invoice, invoices, lines_of, plan, send, the_run

RUN = {"run_id": "2026-11-20", "max_records": 3}


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request, folder):
    """Where a journal may be."""
    return folder / "nightly.sqlite" if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.fixture(params=["sqlite", "postgresql", "none"])
def recorded(request, folder):
    """The settings of a run, by what records it."""
    if request.param == "none":
        return {"max_records": 3}
    place = folder / "nightly.sqlite" if request.param == "sqlite" else request.getfixturevalue("database")
    return {"journal": place, **RUN}


@pytest.mark.parametrize("kind", ["documents", "customers"])
async def test_every_record_is_sent_once_and_named(arm, sandbox, recorded, kind):
    records = invoices(12) if kind == "documents" else customers(12)
    plan(sandbox, [None, Fault.status(400)], path=kind)
    outcome = await send(arm, records, kind=kind, bisect="off", **recorded)
    assert outcome.counts == {"succeeded": 9, "rejected": 3}


async def test_a_number_twice_in_a_run_is_sent_once(arm, recorded):
    outcome = await send(arm, [*invoices(4), invoice("D001", 99)], **recorded)
    assert outcome.counts == {"succeeded": 4, "invalid": 1}


async def test_what_an_answer_leaves_open_is_unknown(arm, sandbox, recorded):
    plan(sandbox, [Fault.reset_after()])
    outcome = await send(arm, invoices(6), concurrency=1, **recorded)
    assert outcome.counts == {"unknown": 3, "succeeded": 3}


@pytest.mark.parametrize("make", [invoices, bare_invoices])
async def test_it_resumes_in_any_order(arm, sandbox, kept, make):
    records = make(12)
    plan(sandbox, [None, Fault.status(400), Fault.reset_after(), Fault.status(403)])
    await send(arm, records, journal=kept, concurrency=1, raises=BulkError, **RUN)
    await sandbox.settled()
    random.Random(1).shuffle(records)
    outcome = await send(arm, records, journal=kept, **RUN)
    assert outcome.counts == {"done_before": 3, "unknown": 3, "succeeded": 6}
    assert sandbox.documents.total_taken == 12


async def test_other_content_under_a_number_that_was_sent(arm, kept):
    await send(arm, invoices(6), journal=kept, **RUN)
    outcome = await send(arm, [invoice("D000", 77), *invoices(5, start=1)], journal=kept, **RUN)
    assert outcome.counts == {"invalid": 1, "done_before": 5}
    assert outcome.failures[0].reason == "conflicts_with_journal"


async def test_the_same_document_in_other_words_is_done(arm, kept):
    await send(arm, [invoice("D1", 12.5, ledgerNote="")], journal=kept, **RUN)
    outcome = await send(arm, [json.dumps(invoice(" D1 ", "1.250e1")).encode()], journal=kept, **RUN)
    assert outcome.counts == {"done_before": 1}


async def test_what_another_run_sent_is_not_sent_again(arm, sandbox, kept):
    await send(arm, invoices(6), journal=kept, **RUN)
    outcome = await send(arm, invoices(9), journal=kept, run_id="another", max_records=4)
    assert outcome.counts == {"invalid": 6, "succeeded": 3}
    assert sandbox.documents.total_taken == 9


async def test_of_two_runs_at_once_one_sends_a_document(arm, sandbox, kept):
    both = await asyncio.gather(*(send(arm, invoices(60), journal=kept, run_id=name, max_records=5) for name in ("one", "other")))
    assert sum(outcome.counts.get("succeeded", 0) for outcome in both) == 60
    assert sandbox.documents.total_taken == 60


async def test_accepted_batches_are_polled_by_the_next_attempt(arm, sandbox, kept):
    await send(arm, invoices(6), journal=kept, results="accepted", **RUN)
    await sandbox.settled()
    outcome = await send(arm, invoices(6), journal=kept, **RUN)
    assert outcome.counts == {"done_before": 6}


async def test_reconcile_finds_what_is_there(arm, sandbox, kept):
    plan(sandbox, [Fault.reset_after()])
    await send(arm, invoices(6), journal=kept, **RUN)
    await sandbox.settled()
    report = await arm.documents.reconcile(kept, run_id=RUN["run_id"], settle=0)
    assert report.counts["succeeded"] == 3
    assert (await the_run(kept)).counts == {"succeeded": 6}


async def test_the_dead_letter_has_what_did_not_succeed(arm, sandbox, kept, folder):
    plan(sandbox, [None, Fault.status(400)])
    await send(arm, invoices(9), journal=kept, dead_letter=folder / "dead.jsonl", concurrency=1, **RUN)
    lines = lines_of(folder / "dead.jsonl")
    assert [line["payload"]["documentNo"] for line in lines] == ["D003", "D004", "D005"]
    assert {line["journal"] for line in lines} == {str(kept)}


async def test_a_second_run_of_the_same_name_is_refused(arm, kept):
    async def source():
        yield invoices(1)[0]
        with pytest.raises(JournalError, match="in progress in process"):
            await send(arm, invoices(1), journal=kept, **RUN)
        assert (await the_run(kept)).running

    outcome = await send(arm, source(), journal=kept, **RUN)
    assert outcome.counts == {"succeeded": 1}


async def test_a_pruned_run_leaves_its_name_and_its_numbers(arm, sandbox, kept):
    await send(arm, [*invoices(5), invoice("a\x00b", 1)], journal=kept, **RUN)
    assert await prune_journal(kept, older_than=0) == 1
    assert [run.run_id for run in await read_journal(kept, pruned=True)] == [RUN["run_id"]]
    with pytest.raises(JournalError, match="was pruned"):
        await send(arm, invoices(5), journal=kept, **RUN)
    outcome = await send(arm, invoices(6), journal=kept, run_id="another")
    assert outcome.counts == {"invalid": 5, "succeeded": 1}


async def test_texts_that_no_database_likes_come_back_as_they_were(arm, sandbox, kept, folder):
    plan(sandbox, [Fault.status(400)])
    numbers = ["a\x00b", "\ue000\ue001", "æ", "%s", "?", "\ue000", "'"]
    records = [invoice(number, 1) for number in numbers]
    await send(arm, records, journal=kept, dead_letter=folder / "dead.jsonl", run_id="2026-11-20")
    assert [line["payload"]["documentNo"] for line in lines_of(folder / "dead.jsonl")] == numbers
    outcome = await send(arm, records, journal=kept, run_id="2026-11-20")
    assert outcome.counts == {"succeeded": 7}

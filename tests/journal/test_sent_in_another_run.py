"""A document whose number another run of the journal has sent is not sent: whatever became of that run, and while both go on."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from amili_arm_async import BulkError, ConfigurationError, prune_journal
from amili_arm_async.bulk.journal.run_key import RunKey
from amili_arm_async.bulk.journal.sqlite.other_runs import OtherRuns
from amili_arm_async.bulk.journal.sqlite.schema import open_journal
from amili_arm_async.bulk.journal.sqlite.sent_numbers import spans_of_keys
from amili_arm_async.sandbox import Fault
from amili_arm_async.sqlite.lock import lock

from ..support.sandbox_runs import (
    FAULTS,
    awaited,
    client_of,
    customers,
    invoice,
    invoices,
    lines_of,
    plan,
    quick,
    send,
    the_run,
    until,
    writes,
)

ROOT = Path(__file__).parents[2]

SENT = {"invalid/sent_in_run"}


def told_of_one(outcome, index):
    one = outcome.failures[index]
    return {f"{one.state}/{one.reason}" if one.reason else one.state: 1}


def twice(sandbox):
    return list(sandbox.documents.doubles())


async def test_nothing_of_another_run_is_sent_again_and_that_run_is_named(arm, sandbox, journal):
    assert (await send(arm, invoices(20), journal=journal, run_id="monday")).counts == {"succeeded": 20}
    outcome = await send(arm, invoices(20, start=15), journal=journal, run_id="tuesday", max_records=4)
    assert outcome.counts == {"succeeded": 15, "invalid": 5}
    assert set(outcome.failures) == set(range(5))
    assert set(outcome.reasons) == SENT
    assert all("'monday'" in one.message and "--resend-known" in one.message for one in outcome.failures.values())
    assert not twice(sandbox)


@pytest.mark.parametrize(
    ("first", "second"),
    [("d001", "D001"), ("D1", " D1 "), (7, "7"), ("ÆRLIG-1", "ærlig-1"), ("a\0b", "A\0B")],
    ids=["case", "blanks", "an integer", "letters that are not ASCII", "a NUL"],
)
async def test_numbers_are_compared_as_they_are_in_a_run(arm, journal, first, second):
    await send(arm, [invoice(first), invoice("other")], journal=journal, run_id="one")
    outcome = await send(arm, [invoice("new"), invoice(second)], journal=journal, run_id="two")
    assert outcome.reasons == {"invalid/sent_in_run": 1}
    assert list(outcome.failures) == [1]


@pytest.mark.parametrize(
    ("fault", "again"),
    [("error_taken", SENT), ("reset_before", SENT), ("garbage", SENT), ("refused", set()), ("unprocessable", set())],
)
async def test_what_may_be_there_is_not_sent_and_what_was_refused_is(arm, sandbox, journal, fault, again):
    plan(sandbox, [FAULTS[fault]])
    first = await send(arm, invoices(3), journal=journal, run_id="one")
    assert set(first.counts) == ({"unknown"} if again else {"rejected"})
    outcome = await send(arm, invoices(3), journal=journal, run_id="two")
    assert set(outcome.reasons) == again
    assert not twice(sandbox)


async def test_what_was_accepted_and_what_failed(arm, sandbox, journal):
    sandbox.reject_record("D001")
    await send(arm, invoices(3), journal=journal, run_id="processed")
    await send(arm, invoices(3, start=10), journal=journal, run_id="accepted", results="accepted")
    sandbox.hold_processing()
    await send(arm, invoices(3, start=20), journal=journal, run_id="open", deadline=0.01)
    sandbox.release_processing()
    outcome = await send(arm, [*invoices(3), *invoices(3, start=10), *invoices(3, start=20)], journal=journal, run_id="again")
    # What failed is not there: it goes out, and fails again.
    assert outcome.reasons == {"invalid/sent_in_run": 8, **told_of_one(outcome, 1)}
    assert outcome.state(1) == "failed"


async def test_it_can_be_asked_for(arm, sandbox, journal):
    for run in ("one", "two"):
        assert (await send(arm, invoices(3), journal=journal, run_id=run, resend_known=True)).counts == {"succeeded": 3}
    assert {one.taken for one in sandbox.documents} == {2}
    assert (await send(arm, invoices(3), journal=journal, run_id="three")).counts == {"invalid": 3}
    with pytest.raises(ConfigurationError, match="resend_known"):
        await send(arm, customers(1), kind="customers", resend_known=True)


async def test_another_client_number_and_customers_are_not_meant(arm, sandbox, journal):
    await send(arm, invoices(3), journal=journal, run_id="one")
    async with client_of(sandbox, 2219) as other:
        assert (await send(other, invoices(3), journal=journal, run_id="two")).counts == {"succeeded": 3}
    for run in ("one", "two"):
        assert (await send(arm, customers(3), kind="customers", journal=journal, run_id=run)).counts == {"succeeded": 3}


async def test_the_same_run_goes_on_by_its_own_rules(arm, sandbox, journal):
    """What it has itself is `done_before` or sent again, and what another one has sent since is told once."""
    plan(sandbox, [FAULTS["refused"]])
    assert (await send(arm, invoices(2), journal=journal, run_id="one")).counts == {"rejected": 2}
    assert (await send(arm, invoices(1), journal=journal, run_id="two")).counts == {"succeeded": 1}
    for _ in range(2):
        outcome = await send(arm, invoices(2), journal=journal, run_id="one")
        assert (outcome.state(0), outcome.state(1)) == ("invalid", "succeeded")
    assert (await the_run(journal, run_id="one")).counts == {"succeeded": 1, "invalid": 1}
    assert not twice(sandbox)


async def test_the_dead_letter_has_it_with_its_payload(arm, sandbox, journal, folder):
    letter = folder / "failed.jsonl"
    await send(arm, invoices(3), journal=journal, run_id="one")
    await send(arm, invoices(5), journal=journal, run_id="two", dead_letter=letter, max_records=2)
    lines = lines_of(letter)
    assert [(line["index"], line["key"], line["state"], line["reason"]) for line in lines] == [
        (index, f"D00{index}", "invalid", "sent_in_run") for index in range(3)
    ]
    assert [line["payload"] for line in lines] == invoices(3)


@pytest.mark.proof
@pytest.mark.parametrize("order", ["shuffled", "backwards"])
async def test_in_whatever_order(arm, sandbox, journal, order):
    """So many blocks are read that an index is made, and what it says is exact."""
    numbers = list(range(12_000))
    if order == "shuffled":
        random.Random(7).shuffle(numbers)
    else:
        numbers.reverse()
    for run, some in (("one", numbers[:6000]), ("two", numbers[6000:11_000])):
        outcome = await send(arm, [invoice(f"N{number}") for number in some], journal=journal, run_id=run, max_records=50)
        assert outcome.counts == {"succeeded": len(some)}
    random.Random(8).shuffle(numbers)
    outcome = await send(arm, [invoice(f"N{number}") for number in numbers], journal=journal, run_id="three", max_records=200)
    assert outcome.counts == {"succeeded": 1000, "invalid": 11_000}
    assert not twice(sandbox)


async def test_an_index_is_made_where_it_pays_and_what_comes_later_is_seen_beside_it(arm, sandbox, journal, monkeypatch):
    made = []
    whole = OtherRuns.make_index
    monkeypatch.setattr(OtherRuns, "make_index", lambda self, connection: (made.append(1), whole(self, connection)))
    numbers = list(range(10_000))
    random.Random(1).shuffle(numbers)
    await send(arm, [invoice(f"N{number:05}") for number in numbers[:8000]], journal=journal, run_id="one", max_records=100)

    async def source():
        for number in numbers[8000:9900]:
            yield invoice(f"N{number:05}")
        assert made
        # Another run, while this one goes on.
        outcome = await send(arm, [invoice(f"N{number:05}") for number in numbers[9900:]], journal=journal, run_id="two")
        assert outcome.counts == {"succeeded": 100}
        for number in numbers[9900:]:
            yield invoice(f"N{number:05}")

    outcome = await send(arm, source(), journal=journal, run_id="three", max_records=100)
    assert outcome.counts == {"succeeded": 1900, "invalid": 100}
    assert made == [1]
    assert not twice(sandbox)


# --- two at once ------------------------------------------------------------------------------------------------------------


async def test_two_runs_at_once_send_no_number_twice(arm, sandbox, journal):
    one, two = invoices(400), invoices(400)
    random.Random(3).shuffle(two)
    settings = {"journal": journal, "max_records": 7, "concurrency": 4}
    first, second = await asyncio.gather(
        awaited(arm.documents.create_many(one, options=quick(run_id="one", **settings))),
        awaited(arm.documents.create_many(two, options=quick(run_id="two", **settings))),
    )
    assert first.counts["succeeded"] + second.counts["succeeded"] == 400
    assert first.counts["invalid"] + second.counts["invalid"] == 400
    assert {one.taken for one in sandbox.documents} == {1}


@pytest.mark.parametrize("is_indexed", [False, True])
def test_a_batch_that_is_written_after_a_later_one_is_seen(tmp_path, is_indexed):
    """What is about to be sent overtakes what is not: the ids of the batches do not tell what is new."""
    path = str(tmp_path / "journal.sqlite")
    with closing(open_journal(path)) as writer, closing(open_journal(path)) as reader:
        key = RunKey("one", "documents.create_batch", 2218, "http://127.0.0.1/arm", False)
        columns = "id, run_id, operation, client_no, base_url, attempts, deadline, started, process"
        run = (key.run_id, key.operation, key.client_no, key.base_url)
        writer.execute(f"INSERT INTO runs ({columns}) VALUES (1, ?, ?, ?, ?, 1, 1, 1, 1)", run)

        def write(batch: int, number: str) -> None:
            row, spans = (1 << 32) + batch, json.dumps(spans_of_keys([number]))
            writer.execute("INSERT INTO batches (id, attempt, records, state, spans) VALUES (?, 1, 1, 'sending', ?)", (row, spans))
            writer.execute("INSERT INTO records VALUES (?, ?, ?, NULL, 0, NULL)", (row, json.dumps([number]), b"\0\0\0\1"))

        held = lock(path, 1)
        assert held is not None
        others = OtherRuns(path, replace(key, run_id="two"), 2, threading.Event())
        there = lambda number: set(others.find(reader, [number], spans_of_keys([number])))  # noqa: E731
        write(3, "D003")
        assert there("D003") == {0}
        if is_indexed:
            others.make_index(reader)
        write(1, "D001")
        write(4, "D004")
        assert [there(f"D00{number}") for number in range(1, 5)] == [{0}, set(), {0}, {0}]
        write(2, "D002")
        assert [there(f"D00{number}") for number in range(1, 5)] == [{0}] * 4
        others.close()
        held.release()


async def test_what_waits_for_its_turn_counts_while_its_run_goes_on(arm, sandbox, journal):
    sandbox.inject(Fault.hang_before(), method="POST", times=1)
    run = arm.documents.create_many(invoices(4), options=quick(journal=journal, run_id="one", max_records=1, concurrency=1))
    task = asyncio.create_task(awaited(run))
    await until(lambda: sandbox.in_flight == 1)
    outcome = await send(arm, invoices(1), journal=journal, run_id="two")
    assert outcome.reasons == {"invalid/sent_in_run": 1}
    assert "may have been sent" in outcome.failures[0].message
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.proof
async def test_two_processes_send_no_number_twice(arm, sandbox, journal):
    program = (
        "import asyncio, random, sys\n"
        "from amili_arm_async import ArmClient\n"
        "from tests.support.sandbox_runs import invoices, quick\n"
        "async def main(base_url, token, journal, run_id):\n"
        "    source = invoices(600)\n"
        "    random.Random(run_id).shuffle(source)\n"
        "    async with ArmClient(2218, auth=token, base_url=base_url) as arm:\n"
        "        report = await arm.documents.create_many(source, options=quick(journal=journal, run_id=run_id, max_records=5))\n"
        "    print(report.counts['succeeded'], report.counts['invalid'])\n"
        "asyncio.run(main(*sys.argv[1:]))\n"
    )
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, sandbox.base_url, sandbox.token, str(journal), run, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        for run in ("one", "two")
    ]
    said = [(await process.communicate())[0].split() for process in processes]
    assert [sum(int(counts[place]) for counts in said) for place in (0, 1)] == [600, 600]
    assert {one.taken for one in sandbox.documents} == {1}


async def test_after_a_kill_another_run_does_not_send_what_was_on_the_wire(arm, sandbox, journal):
    sandbox.inject(Fault.hang_after(), method="POST", skip=1, times=1)
    program = "tests.journal.holder"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        program,
        sandbox.base_url,
        sandbox.token,
        str(journal),
        "one",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert await process.stdout.readline() == b"running\n"
    process.stdin.write(b"\n")
    await until(lambda: sandbox.documents.total_taken >= 2)
    process.kill()
    await process.wait()
    outcome = await send(arm, invoices(4), journal=journal, run_id="two", max_records=1)
    assert outcome.state(1) == "invalid"
    assert sandbox.documents.taken(invoices(2)[1]) == 1
    assert not twice(sandbox)


# --- a look-up ----------------------------------------------------------------------------------------------------------------


async def test_what_is_absent_is_not_sent_again_where_another_run_has_sent_it(arm, sandbox, journal):
    await send(arm, invoices(1, start=50), journal=journal, run_id="one", deadline=0.1)
    plan(sandbox, [Fault.reset_before()])
    assert (await send(arm, invoices(2), journal=journal, run_id="one", deadline=0.1)).counts == {"unknown": 2}
    sandbox.hold_processing()
    settings = {"deadline": 0.01, "resend_known": True}
    assert (await send(arm, invoices(1), journal=journal, run_id="two", **settings)).counts == {"accepted": 1}
    task = asyncio.create_task(arm.documents.reconcile(journal, run_id="one", settle=0.3, resend_absent=True, options=quick(deadline=0.1)))
    await until(lambda: sandbox.documents.total_delivered == 3 or task.done())
    sandbox.release_processing()
    report = await task
    # Neither is there. The one waits for its result in the other run, and only the other one is sent.
    (failure,) = report.failures()
    assert (failure.key, failure.state, failure.reason) == ("D000", "unknown", "sent_in_run")
    assert "'two'" in failure.message
    assert report.counts["succeeded"] == 1
    await sandbox.settled()
    assert [sandbox.documents.taken(record) for record in invoices(2)] == [1, 1]
    again = await send(arm, invoices(2), journal=journal, run_id="one")
    assert again.counts == {"unknown": 1, "done_before": 1}, "in the journal it is what it was"


# --- pruned ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["in order", "shuffled"])
async def test_the_numbers_of_a_pruned_run_are_kept(arm, sandbox, journal, order):
    sandbox.reject_record("D0017")
    numbers = list(range(3000))
    if order == "shuffled":
        random.Random(5).shuffle(numbers)
    source = [invoice(f"D{number:04}") for number in numbers]
    await send(arm, source, journal=journal, run_id="one")
    plan(sandbox, [Fault.reset_after()])
    await send(arm, invoices(3, start=5000), journal=journal, run_id="unknown")
    assert await prune_journal(journal, older_than=0, with_failures=True, unfinished=True) == 2
    sent = writes(sandbox)
    outcome = await send(arm, [*source, *invoices(5, start=5000)], journal=journal, run_id="two")
    # The one that failed goes out again, and fails again.
    assert outcome.counts == {"invalid": 3002, "failed": 1, "succeeded": 2}
    assert "pruned" in outcome.failures[numbers.index(5)].message
    assert writes(sandbox) - sent <= 2
    assert {one.key for one in sandbox.documents.doubles()} <= {"d0017"}


async def test_for_no_longer_than_was_said(arm, sandbox, journal):
    await send(arm, invoices(3), journal=journal, run_id="one")
    await send(arm, invoices(3, start=10), journal=journal, run_id="two")
    assert await prune_journal(journal, run_id="one", older_than=0) == 1
    assert (await send(arm, invoices(3), journal=journal, run_id="a")).counts == {"invalid": 3}
    assert await prune_journal(journal, run_id="two", older_than=0, keep_numbers=0) == 1
    assert (await send(arm, [*invoices(3), *invoices(3, start=10)], journal=journal, run_id="b")).counts == {"succeeded": 6}


async def test_a_run_that_is_pruned_while_another_one_goes_on(arm, sandbox, journal):
    await send(arm, invoices(30), journal=journal, run_id="one")

    async def source():
        for record in invoices(4, start=100):
            yield record
        assert await prune_journal(journal, run_id="one", older_than=0) == 1
        for record in invoices(30):
            yield record

    outcome = await send(arm, source(), journal=journal, run_id="two", max_records=2, concurrency=1)
    assert outcome.counts == {"succeeded": 4, "invalid": 30}
    assert not twice(sandbox)


async def test_a_run_that_broke_off_reserves_nothing(arm, sandbox, journal):
    """What it had read and not sent is free for others, and when it goes on it does not send what they have sent."""
    plan(sandbox, [None, Fault.status(403)])
    first = await send(arm, invoices(8), journal=journal, run_id="one", max_records=2, concurrency=1, raises=BulkError)
    left = 8 - first.counts["succeeded"]
    outcome = await send(arm, invoices(8), journal=journal, run_id="two")
    assert outcome.counts == {"succeeded": left, "invalid": 8 - left}
    again = await send(arm, invoices(8), journal=journal, run_id="one")
    assert again.counts == {"done_before": 8 - left, "invalid": left}
    assert not twice(sandbox)

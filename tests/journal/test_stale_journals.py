"""A journal that does not know all that was sent with it: nothing leaves that was not looked up, until somebody says that it is right."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys

import pytest

from amili_arm_async import BulkError, JournalError, Reconcile, adopt_journal, prune_journal
from amili_arm_async.sandbox import Fault

from ..support.postgres import DatabasePlace, keep_tables, put_tables_back
from ..support.sandbox_runs import (
    awaited,
    bare_invoices,
    client_of,
    invoice,
    invoices,
    journal_threads,
    lines_of,
    outcome_of,
    plan,
    quick,
    read_journal,
    send,
    the_run,
    until,
)

RUN = {"run_id": "2026-11-20"}
COUNT = 40


def mark_of(journal):
    return journal.with_name(journal.name + "-mark")


def put_back(copy, journal):
    """An old copy takes the place of the journal, as a restore does."""
    for side in ("", "-wal", "-shm", "-lock"):
        journal.with_name(journal.name + side).unlink(missing_ok=True)
    shutil.copy(copy, journal)


def copied(journal):
    """A copy of the journal as it is now."""
    if isinstance(journal, DatabasePlace):
        keep_tables(journal)
        return None
    old = journal.with_name("old")
    shutil.copy(journal, old)
    return old


def put_into(copy, journal):
    """The same, into the file or the database that is there."""
    if isinstance(journal, DatabasePlace):
        put_tables_back(journal)
    else:
        journal.write_bytes(copy.read_bytes())


async def first_run(arm, journal, source, **settings):
    """Does a run, and returns a copy of the journal in which half of it is done."""
    await send(arm, source[: len(source) // 2], journal=journal, **RUN, **settings)
    old = copied(journal)
    await send(arm, source, journal=journal, **RUN, **settings)
    return old


def is_stale(outcome):
    return outcome.report.stale_journal


# --- what makes a journal stale -----------------------------------------------------------------------------------------------


async def removed(arm, folder, journal, source):
    await send(arm, source, journal=journal, **RUN)
    journal.unlink()
    return journal


async def restored(arm, folder, journal, source):
    put_back(await first_run(arm, journal, source), journal)
    return journal


async def restored_in_place(arm, folder, journal, source):
    put_into(await first_run(arm, journal, source), journal)
    return journal


async def restored_from_the_night_before(arm, folder, journal, source):
    """The copy does not even have the run."""
    await send(arm, invoices(5, start=500), journal=journal, run_id="the night before")
    old = copied(journal)
    await send(arm, source, journal=journal, **RUN)
    put_into(old, journal)
    return journal


async def copied_in_mid_run(arm, folder, journal, source):
    return await first_run(arm, journal, source)


async def the_folder_copied_in_mid_run(arm, folder, journal, source):
    await send(arm, source[:20], journal=journal, **RUN)
    shutil.copytree(folder, folder / "copy")
    await send(arm, source, journal=journal, **RUN)
    return folder / "copy" / journal.name


async def without_its_mark(arm, folder, journal, source):
    put_into(await first_run(arm, journal, source), journal)
    mark_of(journal).unlink()
    return journal


async def with_a_mark_that_says_nothing(arm, folder, journal, source):
    put_into(await first_run(arm, journal, source), journal)
    mark_of(journal).write_bytes(b"x" * 512)
    return journal


async def with_an_old_copy_of_its_mark(arm, folder, journal, source):
    await send(arm, source[:20], journal=journal, **RUN)
    shutil.copytree(folder, folder / "old")
    await send(arm, source, journal=journal, **RUN)
    mark_of(journal).unlink()
    shutil.copy(folder / "old" / mark_of(journal).name, mark_of(journal))
    put_into(folder / "old" / journal.name, journal)
    return journal


STALE = {
    how.__name__: how
    for how in (
        removed,
        restored,
        restored_in_place,
        restored_from_the_night_before,
        copied_in_mid_run,
        the_folder_copied_in_mid_run,
        without_its_mark,
        with_a_mark_that_says_nothing,
        with_an_old_copy_of_its_mark,
    )
}

WAYS = [
    pytest.param(name, marks=[] if name in {"restored_in_place", "restored_from_the_night_before"} else pytest.mark.needs_file)
    for name in STALE
]


@pytest.mark.parametrize("how", WAYS)
async def test_what_is_there_is_looked_up_and_never_sent_again(arm, sandbox, folder, journal, how, caplog):
    source = invoices(COUNT)
    journal = await STALE[how](arm, folder, journal, source)
    for _ in range(2):
        outcome = await send(arm, source, journal=journal, max_records=7, **RUN)
        assert outcome.counts == {"done_before": COUNT}
        assert is_stale(outcome)
        assert "the journal is stale" in caplog.text
    assert not list(sandbox.documents.doubles())
    run = await the_run(journal, **RUN)
    assert run.counts == {"succeeded": COUNT}
    assert run.stale


@pytest.mark.parametrize("how", WAYS)
async def test_what_is_not_found_yet_is_not_sent(arm, sandbox, folder, journal, how):
    """It was taken, and is not processed: a look-up does not find it."""
    source = invoices(COUNT)
    journal = await STALE[how](arm, folder, journal, source)
    new = invoices(3, start=COUNT)
    outcome = await send(arm, source + new, journal=journal, **RUN)
    assert outcome.reasons == {"unknown/stale_journal": 3}
    message = outcome.failures[COUNT].message
    assert re.search(r"run again with the same run id after 20\d\d-.* UTC\. .*amili-arm adopt", message)
    assert not any(sandbox.documents.taken(one["documentNo"]) for one in new)
    # As if nothing had been tried: it is asked for again each time.
    assert (await send(arm, source + new, journal=journal, **RUN)).reasons == {"unknown/stale_journal": 3}
    assert sum((await the_run(journal, **RUN)).counts.values()) == COUNT + 3


@pytest.mark.parametrize("how", WAYS)
async def test_adopted_it_is_believed(arm, sandbox, folder, journal, how):
    source = invoices(COUNT)
    journal = await STALE[how](arm, folder, journal, source)
    new = invoices(3, start=COUNT)
    await send(arm, source + new, journal=journal, **RUN)
    assert await adopt_journal(journal)
    assert await adopt_journal(journal) is None
    outcome = await send(arm, source + new, journal=journal, **RUN)
    # What was found by a look-up stays found.
    assert outcome.counts == {"done_before": COUNT, "succeeded": 3}
    assert not is_stale(outcome)
    assert not list(sandbox.documents.doubles())
    assert not (await the_run(journal, **RUN)).stale


async def test_a_copy_that_is_put_back_twice_is_seen_twice(arm, sandbox, journal):
    source = invoices(COUNT)
    old = await first_run(arm, journal, source)
    for _ in range(3):
        put_into(old, journal)
        assert is_stale(await send(arm, source, journal=journal, **RUN))
        await adopt_journal(journal)
    assert not list(sandbox.documents.doubles())


async def test_no_other_journal_is_stale(arm, sandbox, folder, journal):
    """Made anew, gone on with, pruned, shared by runs, renamed before the first document left, of customers alone."""
    source = invoices(COUNT)
    for part in (source[:10], source[:20], source):
        assert not is_stale(await send(arm, part, journal=journal, **RUN))
    assert not is_stale(await send(arm, invoices(3, start=90), journal=journal, run_id="another"))
    await prune_journal(journal)
    assert not is_stale(await send(arm, invoices(3, start=95), journal=journal, run_id="a third"))
    other = folder / "other"
    await send(arm, [{"customerNo": "1", "name": "Kari"}], kind="customers", journal=other, run_id="1")
    other.rename(folder / "renamed")
    assert not is_stale(await send(arm, invoices(3, start=97), journal=folder / "renamed", run_id="1"))


async def test_a_journal_that_is_ahead_of_its_mark_is_not_stale(arm, journal):
    """A crash may come between the two."""
    source = invoices(COUNT)
    await send(arm, source[:10], journal=journal, max_records=1, **RUN)
    before = mark_of(journal).read_bytes()
    await send(arm, source, journal=journal, max_records=1, **RUN)
    with mark_of(journal).open("r+b") as mark:
        mark.write(before)
    outcome = await send(arm, source, journal=journal, **RUN)
    assert outcome.counts == {"done_before": COUNT}
    assert not is_stale(outcome)


@pytest.mark.parametrize("same_start", [True, False])
async def test_a_device_may_have_another_number_after_the_machine_was_started(arm, journal, same_start):
    await send(arm, invoices(3), journal=journal, **RUN)
    said = json.loads(mark_of(journal).read_bytes())
    said["device"] += 1
    said["boot_id"] = said["boot_id"] if same_start else "another"
    with mark_of(journal).open("r+b") as mark:
        mark.write(json.dumps(said).encode().ljust(511) + b"\n")
    assert is_stale(await send(arm, invoices(3), journal=journal, **RUN)) == same_start


async def test_the_mark_is_written_before_the_first_byte(arm, sandbox, journal):
    """With each batch that leaves, and never behind what the server has seen."""
    seen = []

    def outcome(progress):
        said = json.loads(mark_of(journal).read_bytes())
        seen.append((said["intents"], progress.totals.batches_sent))

    await send(arm, invoices(COUNT), journal=journal, max_records=1, on_progress=outcome, **RUN)
    assert seen[-1] == (COUNT, COUNT)
    assert all(intents >= sent for intents, sent in seen)
    assert mark_of(journal).stat().st_mode & 0o777 == 0o600


async def test_a_mark_that_is_removed_in_mid_run_ends_it(arm, sandbox, journal):
    def settled(progress):
        mark_of(journal).unlink(missing_ok=True)

    # The first batch is settled when its answer comes, whatever the others do.
    options = {"max_records": 2, "concurrency": 1, "results": "accepted"}
    outcome = await send(arm, invoices(400), journal=journal, on_progress=settled, raises=BulkError, **options, **RUN)
    assert isinstance(outcome.error.__cause__, JournalError)
    assert outcome.counts["not_sent"] > 200
    assert is_stale(await send(arm, invoices(400), journal=journal, **RUN))
    assert not list(sandbox.documents.doubles())


async def test_a_log_that_was_taken_away_before_a_kill(arm, sandbox, folder, journal):
    """A real process, which waits for its results: all of its commits are in the log, and go with it."""
    sandbox.hold_processing()
    program = (
        "import asyncio, sys\n"
        "from amili_arm_async import ArmClient\n"
        "from tests.support.sandbox_runs import invoices, quick\n"
        "async def main():\n"
        "    async with ArmClient(2218, auth=sys.argv[2], base_url=sys.argv[1]) as arm:\n"
        "        options = quick(journal=sys.argv[3], run_id='2026-11-20', max_records=10, poll_first=30.0, poll_max=30.0)\n"
        "        await arm.documents.create_many(invoices(40), options=options)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, sandbox.base_url, sandbox.token, str(journal))
    try:
        async with asyncio.timeout(30):
            while sandbox.open_batches < 4:
                assert process.returncode is None
                await asyncio.sleep(0.01)
            # Until the last batchUuid is in the log.
            while not [run for run in await read_journal(journal) if len(run.open_batches) == 4]:
                await asyncio.sleep(0.01)
        journal.with_name(journal.name + "-wal").unlink()
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    journal.with_name(journal.name + "-shm").unlink(missing_ok=True)
    outcome = await send(arm, invoices(40), journal=journal, **RUN)
    assert outcome.reasons == {"unknown/stale_journal": 40}
    sandbox.release_processing()
    await sandbox.settled()
    assert (await send(arm, invoices(40), journal=journal, **RUN)).counts == {"done_before": 40}
    assert not list(sandbox.documents.doubles())


# --- what may be sent on a stale journal ----------------------------------------------------------------------------------------


async def lost(arm, sandbox, journal, *, deadline, source=None, fault=None):
    """A run of which the outcome of the second half is unknown and never came, and a journal that knows only the first half."""
    source = source or invoices(COUNT)
    half = len(source) // 2
    await send(arm, source[:half], journal=journal, deadline=deadline, **RUN)
    old = copied(journal)
    plan(sandbox, [fault or Fault.reset_before()] * 9)
    await send(arm, source, journal=journal, deadline=deadline, max_records=7, **RUN)
    sandbox.clear_faults()
    put_into(old, journal)
    return source


async def send_settled(arm, source, **settings):
    """Runs until the time to settle has passed: `Date` is in whole seconds."""
    async with asyncio.timeout(30):
        while True:
            outcome = await send(arm, source, **settings)
            if not any("may still appear" in (one.message or "") for one in outcome.failures.values()):
                return outcome
            assert set(outcome.reasons) == {"unknown/stale_journal"}
            await asyncio.sleep(0.02)


async def test_what_is_proved_absent_after_the_time_to_settle_is_sent_once(arm, sandbox, journal):
    source = await lost(arm, sandbox, journal, deadline=0.2)
    outcome = await send_settled(arm, source, journal=journal, deadline=0.2, **RUN)
    assert outcome.counts == {"done_before": COUNT // 2, "succeeded": COUNT // 2}
    assert is_stale(outcome)
    assert (await send(arm, source, journal=journal, deadline=0.2, **RUN)).counts == {"done_before": COUNT}
    assert [sandbox.documents.taken(one["documentNo"]) for one in source] == [1] * COUNT


async def test_the_longest_deadline_of_those_that_are_lost_counts(arm, sandbox, journal):
    """The mark has it: the journal may not know of the attempt."""
    source = await lost(arm, sandbox, journal, deadline=1000.0)
    await asyncio.sleep(0.1)
    outcome = await send(arm, source, journal=journal, deadline=0.05, **RUN)
    assert outcome.reasons == {"unknown/stale_journal": COUNT // 2}


async def test_nothing_is_sent_where_no_look_up_finds_anything(arm, sandbox, journal):
    """Before a gateway that does not know the address, everything is absent."""
    source = await lost(arm, sandbox, journal, deadline=0.02)
    sandbox.inject(Fault.status(404), method="GET", path="documents/D", times=None)
    outcome = await send_settled(arm, source, journal=journal, deadline=0.02, **RUN)
    assert outcome.reasons == {"unknown/stale_journal": COUNT // 2}
    assert "no document with a number of this form is found" in next(iter(outcome.failures.values())).message


async def test_nothing_is_sent_of_another_form_than_what_is_found(arm, sandbox, journal):
    source = invoices(10) + [invoice(f"2026/{place:03}", place) for place in range(10)]
    await lost(arm, sandbox, journal, deadline=0.02, source=source)
    outcome = await send_settled(arm, source, journal=journal, deadline=0.02, **RUN)
    assert outcome.reasons == {"unknown/stale_journal": 10}


async def test_a_run_of_the_night_before_proves_that_look_ups_work(arm, sandbox, journal):
    await send(arm, invoices(5, start=500), journal=journal, run_id="the night before", deadline=0.02)
    old = copied(journal)
    plan(sandbox, [Fault.reset_before()] * 9)
    await send(arm, invoices(5), journal=journal, deadline=0.02, **RUN)
    sandbox.clear_faults()
    put_into(old, journal)
    assert (await send_settled(arm, invoices(5), journal=journal, deadline=0.02, **RUN)).counts == {"succeeded": 5}
    assert not list(sandbox.documents.doubles())


async def test_a_look_up_that_is_not_answered_decides_nothing(arm, sandbox, journal):
    source = await lost(arm, sandbox, journal, deadline=0.02)
    sandbox.inject(Fault.status(500), method="GET", path="documents/D", times=None)
    outcome = await send(arm, source, journal=journal, deadline=0.02, **RUN)
    assert outcome.reasons == {"unknown/stale_journal": COUNT // 2}
    assert "the look-up was not answered" in outcome.failures[COUNT - 1].message
    sandbox.clear_faults()
    assert (await send_settled(arm, source, journal=journal, deadline=0.02, **RUN)).counts == {"done_before": 20, "succeeded": 20}


async def test_what_has_no_number_is_not_sent(arm, sandbox, folder, journal):
    source = bare_invoices(10)
    put_into(await first_run(arm, journal, source, deadline=0.02), journal)
    letter = folder / "failed.jsonl"
    outcome = await send_settled(arm, source, journal=journal, deadline=0.02, dead_letter=letter, **RUN)
    assert outcome.counts == {"done_before": 5, "unknown": 5}
    assert outcome.reasons == {"unknown/stale_journal": 5}
    assert "it has no number" in outcome.failures[7].message
    assert [(line["index"], line["payload"]) for line in lines_of(letter)] == list(enumerate(source))[5:]
    assert sandbox.documents.total_taken == 10


async def test_another_document_of_the_same_number_is_in_the_way(arm, sandbox, journal):
    put_into(await first_run(arm, journal, invoices(10)), journal)
    source = [*invoices(9), invoice("D009", 1234)]
    for _ in range(2):
        outcome = await send(arm, source, journal=journal, **RUN)
        assert outcome.reasons == {"unknown/key_conflict": 1}
    await adopt_journal(journal)
    assert (await send(arm, source, journal=journal, **RUN)).reasons == {"unknown/key_conflict": 1}
    assert sandbox.documents.total_taken == 10


async def test_a_number_twice_in_the_source(arm, sandbox, journal):
    put_into(await first_run(arm, journal, invoices(10)), journal)
    outcome = await send(arm, [*invoices(10), invoice("D007", 7), invoice("D999", 1), invoice("d999", 1)], journal=journal, **RUN)
    assert outcome.counts == {"done_before": 10, "unknown": 1, "invalid": 2}


async def test_what_had_failed_may_have_been_sent_since(arm, sandbox, journal):
    """The journal knows of the attempt that failed, and not of the one that made it."""
    sandbox.reject_record("D003")
    await send(arm, invoices(10), journal=journal, **RUN)
    old = copied(journal)

    fixed = [*invoices(3), invoice("D003", 33), *invoices(6, start=4)]
    await send(arm, fixed, journal=journal, **RUN)
    put_into(old, journal)
    taken = sandbox.documents.taken("D003")
    outcome = await send(arm, fixed, journal=journal, **RUN)
    assert outcome.counts["done_before"] == 9
    assert sandbox.documents.taken("D003") == taken


async def test_what_had_failed_and_has_no_number_has_one_line(arm, sandbox, folder, journal):
    """That of this attempt, and not that of the earlier one, too."""
    source, letter = bare_invoices(3), folder / "failed.jsonl"
    sandbox.reject_record(source[2])
    await send(arm, source, journal=journal, deadline=0.02, **RUN)
    old = copied(journal)
    await send(arm, source, journal=journal, deadline=0.02, **RUN)
    put_into(old, journal)

    for _ in range(2):
        outcome = await send(arm, source, journal=journal, deadline=0.02, dead_letter=letter, **RUN)

        assert outcome.counts == {"done_before": 2, "unknown": 1}
        assert [(line["index"], line["reason"]) for line in lines_of(letter)] == [(2, "stale_journal")]
        assert (await the_run(journal)).counts == {"succeeded": 2, "unknown": 1}


async def test_a_run_that_stops_while_it_looks_up_names_the_rest(arm, sandbox, journal):
    put_into(await first_run(arm, journal, invoices(COUNT)), journal)
    sandbox.inject(Fault.status(403), method="GET", path="documents/D", times=None)
    outcome = await send(arm, invoices(COUNT), journal=journal, max_records=5, raises=BulkError, **RUN)
    assert sum(outcome.counts.values()) == COUNT
    assert set(outcome.counts) <= {"done_before", "unknown"}
    sandbox.clear_faults()
    assert (await send(arm, invoices(COUNT), journal=journal, **RUN)).counts == {"done_before": COUNT}


async def test_what_another_run_has_queued_leaves_the_batch_at_once(arm, sandbox, journal):
    """A run that ends before it could send them does not call them not sent: it had sent them."""
    source = invoices(4)
    await send(arm, invoices(1, start=9), journal=journal, **RUN)
    old = copied(journal)
    await send(arm, source, journal=journal, **RUN)
    put_into(old, journal)
    sandbox.inject(Fault.hang_before(), method="GET", path="documents/D", times=None)
    async with client_of(sandbox) as another:
        other = asyncio.create_task(awaited(another.documents.create_many(source, options=quick(journal=journal, run_id="other"))))
        await until(lambda: sandbox.in_flight)
        run = arm.documents.create_many(source, options=quick(journal=journal, **RUN))
        # For longer than its patience: nothing can be sent.
        run._runner._shared_limits.gate.extend(1000.0)
        outcome = outcome_of(await awaited(run))
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
    assert outcome.reasons == {"invalid/sent_in_run": 4}
    assert (await the_run(journal, **RUN)).counts == {"succeeded": 1, "invalid": 4}


async def test_what_is_written_otherwise_stays_done_where_a_look_up_is_cut_off(arm, sandbox, journal):
    """It was compared when the batch was decided on, and is asked for once more at the end."""
    source = invoices(4)
    await send(arm, source[:2], journal=journal, **RUN)
    old = copied(journal)
    await send(arm, source, journal=journal, **RUN)
    put_into(old, journal)
    sandbox.inject(Fault.hang_before(), method="GET", path="documents/D", times=None)
    again = [{**one, "ledgerNote": None} for one in source]
    run = arm.documents.create_many(again, options=quick(journal=journal, **RUN))
    task = asyncio.create_task(awaited(run))
    await until(lambda: sandbox.in_flight)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcome_of(run.report).counts == {"done_before": 2, "unknown": 2}


@pytest.mark.parametrize("turns", range(1, 120, 9))
async def test_a_run_that_is_cancelled_while_it_looks_up(arm, sandbox, journal, turns):
    put_into(await first_run(arm, journal, invoices(COUNT)), journal)
    run = arm.documents.create_many(invoices(COUNT), options=quick(journal=journal, max_records=5, **RUN))

    async def wait():
        await run

    task = asyncio.create_task(wait())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    outcome_of(run.report)
    await until(lambda: not journal_threads())
    assert (await send(arm, invoices(COUNT), journal=journal, **RUN)).counts == {"done_before": COUNT}
    assert not list(sandbox.documents.doubles())


# --- all other ways -------------------------------------------------------------------------------------------------------------


async def test_reconcile_sends_nothing_again_before_the_time_to_settle_of_what_is_lost(arm, sandbox, journal):
    """The journal says that it was sent long ago; the mark, that something left since."""
    source = invoices(10)
    plan(sandbox, [None, Fault.reset_before()])
    await send(arm, source, journal=journal, deadline=0.02, max_records=5, **RUN)
    old = copied(journal)
    await asyncio.sleep(0.1)
    # In the part that is lost, it is sent again, and not there yet.
    sandbox.hold_processing()
    task = asyncio.create_task(arm.documents.reconcile(journal, settle=0.03, resend_absent=True, options=quick(deadline=0.02)))
    await until(lambda: sandbox.open_batches == 1)
    await task
    put_into(old, journal)
    mark = json.loads(mark_of(journal).read_bytes())
    mark["deadline"] = 3600.0
    with mark_of(journal).open("r+b") as file:
        file.write(json.dumps(mark).encode().ljust(511) + b"\n")
    task = asyncio.create_task(arm.documents.reconcile(journal, settle=0.03, resend_absent=True, options=quick(deadline=0.02)))
    await asyncio.sleep(0.3)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sandbox.release_processing()
    await sandbox.settled()
    report = await arm.documents.reconcile(journal, settle=0.0)
    assert report.stale_journal
    assert not list(sandbox.documents.doubles())


async def test_a_run_that_reconciles_does_not_wait_for_it(arm, sandbox, journal):
    source = await lost(arm, sandbox, journal, deadline=1000.0)
    async with asyncio.timeout(20):
        outcome = await send(arm, source, journal=journal, deadline=1000.0, reconcile=Reconcile(settle=0.0), **RUN)
    assert outcome.reasons == {"unknown/stale_journal": COUNT // 2}


async def test_a_run_that_goes_on_can_not_be_adopted(arm, sandbox, journal):
    sandbox.hold_processing()
    task = asyncio.create_task(send(arm, invoices(3), journal=journal, **RUN))
    await until(lambda: sandbox.open_batches == 1)
    with pytest.raises(JournalError, match="is in progress: wait until it ends"):
        await adopt_journal(journal)
    sandbox.release_processing()
    await task


async def test_a_journal_that_is_not_there_can_not_be_adopted(journal):
    with pytest.raises(JournalError, match="there is no journal"):
        await adopt_journal(journal)


async def test_the_remedy_for_a_damaged_journal_sends_nothing_twice(arm, sandbox, journal):
    """Moved away, with its mark left in place."""
    await send(arm, invoices(COUNT), journal=journal, **RUN)
    journal.write_bytes(journal.read_bytes()[:-1000])
    with pytest.raises(JournalError, match=r"Do not restore an old copy.*Move the journal away and leave the -mark file in place"):
        await send(arm, invoices(COUNT), journal=journal, **RUN)
    journal.rename(journal.with_name("damaged"))
    assert (await send(arm, invoices(COUNT), journal=journal, **RUN)).counts == {"done_before": COUNT}
    assert sandbox.documents.total_taken == COUNT


async def test_two_runs_that_share_a_journal_share_its_mark(arm, sandbox, journal):
    runs = [send(arm, invoices(100, start=1000 * which), journal=journal, run_id=str(which), max_records=1) for which in range(4)]
    await asyncio.gather(*runs)
    assert json.loads(mark_of(journal).read_bytes())["intents"] == 400
    for which in range(4):
        assert not is_stale(await send(arm, invoices(100, start=1000 * which), journal=journal, run_id=str(which)))
    assert os.stat(journal).st_nlink == 1

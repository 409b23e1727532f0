"""What `prune` removes, what it keeps and says, and that a run that was removed is never begun again."""

from __future__ import annotations

import asyncio
import importlib

import pytest

from amili_arm_async import BulkError, ConfigurationError, JournalError, clock, prune_journal, read_journal
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import bare_invoices, client_of, customers, ends_after, invoices, plan, quick, send, writes

pytestmark = pytest.mark.quick

DAY = 86_400
RUN = {"run_id": "2026-11-20"}


async def kept(journal, **settings):
    """How many runs a prune removes, and why the others are kept."""
    reasons = {}
    removed = await prune_journal(journal, on_kept=lambda run, why: reasons.setdefault(run.run_id, tuple(why)), **settings)
    return removed, reasons


async def every_kind(arm, sandbox, journal):
    await send(arm, invoices(3), journal=journal, run_id="whole")
    await send(arm, [], journal=journal, run_id="empty")
    sandbox.reject_record("D010")
    await send(arm, invoices(3, start=10), journal=journal, run_id="failed")
    plan(sandbox, [Fault.status(400)])
    await send(arm, invoices(3, start=20), journal=journal, run_id="rejected")
    await send(arm, [*invoices(3, start=30), {"documentNo": "x", "price": float("nan")}], journal=journal, run_id="invalid")
    await send(arm, invoices(3, start=40), journal=journal, run_id="accepted", results="accepted")
    plan(sandbox, [Fault.reset_before()])
    await send(arm, invoices(3, start=50), journal=journal, run_id="unknown")
    await send(arm, ends_after(invoices(3, start=60)), journal=journal, run_id="cut off", raises=BulkError)


async def test_only_a_run_in_which_every_record_succeeded_is_removed_unless_more_is_asked_for(arm, sandbox, journal):
    await every_kind(arm, sandbox, journal)
    removed, reasons = await kept(journal, older_than=0)
    assert removed == 2
    failures, unfinished = ("failures",), ("unfinished",)
    assert reasons == {
        "failed": failures,
        "rejected": failures,
        "invalid": failures,
        "accepted": unfinished,
        "unknown": unfinished,
        "cut off": unfinished,
    }
    assert await kept(journal, older_than=0, with_failures=True) == (3, dict.fromkeys(("accepted", "unknown", "cut off"), unfinished))
    assert await kept(journal, older_than=0, unfinished=True) == (3, {})
    assert await read_journal(journal) == []


# --- runs of one name -------------------------------------------------------------------------------------------------------


async def with_operations(journal, **settings):
    """How many runs a prune removes, and by operation why the others are kept."""
    reasons = {}
    removed = await prune_journal(journal, on_kept=lambda run, why: reasons.setdefault(run.operation, list(why)), **settings)
    return removed, reasons


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("failing", ["documents", "customers"])
async def test_what_keeps_a_run_of_a_night_keeps_the_other_one(arm, sandbox, journal, failing, update):
    operation = {"customers": f"customers.{'update' if update else 'create'}_batch", "documents": "documents.create_batch"}
    sandbox.customers.seed(customers(3, "Ola"))
    sandbox.reject_record("001" if failing == "customers" else "D001", kind=failing)
    sources = {"customers": customers(3), "documents": [*invoices(2), *bare_invoices(3, start=10)]}
    for kind, source in sources.items():
        await send(arm, source, kind=kind, update=update and kind == "customers", journal=journal, **RUN)
    other = "documents" if failing == "customers" else "customers"
    await send(arm, invoices(1, start=20), journal=journal, run_id="another night")
    assert await with_operations(journal, older_than=0) == (1, {operation[failing]: ["failures"], operation[other]: ["night"]})
    # So it can be repeated: what has no number is not sent a second time.
    taken = sandbox.documents.total_taken
    sandbox._ledger().rejects.clear()
    for kind, source in sources.items():
        again = await send(arm, source, kind=kind, update=update and kind == "customers", journal=journal, **RUN)
        assert set(again.counts) <= {"succeeded", "done_before"}
    assert sandbox.documents.total_taken == taken + (failing == "documents")
    assert await with_operations(journal, older_than=0) == (2, {})


async def test_a_night_is_as_old_as_the_last_of_its_runs(arm, journal, monkeypatch):
    begun = clock.unix_time()
    await send(arm, customers(2), kind="customers", journal=journal, **RUN)
    monkeypatch.setattr(clock, "unix_time", lambda: begun + 20 * DAY)
    await send(arm, invoices(2), journal=journal, **RUN)
    monkeypatch.setattr(clock, "unix_time", lambda: begun + 31 * DAY)
    recent = ["recent"]
    assert await with_operations(journal) == (0, {"customers.create_batch": recent, "documents.create_batch": recent})


async def test_the_customers_stay_while_their_documents_are_sent(arm, journal):
    is_read, goes_on = asyncio.Event(), asyncio.Event()

    async def source():
        is_read.set()
        await goes_on.wait()
        yield invoices(1)[0]

    await send(arm, customers(2), kind="customers", journal=journal, **RUN)
    task = asyncio.create_task(send(arm, source(), journal=journal, **RUN))
    await is_read.wait()
    kept = {"customers.create_batch": ["night"], "documents.create_batch": ["running"]}
    assert await with_operations(journal, older_than=0, unfinished=True, with_failures=True) == (0, kept)
    goes_on.set()
    await task
    assert await with_operations(journal, older_than=0) == (2, {})


async def test_a_run_that_another_client_number_has_of_the_same_name_is_removed(arm, sandbox, journal):
    sandbox.reject_record("D000")
    await send(arm, invoices(1), journal=journal, **RUN)
    async with client_of(sandbox, 2219) as other:
        await send(other, invoices(1, start=1), journal=journal, **RUN)
    assert await kept(journal, older_than=0) == (1, {RUN["run_id"]: ("failures",)})


async def test_a_night_whose_documents_are_begun_after_it_was_found_stays(arm, journal, monkeypatch):
    await send(arm, customers(2), kind="customers", journal=journal, **RUN)
    module = importlib.import_module(f"amili_arm_async.bulk.journal.{'postgres.prune' if isinstance(journal, str) else 'sqlite.inspect'}")
    name = "_units" if isinstance(journal, str) else "_runs_of"
    loop, find = asyncio.get_running_loop(), getattr(module, name)

    def find_and_begin(*arguments):
        monkeypatch.undo()
        found = find(*arguments)
        asyncio.run_coroutine_threadsafe(send(arm, invoices(1), journal=journal, **RUN), loop).result()
        return found

    monkeypatch.setattr(module, name, find_and_begin)
    removed, reasons = await with_operations(journal, older_than=0)
    assert (removed, any("running" in why for why in reasons.values())) == (0, True)
    assert await with_operations(journal, older_than=0) == (2, {})


# --- age --------------------------------------------------------------------------------------------------------------------


async def test_a_run_is_as_old_as_the_last_thing_that_was_done_in_it(arm, journal, monkeypatch):
    begun = clock.unix_time()
    await send(arm, invoices(2), journal=journal, **RUN)
    monkeypatch.setattr(clock, "unix_time", lambda: begun + 20 * DAY)
    await send(arm, invoices(4), journal=journal, **RUN)
    monkeypatch.setattr(clock, "unix_time", lambda: begun + 49 * DAY)
    assert await kept(journal) == (0, {RUN["run_id"]: ("recent",)})
    monkeypatch.setattr(clock, "unix_time", lambda: begun + 51 * DAY)
    assert await kept(journal) == (1, {})


async def test_both_reasons_are_said(arm, sandbox, journal):
    plan(sandbox, [Fault.status(400), Fault.reset_before()])
    await send(arm, invoices(4), journal=journal, max_records=2, concurrency=1, **RUN)
    assert await kept(journal) == (0, {RUN["run_id"]: ("unfinished", "failures", "recent")})


@pytest.mark.parametrize("settings", [{"older_than": -1}, {"keep_numbers": -1}, {"older_than": float("nan")}, {"keep_numbers": "all"}])
async def test_what_is_no_number_of_seconds_is_refused(arm, journal, settings):
    await send(arm, invoices(1), journal=journal, **RUN)
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        await prune_journal(journal, **settings)


@pytest.mark.parametrize("kind", ["documents", "customers"])
async def test_a_pruned_run_is_never_begun_again(arm, sandbox, journal, kind):
    source = invoices(3) if kind == "documents" else customers(3)
    await send(arm, source, kind=kind, journal=journal, **RUN)
    assert await prune_journal(journal, older_than=0, keep_numbers=0) == 1
    sent = writes(sandbox)
    for settings in ({}, {"resend_known": True} if kind == "documents" else {}):
        outcome = await send(arm, source, kind=kind, journal=journal, raises=JournalError, **RUN, **settings)
        for words in (RUN["run_id"], "pruned on 20", "only new records with another run_id", "without a number", "a second time"):
            assert words in str(outcome.error)
    assert writes(sandbox) == sent


async def test_its_name_is_that_of_its_operation_and_client_number(arm, sandbox, journal):
    await send(arm, invoices(3), journal=journal, **RUN)
    await prune_journal(journal, older_than=0)
    assert (await send(arm, customers(3), kind="customers", journal=journal, **RUN)).counts == {"succeeded": 3}
    async with client_of(sandbox, 2219) as other:
        assert (await send(other, invoices(3), journal=journal, **RUN)).counts == {"succeeded": 3}


async def test_its_name_outlives_its_numbers(arm, journal):
    await send(arm, invoices(3), journal=journal, **RUN)
    await prune_journal(journal, older_than=0, keep_numbers=0)
    await prune_journal(journal, older_than=0, keep_numbers=0)
    await send(arm, invoices(3), journal=journal, raises=JournalError, **RUN)


async def test_reconcile_says_that_it_was_pruned(arm, sandbox, journal):
    await send(arm, invoices(3), journal=journal, **RUN)
    plan(sandbox, [Fault.reset_after()])
    await send(arm, invoices(3, start=10), journal=journal, run_id="unknown")
    await prune_journal(journal, older_than=0)
    with pytest.raises(JournalError, match="was pruned on"):
        await arm.documents.reconcile(journal, **RUN, settle=0, options=quick())
    report = await arm.documents.reconcile(journal, settle=0, options=quick())
    assert report.counts["succeeded"] == 3
    await prune_journal(journal, older_than=0, with_failures=True, unfinished=True)
    with pytest.raises(JournalError, match="has no run"):
        await arm.documents.reconcile(journal, settle=0, options=quick())


async def test_it_is_shown_where_that_is_asked_for(arm, journal):
    await send(arm, invoices(3), journal=journal, **RUN)
    await send(arm, invoices(3, start=10), journal=journal, run_id="two")
    await prune_journal(journal, older_than=0, run_id=RUN["run_id"])
    assert [run.run_id for run in await read_journal(journal)] == ["two"]
    gone, left = await read_journal(journal, pruned=True)
    assert (gone.run_id, left.run_id) == (RUN["run_id"], "two")
    assert gone.pruned >= gone.ended
    assert left.pruned is None

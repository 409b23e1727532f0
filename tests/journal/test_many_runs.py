"""Several runs in one file: of both kinds, of two client numbers, of several nights; and which calls are refused."""

from __future__ import annotations

import asyncio

import pytest

from amili_arm_async import BulkOptions, ConfigurationError, JournalError, Reconcile
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_runs import awaited, client_of, customers, invoices, plan, quick, read_journal, send, the_run, until, writes

pytestmark = pytest.mark.quick


async def test_both_kinds_with_one_run_id_at_the_same_time(arm, sandbox, journal):
    options = quick(journal=journal, run_id="r", max_records=7)
    for state in ("succeeded", "done_before"):
        reports = await asyncio.gather(
            awaited(arm.customers.create_many(customers(100), options=options)),
            awaited(arm.documents.create_many(invoices(100), options=options)),
            awaited(arm.customers.update_many(customers(100), options=options)),
        )
        assert [report.counts["succeeded"] + report.counts["done_before"] + report.counts["failed"] for report in reports] == [
            100,
            100,
            100,
        ]
        assert reports[0].counts[state] == reports[1].counts[state] == 100
    assert not list(sandbox.documents.doubles())
    assert len(await read_journal(journal)) == 3


async def test_many_runs_at_the_same_time(arm, sandbox, journal):
    async def night(name):
        return await send(arm, invoices(30, start=30 * int(name)), journal=journal, run_id=name, max_records=4)

    outcome = await asyncio.gather(*(night(str(n)) for n in range(6)))

    assert [one.counts for one in outcome] == [{"succeeded": 30}] * 6
    runs = await read_journal(journal)
    assert sorted(run.run_id for run in runs) == list("012345")
    assert all(run.counts == {"succeeded": 30} and run.is_finished for run in runs)


async def test_two_client_numbers(arm, sandbox, journal):
    other = arm.for_client(2219)
    plan(sandbox, [Fault.reset_after()])
    first = await send(arm, invoices(3), journal=journal, run_id="r")
    second = await send(other, invoices(4), journal=journal, run_id="r")

    assert first.counts == {"unknown": 3}
    assert second.counts == {"succeeded": 4}, "another client's documents are other documents"
    assert (await send(arm, invoices(3), journal=journal, run_id="r")).counts == {"unknown": 3}
    assert (await send(other, invoices(4), journal=journal, run_id="r")).counts == {"done_before": 4}
    assert (await the_run(journal, client_no=2218)).counts == {"unknown": 3}
    assert (await the_run(journal, client_no=2219)).counts == {"succeeded": 4}


async def test_the_same_run_under_another_address_is_refused(arm, sandbox, journal):
    await send(arm, invoices(2), journal=journal, run_id="r")
    async with Sandbox(process_delay=0.0, require_customers=False) as other, client_of(other) as elsewhere:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="base_url"):
                await send(elsewhere, invoices(2), journal=journal, run_id="r")
        assert writes(other) == 0
        assert (await send(elsewhere, invoices(2), journal=journal, run_id="there")).counts == {"succeeded": 2}
    assert (await send(arm, invoices(2), journal=journal, run_id="r")).counts == {"done_before": 2}
    assert (await the_run(journal, run_id="r")).attempts == 2, "what was refused was no attempt"


async def test_two_ways_to_write_a_path_are_one_journal(arm, sandbox, folder, monkeypatch):
    (folder / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    await send(arm, invoices(2), journal="a b#?%.sqlite", run_id="r")

    for path in (folder / "link" / "a b#?%.sqlite", str(folder / "a b#?%.sqlite"), "./link/./link/a b#?%.sqlite"):
        outcome = await send(arm, invoices(2), journal=path, run_id="r")
        assert outcome.counts == {"done_before": 2}


async def test_the_second_of_two_equal_runs_is_refused(arm, sandbox, journal, folder):
    (folder / "link").symlink_to(folder)
    sandbox.hold_processing()
    run = arm.documents.create_many(invoices(4), options=quick(journal=journal, run_id="r", max_records=2))
    async with run:
        await until(lambda: sandbox.documents.total_taken == 4)
        for path in (journal, folder / "link" / journal.name):
            for source in (invoices(9), []):
                with pytest.raises(JournalError, match="already in progress"):
                    await send(arm, source, journal=path, run_id="r")
        with pytest.raises(JournalError, match="already in progress"):
            await arm.documents.reconcile(journal, run_id="r")
        sandbox.release_processing()

    assert run.report.counts["succeeded"] == 4
    assert sandbox.documents.total_taken == 4
    assert (await the_run(journal)).attempts == 1, "what was refused was no attempt"
    assert (await send(arm, invoices(4), journal=journal, run_id="r")).counts == {"done_before": 4}


async def test_a_run_that_was_refused_says_so_in_the_loop_too(arm, sandbox, journal):
    sandbox.hold_processing()
    options = quick(journal=journal, run_id="r")
    async with arm.documents.create_many(invoices(1), options=options):
        await until(lambda: sandbox.documents.total_taken == 1)
        with pytest.raises(JournalError):
            async with arm.documents.create_many(invoices(1), options=options) as second:
                async for _ in second:
                    pass
        with pytest.raises(JournalError):
            async with arm.documents.create_many(invoices(1), options=options):
                pass
        sandbox.release_processing()
    assert sandbox.documents.total_taken == 1


# --- what is refused before anything happens -------------------------------------------------------------------------------


async def test_documents_with_a_journal_need_a_run_id(arm, sandbox, journal):
    with pytest.raises(ConfigurationError, match="run_id"):
        arm.documents.create_many(invoices(1), options=quick(journal=journal))
    assert not journal.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"run_id": "r"},
        {"reconcile": True},
        {"reconcile": Reconcile()},
        {"journal": "j", "run_id": ""},
        {"journal": "j", "run_id": "  "},
        {"journal": "j", "run_id": 5},
        {"journal": "j", "run_id": "a\0b"},
        {"journal": "j", "run_id": "a\ud800"},
        {"journal": ""},
        {"journal": 5},
        {"dead_letter": ""},
        {"dead_letter": 5},
        {"journal": "j", "run_id": "r", "reconcile": "yes"},
        {"require_document_no": 1},
        {"stop_after_failures": 0},
        {"stop_after_failures": -1},
        {"stop_after_failures": 0.0},
        {"stop_after_failures": 1.0},
        {"stop_after_failures": 1.5},
        {"stop_after_failures": True},
        {"stop_after_failures": float("nan")},
        {"stop_after_failures": "5"},
    ],
    ids=repr,
)
def test_options_that_make_no_sense(settings):
    with pytest.raises(ConfigurationError):
        BulkOptions(**settings)


@pytest.mark.parametrize(
    "settings", [{"settle": -1}, {"settle": "1"}, {"concurrency": 0}, {"resend_absent": "yes"}, {"settle": float("nan")}], ids=repr
)
def test_settings_of_a_reconcile_that_make_no_sense(settings):
    with pytest.raises(ConfigurationError):
        Reconcile(**settings)


@pytest.mark.parametrize("settle", [0, 9, 10.0])
def test_to_send_again_takes_longer_than_the_deadline(settle):
    with pytest.raises(ConfigurationError, match="settle"):
        BulkOptions(journal="j", run_id="r", deadline=10.0, reconcile=Reconcile(settle=settle, resend_absent=True))
    BulkOptions(journal="j", run_id="r", deadline=10.0, reconcile=Reconcile(settle=10.1, resend_absent=True))
    BulkOptions(journal="j", run_id="r", deadline=10.0, reconcile=Reconcile(settle=settle))


@pytest.mark.parametrize("name", ["journal", "dead_letter"])
async def test_a_path_with_a_nul(arm, sandbox, name):
    settings = {"journal": "j.sqlite", "run_id": "r"} if name == "dead_letter" else {"run_id": "r"}
    with pytest.raises((ConfigurationError, JournalError)):
        await send(arm, invoices(1), **{**settings, name: "a\0b"})
    assert writes(sandbox) == 0


@pytest.mark.parametrize("settings", [{"reconcile": True}, {"require_document_no": True}])
async def test_what_is_for_documents_alone(arm, journal, settings):
    with pytest.raises(ConfigurationError):
        arm.customers.create_many(customers(1), options=quick(journal=journal, run_id="r", **settings))


async def test_reconcile_of_what_is_not_there(arm, sandbox, journal):
    with pytest.raises(JournalError, match="no journal"):
        await arm.documents.reconcile(journal)
    assert not journal.exists()
    await send(arm, customers(1), kind="customers", journal=journal, run_id="r")
    for run_id in (None, "r", "other"):
        with pytest.raises(JournalError, match="has no run"):
            await arm.documents.reconcile(journal, run_id=run_id)
    await send(arm, invoices(1), journal=journal, run_id="r")
    with pytest.raises(JournalError, match="has no run"):
        await arm.documents.reconcile(journal, run_id="other")
    with pytest.raises(JournalError, match="has no run"):
        await arm.for_client(2219).documents.reconcile(journal)
    with pytest.raises(ConfigurationError, match="settle"):
        await arm.documents.reconcile(journal, run_id="r", settle=0.1, resend_absent=True)
    assert (await the_run(journal, operation="documents.create_batch")).is_finished, "nothing of this has touched the run"

"""However a run ends: no thread, no open file and no lock is left, and no person is in the log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
import warnings
from dataclasses import replace

import pytest

from amili_arm_async import ArmError, ConfigurationError, Reconcile
from amili_arm_async.sandbox import Fault, Sandbox
from amili_arm_async.sqlite.worker import SqliteWorker

from ..support.sandbox_runs import (
    awaited,
    client_of,
    customer,
    ends_after,
    invoice,
    invoices,
    journal_threads,
    plan,
    quick,
    read_journal,
    send,
    until,
)

RUN = {"run_id": "2026-11-20"}


def open_files(folder) -> list[str]:
    """The files of a folder that this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [name for name in found if name.startswith(str(folder))]


async def success(arm, sandbox, options):
    await arm.documents.create_many(invoices(20), options=options)


async def a_source_that_raises(arm, sandbox, options):
    await arm.documents.create_many(ends_after(invoices(20)), options=options)


async def refused_credentials(arm, sandbox, options):
    sandbox.revoke_tokens()
    await arm.documents.create_many(invoices(20), options=options)


async def refused_calls(arm, sandbox, options):
    plan(sandbox, [None, Fault.status(403)])
    await arm.documents.create_many(invoices(20), options=options)


async def too_many_failures(arm, sandbox, options):
    plan(sandbox, [Fault.status(400)] * 20)
    await arm.documents.create_many(invoices(20), options=replace(options, stop_after_failures=3))


async def cancelled(arm, sandbox, options):
    sandbox.hold_processing()
    task = asyncio.create_task(awaited(arm.documents.create_many(invoices(20), options=options)))
    await until(lambda: sandbox.documents.total_taken >= 6)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def cancelled_at_once(arm, sandbox, options):
    task = asyncio.create_task(awaited(arm.documents.create_many(invoices(20), options=options)))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def left_early(arm, sandbox, options):
    async with arm.documents.create_many(invoices(200), options=options) as run:
        async for _ in run:
            break


async def an_error_in_the_loop(arm, sandbox, options):
    with contextlib.suppress(ZeroDivisionError):
        async with arm.documents.create_many(invoices(200), options=options) as run:
            async for _ in run:
                raise ZeroDivisionError


async def a_reconcile(arm, sandbox, options):
    plan(sandbox, [Fault.reset_after()])
    await arm.documents.create_many(invoices(20), options=options)
    await arm.documents.reconcile(options.journal, settle=0)


async def another_address(arm, sandbox, options):
    await arm.documents.create_many(invoices(2), options=options)
    async with Sandbox() as other, client_of(other) as elsewhere:
        with contextlib.suppress(ConfigurationError):
            await elsewhere.documents.create_many(invoices(2), options=options)


async def a_damaged_journal(arm, sandbox, options):
    options.journal.write_bytes(b"SQLite format 3\0" + bytes(500))
    await arm.documents.create_many(invoices(2), options=options)


async def locked_out(arm, sandbox, options):
    sandbox.hold_processing()
    async with arm.documents.create_many(invoices(2), options=options):
        await until(lambda: sandbox.documents.total_taken == 2)
        with contextlib.suppress(ArmError):
            await arm.documents.create_many(invoices(2), options=options)
        sandbox.release_processing()


ENDS = [
    success,
    a_source_that_raises,
    refused_credentials,
    refused_calls,
    too_many_failures,
    cancelled,
    cancelled_at_once,
    left_early,
    an_error_in_the_loop,
    a_reconcile,
    another_address,
    a_damaged_journal,
    locked_out,
]


@pytest.mark.parametrize(
    "end", [pytest.param(end, id=end.__name__, marks=[pytest.mark.needs_file] * (end in {a_damaged_journal, locked_out})) for end in ENDS]
)
async def test_no_thread_no_file_no_lock(arm, sandbox, folder, journal, end):
    options = quick(journal=journal, dead_letter=folder / "failed.jsonl", max_records=2, concurrency=3, **RUN)
    with contextlib.suppress(ArmError):
        await end(arm, sandbox, options)

    await until(lambda: not journal_threads())
    await until(lambda: not open_files(folder))
    gc.collect()
    if end is a_damaged_journal:
        return
    assert not any(run.running for run in await read_journal(journal))
    assert not open_files(folder)
    sandbox.release_processing()
    sandbox.clear_faults()
    if end is not refused_credentials:
        await send(arm, invoices(200), journal=journal, **RUN)
    async with client_of(sandbox) as fresh:
        await send(fresh, invoices(200), journal=journal, **RUN)
        assert not list(sandbox.documents.doubles())


async def test_many_runs_leave_nothing(arm, sandbox, folder, journal):
    for number in range(30):
        await send(arm, invoices(2), journal=journal, run_id=str(number % 3))
    await until(lambda: not journal_threads())
    assert not open_files(folder)


@pytest.mark.filterwarnings("ignore")
def test_a_loop_that_is_torn_down_leaves_no_process_hanging(folder, journal):
    """asyncio.run that ends with a run under way: cancelled, and closed."""

    async def main():
        async with Sandbox(require_customers=False) as sandbox, client_of(sandbox) as arm:
            sandbox.hold_processing()
            run = arm.documents.create_many(invoices(4), options=quick(journal=journal, **RUN))
            task = asyncio.create_task(awaited(run))
            await until(lambda: sandbox.documents.total_taken == 4)
            return task

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(main())
    for thread in journal_threads():
        thread.join(10)
    assert not journal_threads()
    (run,) = asyncio.run(read_journal(journal))
    assert not run.running
    assert sum(run.counts.values()) == 4


@pytest.mark.needs_file
@pytest.mark.parametrize("kind", ["run", "sync"])
async def test_a_file_that_fails_is_closed_before_the_run_ends(kind, arm, folder, monkeypatch):
    """Else its lock is still held where the caller runs again at once."""
    order, ended, file = [], threading.Event(), folder / "kept"
    options = {"max_records": 2, "on_progress": lambda _: file.unlink(missing_ok=True)}
    disconnect = SqliteWorker._disconnect

    def slowly(worker, connection):
        ended.wait(0.3)
        disconnect(worker, connection)
        order.append("closed")

    monkeypatch.setattr(SqliteWorker, "_disconnect", slowly)
    with pytest.raises(ArmError, match="was removed or replaced"):
        if kind == "run":
            await send(arm, invoices(40), journal=file, **options, **RUN)
        else:
            customers = [customer(str(number), "x") for number in range(40)]
            await arm.customers.sync(
                customers, state=file, options=quick(max_records=2, on_progress=lambda _: file.unlink(missing_ok=True))
            )
    order.append("ended")
    ended.set()

    assert order == ["closed", "ended"]


async def test_no_person_is_in_the_log(arm, sandbox, journal, folder, log_records, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "Kari-Nordmann-Hemmelig"
    sandbox.reject_record("NO-1", f"unknown person {secret}")
    options = {"journal": journal, "dead_letter": folder / "failed.jsonl", "max_records": 1, "concurrency": 1, **RUN}
    source = [
        invoice("NO-1", ledgerNote=secret),
        invoice("NO-2", ledgerNote=secret),
        invoice("NO-3", float("nan"), ledgerNote=secret),
        b'{"documentNo": "NO-4", "ledgerNote": "' + secret.encode() + b"\xff",
        invoice("NO-5", ledgerNote=secret),
        invoice("NO-2", 99, ledgerNote=secret),
    ]
    plan(sandbox, [None, Fault.reset_after(), Fault.status(400, body=b'{"message": "%s"}' % secret.encode())])
    outcome = await send(arm, source, **options)
    again = await send(arm, source, reconcile=Reconcile(settle=0), **options)
    await send(arm, [customer(secret, secret)], kind="customers", journal=journal, run_id="r")
    with contextlib.suppress(ArmError):
        await send(arm, ends_after(source, LookupError(secret)), **options)

    lines = [str(vars(record)) for record in (*log_records, *caplog.records)]
    assert lines
    for line in lines:
        assert secret not in line
        assert "NO-" not in line
    for text in (repr(outcome.report), repr(again.report), outcome.report.summary(), *map(repr, outcome.failures.values())):
        assert secret not in text

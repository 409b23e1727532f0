"""The files of a journal: their modes, what is refused and left as it is, and who may run what."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import shutil
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest

import amili_arm_async
from amili_arm_async import JournalError, adopt_journal, prune_journal
from amili_arm_async.sandbox import Fault

from ..support.sandbox_runs import awaited, customers, invoices, plan, quick, read_journal, send, the_run, until, writes

RUN = {"run_id": "2026-11-20"}


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but the lock, which holds nothing, and the mark."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and not path.name.endswith(("-lock", "-mark"))}


# --- modes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.needs_file
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("kind", ["documents", "customers"])
async def test_only_the_user_may_read_them(arm, sandbox, folder, journal, kind, umask):
    before = os.umask(umask)
    try:
        sandbox.hold_processing()
        records = invoices(6) if kind == "documents" else customers(6)
        resource = getattr(arm, kind)
        task = asyncio.create_task(awaited(resource.create_many(records, options=quick(journal=journal, max_records=2, **RUN))))
        await until(lambda: sandbox.open_batches == 3)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        # What customers were sent, may be sent again: their runs need no mark.
        mark = ["-mark"] if kind == "documents" else []
        assert modes == {f"nightly.sqlite{side}": 0o600 for side in ("", "-wal", "-shm", "-lock", *mark)}
        await read_journal(journal)
        sandbox.release_processing()
        await task
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {f"nightly.sqlite{side}": 0o600 for side in ("", "-lock", *mark)}
    assert (folder / "nightly.sqlite-lock").stat().st_size == 0


async def test_nothing_is_made_before_the_run_begins(arm, folder, journal):
    with pytest.warns(RuntimeWarning, match="nothing was sent"):
        arm.documents.create_many(invoices(1), options=quick(journal=journal, dead_letter=folder / "x", **RUN))
        gc.collect()
    assert not list(folder.iterdir())


# --- what is refused ----------------------------------------------------------------------------------------------------------


async def made(arm, sandbox, journal):
    """A journal with a run that is half done."""
    plan(sandbox, [None, Fault.reset_after()])
    await send(arm, invoices(200), journal=journal, max_records=20, **RUN)
    await send(arm, customers(300), kind="customers", journal=journal, max_records=20, **RUN)


def damaged_page(data: bytes) -> bytes:
    size = int.from_bytes(data[16:18], "big")
    size = 65_536 if size == 1 else size
    spoilt = bytearray(data)
    for page in range(1, len(data) // size):
        spoilt[page * size : page * size + 64] = random.Random(page).randbytes(64)
    return bytes(spoilt)


FOREIGN = {
    "empty": lambda data: b"",
    "text": lambda data: b"customerNo;name\n1;Kari\n" * 100,
    "noise": lambda data: random.Random(1).randbytes(200_000),
    "cut off": lambda data: data[: len(data) // 2],
    "cut off in a page": lambda data: data[:-1000],
    "its header alone": lambda data: data[:100],
    "another header": lambda data: b"\0" * 100 + data[100:],
    "spoilt pages": damaged_page,
    "a newer version": lambda data: data[:60] + (99).to_bytes(4, "big") + data[64:],
    "another application": lambda data: data[:68] + (1).to_bytes(4, "big") + data[72:],
}


@pytest.mark.parametrize("what", FOREIGN)
async def test_what_is_no_sound_journal_is_refused_and_left_as_it_is(arm, sandbox, folder, journal, what):
    await made(arm, sandbox, journal)
    journal.write_bytes(FOREIGN[what](journal.read_bytes()))
    await is_refused(arm, sandbox, folder, journal)


@pytest.mark.needs_file
@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_the_database_of_somebody_else_is_refused(arm, sandbox, folder, journal, mode):
    connection = sqlite3.connect(journal)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, run_id TEXT)")
    connection.execute("INSERT INTO runs VALUES (1, 'mine')")
    connection.commit()
    connection.close()
    await is_refused(arm, sandbox, folder, journal)


async def is_refused(arm, sandbox, folder, journal):
    before, sent = files(folder), writes(sandbox)
    for _ in range(2):
        for look in (
            lambda: send(arm, invoices(3), journal=journal, **RUN),
            lambda: send(arm, customers(3), kind="customers", journal=journal),
            lambda: arm.documents.reconcile(journal),
            lambda: read_journal(journal),
            lambda: prune_journal(journal, unfinished=True),
        ):
            with pytest.raises(JournalError, match=r"nightly\.sqlite"):
                await look()
            assert files(folder) == before
    assert writes(sandbox) == sent


@pytest.mark.needs_file
@pytest.mark.parametrize("what", ["a directory", "no directory", "below a file", "a pipe"])
async def test_a_place_that_is_none(arm, sandbox, folder, journal, what):
    if what == "a directory":
        journal.mkdir()
    elif what == "no directory":
        journal = folder / "none" / "nightly.sqlite"
    elif what == "below a file":
        journal.write_text("")
        journal = journal / "nightly.sqlite"
    else:
        os.mkfifo(journal)
    before = sorted(folder.iterdir())
    for _ in range(2):
        with pytest.raises(JournalError, match=r"nightly\.sqlite"):
            await asyncio.wait_for(awaited(arm.documents.create_many(invoices(1), options=quick(journal=journal, **RUN))), 5)
    assert writes(sandbox) == 0
    assert sorted(folder.iterdir()) == before


@pytest.mark.needs_file
async def test_what_a_crash_left_beside_it_is_taken_in(arm, sandbox, folder, journal):
    """The log of a journal whose process was killed: copied while a run goes on, so that it is there."""
    sandbox.hold_processing()
    task = asyncio.create_task(awaited(arm.documents.create_many(invoices(6), options=quick(journal=journal, max_records=2, **RUN))))
    await until(lambda: sandbox.open_batches == 3)
    copy = folder / "copy.sqlite"
    process = await asyncio.create_subprocess_shell(f"cp {journal} {copy} && cp {journal}-wal {copy}-wal")
    assert await process.wait() == 0
    sandbox.release_processing()
    await task

    assert Path(f"{copy}-wal").stat().st_size > 0
    outcome = await send(arm, invoices(6), journal=copy, **RUN)
    assert outcome.report.counts["done_before"] + outcome.report.counts["unknown"] == 6
    assert not list(sandbox.documents.doubles())


@pytest.mark.needs_file
async def test_a_journal_may_be_copied_when_nothing_goes_on(arm, sandbox, folder, journal):
    await send(arm, invoices(5), journal=journal, **RUN)
    assert set(files(folder)) == {"nightly.sqlite"}, "all is in the one file"
    shutil.copy(journal, folder / "copy.sqlite")
    assert await adopt_journal(folder / "copy.sqlite")
    assert (await send(arm, invoices(5), journal=folder / "copy.sqlite", **RUN)).counts == {"done_before": 5}


async def test_a_run_goes_on_while_others_look_at_its_journal(arm, sandbox, journal):
    """To open and close the file must not end the locks that keep its log in place."""
    records = invoices(300)
    run = arm.documents.create_many(records, options=quick(journal=journal, max_records=5, concurrency=2, **RUN))
    task = asyncio.create_task(awaited(run))
    looks = 0
    while not task.done():
        if journal.exists():
            runs = await read_journal(journal, keys=True)
            if runs and not task.done():
                (one,) = runs
                looks += 1
                assert sum(one.counts.values()) <= 300
        await asyncio.sleep(0)
    assert (await task).counts["succeeded"] == 300
    assert looks > 3
    assert (await the_run(journal)).counts == {"succeeded": 300}


# --- who runs what ----------------------------------------------------------------------------------------------------------


@pytest.mark.needs_file
async def test_another_process_runs_it(arm, sandbox, journal):
    root = Path(amili_arm_async.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(Path(__file__).parents[2])])}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.journal.holder", sandbox.base_url, sandbox.token, str(journal), RUN["run_id"]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"running\n"
        for _ in range(2):
            with pytest.raises(JournalError, match=f"in process {process.pid}"):
                await send(arm, invoices(4), journal=journal, **RUN)
        with pytest.raises(JournalError, match="already in progress"):
            await arm.documents.reconcile(journal)
        with closing(sqlite3.connect(journal, isolation_level=None)) as writes_too:
            # Only one at a time may write: nobody waits for that only to hear that the run is going on.
            writes_too.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError, match=f"in process {process.pid}"):
                await send(arm, invoices(4), journal=journal, **RUN)
        assert (await the_run(journal)).running
        assert await prune_journal(journal, unfinished=True) == 0
        assert (await send(arm, invoices(2, start=50), journal=journal, run_id="another")).counts == {"succeeded": 2}
        outcome, _ = await asyncio.wait_for(process.communicate(b"go on\n"), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert outcome == b"4 succeeded\n"
    run = await the_run(journal, run_id=RUN["run_id"])
    assert run.attempts == 1
    assert not run.running
    assert (await send(arm, invoices(4), journal=journal, **RUN)).counts == {"done_before": 4}
    assert not list(sandbox.documents.doubles())


async def test_a_process_that_was_killed_has_nothing_any_more(arm, sandbox, journal):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.journal.holder", sandbox.base_url, sandbox.token, str(journal), RUN["run_id"]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(amili_arm_async.__file__).parents[1])},
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"running\n"
    await until(lambda: sandbox.documents.total_taken == 1)
    process.kill()
    await process.wait()

    outcome = await send(arm, invoices(4), journal=journal, **RUN)

    assert outcome.report.counts["done_before"] + outcome.report.counts["unknown"] == 1
    assert outcome.report.counts["succeeded"] == 3
    assert not list(sandbox.documents.doubles())

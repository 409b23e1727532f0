"""The same run twice at once: the second gets a clear error and sends nothing, whatever the first one is doing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import amili_arm_async

from .accounts import check_once, make_client, quick
from .control import Tenant
from .crash import Trial
from .fork_server import Child
from .sources import Source

pytestmark = pytest.mark.proof

MakeTrial = Callable[..., Trial]


def held(trial: Trial, **settings: object) -> Child:
    """An attempt whose first batch is on the wire, and is held there."""
    trial.tenant.plan(faults=["hold"] * 8)
    child = trial.start(**settings)
    trial.tenant.wait(whole=1)
    return child


def is_refused(trial: Trial, **settings: object) -> None:
    """A further attempt says that the run is going on, and sends nothing."""
    found = trial.attempt(**settings)
    assert found is not None
    assert found["ended"] == "JournalError", trial.story(found.get("traceback", str(found)))
    assert not trial.writes_of(trial.tenant.truth(peek=True)), trial.story("the second one sent something")


def ends(trial: Trial, child: Child) -> None:
    """The first one goes on to its end, and nothing was taken twice."""
    trial.tenant.plan(well=True)
    trial.tenant.release()
    found = child.wait()
    assert found is not None
    assert found["ended"] == "report", trial.story(found.get("traceback", str(found)))
    assert found["counts"]["succeeded"] == trial.source.count
    check_once(trial.source.records(), trial.tenant.truth())


READ = {"read": 20}


def test_the_second_process_is_refused(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 30)
    child = held(trial, **READ)
    is_refused(trial)
    is_refused(trial)
    ends(trial, child)
    assert trial.finish().counts["done_before"] == 30


def test_also_where_the_first_one_stands_still(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 30)
    child = held(trial, **READ)
    os.kill(child.pid, signal.SIGSTOP)
    try:
        is_refused(trial)
    finally:
        os.kill(child.pid, signal.SIGCONT)
    ends(trial, child)


@pytest.mark.parametrize("point", ["intent_uncommitted", "uuid_uncommitted", "result_uncommitted"])
def test_also_where_the_first_one_stands_still_in_the_middle_of_writing(make_trial: MakeTrial, point: str) -> None:
    """Only one at a time may write to the file: the second one does not wait for that, it says who has the run."""
    trial = make_trial("documents", 30)
    child = trial.start(kill={"point": point, "stop": True}, **READ)
    child.wait_stopped()
    try:
        found = trial.attempt()
    finally:
        os.kill(child.pid, signal.SIGCONT)
    assert found is not None
    assert found["ended"] == "JournalError", trial.story(found.get("traceback", str(found)))
    assert f"already in progress in process {child.pid}" in found["text"]
    assert not trial.writes_of(trial.tenant.truth(peek=True)), trial.story("the second one sent something")
    ends(trial, child)


@pytest.mark.parametrize("how", ["link", "relative", "dots"])
def test_also_by_another_way_to_write_the_path(make_trial: MakeTrial, tmp_path: Path, how: str) -> None:
    trial = make_trial("documents", 30)
    child = held(trial, **READ)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link.sqlite").symlink_to(trial.journal)
    path, trial.journal = (
        trial.journal,
        {
            "link": tmp_path / "folder" / "link.sqlite",
            "relative": Path(trial.journal.name),
            "dots": tmp_path / "folder" / ".." / trial.journal.name,
        }[how],
    )
    is_refused(trial, folder=str(tmp_path))
    trial.journal = path
    ends(trial, child)


def test_many_that_begin_at_the_same_time(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 40)
    children = [trial.start() for _ in range(5)]
    found = [child.wait() for child in children]
    outcomes = sorted(settings["ended"] for settings in found if settings is not None)
    assert set(outcomes) <= {"report", "JournalError"}, trial.story(f"{found}")
    assert "report" in outcomes
    check_once(trial.source.records(), trial.tenant.truth())
    assert trial.finish().states.count("success") == 40


def test_a_killed_one_holds_nothing(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 30)
    child = held(trial, **READ)
    child.kill()
    assert child.wait() is None
    trial.kills += 1
    trial.tenant.plan(well=True)
    trial.tenant.release()
    trial.finish()


def test_another_run_of_the_same_journal_at_once(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 30)
    child = held(trial, **READ)
    other = make_trial("customers", 30, run_id="another")
    other.journal = trial.journal
    other.finish()
    is_refused(trial)
    ends(trial, child)
    assert trial.finish().counts["done_before"] == 30
    assert other.finish().states.count("success") == 30


# --- within one process ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def begun(tenant: Tenant, journal: Path, source: Source, **more: object) -> AsyncIterator[asyncio.Task[Any]]:
    """A run in this process whose first batch is held at the server."""

    async def whole() -> Any:
        async with make_client(tenant, read=20, user_id="first") as arm:
            return await arm.documents.create_many(
                source.yielded(source.order(0), 0), options=quick(journal=str(journal), run_id="2026-11-20", **more)
            )

    tenant.plan(faults=["hold"])
    task = asyncio.create_task(whole())
    try:
        await asyncio.to_thread(tenant.wait, whole=1)
        yield task
    finally:
        tenant.plan(well=True)
        tenant.release()
        task.cancel()
        await asyncio.wait([task], timeout=20)


async def refused_here(tenant: Tenant, journal: Path, source: Source) -> None:
    async with make_client(tenant, user_id="second") as arm:
        run = arm.documents.create_many(source.yielded(source.order(1), 1), options=quick(journal=str(journal), run_id="2026-11-20"))
        with pytest.raises(amili_arm_async.JournalError):
            await run
    assert not any(write["user"] == "second" for write in tenant.truth(peek=True).writes)


async def let_end(tenant: Tenant, source: Source, task: asyncio.Task[Any]) -> None:
    tenant.plan(well=True)
    tenant.release()
    report = await asyncio.wait_for(task, 20)
    assert report.counts["succeeded"] == source.count
    truth = await asyncio.to_thread(tenant.truth)
    check_once(source.records(), truth)


async def test_the_second_in_the_same_process_is_refused_and_the_third_in_another_one_too(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 30)
    tenant, source = trial.tenant, trial.source
    async with begun(tenant, trial.journal, source) as task:
        await refused_here(tenant, trial.journal, source)
        await refused_here(tenant, trial.journal, source)
        trial.attempts = 5
        await asyncio.to_thread(is_refused, trial)
        await refused_here(tenant, trial.journal, source)
        await let_end(tenant, source, task)


async def test_reading_the_journal_lets_nobody_else_in(make_trial: MakeTrial) -> None:
    """Closing a file ends all locks that the process has on it (POSIX): reading must not open it in that way."""
    trial = make_trial("documents", 30)
    async with begun(trial.tenant, trial.journal, trial.source) as task:
        runs = await amili_arm_async.read_journal(str(trial.journal))
        assert [run.running for run in runs] == [True]
        trial.attempts = 5
        await asyncio.to_thread(is_refused, trial)
        removed = await amili_arm_async.prune_journal(str(trial.journal), unfinished=True)
        assert removed == 0
        await let_end(trial.tenant, trial.source, task)


def test_what_was_written_while_others_read_survives_a_kill(make_trial: MakeTrial) -> None:
    """A run opens the journal, another one of the same process too, a third process reads it; then the process is killed.

    SQLite deletes the log beside the journal when the last one closes it. Who is the last one, it knows by locks; where they were lost,
    the log goes while it is written to, and with it all that the journal promised.
    """
    trial = make_trial("documents", 60, options={"concurrency": 1})
    trial.kill_at({"point": "result_known", "count": 9}, beside=16)
    account = trial.finish()
    # Nothing that was durable is lost: eight batches were done.
    assert account.counts["done_before"] >= 8 * 4, trial.story(f"{account.counts}")


async def test_a_run_that_was_cancelled_holds_nothing(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 30)
    async with begun(trial.tenant, trial.journal, trial.source) as task:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    trial.attempts, trial.kills = 1, 1
    account = await asyncio.to_thread(trial.finish)
    assert account.states.count("unknown") <= 5

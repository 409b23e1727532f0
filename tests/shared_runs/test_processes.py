"""Processes that die, freeze, come twice, or lose their database: no document is taken twice, and each has its state in the report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amili_arm_async import ArmClient, BulkReport, Reconcile, adopt_journal
from amili_arm_async.resources.shared_run import SharedReport
from amili_arm_async.sandbox import Sandbox

from ..support.postgres import Server
from ..support.sandbox_runs import quick, until
from .samples import PARTS, RUN_ID, own
from .worker import POINTS

ROOT = Path(__file__).parents[2]
PART = 2
NUMBER = len(own(PART))
OPEN = {"after the intent", "before the 202 is recorded"}


class Worker:
    """A worker in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def is_frozen(self) -> bool:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def wake_up(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    async def result(self) -> dict[str, Any]:
        """What it says in the end."""
        said, errors = await self.process.communicate()
        assert self.process.returncode == 0, errors.decode()
        assert said.startswith(b"{"), (said, errors)
        found: dict[str, Any] = msgspec.json.decode(said)
        return found

    async def killed(self) -> None:
        await self.process.wait()
        assert self.process.returncode == -signal.SIGKILL


class Workers:
    """Starts workers, and ends those that are left."""

    def __init__(self, database: str, sandbox: Sandbox) -> None:
        self._common = {"database": database, "base_url": sandbox.base_url, "token": sandbox.token, "part": PART}
        self._started: list[asyncio.subprocess.Process] = []

    async def start(self, **task: Any) -> Worker:
        arguments = "-m", "tests.shared_runs.worker", msgspec.json.encode({**self._common, **task}).decode()
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=pipe, stderr=pipe)
        self._started.append(process)
        return Worker(process)

    async def end(self) -> None:
        for process in self._started:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.communicate()


@pytest.fixture
async def workers(database: str, sandbox: Sandbox) -> AsyncIterator[Workers]:
    made = Workers(database, sandbox)
    yield made
    await made.end()


async def merged(arm: ArmClient, database: str) -> SharedReport:
    async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=quick()) as run:
        return await run.report()


def taken(sandbox: Sandbox) -> list[int]:
    """How often the service took each document of the part."""
    return [sandbox.documents.taken(document["documentNo"]) for document in own(PART)]


async def assert_nothing_is_twice_or_lost(arm: ArmClient, sandbox: Sandbox, database: str, *, unknown: bool = False) -> None:
    report = await merged(arm, database)
    assert sum(report.counts.values()) == NUMBER
    assert max(taken(sandbox)) == 1
    assert list(sandbox.documents.doubles()) == []
    # Each that is not known to have succeeded is named, and the others were taken.
    assert sum(taken(sandbox)) >= report.counts.get("succeeded", 0)
    assert report.counts.keys() <= ({"succeeded", "unknown"} if unknown else {"succeeded"})
    money = report.to_schema().parts[0].money
    assert money is not None
    (currency,) = money.currencies
    assert {state: amount.count for state, amount in currency.states.items()} == report.counts


# --- death ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [pytest.param(point, marks=() if point == "after the intent" else pytest.mark.proof) for point in POINTS])
async def test_a_worker_dies_and_another_one_goes_on(arm: ArmClient, sandbox: Sandbox, database: str, workers: Workers, point: str) -> None:
    first = await workers.start(point=point)
    await first.killed()
    second = await (await workers.start()).result()
    assert second["error"] is None
    # What was about to leave, or had left without an answer on record, is not known, and not sent again: one batch, and one more.
    assert second["counts"].get("unknown", 0) in ({3, 6} if point in OPEN else {0, 3})
    await assert_nothing_is_twice_or_lost(arm, sandbox, database, unknown=True)


async def test_what_a_process_that_may_be_frozen_was_about_to_send_is_sent_again_only_on_somebodys_word(
    arm: ArmClient, sandbox: Sandbox, database: str, workers: Workers, postgres: Server
) -> None:
    await (await workers.start(point="after the intent")).killed()
    # As if it had run on another machine, where nobody knows whether it still does.
    postgres.execute('UPDATE amili_arm.parts SET owner = replace(owner, \'"space":"\', \'"space":"elsewhere \')')
    postgres.execute("UPDATE amili_arm.runs SET deadline = 0.05")
    settle = Reconcile(settle=0.06, resend_absent=True)
    options = quick(journal=database, run_id=RUN_ID, deadline=0.05, max_records=3, reconcile=settle)

    async def sent() -> BulkReport:
        async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, lease=1.0, options=options) as run:
            return await run.send_part(PART, own(PART))

    for _ in range(2):
        report = await sent()
        assert report.counts["unknown"] in {3, 6}
        assert all("is not known to have ended: so it is not sent again" in (failure.message or "") for failure in report.failures())
        assert sandbox.documents.total_taken == NUMBER - report.counts["unknown"]
    assert "it is not known that they have ended" in (await adopt_journal(database) or "")
    assert (await sent()).counts["unknown"] == 0
    assert taken(sandbox) == [1] * NUMBER
    assert await adopt_journal(database) is None


# --- a process that froze -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [pytest.param(point, marks=() if point == "after the intent" else pytest.mark.proof) for point in POINTS])
async def test_a_frozen_worker_wakes_up_after_two_rivals(
    arm: ArmClient, sandbox: Sandbox, database: str, workers: Workers, point: str
) -> None:
    frozen = await workers.start(point=point, freezes=True)
    await until(lambda: frozen.is_frozen)
    rivals = [await workers.start() for _ in range(2)]
    results = [await rival.result() for rival in rivals]
    assert [result["error"] for result in results] == [None, None]
    assert any("done_before" in result["counts"] for result in results)
    frozen.wake_up()
    said = await frozen.result()
    assert "another process has taken over" in said["error"]
    await assert_nothing_is_twice_or_lost(arm, sandbox, database, unknown=True)


# --- the same part twice --------------------------------------------------------------------------------------------------


async def test_a_twin_waits_and_finds_all_done(arm: ArmClient, sandbox: Sandbox, database: str, workers: Workers) -> None:
    first = await workers.start(slowly=0.1)
    await until(lambda: sandbox.documents.total_taken > 0)
    twins = [first, await workers.start(), await workers.start()]
    results = [await twin.result() for twin in twins]
    assert [result["error"] for result in results] == [None] * 3
    assert sorted(str(result["counts"]) for result in results) == [*[str({"done_before": NUMBER})] * 2, str({"succeeded": NUMBER})]
    await assert_nothing_is_twice_or_lost(arm, sandbox, database)


# --- a database that is away ----------------------------------------------------------------------------------------------


@pytest.mark.proof
async def test_nothing_leaves_while_the_database_is_away(
    arm: ArmClient, sandbox: Sandbox, database: str, workers: Workers, postgres: Server
) -> None:
    worker = await workers.start(slowly=0.05, patience=1.0)
    await until(lambda: sandbox.documents.total_taken > 0)
    await asyncio.to_thread(postgres.stop, "immediate")
    try:
        said = await worker.result()
        assert "can't be used" in said["error"]
        before = sandbox.documents.total_taken
    finally:
        await asyncio.to_thread(postgres.start)
    after = await (await workers.start()).result()
    assert after["error"] is None
    assert before < NUMBER
    await assert_nothing_is_twice_or_lost(arm, sandbox, database, unknown=True)


@pytest.mark.proof
async def test_a_database_that_restarts_is_waited_for(
    arm: ArmClient, sandbox: Sandbox, database: str, workers: Workers, postgres: Server
) -> None:
    worker = await workers.start(slowly=0.05)
    await until(lambda: sandbox.documents.total_taken > 0)
    await asyncio.to_thread(postgres.stop, "immediate")
    await asyncio.to_thread(postgres.start)
    assert (await worker.result())["error"] is None
    await assert_nothing_is_twice_or_lost(arm, sandbox, database)


# --- a driver that dies ---------------------------------------------------------------------------------------------------


@pytest.mark.proof
async def test_the_report_is_made_from_the_journal_alone(arm: ArmClient, sandbox: Sandbox, database: str, workers: Workers) -> None:
    """Whoever started the workers is gone: another process reads the report."""
    for part in range(PARTS):
        assert (await (await workers.start(part=part)).result())["error"] is None
    report = await merged(arm, database)
    assert report.ok
    assert report.counts == {"succeeded": 60}
    assert sandbox.documents.total_taken == 60

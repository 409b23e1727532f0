"""The life of a run in its journal as a state machine: attempts that end in every way, crashes, reconciles; no document is taken twice.

A crash is a copy of the journal as it is on the disk at some moment, from which the next attempt goes on. From that moment on the
process that crashed reaches the server no more: whatever it does then has not happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amili_arm_async import ArmError, BulkError, Reconcile, read_journal
from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_runs import (
    FAULTS,
    awaited,
    client_of,
    ends_after,
    invoice,
    journal_threads,
    outcome_of,
    plan,
    quick,
    snapshot,
    until,
)

RUN = {"run_id": "2026-11-20"}
CLIENT = 2218
ALWAYS_FAILS = "D-FAILS"

FATES = st.lists(st.sampled_from(["ok", "ok", "ok", *sorted(set(FAULTS) - {"ok"})]), max_size=6)
HANGS = {"hangs": Fault.hang_before(), "hangs taken": Fault.hang_after()}
CUT_FATES = st.lists(st.sampled_from(["ok", "ok", "hangs", "hangs taken", "hangs taken", *sorted(set(FAULTS) - {"ok"})]), max_size=6)
"""What may happen to the batches of an attempt that does not end by itself."""

SHAPE = st.fixed_dictionaries(
    {"max_records": st.integers(1, 4), "concurrency": st.integers(1, 3), "results": st.sampled_from(["wait", "wait", "accepted"])}
)
ORDER = st.integers(0, 1000)


def the_source() -> list[dict]:
    numbered = [invoice(f"D{number}", number) for number in range(6)]
    bare = [invoice(None, number % 3) for number in range(6)]
    return [*numbered, *bare, invoice(ALWAYS_FAILS, 7)]


class LifeOfARun(RuleBasedStateMachine):
    """What is known of a run is checked against what the server knows."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.journal = Path(self.folder.name) / "0.sqlite"
        self.crashes = 0
        self.stack = contextlib.AsyncExitStack()
        self.source = the_source()
        self.wanted = Counter(self.key(record) for record in self.source)
        self.begun = self.still = False

    def key(self, record) -> str:
        return record.get("documentNo") or f"bare {record['currencyAmounts']['exclVat']}"

    @initialize()
    def start(self) -> None:
        async def started():
            sandbox = await self.stack.enter_async_context(Sandbox(process_delay=0.0, require_customers=False, seed=1))
            return sandbox, await self.stack.enter_async_context(client_of(sandbox))

        self.sandbox, self.arm = self.runner.run(started())
        self.sandbox.reject_record(ALWAYS_FAILS)

    # --- what may happen ------------------------------------------------------------------------------------------------------

    @rule(order=ORDER, fates=FATES, shape=SHAPE, stop=st.one_of(st.none(), st.none(), st.integers(0, 12)), look=st.booleans())
    def attempt(self, order, fates, shape, stop, look) -> None:
        """An attempt that ends by itself: well, or because its source raises, or because the server refuses all."""

        async def attempted():
            records = self.shuffled(order)
            plan(self.sandbox, [FAULTS[fate] for fate in fates])
            source = records if stop is None else ends_after(records[:stop])
            run = self.arm.documents.create_many(source, options=self.options(shape, look))
            ended = False
            with contextlib.suppress(BulkError):
                await run
                ended = True
            self.sandbox.clear_faults()
            assert ended or stop is not None or "forbidden" in fates
            self.check_report(run.report, records, whole=ended)
            if ended:
                await self.journal_says_the_same(run.report)

        self.begun = True
        self.runner.run(attempted())

    @rule(order=ORDER, fates=CUT_FATES, shape=SHAPE, turns=st.integers(1, 250))
    def cancelled(self, order, fates, shape, turns) -> None:
        """An attempt that is cancelled at some moment."""

        async def attempted():
            records = self.shuffled(order)
            plan(self.sandbox, [{**FAULTS, **HANGS}[fate] for fate in fates])
            run = self.arm.documents.create_many(records, options=self.options(shape, look=False))
            await self.cancel(run, turns, fates)
            self.sandbox.clear_faults()
            self.check_report(run.report, records, whole=False)

        self.begun = True
        self.runner.run(attempted())

    @rule(order=ORDER, fates=CUT_FATES, shape=SHAPE, turns=st.integers(1, 250), look=st.booleans())
    def crash(self, order, fates, shape, turns, look) -> None:
        """An attempt that is there no more from some moment on."""

        async def attempted():
            plan(self.sandbox, [{**FAULTS, **HANGS}[fate] for fate in fates])
            run = self.arm.documents.create_many(self.shuffled(order), options=self.options(shape, look))
            task = asyncio.create_task(awaited(run))
            for _ in range(turns):
                await asyncio.sleep(0)
                if task.done():
                    break
            self.crash_now()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ArmError):
                await task
            await until(lambda: not journal_threads())
            self.sandbox.clear_faults()
            await self.settled()

        self.begun = True
        self.runner.run(attempted())

    @precondition(lambda self: self.begun)
    @rule(
        answers=st.lists(st.sampled_from(["ok", "ok", "error", "lost"]), max_size=6),
        turns=st.one_of(st.none(), st.none(), st.integers(1, 150)),
        dies=st.booleans(),
    )
    def reconcile(self, answers, turns, dies) -> None:
        """A reconcile alone, with look-ups that fail; it may be cancelled, or the process may die in it."""

        async def reconciled():
            if not await self.runs():
                return
            await self.settled()
            faults = {"ok": None, "error": Fault.status(500), "lost": Fault.reset_before()}
            plan(self.sandbox, [faults[answer] for answer in answers], method="GET", path="/documents/")
            before = (await self.runs())[0]
            task = asyncio.create_task(self.looked_up())
            if turns is not None:
                for _ in range(turns):
                    await asyncio.sleep(0)
                if dies:
                    self.crash_now()
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                report = await task
                outcome = outcome_of(report)
                after = (await self.runs())[0]
                assert after.counts.get("succeeded", 0) == before.counts.get("succeeded", 0) + outcome.report.counts["succeeded"]
                assert after.ended == before.ended
                assert self.still or not after.open_batches
                assert after.counts.get("unknown", 0) == outcome.report.counts["unknown"]
            await until(lambda: not journal_threads())
            self.sandbox.clear_faults()

        self.runner.run(reconciled())

    async def looked_up(self):
        return await self.arm.documents.reconcile(self.journal, settle=0, options=quick())

    @rule()
    def processing_stands_still(self) -> None:
        self.still = True
        self.sandbox.hold_processing()

    @rule()
    def processing_goes_on(self) -> None:
        self.still = False
        self.sandbox.release_processing()
        self.runner.run(self.settled())

    # --- what must be true ----------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_taken_more_often_than_the_source_holds_it(self) -> None:
        if not hasattr(self, "sandbox"):
            return
        for record in self.source:
            if (key := self.key(record)) != ALWAYS_FAILS:
                assert self.sandbox.documents.taken(record) <= self.wanted[key], key

    @invariant()
    def the_journal_calls_nothing_done_that_the_server_has_not_stored(self) -> None:
        if not self.begun:
            return

        async def checked():
            for run in await self.runs():
                assert not run.running
                assert run.counts.get("succeeded", 0) <= len(self.sandbox.documents)
                everything = Counter(run.counts)
                assert everything["succeeded"] + everything["unknown"] + everything["accepted"] <= len(self.source)

        self.runner.run(checked())

    def check_report(self, report, records, *, whole: bool) -> None:
        """The counts add up; what is called done is with the server, of each content as often."""
        outcome = outcome_of(report)
        if whole:
            assert report.totals.records_read == len(records)
            assert report.left_behind == {}
        successes = Counter(
            self.key(record) for index, record in enumerate(records[: report.totals.records_read]) if outcome.state(index) == "succeeded"
        )
        if outcome.report.counts["accepted"] and not any(one.state == "accepted" for one in outcome.failures.values()):
            return  # with results="accepted" nobody says which of them
        for record in records:
            assert successes[self.key(record)] <= self.sandbox.documents.stored(record)
        assert not successes[ALWAYS_FAILS]

    async def journal_says_the_same(self, report) -> None:
        """After an attempt that was done to its end, the journal counts each record of the source once, as the report does."""
        expected = Counter({state: number for state, number in report.counts.items() if number})
        expected["succeeded"] += expected.pop("done_before", 0)
        (run,) = await self.runs()
        assert +Counter(run.counts) == +expected
        assert run.ended is not None

    def teardown(self) -> None:
        if hasattr(self, "sandbox"):
            self.runner.run(self.ends_well())
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    async def ends_well(self) -> None:
        """After a quiet night or two all is known that can be known, and a further one sends nothing."""
        self.sandbox.clear_faults()
        self.sandbox.release_processing()
        await self.sandbox.settled()
        shape = {"max_records": 5, "concurrency": 2, "results": "wait"}
        for _ in range(2):
            report = await self.arm.documents.create_many(self.shuffled(1), options=self.options(shape, look=True))
        outcome = outcome_of(report)
        self.check_report(report, self.shuffled(1), whole=True)
        bare = sum(one.key is None for one in outcome.failures.values())
        assert {one.state for one in outcome.failures.values() if one.key is None} <= {"unknown"}
        assert {(one.key, one.state) for one in outcome.failures.values() if one.key is not None} <= {(ALWAYS_FAILS, "failed")} | {
            (one.key, "unknown") for one in outcome.failures.values() if one.reason in {"absent", "batch_taken"}
        }
        for record in self.source:
            if record.get("documentNo") and self.key(record) != ALWAYS_FAILS:
                named = [one for one in outcome.failures.values() if one.key == record["documentNo"]]
                assert bool(named) != (self.sandbox.documents.taken(record) == 1), "it is there, or it is named"
        assert outcome.report.counts["succeeded"] + outcome.report.counts["done_before"] >= len(self.source) - bare - 1 - 6
        self.nothing_is_taken_more_often_than_the_source_holds_it()
        taken = self.sandbox.documents.total_taken - self.sandbox.documents.taken(ALWAYS_FAILS)
        await self.arm.documents.create_many(self.shuffled(2), options=self.options(shape, look=False))
        assert self.sandbox.documents.total_taken - self.sandbox.documents.taken(ALWAYS_FAILS) == taken

    # --- helpers --------------------------------------------------------------------------------------------------------------

    def options(self, shape, look: bool):
        more = {"reconcile": Reconcile(settle=0, concurrency=2)} if look else {}
        # Where processing stands still, nobody waits for long.
        return quick(journal=self.journal, deadline=0.05, **RUN, **shape, **more)

    def shuffled(self, order: int) -> list[dict]:
        return random.Random(order).sample(self.source, len(self.source))

    async def settled(self) -> None:
        if not self.still:
            await self.sandbox.settled()

    async def runs(self):
        return await read_journal(self.journal) if self.journal.exists() else []

    async def cancel(self, run, turns: int, fates) -> None:
        task = asyncio.create_task(awaited(run))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, *([BulkError] if "forbidden" in fates else [])):
            await task
        # What was cancelled while it began lets its lock go a moment later.
        await until(lambda: not journal_threads())

    def crash_now(self) -> None:
        """From here on the process reaches the server no more, and its journal stays as it is on the disk now."""
        self.sandbox.clear_faults()
        self.sandbox.inject(Fault.reset_before(), times=None)
        self.crashes += 1
        after = Path(self.folder.name) / f"{self.crashes}.sqlite"
        if self.journal.exists():
            snapshot(self.journal, after)
        self.journal = after


LifeOfARun.TestCase.settings = settings(
    max_examples=20, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
class TestLifeOfARun(LifeOfARun.TestCase):  # type: ignore[name-defined,misc]
    """What pytest runs."""

"""A storm: a process is killed again and again, and in between somebody puts old copies of its journal back, removes it or its mark.

No document is taken twice, whatever happens to the file; and in the end, when all that left has settled, each was taken, or is named. What
is named then are documents of a batch that was cut off: others of it were sent by an attempt that the journal does not know of, so it
looks taken.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import pytest

from amili_arm_async.sandbox import Fault, Sandbox

from ..support.sandbox_runs import client_of, invoices, journal_threads, outcome_of, send, until

pytestmark = pytest.mark.proof

COUNT = 60
DEADLINE = 0.3

PROGRAM = f"""
import asyncio, random, sys
from amili_arm_async import ArmClient, BulkError
from tests.support.sandbox_runs import QUICK, invoices, quick

async def main(base_url, token, journal, seed):
    records = invoices({COUNT})
    random.Random(int(seed)).shuffle(records)
    async with ArmClient(2218, auth=token, base_url=base_url, retry=QUICK) as arm:
        options = quick(journal=journal, run_id="night", max_records=5, concurrency=3, deadline={DEADLINE})
        await arm.documents.create_many(records, options=options)

asyncio.run(main(*sys.argv[1:]))
"""


def put_back(rng: random.Random, journal: Path, copies: list[Path]) -> str:
    """Something that happens to the journal while no process has it open."""
    what = rng.choice(["nothing", "copied", "copied", "removed", "put back", "put in", "mark removed", "log removed"])
    mark = journal.with_name(journal.name + "-mark")
    sides = [journal.with_name(journal.name + side) for side in ("-wal", "-shm")]
    if what == "copied" and journal.exists():
        copies.append(journal.with_name(f"copy{len(copies)}"))
        for side in ("", "-wal"):
            if (source := journal.with_name(journal.name + side)).exists():
                shutil.copy(source, f"{copies[-1]}{side}")
    elif what == "removed":
        for path in (journal, *sides):
            path.unlink(missing_ok=True)
    elif what in {"put back", "put in"} and copies:
        copy = rng.choice(copies)
        for path in (journal, *sides) if what == "put back" else sides:
            path.unlink(missing_ok=True)
        journal.write_bytes(copy.read_bytes())
        if (log := Path(f"{copy}-wal")).exists():
            sides[0].write_bytes(log.read_bytes())
    elif what == "mark removed":
        mark.unlink(missing_ok=True)
    elif what == "log removed":
        for path in sides:
            path.unlink(missing_ok=True)
    return what


@pytest.mark.parametrize("seed", range(int(os.environ.get("STORMS", "3"))))
async def test_no_document_is_taken_twice(tmp_path, seed):
    rng, journal, copies, story = random.Random(seed), tmp_path / "nightly.sqlite", list[Path](), []
    async with Sandbox(process_delay=0.02, require_customers=False, seed=seed) as sandbox:
        for _ in range(8):
            # On an event of the server, not at a time.
            most = sum(sandbox.requests.values()) + rng.randrange(1, 30)
            if rng.random() < 0.5:
                sandbox.inject(rng.choice([Fault.reset_before(), Fault.reset_after()]), method="POST", path="documents/batches")
            given = [sandbox.base_url, sandbox.token, str(journal), str(rng.randrange(1000))]
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *given, stderr=asyncio.subprocess.DEVNULL)
            async with asyncio.timeout(60):
                while sum(sandbox.requests.values()) < most and process.returncode is None:
                    await asyncio.sleep(0)
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
            story.append(put_back(rng, journal, copies))
        sandbox.clear_faults()
        await sandbox.settled()
        assert not list(sandbox.documents.doubles()), story

        async with client_of(sandbox) as arm, asyncio.timeout(120):
            while True:
                outcome = await send(arm, invoices(COUNT), journal=journal, run_id="night", deadline=DEADLINE)
                if set(outcome.reasons) <= {"unknown/batch_taken"}:
                    break
                assert {one.state for one in outcome.failures.values()} == {"unknown"}, (story, outcome.reasons)
                outcome_of(await arm.documents.reconcile(journal, settle=2 * DEADLINE, resend_absent=True))
                await until(lambda: not journal_threads())
        assert not list(sandbox.documents.doubles()), story
        named = {one.key for one in outcome.failures.values()}
        missing = {one["documentNo"] for one in invoices(COUNT) if not sandbox.documents.taken(one["documentNo"])}
        assert missing <= named, story

"""The report over all parts is of one moment, whatever other processes write while it is read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amili_arm_async import ArmClient
from amili_arm_async.bulk.journal.postgres import shared_reading
from amili_arm_async.sandbox import Sandbox

from ..support.sandbox_runs import quick
from .samples import DOCUMENTS, PARTS, RUN_ID, own


async def test_what_is_sent_while_the_report_is_read_is_not_in_it(
    arm: ArmClient, sandbox: Sandbox, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for document in DOCUMENTS:
        sandbox.reject_record(document["documentNo"], "no such district")
    loop, read = asyncio.get_running_loop(), shared_reading.read

    def read_and_wait(*arguments: Any) -> Any:
        found = read(*arguments)
        # Another process sends the part now.
        asyncio.run_coroutine_threadsafe(send(), loop).result()
        return found

    async with arm.documents.shared_run(database, run_id=RUN_ID, parts=PARTS, options=quick()) as run:

        async def send() -> None:
            await run.send_part(1, own(1))

        monkeypatch.setattr(shared_reading, "read", read_and_wait)
        part = (await run.report()).to_schema().parts[0]
        monkeypatch.undo()
        assert (part.counts, part.reasons) == ({}, [])
        part = (await run.report()).to_schema().parts[0]
    assert part.counts == {"failed": len(own(1))}
    assert [(reason.state, reason.count) for reason in part.reasons] == [("failed", len(own(1)))]

"""A night in parts whose processes are killed and stopped at any moment, and started again until each part was sent to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async.sandbox import Fault, Sandbox

ROOT = Path(__file__).parents[2]
PARTS, MOST_KILLS = 3, 10
REFUSED = {"7", "33"}
CUSTOMERS = [{"customerNo": str(number), "name": "Kari"} for number in range(80)]
DOCUMENTS = [
    {
        "documentNo": f"D{number}",
        "documentType": "IN",
        "customerNo": str(number % 80),
        "currency": "NOK",
        "currencyAmounts": {"inclVat": number + 1},
    }
    for number in range(240)
]


class Storm:
    """The processes of a night, one for each part."""

    def __init__(self, folder: Path, sandbox: Sandbox, database: str, rnd: random.Random, *, has_state: bool) -> None:
        self._folder, self._rnd = folder, rnd
        for name, records in (("customers", CUSTOMERS), ("documents", DOCUMENTS)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        self._database = database
        self._state = ["--state", database] if has_state else []
        self._environment = {
            **os.environ,
            "AMILI_ARM_BASE_URL": sandbox.base_url,
            "AMILI_ARM_TOKEN": sandbox.token,
            "AMILI_ARM_CLIENT_NO": "2218",
            "PYTHONPATH": str(ROOT),
        }

    async def call(self, *words: object) -> asyncio.subprocess.Process:
        command = "-m", "tests.shared_runs.machine", "this one", *map(str, words)
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=self._folder, env=self._environment, stdout=pipe, stderr=pipe
        )

    async def start(self, part: int) -> asyncio.subprocess.Process:
        files = ("--customers", "customers.jsonl", "--documents", "documents.jsonl", "--max-records", 4, *self._state)
        journal = ("--journal", self._database, "--run-id", "tonight", "--parts", PARTS, "--part", part)
        return await self.call("nightly", *files, *journal, "--json", "--quiet")

    async def send(self, part: int, kills: list[int]) -> None:
        """Starts the process of a part again and again, until it ended by itself."""
        while True:
            process = await self.start(part)
            ending = asyncio.ensure_future(process.communicate())
            await asyncio.wait([ending], timeout=self._rnd.uniform(0.5, 3.0) if len(kills) < MOST_KILLS else None)
            if not ending.done():
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(self._rnd.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
                kills.append(part)
            _, errors = await ending
            assert process.returncode in {0, 1, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM}, errors.decode()
            if process.returncode in {0, 1}:
                return


@pytest.mark.proof
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
async def test_no_document_is_taken_twice_or_before_its_customer(tmp_path: Path, database: str, seed: int) -> None:
    async with Sandbox(process_delay=0.02, require_customers=True, seed=seed) as sandbox:
        for number in REFUSED:
            sandbox.reject_record(number, kind="customers")
        for path in ("customers/batches", "documents/batches"):
            sandbox.inject(Fault.latency(0.1), method="POST", path=path, times=100_000)
        storm = Storm(tmp_path, sandbox, database, random.Random(seed), has_state=bool(seed % 2))
        kills: list[int] = []
        await asyncio.gather(*[storm.send(part, kills) for part in range(PARTS)])
        assert kills
        process = await storm.call("report", database, "--run-id", "tonight", "--json")
        said, _ = await process.communicate()
        assert_the_report_is_right(json.loads(said), sandbox)


def assert_the_report_is_right(report: dict[str, Any], sandbox: Sandbox) -> None:
    customers, documents = report["parts"]
    assert report["error"] is None
    assert (customers["counts"]["failed"], sum(customers["counts"].values())) == (2, len(CUSTOMERS))
    own = [document for document in DOCUMENTS if document["customerNo"] not in REFUSED]
    taken = {document["documentNo"]: sandbox.documents.taken(str(document["documentNo"])) for document in DOCUMENTS}
    assert set(taken.values()) <= {0, 1}
    assert sum(taken[document["documentNo"]] for document in own) == sum(taken.values())
    counts = documents["counts"]
    # A document that came before its customer would have failed.
    assert counts.keys() <= {"succeeded", "unknown", "blocked"}
    assert (sum(counts.values()), counts["blocked"]) == (len(DOCUMENTS), len(DOCUMENTS) - len(own))
    assert counts["succeeded"] <= sum(taken.values()) <= counts["succeeded"] + counts.get("unknown", 0)
    money = documents["money"]
    assert money["adds_up"]
    (currency,) = money["currencies"]
    assert Decimal(currency["read"]["total"]) == sum(range(1, len(DOCUMENTS) + 1))
    assert {state: amount["count"] for state, amount in currency["states"].items()} == counts

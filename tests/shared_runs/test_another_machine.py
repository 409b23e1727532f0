"""A night begins on one machine, which is lost with all its files, and ends on another, which has the export and the database."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async.sandbox import Fault, Sandbox

from ..support.postgres import Server
from ..support.sandbox_runs import until

ROOT = Path(__file__).parents[2]
CUSTOMERS = [{"customerNo": str(number), "name": f"Kari {number}"} for number in range(20)]
DOCUMENTS = [
    {
        "documentNo": f"D{number:03}",
        "documentType": "IN",
        "customerNo": str(number % 20),
        "currency": "NOK" if number % 3 else "EUR",
        "currencyAmounts": {"inclVat": number + 0.25},
    }
    for number in range(60)
]
REFUSED = "7"


pytestmark = [pytest.mark.proof, pytest.mark.timeout(240)]


class Machine:
    """A machine: a name, a home, and a folder with the export."""

    def __init__(self, name: str, home: Path, sandbox: Sandbox, database: str) -> None:
        self._name, self._home = name, home
        home.mkdir()
        for kind, records in (("customers", CUSTOMERS), ("documents", DOCUMENTS)):
            (home / f"{kind}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        self.database = database
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "TMPDIR": str(home),
            "AMILI_ARM_BASE_URL": sandbox.base_url,
            "AMILI_ARM_TOKEN": sandbox.token,
            "AMILI_ARM_CLIENT_NO": "2218",
        }

    async def start(self, *words: object) -> asyncio.subprocess.Process:
        command = "-m", "tests.shared_runs.machine", self._name, *map(str, words)
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=self._home, env=self._environment, stdout=pipe, stderr=pipe
        )

    async def night(self, *more: object) -> asyncio.subprocess.Process:
        """Starts the night."""
        files = ("--customers", "customers.jsonl", "--documents", "documents.jsonl")
        journal = ("--state", self.database, "--journal", self.database, "--run-id", "tonight")
        return await self.start("nightly", *files, *journal, "--max-records", 5, "--json", *more)

    async def said(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        """What a command says in the end, in JSON."""
        out, errors = await process.communicate()
        assert process.returncode in {0, 1}, errors.decode()
        found: dict[str, Any] = json.loads(out)
        return found

    def lose(self) -> None:
        """All its files are gone."""
        shutil.rmtree(self._home)


@pytest.fixture
def machines(tmp_path: Path, sandbox: Sandbox, database: str) -> list[Machine]:
    sandbox.reject_record(REFUSED, kind="customers")
    return [Machine(name, tmp_path / name, sandbox, database) for name in ("first", "second")]


async def killed_when(process: asyncio.subprocess.Process, hanging: Any) -> None:
    await until(lambda: hanging.fired)
    process.send_signal(signal.SIGKILL)
    await process.communicate()


async def begun_and_lost(machine: Machine, sandbox: Sandbox, postgres: Server, path: str, skip: int, *more: object) -> None:
    """A night is begun, its machine is lost while a batch is on its way, and a minute passes."""
    hanging = sandbox.inject(Fault.hang_after(), method="POST", path=path, skip=skip)
    await killed_when(await machine.night(*more), hanging)
    hanging.times = hanging.fired
    machine.lose()
    postgres.execute("UPDATE amili_arm.parts SET lease_until = lease_until - interval '60 seconds'")


def assert_it_is_what_the_server_knows(report: dict[str, Any], sandbox: Sandbox) -> None:
    customers, documents = report["parts"]
    assert {state: number for state, number in customers["counts"].items() if number and state != "unchanged"}.get("failed") == 1
    taken = {document["documentNo"]: sandbox.documents.taken(str(document["documentNo"])) for document in DOCUMENTS}
    assert set(taken.values()) <= {0, 1}
    there = [document for document in DOCUMENTS if taken[document["documentNo"]]]
    counts = {state: number for state, number in documents["counts"].items() if number}
    assert counts.pop("succeeded", 0) + counts.pop("done_before", 0) == len(there)
    assert counts.pop("blocked") == 3
    # What was about to leave when the machine was lost, and did not.
    assert counts == ({"unknown": 57 - len(there)} if len(there) < 57 else {})
    assert documents["money"]["adds_up"]
    for one in documents["money"]["currencies"]:
        states = {state: amount for state, amount in one["states"].items() if state in {"succeeded", "done_before"}}
        wanted = [document for document in there if document["currency"] == one["currency"]]
        assert sum(amount["count"] for amount in states.values()) == len(wanted)
        total = sum(Decimal(str(document["currencyAmounts"]["inclVat"])) for document in wanted)  # type: ignore[index]
        assert sum(Decimal(amount["total"]) for amount in states.values()) == total


@pytest.mark.parametrize(("path", "skip"), [("customers/batches", 1), ("documents/batches", 2)])
async def test_a_night_of_one_process(
    machines: list[Machine], sandbox: Sandbox, database: str, postgres: Server, path: str, skip: int
) -> None:
    first, second = machines
    await begun_and_lost(first, sandbox, postgres, path, skip)
    await second.said(await second.night())
    await second.said(await second.start("reconcile", database, "--run-id", "tonight", "--settle", 0, "--json"))
    report = await second.said(await second.night())
    assert_it_is_what_the_server_knows(report, sandbox)


@pytest.mark.parametrize(("path", "skip"), [("customers/batches", 1), ("documents/batches", 2)])
async def test_a_night_in_parts(machines: list[Machine], sandbox: Sandbox, database: str, postgres: Server, path: str, skip: int) -> None:
    first, second = machines
    await begun_and_lost(first, sandbox, postgres, path, skip, "--parts", 2, "--part", 0)
    await asyncio.gather(*[second.said(await second.night("--parts", 2, "--part", part)) for part in (0, 1)])
    await second.said(await second.start("reconcile", database, "--run-id", "tonight", "--settle", 0, "--json"))
    for part in (0, 1):
        await second.said(await second.night("--parts", 2, "--part", part))
    report = await second.said(await second.start("report", database, "--run-id", "tonight", "--json"))
    assert report["error"] is None
    assert_it_is_what_the_server_knows(report, sandbox)

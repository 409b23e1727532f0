"""A PostgreSQL, a service, and an export, for engines that run in an environment of their own: `.ci/engines` makes it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async.sandbox import Sandbox

from ..support.postgres import Server

ROOT = Path(__file__).parents[2]
PARTS = 6
DOCUMENTS = [{"documentNo": f"D{number:04}", "documentType": "IN", "customerNo": "1"} for number in range(600)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)
            item.add_marker(pytest.mark.timeout(300))
            # Engines leave sockets and processes to the garbage collection.
            item.add_marker(pytest.mark.filterwarnings("default"))


@dataclass
class Job:
    """What a script of examples/engines is run with.

    Attributes:
        folder: where it is, with the export.
        environment: its variables.
        sandbox: the service.
        postgres: the database.
    """

    folder: Path
    environment: dict[str, str]
    sandbox: Sandbox
    postgres: Server

    def script(self, name: str) -> Path:
        """Returns a script as it is, but with few parts and small batches."""
        text = (ROOT / "examples/engines" / name).read_text("utf-8")
        assert "PARTS = 64" in text
        text = text.replace("PARTS = 64", f"PARTS = {PARTS}")
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    def owner(self) -> int | None:
        """Returns the id of a process that is sending a part, and has sent some of it."""
        query = (
            "SELECT owner::json ->> 'process' FROM amili_arm.parts JOIN amili_arm.batches ON batches.id >> 32 = run WHERE owner IS NOT NULL"
        )
        rows = self.postgres.execute(query)
        return int(rows[0][0]) if rows else None

    def kill_a_worker(self) -> int:
        """Kills one that is sending a part, and returns its id. Until then no batch is processed, so none of them ends before."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if self.sandbox.documents.total_taken and (process := self.owner()) is not None:
                os.kill(process, signal.SIGKILL)
                self.sandbox.release_processing()
                return process
            time.sleep(0.02)
        raise AssertionError("nobody sends a part")

    def report(self) -> Any:
        """Returns the report over all parts."""
        from amili_arm_async import ArmClient
        from amili_arm_async.blocking import BlockingClient

        arm = ArmClient(2218, auth=self.sandbox.token, base_url=self.sandbox.base_url)
        with BlockingClient(arm) as client, client.shared_run(self.environment["JOURNAL"], run_id="2026-11-20", parts=PARTS) as run:
            return run.report()

    def assert_nothing_is_twice_or_lost(self) -> None:
        """Each document was taken once, or is named as unknown and was taken once at the most."""
        taken = [self.sandbox.documents.taken(document["documentNo"]) for document in DOCUMENTS]
        assert max(taken) == 1
        report = self.report()
        assert report.error is None
        assert sum(report.counts.values()) == len(DOCUMENTS)
        assert report.counts["succeeded"] <= sum(taken)
        assert sum(taken) + report.counts.get("unknown", 0) >= len(DOCUMENTS)
        assert report.counts.keys() <= {"succeeded", "unknown"}


@pytest.fixture
def job(tmp_path: Path, database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    (tmp_path / "invoices.jsonl").write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    (tmp_path / "run-id").write_text("2026-11-20\n")
    with Sandbox(process_delay=0.0, require_customers=False, seed=1) as sandbox:
        environment = {
            "JOURNAL": database,
            "RUN_ID": "2026-11-20",
            "INVOICES": str(tmp_path / "invoices.jsonl"),
            "AMILI_ARM_BASE_URL": sandbox.base_url,
            "AMILI_ARM_TOKEN": sandbox.token,
            "AMILI_ARM_CLIENT_NO": "2218",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield Job(tmp_path, {**os.environ, **environment}, sandbox, postgres)

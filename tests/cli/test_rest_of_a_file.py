"""A command whose run can't go on names every record of a file, and says what it did not read of anything else."""

from __future__ import annotations

import json
import subprocess

import pytest

from amili_arm_async.nightly.report import read_report
from amili_arm_async.sandbox import Fault

from .conftest import WAIT

NUMBER = 3000


def invoices(number: int) -> str:
    return "".join(
        json.dumps({"documentNo": f"D{place}", "documentType": "IN", "customerNo": "1", "currency": "NOK"}) + "\n"
        for place in range(number)
    )


@pytest.fixture
def refusing(served):
    """Takes no document."""
    served.ask(lambda sandbox: sandbox.inject(Fault.status(403), method="POST", path="documents/batches", times=None))
    return served


def test_push_names_every_line(push, refusing, tmp_path) -> None:
    path, letters = tmp_path / "in.jsonl", tmp_path / "dead.jsonl"
    path.write_text(invoices(NUMBER))
    result = push("documents", path, "--json", "--dead-letter", letters, "--max-records", "100")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["ok"], told["source_exhausted"], told["not_read"]) == (False, True, 0)
    assert told["records"] == told["counts"]["not_sent"] == NUMBER
    assert len(letters.read_text().splitlines()) == NUMBER


def test_push_does_not_wait_for_the_end_of_a_pipe(start, refusing) -> None:
    command = ["push", "documents", "-", "--json", "--no-journal", "--max-records", "10"]
    process = start(*command, env=refusing.env, stdin=subprocess.PIPE)
    process.stdin.write(invoices(100).encode())
    process.stdin.flush()
    # The pipe stays open: more may come at any time.
    assert process.wait(WAIT) == 1
    told = json.loads(process.stdout.read())
    assert (told["ok"], told["source_exhausted"], told["not_read"]) == (False, False, None)
    assert "the source was not read to its end: how many records it still has is not known" in process.stderr.read().decode()


def test_nightly_says_that_the_documents_were_not_begun(call, served, tmp_path) -> None:
    served.ask(lambda sandbox: sandbox.inject(Fault.status(403), method="POST", times=None, path="customers/batches"))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"customerNo": f"c{place}", "name": "A"}) + "\n" for place in range(NUMBER)))
    (tmp_path / "d.jsonl").write_text(invoices(10))
    files = ["--customers", tmp_path / "c.jsonl", "--documents", tmp_path / "d.jsonl", "--report", tmp_path / "r.json"]
    result = call("nightly", *files, "--no-journal", env=served.env)
    assert result.exit_code == 1
    assert "documents: not started, none of its records was read" in result.stderr
    document = read_report((tmp_path / "r.json").read_bytes())
    assert (document.ok, document.source_exhausted, document.not_begun) == (False, False, ["documents"])
    (customers,) = document.parts
    assert (customers.read, customers.source_exhausted, customers.not_read) == (NUMBER, True, 0)
    assert customers.counts["not_sent"] == NUMBER


def test_sync_names_every_line(call, served, tmp_path) -> None:
    served.ask(lambda sandbox: sandbox.inject(Fault.status(403), method="POST", times=None, path="customers/batches"))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"customerNo": f"c{place}", "name": "A"}) + "\n" for place in range(NUMBER)))
    result = call("sync", tmp_path / "c.jsonl", "--state", tmp_path / "s.sqlite", "--json", env=served.env)
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["ok"], told["source_exhausted"], told["records"], told["counts"]["not_sent"]) == (False, True, NUMBER, NUMBER)

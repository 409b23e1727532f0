"""`--dry-run`: the report of a command that sends nothing, writes nothing and needs no credentials."""

from __future__ import annotations

import json

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until


@pytest.fixture
def served(serve):
    return serve(require_customers=False)


@pytest.fixture
def offline(served):
    """The settings of a job without credentials."""
    return {name: served.env[name] for name in ("AMILI_ARM_BASE_URL", "AMILI_ARM_CLIENT_NO")}


@pytest.fixture
def files(tmp_path):
    customers = tmp_path / "customers.csv"
    customers.write_text("customerNo,name\n" + "".join(f"{number},Kari\n" for number in range(20)))
    documents = tmp_path / "documents.jsonl"
    text = '{{"documentNo":"{0}","documentType":"IN","customerNo":"{0}","documentAmount":100}}\n'
    documents.write_text("".join(map(text.format, range(20))))
    (tmp_path / "kept").mkdir()
    return tmp_path


def as_it_is(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def requests(served):
    return served.ask(lambda sandbox: dict(sandbox.requests))


def test_push(call, served, offline, files):
    kept = files / "kept"
    run = ["push", "documents", files / "documents.jsonl", "--journal", kept / "journal", "--run-id", "night"]
    run += ["--dead-letter", kept / "dead.jsonl", "--reconcile", "--json"]
    result = call(*run, "--dry-run", env=offline)
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ok"], told["dry_run"], told["counts"]["would_be_sent"]) == (0, True, True, 20)
    assert (as_it_is(kept), requests(served)) == ({}, {})

    call(*run, "--limit", 5, env=served.env)
    before, asked = as_it_is(kept), requests(served)
    told = json.loads(call(*run, "--dry-run", env=offline).stdout)
    assert (told["counts"]["done_before"], told["counts"]["would_be_sent"]) == (5, 15)
    other = json.loads(call(*(one if one != "night" else "another" for one in run), "--dry-run", env=offline).stdout)
    assert (other["counts"]["invalid"], other["ok"]) == (5, False)
    assert (as_it_is(kept), requests(served)) == (before, asked)


def test_it_is_said(call, offline, files):
    (files / "customers.csv").write_text("customerNo,name\n1,Kari\n1,Kari\n")
    result = call("push", "customers", files / "customers.csv", "--dry-run", env=offline)
    assert "amili-arm: dry run: nothing was sent" in result.stderr
    assert "would_be_sent" in result.stderr
    assert "MB sent" not in result.stderr


def test_a_file_with_errors(call, offline, files):
    (files / "customers.jsonl").write_text('{"customerNo": "1"}\n{"customerNo": "2", "name": Ola}\n')
    result = call("push", "customers", files / "customers.jsonl", "--dry-run", "--json", env=offline)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["counts"]["invalid"] == 1
    assert "line 2" in result.stderr


def test_sync(call, served, offline, files):
    kept = files / "kept"
    run = ["sync", files / "customers.csv", "--state", kept / "state", "--json"]
    told = json.loads(call(*run, "--dry-run", env=offline).stdout)
    assert (told["sync"]["new"], as_it_is(kept)) == (20, {})
    call(*run, env=served.env)
    (files / "customers.csv").write_text("customerNo,name\n" + "".join(f"{number},{'KariOla'[number < 4]}\n" for number in range(15)))
    before, asked = as_it_is(kept), requests(served)
    result = call(*run, "--dry-run", "--forget-gone", env=offline)
    told = json.loads(result.stdout)
    assert (told["sync"]["gone"], told["forgotten"], told["dry_run"]) == (5, 0, True)
    assert (as_it_is(kept), requests(served)) == (before, asked)


def test_nightly(call, served, offline, files):
    kept = files / "kept"
    run = ["nightly", "--customers", files / "customers.csv", "--documents", files / "documents.jsonl", "--state", kept / "state"]
    run += ["--journal", kept / "journal", "--run-id", "night", "--check-first", "--json"]
    result = call(*run, "--dry-run", "--html", files / "dry.html", env=offline)
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ok"], told["dry_run"]) == (0, True, True)
    assert [part["counts"]["would_be_sent"] for part in told["parts"]] == [20, 20]
    assert (as_it_is(kept), requests(served)) == ({}, {})
    assert "Dry run, nothing was sent. 40 of 40 records would be sent" in (files / "dry.html").read_text()
    money = told["parts"][1]["money"]
    assert money["adds_up"]
    assert "would_be_sent" in money["currencies"][0]["states"]

    with (files / "documents.jsonl").open("a") as file:
        file.write("{broken\n")
    run.remove("--check-first")
    assert call(*run, "--dry-run", "--html", files / "dry.html", env=offline).exit_code == 1
    assert "Dry run, nothing was sent. 1 of 41 records would not be sent" in (files / "dry.html").read_text()

    call(*run, env=served.env)
    before, asked = as_it_is(kept), requests(served)
    told = json.loads(call(*run, "--dry-run", env=offline).stdout)
    assert [part["counts"]["would_be_sent"] for part in told["parts"]] == [0, 0]
    assert (as_it_is(kept), requests(served)) == (before, asked)


def test_a_secret_file_is_not_read(call, offline, files):
    env = {**offline, "AMILI_ARM_CLIENT_SECRET_FILE": str(files / "no-such-file")}
    assert call("push", "customers", files / "customers.csv", "--dry-run", env=env).exit_code == 0


def test_documents_need_a_journal_as_always(call, offline, files):
    assert call("push", "documents", files / "documents.jsonl", "--dry-run", env=offline).exit_code == 2


def test_after_a_kill(call, start, served, offline, files):
    kept = files / "kept"
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), path="*/documents/batches", skip=1))
    run = ["push", "documents", files / "documents.jsonl", "--journal", kept / "journal", "--run-id", "night", "--max-records", 10]
    process = start(*run, "--concurrency", 1, env=served.env)
    wait_until(served, lambda sandbox: sandbox.in_flight and sandbox.documents.total_taken == 20)
    process.kill()
    process.wait(WAIT)
    before, asked = as_it_is(kept), requests(served)
    assert {"journal", "journal-wal", "journal-shm"} <= before.keys()
    told = json.loads(call(*run, "--dry-run", "--json", env=offline).stdout)
    assert (told["counts"]["unknown"], told["counts"]["would_be_sent"]) == (10, 0)
    assert (as_it_is(kept), requests(served)) == (before, asked)
    (shown,) = json.loads(call("status", kept / "journal", "--json").stdout)["runs"]
    assert (shown["counts"]["unknown"], shown["counts"]["not_sent"]) == (10, 0)
    assert [(batch["records"], batch["reason"]) for batch in shown["unknown_batches"]] == [(10, "crashed")]


def test_while_another_process_runs(call, start, served, offline, files):
    kept = files / "kept"
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), path="*/documents/batches"))
    run = ["push", "documents", files / "documents.jsonl", "--journal", kept / "journal", "--max-records", 20]
    start(*run, "--run-id", "night", env=served.env)
    wait_until(served, lambda sandbox: sandbox.in_flight and sandbox.documents.total_taken == 20)
    told = json.loads(call(*run, "--run-id", "another", "--dry-run", "--json", env=offline).stdout)
    assert (told["counts"]["invalid"], told["counts"]["would_be_sent"]) == (20, 0)
    refused = call(*run, "--run-id", "night", env=served.env)
    assert (refused.exit_code, "in progress" in refused.stderr) == (1, True)
    result = call(*run, "--run-id", "night", "--dry-run", "--json", env=offline)
    told = json.loads(result.stdout)
    assert (told["counts"]["unknown"], [one["reason"] for one in told["reasons"]]) == (20, ["in_progress"])

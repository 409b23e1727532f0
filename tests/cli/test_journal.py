"""`push` with a journal, `status`, `prune` and `reconcile`: flags, exit codes, and real processes that are ended in the midst."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_for, wait_until


def document(number=None, **more):
    return {"documentType": "IN", "customerNo": "1", **({"documentNo": str(number)} if number is not None else {}), **more}


def lines(*records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "documents.jsonl"

    def write(*records):
        path.write_bytes(lines(*records))
        return path

    return write


@pytest.fixture
def push(served, call, tmp_path):
    served.ask(lambda sandbox: sandbox.customers.seed([{"customerNo": "1", "name": "Kari"}]))
    journal = tmp_path / "nightly.sqlite"
    return lambda kind, path, *more: call("push", kind, path, "--journal", journal, "--run-id", "one", "--json", *more, env=served.env)


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "nightly.sqlite"


def told(result):
    return json.loads(result.stdout)


def counts(result):
    return {state: number for state, number in told(result)["counts"].items() if number}


@pytest.fixture
def runs(call, journal):
    def read(*more):
        result = call("status", journal, "--json", *more)
        assert result.exit_code == 0
        return told(result)["runs"]

    return read


# --- push -----------------------------------------------------------------------------------------------------------------


def test_the_same_push_again_sends_nothing(push, file, served, journal):
    path = file(document(1), document(2), document(), document())
    first, second = push("documents", path), push("documents", path)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert (counts(first), counts(second)) == ({"succeeded": 4}, {"done_before": 4})
    assert served.ask(lambda sandbox: (sandbox.documents.total_delivered, len(list(sandbox.documents.doubles())))) == (4, 1)
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_what_the_source_does_not_yield_any_more_is_told(push, file, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(502), path="documents/batches"))
    assert counts(push("documents", file(document(1)))) == {"unknown": 1}
    result = push("documents", file(document(2)))
    assert (result.exit_code, told(result)["left_behind"]) == (0, {"unknown": 1})


def test_reconcile_at_the_end(push, file, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.reset_after(), path="documents/batches"))
    result = push("documents", file(document(1), document(2)), "--reconcile", "--settle", 0)
    assert (result.exit_code, counts(result)) == (0, {"succeeded": 2})
    assert served.ask(lambda sandbox: sandbox.documents.total_delivered) == 2


def test_what_is_absent_is_sent_again_where_that_is_asked_for(push, file, served):
    # The first one shows that look-ups work.
    served.ask(lambda sandbox: sandbox.inject(Fault.status(502), path="documents/batches", skip=1))
    more = ["--reconcile", "--resend-absent", "--deadline", 0.1, "--settle", 0.2, "--max-records", 1, "--concurrency", 1]
    result = push("documents", file(document(0), document(1)), *more)
    assert served.ask(lambda sandbox: (sandbox.documents.taken("1"), sandbox.documents.delivered("1"))) == (1, 2)
    assert (result.exit_code, counts(result)) == (0, {"succeeded": 2})


def test_require_document_no(push, file, served):
    result = push("documents", file(document(1), document()), "--require-document-no")
    assert (result.exit_code, counts(result)) == (1, {"succeeded": 1, "invalid": 1})
    assert "line 2: invalid (no_document_no)" in result.stderr


@pytest.mark.parametrize("most", ["2", "10%", "0.1"])
def test_stop_after_failures(push, file, served, most):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(400), path="documents/batches", times=None))
    path = file(*map(document, range(300)))
    result = push("documents", path, "--stop-after-failures", most, "--max-records", 100, "--concurrency", 1)
    assert result.exit_code == 1
    assert counts(result) == {"rejected": 100, "not_sent": 200}
    assert "--stop-after-failures" in result.stderr


def test_dead_letter(push, file, served, tmp_path):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(400), path="documents/batches"))
    letters = tmp_path / "failed.jsonl"
    assert push("documents", file(document(1), document(2)), "--dead-letter", letters).exit_code == 1
    found = [json.loads(line) for line in letters.read_bytes().splitlines()]
    assert [(one["key"], one["state"], one["payload"]) for one in found] == [(str(n), "rejected", document(n)) for n in (1, 2)]
    assert stat.S_IMODE(letters.stat().st_mode) == 0o600


def test_a_line_that_is_too_long_to_be_sent_is_in_the_dead_letter(push, file, tmp_path):
    letters = tmp_path / "failed.jsonl"
    record = document(1, remark="x" * 1000)
    result = push("documents", file(record), "--dead-letter", letters, "--max-bytes", 500)
    assert (result.exit_code, counts(result)) == (1, {"invalid": 1})
    (line,) = [json.loads(line) for line in letters.read_bytes().splitlines()]
    assert (line["key"], line["reason"]) == ("1", "too_large")
    assert record["remark"] in str(line["payload"])


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("documents", ["--journal", "JOURNAL"], "--run-id"),
        ("documents", ["--run-id", "one"], "journal"),
        ("documents", ["--reconcile"], "journal"),
        ("documents", ["--settle", "1"], "--reconcile"),
        ("documents", ["--resend-absent"], "--reconcile"),
        ("documents", ["--journal", "JOURNAL", "--run-id", "1", "--reconcile", "--resend-absent", "--settle", "9"], "deadline"),
        ("documents", ["--stop-after-failures", "many"], "--stop-after-failures"),
        ("documents", ["--stop-after-failures", "200%"], "between 0 and 1"),
        ("documents", ["--stop-after-failures", "0"], "at least 1"),
        ("documents", ["--grace", "-1"], "grace"),
        ("customers", ["--require-document-no"], "documents"),
        ("customers", ["--journal", "JOURNAL", "--run-id", "one", "--reconcile"], "documents"),
    ],
)
def test_wrong_use(call, file, served, journal, kind, arguments, words):
    result = call("push", kind, file(document(1)), *(journal if one == "JOURNAL" else one for one in arguments), env=served.env)
    assert result.exit_code == 2
    assert words in result.stderr
    assert served.ask(lambda sandbox: sandbox.documents.total_delivered) == 0


def test_a_run_that_was_begun_against_another_address(push, file, served, serve, call, journal):
    assert push("documents", file(document(1))).exit_code == 0
    other = serve()
    result = call("push", "documents", file(document(1)), "--journal", journal, "--run-id", "one", env=other.env)
    assert result.exit_code == 2
    assert "--base-url" in result.stderr
    assert other.ask(lambda sandbox: sandbox.documents.total_delivered) == 0


def test_a_file_that_is_no_journal(push, file, served, journal):
    journal.write_text("a letter")
    result = push("documents", file(document(1)))
    assert result.exit_code == 1
    assert "journal" in result.stderr
    assert journal.read_text() == "a letter"


# --- signals --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def begin(start, served, tmp_path, journal):
    """Starts a push of documents that never get an answer, and waits until they are taken."""

    def push_them(*more):
        served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), path="documents/batches", times=1))
        path = tmp_path / "documents.jsonl"
        path.write_bytes(lines(*map(document, range(10))))
        given = ["--journal", journal, "--run-id", "one", "--max-records", 2, "--concurrency", 1, "--json", *more]
        process = start("push", "documents", path, *given, env=served.env)
        wait_until(served, lambda sandbox: sandbox.documents.total_taken == 2)
        return process

    return push_them


def test_a_signal_writes_report_dead_letter_and_journal(begin, runs, tmp_path):
    letters = tmp_path / "failed.jsonl"
    process = begin("--grace", 0.1, "--dead-letter", letters)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT) == 143
    result = json.loads(process.stdout.read())
    assert result["counts"]["unknown"] == 2
    assert result["counts"]["not_sent"] == result["records"] - 2
    assert result["ok"] is False
    states = [json.loads(line)["state"] for line in letters.read_bytes().splitlines()]
    assert sorted(states) == ["not_sent"] * (result["records"] - 2) + ["unknown"] * 2
    (run,) = runs()
    assert run["state"] == "cut off"
    assert run["counts"]["unknown"] == 2


@pytest.mark.parametrize(("second", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_at_once_and_the_journal_is_right(begin, runs, push, file, served, second, code):
    process = begin("--grace", 1000, "--deadline", 0.1)
    process.send_signal(signal.SIGTERM)
    assert b"stopping" in process.stderr.readline()
    process.send_signal(second)
    assert process.wait(WAIT) == code
    assert process.stdout.read() == b""
    # The same command goes on, and sends nothing twice.
    more = ["--reconcile", "--resend-absent", "--deadline", 0.1, "--settle", 0.2]
    result = push("documents", file(*map(document, range(10))), *more)
    assert (result.exit_code, counts(result)) == (0, {"succeeded": 8, "done_before": 2})
    assert served.ask(lambda sandbox: sandbox.documents.total_taken) == 10
    assert not served.ask(lambda sandbox: list(sandbox.documents.doubles()))
    (run,) = runs()
    assert (run["state"], run["attempts"]) == ("finished", 2)


def test_status_while_a_run_is_going_on_and_a_second_run(begin, runs, push, file):
    process = begin()
    (run,) = runs()
    assert (run["state"], run["running"]) == ("running", True)
    result = push("documents", file(document(1)))
    assert result.exit_code == 1
    assert "already in progress" in result.stderr
    process.kill()


# --- status and prune -----------------------------------------------------------------------------------------------------


@pytest.fixture
def three_runs(push, file, served, call, journal):
    """One that is finished, one with an unknown batch and one with an open one."""
    assert push("documents", file(document(1))).exit_code == 0
    served.ask(lambda sandbox: sandbox.inject(Fault.status(502), path="documents/batches"))
    given = ["--journal", journal, "--run-id"]
    assert call("push", "documents", file(document(2), document()), *given, "two", env=served.env).exit_code == 1
    served.ask(lambda sandbox: sandbox.hold_processing())
    assert call("push", "documents", file(document(3)), *given, "three", "--deadline", 0.01, env=served.env).exit_code == 1
    served.ask(lambda sandbox: sandbox.release_processing())


def test_status_as_json(three_runs, runs):
    one, two, three = runs()
    assert [(run["run_id"], run["state"], run["attempts"]) for run in (one, two, three)] == [
        ("one", "finished", 1),
        ("two", "ended, not all settled", 1),
        ("three", "ended, not all settled", 1),
    ]
    assert (one["operation"], one["client_no"], one["counts"]["succeeded"]) == ("documents.create_batch", 2218, 1)
    assert (one["open_batches"], one["unknown_batches"]) == ([], [])
    (unknown,), (opened,) = two["unknown_batches"], three["open_batches"]
    assert (unknown["records"], unknown["reason"], unknown["batch_uuid"]) == (2, "502", None)
    assert (opened["records"], opened["state"], opened["reason"]) == (1, "accepted", "deadline")
    assert opened["batch_uuid"]
    assert "keys" not in opened
    _, two, three = runs("--keys")
    assert (two["unknown_batches"][0]["keys"], three["open_batches"][0]["keys"]) == (["2", None], ["3"])


def test_status_for_a_person(three_runs, call, journal):
    shown = call("status", journal)
    assert shown.exit_code == 0
    for words in ("one", "two", "three", "finished", "unknown: 2 records (502)", "open: 1 record (deadline)", "batchUuid"):
        assert words in shown.stdout
    assert "(without key)" not in shown.stdout
    shown = call("status", journal, "--keys")
    assert "    2\n    (without key)\n" in shown.stdout


def test_prune(three_runs, call, journal, runs):
    def prune(*more):
        result = call("prune", journal, *more)
        assert result.exit_code == 0
        return result.stdout.strip()

    assert prune() == "0 runs removed"
    assert prune("--run-id", "two", "--older-than-days", 0) == "0 runs removed"
    assert prune("--older-than-days", 0) == "1 run removed"
    assert [run["run_id"] for run in runs()] == ["two", "three"]
    assert prune("--older-than-days", 0, "--unfinished") == "2 runs removed"
    assert runs() == []


@pytest.mark.parametrize("command", ["status", "prune", "reconcile", "replay"])
def test_no_such_file(call, served, command):
    result = call(command, "nothing", env=served.env)
    assert result.exit_code == 2
    assert "no file nothing" in result.stderr


@pytest.mark.parametrize("command", ["status", "prune", "reconcile"])
def test_no_journal(call, served, file, command):
    path = file(document(1))
    before = path.read_bytes()
    result = call(command, path, env=served.env)
    assert result.exit_code == 1
    assert "journal" in result.stderr
    assert path.read_bytes() == before


# --- reconcile ------------------------------------------------------------------------------------------------------------


def test_reconcile(three_runs, call, served, journal, runs):
    served.ask(lambda sandbox: sandbox.documents.seed([document(2)]))
    result = call("reconcile", journal, "--settle", 0, "--json", env=served.env)
    assert result.exit_code == 1
    assert {state: number for state, number in told(result)["counts"].items() if number} == {"succeeded": 2, "unknown": 1}
    assert "unknown (502)" in result.stderr
    _, two, three = runs()
    assert (two["counts"]["succeeded"], two["counts"]["unknown"], three["counts"]["succeeded"]) == (1, 1, 1)
    # Only one run, and nothing is left of it.
    result = call("reconcile", journal, "--run-id", "three", "--settle", 0, "--json", env=served.env)
    assert (result.exit_code, told(result)["records"], told(result)["ok"]) == (0, 0, True)


def test_reconcile_sends_again_what_is_absent(push, file, served, call, journal):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(502), path="documents/batches", skip=1))
    more = ["--deadline", 0.1, "--max-records", 1, "--concurrency", 1]
    assert push("documents", file(document(0), document(1)), *more).exit_code == 1
    result = call("reconcile", journal, "--settle", 0, env=served.env)
    assert result.exit_code == 1
    assert "documents, key 1: unknown (absent)" in result.stderr
    assert "1 unknown (absent): Reconcile with --resend-absent sends it" in result.stderr
    assert result.stderr.rstrip().endswith(f"reconcile {journal} --resend-absent")
    result = call("reconcile", journal, "--settle", 0.2, "--resend-absent", "--json", env=served.env)
    assert (result.exit_code, told(result)["counts"]["succeeded"]) == (0, 1)
    assert served.ask(lambda sandbox: sandbox.documents.taken("1")) == 1


def test_reconcile_that_is_wrong(three_runs, call, served, journal):
    result = call("reconcile", journal, "--settle", 1, "--resend-absent", env=served.env)
    assert result.exit_code == 2
    assert "settle" in result.stderr
    assert call("reconcile", journal, "--run-id", "four", env=served.env).exit_code == 1
    assert call("reconcile", journal, "--client-no", 1, env=served.env).exit_code == 1
    assert call("reconcile", journal, "--concurrency", 0, env=served.env).exit_code == 2


def test_a_signal_ends_a_reconcile_that_waits(three_runs, start, served, journal, runs):
    process = start("reconcile", journal, "--settle", 1000, "--json", env=served.env, stderr=subprocess.PIPE)
    wait_for(lambda: any(run["running"] for run in runs()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT) == 143
    assert json.loads(process.stdout.read())["ok"] is False
    assert b"interrupted" in process.stderr.read()
    assert os.path.exists(journal)
